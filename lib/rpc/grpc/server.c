/* server: accepts calls as fast as they come, a fixed number of them asked for ahead. gRPC core
 * owns the connections and tells nothing of them; what rpc.h promises about connections beyond that
 * is said there.
 */
#include "clock/clock.h"
#include "rpc/grpc/call.h"
#include "rpc/grpc/credentials.h"
#include "rpc/grpc/peer.h"

#include <grpc/support/time.h>
#include <stdlib.h>

#define CALLS_ASKED_FOR 32

struct rl_grpc_server {
    struct rl_rpc_server server; /* the shared part; first */
    struct rl_grpc_queue *queue;
    grpc_server *core; /* NULL: does not listen yet */
    struct rl_grpc_server_identity *identity;
    struct rl_trust *trust;
    struct rl_grpc_peers peers;
    struct rl_grpc_call *calls;

    struct rl_timer *grace;
    void (*drained)(void *context);
    void *drained_context;
    struct rl_grpc_event drained_event, stopped;
};

/* A call asked for. */
struct incoming {
    struct rl_grpc_event came;
    struct rl_grpc_server *server;
    grpc_call *core;
    grpc_call_details details;
    grpc_metadata_array metadata;
};

static struct rl_grpc_server *of_shared(struct rl_rpc_server *server)
{
    return (struct rl_grpc_server *)(void *)server;
}

static int64_t now_s(const struct rl_grpc_server *s)
{
    const struct rl_rpc_server_config *config = &s->server.config;
    return config->now_s ? config->now_s(config->now_context) : rl_clock_wall_s();
}

/* ---- calls ---- */

static uint64_t timeout_ms(gpr_timespec deadline)
{
    if (gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) == 0)
        return UINT64_MAX;
    int32_t left = gpr_time_to_millis(gpr_time_sub(deadline, gpr_now(deadline.clock_type)));
    /* Rounded up, so that a client's own deadline comes first. */
    return left > 0 ? (uint64_t)left + 1 : 0;
}

static void serve_call(struct incoming *incoming)
{
    struct rl_grpc_server *s = incoming->server;
    struct rl_rpc_remote *remote = NULL;
    struct rl_error err;
    rl_code rc = rl_grpc_peers_find(&s->peers, incoming->core, s->trust, now_s(s), &remote, &err);
    if (rc != RL_OK) {
        char *address = rl_grpc_peer_address(incoming->core);
        remote = rl_rpc_remote_create(NULL, address);
        free(address);
    }
    struct rl_grpc_call *c =
        (struct rl_grpc_call *)(void *)rl_rpc_server_accept(&s->server, remote);
    struct rl_rpc_call *held = rl_rpc_call_ref(&c->call);
    rl_rpc_remote_unref(&remote);
    rl_grpc_call_begin(c, s->queue, incoming->core, &s->calls);
    const grpc_slice *path = &incoming->details.method;
    if (rc == RL_OK)
        rl_rpc_server_open(&c->call, RL_SPAN(GRPC_SLICE_START_PTR(*path), GRPC_SLICE_LENGTH(*path)),
                           timeout_ms(incoming->details.deadline));
    else
        rl_rpc_call_abort(&c->call, rc, err.message);
    rl_grpc_call_pump(c);
    rl_rpc_call_unref(&held);
}

static void on_incoming(struct rl_grpc_event *event, bool ok);

static void ask_for_call(struct rl_grpc_server *s)
{
    struct incoming *incoming = rl_alloc(sizeof *incoming);
    incoming->came.fn = on_incoming;
    incoming->server = s;
    grpc_call_details_init(&incoming->details);
    grpc_metadata_array_init(&incoming->metadata);
    grpc_completion_queue *queue = rl_grpc_queue_core(s->queue);
    RL_ASSERT(grpc_server_request_call(s->core, &incoming->core, &incoming->details,
                                       &incoming->metadata, queue, queue,
                                       &incoming->came) == GRPC_CALL_OK);
}

