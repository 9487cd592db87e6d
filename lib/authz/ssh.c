/* ssh: may this person log in to this node as this login? A role allows its own logins on the nodes
 * of its own labels and nothing across roles; a denial of any role counts against all of them. */
#include "authz/internal.h"
#include "bytes/buf.h"
#include "names/names.h"

#include <stdlib.h>
#include <string.h>

#define ROLE_NAMES_BYTES_MAX 200 /* of them in a message */

/* What the subject's roles say of one node, whatever the login. */
struct node_view {
    const Pb__Role *denier;           /* a role whose node_labels deny it; NULL: none */
    bool applies[RL_AUTHZ_ROLES_MAX]; /* the labels of its allow match */
    bool allows[RL_AUTHZ_ROLES_MAX];  /* and this version understands all of the role */
    bool is_allowed;                  /* by one of them */
    const Pb__Role *not_understood;
};

static const Pb__RoleConditions *allow_of(const Pb__Role *role)
{
    return role->spec ? role->spec->allow : NULL;
}

static const Pb__RoleConditions *deny_of(const Pb__Role *role)
{
    return role->spec ? role->spec->deny : NULL;
}

static bool node_labels_match(const Pb__RoleConditions *conditions,
                              const struct rl_authz_target *node, bool on_error)
{
    return conditions && labels_match(conditions->n_node_labels, conditions->node_labels,
                                      node->label_count, node->labels, on_error);
}

static void view_node(const struct rl_authz_subject *subject, const struct rl_authz_target *node,
                      struct node_view *view)
{
    *view = (struct node_view){0};
    for (size_t i = 0; i < subject->role_count; i++) {
        const Pb__Role *role = subject->roles[i];
        if (node_labels_match(deny_of(role), node, true))
            view->denier = role;
        view->applies[i] = node_labels_match(allow_of(role), node, false);
        view->allows[i] = view->applies[i] && role_is_understood(role);
        if (view->applies[i] && !view->allows[i])
            view->not_understood = role;
        view->is_allowed |= view->allows[i];
    }
}

static rl_code refuse_unmatched(const struct rl_authz_subject *subject,
                                const struct node_view *view, const char *node_name,
                                const char *login, struct rl_error *err)
{
    if (view->not_understood)
        return rl_fail(err, RL_E_DENIED,
                       "role %s has a setting that this version does not know and so allows "
                       "nothing here; no other role allows login \"%s\" on %s",
                       role_name(view->not_understood), login, node_name);
    if (subject->role_count == 0) {
        char *who = rl_authz_subject_text(subject);
        rl_fail(err, RL_E_DENIED, "%s has no role here", who);
        free(who);
        return RL_E_DENIED;
    }
    struct rl_buf names;
    rl_buf_init(&names, ROLE_NAMES_BYTES_MAX);
    for (size_t i = 0; i < subject->role_count && !names.failed; i++)
        rl_buf_printf(&names, "%s%s", i ? ", " : "", role_name(subject->roles[i]));
    rl_fail(err, RL_E_DENIED, "role(s) %s%s do not allow login \"%s\" on %s", rl_buf_text(&names),
            names.failed ? ", ..." : "", login, node_name);
    rl_buf_fini(&names);
    return RL_E_DENIED;
}

static const Pb__Role *find_denier(const struct rl_authz_subject *subject,
                                   const struct node_view *view, const char *login)
{
    if (view->denier)
        return view->denier;
    for (size_t i = 0; i < subject->role_count; i++)
        if (login_is_denied(subject, deny_of(subject->roles[i]), login))
            return subject->roles[i];
    return NULL;
}

/* What a role that applies demands of the session counts also when the role, for a field that this
 * version does not know, allows nothing: another one may. */
static rl_code apply_role(const Pb__Role *role, bool allows, struct rl_authz_grant *grant,
                          struct rl_error *err)
{
    const Pb__RoleOptions *options = role->spec->options;
    const char *missing[NOT_ENFORCED_MAX];
    if (!options_are_understood(options))
        return rl_fail(err, RL_E_DENIED,
                       "role %s has an option that this version does not know; the session is "
                       "refused",
                       role_name(role));
    if (options_not_enforced(options, missing) > 0)
        return rl_fail(err, RL_E_DENIED,
                       "role %s asks for %s, which this version does not enforce; the session is "
                       "refused",
                       role_name(role), missing[0]);
    grant_narrow(grant, options);
    if (allows)
        grant_widen(grant, options);
    return RL_OK;
}

