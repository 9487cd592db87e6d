#include "uplink.h"

#include "admission.h"
#include "bytes/secret.h"
#include "carry.h"
#include "events.h"
#include "hello.h"
#include "log/log.h"
#include "node.h"
#include "policy_keeper.h"
#include "protocol/protocol.h"
#include "rpc/raw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_MS_MIN 200
#define RETRY_MS_MAX 30000
#define COME_BACK_MS_MAX 300000
#define PROBE_MS 3000
#define LEAVE_MS 3000 /* that the other side has to let us go */

struct uplink {
    struct agent *agent;
    struct rl_tls_client *tls;
    struct rl_rpc_channel *channel;
    struct rl_rpc_call *call;      /* Attach or Follow; NULL: not now */
    struct rl_timer *retry, *move; /* begin again; on another connection */
    struct rl_timer *leave;        /* a stream that we are done with */
    uint32_t retry_ms;
    uint64_t epoch;
    struct carry_waiting *waiting;
    bool is_attached;
    char broker[64];
    int64_t since_ns;
    char last_error[RL_ERROR_MESSAGE_BYTES];
};

static void set_state(struct uplink *uplink, bool is_attached, const char *error)
{
    if (uplink->is_attached != is_attached)
        uplink->since_ns = agent_now_ns(uplink->agent);
    uplink->is_attached = is_attached;
    snprintf(uplink->last_error, sizeof uplink->last_error, "%s", error);
}

/* ---- what comes ---- */

static void send_refusal(void *context, struct rl_span stream_id, rl_code code, const char *message)
{
    struct uplink *uplink = context;
    if (!uplink->call)
        return;
    struct rl_error text;
    rl_fail(&text, code, "%s", message);
    uint8_t id[64];
    size_t n = stream_id.n < sizeof id ? stream_id.n : sizeof id;
    if (n)
        memcpy(id, stream_id.p, n);
    Pb__OpenRefused refused = PB__OPEN_REFUSED__INIT;
    refused.stream_id = (ProtobufCBinaryData){n, id};
    refused.code = (uint32_t)code;
    refused.message = text.message;
    Pb__AgentMessage message_out = PB__AGENT_MESSAGE__INIT;
    message_out.body_case = PB__AGENT_MESSAGE__BODY_REFUSED;
    message_out.refused = &refused;
    rl_rpc_send(uplink->call, &message_out.base, NULL);
}

/* A hello counts for one broker: none gets it in another's name. */
static bool is_its_own(const struct uplink *uplink, const Pb__Challenge *challenge)
{
    const struct rl_rpc_peer *peer = rl_rpc_peer(uplink->call);
    return peer && peer->identity && strcmp(peer->identity->name, challenge->broker_id) == 0;
}

static void on_challenge(struct uplink *uplink, const Pb__Challenge *challenge)
{
    struct rl_error err;
    Pb__AgentMessage *hello = NULL;
    if (!is_its_own(uplink, challenge)) {
        rl_log_error("a challenge in another's name", RL_TEXT("says", challenge->broker_id));
        rl_rpc_cancel(uplink->call);
        return;
    }
    uplink->epoch = challenge->epoch;
    snprintf(uplink->broker, sizeof uplink->broker, "%s", challenge->broker_id);
    rl_code rc =
        rl_protocol_check(challenge->protocol, challenge->protocol_min, "the other side", &err);
    if (rc == RL_OK)
        rc = hello_sign(uplink->agent, challenge, &hello, &err);
    if (rc == RL_OK)
        rc = rl_rpc_send(uplink->call, &hello->base, &err);
    if (hello)
        pb__agent_message__free_unpacked(hello, NULL);
    if (rc != RL_OK) {
        rl_log_error("hello could not be said", RL_TEXT("reason", err.message));
        rl_rpc_cancel(uplink->call);
    }
}

