#include "loop/loop.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static struct rl_loop *loop;

static void set_up(void)
{
    ck_assert_int_eq(rl_loop_create(&loop, NULL), RL_OK);
}

static void tear_down(void)
{
    rl_loop_free(&loop);
    ck_assert_ptr_null(loop);
}

/* ---- descriptors ---- */

struct side {
    int fd[2]; /* [0] is watched, [1] is ours */
    struct rl_watch *watch;
    struct side *victim; /* whose watch the callback stops */
    unsigned events;
    int calls;
};

static void stop_victim(void *context, int fd, unsigned events)
{
    struct side *side = context;
    ck_assert_int_eq(fd, side->fd[0]);
    side->events = events;
    side->calls++;
    if (side->victim)
        rl_watch_stop(&side->victim->watch);
}

static void side_open(struct side *side, unsigned events)
{
    *side = (struct side){0};
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, side->fd), 0);
    ck_assert_int_eq(
        rl_watch_start(loop, side->fd[0], events, stop_victim, side, &side->watch, NULL), RL_OK);
}

static void side_close(struct side *side)
{
    rl_watch_stop(&side->watch);
    close(side->fd[0]);
    if (side->fd[1] >= 0)
        close(side->fd[1]);
}

static void poke(struct side *side)
{
    ck_assert_int_eq(write(side->fd[1], "x", 1), 1);
}

START_TEST(tells_what_was_asked_for_and_again_until_it_is_read)
{
    struct side side;
    side_open(&side, RL_LOOP_READ);
    rl_loop_turn(loop, 0);
    ck_assert_int_eq(side.calls, 0);
    poke(&side);
    rl_loop_turn(loop, 0);
    rl_loop_turn(loop, 0);
    ck_assert_int_eq(side.calls, 2);
    ck_assert_uint_eq(side.events, RL_LOOP_READ);
    rl_watch_change(side.watch, RL_LOOP_READ | RL_LOOP_WRITE);
    rl_loop_turn(loop, 0);
    ck_assert_uint_eq(side.events, RL_LOOP_READ | RL_LOOP_WRITE);
    rl_watch_change(side.watch, 0);
    rl_loop_turn(loop, 0);
    ck_assert_int_eq(side.calls, 3);
    side_close(&side);
}
END_TEST

START_TEST(tells_of_a_hang_up_unasked)
{
    struct side side;
    side_open(&side, 0);
    close(side.fd[1]);
    side.fd[1] = -1;
    rl_loop_turn(loop, 0);
    ck_assert_uint_eq(side.events, RL_LOOP_HANGUP);
    side_close(&side);
}
END_TEST

START_TEST(says_readable_when_the_writer_of_a_pipe_is_gone)
{
    struct side side = {0};
    ck_assert_int_eq(pipe(side.fd), 0);
    ck_assert_int_eq(
        rl_watch_start(loop, side.fd[0], RL_LOOP_READ, stop_victim, &side, &side.watch, NULL),
        RL_OK);
    close(side.fd[1]);
    side.fd[1] = -1;
    rl_loop_turn(loop, 0);
    ck_assert_uint_eq(side.events, RL_LOOP_READ | RL_LOOP_HANGUP);
    side_close(&side);
}
END_TEST

START_TEST(may_stop_a_watch_in_its_own_callback)
{
    struct side side;
    side_open(&side, RL_LOOP_READ);
    side.victim = &side;
    poke(&side);
    rl_loop_turn(loop, 0);
    rl_loop_turn(loop, 0);
    ck_assert_int_eq(side.calls, 1);
    ck_assert_ptr_null(side.watch);
    side_close(&side);
}
END_TEST

/* Both are ready in one turn; whichever comes first stops the other. */
START_TEST(never_calls_a_watch_that_another_callback_of_the_turn_stopped)
{
    struct side a, b;
    side_open(&a, RL_LOOP_READ);
    side_open(&b, RL_LOOP_READ);
    a.victim = &b;
    b.victim = &a;
    poke(&a);
    poke(&b);
    rl_loop_turn(loop, 0);
    ck_assert_int_eq(a.calls + b.calls, 1);
    side_close(&a);
    side_close(&b);
}
END_TEST

