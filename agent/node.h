/* node: this machine as an SSH server. One forked child for each connection becomes its monitor
 * (lib/sshd); what it sees comes back as events.
 */
#ifndef RL_AGENT_NODE_H
#define RL_AGENT_NODE_H

#include "agent.h"

struct node;
rl_code node_create(struct agent *agent, struct node **out, struct rl_error *err);
void node_free(struct node **node);
/** Starts the child that will serve the connection which `ticket` announces. *fd is the agent's end
 * of its byte stream: non-blocking, close-on-exec, the caller's. Errors: RL_E_EXHAUSTED too many
 * connections or processes; RL_E_UNAVAILABLE no policy yet. */
rl_code node_serve(struct node *node, const Pb__Ticket *ticket, int *fd, struct rl_error *err);
/** Children that ended are taken off: after SIGCHLD. */
void node_reap(struct node *node);
/** Another policy is held: whoever it stops is told why, and ended. */
void node_policy_changed(struct node *node);
/** Tells every session why and ends it. */
void node_end_all(struct node *node, const char *message);
/** Turns the loop until they have ended, for at most grace_ms. */
void node_wait(struct node *node, uint32_t grace_ms);
/** Ends one connection and tells its user why. */
void node_end_session(struct node *node, const char *session_id, const char *message);
/** Reads what relays record, where that was put off (recordings.h). */
void node_read_recordings(struct node *node);
size_t node_connections(const struct node *node);

#endif
