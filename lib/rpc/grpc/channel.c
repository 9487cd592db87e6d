/* channel: the client's side over gRPC core, which connects, reconnects and backs off by itself. */
#include "clock/clock.h"
#include "rpc/grpc/call.h"
#include "rpc/grpc/link.h"

#include <grpc/support/time.h>
#include <stdlib.h>

struct rl_grpc_channel {
    struct rl_rpc_channel channel; /* the shared part; first */
    struct rl_grpc_queue *queue;
    struct rl_tls_identity *identity;
    struct rl_trust *trust;
    char *peer_service;
    struct rl_grpc_link *link;    /* for new calls */
    struct rl_grpc_link *retired; /* their calls go on */
    struct rl_grpc_call *calls;
};

static struct rl_grpc_channel *of_shared(struct rl_rpc_channel *channel)
{
    return (struct rl_grpc_channel *)(void *)channel;
}

static int64_t now_s(const struct rl_grpc_channel *ch)
{
    const struct rl_rpc_channel_config *config = &ch->channel.config;
    return config->now_s ? config->now_s(config->now_context) : rl_clock_wall_s();
}

/* ---- the connection's state ---- */

/* Waiting does not help against somebody else who answers: the calls that wait hear of it now. */
static void refuse_waiting_calls(struct rl_grpc_channel *ch, struct rl_grpc_link *link,
                                 const struct rl_error *why)
{
    for (struct rl_grpc_call *c = ch->calls; c; c = c->next)
        if (c->owner == link && !c->is_answered)
            grpc_call_cancel_with_status(c->core, (grpc_status_code)why->code, why->message, NULL);
}

static void tell_down(struct rl_grpc_channel *ch, struct rl_grpc_link *link, bool was_up)
{
    const struct rl_rpc_channel_config *config = &ch->channel.config;
    struct rl_error why;
    if (was_up) {
        rl_fail(&why, RL_E_UNAVAILABLE, "the connection to %s was lost", link->address);
    } else if (rl_grpc_verifier_failure(link->verifier, &why)) {
        rl_error_prefix(&why, "connecting to %s", link->address);
        refuse_waiting_calls(ch, link, &why);
    } else {
        rl_fail(&why, RL_E_UNAVAILABLE,
                "%s does not answer, or one side refused the other's certificate", link->address);
    }
    if (config->down)
        config->down(config->context, why.code, why.message);
}

static void on_state(struct rl_grpc_link *link, grpc_connectivity_state before, void *context)
{
    struct rl_grpc_channel *ch = context;
    const struct rl_rpc_channel_config *config = &ch->channel.config;
    if (link != ch->link)
        return;
    if (link->state == GRPC_CHANNEL_IDLE && config->stay_connected)
        grpc_channel_check_connectivity_state(link->core, 1);
    if (link->state == GRPC_CHANNEL_READY) {
        rl_grpc_link_refresh(link);
        if (config->up && link->remote)
            config->up(config->context, &link->remote->peer);
    } else if (before == GRPC_CHANNEL_READY || link->state == GRPC_CHANNEL_TRANSIENT_FAILURE) {
        tell_down(ch, link, before == GRPC_CHANNEL_READY);
    }
}

static void free_if_done(struct rl_grpc_channel *ch, struct rl_grpc_link *link)
{
    if (link == ch->link || link->calls > 0)
        return;
    struct rl_grpc_link **at = &ch->retired;
    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
    rl_grpc_link_free(&link);
}

static rl_code connect_anew(struct rl_grpc_channel *ch, struct rl_error *err)
{
    struct rl_grpc_link *fresh, *old = ch->link;
    rl_code rc =
        rl_grpc_link_create(&ch->channel.config, ch->queue, now_s(ch), on_state, ch, &fresh, err);
    if (rc != RL_OK)
        return rc;
    ch->link = fresh;
    if (old) {
        old->next = ch->retired;
        ch->retired = old;
        free_if_done(ch, old);
    }
    if (ch->channel.config.stay_connected)
        grpc_channel_check_connectivity_state(fresh->core, 1);
    return RL_OK;
}

/* ---- calls ---- */

static void on_answered(struct rl_grpc_call *call)
{
    struct rl_grpc_link *link = call->owner;
    rl_grpc_link_refresh(link);
    if (link->remote)
        rl_rpc_call_connected(&call->call, link->remote);
}

static void on_gone(struct rl_grpc_call *call)
{
    struct rl_grpc_link *link = call->owner;
    link->calls--;
    free_if_done(link->context, link);
}

static gpr_timespec deadline_of(const struct rl_rpc_call *call)
{
    int64_t left_ms = rl_rpc_remaining_ms(call);
    if (left_ms == INT64_MAX)
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(left_ms, GPR_TIMESPAN));
}

