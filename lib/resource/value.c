/* value: one field that is no message, from its node, and where in the document that was. */
#include "bytes/encoding.h"
#include "clock/clock.h"
#include "names/names.h"
#include "resource/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_FIELD_MAX 65536

rl_code place_fail(const struct place *place, size_t line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    rl_code code = rl_vfail(place->err, RL_E_INVAL, format, args);
    va_end(args);
    if (place->length)
        rl_error_prefix(place->err, "line %zu: %s", line, place->path);
    else
        rl_error_prefix(place->err, "line %zu", line);
    return code;
}

size_t place_enter(struct place *place, const char *name)
{
    size_t before = place->length;
    char *shown = rl_name_printable(name); /* a label's key may be anything */
    int n = snprintf(place->path + before, sizeof place->path - before, "%s%.64s",
                     before ? "." : "", shown);
    free(shown);
    place->length = strlen(place->path);
    RL_ASSERT(n >= 0);
    return before;
}

void place_leave(struct place *place, size_t length)
{
    place->length = length;
    place->path[length] = '\0';
}

void *grow_repeated(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, size_t size)
{
    size_t *count = member_of(message, field->quantifier_offset);
    void **items = member_of(message, field->offset);
    char *bigger = rl_alloc_array(*count + 1, size);
    if (*count)
        memcpy(bigger, *items, *count * size);
    free(*items);
    *items = bigger;
    return bigger + (*count)++ * size;
}

static rl_code want(const struct place *place, const struct node *node, enum node_kind kind,
                    const char *hint)
{
    if (node->kind == kind)
        return RL_OK;
    return place_fail(place, node->line, "%s, not %s%s", node_kind_words(kind),
                      node_kind_words(node->kind), hint);
}

static rl_code want_text(const struct place *place, const struct node *node)
{
    bool is_other_scalar = node->kind == NODE_NUMBER || node->kind == NODE_BOOL;
    return want(place, node, NODE_TEXT, is_other_scalar ? "; write it in quotes" : "");
}

static rl_code read_text(const struct place *place, const struct node *node, char **out)
{
    rl_code code = want_text(place, node);
    if (code == RL_OK)
        *out = rl_strdup(node->text);
    return code;
}

static rl_code read_bool(const struct place *place, const struct node *node,
                         protobuf_c_boolean *out)
{
    rl_code code = want(place, node, NODE_BOOL, "");
    if (code == RL_OK)
        *out = node->text[0] == 't';
    return code;
}

static rl_code read_number(const struct place *place, const struct node *node, void *out,
                           ProtobufCType type)
{
    rl_code code = want(place, node, NODE_NUMBER, "");
    if (code != RL_OK)
        return code;
    errno = 0;
    long long number = strtoll(node->text, NULL, 10);
    bool fits = errno == 0 && (number >= 0 || type == PROTOBUF_C_TYPE_INT64) &&
                (number <= UINT32_MAX || type != PROTOBUF_C_TYPE_UINT32);
    if (!fits)
        return place_fail(place, node->line, "%.32s is out of range", node->text);
    if (type == PROTOBUF_C_TYPE_UINT32)
        *(uint32_t *)out = (uint32_t)number;
    else if (type == PROTOBUF_C_TYPE_UINT64)
        *(uint64_t *)out = (uint64_t)number;
    else
        *(int64_t *)out = number;
    return RL_OK;
}

static rl_code read_duration(const struct place *place, const struct node *node, uint64_t *out)
{
    struct rl_error why;
    bool is_scalar = node->kind == NODE_TEXT || node->kind == NODE_NUMBER;
    if (!is_scalar)
        return want(place, node, NODE_TEXT, "; write a duration like 12h or 30m");
    if (rl_duration_parse(node->text, out, &why) != RL_OK)
        return place_fail(place, node->line, "%s", why.message);
    return RL_OK;
}

static rl_code read_time(const struct place *place, const struct node *node, int64_t *out)
{
    struct rl_error why;
    rl_code code = want(place, node, NODE_TEXT, "; write a time like 2026-11-22T15:47:43Z");
    if (code == RL_OK && rl_clock_parse(node->text, out, &why) != RL_OK)
        code = place_fail(place, node->line, "%s", why.message);
    return code;
}

