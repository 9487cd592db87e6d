/* configure: `remoteler configure FLAGS`: the flags of `remoteler start` as the file that it reads
 * by --config. They are checked as start would check them.
 */
#include "agent.h"
#include "output/output.h"
#include "resource/resource.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *list_value(const struct rl_text_list *list)
{
    json_t *array = list->count ? json_array() : NULL;
    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(array, json_string(list->items[i]));
    return array;
}

static json_t *duration_value(uint64_t duration_s)
{
    char text[RL_CLOCK_TEXT_BYTES];
    rl_duration_format(duration_s, text);
    return json_string(text);
}

static json_t *value_of(const struct rl_setting *row, const void *target)
{
    const void *at = (const char *)target + row->offset;
    switch (row->type) {
    case RL_SETTING_SWITCH:
        return json_boolean(*(const bool *)at);
    case RL_SETTING_NUMBER:
        return json_integer(*(const int64_t *)at);
    case RL_SETTING_DURATION:
        return duration_value(*(const uint64_t *)at);
    case RL_SETTING_LIST:
    case RL_SETTING_ADDRESSES:
        return list_value(at);
    default:
        return *(char *const *)at ? json_string(*(char *const *)at) : NULL;
    }
}

/* In the same form. */
static json_t *fallback_of(const struct rl_setting *row)
{
    uint64_t duration_s = 0;
    const char *text = row->fallback;
    switch (row->type) {
    case RL_SETTING_SWITCH:
        return json_boolean(text && strcmp(text, "yes") == 0);
    case RL_SETTING_NUMBER:
        return json_integer(text ? strtoll(text, NULL, 10) : 0);
    case RL_SETTING_DURATION:
        return text && rl_duration_parse(text, &duration_s, NULL) == RL_OK
                   ? duration_value(duration_s)
                   : NULL;
    case RL_SETTING_LIST:
    case RL_SETTING_ADDRESSES:
        return text ? json_pack("[s]", text) : NULL;
    default:
        return text ? json_string(text) : NULL;
    }
}

/* What differs from the defaults, by a flag or the environment: a service has neither. --config is
 * about files, not in them. */
static json_t *describe(const struct agent_settings *given)
{
    json_t *file = json_object();
    for (size_t i = 0; i < agent_configure_spec.count; i++) {
        const struct rl_setting *row = &agent_configure_spec.rows[i];
        json_t *value = value_of(row, given), *fallback = fallback_of(row);
        if (value && !json_equal(value, fallback) && strcmp(row->name, "config") != 0)
            json_object_set(file, row->name, value);
        json_decref(value);
        json_decref(fallback);
    }
    return file;
}

/* agent_choose() fills in what this machine would choose; the file holds what was said. */
static rl_code check(int argc, char **argv, struct rl_error *err)
{
    struct agent agent = {0};
    rl_code rc = rl_settings_read(&agent_configure_spec, argc, argv, &agent.settings, NULL, err);
    agent.settings.seccomp = false; /* of the device, not of this machine */
    if (rc == RL_OK)
        rc = agent_choose(&agent, err);
    rl_http_proxy_free(&agent.http_proxy);
    rl_labels_free(&agent.labels, agent.label_count);
    rl_settings_free(&agent_configure_spec, &agent.settings);
    return rc;
}

static rl_code configure(int argc, char **argv, struct rl_error *err)
{
    struct agent_settings given = {0};
    rl_code rc = check(argc, argv, err);
    if (rc == RL_OK)
        rc = rl_settings_read(&agent_configure_spec, argc, argv, &given, NULL, err);
    if (rc == RL_OK) {
        json_t *file = describe(&given);
        rc = rl_output_value(stdout, RL_FORMAT_YAML, file, err);
        json_decref(file);
    }
    rl_settings_free(&agent_configure_spec, &given);
    return rc;
}

int agent_configure(int argc, char **argv)
{
    struct rl_error err;
    rl_code rc = configure(argc, argv, &err);
    return rc == RL_OK ? RL_EXIT_DONE : rl_output_usage("remoteler", rc, &err);
}
