/* server: sockets are accepted up to a limit of connections, and of half-open handshakes among
 * them: beyond that the oldest handshake makes room, so that those who only knock keep nobody out.
 */
#include "rpc/h2/h2.h"

#include "dial/resolve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_MAX 64         /* in one turn */
#define ACCEPT_PAUSE_MS 100    /* when the process has no descriptor left */
#define CROWD_PAUSE_MS 5       /* when as many as there may be are in their handshakes */
#define HANDSHAKE_SURE_MS 1000 /* that nobody who knocks takes from one who came before */

struct rl_h2_server {
    struct rl_rpc_server base; /* first */
    struct rl_h2_config config;
    struct rl_h2_listener *listeners;
    struct rl_h2_arrival *arrivals; /* newest first, as the two below */
    struct rl_h2_connection *handshakes;
    struct rl_h2_connection *connections;
    size_t arrival_count, handshake_count, connection_count;

    struct rl_timer *grace; /* of a drain */
    struct rl_task *tell_drained;
    bool is_draining;
    void (*drained)(void *context);
    void *drained_context;
};

static struct rl_h2_server *h2_server(struct rl_rpc_server *server)
{
    return (struct rl_h2_server *)server;
}

struct rl_loop *rl_h2_server_loop(const struct rl_h2_server *server)
{
    return server->base.config.loop;
}

int64_t rl_h2_server_now_s(const struct rl_h2_server *server)
{
    return server->config.now_s(server->config.now_context);
}

char *rl_h2_address_text(const struct sockaddr_storage *address)
{
    char text[RL_RESOLVE_TEXT_BYTES];
    const struct rl_endpoint endpoint = {.address = *address};
    if (address->ss_family != AF_INET && address->ss_family != AF_INET6)
        return rl_strdup("unknown:0");
    rl_endpoint_format(&endpoint, text);
    return rl_strdup(text);
}

/* ---- connections ---- */

static void link_connection(struct rl_h2_connection **list, struct rl_h2_connection *c)
{
    c->next = *list;
    if (c->next)
        c->next->link = &c->next;
    *list = c;
    c->link = list;
}

static void unlink_connection(struct rl_h2_connection *c)
{
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
}

static void on_opened(void *owner, struct rl_h2_connection *c)
{
    struct rl_h2_server *server = owner;
    unlink_connection(c);
    link_connection(&server->connections, c);
    server->handshake_count--;
    server->connection_count++;
    const struct rl_rpc_server_config *config = &server->base.config;
    if (config->connected)
        config->connected(config->connection_context, &c->remote->peer);
}

static void tell_if_drained(struct rl_h2_server *server)
{
    if (server->is_draining && !server->connections && !server->handshakes && !server->arrivals)
        rl_task_schedule(server->tell_drained);
}

static void on_closed(void *owner, struct rl_h2_connection *c, rl_code code, const char *reason)
{
    (void)code;
    struct rl_h2_server *server = owner;
    unlink_connection(c);
    if (!c->remote || !c->session) {
        server->handshake_count--;
    } else {
        server->connection_count--;
        const struct rl_rpc_server_config *config = &server->base.config;
        if (config->disconnected)
            config->disconnected(config->connection_context, &c->remote->peer, reason);
    }
    tell_if_drained(server);
}

/* ---- arriving ---- */

static void drop_oldest_handshake(struct rl_h2_server *server)
{
    struct rl_h2_connection *c = server->handshakes;
    while (c->next)
        c = c->next;
    c->is_tls_broken = true;
    rl_h2_connection_close(c, RL_E_EXHAUSTED, "too many handshakes at once");
}

static void drop_oldest_arrival(struct rl_h2_server *server)
{
    struct rl_h2_arrival *arrival = server->arrivals;
    while (arrival->next)
        arrival = arrival->next;
    rl_h2_arrival_free(arrival);
}

void rl_h2_server_greet(struct rl_h2_listener *listener, int fd, struct rl_span early,
                        const char *address, const char *via)
{
    struct rl_h2_server *server = listener->server;
    if (server->handshake_count >= RL_RPC_HANDSHAKES_MAX)
        drop_oldest_handshake(server);
    SSL *ssl = NULL;
    if (rl_tls_accept(listener->tls, fd, early, NULL, &ssl, NULL) != RL_OK) {
        close(fd);
        return;
    }
    struct rl_h2_connection *c = NULL;
    if (rl_h2_connection_create(&server->config, fd, ssl, address, RL_RPC_HANDSHAKE_MS, &c, NULL) !=
        RL_OK)
        return;
    c->via = via ? rl_strdup(via) : NULL;
    link_connection(&server->handshakes, c);
    server->handshake_count++;
}

