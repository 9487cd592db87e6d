/* claims: the identity extension. Its value is an OCTET STRING that holds the packed
 * IdentityClaims. Internal to identity.
 */
#ifndef RL_IDENTITY_CLAIMS_H
#define RL_IDENTITY_CLAIMS_H

#include "identity/identity.h"

/** Errors: RL_E_UNAUTHENTICATED when they are missing, too long or not in canonical form.
 * Owns: *out by pb__identity_claims__free_unpacked(). */
rl_code rl_claims_read(X509 *certificate, Pb__IdentityClaims **out, struct rl_error *err);
/** Adds them to a certificate that is being made. */
rl_code rl_claims_write(X509 *certificate, const Pb__IdentityClaims *claims, struct rl_error *err);

#endif