static void stop_asking(void *context, int fd, unsigned events)
{
    (void)fd;
    (void)events;
    struct side *side = context;
    side->calls++;
    rl_watch_change(side->victim->watch, 0);
}

START_TEST(does_not_tell_what_is_no_longer_asked_for)
{
    struct side a, b;
    side_open(&a, 0);
    side_open(&b, 0);
    rl_watch_stop(&a.watch);
    rl_watch_stop(&b.watch);
    a.victim = &b;
    b.victim = &a;
    rl_watch_start(loop, a.fd[0], RL_LOOP_READ, stop_asking, &a, &a.watch, NULL);
    rl_watch_start(loop, b.fd[0], RL_LOOP_READ, stop_asking, &b, &b.watch, NULL);
    poke(&a);
    poke(&b);
    rl_loop_turn(loop, 0);
    ck_assert_int_eq(a.calls + b.calls, 1);
    side_close(&a);
    side_close(&b);
}
END_TEST

START_TEST(refuses_what_can_not_be_watched)
{
    struct rl_error err;
    struct rl_watch *watch = NULL;
    ck_assert_int_eq(rl_watch_start(loop, -1, RL_LOOP_READ, stop_victim, NULL, &watch, &err),
                     RL_E_INVAL);
    ck_assert_ptr_null(watch);
}
END_TEST

/* ---- timers ---- */

static char order[32];
static size_t order_n;

struct mark {
    char letter;
    struct rl_timer *timer;
    struct rl_timer *rearm; /* armed anew, at once, by the callback */
    struct rl_timer **kill;
};

static void mark(void *context)
{
    struct mark *m = context;
    ck_assert_uint_lt(order_n, sizeof order - 1);
    order[order_n++] = m->letter;
    order[order_n] = '\0';
    if (m->rearm)
        rl_timer_arm(m->rearm, 0);
    if (m->kill)
        rl_timer_free(m->kill);
}

static void forget_order(void)
{
    order_n = 0;
    order[0] = '\0';
}

static struct mark marked(char letter)
{
    return (struct mark){.letter = letter};
}

static void turn_until(size_t n)
{
    while (order_n < n) /* only a timer ends the wait */
        rl_loop_turn(loop, -1);
}

START_TEST(fires_timers_in_the_order_of_their_time)
{
    forget_order();
    struct mark marks[] = {marked('c'), marked('a'), marked('d'), marked('b')};
    const uint64_t delays[] = {20, 5, 30, 5};
    uint64_t start = rl_loop_now_ms(loop);
    for (size_t i = 0; i < RL_COUNT(marks); i++) {
        marks[i].timer = rl_timer_create(loop, mark, &marks[i]);
        rl_timer_arm(marks[i].timer, delays[i]);
    }
    rl_timer_arm(marks[1].timer, 4);
    turn_until(4);
    ck_assert_str_eq(order, "abcd");
    ck_assert_uint_ge(rl_loop_now_ms(loop), start + 30);
    for (size_t i = 0; i < RL_COUNT(marks); i++) {
        ck_assert(!rl_timer_is_armed(marks[i].timer));
        rl_timer_free(&marks[i].timer);
    }
}
END_TEST

static void arm_both(void *context)
{
    struct mark *marks = context;
    for (size_t i = 0; i < 2; i++)
        rl_timer_arm(marks[i].timer, 3);
}

START_TEST(fires_timers_of_one_time_in_the_order_of_arming)
{
    forget_order();
    struct mark marks[] = {marked('a'), marked('b')};
    for (size_t i = RL_COUNT(marks); i-- > 0;)
        marks[i].timer = rl_timer_create(loop, mark, &marks[i]);
    for (size_t round = 1; round <= 4; round++) {
        rl_loop_post(loop, arm_both, marks); /* in a turn the time stands still */
        turn_until(2 * round);
    }
    ck_assert_str_eq(order, "abababab");
    for (size_t i = 0; i < RL_COUNT(marks); i++)
        rl_timer_free(&marks[i].timer);
}
END_TEST

struct dated {
    struct rl_timer *timer;
    uint64_t due_ms;
};

static uint64_t latest_due_ms;
static int fired;

