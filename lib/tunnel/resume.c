/* An end that outlives its stream. What it sent and nobody acknowledged lies in its ring; what it
 * received and its socket did not take it forgets, but for the piece that the socket was offered
 * (TLS wants that again), because the far end still has it. So a stream that takes over begins with
 * empty hands on both sides, however often that happens: each says what it has, and goes on there.
 */
#include "tunnel/end_internal.h"

#include <string.h>

#define READ_AHEAD_BYTES 65536
#define FULL_BUT_BYTES 1024 /* a frame with less room than this is full */

void rl_end_resume_init(struct rl_tunnel_end *end)
{
    struct rl_tunnel_resume *how = &end->config.resume;
    if (!how->session_id)
        return;
    end->session_id = rl_strdup(how->session_id);
    how->session_id = end->session_id;
    if (!how->wait_ms)
        how->wait_ms = RL_TUNNEL_RESUME_MS;
    if (!how->dialler_wait_ms)
        how->dialler_wait_ms =
            how->wait_ms < RL_TUNNEL_DIALLER_MS ? how->wait_ms : RL_TUNNEL_DIALLER_MS;
    if (!how->ring_bytes)
        how->ring_bytes = how->ring_bytes_max;
    end->paced_bytes = end->reach_bytes = (uint32_t)how->ring_bytes;
    rl_ring_init(&end->ring, how->ring_bytes_max, how->budget);
}

bool rl_tunnel_end_is_resumable(const struct rl_tunnel_end *end)
{
    return end->is_resumable && end->code == RL_OK && !end->is_closed;
}

bool rl_tunnel_end_is_parked(const struct rl_tunnel_end *end)
{
    return end->is_parked;
}

void *rl_tunnel_end_stream(const struct rl_tunnel_end *end)
{
    return end->stream;
}

/* ---- losing a stream ---- */

/* Said by who decides, and not by a hop that broke. To who carries, "not found" says that the Dial
 * it was called for is gone: another may come. */
static bool is_verdict(const struct rl_tunnel_end *end, rl_code code)
{
    switch (code) {
    case RL_E_INVAL:
    case RL_E_DENIED:
    case RL_E_PRECONDITION:
    case RL_E_UNIMPLEMENTED:
    case RL_E_UNAUTHENTICATED:
        return true;
    case RL_E_NOT_FOUND:
        return end->config.role == RL_TUNNEL_DIALS;
    default:
        return false;
    }
}

bool rl_end_may_park(const struct rl_tunnel_end *end, rl_code code)
{
    if (!end->is_resumable || (code == RL_OK && rl_end_is_complete(end)))
        return false;
    return !is_verdict(end, code);
}

/* What the far end will say again. */
static void forget_unsettled(struct rl_tunnel_end *end)
{
    end->received -= rl_queue_drop_behind_front(&end->queue);
    end->carried = end->queue.n - end->preface_left;
    end->eof_sent = end->eof_received = false;
}

/* Whose way broke? A device may be out of reach for long. But when the broker, which is still
 * there, has lost the proxy, then that is back soon or has died, and its users with it. */
static uint32_t patience_ms(const struct rl_tunnel_end *end, rl_code code)
{
    const struct rl_tunnel_resume *how = &end->config.resume;
    bool has_lost_dialler = end->config.role == RL_TUNNEL_CARRIES && code == RL_E_ABORTED;
    return has_lost_dialler ? how->dialler_wait_ms : how->wait_ms;
}

void rl_end_park(struct rl_tunnel_end *end, rl_code code, const char *message)
{
    uint64_t now_ms = rl_loop_now_ms(end->config.loop);
    if (!end->is_resuming) {
        end->give_up_at_ms = now_ms + patience_ms(end, code);
        end->nothing_left = rl_end_is_complete(end);
        forget_unsettled(end);
    }
    end->is_parked = true;
    end->is_resuming = end->is_open = end->end_told = end->ack_due = end->waits_for_room = false;
    end->owed = 0;
    rl_buf_consume(&end->out, end->out.n);
    rl_timer_arm(end->timer, end->give_up_at_ms > now_ms ? end->give_up_at_ms - now_ms : 0);
    if (end->config.resume.parked)
        end->config.resume.parked(end->config.context, code, message);
}

void rl_end_give_up(struct rl_tunnel_end *end, rl_code code, const char *message)
{
    end->is_parked = end->is_resuming = false;
    if (end->nothing_left)
        end->eof_sent = end->eof_received = true; /* complete: it ends well */
    else
        rl_end_fail(end, false, code, message);
}

/* ---- going on ---- */

static rl_code put_resume(struct rl_tunnel_end *end, struct rl_error *err)
{
    Pb__Resume resume = PB__RESUME__INIT;
    resume.session_id = end->session_id;
    resume.received = end->received;
    Pb__Frame frame = PB__FRAME__INIT;
    frame.resume = &resume;
    return rl_frame_write(&frame, &end->out, err);
}

rl_code rl_tunnel_end_resume(struct rl_tunnel_end *end, const Pb__Frame *first,
                             struct rl_error *err)
{
    RL_ASSERT(end->is_parked && !end->out.n);
    rl_code rc = rl_frame_write(first, &end->out, err);
    if (rc == RL_OK && end->config.role == RL_TUNNEL_CARRIES)
        rl_end_put_opened(end, RL_OK, "");
    if (rc == RL_OK)
        rc = put_resume(end, err);
    if (rc != RL_OK)
        rl_buf_consume(&end->out, end->out.n);
    return rc;
}