static void on_incoming(struct rl_grpc_event *event, bool ok)
{
    struct incoming *incoming = (struct incoming *)(void *)event;
    bool is_closed = rl_grpc_queue_is_closed(incoming->server->queue);
    if (ok && is_closed) {
        grpc_call_cancel(incoming->core, NULL);
        grpc_call_unref(incoming->core);
    } else if (ok) {
        ask_for_call(incoming->server);
        serve_call(incoming);
    }
    grpc_call_details_destroy(&incoming->details);
    grpc_metadata_array_destroy(&incoming->metadata);
    free(incoming);
}

/* ---- listening ---- */

static grpc_arg integer(const char *key, int value)
{
    return (grpc_arg){
        .type = GRPC_ARG_INTEGER, .key = (char *)(uintptr_t)key, .value.integer = value};
}

static grpc_server *create_core(const struct rl_rpc_server_config *config)
{
    uint32_t keepalive_ms = config->keepalive_ms ? config->keepalive_ms : RL_RPC_KEEPALIVE_MS;
    uint32_t timeout_ms =
        config->keepalive_timeout_ms ? config->keepalive_timeout_ms : RL_RPC_KEEPALIVE_TIMEOUT_MS;
    grpc_arg args[] = {
        /* two servers would share a port without a word */
        integer(GRPC_ARG_ALLOW_REUSEPORT, 0),
        integer(GRPC_ARG_MAX_CONCURRENT_STREAMS, (int)config->concurrent_calls_max),
        /* the limit itself is held where both transports are told of it alike; this one is for what
           is far beyond it */
        integer(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int)config->message_bytes_max * 2),
        integer(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1),
        integer(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0),
        integer(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0),
        integer(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, RL_RPC_HANDSHAKE_MS),
        integer(GRPC_ARG_KEEPALIVE_TIME_MS, (int)keepalive_ms),
        integer(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, (int)timeout_ms),
        integer(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
        integer(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),
        /* a client that probes its connection is not banned for it (ENHANCE_YOUR_CALM) */
        integer(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0),
        integer(GRPC_ARG_ENABLE_CHANNELZ, 0),
    };
    grpc_channel_args all = {RL_COUNT(args), args};
    return grpc_server_create(&all, NULL);
}

static rl_code listen_on(struct rl_rpc_server *server, const struct rl_rpc_listen *listen,
                         uint16_t *port, struct rl_error *err)
{
    struct rl_grpc_server *s = of_shared(server);
    RL_ASSERT(listen->identity && listen->trust);
    if (s->core)
        return rl_fail(err, RL_E_PRECONDITION, "a gRPC server listens on one address only");
    rl_code rc = rl_grpc_server_identity_create(listen->identity, listen->trust, &s->identity, err);
    if (rc != RL_OK)
        return rc;
    grpc_server *core = create_core(&server->config);
    grpc_server_register_completion_queue(core, rl_grpc_queue_core(s->queue), NULL);
    grpc_server_credentials *credentials = rl_grpc_server_credentials(s->identity);
    int bound = grpc_server_add_http2_port(core, listen->address, credentials);
    grpc_server_credentials_release(credentials);
    if (bound == 0) {
        grpc_server_destroy(core);
        rl_grpc_server_identity_free(&s->identity);
        return rl_fail(err, RL_E_UNAVAILABLE,
                       "listening on %s: the address is taken, or is none of this machine",
                       listen->address);
    }
    s->core = core;
    s->trust = rl_trust_ref(listen->trust);
    grpc_server_start(core);
    for (size_t i = 0; i < CALLS_ASKED_FOR; i++)
        ask_for_call(s);
    if (port)
        *port = (uint16_t)bound;
    return RL_OK;
}

