/* upstream: the services behind the proxy. Addresses come from auth's list, never from what a
 * client says. To each broker one channel is kept; one that leaves the list keeps its channel for
 * as long as it answers or carries a connection: a list can be wrong, as when auth or its database
 * could not hear a broker's heartbeats, and a connection is not.
 */
#include "internal.h"

#include "bytes/secret.h"
#include "rpc/raw.h"

#include <stdlib.h>
#include <string.h>

enum upstream_kind { UPSTREAM_BROKER, UPSTREAM_NODE };

struct upstream {
    struct proxy *proxy;
    struct upstream *next;
    enum upstream_kind kind;
    char *id, *address;
    struct rl_tls_client *tls;
    struct rl_rpc_channel *channel;
    size_t users;
    bool is_listed; /* brokers: auth names it */
};

/* ---- passing through ---- */

/* Whoever is asked first is left to chance, so that replicas share what comes. */
static void shuffle(const char **list, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        uint32_t random;
        rl_random(&random, sizeof random);
        const char **other = &list[random % i], *last = list[i - 1];
        list[i - 1] = *other;
        *other = last;
    }
}

static size_t take_all(char *const *list, size_t count, const char *out[PROXY_BROKERS_MAX])
{
    size_t n = count < PROXY_BROKERS_MAX ? count : PROXY_BROKERS_MAX;
    for (size_t i = 0; i < n; i++)
        out[i] = list[i];
    return n;
}

static size_t brokers_for(const Pb__ControlUpdate *state, const char *replica,
                          const char *out[PROXY_BROKERS_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < state->n_brokers && n < PROXY_BROKERS_MAX; i++) {
        const Pb__BrokerAddress *b = state->brokers[i];
        if (b->attach_address[0] && (!replica[0] || strcmp(b->id, replica) == 0))
            out[n++] = b->attach_address;
    }
    return n;
}

size_t upstream_addresses(const struct proxy *proxy, const struct route *route,
                          const char *out[PROXY_BROKERS_MAX], const char **reason)
{
    static const Pb__ControlUpdate nothing = PB__CONTROL_UPDATE__INIT;
    const Pb__ControlUpdate *state = proxy->control ? rl_control_state(proxy->control) : &nothing;
    const Pb__ServiceAddresses *services = state->services;
    size_t n = 0;
    switch (route->kind) {
    case ROUTE_AUTH:
        *reason = "where auth's proxied listener is was neither said by auth nor set";
        n = services ? take_all(services->auth, services->n_auth, out) : 0;
        if (!n && proxy->config.auth_proxied_address)
            out[n++] = proxy->config.auth_proxied_address;
        break;
    case ROUTE_AUDIT:
        *reason = "auth knows no audit";
        n = services ? take_all(services->audit, services->n_audit, out) : 0;
        break;
    case ROUTE_BROKER:
        *reason = route->replica[0] ? "auth knows no such broker" : "auth knows no broker";
        n = brokers_for(state, route->replica, out);
        break;
    case ROUTE_REFUSED:
    case ROUTE_CONNECT:
    case ROUTE_WEB:
        *reason = "this route is not passed through";
        break;
    }
    shuffle(out, n);
    return n;
}

/* ---- channels ---- */

static void on_down(void *context, rl_code code, const char *message)
{
    (void)code;
    (void)message;
    struct upstream *u = context;
    if (!u->is_listed)
        rl_timer_arm(u->proxy->sweep_timer, 0);
}

static rl_code open_channel(struct upstream *u, struct rl_error *err)
{
    struct proxy *proxy = u->proxy;
    bool is_broker = u->kind == UPSTREAM_BROKER;
    const struct rl_tls_client_config tls = {
        .identity = proxy->own,
        .trust = proxy->trust,
        .alpn = "h2",
        .peer_kind = is_broker ? RL_IDENTITY_SERVICE : RL_IDENTITY_AGENT,
        .peer_service = is_broker ? "broker" : NULL,
        .peer_name = u->id,
        .now_s = proxy->config.now_s,
    };
    rl_code rc = rl_tls_client_create(&tls, &u->tls, err);
    if (rc != RL_OK)
        return rc;
    const struct rl_rpc_channel_config channel = {
        .loop = proxy->config.loop,
        .address = u->address,
        .tls = u->tls,
        .connect_timeout_ms = PROXY_UPSTREAM_MS,
        .stream_window_bytes = proxy->config.stream_window_bytes,
        .stream_window_bytes_max = RL_RPC_RAW_WINDOW_BYTES_MAX,
        .stay_connected = is_broker,
        .down = on_down,
        .context = u,
        .now_s = proxy->config.now_s,
    };
    rc = rl_rpc_channel_create_h2(&channel, &u->channel, err);
    if (rc == RL_OK && is_broker)
        rl_rpc_channel_connect(u->channel);
    return rc;
}

static void free_upstream(struct upstream *u)
{
    struct upstream **at = &u->proxy->upstreams;
    while (*at != u)
        at = &(*at)->next;
    *at = u->next;
    rl_rpc_channel_free(&u->channel);
    rl_tls_client_unref(&u->tls);
    free(u->id);
    free(u->address);
    free(u);
}

static struct upstream *add(struct proxy *proxy, enum upstream_kind kind, const char *id,
                            const char *address, struct rl_error *err)
{
    struct upstream *u = rl_alloc(sizeof *u);
    u->proxy = proxy;
    u->kind = kind;
    u->id = rl_strdup(id);
    u->address = rl_strdup(address);
    u->next = proxy->upstreams;
    proxy->upstreams = u;
    if (open_channel(u, err) == RL_OK)
        return u;
    free_upstream(u);
    return NULL;
}

