/* channel: at most one connection that new calls go to, and those before it whose calls go on. A
 * failed attempt fails the calls that waited for it; a channel that is to stay connected tries
 * again by itself, spread out so that a thousand agents do not come back in the same moment.
 */
#include "rpc/h2/h2.h"

#include "bytes/secret.h"
#include "dial/dial.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Full jitter: anything from 0 to a span that is half of the time that has passed without a good
 * connection. So whoever was away for three seconds comes back within one and a half, and what has
 * been away for long is asked seldom. docs/decisions/0020. */
#define BACKOFF_MIN_MS 200
#define BACKOFF_MAX_MS 30000
/* A connection that lasted as long was a good one: what ends it starts from the beginning. */
#define BACKOFF_FORGET_MS 3000
/* When nothing answered at all, the network is away rather than the server overloaded. */
#define BACKOFF_SILENT_MS 1000

struct rl_h2_channel {
    struct rl_rpc_channel base; /* first */
    struct rl_h2_config config;
    struct rl_tls_client *tls;

    struct rl_dial *dial;
    uint64_t attempt_ends_ms;
    struct rl_h2_connection *next;    /* in its handshake */
    struct rl_h2_connection *current; /* new calls go here */
    struct rl_h2_connection *before;  /* those that only finish their calls */
    struct rl_h2_stream *waiting, *parked;

    struct rl_timer *retry;
    struct rl_timer *unused;     /* how long the current connection carries nothing */
    struct rl_task *settle_down; /* what is not to happen inside of callbacks */
    uint64_t up_since_ms;
    uint64_t away_since_ms; /* when the last good connection ended, or the first attempt failed */
    bool is_up;
    bool is_refused; /* the attempt could not even begin */
    struct rl_error refusal;
    int socket;             /* that was given and is not used yet; -1: none */
    bool is_socket_awaited; /* the attempt begins with it, outside of callbacks */
};

static struct rl_h2_channel *h2_channel(struct rl_rpc_channel *channel)
{
    return (struct rl_h2_channel *)channel;
}

struct rl_h2_stream **rl_h2_parked(struct rl_rpc_channel *channel)
{
    return &h2_channel(channel)->parked;
}

/* ---- trying again ---- */

static uint32_t random_below(uint32_t limit)
{
    uint32_t value;
    rl_random(&value, sizeof value);
    return (uint32_t)(((uint64_t)value * limit) >> 32);
}

uint32_t rl_h2_backoff_ms(uint64_t away_ms)
{
    uint64_t half_ms = away_ms / 2;
    return half_ms < BACKOFF_MIN_MS   ? BACKOFF_MIN_MS
           : half_ms > BACKOFF_MAX_MS ? BACKOFF_MAX_MS
                                      : (uint32_t)half_ms;
}

static void retry_later(struct rl_h2_channel *channel, rl_code code)
{
    if (!channel->base.config.stay_connected)
        return;
    uint64_t now = rl_loop_now_ms(channel->base.config.loop);
    uint32_t limit_ms =
        code == RL_E_DEADLINE ? BACKOFF_SILENT_MS : rl_h2_backoff_ms(now - channel->away_since_ms);
    uint32_t most_ms = channel->base.config.retry_ms_max;
    if (most_ms && limit_ms > most_ms)
        limit_ms = most_ms;
    rl_timer_arm(channel->retry, random_below(limit_ms + 1));
}

/* Fails those who waited now; what their callbacks start waits for the next attempt. */
static void fail_waiting(struct rl_h2_channel *channel, const char *message)
{
    struct rl_h2_stream *failed = channel->waiting;
    channel->waiting = NULL;
    if (failed)
        failed->link = &failed;
    while (failed) {
        struct rl_h2_stream *stream = failed;
        rl_h2_stream_unlink(stream);
        rl_rpc_call_doom(&stream->call, RL_E_UNAVAILABLE, message);
    }
}

/* `down` comes last: its owner may free the channel in it. */
static void go_down(struct rl_h2_channel *channel, rl_code code, const char *message)
{
    uint64_t now = rl_loop_now_ms(channel->base.config.loop);
    bool was_good = channel->is_up && now - channel->up_since_ms >= BACKOFF_FORGET_MS;
    if (!channel->away_since_ms || was_good)
        channel->away_since_ms = now;
    channel->is_up = false;
    retry_later(channel, code);
    const struct rl_rpc_channel_config *config = &channel->base.config;
    if (config->down)
        config->down(config->context, code, message);
}

static void fail_attempt(struct rl_h2_channel *channel, rl_code code, const char *message)
{
    char text[RL_ERROR_MESSAGE_BYTES + 128];
    snprintf(text, sizeof text, "cannot reach %s: %s", channel->base.address, message);
    fail_waiting(channel, text);
    go_down(channel, code, text);
}

/* ---- an attempt ---- */

