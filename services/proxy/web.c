/* web: HTTP by libmicrohttpd, which gets plaintext over a socket pair; TLS is ours. Its thread
 * reads what is fixed when it starts and two atomically exchanged things: nothing of the loop's.
 */
#include "web.h"
#include "internal.h"
#include "page.h"
#include "ping.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IDLE_S 30          /* of a kept-alive connection */
#define MEMORY_BYTES 32768 /* for a request's head */

/* Which connection of libmicrohttpd's is whose: found by its descriptor when it starts there. */
struct visit {
    struct visit *next;
    int fd; /* libmicrohttpd's end */
    char sni[RL_HELLO_SNI_BYTES_MAX];
};

struct web_connection {
    struct web *web;
    struct web_connection *next, *previous;
    struct rl_splice *splice;
};

struct web {
    struct proxy *proxy;
    struct MHD_Daemon *daemon;
    struct web_connection *connections;
    char *index;
    pthread_mutex_t lock; /* of the two below */
    Pb__TrustBundle *bundle;
    struct visit *expected;
};

/* ---- answers; on libmicrohttpd's thread ---- */

static enum MHD_Result answer(struct MHD_Connection *c, unsigned status, const char *type,
                              const char *text)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text,
                                                             MHD_RESPMEM_MUST_COPY);
    if (!r)
        return MHD_NO;
    MHD_add_response_header(r, "Content-Type", type);
    MHD_add_response_header(r, "Cache-Control", "no-store");
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(r, "X-Frame-Options", "DENY");
    MHD_add_response_header(r, "Referrer-Policy", "no-referrer");
    MHD_add_response_header(r, "Strict-Transport-Security", "max-age=31536000");
    MHD_add_response_header(r, "Content-Security-Policy",
                            "default-src 'none'; style-src 'unsafe-inline'; "
                            "frame-ancestors 'none'");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(r, "Allow", "GET, HEAD");
    enum MHD_Result rc = MHD_queue_response(c, status, r);
    MHD_destroy_response(r);
    return rc;
}

static enum MHD_Result answer_ping(struct web *web, struct MHD_Connection *c)
{
    struct ping ping = {.cluster = web->proxy->config.cluster,
                        .public_address = web->proxy->config.public_address,
                        .now_ns = proxy_now_ns(web->proxy)};
    pthread_mutex_lock(&web->lock);
    char *text = ping_text(&ping, web->bundle);
    pthread_mutex_unlock(&web->lock);
    enum MHD_Result rc = answer(c, MHD_HTTP_OK, "application/json", text);
    free(text);
    return rc;
}

static const char *sni_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    const struct visit *visit = info ? info->socket_context : NULL;
    return visit ? visit->sni : "";
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_n, void **state)
{
    static const char first_call;
    (void)version;
    (void)upload;
    struct web *web = context;
    if (!*state) {
        *state = (void *)(uintptr_t)&first_call;
        return MHD_YES;
    }
    if (*upload_n) { /* a body that nobody asked for is dropped */
        *upload_n = 0;
        return MHD_YES;
    }
    const char *host = MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
    if (!web_host_matches(host, sni_of(c)))
        return answer(c, MHD_HTTP_MISDIRECTED_REQUEST, "text/plain; charset=utf-8",
                      "this connection was opened for another host\n");
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return answer(c, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain; charset=utf-8",
                      "only GET and HEAD\n");
    if (strcmp(url, "/v1/ping") == 0)
        return answer_ping(web, c);
    if (strcmp(url, "/") == 0)
        return answer(c, MHD_HTTP_OK, "text/html; charset=utf-8", web->index);
    return answer(c, MHD_HTTP_NOT_FOUND, "text/plain; charset=utf-8", "there is nothing here\n");
}

/* ---- whose connection it is; on both threads ---- */

static struct visit *take_expected(struct web *web, int fd)
{
    pthread_mutex_lock(&web->lock);
    struct visit **at = &web->expected;
    while (*at && (*at)->fd != fd)
        at = &(*at)->next;
    struct visit *visit = *at;
    if (visit)
        *at = visit->next;
    pthread_mutex_unlock(&web->lock);
    return visit;
}

static void expect(struct web *web, int fd, const char *sni)
{
    struct visit *visit = rl_alloc(sizeof *visit);
    visit->fd = fd;
    snprintf(visit->sni, sizeof visit->sni, "%s", sni);
    pthread_mutex_lock(&web->lock);
    visit->next = web->expected;
    web->expected = visit;
    pthread_mutex_unlock(&web->lock);
}

static void on_connection(void *context, struct MHD_Connection *c, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct web *web = context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
        *socket_context = info ? take_expected(web, info->connect_fd) : NULL;
    } else {
        free(*socket_context);
        *socket_context = NULL;
    }
}

