/* duration: seconds as people write them, "1h30m". */
#include "clock/clock.h"

#include <inttypes.h>
#include <stdio.h>

static const struct unit {
    char letter;
    uint64_t seconds;
} units[] = {{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};

/* Takes digits and one of the units from `*next` on: each once, the larger first. */
static bool take_part(const char **at, size_t *next, uint64_t *sum)
{
    const char *p = *at;
    uint64_t count = 0;
    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(count, 10, &count) ||
            __builtin_add_overflow(count, (uint64_t)(*p - '0'), &count))
            return false;
    if (p == *at)
        return false;
    size_t i = *next;
    while (i < RL_COUNT(units) && units[i].letter != *p)
        i++;
    uint64_t part;
    if (i == RL_COUNT(units) || __builtin_mul_overflow(count, units[i].seconds, &part) ||
        __builtin_add_overflow(*sum, part, sum))
        return false;
    *next = i + 1;
    *at = p + 1;
    return true;
}

rl_code rl_duration_parse(const char *text, uint64_t *duration_s, struct rl_error *err)
{
    const char *at = text;
    size_t next = 0;
    uint64_t sum = 0;
    do {
        if (!take_part(&at, &next, &sum))
            return rl_fail(err, RL_E_INVAL, "\"%.40s\" is not a duration; write it like 12h or 30m",
                           text);
    } while (*at);
    *duration_s = sum;
    return RL_OK;
}

void rl_duration_format(uint64_t duration_s, char text[RL_CLOCK_TEXT_BYTES])
{
    size_t n = 0;
    for (size_t i = 0; i < RL_COUNT(units); i++) {
        uint64_t count = duration_s / units[i].seconds;
        duration_s %= units[i].seconds;
        bool is_all_there_is = n == 0 && units[i].seconds == 1;
        if (count || is_all_there_is)
            n += (size_t)snprintf(text + n, RL_CLOCK_TEXT_BYTES - n, "%" PRIu64 "%c", count,
                                  units[i].letter);
    }
}

void rl_duration_words(uint64_t duration_s, char text[RL_CLOCK_TEXT_BYTES])
{
    uint64_t days = duration_s / 86400;
    if (days)
        snprintf(text, RL_CLOCK_TEXT_BYTES, "%" PRIu64 " day%s", days, days == 1 ? "" : "s");
    else if (duration_s >= 3600)
        snprintf(text, RL_CLOCK_TEXT_BYTES, "%" PRIu64 " h", duration_s / 3600);
    else if (duration_s >= 60)
        snprintf(text, RL_CLOCK_TEXT_BYTES, "%" PRIu64 " min", duration_s / 60);
    else
        snprintf(text, RL_CLOCK_TEXT_BYTES, "%" PRIu64 " s", duration_s);
}
