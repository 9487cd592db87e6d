/* The broker as a whole: its server, what auth says to it, its end. */
#include "internal.h"

#include "access/access.h"
#include "roots/roots.h"
#include "rpc/raw.h"

#include <stdlib.h>
#include <string.h>

static rl_code authorize(void *context, const char *service, const char *method,
                         const struct rl_rpc_peer *peer, struct rl_error *err)
{
    struct broker *broker = context;
    return rl_access_check(broker->config.cluster, service, method, peer->identity, err);
}

int64_t broker_now_ns(const struct broker *broker)
{
    return broker->config.now_s ? broker->config.now_s(NULL) * 1000000000ll : rl_clock_wall_ns();
}

static void make_metrics(struct broker *broker)
{
    struct rl_health *h = broker->config.health;
    if (!h)
        return;
    broker->agents_gauge =
        rl_health_gauge(h, "remoteler_broker_agents", "Agents that are attached.", NULL);
    broker->leaves_gauge = rl_health_gauge(h, "remoteler_broker_leaf_attachments",
                                           "Brokers of leaf clusters that are attached.", NULL);
    broker->streams_gauge =
        rl_health_gauge(h, "remoteler_broker_streams", "Connections that are relayed.", NULL);
    broker->attached_total =
        rl_health_counter(h, "remoteler_broker_attachments_total", "Agents that attached.", NULL);
    broker->turned_away = rl_health_counter(h, "remoteler_broker_turned_away_total",
                                            "Agents that were told to come back later.", NULL);
    broker->dials_ok = rl_health_counter(h, "remoteler_broker_dials_total", "Dials by outcome.",
                                         "outcome=\"joined\"");
    broker->dials_failed = rl_health_counter(h, "remoteler_broker_dials_total", "Dials by outcome.",
                                             "outcome=\"failed\"");
    broker->bytes_total = rl_health_counter(h, "remoteler_broker_relayed_bytes_total",
                                            "Bytes that were relayed, both ways.", NULL);
    broker->held_gauge =
        rl_health_gauge(h, "remoteler_broker_held_bytes",
                        "Bytes that wait for a side that does not take them.", NULL);
}

/* Two servers: what agents reach through the public port has no Dial on it, whoever calls. */
static rl_code make_servers(struct broker *broker, struct rl_error *err)
{
    static const struct rl_rpc_handler tunnel[] = {
        {.method = "Attach", .stream = &attach_ops, .opened = attach_opened},
        {.method = "Carry", .raw = &carry_ops},
    };
    static const struct rl_rpc_handler passage[] = {{.method = "Leave", .unary = leave_asked}};
    static const struct rl_rpc_handler dialer[] = {{.method = "Dial", .raw = &dial_ops}};
    struct rl_rpc_server_config config = {
        .loop = broker->config.loop,
        .authorize = authorize,
        .authorize_context = broker,
        /* An agent may have its old connection and its new one for a while. */
        .connections_max = (uint32_t)broker->config.agents_max * 2 + 1000,
        .stream_window_bytes = broker->config.stream_window_bytes,
        .stream_window_bytes_max = RL_RPC_RAW_WINDOW_BYTES_MAX,
        .keepalive_ms = RL_RPC_HEARTBEAT_OVERDUE_MS,
        .keepalive_timeout_ms = RL_RPC_HEARTBEAT_TIMEOUT_MS,
        .now_s = broker->config.now_s,
    };
    rl_code rc = rl_rpc_server_create_h2(&config, &broker->attach_server, err);
    config.connections_max = BROKER_DIALLERS_MAX;
    if (rc == RL_OK)
        rc = rl_rpc_server_create_h2(&config, &broker->dial_server, err);
    if (rc != RL_OK)
        return rc;
    rl_rpc_server_add(broker->attach_server, &pb__tunnel_broker__descriptor, tunnel,
                      RL_COUNT(tunnel), broker);
    rl_rpc_server_add(broker->dial_server, &pb__dialer__descriptor, dialer, RL_COUNT(dialer),
                      broker);
    rl_rpc_server_add(broker->dial_server, &pb__passage__descriptor, passage, RL_COUNT(passage),
                      broker);
    return RL_OK;
}

