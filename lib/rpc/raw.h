/* raw: a stream's bytes as they are on the wire, for the data path: gRPC messages with their 5-byte
 * prefixes, unparsed, nothing copied that need not be. Flow control is the user's: the stream's
 * window comes back as rl_rpc_raw_consume() says that the next hop's sink took the bytes; the
 * connection's window is given back at once by the transport. nghttp2 only; loop's thread only.
 */
#ifndef RL_RPC_RAW_H
#define RL_RPC_RAW_H

#include "rpc/rpc.h"

#define RL_RPC_RAW_DEFER (-1) /* nothing now: rl_rpc_raw_wake() when there is */
#define RL_RPC_RAW_END (-2)   /* nothing more ever: client half-closes, server ends with OK */

/* To so much a stream's window may grow, with a long path (stream_window_bytes_max) or while no
 * other on its connection is busy, while its reader keeps up: what there may be between `data` and
 * rl_rpc_raw_consume(). */
#define RL_RPC_RAW_WINDOW_BYTES_MAX (4u << 20)

struct rl_rpc_raw_ops {
    /* Server: headers have come. NULL on clients. */
    void (*opened)(struct rl_rpc_call *call, void *context);
    /* Bytes arrived, borrowed; n of them are owed to rl_rpc_raw_consume(). */
    void (*data)(struct rl_rpc_call *call, const uint8_t *bytes, size_t n, void *context);
    /* The transport has room for up to `room` bytes (at least 1) at `to`. Returns how many were put
     * there, or one of the above. Never DEFER because the room is small: nothing would wake it. */
    ptrdiff_t (*produce)(struct rl_rpc_call *call, uint8_t *to, size_t room, void *context);
    void (*half_closed)(struct rl_rpc_call *call, void *context);
    /* Last; the call is gone after it. */
    void (*closed)(struct rl_rpc_call *call, rl_code code, const char *message, void *context);
};

/** On a channel; the connection must come up within the channel's time-out or `closed` says so. */
struct rl_rpc_call *rl_rpc_raw_open(struct rl_rpc_channel *channel,
                                    const ProtobufCServiceDescriptor *service, const char *method,
                                    const struct rl_rpc_raw_ops *ops, void *context);
void rl_rpc_raw_consume(struct rl_rpc_call *call, size_t n);
void rl_rpc_raw_wake(struct rl_rpc_call *call);
/** Server: ends with this status, without asking `produce` again; nothing more is delivered. For a
 * status after the last byte, call it inside the `produce` that then says RL_RPC_RAW_END. */
void rl_rpc_raw_finish(struct rl_rpc_call *call, rl_code code, const char *message);

#endif
