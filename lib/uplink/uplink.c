/* A connection comes up, a stream is opened on it, and lives until one of the two is over. Without
 * a connection the channel's own back-off decides when; on one that is good, this one's. */
#include "uplink/uplink.h"

#include "bytes/secret.h"
#include "protocol/protocol.h"
#include "rpc/raw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_MS_MIN 200
#define RETRY_MS_MAX 30000
#define PROBE_MS 3000
#define LEAVE_MS 3000 /* that the other side has to let us go */
#define STREAM_ID_BYTES_MAX 64

struct rl_uplink {
    struct rl_uplink_config config;
    struct rl_rpc_channel *channel;
    struct rl_rpc_call *call;      /* Attach or Follow; NULL: not now */
    struct rl_timer *retry, *move; /* begin again; on another connection */
    struct rl_timer *leave;        /* a stream that we are done with */
    uint32_t retry_ms;
    uint64_t epoch;
    bool is_attached, is_retired;
    bool has_looked_again; /* since it was attached last: who it is that answers */
    char broker[64];
    char last_error[RL_ERROR_MESSAGE_BYTES];
};

static void set_state(struct rl_uplink *uplink, bool is_attached, const char *error)
{
    uplink->is_attached = is_attached;
    snprintf(uplink->last_error, sizeof uplink->last_error, "%s", error);
}

/* ---- what is said ---- */

rl_code rl_uplink_send(struct rl_uplink *uplink, const Pb__AgentMessage *message,
                       struct rl_error *err)
{
    if (!uplink->call)
        return rl_fail(err, RL_E_UNAVAILABLE, "not attached");
    return rl_rpc_send(uplink->call, &message->base, err);
}

void rl_uplink_send_held(struct rl_uplink *uplink, const Pb__PolicyHeld *held)
{
    Pb__PolicyHeld copy = *held;
    Pb__AgentMessage message = PB__AGENT_MESSAGE__INIT;
    message.body_case = PB__AGENT_MESSAGE__BODY_POLICY_HELD;
    message.policy_held = &copy;
    rl_uplink_send(uplink, &message, NULL); /* who is not there asks again when it is */
}

void rl_uplink_refuse(struct rl_uplink *uplink, struct rl_span stream_id, rl_code code,
                      const char *message)
{
    struct rl_error text;
    rl_fail(&text, code, "%s", message);
    uint8_t id[STREAM_ID_BYTES_MAX];
    size_t n = stream_id.n < sizeof id ? stream_id.n : sizeof id;
    if (n)
        memcpy(id, stream_id.p, n);
    Pb__OpenRefused refused = PB__OPEN_REFUSED__INIT;
    refused.stream_id = (ProtobufCBinaryData){n, id};
    refused.code = (uint32_t)code;
    refused.message = text.message;
    Pb__AgentMessage said = PB__AGENT_MESSAGE__INIT;
    said.body_case = PB__AGENT_MESSAGE__BODY_REFUSED;
    said.refused = &refused;
    rl_uplink_send(uplink, &said, NULL); /* else the other side's time runs out */
}

/* ---- what comes ---- */

/* A hello counts for one broker: none gets it in another's name. */
static rl_code check_its_own(const struct rl_uplink *uplink, const Pb__Challenge *challenge,
                             struct rl_error *err)
{
    const struct rl_rpc_peer *peer = rl_rpc_peer(uplink->call);
    if (!peer || !peer->identity || strcmp(peer->identity->name, challenge->broker_id) != 0)
        return rl_fail(err, RL_E_DENIED, "a challenge in the name of another, %.64s",
                       challenge->broker_id);
    return rl_protocol_check(challenge->protocol, challenge->protocol_min, "the other side", err);
}

/* A resumed session of TLS brings the certificate of the replica that it was made with, and any
 * other can take it up: once, it is done without. */
static void look_again(struct rl_uplink *uplink)
{
    if (uplink->has_looked_again)
        return;
    uplink->has_looked_again = true;
    if (rl_tls_client_reload(uplink->config.tls, NULL, NULL, NULL) == RL_OK)
        rl_timer_arm(uplink->move, 0);
}

