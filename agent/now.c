/* now: the agent's time: the last that auth signed plus what passed since. */
#include "agent.h"

int64_t agent_now_ns(const struct agent *agent)
{
    return rl_trusted_clock_now_ns(&agent->clock);
}

int64_t agent_now_s(void *agent)
{
    return agent_now_ns(agent) / 1000000000;
}
