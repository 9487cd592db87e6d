/* certificate: the web's own certificate and key, from files that something else renews. They are
 * looked at once a minute; a pair that can not be used leaves the one before it in place.
 */
#ifndef PROXY_CERTIFICATE_H
#define PROXY_CERTIFICATE_H

#include "loop/loop.h"
#include "tls/tls.h"

#define CERTIFICATE_LOOK_MS 60000
#define CERTIFICATE_BYTES_MAX 262144 /* of either file */

struct certificate;
/** `changed` comes after a new pair was read; rl_log has said so. Errors: RL_E_INVAL only one of
 * the two is set, or they can not be used. With neither *out is NULL. */
rl_code certificate_open(struct rl_loop *loop, const char *certificate_path, const char *key_path,
                         void (*changed)(void *context), void *context, struct certificate **out,
                         struct rl_error *err);
void certificate_close(struct certificate **certificate);
/** Borrowed until `changed`; NULL when there is none. */
struct rl_tls_identity *certificate_identity(const struct certificate *certificate);

#endif
