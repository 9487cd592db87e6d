/* own: puts one's own certificate into a context. Internal to tls.
 */
#ifndef RL_TLS_OWN_H
#define RL_TLS_OWN_H

#include "tls/tls.h"

bool rl_tls_identity_use(const struct rl_tls_identity *identity, SSL_CTX *context);

#endif
