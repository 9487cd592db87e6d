/* round: measures what arrives in a round trip, from a PING to its answer, and grows the windows by
 * it: the connection's, and that of the stream which brought most. While only one stream is busy
 * both follow its pace as well.
 */
#include "rpc/h2/h2.h"

/* Between rounds; doubled by each that changed nothing, so that a steady flow costs few PINGs. */
#define REST_FIRST_MS 10
#define REST_MAX_MS 200
/* A shorter time in which nothing came is the machine's, not the path's. */
#define GAP_MS_MIN 4

static void set_connection_window(struct rl_h2_connection *c)
{
    uint32_t size = c->alone_bytes > c->window_bytes ? c->alone_bytes : c->window_bytes;
    nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, (int32_t)size);
}

static uint32_t own_window(const struct rl_h2_stream *stream)
{
    return stream->window_bytes ? stream->window_bytes
                                : stream->connection->config->stream_window_bytes;
}

static void set_stream_window(struct rl_h2_stream *stream, uint32_t size)
{
    nghttp2_session_set_local_window_size(stream->connection->session, NGHTTP2_FLAG_NONE,
                                          stream->id, (int32_t)size);
}

static void end_alone(struct rl_h2_connection *c)
{
    struct rl_h2_stream *stream = c->alone_who;
    if (stream && c->alone_borrowed)
        set_stream_window(stream, own_window(stream));
    rl_h2_window_repay(c->alone_borrowed);
    c->alone_borrowed = c->alone_bytes = 0;
    c->alone_who = NULL;
    c->pace = (struct rl_pace){0};
}

/* Beyond its own window a stream's is the process's budget's to give. */
static void widen(struct rl_h2_connection *c, struct rl_h2_stream *stream, uint32_t size)
{
    uint32_t own = own_window(stream);
    uint32_t more = size > own ? size - own : 0;
    uint32_t before = c->alone_borrowed;
    rl_h2_window_repay(before);
    c->alone_who = stream;
    c->alone_bytes = size;
    c->alone_borrowed = rl_h2_window_borrow(more);
    if (c->alone_borrowed != before)
        set_stream_window(stream, own + c->alone_borrowed);
    set_connection_window(c);
}

/* Where somebody's bytes are carried, a message now and then, as that which calls a node for one
 * more of them, is no reason to keep them narrow. */
static bool counts(struct rl_h2_connection *c, const struct rl_h2_stream *stream)
{
    if (!stream || !stream->call.raw)
        return stream && !c->carries;
    if (!c->carries)
        c->alone = (struct rl_h2_alone){0};
    c->carries = true;
    return true;
}

static void look_who_is_busy(struct rl_h2_connection *c, struct rl_h2_stream *stream, size_t n)
{
    if (!counts(c, stream))
        return;
    uint64_t now_ms = rl_loop_now_ms(c->config->loop);
    bool is_alone = rl_h2_alone(&c->alone, stream->id, n, c->window_bytes, now_ms);
    if (c->alone_bytes && (!is_alone || c->alone_who != stream)) {
        end_alone(c);
        set_connection_window(c);
    }
    if (!is_alone)
        return;
    uint32_t least = c->config->connection_window_bytes;
    uint32_t size = rl_pace_follow(&c->pace, n, now_ms, c->alone_bytes ? c->alone_bytes : least,
                                   least, RL_H2_ALONE_BYTES_MAX);
    if (size != c->alone_bytes)
        widen(c, stream, size);
}

/* The smallest window that could grow: a new stream's on a connection that has had a large one for
 * long is what limits its sender. 0: none could. */
static uint32_t growing_window(const struct rl_h2_connection *c, const struct rl_h2_stream *stream)
{
    uint32_t size = c->window_bytes < RL_H2_CONNECTION_WINDOW_BYTES_MAX ? c->window_bytes : 0;
    if (!stream || own_window(stream) >= c->config->stream_window_bytes_max)
        return size;
    return size && size < own_window(stream) ? size : own_window(stream);
}

/* A few small messages are not worth a PING. */
static bool is_worth_a_round(struct rl_h2_connection *c, const struct rl_h2_stream *stream,
                             size_t n)
{
    struct rl_h2_round *round = &c->round;
    uint32_t size = growing_window(c, stream);
    round->before += n;
    return size && round->before >= size / 4 && !c->is_awaiting_pong &&
           rl_loop_now_ms(c->config->loop) >= round->rests_until_ms;
}

