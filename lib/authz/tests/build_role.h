/* Roles, subjects and nodes for the tests, made field by field on the heap. */
#ifndef RL_AUTHZ_TESTS_BUILD_ROLE_H
#define RL_AUTHZ_TESTS_BUILD_ROLE_H

#include "authz/authz.h"

#include <stdlib.h>
#include <string.h>

#define UNKNOWN_TAG 7001

static inline void *grow_array(void *array, size_t count, size_t size)
{
    void *bigger = realloc(array, (count + 1) * size);
    RL_ASSERT(bigger);
    return bigger;
}

static inline void push_text(size_t *count, char ***list, const char *text)
{
    *list = grow_array(*list, *count, sizeof **list);
    (*list)[(*count)++] = rl_strdup(text);
}

static inline Pb__RoleConditions *new_conditions(void)
{
    Pb__RoleConditions *c = rl_alloc(sizeof *c);
    pb__role_conditions__init(c);
    return c;
}

static inline Pb__Role *new_role(const char *name)
{
    Pb__Role *role = rl_alloc(sizeof *role);
    pb__role__init(role);
    role->metadata = rl_alloc(sizeof *role->metadata);
    pb__metadata__init(role->metadata);
    role->metadata->name = rl_strdup(name);
    role->spec = rl_alloc(sizeof *role->spec);
    pb__role_spec__init(role->spec);
    role->spec->allow = new_conditions();
    role->spec->deny = new_conditions();
    role->spec->options = rl_alloc(sizeof *role->spec->options);
    pb__role_options__init(role->spec->options);
    return role;
}

static inline void add_login(Pb__RoleConditions *c, const char *login)
{
    push_text(&c->n_logins, &c->logins, login);
}

/* Values separated by spaces. */
static inline void add_label(Pb__RoleConditions *c, const char *key, const char *values)
{
    Pb__LabelMatch *match = rl_alloc(sizeof *match);
    pb__label_match__init(match);
    match->key = rl_strdup(key);
    char *copy = rl_strdup(values), *rest = NULL;
    for (char *v = strtok_r(copy, " ", &rest); v; v = strtok_r(NULL, " ", &rest))
        push_text(&match->n_values, &match->values, v);
    free(copy);
    c->node_labels = grow_array(c->node_labels, c->n_node_labels, sizeof *c->node_labels);
    c->node_labels[c->n_node_labels++] = match;
}

static inline void add_rule(Pb__RoleConditions *c, const char *kind, const char *verb,
                            const char *where)
{
    Pb__Rule *rule = rl_alloc(sizeof *rule);
    pb__rule__init(rule);
    push_text(&rule->n_resources, &rule->resources, kind);
    push_text(&rule->n_verbs, &rule->verbs, verb);
    rule->where = rl_strdup(where);
    c->rules = grow_array(c->rules, c->n_rules, sizeof *c->rules);
    c->rules[c->n_rules++] = rule;
}

static inline void record(Pb__Role *role, const char *default_mode, const char *ssh)
{
    Pb__RecordSession *r = rl_alloc(sizeof *r);
    pb__record_session__init(r);
    r->default_mode = rl_strdup(default_mode);
    r->ssh = rl_strdup(ssh);
    role->spec->options->record_session = r;
}

static inline void add_unknown_field(ProtobufCMessage *message)
{
    message->unknown_fields = grow_array(message->unknown_fields, message->n_unknown_fields,
                                         sizeof *message->unknown_fields);
    message->unknown_fields[message->n_unknown_fields++] =
        (ProtobufCMessageUnknownField){.tag = UNKNOWN_TAG,
                                       .wire_type = PROTOBUF_C_WIRE_TYPE_VARINT,
                                       .len = 1,
                                       .data = rl_alloc(1)};
}

/* A role that allows `login` where `key` is one of `values`. */
static inline Pb__Role *simple_role(const char *name, const char *login, const char *key,
                                    const char *values)
{
    Pb__Role *role = new_role(name);
    add_login(role->spec->allow, login);
    add_label(role->spec->allow, key, values);
    return role;
}

static inline void free_role(Pb__Role *role)
{
    pb__role__free_unpacked(role, NULL);
}

static inline Pb__Trait *new_trait(const char *key)
{
    Pb__Trait *trait = rl_alloc(sizeof *trait);
    pb__trait__init(trait);
    trait->key = rl_strdup(key);
    return trait;
}

static inline void add_value(Pb__Trait *trait, const char *value)
{
    push_text(&trait->n_values, &trait->values, value);
}

/* A node of at most four labels, on the caller's stack. */
struct test_node {
    struct rl_authz_target target;
    Pb__Label labels[4];
    Pb__Label *pointers[4];
};

static inline void make_node(struct test_node *node, const char *name)
{
    memset(node, 0, sizeof *node);
    node->target = (struct rl_authz_target){
        .id = "0190a1b2-0000-7000-8000-000000000001", .name = name, .labels = node->pointers};
}

static inline void node_label(struct test_node *node, const char *key, const char *value)
{
    size_t i = node->target.label_count++;
    RL_ASSERT(i < RL_COUNT(node->labels));
    pb__label__init(&node->labels[i]);
    node->labels[i].key = (char *)(uintptr_t)key;
    node->labels[i].value = (char *)(uintptr_t)value;
    node->pointers[i] = &node->labels[i];
}

static inline struct rl_authz_subject make_subject(const Pb__Role *const *roles, size_t count)
{
    return (struct rl_authz_subject){.user = "alice",
                                     .cluster = "example.com",
                                     .home_cluster = "example.com",
                                     .role_count = count,
                                     .roles = roles,
                                     .mfa = "otp"};
}

static inline void free_list(char **list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(list[i]);
    free(list);
}

#endif
