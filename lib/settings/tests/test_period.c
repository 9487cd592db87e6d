#include "settings/period.h"

#include "clock/clock.h"

#include <check.h>
#include <stdlib.h>

struct asked {
    struct rl_period period;
};

static const struct rl_setting rows[] = {
    RL_PERIOD_ROWS(asked, period),
    RL_PERIOD_LAST_ROW(asked, period, "1h", "instead of --from"),
};
static const struct rl_settings_spec spec = {
    .program = "test", .summary = "s", .usage = "[flags]", .rows = rows, .count = RL_COUNT(rows)};

static int64_t from_ns, to_ns;

static rl_code ask(int argc, const char *const *argv)
{
    struct asked asked = {0};
    struct rl_error err;
    from_ns = to_ns = -1;
    ck_assert_int_eq(rl_settings_read(&spec, argc, (char **)(uintptr_t)argv, &asked, NULL, &err),
                     RL_OK);
    rl_code rc = rl_period_read(&asked.period, &from_ns, &to_ns, &err);
    rl_settings_free(&spec, &asked);
    return rc;
}

START_TEST(a_length_ends_now)
{
    const char *const nothing[] = {"test", NULL}, *const day[] = {"test", "--last=1d", NULL};
    int64_t now = rl_clock_wall_ns();
    ck_assert_int_eq(ask(1, nothing), RL_OK);
    ck_assert_int_ge(from_ns, now - 3600 * INT64_C(1000000000));
    ck_assert_int_lt(from_ns, now);
    ck_assert_int_eq(to_ns, 0);
    ck_assert_int_eq(ask(2, day), RL_OK);
    ck_assert_int_lt(from_ns, now - 86000 * INT64_C(1000000000));
}
END_TEST

START_TEST(a_beginning_counts_before_a_length)
{
    const char *const argv[] = {"test", "--last=1d", "--from=1970-01-01T00:00:01Z",
                                "--to=1970-01-01T00:00:02Z", NULL};
    ck_assert_int_eq(ask(4, argv), RL_OK);
    ck_assert_int_eq(from_ns, 1000000000);
    ck_assert_int_eq(to_ns, 2000000000);
}
END_TEST

START_TEST(nothing_said_is_from_the_beginning)
{
    const struct rl_period nothing = {0};
    ck_assert_int_eq(rl_period_read(&nothing, &from_ns, &to_ns, NULL), RL_OK);
    ck_assert_int_eq(from_ns, 0);
    ck_assert_int_eq(to_ns, 0);
}
END_TEST

START_TEST(what_is_no_time_is_refused_and_says_nothing)
{
    const char *const from[] = {"test", "--from=yesterday", NULL};
    const char *const to[] = {"test", "--to=tomorrow", NULL};
    ck_assert_int_eq(ask(2, from), RL_E_INVAL);
    ck_assert_int_eq(ask(2, to), RL_E_INVAL);
    ck_assert_int_eq(from_ns, -1);
    ck_assert_int_eq(to_ns, -1);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("period");
    tcase_add_test(t, a_length_ends_now);
    tcase_add_test(t, a_beginning_counts_before_a_length);
    tcase_add_test(t, nothing_said_is_from_the_beginning);
    tcase_add_test(t, what_is_no_time_is_refused_and_says_nothing);
    Suite *s = suite_create("period");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
