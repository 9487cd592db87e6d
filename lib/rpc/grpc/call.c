/* call: what gRPC core wants of those who start operations (one of a kind at a time, nothing after
 * the completion queue was shut down, every buffer alive until its event came) is kept here and
 * nowhere else.
 */
#include "rpc/grpc/call.h"

#include <grpc/byte_buffer_reader.h>
#include <stdlib.h>
#include <string.h>

static void pump(struct rl_grpc_call *c);

/* ---- the end ---- */

/* After these nothing of what the peer sent last is worth waiting for. */
static bool is_broken(const struct rl_grpc_call *c)
{
    if (!c->call.is_client)
        return c->was_cancelled;
    return c->code == GRPC_STATUS_UNAVAILABLE || c->code == GRPC_STATUS_CANCELLED ||
           c->code == GRPC_STATUS_DEADLINE_EXCEEDED;
}

static bool is_finished(const struct rl_grpc_call *c)
{
    if (!c->is_over || c->running)
        return false;
    return !c->held || c->call.is_closing || is_broken(c);
}

/* What the peer or the connection said. */
static rl_code ending(const struct rl_grpc_call *c, char **message)
{
    if (c->call.is_client) {
        *message = rl_span_to_string(
            RL_SPAN(GRPC_SLICE_START_PTR(c->message), GRPC_SLICE_LENGTH(c->message)));
        return rl_code_from_number(c->code);
    }
    if (c->is_end_sent && !c->was_cancelled) {
        *message = c->call.end_message ? rl_strdup(c->call.end_message) : NULL;
        return c->call.end_code;
    }
    bool is_late = rl_rpc_remaining_ms(&c->call) <= 0;
    *message = rl_strdup(is_late ? "the deadline passed" : "the client cancelled, or is gone");
    return is_late ? RL_E_DEADLINE : RL_E_CANCELLED;
}

/* Lets go of gRPC core; the shared part may live on. */
static void release_core(struct rl_grpc_call *c)
{
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    if (c->held)
        grpc_byte_buffer_destroy(c->held);
    grpc_metadata_array_destroy(&c->initial);
    grpc_metadata_array_destroy(&c->trailing);
    grpc_slice_unref(c->message);
    grpc_call_unref(c->core);
    c->core = NULL;
    c->held = NULL;
    if (c->gone)
        c->gone(c);
}

/* Inside an op `closed` may not be called: the shared part does it at the end of the turn. */
static void finish(struct rl_grpc_call *c, bool is_in_op)
{
    char *message = NULL;
    rl_code code = ending(c, &message);
    release_core(c);
    if (is_in_op)
        rl_rpc_call_doom(&c->call, code, message ? message : "");
    else
        rl_rpc_call_close(&c->call, code, message);
    free(message);
}

/* ---- operations ---- */

static void start(struct rl_grpc_call *c, const grpc_op *ops, size_t count,
                  struct rl_grpc_event *event)
{
    RL_ASSERT(grpc_call_start_batch(c->core, ops, count, event, NULL) == GRPC_CALL_OK);
    c->running++;
}

static struct rl_grpc_call *of(struct rl_grpc_event *event, size_t offset)
{
    struct rl_grpc_call *c = (struct rl_grpc_call *)(void *)((char *)event - offset);
    c->running--;
    return c;
}

static void note_answer(struct rl_grpc_call *c)
{
    if (c->is_answered || !c->answered)
        return;
    c->is_answered = true;
    c->answered(c);
}

static void on_headers(struct rl_grpc_event *event, bool ok)
{
    struct rl_grpc_call *c = of(event, offsetof(struct rl_grpc_call, headers));
    if (ok)
        note_answer(c);
    pump(c);
}

static void on_sent(struct rl_grpc_event *event, bool ok)
{
    struct rl_grpc_call *c = of(event, offsetof(struct rl_grpc_call, sent));
    c->is_sending = false;
    /* It failed because the call is over: what comes next would fail as well. */
    if (!ok)
        c->is_end_sent = true;
    pump(c);
}

static void on_over(struct rl_grpc_event *event, bool ok)
{
    (void)ok;
    struct rl_grpc_call *c = of(event, offsetof(struct rl_grpc_call, over));
    c->is_over = true;
    pump(c);
}

static void free_message(void *message)
{
    free(message);
}

struct batch {
    grpc_op ops[3];
    size_t n;
    grpc_byte_buffer *message;
    grpc_slice status;
};

