/* What the files of loop share. */
#ifndef RL_LOOP_INTERNAL_H
#define RL_LOOP_INTERNAL_H

#include "loop/loop.h"

#include <pthread.h>
#include <stdatomic.h>

struct rl_watch {
    struct rl_loop *loop;
    int fd;
    unsigned events;
    rl_watch_fn fn; /* NULL: stopped, waits in the grave */
    void *context;
    struct rl_watch *next_dead;
};

struct rl_timer {
    struct rl_loop *loop;
    rl_timer_fn fn;
    void *context;
    uint64_t due_ms;
    uint64_t sequence; /* of arming: equal times fire in the order in which they were armed */
    size_t place;      /* in the heap, counted from 1; 0: not armed */
};

struct rl_timer_heap {
    struct rl_timer **timers;
    size_t count, capacity;
    uint64_t sequence;
    int fd;               /* a timerfd on CLOCK_BOOTTIME: epoll's own timeout sleeps in suspend */
    uint64_t wakes_at_ms; /* when the timerfd goes off; UINT64_MAX: never */
    struct rl_watch *watch;
};

struct rl_task {
    struct rl_loop *loop;
    rl_timer_fn fn;
    void *context;
    struct rl_task *next, **link; /* link NULL: not scheduled */
};

struct rl_signals {
    rl_signal_fn fn;
    void *context;
    int fd;
    struct rl_watch *watch;
    struct rl_signals *next;
};

struct rl_post {
    struct rl_post *next;
    rl_timer_fn fn;
    void *context;
};

struct rl_loop {
    int epoll_fd;
    _Atomic pthread_t thread;
    atomic_bool is_stopping;
    bool is_in_turn;
    uint64_t now_ms;
    size_t owned; /* watches, timers and tasks that their owners have not given back */

    struct rl_watch *grave; /* an event of this turn may still name them */
    struct rl_timer_heap heap;
    struct rl_task *tasks, **tasks_end;
    struct rl_signals *signals;

    int post_fd;
    struct rl_watch *post_watch;
    pthread_mutex_t post_lock;
    struct rl_post *posts, **posts_end;
};

/* watch.c */
void rl_watch_serve(struct rl_watch *watch, unsigned epoll_events);
void rl_watch_bury(struct rl_loop *loop);
void rl_signals_free(struct rl_loop *loop);

/* timer.c */
rl_code rl_timer_heap_init(struct rl_loop *loop, struct rl_error *err);
void rl_timer_heap_fini(struct rl_loop *loop);
/* Sees to it that epoll wakes for the first timer. */
void rl_timer_heap_set_alarm(struct rl_loop *loop);
void rl_timer_heap_fire(struct rl_loop *loop);

#endif
