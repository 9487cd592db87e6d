/* guests: who is on this node. A monitor asks before it lets a user in, and before each session
 * where the roles limit them: it is a copy of the agent from when the user came, and the policy
 * may be newer by now. Each policy that comes is held against all who are here.
 */
#ifndef RL_AGENT_GUESTS_H
#define RL_AGENT_GUESTS_H

#include "agent.h"
#include "remoteler/v1/node.pb-c.h"

struct guest;
/** One more connection's user. Errors: RL_E_DENIED locked or cut off; RL_E_INVAL nobody is named.
 * Owns: *out by guest_leave(). */
rl_code guest_enter(struct agent *agent, const Pb__Guest *who, struct guest **out,
                    struct rl_error *err);
void guest_leave(struct guest **guest);
/** May it begin another session? RL_OK counts it. Errors: RL_E_DENIED as many as the roles allow
 * are there. */
rl_code guest_begin_session(struct guest *guest, struct rl_error *err);
void guest_ended_session(struct guest *guest);
/** May it stay, by the policy that is held now? Errors: RL_E_DENIED with the reason. */
rl_code guest_check(const struct guest *guest, struct rl_error *err);

#endif
