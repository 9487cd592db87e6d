/* subject: whose certificate it is, and which roles that person has here. An authority speaks for
 * one cluster: this one's own, or a root's, and a root's for nobody else, least of all for a user
 * of this cluster. What a user of a root may do is what role_map makes of the certificate's roles;
 * the root's own roles count for nothing.
 */
#include "authz/role_map.h"
#include "names/names.h"
#include "policy/internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- authorities ---- */

static bool holds_key(Pb__CaKey *const *keys, size_t count, struct rl_span key)
{
    for (size_t i = 0; i < count; i++)
        if (rl_span_equal(policy_span(&keys[i]->public_key), key))
            return true;
    return false;
}

const char *rl_policy_authority_cluster(const struct rl_policy *policy, struct rl_span key)
{
    Pb__CaKey *const *own;
    Pb__RootTrust *const *roots;
    size_t own_count, root_count;
    const char *found = NULL;
    if (!policy || !policy->seal || key.n == 0)
        return NULL;
    rl_policy_user_ssh_cas(policy, &own, &own_count);
    if (holds_key(own, own_count, key))
        return policy->seal->cluster;
    rl_policy_roots(policy, &roots, &root_count);
    for (size_t i = 0; i < root_count; i++) {
        if (!holds_key(roots[i]->user_ssh_keys, roots[i]->n_user_ssh_keys, key))
            continue;
        if (found) /* of two clusters: it can not be said which one speaks */
            return NULL;
        found = roots[i]->cluster;
    }
    return found && strcmp(found, policy->seal->cluster) != 0 ? found : NULL;
}

static const Pb__RootTrust *find_root(const struct rl_policy *policy, const char *cluster)
{
    Pb__RootTrust *const *roots;
    size_t count;
    rl_policy_roots(policy, &roots, &count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(roots[i]->cluster, cluster) == 0)
            return roots[i];
    return NULL;
}

static rl_code check_authority(const struct rl_policy *policy, const struct rl_policy_ssh *request,
                               struct rl_error *err)
{
    const char *speaks_for = rl_policy_authority_cluster(policy, request->authority);
    const char *cluster = request->claims->cluster;
    if (speaks_for && strcmp(speaks_for, cluster) == 0)
        return RL_OK;
    char *shown = rl_name_printable(cluster);
    if (speaks_for)
        rl_fail(err, RL_E_DENIED, "the authority of cluster %s signed for a user of cluster %s",
                speaks_for, shown);
    else
        rl_fail(err, RL_E_DENIED,
                "the users of cluster %s are not, or no longer, trusted here with this certificate",
                shown);
    free(shown);
    return RL_E_DENIED;
}

/* ---- claims ---- */

/* A certificate may say less than that it is the user's. */
static rl_code check_claims(const struct rl_policy_ssh *request, struct rl_error *err)
{
    const Pb__IdentityClaims *claims = request->claims;
    if (!claims->user[0])
        return rl_fail(err, RL_E_DENIED, "the certificate is not a user's");
    if (rl_name_check_user(claims->user, NULL) != RL_OK) /* another cluster's auth let it pass */
        return rl_fail(err, RL_E_DENIED, "the certificate's user has no name that a user may have");
    if (claims->usage[0])
        return rl_fail(err, RL_E_DENIED, "the certificate is for another use than SSH");
    char *here = rl_sprintf("node/%s", request->node_id);
    bool is_for_here = !claims->target[0] || strcmp(claims->target, here) == 0;
    free(here);
    return is_for_here ? RL_OK : rl_fail(err, RL_E_DENIED, "the certificate is for another target");
}

rl_code policy_check_holder(const struct rl_policy *policy, const struct rl_policy_ssh *request,
                            struct rl_error *err)
{
    rl_code code = check_authority(policy, request, err);
    return code == RL_OK ? check_claims(request, err) : code;
}

/* ---- roles ---- */

bool policy_is_remote(const struct rl_policy *policy, const struct rl_policy_ssh *request)
{
    return strcmp(request->claims->cluster, policy->seal->cluster) != 0;
}

/* Those of the claimed roles that there are. */
static const Pb__Role **find_roles(const struct rl_policy *policy, const Pb__IdentityClaims *claims,
                                   size_t *count)
{
    const Pb__Role **roles = rl_alloc_array(claims->n_roles, sizeof *roles);
    *count = 0;
    for (size_t i = 0; i < claims->n_roles; i++) {
        const Pb__Role *role = rl_policy_role(policy, claims->roles[i]);
        if (role)
            roles[(*count)++] = role;
    }
    return roles;
}

static rl_code map_roles(const struct rl_policy *policy, const Pb__IdentityClaims *claims,
                         const Pb__Role ***roles, size_t *count, struct rl_error *err)
{
    const Pb__RootTrust *root = find_root(policy, claims->cluster);
    if (!root)
        return rl_fail(err, RL_E_DENIED, "the user's cluster is not, or no longer, trusted here");
    const struct view *all = policy_view(policy, VIEW_ROLES);
    const struct rl_role_map map = {.root = root->cluster,
                                    .entries = root->role_map,
                                    .entry_count = root->n_role_map,
                                    .roles = (const Pb__Role *const *)all->messages,
                                    .role_count = all->count};
    return rl_role_map_apply(&map, claims->roles, claims->n_roles, roles, count, err);
}

rl_code policy_subject(const struct rl_policy *policy, const struct rl_policy_ssh *request,
                       struct rl_authz_subject *out, const Pb__Role ***roles, struct rl_error *err)
{
    const Pb__IdentityClaims *claims = request->claims;
    size_t count = 0;
    bool is_remote = policy_is_remote(policy, request);
    if (!is_remote) {
        *roles = find_roles(policy, claims, &count);
    } else {
        rl_code code = map_roles(policy, claims, roles, &count, err);
        if (code != RL_OK)
            return code;
    }
    *out = (struct rl_authz_subject){.user = claims->user,
                                     .cluster = claims->cluster,
                                     .home_cluster = policy->seal->cluster,
                                     .role_count = count,
                                     .roles = *roles,
                                     .remote_role_count = is_remote ? claims->n_roles : 0,
                                     .remote_roles = claims->roles,
                                     .trait_count = claims->n_traits,
                                     .traits = claims->traits,
                                     .issued_at_ns = claims->issued_at_ns,
                                     .mfa = claims->mfa,
                                     .client_address = request->client_address};
    return RL_OK;
}
