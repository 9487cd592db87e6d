#include "clock/pace.h"

#include <check.h>

#define LEAST 1000u
#define MOST 16000u

static struct rl_pace pace;
static uint64_t now_ms;
static uint32_t size;

static void set_up(void)
{
    pace = (struct rl_pace){0};
    now_ms = 5000;
    size = LEAST;
}

/* So many bytes in each millisecond, for a while. */
static void flow(size_t bytes_per_ms, unsigned for_ms)
{
    for (unsigned i = 0; i < for_ms; i++)
        size = rl_pace_follow(&pace, bytes_per_ms, now_ms++, size, LEAST, MOST);
}

START_TEST(a_fast_flow_may_have_what_it_moves_in_the_time)
{
    flow(1000, RL_PACE_MEASURE_MS);
    ck_assert_uint_eq(size, LEAST); /* not measured yet */
    flow(1000, 3 * RL_PACE_MEASURE_MS);
    ck_assert_uint_eq(size, 8 * LEAST); /* 8 ms of it */
    flow(100000, 3 * RL_PACE_MEASURE_MS);
    ck_assert_uint_eq(size, MOST);
}
END_TEST

START_TEST(a_slow_flow_has_the_least)
{
    flow(100, 10 * RL_PACE_MEASURE_MS);
    ck_assert_uint_eq(size, LEAST);
    flow(0, 10 * RL_PACE_MEASURE_MS);
    ck_assert_uint_eq(size, LEAST);
}
END_TEST

START_TEST(it_shrinks_when_less_than_half_moves_and_not_before)
{
    flow(1000, 4 * RL_PACE_MEASURE_MS);
    ck_assert_uint_eq(size, 8 * LEAST);
    flow(550, 4 * RL_PACE_MEASURE_MS);
    ck_assert_uint_eq(size, 8 * LEAST);
    flow(300, 4 * RL_PACE_MEASURE_MS);
    ck_assert_uint_eq(size, 2 * LEAST);
}
END_TEST

START_TEST(a_flow_that_rested_is_slow_until_it_is_measured_again)
{
    flow(1000, 4 * RL_PACE_MEASURE_MS);
    now_ms += 3600000;
    size = rl_pace_follow(&pace, 1000, now_ms, size, LEAST, MOST);
    ck_assert_uint_eq(size, LEAST);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("pace");
    tcase_add_checked_fixture(c, set_up, NULL);
    tcase_add_test(c, a_fast_flow_may_have_what_it_moves_in_the_time);
    tcase_add_test(c, a_slow_flow_has_the_least);
    tcase_add_test(c, it_shrinks_when_less_than_half_moves_and_not_before);
    tcase_add_test(c, a_flow_that_rested_is_slow_until_it_is_measured_again);
    Suite *suite = suite_create("pace");
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
