/* ticket: the keys of session tickets, shared by the replicas of a service. Internal to tls.
 */
#ifndef RL_TLS_TICKET_H
#define RL_TLS_TICKET_H

#include "tls/tls.h"

#define RL_TLS_TICKET_KEYS_MAX 8
#define RL_TLS_TICKET_KEY_BYTES 80

struct rl_tls_ticket_keys {
    uint8_t keys[RL_TLS_TICKET_KEYS_MAX][RL_TLS_TICKET_KEY_BYTES]; /* newest first */
    size_t count;
};

/** `from` are the service's; the route's own are derived from them, so that a ticket of one route
 * is nothing but noise at another. */
rl_code rl_tls_ticket_keys_set(struct rl_tls_ticket_keys *keys, const char *route,
                               const struct rl_span *from, size_t count, struct rl_error *err);
/** The body of OpenSSL's callback: 1 go on, 2 go on and renew, 0 no such key, -1 failure. */
int rl_tls_ticket_use(const struct rl_tls_ticket_keys *keys, uint8_t name[16], uint8_t *iv,
                      EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, bool is_new);

#endif
