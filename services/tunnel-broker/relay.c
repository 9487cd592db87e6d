/* relay: two raw streams joined. Of each only the first frame is read; after it bytes go through as
 * they are. What one side sent waits in its queue until the transport of the other takes it, and
 * only then is its window given back: a reader that stalls holds a window here, and its writer
 * waits.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_FRAME_MS 10000

static void free_if_done(struct hop *hop)
{
    if (hop->call || hop->peer)
        return;
    struct broker *broker = hop->broker;
    if (hop->previous)
        hop->previous->next = hop->next;
    else
        broker->hops = hop->next;
    if (hop->next)
        hop->next->previous = hop->previous;
    rl_frame_reader_free(&hop->reader);
    rl_timer_free(&hop->timer);
    rl_metric_add(broker->held_gauge, -(int64_t)hop->in.n);
    rl_queue_fini(&hop->in);
    free(hop->agent_id);
    free(hop);
}

/* Both streams are over. */
static void part(struct hop *hop)
{
    struct hop *peer = hop->peer;
    struct broker *broker = hop->broker;
    struct hop *dial = hop->kind == HOP_DIAL ? hop : peer;
    if (dial->attachment)
        dial->attachment->live--;
    else
        broker->orphans--;
    hop->peer = peer->peer = NULL;
    broker->joined--;
    rl_metric_set(broker->streams_gauge, (int64_t)broker->joined);
    free_if_done(peer);
    free_if_done(hop);
}

/* ---- the first frame ---- */

static rl_code no_data(void *context, uint64_t offset, const uint8_t *bytes, size_t n,
                       struct rl_error *err)
{
    (void)context;
    (void)offset;
    (void)bytes;
    (void)n;
    return rl_fail(err, RL_E_INVAL, "data before the first frame");
}

static rl_code first_of_dial(void *context, const Pb__Frame *frame, struct rl_error *err)
{
    struct hop *hop = context;
    if (!frame->dial || frame->join || frame->opened || frame->reset || frame->resume ||
        frame->eof || frame->ack || frame->offset)
        return rl_fail(err, RL_E_INVAL, "the first frame of a Dial has only `dial`");
    hop->is_resumable = frame->dial->features & RL_TUNNEL_FEATURE_RESUME;
    return join_ask(hop, frame->dial, err);
}

static rl_code first_of_carry(void *context, const Pb__Frame *frame, struct rl_error *err)
{
    struct hop *hop = context;
    if (!frame->join || frame->dial || frame->opened || frame->reset || frame->resume ||
        frame->eof || frame->ack || frame->offset)
        return rl_fail(err, RL_E_INVAL, "the first frame of a Carry has only `join`");
    return join_carry(hop, frame->join, err);
}

static const struct rl_frame_reader_ops dial_first = {.data = no_data, .control = first_of_dial};
static const struct rl_frame_reader_ops carry_first = {.data = no_data, .control = first_of_carry};

static void on_timer(void *context)
{
    relay_end(context, RL_E_DEADLINE, "the first frame did not come in time");
}

static void open_hop(struct rl_rpc_call *call, struct broker *broker, enum hop_kind kind)
{
    struct hop *hop = rl_alloc(sizeof *hop);
    hop->broker = broker;
    hop->kind = kind;
    hop->call = call;
    if (kind == HOP_CARRY)
        hop->agent_id = rl_strdup(rl_rpc_peer(call)->identity->name);
    hop->reader = rl_frame_reader_create(kind == HOP_DIAL ? &dial_first : &carry_first, hop);
    hop->timer = rl_timer_create(broker->config.loop, on_timer, hop);
    rl_timer_arm(hop->timer, FIRST_FRAME_MS);
    /* The transport holds a peer to its window, wherever that stands; this is only the most. */
    uint32_t window = broker->config.stream_window_bytes;
    rl_queue_init(&hop->in,
                  window > RL_RPC_RAW_WINDOW_BYTES_MAX ? window : RL_RPC_RAW_WINDOW_BYTES_MAX);
    hop->next = broker->hops;
    if (hop->next)
        hop->next->previous = hop;
    broker->hops = hop;
    rl_rpc_set_data(call, hop);
}

/* The table lets a broker dial too, at a direct node or a leaf; not here. */
static void dial_opened(struct rl_rpc_call *call, void *context)
{
    if (rl_identity_is_service(rl_rpc_peer(call)->identity, "proxy"))
        open_hop(call, context, HOP_DIAL);
    else
        rl_rpc_raw_finish(call, RL_E_DENIED, "only a proxy dials at a broker");
}

static void carry_opened(struct rl_rpc_call *call, void *context)
{
    if (rl_rpc_peer(call)->identity->kind == RL_IDENTITY_AGENT)
        open_hop(call, context, HOP_CARRY);
    else
        rl_rpc_raw_finish(call, RL_E_UNIMPLEMENTED,
                          "leaf clusters are not attached by this version");
}

/* ---- bytes ---- */

void relay_join(struct hop *dial, struct hop *carry)
{
    struct broker *broker = dial->broker;
    dial->peer = carry;
    carry->peer = dial;
    broker->joined++;
    rl_metric_set(broker->streams_gauge, (int64_t)broker->joined);
    rl_metric_add(broker->dials_ok, 1);
    rl_rpc_raw_wake(carry->call); /* what the dialler sent already */
}

