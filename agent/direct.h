/* direct: a node that the proxy reaches without a tunnel: it serves Dialer.Dial on a port of its
 * own, to this cluster's proxies only.
 */
#ifndef RL_AGENT_DIRECT_H
#define RL_AGENT_DIRECT_H

#include "agent.h"

struct direct;
rl_code direct_create(struct agent *agent, struct direct **out, struct rl_error *err);
rl_code direct_reload(struct direct *direct, struct rl_error *err);
void direct_free(struct direct **direct);

#endif
