#include "events.h"

#include "journal/journal.h"
#include "log/log.h"

#include <stdlib.h>

#define AUDIT_IDLE_MS 30000 /* an idle device has one connection, and its PINGs, not two */

static void send_event(void *context, Pb__Event **event)
{
    rl_event_send(((struct agent *)context)->events, event);
}

static size_t pending(void *context)
{
    return rl_event_sender_pending(((struct agent *)context)->events);
}

static int64_t now_ns(void *context)
{
    return agent_now_ns(context);
}

static void on_trouble(void *context, const char *message)
{
    (void)context;
    rl_log_error("events would not survive the agent", RL_TEXT("reason", message));
}

static void open_journal(struct agent *agent)
{
    char *path =
        agent->in_memory ? NULL : rl_sprintf("%s/" RL_AGENT_JOURNAL_FILE, agent->settings.data_dir);
    const struct rl_journal_config config = {
        .loop = agent->loop,
        .path = path,
        .send = send_event,
        .pending = pending,
        .now_ns = now_ns,
        .trouble = on_trouble,
        .context = agent,
    };
    agent->journal = rl_journal_open(&config);
    free(path);
}

/* Through the proxy or not it is the same name: the proxy routes by it, audit ignores it. */
static rl_code open_tls(struct agent *agent, struct rl_error *err)
{
    char *sni = rl_sprintf("audit.%s" RL_TLS_SNI_SUFFIX, rl_enrol_cluster(agent->enrol));
    const struct rl_tls_client_config tls = {
        .identity = rl_enrol_identity(agent->enrol),
        .trust = rl_enrol_trust(agent->enrol),
        .alpn = "h2",
        .sni = sni,
        .peer_kind = RL_IDENTITY_SERVICE,
        .peer_service = "audit",
        .now_s = agent_now_s,
        .now_context = agent,
    };
    rl_code rc = rl_tls_client_create(&tls, &agent->audit_tls, err);
    free(sni);
    return rc;
}

static rl_code open_channel(struct agent *agent, struct rl_error *err)
{
    const struct rl_rpc_channel_config channel = {
        .loop = agent->loop,
        /* A direct node hears where audit is from auth; until then its events wait. */
        .address = agent->is_direct ? agent->settings.auth_server : agent->settings.proxy,
        .tls = agent->audit_tls,
        .idle_ms = AUDIT_IDLE_MS,
        .http_proxy = agent->http_proxy,
        .now_s = agent_now_s,
        .now_context = agent,
    };
    return rl_rpc_channel_create_h2(&channel, &agent->audit_channel, err);
}

static void on_lost(void *context, const Pb__Event *event, const char *reason, size_t dropped)
{
    (void)context;
    rl_log_error("events were lost", RL_TEXT("type", event ? event->type : ""),
                 RL_TEXT("uid", event ? event->uid : ""), RL_TEXT("reason", reason),
                 RL_NUMBER("lost_in_all", dropped));
}

rl_code events_open(struct agent *agent, struct rl_error *err)
{
    rl_code rc = open_tls(agent, err);
    if (rc == RL_OK)
        rc = open_channel(agent, err);
    if (rc != RL_OK)
        return rc;
    agent->events = rl_event_sender_create(agent->loop, agent->audit_channel);
    rl_event_sender_on_lost(agent->events, on_lost, NULL);
    open_journal(agent);
    return RL_OK;
}

void events_move(struct agent *agent, const char *address)
{
    rl_log_info("events go to audit", RL_TEXT("address", address));
    rl_rpc_channel_renew(agent->audit_channel, address);
}

rl_code events_reload(struct agent *agent, struct rl_error *err)
{
    if (!agent->audit_tls)
        return RL_OK;
    return rl_tls_client_reload(agent->audit_tls, rl_enrol_identity(agent->enrol),
                                rl_enrol_trust(agent->enrol), err);
}

void events_send(struct agent *agent, Pb__Event **event)
{
    rl_journal_event(agent->journal, event);
}

void events_session_gone(struct agent *agent, const char *session_id)
{
    rl_journal_session_gone(agent->journal, session_id,
                            "the process that served the session was killed");
}

void events_close(struct agent *agent, uint32_t grace_ms)
{
    if (agent->events)
        rl_event_sender_flush(agent->events, grace_ms);
    rl_journal_close(&agent->journal);
    rl_event_sender_free(&agent->events, 0);
    rl_rpc_channel_free(&agent->audit_channel);
    rl_tls_client_unref(&agent->audit_tls);
}
