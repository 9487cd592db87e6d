#include "tunnel_rpc/tunnel_rpc.h"

_Static_assert(RL_TUNNEL_DEFER == RL_RPC_RAW_DEFER && RL_TUNNEL_END == RL_RPC_RAW_END,
               "the two layers say the same by the same numbers");

static void consume(void *stream, size_t n)
{
    rl_rpc_raw_consume(stream, n);
}

static void wake(void *stream)
{
    rl_rpc_raw_wake(stream);
}

static void cancel(void *stream)
{
    rl_rpc_cancel(stream);
}

static const struct rl_tunnel_transport transport = {consume, wake, cancel};

void rl_tunnel_rpc_data(struct rl_rpc_call *call, const uint8_t *bytes, size_t n, void *context)
{
    (void)context;
    struct rl_tunnel_end *end = rl_rpc_data(call);
    if (end)
        rl_tunnel_end_data(end, bytes, n);
    else
        rl_rpc_raw_consume(call, n);
}

ptrdiff_t rl_tunnel_rpc_produce(struct rl_rpc_call *call, uint8_t *to, size_t room, void *context)
{
    (void)context;
    struct rl_tunnel_end *end = rl_rpc_data(call);
    return end ? rl_tunnel_end_produce(end, to, room) : RL_RPC_RAW_DEFER;
}

void rl_tunnel_rpc_half_closed(struct rl_rpc_call *call, void *context)
{
    (void)context;
    struct rl_tunnel_end *end = rl_rpc_data(call);
    if (end)
        rl_tunnel_end_half_closed(end);
}

void rl_tunnel_rpc_closed(struct rl_rpc_call *call, rl_code code, const char *message,
                          void *context)
{
    (void)context;
    struct rl_tunnel_end *end = rl_rpc_data(call);
    rl_rpc_set_data(call, NULL);
    if (end)
        rl_tunnel_end_closed(end, code, message);
}

static const struct rl_rpc_raw_ops client_ops = {
    .data = rl_tunnel_rpc_data,
    .produce = rl_tunnel_rpc_produce,
    .half_closed = rl_tunnel_rpc_half_closed,
    .closed = rl_tunnel_rpc_closed,
};

rl_code rl_tunnel_rpc_open(struct rl_rpc_channel *channel,
                           const ProtobufCServiceDescriptor *service, const char *method,
                           const struct rl_tunnel_end_config *config, const Pb__Frame *first,
                           struct rl_tunnel_end **out, struct rl_error *err)
{
    struct rl_tunnel_end_config with_transport = *config;
    with_transport.transport = &transport;
    struct rl_tunnel_end *end = NULL;
    rl_code rc = rl_tunnel_end_create(&with_transport, first, &end, err);
    if (rc != RL_OK)
        return rc;
    struct rl_rpc_call *call = rl_rpc_raw_open(channel, service, method, &client_ops, NULL);
    rl_rpc_set_data(call, end);
    rl_tunnel_end_start(end, call);
    *out = end;
    return RL_OK;
}

rl_code rl_tunnel_rpc_resume(struct rl_rpc_channel *channel,
                             const ProtobufCServiceDescriptor *service, const char *method,
                             struct rl_tunnel_end *end, const Pb__Frame *first,
                             struct rl_error *err)
{
    if (!rl_tunnel_end_is_resumable(end))
        return rl_fail(err, RL_E_PRECONDITION, "it is ending");
    struct rl_rpc_call *old = rl_tunnel_end_stream(end);
    if (old) { /* the far end knows before us that it is dead */
        rl_rpc_set_data(old, NULL);
        rl_rpc_cancel(old);
        rl_tunnel_end_closed(end, RL_E_UNAVAILABLE, "another stream takes over");
    }
    rl_code rc = rl_tunnel_end_resume(end, first, err);
    if (rc != RL_OK)
        return rc;
    struct rl_rpc_call *call = rl_rpc_raw_open(channel, service, method, &client_ops, NULL);
    rl_rpc_set_data(call, end);
    rl_tunnel_end_start(end, call);
    return RL_OK;
}

rl_code rl_tunnel_rpc_answer(struct rl_rpc_call *call, const struct rl_tunnel_end_config *config,
                             struct rl_tunnel_end **out, struct rl_error *err)
{
    struct rl_tunnel_end_config with_transport = *config;
    with_transport.transport = &transport;
    struct rl_tunnel_end *end = NULL;
    rl_code rc = rl_tunnel_end_create(&with_transport, NULL, &end, err);
    if (rc != RL_OK)
        return rc;
    rl_rpc_set_data(call, end);
    rl_tunnel_end_start(end, call);
    *out = end;
    return RL_OK;
}
