/* call: one call's life, whatever carries it. `closed` or `done` is called once, last, and never
 * from inside the caller's own rl_rpc_cancel(): what this side decided (a cancel, a deadline) is
 * kept and told in place of what the wire makes of it.
 */
#include "rpc/transport.h"

#include "clock/clock.h"

#include <stdlib.h>

struct rl_rpc_call *rl_rpc_call_ref(struct rl_rpc_call *call)
{
    atomic_fetch_add(&call->refs, 1);
    return call;
}

void rl_rpc_call_unref(struct rl_rpc_call **call)
{
    struct rl_rpc_call *c = *call;
    *call = NULL;
    if (!c || atomic_fetch_sub(&c->refs, 1) != 1)
        return;
    if (c->ops->release)
        c->ops->release(c);
    rl_rpc_queue_clear(c);
    if (c->unary)
        protobuf_c_message_free_unpacked(c->unary, NULL);
    rl_rpc_remote_unref(&c->remote);
    free(c->end_message);
    free(c->local_message);
    free(c->doom_message);
    free(c->path);
    free(c);
}

/* ---- what handlers ask ---- */

const struct rl_rpc_peer *rl_rpc_peer(const struct rl_rpc_call *call)
{
    return call->remote ? &call->remote->peer : NULL;
}

int64_t rl_rpc_remaining_ms(const struct rl_rpc_call *call)
{
    if (call->deadline_boot_ms == RL_RPC_NO_DEADLINE)
        return INT64_MAX;
    uint64_t now = rl_clock_boot_ms();
    return call->deadline_boot_ms > now ? (int64_t)(call->deadline_boot_ms - now) : 0;
}

void rl_rpc_set_data(struct rl_rpc_call *call, void *data)
{
    call->data = data;
}

void *rl_rpc_data(const struct rl_rpc_call *call)
{
    return call->data;
}

/* ---- ending it from here ---- */

static void stop_now(struct rl_rpc_call *call, rl_code code, const char *message)
{
    if (atomic_load(&call->is_over) || call->local_code != RL_OK)
        return;
    call->local_code = code;
    call->local_message = rl_strdup(message);
    call->is_closing = true;
    rl_rpc_queue_clear(call);
    if (!call->is_doomed)
        call->ops->cancel(call);
}

void rl_rpc_cancel(struct rl_rpc_call *call)
{
    stop_now(call, RL_E_CANCELLED, "cancelled");
}

static void on_deadline(void *context)
{
    struct rl_rpc_call *call = context;
    stop_now(call, RL_E_DEADLINE, "the deadline passed");
}

void rl_rpc_call_set_deadline(struct rl_rpc_call *call, uint64_t timeout_ms)
{
    /* Far ahead of any call's life; keeps the sum below from wrapping. */
    if (timeout_ms >= UINT64_MAX / 2)
        return;
    call->deadline_boot_ms = rl_clock_boot_ms() + timeout_ms;
    call->deadline = rl_timer_create(call->loop, on_deadline, call);
    rl_timer_arm(call->deadline, timeout_ms);
}

void rl_rpc_call_abort(struct rl_rpc_call *call, rl_code code, const char *message)
{
    if (atomic_load(&call->is_over) || call->is_closing)
        return;
    if (call->is_client) {
        stop_now(call, code, message);
        return;
    }
    if (!call->is_ending) {
        rl_rpc_queue_clear(call);
        rl_rpc_call_end(call, code, message);
    }
    call->is_closing = true;
}

/* ---- what arrives ---- */

void rl_rpc_call_connected(struct rl_rpc_call *call, struct rl_rpc_remote *remote)
{
    RL_ASSERT(!call->remote);
    call->remote = rl_rpc_remote_ref(remote);
}

bool rl_rpc_call_wants(const struct rl_rpc_call *call)
{
    bool has_answered = call->is_ending && !call->is_client;
    return !call->is_paused && !call->is_closing && !call->is_half_closed && !has_answered &&
           !atomic_load(&call->is_over);
}

