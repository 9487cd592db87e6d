/* The proxy as a whole: its contexts, what auth says to it, its end. */
#include "enrol/enrol.h"
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define DRAIN_LOOK_MS 100

int64_t proxy_now_ns(const struct proxy *proxy)
{
    return proxy->config.now_s ? proxy->config.now_s(NULL) * 1000000000ll : rl_clock_wall_ns();
}

void proxy_count(struct proxy *proxy, int by)
{
    proxy->connections = by > 0 ? proxy->connections + 1 : proxy->connections - 1;
    rl_metric_set(proxy->connections_gauge, (int64_t)proxy->connections);
}

static void make_metrics(struct proxy *proxy)
{
    struct rl_health *h = proxy->config.health;
    if (!h)
        return;
    proxy->connections_gauge =
        rl_health_gauge(h, "remoteler_proxy_connections", "Open connections.", NULL);
    proxy->half_open_gauge = rl_health_gauge(h, "remoteler_proxy_half_open_connections",
                                             "Of them, those without a route yet.", NULL);
    proxy->users_gauge =
        rl_health_gauge(h, "remoteler_proxy_user_connections", "Of them, users' to nodes.", NULL);
    proxy->refused_total = rl_health_counter(h, "remoteler_proxy_refused_total",
                                             "Connections that were refused.", NULL);
    proxy->handshake_failures = rl_health_counter(h, "remoteler_proxy_handshake_failures_total",
                                                  "TLS handshakes that failed here.", NULL);
    proxy->dials_ok = rl_health_counter(h, "remoteler_proxy_dials_total",
                                        "Users' dials by outcome.", "outcome=\"joined\"");
    proxy->dials_failed = rl_health_counter(h, "remoteler_proxy_dials_total",
                                            "Users' dials by outcome.", "outcome=\"failed\"");
    proxy->passed_bytes = rl_health_counter(h, "remoteler_proxy_passed_bytes_total",
                                            "Bytes passed through, both ways.", NULL);
    proxy->user_bytes = rl_health_counter(h, "remoteler_proxy_user_bytes_total",
                                          "Bytes of users' connections, both ways.", NULL);
}

static rl_code make_contexts(struct proxy *proxy, const struct proxy_identity *identity,
                             struct rl_error *err)
{
    static const char *const connect_alpn[] = {ROUTE_CONNECT_ALPN, NULL};
    static const char *const web_alpn[] = {"http/1.1", NULL};
    struct rl_tls_server_config connect = {
        .route = "connect",
        .identity = identity->own,
        .trust = identity->users,
        .client = RL_TLS_CLIENT_REQUIRED,
        .alpn = connect_alpn,
        .allow_resumption = true,
        .now_s = proxy->config.now_s,
    };
    struct rl_tls_server_config web = {
        .route = "web",
        .identity = identity->web ? identity->web : identity->own,
        .client = RL_TLS_CLIENT_NONE,
        .alpn = web_alpn,
        .allow_no_alpn = true,
        .allow_tls12 = true,
        .allow_resumption = true,
        .now_s = proxy->config.now_s,
    };
    rl_code rc = rl_tls_server_create(&connect, &proxy->connect_tls, err);
    return rc == RL_OK ? rl_tls_server_create(&web, &proxy->web_tls, err) : rc;
}

static void hold(struct proxy *proxy, const struct proxy_identity *identity)
{
    rl_tls_identity_unref(&proxy->own);
    rl_trust_unref(&proxy->trust);
    rl_trust_unref(&proxy->users_trust);
    proxy->own = rl_tls_identity_ref(identity->own);
    proxy->trust = rl_trust_ref(identity->trust);
    proxy->users_trust = rl_trust_ref(identity->users);
    if (identity->bundle)
        rl_trust_bundle_hash(identity->bundle, proxy->trust_sha256);
}

rl_code proxy_create(const struct proxy_config *config, const struct proxy_identity *identity,
                     struct proxy **out, struct rl_error *err)
{
    struct proxy *proxy = rl_alloc(sizeof *proxy);
    proxy->config = *config;
    proxy->start_ns = proxy_now_ns(proxy);
    hold(proxy, identity);
    make_metrics(proxy);
    upstream_init(proxy);
    proxy->places = places_create();
    proxy->unacknowledged.max = PROXY_UNACKNOWLEDGED_BYTES_MAX;
    rl_code rc = make_contexts(proxy, identity, err);
    if (rc == RL_OK)
        rc = web_create(proxy, &proxy->web, err);
    if (rc == RL_OK && identity->bundle)
        rc = web_set_authorities(proxy->web, identity->bundle, err);
    if (rc == RL_OK)
        *out = proxy;
    else
        proxy_free(&proxy);
    return rc;
}

