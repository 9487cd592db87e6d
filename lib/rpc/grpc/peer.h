/* peer: who calls a server, by the connection that the call came on. gRPC core tells neither when a
 * connection comes nor when it goes, so one is known from its first call on and forgotten when
 * RL_GRPC_PEERS_MAX others were used since; then it gets a new number at its next call.
 */
#ifndef RL_RPC_GRPC_PEER_H
#define RL_RPC_GRPC_PEER_H

#include "rpc/transport.h"

#include <grpc/grpc.h>

#define RL_GRPC_PEERS_MAX 256

struct rl_grpc_peer;
struct rl_grpc_peers {
    struct rl_grpc_peer *first; /* the last used */
    size_t count;
};

/** The caller's reference; an unknown one is checked. An identity that expired is refused whether
 * it was known or not. Errors: RL_E_UNAUTHENTICATED. Owns: *out by rl_rpc_remote_unref(). */
rl_code rl_grpc_peers_find(struct rl_grpc_peers *peers, grpc_call *call,
                           const struct rl_trust *trust, int64_t now_s, struct rl_rpc_remote **out,
                           struct rl_error *err);
/** HOST:PORT of whoever called; heap text. */
char *rl_grpc_peer_address(grpc_call *call);
void rl_grpc_peers_clear(struct rl_grpc_peers *peers);

#endif
