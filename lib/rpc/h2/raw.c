/* raw: the data path's way into a stream, past messages and queues. */
#include "rpc/h2/h2.h"

struct rl_rpc_call *rl_rpc_raw_open(struct rl_rpc_channel *channel,
                                    const ProtobufCServiceDescriptor *service, const char *method,
                                    const struct rl_rpc_raw_ops *ops, void *context)
{
    RL_ASSERT(channel->ops->call.wake == rl_h2_stream_wake && ops->data && ops->produce &&
              ops->closed);
    struct rl_rpc_call *call = rl_rpc_call_create(channel, service, method, 0);
    call->kind = RL_RPC_RAW;
    call->raw = ops;
    call->context = context;
    channel->ops->start(channel, call);
    return call;
}

void rl_rpc_raw_consume(struct rl_rpc_call *call, size_t n)
{
    RL_ASSERT(call->kind == RL_RPC_RAW);
    if (!atomic_load(&call->is_over))
        rl_h2_stream_consume(rl_h2_stream_of(call), n);
}

void rl_rpc_raw_wake(struct rl_rpc_call *call)
{
    RL_ASSERT(call->kind == RL_RPC_RAW);
    if (!atomic_load(&call->is_over) && !call->is_closing)
        call->ops->wake(call);
}

void rl_rpc_raw_finish(struct rl_rpc_call *call, rl_code code, const char *message)
{
    RL_ASSERT(call->kind == RL_RPC_RAW && !call->is_client);
    rl_rpc_call_end(call, code, message);
}
