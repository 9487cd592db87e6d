/* loop: the turn. Descriptors first, then timers, then what was deferred; nothing that was stopped
 * in a turn is called later in it.
 */
#include "loop/internal.h"

#include "clock/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* More than these wait for the next turn: the kernel hands descriptors out in rotation. */
#define EVENTS_MAX 256

static void run_posts(struct rl_loop *loop)
{
    pthread_mutex_lock(&loop->post_lock);
    struct rl_post *posts = loop->posts;
    loop->posts = NULL;
    loop->posts_end = &loop->posts;
    pthread_mutex_unlock(&loop->post_lock);
    while (posts) {
        struct rl_post *post = posts;
        posts = post->next;
        rl_timer_fn fn = post->fn;
        void *context = post->context;
        free(post);
        fn(context);
    }
}

static void on_posted(void *context, int fd, unsigned events)
{
    (void)events;
    uint64_t count;
    /* Emptied before the queue is taken: a post that comes between wakes us once more, for
     * nothing; the other way round it would be left lying. */
    if (read(fd, &count, sizeof count) < 0)
        RL_ASSERT(errno == EAGAIN || errno == EINTR);
    run_posts(context);
}

static rl_code open_posts(struct rl_loop *loop, struct rl_error *err)
{
    loop->post_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->post_fd < 0)
        return rl_fail_errno(err, RL_E_EXHAUSTED, "making an event loop");
    return rl_watch_start(loop, loop->post_fd, RL_LOOP_READ, on_posted, loop, &loop->post_watch,
                          err);
}

/* Takes a half-built loop. */
static void destroy(struct rl_loop *loop)
{
    rl_signals_free(loop);
    rl_timer_heap_fini(loop);
    rl_watch_stop(&loop->post_watch);
    rl_watch_bury(loop);
    RL_ASSERT(loop->owned == 0); /* a watch, timer or task that would outlive its loop */
    if (loop->post_fd >= 0)
        close(loop->post_fd);
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    pthread_mutex_destroy(&loop->post_lock);
    free(loop);
}

rl_code rl_loop_create(struct rl_loop **out, struct rl_error *err)
{
    struct rl_loop *loop = rl_alloc(sizeof *loop);
    loop->post_fd = loop->heap.fd = -1;
    loop->tasks_end = &loop->tasks;
    loop->posts_end = &loop->posts;
    loop->thread = pthread_self();
    loop->now_ms = rl_clock_boot_ms();
    pthread_mutex_init(&loop->post_lock, NULL);
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    rl_code rc = loop->epoll_fd < 0 ? rl_fail_errno(err, RL_E_EXHAUSTED, "making an event loop")
                                    : open_posts(loop, err);
    if (rc == RL_OK)
        rc = rl_timer_heap_init(loop, err);
    if (rc != RL_OK) {
        destroy(loop);
        return rc;
    }
    *out = loop;
    return RL_OK;
}

static bool has_posts(struct rl_loop *loop)
{
    pthread_mutex_lock(&loop->post_lock);
    bool has = loop->posts != NULL;
    pthread_mutex_unlock(&loop->post_lock);
    return has;
}

void rl_loop_free(struct rl_loop **loop)
{
    if (!loop || !*loop)
        return;
    while (has_posts(*loop))
        run_posts(*loop);
    destroy(*loop);
    *loop = NULL;
}

void rl_loop_post(struct rl_loop *loop, rl_timer_fn fn, void *context)
{
    struct rl_post *post = rl_alloc(sizeof *post);
    post->fn = fn;
    post->context = context;
    pthread_mutex_lock(&loop->post_lock);
    bool was_empty = loop->posts == NULL;
    *loop->posts_end = post;
    loop->posts_end = &post->next;
    /* Under the lock: once it is released, the loop may run this post and be freed. */
    if (was_empty) {
        uint64_t one = 1;
        RL_ASSERT(write(loop->post_fd, &one, sizeof one) == sizeof one || errno == EAGAIN);
    }
    pthread_mutex_unlock(&loop->post_lock);
}

/* ---- deferred work ---- */

struct rl_task *rl_task_create(struct rl_loop *loop, rl_timer_fn fn, void *context)
{
    struct rl_task *task = rl_alloc(sizeof *task);
    *task = (struct rl_task){.loop = loop, .fn = fn, .context = context};
    loop->owned++;
    return task;
}

void rl_task_schedule(struct rl_task *task)
{
    if (task->link)
        return;
    task->next = NULL;
    task->link = task->loop->tasks_end;
    *task->link = task;
    task->loop->tasks_end = &task->next;
}

static void unschedule(struct rl_task *task)
{
    if (!task->link)
        return;
    *task->link = task->next;
    if (task->next)
        task->next->link = task->link;
    else if (task->loop->tasks_end == &task->next)
        task->loop->tasks_end = task->link;
    task->link = NULL;
}

void rl_task_free(struct rl_task **task)
{
    if (!task || !*task)
        return;
    unschedule(*task);
    (*task)->loop->owned--;
    free(*task);
    *task = NULL;
}

/* What a task schedules runs in the next turn, so that one that schedules itself starves nobody. */
static void run_tasks(struct rl_loop *loop)
{
    struct rl_task *now = loop->tasks;
    if (!now)
        return;
    now->link = &now;
    loop->tasks = NULL;
    loop->tasks_end = &loop->tasks;
    while (now) {
        struct rl_task *task = now;
        unschedule(task);
        task->fn(task->context);
    }
}

/* ---- the turn ---- */

void rl_loop_turn(struct rl_loop *loop, int timeout_ms)
{
    RL_ASSERT(!loop->is_in_turn);
    loop->thread = pthread_self();
    rl_timer_heap_set_alarm(loop);
    struct epoll_event events[EVENTS_MAX];
    bool must_not_wait = loop->tasks || atomic_load(&loop->is_stopping);
    int n = epoll_wait(loop->epoll_fd, events, EVENTS_MAX, must_not_wait ? 0 : timeout_ms);
    RL_ASSERT(n >= 0 || errno == EINTR);
    loop->now_ms = rl_clock_boot_ms();
    loop->is_in_turn = true;
    for (int i = 0; i < n; i++)
        rl_watch_serve(events[i].data.ptr, events[i].events);
    rl_timer_heap_fire(loop);
    run_tasks(loop);
    loop->is_in_turn = false;
    rl_watch_bury(loop);
}

void rl_loop_run(struct rl_loop *loop)
{
    while (!atomic_load(&loop->is_stopping))
        rl_loop_turn(loop, -1);
    atomic_store(&loop->is_stopping, false);
}

static void do_nothing(void *context)
{
    (void)context;
}

void rl_loop_stop(struct rl_loop *loop)
{
    atomic_store(&loop->is_stopping, true);
    if (!rl_loop_is_current(loop))
        rl_loop_post(loop, do_nothing, NULL); /* wakes it */
}

uint64_t rl_loop_now_ms(const struct rl_loop *loop)
{
    return loop->is_in_turn ? loop->now_ms : rl_clock_boot_ms();
}

bool rl_loop_is_current(const struct rl_loop *loop)
{
    return pthread_equal(loop->thread, pthread_self());
}
