/* log: one JSON object a line on stderr, written in one call. Libraries do not log; the layer that
 * decides does, once, with the ids. Values are escaped; a key is an identifier in the source.
 */
#ifndef RL_LOG_H
#define RL_LOG_H

#include "status/status.h"

enum rl_log_level { RL_LOG_DEBUG, RL_LOG_INFO, RL_LOG_WARN, RL_LOG_ERROR };

/** `program` is kept by pointer. `text` prints "LEVEL message key=value" for people instead. */
void rl_log_setup(const char *program, enum rl_log_level least, bool text);
rl_code rl_log_level_parse(const char *name, enum rl_log_level *out, struct rl_error *err);

struct rl_log_field {
    const char *key;
    const char *text; /* cut at 4,096 bytes; NULL: the number counts */
    long long number;
};
static inline struct rl_log_field rl_log_text(const char *key, const char *text)
{
    return (struct rl_log_field){key, text ? text : "", 0};
}
#define RL_TEXT(k, v) rl_log_text((k), (v))
#define RL_NUMBER(k, v) ((struct rl_log_field){(k), NULL, (long long)(v)})

void rl_log_write(enum rl_log_level level, const char *message, const struct rl_log_field *fields,
                  size_t count);

/* rl_log_info("agent attached", RL_TEXT("agent", id), RL_NUMBER("epoch", epoch)); */
#define RL_LOG_(level, message, ...)                                                               \
    do {                                                                                           \
        const struct rl_log_field rl_fields_[] = {{"", NULL, 0}, ##__VA_ARGS__};                   \
        rl_log_write((level), (message), rl_fields_ + 1, RL_COUNT(rl_fields_) - 1);                \
    } while (0)
#define rl_log_debug(...) RL_LOG_(RL_LOG_DEBUG, __VA_ARGS__)
#define rl_log_info(...) RL_LOG_(RL_LOG_INFO, __VA_ARGS__)
#define rl_log_warn(...) RL_LOG_(RL_LOG_WARN, __VA_ARGS__)
#define rl_log_error(...) RL_LOG_(RL_LOG_ERROR, __VA_ARGS__)

#endif
