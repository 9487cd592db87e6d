/* timer: a binary heap by due time, and one timerfd for its head. The timerfd is moved only when
 * it would be late; one that goes off early costs a turn and is set again. Timers that are always
 * pushed back before they fire (keepalives) therefore cost no system call.
 */
#include "loop/internal.h"

#include "clock/clock.h"
#include "status/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define NEVER_MS UINT64_MAX
#define FIRST_CAPACITY 16

static bool is_before(const struct rl_timer *a, const struct rl_timer *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->sequence < b->sequence;
}

static void put(struct rl_timer_heap *heap, size_t place, struct rl_timer *timer)
{
    heap->timers[place] = timer;
    timer->place = place;
}

static void sift_up(struct rl_timer_heap *heap, struct rl_timer *timer, size_t place)
{
    while (place > 1 && is_before(timer, heap->timers[place / 2])) {
        put(heap, place, heap->timers[place / 2]);
        place /= 2;
    }
    put(heap, place, timer);
}

static void sift_down(struct rl_timer_heap *heap, struct rl_timer *timer, size_t place)
{
    for (;;) {
        size_t child = place * 2;
        if (child > heap->count)
            break;
        if (child < heap->count && is_before(heap->timers[child + 1], heap->timers[child]))
            child++;
        if (!is_before(heap->timers[child], timer))
            break;
        put(heap, place, heap->timers[child]);
        place = child;
    }
    put(heap, place, timer);
}

static void settle(struct rl_timer_heap *heap, struct rl_timer *timer, size_t place)
{
    if (place > 1 && is_before(timer, heap->timers[place / 2]))
        sift_up(heap, timer, place);
    else
        sift_down(heap, timer, place);
}

static void insert(struct rl_timer_heap *heap, struct rl_timer *timer)
{
    if (heap->count + 1 >= heap->capacity) { /* place 0 is not used */
        size_t capacity = heap->capacity ? heap->capacity * 2 : FIRST_CAPACITY;
        struct rl_timer **timers = reallocarray(heap->timers, capacity, sizeof *timers);
        RL_NEED_MEMORY(timers, 0);
        heap->timers = timers;
        heap->capacity = capacity;
    }
    heap->count++;
    sift_up(heap, timer, heap->count);
}

struct rl_timer *rl_timer_create(struct rl_loop *loop, rl_timer_fn fn, void *context)
{
    struct rl_timer *timer = rl_alloc(sizeof *timer);
    *timer = (struct rl_timer){.loop = loop, .fn = fn, .context = context};
    loop->owned++;
    return timer;
}

void rl_timer_arm(struct rl_timer *timer, uint64_t delay_ms)
{
    struct rl_timer_heap *heap = &timer->loop->heap;
    if (__builtin_add_overflow(rl_loop_now_ms(timer->loop), delay_ms, &timer->due_ms))
        timer->due_ms = NEVER_MS;
    timer->sequence = ++heap->sequence;
    if (timer->place)
        settle(heap, timer, timer->place);
    else
        insert(heap, timer);
}

void rl_timer_disarm(struct rl_timer *timer)
{
    struct rl_timer_heap *heap = &timer->loop->heap;
    size_t place = timer->place;
    if (!place)
        return;
    timer->place = 0;
    struct rl_timer *last = heap->timers[heap->count--];
    if (last != timer)
        settle(heap, last, place);
}

bool rl_timer_is_armed(const struct rl_timer *timer)
{
    return timer->place != 0;
}

void rl_timer_free(struct rl_timer **timer)
{
    if (!timer || !*timer)
        return;
    rl_timer_disarm(*timer);
    (*timer)->loop->owned--;
    free(*timer);
    *timer = NULL;
}

/* ---- the loop's side ---- */

static void on_alarm(void *context, int fd, unsigned events)
{
    (void)events;
    struct rl_timer_heap *heap = context;
    uint64_t expirations;
    if (read(fd, &expirations, sizeof expirations) < 0)
        RL_ASSERT(errno == EAGAIN || errno == EINTR);
    heap->wakes_at_ms = NEVER_MS;
}

rl_code rl_timer_heap_init(struct rl_loop *loop, struct rl_error *err)
{
    struct rl_timer_heap *heap = &loop->heap;
    heap->wakes_at_ms = NEVER_MS;
    heap->fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (heap->fd < 0)
        return rl_fail_errno(err, RL_E_EXHAUSTED, "making the timer of an event loop");
    return rl_watch_start(loop, heap->fd, RL_LOOP_READ, on_alarm, heap, &heap->watch, err);
}

void rl_timer_heap_fini(struct rl_loop *loop)
{
    rl_watch_stop(&loop->heap.watch);
    if (loop->heap.fd >= 0)
        close(loop->heap.fd);
    free(loop->heap.timers);
}

void rl_timer_heap_set_alarm(struct rl_loop *loop)
{
    struct rl_timer_heap *heap = &loop->heap;
    if (heap->count == 0 || heap->timers[1]->due_ms >= heap->wakes_at_ms)
        return;
    uint64_t due_ms = heap->timers[1]->due_ms;
    struct itimerspec when = {0};
    when.it_value.tv_sec = (time_t)(due_ms / 1000);
    when.it_value.tv_nsec = (long)(due_ms % 1000) * 1000000;
    RL_ASSERT(timerfd_settime(heap->fd, TFD_TIMER_ABSTIME, &when, NULL) == 0);
    heap->wakes_at_ms = due_ms;
}

void rl_timer_heap_fire(struct rl_loop *loop)
{
    struct rl_timer_heap *heap = &loop->heap;
    /* One that is armed anew by a callback waits for the next turn, even with no delay. */
    uint64_t last = heap->sequence;
    while (heap->count && heap->timers[1]->due_ms <= loop->now_ms &&
           heap->timers[1]->sequence <= last) {
        struct rl_timer *timer = heap->timers[1];
        rl_timer_disarm(timer);
        timer->fn(timer->context);
    }
}
