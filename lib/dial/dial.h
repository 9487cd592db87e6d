/* dial: a connected TCP socket to HOST:PORT, without blocking: names resolved anew each time
 * (c-ares; static programs too), every address tried, a new one started after 250 ms, bounded by a
 * time-out.
 */
#ifndef RL_DIAL_H
#define RL_DIAL_H

#include "dial/http_proxy.h"
#include "loop/loop.h"

struct rl_dial;
/** On success `fd` is connected, non-blocking, close-on-exec, TCP_NODELAY, and the callee's. Else
 * fd is -1, `code` RL_E_UNAVAILABLE (refused, unreachable, no such name) or RL_E_DEADLINE
 * (silence), and `message` says which address said what. Called once, never from inside
 * rl_dial_start. */
typedef void (*rl_dial_fn)(void *context, int fd, rl_code code, const char *message);

rl_code rl_dial_start(struct rl_loop *loop, const char *address, uint32_t timeout_ms, rl_dial_fn fn,
                      void *context, struct rl_dial **out, struct rl_error *err);
/** How else an address may be reached; zeroed, it is rl_dial_start(). */
struct rl_dial_how {
    const struct rl_http_proxy *proxy; /* borrowed until the callback; NULL: none */
    const char *servers; /* whom to ask for names, "127.0.0.1:5353"; NULL: as the system says */
};
/** By way of the HTTP proxy, when it is for this address. */
rl_code rl_dial_start_by(struct rl_loop *loop, const char *address, const struct rl_dial_how *how,
                         uint32_t timeout_ms, rl_dial_fn fn, void *context, struct rl_dial **out,
                         struct rl_error *err);
/** No callback comes after it. Takes NULL; *dial is NULL once the callback ran too. */
void rl_dial_cancel(struct rl_dial **dial);
/** The same, waiting: for command lines. */
rl_code rl_dial_blocking(const char *address, uint32_t timeout_ms, int *fd, struct rl_error *err);
/** A listening socket on HOST:PORT (port 0: a free one, told in *port); SO_REUSEADDR, no REUSEPORT.
 */
rl_code rl_listen(const char *address, int *fd, uint16_t *port, struct rl_error *err);
/** Where others reach what listens on `listen`: the same with the real port; nobody can dial
 * 0.0.0.0 or [::], so for these it is this machine's host name. Owns: heap text; NULL when `listen`
 * is no HOST:PORT. */
char *rl_listen_advertised(const char *listen, uint16_t port);

#endif
