/* events: what waits for audit, and the channel to it. */
#include "record/events.h"

#include "clock/clock.h"
#include "journal/outbox.h"
#include "log/log.h"

#include <stdlib.h>
#include <string.h>

struct rl_auth_events {
    struct rl_loop *loop;
    struct rl_outbox *outbox;
    struct rl_event_sender *sender; /* once audit is known */
    struct rl_rpc_channel *channel;
    char *address;
};

static void on_trouble(void *context, const char *message)
{
    (void)context;
    rl_log_error("events would not survive this process", RL_TEXT("reason", message));
}

struct rl_auth_events *rl_auth_events_create(struct rl_loop *loop, const char *journal)
{
    struct rl_auth_events *events = rl_alloc(sizeof *events);
    const struct rl_outbox_config config = {.loop = loop, .path = journal, .trouble = on_trouble};
    events->loop = loop;
    events->outbox = rl_outbox_open(&config);
    return events;
}

Pb__Event *rl_auth_events_next(struct rl_auth_events *events)
{
    return rl_outbox_next(events->outbox);
}

struct rl_rpc_channel *rl_auth_events_channel(const struct rl_auth_events *events)
{
    return events ? events->channel : NULL;
}

void rl_auth_events_free(struct rl_auth_events **events, uint32_t grace_ms)
{
    struct rl_auth_events *e = *events;
    if (!e)
        return;
    if (e->sender)
        rl_event_sender_flush(e->sender, grace_ms);
    rl_outbox_close(&e->outbox);
    if (e->sender)
        rl_event_sender_free(&e->sender, 0);
    if (e->channel)
        rl_rpc_channel_free(&e->channel);
    free(e->address);
    free(e);
    *events = NULL;
}

static void on_events_lost(void *context, const Pb__Event *event, const char *reason,
                           size_t dropped)
{
    (void)context;
    rl_log_error("events were lost", RL_TEXT("type", event ? event->type : ""),
                 RL_TEXT("uid", event ? event->uid : ""), RL_TEXT("reason", reason),
                 RL_NUMBER("lost_in_all", dropped));
}

static rl_code open_channel(struct rl_auth_events *events, const char *address,
                            struct rl_tls_identity *identity, struct rl_trust *trust,
                            struct rl_error *err)
{
    struct rl_rpc_channel_config config = {
        .loop = events->loop,
        .address = address,
        .identity = identity,
        .trust = trust,
        .peer_service = "audit",
    };
    rl_code rc = rl_rpc_channel_create_grpc(&config, &events->channel, err);
    if (rc != RL_OK)
        return rc;
    events->sender = rl_event_sender_create(events->loop, events->channel);
    rl_event_sender_on_lost(events->sender, on_events_lost, NULL);
    rl_outbox_connect(events->outbox, events->sender);
    return RL_OK;
}

void rl_auth_events_connect(struct rl_auth_events *events, const char *address,
                            struct rl_tls_identity *identity, struct rl_trust *trust)
{
    if (!address || !*address || (events->address && strcmp(events->address, address) == 0))
        return;
    struct rl_error err = {RL_OK, ""};
    if (events->channel)
        rl_rpc_channel_renew(events->channel, address);
    else if (open_channel(events, address, identity, trust, &err) != RL_OK) {
        rl_log_error("no channel to audit", RL_TEXT("address", address),
                     RL_TEXT("error", err.message));
        return;
    }
    rl_log_info("events go to audit", RL_TEXT("address", address));
    free(events->address);
    events->address = rl_strdup(address);
}

void rl_auth_events_reload(struct rl_auth_events *events, struct rl_tls_identity *identity,
                           struct rl_trust *trust)
{
    struct rl_error err;
    if (events->channel &&
        rl_rpc_channel_reload_grpc(events->channel, identity, trust, &err) != RL_OK)
        rl_log_error("the channel to audit keeps its old certificate",
                     RL_TEXT("error", err.message));
}

Pb__Event *rl_auth_event(const struct rl_auth *auth, const char *type, const char *outcome,
                         const struct rl_rpc_peer *peer)
{
    Pb__Event *event = rl_event_create(type, outcome, rl_clock_wall_ns());
    rl_event_set(&event->cluster, auth->cluster);
    if (!peer)
        return event;
    rl_event_set(&event->client_address, peer->address);
    rl_event_set(&event->peer_address, peer->address);
    if (peer->identity && peer->identity->kind == RL_IDENTITY_USER) {
        rl_event_set(&event->user, peer->identity->name);
        rl_event_set(&event->user_cluster, peer->identity->cluster);
        rl_event_set(&event->session_id, peer->identity->claims->session_id);
    }
    return event;
}

void rl_auth_event_resource(Pb__Event *event, const char *kind, const char *id, const char *name)
{
    rl_event_set(&event->resource_kind, kind);
    rl_event_set(&event->resource_id, id);
    rl_event_set(&event->resource_name, name);
}

void rl_auth_tell(struct rl_auth *auth, Pb__Event **event)
{
    struct rl_auth_events *events = auth->events;
    if (!events) {
        rl_event_free(event);
        return;
    }
    rl_outbox_send(events->outbox, event);
}
