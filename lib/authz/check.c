/* check: is a role fit to be saved? What it refuses is what a decision would have to guess about.
 */
#include "authz/internal.h"
#include "bytes/buf.h"
#include "names/names.h"

#include <string.h>

#define LIST_MAX 256 /* entries of any one list in a role */
#define TTL_S_MIN 60

/* The words of a list, each held against a check that says what is wrong with one. */
typedef rl_code (*word_check)(const char *word, struct rl_error *err);

static rl_code check_count(const char *field, size_t count, struct rl_error *err)
{
    if (count <= LIST_MAX)
        return RL_OK;
    return rl_fail(err, RL_E_INVAL, "%s: at most %d entries, these are %zu", field, LIST_MAX,
                   count);
}

static rl_code check_words(const char *field, size_t count, char *const *words, word_check check,
                           struct rl_error *err)
{
    rl_code code = check_count(field, count, err);
    for (size_t i = 0; i < count && code == RL_OK; i++) {
        code = check(words[i], err);
        if (code != RL_OK)
            rl_error_prefix(err, "%s", field);
    }
    return code;
}

static rl_code check_label_key(const Pb__LabelMatch *match, struct rl_error *err)
{
    if (strcmp(match->key, "*") != 0)
        return rl_name_check_label(match->key, "", err);
    if (match->n_values == 1 && strcmp(match->values[0], "*") == 0)
        return RL_OK;
    return rl_fail(err, RL_E_INVAL, "the key \"*\" takes the value \"*\" only: every resource");
}

static rl_code check_labels(const char *field, size_t count, Pb__LabelMatch *const *matches,
                            struct rl_error *err)
{
    rl_code code = check_count(field, count, err);
    for (size_t i = 0; i < count && code == RL_OK; i++) {
        for (size_t j = 0; j < i; j++)
            if (strcmp(matches[i]->key, matches[j]->key) == 0)
                return rl_fail(err, RL_E_INVAL, "%s: the key \"%s\" twice", field, matches[i]->key);
        code = check_label_key(matches[i], err);
        if (code == RL_OK && matches[i]->n_values == 0)
            code = rl_fail(err, RL_E_INVAL, "the key \"%s\" has no value; \"*\" is any",
                           matches[i]->key);
        if (code != RL_OK)
            rl_error_prefix(err, "%s", field);
        else
            code =
                check_words(field, matches[i]->n_values, matches[i]->values, rl_pattern_check, err);
    }
    return code;
}

static rl_code check_word_of(const char *what, const char *const *list, const char *word,
                             struct rl_error *err)
{
    if (strcmp(word, "*") == 0 || word_is_listed(word, list))
        return RL_OK;
    struct rl_buf known;
    rl_buf_init(&known, RL_ERROR_MESSAGE_BYTES);
    for (; *list; list++)
        rl_buf_printf(&known, "%s, ", *list);
    rl_fail(err, RL_E_INVAL, "\"%.64s\" is not a %s; there are %sand *", word, what,
            rl_buf_text(&known));
    rl_buf_fini(&known);
    return RL_E_INVAL;
}

static rl_code check_kind(const char *word, struct rl_error *err)
{
    return check_word_of("kind", authz_kinds, word, err);
}

static rl_code check_verb(const char *word, struct rl_error *err)
{
    return check_word_of("verb", authz_verbs, word, err);
}

static rl_code check_rule(const Pb__Rule *rule, struct rl_error *err)
{
    if (rule->n_resources == 0 || rule->n_verbs == 0)
        return rl_fail(err, RL_E_INVAL, "rules: a rule has resources and verbs");
    rl_code code =
        check_words("rules: resources", rule->n_resources, rule->resources, check_kind, err);
    if (code == RL_OK)
        code = check_words("rules: verbs", rule->n_verbs, rule->verbs, check_verb, err);
    if (code == RL_OK && rule->where[0] && strcmp(rule->where, "own") != 0)
        code = rl_fail(err, RL_E_INVAL, "rules: where is \"own\" or absent, not \"%.64s\"",
                       rule->where);
    return code;
}

static rl_code check_rules(size_t count, Pb__Rule *const *rules, struct rl_error *err)
{
    rl_code code = check_count("rules", count, err);
    for (size_t i = 0; i < count && code == RL_OK; i++)
        code = check_rule(rules[i], err);
    return code;
}

static rl_code check_allowed_login(const char *text, struct rl_error *err)
{
    if (strstr(text, "{{") || strstr(text, "}}"))
        return login_template_check(text, err);
    return rl_name_check_login(text, err);
}

static rl_code check_denied_login(const char *text, struct rl_error *err)
{
    if (strstr(text, "{{") || strstr(text, "}}"))
        return login_template_check(text, err);
    return rl_pattern_check(text, err);
}

static rl_code check_kubernetes_resource(const Pb__KubernetesResource *r, struct rl_error *err)
{
    char *const words[] = {r->kind, r->namespace_, r->name};
    rl_code code =
        check_words("kubernetes_resources", RL_COUNT(words), words, rl_pattern_check, err);
    if (code == RL_OK)
        code =
            check_words("kubernetes_resources: verbs", r->n_verbs, r->verbs, rl_pattern_check, err);
    return code;
}

