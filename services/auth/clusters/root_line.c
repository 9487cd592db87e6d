/* root_line: a loop of its own for each call: it lasts as long as the call, on the thread of
 * whoever waits for it. They are few: trust established, ended, authorities that rotate. */
#include "clusters/root.h"

#include "authority/issue.h"
#include "clock/clock.h"
#include "clusters/peer_trust.h"

#include <stdlib.h>

#define CALL_MS 10000

struct line {
    struct rl_loop *loop;
    struct rl_tls_identity *identity;
    struct rl_trust *trust;
    struct rl_tls_client *tls;
    struct rl_rpc_channel *channel;
};

static rl_code own_identity(struct rl_auth *auth, struct rl_tls_identity **out,
                            struct rl_error *err)
{
    struct rl_snapshot *snapshot = NULL;
    rl_code rc = rl_snapshots_current(auth->snapshots, &snapshot, err);
    if (rc == RL_OK)
        rc = rl_issue_own(snapshot, auth->cluster, auth->id, NULL, 0, rl_clock_wall_ns(), out, err);
    rl_snapshot_unref(&snapshot);
    return rc;
}

static rl_code open_line(struct rl_auth *auth, const struct rl_root_line *to, struct line *line,
                         struct rl_error *err)
{
    rl_code rc = rl_loop_create(&line->loop, err);
    if (rc == RL_OK && to->as_auth)
        rc = own_identity(auth, &line->identity, err);
    if (rc == RL_OK && to->trust)
        rc = rl_peer_services_trust(to->trust, &line->trust, err);
    if (rc != RL_OK)
        return rc;
    char *sni = rl_sprintf("auth.%s" RL_TLS_SNI_SUFFIX, to->cluster);
    const struct rl_tls_client_config tls = {
        .identity = line->identity,
        .trust = line->trust,
        .pin = to->pin,
        .alpn = "h2",
        .sni = sni,
        .peer_kind = RL_IDENTITY_SERVICE,
        .peer_service = "auth",
        .peer_cluster = to->cluster,
    };
    rc = rl_tls_client_create(&tls, &line->tls, err);
    free(sni);
    if (rc != RL_OK)
        return rc;
    const struct rl_rpc_channel_config channel = {
        .loop = line->loop,
        .address = to->proxy,
        .tls = line->tls,
        .http_proxy = auth->http_proxy,
    };
    return rl_rpc_channel_create_h2(&channel, &line->channel, err);
}

static void close_line(struct line *line)
{
    rl_rpc_channel_free(&line->channel);
    rl_tls_client_unref(&line->tls);
    rl_trust_unref(&line->trust);
    rl_tls_identity_unref(&line->identity);
    if (line->loop)
        rl_loop_free(&line->loop);
}

rl_code rl_root_call(struct rl_auth *auth, const struct rl_root_line *to, const char *method,
                     const ProtobufCMessage *request, ProtobufCMessage **reply,
                     struct rl_error *err)
{
    struct line line = {0};
    rl_code rc = open_line(auth, to, &line, err);
    if (rc == RL_OK)
        rc = rl_rpc_unary_wait(line.channel, &pb__trust__descriptor, method, request, CALL_MS,
                               reply, err);
    close_line(&line);
    return rc == RL_OK ? rc : rl_error_prefix(err, "%s at %s", to->cluster, to->proxy);
}
