/* proxy: the one public port. It peeks at each ClientHello, chooses the route, and only then makes
 * TLS for it or passes the bytes on, still encrypted. It decides nothing about what a user may do
 * at the far end and holds no authority's key. One loop owns everything here but libmicrohttpd's
 * thread.
 */
#ifndef PROXY_H
#define PROXY_H

#include "control/control.h"
#include "event/event.h"
#include "health/health.h"
#include "journal/outbox.h"
#include "remoteler/v1/auth.pb-c.h"
#include "settings/settings.h"

#define PROXY_PEEK_MS 10000    /* from accept to the end of the handshake */
#define PROXY_REQUEST_MS 10000 /* for a ConnectRequest */
#define PROXY_RESOLVE_MS 5000
#define PROXY_RESOLVE_KNOWN_MS 1000 /* when what auth said before would do */
#define PROXY_UPSTREAM_MS 5000      /* to reach auth, a broker, audit */
#define PROXY_REQUEST_BYTES_MAX 8192
#define PROXY_BROKERS_MAX 64 /* that are asked for one node */
#define PROXY_BALANCERS_MAX 64
#define PROXY_UNACKNOWLEDGED_BYTES_MAX (256u << 20) /* that are kept to be sent again */
#define PROXY_LISTENERS_MAX 16
#define PROXY_WAITING_MAX 4096 /* agents that wait here for a broker to come back */

struct proxy_config {
    struct rl_loop *loop;
    const char *cluster, *id;   /* borrowed */
    const char *public_address; /* borrowed; HOST:PORT as people reach it; NULL: the listener's */
    const char *auth_proxied_address;     /* borrowed; may be NULL */
    const struct rl_text_list *balancers; /* borrowed; may be NULL */
    size_t connections_max, half_open_max;
    uint32_t stream_window_bytes;
    struct rl_health *health;        /* NULL: nothing is counted */
    int64_t (*now_s)(void *context); /* NULL: the wall clock */
};

/** What a member of the cluster holds; each may change by a renewal. */
struct proxy_identity {
    struct rl_tls_identity *own;
    struct rl_tls_identity *web;   /* NULL: its own */
    struct rl_trust *trust;        /* of this cluster */
    struct rl_trust *users;        /* whose users connect: of this cluster and of its roots */
    const Pb__TrustBundle *bundle; /* borrowed for the call */
};

struct proxy;
rl_code proxy_create(const struct proxy_config *config, const struct proxy_identity *identity,
                     struct proxy **out, struct rl_error *err);
/** Once for each address. */
rl_code proxy_listen(struct proxy *proxy, const char *address, uint16_t *port,
                     struct rl_error *err);
rl_code proxy_renewed(struct proxy *proxy, const struct proxy_identity *identity,
                      struct rl_error *err);
/** Where targets are resolved and locks come from. Borrowed. */
void proxy_set_control(struct proxy *proxy, struct rl_control *control);
void proxy_control_changed(struct proxy *proxy, unsigned what);
/** Where events go; NULL: nowhere. Borrowed. */
void proxy_set_events(struct proxy *proxy, struct rl_outbox *events);
/** Takes no more connections, has brokers move the agents that came through here, closes what is
 * idle, and waits for the others, at most grace_ms. */
void proxy_drain(struct proxy *proxy, uint32_t grace_ms, void (*drained)(void *context),
                 void *context);
void proxy_free(struct proxy **proxy);

size_t proxy_connections(const struct proxy *proxy);

#endif
