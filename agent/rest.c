/* rest: an agent without a user gives back what starting, or its last user, took. */
#include "agent.h"
#include "footprint/footprint.h"
#include "node.h"

#define REST_MS 5000 /* without a user, before memory goes back */

static void on_rest(void *context)
{
    const struct agent *agent = context;
    if (node_connections(agent->node) == 0)
        rl_footprint_trim();
}

void agent_rest_begin(struct agent *agent)
{
    agent->rest = rl_timer_create(agent->loop, on_rest, agent);
    agent_rest_soon(agent);
}

void agent_rest_soon(struct agent *agent)
{
    if (agent->rest)
        rl_timer_arm(agent->rest, REST_MS);
}
