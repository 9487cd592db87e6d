/* tree: YAML as a small tree with line numbers. What YAML has beyond JSON's data is refused:
 * anchors and aliases (they can make a small text huge), tags, keys that are no text. A plain word
 * is true, false, null, a whole number or else text, so `no` and `1.10` stay what they look like.
 */
#include "resource/internal.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct parser {
    yaml_parser_t yaml;
    size_t nodes, documents;
    struct rl_error *err;
};

const char *node_kind_words(enum node_kind kind)
{
    static const char *const words[] = {"empty",         "text",   "a number",
                                        "true or false", "a list", "a map"};
    return words[kind];
}

void tree_free(struct node *nodes)
{
    while (nodes) {
        struct node *next = nodes->next;
        tree_free(nodes->child); /* no deeper than RL_RESOURCE_DEPTH_MAX */
        if (nodes->text)
            OPENSSL_cleanse(nodes->text, strlen(nodes->text));
        free(nodes->text);
        free(nodes->key);
        free(nodes);
        nodes = next;
    }
}

static rl_code next_event(struct parser *p, yaml_event_t *event)
{
    if (yaml_parser_parse(&p->yaml, event))
        return RL_OK;
    return rl_fail(p->err, RL_E_INVAL, "line %zu: this is not YAML: %s",
                   p->yaml.problem_mark.line + 1,
                   p->yaml.problem ? p->yaml.problem : "it cannot be read");
}

static bool is_number(const char *text)
{
    if (*text == '-')
        text++;
    if (*text == '0')
        return text[1] == '\0';
    return *text && text[strspn(text, "0123456789")] == '\0';
}

static enum node_kind plain_kind(const char *text)
{
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        return NODE_BOOL;
    if (*text == '\0' || strcmp(text, "null") == 0 || strcmp(text, "~") == 0)
        return NODE_NULL;
    return is_number(text) ? NODE_NUMBER : NODE_TEXT;
}

static rl_code refuse_extras(struct parser *p, const yaml_char_t *anchor, const yaml_char_t *tag,
                             size_t line)
{
    if (anchor)
        return rl_fail(p->err, RL_E_INVAL, "line %zu: anchors (&) are not taken", line);
    if (tag)
        return rl_fail(p->err, RL_E_INVAL, "line %zu: tags (!) are not taken", line);
    return RL_OK;
}

static rl_code read_scalar(struct parser *p, const yaml_event_t *event, struct node *node)
{
    rl_code code = refuse_extras(p, event->data.scalar.anchor, event->data.scalar.tag, node->line);
    if (code != RL_OK)
        return code;
    node->text = rl_span_to_string(RL_SPAN(event->data.scalar.value, event->data.scalar.length));
    if (!node->text)
        return rl_fail(p->err, RL_E_INVAL, "line %zu: a text with a zero byte", node->line);
    node->kind =
        event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? plain_kind(node->text) : NODE_TEXT;
    return RL_OK;
}

static rl_code read_node(struct parser *p, const yaml_event_t *event, size_t depth,
                         struct node **out);

/* Reads the next node, or finds that the list or map ends. */
static rl_code read_next(struct parser *p, yaml_event_type_t end, size_t depth, struct node **out,
                         bool *is_end)
{
    yaml_event_t event;
    rl_code code = next_event(p, &event);
    if (code != RL_OK)
        return code;
    *is_end = event.type == end;
    if (!*is_end)
        code = read_node(p, &event, depth, out);
    yaml_event_delete(&event);
    return code;
}

/* Takes the child over, also when it is one too many. */
static rl_code append(struct parser *p, struct node *parent, struct node ***tail,
                      struct node *child)
{
    if (parent->count == TREE_KEYS_MAX) {
        tree_free(child);
        return rl_fail(p->err, RL_E_INVAL, "line %zu: %s of more than %d entries", parent->line,
                       node_kind_words(parent->kind), TREE_KEYS_MAX);
    }
    parent->count++;
    **tail = child;
    *tail = &child->next;
    return RL_OK;
}

static rl_code read_list(struct parser *p, struct node *list, size_t depth)
{
    struct node **tail = &list->child;
    for (;;) {
        struct node *item = NULL;
        bool is_end = false;
        rl_code code = read_next(p, YAML_SEQUENCE_END_EVENT, depth, &item, &is_end);
        if (code == RL_OK && !is_end)
            code = append(p, list, &tail, item);
        if (code != RL_OK || is_end)
            return code;
    }
}

static rl_code check_key(struct parser *p, const struct node *map, const struct node *key)
{
    if (!key->text)
        return rl_fail(p->err, RL_E_INVAL, "line %zu: a key is text, this is %s", key->line,
                       node_kind_words(key->kind));
    for (const struct node *other = map->child; other; other = other->next)
        if (strcmp(other->key, key->text) == 0)
            return rl_fail(p->err, RL_E_INVAL, "line %zu: the key %.64s twice; first in line %zu",
                           key->line, key->text, other->key_line);
    return RL_OK;
}

