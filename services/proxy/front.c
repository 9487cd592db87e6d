/* front: accepts, peeks, routes. Until a connection has said what it wants it is half-open: bounded
 * in number and in time, and nothing but a small buffer is kept for it.
 */
#include "internal.h"

#include "dial/dial.h"
#include "tls/proxy_protocol.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ACCEPT_MAX 64       /* in one go: the loop is shared */
#define ACCEPT_PAUSE_MS 100 /* when the process has no descriptor left */
#define SAY_FULL_MS 10000   /* between two lines of the log about being full */
#define READ_BYTES 4096
#define ALERT_DECODE_ERROR 50
#define ALERT_INTERNAL_ERROR 80
#define ALERT_UNRECOGNIZED_NAME 112
#define BYTES_MAX (RL_HELLO_BYTES_MAX + RL_PROXY_HEADER_BYTES_MAX)

/* A connection that has not said what it wants. */
struct knock {
    struct front *front;
    struct knock *next, *previous;
    struct arrival arrival;
    struct rl_watch *watch;
    struct rl_timer *timer;
    struct rl_buf bytes; /* read of it so far */
    bool wants_header;   /* it comes from a balancer, and its PROXY header has not come */
    SSL *ssl;            /* in its handshake */
};

struct listener {
    struct listener *next;
    struct front *front;
    int fd;
    struct rl_watch *watch;
    struct rl_timer *pause;
};

struct front {
    struct proxy *proxy;
    struct listener *listeners;
    size_t listener_count;
    struct knock *knocks;
    size_t half_open;
    uint64_t said_full_ms; /* 0: never */
};

/* ---- addresses ---- */

void proxy_address_text(const struct sockaddr_storage *address, char text[64])
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        snprintf(text, 64, "%s:%u", host, ntohs(in->sin_port));
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)address;
        bool is_v4 = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);
        if (is_v4)
            inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], host, sizeof host);
        else
            inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
        snprintf(text, 64, is_v4 ? "%s:%u" : "[%s]:%u", host, ntohs(in6->sin6_port));
    } else {
        snprintf(text, 64, "?");
    }
}

static bool is_balancer(const struct proxy *proxy, const char *address)
{
    const struct rl_text_list *list = proxy->config.balancers;
    const char *colon = strrchr(address, ':');
    size_t n = colon ? (size_t)(colon - address) : strlen(address);
    if (n > 2 && address[0] == '[') {
        address++;
        n -= 2;
    }
    for (size_t i = 0; list && i < list->count; i++)
        if (strlen(list->items[i]) == n && memcmp(list->items[i], address, n) == 0)
            return true;
    return false;
}

/* ---- a knock's end ---- */

/* Forgets the knock; its descriptor and SSL are the caller's from here on. */
static void release(struct knock *k)
{
    struct front *front = k->front;
    rl_watch_stop(&k->watch);
    rl_timer_free(&k->timer);
    rl_buf_fini(&k->bytes);
    if (k->previous)
        k->previous->next = k->next;
    else
        front->knocks = k->next;
    if (k->next)
        k->next->previous = k->previous;
    front->half_open--;
    rl_metric_set(front->proxy->half_open_gauge, (int64_t)front->half_open);
    free(k);
}

static void close_knock(struct knock *k)
{
    int fd = k->arrival.fd;
    struct proxy *proxy = k->front->proxy;
    SSL_free(k->ssl);
    release(k);
    close(fd);
    proxy_count(proxy, -1);
}

/* A fatal alert before there is any TLS of ours. Source: RFC 8446 6; RFC 6066 3. */
static bool send_alert(int fd, uint8_t alert)
{
    const uint8_t record[] = {21, 3, 3, 0, 2, 2, alert};
    return send(fd, record, sizeof record, MSG_NOSIGNAL) == (ssize_t)sizeof record;
}

static void refuse(struct knock *k, uint8_t alert, const char *why)
{
    bool is_told = send_alert(k->arrival.fd, alert);
    rl_log_info("connection refused", RL_TEXT("client", k->arrival.address),
                RL_TEXT("sni", k->arrival.hello.sni), RL_TEXT("reason", why),
                RL_NUMBER("told", is_told));
    rl_metric_add(k->front->proxy->refused_total, 1);
    close_knock(k);
}

static void on_late(void *context)
{
    close_knock(context);
}

/* ---- handshakes that end here ---- */

