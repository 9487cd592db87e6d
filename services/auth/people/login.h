/* login: password and one-time code for certificates. */
#ifndef RL_AUTH_LOGIN_H
#define RL_AUTH_LOGIN_H

#include "auth.h"
#include "db/users.h"

/** Five failures for a user in 10 minutes lock it for 10. */
#define RL_LOGIN_FAILURES_MAX 5
#define RL_LOGIN_WINDOW_S 600
#define RL_LOGIN_LOCK_S 600
/** What whoever fails reads, and why is not said. */
#define RL_LOGIN_WRONG "wrong user name, password or code"

rl_code rl_auth_login(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                      const Pb__LoginRequest *request, Pb__LoginResponse *reply,
                      struct rl_error *err);

/** One proof of a password and a code, for whatever asks for both. */
struct rl_proof {
    const char *user, *password, *otp;
    /* out, on success: */
    struct rl_user_record *record; /* as it was in the transaction; its row locked there */
    int64_t now_ns;                /* the database's */
};
/** Checks the password (dear, outside of any transaction), then in one transaction the lock-out and
 * the code, counts a failure or the use of the code, and on success runs `then` in that same
 * transaction. Errors: RL_E_DENIED with RL_LOGIN_WRONG, or that the name is
 * locked out, or that the code was used; else those of `then`. `reason` gets the real one, for the
 * audit event; not for the caller. */
rl_code rl_prove(struct rl_auth *auth, struct rl_proof *proof,
                 rl_code (*then)(struct rl_db *db, struct rl_proof *proof, void *context,
                                 struct rl_error *err),
                 void *context, const char **reason, struct rl_error *err);

#endif
