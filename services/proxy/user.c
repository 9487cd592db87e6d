/* user: a checked certificate, held against what auth said last: its cluster, time, locks and cuts.
 * The roles are auth's and the far end's to judge; here only their names count, for locks on a
 * role, and those of a root cluster's user for that cluster's own locks.
 */
#include "internal.h"

#include "authz/authz.h"
#include "peers/peers.h"

#include <stdlib.h>
#include <string.h>

static bool is_remote(const struct rl_identity *identity, const struct user_now *now)
{
    return strcmp(identity->cluster, now->cluster) != 0;
}

/* Is it a root that is trusted now, by the authority that it has now? */
static bool is_of_a_root(const struct rl_identity *identity, const struct user_now *now)
{
    return rl_peers_root(now->state->clusters, now->state->n_clusters, identity->cluster) &&
           rl_trust_vouches(now->trust, identity);
}

static rl_code check_form(const struct rl_identity *identity, const struct user_now *now,
                          struct rl_error *err)
{
    const Pb__IdentityClaims *claims = identity->claims;
    if (identity->kind != RL_IDENTITY_USER)
        return rl_fail(err, RL_E_DENIED, "only users connect here");
    if (is_remote(identity, now) && !is_of_a_root(identity, now))
        return rl_fail(err, RL_E_DENIED,
                       "cluster %s does not, or does not any more, trust cluster %s", now->cluster,
                       identity->cluster);
    /* One that was issued for a single target or use opens nothing else. */
    if (claims->target[0] || claims->usage[0] || claims->via[0])
        return rl_fail(err, RL_E_DENIED, "this certificate is for one target only");
    return RL_OK;
}

static rl_code check_stops(const struct rl_identity *identity, const struct user_now *now,
                           struct rl_error *err)
{
    const Pb__IdentityClaims *claims = identity->claims;
    Pb__Metadata *names = rl_alloc_array(claims->n_roles + 1, sizeof *names);
    Pb__Role *stubs = rl_alloc_array(claims->n_roles + 1, sizeof *stubs);
    const Pb__Role **roles = rl_alloc_array(claims->n_roles + 1, sizeof *roles);
    for (size_t i = 0; i < claims->n_roles; i++) {
        pb__metadata__init(&names[i]);
        pb__role__init(&stubs[i]);
        names[i].name = claims->roles[i];
        stubs[i].metadata = &names[i];
        roles[i] = &stubs[i];
    }
    struct rl_authz_subject subject = {
        .user = identity->name,
        .cluster = identity->cluster,
        .home_cluster = now->cluster,
        .role_count = is_remote(identity, now) ? 0 : claims->n_roles,
        .roles = roles,
        .remote_role_count = is_remote(identity, now) ? claims->n_roles : 0,
        .remote_roles = claims->roles,
        .issued_at_ns = claims->issued_at_ns,
        .mfa = claims->mfa,
    };
    struct rl_authz_target node = {.id = now->node_id, .name = now->node_name};
    const Pb__ControlUpdate *state = now->state;
    rl_code rc = rl_authz_locks(&subject, now->node_id ? &node : NULL, NULL, state->locks,
                                state->n_locks, state->cuts, state->n_cuts, now->now_ns, err);
    free(roles);
    free(stubs);
    free(names);
    return rc;
}

rl_code user_check(const struct rl_identity *identity, const struct user_now *now,
                   struct rl_error *err)
{
    rl_code rc = check_form(identity, now, err);
    if (rc != RL_OK)
        return rc;
    if (identity->not_after_s < now->now_ns / 1000000000ll)
        return rl_fail(err, RL_E_UNAUTHENTICATED, "login expired; run tsh login");
    return check_stops(identity, now, err);
}
