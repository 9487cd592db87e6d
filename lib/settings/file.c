/* file: a flat YAML mapping of settings. A value is a scalar; a list may also be a sequence, or a
 * mapping, which reads as KEY=VALUE items. What the table does not know is an error with its line:
 * a misspelt setting must not be silently off.
 */
#include "settings/internal.h"

#include "file/file.h"
#include "names/names.h"
#include "status/memory.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define FILE_BYTES_MAX (1024 * 1024)

struct reader {
    struct reading *reading;
    const char *path;
    yaml_parser_t parser;
    yaml_event_t event;
};

static size_t line_of(const struct reader *reader)
{
    return reader->event.start_mark.line + 1;
}

static rl_code refuse(const struct reader *reader, const char *says, struct rl_error *err)
{
    return rl_fail(err, RL_E_INVAL, "%s:%zu: %s", reader->path, line_of(reader), says);
}

static rl_code next(struct reader *reader, struct rl_error *err)
{
    yaml_event_delete(&reader->event);
    if (yaml_parser_parse(&reader->parser, &reader->event))
        return RL_OK;
    return rl_fail(err, RL_E_INVAL, "%s:%zu: this is not YAML: %s", reader->path,
                   reader->parser.problem_mark.line + 1,
                   reader->parser.problem ? reader->parser.problem : "it cannot be read");
}

static const char *scalar(const struct reader *reader)
{
    return (const char *)reader->event.data.scalar.value;
}

static bool is_scalar(const struct reader *reader)
{
    return reader->event.type == YAML_SCALAR_EVENT;
}

/* A NUL would hide the rest of the text from us. */
static rl_code check_scalar(const struct reader *reader, const char *otherwise,
                            struct rl_error *err)
{
    if (!is_scalar(reader))
        return refuse(reader, otherwise, err);
    if (strlen(scalar(reader)) != reader->event.data.scalar.length)
        return refuse(reader, "a NUL has no place here", err);
    return RL_OK;
}

/* ---- values ---- */

static rl_code read_scalar(struct reader *reader, const struct rl_setting *row,
                           struct rl_error *err)
{
    rl_code rc = check_scalar(reader, "", err);
    bool is_absent = reader->event.data.scalar.plain_implicit && !*scalar(reader);
    if (rc != RL_OK || is_absent)
        return rc;
    rc = rl_setting_assign(reader->reading, row, SOURCE_FILE, scalar(reader), err);
    if (rc != RL_OK)
        rl_error_prefix(err, "%s:%zu: %s", reader->path, line_of(reader), row->name);
    return rc;
}

static rl_code append(struct reader *reader, const struct rl_setting *row, const char *item,
                      struct rl_error *err)
{
    rl_code rc = rl_setting_append(reader->reading, row, SOURCE_FILE, item, err);
    if (rc != RL_OK)
        rl_error_prefix(err, "%s:%zu: %s", reader->path, line_of(reader), row->name);
    return rc;
}

static rl_code read_sequence(struct reader *reader, const struct rl_setting *row,
                             struct rl_error *err)
{
    bool needs_one = row->type == RL_SETTING_ADDRESSES;
    for (;;) {
        rl_code rc = next(reader, err);
        if (rc != RL_OK)
            return rc;
        if (reader->event.type == YAML_SEQUENCE_END_EVENT)
            return needs_one ? refuse(reader, "at least one address is needed", err) : RL_OK;
        rc = check_scalar(reader, "an item of a list is plain text", err);
        if (rc == RL_OK)
            rc = append(reader, row, scalar(reader), err);
        if (rc != RL_OK)
            return rc;
        needs_one = false;
    }
}

static rl_code read_pairs(struct reader *reader, const struct rl_setting *row, struct rl_error *err)
{
    for (;;) {
        rl_code rc = next(reader, err);
        if (rc != RL_OK || reader->event.type == YAML_MAPPING_END_EVENT)
            return rc;
        rc = check_scalar(reader, "a key is plain text", err);
        if (rc != RL_OK)
            return rc;
        char *key = rl_strdup(scalar(reader));
        rc = next(reader, err);
        if (rc == RL_OK)
            rc = check_scalar(reader, "a value is plain text", err);
        if (rc == RL_OK) {
            char *item = rl_sprintf("%s=%s", key, scalar(reader));
            rc = append(reader, row, item, err);
            free(item);
        }
        free(key);
        if (rc != RL_OK)
            return rc;
    }
}