/* The host authority may have been replaced. */
static void expect_issuer(struct agent *agent)
{
    const struct rl_policy *policy = policy_keeper_policy(agent->policy);
    const Pb__AgentSettings *settings = policy ? rl_policy_settings(policy) : NULL;
    if (settings)
        rl_enrol_expect_issuer(agent->enrol,
                               RL_SPAN(settings->host_ca_sha256.data, settings->host_ca_sha256.len),
                               settings->renew_within_s);
}

static void on_welcome(struct uplink *uplink)
{
    uplink->retry_ms = RETRY_MS_MIN;
    set_state(uplink, true, "");
    rl_log_info("attached", RL_TEXT("broker", uplink->broker), RL_NUMBER("epoch", uplink->epoch));
    expect_issuer(uplink->agent); /* as it was before, when the policy is still the same */
}

/* A tunnelled agent reaches audit through its proxy: where else is not a broker's to say. */
static void on_audit_place(struct uplink *uplink, const Pb__AuditPlace *place)
{
    if (uplink->agent->is_direct && place->address[0])
        events_move(uplink->agent, place->address);
}

/* What is held, or 0: send a snapshot. */
static void send_held(struct uplink *uplink, bool needs_snapshot)
{
    uint8_t hash[32];
    Pb__PolicyHeld held = PB__POLICY_HELD__INIT;
    if (!needs_snapshot)
        policy_keeper_held(uplink->agent->policy, &held, hash);
    Pb__AgentMessage message = PB__AGENT_MESSAGE__INIT;
    message.body_case = PB__AGENT_MESSAGE__BODY_POLICY_HELD;
    message.policy_held = &held;
    rl_rpc_send(uplink->call, &message.base, NULL);
}

static void on_policy(struct uplink *uplink, const Pb__PolicyUpdate *update)
{
    struct rl_error err;
    rl_code rc = policy_keeper_update(uplink->agent->policy, update, &err);
    if (rc != RL_OK)
        rl_log_warn("a policy was not taken", RL_TEXT("code", rl_code_name(rc)),
                    RL_TEXT("reason", err.message));
    if (rc == RL_OK || rc == RL_E_PRECONDITION)
        send_held(uplink, rc != RL_OK);
    if (rc == RL_OK) {
        node_policy_changed(uplink->agent->node);
        admission_policy_changed(uplink->agent->admission);
        expect_issuer(uplink->agent);
    }
}

static void on_open(struct uplink *uplink, const Pb__Open *open)
{
    const struct carry_open how = {
        .agent = uplink->agent,
        .admission = uplink->agent->admission,
        .channel = uplink->channel,
        .epoch = uplink->epoch,
        .refuse = send_refusal,
        .context = uplink,
    };
    carry_answer(&how, open, &uplink->waiting);
}

static void on_statement(struct uplink *uplink, const Pb__SignedStatement *statement)
{
    struct rl_error err;
    if (policy_keeper_hear(uplink->agent->policy, statement, &err) != RL_OK)
        rl_log_warn("a statement was not believed", RL_TEXT("reason", err.message));
}

/* The next connection is made before this one is cut; its live connections end on it. */
static void move(void *context)
{
    struct uplink *uplink = context;
    rl_rpc_channel_renew(uplink->channel, NULL);
}

/* The stream ends when the other side has nothing more to say, or takes too long for it. */
static void leave(struct uplink *uplink)
{
    if (!uplink->call)
        return;
    rl_rpc_end(uplink->call, RL_OK, NULL);
    rl_timer_arm(uplink->leave, LEAVE_MS);
}

static void on_not_let_go(void *context)
{
    struct uplink *uplink = context;
    if (uplink->call)
        rl_rpc_cancel(uplink->call);
}

/* A broker may ask for patience, not for good-bye. */
uint32_t uplink_come_back_ms(uint32_t asked_ms)
{
    return asked_ms < COME_BACK_MS_MAX ? asked_ms : COME_BACK_MS_MAX;
}