static struct upstream *find(const struct proxy *proxy, enum upstream_kind kind, const char *id)
{
    struct upstream *u = proxy->upstreams;
    while (u && (u->kind != kind || strcmp(u->id, id) != 0))
        u = u->next;
    return u;
}

struct upstream *upstream_broker(struct proxy *proxy, const char *broker_id)
{
    struct upstream *u = find(proxy, UPSTREAM_BROKER, broker_id);
    if (u)
        u->users++;
    return u;
}

struct upstream *upstream_node(struct proxy *proxy, const char *agent_id, const char *address,
                               struct rl_error *err)
{
    struct upstream *u = find(proxy, UPSTREAM_NODE, agent_id);
    if (u && strcmp(u->address, address) != 0) {
        free(u->address);
        u->address = rl_strdup(address);
        rl_rpc_channel_renew(u->channel, address);
    }
    if (!u)
        u = add(proxy, UPSTREAM_NODE, agent_id, address, err);
    if (u)
        u->users++;
    return u;
}

struct rl_rpc_channel *upstream_channel(const struct upstream *upstream)
{
    return upstream->channel;
}

static bool is_idle(const struct upstream *u)
{
    bool answers = u->kind == UPSTREAM_BROKER && rl_rpc_channel_is_up(u->channel);
    return u->users == 0 && !u->is_listed && !answers;
}

static void sweep(void *context)
{
    struct proxy *proxy = context;
    for (struct upstream *u = proxy->upstreams, *next; u; u = next) {
        next = u->next;
        if (is_idle(u))
            free_upstream(u);
    }
}

void upstream_release(struct upstream **upstream)
{
    struct upstream *u = *upstream;
    if (!u)
        return;
    *upstream = NULL;
    u->users--;
    /* Not at once: this may be inside a callback of its channel. */
    if (is_idle(u))
        rl_timer_arm(u->proxy->sweep_timer, 0);
}

size_t upstream_brokers(const struct proxy *proxy, const char *ids[PROXY_BROKERS_MAX])
{
    size_t n = 0;
    for (const struct upstream *u = proxy->upstreams; u && n < PROXY_BROKERS_MAX; u = u->next)
        if (u->kind == UPSTREAM_BROKER)
            ids[n++] = u->id;
    return n;
}

void upstream_init(struct proxy *proxy)
{
    proxy->sweep_timer = rl_timer_create(proxy->config.loop, sweep, proxy);
}

static void list_broker(struct proxy *proxy, const Pb__BrokerAddress *broker)
{
    struct rl_error err;
    struct upstream *u = find(proxy, UPSTREAM_BROKER, broker->id);
    if (!broker->dial_address[0])
        return;
    if (!u && !(u = add(proxy, UPSTREAM_BROKER, broker->id, broker->dial_address, &err))) {
        rl_log_error("no channel to a broker", RL_TEXT("broker", broker->id),
                     RL_TEXT("error", err.message));
        return;
    }
    if (strcmp(u->address, broker->dial_address) != 0) {
        free(u->address);
        u->address = rl_strdup(broker->dial_address);
        rl_rpc_channel_renew(u->channel, u->address);
    }
    u->is_listed = true;
}

void upstream_update(struct proxy *proxy)
{
    const Pb__ControlUpdate *state = rl_control_state(proxy->control);
    for (struct upstream *u = proxy->upstreams; u; u = u->next)
        u->is_listed = false;
    for (size_t i = 0; i < state->n_brokers && i < PROXY_BROKERS_MAX; i++)
        list_broker(proxy, state->brokers[i]);
    rl_timer_arm(proxy->sweep_timer, 0);
}

static void on_told(void *context, rl_code code, const char *message, const ProtobufCMessage *reply)
{
    (void)context;
    if (code == RL_OK)
        rl_log_info("a broker moves the agents that came through here",
                    RL_NUMBER("agents", ((const Pb__LeaveResponse *)reply)->agents));
    else
        rl_log_warn("a broker could not be told that this proxy goes away",
                    RL_TEXT("code", rl_code_name(code)), RL_TEXT("error", message));
}

void upstream_leave(struct proxy *proxy)
{
    const Pb__LeaveRequest request = PB__LEAVE_REQUEST__INIT;
    for (struct upstream *u = proxy->upstreams; u; u = u->next)
        if (u->kind == UPSTREAM_BROKER && rl_rpc_channel_is_up(u->channel))
            rl_rpc_unary(u->channel, &pb__passage__descriptor, "Leave", &request.base,
                         PROXY_UPSTREAM_MS, on_told, NULL, NULL);
}

void upstream_renewed(struct proxy *proxy)
{
    struct rl_error err;
    for (struct upstream *u = proxy->upstreams; u; u = u->next) {
        if (rl_tls_client_reload(u->tls, proxy->own, proxy->trust, &err) != RL_OK)
            rl_log_error("the new certificate can not be used", RL_TEXT("error", err.message));
        else
            rl_rpc_channel_renew(u->channel, NULL);
    }
}

void upstream_close_all(struct proxy *proxy)
{
    rl_timer_free(&proxy->sweep_timer);
    while (proxy->upstreams)
        free_upstream(proxy->upstreams);
}
