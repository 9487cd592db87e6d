/* caller: a user who calls, with the rights that count now: the roles that the certificate names
 * and the database still gives, or that a root's role_map makes of them, under the locks and cuts
 * of this moment.
 */
#ifndef RL_AUTH_CALLER_H
#define RL_AUTH_CALLER_H

#include "auth.h"
#include "authz/authz.h"

struct rl_caller {
    struct rl_snapshot *snapshot;
    struct rl_authz_subject subject;
    const Pb__Role **roles; /* borrowed from the snapshot */
    char *user;
    Pb__IdentityClaims *claims;
    char *client_address;
    bool is_remote; /* of a root cluster */
};

/** `claims` are those of a checked certificate of `user` of `cluster`: this one, or a root that it
 * trusts. Errors: RL_E_DENIED locked, cut off, deleted, of a cluster that is not trusted now, with
 * no role here by its role_map, or a certificate that is for one target only. Owns: *out by
 * rl_caller_close(). */
rl_code rl_caller_open(struct rl_auth *auth, const char *user, const char *cluster,
                       const Pb__IdentityClaims *claims, const char *client_address,
                       struct rl_caller **out, struct rl_error *err);
/** The user at the other end of a connection. */
rl_code rl_caller_of_peer(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                          struct rl_caller **out, struct rl_error *err);
void rl_caller_close(struct rl_caller **caller);
/** May it, as an administrator of this cluster? Nobody of another one is. Errors: RL_E_DENIED. */
rl_code rl_caller_may(const struct rl_caller *caller, const char *kind, const char *verb,
                      struct rl_error *err);
/** rl_caller_of_peer() and rl_caller_may(). */
rl_code rl_caller_enter(struct rl_auth *auth, const struct rl_rpc_peer *peer, const char *kind,
                        const char *verb, struct rl_caller **out, struct rl_error *err);

#endif
