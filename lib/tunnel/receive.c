/* From the stream to the socket. The window comes back as the socket takes the bytes: headers and
 * control frames at once, payload when it is written.
 */
#include "tunnel/end_internal.h"

#define TOGETHER_BYTES 65536 /* of what came in a turn, by one system call; in at most so many */
#define PIECES_MAX 8

static void delivered(struct rl_tunnel_end *end, size_t n)
{
    end->delivered += n;
    uint64_t behind = end->delivered - end->ack_sent;
    bool is_last = end->eof_received && end->delivered == end->received;
    bool is_early = end->delivered < RL_TUNNEL_ACK_FIRST_UNTIL;
    if (behind >= (is_early ? RL_TUNNEL_ACK_FIRST_BYTES : RL_TUNNEL_ACK_BYTES) || is_last) {
        end->ack_due = true;
        rl_end_wake(end);
    } else if (!end->stream_closed && !rl_timer_is_armed(end->timer)) {
        rl_timer_arm(end->timer, RL_TUNNEL_ACK_MS);
    }
}

/* Both the far end and the queue have ended: so does the socket's writing side. */
static void finish_socket(struct rl_tunnel_end *end)
{
    if (!end->eof_received || end->queue.n || !end->socket)
        return;
    if (!end->socket_finished)
        rl_socket_finish(end->socket);
    end->socket_finished = true;
    rl_end_wake(end); /* this end may be complete now */
}

static void socket_broke(struct rl_tunnel_end *end)
{
    rl_end_fail(end, true, RL_E_CANCELLED, "its connection was cut off");
}

static ssize_t write_front(struct rl_tunnel_end *end)
{
    if (rl_socket_is_plain(end->socket)) {
        struct iovec pieces[PIECES_MAX];
        size_t count = rl_queue_pieces(&end->queue, pieces, PIECES_MAX);
        return rl_socket_writev(end->socket, pieces, count);
    }
    struct rl_span front = rl_queue_front(&end->queue);
    return rl_socket_write(end->socket, front.p, front.n);
}

void rl_end_flush(struct rl_tunnel_end *end)
{
    while (end->socket && end->queue.n && !rl_socket_is_full(end->socket)) {
        ssize_t n = write_front(end);
        if (n == RL_SOCKET_BROKEN)
            socket_broke(end);
        if (n <= 0)
            return;
        rl_queue_drop(&end->queue, (size_t)n);
        size_t preface = (size_t)n < end->preface_left ? (size_t)n : end->preface_left;
        end->preface_left -= preface;
        size_t payload = (size_t)n - preface;
        size_t carried = payload < end->carried ? payload : end->carried;
        end->carried -= carried;
        if (payload > carried && end->stream)
            end->config.transport->consume(end->stream, payload - carried);
        if (payload)
            delivered(end, payload);
        if (end->stream_closed && !end->is_parked)
            rl_timer_arm(end->timer, RL_TUNNEL_LINGER_MS);
    }
    finish_socket(end);
}

/* A full frame for a plain socket waits for those behind it; a keystroke does not. */
static bool waits_for_more(const struct rl_tunnel_end *end, size_t n)
{
    return end->queue.n || (n >= RL_QUEUE_LARGE_BYTES && end->turn_end);
}

static void flush_soon(struct rl_tunnel_end *end)
{
    if (end->turn_end && end->queue.n < TOGETHER_BYTES)
        rl_task_schedule(end->turn_end);
    else
        rl_end_flush(end);
}

rl_code rl_end_on_data(void *context, uint64_t offset, const uint8_t *bytes, size_t n,
                       struct rl_error *err)
{
    struct rl_tunnel_end *end = context;
    if (end->code != RL_OK)
        return RL_OK; /* on its way out: what still comes is dropped */
    if (!end->is_open)
        return rl_fail(err, RL_E_INVAL, "data before the tunnel was open");
    if (end->eof_received)
        return rl_fail(err, RL_E_INVAL, "data after the end");
    if (offset != end->received)
        return rl_fail(err, RL_E_INVAL, "data at offset %llu where %llu was due",
                       (unsigned long long)offset, (unsigned long long)end->received);
    end->received += n;
    size_t written = 0;
    if (!waits_for_more(end, n)) {
        ssize_t taken = rl_socket_write(end->socket, bytes, n);
        if (taken == RL_SOCKET_BROKEN) {
            socket_broke(end);
            return RL_OK;
        }
        written = taken > 0 ? (size_t)taken : 0;
    }
    if (written)
        delivered(end, written);
    size_t rest = n - written;
    if (end->queue.n - end->preface_left - end->carried + rest > end->config.window_bytes)
        return rl_fail(err, RL_E_EXHAUSTED, "data beyond the window of %zu bytes",
                       end->config.window_bytes);
    RL_ASSERT(rl_queue_put(&end->queue, RL_SPAN(bytes + written, rest)));
    end->owed += rest;
    if (rest && !rl_socket_is_full(end->socket))
        flush_soon(end);
    return RL_OK;
}

static rl_code on_eof(struct rl_tunnel_end *end, const Pb__Frame *frame, struct rl_error *err)
{
    if (end->eof_received)
        return rl_fail(err, RL_E_INVAL, "a second end");
    if (frame->offset != end->received)
        return rl_fail(err, RL_E_INVAL, "an end at offset %llu where %llu was due",
                       (unsigned long long)frame->offset, (unsigned long long)end->received);
    end->eof_received = true;
    if (end->delivered == end->received && end->delivered > end->ack_sent) {
        end->ack_due = true;
        rl_end_wake(end);
    }
    finish_socket(end);
    return RL_OK;
}