/* Full: not before it says, and spread out: a thousand others were told the same. */
static void on_drain(struct uplink *uplink, const Pb__Drain *drain)
{
    uint32_t random, wait_ms = uplink_come_back_ms(drain->come_back_ms);
    rl_random(&random, sizeof random);
    rl_log_info("the broker asks us to move", RL_TEXT("reason", drain->reason),
                RL_NUMBER("in_ms", wait_ms));
    rl_timer_arm(uplink->move, wait_ms + random % (wait_ms / 4 + 1));
    leave(uplink);
}

static void on_message(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)call;
    struct uplink *uplink = context;
    const Pb__BrokerMessage *said = (const Pb__BrokerMessage *)message;
    switch (said->body_case) {
    case PB__BROKER_MESSAGE__BODY_CHALLENGE:
        on_challenge(uplink, said->challenge);
        break;
    case PB__BROKER_MESSAGE__BODY_WELCOME:
        on_welcome(uplink);
        break;
    case PB__BROKER_MESSAGE__BODY_POLICY:
        on_policy(uplink, said->policy);
        break;
    case PB__BROKER_MESSAGE__BODY_OPEN:
        on_open(uplink, said->open);
        break;
    case PB__BROKER_MESSAGE__BODY_STATEMENT:
        on_statement(uplink, said->statement);
        break;
    case PB__BROKER_MESSAGE__BODY_DRAIN:
        on_drain(uplink, said->drain);
        break;
    case PB__BROKER_MESSAGE__BODY_AUDIT_PLACE:
        on_audit_place(uplink, said->audit_place);
        break;
    default:
        break; /* a newer broker's */
    }
}

/* ---- the stream's life ---- */

/* Full jitter: anything between nothing and the step, which doubles. */
static void retry_later(struct uplink *uplink)
{
    uint32_t random;
    rl_random(&random, sizeof random);
    rl_timer_arm(uplink->retry, random % (uplink->retry_ms + 1));
    if (uplink->retry_ms < RETRY_MS_MAX)
        uplink->retry_ms *= 2;
    if (uplink->retry_ms > RETRY_MS_MAX)
        uplink->retry_ms = RETRY_MS_MAX;
}

static void on_closed(struct rl_rpc_call *call, rl_code code, const char *message, void *context)
{
    (void)call;
    struct uplink *uplink = context;
    uplink->call = NULL;
    rl_timer_disarm(uplink->leave);
    carry_drop(&uplink->waiting);
    bool was_attached = uplink->is_attached;
    set_state(uplink, false, message);
    /* The channel is gone when it is what ends the call, as the agent stops. */
    bool is_up = uplink->channel && rl_rpc_channel_is_up(uplink->channel);
    if (was_attached || is_up)
        rl_log_warn("detached", RL_TEXT("code", rl_code_name(code)), RL_TEXT("reason", message));
    /* Without a connection the channel's own back-off decides when; `up` begins anew. */
    if (is_up && !rl_timer_is_armed(uplink->move))
        retry_later(uplink);
}

static void half_closed(struct rl_rpc_call *call, void *context)
{
    (void)call;
    (void)context;
}

static const struct rl_rpc_stream_ops attach_ops = {
    .message = on_message,
    .half_closed = half_closed,
    .closed = on_closed,
};

static void begin(void *context)
{
    struct uplink *uplink = context;
    if (uplink->call)
        return;
    uplink->call = uplink->agent->is_direct
                       ? rl_rpc_stream(uplink->channel, &pb__fleet__descriptor, "Follow", 0,
                                       &attach_ops, uplink)
                       : rl_rpc_stream(uplink->channel, &pb__tunnel_broker__descriptor, "Attach", 0,
                                       &attach_ops, uplink);
}

static void on_up(void *context, const struct rl_rpc_peer *peer)
{
    (void)peer;
    struct uplink *uplink = context;
    uplink->retry_ms = RETRY_MS_MIN;
    rl_timer_disarm(uplink->move);
    begin(uplink);
}

static void on_down(void *context, rl_code code, const char *message)
{
    struct uplink *uplink = context;
    if (uplink->is_attached || strcmp(uplink->last_error, message) != 0)
        rl_log_warn("no connection", RL_TEXT("code", rl_code_name(code)),
                    RL_TEXT("reason", message));
    set_state(uplink, false, message);
    if (code == RL_E_UNAUTHENTICATED)
        rl_enrol_refused(uplink->agent->enrol); /* its authority may have been rotated away */
}