static void begin(struct rl_h2_connection *c)
{
    struct rl_h2_round *round = &c->round;
    round->is_running = true;
    round->number++;
    round->received = round->before = round->gap_ms = 0;
    round->came_ms = rl_loop_now_ms(c->config->loop);
    rl_h2_keepalive_ping(c, c->config->keepalive_timeout_ms);
    round->ping_us = c->ping_us;
}

static void note_gap(struct rl_h2_connection *c)
{
    uint64_t now_ms = rl_loop_now_ms(c->config->loop), gap_ms = now_ms - c->round.came_ms;
    if (gap_ms > c->round.gap_ms)
        c->round.gap_ms = gap_ms;
    c->round.came_ms = now_ms;
}

static uint64_t gap_us(const struct rl_h2_connection *c)
{
    return c->round.gap_ms < GAP_MS_MIN ? 0 : c->round.gap_ms * 1000;
}

void rl_h2_round_count(struct rl_h2_connection *c, struct rl_h2_stream *stream, size_t n)
{
    struct rl_h2_round *round = &c->round;
    look_who_is_busy(c, stream, n);
    if (!round->is_running) {
        if (is_worth_a_round(c, stream, n))
            begin(c);
        return;
    }
    round->received += n;
    note_gap(c);
    if (!stream)
        return;
    if (stream->round != round->number) {
        stream->round = round->number;
        stream->round_received = 0;
    }
    stream->round_received += n;
    if (!round->busiest || stream->round_received > round->busiest->round_received)
        round->busiest = stream;
}

static void grow_stream(struct rl_h2_stream *stream, uint64_t rtt_us, uint64_t least_rtt_us)
{
    struct rl_h2_connection *c = stream->connection;
    uint32_t size = own_window(stream);
    uint32_t wanted =
        rl_h2_window_after_round(size, c->config->stream_window_bytes_max, stream->round_received,
                                 rtt_us, least_rtt_us, gap_us(c));
    uint32_t granted = rl_h2_window_borrow(wanted - size);
    if (granted == 0)
        return;
    stream->borrowed += granted;
    stream->window_bytes = size + granted;
    c->round.rest_ms = c->round.idle_count = 0;
    uint32_t alone = c->alone_who == stream ? c->alone_borrowed : 0;
    set_stream_window(stream, stream->window_bytes + alone);
}

static void grow_connection(struct rl_h2_connection *c, uint64_t rtt_us)
{
    uint32_t wanted =
        rl_h2_window_after_round(c->window_bytes, RL_H2_CONNECTION_WINDOW_BYTES_MAX,
                                 c->round.received, rtt_us, c->least_rtt_us, gap_us(c));
    uint32_t granted = rl_h2_window_borrow(wanted - c->window_bytes);
    if (granted == 0)
        return;
    c->borrowed += granted;
    c->window_bytes += granted;
    c->round.rest_ms = c->round.idle_count = 0;
    set_connection_window(c);
}

/* Not after the first that changed nothing: it may have ended before what the last one granted
 * came. */
static void rest_longer(struct rl_h2_round *round)
{
    if (round->idle_count++ == 0)
        round->rest_ms = 0;
    else
        round->rest_ms = round->rest_ms ? 2 * round->rest_ms : REST_FIRST_MS;
    if (round->rest_ms > REST_MAX_MS)
        round->rest_ms = REST_MAX_MS;
}

void rl_h2_round_end(struct rl_h2_connection *c, uint64_t ping_us, uint64_t rtt_us)
{
    struct rl_h2_round *round = &c->round;
    if (!round->is_running)
        return;
    round->is_running = false;
    if (ping_us != round->ping_us) { /* another PING came between */
        round->busiest = NULL;
        return;
    }
    rest_longer(round);
    note_gap(c);
    if (round->busiest)
        grow_stream(round->busiest, rtt_us, c->least_rtt_us);
    grow_connection(c, rtt_us);
    round->rests_until_ms = rl_loop_now_ms(c->config->loop) + round->rest_ms;
    round->busiest = NULL;
    rl_h2_connection_wake(c);
}

void rl_h2_round_forget(struct rl_h2_connection *c, struct rl_h2_stream *stream)
{
    if (c->round.busiest == stream)
        c->round.busiest = NULL;
    rl_h2_alone_forget(&c->alone, stream->id);
    if (c->alone_who == stream) {
        c->alone_who = NULL; /* nghttp2 knows it no more */
        rl_h2_window_repay(c->alone_borrowed);
        c->alone_borrowed = 0;
    }
    rl_h2_window_repay(stream->borrowed);
    stream->borrowed = 0;
}
