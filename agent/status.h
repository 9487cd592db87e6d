/* status: what `remoteler status` asks of the running agent: one JSON object over a Unix socket in
 * the data directory. Nothing is written to disk for it.
 */
#ifndef RL_AGENT_STATUS_H
#define RL_AGENT_STATUS_H

#include "agent.h"
#include "uplink.h"

#include <jansson.h>

struct status_server;
rl_code status_server_create(struct agent *agent, struct status_server **out, struct rl_error *err);
/** The contract's object. A new reference. */
json_t *status_describe(const struct agent *agent, const struct uplink_status *up);
void status_server_free(struct status_server **server);

#endif