static rl_code read_value(struct reader *reader, const struct rl_setting *row, struct rl_error *err)
{
    rl_code rc = next(reader, err);
    if (rc != RL_OK)
        return rc;
    if (is_scalar(reader))
        return read_scalar(reader, row, err);
    bool is_sequence = reader->event.type == YAML_SEQUENCE_START_EVENT;
    bool is_mapping = reader->event.type == YAML_MAPPING_START_EVENT;
    bool takes_it = (row->type == RL_SETTING_LIST && (is_sequence || is_mapping)) ||
                    (row->type == RL_SETTING_ADDRESSES && is_sequence);
    if (!takes_it)
        return rl_fail(err, RL_E_INVAL, "%s:%zu: %s: takes one plain value", reader->path,
                       line_of(reader), row->name);
    rc = append(reader, row, NULL, err);
    if (rc != RL_OK)
        return rc;
    return is_sequence ? read_sequence(reader, row, err) : read_pairs(reader, row, err);
}

/* ---- the mapping ---- */

static rl_code find_row(struct reader *reader, bool *is_seen, const struct rl_setting **row,
                        struct rl_error *err)
{
    const struct rl_settings_spec *spec = reader->reading->spec;
    rl_code rc = check_scalar(reader, "a setting's name is plain text", err);
    if (rc != RL_OK)
        return rc;
    const struct rl_setting *found = rl_setting_find(spec, scalar(reader), strlen(scalar(reader)));
    bool is_the_file = found && spec->file_setting && strcmp(found->name, spec->file_setting) == 0;
    if (!found || is_the_file) {
        char *shown = rl_name_printable(scalar(reader));
        rl_fail(err, RL_E_INVAL, "%s:%zu: there is no setting \"%.80s\"", reader->path,
                line_of(reader), shown);
        free(shown);
        return RL_E_INVAL;
    }
    bool *seen = &is_seen[found - spec->rows];
    if (*seen)
        return rl_fail(err, RL_E_INVAL, "%s:%zu: %s: is set twice", reader->path, line_of(reader),
                       found->name);
    *seen = true;
    *row = found;
    return RL_OK;
}

static rl_code read_mapping(struct reader *reader, struct rl_error *err)
{
    bool *is_seen = rl_alloc_array(reader->reading->spec->count, sizeof *is_seen);
    rl_code rc;
    for (;;) {
        rc = next(reader, err);
        if (rc != RL_OK || reader->event.type == YAML_MAPPING_END_EVENT)
            break;
        const struct rl_setting *row = NULL;
        rc = find_row(reader, is_seen, &row, err);
        if (rc == RL_OK)
            rc = read_value(reader, row, err);
        if (rc != RL_OK)
            break;
    }
    free(is_seen);
    return rc;
}

/* Stream start, document start, mapping, document end, stream end; an empty file has no document.
 */
static rl_code read_stream(struct reader *reader, struct rl_error *err)
{
    rl_code rc = next(reader, err);
    if (rc == RL_OK)
        rc = next(reader, err);
    if (rc != RL_OK || reader->event.type == YAML_STREAM_END_EVENT)
        return rc;
    rc = next(reader, err);
    if (rc != RL_OK)
        return rc;
    bool is_empty = is_scalar(reader) && !*scalar(reader); /* nothing but a `---` */
    if (!is_empty && reader->event.type != YAML_MAPPING_START_EVENT)
        return refuse(reader, "settings are written `name: value`", err);
    if (!is_empty)
        rc = read_mapping(reader, err);
    if (rc == RL_OK)
        rc = next(reader, err); /* the document's end */
    if (rc == RL_OK)
        rc = next(reader, err);
    if (rc == RL_OK && reader->event.type != YAML_STREAM_END_EVENT)
        rc = refuse(reader, "there is more than one document", err);
    return rc;
}

rl_code rl_settings_read_file(struct reading *reading, const char *path, struct rl_error *err)
{
    struct rl_buf text;
    rl_buf_init(&text, FILE_BYTES_MAX);
    rl_code rc = rl_file_read(path, &text, err);
    if (rc == RL_OK) {
        struct reader reader = {.reading = reading, .path = path};
        RL_NEED_MEMORY(yaml_parser_initialize(&reader.parser), 0);
        yaml_parser_set_input_string(&reader.parser, text.p, text.n);
        rc = read_stream(&reader, err);
        yaml_event_delete(&reader.event);
        yaml_parser_delete(&reader.parser);
    }
    rl_buf_fini(&text);
    return rc == RL_E_NOT_FOUND ? RL_E_INVAL : rc;
}
