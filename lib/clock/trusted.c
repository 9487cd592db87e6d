/* trusted: an agent's clock. Whoever relays auth's statements may hold them back, and must not turn
 * the time back by it: an expired certificate would be good again. So the clock goes back by no
 * more than a crystal can have run ahead.
 */
#include "clock/clock.h"

#define NS_PER_S INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)
/* What a cheap oscillator may gain: 200 parts in a million, 200 ns in each millisecond. */
#define DRIFT_NS_PER_MS INT64_C(200)

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

void rl_trusted_clock_init(struct rl_trusted_clock *clock, int64_t floor_ns)
{
    *clock = (struct rl_trusted_clock){.floor_ns = floor_ns};
}

void rl_trusted_clock_raise(struct rl_trusted_clock *clock, int64_t floor_ns)
{
    clock->floor_ns = later(clock->floor_ns, floor_ns);
}

static int64_t since_base_ms(const struct rl_trusted_clock *clock)
{
    return (int64_t)(rl_clock_boot_ms() - clock->base_boot_ms);
}

void rl_trusted_clock_learn(struct rl_trusted_clock *clock, int64_t signed_ns)
{
    if (signed_ns <= clock->signed_ns)
        return;
    int64_t base_ns = later(signed_ns, clock->floor_ns);
    if (clock->signed_ns) {
        int64_t elapsed_ms = since_base_ms(clock);
        int64_t least_ns = clock->base_ns + elapsed_ms * (NS_PER_MS - DRIFT_NS_PER_MS);
        base_ns = later(base_ns, least_ns);
    }
    clock->signed_ns = signed_ns;
    clock->base_ns = base_ns;
    clock->base_boot_ms = rl_clock_boot_ms();
}

int64_t rl_trusted_clock_now_ns(const struct rl_trusted_clock *clock)
{
    if (clock->signed_ns)
        return clock->base_ns + since_base_ms(clock) * NS_PER_MS;
    int64_t build_ns = RL_BUILD_TIME_S * NS_PER_S;
    return later(rl_clock_wall_ns(), later(clock->floor_ns, build_ns));
}

int64_t rl_trusted_clock_age_s(const struct rl_trusted_clock *clock)
{
    if (!clock->signed_ns)
        return -1;
    return (rl_trusted_clock_now_ns(clock) - clock->signed_ns) / NS_PER_S;
}
