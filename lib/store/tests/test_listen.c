#include "store/listen.h"
#include "testpg.h"

#include <check.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

static struct rl_testpg *pg;
static struct rl_store *store;

/* What the listener's thread was told. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t told = PTHREAD_COND_INITIALIZER;
static int connections, hints;
static char last[64];

static void take_hint(void *context, const char *payload)
{
    (void)context;
    pthread_mutex_lock(&lock);
    if (payload) {
        hints++;
        strncpy(last, payload, sizeof last - 1);
    } else {
        connections++;
    }
    pthread_cond_broadcast(&told);
    pthread_mutex_unlock(&lock);
}

static void wait_until(const int *counter, int is)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 30;
    pthread_mutex_lock(&lock);
    int rc = 0;
    while (*counter < is && rc == 0)
        rc = pthread_cond_timedwait(&told, &lock, &deadline);
    pthread_mutex_unlock(&lock);
    ck_assert_int_eq(rc, 0);
}

static void set_up(void)
{
    pg = rl_testpg_create();
    struct rl_store_options options = {
        .conninfo = rl_testpg_conninfo(pg), .schema = "demo", .connections = 1};
    ck_assert_int_eq(rl_store_open(&options, &store, NULL), RL_OK);
}

static void tear_down(void)
{
    rl_store_close(&store);
    rl_testpg_free(&pg);
}

static rl_code notify(struct rl_db *db, void *payload, struct rl_error *err)
{
    return rl_exec(db, NULL, err, "SELECT pg_notify('changes', $1)", rl_param_text(payload));
}

static void tell(const char *text)
{
    char payload[64];
    struct rl_error err;
    strcpy(payload, text);
    ck_assert_msg(rl_store_transaction(store, notify, payload, &err) == RL_OK, "%s", err.message);
}

START_TEST(hears_what_is_notified_and_of_each_new_connection)
{
    struct rl_listener *listener;
    ck_assert_int_eq(rl_listener_start(store, "changes", take_hint, NULL, &listener, NULL), RL_OK);
    wait_until(&connections, 1);
    tell("41");
    wait_until(&hints, 1);
    ck_assert_str_eq(last, "41");
    rl_testpg_kill(pg);
    rl_testpg_start(pg);
    wait_until(&connections, 2);
    tell("42");
    wait_until(&hints, 2);
    ck_assert_str_eq(last, "42");
    rl_listener_stop(&listener);
    ck_assert_ptr_null(listener);
    tell("43");
    ck_assert_int_eq(hints, 2);
}
END_TEST

START_TEST(stops_though_the_database_is_away)
{
    struct rl_listener *listener;
    rl_testpg_stop(pg);
    ck_assert_int_eq(rl_listener_start(store, "changes", take_hint, NULL, &listener, NULL), RL_OK);
    rl_listener_stop(&listener);
    rl_testpg_start(pg);
}
END_TEST

START_TEST(refuses_a_channel_that_is_no_name)
{
    struct rl_listener *listener = NULL;
    ck_assert_int_eq(rl_listener_start(store, "a\"; x", take_hint, NULL, &listener, NULL),
                     RL_E_INVAL);
    ck_assert_ptr_null(listener);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("listen");
    tcase_add_unchecked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, hears_what_is_notified_and_of_each_new_connection);
    tcase_add_test(t, stops_though_the_database_is_away);
    tcase_add_test(t, refuses_a_channel_that_is_no_name);
    Suite *s = suite_create("listen");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_set_fork_status(r, CK_NOFORK); /* the server is the child of one process */
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
