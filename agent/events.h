/* events: what the agent has to tell audit: in its journal until audit has taken it, so that a
 * session that began has its end in audit even when the agent is killed in between.
 */
#ifndef RL_AGENT_EVENTS_H
#define RL_AGENT_EVENTS_H

#include "agent.h"

#define RL_AGENT_JOURNAL_FILE "events"

/** After agent->events: sends what the agent before left. */
void events_open(struct agent *agent);
/** Takes the event. */
void events_send(struct agent *agent, Pb__Event **event);
/** The process that served this session is gone: whatever of it has no end yet, ended. */
void events_session_gone(struct agent *agent, const char *session_id);
/** Tries for at most grace_ms to send what is left; the next agent has the rest. */
void events_close(struct agent *agent, uint32_t grace_ms);

#endif
