#include "dial/dial.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void check_is(const char *listen, uint16_t port, const char *wanted)
{
    char *got = rl_listen_advertised(listen, port);
    ck_assert_ptr_nonnull(got);
    ck_assert_str_eq(got, wanted);
    free(got);
}

START_TEST(an_address_stays_and_gets_the_real_port)
{
    check_is("192.0.2.7:0", 4711, "192.0.2.7:4711");
    check_is("broker.example:3031", 3031, "broker.example:3031");
    check_is("[2001:db8::1]:0", 4711, "[2001:db8::1]:4711");
}
END_TEST

START_TEST(a_wildcard_is_this_machine_by_its_name)
{
    char name[256] = "", wanted[300];
    ck_assert_int_eq(gethostname(name, sizeof name - 1), 0);
    snprintf(wanted, sizeof wanted, "%s:3031", name);
    check_is("0.0.0.0:3031", 3031, wanted);
    check_is("[::]:0", 3031, wanted);
}
END_TEST

START_TEST(what_is_no_address_is_not_advertised)
{
    ck_assert_ptr_null(rl_listen_advertised(NULL, 1));
    ck_assert_ptr_null(rl_listen_advertised("nowhere", 1));
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("advertise");
    tcase_add_test(t, an_address_stays_and_gets_the_real_port);
    tcase_add_test(t, a_wildcard_is_this_machine_by_its_name);
    tcase_add_test(t, what_is_no_address_is_not_advertised);
    Suite *s = suite_create("advertise");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
