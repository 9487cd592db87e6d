/* join: certificates for the whole fleet, many requests at a time over one connection to auth. */
#include "fleet.h"

#include "enrol/answer.h"
#include "enrol/enrol.h"
#include "sshcert/sshkey.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT_ONCE 32
#define CALL_MS 60000

static void ask_next(struct fleet *fleet);

static void take_identity(struct fleet_agent *agent, const Pb__JoinResponse *answer)
{
    struct rl_error err;
    struct rl_span chain[RL_IDENTITY_CHAIN_MAX];
    size_t n = 0;
    for (; n < answer->n_tls_chain && n < RL_COUNT(chain); n++)
        chain[n] = RL_SPAN(answer->tls_chain[n].data, answer->tls_chain[n].len);
    snprintf(agent->id, sizeof agent->id, "%s", answer->id);
    if (rl_tls_identity_create(chain, n, agent->key, &agent->identity, &err) != RL_OK)
        fleet_fail("a certificate", err.message);
    struct fleet *fleet = agent->fleet;
    if (!fleet->trust) {
        if (rl_trust_from_bundle(answer->trust, &fleet->trust, &err) != RL_OK)
            fleet_fail("the trust", err.message);
        fleet->cluster = rl_strdup(rl_trust_cluster(fleet->trust));
    }
}

static void on_joined(void *context, rl_code code, const char *message,
                      const ProtobufCMessage *reply)
{
    struct fleet_agent *agent = context;
    if (code != RL_OK)
        fleet_fail("joining", message);
    take_identity(agent, (const Pb__JoinResponse *)reply);
    agent->fleet->joined++;
    ask_next(agent->fleet);
}

/* Host keys are not used here: one does for all. */
static struct rl_buf *host_key(void)
{
    static struct rl_buf blob;
    struct rl_error err;
    EVP_PKEY *key = NULL;
    if (blob.n)
        return &blob;
    rl_buf_init(&blob, RL_SSHKEY_BLOB_BYTES_MAX);
    if (rl_sshkey_generate(&key, &err) != RL_OK || rl_sshkey_public_blob(key, &blob, &err) != RL_OK)
        fleet_fail("a host key", err.message);
    EVP_PKEY_free(key);
    return &blob;
}

static void ask(struct fleet *fleet, struct fleet_agent *agent, size_t number)
{
    static char kind[] = "agent", node[] = "node", version[] = RL_VERSION, *kinds[] = {node};
    struct rl_error err;
    struct rl_buf spki, proof;
    char name[32];
    snprintf(name, sizeof name, "bench-%05zu", number);
    rl_buf_init(&spki, 4096);
    rl_buf_init(&proof, 4096);
    agent->fleet = fleet;
    if (rl_key_generate_p256(&agent->key, &err) != RL_OK ||
        rl_key_to_spki(agent->key, &spki, &err) != RL_OK ||
        rl_proof_join(agent->key, fleet->token, &proof, &err) != RL_OK)
        fleet_fail("a key", err.message);
    Pb__JoinRequest request = PB__JOIN_REQUEST__INIT;
    request.token = (char *)(uintptr_t)fleet->token;
    request.kind = kind;
    request.n_agent_kinds = RL_COUNT(kinds);
    request.agent_kinds = kinds;
    request.node_name = name;
    request.hostname = name;
    request.version = version;
    request.tls_public_key = (ProtobufCBinaryData){spki.n, spki.p};
    request.proof = (ProtobufCBinaryData){proof.n, proof.p};
    request.ssh_public_key = (ProtobufCBinaryData){host_key()->n, host_key()->p};
    rl_rpc_unary(fleet->auth_channel, &pb__auth__descriptor, "Join", &request.base, CALL_MS,
                 on_joined, agent, NULL);
    rl_buf_fini(&spki);
    rl_buf_fini(&proof);
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
    fleet_open_auth(fleet);
    for (size_t i = 0; i < AT_ONCE; i++)
        ask_next(fleet);
    while (fleet->joined < fleet->count)
        rl_loop_turn(fleet->loop, 1000);
    fleet_close_auth(fleet);
}
