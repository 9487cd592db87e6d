/* route: where a connection goes, by what its ClientHello says. SNI decides first, ALPN within it.
 * Nothing that a client says is ever resolved: a name is held against the names that are known.
 * Pure.
 */
#ifndef PROXY_ROUTE_H
#define PROXY_ROUTE_H

#include "tls/hello.h"

#define ROUTE_CONNECT_ALPN "remoteler-connect"

enum route_kind {
    ROUTE_REFUSED,
    ROUTE_AUTH,    /* passed through, still encrypted */
    ROUTE_BROKER,  /* likewise; a named replica, or any */
    ROUTE_AUDIT,   /* likewise */
    ROUTE_CONNECT, /* ends here, with the user's certificate */
    ROUTE_WEB,     /* ends here, without one */
};

struct route {
    enum route_kind kind;
    char replica[64];   /* of a broker; "" : any */
    const char *reason; /* refused: why */
};

struct route route_of(const char *cluster, const struct rl_client_hello *hello);

#endif