static rl_code check_kubernetes(const Pb__RoleConditions *c, struct rl_error *err)
{
    rl_code code = check_words("kubernetes_groups", c->n_kubernetes_groups, c->kubernetes_groups,
                               login_template_check, err);
    if (code == RL_OK)
        code = check_words("kubernetes_users", c->n_kubernetes_users, c->kubernetes_users,
                           login_template_check, err);
    if (code == RL_OK)
        code = check_count("kubernetes_resources", c->n_kubernetes_resources, err);
    for (size_t i = 0; i < c->n_kubernetes_resources && code == RL_OK; i++)
        code = check_kubernetes_resource(c->kubernetes_resources[i], err);
    return code;
}

static rl_code check_all_labels(const Pb__RoleConditions *c, struct rl_error *err)
{
    rl_code code = check_labels("node_labels", c->n_node_labels, c->node_labels, err);
    if (code == RL_OK)
        code = check_labels("app_labels", c->n_app_labels, c->app_labels, err);
    if (code == RL_OK)
        code = check_labels("kubernetes_labels", c->n_kubernetes_labels, c->kubernetes_labels, err);
    if (code == RL_OK)
        code = check_labels("cluster_labels", c->n_cluster_labels, c->cluster_labels, err);
    return code;
}

static rl_code check_conditions(const char *field, const Pb__RoleConditions *c, word_check login,
                                struct rl_error *err)
{
    if (!c)
        return RL_OK;
    rl_code code = check_words("logins", c->n_logins, c->logins, login, err);
    if (code == RL_OK)
        code = check_all_labels(c, err);
    if (code == RL_OK)
        code = check_kubernetes(c, err);
    if (code == RL_OK)
        code = check_rules(c->n_rules, c->rules, err);
    if (code != RL_OK)
        rl_error_prefix(err, "%s", field);
    return code;
}

static rl_code check_option_words(const Pb__RoleOptions *o, struct rl_error *err)
{
    const Pb__RecordSession *record = o->record_session;
    const char *modes[] = {record ? record->default_mode : "", record ? record->ssh : ""};
    for (size_t i = 0; i < RL_COUNT(modes); i++)
        if (!record_mode_is_known(modes[i]))
            return rl_fail(err, RL_E_INVAL,
                           "options: record_session is off, best_effort or strict, not \"%.64s\"",
                           modes[i]);
    if (!lock_mode_is_known(o->lock))
        return rl_fail(err, RL_E_INVAL, "options: lock is best_effort or strict, not \"%.64s\"",
                       o->lock);
    return RL_OK;
}

static rl_code check_options(const Pb__RoleOptions *o, struct rl_error *err)
{
    if (!o)
        return RL_OK;
    if (o->has_max_session_ttl_s && o->max_session_ttl_s < TTL_S_MIN)
        return rl_fail(err, RL_E_INVAL, "options: max_session_ttl is at least %d s", TTL_S_MIN);
    if (o->has_client_idle_timeout_s && o->client_idle_timeout_s == 0)
        return rl_fail(err, RL_E_INVAL,
                       "options: client_idle_timeout is more than 0 s; leave it out for no limit");
    if (o->has_max_sessions && o->max_sessions == 0)
        return rl_fail(err, RL_E_INVAL,
                       "options: max_sessions is at least 1; leave it out for no limit");
    return check_option_words(o, err);
}

static void warn(const Pb__RoleOptions *o, struct rl_buf *warnings)
{
    const char *missing[NOT_ENFORCED_MAX];
    size_t n = options_not_enforced(o, missing);
    for (size_t i = 0; i < n; i++)
        rl_buf_printf(warnings,
                      "options: this version does not enforce %s and refuses the SSH sessions of "
                      "this role\n",
                      missing[i]);
}

rl_code rl_authz_check_role(const Pb__Role *role, struct rl_buf *warnings, struct rl_error *err)
{
    if (!role->metadata)
        return rl_fail(err, RL_E_INVAL, "a role has a name");
    rl_code code = rl_name_check_resource(role->metadata->name, err);
    const Pb__RoleSpec *spec = role->spec;
    if (code != RL_OK || !spec)
        return code;
    code = check_conditions("allow", spec->allow, check_allowed_login, err);
    if (code == RL_OK)
        code = check_conditions("deny", spec->deny, check_denied_login, err);
    if (code == RL_OK)
        code = check_options(spec->options, err);
    if (code == RL_OK)
        code = check_words("assignable_by", spec->n_assignable_by, spec->assignable_by,
                           rl_name_check_cluster, err);
    if (code == RL_OK && !role_is_understood(role))
        code = rl_fail(err, RL_E_INVAL, "the role has a field that this version does not know");
    if (code == RL_OK && warnings)
        warn(spec->options, warnings);
    return code;
}
