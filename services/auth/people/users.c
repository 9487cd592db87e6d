/* users: changes that take something away void what was issued before. The order is the same
 * everywhere: the revision's row first, then the user's. */
#include "admin/admin.h"

#include "db/cluster.h"
#include "names/names.h"

#include <stdlib.h>
#include <string.h>

static rl_code check_traits(const Pb__UserSpec *spec, struct rl_error *err)
{
    if (spec->n_traits > RL_USER_TRAITS_MAX)
        return rl_fail(err, RL_E_INVAL, "a user has at most %d traits", RL_USER_TRAITS_MAX);
    for (size_t i = 0; i < spec->n_traits; i++) {
        const Pb__Trait *trait = spec->traits[i];
        rl_code rc = rl_name_check_label(trait->key, "", err);
        if (rc != RL_OK)
            return rc;
        if (trait->n_values > RL_TRAIT_VALUES_MAX)
            return rl_fail(err, RL_E_INVAL, "the trait %s has more than %d values", trait->key,
                           RL_TRAIT_VALUES_MAX);
        bool is_logins = strcmp(trait->key, "logins") == 0;
        for (size_t k = 0; rc == RL_OK && k < trait->n_values; k++)
            rc = is_logins ? rl_name_check_login(trait->values[k], err)
                           : rl_name_check_label(trait->key, trait->values[k], err);
        if (rc != RL_OK)
            return rc;
    }
    return RL_OK;
}

rl_code rl_user_check(const struct rl_snapshot *snapshot, const Pb__User *user,
                      struct rl_error *err)
{
    rl_code rc = rl_name_check_user(user->metadata->name, err);
    const Pb__UserSpec *spec = user->spec;
    if (rc == RL_OK && spec->n_roles == 0)
        rc = rl_fail(err, RL_E_INVAL, "a user has at least one role");
    if (rc == RL_OK && spec->n_roles > RL_USER_ROLES_MAX)
        rc = rl_fail(err, RL_E_INVAL, "a user has at most %d roles", RL_USER_ROLES_MAX);
    for (size_t i = 0; rc == RL_OK && i < spec->n_roles; i++)
        if (!rl_snapshot_role(snapshot, spec->roles[i])) {
            char *shown = rl_name_printable(spec->roles[i]);
            rc = rl_fail(err, RL_E_INVAL, "there is no role \"%.64s\"", shown);
            free(shown);
        }
    return rc == RL_OK ? check_traits(spec, err) : rc;
}

static bool has_text(char *const *items, size_t count, const char *text)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(items[i], text) == 0)
            return true;
    return false;
}

static bool keeps_roles(const Pb__UserSpec *before, const Pb__UserSpec *after)
{
    for (size_t i = 0; i < before->n_roles; i++)
        if (!has_text(after->roles, after->n_roles, before->roles[i]))
            return false;
    return true;
}

static bool keeps_trait(const Pb__Trait *before, const Pb__UserSpec *after)
{
    for (size_t i = 0; i < after->n_traits; i++) {
        const Pb__Trait *trait = after->traits[i];
        if (strcmp(trait->key, before->key) != 0)
            continue;
        for (size_t k = 0; k < before->n_values; k++)
            if (!has_text(trait->values, trait->n_values, before->values[k]))
                return false;
        return true;
    }
    return before->n_values == 0;
}

static bool keeps_traits(const Pb__UserSpec *before, const Pb__UserSpec *after)
{
    for (size_t i = 0; i < before->n_traits; i++)
        if (!keeps_trait(before->traits[i], after))
            return false;
    return true;
}

rl_code rl_user_cut(struct rl_auth *auth, struct rl_db *db, const struct rl_user_record *record,
                    const char *reason, struct rl_error *err)
{
    if (record->certificates_until_ns == INT64_MIN)
        return RL_OK; /* none was ever issued */
    return rl_cuts_add(db, record->user->metadata->name, auth->cluster, reason,
                       record->certificates_until_ns, err);
}

rl_code rl_user_replace(struct rl_auth *auth, struct rl_db *db, const Pb__User *user,
                        struct rl_error *err)
{
    struct rl_user_record *before = NULL;
    rl_code rc = rl_revision_bump(db, NULL, err);
    if (rc == RL_OK)
        rc = rl_users_find(db, user->metadata->name, true, &before, err);
    if (rc == RL_OK)
        rc = rl_users_update(db, user, err);
    if (rc == RL_OK && !keeps_roles(before->user->spec, user->spec))
        rc = rl_user_cut(auth, db, before, "a role was taken away", err);
    else if (rc == RL_OK && !keeps_traits(before->user->spec, user->spec))
        rc = rl_user_cut(auth, db, before, "a trait was taken away", err);
    rl_user_record_free(&before);
    return rc;
}

rl_code rl_user_delete(struct rl_auth *auth, struct rl_db *db, const char *name,
                       struct rl_error *err)
{
    struct rl_user_record *before = NULL;
    rl_code rc = rl_revision_bump(db, NULL, err);
    if (rc == RL_OK)
        rc = rl_users_find(db, name, true, &before, err);
    if (rc == RL_OK)
        rc = rl_user_cut(auth, db, before, "the user was removed", err);
    if (rc == RL_OK)
        rc = rl_users_delete(db, name, err);
    rl_user_record_free(&before);
    return rc;
}
