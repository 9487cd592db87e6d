/* From the socket to the stream. One frame at a time lies in `out`; data usually never does: it is
 * read into the transport's frame behind a header that is written there afterwards.
 */
#include "tunnel/end_internal.h"

#include <string.h>

#define SLIVER_BYTES 64 /* less room than this is not worth a frame of its own */
#define SLIVER_READ_BYTES 1024

static ptrdiff_t take_out(struct rl_tunnel_end *end, uint8_t *to, size_t room)
{
    size_t n = end->out.n < room ? end->out.n : room;
    memcpy(to, end->out.p, n);
    rl_buf_consume(&end->out, n);
    return (ptrdiff_t)n;
}

static void put_frame(struct rl_tunnel_end *end, const Pb__Frame *frame)
{
    /* `out` is empty here, and what this end says is far below its maximum. */
    RL_ASSERT(rl_frame_write(frame, &end->out, NULL) == RL_OK);
}

static void put_reset(struct rl_tunnel_end *end)
{
    char text[RL_ERROR_MESSAGE_BYTES];
    strncpy(text, end->message, sizeof text - 1);
    text[sizeof text - 1] = '\0';
    Pb__Reset reset = PB__RESET__INIT;
    reset.code = (uint32_t)end->code;
    reset.message = text;
    Pb__Frame frame = PB__FRAME__INIT;
    frame.reset = &reset;
    put_frame(end, &frame);
    end->reset_due = false;
    end->reset_sent = true;
}

static void put_ack(struct rl_tunnel_end *end)
{
    Pb__Frame frame = PB__FRAME__INIT;
    frame.ack = end->delivered;
    put_frame(end, &frame);
    end->ack_sent = end->delivered;
    end->ack_due = false;
    rl_timer_disarm(end->timer);
}

static void put_eof(struct rl_tunnel_end *end)
{
    Pb__Frame frame = PB__FRAME__INIT;
    frame.offset = end->sent;
    frame.eof = true;
    put_frame(end, &frame);
    end->eof_sent = true;
}

/* The socket has nothing to give: why? */
static ptrdiff_t no_data(struct rl_tunnel_end *end, ssize_t n, uint8_t *to, size_t room)
{
    if (n == RL_SOCKET_WAIT)
        return RL_TUNNEL_DEFER;
    if (n == 0) {
        end->socket_ended = true;
        put_eof(end);
        return take_out(end, to, room);
    }
    rl_end_fail(end, true, RL_E_CANCELLED, "its connection was cut off");
    put_reset(end);
    return take_out(end, to, room);
}

/* A stream's window may have only a few bytes left. Waiting for more would be for ever, since
 * nobody wakes a stream because of its window; so the frame is cut across two calls. */
static ptrdiff_t produce_sliver(struct rl_tunnel_end *end, uint8_t *to, size_t room)
{
    uint8_t frame[RL_TUNNEL_DATA_HEADER_BYTES_MAX + SLIVER_READ_BYTES];
    size_t header = rl_frame_data_header_bytes(end->sent);
    ssize_t n = rl_end_next_bytes(end, frame + header, SLIVER_READ_BYTES);
    if (n <= 0)
        return no_data(end, n, to, room);
    rl_frame_data_header_write(frame, end->sent, (size_t)n);
    end->sent += (uint64_t)n;
    RL_ASSERT(rl_buf_put(&end->out, frame, header + (size_t)n));
    return take_out(end, to, room);
}

static ptrdiff_t produce_data(struct rl_tunnel_end *end, uint8_t *to, size_t room)
{
    size_t header = rl_frame_data_header_bytes(end->sent);
    if (room < header + SLIVER_BYTES)
        return produce_sliver(end, to, room);
    size_t most = room - header;
    if (most > RL_TUNNEL_DATA_BYTES_MAX)
        most = RL_TUNNEL_DATA_BYTES_MAX;
    ssize_t n = rl_end_next_bytes(end, to + header, most);
    if (n <= 0)
        return no_data(end, n, to, room);
    rl_frame_data_header_write(to, end->sent, (size_t)n);
    end->sent += (uint64_t)n;
    return (ptrdiff_t)(header + (size_t)n);
}

static ptrdiff_t produce(struct rl_tunnel_end *end, uint8_t *to, size_t room)
{
    if (!end->out.n && end->reset_due)
        put_reset(end);
    if (!end->out.n && end->ack_due && end->is_open)
        put_ack(end);
    if (end->out.n)
        return take_out(end, to, room);
    if (end->reset_sent || rl_end_is_complete(end)) {
        end->end_told = true;
        return RL_TUNNEL_END;
    }
    if (!end->is_open || !end->socket || end->eof_sent)
        return RL_TUNNEL_DEFER;
    return produce_data(end, to, room);
}

ptrdiff_t rl_tunnel_end_produce(struct rl_tunnel_end *end, uint8_t *to, size_t room)
{
    RL_ASSERT(room > 0);
    rl_end_enter(end);
    ptrdiff_t n = end->end_told ? RL_TUNNEL_END : produce(end, to, room);
    rl_end_leave(end);
    return n;
}
