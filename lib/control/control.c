/* The state is one ControlUpdate that never loses a part: an update's parts are exchanged with the
 * state's, and what was there before goes with the update.
 */
#include "control/control.h"

#include "bytes/secret.h"
#include "protocol/protocol.h"

#include <stdlib.h>

struct rl_control {
    struct rl_control_config config;
    Pb__ControlUpdate *state;
    struct rl_rpc_call *watch, *beat;
    struct rl_timer *retry, *beats;
    uint32_t retry_ms;
    bool is_up, is_freeing;
};

#define TICKET_KEYS_MAX 8

static void start_watch(void *context);

#define EXCHANGE(a, b)                                                                             \
    do {                                                                                           \
        __typeof__(a) exchanged_ = (a);                                                            \
        (a) = (b);                                                                                 \
        (b) = exchanged_;                                                                          \
    } while (0)

/* A message of its own, because the transport's is gone after the callback. */
static Pb__ControlUpdate *copy_of(const ProtobufCMessage *message)
{
    size_t n = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = rl_alloc(n);
    protobuf_c_message_pack(message, packed);
    Pb__ControlUpdate *copy = pb__control_update__unpack(NULL, n, packed);
    free(packed);
    return copy;
}

static unsigned take_lists(Pb__ControlUpdate *state, Pb__ControlUpdate *update)
{
    unsigned what = 0;
    if (update->locks_changed) {
        EXCHANGE(state->locks, update->locks);
        EXCHANGE(state->n_locks, update->n_locks);
        what |= RL_CONTROL_LOCKS;
    }
    if (update->cuts_changed) {
        EXCHANGE(state->cuts, update->cuts);
        EXCHANGE(state->n_cuts, update->n_cuts);
        what |= RL_CONTROL_CUTS;
    }
    if (update->brokers_changed) {
        EXCHANGE(state->brokers, update->brokers);
        EXCHANGE(state->n_brokers, update->n_brokers);
        what |= RL_CONTROL_BROKERS;
    }
    if (update->clusters_changed) {
        EXCHANGE(state->clusters, update->clusters);
        EXCHANGE(state->n_clusters, update->n_clusters);
        what |= RL_CONTROL_CLUSTERS;
    }
    return what;
}

static unsigned take_parts(Pb__ControlUpdate *state, Pb__ControlUpdate *update)
{
    unsigned what = take_lists(state, update);
    if (update->revision > state->revision) {
        state->revision = update->revision;
        what |= RL_CONTROL_REVISION;
    }
    if (update->statement) {
        EXCHANGE(state->statement, update->statement);
        what |= RL_CONTROL_STATEMENT;
    }
    if (update->services) {
        EXCHANGE(state->services, update->services);
        what |= RL_CONTROL_SERVICES;
    }
    if (update->ticket_keys) {
        EXCHANGE(state->ticket_keys, update->ticket_keys);
        what |= RL_CONTROL_TICKET_KEYS;
    }
    if (update->config) {
        EXCHANGE(state->config, update->config);
        what |= RL_CONTROL_CONFIG;
    }
    if (update->trust) {
        EXCHANGE(state->trust, update->trust);
        what |= RL_CONTROL_TRUST;
    }
    return what;
}

static void on_update(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)call;
    struct rl_control *control = context;
    Pb__ControlUpdate *update = copy_of(message);
    if (!update)
        return;
    if (!control->is_up) {
        control->is_up = true;
        control->retry_ms = RL_CONTROL_RETRY_MS_MIN;
        if (control->config.line)
            control->config.line(control->config.context, NULL);
    }
    unsigned what = take_parts(control->state, update);
    pb__control_update__free_unpacked(update, NULL);
    if (what && control->config.changed)
        control->config.changed(control->config.context, what);
}

static void on_watch_closed(struct rl_rpc_call *call, rl_code code, const char *message,
                            void *context)
{
    (void)call;
    struct rl_control *control = context;
    control->watch = NULL;
    bool was_up = control->is_up;
    control->is_up = false;
    if (control->is_freeing)
        return;
    if (was_up && control->config.line)
        control->config.line(control->config.context, code == RL_OK ? "it closed" : message);
    uint16_t jitter;
    rl_random(&jitter, sizeof jitter);
    rl_timer_arm(control->retry, control->retry_ms / 2 + jitter % (control->retry_ms / 2));
    control->retry_ms = control->retry_ms * 2 > RL_CONTROL_RETRY_MS_MAX ? RL_CONTROL_RETRY_MS_MAX
                                                                        : control->retry_ms * 2;
}