static rl_code on_ack(struct rl_tunnel_end *end, const Pb__Frame *frame, struct rl_error *err)
{
    if (frame->ack < end->acked || frame->ack > end->sent)
        return rl_fail(err, RL_E_INVAL,
                       "an acknowledgement of %llu bytes; %llu to %llu are possible",
                       (unsigned long long)frame->ack, (unsigned long long)end->acked,
                       (unsigned long long)end->sent);
    if (end->is_resumable) {
        rl_end_follow_acks(end, frame->ack);
        rl_ring_drop(&end->ring, frame->ack);
    }
    end->acked = frame->ack;
    if (end->waits_for_room || end->eof_sent)
        rl_end_wake(end);
    end->waits_for_room = false;
    return RL_OK;
}

static void on_reset(struct rl_tunnel_end *end, const Pb__Reset *reset)
{
    rl_code code = rl_code_from_number((long)reset->code);
    end->by_far_end = true;
    rl_end_fail(end, false, code == RL_OK ? RL_E_UNKNOWN : code, reset->message);
}

static void on_opened(struct rl_tunnel_end *end, const Pb__Opened *opened)
{
    end->first_seen = true;
    rl_timer_disarm(end->timer);
    rl_code code = rl_code_from_number((long)opened->code);
    end->is_open = code == RL_OK;
    end->is_resumable = end->session_id && (opened->features & RL_TUNNEL_FEATURE_RESUME);
    end->config.opened(end->config.context, code, opened->message);
    if (code != RL_OK) {
        end->by_far_end = true;
        rl_end_fail(end, false, code, opened->message);
    }
    RL_ASSERT(end->is_attached || end->code != RL_OK);
}

/* How many things a frame without data says; exactly one is allowed, with the offset only for eof.
 */
static unsigned count_parts(const Pb__Frame *f)
{
    const bool says[] = {f->ack != 0,     f->eof != 0,     f->reset != NULL, f->resume != NULL,
                         f->dial != NULL, f->join != NULL, f->opened != NULL};
    unsigned count = 0;
    for (size_t i = 0; i < RL_COUNT(says); i++)
        count += says[i] ? 1u : 0u;
    return count;
}

/* Of a stream that takes the place of one that was lost. */
static rl_code on_first_again(struct rl_tunnel_end *end, const Pb__Frame *frame,
                              struct rl_error *err)
{
    if (frame->resume && end->first_seen)
        return rl_end_on_resume(end, frame->resume, err);
    if (!frame->opened || end->first_seen)
        return rl_fail(err, RL_E_INVAL, "a frame that may not come before the tunnel goes on");
    rl_code code = rl_code_from_number((long)frame->opened->code);
    if (code != RL_OK)
        return rl_fail(err, code, "%s", frame->opened->message);
    if (!(frame->opened->features & RL_TUNNEL_FEATURE_RESUME))
        return rl_fail(err, RL_E_UNIMPLEMENTED, "the far end began anew");
    end->first_seen = true;
    return RL_OK;
}

static rl_code on_first(struct rl_tunnel_end *end, const Pb__Frame *frame, struct rl_error *err)
{
    if (frame->reset) {
        on_reset(end, frame->reset);
        return RL_OK;
    }
    if (end->is_resuming)
        return on_first_again(end, frame, err);
    if (end->config.role == RL_TUNNEL_DIALS && frame->opened) {
        on_opened(end, frame->opened);
        return RL_OK;
    }
    if (end->config.role == RL_TUNNEL_ANSWERS && frame->dial && !end->first_seen) {
        end->first_seen = true;
        rl_timer_disarm(end->timer);
        end->config.dialled(end->config.context, frame->dial);
        return RL_OK;
    }
    return rl_fail(err, RL_E_INVAL, "a frame that may not come before the tunnel is open");
}

rl_code rl_end_on_control(void *context, const Pb__Frame *frame, struct rl_error *err)
{
    struct rl_tunnel_end *end = context;
    if (end->code != RL_OK)
        return RL_OK;
    if (count_parts(frame) != 1 || (frame->offset && !frame->eof))
        return rl_fail(err, RL_E_INVAL, "a frame that says nothing, or more than one thing");
    if (frame->resume && !end->session_id)
        return rl_fail(err, RL_E_UNIMPLEMENTED, "resuming was not agreed on");
    if (!end->is_open)
        return on_first(end, frame, err);
    if (frame->eof)
        return on_eof(end, frame, err);
    if (frame->ack)
        return on_ack(end, frame, err);
    if (frame->reset) {
        on_reset(end, frame->reset);
        return RL_OK;
    }
    return rl_fail(err, RL_E_INVAL, "a frame that may only come first");
}

void rl_tunnel_end_data(struct rl_tunnel_end *end, const uint8_t *bytes, size_t n)
{
    rl_end_enter(end);
    end->owed = 0;
    struct rl_error err;
    if (rl_frame_reader_feed(end->reader, RL_SPAN(bytes, n), &err) != RL_OK)
        rl_end_fail(end, true, err.code, err.message);
    /* A failure dropped the queue and gave back all of it: the rest of this call's is due. */
    size_t at_once = n - (end->owed < n ? end->owed : n);
    end->owed = 0;
    if (at_once && end->stream)
        end->config.transport->consume(end->stream, at_once);
    rl_end_leave(end);
}

void rl_tunnel_end_half_closed(struct rl_tunnel_end *end)
{
    rl_end_enter(end);
    if (!end->eof_received && end->is_resumable && end->code == RL_OK && end->stream)
        end->config.transport->cancel(end->stream); /* some hop gave up: it is parked */
    else if (!end->eof_received)
        rl_end_fail(end, true, RL_E_UNAVAILABLE, "the tunnel ended before the far end was done");
    rl_end_leave(end);
}
