#include "protocol/protocol.h"

#include <check.h>

static struct rl_error err;

START_TEST(takes_its_own_kind)
{
    ck_assert_int_eq(rl_protocol_check(RL_PROTOCOL, RL_PROTOCOL_MIN, "auth", &err), RL_OK);
}
END_TEST

START_TEST(takes_who_is_one_version_ahead_and_still_speaks_this_one)
{
    ck_assert_int_eq(rl_protocol_check(RL_PROTOCOL + 1, RL_PROTOCOL, "auth", &err), RL_OK);
}
END_TEST

START_TEST(takes_the_oldest_that_it_speaks_itself)
{
    ck_assert_int_eq(rl_protocol_check(RL_PROTOCOL_MIN, RL_PROTOCOL_MIN, "auth", &err), RL_OK);
}
END_TEST

START_TEST(takes_who_says_nothing_for_the_first_version)
{
    ck_assert_int_eq(rl_protocol_check(0, 0, "agent x", &err),
                     RL_PROTOCOL_MIN == 1 ? RL_OK : RL_E_PRECONDITION);
}
END_TEST

START_TEST(refuses_who_has_forgotten_this_version_and_says_whom_to_upgrade)
{
    ck_assert_int_eq(rl_protocol_check(RL_PROTOCOL + 2, RL_PROTOCOL + 1, "the broker", &err),
                     RL_E_PRECONDITION);
    ck_assert_str_eq(err.message, "the broker speaks protocol 2 at least, and this program 1: "
                                  "upgrade this program");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("protocol");
    TCase *t = tcase_create("protocol");
    tcase_add_test(t, takes_its_own_kind);
    tcase_add_test(t, takes_who_is_one_version_ahead_and_still_speaks_this_one);
    tcase_add_test(t, takes_the_oldest_that_it_speaks_itself);
    tcase_add_test(t, takes_who_says_nothing_for_the_first_version);
    tcase_add_test(t, refuses_who_has_forgotten_this_version_and_says_whom_to_upgrade);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
