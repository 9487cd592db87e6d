/* certificates: the keys of one login: made anew, sent, and written with what came back. */
#ifndef TSH_CERTIFICATES_H
#define TSH_CERTIFICATES_H

#include "profile.h"

#include <openssl/evp.h>

struct tsh_keys {
    EVP_PKEY *tls;                        /* P-256 */
    EVP_PKEY *ssh;                        /* Ed25519 */
    struct rl_buf tls_public, ssh_public; /* SubjectPublicKeyInfo; blob */
};
rl_code tsh_keys_make(struct tsh_keys *keys, struct rl_error *err);
void tsh_keys_fini(struct tsh_keys *keys);
/** Keys, certificates, trust and status into the profile, which becomes the current one. */
rl_code tsh_keys_save(const struct tsh_keys *keys, const Pb__LoginResponse *login,
                      const char *proxy, struct tsh_profile *profile, struct rl_error *err);
/** Gives the SSH key to an ssh-agent, when there is one, until the certificate ends; and takes it
 * away. Without an agent nothing happens. */
void tsh_agent_add(const struct tsh_profile *profile, int64_t valid_until_ns);
void tsh_agent_remove(const struct tsh_profile *profile);

#endif
