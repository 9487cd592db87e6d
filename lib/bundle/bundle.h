/* bundle: an identity in one file: key, certificate chain and trust, for tools that run without
 * `tsh login` (tctl with REMOTELER_IDENTITY_FILE). Three kinds of PEM block, in any order:
 *
 *   PRIVATE KEY        PKCS#8, one
 *   CERTIFICATE        the holder's, then its authority
 *   REMOTELER TRUST    a packed TrustBundle, one
 *
 * Nothing of it is encrypted: the file's mode is its protection.
 */
#ifndef RL_BUNDLE_H
#define RL_BUNDLE_H

#include "remoteler/v1/auth.pb-c.h"
#include "tls/tls.h"

#define RL_BUNDLE_BYTES_MAX (256u * 1024)

/** Writes the file anew, whole or not at all, mode 0600. `chain`: DER, the holder's first. */
rl_code rl_bundle_write(const char *path, EVP_PKEY *key, const ProtobufCBinaryData *chain,
                        size_t chain_count, const Pb__TrustBundle *trust, struct rl_error *err);

/** Errors: RL_E_NOT_FOUND no file; RL_E_DENIED others can read it; RL_E_INVAL it is not one.
 * Owns: *identity by rl_tls_identity_unref(), *trust by pb__trust_bundle__free_unpacked(). */
rl_code rl_bundle_read(const char *path, struct rl_tls_identity **identity, Pb__TrustBundle **trust,
                       struct rl_error *err);

#endif
