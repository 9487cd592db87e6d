/* stream: a call on a connection: what it sends, and how it begins and ends. A stream that is
 * cancelled here leaves nghttp2 at once (its user data is taken away), so that nothing can come for
 * a call that is over.
 */
#include "rpc/h2/h2.h"

#include "rpc/wire.h"

#include <stdlib.h>
#include <string.h>

void rl_h2_stream_link(struct rl_h2_stream *stream, struct rl_h2_stream **list)
{
    stream->next = *list;
    if (stream->next)
        stream->next->link = &stream->next;
    *list = stream;
    stream->link = list;
}

void rl_h2_stream_unlink(struct rl_h2_stream *stream)
{
    if (!stream->link)
        return;
    *stream->link = stream->next;
    if (stream->next)
        stream->next->link = stream->link;
    stream->next = NULL;
    stream->link = NULL;
}

/* nghttp2 knows it no more. */
static void leave(struct rl_h2_stream *stream)
{
    rl_h2_stream_unlink(stream);
    if (stream->connection)
        rl_h2_round_forget(stream->connection, stream);
    stream->connection = NULL;
}

static void detach(struct rl_h2_stream *stream)
{
    leave(stream);
    rl_task_free(&stream->deliver);
}

/* ---- sending ---- */

/* Messages back to back, as much as there is room for. */
static size_t fill_from_queue(struct rl_h2_stream *stream, uint8_t *to, size_t room)
{
    size_t n = 0;
    while (n < room) {
        if (!stream->sending) {
            stream->sending = rl_rpc_call_take(&stream->call);
            stream->sent = 0;
            if (!stream->sending)
                break;
        }
        size_t left = stream->sending->n - stream->sent;
        size_t piece = left < room - n ? left : room - n;
        memcpy(to + n, stream->sending->bytes + stream->sent, piece);
        n += piece;
        stream->sent += piece;
        if (stream->sent == stream->sending->n) {
            free(stream->sending);
            stream->sending = NULL;
        }
    }
    return n;
}

static ssize_t end_data(struct rl_h2_stream *stream, size_t n, uint32_t *flags)
{
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (!stream->call.is_client) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (rl_h2_submit_trailer(stream) != 0)
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        stream->is_trailer_submitted = true;
    }
    return (ssize_t)n;
}

static ssize_t read_messages(struct rl_h2_stream *stream, uint8_t *to, size_t room, uint32_t *flags)
{
    size_t n = fill_from_queue(stream, to, room);
    if (!stream->connection)
        return NGHTTP2_ERR_DEFERRED; /* cancelled by its own `writable` */
    if (stream->call.is_ending && !stream->sending && !rl_rpc_call_has_message(&stream->call))
        return end_data(stream, n, flags);
    return n > 0 ? (ssize_t)n : NGHTTP2_ERR_DEFERRED;
}

static ssize_t read_raw(struct rl_h2_stream *stream, uint8_t *to, size_t room, uint32_t *flags)
{
    struct rl_rpc_call *call = &stream->call;
    if (call->is_ending)
        return end_data(stream, 0, flags);
    ptrdiff_t n = call->raw->produce(call, to, room, call->context);
    if (!stream->connection || n == RL_RPC_RAW_DEFER)
        return NGHTTP2_ERR_DEFERRED;
    if (n == RL_RPC_RAW_END)
        return end_data(stream, 0, flags);
    RL_ASSERT(n > 0 && (size_t)n <= room);
    return n;
}

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
                       uint32_t *flags, nghttp2_data_source *source, void *context)
{
    (void)source;
    struct rl_h2_connection *c = context;
    struct rl_h2_stream *stream = nghttp2_session_get_stream_user_data(session, id);
    if (!stream)
        return NGHTTP2_ERR_DEFERRED; /* its RST_STREAM is on the way */
    struct rl_rpc_call *held = rl_rpc_call_ref(&stream->call);
    ssize_t n =
        held->raw ? read_raw(stream, to, room, flags) : read_messages(stream, to, room, flags);
    rl_rpc_call_unref(&held);
    return c->is_closed ? NGHTTP2_ERR_CALLBACK_FAILURE : n;
}

/* ---- beginning ---- */

struct rl_h2_stream *rl_h2_stream_accept(struct rl_h2_connection *c, int32_t id)
{
    struct rl_h2_stream *stream =
        rl_h2_stream_of(rl_rpc_server_accept(c->config->server, c->remote));
    stream->id = id;
    stream->connection = c;
    stream->timeout_ms = UINT64_MAX;
    stream->is_opening = true;
    rl_h2_stream_link(stream, &c->streams);
    return stream;
}

static void reset(struct rl_h2_stream *stream, uint32_t error)
{
    nghttp2_submit_rst_stream(stream->connection->session, NGHTTP2_FLAG_NONE, stream->id, error);
    rl_h2_connection_wake(stream->connection);
}

static void respond(struct rl_h2_stream *stream)
{
    stream->is_responded = true;
    if (rl_h2_submit_response(stream, on_read) != 0)
        reset(stream, NGHTTP2_INTERNAL_ERROR);
    else
        stream->is_trailer_submitted = stream->call.is_ending;
}

