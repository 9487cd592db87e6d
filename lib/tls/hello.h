/* hello: what a ClientHello says before anyone answers it. Pure; bounded; fuzzed. */
#ifndef RL_TLS_HELLO_H
#define RL_TLS_HELLO_H

#include "bytes/buf.h"

#define RL_HELLO_BYTES_MAX 16384
#define RL_HELLO_SNI_BYTES_MAX 256
#define RL_HELLO_ALPN_MAX 16

struct rl_client_hello {
    char sni[RL_HELLO_SNI_BYTES_MAX]; /* lower case; "" when there is none */
    char alpn[RL_HELLO_ALPN_MAX][32];
    size_t alpn_count;
    uint8_t random[32];
};

enum rl_hello_result { RL_HELLO_WHOLE, RL_HELLO_MORE /* read on */, RL_HELLO_BAD };
/** `bytes` from the first of the connection on; may span TLS records. Source: RFC 8446 4.1.2, 5.1;
 * RFC 6066 3; RFC 7301. */
enum rl_hello_result rl_client_hello_parse(struct rl_span bytes, struct rl_client_hello *out,
                                           struct rl_error *err);

#endif
