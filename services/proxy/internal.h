/* What the proxy's files share. */
#ifndef PROXY_INTERNAL_H
#define PROXY_INTERNAL_H

#include "clock/clock.h"
#include "log/log.h"
#include "places.h"
#include "proxy.h"
#include "route.h"
#include "splice/splice.h"
#include "tunnel_rpc/tunnel_rpc.h"

#include <sys/socket.h>

struct front;
struct user_connection;
struct passage;
struct web;
struct upstream;

struct proxy {
    struct proxy_config config;
    int64_t start_ns;
    struct rl_tls_identity *own;
    struct rl_trust *trust, *users_trust;
    uint8_t trust_sha256[32]; /* of the bundle, for users who hold another */
    struct rl_tls_server *connect_tls, *web_tls;
    struct rl_control *control;
    struct rl_outbox *events;
    struct front *front;                  /* front.c */
    struct passage *passages;             /* passthrough.c */
    size_t waiting;                       /* of them, for a broker */
    struct rl_splice_pipes pipes;         /* splice.c */
    struct user_connection *users;        /* connect.c */
    struct upstream *upstreams;           /* upstream.c */
    struct rl_timer *sweep_timer;         /* likewise */
    struct web *web;                      /* web.c */
    struct rl_ring_budget unacknowledged; /* of all users' connections */
    struct places *places;
    size_t connections; /* open, of every kind */
    struct rl_timer *drain_timer, *grace_timer;
    void (*drained)(void *context);
    void *drained_context;
    bool is_draining, is_freeing;
    struct rl_metric *connections_gauge, *half_open_gauge, *users_gauge, *refused_total,
        *handshake_failures, *dials_ok, *dials_failed, *passed_bytes, *user_bytes;
};

int64_t proxy_now_ns(const struct proxy *proxy);
/** One more or one fewer of the open connections. */
void proxy_count(struct proxy *proxy, int by);

/** An accepted connection on its way from the front to its route. The descriptor goes along. */
struct arrival {
    int fd;
    struct sockaddr_storage client, local; /* as PROXY v2 said, where it may */
    char address[64];                      /* the client's, HOST:PORT */
    struct rl_client_hello hello;
    struct route route;
};
/** "1.2.3.4:5" or "[::1]:5". */
void proxy_address_text(const struct sockaddr_storage *address, char text[64]);

/* ---- front.c: accept, peek, route, handshake ---- */

rl_code front_open(struct proxy *proxy, const char *address, uint16_t *port, struct rl_error *err);
void front_stop(struct proxy *proxy);  /* no more connections */
void front_close(struct proxy *proxy); /* and those that said nothing yet are closed */

/* ---- passthrough.c ---- */

/** Takes the descriptor. `first`: what was read of the connection already. */
void passthrough_start(struct proxy *proxy, const struct arrival *arrival, struct rl_span first);
/** Those that wait for nothing are closed: whoever is behind one comes again when there is
 * something to say. Not agents' to a broker, who are told to move (upstream_leave()). Called now
 * and then. */
void passthrough_close_idle(struct proxy *proxy);
void passthrough_close_all(struct proxy *proxy);

/* ---- upstream.c: where auth, audit and brokers are ---- */

/** Where a route may be passed through to, in the order to try; none: why, in `reason`. Borrowed.
 */
size_t upstream_addresses(const struct proxy *proxy, const struct route *route,
                          const char *out[PROXY_BROKERS_MAX], const char **reason);
void upstream_init(struct proxy *proxy);
/** A channel to dial at; counted until upstream_release(). */
struct upstream *upstream_broker(struct proxy *proxy, const char *broker_id);
/** Those to whom there is a channel: auth's list, and who left it and still answers. Borrowed. */
size_t upstream_brokers(const struct proxy *proxy, const char *ids[PROXY_BROKERS_MAX]);
struct upstream *upstream_node(struct proxy *proxy, const char *agent_id, const char *address,
                               struct rl_error *err);
struct rl_rpc_channel *upstream_channel(const struct upstream *upstream);
void upstream_release(struct upstream **upstream);
void upstream_update(struct proxy *proxy); /* the list of brokers changed */
/** This proxy goes away: brokers are asked to move the agents that came through it. */
void upstream_leave(struct proxy *proxy);
void upstream_renewed(struct proxy *proxy);
void upstream_close_all(struct proxy *proxy);

/* ---- user.c: may this certificate be here now? ---- */

struct user_now {
    const char *cluster;
    const struct rl_trust *trust; /* in users */
    const Pb__ControlUpdate *state;
    int64_t now_ns;
    const char *node_id, *node_name; /* NULL: not known yet */
};
rl_code user_check(const struct rl_identity *identity, const struct user_now *now,
                   struct rl_error *err);

/* ---- connect.c: remoteler-connect ---- */

/** Takes the descriptor and ssl, after the handshake. */
void connect_start(struct proxy *proxy, const struct arrival *arrival, SSL *ssl);
/** Locks, cuts or time have changed: who may not be here any more goes. */
void connect_check_all(struct proxy *proxy);
void connect_close_all(struct proxy *proxy, rl_code code, const char *reason);
size_t connect_count(const struct proxy *proxy);

/* ---- web.c ---- */

rl_code web_create(struct proxy *proxy, struct web **out, struct rl_error *err);
void web_free(struct web **web);
/** Takes the descriptor and ssl, after the handshake. */
void web_start(struct proxy *proxy, const struct arrival *arrival, SSL *ssl);
void web_close_all(struct proxy *proxy);
/** What /v1/ping says of the authorities; copied. */
rl_code web_set_authorities(struct web *web, const Pb__TrustBundle *bundle, struct rl_error *err);

#endif
