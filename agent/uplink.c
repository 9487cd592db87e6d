#include "uplink.h"

#include "admission.h"
#include "carry.h"
#include "events.h"
#include "hello.h"
#include "log/log.h"
#include "node.h"
#include "policy_keeper.h"
#include "uplink/uplink.h"

#include <stdlib.h>

struct uplink {
    struct agent *agent;
    struct rl_tls_client *tls;
    struct rl_uplink *line;
    struct carry_waiting *waiting;
    bool was_attached;
    int64_t since_ns; /* when that changed */
};

static void note(struct uplink *uplink, bool is_attached)
{
    if (uplink->was_attached != is_attached)
        uplink->since_ns = agent_now_ns(uplink->agent);
    uplink->was_attached = is_attached;
}

/* ---- what comes ---- */

static void send_refusal(void *context, struct rl_span stream_id, rl_code code, const char *message)
{
    rl_uplink_refuse(((struct uplink *)context)->line, stream_id, code, message);
}

static rl_code on_challenge(void *context, const Pb__Challenge *challenge, Pb__AgentMessage **out,
                            struct rl_error *err)
{
    return hello_sign(((struct uplink *)context)->agent, challenge, out, err);
}

/* What auth said last, perhaps before this process; NULL: nothing yet. */
static const Pb__AgentSettings *settings_of(const struct agent *agent)
{
    const struct rl_policy *policy = policy_keeper_policy(agent->policy);
    return policy ? rl_policy_settings(policy) : NULL;
}

/* The host authority may have been replaced. */
static void expect_issuer(struct agent *agent)
{
    const Pb__AgentSettings *settings = settings_of(agent);
    if (settings)
        rl_enrol_expect_issuer(agent->enrol,
                               RL_SPAN(settings->host_ca_sha256.data, settings->host_ca_sha256.len),
                               settings->renew_within_s);
}

static void on_welcome(struct uplink *uplink)
{
    note(uplink, true);
    rl_log_info("attached", RL_TEXT("broker", rl_uplink_broker(uplink->line)),
                RL_NUMBER("epoch", rl_uplink_epoch(uplink->line)));
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
    rl_uplink_send_held(uplink->line, &held);
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
        .channel = rl_uplink_channel(uplink->line),
        .epoch = rl_uplink_epoch(uplink->line),
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

static void on_drain(const Pb__Drain *drain)
{
    rl_log_info("the broker asks us to move", RL_TEXT("reason", drain->reason),
                RL_NUMBER("in_ms", rl_uplink_come_back_ms(drain->come_back_ms)));
}

static void on_said(void *context, const Pb__BrokerMessage *said)
{
    struct uplink *uplink = context;
    switch (said->body_case) {
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
        on_drain(said->drain);
        break;
    case PB__BROKER_MESSAGE__BODY_AUDIT_PLACE:
        on_audit_place(uplink, said->audit_place);
        break;
    default:
        break; /* a newer broker's */
    }
}

/* ---- when it is lost ---- */

static void on_over(void *context, bool was_attached, rl_code code, const char *message)
{
    struct uplink *uplink = context;
    carry_drop(&uplink->waiting);
    note(uplink, false);
    if (was_attached || rl_uplink_is_connected(uplink->line))
        rl_log_warn("detached", RL_TEXT("code", rl_code_name(code)), RL_TEXT("reason", message));
}

static void on_down(void *context, bool is_news, rl_code code, const char *message)
{
    struct uplink *uplink = context;
    note(uplink, false);
    if (is_news)
        rl_log_warn("no connection", RL_TEXT("code", rl_code_name(code)),
                    RL_TEXT("reason", message));
    if (code != RL_E_UNAUTHENTICATED)
        return;
    rl_enrol_ask_time(uplink->agent->enrol); /* ours may be wrong */
    const Pb__AgentSettings *settings = settings_of(uplink->agent);
    /* its authority may have been rotated away */
    rl_enrol_refused(uplink->agent->enrol, settings ? settings->renew_within_s : 0);
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
    static const struct rl_uplink_ops ops = {
        .hello = on_challenge, .said = on_said, .over = on_over, .down = on_down};
    struct uplink *uplink = rl_alloc(sizeof *uplink);
    uplink->agent = agent;
    uplink->since_ns = agent_now_ns(agent);
    rl_code rc = make_tls(uplink, err);
    if (rc == RL_OK) {
        const struct rl_uplink_config config = {
            .loop = agent->loop,
            .address = agent->is_direct ? agent->settings.auth_server : agent->settings.proxy,
            .tls = uplink->tls,
            .http_proxy = agent->http_proxy,
            .service = agent->is_direct ? &pb__fleet__descriptor : &pb__tunnel_broker__descriptor,
            .method = agent->is_direct ? "Follow" : "Attach",
            .now_s = agent_now_s,
            .now_context = agent,
            .ops = &ops,
            .context = uplink,
        };
        rc = rl_uplink_create(&config, &uplink->line, err);
    }
    if (rc == RL_OK)
        *out = uplink;
    else
        uplink_free(&uplink);
    return rc;
}

void uplink_free(struct uplink **uplink)
{
    if (!*uplink)
        return;
    rl_uplink_free(&(*uplink)->line);
    carry_drop(&(*uplink)->waiting);
    rl_tls_client_unref(&(*uplink)->tls);
    free(*uplink);
    *uplink = NULL;
}

rl_code uplink_reload(struct uplink *uplink, struct rl_error *err)
{
    struct agent *agent = uplink->agent;
    rl_code rc = rl_tls_client_reload(uplink->tls, rl_enrol_identity(agent->enrol),
                                      rl_enrol_trust(agent->enrol), err);
    if (rc == RL_OK)
        rl_uplink_renew(uplink->line);
    return rc;
}

void uplink_probe(struct uplink *uplink)
{
    rl_uplink_probe(uplink->line);
}

void uplink_status(const struct uplink *uplink, struct uplink_status *out)
{
    bool is_attached = rl_uplink_is_attached(uplink->line);
    *out = (struct uplink_status){
        .is_connected = is_attached,
        .broker = is_attached ? rl_uplink_broker(uplink->line) : "",
        .since_ns = uplink->since_ns,
        .last_error = rl_uplink_last_error(uplink->line),
    };
}
