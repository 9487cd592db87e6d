#include "clock/pace.h"

uint32_t rl_pace_follow(struct rl_pace *pace, size_t n, uint64_t now_ms, uint32_t current,
                        uint32_t least, uint32_t most)
{
    if (!pace->since_ms)
        pace->since_ms = now_ms;
    pace->bytes += n;
    uint64_t took_ms = now_ms - pace->since_ms;
    if (took_ms < RL_PACE_MEASURE_MS)
        return current;
    uint64_t moves = pace->bytes * RL_PACE_QUEUE_MS / took_ms;
    *pace = (struct rl_pace){.since_ms = now_ms};
    uint32_t size = least;
    while (size <= most / 2 && 2 * (uint64_t)size <= moves)
        size *= 2;
    /* Once it is there it stays at half the pace: one that varies would go up and down. */
    return size < current && current <= most && moves >= current / 2 ? current : size;
}
