/* resolve: HOST to addresses, asked anew each time (c-ares on the loop, so
 * that static programs can do it too). An address that is written out needs no asking.
 */
#ifndef RL_DIAL_RESOLVE_H
#define RL_DIAL_RESOLVE_H

#include "dial/dial.h"

#include <sys/socket.h>

#define RL_RESOLVE_ADDRESSES_MAX 16
/* "[", the longest IPv6 address with a zone, "]:65535", NUL */
#define RL_RESOLVE_TEXT_BYTES 96

struct rl_endpoint {
    struct sockaddr_storage address;
    socklen_t bytes;
};

/** "10.0.0.1:443", "[fe80::1]:443". */
void rl_endpoint_format(const struct rl_endpoint *endpoint, char text[RL_RESOLVE_TEXT_BYTES]);
/** An address that is written out, no name. */
bool rl_endpoint_parse(const char *host, uint16_t port, struct rl_endpoint *out);

struct rl_resolve;
/** `count` is 0 when it failed, and `message` says why. The endpoints are borrowed for the call.
 * The order is that of RFC 6724 with the families taking turns (RFC 8305, 4). */
typedef void (*rl_resolve_fn)(void *context, const struct rl_endpoint *endpoints, size_t count,
                              const char *message);

/** `servers`: whom to ask, "127.0.0.1:5353"; NULL: as the system's files say. Has no time-out of
 * its own below a minute. The callback comes once, later; rl_resolve_stop() is needed after it too,
 * and may be called from it. */
rl_code rl_resolve_start(struct rl_loop *loop, const char *host, uint16_t port, const char *servers,
                         rl_resolve_fn fn, void *context, struct rl_resolve **out,
                         struct rl_error *err);
void rl_resolve_stop(struct rl_resolve **resolve); /* takes NULL */

/** The same, waiting: how many of at most RL_RESOLVE_ADDRESSES_MAX; 0 when there are none. */
size_t rl_resolve_blocking(const char *host, uint16_t port,
                           struct rl_endpoint out[RL_RESOLVE_ADDRESSES_MAX]);

#endif