/* ---- made and reloaded ---- */

static rl_code make_tls(struct uplink *uplink, struct rl_error *err)
{
    struct agent *agent = uplink->agent;
    const char *service = agent->is_direct ? "auth" : "broker";
    char *sni = rl_sprintf("%s.%s" RL_TLS_SNI_SUFFIX, service, rl_enrol_cluster(agent->enrol));
    const struct rl_tls_client_config config = {
        .identity = rl_enrol_identity(agent->enrol),
        .trust = rl_enrol_trust(agent->enrol),
        .alpn = "h2",
        .sni = sni,
        .peer_kind = RL_IDENTITY_SERVICE,
        .peer_service = service,
        .now_s = agent_now_s,
        .now_context = agent,
    };
    rl_code rc = rl_tls_client_create(&config, &uplink->tls, err);
    free(sni);
    return rc;
}

rl_code uplink_create(struct agent *agent, struct uplink **out, struct rl_error *err)
{
    struct uplink *uplink = rl_alloc(sizeof *uplink);
    uplink->agent = agent;
    uplink->retry_ms = RETRY_MS_MIN;
    uplink->since_ns = agent_now_ns(agent);
    uplink->retry = rl_timer_create(agent->loop, begin, uplink);
    uplink->move = rl_timer_create(agent->loop, move, uplink);
    uplink->leave = rl_timer_create(agent->loop, on_not_let_go, uplink);
    rl_code rc = make_tls(uplink, err);
    if (rc == RL_OK) {
        const struct rl_rpc_channel_config config = {
            .loop = agent->loop,
            .address = agent->is_direct ? agent->settings.auth_server : agent->settings.proxy,
            .tls = uplink->tls,
            .up = on_up,
            .down = on_down,
            .context = uplink,
            .stream_window_bytes_max = RL_RPC_RAW_WINDOW_BYTES_MAX,
            .stay_connected = true,
            .keepalive_ms = RL_RPC_HEARTBEAT_MS,
            .keepalive_timeout_ms = RL_RPC_HEARTBEAT_TIMEOUT_MS,
            .http_proxy = agent->http_proxy,
            .now_s = agent_now_s,
            .now_context = agent,
        };
        rc = rl_rpc_channel_create_h2(&config, &uplink->channel, err);
    }
    if (rc != RL_OK) {
        uplink_free(&uplink);
        return rc;
    }
    rl_rpc_channel_connect(uplink->channel);
    *out = uplink;
    return RL_OK;
}

void uplink_free(struct uplink **uplink)
{
    if (!*uplink)
        return;
    rl_rpc_channel_free(&(*uplink)->channel);
    carry_drop(&(*uplink)->waiting);
    rl_timer_free(&(*uplink)->retry);
    rl_timer_free(&(*uplink)->move);
    rl_timer_free(&(*uplink)->leave);
    rl_tls_client_unref(&(*uplink)->tls);
    free(*uplink);
    *uplink = NULL;
}

rl_code uplink_reload(struct uplink *uplink, struct rl_error *err)
{
    struct agent *agent = uplink->agent;
    rl_code rc = rl_tls_client_reload(uplink->tls, rl_enrol_identity(agent->enrol),
                                      rl_enrol_trust(agent->enrol), err);
    if (rc == RL_OK) {
        rl_rpc_channel_renew(uplink->channel, NULL);
        leave(uplink);
    }
    return rc;
}

void uplink_probe(struct uplink *uplink)
{
    rl_rpc_channel_probe(uplink->channel, PROBE_MS);
}

void uplink_status(const struct uplink *uplink, struct uplink_status *out)
{
    *out = (struct uplink_status){
        .is_connected = uplink->is_attached,
        .broker = uplink->is_attached ? uplink->broker : "",
        .since_ns = uplink->since_ns,
        .last_error = uplink->last_error,
    };
}
