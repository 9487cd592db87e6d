/* spiffe: the name in a certificate. One reader and one writer, so that no two places disagree
 * about what a URI says. Internal to identity.
 */
#ifndef RL_IDENTITY_SPIFFE_H
#define RL_IDENTITY_SPIFFE_H

#include "identity/identity.h"

#define RL_SPIFFE_CLUSTER_BYTES 254
#define RL_SPIFFE_NAME_BYTES 65
#define RL_SPIFFE_SERVICE_BYTES 16

struct rl_spiffe {
    enum rl_identity_kind kind;
    char cluster[RL_SPIFFE_CLUSTER_BYTES];
    char service[RL_SPIFFE_SERVICE_BYTES]; /* "" for users and agents */
    char name[RL_SPIFFE_NAME_BYTES];
};

/** Errors: RL_E_INVAL with what is wrong. Source: SPIFFE-ID 2. */
rl_code rl_spiffe_parse(struct rl_span uri, struct rl_spiffe *out, struct rl_error *err);
/** Checks as parsing does. Owns: *out by free(). */
rl_code rl_spiffe_format(enum rl_identity_kind kind, const char *cluster, const char *service,
                         const char *name, char **out, struct rl_error *err);
/** "user", "agent", "service". */
const char *rl_spiffe_kind_name(enum rl_identity_kind kind);
/** What people call the authority of a kind: "user", "host", "service". */
const char *rl_spiffe_authority_name(enum rl_identity_kind kind);

#endif
