/* pace: how much of a flow may be on its way, by how fast it was seen to move: what moves in
 * RL_PACE_QUEUE_MS. With more, a keystroke waits behind a queue; with less, every hop runs dry and
 * is woken for each small piece.
 */
#ifndef RL_CLOCK_PACE_H
#define RL_CLOCK_PACE_H

#include <stddef.h>
#include <stdint.h>

#define RL_PACE_QUEUE_MS 8
#define RL_PACE_MEASURE_MS 32 /* at least, for one measurement */

/** Zeroed. */
struct rl_pace {
    uint64_t since_ms, bytes;
};

/** `n` more bytes moved. What may be on its way from now on: `current` until a measurement is over,
 * then `least`, or twice, four times ... of it, at most `most`. It shrinks only when less than half
 * of it moves. `current` is what this said last, `least` at first. */
uint32_t rl_pace_follow(struct rl_pace *pace, size_t n, uint64_t now_ms, uint32_t current,
                        uint32_t least, uint32_t most);

#endif
