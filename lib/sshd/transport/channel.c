/* channel: bytes between a channel and its descriptors.
 *
 * libssh may take less than it is given, and nothing while keys are renewed: what it did not take
 * stays in `to_client` and goes first. The client's bytes are read from libssh only when the sink
 * has taken the last: that is the back-pressure, by the channel's window. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Of data in one SSH packet: with all that SSH puts around it, it fills two of the tunnel's frames
 * and does not spill into a third of a few bytes, which would cost each hop as much as a full one.
 */
#define PACKET_BYTES 32256u

#define WINDOW_BYTES (4u << 20) /* for a client that sends much; OpenSSH's server has 2 MiB */
#define GROW_EVERY (256u << 10)

struct channel *rl_channel_create(struct transport *t)
{
    for (size_t i = 0; i < CHANNELS_MAX; i++) {
        if (t->channels[i])
            continue;
        struct channel *c = rl_alloc(sizeof *c);
        c->transport = t;
        c->sink = c->sources[OUT] = c->sources[ERR] = -1;
        rl_buf_init(&c->environment, ENVIRONMENT_BYTES_MAX);
        t->channels[i] = c;
        return c;
    }
    return NULL;
}

void rl_channel_close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void tell_closed(struct transport *t, const struct channel *c)
{
    rl_wire_begin(&t->message, RL_WIRE_CLOSED);
    rl_buf_put_u32(&t->message.body, c->id);
    rl_buf_put_u64(&t->message.body, c->bytes_in);
    rl_buf_put_u64(&t->message.body, c->bytes_out);
    rl_monitor_tell(t);
}

void rl_channel_free(struct transport *t, size_t slot)
{
    struct channel *c = t->channels[slot];
    if (!c)
        return;
    if (c->has_started)
        tell_closed(t, c);
    rl_channel_close_fd(&c->sink);
    rl_channel_close_fd(&c->sources[OUT]);
    rl_channel_close_fd(&c->sources[ERR]);
    if (!c->is_forward && c->ssh)
        ssh_remove_channel_callbacks(c->ssh, &c->callbacks);
    if (c->ssh)
        ssh_channel_free(c->ssh);
    rl_buf_fini(&c->environment);
    free(c->origin);
    free(c);
    t->channels[slot] = NULL;
}

struct channel *rl_channel_by_id(struct transport *t, uint32_t id)
{
    for (size_t i = 0; i < CHANNELS_MAX; i++)
        if (t->channels[i] && t->channels[i]->has_started && t->channels[i]->id == id)
            return t->channels[i];
    return NULL;
}

/* ---- to the client ---- */

static void flush_to_client(struct channel *c, int which)
{
    struct part *p = &c->to_client[which];
    if (p->n == 0)
        return;
    int n;
    do {
        const uint8_t *from = p->bytes + p->at;
        uint32_t most = p->n < PACKET_BYTES ? (uint32_t)p->n : PACKET_BYTES;
        n = which == ERR ? ssh_channel_write_stderr(c->ssh, from, most)
                         : ssh_channel_write(c->ssh, from, most);
        if (n < 0) {
            p->n = 0; /* the channel is closed */
            return;
        }
        p->at += (size_t)n;
        p->n -= (size_t)n;
        c->bytes_out += (uint64_t)n;
    } while (n > 0 && p->n > 0);
}

void rl_channel_pump_out(struct channel *c, int which)
{
    struct part *p = &c->to_client[which];
    if (c->sources[which] < 0 || p->n)
        return;
    ssize_t n = read(c->sources[which], p->bytes, 2 * PACKET_BYTES);
    if (n > 0) {
        p->at = 0;
        p->n = (size_t)n;
        flush_to_client(c, which);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        rl_channel_close_fd(&c->sources[which]);
    }
}

/* ---- to the sink ---- */

void rl_channel_pump_in(struct channel *c)
{
    struct part *p = &c->to_sink;
    if (c->sink < 0 || p->n == 0)
        return;
    ssize_t n = write(c->sink, p->bytes + p->at, p->n);
    if (n > 0) {
        p->at += (size_t)n;
        p->n -= (size_t)n;
    } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
        p->n = 0;
        rl_channel_close_fd(&c->sink);
    }
}

static void finish_sink(struct channel *c)
{
    c->client_is_done = true;
    if (c->is_forward)
        shutdown(c->sink, SHUT_WR);
    else if (!c->terminal.is_wanted) /* a terminal's end of input is a byte in its stream */
        rl_channel_close_fd(&c->sink);
}

/* libssh lets a client send 1.25 MiB ahead, which is little over a long way. Who sends much, to a
 * sink that keeps up, may send more: libssh grows the window for who asks to read so much at once.
 * What is there already is all that it gives then, and fits. */
static int read_and_grow(struct channel *c)
{
    struct part *p = &c->to_sink;
    int there = ssh_channel_poll(c->ssh, 0);
    if (there <= 0 || (size_t)there > sizeof p->bytes || c->bytes_in < c->grown_at + GROW_EVERY)
        return ssh_channel_read_nonblocking(c->ssh, p->bytes, sizeof p->bytes, 0);
    c->grown_at = c->bytes_in;
    return ssh_channel_read_timeout(c->ssh, p->bytes, WINDOW_BYTES, 0, 0);
}

static bool read_client(struct channel *c)
{
    if (c->to_sink.n)
        return false;
    int n = read_and_grow(c);
    if (n > 0) {
        c->transport->is_active = true;
        c->bytes_in += (uint64_t)n;
        if (c->sink < 0)
            return true; /* nobody reads any more: dropped, or the window would close for good */
        c->to_sink.at = 0;
        c->to_sink.n = (size_t)n;
        rl_channel_pump_in(c);
        return true;
    }
    if (!c->client_is_done && c->sink >= 0 && ssh_channel_is_eof(c->ssh) &&
        ssh_channel_poll(c->ssh, 0) <= 0)
        finish_sink(c);
    return false;
}

/* ---- both ---- */

static bool all_is_sent(const struct channel *c)
{
    return !c->to_client[OUT].n && !c->to_client[ERR].n && c->sources[OUT] < 0 &&
           c->sources[ERR] < 0;
}

static bool finish_forward(struct channel *c)
{
    bool any = false;
    if (!c->we_are_done && all_is_sent(c)) {
        c->we_are_done = any = true;
        ssh_channel_send_eof(c->ssh);
    }
    bool client_is_done = c->client_is_done || c->sink < 0;
    if (c->we_are_done && client_is_done && ssh_channel_is_open(c->ssh)) {
        ssh_channel_close(c->ssh);
        any = true;
    }
    return any;
}

bool rl_channel_step(struct channel *c)
{
    if (!c->has_started)
        return false;
    if (c->is_connecting || c->is_opening)
        return false;
    bool any = read_client(c);
    flush_to_client(c, OUT);
    flush_to_client(c, ERR);
    if (c->is_forward)
        return finish_forward(c) || any;
    if (!c->we_are_done && c->has_exited && all_is_sent(c)) {
        c->we_are_done = any = true;
        rl_session_finish(c);
    }
    return any;
}

/* Reading the last bytes can turn libssh's delayed close into a closed channel: not while some of
 * them are still here. */
bool rl_channel_can_go(const struct channel *c)
{
    return !c->is_opening && ssh_channel_is_closed(c->ssh) && !(c->sink >= 0 && c->to_sink.n);
}
