/* queue: gRPC core's completion queue, the one thread that waits on it, and the way from there to
 * the loop. Everything else in this folder runs on the loop's thread.
 */
#ifndef RL_RPC_GRPC_QUEUE_H
#define RL_RPC_GRPC_QUEUE_H

#include "loop/loop.h"

#include <grpc/grpc.h>

/** The tag of one running operation: embedded in what the operation belongs to, which lives until
 * `fn` ran. */
struct rl_grpc_event {
    void (*fn)(struct rl_grpc_event *event, bool ok);
    bool ok;
    struct rl_grpc_event *next;
};

struct rl_grpc_queue;
/** Starts gRPC core too, if this is its first user. Errors: RL_E_EXHAUSTED no thread to be had. */
rl_code rl_grpc_queue_create(struct rl_loop *loop, struct rl_grpc_queue **out,
                             struct rl_error *err);
grpc_completion_queue *rl_grpc_queue_core(struct rl_grpc_queue *queue);
/** No operation may be started any more. */
bool rl_grpc_queue_is_closed(const struct rl_grpc_queue *queue);
void rl_grpc_queue_set_closed(struct rl_grpc_queue *queue);
/** Runs what is still to come and ends the thread. The caller has cancelled everything, so that it
 * comes. Closed from then on. */
void rl_grpc_queue_finish(struct rl_grpc_queue *queue);
/** After rl_grpc_queue_finish(), and after what used the queue was destroyed. Takes NULL. */
void rl_grpc_queue_free(struct rl_grpc_queue **queue);

#endif