void relay_end(struct hop *hop, rl_code code, const char *message)
{
    struct hop *peer = hop->peer;
    if (hop->kind == HOP_DIAL && !peer)
        rl_metric_add(hop->broker->dials_failed, 1);
    rl_timer_disarm(hop->timer);
    join_forget(hop);
    if (hop->call)
        rl_rpc_raw_finish(hop->call, code, message);
    if (peer && peer->call)
        rl_rpc_raw_finish(peer->call, code, message);
}

void relay_part_resumable(const struct attachment *attachment)
{
    for (struct hop *hop = attachment->broker->hops, *next; hop; hop = next) {
        next = hop->next;
        if (hop->kind == HOP_DIAL && hop->attachment == attachment && hop->is_resumable)
            relay_end(hop, RL_E_UNAVAILABLE, "the node came again by another way");
    }
}

void relay_part_all(struct broker *broker)
{
    for (struct hop *hop = broker->hops, *next; hop; hop = next) {
        next = hop->next;
        if (hop->kind == HOP_DIAL && hop->peer && hop->is_resumable)
            relay_end(hop, RL_E_UNAVAILABLE, "this broker is going away");
    }
}

/* Reads the first frame; what lies behind it begins at the result. n: all was of it, or the hop has
 * ended. */
static size_t take_first(struct hop *hop, const uint8_t *bytes, size_t n)
{
    size_t taken = n;
    struct rl_error err;
    rl_code rc = rl_frame_reader_feed_one(hop->reader, RL_SPAN(bytes, n), &taken, &err);
    if (rc != RL_OK) {
        rl_log_debug("a first frame was refused",
                     RL_TEXT("stream", hop->kind == HOP_DIAL ? "dial" : "carry"),
                     RL_TEXT("code", rl_code_name(rc)), RL_TEXT("error", err.message));
        relay_end(hop, rc, err.message);
        taken = n;
    } else if (rl_frame_reader_is_between(hop->reader)) {
        rl_frame_reader_free(&hop->reader);
        rl_timer_disarm(hop->timer);
    }
    rl_rpc_raw_consume(hop->call, taken);
    return taken;
}

static void on_data(struct rl_rpc_call *call, const uint8_t *bytes, size_t n, void *context)
{
    (void)context;
    struct hop *hop = rl_rpc_data(call);
    if (!hop) {
        rl_rpc_raw_consume(call, n);
        return;
    }
    if (hop->reader) {
        size_t first = take_first(hop, bytes, n);
        bytes += first;
        n -= first;
    }
    if (!n)
        return;
    if (!rl_queue_put(&hop->in, RL_SPAN(bytes, n))) {
        /* The transport keeps a peer within its window; if it did not, this stream ends. */
        rl_rpc_raw_consume(hop->call, n);
        relay_end(hop, RL_E_EXHAUSTED, "more than the stream's window");
        return;
    }
    rl_metric_add(hop->broker->held_gauge, (int64_t)n);
    if (hop->peer && hop->peer->call)
        rl_rpc_raw_wake(hop->peer->call);
}

static ptrdiff_t produce(struct rl_rpc_call *call, uint8_t *to, size_t room, void *context)
{
    (void)context;
    struct hop *hop = rl_rpc_data(call);
    struct hop *from = hop ? hop->peer : NULL;
    if (!from)
        return RL_RPC_RAW_DEFER;
    size_t n = rl_queue_take(&from->in, to, room);
    if (n == 0)
        return from->in_ended ? RL_RPC_RAW_END : RL_RPC_RAW_DEFER;
    rl_metric_add(hop->broker->bytes_total, (int64_t)n);
    rl_metric_add(hop->broker->held_gauge, -(int64_t)n);
    if (from->call)
        rl_rpc_raw_consume(from->call, n);
    return (ptrdiff_t)n;
}

static void on_half_closed(struct rl_rpc_call *call, void *context)
{
    (void)context;
    struct hop *hop = rl_rpc_data(call);
    if (!hop)
        return;
    hop->in_ended = true;
    if (hop->reader)
        relay_end(hop, RL_E_INVAL, "it ended before its first frame");
    else if (hop->peer && hop->peer->call)
        rl_rpc_raw_wake(hop->peer->call);
}

static void on_closed(struct rl_rpc_call *call, rl_code code, const char *message, void *context)
{
    (void)context;
    struct hop *hop = rl_rpc_data(call);
    if (!hop)
        return;
    hop->call = NULL;
    hop->in_ended = true;
    rl_timer_disarm(hop->timer);
    join_forget(hop);
    struct hop *peer = hop->peer;
    if (!peer) {
        free_if_done(hop);
        return;
    }
    if (!peer->call)
        part(hop);
    else if (code == RL_OK) /* all was said; the peer reads what is left of it */
        rl_rpc_raw_wake(peer->call);
    else if (hop->kind ==
             HOP_DIAL) /* the agent shall know whose way is lost: RL_TUNNEL_DIALLER_MS */
        rl_rpc_raw_finish(peer->call, RL_E_ABORTED, message);
    else
        rl_rpc_raw_finish(peer->call, RL_E_UNAVAILABLE, message);
}

const struct rl_rpc_raw_ops dial_ops = {.opened = dial_opened,
                                        .data = on_data,
                                        .produce = produce,
                                        .half_closed = on_half_closed,
                                        .closed = on_closed};
const struct rl_rpc_raw_ops carry_ops = {.opened = carry_opened,
                                         .data = on_data,
                                         .produce = produce,
                                         .half_closed = on_half_closed,
                                         .closed = on_closed};
