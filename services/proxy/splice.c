#include "splice.h"

#include <stdlib.h>

struct direction {
    struct rl_socket *from, *to; /* borrowed from the splice */
    uint8_t *buffer;             /* NULL: nothing is held */
    size_t start, end;
    uint64_t bytes;
    bool ended, finished; /* `from` sends no more; and `to` was told */
};

struct splice {
    struct rl_loop *loop;
    struct rl_socket *socket[2];
    struct direction way[2];
    struct rl_timer *timer, *kick; /* kick: to begin, and to go on in the next turn */
    splice_closed_fn closed;
    void *context;
};

static void finish(struct splice *s, bool broken)
{
    for (int i = 0; i < 2; i++) {
        if (broken)
            rl_socket_abort(&s->socket[i]);
        else
            rl_socket_close(&s->socket[i]);
        free(s->way[i].buffer);
    }
    rl_timer_free(&s->timer);
    rl_timer_free(&s->kick);
    uint64_t bytes[2] = {s->way[0].bytes, s->way[1].bytes};
    s->closed(s->context, bytes);
    free(s);
}

void splice_abort(struct splice *splice)
{
    finish(splice, true);
}

static void on_timer(void *context)
{
    finish(context, true);
}

enum step { STEP_DONE, STEP_WAIT, STEP_MORE, STEP_BROKEN };

#define ROUNDS_MAX 8 /* buffers in one go: the loop is shared */

static enum step write_out(struct direction *d)
{
    while (d->start < d->end) {
        ssize_t n = rl_socket_write(d->to, d->buffer + d->start, d->end - d->start);
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

/* Reads until it must wait: TLS may hold bytes that no descriptor shows. */
static enum step move(struct direction *d)
{
    for (int round = 0; round < ROUNDS_MAX; round++) {
        enum step step = write_out(d);
        if (step != STEP_DONE || d->ended)
            return step;
        if (!d->buffer)
            d->buffer = malloc(SPLICE_BUFFER_BYTES);
        RL_ASSERT(d->buffer);
        ssize_t n = rl_socket_read(d->from, d->buffer, SPLICE_BUFFER_BYTES);
        if (n == RL_SOCKET_BROKEN)
            return STEP_BROKEN;
        if (n <= 0) {
            free(d->buffer);
            d->buffer = NULL;
            d->ended = n == 0;
            return n == 0 ? STEP_DONE : STEP_WAIT;
        }
        d->end = (size_t)n;
    }
    return STEP_MORE;
}

static enum step move_and_end(struct direction *d)
{
    if (d->finished)
        return STEP_DONE;
    enum step step = move(d);
    if (step != STEP_BROKEN && d->ended && d->start == d->end) {
        d->finished = true;
        rl_socket_finish(d->to);
    }
    return step;
}

static void run(void *context)
{
    struct splice *s = context;
    enum step there = move_and_end(&s->way[0]);
    enum step back = there == STEP_BROKEN ? STEP_BROKEN : move_and_end(&s->way[1]);
    if (back == STEP_BROKEN) {
        finish(s, true);
        return;
    }
    if (there == STEP_MORE || back == STEP_MORE)
        rl_timer_arm(s->kick, 0);
    if (s->way[0].finished && s->way[1].finished)
        finish(s, false);
    else if (s->way[0].ended || s->way[1].ended)
        rl_timer_arm(s->timer, SPLICE_HALF_MS);
}

static void on_ready(void *context, bool readable, bool writable)
{
    (void)readable;
    (void)writable;
    run(context);
}

struct splice *splice_start(struct rl_loop *loop, struct rl_socket *first, struct rl_socket *second,
                            splice_closed_fn closed, void *context)
{
    struct splice *s = rl_alloc(sizeof *s);
    s->loop = loop;
    s->socket[0] = first;
    s->socket[1] = second;
    s->way[0] = (struct direction){.from = first, .to = second};
    s->way[1] = (struct direction){.from = second, .to = first};
    s->closed = closed;
    s->context = context;
    s->timer = rl_timer_create(loop, on_timer, s);
    rl_socket_set_ready(first, on_ready, s);
    rl_socket_set_ready(second, on_ready, s);
    s->kick = rl_timer_create(loop, run, s);
    rl_timer_arm(s->kick, 0); /* not from inside: it may close at once */
    return s;
}