rl_code rl_rpc_server_reload_grpc(struct rl_rpc_server *server, struct rl_tls_identity *identity,
                                  struct rl_trust *trust, struct rl_error *err)
{
    struct rl_grpc_server *s = of_shared(server);
    RL_ASSERT(s->identity);
    rl_code rc = rl_grpc_server_identity_reload(s->identity, identity, trust, err);
    if (rc != RL_OK)
        return rc;
    struct rl_trust *old = s->trust;
    s->trust = rl_trust_ref(trust);
    rl_trust_unref(&old);
    rl_grpc_peers_clear(&s->peers); /* to be checked by the new authorities at their next call */
    return RL_OK;
}

/* ---- going away ---- */

static void on_drained(struct rl_grpc_event *event, bool ok)
{
    (void)ok;
    struct rl_grpc_server *s =
        (struct rl_grpc_server *)(void *)((char *)event -
                                          offsetof(struct rl_grpc_server, drained_event));
    rl_timer_disarm(s->grace);
    if (!rl_grpc_queue_is_closed(s->queue) && s->drained)
        s->drained(s->drained_context);
}

/* Patience is over; or nobody was ever let in. */
static void on_grace(void *context)
{
    struct rl_grpc_server *s = context;
    if (s->core)
        grpc_server_cancel_all_calls(s->core);
    else
        on_drained(&s->drained_event, true);
}

static void drain(struct rl_rpc_server *server, uint32_t grace_ms, void (*drained)(void *context),
                  void *context)
{
    struct rl_grpc_server *s = of_shared(server);
    RL_ASSERT(!rl_timer_is_armed(s->grace) && !s->drained);
    s->drained = drained;
    s->drained_context = context;
    rl_timer_arm(s->grace, s->core ? grace_ms : 0);
    if (s->core)
        grpc_server_shutdown_and_notify(s->core, rl_grpc_queue_core(s->queue), &s->drained_event);
}

static size_t disconnect(struct rl_rpc_server *server, uint64_t connection, const char *reason)
{
    size_t count = 0;
    for (struct rl_grpc_call *c = of_shared(server)->calls; c; c = c->next) {
        if (c->call.remote->peer.connection != connection)
            continue;
        rl_rpc_call_abort(&c->call, RL_E_UNAVAILABLE, reason);
        count = 1;
    }
    return count;
}

static void on_stopped(struct rl_grpc_event *event, bool ok)
{
    (void)event;
    (void)ok;
}

static void release(struct rl_rpc_server *server)
{
    struct rl_grpc_server *s = of_shared(server);
    rl_grpc_queue_set_closed(s->queue);
    rl_grpc_call_cancel_all(s->calls);
    if (s->core) {
        grpc_server_shutdown_and_notify(s->core, rl_grpc_queue_core(s->queue), &s->stopped);
        grpc_server_cancel_all_calls(s->core);
    }
    rl_grpc_queue_finish(s->queue);
    rl_grpc_call_close_all(&s->calls);
    rl_grpc_peers_clear(&s->peers);
    if (s->core)
        grpc_server_destroy(s->core);
    rl_grpc_queue_free(&s->queue);
    rl_grpc_server_identity_free(&s->identity);
    rl_trust_unref(&s->trust);
    rl_timer_free(&s->grace);
}

rl_code rl_rpc_server_create_grpc(const struct rl_rpc_server_config *config,
                                  struct rl_rpc_server **out, struct rl_error *err)
{
    static const struct rl_rpc_server_ops ops = {
        .call = RL_GRPC_CALL_OPS,
        .call_bytes = sizeof(struct rl_grpc_call),
        .listen = listen_on,
        .drain = drain,
        .disconnect = disconnect,
        .release = release,
    };
    struct rl_grpc_queue *queue;
    rl_code rc = rl_grpc_queue_create(config->loop, &queue, err);
    if (rc != RL_OK)
        return rc;
    struct rl_grpc_server *s = rl_alloc(sizeof *s);
    rl_rpc_server_init(&s->server, &ops, config);
    s->queue = queue;
    s->grace = rl_timer_create(config->loop, on_grace, s);
    s->drained_event.fn = on_drained;
    s->stopped.fn = on_stopped;
    *out = &s->server;
    return RL_OK;
}