static void check_date(void *context)
{
    struct dated *dated = context;
    ck_assert_uint_ge(dated->due_ms, latest_due_ms);
    ck_assert_uint_ge(rl_loop_now_ms(loop), dated->due_ms);
    latest_due_ms = dated->due_ms;
    fired++;
}

static void arm_by_chance(struct dated *dated)
{
    uint64_t delay_ms = (uint64_t)random() % 50;
    rl_timer_arm(dated->timer, delay_ms);
    dated->due_ms = rl_loop_now_ms(loop) + delay_ms;
}

enum { TIMERS = 999 };

/* Runs in a turn, where the time stands still. */
static void arm_all(void *context)
{
    struct dated *dated = context;
    for (size_t i = 0; i < TIMERS; i++)
        arm_by_chance(&dated[i]);
    for (size_t i = 0; i < TIMERS; i++) { /* from the middle of the heap */
        struct dated *one = &dated[(i * 787) % TIMERS];
        if (i % 3 == 0)
            rl_timer_disarm(one->timer);
        else if (i % 3 == 1)
            arm_by_chance(one);
    }
}

START_TEST(fires_many_timers_in_order_and_not_the_disarmed)
{
    static struct dated dated[TIMERS];
    latest_due_ms = 0;
    fired = 0;
    srandom(7);
    for (size_t i = 0; i < TIMERS; i++)
        dated[i].timer = rl_timer_create(loop, check_date, &dated[i]);
    rl_loop_post(loop, arm_all, dated);
    uint64_t start_ms = rl_loop_now_ms(loop);
    while (fired < TIMERS / 3 * 2 && rl_loop_now_ms(loop) < start_ms + 5000)
        rl_loop_turn(loop, 1000);
    while (rl_loop_now_ms(loop) < start_ms + 60) /* nothing more comes */
        rl_loop_turn(loop, 10);
    ck_assert_int_eq(fired, TIMERS / 3 * 2);
    for (size_t i = 0; i < TIMERS; i++)
        rl_timer_free(&dated[i].timer);
}
END_TEST

START_TEST(arming_again_moves_a_timer)
{
    forget_order();
    struct mark a = marked('a'), b = marked('b');
    a.timer = rl_timer_create(loop, mark, &a);
    b.timer = rl_timer_create(loop, mark, &b);
    rl_timer_arm(a.timer, 1);
    rl_timer_arm(b.timer, 10);
    rl_timer_arm(a.timer, 20);
    turn_until(2);
    ck_assert_str_eq(order, "ba");
    rl_timer_arm(a.timer, 100000); /* and sooner, though the alarm is set for later */
    rl_loop_turn(loop, 0);
    rl_timer_arm(a.timer, 1);
    turn_until(3);
    ck_assert_str_eq(order, "baa");
    rl_timer_free(&a.timer);
    rl_timer_free(&b.timer);
}
END_TEST

START_TEST(a_timer_that_arms_itself_waits_for_the_next_turn)
{
    forget_order();
    struct mark a = marked('a');
    a.rearm = a.timer = rl_timer_create(loop, mark, &a);
    rl_timer_arm(a.timer, 0);
    rl_loop_turn(loop, 0);
    ck_assert_str_eq(order, "a");
    rl_loop_turn(loop, 0);
    ck_assert_str_eq(order, "aa");
    rl_timer_free(&a.timer);
}
END_TEST

START_TEST(may_free_its_own_timer_and_another_that_is_due)
{
    forget_order();
    struct mark a = marked('a'), b = marked('b'), c = marked('c');
    a.timer = rl_timer_create(loop, mark, &a);
    b.timer = rl_timer_create(loop, mark, &b);
    c.timer = rl_timer_create(loop, mark, &c);
    a.kill = &b.timer;
    c.kill = &c.timer;
    rl_timer_arm(a.timer, 0);
    rl_timer_arm(b.timer, 0);
    rl_timer_arm(c.timer, 0);
    rl_loop_turn(loop, 0);
    ck_assert_str_eq(order, "ac");
    ck_assert_ptr_null(b.timer);
    ck_assert_ptr_null(c.timer);
    rl_timer_free(&a.timer);
}
END_TEST

START_TEST(a_timer_for_never_does_not_fire)
{
    forget_order();
    struct mark a = marked('a');
    a.timer = rl_timer_create(loop, mark, &a);
    rl_timer_arm(a.timer, UINT64_MAX);
    rl_loop_turn(loop, 0);
    ck_assert_str_eq(order, "");
    rl_timer_free(&a.timer);
}
END_TEST

