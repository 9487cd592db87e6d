/* caller: rights as of now. A user of this cluster has those roles that the certificate names and
 * the database still gives. A user of a root has no record here: what role_map makes of the
 * certificate's roles, as nodes do by the same function. */
#include "people/caller.h"

#include "authz/role_map.h"
#include "clock/clock.h"
#include "db/users.h"

#include <stdlib.h>
#include <string.h>

/* HOST:PORT without the port, for rules on addresses. */
static char *host_of(const char *address)
{
    char *host = NULL;
    uint16_t port = 0;
    if (!address || rl_address_split(address, &host, &port, NULL) != RL_OK)
        return rl_strdup(address ? address : "");
    return host;
}

static bool holds(const Pb__User *user, const char *role)
{
    for (size_t i = 0; i < user->spec->n_roles; i++)
        if (strcmp(user->spec->roles[i], role) == 0)
            return true;
    return false;
}

/* Named by the certificate, held in the database, and there. */
static void take_roles(struct rl_caller *c, const Pb__User *user)
{
    c->roles = rl_alloc_array(c->claims->n_roles, sizeof *c->roles);
    for (size_t i = 0; i < c->claims->n_roles; i++) {
        const Pb__Role *role = rl_snapshot_role(c->snapshot, c->claims->roles[i]);
        if (role && holds(user, c->claims->roles[i]))
            c->roles[c->subject.role_count++] = role;
    }
    c->subject.roles = c->roles;
}

struct finding {
    const char *name;
    struct rl_user_record *record;
};

static rl_code find_user(struct rl_db *db, void *context, struct rl_error *err)
{
    struct finding *f = context;
    rl_user_record_free(&f->record);
    return rl_users_find(db, f->name, false, &f->record, err);
}

static rl_code take_own_roles(struct rl_auth *auth, struct rl_caller *c, struct rl_error *err)
{
    struct finding finding = {c->user, NULL};
    rl_code rc = rl_store_transaction(auth->store, find_user, &finding, err);
    if (rc == RL_E_NOT_FOUND)
        rc = rl_fail(err, RL_E_DENIED, "user %s is no longer there", c->user);
    if (rc == RL_OK)
        take_roles(c, finding.record->user);
    rl_user_record_free(&finding.record);
    return rc;
}

static rl_code take_mapped_roles(struct rl_caller *c, struct rl_error *err)
{
    const Pb__RootTrust *root = rl_snapshot_root(c->snapshot, c->subject.cluster);
    if (!root)
        return rl_fail(err, RL_E_DENIED, "cluster %s is not, or no longer, trusted by cluster %s",
                       c->subject.cluster, c->subject.home_cluster);
    const struct rl_role_map map = {
        .root = root->cluster,
        .entries = root->role_map,
        .entry_count = root->n_role_map,
        .roles = (const Pb__Role *const *)c->snapshot->roles,
        .role_count = c->snapshot->role_count,
    };
    rl_code rc = rl_role_map_apply(&map, c->claims->roles, c->claims->n_roles, &c->roles,
                                   &c->subject.role_count, err);
    if (rc == RL_OK)
        c->subject.roles = c->roles;
    return rc;
}

static rl_code check_usage(const char *cluster, const char *user, const Pb__IdentityClaims *claims,
                           struct rl_error *err)
{
    if (strcmp(claims->cluster, cluster) != 0 || strcmp(claims->user, user) != 0)
        return rl_fail(err, RL_E_DENIED, "the certificate's claims are of another user");
    if (rl_name_check_user(user, NULL) != RL_OK || rl_name_check_cluster(cluster, NULL) != RL_OK)
        return rl_fail(err, RL_E_DENIED, "the certificate is of nobody who can have a name here");
    if (*claims->target || *claims->usage || *claims->via)
        return rl_fail(err, RL_E_DENIED,
                       "this certificate is for %s only; use the one of tsh login",
                       *claims->target ? claims->target : "one purpose");
    return RL_OK;
}