void rl_end_restart(struct rl_tunnel_end *end)
{
    uint64_t now_ms = rl_loop_now_ms(end->config.loop);
    uint64_t left_ms = end->give_up_at_ms > now_ms ? end->give_up_at_ms - now_ms : 0;
    uint64_t open_ms = end->config.open_timeout_ms;
    end->is_parked = end->stream_closed = false;
    end->is_resuming = true;
    /* Who carries was called: `opened` is its own to say. */
    end->first_seen = end->config.role == RL_TUNNEL_CARRIES;
    rl_frame_reader_restart(end->reader);
    rl_timer_arm(end->timer, left_ms < open_ms ? left_ms : open_ms);
}

rl_code rl_end_on_resume(struct rl_tunnel_end *end, const Pb__Resume *resume, struct rl_error *err)
{
    if (strcmp(resume->session_id, end->session_id) != 0)
        return rl_fail(err, RL_E_INVAL, "another session is resumed");
    if (resume->received < end->acked || resume->received > end->sent)
        return rl_fail(err, RL_E_INVAL, "%llu bytes are said to be received; %llu to %llu can be",
                       (unsigned long long)resume->received, (unsigned long long)end->acked,
                       (unsigned long long)end->sent);
    end->sent = resume->received;
    end->is_resuming = false;
    end->is_open = true;
    end->resumes++;
    rl_timer_disarm(end->timer);
    /* The last acknowledgement may be lost, and the far end be waiting for it. */
    end->ack_due = end->delivered > 0;
    rl_end_wake(end);
    if (end->config.resume.resumed)
        end->config.resume.resumed(end->config.context);
    return RL_OK;
}

/* ---- bytes ---- */

static size_t ring_room(const struct rl_tunnel_end *end)
{
    size_t kept = (size_t)(end->taken - end->acked), room = rl_ring_room(&end->ring);
    uint32_t most = end->paced_bytes > end->reach_bytes ? end->paced_bytes : end->reach_bytes;
    size_t left = most > kept ? most - kept : 0;
    return left < room ? left : room;
}

void rl_end_follow_acks(struct rl_tunnel_end *end, uint64_t acked)
{
    const struct rl_tunnel_resume *how = &end->config.resume;
    uint64_t now_ms = rl_loop_now_ms(end->config.loop);
    end->paced_bytes =
        rl_pace_follow(&end->pace, (size_t)(acked - end->acked), now_ms, end->paced_bytes,
                       (uint32_t)how->ring_bytes, (uint32_t)how->ring_bytes_max);
    if (!rl_reach_arrived(&end->reach, acked, now_ms))
        return;
    /* What is on its way is the windows' to bound: this shall not be what they wait for. */
    size_t wider = (size_t)end->reach_bytes * 4;
    end->reach_bytes = (uint32_t)(wider < how->ring_bytes_max ? wider : how->ring_bytes_max);
}

/* A plain socket is read into the ring, where its bytes have to lie anyway: several frames by one
 * system call when there is much. */
static ssize_t read_into_ring(struct rl_tunnel_end *end, uint8_t *to, size_t room)
{
    struct iovec places[RL_RING_PLACES_MAX];
    size_t most = end->is_bulk ? READ_AHEAD_BYTES : RL_TUNNEL_DATA_BYTES_MAX;
    if (most > ring_room(end))
        most = ring_room(end);
    int count = (int)rl_ring_places(&end->ring, most, places);
    ssize_t n = rl_socket_readv(end->socket, places, count);
    rl_ring_filled(&end->ring, n > 0 ? (size_t)n : 0);
    if (n <= 0)
        return n;
    end->is_bulk = (size_t)n >= RL_TUNNEL_DATA_BYTES_MAX;
    end->taken += (uint64_t)n;
    return (ssize_t)rl_ring_copy(&end->ring, end->sent, to, room);
}

/* TLS gives one record at a time, of whatever size the user's program made it: a frame takes them
 * until it is as good as full. */
static ssize_t read_records(struct rl_socket *socket, uint8_t *to, size_t room)
{
    ssize_t n, done = 0;
    do {
        n = rl_socket_read(socket, to + done, room - (size_t)done);
        done += n > 0 ? n : 0;
    } while (n > 0 && room - (size_t)done >= FULL_BUT_BYTES);
    return done > 0 ? done : n;
}

static ssize_t read_and_keep(struct rl_tunnel_end *end, uint8_t *to, size_t room)
{
    if (end->is_resumable && room > ring_room(end))
        room = ring_room(end);
    ssize_t n = read_records(end->socket, to, room);
    if (n <= 0)
        return n;
    end->taken += (uint64_t)n;
    if (end->is_resumable)
        rl_ring_put(&end->ring, RL_SPAN(to, (size_t)n));
    return n;
}

ssize_t rl_end_next_bytes(struct rl_tunnel_end *end, uint8_t *to, size_t room)
{
    if (end->sent < end->taken)
        return (ssize_t)rl_ring_copy(&end->ring, end->sent, to, room);
    if (end->socket_ended)
        return 0;
    if (end->is_resumable && !ring_room(end)) {
        end->waits_for_room = true;
        rl_reach_full(&end->reach, end->taken, rl_loop_now_ms(end->config.loop));
        return RL_SOCKET_WAIT;
    }
    return end->is_resumable && rl_socket_is_plain(end->socket) ? read_into_ring(end, to, room)
                                                                : read_and_keep(end, to, room);
}
