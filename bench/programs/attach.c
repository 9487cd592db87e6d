/* attach: what a broker hears of an agent. How it comes back is agent/uplink.c's way. */
#include "fleet.h"

#include "bytes/secret.h"
#include "clock/clock.h"
#include "protocol/protocol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_MS_MIN 200
#define RETRY_MS_MAX 30000
#define HELLO_BYTES_MAX 4096

static void say(const char *what)
{
    printf("%s %llu\n", what, (unsigned long long)rl_clock_boot_ms());
    fflush(stdout);
}

static void set_attached(struct fleet_agent *agent, bool is_attached)
{
    struct fleet *fleet = agent->fleet;
    if (agent->is_attached == is_attached)
        return;
    agent->is_attached = is_attached;
    fleet->attached += is_attached ? 1 : (size_t)-1;
    if (fleet->attached == fleet->count)
        say("all");
    else if (!is_attached && fleet->was_complete)
        say("down");
    fleet->was_complete = fleet->attached == fleet->count;
}

/* ---- what is said ---- */

static rl_code pack_hello(struct fleet_agent *agent, const Pb__Challenge *challenge,
                          struct rl_buf *out)
{
    static char node[] = "node", cluster[] = "cluster", tunnel[] = "tunnel", version[] = RL_VERSION;
    char *kinds[] = {agent->fleet->is_of_leaves ? cluster : node};
    uint8_t nonce[16];
    rl_random(nonce, sizeof nonce);
    Pb__Inventory inventory = PB__INVENTORY__INIT;
    inventory.hostname = agent->id;
    inventory.n_kinds = RL_COUNT(kinds);
    inventory.kinds = kinds;
    inventory.mode = tunnel;
    inventory.version = version;
    Pb__Hello hello = PB__HELLO__INIT;
    hello.agent_id = agent->id;
    hello.broker_id = challenge->broker_id;
    hello.epoch = challenge->epoch;
    hello.nonce = challenge->nonce;
    hello.version = version;
    hello.inventory = &inventory;
    hello.protocol = RL_PROTOCOL;
    hello.protocol_min = RL_PROTOCOL_MIN;
    hello.policy_version = agent->policy_version;
    if (agent->policy_version)
        hello.policy_sha256 =
            (ProtobufCBinaryData){sizeof agent->policy_sha256, agent->policy_sha256};
    else
        hello.policy_nonce = (ProtobufCBinaryData){sizeof nonce, nonce};
    uint8_t *to = rl_buf_reserve(out, pb__hello__get_packed_size(&hello));
    if (!to)
        return RL_E_EXHAUSTED;
    out->n += pb__hello__pack(&hello, to);
    return RL_OK;
}

static void on_challenge(struct fleet_agent *agent, const Pb__Challenge *challenge)
{
    struct rl_buf body, signature, certificate;
    rl_buf_init(&body, HELLO_BYTES_MAX);
    rl_buf_init(&signature, 1024);
    rl_buf_init(&certificate, HELLO_BYTES_MAX);
    if (agent->fleet->is_of_leaves &&
        rl_x509_to_der(rl_tls_identity_certificate(agent->identity), &certificate, NULL) != RL_OK)
        fleet_fail("hello", "its certificate can not be written");
    if (pack_hello(agent, challenge, &body) != RL_OK ||
        rl_key_sign(agent->key, "remoteler-hello-v1", rl_buf_span(&body), &signature, NULL) !=
            RL_OK)
        fleet_fail("hello", "it can not be signed");
    Pb__SignedHello hello = PB__SIGNED_HELLO__INIT;
    hello.hello = (ProtobufCBinaryData){body.n, body.p};
    hello.signature = (ProtobufCBinaryData){signature.n, signature.p};
    hello.certificate = (ProtobufCBinaryData){certificate.n, certificate.p};
    Pb__AgentMessage message = PB__AGENT_MESSAGE__INIT;
    message.body_case = PB__AGENT_MESSAGE__BODY_HELLO;
    message.hello = &hello;
    rl_rpc_send(agent->attach, &message.base, NULL);
    rl_buf_fini(&body);
    rl_buf_fini(&signature);
    rl_buf_fini(&certificate);
}

