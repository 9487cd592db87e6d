#include "events.h"

#include "journal/journal.h"
#include "log/log.h"

#include <stdlib.h>

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

void events_open(struct agent *agent)
{
    char *path = rl_sprintf("%s/" RL_AGENT_JOURNAL_FILE, agent->settings.data_dir);
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
}
