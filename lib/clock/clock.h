/* clock: times and durations. A time is nanoseconds since 1970 UTC in an int64_t (`_ns`), or
 * seconds (`_s`); a duration is milliseconds or seconds and says which.
 */
#ifndef RL_CLOCK_H
#define RL_CLOCK_H

#include "status/status.h"
#include <stdatomic.h>

#include <stdint.h>

int64_t rl_clock_wall_ns(void);
int64_t rl_clock_wall_s(void);
uint64_t rl_clock_boot_ms(void); /* CLOCK_BOOTTIME: goes on through suspend, never jumps */

/** RFC 3339 in UTC, "2026-11-22T15:47:43.123Z" (milliseconds) or "...43Z" when they are zero. */
#define RL_CLOCK_TEXT_BYTES 40
void rl_clock_format(int64_t time_ns, char text[RL_CLOCK_TEXT_BYTES]);
/** Takes an offset too. Errors: RL_E_INVAL with what is wrong. */
rl_code rl_clock_parse(const char *text, int64_t *time_ns, struct rl_error *err);
/** "90s", "30m", "12h", "7d", "1h30m"; a bare number is refused. */
rl_code rl_duration_parse(const char *text, uint64_t *duration_s, struct rl_error *err);
void rl_duration_format(uint64_t duration_s, char text[RL_CLOCK_TEXT_BYTES]); /* "1h30m" */
/** For people: "3 min", "2 h", "5 days". */
void rl_duration_words(uint64_t duration_s, char text[RL_CLOCK_TEXT_BYTES]);

/* ---- trusted time: an agent's ----
 * The last time that auth signed plus CLOCK_BOOTTIME since. Until there is one the wall clock
 * serves, but never below the floor (what is on disk) or the build date. */
struct rl_trusted_clock {
    int64_t signed_ns; /* the latest that auth signed; 0: none yet */
    int64_t base_ns;   /* the time that it was at base_boot_ms, as far as we know */
    uint64_t base_boot_ms;
    int64_t floor_ns;
};
void rl_trusted_clock_init(struct rl_trusted_clock *clock, int64_t floor_ns);
/** It was later than this when something on disk was written; how long ago that is nobody knows. */
void rl_trusted_clock_raise(struct rl_trusted_clock *clock, int64_t floor_ns);
/** An older signed time than the last is ignored; one that was held back on its way does not turn
 * the clock back (but for what a crystal may have gained). */
void rl_trusted_clock_learn(struct rl_trusted_clock *clock, int64_t signed_ns);
int64_t rl_trusted_clock_now_ns(const struct rl_trusted_clock *clock);
/** The seconds since auth signed the latest time that we have, however long that was on its way;
 * -1 when it never did. */
int64_t rl_trusted_clock_age_s(const struct rl_trusted_clock *clock);

/* ---- voted.c: the clock of who signs the time for others ---- */

#define RL_VOTED_CLOCK_APART_S 30 /* two clocks that agree */

/** Zeroed to begin with. Any thread. */
struct rl_voted_clock {
    _Atomic int64_t boot_at_ns; /* the time at CLOCK_BOOTTIME 0; 0: nothing was heard yet */
};
/** Its own wall clock and another's, at one moment. False: they do not agree; then the one counts
 * that goes on from where they did, or neither; in the beginning the other's. */
bool rl_voted_clock_hear(struct rl_voted_clock *clock, int64_t own_ns, int64_t other_ns,
                         uint64_t boot_ms);
int64_t rl_voted_clock_now_ns(const struct rl_voted_clock *clock);
/** The same at a given moment. */
int64_t rl_voted_clock_at(const struct rl_voted_clock *clock, int64_t own_ns, uint64_t boot_ms);

#endif