void rl_h2_server_add_arrival(struct rl_h2_server *server, struct rl_h2_arrival *arrival)
{
    if (server->arrival_count >= RL_RPC_HANDSHAKES_MAX)
        drop_oldest_arrival(server);
    server->arrival_count++;
    arrival->next = server->arrivals;
    if (arrival->next)
        arrival->next->link = &arrival->next;
    server->arrivals = arrival;
    arrival->link = &server->arrivals;
}

void rl_h2_server_remove_arrival(struct rl_h2_server *server, struct rl_h2_arrival *arrival)
{
    server->arrival_count--;
    *arrival->link = arrival->next;
    if (arrival->next)
        arrival->next->link = arrival->link;
    tell_if_drained(server);
}

/* ---- listening ---- */

static void on_accept_pause_over(void *context)
{
    struct rl_h2_listener *listener = context;
    rl_watch_change(listener->watch, RL_LOOP_READ);
}

/* Of a thousand that come at once each is let finish what it began: to make room by dropping the
 * oldest would undo work that is nearly done, and it comes again. Who only knocks keeps the others
 * waiting for a second. */
static bool is_crowded(const struct rl_h2_server *server)
{
    if (server->handshake_count + server->arrival_count < RL_RPC_HANDSHAKES_MAX)
        return false;
    const struct rl_h2_connection *c = server->handshakes;
    const struct rl_h2_arrival *a = server->arrivals;
    while (c && c->next)
        c = c->next;
    while (a && a->next)
        a = a->next;
    uint64_t sure_ms = rl_loop_now_ms(server->base.config.loop) - HANDSHAKE_SURE_MS;
    return (!c || c->heard_ms > sure_ms) && (!a || a->came_ms > sure_ms);
}

static void pause_accepting(struct rl_h2_listener *listener, uint64_t ms)
{
    rl_watch_change(listener->watch, 0);
    rl_timer_arm(listener->pause, ms);
}

static bool is_full(const struct rl_h2_server *server)
{
    return server->connection_count + server->handshake_count + server->arrival_count >=
           server->base.config.connections_max;
}

static void on_acceptable(void *context, int fd, unsigned events)
{
    (void)events;
    struct rl_h2_listener *listener = context;
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        if (is_crowded(listener->server)) {
            pause_accepting(listener, CROWD_PAUSE_MS);
            return;
        }
        int accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (accepted >= 0) {
            if (is_full(listener->server))
                close(accepted);
            else
                rl_h2_arrive(listener, accepted);
            continue;
        }
        if (errno == ECONNABORTED || errno == EINTR)
            continue;
        if (errno == EAGAIN)
            return;
        /* The socket stays readable: without a pause the loop would spin. */
        pause_accepting(listener, ACCEPT_PAUSE_MS);
        return;
    }
}

static void free_listener(struct rl_h2_listener *listener)
{
    rl_watch_stop(&listener->watch);
    rl_timer_free(&listener->pause);
    if (listener->fd >= 0)
        close(listener->fd);
    rl_tls_server_unref(&listener->tls);
    rl_trust_unref(&listener->proxied_by);
    rl_proxy_signers_fini(&listener->signers);
    free(listener);
}

static rl_code h2_listen(struct rl_rpc_server *base, const struct rl_rpc_listen *listen,
                         uint16_t *port, struct rl_error *err)
{
    RL_ASSERT(listen->tls);
    struct rl_h2_server *server = h2_server(base);
    struct rl_loop *loop = base->config.loop;
    struct rl_h2_listener *listener = rl_alloc(sizeof *listener);
    *listener = (struct rl_h2_listener){.server = server, .fd = -1, .is_held = listen->is_held};
    listener->tls = rl_tls_server_ref(listen->tls);
    if (listen->proxied_by)
        listener->proxied_by = rl_trust_ref(listen->proxied_by);
    listener->pause = rl_timer_create(loop, on_accept_pause_over, listener);
    rl_code rc = rl_listen(listen->address, &listener->fd, port, err);
    if (rc == RL_OK)
        rc = rl_watch_start(loop, listener->fd, listener->is_held ? 0 : RL_LOOP_READ, on_acceptable,
                            listener, &listener->watch, err);
    if (rc != RL_OK) {
        free_listener(listener);
        return rc;
    }
    listener->next = server->listeners;
    server->listeners = listener;
    return RL_OK;
}

void rl_rpc_server_let_in(struct rl_rpc_server *base)
{
    struct rl_h2_server *server = h2_server(base);
    for (struct rl_h2_listener *l = server->listeners; l; l = l->next) {
        if (l->is_held)
            rl_watch_change(l->watch, RL_LOOP_READ);
        l->is_held = false;
    }
}

