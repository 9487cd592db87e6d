#include "netwatch.h"

#include "clock/clock.h"

#include <check.h>
#include <sched.h>
#include <stdlib.h>

#define PATIENCE_MS 20000

static int changes;

static void on_changed(void *context)
{
    (void)context;
    changes++;
}

START_TEST(it_is_made_and_freed)
{
    struct rl_loop *loop = NULL;
    struct netwatch *netwatch = NULL;
    struct rl_error err;
    ck_assert_int_eq(rl_loop_create(&loop, NULL), RL_OK);
    rl_code rc = netwatch_create(loop, on_changed, NULL, &netwatch, &err);
    if (rc == RL_OK) {
        rl_loop_turn(loop, 0);
        ck_assert_int_eq(changes, 0);
    } else {
        ck_assert_int_eq(rc, RL_E_UNAVAILABLE);
        ck_assert_ptr_null(netwatch);
    }
    netwatch_free(&netwatch);
    netwatch_free(&netwatch);
    rl_loop_free(&loop);
}
END_TEST

/* In a network of its own, where an interface comes up and nothing else happens. */
START_TEST(many_changes_at_once_are_told_once)
{
    struct rl_loop *loop = NULL;
    struct netwatch *netwatch = NULL;
    if (unshare(CLONE_NEWNET) != 0 || system("command -v ip >/dev/null 2>&1") != 0)
        return; /* not allowed here */
    changes = 0;
    ck_assert_int_eq(rl_loop_create(&loop, NULL), RL_OK);
    ck_assert_int_eq(netwatch_create(loop, on_changed, NULL, &netwatch, NULL), RL_OK);
    ck_assert_int_eq(system("ip link set lo up && ip addr add 192.0.2.1/32 dev lo"), 0);
    uint64_t until = rl_clock_boot_ms() + PATIENCE_MS;
    while (!changes && rl_clock_boot_ms() < until)
        rl_loop_turn(loop, 100);
    ck_assert_int_eq(changes, 1);
    netwatch_free(&netwatch);
    rl_loop_free(&loop);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("netwatch");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, it_is_made_and_freed);
    tcase_add_test(t, many_changes_at_once_are_told_once);
    Suite *s = suite_create("netwatch");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
