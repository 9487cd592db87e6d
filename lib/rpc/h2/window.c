/* window: how large a receive window should be. */
#include "rpc/h2/window.h"

#include <stdatomic.h>

static _Atomic uint32_t borrowed_bytes;

/* A sender who has used his window up waits. What came before that, in a part of the round, could
 * have gone on coming for all of it: so many times as much. */
#define UNUSED_MAX 4

static uint64_t times_unused(uint32_t size, uint64_t received, uint64_t rtt_us, uint64_t gap_us)
{
    if (received < size / 2 || gap_us < rtt_us / 2)
        return 1;
    uint64_t busy_us = gap_us < rtt_us ? rtt_us - gap_us : 0;
    return busy_us * UNUSED_MAX <= rtt_us ? UNUSED_MAX : rtt_us / busy_us;
}

uint32_t rl_h2_window_after_round(uint32_t size, uint32_t max, uint64_t received, uint64_t rtt_us,
                                  uint64_t least_rtt_us, uint64_t gap_us)
{
    if (size >= max || rtt_us == 0 || least_rtt_us == 0)
        return size;
    /* What is in flight waits in a queue already: more would only lengthen it. */
    if (rtt_us > 2 * least_rtt_us)
        return size;
    /* Delivery rate times least round trip is what the path was seen to hold. nghttp2 gives a
     * window back by halves, so that a limited sender uses between a half and all of it: a window
     * of 8/3 leaves room to find out whether there is more, and is not passed when there is not. */
    uint64_t wanted = received * least_rtt_us / rtt_us * 8 / 3;
    wanted *= times_unused(size, received, rtt_us, gap_us);
    if (wanted <= size)
        return size;
    return wanted < max ? (uint32_t)wanted : max;
}

bool rl_h2_alone(struct rl_h2_alone *alone, int32_t stream, size_t n, uint64_t much,
                 uint64_t now_ms)
{
    if (alone->stream != stream) {
        alone->other = alone->stream;
        alone->other_ms = alone->last_ms;
        alone->stream = stream;
        alone->bytes = 0;
    }
    if (!alone->bytes || now_ms - alone->last_ms >= RL_H2_ALONE_MS) {
        alone->since_ms = now_ms;
        alone->bytes = 0;
    }
    alone->last_ms = now_ms;
    alone->bytes += n;
    return alone->bytes >= much && now_ms - alone->since_ms >= RL_H2_ALONE_RUN_MS &&
           (!alone->other || now_ms - alone->other_ms >= RL_H2_ALONE_MS);
}

void rl_h2_alone_forget(struct rl_h2_alone *alone, int32_t stream)
{
    if (alone->stream == stream)
        *alone = (struct rl_h2_alone){.stream = alone->other, .last_ms = alone->other_ms};
    else if (alone->other == stream)
        alone->other = 0;
}

uint32_t rl_h2_window_borrow(uint32_t wanted)
{
    uint32_t before = atomic_load(&borrowed_bytes), granted;
    do {
        uint32_t left = RL_H2_WINDOW_BUDGET_BYTES - before;
        granted = wanted < left ? wanted : left;
    } while (!atomic_compare_exchange_weak(&borrowed_bytes, &before, before + granted));
    return granted;
}

void rl_h2_window_repay(uint32_t borrowed)
{
    atomic_fetch_sub(&borrowed_bytes, borrowed);
}
