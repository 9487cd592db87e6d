#include "recorder.h"

#include <errno.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#define CHANNEL_BYTES 4

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

void rl_recorder_init(struct recorder *r, int fd, uint32_t channel)
{
    *r = (struct recorder){.fd = fd, .channel = channel, .began_us = now_us()};
    rl_buf_init(&r->message, CHANNEL_BYTES + RL_RECORDING_PART_BYTES_MAX);
    if (fd < 0)
        return;
    r->encoder = rl_recording_encoder_create();
    RL_ASSERT(rl_buf_reserve(&r->message, r->message.max));
}

/* The agent is gone: its connections end, this one too. */
static void give_up(struct recorder *r)
{
    r->fd = -1;
    rl_buf_clear(&r->message);
}

static void try_to_send(struct recorder *r)
{
    if (r->fd < 0 || !r->message.n)
        return;
    if (write(r->fd, r->message.p, r->message.n) == (ssize_t)r->message.n)
        rl_buf_clear(&r->message);
    else if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS)
        give_up(r);
}

static void seal(struct recorder *r)
{
    RL_ASSERT(!r->message.n);
    rl_buf_put_u32(&r->message, r->channel);
    rl_recording_encoder_finish(r->encoder, &r->message);
    try_to_send(r);
}

bool rl_recorder_has_room(const struct recorder *r, size_t n)
{
    return r->fd < 0 || !r->message.n || rl_recording_room(r->encoder) >= n;
}

static uint64_t note_time(struct recorder *r)
{
    uint64_t now = now_us();
    if (rl_recording_is_empty(r->encoder))
        r->oldest_us = now;
    return now - r->began_us;
}

void rl_recorder_output(struct recorder *r, struct rl_span output)
{
    if (r->fd >= 0 && rl_recording_room(r->encoder) < output.n)
        seal(r);
    if (r->fd >= 0)
        rl_recording_add_output(r->encoder, note_time(r), output);
}

void rl_recorder_resize(struct recorder *r, uint16_t columns, uint16_t rows)
{
    if (r->fd < 0)
        return;
    if (rl_recording_room(r->encoder) == 0) {
        if (r->message.n)
            return; /* the agent is behind, and will hear the next size */
        seal(r);
    }
    if (r->fd >= 0)
        rl_recording_add_resize(r->encoder, note_time(r), columns, rows);
}

static bool is_due(const struct recorder *r)
{
    return !rl_recording_is_empty(r->encoder) &&
           now_us() - r->oldest_us >= (uint64_t)RECORDER_PART_MS * 1000;
}

void rl_recorder_step(struct recorder *r)
{
    try_to_send(r);
    if (r->fd >= 0 && !r->message.n && is_due(r))
        seal(r);
}

bool rl_recorder_is_sending(const struct recorder *r)
{
    return r->fd >= 0 && r->message.n;
}

int rl_recorder_timeout_ms(const struct recorder *r)
{
    if (r->fd < 0 || r->message.n || rl_recording_is_empty(r->encoder))
        return -1;
    uint64_t age_ms = (now_us() - r->oldest_us) / 1000;
    return age_ms >= RECORDER_PART_MS ? 0 : (int)(RECORDER_PART_MS - age_ms);
}

void rl_recorder_finish(struct recorder *r)
{
    uint64_t until = now_us() + (uint64_t)RECORDER_FLUSH_MS * 1000;
    while (r->fd >= 0 && now_us() < until) {
        try_to_send(r);
        if (r->fd >= 0 && !r->message.n) {
            if (rl_recording_is_empty(r->encoder))
                return;
            seal(r);
            continue;
        }
        struct pollfd p = {r->fd, POLLOUT, 0};
        poll(&p, 1, 100);
    }
}
