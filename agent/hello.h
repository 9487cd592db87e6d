/* hello: what the agent says of itself, signed for one broker and epoch. */
#ifndef RL_AGENT_HELLO_H
#define RL_AGENT_HELLO_H

#include "agent.h"

/** Answers a challenge. Owns: *out by pb__agent_message__free_unpacked(). */
rl_code hello_sign(struct agent *agent, const Pb__Challenge *challenge, Pb__AgentMessage **out,
                   struct rl_error *err);

#endif
