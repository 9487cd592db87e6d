/* request: the first message of remoteler-connect, as whoever has a certificate may send it. Pure.
 * Source: docs/protocols/connect.md.
 */
#ifndef PROXY_REQUEST_H
#define PROXY_REQUEST_H

#include "bytes/buf.h"
#include "remoteler/v1/tunnel.pb-c.h"

#define REQUEST_LENGTH_BYTES 4

/** How many bytes of the request are still to come after these; 0: it is whole. SIZE_MAX: it is
 * longer than one may be. */
size_t request_missing(struct rl_span bytes);
/** A whole one, with its length before it. Owns: by pb__connect_request__free_unpacked(). NULL: it
 * can not be read. */
Pb__ConnectRequest *request_read(struct rl_span bytes);
/** It names another cluster than the proxy's own. */
bool request_is_for_leaf(const Pb__ConnectRequest *request, const char *cluster);
/** Does it ask this cluster's proxy for what is served? Whether there is another cluster of the
 * name auth knows. Errors: RL_E_UNIMPLEMENTED, RL_E_INVAL in words for the user. */
rl_code request_check(const Pb__ConnectRequest *request, const char *cluster, struct rl_error *err);

#endif