/* `login` is a login by its form, so every name that gets into a message is printable. */
static rl_code decide(const struct rl_authz_subject *subject, const struct node_view *view,
                      const char *node_name, const char *login, struct rl_authz_grant *out,
                      struct rl_error *err)
{
    const Pb__Role *denier = find_denier(subject, view, login);
    if (denier)
        return rl_fail(err, RL_E_DENIED, "role %s denies login \"%s\" on %s", role_name(denier),
                       login, node_name);
    struct rl_authz_grant grant;
    grant_init(&grant);
    bool is_allowed = false;
    for (size_t i = 0; i < subject->role_count; i++) {
        const Pb__Role *role = subject->roles[i];
        if (!view->applies[i] || !login_is_allowed(subject, allow_of(role), login))
            continue;
        rl_code code = apply_role(role, view->allows[i], &grant, err);
        if (code != RL_OK)
            return code;
        is_allowed |= view->allows[i];
    }
    if (!is_allowed)
        return refuse_unmatched(subject, view, node_name, login, err);
    *out = grant;
    return RL_OK;
}

static bool has_too_many_roles(const struct rl_authz_subject *subject)
{
    return subject->role_count > RL_AUTHZ_ROLES_MAX;
}

char *rl_authz_subject_text(const struct rl_authz_subject *subject)
{
    if (strcmp(subject->cluster, subject->home_cluster) == 0)
        return rl_strdup(subject->user);
    return rl_sprintf("%s@%s", subject->user, subject->cluster);
}

rl_code rl_authz_ssh(const struct rl_authz_subject *subject, const struct rl_authz_target *node,
                     const char *login, struct rl_authz_grant *out, struct rl_error *err)
{
    if (has_too_many_roles(subject))
        return rl_fail(err, RL_E_DENIED, "%s has more than %d roles", subject->user,
                       RL_AUTHZ_ROLES_MAX);
    if (rl_name_check_login(login, err) != RL_OK) {
        if (err)
            err->code = RL_E_DENIED;
        return RL_E_DENIED;
    }
    struct node_view view;
    view_node(subject, node, &view);
    return decide(subject, &view, node->name && node->name[0] ? node->name : node->id, login, out,
                  err);
}

bool rl_authz_sees_node(const struct rl_authz_subject *subject, const struct rl_authz_target *node)
{
    if (has_too_many_roles(subject))
        return false;
    struct node_view view;
    view_node(subject, node, &view);
    return view.is_allowed && !view.denier;
}

static void give_logins(struct login_set *set, char ***logins, size_t *count)
{
    *logins = set->items ? set->items : rl_alloc_array(1, sizeof **logins);
    *count = set->count;
}

void rl_authz_node_logins(const struct rl_authz_subject *subject,
                          const struct rl_authz_target *node, char ***logins, size_t *count)
{
    struct login_set set = {0};
    struct node_view view = {0};
    if (!has_too_many_roles(subject)) {
        view_node(subject, node, &view);
        for (size_t i = 0; i < subject->role_count; i++)
            if (view.allows[i])
                login_set_add_allowed(&set, subject, allow_of(subject->roles[i]));
    }
    size_t kept = 0;
    for (size_t i = 0; i < set.count; i++) {
        struct rl_authz_grant grant;
        if (decide(subject, &view, "", set.items[i], &grant, NULL) == RL_OK)
            set.items[kept++] = set.items[i];
        else
            free(set.items[i]);
    }
    set.count = kept;
    give_logins(&set, logins, count);
}

void rl_authz_logins(const struct rl_authz_subject *subject, char ***logins, size_t *count)
{
    struct login_set set = {0};
    for (size_t i = 0; i < subject->role_count && !has_too_many_roles(subject); i++)
        if (role_is_understood(subject->roles[i]))
            login_set_add_allowed(&set, subject, allow_of(subject->roles[i]));
    give_logins(&set, logins, count);
}
