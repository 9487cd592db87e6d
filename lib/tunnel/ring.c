/* A table of blocks, used round and round: an offset says where its byte lies, without a search. */
#include "tunnel/ring.h"

#include <stdlib.h>
#include <string.h>

void rl_ring_init(struct rl_ring *ring, size_t max, struct rl_ring_budget *budget)
{
    RL_ASSERT(max > 0 && max <= RL_RING_BYTES_MAX);
    *ring = (struct rl_ring){.budget = budget, .max = max};
    /* `max` bytes that begin inside a block touch one more. */
    ring->slots = (max + RL_RING_BLOCK_BYTES - 1) / RL_RING_BLOCK_BYTES + 1;
}

static uint8_t **block_of(const struct rl_ring *ring, uint64_t offset)
{
    return &ring->blocks[offset / RL_RING_BLOCK_BYTES % ring->slots];
}

static void take_block(struct rl_ring *ring, uint64_t offset)
{
    if (!ring->blocks)
        ring->blocks = rl_alloc_array(ring->slots, sizeof *ring->blocks);
    uint8_t *block = malloc(RL_RING_BLOCK_BYTES); /* not zeroed: this is the data path */
    RL_ASSERT(block);
    *block_of(ring, offset) = block;
    if (ring->block_count++ > 0 && ring->budget)
        ring->budget->used += RL_RING_BLOCK_BYTES;
}

static void give_block(struct rl_ring *ring, uint64_t offset)
{
    uint8_t **block = block_of(ring, offset);
    free(*block);
    *block = NULL;
    if (--ring->block_count > 0 && ring->budget)
        ring->budget->used -= RL_RING_BLOCK_BYTES;
}

void rl_ring_fini(struct rl_ring *ring)
{
    if (!ring->blocks)
        return;
    rl_ring_drop(ring, ring->end);
    free(ring->blocks);
    ring->blocks = NULL;
}

/* Of the block that is being filled; 0 when the next byte begins a new one. */
static size_t room_in_block(const struct rl_ring *ring)
{
    size_t used = (size_t)(ring->end % RL_RING_BLOCK_BYTES);
    return ring->block_count && used ? RL_RING_BLOCK_BYTES - used : 0;
}

static size_t room_in_budget(const struct rl_ring *ring)
{
    if (!ring->budget)
        return RL_RING_BYTES_MAX;
    size_t left =
        ring->budget->max > ring->budget->used ? ring->budget->max - ring->budget->used : 0;
    left -= left % RL_RING_BLOCK_BYTES;
    if (ring->block_count)
        return left;
    /* Its first block is its own; it may begin in the middle. */
    return left + RL_RING_BLOCK_BYTES - (size_t)(ring->end % RL_RING_BLOCK_BYTES);
}

size_t rl_ring_room(const struct rl_ring *ring)
{
    size_t most = ring->max - (size_t)(ring->end - ring->start);
    size_t there = room_in_block(ring) + room_in_budget(ring);
    return most < there ? most : there;
}

void rl_ring_put(struct rl_ring *ring, struct rl_span bytes)
{
    RL_ASSERT(bytes.n <= rl_ring_room(ring));
    while (bytes.n) {
        if (!room_in_block(ring))
            take_block(ring, ring->end);
        size_t at = (size_t)(ring->end % RL_RING_BLOCK_BYTES);
        size_t n = bytes.n < RL_RING_BLOCK_BYTES - at ? bytes.n : RL_RING_BLOCK_BYTES - at;
        memcpy(*block_of(ring, ring->end) + at, bytes.p, n);
        ring->end += n;
        bytes.p += n;
        bytes.n -= n;
    }
}

size_t rl_ring_places(struct rl_ring *ring, size_t n, struct iovec places[RL_RING_PLACES_MAX])
{
    RL_ASSERT(n > 0 && n <= rl_ring_room(ring));
    size_t count = 0, there = room_in_block(ring);
    uint64_t at = ring->end;
    for (; n && count < RL_RING_PLACES_MAX; count++) {
        if (!there) {
            take_block(ring, at);
            there = RL_RING_BLOCK_BYTES - (size_t)(at % RL_RING_BLOCK_BYTES);
        }
        size_t here = there < n ? there : n;
        places[count] = (struct iovec){*block_of(ring, at) + at % RL_RING_BLOCK_BYTES, here};
        at += here;
        n -= here;
        there = 0;
    }
    ring->open = at;
    return count;
}

void rl_ring_filled(struct rl_ring *ring, size_t n)
{
    RL_ASSERT(n <= ring->open - ring->end);
    ring->end += n;
    while (ring->open > ring->end) {
        uint64_t block = (ring->open - 1) / RL_RING_BLOCK_BYTES * RL_RING_BLOCK_BYTES;
        if ((block > ring->start ? block : ring->start) < ring->end)
            break; /* something in it is kept */
        give_block(ring, block);
        ring->open = block;
    }
}

size_t rl_ring_copy(const struct rl_ring *ring, uint64_t offset, uint8_t *to, size_t room)
{
    RL_ASSERT(offset >= ring->start && offset < ring->end);
    size_t copied = 0;
    while (copied < room && offset < ring->end) {
        size_t at = (size_t)(offset % RL_RING_BLOCK_BYTES);
        size_t n = RL_RING_BLOCK_BYTES - at;
        if (n > ring->end - offset)
            n = (size_t)(ring->end - offset);
        if (n > room - copied)
            n = room - copied;
        memcpy(to + copied, *block_of(ring, offset) + at, n);
        copied += n;
        offset += n;
    }
    return copied;
}

void rl_ring_drop(struct rl_ring *ring, uint64_t up_to)
{
    RL_ASSERT(up_to >= ring->start && up_to <= ring->end);
    while (ring->start < up_to) {
        uint64_t block_end = ring->start - ring->start % RL_RING_BLOCK_BYTES + RL_RING_BLOCK_BYTES;
        uint64_t next = up_to < block_end ? up_to : block_end;
        if (next == block_end || next == ring->end)
            give_block(ring, ring->start);
        ring->start = next;
    }
}
