/* pace: how much of a flow may be on its way, by how fast it was seen to move: what moves in
 * RL_PACE_QUEUE_MS. With more, a keystroke waits behind a queue; with less, every hop runs dry and
 * is woken for each small piece.
 */
#ifndef RL_CLOCK_PACE_H
#define RL_CLOCK_PACE_H

#include <stdbool.h>
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

/** A path that takes a whole bounded amount away in less than this is not a long one. */
#define RL_REACH_MS_MIN 4

/** How far it is to the end of a path, seen by a sender who may have only so much on its way. On a
 * long path he waits for word of it, though nothing queues: then it is too little, however slowly
 * it moves. Zeroed. Offsets count from 0. */
struct rl_reach {
    uint64_t mark, since_ms; /* everything below `mark` was on its way then */
    uint64_t least_ms;
    bool is_measuring, was_measured;
};

/** All that may be on its way is: up to `offset`. */
void rl_reach_full(struct rl_reach *reach, uint64_t offset, uint64_t now_ms);
/** Everything below `offset` has arrived. True: much more may be on its way; the wait for it
 * was as long as the path, and not a queue. */
bool rl_reach_arrived(struct rl_reach *reach, uint64_t offset, uint64_t now_ms);

#endif
