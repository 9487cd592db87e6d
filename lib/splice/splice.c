#include "splice/splice.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BULK_BYTES (RL_SPLICE_BUFFER_BYTES / 4)
#define ROUNDS_MAX 8 /* buffers in one go: the loop is shared */

struct direction {
    struct rl_socket *from, *to; /* borrowed from the splice */
    uint8_t *buffer;             /* NULL: nothing is held, or a pipe holds it */
    int pipe[2];                 /* -1: none */
    size_t start, end;           /* of what is held */
    uint64_t bytes;
    bool is_bulk;         /* the last read took much: a pipe is worth its system calls */
    bool ended, finished; /* `from` sends no more; and `to` was told */
};

struct rl_splice {
    struct rl_loop *loop;
    struct rl_splice_pipes *pipes;
    struct rl_socket *socket[2];
    struct direction way[2];
    bool is_plain;                 /* both */
    struct rl_timer *timer, *kick; /* kick: to begin, and to go on in the next turn */
    rl_splice_closed_fn closed;
    void *context;
};

/* ---- pipes ---- */

static void close_pipe(int pipe[2])
{
    close(pipe[0]);
    close(pipe[1]);
    pipe[0] = pipe[1] = -1;
}

void rl_splice_pipes_close(struct rl_splice_pipes *pipes)
{
    while (pipes->count)
        close_pipe(pipes->spare[--pipes->count]);
}

/* When there is no descriptor for one it goes on without. */
static void take_pipe(struct rl_splice *s, struct direction *d)
{
    if (s->pipes->count) {
        memcpy(d->pipe, s->pipes->spare[--s->pipes->count], sizeof d->pipe);
    } else if (pipe2(d->pipe, O_CLOEXEC | O_NONBLOCK) < 0) {
        d->pipe[0] = d->pipe[1] = -1;
        d->is_bulk = false;
    }
}

static void give_pipe_back(struct rl_splice *s, struct direction *d)
{
    if (d->pipe[0] < 0)
        return;
    if (d->start == d->end && s->pipes->count < RL_SPLICE_PIPES_MAX) {
        memcpy(s->pipes->spare[s->pipes->count++], d->pipe, sizeof d->pipe);
        d->pipe[0] = d->pipe[1] = -1;
    } else {
        close_pipe(d->pipe);
    }
}

/* ---- its end ---- */

static void let_go(struct rl_splice *s, struct direction *d)
{
    give_pipe_back(s, d);
    free(d->buffer);
    d->buffer = NULL;
}

static void finish(struct rl_splice *s, bool broken)
{
    for (int i = 0; i < 2; i++) {
        if (broken)
            rl_socket_abort(&s->socket[i]);
        else
            rl_socket_close(&s->socket[i]);
        let_go(s, &s->way[i]);
    }
    rl_timer_free(&s->timer);
    rl_timer_free(&s->kick);
    uint64_t bytes[2] = {s->way[0].bytes, s->way[1].bytes};
    s->closed(s->context, bytes);
    free(s);
}

void rl_splice_abort(struct rl_splice *splice)
{
    finish(splice, true);
}

uint64_t rl_splice_bytes(const struct rl_splice *splice)
{
    return splice->way[0].bytes + splice->way[1].bytes;
}

static void on_timer(void *context)
{
    finish(context, true);
}

/* ---- bytes ---- */

enum step { STEP_DONE, STEP_WAIT, STEP_MORE, STEP_BROKEN };

static enum step write_out(struct direction *d)
{
    while (d->start < d->end) {
        size_t held = d->end - d->start;
        ssize_t n = d->buffer ? rl_socket_write(d->to, d->buffer + d->start, held)
                              : rl_socket_write_from_pipe(d->to, d->pipe[0], held);
        if (n == RL_SOCKET_BROKEN)
            return STEP_BROKEN;
        if (n == RL_SOCKET_WAIT)
            return STEP_WAIT;
        d->start += (size_t)n;
        d->bytes += (uint64_t)n;
    }
    d->start = d->end = 0;
    return STEP_DONE;
}

