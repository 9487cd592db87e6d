/* period: the time that a list or a search is about, as --from, --to and --last say it. */
#ifndef RL_SETTINGS_PERIOD_H
#define RL_SETTINGS_PERIOD_H

#include "settings/settings.h"

/** A member of a program's own struct; filled by the rows below. */
struct rl_period {
    char *from, *to;
    uint64_t last_s; /* 0: not said */
};

#define RL_PERIOD_LAST_S_MAX 315360000

/** Two rows, for `member` of struct `of`. */
#define RL_PERIOD_ROWS(of, member)                                                                 \
    {.name = "from",                                                                               \
     .type = RL_SETTING_TEXT,                                                                      \
     .offset = offsetof(struct of, member.from),                                                   \
     .help = "RFC 3339 time"},                                                                     \
    {                                                                                              \
        .name = "to", .type = RL_SETTING_TEXT, .offset = offsetof(struct of, member.to),           \
        .help = "RFC 3339 time; now"                                                               \
    }
/** And one; `standard`: how long unless something is said, or NULL. */
#define RL_PERIOD_LAST_ROW(of, member, standard, text)                                             \
    {                                                                                              \
        .name = "last", .type = RL_SETTING_DURATION, .offset = offsetof(struct of, member.last_s), \
        .fallback = (standard), .min = 1, .max = RL_PERIOD_LAST_S_MAX, .help = (text)              \
    }

/** --from counts before --last. *from_ns is 0 when neither was said, *to_ns is 0 for "now"; both
 * are nanoseconds since 1970. Errors: RL_E_INVAL; the outputs are untouched. */
rl_code rl_period_read(const struct rl_period *period, int64_t *from_ns, int64_t *to_ns,
                       struct rl_error *err);

#endif
