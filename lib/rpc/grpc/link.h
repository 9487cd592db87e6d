/* link: one gRPC channel, with who answered on it. A channel of ours (channel.c) has one at a time;
 * after a renewal the old one lives until its last call is over.
 */
#ifndef RL_RPC_GRPC_LINK_H
#define RL_RPC_GRPC_LINK_H

#include "rpc/grpc/credentials.h"
#include "rpc/grpc/queue.h"
#include "rpc/transport.h"

struct rl_grpc_link;
/** The connection's state is another than `before`. Last thing that happens: may free the link. */
typedef void (*rl_grpc_link_fn)(struct rl_grpc_link *link, grpc_connectivity_state before,
                                void *context);

struct rl_grpc_link {
    struct rl_grpc_event changed;
    struct rl_grpc_queue *queue;
    grpc_channel *core; /* NULL: closed */
    struct rl_grpc_verifier *verifier;
    char *address;
    struct rl_rpc_remote *remote; /* who answered last; NULL: nobody yet */
    grpc_connectivity_state state;
    bool is_watching; /* `changed` is still to come */
    bool is_orphan;   /* and frees it */
    size_t calls;     /* the owner's count */
    rl_grpc_link_fn fn;
    void *context;
    struct rl_grpc_link *next; /* the owner's */
};

rl_code rl_grpc_link_create(const struct rl_rpc_channel_config *config, struct rl_grpc_queue *queue,
                            int64_t now_s, rl_grpc_link_fn fn, void *context,
                            struct rl_grpc_link **out, struct rl_error *err);
/** Notices a new connection's identity. */
void rl_grpc_link_refresh(struct rl_grpc_link *link);
/** No callback comes after it; its calls are over or cancelled. Takes NULL. */
void rl_grpc_link_close(struct rl_grpc_link *link);
/** After its last call. Takes NULL. */
void rl_grpc_link_free(struct rl_grpc_link **link);

#endif
