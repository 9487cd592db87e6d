/* role_map: which roles of this cluster a user of a root cluster has. The map is the leaf's own
 * administrator's; a name on its left is the root's: a word, a glob, or a regular expression. A
 * name on its right is a role of this cluster; "$1" to "$9" in it stand for what a group of the
 * regular expression took. What a stranger's role name thus helps to choose must be a role that
 * exists here and lists the root cluster in `assignable_by`. What the map does not name stands for
 * nothing, and the root's own roles never count.
 */
#ifndef RL_AUTHZ_ROLE_MAP_H
#define RL_AUTHZ_ROLE_MAP_H

#include "authz/authz.h"

#define RL_ROLE_MAP_ENTRIES_MAX 256 /* mappings, and local roles of one */

/** All borrowed. */
struct rl_role_map {
    const char *root; /* the root cluster's name */
    Pb__RoleMapping *const *entries;
    size_t entry_count;
    const Pb__Role *const *roles; /* all that exist here */
    size_t role_count;
};

/** A map is fit to be saved: patterns compile, each "$N" has its group, names can be names of
 * roles, numbers are within limits. Errors: RL_E_INVAL, which says what and where. */
rl_code rl_role_map_check(Pb__RoleMapping *const *entries, size_t count, struct rl_error *err);

/** The roles that `names`, as the root's certificate says them, stand for; each once, in the order
 * of map->roles. Errors: RL_E_DENIED, they stand for none, or there are more than
 * RL_AUTHZ_ROLES_MAX. Owns: free(*out); the roles are the map's. Threads: safe. */
rl_code rl_role_map_apply(const struct rl_role_map *map, char *const *names, size_t count,
                          const Pb__Role ***out, size_t *out_count, struct rl_error *err);

#endif
