/* ring: the bytes of one direction that the far end has not acknowledged, by their offset, so that
 * they can be sent again. In blocks, made as they are needed and freed as they empty: an idle
 * stream holds none. All rings of a process share a budget; one block each may always have, so that
 * a ring which is full has an acknowledgement to wait for.
 */
#ifndef RL_TUNNEL_RING_H
#define RL_TUNNEL_RING_H

#include "bytes/buf.h"

#include <sys/uio.h>

#define RL_RING_BLOCK_BYTES 16384
#define RL_RING_BYTES_MAX (4u << 20) /* the most that `max` may be */

/** Zeroed but for `max`; outlives its rings. One loop's thread. */
struct rl_ring_budget {
    size_t max, used; /* bytes, in whole blocks beyond the first of each ring */
};

/** Used by value, not copied. */
struct rl_ring {
    struct rl_ring_budget *budget; /* NULL: its own maximum is the only one */
    uint8_t **blocks;              /* block of offset o: (o / RL_RING_BLOCK_BYTES) % slots */
    size_t slots, block_count, max;
    uint64_t start, end; /* offsets: acknowledged up to; kept up to */
    uint64_t open;       /* between places and filled: places up to */
};

/** Empty, at offset 0. `max` 1..RL_RING_BYTES_MAX bytes; `budget` is borrowed. */
void rl_ring_init(struct rl_ring *ring, size_t max, struct rl_ring_budget *budget);
void rl_ring_fini(struct rl_ring *ring);
/** How many bytes rl_ring_put() takes now: 0 when it is full. */
size_t rl_ring_room(const struct rl_ring *ring);
void rl_ring_put(struct rl_ring *ring, struct rl_span bytes); /* n <= room */
/** Room for up to `n` <= room bytes, in the order in which they will lie; what a socket is to be
 * read into. Returns how many places that is, at most RL_RING_PLACES_MAX, of which the last may cut
 * it short. rl_ring_filled() follows at once. */
#define RL_RING_PLACES_MAX 5
size_t rl_ring_places(struct rl_ring *ring, size_t n, struct iovec places[RL_RING_PLACES_MAX]);
/** The first `n` bytes of those places are kept now; blocks that are not needed are freed. */
void rl_ring_filled(struct rl_ring *ring, size_t n);
/** Copies up to `room` bytes from `offset` on, start <= offset < end; returns how many, at least 1
 * of a room that is not 0. */
size_t rl_ring_copy(const struct rl_ring *ring, uint64_t offset, uint8_t *to, size_t room);
void rl_ring_drop(struct rl_ring *ring, uint64_t up_to); /* start <= up_to <= end */

#endif