/* Nothing is held here: whether buffer or pipe is open. */
static ssize_t read_in(struct rl_splice *s, struct direction *d)
{
    bool is_piped = s->is_plain && d->is_bulk;
    if (is_piped != (d->pipe[0] >= 0))
        let_go(s, d);
    if (is_piped && d->pipe[0] < 0)
        take_pipe(s, d);
    if (d->pipe[0] >= 0)
        return rl_socket_read_into_pipe(d->from, d->pipe[1], RL_SPLICE_BUFFER_BYTES);
    if (!d->buffer)
        d->buffer = malloc(RL_SPLICE_BUFFER_BYTES);
    RL_ASSERT(d->buffer);
    return rl_socket_read(d->from, d->buffer, RL_SPLICE_BUFFER_BYTES);
}

/* Reads until it must wait: TLS may hold bytes that no descriptor shows. */
static enum step move(struct rl_splice *s, struct direction *d)
{
    for (int round = 0; round < ROUNDS_MAX; round++) {
        enum step step = write_out(d);
        if (step != STEP_DONE || d->ended)
            return step;
        ssize_t n = read_in(s, d);
        if (n == RL_SOCKET_BROKEN)
            return STEP_BROKEN;
        if (n <= 0) {
            let_go(s, d);
            d->ended = n == 0;
            return n == 0 ? STEP_DONE : STEP_WAIT;
        }
        d->end = (size_t)n;
        d->is_bulk = d->end >= BULK_BYTES;
    }
    return STEP_MORE;
}

static enum step move_and_end(struct rl_splice *s, struct direction *d)
{
    if (d->finished)
        return STEP_DONE;
    enum step step = move(s, d);
    if (step != STEP_BROKEN && d->ended && d->start == d->end) {
        d->finished = true;
        rl_socket_finish(d->to);
    }
    return step;
}

/* `ways`: in which of the two directions something may have changed. */
static void go_on(struct rl_splice *s, bool ways[2])
{
    bool more = false;
    for (int i = 0; i < 2; i++) {
        enum step step = ways[i] ? move_and_end(s, &s->way[i]) : STEP_WAIT;
        if (step == STEP_BROKEN) {
            finish(s, true);
            return;
        }
        more |= step == STEP_MORE;
    }
    if (more)
        rl_timer_arm(s->kick, 0);
    if (s->way[0].finished && s->way[1].finished)
        finish(s, false);
    else if (s->way[0].ended || s->way[1].ended)
        rl_timer_arm(s->timer, RL_SPLICE_HALF_MS);
}

static void on_kick(void *context)
{
    go_on(context, (bool[2]){true, true});
}

static void on_first_ready(void *context, bool readable, bool writable)
{
    go_on(context, (bool[2]){readable, writable});
}

static void on_second_ready(void *context, bool readable, bool writable)
{
    go_on(context, (bool[2]){writable, readable});
}

struct rl_splice *rl_splice_start(struct rl_loop *loop, struct rl_splice_pipes *pipes,
                                  struct rl_socket *first, struct rl_socket *second,
                                  rl_splice_closed_fn closed, void *context)
{
    struct rl_splice *s = rl_alloc(sizeof *s);
    s->loop = loop;
    s->socket[0] = first;
    s->socket[1] = second;
    s->way[0] = (struct direction){.from = first, .to = second, .pipe = {-1, -1}};
    s->way[1] = (struct direction){.from = second, .to = first, .pipe = {-1, -1}};
    s->pipes = pipes;
    s->is_plain = rl_socket_is_plain(first) && rl_socket_is_plain(second);
    s->closed = closed;
    s->context = context;
    s->timer = rl_timer_create(loop, on_timer, s);
    rl_socket_set_ready(first, on_first_ready, s);
    rl_socket_set_ready(second, on_second_ready, s);
    s->kick = rl_timer_create(loop, on_kick, s);
    rl_timer_arm(s->kick, 0); /* not from inside: it may close at once */
    return s;
}
