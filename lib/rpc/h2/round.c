/* round: measures what arrives in a round trip, from a PING to its answer, and grows the windows by
 * it: the connection's, and that of the stream which brought most. The connection's is also wider
 * while only one stream is busy.
 */
#include "rpc/h2/h2.h"

/* Between rounds; doubled by each that changed nothing, so that a steady flow costs few PINGs. */
#define REST_FIRST_MS 10
#define REST_MAX_MS 200

static void set_connection_window(struct rl_h2_connection *c)
{
    uint64_t size = c->window_bytes, most = c->config->stream_window_bytes;
    if (c->is_wide && size < most) /* more than its own window one stream can not use */
        size = size * RL_H2_ALONE_FACTOR < most ? size * RL_H2_ALONE_FACTOR : most;
    nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, (int32_t)size);
}

static void look_who_is_busy(struct rl_h2_connection *c, const struct rl_h2_stream *stream,
                             size_t n)
{
    bool is_wide = rl_h2_alone(&c->alone, stream ? stream->id : 0, n, c->window_bytes,
                               rl_loop_now_ms(c->config->loop));
    if (is_wide == c->is_wide)
        return;
    c->is_wide = is_wide;
    set_connection_window(c);
}

/* A few small messages are not worth a PING. */
static bool is_worth_a_round(struct rl_h2_connection *c, size_t n)
{
    struct rl_h2_round *round = &c->round;
    round->before += n;
    return round->before >= c->window_bytes / 4 && !c->is_awaiting_pong &&
           c->window_bytes < RL_H2_CONNECTION_WINDOW_BYTES_MAX &&
           rl_loop_now_ms(c->config->loop) >= round->rests_until_ms;
}

static void begin(struct rl_h2_connection *c)
{
    struct rl_h2_round *round = &c->round;
    round->is_running = true;
    round->number++;
    round->received = round->before = 0;
    rl_h2_keepalive_ping(c, c->config->keepalive_timeout_ms);
    round->ping_us = c->ping_us;
}

void rl_h2_round_count(struct rl_h2_connection *c, struct rl_h2_stream *stream, size_t n)
{
    struct rl_h2_round *round = &c->round;
    look_who_is_busy(c, stream, n);
    if (!round->is_running) {
        if (is_worth_a_round(c, n))
            begin(c);
        return;
    }
    round->received += n;
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
    uint32_t size = stream->window_bytes ? stream->window_bytes : c->config->stream_window_bytes;
    uint32_t wanted = rl_h2_window_after_round(size, c->config->stream_window_bytes_max,
                                               stream->round_received, rtt_us, least_rtt_us);
    uint32_t granted = rl_h2_window_borrow(wanted - size);
    if (granted == 0)
        return;
    stream->borrowed += granted;
    stream->window_bytes = size + granted;
    c->round.rest_ms = 0;
    nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, stream->id,
                                          (int32_t)stream->window_bytes);
}

static void grow_connection(struct rl_h2_connection *c, uint64_t rtt_us)
{
    uint32_t wanted = rl_h2_window_after_round(c->window_bytes, RL_H2_CONNECTION_WINDOW_BYTES_MAX,
                                               c->round.received, rtt_us, c->least_rtt_us);
    uint32_t granted = rl_h2_window_borrow(wanted - c->window_bytes);
    if (granted == 0)
        return;
    c->borrowed += granted;
    c->window_bytes += granted;
    c->round.rest_ms = 0;
    set_connection_window(c);
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
    round->rest_ms = round->rest_ms ? 2 * round->rest_ms : REST_FIRST_MS;
    if (round->rest_ms > REST_MAX_MS)
        round->rest_ms = REST_MAX_MS;
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
    rl_h2_window_repay(stream->borrowed);
    stream->borrowed = 0;
}