static void start(struct rl_rpc_channel *channel, struct rl_rpc_call *call)
{
    struct rl_grpc_channel *ch = of_shared(channel);
    struct rl_grpc_call *c = (struct rl_grpc_call *)(void *)call;
    struct rl_error err;
    /* gRPC core lets a connection outlive its certificate; this does not. */
    bool is_expired = ch->link->remote && now_s(ch) > ch->link->remote->peer.identity->not_after_s;
    if (is_expired && connect_anew(ch, &err) != RL_OK) {
        rl_rpc_call_doom(call, err.code, err.message);
        return;
    }
    grpc_slice path = grpc_slice_from_copied_string(call->path);
    grpc_call *core = grpc_channel_create_call(ch->link->core, NULL, GRPC_PROPAGATE_DEFAULTS,
                                               rl_grpc_queue_core(ch->queue), path, NULL,
                                               deadline_of(call), NULL);
    grpc_slice_unref(path);
    c->owner = ch->link;
    c->answered = on_answered;
    c->gone = on_gone;
    ch->link->calls++;
    rl_grpc_call_begin(c, ch->queue, core, &ch->calls);
    rl_grpc_call_pump(c);
}

/* ---- the face ---- */

static void connect_now(struct rl_rpc_channel *channel)
{
    grpc_channel_check_connectivity_state(of_shared(channel)->link->core, 1);
}

static bool is_up(const struct rl_rpc_channel *channel)
{
    const struct rl_grpc_channel *ch = (const struct rl_grpc_channel *)(const void *)channel;
    return ch->link->state == GRPC_CHANNEL_READY;
}

/* gRPC core has no PING to be asked for: a dead connection is found by the keepalive. What can be
 * done is not to wait for the next attempt. */
static void probe(struct rl_rpc_channel *channel, uint32_t timeout_ms)
{
    (void)timeout_ms;
    grpc_channel_reset_connect_backoff(of_shared(channel)->link->core);
    connect_now(channel);
}

static void renew(struct rl_rpc_channel *channel, const char *address)
{
    (void)address; /* the shared part has it */
    /* Fails only for an identity that was good enough before; the old link serves on then. */
    connect_anew(of_shared(channel), NULL);
}

static void set_identity(struct rl_grpc_channel *ch, struct rl_tls_identity *identity,
                         struct rl_trust *trust)
{
    struct rl_tls_identity *old_identity = ch->identity;
    struct rl_trust *old_trust = ch->trust;
    ch->channel.config.identity = ch->identity = rl_tls_identity_ref(identity);
    ch->channel.config.trust = ch->trust = rl_trust_ref(trust);
    rl_tls_identity_unref(&old_identity);
    rl_trust_unref(&old_trust);
}

rl_code rl_rpc_channel_reload_grpc(struct rl_rpc_channel *channel, struct rl_tls_identity *identity,
                                   struct rl_trust *trust, struct rl_error *err)
{
    struct rl_grpc_channel *ch = of_shared(channel);
    if (identity == ch->identity && trust == ch->trust)
        return RL_OK; /* something else was renewed */
    set_identity(ch, identity, trust);
    return connect_anew(ch, err);
}

static void release(struct rl_rpc_channel *channel)
{
    struct rl_grpc_channel *ch = of_shared(channel);
    rl_grpc_queue_set_closed(ch->queue);
    rl_grpc_call_cancel_all(ch->calls);
    rl_grpc_link_close(ch->link);
    for (struct rl_grpc_link *link = ch->retired; link; link = link->next)
        rl_grpc_link_close(link);
    rl_grpc_queue_finish(ch->queue);
    rl_grpc_call_close_all(&ch->calls); /* with the last call goes its retired link */
    rl_grpc_link_free(&ch->link);
    rl_grpc_queue_free(&ch->queue);
    rl_tls_identity_unref(&ch->identity);
    rl_trust_unref(&ch->trust);
    free(ch->peer_service);
}

rl_code rl_rpc_channel_create_grpc(const struct rl_rpc_channel_config *config,
                                   struct rl_rpc_channel **out, struct rl_error *err)
{
    static const struct rl_rpc_channel_ops ops = {
        .call = RL_GRPC_CALL_OPS,
        .call_bytes = sizeof(struct rl_grpc_call),
        .start = start,
        .connect = connect_now,
        .is_up = is_up,
        .probe = probe,
        .renew = renew,
        .release = release,
    };
    RL_ASSERT(config->identity && config->trust && config->peer_service);
    struct rl_grpc_queue *queue;
    rl_code rc = rl_grpc_queue_create(config->loop, &queue, err);
    if (rc != RL_OK)
        return rc;
    struct rl_grpc_channel *ch = rl_alloc(sizeof *ch);
    rl_rpc_channel_init(&ch->channel, &ops, config);
    ch->queue = queue;
    ch->peer_service = rl_strdup(config->peer_service);
    ch->channel.config.peer_service = ch->peer_service;
    set_identity(ch, config->identity, config->trust);
    struct rl_rpc_channel *channel = &ch->channel;
    rc = connect_anew(ch, err);
    if (rc == RL_OK)
        *out = channel;
    else
        rl_rpc_channel_free(&channel);
    return rc;
}