rl_code proxy_listen(struct proxy *proxy, const char *address, uint16_t *port, struct rl_error *err)
{
    return front_open(proxy, address, port, err);
}

rl_code proxy_renewed(struct proxy *proxy, const struct proxy_identity *identity,
                      struct rl_error *err)
{
    rl_code rc = rl_tls_server_reload(proxy->connect_tls, identity->own, identity->users, err);
    if (rc == RL_OK)
        rc = rl_tls_server_reload(proxy->web_tls, identity->web ? identity->web : identity->own,
                                  NULL, err);
    if (rc == RL_OK && identity->bundle)
        rc = web_set_authorities(proxy->web, identity->bundle, err);
    if (rc != RL_OK)
        return rc;
    /* Most often it is another cluster that changed: what is open within this one stays. */
    bool is_own = identity->own != proxy->own || identity->trust != proxy->trust;
    hold(proxy, identity);
    if (is_own)
        upstream_renewed(proxy);
    connect_check_all(proxy); /* those whose cluster is trusted no more go */
    return RL_OK;
}

void proxy_set_control(struct proxy *proxy, struct rl_control *control)
{
    proxy->control = control;
}

void proxy_set_events(struct proxy *proxy, struct rl_outbox *events)
{
    proxy->events = events;
}

static void use_tickets(struct proxy *proxy)
{
    struct rl_error err;
    if (rl_control_set_tickets(proxy->control, proxy->connect_tls, &err) != RL_OK ||
        rl_control_set_tickets(proxy->control, proxy->web_tls, &err) != RL_OK)
        rl_log_error("auth's ticket keys can not be used", RL_TEXT("error", err.message));
}

void proxy_control_changed(struct proxy *proxy, unsigned what)
{
    if (!proxy->control)
        return;
    if (what & RL_CONTROL_TICKET_KEYS)
        use_tickets(proxy);
    if (what & RL_CONTROL_BROKERS)
        upstream_update(proxy);
    if (what & (RL_CONTROL_LOCKS | RL_CONTROL_CUTS | RL_CONTROL_CLUSTERS))
        connect_check_all(proxy);
}

/* ---- its end ---- */

static void look_whether_drained(void *context)
{
    struct proxy *proxy = context;
    passthrough_close_idle(proxy);
    if (proxy->connections)
        rl_timer_arm(proxy->drain_timer, DRAIN_LOOK_MS);
    else
        proxy->drained(proxy->drained_context);
}

static void on_grace_over(void *context)
{
    struct proxy *proxy = context;
    connect_close_all(proxy, RL_E_UNAVAILABLE, "the proxy stops");
    passthrough_close_all(proxy);
    web_close_all(proxy);
}

void proxy_drain(struct proxy *proxy, uint32_t grace_ms, void (*drained)(void *context),
                 void *context)
{
    if (proxy->is_draining)
        return;
    proxy->is_draining = true;
    proxy->drained = drained;
    proxy->drained_context = context;
    front_stop(proxy);
    upstream_leave(proxy);
    proxy->grace_timer = rl_timer_create(proxy->config.loop, on_grace_over, proxy);
    rl_timer_arm(proxy->grace_timer, grace_ms);
    proxy->drain_timer = rl_timer_create(proxy->config.loop, look_whether_drained, proxy);
    rl_timer_arm(proxy->drain_timer, 0);
}

void proxy_free(struct proxy **holder)
{
    if (!holder || !*holder)
        return;
    struct proxy *proxy = *holder;
    *holder = NULL;
    front_close(proxy);
    passthrough_close_all(proxy);
    web_close_all(proxy);
    connect_close_all(proxy, RL_E_UNAVAILABLE, "the proxy stops");
    while (proxy->users) { /* their streams end on a later turn */
        rl_loop_turn(proxy->config.loop, 10);
        connect_close_all(proxy, RL_E_UNAVAILABLE, "the proxy stops");
    }
    web_free(&proxy->web);
    upstream_close_all(proxy);
    places_free(&proxy->places);
    rl_splice_pipes_close(&proxy->pipes);
    rl_timer_free(&proxy->drain_timer);
    rl_timer_free(&proxy->grace_timer);
    rl_tls_server_unref(&proxy->connect_tls);
    rl_tls_server_unref(&proxy->web_tls);
    rl_tls_identity_unref(&proxy->own);
    rl_trust_unref(&proxy->trust);
    rl_trust_unref(&proxy->users_trust);
    free(proxy);
}

size_t proxy_connections(const struct proxy *proxy)
{
    return proxy->connections;
}
