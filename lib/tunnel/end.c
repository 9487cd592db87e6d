/* The life of an end: created, started, attached, and closed when both stream and socket are gone.
 * Every entry point runs between rl_end_enter() and rl_end_leave(), so that whatever happens inside
 * it, the end is freed only on the way out.
 */
#include "tunnel/end_internal.h"

#include <stdlib.h>
#include <string.h>

void rl_end_wake(struct rl_tunnel_end *end)
{
    if (end->stream && !end->end_told)
        end->config.transport->wake(end->stream);
}

bool rl_end_owes_socket(const struct rl_tunnel_end *end)
{
    return end->queue.n || (end->socket && rl_socket_has_unsent(end->socket));
}

bool rl_end_is_complete(const struct rl_tunnel_end *end)
{
    bool is_settled = !end->is_resumable || end->acked == end->taken;
    return end->eof_sent && end->eof_received && !rl_end_owes_socket(end) && is_settled;
}

static void free_end(struct rl_tunnel_end *end)
{
    rl_timer_free(&end->timer);
    rl_task_free(&end->turn_end);
    rl_frame_reader_free(&end->reader);
    rl_socket_close(&end->socket);
    rl_queue_fini(&end->queue);
    rl_ring_fini(&end->ring);
    rl_buf_fini(&end->out);
    free(end->session_id);
    free(end->message);
    free(end);
}

void rl_end_enter(struct rl_tunnel_end *end)
{
    end->busy++;
}

static void report(struct rl_tunnel_end *end)
{
    end->is_closed = true;
    struct rl_tunnel_summary summary = {
        .code = end->code,
        .message = end->message ? end->message : "",
        .by_far_end = end->by_far_end,
        .bytes_from_socket = end->taken,
        .bytes_to_socket = end->delivered,
        .resumes = end->resumes,
    };
    end->config.closed(end->config.context, &summary);
}

void rl_end_leave(struct rl_tunnel_end *end)
{
    if (--end->busy > 0)
        return;
    bool is_done =
        end->stream_closed && !end->is_parked && (end->code != RL_OK || rl_end_is_complete(end));
    if (!is_done || end->is_closed)
        return;
    report(end);
    free_end(end);
}

void rl_end_fail(struct rl_tunnel_end *end, bool tell, rl_code code, const char *message)
{
    if (end->code != RL_OK)
        return;
    RL_ASSERT(code != RL_OK);
    end->code = code;
    end->message = rl_strdup(message ? message : "");
    rl_socket_abort(&end->socket);
    size_t waiting = end->queue.n - end->preface_left - end->carried;
    rl_queue_fini(&end->queue);
    rl_ring_fini(&end->ring);
    end->preface_left = end->carried = 0;
    end->ack_due = end->is_parked = false;
    if (!end->stream)
        return;
    if (waiting)
        end->config.transport->consume(end->stream, waiting);
    if (tell && !end->end_told) {
        end->reset_due = true;
        rl_timer_arm(end->timer, RL_TUNNEL_RESET_MS);
        rl_end_wake(end);
    } else {
        end->config.transport->cancel(end->stream);
    }
}

static void on_timer(void *context)
{
    struct rl_tunnel_end *end = context;
    rl_end_enter(end);
    if (end->code != RL_OK) { /* the reset found no way out */
        if (end->stream)
            end->config.transport->cancel(end->stream);
    } else if (end->is_parked) {
        rl_end_give_up(end, RL_E_DEADLINE, "the far end was out of reach for too long");
    } else if (end->is_resuming) { /* this stream leads nowhere: it is parked again */
        end->config.transport->cancel(end->stream);
    } else if (!end->is_open && !end->first_seen) {
        rl_end_fail(end, true, RL_E_DEADLINE,
                    end->config.role == RL_TUNNEL_DIALS ? "the far end did not answer in time"
                                                        : "nothing was dialled in time");
    } else if (end->stream_closed) {
        rl_end_fail(end, false, RL_E_DEADLINE, "the last bytes were not taken in time");
    } else if (end->delivered > end->ack_sent) {
        end->ack_due = true;
        rl_end_wake(end);
    }
    rl_end_leave(end);
}

rl_code rl_tunnel_end_create(const struct rl_tunnel_end_config *config, const Pb__Frame *first,
                             struct rl_tunnel_end **out, struct rl_error *err)
{
    static const struct rl_frame_reader_ops reader_ops = {.data = rl_end_on_data,
                                                          .control = rl_end_on_control};
    RL_ASSERT((first == NULL) == (config->role == RL_TUNNEL_ANSWERS));
    RL_ASSERT(!config->resume.session_id || config->role != RL_TUNNEL_ANSWERS);
    struct rl_tunnel_end *end = rl_alloc(sizeof *end);
    *end = (struct rl_tunnel_end){.config = *config};
    if (!end->config.window_bytes)
        end->config.window_bytes = RL_TUNNEL_WINDOW_BYTES;
    if (!end->config.open_timeout_ms)
        end->config.open_timeout_ms = RL_TUNNEL_JOIN_MS;
    rl_buf_init(&end->out, RL_TUNNEL_PREFIX_BYTES + RL_TUNNEL_CONTROL_BYTES_MAX);
    rl_queue_init(&end->queue,
                  end->config.window_bytes + RL_TUNNEL_PREFACE_BYTES_MAX + RL_QUEUE_BLOCK_BYTES);
    rl_end_resume_init(end);
    if (first) {
        rl_code rc = rl_frame_write(first, &end->out, err);
        if (rc != RL_OK) {
            free_end(end);
            return rc;
        }
    }
    end->reader = rl_frame_reader_create(&reader_ops, end);
    end->timer = rl_timer_create(config->loop, on_timer, end);
    *out = end;
    return RL_OK;
}

