/* window: how large a receive window should be. A window that is smaller than what the path holds
 * slows the sender; a larger one is a queue that every keystroke waits behind. So it grows only
 * while the sender is limited by it and the round trip has not swollen. Pure, but for the budget
 * that all connections of the process share.
 */
#ifndef RL_RPC_H2_WINDOW_H
#define RL_RPC_H2_WINDOW_H

#include <stdint.h>

#define RL_H2_CONNECTION_WINDOW_BYTES_MAX (16u << 20)
/* What all windows of the process together may be larger than they began. */
#define RL_H2_WINDOW_BUDGET_BYTES (64u << 20)

/** The size after a round trip in which `received` bytes came. Never smaller than `size`.
 * `rtt_us` of this round, `least_rtt_us` of all so far. */
uint32_t rl_h2_window_after_round(uint32_t size, uint32_t max, uint64_t received, uint64_t rtt_us,
                                  uint64_t least_rtt_us);

/** Takes up to `wanted` bytes from the process's budget; how many there were. Any thread. */
uint32_t rl_h2_window_borrow(uint32_t wanted);
void rl_h2_window_repay(uint32_t borrowed);

#endif
