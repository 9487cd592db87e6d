#include "rpc/h2/window.h"

#include <check.h>
#include <stddef.h>

#define KIB 1024u
#define MIB (1024u * 1024)

static uint32_t after(uint32_t size, uint64_t received, uint64_t rtt_us, uint64_t least_us)
{
    return rl_h2_window_after_round(size, 16 * MIB, received, rtt_us, least_us, 0);
}

START_TEST(grows_while_the_sender_is_limited_by_it)
{
    ck_assert_uint_eq(after(64 * KIB, 64 * KIB, 40000, 40000), 174762);
    ck_assert_uint_eq(after(64 * KIB, 32 * KIB, 40000, 40000), 87381); /* by halves */
    ck_assert_uint_eq(after(1 * MIB, 1 * MIB, 41000, 40000) / KIB, 2664);
}
END_TEST

START_TEST(stays_when_something_else_limits_the_sender)
{
    ck_assert_uint_eq(after(64 * KIB, 24 * KIB, 40000, 40000), 64 * KIB);
    ck_assert_uint_eq(after(64 * KIB, 0, 40000, 40000), 64 * KIB);
}
END_TEST

START_TEST(stays_when_the_round_trip_has_swollen)
{
    ck_assert_uint_eq(after(64 * KIB, 64 * KIB, 80001, 40000), 64 * KIB);
    /* what is delivered in a longer round counts for less */
    ck_assert_uint_eq(after(64 * KIB, 48 * KIB, 80000, 40000), 64 * KIB);
    ck_assert_uint_gt(after(64 * KIB, 49 * KIB, 80000, 40000), 64 * KIB);
}
END_TEST

START_TEST(never_passes_its_maximum_and_never_shrinks)
{
    ck_assert_uint_eq(after(12 * MIB, 12 * MIB, 40000, 40000), 16 * MIB);
    ck_assert_uint_eq(after(16 * MIB, 32 * MIB, 40000, 40000), 16 * MIB);
    ck_assert_uint_eq(after(20 * MIB, 32 * MIB, 40000, 40000), 20 * MIB);
    ck_assert_uint_eq(after(64 * KIB, UINT32_MAX, 1, 1), 16 * MIB);
}
END_TEST

START_TEST(knows_nothing_before_a_round_was_measured)
{
    ck_assert_uint_eq(after(64 * KIB, 64 * KIB, 0, 0), 64 * KIB);
    ck_assert_uint_eq(after(64 * KIB, 64 * KIB, 1000, 0), 64 * KIB);
}
END_TEST

/* 100 Mbit/s and 40 ms hold 500 KB: it stops soon after. */
START_TEST(settles_at_what_the_path_holds)
{
    uint32_t size = 64 * KIB;
    const uint64_t path = 500000;
    for (int i = 0; i < 100; i++) {
        /* beyond the path's capacity the rest waits in a queue and lengthens the round */
        uint64_t in_flight = size;
        uint64_t rtt = in_flight > path ? 40000 * in_flight / path : 40000;
        uint64_t received = path * rtt / 40000;
        size = after(size, received < in_flight ? received : in_flight, rtt, 40000);
    }
    ck_assert_uint_ge(size, path);
    ck_assert_uint_le(size, 3 * path);
}
END_TEST

START_TEST(a_sender_who_waits_most_of_the_round_gets_more_at_once)
{
    enum { RTT = 50000, SIZE = 256 * 1024 };
    static const struct {
        uint64_t received, gap_us, times;
    } cases[] = {
        {SIZE, 0, 1},           {SIZE, RTT / 2 - 1, 1},
        {SIZE, RTT / 2, 2},     {SIZE, RTT * 7 / 10, 3},
        {SIZE, RTT - 1, 4}, /* no more, however short it was */
        {SIZE, RTT, 4},         {SIZE, 2 * RTT, 4},
        {SIZE / 2, RTT - 1, 4}, {SIZE / 2 - 1, RTT - 1, 1}, /* he did not use it up */
    };
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        uint64_t wanted = cases[i].received * 8 / 3 * cases[i].times;
        ck_assert_uint_eq(
            rl_h2_window_after_round(SIZE, 64 * MIB, cases[i].received, RTT, RTT, cases[i].gap_us),
            wanted > SIZE ? wanted : SIZE);
    }
    ck_assert_uint_eq(rl_h2_window_after_round(SIZE, 64 * MIB, SIZE, 2 * RTT + 1, RTT, RTT), SIZE);
    ck_assert_uint_eq(rl_h2_window_after_round(3, MIB, 3, 1, 1, 1), 32); /* all of it at once */
    ck_assert_uint_eq(rl_h2_window_after_round(SIZE, 2 * SIZE, SIZE, RTT, RTT, RTT), 2 * SIZE);
}
END_TEST