static void on_challenge(struct rl_uplink *uplink, const Pb__Challenge *challenge)
{
    struct rl_error err;
    Pb__AgentMessage *hello = NULL;
    rl_code rc = check_its_own(uplink, challenge, &err);
    if (rc == RL_E_DENIED)
        look_again(uplink);
    if (rc == RL_OK) {
        uplink->epoch = challenge->epoch;
        snprintf(uplink->broker, sizeof uplink->broker, "%s", challenge->broker_id);
        rc = uplink->config.ops->hello(uplink->config.context, challenge, &hello, &err);
    }
    if (rc == RL_OK)
        rc = rl_rpc_send(uplink->call, &hello->base, &err);
    if (hello)
        pb__agent_message__free_unpacked(hello, NULL);
    if (rc == RL_OK)
        return;
    set_state(uplink, false, err.message);
    rl_rpc_cancel(uplink->call);
}

static void on_welcome(struct rl_uplink *uplink)
{
    uplink->retry_ms = RETRY_MS_MIN;
    uplink->has_looked_again = false;
    set_state(uplink, true, "");
}

/* The next connection is made before this one is cut; its live connections end on it. */
static void move(void *context)
{
    struct rl_uplink *uplink = context;
    rl_rpc_channel_renew(uplink->channel, NULL);
}

/* The stream ends when the other side has nothing more to say, or takes too long for it. */
static void leave(struct rl_uplink *uplink)
{
    if (!uplink->call)
        return;
    rl_rpc_end(uplink->call, RL_OK, NULL);
    rl_timer_arm(uplink->leave, LEAVE_MS);
}

static void on_not_let_go(void *context)
{
    struct rl_uplink *uplink = context;
    if (uplink->call)
        rl_rpc_cancel(uplink->call);
}

/* A broker may ask for patience, not for good-bye. */
uint32_t rl_uplink_come_back_ms(uint32_t asked_ms)
{
    return asked_ms < RL_UPLINK_COME_BACK_MS_MAX ? asked_ms : RL_UPLINK_COME_BACK_MS_MAX;
}

/* Full: not before it says, and spread out: a thousand others were told the same. */
static void on_drain(struct rl_uplink *uplink, const Pb__Drain *drain)
{
    uint32_t random, wait_ms = rl_uplink_come_back_ms(drain->come_back_ms);
    rl_random(&random, sizeof random);
    rl_timer_arm(uplink->move, wait_ms + random % (wait_ms / 4 + 1));
    leave(uplink);
}

static void on_message(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)call;
    struct rl_uplink *uplink = context;
    const Pb__BrokerMessage *said = (const Pb__BrokerMessage *)message;
    if (said->body_case == PB__BROKER_MESSAGE__BODY_CHALLENGE) {
        on_challenge(uplink, said->challenge);
        return;
    }
    if (said->body_case == PB__BROKER_MESSAGE__BODY_WELCOME)
        on_welcome(uplink);
    else if (said->body_case == PB__BROKER_MESSAGE__BODY_DRAIN)
        on_drain(uplink, said->drain);
    uplink->config.ops->said(uplink->config.context, said);
}

/* ---- the stream's life ---- */

/* Full jitter: anything between nothing and the step, which doubles. */
static void retry_later(struct rl_uplink *uplink)
{
    uint32_t random;
    rl_random(&random, sizeof random);
    rl_timer_arm(uplink->retry, random % (uplink->retry_ms + 1));
    if (uplink->retry_ms < uplink->config.retry_ms_max)
        uplink->retry_ms *= 2;
    if (uplink->retry_ms > uplink->config.retry_ms_max)
        uplink->retry_ms = uplink->config.retry_ms_max;
}

static void on_closed(struct rl_rpc_call *call, rl_code code, const char *message, void *context)
{
    (void)call;
    struct rl_uplink *uplink = context;
    uplink->call = NULL;
    rl_timer_disarm(uplink->leave);
    bool was_attached = uplink->is_attached;
    /* Cancelled by us, for a reason that is better than "cancelled". */
    bool is_known = code == RL_E_CANCELLED && !was_attached && uplink->last_error[0];
    char why[RL_ERROR_MESSAGE_BYTES];
    snprintf(why, sizeof why, "%s", is_known ? uplink->last_error : message);
    set_state(uplink, false, why);
    uplink->broker[0] = '\0';
    /* Without a connection the channel's own back-off decides when; `up` begins anew. The channel
     * is gone when it is what ends the call, as the uplink is freed. */
    if (rl_uplink_is_connected(uplink) && !rl_timer_is_armed(uplink->move) && !uplink->is_retired)
        retry_later(uplink);
    uplink->config.ops->over(uplink->config.context, was_attached, code, why);
}

static void half_closed(struct rl_rpc_call *call, void *context)
{
    (void)call;
    (void)context;
}