static void add_headers(struct batch *batch, const struct rl_grpc_call *c)
{
    grpc_op *op = &batch->ops[batch->n++];
    op->op = GRPC_OP_SEND_INITIAL_METADATA;
    /* A call with a deadline waits for a connection until then; one without would for ever. */
    if (c->call.is_client && c->call.deadline_boot_ms != RL_RPC_NO_DEADLINE)
        op->flags = GRPC_INITIAL_METADATA_WAIT_FOR_READY;
}

static void add_message(struct batch *batch, struct rl_rpc_message *message)
{
    grpc_slice slice =
        grpc_slice_new_with_user_data(message->bytes + RL_RPC_PREFIX_BYTES,
                                      message->n - RL_RPC_PREFIX_BYTES, free_message, message);
    batch->message = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    grpc_op *op = &batch->ops[batch->n++];
    op->op = GRPC_OP_SEND_MESSAGE;
    op->data.send_message.send_message = batch->message;
}

static void add_end(struct batch *batch, const struct rl_grpc_call *c)
{
    grpc_op *op = &batch->ops[batch->n++];
    if (c->call.is_client) {
        op->op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
        return;
    }
    batch->status = grpc_slice_from_copied_string(c->call.end_message ? c->call.end_message : "");
    op->op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    op->data.send_status_from_server.status = (grpc_status_code)c->call.end_code;
    op->data.send_status_from_server.status_details = &batch->status;
}

/* The next message, the headers that go before it and the end that follows, all at once. */
static void send_next(struct rl_grpc_call *c)
{
    if (c->is_sending || c->is_end_sent || c->is_over || rl_grpc_queue_is_closed(c->queue))
        return;
    c->is_sending = true; /* taking may call the user, who may send */
    struct rl_rpc_message *message = rl_rpc_call_take(&c->call);
    bool is_end = c->call.is_ending && !rl_rpc_call_has_message(&c->call);
    struct batch batch = {.status = grpc_empty_slice()};
    if (!c->are_headers_sent && (c->call.is_client || message || is_end))
        add_headers(&batch, c);
    if (message)
        add_message(&batch, message);
    if (is_end)
        add_end(&batch, c);
    c->is_sending = batch.n > 0;
    if (batch.n > 0) {
        c->are_headers_sent = true;
        c->is_end_sent = is_end;
        start(c, batch.ops, batch.n, &c->sent);
    }
    if (batch.message)
        grpc_byte_buffer_destroy(batch.message);
    grpc_slice_unref(batch.status);
}

/* ---- what arrives ---- */

/* gRPC core hands out most messages in one slice: those are read where they lie. */
static void deliver(struct rl_grpc_call *c, grpc_byte_buffer *buffer)
{
    grpc_byte_buffer_reader reader;
    size_t n = grpc_byte_buffer_length(buffer);
    if (buffer->data.raw.compression != GRPC_COMPRESS_NONE) {
        rl_rpc_call_abort(&c->call, RL_E_UNIMPLEMENTED, "compressed messages are not taken");
    } else if (n > c->call.message_bytes_max) {
        rl_rpc_call_abort(&c->call, RL_E_EXHAUSTED, "a message is larger than it may be");
    } else if (grpc_byte_buffer_reader_init(&reader, buffer)) {
        grpc_slice *first = NULL;
        grpc_slice whole;
        if (grpc_byte_buffer_reader_peek(&reader, &first) && GRPC_SLICE_LENGTH(*first) == n) {
            whole = grpc_slice_ref(*first);
        } else {
            grpc_byte_buffer_reader_destroy(&reader);
            RL_ASSERT(grpc_byte_buffer_reader_init(&reader, buffer));
            whole = grpc_byte_buffer_reader_readall(&reader);
        }
        grpc_byte_buffer_reader_destroy(&reader);
        rl_rpc_call_receive(&c->call, GRPC_SLICE_START_PTR(whole), GRPC_SLICE_LENGTH(whole));
        grpc_slice_unref(whole);
    }
    grpc_byte_buffer_destroy(buffer);
}

