/* access: who may call what. One table from "service/method" to the kinds of caller; what is not in
 * it is refused. A test walks it whole against the descriptors in proto/.
 */
#ifndef RL_ACCESS_H
#define RL_ACCESS_H

#include "identity/identity.h"

enum {
    RL_CALLER_ANONYMOUS = 1, /* no certificate; others may call too */
    RL_CALLER_USER = 2,
    RL_CALLER_AGENT = 4,
    RL_CALLER_PROXY = 8,
    RL_CALLER_BROKER = 16,
    RL_CALLER_AUDIT = 32,
    RL_CALLER_AUTH = 64,
    RL_CALLER_LEAF_BROKER = 128,
    RL_CALLER_LEAF_AUTH = 256,
    RL_CALLER_ROOT_USER = 512,
};

/** `cluster`: the callee's own. A certificate of another cluster is refused but where
 * a row names its kind; the callee sees to it that the cluster is a leaf, or a root, of its own.
 * Errors: RL_E_UNAUTHENTICATED without a certificate where one is needed, RL_E_DENIED for the wrong
 * kind. Who shows a certificate that is over, or of an authority that was rotated away, may
 * renew it, no more. */
rl_code rl_access_check(const char *cluster, const char *service, const char *method,
                        const struct rl_identity *caller, struct rl_error *err);

struct rl_access_row {
    const char *service; /* "remoteler.v1.TunnelBroker" */
    const char *method;
    unsigned callers;
};
const struct rl_access_row *rl_access_table(size_t *count);

#endif