static const struct rl_rpc_stream_ops stream_ops = {
    .message = on_message,
    .half_closed = half_closed,
    .closed = on_closed,
};

static void begin(void *context)
{
    struct rl_uplink *uplink = context;
    if (!uplink->call && !uplink->is_retired)
        uplink->call = rl_rpc_stream(uplink->channel, uplink->config.service, uplink->config.method,
                                     0, &stream_ops, uplink);
}

static void on_up(void *context, const struct rl_rpc_peer *peer)
{
    (void)peer;
    struct rl_uplink *uplink = context;
    uplink->retry_ms = RETRY_MS_MIN;
    rl_timer_disarm(uplink->move);
    begin(uplink);
}

static void on_down(void *context, rl_code code, const char *message)
{
    struct rl_uplink *uplink = context;
    bool is_news = uplink->is_attached || strcmp(uplink->last_error, message) != 0;
    set_state(uplink, false, message);
    uplink->config.ops->down(uplink->config.context, is_news, code, message);
}

/* ---- made, renewed, gone ---- */

rl_code rl_uplink_create(const struct rl_uplink_config *config, struct rl_uplink **out,
                         struct rl_error *err)
{
    struct rl_uplink *uplink = rl_alloc(sizeof *uplink);
    uplink->config = *config;
    uplink->config.tls = rl_tls_client_ref(config->tls);
    if (!uplink->config.retry_ms_max)
        uplink->config.retry_ms_max = RETRY_MS_MAX;
    uplink->retry_ms = RETRY_MS_MIN;
    uplink->retry = rl_timer_create(config->loop, begin, uplink);
    uplink->move = rl_timer_create(config->loop, move, uplink);
    uplink->leave = rl_timer_create(config->loop, on_not_let_go, uplink);
    const struct rl_rpc_channel_config channel = {
        .loop = config->loop,
        .address = config->address,
        .tls = config->tls,
        .up = on_up,
        .down = on_down,
        .context = uplink,
        .stream_window_bytes_max = RL_RPC_RAW_WINDOW_BYTES_MAX,
        .stay_connected = true,
        .retry_ms_max = config->retry_ms_max,
        .keepalive_ms = RL_RPC_HEARTBEAT_MS,
        .keepalive_timeout_ms = RL_RPC_HEARTBEAT_TIMEOUT_MS,
        .http_proxy = config->http_proxy,
        .now_s = config->now_s,
        .now_context = config->now_context,
    };
    rl_code rc = rl_rpc_channel_create_h2(&channel, &uplink->channel, err);
    if (rc != RL_OK) {
        rl_uplink_free(&uplink);
        return rc;
    }
    *out = uplink;
    rl_rpc_channel_connect(uplink->channel);
    return RL_OK;
}

void rl_uplink_free(struct rl_uplink **holder)
{
    struct rl_uplink *uplink = holder ? *holder : NULL;
    if (!uplink)
        return;
    rl_rpc_channel_free(&uplink->channel);
    rl_timer_free(&uplink->retry);
    rl_timer_free(&uplink->move);
    rl_timer_free(&uplink->leave);
    rl_tls_client_unref(&uplink->config.tls);
    free(uplink);
    *holder = NULL;
}

void rl_uplink_renew(struct rl_uplink *uplink)
{
    rl_rpc_channel_renew(uplink->channel, NULL);
    leave(uplink);
}

void rl_uplink_retire(struct rl_uplink *uplink)
{
    uplink->is_retired = true;
    rl_timer_disarm(uplink->retry);
    rl_timer_disarm(uplink->move);
    leave(uplink);
}

void rl_uplink_probe(struct rl_uplink *uplink)
{
    rl_rpc_channel_probe(uplink->channel, PROBE_MS);
}

/* ---- what it knows ---- */

struct rl_rpc_channel *rl_uplink_channel(const struct rl_uplink *uplink)
{
    return uplink->channel;
}

bool rl_uplink_is_connected(const struct rl_uplink *uplink)
{
    return uplink->channel && rl_rpc_channel_is_up(uplink->channel);
}

bool rl_uplink_is_attached(const struct rl_uplink *uplink)
{
    return uplink->is_attached;
}

uint64_t rl_uplink_epoch(const struct rl_uplink *uplink)
{
    return uplink->epoch;
}

const char *rl_uplink_broker(const struct rl_uplink *uplink)
{
    return uplink->broker;
}

const char *rl_uplink_last_error(const struct rl_uplink *uplink)
{
    return uplink->last_error;
}
