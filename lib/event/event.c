/* event: making one. Strings are cut at their limit and marked, so that a user who types a megabyte
 * cannot make an event that nobody takes.
 */
#include "event/event.h"

#include "bytes/utf8.h"
#include "names/names.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define CUT_MARK "...(cut)"
#define DETAILS_BYTES_MAX 8192

/* Every string of the message on the heap, so that fields can be replaced and all freed alike. */
static void own_strings(Pb__Event *event)
{
    const ProtobufCMessageDescriptor *descriptor = event->base.descriptor;
    for (unsigned i = 0; i < descriptor->n_fields; i++)
        if (descriptor->fields[i].type == PROTOBUF_C_TYPE_STRING)
            *(char **)((char *)event + descriptor->fields[i].offset) = rl_strdup("");
}

Pb__Event *rl_event_create(const char *type, const char *outcome, int64_t now_ns)
{
    char uid[RL_UUID_TEXT_BYTES], code[RL_EVENT_CODE_BYTES];
    RL_ASSERT(rl_event_code(type, outcome, code, NULL) == RL_OK);
    Pb__Event *event = rl_alloc(sizeof *event);
    pb__event__init(event);
    own_strings(event);
    rl_uuid7(uid);
    rl_event_set(&event->uid, uid);
    rl_event_set(&event->type, type);
    rl_event_set(&event->code, code);
    rl_event_set(&event->outcome, outcome);
    event->time_ns = now_ns;
    event->version = 1;
    return event;
}

void rl_event_free(Pb__Event **event)
{
    if (!*event)
        return;
    pb__event__free_unpacked(*event, NULL);
    *event = NULL;
}

static void *take_memory(void *context, size_t size)
{
    (void)context;
    return rl_alloc(size);
}

static void give_memory_back(void *context, void *p)
{
    (void)context;
    free(p);
}

Pb__Event *rl_event_unpack(struct rl_span packed)
{
    ProtobufCAllocator allocator = {.alloc = take_memory, .free = give_memory_back};
    return pb__event__unpack(&allocator, packed.n, packed.p);
}

void rl_event_set(char **field, const char *text)
{
    /* A command may be any bytes, a message only UTF-8: what audit would refuse is never made, or a
     * byte 0xFF would be the way to leave no trace. */
    char *copy = rl_utf8_repair(text ? text : "");
    if (strlen(copy) > RL_EVENT_TEXT_BYTES_MAX) {
        size_t keep = RL_EVENT_TEXT_BYTES_MAX - strlen(CUT_MARK);
        while (keep > 0 && ((unsigned char)copy[keep] & 0xC0) == 0x80)
            keep--;
        memcpy(copy + keep, CUT_MARK, sizeof CUT_MARK);
    }
    free(*field);
    *field = copy;
}

void rl_event_detail(Pb__Event *event, const char *key, const char *value)
{
    if (!value || !value[0])
        return;
    json_t *details = json_loads(event->details_json, 0, NULL);
    if (!details)
        details = json_object();
    /* What is not UTF-8 cannot be in a message: it is shown, not copied. */
    char *printable = rl_name_printable(value);
    json_object_set_new(details, key, json_string(printable));
    char *text = json_dumps(details, JSON_COMPACT | JSON_SORT_KEYS);
    if (text && strlen(text) <= DETAILS_BYTES_MAX) { /* a detail too many is left out */
        free(event->details_json);
        event->details_json = text;
        text = NULL;
    }
    free(text);
    free(printable);
    json_decref(details);
}

static bool is_utf8(const char *text, size_t n)
{
    uint32_t point;
    for (size_t at = 0, step; at < n; at += step)
        if ((step = rl_utf8_next(text + at, n - at, &point)) == 0)
            return false;
    return true;
}

static rl_code check_strings(const Pb__Event *event, struct rl_error *err)
{
    const ProtobufCMessageDescriptor *descriptor = event->base.descriptor;
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        if (field->type != PROTOBUF_C_TYPE_STRING)
            continue;
        const char *text = *(char *const *)((const char *)event + field->offset);
        size_t max =
            strcmp(field->name, "details_json") == 0 ? DETAILS_BYTES_MAX : RL_EVENT_TEXT_BYTES_MAX;
        size_t n = strlen(text);
        if (n > max)
            return rl_fail(err, RL_E_INVAL, "event: %s has %zu bytes; at most %zu", field->name, n,
                           max);
        if (!is_utf8(text, n))
            return rl_fail(err, RL_E_INVAL, "event: %s is not UTF-8", field->name);
    }
    return RL_OK;
}

rl_code rl_event_check(const Pb__Event *event, struct rl_error *err)
{
    char code[RL_EVENT_CODE_BYTES];
    rl_code rc = rl_event_code(event->type, event->outcome, code, err);
    if (rc != RL_OK)
        return rc;
    if (strcmp(code, event->code) != 0)
        return rl_fail(err, RL_E_INVAL, "event: code %.16s does not belong to %s", event->code,
                       event->type);
    if (!rl_name_is_uuid(event->uid) || event->uid[14] != '7')
        return rl_fail(err, RL_E_INVAL, "event: the uid is not a UUIDv7");
    return check_strings(event, err);
}
