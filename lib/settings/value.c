/* value: text into the program's struct, checked by the row's type and range. */
#include "settings/internal.h"

#include "clock/clock.h"
#include "names/names.h"
#include "status/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What a program takes in one list: a command line or file must not fill the memory. */
#define LIST_ITEMS_MAX 1024

const struct rl_setting *rl_setting_find(const struct rl_settings_spec *spec, const char *name,
                                         size_t name_bytes)
{
    for (size_t i = 0; i < spec->count; i++) {
        const struct rl_setting *row = &spec->rows[i];
        if (strlen(row->name) == name_bytes && memcmp(row->name, name, name_bytes) == 0)
            return row;
    }
    return NULL;
}

char *rl_setting_environment(const struct rl_settings_spec *spec, const struct rl_setting *row)
{
    if (row->environment)
        return rl_strdup(row->environment);
    if (!spec->environment_prefix || row->is_secret)
        return NULL;
    char *name = rl_sprintf("%s_%s", spec->environment_prefix, row->name);
    for (char *c = name; *c; c++)
        *c = (char)(*c == '-' ? '_' : *c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
    return name;
}

static void *place_of(const struct rl_setting *row, void *target)
{
    return (char *)target + row->offset;
}

static rl_code refuse(const char *text, const char *says, struct rl_error *err)
{
    char *shown = rl_name_printable(text);
    rl_fail(err, RL_E_INVAL, "\"%.80s\" is not %s", shown, says);
    free(shown);
    return RL_E_INVAL;
}

static bool is_bounded(const struct rl_setting *row)
{
    return row->min != 0 || row->max != 0;
}

static rl_code assign_number(const struct rl_setting *row, int64_t *to, const char *text,
                             struct rl_error *err)
{
    char *end;
    errno = 0;
    int64_t value = strtoll(text, &end, 10);
    bool starts_well = (*text >= '0' && *text <= '9') || *text == '-'; /* strtoll skips spaces */
    if (!starts_well || *end || errno)
        return refuse(text, "a number", err);
    if (is_bounded(row) && (value < row->min || value > row->max))
        return rl_fail(err, RL_E_INVAL, "%" PRId64 " is not between %" PRId64 " and %" PRId64,
                       value, row->min, row->max);
    *to = value;
    return RL_OK;
}

static rl_code assign_duration(const struct rl_setting *row, uint64_t *to, const char *text,
                               struct rl_error *err)
{
    uint64_t value;
    rl_code rc = rl_duration_parse(text, &value, err);
    if (rc != RL_OK)
        return rc;
    if (is_bounded(row) && (value < (uint64_t)row->min || value > (uint64_t)row->max)) {
        char min[RL_CLOCK_TEXT_BYTES], max[RL_CLOCK_TEXT_BYTES];
        rl_duration_format((uint64_t)row->min, min);
        rl_duration_format((uint64_t)row->max, max);
        return rl_fail(err, RL_E_INVAL, "%.40s is not between %s and %s", text, min, max);
    }
    *to = value;
    return RL_OK;
}

static rl_code assign_switch(bool *to, const char *text, struct rl_error *err)
{
    bool is_yes = strcmp(text, "yes") == 0 || strcmp(text, "true") == 0;
    bool is_no = strcmp(text, "no") == 0 || strcmp(text, "false") == 0;
    if (!is_yes && !is_no)
        return refuse(text, "yes or no", err);
    *to = is_yes;
    return RL_OK;
}

static void assign_text(char **to, const char *text)
{
    free(*to);
    *to = rl_strdup(text);
}

static rl_code check_address(const char *text, struct rl_error *err)
{
    char *host;
    uint16_t port;
    rl_code rc = rl_address_split(text, &host, &port, err);
    if (rc == RL_OK)
        free(host);
    return rc;
}

static rl_code assign_address(char **to, const char *text, struct rl_error *err)
{
    rl_code rc = check_address(text, err);
    if (rc == RL_OK)
        assign_text(to, text);
    return rc;
}

/* ---- lists ---- */

static void list_clear(struct rl_text_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct rl_text_list){0};
}

