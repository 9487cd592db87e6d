/* voted: the time of who signs for others. Devices believe what it signs and do not go back: one
 * signature by a clock that has jumped ahead would stop them until that time has really come. So a
 * clock that differs from another's is not followed: what has passed since they agreed is.
 */
#include "clock/clock.h"

#define NS_PER_S INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)

static bool is_near(int64_t a_ns, int64_t b_ns)
{
    int64_t apart_ns = a_ns > b_ns ? a_ns - b_ns : b_ns - a_ns;
    return apart_ns <= RL_VOTED_CLOCK_APART_S * NS_PER_S;
}

bool rl_voted_clock_hear(struct rl_voted_clock *clock, int64_t own_ns, int64_t other_ns,
                         uint64_t boot_ms)
{
    int64_t boot_ns = (int64_t)boot_ms * NS_PER_MS;
    int64_t expected_ns = rl_voted_clock_at(clock, other_ns, boot_ms);
    bool agree = is_near(own_ns, other_ns);
    if (agree || is_near(own_ns, expected_ns))
        atomic_store(&clock->boot_at_ns, own_ns - boot_ns);
    else if (is_near(other_ns, expected_ns)) /* also in the beginning: all replicas hear the same */
        atomic_store(&clock->boot_at_ns, other_ns - boot_ns);
    return agree;
}

int64_t rl_voted_clock_at(const struct rl_voted_clock *clock, int64_t own_ns, uint64_t boot_ms)
{
    int64_t boot_at_ns = atomic_load(&clock->boot_at_ns);
    return boot_at_ns ? boot_at_ns + (int64_t)boot_ms * NS_PER_MS : own_ns;
}

int64_t rl_voted_clock_now_ns(const struct rl_voted_clock *clock)
{
    return rl_voted_clock_at(clock, rl_clock_wall_ns(), rl_clock_boot_ms());
}
