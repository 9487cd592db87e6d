/* inner: a byte stream to a leaf's auth or audit, through the proxy and the clusters' brokers, as a
 * socket: TLS inside of it ends in the leaf, and nobody on the way reads it.
 */
#ifndef TSH_INNER_H
#define TSH_INNER_H

#include "profile.h"

struct tsh_inner;
/** `kind`: "auth" or "audit". *fd: connected, non-blocking, the caller's. What goes through it is
 * carried by a thread, until tsh_inner_close(). Errors: the proxy's own words. */
rl_code tsh_inner_open(const struct tsh_profile *profile, const char *cluster, const char *kind,
                       struct tsh_inner **out, int *fd, struct rl_error *err);
/** Ends it. Takes NULL. */
void tsh_inner_close(struct tsh_inner **inner);

#endif
