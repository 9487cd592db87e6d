/* http_proxy: what HTTPS_PROXY and NO_PROXY say: which connections go by way of an HTTP proxy, and
 * through which. The proxy sees host, port and bytes that are TLS already.
 */
#ifndef RL_DIAL_HTTP_PROXY_H
#define RL_DIAL_HTTP_PROXY_H

#include "status/status.h"

#include <stdint.h>

#define RL_HTTP_PROXY_EXCEPTIONS_MAX 64
#define RL_HTTP_PROXY_USER_BYTES_MAX 512 /* "user:password" */

struct rl_http_proxy;
/** `url`: "http://[USER:PASSWORD@]HOST[:PORT][/]", or HOST:PORT alone; 80 where no port is said.
 * `except`, may be NULL: names and addresses to be dialled without it, as in NO_PROXY: "*",
 * "example.com" (and what is below it), ".example.com", "10.0.0.7", "10.0.0.0/8", "[fe80::]/10",
 * each with ":PORT" at will, between commas. Errors: RL_E_INVAL; the message holds no password. */
rl_code rl_http_proxy_create(const char *url, const char *except, struct rl_http_proxy **out,
                             struct rl_error *err);
void rl_http_proxy_free(struct rl_http_proxy **proxy); /* takes NULL */
/** Does it go by way of the proxy? NULL is no proxy. */
bool rl_http_proxy_is_for(const struct rl_http_proxy *proxy, const char *host, uint16_t port);
/** HOST:PORT; borrowed. */
const char *rl_http_proxy_address(const struct rl_http_proxy *proxy);
/** "Basic ...", or NULL; a secret; borrowed. */
const char *rl_http_proxy_authorization(const struct rl_http_proxy *proxy);

#endif
