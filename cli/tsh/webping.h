/* webping: GET /v1/ping of a proxy whose web certificate this system trusts: it names the cluster's
 * authority, so that nobody has to compare a pin by eye.
 */
#ifndef TSH_WEBPING_H
#define TSH_WEBPING_H

#include "status/status.h"

/** The pin that the proxy names, over a certificate that the system's authorities signed for its
 * host name. Errors: RL_E_UNAUTHENTICATED not trusted; RL_E_UNAVAILABLE no answer. Heap text. */
rl_code tsh_webping_pin(const char *proxy, char **pin, struct rl_error *err);
/** The pin of whoever answers: to be shown, never to be believed. */
rl_code tsh_webping_unverified_pin(const char *proxy, char **pin, struct rl_error *err);
/** The pin in a whole HTTP answer, head and all. Errors: RL_E_UNAVAILABLE. Heap text. */
rl_code tsh_webping_read(const char *answer, char **pin, struct rl_error *err);

#endif
