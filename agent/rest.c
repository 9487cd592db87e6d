/* rest: an agent without a user gives back what starting, or its last user, took. */
#include "agent.h"
#include "footprint/footprint.h"
#include "node.h"

#define REST_MS 5000 /* without a user, before memory goes back */
/* And once more when the last that a user leaves behind is over: his events are sent, and the
 * connection to audit was closed. From then on there is only the heartbeat. */
#define LATER_MS 40000

static void on_rest(void *context)
{
    struct agent *agent = context;
    if (node_connections(agent->node) != 0)
        return;
    rl_footprint_trim();
    if (!agent->has_rested)
        rl_timer_arm(agent->rest, LATER_MS);
    agent->has_rested = true;
}

void agent_rest_begin(struct agent *agent)
{
    agent->rest = rl_timer_create(agent->loop, on_rest, agent);
    agent_rest_soon(agent);
}

void agent_rest_soon(struct agent *agent)
{
    if (!agent->rest)
        return;
    agent->has_rested = false;
    rl_timer_arm(agent->rest, REST_MS);
}