/* ---- deferred work ---- */

struct chore {
    struct rl_task *task;
    struct rl_task **kill;
    int runs;
    bool again;
};

static void do_chore(void *context)
{
    struct chore *chore = context;
    chore->runs++;
    if (chore->again)
        rl_task_schedule(chore->task);
    if (chore->kill)
        rl_task_free(chore->kill);
}

START_TEST(runs_a_task_once_however_often_it_was_scheduled)
{
    struct chore chore = {0};
    chore.task = rl_task_create(loop, do_chore, &chore);
    for (int i = 0; i < 10; i++)
        rl_task_schedule(chore.task);
    rl_loop_turn(loop, -1); /* does not wait: there is work */
    rl_loop_turn(loop, 0);
    ck_assert_int_eq(chore.runs, 1);
    chore.again = true;
    rl_task_schedule(chore.task);
    rl_loop_turn(loop, -1);
    ck_assert_int_eq(chore.runs, 2);
    rl_loop_turn(loop, -1);
    ck_assert_int_eq(chore.runs, 3);
    rl_task_free(&chore.task);
}
END_TEST

START_TEST(never_runs_a_task_that_another_task_freed)
{
    struct chore a = {0}, b = {0}, c = {0};
    a.task = rl_task_create(loop, do_chore, &a);
    b.task = rl_task_create(loop, do_chore, &b);
    c.task = rl_task_create(loop, do_chore, &c);
    a.kill = &b.task;
    c.kill = &c.task;
    rl_task_schedule(a.task);
    rl_task_schedule(b.task);
    rl_task_schedule(c.task);
    rl_loop_turn(loop, 0);
    ck_assert_int_eq(a.runs + b.runs + c.runs, 2);
    ck_assert_int_eq(b.runs, 0);
    a.kill = NULL;
    rl_task_schedule(a.task); /* the list is whole */
    rl_loop_turn(loop, 0);
    ck_assert_int_eq(a.runs, 2);
    rl_task_free(&a.task);
}
END_TEST

START_TEST(a_task_freed_before_its_turn_does_not_run)
{
    struct chore a = {0}, b = {0};
    a.task = rl_task_create(loop, do_chore, &a);
    b.task = rl_task_create(loop, do_chore, &b);
    rl_task_schedule(a.task);
    rl_task_schedule(b.task);
    rl_task_free(&b.task);
    struct rl_task *late = rl_task_create(loop, do_chore, &b);
    rl_task_schedule(late);
    rl_task_free(&a.task);
    rl_loop_turn(loop, 0);
    ck_assert_int_eq(a.runs, 0);
    ck_assert_int_eq(b.runs, 1);
    rl_task_free(&late);
}
END_TEST

/* ---- posts ---- */

enum { POSTERS = 4, POSTS = 10000 };

struct poster {
    pthread_t thread;
    int next; /* read and written on the loop's thread only */
    bool is_ordered;
};

struct letter {
    struct poster *poster;
    int number;
};

static int arrived;

static void receive(void *context)
{
    struct letter *letter = context;
    struct poster *poster = letter->poster;
    ck_assert(rl_loop_is_current(loop));
    if (letter->number != poster->next++)
        poster->is_ordered = false;
    free(letter);
    if (++arrived == POSTERS * POSTS)
        rl_loop_stop(loop);
}

static void *post_all(void *context)
{
    for (int i = 0; i < POSTS; i++) {
        struct letter *letter = rl_alloc(sizeof *letter);
        *letter = (struct letter){context, i};
        rl_loop_post(loop, receive, letter);
    }
    return NULL;
}

START_TEST(posts_of_four_threads_all_arrive_in_order)
{
    struct poster posters[POSTERS];
    arrived = 0;
    for (int i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){.is_ordered = true};
        ck_assert_int_eq(pthread_create(&posters[i].thread, NULL, post_all, &posters[i]), 0);
    }
    rl_loop_run(loop);
    for (int i = 0; i < POSTERS; i++) {
        pthread_join(posters[i].thread, NULL);
        ck_assert_int_eq(posters[i].next, POSTS);
        ck_assert(posters[i].is_ordered);
    }
}
END_TEST

