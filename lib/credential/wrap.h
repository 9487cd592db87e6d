/* wrap: private keys at rest. AES-256-GCM under a key-encryption key that does not lie in the
 * database; each wrapped key is bound to its cluster, kind and id, so that rows can not be swapped.
 *
 * The file has one line for each version of the key, `VERSION:BASE64` with 32 random bytes. The
 * highest version wraps, all unwrap: a rotation adds a line and wraps anew. Only its owner may read
 * the file.
 */
#ifndef RL_CREDENTIAL_WRAP_H
#define RL_CREDENTIAL_WRAP_H

#include "bytes/buf.h"

#define RL_WRAP_KEY_BYTES 32
#define RL_WRAP_VERSIONS_MAX 16
#define RL_WRAP_FILE_BYTES_MAX 4096
#define RL_WRAP_PLAIN_BYTES_MAX 65536

struct rl_wrap_key; /* immutable once loaded; shared among threads */

/** Makes the file with version 1, mode 0600. Errors: RL_E_EXISTS when there is one. */
rl_code rl_wrap_key_create_file(const char *path, struct rl_error *err);
/** Errors: RL_E_NOT_FOUND no file; RL_E_DENIED others than its owner can read it; RL_E_INVAL. */
rl_code rl_wrap_key_load(const char *path, struct rl_wrap_key **out, struct rl_error *err);
void rl_wrap_key_free(struct rl_wrap_key **key);
uint32_t rl_wrap_key_version(const struct rl_wrap_key *key); /* the one that wraps */

/** A secret for `purpose`, the same wherever this key is and for nothing else (HKDF-SHA-256, RFC
 * 5869): for keys that replicas share and nobody stores. */
rl_code rl_wrap_key_derive(const struct rl_wrap_key *key, const char *purpose, uint8_t *out,
                           size_t n, struct rl_error *err);

/** What a wrapped key is bound to. */
struct rl_wrap_binding {
    const char *cluster, *kind, *key_id;
};
rl_code rl_wrap(const struct rl_wrap_key *key, const struct rl_wrap_binding *binding,
                struct rl_span plain, struct rl_buf *out, struct rl_error *err);
/** Errors: RL_E_DENIED: another key file's, bound to something else, or changed. */
rl_code rl_unwrap(const struct rl_wrap_key *key, const struct rl_wrap_binding *binding,
                  struct rl_span wrapped, struct rl_buf *out, struct rl_error *err);

#endif
