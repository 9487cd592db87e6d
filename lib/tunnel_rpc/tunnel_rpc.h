/* tunnel_rpc: an end of a tunnel on a raw stream of lib/rpc. lib/tunnel knows no transport, lib/rpc
 * no frames; this joins them.
 */
#ifndef RL_TUNNEL_RPC_H
#define RL_TUNNEL_RPC_H

#include "rpc/raw.h"
#include "tunnel/end.h"

/** Opens a stream of the method (Dial or Carry) and starts an end on it. config->transport is set
 * here. Owns: the end frees itself after `closed`. Errors as rl_tunnel_end_create(). */
rl_code rl_tunnel_rpc_open(struct rl_rpc_channel *channel,
                           const ProtobufCServiceDescriptor *service, const char *method,
                           const struct rl_tunnel_end_config *config, const Pb__Frame *first,
                           struct rl_tunnel_end **out, struct rl_error *err);
/** A resumable end goes on upon a new stream of the method; one that it still has is cut. Not from
 * inside its callbacks. Errors: as rl_tunnel_end_resume(), the end stays parked; RL_E_PRECONDITION:
 * it can not be resumed, or something has ended it. */
rl_code rl_tunnel_rpc_resume(struct rl_rpc_channel *channel,
                             const ProtobufCServiceDescriptor *service, const char *method,
                             struct rl_tunnel_end *end, const Pb__Frame *first,
                             struct rl_error *err);
/** In a server's raw `opened`: starts an end that answers on this call. On error the call is the
 * caller's to finish. */
rl_code rl_tunnel_rpc_answer(struct rl_rpc_call *call, const struct rl_tunnel_end_config *config,
                             struct rl_tunnel_end **out, struct rl_error *err);

/** The rest of a server's rl_rpc_raw_ops. */
void rl_tunnel_rpc_data(struct rl_rpc_call *call, const uint8_t *bytes, size_t n, void *context);
ptrdiff_t rl_tunnel_rpc_produce(struct rl_rpc_call *call, uint8_t *to, size_t room, void *context);
void rl_tunnel_rpc_half_closed(struct rl_rpc_call *call, void *context);
void rl_tunnel_rpc_closed(struct rl_rpc_call *call, rl_code code, const char *message,
                          void *context);

#endif