static void count(void *context)
{
    ++*(int *)context;
}

START_TEST(runs_what_is_still_posted_when_it_is_freed)
{
    int counted = 0;
    struct rl_loop *other;
    ck_assert_int_eq(rl_loop_create(&other, NULL), RL_OK);
    rl_loop_post(other, count, &counted);
    rl_loop_post(other, count, &counted);
    rl_loop_free(&other);
    ck_assert_int_eq(counted, 2);
}
END_TEST

static void *stop_it(void *context)
{
    ck_assert(!rl_loop_is_current(context));
    rl_loop_stop(context);
    return NULL;
}

START_TEST(stops_when_another_thread_says_so)
{
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, stop_it, loop), 0);
    rl_loop_run(loop);
    pthread_join(thread, NULL);
    rl_loop_stop(loop); /* before it runs counts too, once */
    rl_loop_run(loop);
}
END_TEST

/* ---- signals ---- */

static int seen[2];

static void on_signal(void *context, int signal)
{
    (void)context;
    seen[signal == SIGUSR1 ? 0 : 1]++;
    if (seen[0] && seen[1])
        rl_loop_stop(loop);
}

START_TEST(turns_signals_into_callbacks)
{
    const int signals[] = {SIGUSR1, SIGTERM};
    seen[0] = seen[1] = 0;
    ck_assert_int_eq(rl_loop_on_signals(loop, signals, 2, on_signal, NULL, NULL), RL_OK);
    ck_assert_int_eq(kill(getpid(), SIGTERM), 0);
    ck_assert_int_eq(kill(getpid(), SIGUSR1), 0);
    rl_loop_run(loop);
    ck_assert_int_eq(seen[0], 1);
    ck_assert_int_eq(seen[1], 1);
}
END_TEST

START_TEST(refuses_a_signal_that_does_not_exist)
{
    const int signals[] = {9999};
    ck_assert_int_eq(rl_loop_on_signals(loop, signals, 1, on_signal, NULL, NULL), RL_E_INVAL);
}
END_TEST

START_TEST(the_soft_limit_of_descriptors_becomes_the_hard_one)
{
    struct rlimit limit = {64, 128};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_uint_eq(rl_descriptors_raise(), 128);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_uint_eq(limit.rlim_cur, 128);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("loop");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, tells_what_was_asked_for_and_again_until_it_is_read);
    tcase_add_test(t, tells_of_a_hang_up_unasked);
    tcase_add_test(t, the_soft_limit_of_descriptors_becomes_the_hard_one);
    tcase_add_test(t, says_readable_when_the_writer_of_a_pipe_is_gone);
    tcase_add_test(t, may_stop_a_watch_in_its_own_callback);
    tcase_add_test(t, never_calls_a_watch_that_another_callback_of_the_turn_stopped);
    tcase_add_test(t, does_not_tell_what_is_no_longer_asked_for);
    tcase_add_test(t, refuses_what_can_not_be_watched);
    tcase_add_test(t, fires_timers_in_the_order_of_their_time);
    tcase_add_test(t, fires_timers_of_one_time_in_the_order_of_arming);
    tcase_add_test(t, fires_many_timers_in_order_and_not_the_disarmed);
    tcase_add_test(t, arming_again_moves_a_timer);
    tcase_add_test(t, a_timer_that_arms_itself_waits_for_the_next_turn);
    tcase_add_test(t, may_free_its_own_timer_and_another_that_is_due);
    tcase_add_test(t, a_timer_for_never_does_not_fire);
    tcase_add_test(t, runs_a_task_once_however_often_it_was_scheduled);
    tcase_add_test(t, never_runs_a_task_that_another_task_freed);
    tcase_add_test(t, a_task_freed_before_its_turn_does_not_run);
    tcase_add_test(t, posts_of_four_threads_all_arrive_in_order);
    tcase_add_test(t, runs_what_is_still_posted_when_it_is_freed);
    tcase_add_test(t, stops_when_another_thread_says_so);
    tcase_add_test(t, turns_signals_into_callbacks);
    tcase_add_test(t, refuses_a_signal_that_does_not_exist);
    Suite *s = suite_create("loop");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
