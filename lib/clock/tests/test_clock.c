#include "clock/clock.h"

#include <check.h>
#include <string.h>

#define S INT64_C(1000000000)

static void check_time(const char *text, int64_t want_ns)
{
    int64_t got = -1;
    struct rl_error err;
    ck_assert_msg(rl_clock_parse(text, &got, &err) == RL_OK, "%s: %s", text, err.message);
    ck_assert_int_eq(got, want_ns);
}

START_TEST(reads_the_examples_of_rfc_3339)
{
    check_time("1985-04-12T23:20:50.52Z", 482196050 * S + 520000000);
    check_time("1996-12-19T16:39:57-08:00", 851042397 * S);
    check_time("1990-12-31T23:59:60Z", 662688000 * S);
    check_time("1937-01-01T12:00:27.87+00:20", -1041337173 * S + 870000000);
    check_time("1970-01-01t00:00:00z", 0);
    check_time("2024-02-29T00:00:00.1234567899Z", 1709164800 * S + 123456789);
}
END_TEST

START_TEST(refuses_what_is_not_a_time)
{
    static const char *const bad[] = {
        "",
        "now",
        "2026-11-22",
        "2026-11-22T15:47:43",
        "2026-11-22T15:47:43Z ",
        " 2026-11-22T15:47:43Z",
        "2026-11-22 15:47:43Z",
        "2026-11-22T15:47:43.Z",
        "2026-11-22T15:47:43+1:00",
        "2026-11-22T15:47:43+24:00",
        "2026-13-22T15:47:43Z",
        "2026-02-29T15:47:43Z",
        "1900-02-29T15:47:43Z",
        "2026-11-31T15:47:43Z",
        "2026-11-00T15:47:43Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T23:60:00Z",
        "2026-11-22T23:59:61Z",
        "1677-11-22T15:47:43Z",
        "9999-12-31T23:59:59Z",
        "+026-11-22T15:47:43Z",
    };
    for (size_t i = 0; i < RL_COUNT(bad); i++) {
        int64_t got = 7;
        struct rl_error err;
        ck_assert_msg(rl_clock_parse(bad[i], &got, &err) == RL_E_INVAL, "took %s", bad[i]);
        ck_assert_int_eq(got, 7);
        ck_assert_ptr_nonnull(strstr(err.message, "\""));
    }
}
END_TEST

START_TEST(writes_what_it_reads)
{
    static const char *const times[] = {"2026-11-22T15:47:43Z",     "2026-11-22T15:47:43.001Z",
                                        "1969-12-31T23:59:59.999Z", "1970-01-01T00:00:00Z",
                                        "2024-02-29T00:00:00Z",     "1900-03-01T12:00:00Z",
                                        "1900-02-28T23:59:59Z",     "2000-12-31T23:59:59Z",
                                        "2038-01-19T03:14:08Z",     "2261-12-31T23:59:59Z"};
    for (size_t i = 0; i < RL_COUNT(times); i++) {
        int64_t ns;
        char text[RL_CLOCK_TEXT_BYTES];
        ck_assert_int_eq(rl_clock_parse(times[i], &ns, NULL), RL_OK);
        rl_clock_format(ns, text);
        ck_assert_str_eq(text, times[i]);
    }
    char text[RL_CLOCK_TEXT_BYTES];
    rl_clock_format(INT64_MIN, text);
    rl_clock_format(INT64_MAX, text);
    ck_assert_str_eq(text, "2262-04-11T23:47:16.854Z");
}
END_TEST

START_TEST(reads_durations)
{
    static const struct {
        const char *text;
        uint64_t seconds;
        const char *again;
    } good[] = {{"90s", 90, "1m30s"},
                {"30m", 1800, "30m"},
                {"12h", 43200, "12h"},
                {"7d", 604800, "7d"},
                {"1h30m", 5400, "1h30m"},
                {"0s", 0, "0s"},
                {"1d2h3m4s", 93784, "1d2h3m4s"},
                {"24h", 86400, "1d"}};
    for (size_t i = 0; i < RL_COUNT(good); i++) {
        uint64_t got = 1;
        char text[RL_CLOCK_TEXT_BYTES];
        ck_assert_int_eq(rl_duration_parse(good[i].text, &got, NULL), RL_OK);
        ck_assert_uint_eq(got, good[i].seconds);
        rl_duration_format(got, text);
        ck_assert_str_eq(text, good[i].again);
    }
}
END_TEST

