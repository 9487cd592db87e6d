/* Blocks are made as they are needed and freed as they empty: an idle stream holds none. */
#include "tunnel/queue.h"

#include <stdlib.h>
#include <string.h>

struct rl_queue_block {
    struct rl_queue_block *next;
    size_t start, end;
    uint8_t bytes[RL_QUEUE_BLOCK_BYTES];
};

void rl_queue_init(struct rl_queue *queue, size_t max)
{
    *queue = (struct rl_queue){.max = max};
}

void rl_queue_fini(struct rl_queue *queue)
{
    rl_queue_drop(queue, queue->n);
}

static struct rl_queue_block *grow(struct rl_queue *queue)
{
    struct rl_queue_block *block = malloc(sizeof *block); /* not zeroed: this is the data path */
    RL_ASSERT(block);
    block->next = NULL;
    block->start = block->end = 0;
    if (queue->last)
        queue->last->next = block;
    else
        queue->first = block;
    queue->last = block;
    return block;
}

bool rl_queue_put(struct rl_queue *queue, struct rl_span bytes)
{
    if (bytes.n > queue->max - queue->n)
        return false;
    queue->n += bytes.n;
    if (bytes.n >= RL_QUEUE_LARGE_BYTES)
        grow(queue);
    while (bytes.n) {
        struct rl_queue_block *block = queue->last;
        if (!block || block->end == RL_QUEUE_BLOCK_BYTES)
            block = grow(queue);
        size_t room = RL_QUEUE_BLOCK_BYTES - block->end;
        size_t n = bytes.n < room ? bytes.n : room;
        memcpy(block->bytes + block->end, bytes.p, n);
        block->end += n;
        bytes.p += n;
        bytes.n -= n;
    }
    return true;
}

struct rl_span rl_queue_front(const struct rl_queue *queue)
{
    const struct rl_queue_block *block = queue->first;
    return block ? RL_SPAN(block->bytes + block->start, block->end - block->start)
                 : RL_SPAN(NULL, 0);
}

size_t rl_queue_pieces(const struct rl_queue *queue, struct iovec *pieces, size_t max)
{
    size_t count = 0;
    for (struct rl_queue_block *b = queue->first; b && count < max; b = b->next)
        pieces[count++] = (struct iovec){b->bytes + b->start, b->end - b->start};
    return count;
}

void rl_queue_drop(struct rl_queue *queue, size_t n)
{
    RL_ASSERT(n <= queue->n);
    queue->n -= n;
    while (n) {
        struct rl_queue_block *block = queue->first;
        RL_ASSERT(block);
        size_t here = block->end - block->start;
        size_t gone = n < here ? n : here;
        block->start += gone;
        n -= gone;
        if (block->start < block->end)
            break;
        queue->first = block->next;
        if (!queue->first)
            queue->last = NULL;
        free(block);
    }
}

size_t rl_queue_drop_behind_front(struct rl_queue *queue)
{
    size_t dropped = 0;
    if (!queue->first)
        return 0;
    for (struct rl_queue_block *block = queue->first->next, *next; block; block = next) {
        next = block->next;
        dropped += block->end - block->start;
        free(block);
    }
    queue->first->next = NULL;
    queue->last = queue->first;
    queue->n -= dropped;
    return dropped;
}

size_t rl_queue_take(struct rl_queue *queue, uint8_t *to, size_t room)
{
    size_t taken = 0;
    while (taken < room && queue->n) {
        struct rl_span front = rl_queue_front(queue);
        if (taken && (front.n >= RL_QUEUE_LARGE_BYTES || front.n > room - taken))
            break;
        size_t n = front.n < room - taken ? front.n : room - taken;
        memcpy(to + taken, front.p, n);
        rl_queue_drop(queue, n);
        taken += n;
    }
    return taken;
}
