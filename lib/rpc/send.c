/* send: a call's queue of unsent messages. It is filled from any thread and emptied on the loop's;
 * its size is counted when a message is put in, before it is posted, so that the limit holds for
 * what is under way too.
 */
#include "rpc/transport.h"

#include <stdlib.h>
#include <string.h>

/* Room for n bytes behind the prefix. */
static rl_code create_message(size_t n, struct rl_rpc_message **out, struct rl_error *err)
{
    struct rl_rpc_message *m = malloc(sizeof *m + RL_RPC_PREFIX_BYTES + n);
    if (!m)
        return rl_fail(err, RL_E_EXHAUSTED, "no memory for a message of %zu bytes", n);
    m->next = NULL;
    m->n = RL_RPC_PREFIX_BYTES + n;
    m->bytes[0] = 0; /* not compressed */
    for (int i = 0; i < 4; i++)
        m->bytes[1 + i] = (uint8_t)(n >> (24 - 8 * i));
    *out = m;
    return RL_OK;
}

rl_code rl_rpc_message_pack(const ProtobufCMessage *message, size_t bytes_max,
                            struct rl_rpc_message **out, struct rl_error *err)
{
    size_t n = protobuf_c_message_get_packed_size(message);
    if (n > bytes_max)
        return rl_fail(err, RL_E_INVAL, "a %s of %zu bytes is larger than %zu",
                       message->descriptor->name, n, bytes_max);
    rl_code rc = create_message(n, out, err);
    if (rc == RL_OK)
        protobuf_c_message_pack(message, (*out)->bytes + RL_RPC_PREFIX_BYTES);
    return rc;
}

rl_code rl_rpc_message_frame(struct rl_span packed, size_t bytes_max, struct rl_rpc_message **out,
                             struct rl_error *err)
{
    if (packed.n > bytes_max)
        return rl_fail(err, RL_E_INVAL, "a message of %zu bytes is larger than %zu", packed.n,
                       bytes_max);
    rl_code rc = create_message(packed.n, out, err);
    if (rc == RL_OK && packed.n)
        memcpy((*out)->bytes + RL_RPC_PREFIX_BYTES, packed.p, packed.n);
    return rc;
}

void rl_rpc_queue_put(struct rl_rpc_call *call, struct rl_rpc_message *message)
{
    message->next = NULL;
    *call->queue_end = message;
    call->queue_end = &message->next;
}

void rl_rpc_queue_clear(struct rl_rpc_call *call)
{
    while (call->queue) {
        struct rl_rpc_message *message = call->queue;
        call->queue = message->next;
        atomic_fetch_sub(&call->queued_bytes, message->n);
        free(message);
    }
    call->queue_end = &call->queue;
}

bool rl_rpc_call_has_message(const struct rl_rpc_call *call)
{
    return call->queue != NULL;
}

struct rl_rpc_message *rl_rpc_call_take(struct rl_rpc_call *call)
{
    struct rl_rpc_message *message = call->queue;
    if (!message)
        return NULL;
    call->queue = message->next;
    if (!call->queue)
        call->queue_end = &call->queue;
    size_t left = atomic_fetch_sub(&call->queued_bytes, message->n) - message->n;
    if (left < RL_RPC_SEND_QUEUE_BYTES_MAX / 4 && atomic_load(&call->was_refused) &&
        atomic_exchange(&call->was_refused, false) && call->stream && call->stream->writable)
        call->stream->writable(call, call->context);
    return message;
}

/* Counts n bytes in, if they fit. One message always fits into an empty queue. */
static bool reserve(struct rl_rpc_call *call, size_t n)
{
    for (;;) {
        size_t before = atomic_fetch_add(&call->queued_bytes, n);
        if (before == 0 || before + n <= RL_RPC_SEND_QUEUE_BYTES_MAX)
            return true;
        atomic_fetch_sub(&call->queued_bytes, n);
        atomic_store(&call->was_refused, true);
        /* It may have drained just before it could see the refusal: nobody would say `writable`. */
        if (atomic_load(&call->queued_bytes) >= RL_RPC_SEND_QUEUE_BYTES_MAX / 4 ||
            !atomic_exchange(&call->was_refused, false))
            return false;
    }
}

/* ---- posted from other threads ---- */

struct posted {
    struct rl_rpc_call *call;
    struct rl_rpc_message *message; /* NULL: the end */
    rl_code code;
    char *text;
};

static void put(struct rl_rpc_call *call, struct rl_rpc_message *message)
{
    if (atomic_load(&call->is_over) || call->is_closing || call->is_ending) {
        atomic_fetch_sub(&call->queued_bytes, message->n);
        free(message);
        return;
    }
    rl_rpc_queue_put(call, message);
    call->ops->wake(call);
}

static void on_posted(void *context)
{
    struct posted *posted = context;
    if (posted->message)
        put(posted->call, posted->message);
    else
        rl_rpc_call_end(posted->call, posted->code, posted->text);
    rl_rpc_call_unref(&posted->call);
    free(posted->text);
    free(posted);
}

static void post(struct rl_rpc_call *call, struct rl_rpc_message *message, rl_code code,
                 const char *text)
{
    struct posted *posted = rl_alloc(sizeof *posted);
    *posted = (struct posted){.call = rl_rpc_call_ref(call), .message = message, .code = code};
    posted->text = text ? rl_strdup(text) : NULL;
    rl_loop_post(call->loop, on_posted, posted);
}

rl_code rl_rpc_send(struct rl_rpc_call *call, const ProtobufCMessage *message, struct rl_error *err)
{
    RL_ASSERT(call->kind == RL_RPC_STREAM);
    bool is_current = rl_loop_is_current(call->loop);
    if (atomic_load(&call->is_over) || (is_current && (call->is_closing || call->is_ending)))
        return rl_fail(err, RL_E_CANCELLED, "the call is over");
    struct rl_rpc_message *packed = NULL;
    rl_code rc = rl_rpc_message_pack(message, call->message_bytes_max, &packed, err);
    if (rc != RL_OK || !packed)
        return rc;
    if (!reserve(call, packed->n)) {
        free(packed);
        return rl_fail(err, RL_E_EXHAUSTED, "%u bytes wait to be sent already",
                       RL_RPC_SEND_QUEUE_BYTES_MAX);
    }
    if (is_current)
        put(call, packed);
    else
        post(call, packed, RL_OK, NULL);
    return RL_OK;
}

void rl_rpc_call_end(struct rl_rpc_call *call, rl_code code, const char *message)
{
    if (atomic_load(&call->is_over) || call->is_closing || call->is_ending)
        return;
    call->is_ending = true;
    call->end_code = code;
    call->end_message = message ? rl_strdup(message) : NULL;
    call->ops->wake(call);
}

void rl_rpc_end(struct rl_rpc_call *call, rl_code code, const char *message)
{
    RL_ASSERT(call->kind == RL_RPC_STREAM);
    if (rl_loop_is_current(call->loop))
        rl_rpc_call_end(call, code, message);
    else
        post(call, NULL, code, message);
}