void rl_rpc_pause(struct rl_rpc_call *call)
{
    call->is_paused = true;
}

void rl_rpc_resume(struct rl_rpc_call *call)
{
    if (!call->is_paused)
        return;
    call->is_paused = false;
    if (!atomic_load(&call->is_over) && !call->is_closing && !call->is_doomed)
        call->ops->resume(call);
}

static void receive_unary(struct rl_rpc_call *call, ProtobufCMessage *message)
{
    if (!call->unary) {
        call->unary = message;
        return;
    }
    protobuf_c_message_free_unpacked(message, NULL);
    rl_rpc_call_abort(call, RL_E_INTERNAL, "more than one message in a unary call");
}

/* The generated messages do not nest in themselves, so that decoding can not be made to recurse
 * beyond what the .proto files say. */
void rl_rpc_call_receive(struct rl_rpc_call *call, const uint8_t *bytes, size_t n)
{
    ProtobufCMessage *message = protobuf_c_message_unpack(call->incoming, NULL, n, bytes);
    if (!message) {
        rl_rpc_call_abort(call, RL_E_INTERNAL, "a message does not decode");
        return;
    }
    if (call->kind == RL_RPC_UNARY) {
        receive_unary(call, message);
        return;
    }
    struct rl_rpc_call *held = rl_rpc_call_ref(call);
    call->stream->message(call, message, call->context);
    protobuf_c_message_free_unpacked(message, NULL);
    rl_rpc_call_unref(&held);
}

/* ---- the end ---- */

static void tell(struct rl_rpc_call *call, rl_code code, const char *message)
{
    if (call->done) {
        if (code == RL_OK && !call->unary) {
            code = RL_E_INTERNAL;
            message = "the call ended well but without a reply";
        }
        call->done(call->context, code, message, code == RL_OK ? call->unary : NULL);
    } else if (call->stream) {
        call->stream->closed(call, code, message, call->context);
    } else if (call->raw) {
        call->raw->closed(call, code, message, call->context);
    }
}

void rl_rpc_call_close(struct rl_rpc_call *call, rl_code code, const char *message)
{
    RL_ASSERT(!atomic_load(&call->is_over));
    atomic_store(&call->is_over, true);
    call->is_closing = true;
    rl_timer_free(&call->deadline);
    rl_rpc_queue_clear(call);
    if (call->local_code != RL_OK) {
        code = call->local_code;
        message = call->local_message;
    }
    tell(call, code, message ? message : "");
    rl_rpc_call_unref(&call);
}

/* ---- the grave ---- */

static void bury(void *context)
{
    struct rl_rpc_grave *grave = context;
    bool is_gone = false, *outer = grave->is_gone;
    grave->is_gone = &is_gone;
    while (!is_gone && grave->first) {
        struct rl_rpc_call *call = grave->first;
        grave->first = call->next_doomed;
        if (!grave->first)
            grave->end = &grave->first;
        rl_rpc_call_close(call, call->doom_code, call->doom_message);
    }
    if (!is_gone)
        grave->is_gone = outer;
    else if (outer)
        *outer = true;
}

void rl_rpc_grave_init(struct rl_rpc_grave *grave, struct rl_loop *loop)
{
    grave->first = NULL;
    grave->end = &grave->first;
    grave->bury = rl_task_create(loop, bury, grave);
}

void rl_rpc_grave_fini(struct rl_rpc_grave *grave)
{
    bury(grave);
    rl_task_free(&grave->bury);
    if (grave->is_gone)
        *grave->is_gone = true;
}

void rl_rpc_call_doom(struct rl_rpc_call *call, rl_code code, const char *message)
{
    RL_ASSERT(!call->is_doomed && !atomic_load(&call->is_over));
    call->is_doomed = true;
    call->is_closing = true;
    call->doom_code = code;
    call->doom_message = rl_strdup(message);
    call->next_doomed = NULL;
    *call->grave->end = call;
    call->grave->end = &call->next_doomed;
    rl_task_schedule(call->grave->bury);
}
