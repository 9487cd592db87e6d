/* invite: how a user comes to a password and a one-time secret. */
#ifndef RL_AUTH_INVITE_H
#define RL_AUTH_INVITE_H

#include "auth.h"

/** Wrong codes that an invitation bears. */
#define RL_INVITATION_FAILURES_MAX 10

/** Makes an invitation in a transaction of the caller's. `token` is the secret, by rl_token_free().
 */
rl_code rl_invite(struct rl_auth *auth, struct rl_db *db, const char *user, bool is_reset,
                  char **token, int64_t *expires_ns, struct rl_error *err);
/** What the administrator hands over: the address with the token in it and, behind #, the pin of
 * the authority, which a browser keeps to itself; "" when the proxy's public address is not known.
 * Owns: heap text. */
char *rl_invite_url(const struct rl_auth *auth, const struct rl_snapshot *snapshot,
                    const char *token);
/** The proxy's HOST:PORT: the cluster's setting, else this program's; "" when neither says. */
const char *rl_public_address(const struct rl_auth *auth, const struct rl_snapshot *snapshot);

rl_code rl_auth_invitation(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                           const Pb__InvitationRequest *request, Pb__InvitationResponse *reply,
                           struct rl_error *err);
rl_code rl_auth_signup(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                       const Pb__SignupRequest *request, Pb__SignupResponse *reply,
                       struct rl_error *err);

#endif
