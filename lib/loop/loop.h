/* loop: one thread, one epoll. A loop owns its descriptors and timers whole: every callback runs on
 * the loop's own thread, so what they share needs no lock. Other threads have exactly one way in,
 * rl_loop_post().
 */
#ifndef RL_LOOP_H
#define RL_LOOP_H

#include "status/status.h"

#include <stdint.h>

struct rl_loop;

/** Errors: RL_E_EXHAUSTED when the system has no descriptor left. */
rl_code rl_loop_create(struct rl_loop **out, struct rl_error *err);
/** All watches and timers are stopped by their owners before. Runs what is still posted. */
void rl_loop_free(struct rl_loop **loop);
/** Runs until rl_loop_stop(). */
void rl_loop_run(struct rl_loop *loop);
/** One turn: waits at most timeout_ms (-1: for ever). For tests and for blocking clients. */
void rl_loop_turn(struct rl_loop *loop, int timeout_ms);
/** May be called from any thread and from a signal watch. */
void rl_loop_stop(struct rl_loop *loop);
/** Milliseconds of CLOCK_BOOTTIME as of this turn: one value for all callbacks of the turn. */
uint64_t rl_loop_now_ms(const struct rl_loop *loop);
bool rl_loop_is_current(const struct rl_loop *loop); /* is this its thread? */

/* ---- descriptors: level-triggered ---- */

enum { RL_LOOP_READ = 1, RL_LOOP_WRITE = 2, RL_LOOP_HANGUP = 4 /* told always, never asked for */ };

/** `events` is a set of the bits above. The watch may be stopped in its own callback. With a
 * hang-up comes what was asked for, so that reading or writing finds the end; it is told in every
 * turn until the watch is stopped. */
typedef void (*rl_watch_fn)(void *context, int fd, unsigned events);

struct rl_watch;
/** The descriptor stays the caller's. `events` 0 is allowed: hang-ups only.
 * Errors: RL_E_INVAL for what cannot be watched: a regular file, a descriptor watched already. */
rl_code rl_watch_start(struct rl_loop *loop, int fd, unsigned events, rl_watch_fn fn, void *context,
                       struct rl_watch **out, struct rl_error *err);
void rl_watch_change(struct rl_watch *watch, unsigned events); /* free when nothing changes */
/** Before the descriptor is closed. No callback comes after it. Takes NULL, NULLs the pointer. */
void rl_watch_stop(struct rl_watch **watch);

/** As many descriptors as the system lets this process have: the soft limit becomes the hard one.
 * How many that are; 0: unknown. Children inherit it: who runs another program sets it back. */
uint64_t rl_descriptors_raise(void);

/* ---- timers: one shot; a heap, so that a million cost little ---- */

typedef void (*rl_timer_fn)(void *context);

struct rl_timer;
struct rl_timer *rl_timer_create(struct rl_loop *loop, rl_timer_fn fn, void *context);
/** Fires once, delay_ms from now; arming again moves it. */
void rl_timer_arm(struct rl_timer *timer, uint64_t delay_ms);
void rl_timer_disarm(struct rl_timer *timer);
bool rl_timer_is_armed(const struct rl_timer *timer);
void rl_timer_free(struct rl_timer **timer);

/* ---- deferred work: runs once, at the end of this turn, after all descriptors were served ---- */

struct rl_task; /* the place to flush a connection that several callbacks have written to */
struct rl_task *rl_task_create(struct rl_loop *loop, rl_timer_fn fn, void *context);
void rl_task_schedule(struct rl_task *task); /* again before it ran: still once */
void rl_task_free(struct rl_task **task);

/* ---- from other threads ---- */

/** Runs fn(context) on the loop's thread, in order for each poster. Never blocks; never lost while
 * the loop lives. */
void rl_loop_post(struct rl_loop *loop, rl_timer_fn fn, void *context);

/* ---- signals: delivered as callbacks; the signals are blocked in all threads made later ---- */

typedef void (*rl_signal_fn)(void *context, int signal);
rl_code rl_loop_on_signals(struct rl_loop *loop, const int *signals, size_t count, rl_signal_fn fn,
                           void *context, struct rl_error *err);

#endif
