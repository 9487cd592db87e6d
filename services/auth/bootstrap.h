/* bootstrap: makes a cluster; again, it changes nothing. */
#ifndef RL_AUTH_BOOTSTRAP_H
#define RL_AUTH_BOOTSTRAP_H

#include "auth.h"

struct rl_bootstrap_result {
    bool created; /* false: it was there already */
    bool key_created, identity_written;
    size_t tokens_written;
};
/** Errors: RL_E_PRECONDITION the database is another cluster's, or the key file is lost. */
rl_code rl_bootstrap(struct rl_auth *auth, struct rl_bootstrap_result *result,
                     struct rl_error *err);

/** The command: `remoteler-auth bootstrap`. */
int rl_bootstrap_main(int argc, char **argv);

#endif
