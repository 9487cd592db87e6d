/* schema: the few rules that turn the name and type of a message's field into the name and shape of
 * a document's. There is no second list of fields to keep in step. */
#include "resource/internal.h"

#include <stdio.h>
#include <string.h>

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n > m && strcmp(name + n - m, end) == 0;
}

static enum field_shape message_shape(const ProtobufCFieldDescriptor *field)
{
    if (field->label != PROTOBUF_C_LABEL_REPEATED)
        return SHAPE_MESSAGE;
    if (field->descriptor == &pb__label__descriptor)
        return SHAPE_LABELS;
    if (field->descriptor == &pb__label_match__descriptor)
        return SHAPE_MATCHES;
    if (field->descriptor == &pb__trait__descriptor)
        return SHAPE_TRAITS;
    return SHAPE_MESSAGES;
}

enum field_shape field_shape(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        return message_shape(field);
    case PROTOBUF_C_TYPE_STRING:
        return field->label == PROTOBUF_C_LABEL_REPEATED ? SHAPE_TEXTS : SHAPE_TEXT;
    case PROTOBUF_C_TYPE_BYTES:
        return SHAPE_BYTES;
    case PROTOBUF_C_TYPE_BOOL:
        return SHAPE_BOOL;
    case PROTOBUF_C_TYPE_UINT64:
        return ends_with(field->name, "_s") ? SHAPE_DURATION : SHAPE_NUMBER;
    case PROTOBUF_C_TYPE_INT64:
        return ends_with(field->name, "_ns") ? SHAPE_TIME : SHAPE_NUMBER;
    default: /* a resource has no other type; whoever adds one adds its shape */
        RL_ASSERT(field->type == PROTOBUF_C_TYPE_UINT32);
        return SHAPE_NUMBER;
    }
}

void field_document_name(const ProtobufCFieldDescriptor *field, char name[FIELD_NAME_BYTES_MAX])
{
    size_t n = strlen(field->name);
    RL_ASSERT(n < FIELD_NAME_BYTES_MAX);
    switch (field_shape(field)) {
    case SHAPE_DURATION:
        n -= strlen("_s");
        break;
    case SHAPE_TIME:
        n -= strlen("_ns");
        break;
    default:
        if (strcmp(field->name, "default_mode") == 0) /* `default` is a word of C */
            n = strlen("default");
    }
    snprintf(name, FIELD_NAME_BYTES_MAX, "%.*s", (int)n, field->name);
}

const ProtobufCFieldDescriptor *field_by_document_name(const ProtobufCMessageDescriptor *type,
                                                       const char *name)
{
    char known[FIELD_NAME_BYTES_MAX];
    for (unsigned i = 0; i < type->n_fields; i++) {
        field_document_name(&type->fields[i], known);
        if (strcmp(known, name) == 0)
            return &type->fields[i];
    }
    return NULL;
}

bool field_is_secret(const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *field)
{
    static const struct {
        const ProtobufCMessageDescriptor *type;
        const char *field;
    } secrets[] = {
        {&pb__token_spec__descriptor, "secret"},
        {&pb__trusted_cluster_spec__descriptor, "token"},
        {&pb__ca_key__descriptor, "private_key"},
    };
    for (size_t i = 0; i < RL_COUNT(secrets); i++)
        if (secrets[i].type == type && strcmp(secrets[i].field, field->name) == 0)
            return true;
    return false;
}

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Levenshtein's distance, a row at a time. Both have less than FIELD_NAME_BYTES_MAX bytes. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[FIELD_NAME_BYTES_MAX], n = strlen(b);
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t above = row[j];
            row[j] = min3(row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[n];
}

const char *closest_word(const char *word, const char *const *words, size_t count)
{
    size_t length = strlen(word);
    if (length >= FIELD_NAME_BYTES_MAX)
        return NULL;
    size_t best = length / 3 + 1; /* a third of it wrong is another word */
    const char *closest = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t distance = edit_distance(word, words[i]);
        if (distance <= best && (!closest || distance < best)) {
            best = distance;
            closest = words[i];
        }
    }
    return closest;
}
