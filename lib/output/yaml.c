/* yaml: a JSON value by libyaml's emitter. A string that a reader could take for something else is
 * quoted: a label "no" has to come back as "no".
 */
#include "output/internal.h"
#include "status/memory.h"

#include <stdint.h>
#include <string.h>
#include <yaml.h>

/* Beyond, the value is nobody's resource. */
#define DEPTH_MAX 64

struct writer {
    yaml_emitter_t emitter;
};

/* Takes the event over. */
static bool emit(struct writer *writer, yaml_event_t *event)
{
    return yaml_emitter_emit(&writer->emitter, event);
}

static yaml_char_t *as_yaml(const char *text)
{
    return (yaml_char_t *)(uintptr_t)text; /* libyaml copies it */
}

static bool emit_scalar(struct writer *writer, const char *text, size_t n,
                        yaml_scalar_style_t style)
{
    yaml_event_t event;
    return yaml_scalar_event_initialize(&event, NULL, NULL, as_yaml(text), (int)n, 1, 1, style) &&
           emit(writer, &event);
}

static bool emit_plain(struct writer *writer, const char *text)
{
    return emit_scalar(writer, text, strlen(text), YAML_PLAIN_SCALAR_STYLE);
}

/* What YAML 1.1 or 1.2 reads as a number, a time, a boolean or null, and a little more. */
static bool reads_as_another_type(const char *text)
{
    static const char *const words[] = {"true", "false", "yes", "no", "on", "off",
                                        "null", "y",     "n",   "~",  "=",  "<<"};
    if (!*text || strchr("0123456789+-.", *text))
        return true;
    for (size_t i = 0; i < RL_COUNT(words); i++)
        if (strcasecmp(text, words[i]) == 0)
            return true;
    return false;
}

static bool emit_text(struct writer *writer, const char *text, size_t n)
{
    if (n > INT32_MAX)
        return false;
    yaml_scalar_style_t style = YAML_ANY_SCALAR_STYLE;
    if (strlen(text) != n || reads_as_another_type(text))
        style = YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    else if (strchr(text, '\n'))
        style = YAML_LITERAL_SCALAR_STYLE;
    return emit_scalar(writer, text, n, style);
}

static bool emit_value(struct writer *writer, json_t *value, size_t depth);

static bool emit_list(struct writer *writer, json_t *list, size_t depth)
{
    yaml_event_t event;
    yaml_sequence_style_t style =
        json_array_size(list) ? YAML_BLOCK_SEQUENCE_STYLE : YAML_FLOW_SEQUENCE_STYLE;
    if (!yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, style) ||
        !emit(writer, &event))
        return false;
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        if (!emit_value(writer, item, depth + 1))
            return false;
    }
    return yaml_sequence_end_event_initialize(&event) && emit(writer, &event);
}

static bool emit_object(struct writer *writer, json_t *object, size_t depth)
{
    yaml_event_t event;
    yaml_mapping_style_t style =
        json_object_size(object) ? YAML_BLOCK_MAPPING_STYLE : YAML_FLOW_MAPPING_STYLE;
    if (!yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, style) || !emit(writer, &event))
        return false;
    const char *key;
    json_t *item;
    json_object_foreach(object, key, item)
    {
        if (!emit_text(writer, key, strlen(key)) || !emit_value(writer, item, depth + 1))
            return false;
    }
    return yaml_mapping_end_event_initialize(&event) && emit(writer, &event);
}

static bool emit_value(struct writer *writer, json_t *value, size_t depth)
{
    char number[64];
    if (depth > DEPTH_MAX)
        return false;
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return emit_object(writer, value, depth);
    case JSON_ARRAY:
        return emit_list(writer, value, depth);
    case JSON_STRING:
        return emit_text(writer, json_string_value(value), json_string_length(value));
    case JSON_INTEGER:
        snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return emit_plain(writer, number);
    case JSON_REAL:
        snprintf(number, sizeof number, "%.17g", json_real_value(value));
        return emit_plain(writer, number);
    case JSON_TRUE:
        return emit_plain(writer, "true");
    case JSON_FALSE:
        return emit_plain(writer, "false");
    case JSON_NULL:
        return emit_plain(writer, "null");
    }
    return false;
}

static bool emit_document(struct writer *writer, json_t *value)
{
    yaml_event_t event;
    return yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING) && emit(writer, &event) &&
           yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1) &&
           emit(writer, &event) && emit_value(writer, value, 0) &&
           yaml_document_end_event_initialize(&event, 1) && emit(writer, &event) &&
           yaml_stream_end_event_initialize(&event) && emit(writer, &event);
}

rl_code rl_yaml_print(FILE *to, json_t *value, struct rl_error *err)
{
    struct writer writer;
    RL_NEED_MEMORY(yaml_emitter_initialize(&writer.emitter), 0);
    yaml_emitter_set_output_file(&writer.emitter, to);
    yaml_emitter_set_unicode(&writer.emitter, 1);
    yaml_emitter_set_width(&writer.emitter, -1); /* long lines stay whole: people grep */
    rl_code rc = RL_OK;
    if (!emit_document(&writer, value))
        rc = rl_fail(err, RL_E_DATA_LOSS, "writing the output as YAML failed: %s",
                     writer.emitter.problem ? writer.emitter.problem : "it is too deep");
    yaml_emitter_delete(&writer.emitter);
    return rc;
}
