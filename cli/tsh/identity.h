/* identity: whom the profile's user is to a TLS peer, and whom he believes. */
#ifndef TSH_IDENTITY_H
#define TSH_IDENTITY_H

#include "profile.h"
#include "tls/tls.h"

/** The profile's own certificate and key, and its trust. Owns: by rl_tls_identity_unref(),
 * rl_trust_unref(). Errors: RL_E_UNAUTHENTICATED not logged in. */
rl_code tsh_identity(const struct tsh_profile *profile, struct rl_tls_identity **identity,
                     struct rl_trust **trust, struct rl_error *err);

#endif
