/* copying: what an SFTP session does, as its server tells it. That is the word of a process of the
 * user's: it is taken field by field, and it fills no log: beyond a burst so many a second are told
 * one by one, and the rest is counted and told together. */
#include "monitor.h"

#include "names/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TOKENS_MAX 2000
#define TOKENS_A_SECOND 20
#define SUMMARY_EVERY_MS 10000
#define READ_AT_ONCE 64 /* then other things have their turn */
/* Whoever copies many files keeps two processors busy with them: the monitor, the agent and audit
 * are not to be woken for each. What was said lies in the kernel meanwhile, whatever becomes of the
 * process that said it. */
#define REST_MS 20

/* As it came. */
struct told {
    enum rl_sftp_kind kind;
    int error;
    uint64_t bytes_read, bytes_written;
    char path[RL_SFTP_PATH_BYTES_MAX], target[RL_SFTP_PATH_BYTES_MAX];
};

void rl_copying_start(struct session *x, int fd)
{
    x->copying = (struct copying){.fd = fd,
                                  .tokens = TOKENS_MAX,
                                  .filled_ms = rl_monitor_now_ms(),
                                  .summed_ms = rl_monitor_now_ms()};
}

static bool take_token(struct copying *c)
{
    uint64_t now = rl_monitor_now_ms();
    uint64_t more = (now - c->filled_ms) * TOKENS_A_SECOND / 1000;
    if (more) {
        c->filled_ms = now;
        c->tokens = more < TOKENS_MAX - c->tokens ? c->tokens + (uint32_t)more : TOKENS_MAX;
    }
    if (c->tokens == 0)
        return false;
    c->tokens--;
    return true;
}

/* "read 12, write 4"; false: there were none. */
static bool describe(const struct copying *c, char *out, size_t size)
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < RL_SFTP_KINDS && n < size; i++)
        if (c->untold[i])
            n += (size_t)snprintf(out + n, size - n, "%s%s %llu", n ? ", " : "",
                                  rl_sftp_kind_name((enum rl_sftp_kind)i),
                                  (unsigned long long)c->untold[i]);
    return n > 0;
}

static void tell_summary(struct monitor *m, struct session *x)
{
    struct copying *c = &x->copying;
    char text[256];
    if (!describe(c, text, sizeof text))
        return;
    struct rl_sshd_event event = {.type = RL_SSHD_SFTP,
                                  .channel = x->channel,
                                  .operation = "summary",
                                  .reason = text,
                                  .bytes_in = c->untold_bytes_written,
                                  .bytes_out = c->untold_bytes_read};
    rl_monitor_event(m, &event);
    memset(c->untold, 0, sizeof c->untold);
    c->summed_ms = rl_monitor_now_ms();
    c->untold_bytes_read = c->untold_bytes_written = 0;
}

static void tell(struct monitor *m, struct session *x, const struct told *t)
{
    struct copying *c = &x->copying;
    if (!take_token(c)) {
        c->untold[t->kind]++;
        c->untold_bytes_read += t->bytes_read;
        c->untold_bytes_written += t->bytes_written;
        return;
    }
    if (rl_monitor_now_ms() >= c->summed_ms + SUMMARY_EVERY_MS)
        tell_summary(m, x);
    char *path = rl_name_printable(t->path);
    char *target = rl_name_printable(t->target);
    const char *reason = t->error ? strerrordesc_np(t->error) : "";
    struct rl_sshd_event event = {.type = RL_SSHD_SFTP,
                                  .channel = x->channel,
                                  .operation = rl_sftp_kind_name(t->kind),
                                  .outcome = t->error ? RL_SSHD_FAILURE : RL_SSHD_SUCCESS,
                                  .reason = reason ? reason : "failed",
                                  .path = path,
                                  .target = target,
                                  .bytes_in = t->bytes_written,
                                  .bytes_out = t->bytes_read};
    rl_monitor_event(m, &event);
    free(path);
    free(target);
}

static bool parse(const struct rl_wire_message *m, struct told *t)
{
    if (rl_wire_type(m) != RL_WIRE_FILE || m->fds_n)
        return false;
    struct rl_cursor c = rl_wire_fields(m);
    uint8_t kind = rl_cursor_u8(&c);
    uint32_t error = rl_cursor_u32(&c);
    t->bytes_read = rl_cursor_u64(&c);
    t->bytes_written = rl_cursor_u64(&c);
    rl_wire_text(&c, t->path, sizeof t->path);
    rl_wire_text(&c, t->target, sizeof t->target);
    if (!rl_cursor_done(&c) || kind >= RL_SFTP_KINDS)
        return false;
    t->kind = (enum rl_sftp_kind)kind;
    t->error = error > INT32_MAX ? INT32_MAX : (int)error;
    return true;
}

static void hang_up(struct session *x)
{
    if (x->copying.fd >= 0)
        close(x->copying.fd);
    x->copying.fd = -1;
}

/* False: nothing more for now. */
static bool read_one(struct monitor *m, struct session *x, struct rl_wire_message *in,
                     struct told *t)
{
    switch (rl_wire_receive(x->copying.fd, in, MSG_DONTWAIT)) {
    case RL_WIRE_GOT:
        break;
    case RL_WIRE_NOTHING_YET:
        return false;
    default:
        hang_up(x);
        return false;
    }
    /* What our own server would not say ends its telling, not the connection: the transport has no
     * part in it. */
    if (parse(in, t))
        tell(m, x, t);
    else
        hang_up(x);
    rl_wire_close_fds(in);
    return x->copying.fd >= 0;
}

/* True when there was no more. */
static bool read_some(struct monitor *m, struct session *x, unsigned most)
{
    struct told *t = rl_alloc(sizeof *t);
    bool more = true;
    /* m->in is free here: a request is answered before the next thing is looked at. */
    while (most-- && more)
        more = read_one(m, x, &m->in, t);
    free(t);
    return !more;
}

int rl_copying_fd(const struct session *x, uint64_t *next_ms)
{
    const struct copying *c = &x->copying;
    if (!x->is_used || c->fd < 0)
        return -1;
    if (rl_monitor_now_ms() >= c->rests_until_ms)
        return c->fd;
    if (c->rests_until_ms < *next_ms)
        *next_ms = c->rests_until_ms;
    return -1;
}

void rl_copying_ready(struct monitor *m, struct session *x)
{
    if (x->is_used && x->copying.fd >= 0 && read_some(m, x, READ_AT_ONCE))
        x->copying.rests_until_ms = rl_monitor_now_ms() + REST_MS;
}

void rl_copying_end(struct monitor *m, struct session *x)
{
    if (x->copying.fd >= 0)
        read_some(m, x, UINT32_MAX);
    tell_summary(m, x);
    hang_up(x);
}