static void on_dialled(void *context, int fd, rl_code code, const char *message)
{
    struct rl_h2_channel *channel = context;
    channel->dial = NULL;
    if (code != RL_OK) {
        fail_attempt(channel, code, message);
        return;
    }
    SSL *ssl = NULL;
    struct rl_error err;
    rl_code rc = rl_tls_connect(channel->tls, fd, &ssl, &err);
    if (rc != RL_OK) {
        close(fd);
        fail_attempt(channel, rc, err.message);
        return;
    }
    uint64_t now = rl_loop_now_ms(channel->base.config.loop);
    uint64_t left_ms = channel->attempt_ends_ms > now ? channel->attempt_ends_ms - now : 1;
    rc = rl_h2_connection_create(&channel->config, fd, ssl, channel->base.address, left_ms,
                                 &channel->next, &err);
    if (rc != RL_OK)
        fail_attempt(channel, rc, err.message);
}

static void use_socket(struct rl_h2_channel *channel)
{
    if (channel->socket >= 0) {
        channel->is_socket_awaited = true;
    } else {
        channel->is_refused = true;
        rl_fail(&channel->refusal, RL_E_UNAVAILABLE, "its only connection has ended");
    }
    rl_task_schedule(channel->settle_down);
}

static void h2_connect(struct rl_rpc_channel *base)
{
    struct rl_h2_channel *channel = h2_channel(base);
    if (channel->current || channel->next || channel->dial || channel->is_refused ||
        channel->is_socket_awaited)
        return;
    rl_timer_disarm(channel->retry);
    uint32_t timeout_ms = base->config.connect_timeout_ms;
    channel->attempt_ends_ms = rl_loop_now_ms(base->config.loop) + timeout_ms;
    if (base->config.has_socket) {
        use_socket(channel);
        return;
    }
    const struct rl_dial_how how = {.proxy = base->config.http_proxy};
    if (rl_dial_start_by(base->config.loop, base->address, &how, timeout_ms, on_dialled, channel,
                         &channel->dial, &channel->refusal) != RL_OK) {
        channel->is_refused = true; /* told later: this may be inside rl_rpc_unary() */
        rl_task_schedule(channel->settle_down);
    }
}

static void on_retry(void *context)
{
    h2_connect(context);
}

/* ---- a connection's life ---- */

static void link_before(struct rl_h2_channel *channel, struct rl_h2_connection *c)
{
    c->next = channel->before;
    if (c->next)
        c->next->link = &c->next;
    channel->before = c;
    c->link = &channel->before;
}

static void unlink_before(struct rl_h2_connection *c)
{
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
}

static void on_opened(void *owner, struct rl_h2_connection *c)
{
    struct rl_h2_channel *channel = owner;
    channel->next = NULL;
    channel->current = c;
    struct rl_h2_stream *in_order = NULL; /* the list has the newest first */
    while (channel->waiting) {
        struct rl_h2_stream *stream = channel->waiting;
        rl_h2_stream_unlink(stream);
        rl_h2_stream_link(stream, &in_order);
    }
    while (in_order)
        rl_h2_stream_start(in_order, c);
}

/* With TLS 1.3 the client is done before the server has looked at its certificate: only what the
 * server says then means that we are in. */
static void on_settled(void *owner, struct rl_h2_connection *c)
{
    struct rl_h2_channel *channel = owner;
    if (c != channel->current)
        return;
    channel->is_up = true;
    channel->up_since_ms = rl_loop_now_ms(channel->base.config.loop);
    const struct rl_rpc_channel_config *config = &channel->base.config;
    if (config->up)
        config->up(config->context, &c->remote->peer);
}

static void retire(struct rl_h2_channel *channel)
{
    struct rl_h2_connection *c = channel->current;
    if (!c)
        return;
    channel->current = NULL;
    link_before(channel, c);
    rl_task_schedule(channel->settle_down);
}

static void on_leaving(void *owner, struct rl_h2_connection *c, const char *reason)
{
    struct rl_h2_channel *channel = owner;
    if (c != channel->current)
        return;
    retire(channel);
    go_down(channel, RL_E_UNAVAILABLE, reason);
}

static void on_idle(void *owner, struct rl_h2_connection *c)
{
    struct rl_h2_channel *channel = owner;
    if (c != channel->current)
        rl_task_schedule(channel->settle_down);
    else if (channel->base.config.idle_ms)
        rl_timer_arm(channel->unused, channel->base.config.idle_ms);
}

static void on_unused(void *context)
{
    struct rl_h2_channel *channel = context;
    if (!channel->current || channel->current->streams)
        return;
    retire(channel);
    channel->is_up = false;
}

static void on_settle_down(void *context)
{
    struct rl_h2_channel *channel = context;
    for (struct rl_h2_connection *c = channel->before, *next; c; c = next) {
        next = c->next;
        if (!c->streams)
            rl_h2_connection_finish(c, "done");
    }
    if (channel->is_refused) {
        channel->is_refused = false;
        fail_attempt(channel, channel->refusal.code, channel->refusal.message);
    } else if (channel->is_socket_awaited) {
        int fd = channel->socket;
        channel->is_socket_awaited = false;
        channel->socket = -1;
        on_dialled(channel, fd, RL_OK, "");
    }
}

