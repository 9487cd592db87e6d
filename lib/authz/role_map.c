#include "authz/role_map.h"

#include "authz/internal.h"
#include "bytes/buf.h"
#include "names/names.h"

#include <stdlib.h>
#include <string.h>

#define ROLE_NAME_BYTES_MAX 64

/* ---- a local name: text, and "$N" ---- */

/* The group that "$N" at `text` names; 0: it is none. */
static unsigned group_at(const char *text)
{
    return text[0] == '$' && text[1] >= '1' && text[1] <= '9' ? (unsigned)(text[1] - '0') : 0;
}

static bool has_groups(const char *local)
{
    return strchr(local, '$') != NULL;
}

/* With what the groups took, or with "x" for each. False: too long, or a '$' that names no group.
 */
static bool fill(const char *local, const struct captures *captures, char *out, size_t room)
{
    struct rl_buf name;
    rl_buf_init(&name, room - 1);
    bool is_good = true;
    for (const char *c = local; *c && is_good; c++) {
        unsigned group = group_at(c);
        if (*c != '$') {
            rl_buf_put_u8(&name, (uint8_t)*c);
        } else if (group == 0 || (captures && group > captures->count)) {
            is_good = false;
        } else {
            rl_buf_put_text(&name, captures ? captures->items[group - 1] : "x");
            c++;
        }
    }
    is_good = is_good && !name.failed;
    if (is_good)
        memcpy(out, rl_buf_text(&name), name.n + 1);
    rl_buf_fini(&name);
    return is_good;
}

/* ---- is it fit to be saved? ---- */

static rl_code check_local(const char *local, size_t groups, struct rl_error *err)
{
    char name[ROLE_NAME_BYTES_MAX];
    for (const char *c = strchr(local, '$'); c; c = strchr(c + 1, '$'))
        if (group_at(c) == 0 || group_at(c) > groups)
            return rl_fail(
                err, RL_E_INVAL,
                "\"%s\": $1 to $9 stand for the groups of a regular expression, and this "
                "one has %zu",
                local, groups);
    if (!fill(local, NULL, name, sizeof name))
        return rl_fail(err, RL_E_INVAL, "\"%s\" is too long for a role's name", local);
    return rl_name_check_resource(name, err);
}

static rl_code check_entry(const Pb__RoleMapping *entry, struct rl_error *err)
{
    size_t groups = 0;
    rl_code code = pattern_groups(entry->remote, &groups, err);
    if (code == RL_OK && entry->remote[0] == '\0')
        code = rl_fail(err, RL_E_INVAL, "a mapping has a remote role");
    if (code == RL_OK && entry->n_local == 0)
        code = rl_fail(err, RL_E_INVAL, "a mapping has local roles");
    if (code == RL_OK && entry->n_local > RL_ROLE_MAP_ENTRIES_MAX)
        code = rl_fail(err, RL_E_INVAL, "a mapping has at most %d local roles",
                       RL_ROLE_MAP_ENTRIES_MAX);
    for (size_t i = 0; i < entry->n_local && code == RL_OK; i++)
        code = check_local(entry->local[i], groups, err);
    return code;
}

rl_code rl_role_map_check(Pb__RoleMapping *const *entries, size_t count, struct rl_error *err)
{
    if (count > RL_ROLE_MAP_ENTRIES_MAX)
        return rl_fail(err, RL_E_INVAL, "a role_map has at most %d mappings",
                       RL_ROLE_MAP_ENTRIES_MAX);
    for (size_t i = 0; i < count; i++)
        if (check_entry(entries[i], err) != RL_OK)
            return RL_E_INVAL;
    return RL_OK;
}

/* ---- whom does it make of a stranger? ---- */

static bool may_be_chosen_by(const Pb__Role *role, const char *root)
{
    for (size_t i = 0; i < role->spec->n_assignable_by; i++)
        if (strcmp(role->spec->assignable_by[i], root) == 0)
            return true;
    return false;
}

static void take_local(const struct rl_role_map *map, const char *local,
                       const struct captures *captures, bool *taken)
{
    char name[ROLE_NAME_BYTES_MAX];
    if (!fill(local, captures, name, sizeof name) || rl_name_check_resource(name, NULL) != RL_OK)
        return;
    for (size_t i = 0; i < map->role_count; i++) {
        const Pb__Role *role = map->roles[i];
        if (role->spec && strcmp(role_name(role), name) == 0 &&
            (!has_groups(local) || may_be_chosen_by(role, map->root)))
            taken[i] = true;
    }
}

static void take_name(const struct rl_role_map *map, const char *name, bool *taken)
{
    for (size_t i = 0; i < map->entry_count; i++) {
        const Pb__RoleMapping *entry = map->entries[i];
        struct captures captures;
        if (pattern_capture(entry->remote, name, &captures, NULL) != RL_OK)
            continue; /* an error is no match: the map allows */
        for (size_t j = 0; j < entry->n_local; j++)
            take_local(map, entry->local[j], &captures, taken);
        captures_fini(&captures);
    }
}

rl_code rl_role_map_apply(const struct rl_role_map *map, char *const *names, size_t count,
                          const Pb__Role ***out, size_t *out_count, struct rl_error *err)
{
    bool *taken = rl_alloc((map->role_count + 1) * sizeof *taken);
    for (size_t i = 0; i < count && i < RL_AUTHZ_ROLES_MAX; i++)
        if (rl_name_check_resource(names[i], NULL) == RL_OK)
            take_name(map, names[i], taken);
    size_t n = 0;
    for (size_t i = 0; i < map->role_count; i++)
        n += taken[i];
    rl_code code = RL_OK;
    if (n == 0)
        code = rl_fail(err, RL_E_DENIED, "no role of %s that this user has stands for a role here",
                       map->root);
    else if (n > RL_AUTHZ_ROLES_MAX)
        code = rl_fail(err, RL_E_DENIED, "the role_map of %s gives this user more than %d roles",
                       map->root, RL_AUTHZ_ROLES_MAX);
    if (code == RL_OK) {
        *out = rl_alloc(n * sizeof(**out));
        *out_count = 0;
        for (size_t i = 0; i < map->role_count; i++)
            if (taken[i])
                (*out)[(*out_count)++] = map->roles[i];
    }
    free(taken);
    return code;
}