void rl_tunnel_end_start(struct rl_tunnel_end *end, void *stream)
{
    RL_ASSERT(!end->is_started || end->is_parked);
    end->is_started = true;
    end->stream = stream;
    if (end->is_parked)
        rl_end_restart(end);
    else if (end->config.role != RL_TUNNEL_CARRIES)
        rl_timer_arm(end->timer, end->config.open_timeout_ms);
    rl_end_wake(end);
}

void rl_end_put_opened(struct rl_tunnel_end *end, rl_code code, const char *message)
{
    Pb__Opened opened = PB__OPENED__INIT;
    opened.code = (uint32_t)code;
    opened.features = end->is_resumable ? RL_TUNNEL_FEATURE_RESUME : 0;
    char *copy = rl_strdup(message);
    opened.message = copy;
    Pb__Frame frame = PB__FRAME__INIT;
    frame.opened = &opened;
    /* Only the first frame can lie there, and it leaves room. */
    if (rl_frame_write(&frame, &end->out, NULL) != RL_OK)
        rl_end_fail(end, false, RL_E_INTERNAL, "no room for an answer");
    free(copy);
}

static void on_socket(void *context, bool readable, bool writable)
{
    struct rl_tunnel_end *end = context;
    rl_end_enter(end);
    if (writable)
        rl_end_flush(end);
    if (readable)
        rl_end_wake(end);
    rl_end_leave(end);
}

static void on_turn_end(void *context)
{
    struct rl_tunnel_end *end = context;
    rl_end_enter(end);
    rl_end_flush(end);
    rl_end_leave(end);
}

void rl_tunnel_end_attach(struct rl_tunnel_end *end, struct rl_socket **socket,
                          struct rl_span preface)
{
    RL_ASSERT(!end->is_attached && preface.n <= RL_TUNNEL_PREFACE_BYTES_MAX);
    rl_end_enter(end);
    end->is_attached = true;
    if (end->code != RL_OK || end->stream_closed) {
        rl_socket_abort(socket);
    } else {
        end->socket = *socket;
        *socket = NULL;
        rl_socket_set_ready(end->socket, on_socket, end);
        rl_socket_gather(end->socket);
        if (rl_socket_is_plain(end->socket))
            end->turn_end = rl_task_create(end->config.loop, on_turn_end, end);
        if (end->config.role != RL_TUNNEL_DIALS) {
            end->is_open = true;
            end->is_resumable = end->session_id != NULL;
            rl_timer_disarm(end->timer);
            rl_end_put_opened(end, RL_OK, "");
        }
        RL_ASSERT(end->queue.n == 0); /* a peer's data before `opened` and attach is refused */
        RL_ASSERT(rl_queue_put(&end->queue, preface));
        end->preface_left = preface.n;
        rl_end_flush(end);
        rl_end_wake(end);
    }
    rl_end_leave(end);
}

void rl_tunnel_end_refuse(struct rl_tunnel_end *end, rl_code code, const char *message)
{
    RL_ASSERT(end->config.role != RL_TUNNEL_DIALS && !end->is_attached && code != RL_OK);
    rl_end_enter(end);
    if (end->code == RL_OK) {
        rl_end_put_opened(end, code, message);
        rl_end_fail(end, true, code, message);
        end->reset_due = false; /* `opened` says it */
        end->reset_sent = true;
    }
    rl_end_leave(end);
}

void rl_tunnel_end_abort(struct rl_tunnel_end *end, rl_code code, const char *message)
{
    rl_end_enter(end);
    if (end->is_started)
        rl_end_fail(end, true, code, message);
    else
        rl_tunnel_end_closed(end, code, message);
    rl_end_leave(end);
}

void rl_tunnel_end_count(const struct rl_tunnel_end *end, uint64_t *from_socket,
                         uint64_t *to_socket)
{
    *from_socket = end->taken;
    *to_socket = end->delivered;
}

void rl_tunnel_end_closed(struct rl_tunnel_end *end, rl_code code, const char *message)
{
    rl_end_enter(end);
    end->stream = NULL;
    end->stream_closed = true;
    rl_timer_disarm(end->timer);
    if (end->code != RL_OK)
        ; /* it knows why */
    else if (rl_end_may_park(end, code))
        rl_end_park(end, code, message);
    else if (end->is_resuming)
        rl_end_give_up(end, code, message);
    else if (code != RL_OK)
        rl_end_fail(end, false, code, message);
    else if (!end->eof_sent || !end->eof_received)
        rl_end_fail(end, false, RL_E_UNAVAILABLE, "the tunnel ended before both sides were done");
    else if (rl_end_owes_socket(end))
        rl_timer_arm(end->timer, RL_TUNNEL_LINGER_MS);
    rl_end_leave(end);
}