static void on_handshake(void *context, int fd, unsigned events)
{
    (void)fd;
    (void)events;
    struct knock *k = context;
    struct proxy *proxy = k->front->proxy;
    struct rl_error err;
    switch (rl_tls_handshake(k->ssl, &err)) {
    case RL_TLS_WANT_READ:
        rl_watch_change(k->watch, RL_LOOP_READ);
        return;
    case RL_TLS_WANT_WRITE:
        rl_watch_change(k->watch, RL_LOOP_WRITE);
        return;
    case RL_TLS_FAILED:
        rl_log_info("handshake failed", RL_TEXT("client", k->arrival.address),
                    RL_TEXT("sni", k->arrival.hello.sni), RL_TEXT("error", err.message));
        rl_metric_add(proxy->handshake_failures, 1);
        close_knock(k);
        return;
    case RL_TLS_DONE:
        break;
    }
    struct arrival arrival = k->arrival;
    SSL *ssl = k->ssl;
    release(k);
    if (arrival.route.kind == ROUTE_CONNECT)
        connect_start(proxy, &arrival, ssl);
    else
        web_start(proxy, &arrival, ssl);
}

static void terminate(struct knock *k)
{
    struct proxy *proxy = k->front->proxy;
    struct rl_tls_server *tls =
        k->arrival.route.kind == ROUTE_CONNECT ? proxy->connect_tls : proxy->web_tls;
    struct rl_error err;
    rl_watch_stop(&k->watch);
    if (rl_tls_accept(tls, k->arrival.fd, rl_buf_span(&k->bytes), k->arrival.hello.sni, &k->ssl,
                      &err) != RL_OK ||
        rl_watch_start(proxy->config.loop, k->arrival.fd, RL_LOOP_READ, on_handshake, k, &k->watch,
                       &err) != RL_OK) {
        refuse(k, ALERT_INTERNAL_ERROR, err.message);
        return;
    }
    rl_buf_fini(&k->bytes);
    on_handshake(k, k->arrival.fd, RL_LOOP_READ);
}

/* ---- peeking ---- */

static void follow_route(struct knock *k)
{
    struct proxy *proxy = k->front->proxy;
    k->arrival.route = route_of(proxy->config.cluster, &k->arrival.hello);
    switch (k->arrival.route.kind) {
    case ROUTE_REFUSED:
        refuse(k, ALERT_UNRECOGNIZED_NAME, k->arrival.route.reason);
        return;
    case ROUTE_CONNECT:
    case ROUTE_WEB:
        terminate(k);
        return;
    case ROUTE_AUTH:
    case ROUTE_BROKER:
    case ROUTE_AUDIT:
        break;
    }
    struct arrival arrival = k->arrival;
    struct rl_buf bytes = k->bytes; /* taken along */
    rl_buf_init(&k->bytes, 0);
    release(k);
    passthrough_start(proxy, &arrival, rl_buf_span(&bytes));
    rl_buf_fini(&bytes);
}

/* True: go on. False: more is needed, or the knock is gone. */
static bool take_header(struct knock *k)
{
    struct rl_proxy_header header;
    struct rl_error err;
    switch (rl_proxy_header_parse(rl_buf_span(&k->bytes), &header, &err)) {
    case RL_PROXY_MORE:
        return false;
    case RL_PROXY_BAD:
        refuse(k, ALERT_DECODE_ERROR, err.message);
        return false;
    case RL_PROXY_WHOLE:
        break;
    }
    if (!header.is_local) {
        k->arrival.client = header.source;
        k->arrival.local = header.destination;
        proxy_address_text(&k->arrival.client, k->arrival.address);
    }
    rl_buf_consume(&k->bytes, header.bytes);
    k->wants_header = false;
    return true;
}

static void take_bytes(struct knock *k)
{
    struct rl_error err;
    if (k->wants_header && !take_header(k))
        return;
    switch (rl_client_hello_parse(rl_buf_span(&k->bytes), &k->arrival.hello, &err)) {
    case RL_HELLO_MORE:
        return;
    case RL_HELLO_BAD:
        refuse(k, ALERT_DECODE_ERROR, err.message);
        return;
    case RL_HELLO_WHOLE:
        follow_route(k);
        return;
    }
}

static void on_bytes(void *context, int fd, unsigned events)
{
    (void)events;
    struct knock *k = context;
    uint8_t *to = rl_buf_reserve(&k->bytes, READ_BYTES);
    if (!to) {
        refuse(k, ALERT_DECODE_ERROR, "the ClientHello is too long");
        return;
    }
    ssize_t n = read(fd, to, READ_BYTES);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        close_knock(k);
        return;
    }
    k->bytes.n += (size_t)n;
    take_bytes(k);
}

/* ---- accepting ---- */

static void tune(int fd)
{
    const int on = 1, idle_s = 60, interval_s = 15, count = 4, unsent = 65536;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on); /* a peer that vanished is found */
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
}

/* Full: told at once, so that whoever comes tries again or elsewhere, and not after a timeout. It
 * is logged now and then: a flood does not fill a disk, too. */
