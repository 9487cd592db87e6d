#include "../admission.h"

#include <check.h>

START_TEST(lets_in_a_burst_and_then_its_rate)
{
    struct admission a;
    admission_init(&a, 10, 1000);
    uint32_t back = 0;
    for (int i = 0; i < 20; i++)
        ck_assert(admission_take(&a, 1000, 60000, &back));
    ck_assert(!admission_take(&a, 1000, 60000, &back));
    int in = 0;
    for (uint64_t now = 1000; now <= 11000; now += 10)
        in += admission_take(&a, now, 60000, &back);
    ck_assert_int_eq(in, 100);
}
END_TEST

START_TEST(gives_each_that_is_turned_away_a_later_time_up_to_a_limit)
{
    struct admission a;
    admission_init(&a, 10, 0);
    uint32_t back = 0, last = 0;
    while (admission_take(&a, 0, 5000, &back))
        ;
    for (int i = 0; i < 100; i++) {
        ck_assert(!admission_take(&a, 0, 5000, &back));
        ck_assert_uint_ge(back, last);
        ck_assert_uint_le(back, 5000);
        last = back;
    }
    ck_assert_uint_eq(last, 5000);
}
END_TEST

START_TEST(a_clock_that_stands_or_leaps_gives_no_more_than_a_burst)
{
    struct admission a;
    admission_init(&a, 3, 5000);
    uint32_t back = 0;
    int in = 0;
    for (int i = 0; i < 100; i++)
        in += admission_take(&a, UINT64_MAX / 2, 1000, &back);
    ck_assert_int_eq(in, 6);
    ck_assert(!admission_take(&a, 0, 1000, &back));
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("admission");
    tcase_add_test(tests, lets_in_a_burst_and_then_its_rate);
    tcase_add_test(tests, gives_each_that_is_turned_away_a_later_time_up_to_a_limit);
    tcase_add_test(tests, a_clock_that_stands_or_leaps_gives_no_more_than_a_burst);
    Suite *suite = suite_create("admission");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