void rl_rpc_server_trust_proxies(struct rl_rpc_server *base, struct rl_trust *trust)
{
    struct rl_h2_server *server = h2_server(base);
    for (struct rl_h2_listener *l = server->listeners; l; l = l->next) {
        if (!l->proxied_by)
            continue;
        rl_trust_unref(&l->proxied_by);
        l->proxied_by = rl_trust_ref(trust);
    }
}

size_t rl_rpc_server_end_strangers(struct rl_rpc_server *base, const struct rl_trust *trust,
                                   const char *reason)
{
    struct rl_h2_server *server = h2_server(base);
    size_t ended = 0;
    for (struct rl_h2_connection *c = server->connections; c; c = c->next) {
        const struct rl_identity *caller = c->remote->identity;
        if (!caller || strcmp(caller->cluster, rl_trust_cluster(trust)) == 0 ||
            rl_trust_vouches(trust, caller))
            continue;
        rl_h2_connection_finish(c, reason);
        ended++;
    }
    return ended;
}

/* An arrival or a handshake may still need its listener. */
static void stop_listening(struct rl_h2_server *server)
{
    while (server->arrivals)
        rl_h2_arrival_free(server->arrivals);
    while (server->listeners) {
        struct rl_h2_listener *listener = server->listeners;
        server->listeners = listener->next;
        free_listener(listener);
    }
}

/* ---- ending ---- */

static void close_all(struct rl_h2_server *server, const char *reason)
{
    while (server->handshakes)
        rl_h2_connection_close(server->handshakes, RL_E_UNAVAILABLE, reason);
    while (server->connections)
        rl_h2_connection_close(server->connections, RL_E_UNAVAILABLE, reason);
}

static void on_drained(void *context)
{
    struct rl_h2_server *server = context;
    server->is_draining = false;
    rl_timer_disarm(server->grace);
    if (server->drained)
        server->drained(server->drained_context);
}

static void on_grace_over(void *context)
{
    close_all(context, "the server is going away");
}

static void h2_drain(struct rl_rpc_server *base, uint32_t grace_ms, void (*drained)(void *context),
                     void *context)
{
    struct rl_h2_server *server = h2_server(base);
    server->is_draining = true;
    server->drained = drained;
    server->drained_context = context;
    stop_listening(server);
    while (server->handshakes)
        rl_h2_connection_close(server->handshakes, RL_E_UNAVAILABLE, "the server is going away");
    for (struct rl_h2_connection *c = server->connections, *next; c; c = next) {
        next = c->next;
        rl_h2_connection_leave(c, grace_ms, "the server is going away");
    }
    rl_timer_arm(server->grace, grace_ms);
    tell_if_drained(server);
}

static size_t h2_disconnect(struct rl_rpc_server *base, uint64_t connection, const char *reason)
{
    struct rl_h2_server *server = h2_server(base);
    for (struct rl_h2_connection *c = server->connections; c; c = c->next)
        if (c->remote->peer.connection == connection) {
            rl_h2_connection_finish(c, reason);
            return 1;
        }
    return 0;
}

static void h2_release(struct rl_rpc_server *base)
{
    struct rl_h2_server *server = h2_server(base);
    stop_listening(server);
    close_all(server, "the server was stopped");
    rl_timer_free(&server->grace);
    rl_task_free(&server->tell_drained);
}

static const struct rl_rpc_server_ops server_ops = {
    .call = RL_H2_CALL_OPS,
    .call_bytes = sizeof(struct rl_h2_stream),
    .listen = h2_listen,
    .drain = h2_drain,
    .disconnect = h2_disconnect,
    .release = h2_release,
};

rl_code rl_rpc_server_create_h2(const struct rl_rpc_server_config *config,
                                struct rl_rpc_server **out, struct rl_error *err)
{
    (void)err;
    struct rl_h2_server *server = rl_alloc(sizeof *server);
    rl_rpc_server_init(&server->base, &server_ops, config);
    server->config = (struct rl_h2_config){
        .loop = config->loop,
        .server = &server->base,
        .stream_window_bytes = config->stream_window_bytes,
        .stream_window_bytes_max = config->stream_window_bytes_max,
        .connection_window_bytes = config->connection_window_bytes,
        .concurrent_calls_max = server->base.config.concurrent_calls_max,
        .keepalive_ms = config->keepalive_ms,
        .keepalive_timeout_ms = config->keepalive_timeout_ms,
        .now_s = config->now_s,
        .now_context = config->now_context,
        .owner = server,
        .opened = on_opened,
        .closed = on_closed,
    };
    rl_h2_config_set_defaults(&server->config);
    server->grace = rl_timer_create(config->loop, on_grace_over, server);
    server->tell_drained = rl_task_create(config->loop, on_drained, server);
    *out = &server->base;
    return RL_OK;
}
