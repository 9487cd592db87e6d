/* A client of a leaf's auth or audit: TLS inside of a stream through the proxy. */
#include "client.h"

#include "clusters.h"
#include "identity.h"
#include "inner.h"
#include "leaves.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How far the handshake inside has come. */
struct tsh_progress {
    bool is_up, is_down;
    struct rl_error why;
};

static void on_up(void *context, const struct rl_rpc_peer *peer)
{
    (void)peer;
    ((struct tsh_progress *)context)->is_up = true;
}

static void on_down(void *context, rl_code code, const char *message)
{
    struct tsh_progress *p = context;
    p->is_down = true;
    rl_fail(&p->why, code, "%s", message);
}

static rl_code connect_inner(struct tsh_client *c, const char *address, int fd,
                             struct rl_error *err)
{
    struct tsh_progress *p = c->progress = rl_alloc(sizeof *p);
    const struct rl_rpc_channel_config config = {
        .loop = c->loop,
        .address = address,
        .tls = c->tls,
        .connect_timeout_ms = TSH_CALL_MS,
        .up = on_up,
        .down = on_down,
        .context = p,
        .has_socket = true,
        .socket = fd,
    };
    rl_code rc = rl_rpc_channel_create_h2(&config, &c->channel, err);
    if (rc != RL_OK) {
        close(fd);
        return rc;
    }
    rl_rpc_channel_connect(c->channel);
    while (!p->is_up && !p->is_down)
        rl_loop_turn(c->loop, 1000);
    return p->is_up ? RL_OK : rl_fail(err, p->why.code, "%s", p->why.message);
}

static rl_code open_inner(const struct tsh_profile *profile, const char *cluster,
                          const char *service, struct rl_trust *trust, struct tsh_client *out,
                          struct rl_error *err)
{
    struct tsh_client c = {0};
    struct rl_tls_identity *identity = NULL;
    struct rl_trust *own = NULL;
    int fd = -1;
    rl_code rc = tsh_identity(profile, &identity, &own, err);
    if (rc != RL_OK)
        return rc;
    char *name = rl_sprintf("%s.%s" RL_TLS_SNI_SUFFIX, service, cluster);
    const struct rl_tls_client_config tls = {
        .identity = identity,
        .trust = trust,
        .alpn = "h2",
        .sni = name,
        .peer_kind = RL_IDENTITY_SERVICE,
        .peer_service = service,
    };
    if ((rc = rl_loop_create(&c.loop, err)) == RL_OK &&
        (rc = rl_tls_client_create(&tls, &c.tls, err)) == RL_OK &&
        (rc = tsh_inner_open(profile, cluster, service, &c.inner, &fd, err)) == RL_OK)
        rc = connect_inner(&c, name, fd, err);
    if (rc == RL_OK)
        *out = c;
    else
        tsh_client_close(&c);
    free(name);
    rl_tls_identity_unref(&identity);
    rl_trust_unref(&own);
    return rc;
}

static rl_code try_leaf(const struct tsh_profile *profile, const char *cluster, const char *service,
                        struct tsh_client *out, struct rl_error *err)
{
    struct rl_trust *trust = NULL;
    rl_code rc = tsh_leaves_trust(profile, cluster, &trust, err);
    if (rc == RL_OK)
        rc = open_inner(profile, cluster, service, trust, out, err);
    rl_trust_unref(&trust);
    return rc;
}

/* Who is not known, or not believed, may have come, or have rotated his authorities, since auth was
 * last asked. */
static rl_code open_leaf(const struct tsh_profile *profile, const char *cluster,
                         const char *service, struct tsh_client *out, struct rl_error *err)
{
    bool changed = false;
    struct rl_error first;
    rl_code rc = try_leaf(profile, cluster, service, out, &first);
    if ((rc == RL_E_NOT_FOUND || rc == RL_E_UNAUTHENTICATED) &&
        tsh_clusters_refresh(profile, &changed, NULL, NULL) == RL_OK && changed)
        rc = try_leaf(profile, cluster, service, out, &first);
    if (rc == RL_OK)
        return RL_OK;
    rl_fail(err, rc, "%s", first.message);
    return strstr(first.message, cluster) ? rc : rl_error_prefix(err, "cluster %s", cluster);
}

rl_code tsh_client_open(const struct tsh_profile *profile, const char *cluster, const char *service,
                        struct tsh_client *out, struct rl_error *err)
{
    if (!cluster || tsh_cluster_is_own(profile, cluster))
        return tsh_client_open_own(profile, service, out, err);
    rl_code rc = tsh_profile_check_valid(profile, err);
    return rc == RL_OK ? open_leaf(profile, cluster, service, out, err) : rc;
}
