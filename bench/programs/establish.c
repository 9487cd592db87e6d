/* establish: each leaf makes its authorities, and auth takes them for the token, as the leaf's own
 * auth has it done. The broker's certificate is by one of them. */
#include "fleet.h"

#include "clock/clock.h"
#include "enrol/enrol.h"
#include "names/names.h"
#include "protocol/protocol.h"
#include "sshcert/sshkey.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT_ONCE 4
#define CALL_MS 60000
#define DAY_S 86400
#define DER_BYTES_MAX 8192

struct authority {
    X509 *certificate;
    EVP_PKEY *key;
    struct rl_buf der;
};

static void ask_next(struct fleet *fleet);

static void make_authority(struct authority *a, enum rl_identity_kind kind, const char *cluster)
{
    struct rl_error err;
    rl_buf_init(&a->der, DER_BYTES_MAX);
    if (rl_identity_create_ca(kind, cluster, rl_clock_wall_s(), 10 * DAY_S, &a->certificate,
                              &a->key, &err) != RL_OK ||
        rl_x509_to_der(a->certificate, &a->der, &err) != RL_OK)
        fleet_fail("an authority", err.message);
}

static void free_authority(struct authority *a)
{
    X509_free(a->certificate);
    EVP_PKEY_free(a->key);
    rl_buf_fini(&a->der);
}

static void make_host_key(struct rl_buf *blob)
{
    struct rl_error err;
    EVP_PKEY *key = NULL;
    rl_buf_init(blob, RL_SSHKEY_BLOB_BYTES_MAX);
    if (rl_sshkey_generate(&key, &err) != RL_OK || rl_sshkey_public_blob(key, blob, &err) != RL_OK)
        fleet_fail("a host key", err.message);
    EVP_PKEY_free(key);
}

static void make_broker(struct fleet_agent *agent, const struct authority *by, const char *cluster)
{
    char replica[RL_UUID_TEXT_BYTES], name[64];
    struct rl_error err;
    X509 *certificate = NULL;
    struct rl_buf der;
    Pb__IdentityClaims claims = PB__IDENTITY_CLAIMS__INIT;
    rl_uuid4(replica);
    rl_buf_init(&der, DER_BYTES_MAX);
    snprintf(name, sizeof name, "%s", cluster);
    snprintf(agent->id, sizeof agent->id, "cluster/%s/%s", name, replica);
    claims.format = 1;
    claims.cluster = name;
    if (rl_key_generate_p256(&agent->key, &err) != RL_OK)
        fleet_fail("a key", err.message);
    const struct rl_identity_request request = {
        .kind = RL_IDENTITY_SERVICE,
        .cluster = cluster,
        .name = replica,
        .service = "broker",
        .subject = agent->key,
        .claims = &claims,
        .now_s = rl_clock_wall_s(),
        .ttl_s = DAY_S,
    };
    if (rl_identity_issue(&request, by->certificate, by->key, &certificate, &err) != RL_OK ||
        rl_x509_to_der(certificate, &der, &err) != RL_OK)
        fleet_fail("a certificate", err.message);
    const struct rl_span chain = rl_buf_span(&der);
    if (rl_tls_identity_create(&chain, 1, agent->key, &agent->identity, &err) != RL_OK)
        fleet_fail("an identity", err.message);
    X509_free(certificate);
    rl_buf_fini(&der);
}

static void on_established(void *context, rl_code code, const char *message,
                           const ProtobufCMessage *reply)
{
    struct fleet *fleet = ((struct fleet_agent *)context)->fleet;
    struct rl_error err;
    if (code != RL_OK)
        fleet_fail("establishing trust", message);
    const Pb__EstablishResponse *answer = (const Pb__EstablishResponse *)reply;
    if (!fleet->trust) {
        if (rl_trust_from_bundle(answer->trust, &fleet->trust, &err) != RL_OK)
            fleet_fail("the trust", err.message);
        fleet->cluster = rl_strdup(rl_trust_cluster(fleet->trust));
    }
    fleet->joined++;
    ask_next(fleet);
}

static void ask(struct fleet *fleet, struct fleet_agent *agent, size_t number)
{
    static char version[] = RL_VERSION;
    struct authority services, hosts;
    struct rl_buf host_key;
    char cluster[32];
    snprintf(cluster, sizeof cluster, "leaf-%05zu.bench", number);
    agent->fleet = fleet;
    make_authority(&services, RL_IDENTITY_SERVICE, cluster);
    make_authority(&hosts, RL_IDENTITY_AGENT, cluster);
    make_host_key(&host_key);
    make_broker(agent, &services, cluster);
    ProtobufCBinaryData service_ca = {services.der.n, services.der.p};
    ProtobufCBinaryData host_ca = {hosts.der.n, hosts.der.p};
    ProtobufCBinaryData host_ssh_ca = {host_key.n, host_key.p};
    Pb__TrustBundle trust = PB__TRUST_BUNDLE__INIT;
    trust.cluster = cluster;
    trust.n_service_cas = trust.n_host_cas = trust.n_host_ssh_cas = 1;
    trust.service_cas = &service_ca;
    trust.host_cas = &host_ca;
    trust.host_ssh_cas = &host_ssh_ca;
    Pb__EstablishRequest request = PB__ESTABLISH_REQUEST__INIT;
    request.token = (char *)(uintptr_t)fleet->token;
    request.trust = &trust;
    request.version = version;
    request.protocol = RL_PROTOCOL;
    request.protocol_min = RL_PROTOCOL_MIN;
    rl_rpc_unary(fleet->auth_channel, &pb__trust__descriptor, "Establish", &request.base, CALL_MS,
                 on_established, agent, NULL);
    free_authority(&services);
    free_authority(&hosts);
    rl_buf_fini(&host_key);
}

static void ask_next(struct fleet *fleet)
{
    if (fleet->asked == fleet->count)
        return;
    size_t number = fleet->asked++;
    ask(fleet, &fleet->agents[number], number);
}

void fleet_join(struct fleet *fleet)
{
    fleet->is_of_leaves = true;
    fleet_open_auth(fleet);
    for (size_t i = 0; i < AT_ONCE; i++)
        ask_next(fleet);
    while (fleet->joined < fleet->count)
        rl_loop_turn(fleet->loop, 1000);
    fleet_close_auth(fleet);
}