static void on_policy(struct fleet_agent *agent, const Pb__PolicyUpdate *update)
{
    Pb__PolicySeal *seal = update->seal ? pb__policy_seal__unpack(NULL, update->seal->seal.len,
                                                                  update->seal->seal.data)
                                        : NULL;
    if (!seal)
        return;
    if (seal->content_sha256.len == sizeof agent->policy_sha256) {
        agent->policy_version = seal->version;
        memcpy(agent->policy_sha256, seal->content_sha256.data, sizeof agent->policy_sha256);
    }
    pb__policy_seal__free_unpacked(seal, NULL);
    Pb__PolicyHeld held = PB__POLICY_HELD__INIT;
    held.version = agent->policy_version;
    held.sha256 = (ProtobufCBinaryData){sizeof agent->policy_sha256, agent->policy_sha256};
    Pb__AgentMessage message = PB__AGENT_MESSAGE__INIT;
    message.body_case = PB__AGENT_MESSAGE__BODY_POLICY_HELD;
    message.policy_held = &held;
    rl_rpc_send(agent->attach, &message.base, NULL);
}

static void on_drain(struct fleet_agent *agent, const Pb__Drain *drain)
{
    uint32_t random, wait_ms = drain->come_back_ms;
    rl_random(&random, sizeof random);
    rl_timer_arm(agent->move, wait_ms + random % (wait_ms / 4 + 1));
    rl_rpc_end(agent->attach, RL_OK, NULL);
}

static void on_message(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)call;
    struct fleet_agent *agent = context;
    const Pb__BrokerMessage *said = (const Pb__BrokerMessage *)message;
    switch (said->body_case) {
    case PB__BROKER_MESSAGE__BODY_CHALLENGE:
        on_challenge(agent, said->challenge);
        break;
    case PB__BROKER_MESSAGE__BODY_WELCOME:
        agent->retry_ms = RETRY_MS_MIN;
        set_attached(agent, true);
        break;
    case PB__BROKER_MESSAGE__BODY_POLICY:
        on_policy(agent, said->policy);
        break;
    case PB__BROKER_MESSAGE__BODY_DRAIN:
        on_drain(agent, said->drain);
        break;
    default:
        break;
    }
}

/* ---- coming back ---- */

static void on_closed(struct rl_rpc_call *call, rl_code code, const char *message, void *context)
{
    (void)call;
    (void)code;
    (void)message;
    struct fleet_agent *agent = context;
    agent->attach = NULL;
    set_attached(agent, false);
    if (!rl_rpc_channel_is_up(agent->channel) || rl_timer_is_armed(agent->move))
        return;
    uint32_t random;
    rl_random(&random, sizeof random);
    rl_timer_arm(agent->retry, random % (agent->retry_ms + 1));
    agent->retry_ms = agent->retry_ms * 2 < RETRY_MS_MAX ? agent->retry_ms * 2 : RETRY_MS_MAX;
}

static void half_closed(struct rl_rpc_call *call, void *context)
{
    (void)call;
    (void)context;
}

static void begin(void *context)
{
    static const struct rl_rpc_stream_ops ops = {
        .message = on_message, .half_closed = half_closed, .closed = on_closed};
    struct fleet_agent *agent = context;
    if (!agent->attach)
        agent->attach =
            rl_rpc_stream(agent->channel, &pb__tunnel_broker__descriptor, "Attach", 0, &ops, agent);
}

static void on_up(void *context, const struct rl_rpc_peer *peer)
{
    (void)peer;
    struct fleet_agent *agent = context;
    agent->retry_ms = RETRY_MS_MIN;
    rl_timer_disarm(agent->move);
    begin(agent);
}

static void move(void *context)
{
    struct fleet_agent *agent = context;
    rl_rpc_channel_renew(agent->channel, NULL);
}

void fleet_attach(struct fleet *fleet)
{
    struct rl_error err;
    char *sni = rl_sprintf("broker.%s" RL_TLS_SNI_SUFFIX, fleet->cluster);
    for (size_t i = 0; i < fleet->count; i++) {
        struct fleet_agent *agent = &fleet->agents[i];
        const struct rl_tls_client_config tls = {
            .identity = agent->identity,
            .trust = fleet->trust,
            .alpn = "h2",
            .sni = sni,
            .peer_kind = RL_IDENTITY_SERVICE,
            .peer_service = "broker",
        };
        const struct rl_rpc_channel_config channel = {
            .loop = fleet->loop,
            .address = fleet->proxy,
            .up = on_up,
            .context = agent,
            .stay_connected = true,
        };
        struct rl_rpc_channel_config with_tls = channel;
        agent->retry_ms = RETRY_MS_MIN;
        agent->retry = rl_timer_create(fleet->loop, begin, agent);
        agent->move = rl_timer_create(fleet->loop, move, agent);
        if (rl_tls_client_create(&tls, &agent->tls, &err) != RL_OK)
            fleet_fail("TLS", err.message);
        with_tls.tls = agent->tls;
        if (rl_rpc_channel_create_h2(&with_tls, &agent->channel, &err) != RL_OK)
            fleet_fail("a channel", err.message);
        rl_rpc_channel_connect(agent->channel);
    }
    free(sni);
}
