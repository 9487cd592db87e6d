/* session: nghttp2's callbacks. The connection's window is given back as soon as bytes are in this
 * process (late, and one stalled stream wedges all others); a stream's only when its reader took
 * them.
 */
#include "rpc/h2/h2.h"

#include <string.h>

/* Opened and reset at once, by one peer: so many at a stroke, so many a second. */
#define RESET_BURST 2000
#define RESET_RATE 200
/* What we assume of a server before its SETTINGS come. */
#define ASSUMED_CONCURRENT_STREAMS 100

static struct rl_h2_stream *stream_of(nghttp2_session *session, int32_t id)
{
    return id ? nghttp2_session_get_stream_user_data(session, id) : NULL;
}

static int unless_closed(const struct rl_h2_connection *c)
{
    return c->is_closed ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    struct rl_h2_connection *c = context;
    if (c->config->server && frame->hd.type == NGHTTP2_HEADERS &&
        frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        nghttp2_session_set_stream_user_data(session, frame->hd.stream_id,
                                             rl_h2_stream_accept(c, frame->hd.stream_id));
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags,
                     void *context)
{
    (void)flags;
    (void)context;
    struct rl_h2_stream *stream = stream_of(session, frame->hd.stream_id);
    if (!stream)
        return 0;
    stream->header_bytes += name_n + value_n + 32; /* as RFC 9113, 10.5.1 counts */
    if (stream->header_bytes > RL_H2_HEADER_LIST_BYTES_MAX)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    rl_h2_header(stream, RL_SPAN(name, name_n), RL_SPAN(value, value_n));
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t n, void *context)
{
    (void)flags;
    nghttp2_session_consume_connection(session, n);
    struct rl_h2_stream *stream = stream_of(session, id);
    rl_h2_round_count(context, stream, n);
    if (stream)
        rl_h2_receive(stream, bytes, n);
    return unless_closed(context);
}

static void on_settings(struct rl_h2_connection *c, const nghttp2_frame *frame)
{
    if (frame->hd.flags & NGHTTP2_FLAG_ACK || c->has_settled)
        return;
    c->has_settled = true;
    /* Both ends are idle for a moment: the least round trip. */
    rl_h2_keepalive_ping(c, c->config->keepalive_timeout_ms);
    if (c->config->settled)
        c->config->settled(c->config->owner, c);
}

static void on_ping(struct rl_h2_connection *c, const nghttp2_frame *frame)
{
    if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
        return;
    rl_h2_keepalive_pong(c, frame->ping.opaque_data);
    if (c->is_leaving && !c->is_leaving_for_good &&
        memcmp(frame->ping.opaque_data, &c->leave_ping_us, sizeof c->leave_ping_us) == 0) {
        c->is_leaving_for_good = true;
        nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE,
                              nghttp2_session_get_last_proc_stream_id(c->session), NGHTTP2_NO_ERROR,
                              (const uint8_t *)c->leave_reason, strlen(c->leave_reason));
    }
}

static void on_goaway(struct rl_h2_connection *c, const nghttp2_frame *frame)
{
    if (c->config->server || !c->config->leaving)
        return;
    c->is_leaving = c->is_leaving_for_good = true;
    char text[RL_ERROR_MESSAGE_BYTES];
    size_t n = frame->goaway.opaque_data_len;
    snprintf(text, sizeof text, "the other side is going away%s%.*s", n ? ": " : "",
             (int)(n < 200 ? n : 200), n ? (const char *)frame->goaway.opaque_data : "");
    c->config->leaving(c->config->owner, c, text);
}

static void on_stream_frame(struct rl_h2_connection *c, const nghttp2_frame *frame)
{
    struct rl_h2_stream *stream = stream_of(c->session, frame->hd.stream_id);
    bool is_request = c->config->server && frame->hd.type == NGHTTP2_HEADERS &&
                      frame->headers.cat == NGHTTP2_HCAT_REQUEST;
    if (stream && is_request)
        rl_h2_stream_open(stream);
    if (c->is_closed)
        return;
    stream = stream_of(c->session, frame->hd.stream_id);
    if (stream && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        rl_h2_receive_end(stream);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    (void)session;
    struct rl_h2_connection *c = context;
    switch (frame->hd.type) {
    case NGHTTP2_SETTINGS:
        on_settings(c, frame);
        break;
    case NGHTTP2_PING:
        on_ping(c, frame);
        break;
    case NGHTTP2_GOAWAY:
        on_goaway(c, frame);
        break;
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA:
        on_stream_frame(c, frame);
        break;
    default:
        break;
    }
    return unless_closed(c);
}

/* A server that has answered does not wait for the rest of the request. Source: RFC 9113, 8.1. */
static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    struct rl_h2_connection *c = context;
    int32_t id = frame->hd.stream_id;
    if (c->config->server && frame->hd.type == NGHTTP2_HEADERS &&
        frame->hd.flags & NGHTTP2_FLAG_END_STREAM &&
        nghttp2_session_get_stream_remote_close(session, id) == 0)
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *context)
{
    struct rl_h2_stream *stream = stream_of(session, id);
    if (stream)
        rl_h2_stream_closed(stream, error);
    return unless_closed(context);
}

static ssize_t on_read_length(nghttp2_session *session, uint8_t frame_type, int32_t id,
                              int32_t session_window, int32_t stream_window, uint32_t frame_max,
                              void *context)
{
    (void)session, (void)frame_type, (void)id, (void)session_window, (void)stream_window;
    (void)frame_max, (void)context;
    return RL_H2_FRAME_BYTES;
}

static int make_callbacks(nghttp2_session_callbacks **out)
{
    nghttp2_session_callbacks *callbacks;
    int rc = nghttp2_session_callbacks_new(&callbacks);
    if (rc != 0)
        return rc;
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, on_read_length);
    *out = callbacks;
    return 0;
}

static int make_session(struct rl_h2_connection *c)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    int rc = make_callbacks(&callbacks);
    if (rc == 0)
        rc = nghttp2_option_new(&option);
    if (rc != 0)
        goto out;
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_stream_reset_rate_limit(option, RESET_BURST, RESET_RATE);
    nghttp2_option_set_peer_max_concurrent_streams(option, ASSUMED_CONCURRENT_STREAMS);
    rc = c->config->server ? nghttp2_session_server_new2(&c->session, callbacks, c, option)
                           : nghttp2_session_client_new2(&c->session, callbacks, c, option);
out:
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return rc;
}

static int submit_settings(struct rl_h2_connection *c)
{
    const nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, c->config->stream_window_bytes},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, RL_H2_HEADER_LIST_BYTES_MAX},
        c->config->server ? (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
                                                     c->config->concurrent_calls_max}
                          : (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
    };
    c->window_bytes = c->config->connection_window_bytes;
    int rc = nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, entries, RL_COUNT(entries));
    if (rc == 0)
        rc = nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0,
                                                   (int32_t)c->window_bytes);
    return rc;
}

rl_code rl_h2_session_start(struct rl_h2_connection *c, struct rl_error *err)
{
    int rc = make_session(c);
    if (rc == 0)
        rc = submit_settings(c);
    if (rc == 0)
        return RL_OK;
    nghttp2_session_del(c->session); /* half a session is none: who counts sessions looks at it */
    c->session = NULL;
    return rl_fail(err, RL_E_INTERNAL, "starting HTTP/2: %s", nghttp2_strerror(rc));
}
