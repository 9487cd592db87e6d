/* window: how large a receive window should be. A window that is smaller than what the path holds
 * slows the sender; a larger one is a queue that every keystroke waits behind. So it grows only
 * while the sender is limited by it and the round trip has not swollen. Pure, but for the budget
 * that all connections of the process share.
 */
#ifndef RL_RPC_H2_WINDOW_H
#define RL_RPC_H2_WINDOW_H

#include "rpc/raw.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RL_H2_CONNECTION_WINDOW_BYTES_MAX (16u << 20)
/* What all windows of the process together may be larger than they began. */
#define RL_H2_WINDOW_BUDGET_BYTES (64u << 20)

/** The size after a round trip in which `received` bytes came. Never smaller than `size`.
 * `rtt_us` of this round, `least_rtt_us` of all so far; `gap_us` the longest time within it that
 * nothing came. */
uint32_t rl_h2_window_after_round(uint32_t size, uint32_t max, uint64_t received, uint64_t rtt_us,
                                  uint64_t least_rtt_us, uint64_t gap_us);

/* One busy stream: nobody's bytes wait behind its own, and larger windows spare the hops on the way
 * half of their work. So while it is alone they follow its pace. Not in the first moment: a reader
 * that takes a little and then stalls shall hold no more than its window. */
#define RL_H2_ALONE_MS 1000
#define RL_H2_ALONE_RUN_MS 64
#define RL_H2_ALONE_BYTES_MAX (1u << 20)

/* Streams by their ids; 0: none. */
struct rl_h2_alone {
    int32_t stream, other;      /* whose bytes came last; and whose before */
    uint64_t last_ms, other_ms; /* when */
    uint64_t since_ms, bytes;   /* what `stream` brought without a pause, since another's */
};

/** `n` bytes came on a stream. Has it brought `much`, for RL_H2_ALONE_RUN_MS, while no other that
 * is still there brought any for RL_H2_ALONE_MS? */
bool rl_h2_alone(struct rl_h2_alone *alone, int32_t stream, size_t n, uint64_t much,
                 uint64_t now_ms);
/** The stream is gone: its bytes are nobody's that could wait. */
void rl_h2_alone_forget(struct rl_h2_alone *alone, int32_t stream);

/** Takes up to `wanted` bytes from the process's budget; how many there were. Any thread. */
uint32_t rl_h2_window_borrow(uint32_t wanted);
void rl_h2_window_repay(uint32_t borrowed);

#endif
