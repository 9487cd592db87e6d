/* roles: built here as documents, so that they are what `tctl get roles` shows. */
#include "people/roles.h"

#include "db/policy.h"
#include "message.h"

static Pb__Role *begin(const char *name)
{
    Pb__Role *role = rl_message_create(&pb__role__descriptor);
    role->metadata = rl_message_create(&pb__metadata__descriptor);
    role->spec = rl_message_create(&pb__role_spec__descriptor);
    role->spec->allow = rl_message_create(&pb__role_conditions__descriptor);
    rl_message_text(&role->metadata->name, name);
    return role;
}

static void allow_rule(Pb__Role *role, const char *const *resources, size_t resource_count,
                       const char *const *verbs, size_t verb_count, const char *where)
{
    Pb__Rule *rule = rl_message_create(&pb__rule__descriptor);
    for (size_t i = 0; i < resource_count; i++)
        rl_message_append(&rule->resources, &rule->n_resources, rl_strdup(resources[i]));
    for (size_t i = 0; i < verb_count; i++)
        rl_message_append(&rule->verbs, &rule->n_verbs, rl_strdup(verbs[i]));
    rl_message_text(&rule->where, where);
    Pb__RoleConditions *allow = role->spec->allow;
    rl_message_append(&allow->rules, &allow->n_rules, rule);
}

static Pb__LabelMatch *match_all(void)
{
    Pb__LabelMatch *match = rl_message_create(&pb__label_match__descriptor);
    rl_message_text(&match->key, "*");
    rl_message_append(&match->values, &match->n_values, rl_strdup("*"));
    return match;
}

/* What is done in a leaf that one decides. */
static void allow_every_cluster(Pb__Role *role)
{
    Pb__RoleConditions *allow = role->spec->allow;
    rl_message_append(&allow->cluster_labels, &allow->n_cluster_labels, match_all());
}

static void allow_every_node(Pb__Role *role)
{
    Pb__RoleConditions *allow = role->spec->allow;
    rl_message_append(&allow->node_labels, &allow->n_node_labels, match_all());
    rl_message_append(&allow->logins, &allow->n_logins, rl_strdup("{{internal.logins}}"));
}

static const char *const any[] = {"*"};
static const char *const recorded[] = {"session", "event"};
static const char *const reading[] = {"list", "read"};

static Pb__Role *make_admin(void)
{
    Pb__Role *role = begin(RL_ROLE_ADMIN);
    allow_rule(role, any, RL_COUNT(any), any, RL_COUNT(any), "");
    return role;
}

static Pb__Role *make_access(void)
{
    Pb__Role *role = begin(RL_ROLE_ACCESS);
    allow_every_node(role);
    allow_every_cluster(role);
    allow_rule(role, recorded, RL_COUNT(recorded), reading, RL_COUNT(reading), "own");
    role->spec->options = rl_message_create(&pb__role_options__descriptor);
    role->spec->options->has_port_forwarding = true;
    role->spec->options->port_forwarding = true;
    return role;
}

static Pb__Role *make_auditor(void)
{
    Pb__Role *role = begin(RL_ROLE_AUDITOR);
    allow_every_cluster(role);
    allow_rule(role, recorded, RL_COUNT(recorded), reading, RL_COUNT(reading), "");
    return role;
}

rl_code rl_roles_add_builtin(struct rl_db *db, uint64_t revision, struct rl_error *err)
{
    static Pb__Role *(*const makers[])(void) = {make_admin, make_access, make_auditor};
    rl_code rc = RL_OK;
    for (size_t i = 0; rc == RL_OK && i < RL_COUNT(makers); i++) {
        bool created;
        Pb__Role *role = makers[i]();
        rc = rl_roles_put(db, role, revision, true, &created, err);
        pb__role__free_unpacked(role, NULL);
    }
    return rc;
}
