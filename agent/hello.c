#include "hello.h"

#include "policy_keeper.h"
#include "protocol/protocol.h"
#include "sshcert/sshkey.h"

#include <stdlib.h>
#include <string.h>

#define HELLO_BYTES_MAX 65536

static ProtobufCBinaryData binary(struct rl_span s)
{
    ProtobufCBinaryData data = {s.n, rl_alloc(s.n)};
    if (s.n)
        memcpy(data.data, s.p, s.n);
    return data;
}

/* Everything in `hello` is borrowed from the agent: it is packed before anything changes. */
static rl_code pack(struct agent *agent, const Pb__Challenge *challenge, struct rl_buf *out,
                    struct rl_error *err)
{
    struct rl_buf host_key;
    rl_buf_init(&host_key, 1024);
    rl_code rc = rl_sshkey_public_blob(rl_enrol_ssh_host_key(agent->enrol), &host_key, err);
    if (rc != RL_OK)
        return rc;
    char node_kind[] = "node", mode[] = "tunnel", direct[] = "direct", version[] = RL_VERSION;
    char *kinds[] = {node_kind};
    char empty[] = "";
    Pb__Inventory inventory = PB__INVENTORY__INIT;
    inventory.hostname = agent->hostname;
    inventory.n_labels = agent->label_count;
    inventory.labels = agent->labels;
    inventory.n_kinds = RL_COUNT(kinds);
    inventory.kinds = kinds;
    inventory.mode = agent->is_direct ? direct : mode;
    inventory.address = agent->settings.advertise ? agent->settings.advertise : empty;
    inventory.ssh_host_key = (ProtobufCBinaryData){host_key.n, host_key.p};
    inventory.version = version;
    Pb__Hello hello = PB__HELLO__INIT;
    hello.agent_id = rl_strdup(rl_enrol_id(agent->enrol));
    hello.broker_id = challenge->broker_id;
    hello.epoch = challenge->epoch;
    hello.nonce = challenge->nonce;
    hello.version = version;
    hello.inventory = &inventory;
    hello.protocol = RL_PROTOCOL;
    hello.protocol_min = RL_PROTOCOL_MIN;
    policy_keeper_fill_hello(agent->policy, &hello);
    size_t n = pb__hello__get_packed_size(&hello);
    uint8_t *to = rl_buf_reserve(out, n);
    if (to)
        out->n += pb__hello__pack(&hello, to);
    else
        rc = rl_fail(err, RL_E_EXHAUSTED, "labels and names are too long for one hello");
    free(hello.agent_id);
    rl_buf_fini(&host_key);
    return rc;
}

rl_code hello_sign(struct agent *agent, const Pb__Challenge *challenge, Pb__AgentMessage **out,
                   struct rl_error *err)
{
    struct rl_buf body, signature;
    rl_buf_init(&body, HELLO_BYTES_MAX);
    rl_buf_init(&signature, 1024);
    EVP_PKEY *key = rl_tls_identity_key(rl_enrol_identity(agent->enrol));
    rl_code rc = pack(agent, challenge, &body, err);
    if (rc == RL_OK)
        rc = rl_key_sign(key, "remoteler-hello-v1", rl_buf_span(&body), &signature, err);
    if (rc == RL_OK) {
        Pb__AgentMessage *message = rl_alloc(sizeof *message);
        pb__agent_message__init(message);
        message->body_case = PB__AGENT_MESSAGE__BODY_HELLO;
        message->hello = rl_alloc(sizeof *message->hello);
        pb__signed_hello__init(message->hello);
        message->hello->hello = binary(rl_buf_span(&body));
        message->hello->signature = binary(rl_buf_span(&signature));
        *out = message;
    }
    rl_buf_fini(&body);
    rl_buf_fini(&signature);
    return rc;
}
