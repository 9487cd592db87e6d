/* read: documents as messages. A field that the message does not have is an error, never left out:
 * a misspelt denial would otherwise deny nothing. */
#include "resource/internal.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#define VERSION "v1"

static rl_code read_message(struct place *place, const struct node *map, ProtobufCMessage *message);

static rl_code fail_unknown(struct place *place, const struct node *node, const char *const *words,
                            size_t count)
{
    size_t before = place_enter(place, node->key);
    const char *meant = closest_word(node->key, words, count);
    rl_code code = meant
                       ? place_fail(place, node->key_line, "unknown field; did you mean %s?", meant)
                       : place_fail(place, node->key_line, "unknown field");
    place_leave(place, before);
    return code;
}

#define FIELDS_MAX 32 /* of one message: for the suggestion */

static rl_code fail_unknown_field(struct place *place, const struct node *node,
                                  const ProtobufCMessageDescriptor *type)
{
    char names[FIELDS_MAX][FIELD_NAME_BYTES_MAX];
    const char *words[FIELDS_MAX];
    size_t count = 0;
    for (; count < type->n_fields && count < FIELDS_MAX; count++) {
        field_document_name(&type->fields[count], names[count]);
        words[count] = names[count];
    }
    return fail_unknown(place, node, words, count);
}

static rl_code read_messages(struct place *place, const struct node *list,
                             ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    if (list->kind != NODE_LIST)
        return place_fail(place, list->line, "a list, not %s", node_kind_words(list->kind));
    rl_code code = RL_OK;
    for (const struct node *item = list->child; item && code == RL_OK; item = item->next) {
        ProtobufCMessage **to = grow_repeated(message, field, sizeof *to);
        *to = new_message(field->descriptor);
        code = read_message(place, item, *to);
    }
    return code;
}

static rl_code read_inner(struct place *place, const struct node *node, ProtobufCMessage *message,
                          const ProtobufCFieldDescriptor *field)
{
    ProtobufCMessage **to = member_of(message, field->offset);
    if (!*to)
        *to = new_message(field->descriptor);
    return read_message(place, node, *to);
}

static rl_code read_field(struct place *place, const struct node *node, ProtobufCMessage *message)
{
    const ProtobufCFieldDescriptor *field = field_by_document_name(message->descriptor, node->key);
    if (!field)
        return fail_unknown_field(place, node, message->descriptor);
    if (node->kind == NODE_NULL) /* `deny:` and nothing after it: as if it were not there */
        return RL_OK;
    size_t before = place_enter(place, node->key);
    enum field_shape shape = field_shape(field);
    rl_code code;
    if (shape == SHAPE_MESSAGE) {
        code = read_inner(place, node, message, field);
    } else if (shape == SHAPE_MESSAGES) {
        code = read_messages(place, node, message, field);
    } else {
        code = value_read(place, node, message, field);
        bool is_scalar =
            field->type != PROTOBUF_C_TYPE_STRING && field->type != PROTOBUF_C_TYPE_MESSAGE;
        if (field->label == PROTOBUF_C_LABEL_OPTIONAL && is_scalar)
            *(protobuf_c_boolean *)member_of(message, field->quantifier_offset) = true;
    }
    place_leave(place, before);
    return code;
}

static rl_code read_message(struct place *place, const struct node *map, ProtobufCMessage *message)
{
    if (map->kind != NODE_MAP)
        return place_fail(place, map->line, "a map of fields, not %s", node_kind_words(map->kind));
    rl_code code = RL_OK;
    for (const struct node *node = map->child; node && code == RL_OK; node = node->next)
        code = read_field(place, node, message);
    return code;
}

static const struct node *child_named(const struct node *map, const char *key)
{
    for (const struct node *node = map->child; node; node = node->next)
        if (strcmp(node->key, key) == 0)
            return node;
    return NULL;
}

static rl_code fail_kind(struct place *place, const struct node *kind)
{
    const char *const *kinds = rl_resource_kinds();
    size_t count = 0;
    while (kinds[count])
        count++;
    const char *meant = closest_word(kind->text, kinds, count);
    return place_fail(place, kind->line, "kind: unknown%s%s%s", meant ? "; did you mean " : "",
                      meant ? meant : "", meant ? "?" : "");
}