rl_code broker_create(const struct broker_config *config, struct broker **out, struct rl_error *err)
{
    struct broker *broker = rl_alloc(sizeof *broker);
    broker->config = *config;
    broker->bucket_count = config->agents_max + 1;
    broker->buckets = rl_alloc_array(broker->bucket_count, sizeof *broker->buckets);
    admission_init(&broker->admission, config->attach_rate, rl_loop_now_ms(config->loop));
    broker->epochs = epochs_create(broker);
    broker->reports = reports_create(broker);
    broker->policies = policies_create(broker);
    broker->leavers = leavers_create(broker);
    broker->roots = roots_create(broker);
    make_metrics(broker);
    rl_code rc = make_servers(broker, err);
    if (rc != RL_OK)
        broker_free(&broker);
    else
        *out = broker;
    return rc;
}

rl_code broker_listen_dial(struct broker *broker, const char *address, struct rl_tls_server *tls,
                           uint16_t *port, struct rl_error *err)
{
    struct rl_rpc_listen listen = {.address = address, .tls = tls};
    return rl_rpc_server_listen(broker->dial_server, &listen, port, err);
}

rl_code broker_listen_attach(struct broker *broker, const char *address, struct rl_tls_server *tls,
                             struct rl_trust *proxied_by, uint16_t *port, struct rl_error *err)
{
    struct rl_rpc_listen listen = {.address = address,
                                   .tls = tls,
                                   .proxied_by = proxied_by,
                                   .is_held = broker->config.is_held};
    return rl_rpc_server_listen(broker->attach_server, &listen, port, err);
}

void broker_let_in(struct broker *broker)
{
    rl_rpc_server_let_in(broker->attach_server);
}

void broker_identify(struct broker *broker, struct rl_tls_identity *own, struct rl_trust *trust)
{
    if (own == broker->own && trust == broker->trust)
        return;
    rl_tls_identity_unref(&broker->own);
    rl_trust_unref(&broker->trust);
    broker->own = rl_tls_identity_ref(own);
    broker->trust = rl_trust_ref(trust);
    rl_rpc_server_trust_proxies(broker->attach_server, trust);
    roots_renewed(broker->roots);
}

void broker_set_control(struct broker *broker, struct rl_control *control)
{
    broker->control = control;
}

void broker_control_changed(struct broker *broker, unsigned what)
{
    if (!broker->control)
        return;
    if (what & RL_CONTROL_STATEMENT)
        attachments_send_statement(broker);
    if (what & RL_CONTROL_CLUSTERS) {
        leaves_changed(broker);
        roots_changed(broker->roots);
    }
    if (what & RL_CONTROL_BROKERS)
        leaves_brokers_changed(broker);
    if (what & RL_CONTROL_REVISION)
        policies_want_all(broker->policies);
}

void broker_control_line(struct broker *broker, const char *message)
{
    if (!message && broker->control)
        reports_complete(broker->reports);
}

static void on_drained(void *context)
{
    struct broker *broker = context;
    if (--broker->draining == 0)
        broker->drained(broker->drained_context);
}

void broker_drain(struct broker *broker, uint32_t grace_ms, void (*drained)(void *context),
                  void *context)
{
    if (broker->is_draining)
        return;
    broker->is_draining = true;
    attachments_drain(broker, 0);
    relay_part_all(broker);
    roots_leave(broker->roots);
    broker->drained = drained;
    broker->drained_context = context;
    broker->draining = 2;
    rl_rpc_server_drain(broker->attach_server, grace_ms, on_drained, broker);
    rl_rpc_server_drain(broker->dial_server, grace_ms, on_drained, broker);
}

void broker_free(struct broker **holder)
{
    if (!holder || !*holder)
        return;
    struct broker *broker = *holder;
    *holder = NULL;
    broker->is_freeing = true;
    rl_rpc_server_free(&broker->attach_server); /* every call gets its `closed` */
    rl_rpc_server_free(&broker->dial_server);
    roots_free(&broker->roots);
    while (broker->attachments) /* but for auth's answers, which come later */
        rl_loop_turn(broker->config.loop, 10);
    epochs_free(&broker->epochs);
    reports_free(&broker->reports);
    policies_free(&broker->policies);
    leavers_free(&broker->leavers);
    rl_tls_identity_unref(&broker->own);
    rl_trust_unref(&broker->trust);
    free(broker->buckets);
    free(broker);
}

size_t broker_agents(const struct broker *broker)
{
    return broker->attached;
}

size_t broker_streams(const struct broker *broker)
{
    return broker->joined;
}
