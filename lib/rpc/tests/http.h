/* http: the other end of a connection by hand: nghttp2 without our manners, to say what our own
 * ends never say. */
#ifndef RL_RPC_TESTS_HTTP_H
#define RL_RPC_TESTS_HTTP_H

#include "dial/dial.h"
#include "rpc/tests/world.h"

#include <errno.h>
#include <fcntl.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

struct http {
    struct world *world;
    bool is_server;
    int fd;
    SSL *ssl;
    nghttp2_session *session;
    uint8_t out[1 << 16]; /* not yet written */
    size_t out_n;
    bool is_over;
    int requests; /* servers: headers of requests that came */
    int32_t last_stream;
    /* Clients: of the last stream. */
    int closed;
    uint32_t error;
    char status[8], grpc_status[8], grpc_message[256];
};

static inline int http_on_header(nghttp2_session *session, const nghttp2_frame *frame,
                                 const uint8_t *name, size_t name_n, const uint8_t *value,
                                 size_t value_n, uint8_t flags, void *context)
{
    (void)session, (void)frame, (void)flags;
    struct http *h = context;
    struct rl_span n = RL_SPAN(name, name_n);
    if (rl_span_is(n, ":status"))
        snprintf(h->status, sizeof h->status, "%.*s", (int)value_n, (const char *)value);
    if (rl_span_is(n, "grpc-status"))
        snprintf(h->grpc_status, sizeof h->grpc_status, "%.*s", (int)value_n, (const char *)value);
    if (rl_span_is(n, "grpc-message"))
        snprintf(h->grpc_message, sizeof h->grpc_message, "%.*s", (int)value_n,
                 (const char *)value);
    return 0;
}

static inline int http_on_close(nghttp2_session *session, int32_t id, uint32_t error, void *context)
{
    (void)session, (void)id;
    struct http *h = context;
    h->closed++;
    h->error = error;
    return 0;
}

static inline int http_on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    (void)session;
    struct http *h = context;
    if (h->is_server && frame->hd.type == NGHTTP2_HEADERS) {
        h->requests++;
        h->last_stream = frame->hd.stream_id;
    }
    return 0;
}

static inline void http_open(struct http *h, struct world *w, int fd, bool is_server)
{
    *h = (struct http){.world = w, .fd = fd, .is_server = is_server};
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    rl_code rc = is_server ? rl_tls_accept(w->tls_server, fd, RL_SPAN(NULL, 0), NULL, &h->ssl, NULL)
                           : rl_tls_connect(w->tls_client, fd, &h->ssl, NULL);
    ck_assert_int_eq(rc, RL_OK);
    nghttp2_session_callbacks *callbacks;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, http_on_header);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, http_on_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, http_on_frame);
    if (is_server)
        nghttp2_session_server_new(&h->session, callbacks, h);
    else
        nghttp2_session_client_new(&h->session, callbacks, h);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, NULL, 0);
}

static inline void http_close(struct http *h)
{
    nghttp2_session_del(h->session);
    SSL_free(h->ssl);
    if (h->fd >= 0)
        close(h->fd);
    h->session = NULL;
    h->ssl = NULL;
    h->fd = -1;
}

/* Bytes past the session. */
static inline void http_put(struct http *h, const void *bytes, size_t n)
{
    ck_assert_uint_le(h->out_n + n, sizeof h->out);
    memcpy(h->out + h->out_n, bytes, n);
    h->out_n += n;
}

static inline void http_write(struct http *h)
{
    const uint8_t *frame;
    ssize_t n;
    while (h->out_n < sizeof h->out / 2 && (n = nghttp2_session_mem_send(h->session, &frame)) > 0)
        http_put(h, frame, (size_t)n);
    size_t done = 0;
    if (h->out_n == 0 || SSL_write_ex(h->ssl, h->out, h->out_n, &done) != 1)
        return;
    memmove(h->out, h->out + done, h->out_n - done);
    h->out_n -= done;
}

/* One step of this end, one turn of the other. */
static inline bool http_step(struct http *h)
{
    uint8_t bytes[16384];
    size_t n = 0;
    rl_loop_turn(h->world->loop, 1);
    if (h->is_over || rl_tls_handshake(h->ssl, NULL) != RL_TLS_DONE)
        return true;
    http_write(h);
    if (SSL_read_ex(h->ssl, bytes, sizeof bytes, &n) == 1) {
        nghttp2_session_mem_recv(h->session, bytes, n);
        http_write(h);
    } else if (SSL_get_error(h->ssl, 0) != SSL_ERROR_WANT_READ) {
        h->is_over = true;
    }
    return true;
}

#define HTTP_UNTIL(h, claim) TURN_UNTIL((h)->world, http_step(h) && (claim))

#endif