START_TEST(refuses_what_is_not_a_duration)
{
    static const char *const bad[] = {"",
                                      "abc",
                                      "90",
                                      "h",
                                      "-1h",
                                      "1.5h",
                                      "1 h",
                                      "30m1h",
                                      "1h1h",
                                      "1w",
                                      "1h30",
                                      "1hm",
                                      "99999999999999999999s",
                                      "300000000000000d"};
    for (size_t i = 0; i < RL_COUNT(bad); i++) {
        uint64_t got = 7;
        struct rl_error err;
        ck_assert_msg(rl_duration_parse(bad[i], &got, &err) == RL_E_INVAL, "took %s", bad[i]);
        ck_assert_uint_eq(got, 7);
    }
    struct rl_error err;
    uint64_t got;
    rl_duration_parse("abc", &got, &err);
    ck_assert_str_eq(err.message, "\"abc\" is not a duration; write it like 12h or 30m");
}
END_TEST

START_TEST(says_durations_in_words)
{
    static const struct {
        uint64_t seconds;
        const char *words;
    } cases[] = {{0, "0 s"},    {59, "59 s"},    {60, "1 min"},    {3599, "59 min"},
                 {7200, "2 h"}, {86399, "23 h"}, {86400, "1 day"}, {432000, "5 days"}};
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        char text[RL_CLOCK_TEXT_BYTES];
        rl_duration_words(cases[i].seconds, text);
        ck_assert_str_eq(text, cases[i].words);
    }
    char text[RL_CLOCK_TEXT_BYTES];
    rl_duration_words(UINT64_MAX, text);
    rl_duration_format(UINT64_MAX, text);
}
END_TEST

START_TEST(has_clocks_that_go_forward)
{
    uint64_t boot = rl_clock_boot_ms();
    ck_assert_uint_ge(rl_clock_boot_ms(), boot);
    ck_assert_int_le(rl_clock_wall_ns() / S - rl_clock_wall_s(), 1);
}
END_TEST

START_TEST(trusts_the_wall_clock_but_not_below_the_floor)
{
    struct rl_trusted_clock clock;
    rl_trusted_clock_init(&clock, 0);
    ck_assert_int_ge(rl_trusted_clock_now_ns(&clock), rl_clock_wall_ns() - 5 * S);
    ck_assert_int_eq(rl_trusted_clock_age_s(&clock), -1);
    int64_t floor_ns = rl_clock_wall_ns() + 3600 * S;
    rl_trusted_clock_init(&clock, floor_ns);
    ck_assert_int_eq(rl_trusted_clock_now_ns(&clock), floor_ns);
}
END_TEST

START_TEST(a_floor_from_disk_stops_no_clock)
{
    struct rl_trusted_clock clock;
    rl_trusted_clock_init(&clock, 0);
    rl_trusted_clock_raise(&clock, 1000 * S);
    ck_assert_int_ge(rl_trusted_clock_now_ns(&clock), rl_clock_wall_ns() - 5 * S);
    ck_assert_int_eq(rl_trusted_clock_age_s(&clock), -1);
    int64_t floor_ns = rl_clock_wall_ns() + 3600 * S;
    rl_trusted_clock_raise(&clock, floor_ns);
    rl_trusted_clock_raise(&clock, 1000 * S);
    ck_assert_int_eq(rl_trusted_clock_now_ns(&clock), floor_ns);
}
END_TEST

START_TEST(counts_on_from_the_last_signed_time)
{
    struct rl_trusted_clock clock;
    rl_trusted_clock_init(&clock, 0);
    rl_trusted_clock_learn(&clock, 1000 * S); /* the wall clock is decades ahead, and wrong */
    clock.base_boot_ms -= 5000;
    ck_assert_int_ge(rl_trusted_clock_now_ns(&clock), 1005 * S);
    ck_assert_int_lt(rl_trusted_clock_now_ns(&clock), 1006 * S);
    ck_assert_int_eq(rl_trusted_clock_age_s(&clock), 5);
    rl_trusted_clock_learn(&clock, 2000 * S);
    ck_assert_int_ge(rl_trusted_clock_now_ns(&clock), 2000 * S);
    ck_assert_int_eq(rl_trusted_clock_age_s(&clock), 0);
}
END_TEST