static const struct rl_rpc_stream_ops watch_ops = {.message = on_update, .closed = on_watch_closed};

static void start_watch(void *context)
{
    struct rl_control *control = context;
    if (control->watch)
        return;
    Pb__WatchRequest request = PB__WATCH_REQUEST__INIT;
    request.protocol = RL_PROTOCOL;
    request.protocol_min = RL_PROTOCOL_MIN;
    request.service_kind = (char *)(uintptr_t)control->config.kind;
    control->watch = rl_rpc_stream(control->config.channel, &pb__control__descriptor, "Watch", 0,
                                   &watch_ops, control);
    /* What fails here is told by `closed`. */
    rl_rpc_send(control->watch, &request.base, NULL);
    rl_rpc_end(control->watch, RL_OK, NULL);
}

static void on_beat_done(void *context, rl_code code, const char *message,
                         const ProtobufCMessage *reply)
{
    (void)code; /* the next one follows anyway; whether auth is there the watch knows */
    (void)message;
    (void)reply;
    ((struct rl_control *)context)->beat = NULL;
}

void rl_control_beat(struct rl_control *control)
{
    rl_timer_arm(control->beats, RL_CONTROL_HEARTBEAT_MS);
    if (control->beat)
        return; /* one at a time, so that a slow auth gets no queue of them */
    Pb__HeartbeatRequest request = PB__HEARTBEAT_REQUEST__INIT;
    request.kind = (char *)(uintptr_t)control->config.kind;
    request.id = (char *)(uintptr_t)control->config.id;
    request.version = (char *)(uintptr_t)RL_VERSION;
    if (control->config.describe)
        control->config.describe(control->config.context, &request);
    rl_rpc_unary(control->config.channel, &pb__control__descriptor, "Heartbeat", &request.base,
                 RL_CONTROL_HEARTBEAT_MS, on_beat_done, control, &control->beat);
}

static void on_beat_due(void *context)
{
    rl_control_beat(context);
}

struct rl_control *rl_control_create(const struct rl_control_config *config)
{
    struct rl_control *control = rl_alloc(sizeof *control);
    control->config = *config;
    control->retry_ms = RL_CONTROL_RETRY_MS_MIN;
    control->state = rl_alloc(sizeof *control->state);
    pb__control_update__init(control->state);
    control->retry = rl_timer_create(config->loop, start_watch, control);
    control->beats = rl_timer_create(config->loop, on_beat_due, control);
    start_watch(control);
    rl_control_beat(control);
    return control;
}

/* `closed` and `done` still come, on a later turn: the calls are cut off and waited for. */
static void stop_calls(struct rl_control *control)
{
    if (control->watch)
        rl_rpc_cancel(control->watch);
    if (control->beat)
        rl_rpc_cancel(control->beat);
    while (control->watch || control->beat)
        rl_loop_turn(control->config.loop, 10);
}

struct rl_rpc_channel *rl_control_channel(const struct rl_control *control)
{
    return control->config.channel;
}

bool rl_control_is_up(const struct rl_control *control)
{
    return control->is_up;
}

const Pb__ControlUpdate *rl_control_state(const struct rl_control *control)
{
    return control->state;
}

rl_code rl_control_set_tickets(const struct rl_control *control, struct rl_tls_server *route,
                               struct rl_error *err)
{
    const Pb__TicketKeys *keys = control->state->ticket_keys;
    struct rl_span spans[TICKET_KEYS_MAX];
    size_t n = 0;
    for (; keys && n < keys->n_keys && n < RL_COUNT(spans); n++)
        spans[n] = RL_SPAN(keys->keys[n].data, keys->keys[n].len);
    return n ? rl_tls_server_set_ticket_keys(route, spans, n, err) : RL_OK;
}

void rl_control_free(struct rl_control **holder)
{
    if (!holder || !*holder)
        return;
    struct rl_control *control = *holder;
    *holder = NULL;
    control->is_freeing = true;
    stop_calls(control);
    rl_timer_free(&control->retry);
    rl_timer_free(&control->beats);
    pb__control_update__free_unpacked(control->state, NULL);
    free(control);
}
