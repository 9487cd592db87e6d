#include "client.h"

#include "identity.h"
#include "inner.h"

#include <stdlib.h>

static rl_code open_channel(const char *address, const struct rl_tls_client_config *tls,
                            struct tsh_client *out, struct rl_error *err)
{
    *out = (struct tsh_client){0};
    rl_code rc = rl_loop_create(&out->loop, err);
    if (rc == RL_OK)
        rc = rl_tls_client_create(tls, &out->tls, err);
    if (rc == RL_OK) {
        const struct rl_rpc_channel_config channel = {
            .loop = out->loop, .address = address, .tls = out->tls};
        rc = rl_rpc_channel_create_h2(&channel, &out->channel, err);
    }
    if (rc != RL_OK)
        tsh_client_close(out);
    return rc;
}

rl_code tsh_client_open_own(const struct tsh_profile *profile, const char *service,
                            struct tsh_client *out, struct rl_error *err)
{
    struct rl_tls_identity *identity = NULL;
    struct rl_trust *trust = NULL;
    rl_code rc = tsh_profile_check_valid(profile, err);
    if (rc == RL_OK)
        rc = tsh_identity(profile, &identity, &trust, err);
    if (rc != RL_OK)
        return rc;
    char *sni =
        rl_sprintf("%s.%s" RL_TLS_SNI_SUFFIX, service, tsh_profile_text(profile, "cluster"));
    const struct rl_tls_client_config tls = {
        .identity = identity,
        .trust = trust,
        .alpn = "h2",
        .sni = sni,
        .peer_kind = RL_IDENTITY_SERVICE,
        .peer_service = service,
    };
    rc = open_channel(tsh_profile_text(profile, "proxy"), &tls, out, err);
    free(sni);
    rl_tls_identity_unref(&identity);
    rl_trust_unref(&trust);
    return rc;
}

rl_code tsh_client_open_bootstrap(const struct tsh_bootstrap *how, struct tsh_client *out,
                                  struct rl_error *err)
{
    char *sni = how->cluster ? rl_sprintf("auth.%s" RL_TLS_SNI_SUFFIX, how->cluster)
                             : rl_strdup("auth" RL_TLS_SNI_SUFFIX);
    const struct rl_tls_client_config tls = {
        .trust = how->trust,
        .alpn = "h2",
        .sni = sni,
        .peer_kind = RL_IDENTITY_SERVICE,
        .peer_service = "auth",
        .pin = how->pin,
        .insecure = how->insecure,
    };
    rl_code rc = open_channel(how->proxy, &tls, out, err);
    free(sni);
    return rc;
}

rl_code tsh_client_call(struct tsh_client *client, const ProtobufCServiceDescriptor *service,
                        const char *method, const ProtobufCMessage *request,
                        ProtobufCMessage **reply, struct rl_error *err)
{
    return rl_rpc_unary_wait(client->channel, service, method, request, TSH_CALL_MS, reply, err);
}

void tsh_client_close(struct tsh_client *client)
{
    rl_rpc_channel_free(&client->channel);
    free(client->progress);
    client->progress = NULL;
    tsh_inner_close(&client->inner);
    rl_tls_client_unref(&client->tls);
    rl_loop_free(&client->loop);
}