/* ---- connections; on the loop's thread ---- */

static void on_spliced(void *context, const uint64_t bytes[2])
{
    (void)bytes;
    struct web_connection *w = context;
    struct proxy *proxy = w->web->proxy;
    if (w->previous)
        w->previous->next = w->next;
    else
        w->web->connections = w->next;
    if (w->next)
        w->next->previous = w->previous;
    free(w);
    proxy_count(proxy, -1);
}

static rl_code hand_over(struct web *web, const struct arrival *arrival, int *ours,
                         struct rl_error *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
        return rl_fail_errno(err, RL_E_EXHAUSTED, "a socket pair");
    expect(web, pair[1], arrival->hello.sni);
    /* It owns the descriptor from here on, whatever it says. */
    if (MHD_add_connection(web->daemon, pair[1], (const struct sockaddr *)&arrival->client,
                           sizeof arrival->client) != MHD_YES) {
        free(take_expected(web, pair[1]));
        close(pair[0]);
        return rl_fail(err, RL_E_EXHAUSTED, "libmicrohttpd takes no more connections");
    }
    *ours = pair[0];
    return RL_OK;
}

void web_start(struct proxy *proxy, const struct arrival *arrival, SSL *ssl)
{
    struct web *web = proxy->web;
    struct rl_socket *outer = NULL, *inner = NULL;
    struct rl_error err;
    int ours = -1;
    rl_code rc = hand_over(web, arrival, &ours, &err);
    if (rc == RL_OK)
        rc = rl_socket_create(proxy->config.loop, ours, NULL, NULL, NULL, &inner, &err);
    if (rc == RL_OK)
        rc = rl_socket_create(proxy->config.loop, arrival->fd, ssl, NULL, NULL, &outer, &err);
    if (rc != RL_OK) {
        rl_log_warn("web connection dropped", RL_TEXT("client", arrival->address),
                    RL_TEXT("error", err.message));
        if (inner)
            rl_socket_abort(&inner);
        else if (ours >= 0)
            close(ours);
        SSL_free(ssl);
        close(arrival->fd);
        proxy_count(proxy, -1);
        return;
    }
    struct web_connection *w = rl_alloc(sizeof *w);
    w->web = web;
    w->next = web->connections;
    if (w->next)
        w->next->previous = w;
    web->connections = w;
    w->splice = rl_splice_start(proxy->config.loop, &proxy->pipes, outer, inner, on_spliced, w);
}

void web_close_all(struct proxy *proxy)
{
    while (proxy->web && proxy->web->connections)
        rl_splice_abort(proxy->web->connections->splice);
}

/* ---- life ---- */

rl_code web_set_authorities(struct web *web, const Pb__TrustBundle *bundle, struct rl_error *err)
{
    size_t n = pb__trust_bundle__get_packed_size(bundle);
    uint8_t *packed = rl_alloc(n);
    pb__trust_bundle__pack(bundle, packed);
    Pb__TrustBundle *copy = pb__trust_bundle__unpack(NULL, n, packed);
    free(packed);
    if (!copy)
        return rl_fail(err, RL_E_INTERNAL, "the authorities can not be copied");
    pthread_mutex_lock(&web->lock);
    Pb__TrustBundle *old = web->bundle;
    web->bundle = copy;
    pthread_mutex_unlock(&web->lock);
    if (old)
        pb__trust_bundle__free_unpacked(old, NULL);
    return RL_OK;
}

rl_code web_create(struct proxy *proxy, struct web **out, struct rl_error *err)
{
    struct web *web = rl_alloc(sizeof *web);
    web->proxy = proxy;
    web->index = page_index(proxy->config.cluster, proxy->config.public_address);
    pthread_mutex_init(&web->lock, NULL);
    web->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC, 0, NULL, NULL,
        on_request, web, MHD_OPTION_CONNECTION_LIMIT, (unsigned)proxy->config.connections_max,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)MEMORY_BYTES, MHD_OPTION_NOTIFY_CONNECTION, on_connection, web, MHD_OPTION_END);
    if (!web->daemon) {
        web_free(&web);
        return rl_fail(err, RL_E_INTERNAL, "libmicrohttpd did not start");
    }
    *out = web;
    return RL_OK;
}

void web_free(struct web **holder)
{
    if (!holder || !*holder)
        return;
    struct web *web = *holder;
    *holder = NULL;
    if (web->daemon)
        MHD_stop_daemon(web->daemon);
    while (web->expected) {
        struct visit *visit = web->expected;
        web->expected = visit->next;
        free(visit);
    }
    if (web->bundle)
        pb__trust_bundle__free_unpacked(web->bundle, NULL);
    pthread_mutex_destroy(&web->lock);
    free(web->index);
    free(web);
}
