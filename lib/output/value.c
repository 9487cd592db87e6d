#include "output/value.h"

#include "bytes/utf8.h"
#include "clock/clock.h"

#include <stdlib.h>
#include <string.h>

static void *take_memory(size_t size)
{
    return rl_alloc(size);
}

/* Values are put together without a look at each: one that could not be made would be left out of
 * what is shown, silently. So for JSON, too, memory that is refused ends the process. */
__attribute__((constructor)) static void make_json_whole_or_not_at_all(void)
{
    json_set_alloc_funcs(take_memory, free);
}

json_t *rl_json_text(const char *text)
{
    json_t *value = json_string(text ? text : "");
    if (value)
        return value;
    char *repaired = rl_utf8_repair(text);
    value = json_string(repaired);
    free(repaired);
    return value;
}

json_t *rl_json_text_or_null(const char *text)
{
    return text && text[0] ? rl_json_text(text) : json_null();
}

json_t *rl_json_time_or_null(int64_t time_ns)
{
    char text[RL_CLOCK_TEXT_BYTES];
    if (!time_ns)
        return json_null();
    rl_clock_format(time_ns, text);
    return json_string(text);
}

json_t *rl_json_texts(char *const *items, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, rl_json_text(items[i]));
    return array;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

void rl_json_show_users(json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *object = json_array_get(list, i);
        const char *user = text_of(object, "user"), *of = text_of(object, "user_cluster");
        if (*user && *of && strcmp(of, text_of(object, "cluster")) != 0)
            json_object_set_new(object, "user", json_sprintf("%s@%s", user, of));
    }
}

void rl_json_put(json_t *object, const char *key, json_t *value)
{
    char *repaired = rl_utf8_repair(key);
    json_object_set_new(object, repaired, value);
    free(repaired);
}
