/* identity_file: one file that is enough to call the cluster as somebody: the key, the certificates
 * and whom to trust, as PEM blocks. Made by `remoteler-auth bootstrap` and `tctl auth sign`, read
 * by tctl. It is as good as a login: keep it 0600.
 */
#ifndef RL_IDENTITY_FILE_H
#define RL_IDENTITY_FILE_H

#include "identity/identity.h"
#include "remoteler/v1/auth.pb-c.h"

#define RL_IDENTITY_FILE_BYTES_MAX (1u << 20)

struct rl_identity_file {
    EVP_PKEY *key;
    X509 *chain[RL_IDENTITY_CHAIN_MAX]; /* leaf first */
    size_t chain_count;
    Pb__TrustBundle *trust;
};

/** Appends the text. All parts are borrowed. */
rl_code rl_identity_file_write(const struct rl_identity_file *identity, struct rl_buf *out,
                               struct rl_error *err);
/** Errors: RL_E_INVAL what is missing or damaged. Owns: *out by rl_identity_file_fini(). */
rl_code rl_identity_file_read(struct rl_span text, struct rl_identity_file *out,
                              struct rl_error *err);
void rl_identity_file_fini(struct rl_identity_file *identity);

#endif
