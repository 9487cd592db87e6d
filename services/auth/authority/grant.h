/* grant: join tokens and users' certificates made on an administrator's word, for the RPCs and for
 * bootstrap.
 */
#ifndef RL_AUTH_GRANT_H
#define RL_AUTH_GRANT_H

#include "auth.h"

#define RL_TOKEN_TTL_S 3600ull
#define RL_TOKEN_TTL_S_MAX (366ull * 86400)
#define RL_TOKEN_USES_MAX 10000
#define RL_TOKEN_NAMES_MAX 64
#define RL_SIGNED_TTL_S_MAX (3660ull * 86400)

/** Adds a token and gives its secret, by rl_token_free(). Errors: RL_E_INVAL. */
rl_code rl_grant_token(struct rl_auth *auth, const Pb__AddTokenRequest *request,
                       const char *created_by, Pb__Token **token, char **secret,
                       struct rl_error *err);
/** Certificates for a user, beside any login. Errors: RL_E_NOT_FOUND. */
rl_code rl_grant_user(struct rl_auth *auth, const Pb__SignUserRequest *request, uint64_t ttl_max_s,
                      Pb__LoginResponse *reply, struct rl_error *err);

#endif
