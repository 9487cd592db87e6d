/* rules: may the subject do this to resources of this kind? */
#include "authz/internal.h"

#include <stdlib.h>
#include <string.h>

const char *const authz_kinds[] = {"user",
                                   "role",
                                   "token",
                                   "node",
                                   "app",
                                   "lock",
                                   "kube_cluster",
                                   "trusted_cluster",
                                   "remote_cluster",
                                   "ca",
                                   "connector",
                                   "cluster_config",
                                   "access_request",
                                   "session",
                                   "event",
                                   "instance",
                                   "mfa_device",
                                   NULL};

const char *const authz_verbs[] = {"list", "read", "create", "update", "delete", "join", NULL};

bool word_is_listed(const char *word, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(word, *list) == 0)
            return true;
    return false;
}

static bool names_it(size_t count, char *const *words, const char *word)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(words[i], "*") == 0 || strcmp(words[i], word) == 0)
            return true;
    return false;
}

static bool rule_matches(const Pb__Rule *rule, const char *kind, const char *verb)
{
    return names_it(rule->n_resources, rule->resources, kind) &&
           names_it(rule->n_verbs, rule->verbs, verb);
}

/* A denial with `where` denies the whole: "all but one's own" is nothing that the answer can say.
 */
static bool is_denied(const Pb__Role *role, const char *kind, const char *verb)
{
    const Pb__RoleConditions *deny = role->spec ? role->spec->deny : NULL;
    for (size_t i = 0; deny && i < deny->n_rules; i++)
        if (rule_matches(deny->rules[i], kind, verb))
            return true;
    return false;
}

enum reach { REACH_NOTHING, REACH_OWN, REACH_ALL };

static enum reach allowed_reach(const Pb__Role *role, const char *kind, const char *verb)
{
    const Pb__RoleConditions *allow = role->spec ? role->spec->allow : NULL;
    enum reach reach = REACH_NOTHING;
    if (!role_is_understood(role))
        return reach;
    for (size_t i = 0; allow && i < allow->n_rules; i++) {
        const Pb__Rule *rule = allow->rules[i];
        if (!rule_matches(rule, kind, verb))
            continue;
        if (rule->where[0] == '\0')
            return REACH_ALL;
        if (strcmp(rule->where, "own") == 0)
            reach = REACH_OWN;
    }
    return reach;
}

rl_code rl_authz_rule(const struct rl_authz_subject *subject, const char *resource_kind,
                      const char *verb, struct rl_authz_rule_grant *out, struct rl_error *err)
{
    enum reach reach = REACH_NOTHING;
    if (subject->role_count > RL_AUTHZ_ROLES_MAX)
        return rl_fail(err, RL_E_DENIED, "%s has more than %d roles", subject->user,
                       RL_AUTHZ_ROLES_MAX);
    for (size_t i = 0; i < subject->role_count; i++) {
        if (is_denied(subject->roles[i], resource_kind, verb))
            return rl_fail(err, RL_E_DENIED, "role %s denies to %s %s resources",
                           role_name(subject->roles[i]), verb, resource_kind);
        enum reach this_reach = allowed_reach(subject->roles[i], resource_kind, verb);
        reach = this_reach > reach ? this_reach : reach;
    }
    if (reach == REACH_NOTHING) {
        char *who = rl_authz_subject_text(subject);
        rl_fail(err, RL_E_DENIED, "no role of %s allows to %s %s resources", who, verb,
                resource_kind);
        free(who);
        return RL_E_DENIED;
    }
    out->own_only = reach == REACH_OWN;
    return RL_OK;
}