/* "<redacted>" stays that text, so that whoever holds the real bytes sees that it is to stay. */
static rl_code read_bytes(const struct place *place, const struct node *node,
                          ProtobufCBinaryData *out)
{
    struct rl_buf bytes;
    rl_code code = want_text(place, node);
    if (code != RL_OK)
        return code;
    rl_buf_init(&bytes, BYTES_FIELD_MAX);
    bool is_good = strcmp(node->text, RL_RESOURCE_REDACTED) == 0
                       ? rl_buf_put_text(&bytes, node->text)
                       : rl_base64_decode(node->text, &bytes, NULL) == RL_OK;
    if (!is_good) {
        code = place_fail(place, node->line, "not base64 of at most %d bytes", BYTES_FIELD_MAX);
    } else if (bytes.n) {
        out->len = bytes.n;
        out->data = rl_alloc(bytes.n);
        memcpy(out->data, bytes.p, bytes.n);
    }
    rl_buf_fini(&bytes);
    return code;
}

static rl_code add_texts(struct place *place, const struct node *list, ProtobufCMessage *message,
                         const ProtobufCFieldDescriptor *field)
{
    for (const struct node *item = list->child; item; item = item->next) {
        char *text = NULL;
        rl_code code = read_text(place, item, &text);
        if (code != RL_OK)
            return code;
        char **to = grow_repeated(message, field, sizeof *to);
        *to = text;
    }
    return RL_OK;
}

static const ProtobufCFieldDescriptor *field_named(const ProtobufCMessageDescriptor *type,
                                                   const char *name)
{
    return protobuf_c_message_descriptor_get_field_by_name(type, name);
}

static void set_key(ProtobufCMessage *entry, const char *key)
{
    char **to = member_of(entry, field_named(entry->descriptor, "key")->offset);
    *to = rl_strdup(key);
}

/* env: dev, and, where values are a list, env: [dev, staging]. */
static rl_code read_map_value(struct place *place, const struct node *node, ProtobufCMessage *entry)
{
    const ProtobufCFieldDescriptor *values = field_named(entry->descriptor, "values");
    if (!values) {
        char **to = member_of(entry, field_named(entry->descriptor, "value")->offset);
        return read_text(place, node, to);
    }
    if (node->kind == NODE_LIST)
        return add_texts(place, node, entry, values);
    char *text = NULL;
    rl_code code = read_text(place, node, &text);
    if (code == RL_OK) {
        char **to = grow_repeated(entry, values, sizeof *to);
        *to = text;
    }
    return code;
}

static rl_code read_pairs(struct place *place, const struct node *map, ProtobufCMessage *message,
                          const ProtobufCFieldDescriptor *field)
{
    rl_code code = want(place, map, NODE_MAP, " of keys and values");
    for (const struct node *node = map->child; node && code == RL_OK; node = node->next) {
        ProtobufCMessage *entry = new_message(field->descriptor);
        ProtobufCMessage **to = grow_repeated(message, field, sizeof *to);
        *to = entry;
        set_key(entry, node->key);
        size_t before = place_enter(place, node->key);
        code = read_map_value(place, node, entry);
        place_leave(place, before);
    }
    return code;
}

rl_code value_read(struct place *place, const struct node *node, ProtobufCMessage *message,
                   const ProtobufCFieldDescriptor *field)
{
    void *to = member_of(message, field->offset);
    rl_code code;
    switch (field_shape(field)) {
    case SHAPE_TEXT:
        return read_text(place, node, to);
    case SHAPE_BOOL:
        return read_bool(place, node, to);
    case SHAPE_NUMBER:
        return read_number(place, node, to, field->type);
    case SHAPE_DURATION:
        return read_duration(place, node, to);
    case SHAPE_TIME:
        return read_time(place, node, to);
    case SHAPE_BYTES:
        return read_bytes(place, node, to);
    case SHAPE_TEXTS:
        code = want(place, node, NODE_LIST, "; write [a, b]");
        return code == RL_OK ? add_texts(place, node, message, field) : code;
    default:
        return read_pairs(place, node, message, field);
    }
}
