/* exchange: what the host key may sign, and nothing else: the hash of a key exchange that this
 * host takes part in, on this connection.
 */
#ifndef RL_SSHD_EXCHANGE_H
#define RL_SSHD_EXCHANGE_H

#include "bytes/buf.h"

#define EXCHANGE_VERSION "SSH-2.0-Remoteler"
#define EXCHANGE_COOKIE_BYTES 16
#define EXCHANGE_HASH_BYTES_MAX 64

struct exchange_expected {
    struct rl_span host_public, host_certificate; /* either may be K_S */
    struct rl_span cookie; /* of our first KEXINIT; n is 0 for a later exchange */
};

/** Checks the input of an exchange hash field by field and hashes it with the digest that the two
 * KEXINITs negotiate.
 * Errors: RL_E_DENIED: it is not what this host would hash. Source: RFC 4253, 7.1 and 8 */
rl_code rl_exchange_hash(struct rl_span input, const struct exchange_expected *expected,
                         uint8_t hash[EXCHANGE_HASH_BYTES_MAX], size_t *hash_n,
                         struct rl_error *err);

#endif