static rl_code read_entry(struct parser *p, struct node *map, struct node *key, size_t depth,
                          struct node ***tail)
{
    struct node *value = NULL;
    bool is_end = false;
    rl_code code = check_key(p, map, key);
    if (code == RL_OK)
        code = read_next(p, YAML_NO_EVENT, depth, &value, &is_end);
    if (code != RL_OK)
        return code;
    RL_ASSERT(value); /* no event ends it */
    value->key = key->text;
    value->key_line = key->line;
    key->text = NULL;
    return append(p, map, tail, value);
}

static rl_code read_map(struct parser *p, struct node *map, size_t depth)
{
    struct node **tail = &map->child;
    for (;;) {
        struct node *key = NULL;
        bool is_end = false;
        rl_code code = read_next(p, YAML_MAPPING_END_EVENT, depth, &key, &is_end);
        if (code != RL_OK || is_end)
            return code;
        code = read_entry(p, map, key, depth, &tail);
        tree_free(key);
        if (code != RL_OK)
            return code;
    }
}

static rl_code fill_node(struct parser *p, const yaml_event_t *event, size_t depth,
                         struct node *node)
{
    rl_code code;
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return read_scalar(p, event, node);
    case YAML_SEQUENCE_START_EVENT:
        node->kind = NODE_LIST;
        code = refuse_extras(p, event->data.sequence_start.anchor, event->data.sequence_start.tag,
                             node->line);
        return code == RL_OK ? read_list(p, node, depth + 1) : code;
    case YAML_MAPPING_START_EVENT:
        node->kind = NODE_MAP;
        code = refuse_extras(p, event->data.mapping_start.anchor, event->data.mapping_start.tag,
                             node->line);
        return code == RL_OK ? read_map(p, node, depth + 1) : code;
    case YAML_ALIAS_EVENT:
        return rl_fail(p->err, RL_E_INVAL, "line %zu: aliases (*) are not taken", node->line);
    default:
        return rl_fail(p->err, RL_E_INVAL, "line %zu: this is not YAML", node->line);
    }
}

static rl_code read_node(struct parser *p, const yaml_event_t *event, size_t depth,
                         struct node **out)
{
    size_t line = event->start_mark.line + 1;
    if (depth > RL_RESOURCE_DEPTH_MAX)
        return rl_fail(p->err, RL_E_INVAL, "line %zu: nested deeper than %d", line,
                       RL_RESOURCE_DEPTH_MAX);
    if (++p->nodes > TREE_NODES_MAX)
        return rl_fail(p->err, RL_E_INVAL, "line %zu: more than %d values", line, TREE_NODES_MAX);
    struct node *node = rl_alloc(sizeof *node);
    node->line = line;
    rl_code code = fill_node(p, event, depth, node);
    if (code != RL_OK)
        tree_free(node);
    else
        *out = node;
    return code;
}

/* A top-level list is what `tctl get --format=json` prints: its items are documents. */
static struct node *unwrap_document(struct node *document)
{
    struct node *items = document;
    if (document->kind == NODE_LIST) {
        items = document->child;
        document->child = NULL;
        tree_free(document);
    } else if (document->kind == NODE_NULL) {
        tree_free(document);
        items = NULL;
    }
    return items;
}

static rl_code add_documents(struct parser *p, struct node *document, struct node ***tail)
{
    for (struct node *item = unwrap_document(document), *next; item; item = next) {
        next = item->next;
        item->next = NULL;
        if (p->documents++ == RL_RESOURCE_DOCUMENTS_MAX) {
            item->next = next;
            tree_free(item);
            return rl_fail(p->err, RL_E_INVAL, "more than %d documents", RL_RESOURCE_DOCUMENTS_MAX);
        }
        **tail = item;
        *tail = &item->next;
    }
    return RL_OK;
}

static rl_code read_stream(struct parser *p, struct node **documents)
{
    struct node **tail = documents;
    for (;;) {
        yaml_event_t event;
        struct node *document = NULL;
        rl_code code = next_event(p, &event);
        if (code != RL_OK)
            return code;
        yaml_event_type_t type = event.type;
        bool is_around = type == YAML_STREAM_START_EVENT || type == YAML_DOCUMENT_START_EVENT ||
                         type == YAML_DOCUMENT_END_EVENT || type == YAML_STREAM_END_EVENT;
        if (!is_around)
            code = read_node(p, &event, 0, &document);
        yaml_event_delete(&event);
        if (document)
            code = add_documents(p, document, &tail);
        if (code != RL_OK || type == YAML_STREAM_END_EVENT)
            return code;
    }
}

rl_code tree_parse(struct rl_span text, struct node **out, struct rl_error *err)
{
    struct parser p = {.err = err};
    if (text.n > RL_RESOURCE_BYTES_MAX)
        return rl_fail(err, RL_E_INVAL, "the text has %zu bytes; at most %u are taken", text.n,
                       RL_RESOURCE_BYTES_MAX);
    if (!yaml_parser_initialize(&p.yaml))
        return rl_fail(err, RL_E_EXHAUSTED, "no memory to read the text");
    yaml_parser_set_encoding(&p.yaml, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&p.yaml, text.p, text.n);
    struct node *documents = NULL;
    rl_code code = read_stream(&p, &documents);
    yaml_parser_delete(&p.yaml);
    if (code != RL_OK)
        tree_free(documents);
    else
        *out = documents;
    return code;
}