static void on_received(struct rl_grpc_event *event, bool ok)
{
    (void)ok; /* there is a message or there is none */
    struct rl_grpc_call *c = of(event, offsetof(struct rl_grpc_call, received));
    c->is_receiving = false;
    c->held = c->incoming;
    c->incoming = NULL;
    if (c->held)
        note_answer(c);
    else
        c->is_peer_done = true;
    /* A broken call ends by `over`; only the peer's own word half-closes it. */
    if (!c->held && !c->call.is_client && !grpc_call_failed_before_recv_message(c->core))
        rl_rpc_call_receive_end(&c->call);
    pump(c);
}

static void receive_next(struct rl_grpc_call *c)
{
    if (c->held && rl_rpc_call_wants(&c->call)) {
        grpc_byte_buffer *buffer = c->held;
        c->held = NULL;
        deliver(c, buffer);
    }
    if (c->held || c->is_receiving || c->is_peer_done || c->is_over ||
        !rl_rpc_call_wants(&c->call) || rl_grpc_queue_is_closed(c->queue))
        return;
    c->is_receiving = true;
    grpc_op op;
    memset(&op, 0, sizeof op);
    op.op = GRPC_OP_RECV_MESSAGE;
    op.data.recv_message.recv_message = &c->incoming;
    start(c, &op, 1, &c->received);
}

static void pump(struct rl_grpc_call *c)
{
    /* `held`, because the user may drop the call's last reference in a callback. */
    struct rl_rpc_call *held = rl_rpc_call_ref(&c->call);
    receive_next(c);
    send_next(c);
    if (c->core && is_finished(c))
        finish(c, false);
    rl_rpc_call_unref(&held);
}

void rl_grpc_call_pump(struct rl_grpc_call *call)
{
    pump(call);
}

/* ---- from the shared part ---- */

static struct rl_grpc_call *of_shared(struct rl_rpc_call *call)
{
    return (struct rl_grpc_call *)(void *)call;
}

void rl_grpc_call_wake(struct rl_rpc_call *call)
{
    struct rl_grpc_call *c = of_shared(call);
    if (c->core)
        send_next(c);
}

void rl_grpc_call_resume(struct rl_rpc_call *call)
{
    struct rl_grpc_call *c = of_shared(call);
    if (!c->core)
        return;
    receive_next(c);
    if (c->core && is_finished(c))
        finish(c, true);
}

void rl_grpc_call_cancel(struct rl_rpc_call *call)
{
    struct rl_grpc_call *c = of_shared(call);
    if (!c->core)
        return;
    /* The peer of a server may hear it, so that its deadline does not look like a whim of ours. */
    if (call->local_code != RL_OK)
        grpc_call_cancel_with_status(c->core, (grpc_status_code)call->local_code,
                                     call->local_message, NULL);
    else
        grpc_call_cancel(c->core, NULL);
    if (is_finished(c)) /* it waited for the user to take the last message */
        finish(c, true);
}

/* ---- from the owner ---- */

void rl_grpc_call_begin(struct rl_grpc_call *c, struct rl_grpc_queue *queue, grpc_call *core,
                        struct rl_grpc_call **list)
{
    c->queue = queue;
    c->core = core;
    c->headers.fn = on_headers;
    c->sent.fn = on_sent;
    c->received.fn = on_received;
    c->over.fn = on_over;
    c->message = grpc_empty_slice();
    grpc_metadata_array_init(&c->initial);
    grpc_metadata_array_init(&c->trailing);
    c->next = *list;
    c->link = list;
    if (c->next)
        c->next->link = &c->next;
    *list = c;
    grpc_op over = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER};
    if (!c->call.is_client) {
        over.data.recv_close_on_server.cancelled = &c->was_cancelled;
    } else {
        grpc_op headers = {.op = GRPC_OP_RECV_INITIAL_METADATA};
        headers.data.recv_initial_metadata.recv_initial_metadata = &c->initial;
        start(c, &headers, 1, &c->headers);
        over.op = GRPC_OP_RECV_STATUS_ON_CLIENT;
        over.data.recv_status_on_client.trailing_metadata = &c->trailing;
        over.data.recv_status_on_client.status = &c->code;
        over.data.recv_status_on_client.status_details = &c->message;
    }
    start(c, &over, 1, &c->over);
}

void rl_grpc_call_cancel_all(struct rl_grpc_call *list)
{
    for (struct rl_grpc_call *c = list; c; c = c->next)
        grpc_call_cancel(c->core, NULL);
}

void rl_grpc_call_close_all(struct rl_grpc_call **list)
{
    while (*list)
        finish(*list, false);
}
