/* hello: what a leaf's broker says of itself to a root's, signed for one broker and epoch. */
#include "internal.h"

#include "protocol/protocol.h"

#include <stdlib.h>
#include <string.h>

#define CERTIFICATE_BYTES_MAX 8192

static ProtobufCBinaryData binary(struct rl_span s)
{
    ProtobufCBinaryData data = {s.n, rl_alloc(s.n)};
    memcpy(data.data, s.p, s.n);
    return data;
}

static rl_code pack(const struct root *root, const Pb__Challenge *challenge, struct rl_buf *out,
                    struct rl_error *err)
{
    const struct broker_config *config = &root->roots->broker->config;
    char kind[] = "cluster", mode[] = "tunnel", version[] = RL_VERSION;
    char *kinds[] = {kind};
    char *id = rl_sprintf("cluster/%s/%s", config->cluster, config->id);
    Pb__Inventory inventory = PB__INVENTORY__INIT;
    inventory.n_kinds = RL_COUNT(kinds);
    inventory.kinds = kinds;
    inventory.mode = mode;
    inventory.version = version;
    Pb__Hello hello = PB__HELLO__INIT;
    hello.agent_id = id;
    hello.broker_id = challenge->broker_id;
    hello.epoch = challenge->epoch;
    hello.nonce = challenge->nonce;
    hello.version = version;
    hello.inventory = &inventory;
    hello.protocol = RL_PROTOCOL;
    hello.protocol_min = RL_PROTOCOL_MIN;
    root_policy_fill_hello(root, &hello);
    uint8_t *to = rl_buf_reserve(out, pb__hello__get_packed_size(&hello));
    if (to)
        out->n += pb__hello__pack(&hello, to);
    free(id);
    return to ? RL_OK : rl_fail(err, RL_E_EXHAUSTED, "a hello is too long");
}

rl_code root_hello(const struct root *root, const Pb__Challenge *challenge, Pb__AgentMessage **out,
                   struct rl_error *err)
{
    struct rl_tls_identity *own = root->roots->broker->own;
    struct rl_buf body, signature, certificate;
    rl_buf_init(&body, BROKER_HELLO_BYTES_MAX);
    rl_buf_init(&signature, 1024);
    rl_buf_init(&certificate, CERTIFICATE_BYTES_MAX);
    rl_code rc = pack(root, challenge, &body, err);
    if (rc == RL_OK)
        rc = rl_key_sign(rl_tls_identity_key(own), "remoteler-hello-v1", rl_buf_span(&body),
                         &signature, err);
    if (rc == RL_OK)
        rc = rl_x509_to_der(rl_tls_identity_certificate(own), &certificate, err);
    if (rc == RL_OK) {
        Pb__AgentMessage *message = rl_alloc(sizeof *message);
        pb__agent_message__init(message);
        message->body_case = PB__AGENT_MESSAGE__BODY_HELLO;
        message->hello = rl_alloc(sizeof *message->hello);
        pb__signed_hello__init(message->hello);
        message->hello->hello = binary(rl_buf_span(&body));
        message->hello->signature = binary(rl_buf_span(&signature));
        message->hello->certificate = binary(rl_buf_span(&certificate));
        *out = message;
    }
    rl_buf_fini(&body);
    rl_buf_fini(&signature);
    rl_buf_fini(&certificate);
    return rc;
}