START_TEST(is_not_turned_back_by_a_statement_that_was_held_back)
{
    struct rl_trusted_clock clock;
    rl_trusted_clock_init(&clock, 0);
    rl_trusted_clock_learn(&clock, 1000 * S);
    clock.base_boot_ms -= 600 * 1000; /* ten minutes later */
    rl_trusted_clock_learn(&clock, 1060 * S);
    ck_assert_int_gt(rl_trusted_clock_now_ns(&clock), 1599 * S);
    ck_assert_int_ge(rl_trusted_clock_age_s(&clock), 539);
    rl_trusted_clock_learn(&clock, 900 * S);
    ck_assert_int_eq(clock.signed_ns, 1060 * S);
}
END_TEST

START_TEST(lets_a_fast_crystal_be_set_right)
{
    struct rl_trusted_clock clock;
    rl_trusted_clock_init(&clock, 0);
    rl_trusted_clock_learn(&clock, 1000 * S);
    clock.base_boot_ms -= 100000 * 1000; /* 100,000 s by our crystal, ten fewer by auth's */
    rl_trusted_clock_learn(&clock, 100990 * S);
    ck_assert_int_lt(rl_trusted_clock_now_ns(&clock), 100991 * S);
}
END_TEST

START_TEST(ignores_a_replayed_statement_below_the_floor)
{
    struct rl_trusted_clock clock;
    rl_trusted_clock_init(&clock, 5000 * S);
    rl_trusted_clock_learn(&clock, 1000 * S);
    ck_assert_int_ge(rl_trusted_clock_now_ns(&clock), 5000 * S);
    ck_assert_int_ge(rl_trusted_clock_age_s(&clock), 4000);
}
END_TEST

START_TEST(a_clock_that_jumps_alone_is_not_followed)
{
    const int64_t s = INT64_C(1000000000), start = 1800000000 * s, hour = 3600 * s;
    struct rl_voted_clock clock = {0};
    ck_assert_int_eq(rl_voted_clock_at(&clock, start, 1000),
                     start); /* nothing to hold it against */
    ck_assert(rl_voted_clock_hear(&clock, start, start + 30 * s, 1000));
    ck_assert_int_eq(rl_voted_clock_at(&clock, start + hour, 2000), start + s);
    ck_assert(!rl_voted_clock_hear(&clock, start + hour, start + s, 2000)); /* its own jumps */
    ck_assert_int_eq(rl_voted_clock_at(&clock, start + hour, 3000), start + 2 * s);
    ck_assert(!rl_voted_clock_hear(&clock, start + 2 * s, start - hour, 3000)); /* the other does */
    ck_assert(!rl_voted_clock_hear(&clock, start + 2 * s, start + 33 * s, 3000));
    ck_assert_int_eq(rl_voted_clock_at(&clock, start + 2 * s, 3000), start + 2 * s);
    ck_assert(rl_voted_clock_hear(&clock, start + hour, start + hour, 4000)); /* both were set */
    ck_assert_int_eq(rl_voted_clock_at(&clock, 0, 5000), start + hour + s);
}
END_TEST

START_TEST(in_the_beginning_the_others_clock_counts)
{
    const int64_t s = INT64_C(1000000000), start = 1800000000 * s;
    struct rl_voted_clock clock = {0};
    ck_assert(!rl_voted_clock_hear(&clock, 86400 * s, start, 1000)); /* 1970 */
    ck_assert_int_eq(rl_voted_clock_at(&clock, 86401 * s, 2000), start + s);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("clock");
    tcase_add_test(t, a_clock_that_jumps_alone_is_not_followed);
    tcase_add_test(t, in_the_beginning_the_others_clock_counts);
    tcase_add_test(t, reads_the_examples_of_rfc_3339);
    tcase_add_test(t, refuses_what_is_not_a_time);
    tcase_add_test(t, writes_what_it_reads);
    tcase_add_test(t, reads_durations);
    tcase_add_test(t, refuses_what_is_not_a_duration);
    tcase_add_test(t, says_durations_in_words);
    tcase_add_test(t, has_clocks_that_go_forward);
    tcase_add_test(t, trusts_the_wall_clock_but_not_below_the_floor);
    tcase_add_test(t, a_floor_from_disk_stops_no_clock);
    tcase_add_test(t, counts_on_from_the_last_signed_time);
    tcase_add_test(t, is_not_turned_back_by_a_statement_that_was_held_back);
    tcase_add_test(t, lets_a_fast_crystal_be_set_right);
    tcase_add_test(t, ignores_a_replayed_statement_below_the_floor);
    Suite *s = suite_create("clock");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
