#include "tctl.h"

#include "bundle/bundle.h"
#include "enrol/enrol.h"

#include <stdlib.h>

static rl_code load_identity(struct tctl_client *client, struct rl_error *err)
{
    const char *path = getenv("REMOTELER_IDENTITY_FILE");
    const char *server = getenv("REMOTELER_AUTH_SERVER");
    if (!path || !path[0] || !server || !server[0])
        return rl_fail(err, RL_E_UNAUTHENTICATED,
                       "set REMOTELER_AUTH_SERVER to auth's HOST:PORT and REMOTELER_IDENTITY_FILE "
                       "to an administrator's identity file (remoteler-auth bootstrap makes one)");
    rl_code rc = rl_bundle_read(path, &client->identity, &client->bundle, err);
    if (rc != RL_OK)
        return rc;
    rc = rl_trust_from_bundle(client->bundle, &client->trust, err);
    client->cluster = rl_strdup(client->bundle->cluster);
    client->address = rl_strdup(server);
    return rc;
}

static rl_code open_channel(struct tctl_client *client, const char *service, const char *address,
                            struct rl_tls_client **tls, struct rl_rpc_channel **channel,
                            struct rl_error *err)
{
    char *sni = rl_sprintf("%s.%s" RL_TLS_SNI_SUFFIX, service, client->cluster);
    const struct rl_tls_client_config config = {
        .identity = client->identity,
        .trust = client->trust,
        .alpn = "h2",
        .sni = sni,
        .peer_kind = RL_IDENTITY_SERVICE,
        .peer_service = service,
    };
    rl_code rc = rl_tls_client_create(&config, tls, err);
    free(sni);
    if (rc != RL_OK)
        return rc;
    const struct rl_rpc_channel_config how = {
        .loop = client->loop, .address = address, .tls = *tls};
    return rl_rpc_channel_create_h2(&how, channel, err);
}

rl_code tctl_open(struct tctl_client *out, struct rl_error *err)
{
    *out = (struct tctl_client){0};
    rl_code rc = load_identity(out, err);
    if (rc == RL_OK)
        rc = rl_loop_create(&out->loop, err);
    if (rc == RL_OK)
        rc = open_channel(out, "auth", out->address, &out->tls, &out->channel, err);
    if (rc != RL_OK)
        tctl_close(out);
    return rc;
}

rl_code tctl_open_audit(struct tctl_client *client, struct rl_tls_client **tls,
                        struct rl_rpc_channel **channel, struct rl_error *err)
{
    ProtobufCMessage *reply = NULL;
    Pb__StatusRequest request = PB__STATUS_REQUEST__INIT;
    rl_code rc = tctl_call(client, "Status", &request.base, &reply, err);
    if (rc != RL_OK)
        return rc;
    const Pb__StatusResponse *status = (const Pb__StatusResponse *)reply;
    if (status->audit_address[0])
        rc = open_channel(client, "audit", status->audit_address, tls, channel, err);
    else
        rc = rl_fail(err, RL_E_UNAVAILABLE, "no audit service is running; see tctl status");
    protobuf_c_message_free_unpacked(reply, NULL);
    return rc;
}

rl_code tctl_call(struct tctl_client *client, const char *method, const ProtobufCMessage *request,
                  ProtobufCMessage **reply, struct rl_error *err)
{
    return rl_rpc_unary_wait(client->channel, &pb__admin__descriptor, method, request, TCTL_CALL_MS,
                             reply, err);
}

void tctl_close(struct tctl_client *client)
{
    rl_rpc_channel_free(&client->channel);
    rl_tls_client_unref(&client->tls);
    rl_tls_identity_unref(&client->identity);
    rl_trust_unref(&client->trust);
    if (client->bundle)
        pb__trust_bundle__free_unpacked(client->bundle, NULL);
    rl_loop_free(&client->loop);
    free(client->cluster);
    free(client->address);
    *client = (struct tctl_client){0};
}