START_TEST(the_budget_is_the_whole_processes)
{
    ck_assert_uint_eq(rl_h2_window_borrow(0), 0);
    ck_assert_uint_eq(rl_h2_window_borrow(RL_H2_WINDOW_BUDGET_BYTES - 10),
                      RL_H2_WINDOW_BUDGET_BYTES - 10);
    ck_assert_uint_eq(rl_h2_window_borrow(11), 10);
    ck_assert_uint_eq(rl_h2_window_borrow(1), 0);
    rl_h2_window_repay(10);
    ck_assert_uint_eq(rl_h2_window_borrow(7), 7);
    rl_h2_window_repay(RL_H2_WINDOW_BUDGET_BYTES - 10 + 7);
    ck_assert_uint_eq(rl_h2_window_borrow(UINT32_MAX), RL_H2_WINDOW_BUDGET_BYTES);
    rl_h2_window_repay(RL_H2_WINDOW_BUDGET_BYTES);
}
END_TEST

#define MUCH 1000
static struct rl_h2_alone alone;
static bool comes(int32_t stream, size_t n, uint64_t now_ms)
{
    return rl_h2_alone(&alone, stream, n, MUCH, now_ms);
}

/* Much, over the time that it takes to be believed; what the last byte was answered. */
static bool runs(int32_t stream, uint64_t now_ms)
{
    comes(stream, MUCH, now_ms);
    return comes(stream, 1, now_ms + RL_H2_ALONE_RUN_MS);
}

START_TEST(a_stream_is_alone_when_it_brought_much_for_a_while_and_no_other_anything)
{
    alone = (struct rl_h2_alone){0};
    ck_assert(!comes(1, MUCH - 1, 5000));
    ck_assert(!comes(1, 0, 5000 + RL_H2_ALONE_RUN_MS));
    ck_assert(comes(1, 1, 5000 + RL_H2_ALONE_RUN_MS));
    ck_assert(comes(1, 1, 5000 + RL_H2_ALONE_RUN_MS + RL_H2_ALONE_MS - 1));
}
END_TEST

START_TEST(a_burst_is_no_run)
{
    alone = (struct rl_h2_alone){0};
    ck_assert(!comes(1, 1000 * MUCH, 5000));
    ck_assert(!comes(1, 1000 * MUCH, 5000 + RL_H2_ALONE_RUN_MS - 1));
    /* and after a pause it begins anew */
    ck_assert(!comes(1, MUCH, 5000 + RL_H2_ALONE_RUN_MS - 1 + RL_H2_ALONE_MS));
}
END_TEST

START_TEST(a_byte_of_another_ends_it_for_a_second)
{
    alone = (struct rl_h2_alone){0};
    ck_assert(runs(1, 5000));
    ck_assert(!comes(3, 1, 6000));
    ck_assert(!runs(1, 6000));
    ck_assert(!comes(1, 1, 6000 + RL_H2_ALONE_MS - 1));
    ck_assert(comes(1, 1, 6000 + RL_H2_ALONE_MS));
    /* two that take turns are never alone */
    comes(3, 1, 10000);
    for (uint64_t i = 1; i < 100; i++)
        ck_assert(!comes(i % 2 ? 1 : 3, MUCH, 10000 + i * (RL_H2_ALONE_MS - 1)));
}
END_TEST

START_TEST(what_another_brought_long_ago_does_not_matter)
{
    alone = (struct rl_h2_alone){0};
    ck_assert(!comes(1, 1, 5000));
    ck_assert(runs(3, 5000 + RL_H2_ALONE_MS));
    ck_assert(!comes(5, MUCH - 1, 5000 + 3 * RL_H2_ALONE_MS));
}
END_TEST

START_TEST(one_that_is_gone_does_not_matter)
{
    alone = (struct rl_h2_alone){0};
    ck_assert(!comes(1, 1, 5000));
    rl_h2_alone_forget(&alone, 1);
    ck_assert(runs(3, 5001));
    /* It came between, and went. */
    comes(5, 1, 5100);
    rl_h2_alone_forget(&alone, 5);
    ck_assert(runs(3, 5101));
    comes(5, 1, 5200);
    ck_assert(!runs(3, 5201));
    rl_h2_alone_forget(&alone, 5);
    ck_assert(comes(3, 1, 5201 + RL_H2_ALONE_RUN_MS));
    /* Who is there still does matter when a third one goes. */
    comes(7, 1, 5300);
    comes(9, 1, 5301);
    rl_h2_alone_forget(&alone, 9);
    ck_assert(!runs(3, 5302));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rpc window");
    TCase *c = tcase_create("window");
    tcase_add_test(c, grows_while_the_sender_is_limited_by_it);
    tcase_add_test(c, stays_when_something_else_limits_the_sender);
    tcase_add_test(c, stays_when_the_round_trip_has_swollen);
    tcase_add_test(c, never_passes_its_maximum_and_never_shrinks);
    tcase_add_test(c, knows_nothing_before_a_round_was_measured);
    tcase_add_test(c, settles_at_what_the_path_holds);
    tcase_add_test(c, a_sender_who_waits_most_of_the_round_gets_more_at_once);
    tcase_add_test(c, the_budget_is_the_whole_processes);
    tcase_add_test(c, a_stream_is_alone_when_it_brought_much_for_a_while_and_no_other_anything);
    tcase_add_test(c, a_burst_is_no_run);
    tcase_add_test(c, a_byte_of_another_ends_it_for_a_second);
    tcase_add_test(c, what_another_brought_long_ago_does_not_matter);
    tcase_add_test(c, one_that_is_gone_does_not_matter);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
