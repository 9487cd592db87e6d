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

void rl_reach_full(struct rl_reach *reach, uint64_t offset, uint64_t now_ms)
{
    if (reach->is_measuring)
        return;
    reach->is_measuring = true;
    reach->mark = offset;
    reach->since_ms = now_ms;
}

bool rl_reach_arrived(struct rl_reach *reach, uint64_t offset, uint64_t now_ms)
{
    if (!reach->is_measuring || offset < reach->mark)
        return false;
    uint64_t took_ms = now_ms - reach->since_ms;
    reach->is_measuring = false;
    if (!reach->was_measured || took_ms < reach->least_ms)
        reach->least_ms = took_ms;
    reach->was_measured = true;
    return reach->least_ms >= RL_REACH_MS_MIN && took_ms <= reach->least_ms + reach->least_ms / 2;
}
