#include "settings/period.h"

#include "clock/clock.h"

#define NS_PER_S INT64_C(1000000000)

rl_code rl_period_read(const struct rl_period *period, int64_t *from_ns, int64_t *to_ns,
                       struct rl_error *err)
{
    int64_t from = 0, to = 0;
    rl_code rc = RL_OK;
    if (period->last_s)
        from = rl_clock_wall_ns() - (int64_t)period->last_s * NS_PER_S;
    if (period->from)
        rc = rl_clock_parse(period->from, &from, err);
    if (rc == RL_OK && period->to)
        rc = rl_clock_parse(period->to, &to, err);
    if (rc != RL_OK)
        return rc;
    *from_ns = from;
    *to_ns = to;
    return RL_OK;
}
