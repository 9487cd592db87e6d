/* fake_link: two streams joined in memory, as two hops of HTTP/2 and a broker would: a window for
 * each direction, pieces of random size, an end that comes after the bytes before it, no call
 * without a wake after an answer of "later". */
#ifndef RL_TUNNEL_TESTS_FAKE_LINK_H
#define RL_TUNNEL_TESTS_FAKE_LINK_H

#include "tunnel/end.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW 40000
#define WIRE_MAX (1u << 20)

struct side {
    struct rl_tunnel_end *end; /* NULL: a test speaks by itself */
    struct rl_buf wire;        /* on its way to this side */
    size_t window;             /* that this side may still be sent */
    size_t held_max;           /* the most that it had not consumed */
    size_t held;
    bool is_awake; /* produce may be asked */
    bool said_end; /* produce said that nothing more comes */
    bool is_cancelled, is_closed;
};

struct link {
    struct side side[2];
    unsigned seed;
};

static inline void fake_consume(void *stream, size_t n)
{
    struct side *side = stream;
    ck_assert_uint_ge(side->held, n);
    side->held -= n;
    side->window += n;
}

static inline void fake_wake(void *stream)
{
    ((struct side *)stream)->is_awake = true;
}

static inline void fake_cancel(void *stream)
{
    ((struct side *)stream)->is_cancelled = true;
}

static const struct rl_tunnel_transport fake_transport = {
    .consume = fake_consume, .wake = fake_wake, .cancel = fake_cancel};

static inline void link_init(struct link *link, unsigned seed)
{
    *link = (struct link){.seed = seed};
    for (int i = 0; i < 2; i++) {
        rl_buf_init(&link->side[i].wire, WIRE_MAX);
        link->side[i].window = WINDOW;
    }
}

static inline void link_fini(struct link *link)
{
    for (int i = 0; i < 2; i++)
        rl_buf_fini(&link->side[i].wire);
}

static inline size_t some(struct link *link, size_t most)
{
    /* Now and then the least: slivers of a window are where the traps are. */
    unsigned r = (unsigned)rand_r(&link->seed);
    return r % 4 == 0 ? 1 + r / 4 % (most < 40 ? most : 40) : 1 + r / 4 % most;
}

static inline bool link_send(struct link *link, struct side *from, struct side *to)
{
    if (!from->end || !from->is_awake || from->said_end || to->window == 0)
        return false;
    size_t room = some(link, to->window < 16375 ? to->window : 16375);
    uint8_t *at = rl_buf_reserve(&to->wire, room);
    ck_assert_ptr_nonnull(at);
    ptrdiff_t n = rl_tunnel_end_produce(from->end, at, room);
    ck_assert_int_ne(n, 0);
    if (n == RL_TUNNEL_DEFER)
        from->is_awake = false;
    else if (n == RL_TUNNEL_END)
        from->said_end = true;
    else {
        ck_assert_int_le(n, (ptrdiff_t)room);
        to->wire.n += (size_t)n;
        to->window -= (size_t)n;
    }
    return true;
}

static inline bool link_deliver(struct link *link, struct side *to)
{
    if (!to->wire.n || !to->end || to->is_closed)
        return false;
    size_t n = some(link, to->wire.n);
    uint8_t *piece = rl_alloc(n); /* of just this size: a read past it is seen */
    memcpy(piece, to->wire.p, n);
    rl_buf_consume(&to->wire, n);
    to->held += n;
    if (to->held > to->held_max)
        to->held_max = to->held;
    rl_tunnel_end_data(to->end, piece, n);
    free(piece);
    return true;
}

static inline void side_close(struct side *side, rl_code code, const char *message)
{
    if (side->is_closed)
        return;
    side->is_closed = true;
    if (side->end)
        rl_tunnel_end_closed(side->end, code, message);
    side->end = NULL;
}

static inline bool link_finish(struct link *link)
{
    for (int i = 0; i < 2; i++) {
        struct side *side = &link->side[i], *other = &link->side[1 - i];
        if (side->is_closed)
            continue;
        if (side->is_cancelled) {
            side_close(side, RL_E_CANCELLED, "cancelled here");
            side_close(other, RL_E_UNAVAILABLE, "cancelled there");
            return true;
        }
        if (side->said_end && !other->wire.n) {
            side_close(other, RL_OK, "");
            side_close(side, RL_OK, "");
            return true;
        }
    }
    return false;
}

/* Some of everything that can be done; false when nothing could. */
static inline bool link_turn(struct link *link)
{
    bool did = false;
    for (int i = 0; i < 2; i++) {
        did |= link_send(link, &link->side[i], &link->side[1 - i]);
        did |= link_deliver(link, &link->side[i]);
    }
    return link_finish(link) || did;
}

#endif
