#include "loop/workers.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static atomic_int started, done;

static void pass_the_gate(void *context)
{
    (void)context;
    atomic_fetch_add(&started, 1);
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    atomic_fetch_add(&done, 1);
}

START_TEST(refuses_what_does_not_fit_in_the_queue_and_runs_the_rest)
{
    enum { THREADS = 2, QUEUE = 3 };
    struct rl_workers *workers;
    struct rl_error err;
    atomic_store(&started, 0);
    atomic_store(&done, 0);
    pthread_mutex_lock(&gate);
    ck_assert_int_eq(rl_workers_create(THREADS, QUEUE, &workers, NULL), RL_OK);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(rl_workers_submit(workers, pass_the_gate, NULL, NULL), RL_OK);
    while (atomic_load(&started) < THREADS) /* all threads are busy, the queue is empty */
        ;
    for (int i = 0; i < QUEUE; i++)
        ck_assert_int_eq(rl_workers_submit(workers, pass_the_gate, NULL, NULL), RL_OK);
    ck_assert_int_eq(rl_workers_submit(workers, pass_the_gate, NULL, &err), RL_E_EXHAUSTED);
    ck_assert_str_eq(err.message, "3 requests wait already; try again");
    pthread_mutex_unlock(&gate);
    rl_workers_free(&workers);
    ck_assert_int_eq(atomic_load(&done), THREADS + QUEUE);
    ck_assert_ptr_null(workers);
}
END_TEST

static atomic_int sum;

static void add(void *context)
{
    atomic_fetch_add(&sum, *(int *)context);
}

START_TEST(runs_each_piece_once)
{
    enum { PIECES = 1000 };
    struct rl_workers *workers;
    static int numbers[PIECES];
    atomic_store(&sum, 0);
    ck_assert_int_eq(rl_workers_create(4, PIECES, &workers, NULL), RL_OK);
    for (int i = 0; i < PIECES; i++) {
        numbers[i] = i;
        ck_assert_int_eq(rl_workers_submit(workers, add, &numbers[i], NULL), RL_OK);
    }
    rl_workers_free(&workers);
    ck_assert_int_eq(atomic_load(&sum), PIECES * (PIECES - 1) / 2);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("workers");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, refuses_what_does_not_fit_in_the_queue_and_runs_the_rest);
    tcase_add_test(t, runs_each_piece_once);
    Suite *s = suite_create("workers");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
