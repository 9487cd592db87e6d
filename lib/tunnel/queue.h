/* queue: bytes that wait for their sink, first in, first out, in blocks, never more than `max`.
 * What a stalled stream may hold is the max of its queue: the stream's window.
 */
#ifndef RL_TUNNEL_QUEUE_H
#define RL_TUNNEL_QUEUE_H

#include "bytes/buf.h"

#include <sys/uio.h>

#define RL_QUEUE_BLOCK_BYTES 16384
#define RL_QUEUE_LARGE_BYTES (RL_QUEUE_BLOCK_BYTES / 2)

struct rl_queue_block;
/** Zeroed by init; used by value, not copied. */
struct rl_queue {
    struct rl_queue_block *first, *last;
    size_t n, max;
};

void rl_queue_init(struct rl_queue *queue, size_t max);
void rl_queue_fini(struct rl_queue *queue);
/** False, and nothing is queued, when it would pass the maximum. */
bool rl_queue_put(struct rl_queue *queue, struct rl_span bytes);
/** The longest piece at the front that lies in one place; n 0 when the queue is empty. What is
 * returned twice with nothing dropped in between starts at the same byte and is no shorter. */
struct rl_span rl_queue_front(const struct rl_queue *queue);
/** The first pieces, at most `max`; how many. */
size_t rl_queue_pieces(const struct rl_queue *queue, struct iovec *pieces, size_t max);
void rl_queue_drop(struct rl_queue *queue, size_t n); /* n <= queue->n */
/** Forgets all but the piece that rl_queue_front() shows; returns how many bytes went. */
size_t rl_queue_drop_behind_front(struct rl_queue *queue);
/** Moves up to `room` bytes out of it, of one large piece or of several small ones; returns how
 * many: 0 only when it is empty. */
size_t rl_queue_take(struct rl_queue *queue, uint8_t *to, size_t room);

#endif