static void on_closed(void *owner, struct rl_h2_connection *c, rl_code code, const char *reason)
{
    struct rl_h2_channel *channel = owner;
    if (c == channel->next) {
        channel->next = NULL;
        fail_attempt(channel, code, reason);
    } else if (c == channel->current) {
        channel->current = NULL;
        go_down(channel, code, reason);
    } else {
        unlink_before(c);
    }
}

/* ---- the channel's ops ---- */

static void h2_start(struct rl_rpc_channel *base, struct rl_rpc_call *call)
{
    struct rl_h2_channel *channel = h2_channel(base);
    struct rl_h2_stream *stream = rl_h2_stream_of(call);
    if (channel->current) {
        rl_h2_stream_start(stream, channel->current);
        return;
    }
    rl_h2_stream_link(stream, &channel->waiting);
    h2_connect(base);
}

static bool h2_is_up(const struct rl_rpc_channel *base)
{
    return ((const struct rl_h2_channel *)base)->is_up;
}

static void h2_probe(struct rl_rpc_channel *base, uint32_t timeout_ms)
{
    struct rl_h2_channel *channel = h2_channel(base);
    if (channel->current)
        rl_h2_keepalive_ping(channel->current, timeout_ms);
    else if (rl_timer_is_armed(channel->retry))
        h2_connect(base);
}

static void h2_renew(struct rl_rpc_channel *base, const char *address)
{
    (void)address;
    struct rl_h2_channel *channel = h2_channel(base);
    bool was_wanted = channel->current || channel->next || channel->dial;
    retire(channel);
    channel->is_up = false;
    rl_dial_cancel(&channel->dial);
    struct rl_h2_connection *next = channel->next;
    channel->next = NULL;
    if (next) {
        link_before(channel, next);
        rl_h2_connection_close(next, RL_E_CANCELLED, "a new connection takes its place");
    }
    if (channel->waiting || (base->config.stay_connected && was_wanted))
        h2_connect(base);
}

static void h2_release(struct rl_rpc_channel *base)
{
    struct rl_h2_channel *channel = h2_channel(base);
    static const char reason[] = "the channel was closed";
    channel->base.config.up = NULL;
    channel->base.config.down = NULL;
    channel->base.config.stay_connected = false;
    rl_dial_cancel(&channel->dial);
    if (channel->next)
        rl_h2_connection_close(channel->next, RL_E_CANCELLED, reason);
    if (channel->current)
        rl_h2_connection_close(channel->current, RL_E_CANCELLED, reason);
    while (channel->before)
        rl_h2_connection_close(channel->before, RL_E_CANCELLED, reason);
    while (channel->parked)
        rl_h2_stream_lost(channel->parked, RL_E_CANCELLED, reason);
    while (channel->waiting)
        rl_h2_stream_lost(channel->waiting, RL_E_CANCELLED, reason);
    rl_timer_free(&channel->retry);
    rl_timer_free(&channel->unused);
    rl_task_free(&channel->settle_down);
    rl_tls_client_unref(&channel->tls);
    if (channel->socket >= 0)
        close(channel->socket);
}

static const struct rl_rpc_channel_ops channel_ops = {
    .call = RL_H2_CALL_OPS,
    .call_bytes = sizeof(struct rl_h2_stream),
    .start = h2_start,
    .connect = h2_connect,
    .is_up = h2_is_up,
    .probe = h2_probe,
    .renew = h2_renew,
    .release = h2_release,
};

rl_code rl_rpc_channel_create_h2(const struct rl_rpc_channel_config *config,
                                 struct rl_rpc_channel **out, struct rl_error *err)
{
    (void)err;
    RL_ASSERT(config->tls);
    struct rl_h2_channel *channel = rl_alloc(sizeof *channel);
    rl_rpc_channel_init(&channel->base, &channel_ops, config);
    channel->config = (struct rl_h2_config){
        .loop = config->loop,
        .stream_window_bytes = config->stream_window_bytes,
        .stream_window_bytes_max = config->stream_window_bytes_max,
        .connection_window_bytes = config->connection_window_bytes,
        .keepalive_ms = config->keepalive_ms,
        .keepalive_timeout_ms = config->keepalive_timeout_ms,
        .now_s = config->now_s,
        .now_context = config->now_context,
        .owner = channel,
        .opened = on_opened,
        .settled = on_settled,
        .leaving = on_leaving,
        .idle = on_idle,
        .closed = on_closed,
    };
    rl_h2_config_set_defaults(&channel->config);
    channel->tls = rl_tls_client_ref(config->tls);
    channel->socket = config->has_socket ? config->socket : -1;
    channel->retry = rl_timer_create(config->loop, on_retry, channel);
    channel->unused = rl_timer_create(config->loop, on_unused, channel);
    channel->settle_down = rl_task_create(config->loop, on_settle_down, channel);
    *out = &channel->base;
    return RL_OK;
}