/* Takes the item. */
static rl_code list_add(struct rl_text_list *list, const struct rl_setting *row, char *item,
                        struct rl_error *err)
{
    rl_code rc = RL_OK;
    if (list->count == LIST_ITEMS_MAX)
        rc = rl_fail(err, RL_E_INVAL, "there are more than %d items", LIST_ITEMS_MAX);
    else if (row->type == RL_SETTING_ADDRESSES)
        rc = check_address(item, err);
    if (rc != RL_OK) {
        free(item);
        return rc;
    }
    char **items = reallocarray(list->items, list->count + 1, sizeof *items);
    RL_NEED_MEMORY(items, 0);
    list->items = items;
    items[list->count++] = item;
    return RL_OK;
}

static rl_code list_split(struct rl_text_list *list, const struct rl_setting *row, const char *text,
                          struct rl_error *err)
{
    if (!*text)
        return row->type == RL_SETTING_ADDRESSES ? check_address(text, err) : RL_OK;
    for (const char *at = text;;) {
        size_t n = strcspn(at, ",");
        if (n == 0)
            return rl_fail(err, RL_E_INVAL, "there is an empty item between the commas");
        rl_code rc = list_add(list, row, rl_sprintf("%.*s", (int)n, at), err);
        if (rc != RL_OK || !at[n])
            return rc;
        at += n + 1;
    }
}

/* The list of the row, emptied if what is in it came from a weaker source. */
static struct rl_text_list *list_of(struct reading *reading, const struct rl_setting *row,
                                    enum source source)
{
    struct rl_text_list *list = place_of(row, reading->target);
    if (reading->source_of[row - reading->spec->rows] != source)
        list_clear(list);
    return list;
}

rl_code rl_setting_append(struct reading *reading, const struct rl_setting *row, enum source source,
                          const char *item, struct rl_error *err)
{
    struct rl_text_list *list = list_of(reading, row, source);
    reading->source_of[row - reading->spec->rows] = source;
    return item ? list_add(list, row, rl_strdup(item), err) : RL_OK;
}

/* ---- any row ---- */

rl_code rl_setting_assign(struct reading *reading, const struct rl_setting *row, enum source source,
                          const char *text, struct rl_error *err)
{
    void *to = place_of(row, reading->target);
    rl_code rc = RL_OK;
    switch (row->type) {
    case RL_SETTING_TEXT:
    case RL_SETTING_FILE:
        assign_text(to, text);
        break;
    case RL_SETTING_LIST:
    case RL_SETTING_ADDRESSES: {
        struct rl_text_list *list = list_of(reading, row, source);
        rc = row->keeps_commas ? list_add(list, row, rl_strdup(text), err)
                               : list_split(list, row, text, err);
        break;
    }
    case RL_SETTING_NUMBER:
        rc = assign_number(row, to, text, err);
        break;
    case RL_SETTING_DURATION:
        rc = assign_duration(row, to, text, err);
        break;
    case RL_SETTING_SWITCH:
        rc = assign_switch(to, text, err);
        break;
    case RL_SETTING_ADDRESS:
        rc = assign_address(to, text, err);
        break;
    }
    if (rc == RL_OK)
        reading->source_of[row - reading->spec->rows] = source;
    return rc;
}

void rl_setting_clear(const struct rl_setting *row, void *target)
{
    void *at = place_of(row, target);
    switch (row->type) {
    case RL_SETTING_TEXT:
    case RL_SETTING_FILE:
    case RL_SETTING_ADDRESS:
        free(*(char **)at);
        *(char **)at = NULL;
        break;
    case RL_SETTING_LIST:
    case RL_SETTING_ADDRESSES:
        list_clear(at);
        break;
    case RL_SETTING_NUMBER:
    case RL_SETTING_DURATION:
    case RL_SETTING_SWITCH:
        break;
    }
}
