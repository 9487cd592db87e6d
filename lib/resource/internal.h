/* resource, inside: a YAML tree that remembers its lines, and the rules by which a message's
 * descriptor becomes the shape of a document.
 */
#ifndef RL_RESOURCE_INTERNAL_H
#define RL_RESOURCE_INTERNAL_H

#include "resource/resource.h"

/* ---- tree.c ---- */

#define TREE_NODES_MAX 100000 /* of all documents together */
#define TREE_KEYS_MAX 1000    /* of one map, and items of one list */

enum node_kind { NODE_NULL, NODE_TEXT, NODE_NUMBER, NODE_BOOL, NODE_LIST, NODE_MAP };

struct node {
    enum node_kind kind;
    size_t line; /* from 1 */
    char *key;   /* in a map; else NULL */
    size_t key_line;
    char *text;         /* scalars: as written, unquoted */
    struct node *child; /* the first of a list or map */
    size_t count;       /* of children */
    struct node *next;
};

/** The documents, linked by `next`; a top-level list counts as its items. Empty ones are left out.
 * Owns: release with tree_free(). */
rl_code tree_parse(struct rl_span text, struct node **out, struct rl_error *err);
void tree_free(struct node *nodes); /* with all that are linked to it; wipes the texts */
const char *node_kind_words(enum node_kind kind); /* "a list" */

/* ---- schema.c ---- */

enum field_shape {
    SHAPE_TEXT,
    SHAPE_BOOL,
    SHAPE_NUMBER,
    SHAPE_DURATION, /* X_s as X: "12h" */
    SHAPE_TIME,     /* X_ns as X: RFC 3339 */
    SHAPE_BYTES,    /* base64 */
    SHAPE_MESSAGE,
    SHAPE_TEXTS,
    SHAPE_MESSAGES,
    SHAPE_LABELS,  /* repeated Label: a map of texts */
    SHAPE_MATCHES, /* repeated LabelMatch: a map of texts or lists of texts */
    SHAPE_TRAITS,  /* repeated Trait: the same */
};
#define FIELD_NAME_BYTES_MAX 64

enum field_shape field_shape(const ProtobufCFieldDescriptor *field);
/** The name in a document. */
void field_document_name(const ProtobufCFieldDescriptor *field, char name[FIELD_NAME_BYTES_MAX]);
const ProtobufCFieldDescriptor *field_by_document_name(const ProtobufCMessageDescriptor *type,
                                                       const char *name);
/** Write-only: shown as "<redacted>". */
bool field_is_secret(const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *field);
/** The word of the list that was probably meant, or NULL. */
const char *closest_word(const char *word, const char *const *words, size_t count);

static inline void *member_of(ProtobufCMessage *message, size_t offset)
{
    return (char *)message + offset;
}
static inline const void *member_in(const ProtobufCMessage *message, size_t offset)
{
    return (const char *)message + offset;
}

/* ---- kinds.c ---- */

/** The member of Resource's oneof; NULL: none in this version. */
const ProtobufCFieldDescriptor *kind_field(const char *kind);
/** The member that is set, or NULL. */
const ProtobufCFieldDescriptor *resource_field(const Pb__Resource *resource);
ProtobufCMessage *resource_message(const Pb__Resource *resource);
ProtobufCMessage *new_message(const ProtobufCMessageDescriptor *type);

/* ---- value.c ---- */

/** Where in a document we are: for messages like "line 7: spec.allow.node_label: unknown field". */
struct place {
    char path[256];
    size_t length;
    struct rl_error *err;
};
rl_code place_fail(const struct place *place, size_t line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
size_t place_enter(struct place *place, const char *name); /* returns what place_leave takes */
void place_leave(struct place *place, size_t length);

/** Sets a field that is no message from its node. */
rl_code value_read(struct place *place, const struct node *node, ProtobufCMessage *message,
                   const ProtobufCFieldDescriptor *field);
/** A member of a repeated field: room for one more, already counted. */
void *grow_repeated(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, size_t size);

#endif
