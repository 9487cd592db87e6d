/* What the files of dial share: CONNECT on a socket that leads to an HTTP proxy
 * (RFC 9110, 9.3.6; RFC 9112, 3.2.3). Not a byte is taken from what comes after the answer.
 */
#ifndef RL_DIAL_HTTP_CONNECT_H
#define RL_DIAL_HTTP_CONNECT_H

#include "dial/http_proxy.h"
#include "loop/loop.h"

#define RL_HTTP_CONNECT_ANSWER_BYTES_MAX 8192

struct rl_http_connect;
/** RL_OK: the socket leads to the target now. Else RL_E_UNAVAILABLE, and what the proxy said. */
typedef void (*rl_http_connect_fn)(void *context, rl_code code, const char *message);

/** `fd`, connected to the proxy, stays the caller's; `target` is HOST:PORT. The callback comes
 * once, later; rl_http_connect_stop() is needed after it too, and may be called from it. */
struct rl_http_connect *rl_http_connect_start(struct rl_loop *loop, int fd, const char *target,
                                              const struct rl_http_proxy *proxy,
                                              rl_http_connect_fn fn, void *context);
void rl_http_connect_stop(struct rl_http_connect **connect); /* takes NULL */

#endif
