/* receive: from DATA to messages. A reader that keeps up gets messages straight from nghttp2's
 * buffer; what is incomplete, or comes while it pauses, is kept. A stream's window is given back
 * for what was delivered, and for the beginning of a message that is larger than the window; a
 * paused reader is owed the rest, so that it holds at most its window.
 */
#include "rpc/h2/h2.h"

#include <stdlib.h>

void rl_h2_stream_consume(struct rl_h2_stream *stream, size_t n)
{
    if (!stream->connection || n == 0)
        return;
    nghttp2_session_consume_stream(stream->connection->session, stream->id, n);
    rl_h2_connection_wake(stream->connection);
}

/* How many bytes the first message takes with its prefix; 0: it is not whole yet, or it is refused.
 */
static size_t first_message(struct rl_h2_stream *stream, const uint8_t *p, size_t n)
{
    struct rl_rpc_call *call = &stream->call;
    if (n >= 1 && p[0] != 0) {
        rl_rpc_call_abort(call, RL_E_UNIMPLEMENTED, "a compressed message");
        return 0;
    }
    if (n < RL_RPC_PREFIX_BYTES)
        return 0;
    size_t length = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | (size_t)p[4];
    if (length > call->message_bytes_max) {
        struct rl_error err;
        rl_fail(&err, RL_E_EXHAUSTED, "a message of %zu bytes is larger than %u", length,
                call->message_bytes_max);
        rl_rpc_call_abort(call, err.code, err.message);
        return 0;
    }
    return n - RL_RPC_PREFIX_BYTES >= length ? RL_RPC_PREFIX_BYTES + length : 0;
}

/* How many of the bytes were delivered. */
static size_t deliver(struct rl_h2_stream *stream, const uint8_t *p, size_t n)
{
    size_t done = 0;
    while (rl_rpc_call_wants(&stream->call)) {
        size_t length = first_message(stream, p + done, n - done);
        if (length == 0)
            break;
        rl_rpc_call_receive(&stream->call, p + done + RL_RPC_PREFIX_BYTES,
                            length - RL_RPC_PREFIX_BYTES);
        done += length;
    }
    return done;
}

bool rl_h2_is_delivered(const struct rl_h2_stream *stream)
{
    return stream->in.n == stream->in_done;
}

static void settle(struct rl_h2_stream *stream)
{
    bool is_paused = stream->call.is_paused && !stream->call.is_closing;
    size_t kept = is_paused ? stream->in.n - stream->in_done : 0;
    if (stream->owed > kept) {
        size_t n = stream->owed - kept;
        stream->owed = kept;
        rl_h2_stream_consume(stream, n);
    }
}

static void end_if_delivered(struct rl_h2_stream *stream)
{
    struct rl_rpc_call *call = &stream->call;
    if (!stream->has_ended || call->is_client || !rl_rpc_call_wants(call))
        return;
    if (rl_h2_is_delivered(stream))
        rl_rpc_call_receive_end(call);
    else
        rl_rpc_call_abort(call, RL_E_INTERNAL, "the call ended in the middle of a message");
}

static void deliver_kept(struct rl_h2_stream *stream)
{
    stream->in_done +=
        deliver(stream, stream->in.p + stream->in_done, stream->in.n - stream->in_done);
    if (rl_h2_is_delivered(stream) || stream->call.is_closing) {
        rl_buf_fini(&stream->in);
        stream->in_done = 0;
    } else if (stream->in_done > stream->in.n / 2) {
        /* Not each time: a quarter of a megabyte would be moved for each small message. */
        rl_buf_consume(&stream->in, stream->in_done);
        stream->in_done = 0;
    }
}

static void keep(struct rl_h2_stream *stream, const uint8_t *bytes, size_t n)
{
    if (n == 0 || stream->call.is_closing)
        return;
    if (stream->in.max == 0)
        rl_buf_init(&stream->in, SIZE_MAX / 2); /* bounded by a message and the stream's window */
    if (!rl_buf_put(&stream->in, bytes, n))
        rl_rpc_call_abort(&stream->call, RL_E_EXHAUSTED, "no memory for a message");
}

static void receive_messages(struct rl_h2_stream *stream, const uint8_t *bytes, size_t n)
{
    if (rl_h2_is_delivered(stream)) {
        size_t done = deliver(stream, bytes, n);
        keep(stream, bytes + done, n - done);
    } else {
        keep(stream, bytes, n);
        deliver_kept(stream);
    }
}

void rl_h2_receive(struct rl_h2_stream *stream, const uint8_t *bytes, size_t n)
{
    struct rl_rpc_call *call = rl_rpc_call_ref(&stream->call);
    bool is_answered = !call->is_client && (call->is_ending || !call->method);
    if (call->is_closing || is_answered) {
        rl_h2_stream_consume(stream, n); /* nobody wants it */
    } else if (call->raw) {
        call->raw->data(call, bytes, n, call->context);
    } else {
        stream->owed += n;
        stream->is_delivering = true;
        receive_messages(stream, bytes, n);
        stream->is_delivering = false;
        settle(stream);
    }
    rl_rpc_call_unref(&call);
}

void rl_h2_receive_end(struct rl_h2_stream *stream)
{
    struct rl_rpc_call *call = rl_rpc_call_ref(&stream->call);
    stream->has_ended = true;
    if (!call->is_client) {
        end_if_delivered(stream);
    } else if (stream->connection && nghttp2_session_get_stream_local_close(
                                         stream->connection->session, stream->id) == 0) {
        /* The status is here: what we had to say interests nobody any more. */
        nghttp2_submit_rst_stream(stream->connection->session, NGHTTP2_FLAG_NONE, stream->id,
                                  NGHTTP2_NO_ERROR);
        rl_h2_connection_wake(stream->connection);
    }
    rl_rpc_call_unref(&call);
}

/* ---- after a pause ---- */

static void end_parked(struct rl_h2_stream *stream)
{
    bool is_whole = rl_h2_is_delivered(stream);
    if (!is_whole && stream->call.is_paused)
        return;
    rl_h2_stream_unlink(stream);
    rl_task_free(&stream->deliver);
    if (is_whole)
        rl_rpc_call_doom(&stream->call, (rl_code)stream->grpc_status,
                         stream->grpc_message ? stream->grpc_message : "");
    else
        rl_rpc_call_doom(&stream->call, RL_E_INTERNAL, "the call ended in the middle of a message");
}

static void on_deliver(void *context)
{
    struct rl_h2_stream *stream = context;
    struct rl_rpc_call *call = rl_rpc_call_ref(&stream->call);
    struct rl_h2_connection *c = stream->connection;
    if (c)
        rl_h2_connection_enter(c);
    deliver_kept(stream);
    settle(stream);
    end_if_delivered(stream);
    if (stream->is_parked && !call->is_doomed && !atomic_load(&call->is_over))
        end_parked(stream);
    if (c)
        rl_h2_connection_exit(c);
    rl_rpc_call_unref(&call);
}

void rl_h2_deliver_later(struct rl_h2_stream *stream)
{
    if (stream->is_delivering || (!stream->connection && !stream->is_parked))
        return;
    if (!stream->deliver)
        stream->deliver = rl_task_create(stream->call.loop, on_deliver, stream);
    rl_task_schedule(stream->deliver);
}
