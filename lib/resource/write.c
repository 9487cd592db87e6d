/* write: messages as documents, in the order of the fields' numbers. What is not said is left out;
 * a switch is always shown; a secret never. */
#include "bytes/encoding.h"
#include "clock/clock.h"
#include "names/names.h"
#include "output/output.h"
#include "output/value.h"
#include "resource/internal.h"

#include <stdlib.h>
#include <string.h>

static json_t *message_to_json(const ProtobufCMessage *message);

static json_t *messages_to_json(size_t count, ProtobufCMessage *const *messages)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, message_to_json(messages[i]));
    return list;
}

json_t *rl_labels_to_json(Pb__Label *const *labels, size_t count)
{
    json_t *map = json_object();
    for (size_t i = 0; i < count; i++)
        rl_json_put(map, labels[i]->key, rl_json_text(labels[i]->value));
    return map;
}

/* One value of a match is shown as itself, {env: dev}; a trait is always a list. */
static json_t *matches_to_json(size_t count, Pb__LabelMatch *const *matches)
{
    json_t *map = json_object();
    for (size_t i = 0; i < count; i++) {
        const Pb__LabelMatch *match = matches[i];
        rl_json_put(map, match->key,
                    match->n_values == 1 ? rl_json_text(match->values[0])
                                         : rl_json_texts(match->values, match->n_values));
    }
    return map;
}

json_t *rl_traits_to_json(Pb__Trait *const *traits, size_t count)
{
    json_t *map = json_object();
    for (size_t i = 0; i < count; i++)
        rl_json_put(map, traits[i]->key, rl_json_texts(traits[i]->values, traits[i]->n_values));
    return map;
}

static json_t *repeated_to_json(const ProtobufCMessage *message,
                                const ProtobufCFieldDescriptor *field)
{
    size_t count = *(const size_t *)member_in(message, field->quantifier_offset);
    void *const *items = member_in(message, field->offset);
    if (count == 0)
        return NULL;
    switch (field_shape(field)) {
    case SHAPE_TEXTS:
        return rl_json_texts(*items, count);
    case SHAPE_LABELS:
        return rl_labels_to_json(*items, count);
    case SHAPE_MATCHES:
        return matches_to_json(count, *items);
    case SHAPE_TRAITS:
        return rl_traits_to_json(*items, count);
    default:
        return messages_to_json(count, *items);
    }
}

static json_t *duration_to_json(uint64_t duration_s)
{
    char text[RL_CLOCK_TEXT_BYTES];
    rl_duration_format(duration_s, text);
    return json_string(text);
}

static json_t *bytes_to_json(const ProtobufCBinaryData *bytes)
{
    if (bytes->len == 0)
        return NULL;
    char *text = rl_base64_encode(RL_SPAN(bytes->data, bytes->len));
    json_t *value = json_string(text);
    free(text);
    return value;
}

static uint64_t number_in(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    const void *at = member_in(message, field->offset);
    return field->type == PROTOBUF_C_TYPE_UINT32 ? *(const uint32_t *)at : *(const uint64_t *)at;
}

/* NULL: nothing to show. `is_said`: the message tells zero from nothing, and it is not nothing. */
static json_t *single_to_json(const ProtobufCMessage *message,
                              const ProtobufCFieldDescriptor *field, bool is_said)
{
    const void *at = member_in(message, field->offset);
    const char *text;
    const ProtobufCMessage *inner;
    uint64_t number;
    switch (field_shape(field)) {
    case SHAPE_TEXT:
        text = *(char *const *)at;
        return text[0] ? rl_json_text(text) : NULL;
    case SHAPE_BOOL:
        return json_boolean(*(const protobuf_c_boolean *)at);
    case SHAPE_BYTES:
        return bytes_to_json(at);
    case SHAPE_MESSAGE:
        inner = *(ProtobufCMessage *const *)at;
        return inner ? message_to_json(inner) : NULL;
    default:
        number = number_in(message, field);
        if (number == 0 && !is_said)
            return NULL;
    }
    switch (field_shape(field)) {
    case SHAPE_DURATION:
        return duration_to_json(number);
    case SHAPE_TIME:
        return rl_json_time_or_null((int64_t)number);
    default:
        return json_integer((json_int_t)number);
    }
}

static json_t *field_to_json(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        return repeated_to_json(message, field);
    bool is_optional_scalar = field->label == PROTOBUF_C_LABEL_OPTIONAL &&
                              field->type != PROTOBUF_C_TYPE_STRING &&
                              field->type != PROTOBUF_C_TYPE_MESSAGE;
    bool is_said = is_optional_scalar &&
                   *(const protobuf_c_boolean *)member_in(message, field->quantifier_offset);
    if (is_optional_scalar && !is_said)
        return NULL;
    json_t *value = single_to_json(message, field, is_said);
    if (value && field_is_secret(message->descriptor, field)) {
        json_decref(value);
        value = json_string(RL_RESOURCE_REDACTED);
    }
    return value;
}

static void fields_to_json(const ProtobufCMessage *message, json_t *object)
{
    char name[FIELD_NAME_BYTES_MAX];
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        json_t *value = field_to_json(message, field);
        field_document_name(field, name);
        if (value)
            json_object_set_new(object, name, value);
    }
}

static json_t *message_to_json(const ProtobufCMessage *message)
{
    json_t *object = json_object();
    fields_to_json(message, object);
    return object;
}

json_t *rl_resource_to_json(const Pb__Resource *resource)
{
    json_t *document = json_object();
    json_object_set_new(document, "kind", json_string(rl_resource_kind(resource)));
    json_object_set_new(document, "version", json_string("v1"));
    const ProtobufCMessage *message = resource_message(resource);
    if (message)
        fields_to_json(message, document);
    return document;
}

static rl_code put_document(const Pb__Resource *resource, struct rl_buf *out, struct rl_error *err)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    if (!stream)
        return rl_fail(err, RL_E_EXHAUSTED, "no memory for a document");
    json_t *document = rl_resource_to_json(resource);
    rl_code code = rl_output_value(stream, RL_FORMAT_YAML, document, err);
    json_decref(document);
    fclose(stream);
    if (code == RL_OK && !rl_buf_put(out, text, size))
        code = rl_fail(err, RL_E_EXHAUSTED, "the documents have more than %zu bytes", out->max);
    free(text);
    return code;
}

rl_code rl_resources_to_yaml(Pb__Resource *const *resources, size_t count, struct rl_buf *out,
                             struct rl_error *err)
{
    rl_code code = RL_OK;
    for (size_t i = 0; i < count && code == RL_OK; i++) {
        if (i > 0)
            rl_buf_put_text(out, "---\n");
        code = put_document(resources[i], out, err);
    }
    return code;
}
