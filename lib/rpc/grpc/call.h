/* call: one call over gRPC core, either side. At most one batch that sends and one RECV_MESSAGE run
 * at a time; beside them, from the start, runs the one that brings the end: the status for a
 * client, the notice that all is over for a server. The call is closed when all of them have come
 * back.
 */
#ifndef RL_RPC_GRPC_CALL_H
#define RL_RPC_GRPC_CALL_H

#include "rpc/grpc/queue.h"
#include "rpc/transport.h"

struct rl_grpc_call {
    struct rl_rpc_call call; /* the shared part; first */
    struct rl_grpc_queue *queue;
    grpc_call *core;                   /* NULL: the end was told, or is going to be */
    struct rl_grpc_call *next, **link; /* among its owner's calls */
    void *owner;                       /* a client's: its link */
    /* Clients: something came back for the first time; the call is over. NULL on servers. */
    void (*answered)(struct rl_grpc_call *call);
    void (*gone)(struct rl_grpc_call *call);

    struct rl_grpc_event headers, sent, received, over;
    unsigned running; /* operations under way */
    bool is_sending, are_headers_sent, is_end_sent;
    bool is_receiving, is_peer_done, is_answered;
    bool is_over; /* `over` came */

    grpc_byte_buffer *incoming; /* where RECV_MESSAGE puts it */
    grpc_byte_buffer *held;     /* it came while the user paused */
    grpc_metadata_array initial, trailing;
    int was_cancelled;     /* a server's end */
    grpc_status_code code; /* a client's end */
    grpc_slice message;
};

void rl_grpc_call_wake(struct rl_rpc_call *call);
void rl_grpc_call_resume(struct rl_rpc_call *call);
void rl_grpc_call_cancel(struct rl_rpc_call *call);
#define RL_GRPC_CALL_OPS                                                                           \
    {                                                                                              \
        rl_grpc_call_wake, rl_grpc_call_resume, rl_grpc_call_cancel, NULL                          \
    }

/** Takes `core` over, puts the call into `list` and starts what runs beside the rest. A server
 * opens it next; both sides pump it then. */
void rl_grpc_call_begin(struct rl_grpc_call *call, struct rl_grpc_queue *queue, grpc_call *core,
                        struct rl_grpc_call **list);
/** Starts whatever can be started. May close the call: not from inside an op. */
void rl_grpc_call_pump(struct rl_grpc_call *call);
/** For the owner that goes: what runs comes back soon ... */
void rl_grpc_call_cancel_all(struct rl_grpc_call *list);
/** ... and when the queue is finished, those that waited for their user are closed. */
void rl_grpc_call_close_all(struct rl_grpc_call **list);

#endif
