/* credentials: our identities in gRPC core's own TLS. The chain is verified by gRPC core with the
 * cluster's service authorities, and then once more by rl_identity_check(), as on every TLS stack:
 * a client does so within the handshake, a server when a call comes (peer.h), because a server has
 * no say in gRPC core's handshake.
 *
 * gRPC core 1.51 can not set a lowest TLS version: both ends are ours, and OpenSSL's own default
 * (TLS 1.2 on this distribution) is the floor. It never ends a connection because a certificate
 * expired; so expiry is checked at each call.
 */
#ifndef RL_RPC_GRPC_CREDENTIALS_H
#define RL_RPC_GRPC_CREDENTIALS_H

#include "tls/tls.h"

#include <grpc/grpc_security.h>

/* ---- servers: certificates and authorities can be exchanged while it runs ---- */

struct rl_grpc_server_identity;
rl_code rl_grpc_server_identity_create(struct rl_tls_identity *identity, struct rl_trust *trust,
                                       struct rl_grpc_server_identity **out, struct rl_error *err);
/** New handshakes use these. */
rl_code rl_grpc_server_identity_reload(struct rl_grpc_server_identity *server,
                                       struct rl_tls_identity *identity, struct rl_trust *trust,
                                       struct rl_error *err);
/** Owns: by grpc_server_credentials_release(); `server` outlives every grpc_server that uses it. */
grpc_server_credentials *rl_grpc_server_credentials(struct rl_grpc_server_identity *server);
void rl_grpc_server_identity_free(struct rl_grpc_server_identity **server); /* takes NULL */

/* ---- clients ---- */

/** Who answered in the last handshake; shared with gRPC core's threads. */
struct rl_grpc_verifier;
/** `now_s` is the caller's idea of time. Errors: RL_E_INVAL when the identity can not be written as
 * PEM. Owns: *out by grpc_channel_credentials_release(), *verifier by rl_grpc_verifier_unref(). */
rl_code rl_grpc_client_credentials(struct rl_tls_identity *identity, struct rl_trust *trust,
                                   const char *peer_service, int64_t now_s,
                                   grpc_channel_credentials **out,
                                   struct rl_grpc_verifier **verifier, struct rl_error *err);
/** The identity of the last good handshake if it is a newer one than was taken before, or NULL.
 * Owns: by rl_identity_unref(). */
struct rl_identity *rl_grpc_verifier_take(struct rl_grpc_verifier *verifier);
/** Why the last handshake was refused; false when it was not. */
bool rl_grpc_verifier_failure(struct rl_grpc_verifier *verifier, struct rl_error *out);
void rl_grpc_verifier_unref(struct rl_grpc_verifier **verifier); /* takes NULL */

/** Reads one certificate and checks it. For both sides. */
rl_code rl_grpc_check_peer(const struct rl_trust *trust, const char *pem, size_t n,
                           bool purpose_server, int64_t now_s, struct rl_identity **out,
                           struct rl_error *err);

#endif
