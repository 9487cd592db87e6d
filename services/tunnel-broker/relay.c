/* relay: two raw streams joined. Of each only the first frame is read; after it bytes go through as
 * they are. What one side sent waits in its queue until the transport of the other takes it, and
 * only then is its window given back: a reader that stalls holds a window here, and its writer
 * waits.
 */
#include "internal.h"

#include "roots/roots.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_FRAME_MS 10000

static void free_if_done(struct hop *hop)
{
    if (hop->call || hop->peer || hop->errand)
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
    rl_buf_fini(&hop->first);
    ways_release(&hop->way);
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
    else if (dial->peer->agent_id)
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

static struct hop *create(struct broker *broker, enum hop_kind kind)
{
    struct hop *hop = rl_alloc(sizeof *hop);
    hop->broker = broker;
    hop->kind = kind;
    hop->timer = rl_timer_create(broker->config.loop, on_timer, hop);
    rl_buf_init(&hop->first, RL_TUNNEL_PREFIX_BYTES + RL_TUNNEL_CONTROL_BYTES_MAX);
    /* The transport holds a peer to its window, wherever that stands; this is only the most. */
    uint32_t window = broker->config.stream_window_bytes;
    rl_queue_init(&hop->in,
                  window > RL_RPC_RAW_WINDOW_BYTES_MAX ? window : RL_RPC_RAW_WINDOW_BYTES_MAX);
    hop->next = broker->hops;
    if (hop->next)
        hop->next->previous = hop;
    broker->hops = hop;
    return hop;
}

static struct hop *open_hop(struct rl_rpc_call *call, struct broker *broker, enum hop_kind kind)
{
    struct hop *hop = create(broker, kind);
    hop->call = call;
    hop->reader = rl_frame_reader_create(kind == HOP_DIAL ? &dial_first : &carry_first, hop);
    rl_timer_arm(hop->timer, FIRST_FRAME_MS);
    rl_rpc_set_data(call, hop);
    return hop;
}

/* A proxy, or another broker of this cluster for who comes from a root. */
static void dial_opened(struct rl_rpc_call *call, void *context)
{
    struct hop *hop = open_hop(call, context, HOP_DIAL);
    hop->by_broker = rl_identity_is_service(rl_rpc_peer(call)->identity, "broker");
}

/* Whoever comes for what was dialled has to be attached, so nothing is asked of a leaf here. */
static void carry_opened(struct rl_rpc_call *call, void *context)
{
    const struct rl_identity *caller = rl_rpc_peer(call)->identity;
    struct hop *hop = open_hop(call, context, HOP_CARRY);
    hop->agent_id =
        caller->kind == RL_IDENTITY_AGENT ? rl_strdup(caller->name) : leaves_id_of(caller);
}

/* ---- bytes ---- */

static void finish(const struct hop *hop, rl_code code, const char *message)
{
    if (!hop->call)
        return;
    if (hop->is_ours)
        rl_rpc_cancel(hop->call);
    else
        rl_rpc_raw_finish(hop->call, code, message);
}

void relay_join(struct hop *dial, struct hop *carry)
{
    struct broker *broker = dial->broker;
    struct errand *errand = dial->errand;
    dial->errand = NULL;
    dial->peer = carry;
    carry->peer = dial;
    broker->joined++;
    rl_metric_set(broker->streams_gauge, (int64_t)broker->joined);
    rl_metric_add(broker->dials_ok, 1);
    if (errand && !errand_came(errand))
        finish(carry, RL_E_UNAVAILABLE, "the root can not be reached any more");
    else
        rl_rpc_raw_wake(carry->call); /* what the dialler sent already */
}

void relay_end(struct hop *hop, rl_code code, const char *message)
{
    struct hop *peer = hop->peer;
    if (hop->kind == HOP_DIAL && !peer)
        rl_metric_add(hop->broker->dials_failed, 1);
    rl_timer_disarm(hop->timer);
    join_forget(hop);
    finish(hop, code, message);
    if (peer)
        finish(peer, code, message);
    else if (hop->errand)
        errand_failed(hop->errand, code, message);
}

void relay_part_resumable(const struct attachment *attachment)
{
    for (struct hop *hop = attachment->broker->hops, *next; hop; hop = next) {
        next = hop->next;
        if (hop->kind == HOP_DIAL && hop->attachment == attachment && hop->is_resumable)
            relay_end(hop, RL_E_UNAVAILABLE, "the node came again by another way");
    }
}

void relay_cut_leaves(struct broker *broker)
{
    struct rl_error err;
    for (struct hop *hop = broker->hops, *next; hop; hop = next) {
        next = hop->next;
        if (hop->kind == HOP_CARRY && hop->call && hop->agent_id && leaves_is_id(hop->agent_id) &&
            leaves_check(broker, rl_rpc_peer(hop->call)->identity, &err) != RL_OK)
            relay_end(hop, err.code, err.message);
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

/* Whoever was dialled elsewhere is there: its first bytes are for the root. */
static void has_answered(struct hop *hop)
{
    struct hop *dial = hop->reaches;
    dial->reached = hop->reaches = NULL;
    relay_join(dial, hop);
}

static ptrdiff_t take_own_first(struct hop *hop, uint8_t *to, size_t room)
{
    size_t n = hop->first.n < room ? hop->first.n : room;
    memcpy(to, hop->first.p, n);
    rl_buf_consume(&hop->first, n);
    if (!hop->first.n)
        rl_buf_fini(&hop->first);
    return (ptrdiff_t)n;
}

static void on_data(struct rl_rpc_call *call, const uint8_t *bytes, size_t n, void *context)
{
    (void)context;
    struct hop *hop = rl_rpc_data(call);
    if (!hop) {
        rl_rpc_raw_consume(call, n);
        return;
    }
    if (hop->reaches)
        has_answered(hop);
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
    if (hop && hop->first.n)
        return take_own_first(hop, to, room);
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

static void closed_alone(struct hop *hop, rl_code code, const char *message)
{
    struct hop *dial = hop->reaches;
    hop->reaches = NULL;
    if (dial)
        dial->reached = NULL;
    free_if_done(hop);
    if (dial)
        errand_failed(dial->errand, code, message);
}

/* Who was dialled shall know when it is the dialler's own way that is lost: RL_TUNNEL_DIALLER_MS.
 * Of who comes from a root only the root knows that. */
static rl_code code_for_peer(const struct hop *hop, rl_code code)
{
    if (hop->kind == HOP_CARRY)
        return RL_E_UNAVAILABLE;
    bool is_own_dialler = !hop->is_ours && !hop->by_broker;
    return is_own_dialler || code == RL_E_ABORTED ? RL_E_ABORTED : RL_E_UNAVAILABLE;
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
    if (!hop->peer)
        closed_alone(hop, code, message);
    else if (!hop->peer->call)
        part(hop);
    else if (code == RL_OK) /* all was said; the peer reads what is left of it */
        rl_rpc_raw_wake(hop->peer->call);
    else
        finish(hop->peer, code_for_peer(hop, code), message);
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

/* ---- for who comes from a root ---- */

static const struct rl_rpc_raw_ops own_ops = {
    .data = on_data, .produce = produce, .closed = on_closed};

struct hop *relay_expect(struct broker *broker, struct errand *errand, bool is_resumable)
{
    struct hop *hop = create(broker, HOP_DIAL);
    hop->is_ours = true;
    hop->is_resumable = is_resumable;
    hop->errand = errand;
    return hop;
}

rl_code relay_call(struct hop *hop, const struct relay_call *call, struct rl_error *err)
{
    if (!call->channel)
        return rl_fail(err, RL_E_UNAVAILABLE, "there is no connection any more");
    rl_code rc = rl_frame_write(call->first, &hop->first, err);
    if (rc != RL_OK)
        return rc;
    hop->call = rl_rpc_raw_open(call->channel, call->service, call->method, &own_ops, NULL);
    rl_rpc_set_data(hop->call, hop);
    rl_rpc_raw_wake(hop->call);
    return RL_OK;
}

rl_code relay_reach(struct hop *hop, const struct relay_call *call, struct way *way,
                    struct rl_error *err)
{
    struct hop *far = create(hop->broker, HOP_CARRY);
    far->is_ours = true;
    rl_code rc = relay_call(far, call, err);
    if (rc != RL_OK) {
        free_if_done(far);
        return rc;
    }
    far->way = way;
    far->reaches = hop;
    hop->reached = far;
    return RL_OK;
}

void relay_forget(struct hop **holder)
{
    struct hop *hop = *holder;
    if (!hop)
        return;
    *holder = NULL;
    hop->errand = NULL;
    join_forget(hop);
    if (hop->reached) {
        hop->reached->reaches = NULL;
        rl_rpc_cancel(hop->reached->call);
        hop->reached = NULL;
    }
    free_if_done(hop);
}
