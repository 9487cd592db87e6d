/* ping: what anyone may know of the cluster before trusting it: GET /v1/ping. Pure. */
#ifndef PROXY_PING_H
#define PROXY_PING_H

#include "remoteler/v1/auth.pb-c.h"
#include "status/status.h"

#include <stdint.h>

struct ping {
    const char *cluster, *public_address;
    int64_t now_ns;
};
/** The JSON text, heap; `bundle` may be NULL: no authorities are known yet. */
char *ping_text(const struct ping *ping, const Pb__TrustBundle *bundle);

#endif
