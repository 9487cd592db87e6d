/* totp: the code of this moment, where tsh itself was given the secret to keep. RFC 6238, by
 * liboath. */
#ifndef TSH_TOTP_H
#define TSH_TOTP_H

#include "bytes/buf.h"

rl_code tsh_totp_now(struct rl_span secret, char **code, struct rl_error *err);

#endif
