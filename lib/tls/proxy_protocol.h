/* proxy_protocol: PROXY v2 with the proxy's signature in a TLV, so that only our proxies are
 * believed about a client's address. The signature covers addresses, time and the random of the
 * ClientHello that follows: a header can not be moved to another connection. Pure; fuzzed.
 * Source: HAProxy's proxy-protocol.txt 2.2; TLV type 0xE4, docs/protocols/proxy-v2.md.
 */
#ifndef RL_TLS_PROXY_PROTOCOL_H
#define RL_TLS_PROXY_PROTOCOL_H

#include "identity/identity.h"

#include <sys/socket.h>

#define RL_PROXY_HEADER_BYTES_MAX 4096
#define RL_PROXY_AGE_S_MAX 60

struct rl_proxy_header {
    struct sockaddr_storage source, destination;
    bool is_local;                /* the proxy's own health check: no addresses */
    size_t bytes;                 /* of the header: the TLS bytes start there */
    struct rl_span signature_tlv; /* borrowed; n 0 when there is none */
};

enum rl_proxy_result { RL_PROXY_WHOLE, RL_PROXY_MORE, RL_PROXY_BAD };
enum rl_proxy_result rl_proxy_header_parse(struct rl_span bytes, struct rl_proxy_header *out,
                                           struct rl_error *err);
/** Certificates that a trust has vouched for, of a few proxies: each comes with every connection,
 * and to read and check it anew costs more than all the rest of a header. Zeroed at first. */
#define RL_PROXY_SIGNERS_MAX 8
struct rl_proxy_signers {
    struct rl_trust *trust; /* ref; by another they are forgotten */
    struct rl_proxy_signer {
        X509 *certificate; /* NULL: free */
        struct rl_identity *identity;
        struct rl_buf der;
    } list[RL_PROXY_SIGNERS_MAX];
    size_t next;
};
void rl_proxy_signers_fini(struct rl_proxy_signers *signers);
/** Is it signed by one of this cluster's proxies (or brokers: for who comes from a root), fresh,
 * and for this ClientHello? `known`: those that were seen before; NULL: none is kept. `signer`: by
 * which (rl_identity_unref()); NULL: nobody asks. */
rl_code rl_proxy_header_verify(const struct rl_proxy_header *header, struct rl_trust *trust,
                               const uint8_t hello_random[32], int64_t now_s,
                               struct rl_proxy_signers *known, struct rl_identity **signer,
                               struct rl_error *err);
/** `key` and `certificate` are the proxy's; addresses of one family each, `source` NULL: local.
 * Appends to `out`. Errors: RL_E_EXHAUSTED longer than RL_PROXY_HEADER_BYTES_MAX. */
rl_code rl_proxy_header_write(const struct sockaddr *source, const struct sockaddr *destination,
                              const uint8_t hello_random[32], int64_t now_s, EVP_PKEY *key,
                              X509 *certificate, struct rl_buf *out, struct rl_error *err);

#endif
