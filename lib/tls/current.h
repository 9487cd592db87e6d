/* current: what a context of ours presents and trusts now. It is swapped whole, under a lock; a
 * handshake that has begun keeps what it began with. Internal to tls.
 */
#ifndef RL_TLS_CURRENT_H
#define RL_TLS_CURRENT_H

#include "tls/tls.h"

#include <pthread.h>

/** Used by value, not copied. Any thread. */
struct rl_tls_current {
    pthread_mutex_t lock; /* of what follows, and of what its owner puts under it */
    SSL_CTX *context;
    struct rl_tls_identity *identity; /* ref; may be NULL */
    struct rl_trust *trust;           /* ref; may be NULL */
};

/** A context that presents `identity`. */
typedef rl_code (*rl_tls_context_fn)(const void *owner, const struct rl_tls_identity *identity,
                                     SSL_CTX **out, struct rl_error *err);

/** On an error it is empty, and _fini() is due all the same. */
rl_code rl_tls_current_init(struct rl_tls_current *current, const void *owner,
                            rl_tls_context_fn create, struct rl_tls_identity *identity,
                            struct rl_trust *trust, struct rl_error *err);
void rl_tls_current_fini(struct rl_tls_current *current);
/** NULL keeps what there is. On an error nothing has changed. */
rl_code rl_tls_current_swap(struct rl_tls_current *current, const void *owner,
                            rl_tls_context_fn create, struct rl_tls_identity *identity,
                            struct rl_trust *trust, struct rl_error *err);
/** A connection's SSL, and the trust that goes with it. Owns: SSL_free(), rl_trust_unref(). NULL:
 * no memory, and no trust. */
SSL *rl_tls_current_begin(struct rl_tls_current *current, struct rl_trust **trust);

#endif
