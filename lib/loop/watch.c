/* watch: descriptors and signals. A stopped watch lies in the grave until the turn ends, because
 * the kernel may already have named it in an event of this turn.
 */
#include "loop/internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

static uint32_t to_epoll(unsigned events)
{
    return (events & RL_LOOP_READ ? (uint32_t)EPOLLIN : 0) |
           (events & RL_LOOP_WRITE ? (uint32_t)EPOLLOUT : 0);
}

rl_code rl_watch_start(struct rl_loop *loop, int fd, unsigned events, rl_watch_fn fn, void *context,
                       struct rl_watch **out, struct rl_error *err)
{
    struct rl_watch *watch = rl_alloc(sizeof *watch);
    *watch =
        (struct rl_watch){.loop = loop, .fd = fd, .events = events, .fn = fn, .context = context};
    struct epoll_event event = {.events = to_epoll(events), .data.ptr = watch};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
        rl_code code = errno == ENOMEM || errno == ENOSPC ? RL_E_EXHAUSTED : RL_E_INVAL;
        rl_fail_errno(err, code, "watching descriptor %d", fd);
        free(watch);
        return code;
    }
    loop->owned++;
    *out = watch;
    return RL_OK;
}

void rl_watch_change(struct rl_watch *watch, unsigned events)
{
    if (watch->events == events)
        return;
    struct epoll_event event = {.events = to_epoll(events), .data.ptr = watch};
    /* Fails only for a descriptor that was closed before its watch was stopped. */
    RL_ASSERT(epoll_ctl(watch->loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event) == 0);
    watch->events = events;
}

void rl_watch_stop(struct rl_watch **watch)
{
    if (!watch || !*watch)
        return;
    struct rl_watch *dead = *watch;
    struct rl_loop *loop = dead->loop;
    *watch = NULL;
    epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, dead->fd, NULL);
    dead->fn = NULL;
    dead->next_dead = loop->grave;
    loop->grave = dead;
    loop->owned--;
    if (!loop->is_in_turn)
        rl_watch_bury(loop);
}

void rl_watch_bury(struct rl_loop *loop)
{
    while (loop->grave) {
        struct rl_watch *dead = loop->grave;
        loop->grave = dead->next_dead;
        free(dead);
    }
}

void rl_watch_serve(struct rl_watch *watch, unsigned epoll_events)
{
    if (!watch->fn)
        return;
    unsigned events = 0;
    if (epoll_events & EPOLLIN)
        events |= RL_LOOP_READ;
    if (epoll_events & EPOLLOUT)
        events |= RL_LOOP_WRITE;
    /* A pipe whose writer went says hang-up and not "readable": whoever waits to read or write
     * shall find the end by reading or writing. */
    if (epoll_events & (EPOLLHUP | EPOLLERR))
        events |= RL_LOOP_HANGUP | (watch->events & (RL_LOOP_READ | RL_LOOP_WRITE));
    /* What was asked for when the kernel answered may have changed since, in this turn. */
    events &= watch->events | RL_LOOP_HANGUP;
    if (events)
        watch->fn(watch->context, watch->fd, events);
}

/* ---- signals ---- */

static void on_signal(void *context, int fd, unsigned events)
{
    (void)events;
    struct rl_signals *signals = context;
    struct signalfd_siginfo info;
    if (read(fd, &info, sizeof info) == sizeof info)
        signals->fn(signals->context, (int)info.ssi_signo);
}

rl_code rl_loop_on_signals(struct rl_loop *loop, const int *signals, size_t count, rl_signal_fn fn,
                           void *context, struct rl_error *err)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < count; i++)
        if (sigaddset(&set, signals[i]) < 0)
            return rl_fail(err, RL_E_INVAL, "there is no signal %d", signals[i]);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return rl_fail_errno(err, RL_E_EXHAUSTED, "waiting for signals");
    struct rl_signals *set_up = rl_alloc(sizeof *set_up);
    *set_up = (struct rl_signals){.fn = fn, .context = context, .fd = fd, .next = loop->signals};
    rl_code rc = rl_watch_start(loop, fd, RL_LOOP_READ, on_signal, set_up, &set_up->watch, err);
    if (rc != RL_OK) {
        close(fd);
        free(set_up);
        return rc;
    }
    RL_ASSERT(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    loop->signals = set_up;
    return RL_OK;
}

void rl_signals_free(struct rl_loop *loop)
{
    while (loop->signals) {
        struct rl_signals *signals = loop->signals;
        loop->signals = signals->next;
        rl_watch_stop(&signals->watch);
        close(signals->fd);
        free(signals);
    }
}
