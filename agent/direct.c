#include "direct.h"

#include "access/access.h"
#include "carry.h"
#include "log/log.h"
#include "rpc/raw.h"

#include <stdlib.h>

struct direct {
    struct agent *agent;
    struct rl_tls_server *tls;
    struct rl_rpc_server *server;
};

static rl_code authorize(void *context, const char *service, const char *method,
                         const struct rl_rpc_peer *peer, struct rl_error *err)
{
    const struct direct *direct = context;
    return rl_access_check(rl_enrol_cluster(direct->agent->enrol), service, method, peer->identity,
                           err);
}

static const struct rl_rpc_handler dialer[] = {{.method = "Dial", .raw = &carry_dial_ops}};

static rl_code make_tls(struct direct *direct, struct rl_error *err)
{
    static const char *const alpn[] = {"h2", NULL};
    const struct rl_tls_server_config config = {
        .route = "dial",
        .identity = rl_enrol_identity(direct->agent->enrol),
        .trust = rl_enrol_trust(direct->agent->enrol),
        .client = RL_TLS_CLIENT_REQUIRED,
        .alpn = alpn,
        .now_s = agent_now_s,
        .now_context = direct->agent,
    };
    return rl_tls_server_create(&config, &direct->tls, err);
}

/* A quarter of the descriptors at most: the rest is for who comes through them. */
static uint32_t connections_max(const struct agent *agent)
{
    uint64_t quarter = agent->descriptors_max / 4;
    return quarter < RL_RPC_CONNECTIONS_MAX ? (uint32_t)quarter : 0;
}

static rl_code listen_for_proxies(struct direct *direct, struct rl_error *err)
{
    const struct rl_rpc_server_config config = {
        .loop = direct->agent->loop,
        .connections_max = connections_max(direct->agent),
        .stream_window_bytes_max = RL_RPC_RAW_WINDOW_BYTES_MAX,
        .authorize = authorize,
        .authorize_context = direct,
        .now_s = agent_now_s,
        .now_context = direct->agent,
    };
    rl_code rc = rl_rpc_server_create_h2(&config, &direct->server, err);
    if (rc != RL_OK)
        return rc;
    rl_rpc_server_add(direct->server, &pb__dialer__descriptor, dialer, RL_COUNT(dialer),
                      direct->agent);
    const struct rl_rpc_listen where = {
        .address = direct->agent->settings.listen,
        .tls = direct->tls,
    };
    uint16_t port = 0;
    rc = rl_rpc_server_listen(direct->server, &where, &port, err);
    if (rc == RL_OK)
        rl_log_info("listening for proxies", RL_TEXT("address", where.address),
                    RL_NUMBER("port", port));
    return rc;
}

rl_code direct_create(struct agent *agent, struct direct **out, struct rl_error *err)
{
    struct direct *direct = rl_alloc(sizeof *direct);
    direct->agent = agent;
    rl_code rc = make_tls(direct, err);
    if (rc == RL_OK)
        rc = listen_for_proxies(direct, err);
    if (rc != RL_OK) {
        direct_free(&direct);
        return rc;
    }
    *out = direct;
    return RL_OK;
}

rl_code direct_reload(struct direct *direct, struct rl_error *err)
{
    return rl_tls_server_reload(direct->tls, rl_enrol_identity(direct->agent->enrol),
                                rl_enrol_trust(direct->agent->enrol), err);
}

void direct_free(struct direct **direct)
{
    if (!*direct)
        return;
    rl_rpc_server_free(&(*direct)->server);
    rl_tls_server_unref(&(*direct)->tls);
    free(*direct);
    *direct = NULL;
}
