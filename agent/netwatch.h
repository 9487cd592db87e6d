/* netwatch: tells when the device's addresses or routes change, so that a dead connection is found
 * at once and not by its keepalive. By rtnetlink, with no privilege.
 */
#ifndef RL_AGENT_NETWATCH_H
#define RL_AGENT_NETWATCH_H

#include "loop/loop.h"

struct netwatch;
/** `changed` comes at most once a second. Errors: RL_E_UNAVAILABLE where there is no rtnetlink; the
 * agent does without. */
rl_code netwatch_create(struct rl_loop *loop, void (*changed)(void *context), void *context,
                        struct netwatch **out, struct rl_error *err);
void netwatch_free(struct netwatch **netwatch);

#endif
