/* events: what the agent has to tell audit: in its journal until audit has taken it, so that a
 * session that began has its end in audit even when the agent is killed in between.
 */
#ifndef RL_AGENT_EVENTS_H
#define RL_AGENT_EVENTS_H

#include "agent.h"

#define RL_AGENT_JOURNAL_FILE "events"

/** Once it has joined: opens the way to audit, and sends what the agent before left. */
rl_code events_open(struct agent *agent, struct rl_error *err);
/** A direct node is told where audit is, by auth, and again when that moves. */
void events_move(struct agent *agent, const char *address);
/** The agent has a new certificate, or trusts others. */
rl_code events_reload(struct agent *agent, struct rl_error *err);
/** Takes the event. */
void events_send(struct agent *agent, Pb__Event **event);
/** The process that served this session is gone: whatever of it has no end yet, ended. */
void events_session_gone(struct agent *agent, const char *session_id);
/** Tries for at most grace_ms to send what is left; the next agent has the rest. */
void events_close(struct agent *agent, uint32_t grace_ms);

#endif