static void turn_away(struct front *front, int fd, const char *why)
{
    struct proxy *proxy = front->proxy;
    uint64_t now_ms = rl_loop_now_ms(proxy->config.loop);
    send_alert(fd, ALERT_INTERNAL_ERROR);
    close(fd);
    rl_metric_add(proxy->refused_total, 1);
    if (front->said_full_ms && now_ms - front->said_full_ms < SAY_FULL_MS)
        return;
    front->said_full_ms = now_ms;
    rl_log_warn("connections are refused", RL_TEXT("reason", why),
                RL_NUMBER("connections", proxy->connections),
                RL_NUMBER("half_open", front->half_open));
}

static bool has_room(struct front *front, int fd)
{
    const struct proxy *proxy = front->proxy;
    if (proxy->connections >= proxy->config.connections_max)
        turn_away(front, fd, "there are as many as --connections-max or the descriptors allow");
    else if (front->half_open >= proxy->config.half_open_max)
        turn_away(front, fd, "as many as --half-open-max have not said what they want");
    else
        return true;
    return false;
}

static void take_in(struct front *front, int fd, const struct sockaddr_storage *client)
{
    struct proxy *proxy = front->proxy;
    if (!has_room(front, fd))
        return;
    struct knock *k = rl_alloc(sizeof *k);
    k->front = front;
    k->arrival.fd = fd;
    k->arrival.client = *client;
    socklen_t n = sizeof k->arrival.local;
    getsockname(fd, (struct sockaddr *)&k->arrival.local, &n);
    proxy_address_text(client, k->arrival.address);
    k->wants_header = is_balancer(proxy, k->arrival.address);
    rl_buf_init(&k->bytes, BYTES_MAX);
    k->next = front->knocks;
    if (k->next)
        k->next->previous = k;
    front->knocks = k;
    front->half_open++;
    rl_metric_set(proxy->half_open_gauge, (int64_t)front->half_open);
    proxy_count(proxy, 1);
    tune(fd);
    k->timer = rl_timer_create(proxy->config.loop, on_late, k);
    rl_timer_arm(k->timer, PROXY_PEEK_MS);
    if (rl_watch_start(proxy->config.loop, fd, RL_LOOP_READ, on_bytes, k, &k->watch, NULL) != RL_OK)
        close_knock(k);
}

static void on_accept(void *context, int fd, unsigned events)
{
    (void)events;
    struct listener *listener = context;
    for (int i = 0; i < ACCEPT_MAX; i++) {
        struct sockaddr_storage client = {0};
        socklen_t n = sizeof client;
        int taken = accept4(fd, (struct sockaddr *)&client, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (taken >= 0) {
            take_in(listener->front, taken, &client);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            rl_watch_change(listener->watch, 0); /* it would be told in every turn */
            rl_timer_arm(listener->pause, ACCEPT_PAUSE_MS);
        }
        if (errno != ECONNABORTED && errno != EINTR)
            return;
    }
}

static void on_pause_over(void *context)
{
    struct listener *listener = context;
    rl_watch_change(listener->watch, RL_LOOP_READ);
}

/* ---- listening ---- */

static struct front *front_of(struct proxy *proxy)
{
    if (!proxy->front) {
        proxy->front = rl_alloc(sizeof *proxy->front);
        proxy->front->proxy = proxy;
    }
    return proxy->front;
}

static void free_listener(struct listener *listener)
{
    rl_watch_stop(&listener->watch);
    rl_timer_free(&listener->pause);
    close(listener->fd);
    free(listener);
}

rl_code front_open(struct proxy *proxy, const char *address, uint16_t *port, struct rl_error *err)
{
    struct front *front = front_of(proxy);
    int fd = -1;
    if (front->listener_count == PROXY_LISTENERS_MAX)
        return rl_fail(err, RL_E_INVAL, "the proxy listens on at most %d addresses",
                       PROXY_LISTENERS_MAX);
    rl_code rc = rl_listen(address, &fd, port, err);
    if (rc != RL_OK)
        return rc;
    struct listener *listener = rl_alloc(sizeof *listener);
    listener->front = front;
    listener->fd = fd;
    listener->pause = rl_timer_create(proxy->config.loop, on_pause_over, listener);
    rc = rl_watch_start(proxy->config.loop, fd, RL_LOOP_READ, on_accept, listener, &listener->watch,
                        err);
    if (rc != RL_OK) {
        free_listener(listener);
        return rc;
    }
    listener->next = front->listeners;
    front->listeners = listener;
    front->listener_count++;
    return RL_OK;
}

void front_stop(struct proxy *proxy)
{
    struct front *front = proxy->front;
    while (front && front->listeners) {
        struct listener *listener = front->listeners;
        front->listeners = listener->next;
        free_listener(listener);
    }
}

void front_close(struct proxy *proxy)
{
    struct front *front = proxy->front;
    if (!front)
        return;
    front_stop(proxy);
    while (front->knocks)
        close_knock(front->knocks);
    free(front);
    proxy->front = NULL;
}