static rl_code check_locks(const struct rl_caller *c, struct rl_error *err)
{
    return rl_authz_locks(&c->subject, NULL, NULL, c->snapshot->locks, c->snapshot->lock_count,
                          c->snapshot->cuts, c->snapshot->cut_count, rl_clock_wall_ns(), err);
}

rl_code rl_caller_open(struct rl_auth *auth, const char *user, const char *cluster,
                       const Pb__IdentityClaims *claims, const char *client_address,
                       struct rl_caller **out, struct rl_error *err)
{
    rl_code rc = check_usage(cluster, user, claims, err);
    if (rc != RL_OK)
        return rc;
    struct rl_caller *c = rl_alloc(sizeof *c);
    c->claims = rl_message_copy(&claims->base);
    c->user = rl_strdup(user);
    c->client_address = host_of(client_address);
    c->is_remote = strcmp(cluster, auth->cluster) != 0;
    c->subject = (struct rl_authz_subject){
        .user = c->user,
        .cluster = c->claims->cluster,
        .home_cluster = auth->cluster,
        .remote_role_count = c->is_remote ? c->claims->n_roles : 0,
        .remote_roles = c->claims->roles,
        .trait_count = c->claims->n_traits,
        .traits = c->claims->traits,
        .issued_at_ns = c->claims->issued_at_ns,
        .mfa = c->claims->mfa,
        .client_address = c->client_address,
    };
    rc = rl_snapshots_current(auth->snapshots, &c->snapshot, err);
    if (rc == RL_OK)
        rc = c->is_remote ? take_mapped_roles(c, err) : take_own_roles(auth, c, err);
    if (rc == RL_OK)
        rc = check_locks(c, err);
    if (rc == RL_OK)
        *out = c;
    else
        rl_caller_close(&c);
    return rc;
}

rl_code rl_caller_of_peer(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                          struct rl_caller **out, struct rl_error *err)
{
    const struct rl_identity *identity = peer->identity;
    if (!identity || identity->kind != RL_IDENTITY_USER)
        return rl_fail(err, RL_E_UNAUTHENTICATED, "only a user may call this; run tsh login");
    return rl_caller_open(auth, identity->name, identity->cluster, identity->claims, peer->address,
                          out, err);
}

void rl_caller_close(struct rl_caller **caller)
{
    struct rl_caller *c = *caller;
    if (!c)
        return;
    rl_snapshot_unref(&c->snapshot);
    if (c->claims)
        pb__identity_claims__free_unpacked(c->claims, NULL);
    free(c->roles);
    free(c->user);
    free(c->client_address);
    free(c);
    *caller = NULL;
}

rl_code rl_caller_may(const struct rl_caller *caller, const char *kind, const char *verb,
                      struct rl_error *err)
{
    struct rl_authz_rule_grant grant;
    if (caller->is_remote) /* whatever the roles say, which may be written for others too */
        return rl_fail(err, RL_E_DENIED, "only users of cluster %s administrate it",
                       caller->subject.home_cluster);
    rl_code rc = rl_authz_rule(&caller->subject, kind, verb, &grant, err);
    if (rc == RL_OK && grant.own_only)
        return rl_fail(err, RL_E_DENIED, "your roles let you %s only what is your own, of %s", verb,
                       kind);
    return rc;
}

rl_code rl_caller_enter(struct rl_auth *auth, const struct rl_rpc_peer *peer, const char *kind,
                        const char *verb, struct rl_caller **out, struct rl_error *err)
{
    struct rl_caller *caller = NULL;
    rl_code rc = rl_caller_of_peer(auth, peer, &caller, err);
    if (rc == RL_OK)
        rc = rl_caller_may(caller, kind, verb, err);
    if (rc == RL_OK)
        *out = caller;
    else
        rl_caller_close(&caller);
    return rc;
}