/* What a document says of itself: a kind that is here, and the version of its shape. */
static rl_code read_kind(struct place *place, const struct node *document,
                         const ProtobufCFieldDescriptor **out)
{
    const struct node *kind = child_named(document, "kind");
    const struct node *version = child_named(document, "version");
    if (!kind || kind->kind != NODE_TEXT)
        return place_fail(place, kind ? kind->line : document->line,
                          "kind: missing; a document has kind, version, metadata and spec");
    const char *known = rl_resource_kind_of(kind->text);
    if (!known || strcmp(known, kind->text) != 0)
        return fail_kind(place, kind);
    if (!version || version->kind != NODE_TEXT || strcmp(version->text, VERSION) != 0)
        return place_fail(place, version ? version->line : document->line,
                          "version: it has to be " VERSION);
    *out = kind_field(known);
    if (*out)
        return RL_OK;
    return rl_fail(place->err, RL_E_UNIMPLEMENTED, "line %zu: kind: %s is not in this version",
                   kind->line, known);
}

static rl_code read_part(struct place *place, const struct node *node, ProtobufCMessage *message)
{
    static const char *const parts[] = {"kind", "version", "metadata", "spec", "status"};
    if (strcmp(node->key, "kind") == 0 || strcmp(node->key, "version") == 0)
        return RL_OK;
    if (!field_by_document_name(message->descriptor, node->key))
        return fail_unknown(place, node, parts, RL_COUNT(parts));
    return read_field(place, node, message);
}

static void ensure_message(ProtobufCMessage *message, const char *name)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);
    ProtobufCMessage **to = member_of(message, field->offset);
    if (!*to)
        *to = new_message(field->descriptor);
}

/* `status` is shown and never taken: it was read only to be checked. */
static void drop_status(Pb__Resource *resource)
{
    if (resource->kind_case != PB__RESOURCE__KIND_USER)
        return;
    pb__user_status__free_unpacked(resource->user->status, NULL);
    resource->user->status = NULL;
}

static void wipe_text(char *text)
{
    OPENSSL_cleanse(text, strlen(text));
}

static void free_resource(Pb__Resource *resource)
{
    if (resource->kind_case == PB__RESOURCE__KIND_TOKEN && resource->token->spec &&
        resource->token->spec->secret[0])
        wipe_text(resource->token->spec->secret);
    if (resource->kind_case == PB__RESOURCE__KIND_TRUSTED_CLUSTER &&
        resource->trusted_cluster->spec && resource->trusted_cluster->spec->token[0])
        wipe_text(resource->trusted_cluster->spec->token);
    pb__resource__free_unpacked(resource, NULL);
}

static rl_code read_document(const struct node *document, Pb__Resource **out, struct rl_error *err)
{
    struct place place = {.err = err};
    const ProtobufCFieldDescriptor *field = NULL;
    if (document->kind != NODE_MAP)
        return place_fail(&place, document->line, "a document is a map, this is %s",
                          node_kind_words(document->kind));
    rl_code code = read_kind(&place, document, &field);
    if (code != RL_OK)
        return code;
    RL_ASSERT(field);
    Pb__Resource *resource = rl_alloc(sizeof *resource);
    pb__resource__init(resource);
    ProtobufCMessage *message = new_message(field->descriptor);
    *(ProtobufCMessage **)member_of(&resource->base, field->offset) = message;
    resource->kind_case = (Pb__Resource__KindCase)field->id;
    for (const struct node *node = document->child; node && code == RL_OK; node = node->next)
        code = read_part(&place, node, message);
    if (code != RL_OK) {
        free_resource(resource);
        return code;
    }
    ensure_message(message, "metadata");
    ensure_message(message, "spec");
    drop_status(resource);
    *out = resource;
    return RL_OK;
}

void rl_resources_free(Pb__Resource ***resources, size_t count)
{
    if (!resources || !*resources)
        return;
    for (size_t i = 0; i < count; i++)
        free_resource((*resources)[i]);
    free(*resources);
    *resources = NULL;
}

static size_t count_nodes(const struct node *nodes)
{
    size_t count = 0;
    for (; nodes; nodes = nodes->next)
        count++;
    return count;
}

rl_code rl_resources_parse(struct rl_span text, Pb__Resource ***out, size_t *count,
                           struct rl_error *err)
{
    struct node *documents = NULL;
    rl_code code = tree_parse(text, &documents, err);
    if (code != RL_OK)
        return code;
    Pb__Resource **resources = rl_alloc_array(count_nodes(documents), sizeof *resources);
    size_t read = 0;
    for (const struct node *node = documents; node && code == RL_OK; node = node->next) {
        code = read_document(node, &resources[read], err);
        read += code == RL_OK;
    }
    tree_free(documents);
    if (code == RL_OK && read == 0)
        code = rl_fail(err, RL_E_INVAL, "there is no document in it");
    if (code != RL_OK) {
        rl_resources_free(&resources, read);
        return code;
    }
    *out = resources;
    *count = read;
    return RL_OK;
}
