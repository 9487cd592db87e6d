/* encoding: bytes as text and back (RFC 4648), strict: one spelling for each value, no white space.
 */
#ifndef RL_BYTES_ENCODING_H
#define RL_BYTES_ENCODING_H

#include "bytes/buf.h"

/** Each returns heap text that the caller frees. */
char *rl_hex_encode(struct rl_span s);       /* lower case */
char *rl_base64_encode(struct rl_span s);    /* with padding */
char *rl_base32_encode(struct rl_span s);    /* upper case, no padding */
char *rl_base64url_encode(struct rl_span s); /* no padding */

/** Each appends to `out`. Errors: RL_E_INVAL, with nothing appended. */
rl_code rl_hex_decode(const char *text, struct rl_buf *out, struct rl_error *err);
rl_code rl_base64_decode(const char *text, struct rl_buf *out, struct rl_error *err);
rl_code rl_base64url_decode(const char *text, struct rl_buf *out, struct rl_error *err);
/** Takes either case and spaces between groups: people type it. */
rl_code rl_base32_decode(const char *text, struct rl_buf *out, struct rl_error *err);

#endif
