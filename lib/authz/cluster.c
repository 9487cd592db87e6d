/* cluster: may this person know that another cluster is there? What is done in it that one decides.
 */
#include "authz/internal.h"

static bool match(const Pb__RoleConditions *conditions, const struct rl_authz_target *cluster,
                  bool on_error)
{
    return conditions && labels_match(conditions->n_cluster_labels, conditions->cluster_labels,
                                      cluster->label_count, cluster->labels, on_error);
}

bool rl_authz_sees_cluster(const struct rl_authz_subject *subject,
                           const struct rl_authz_target *cluster)
{
    bool is_allowed = false;
    if (subject->role_count > RL_AUTHZ_ROLES_MAX)
        return false;
    for (size_t i = 0; i < subject->role_count; i++) {
        const Pb__Role *role = subject->roles[i];
        if (!role->spec)
            continue;
        if (match(role->spec->deny, cluster, true))
            return false;
        is_allowed |= match(role->spec->allow, cluster, false) && role_is_understood(role);
    }
    return is_allowed;
}
