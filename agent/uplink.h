/* uplink: the connection that the agent keeps: to a broker (Attach), or, for a direct node, to auth
 * (Follow). The same messages come over both: policy, statements, and from a broker `open`.
 */
#ifndef RL_AGENT_UPLINK_H
#define RL_AGENT_UPLINK_H

#include "agent.h"

struct uplink;
rl_code uplink_create(struct agent *agent, struct uplink **out, struct rl_error *err);
void uplink_free(struct uplink **uplink);
/** New certificates: the next connection uses them, and is made now. */
rl_code uplink_reload(struct uplink *uplink, struct rl_error *err);
/** The device's network changed: is the connection still alive? */
void uplink_probe(struct uplink *uplink);

struct uplink_status {
    bool is_connected;      /* attached: auth and broker know us */
    const char *broker;     /* id; borrowed; "" */
    int64_t since_ns;       /* of the state */
    const char *last_error; /* borrowed; "" */
};
void uplink_status(const struct uplink *uplink, struct uplink_status *out);

#endif