void rl_h2_stream_open(struct rl_h2_stream *stream)
{
    struct rl_rpc_call *call = rl_rpc_call_ref(&stream->call);
    struct rl_span path = call->path ? rl_span_of(call->path) : (struct rl_span){NULL, 0};
    if (!stream->is_post || !stream->is_grpc)
        call->is_closing = true;
    else if (stream->is_bad_timeout)
        rl_rpc_call_abort(call, RL_E_INTERNAL, "grpc-timeout does not parse");
    else
        rl_rpc_server_open(call, path, stream->timeout_ms);
    stream->is_opening = false;
    /* A unary call is answered when it is: then a failure needs one frame only. */
    bool waits = call->method && call->kind == RL_RPC_UNARY && !call->is_ending;
    if (stream->connection && !waits)
        respond(stream);
    rl_rpc_call_unref(&call);
}

void rl_h2_stream_start(struct rl_h2_stream *stream, struct rl_h2_connection *c)
{
    rl_h2_stream_unlink(stream);
    rl_h2_stream_link(stream, &c->streams);
    stream->connection = c;
    stream->grpc_status = -1;
    rl_rpc_call_connected(&stream->call, c->remote);
    if (rl_h2_submit_request(stream, on_read) != 0) {
        leave(stream);
        rl_rpc_call_doom(&stream->call, RL_E_UNAVAILABLE,
                         "this connection can carry no more calls");
        return;
    }
    rl_h2_connection_wake(c);
}

/* ---- what the shared part asks ---- */

void rl_h2_stream_wake(struct rl_rpc_call *call)
{
    struct rl_h2_stream *stream = rl_h2_stream_of(call);
    if (!stream->connection || stream->is_opening)
        return;
    if (!call->is_client && !stream->is_responded)
        respond(stream);
    else
        nghttp2_session_resume_data(stream->connection->session, stream->id);
    rl_h2_connection_wake(stream->connection);
}

void rl_h2_stream_resume(struct rl_rpc_call *call)
{
    rl_h2_deliver_later(rl_h2_stream_of(call));
}

void rl_h2_stream_cancel(struct rl_rpc_call *call)
{
    struct rl_h2_stream *stream = rl_h2_stream_of(call);
    struct rl_h2_connection *c = stream->connection;
    if (c) {
        nghttp2_session_set_stream_user_data(c->session, stream->id, NULL);
        reset(stream, NGHTTP2_CANCEL);
    }
    detach(stream);
    rl_rpc_call_doom(call, RL_E_CANCELLED, "cancelled");
    if (c && !c->streams && c->config->idle)
        c->config->idle(c->config->owner, c);
}

void rl_h2_stream_release(struct rl_rpc_call *call)
{
    struct rl_h2_stream *stream = rl_h2_stream_of(call);
    free(stream->sending);
    rl_buf_fini(&stream->in);
    free(stream->grpc_message);
}

/* ---- the end ---- */

struct verdict {
    rl_code code;
    const char *message;
};

static struct verdict client_verdict(const struct rl_h2_stream *stream, uint32_t error)
{
    if (stream->grpc_status >= 0)
        return (struct verdict){(rl_code)stream->grpc_status, stream->grpc_message};
    bool was_never_sent = stream->connection->is_leaving && stream->http_status == 0;
    if (error == NGHTTP2_REFUSED_STREAM || (error == NGHTTP2_INTERNAL_ERROR && was_never_sent))
        return (struct verdict){RL_E_UNAVAILABLE, "the other side takes no new calls"};
    /* Its clock may be a little ahead of ours. */
    if (error == NGHTTP2_CANCEL && rl_rpc_remaining_ms(&stream->call) == 0)
        return (struct verdict){RL_E_DEADLINE, "the deadline passed"};
    if (error != NGHTTP2_NO_ERROR)
        return (struct verdict){rl_rpc_code_of_h2(error), nghttp2_http2_strerror(error)};
    if (stream->http_status != 200)
        return (struct verdict){rl_rpc_code_of_http(stream->http_status),
                                "the other side answered with HTTP, not with gRPC"};
    return (struct verdict){RL_E_INTERNAL, "the other side ended the call without a status"};
}

static struct verdict server_verdict(const struct rl_h2_stream *stream, uint32_t error)
{
    if (stream->is_trailer_submitted && error == NGHTTP2_NO_ERROR)
        return (struct verdict){stream->call.end_code, stream->call.end_message};
    rl_code code = rl_rpc_code_of_h2(error);
    return (struct verdict){code, code == RL_E_CANCELLED ? "the client cancelled the call"
                                                         : nghttp2_http2_strerror(error)};
}

void rl_h2_stream_closed(struct rl_h2_stream *stream, uint32_t error)
{
    struct rl_h2_connection *c = stream->connection;
    struct rl_rpc_call *call = &stream->call;
    struct verdict verdict =
        call->is_client ? client_verdict(stream, error) : server_verdict(stream, error);
    leave(stream);
    if (call->is_client && stream->grpc_status >= 0 && !call->is_closing &&
        !rl_h2_is_delivered(stream)) {
        /* All has come, but its reader has not taken it yet: it ends when it has. */
        stream->is_parked = true;
        rl_h2_stream_link(stream, rl_h2_parked(call->channel));
        if (!call->is_paused)
            rl_h2_deliver_later(stream);
    } else {
        rl_task_free(&stream->deliver);
        rl_rpc_call_close(call, verdict.code, verdict.message);
    }
    if (!c->is_closed && !c->streams && c->config->idle)
        c->config->idle(c->config->owner, c);
}

void rl_h2_stream_lost(struct rl_h2_stream *stream, rl_code code, const char *reason)
{
    detach(stream);
    rl_rpc_call_close(&stream->call, code, reason);
}
