/* certificate: what leaf and authority have in common. Internal to identity.
 */
#ifndef RL_IDENTITY_CERTIFICATE_H
#define RL_IDENTITY_CERTIFICATE_H

#include "identity/identity.h"

bool rl_key_is_p256(EVP_PKEY *key);
bool rl_key_is_p384(EVP_PKEY *key);
/** RL_E_INTERNAL with OpenSSL's last reason; clears its queue. */
rl_code rl_fail_crypto(struct rl_error *err, const char *what);

/** Version 3, no extension twice, nothing critical beyond `critical_nids`, readable extensions, an
 * ECDSA signature with SHA-256 or SHA-384. Errors: RL_E_UNAUTHENTICATED. */
rl_code rl_certificate_check_form(X509 *certificate, const int *critical_nids, size_t count,
                                  struct rl_error *err);
/** The one URI among the subject's alternative names, as heap text; beside it there may be DNS
 * names and addresses (told in *has_addresses), nothing else. */
rl_code rl_certificate_uri(X509 *certificate, char **out, bool *has_addresses,
                           struct rl_error *err);
rl_code rl_certificate_times(X509 *certificate, int64_t *not_before_s, int64_t *not_after_s,
                             struct rl_error *err);
/** Is now within? "expired 3 min ago", "not valid for another 2 h". `what` begins the sentence. */
rl_code rl_certificate_check_time(const char *what, int64_t not_before_s, int64_t not_after_s,
                                  int64_t now_s, struct rl_error *err);
/** "spiffe://cluster": what an authority carries. Owns: heap text. */
char *rl_certificate_authority_uri(const char *cluster);
/** The cluster that an authority's URI names. Owns: *out by free(). */
rl_code rl_certificate_authority_cluster(X509 *ca, char **out, struct rl_error *err);
/** A self-signed authority of `cluster`, P-256 or P-384, that may sign only leaves. RL_E_INVAL. */
rl_code rl_certificate_check_authority(X509 *ca, const char *cluster, struct rl_error *err);

#endif
