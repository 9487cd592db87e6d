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

/* `size` on its way at once, over a path that takes `path_ms` and then so many bytes in each. */
static uint32_t send_rounds(unsigned path_ms, uint32_t bytes_per_ms, unsigned rounds)
{
    struct rl_reach reach = {0};
    uint64_t offset = 0, at_ms = 5000;
    uint32_t amount = LEAST;
    for (unsigned i = 0; i < rounds; i++) {
        rl_reach_full(&reach, offset + amount, at_ms);
        ck_assert(!rl_reach_arrived(&reach, offset + amount - 1, at_ms + 1));
        at_ms += path_ms + amount / bytes_per_ms;
        offset += amount;
        if (rl_reach_arrived(&reach, offset, at_ms) && amount < MOST)
            amount *= 2;
    }
    return amount;
}

START_TEST(on_a_long_path_more_is_on_its_way)
{
    ck_assert_uint_eq(send_rounds(50, 1000, 10), MOST);
}
END_TEST

START_TEST(a_queue_is_no_long_path)
{
    ck_assert_uint_eq(send_rounds(20, 5, 10), 2 * LEAST); /* the first could have been either */
}
END_TEST

START_TEST(on_a_short_path_nothing_grows)
{
    ck_assert_uint_eq(send_rounds(1, 1000, 10), LEAST);
    /* not even when the far end was away for a moment */
    struct rl_reach reach = {0};
    rl_reach_full(&reach, 10, 5000);
    ck_assert(!rl_reach_arrived(&reach, 10, 5001));
    rl_reach_full(&reach, 20, 5001);
    ck_assert(!rl_reach_arrived(&reach, 20, 5101));
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
    tcase_add_test(c, on_a_long_path_more_is_on_its_way);
    tcase_add_test(c, a_queue_is_no_long_path);
    tcase_add_test(c, on_a_short_path_nothing_grows);
    tcase_add_test(c, a_flow_that_rested_is_slow_until_it_is_measured_again);
    Suite *suite = suite_create("pace");
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
