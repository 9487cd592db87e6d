/* channel: the client's side of the face; the transport connects and carries. */
#include "rpc/transport.h"

#include <stdlib.h>

#define CONNECT_TIMEOUT_MS 5000

void rl_rpc_channel_init(struct rl_rpc_channel *channel, const struct rl_rpc_channel_ops *ops,
                         const struct rl_rpc_channel_config *config)
{
    RL_ASSERT(config->loop && config->address);
    channel->ops = ops;
    channel->config = *config;
    if (channel->config.connect_timeout_ms == 0)
        channel->config.connect_timeout_ms = CONNECT_TIMEOUT_MS;
    rl_rpc_channel_set_address(channel, config->address);
    rl_rpc_grave_init(&channel->grave, config->loop);
}

void rl_rpc_channel_set_address(struct rl_rpc_channel *channel, const char *address)
{
    char *copy = rl_strdup(address);
    free(channel->address);
    channel->config.address = channel->address = copy;
}

struct rl_rpc_call *rl_rpc_call_create(struct rl_rpc_channel *channel,
                                       const ProtobufCServiceDescriptor *service,
                                       const char *method, uint32_t deadline_ms)
{
    RL_ASSERT(rl_loop_is_current(channel->config.loop));
    const ProtobufCMethodDescriptor *descriptor =
        protobuf_c_service_descriptor_get_method_by_name(service, method);
    RL_ASSERT(descriptor);
    struct rl_rpc_call *call = rl_alloc(channel->ops->call_bytes);
    call->ops = &channel->ops->call;
    call->loop = channel->config.loop;
    call->is_client = true;
    call->channel = channel;
    call->grave = &channel->grave;
    call->path = rl_sprintf("/%s/%s", service->name, method);
    call->incoming = descriptor->output;
    call->queue_end = &call->queue;
    call->message_bytes_max = RL_RPC_MESSAGE_BYTES_MAX;
    call->deadline_boot_ms = RL_RPC_NO_DEADLINE;
    atomic_init(&call->refs, 1);
    rl_rpc_call_set_deadline(call, deadline_ms ? deadline_ms : UINT64_MAX);
    return call;
}

void rl_rpc_unary(struct rl_rpc_channel *channel, const ProtobufCServiceDescriptor *service,
                  const char *method, const ProtobufCMessage *request, uint32_t deadline_ms,
                  rl_rpc_done_fn done, void *context, struct rl_rpc_call **out)
{
    struct rl_rpc_call *call = rl_rpc_call_create(channel, service, method, deadline_ms);
    call->kind = RL_RPC_UNARY;
    call->done = done;
    call->context = context;
    struct rl_rpc_message *message = NULL;
    struct rl_error err;
    if (rl_rpc_message_pack(request, call->message_bytes_max, &message, &err) == RL_OK) {
        atomic_fetch_add(&call->queued_bytes, message->n);
        rl_rpc_queue_put(call, message);
        call->is_ending = true;
        channel->ops->start(channel, call);
    } else {
        rl_rpc_call_doom(call, err.code, err.message);
    }
    if (out)
        *out = call;
}

struct rl_rpc_call *rl_rpc_stream(struct rl_rpc_channel *channel,
                                  const ProtobufCServiceDescriptor *service, const char *method,
                                  uint32_t deadline_ms, const struct rl_rpc_stream_ops *ops,
                                  void *context)
{
    RL_ASSERT(ops->message && ops->closed);
    struct rl_rpc_call *call = rl_rpc_call_create(channel, service, method, deadline_ms);
    call->kind = RL_RPC_STREAM;
    call->stream = ops;
    call->context = context;
    channel->ops->start(channel, call);
    return call;
}

void rl_rpc_channel_connect(struct rl_rpc_channel *channel)
{
    channel->ops->connect(channel);
}

bool rl_rpc_channel_is_up(const struct rl_rpc_channel *channel)
{
    return channel->ops->is_up(channel);
}

void rl_rpc_channel_probe(struct rl_rpc_channel *channel, uint32_t timeout_ms)
{
    channel->ops->probe(channel, timeout_ms);
}

void rl_rpc_channel_renew(struct rl_rpc_channel *channel, const char *address)
{
    if (address)
        rl_rpc_channel_set_address(channel, address);
    channel->ops->renew(channel, address);
}

void rl_rpc_channel_free(struct rl_rpc_channel **channel)
{
    struct rl_rpc_channel *c = *channel;
    *channel = NULL;
    if (!c)
        return;
    c->ops->release(c);
    rl_rpc_grave_fini(&c->grave);
    free(c->address);
    free(c);
}
