#include "credential/totp.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct rl_error err;
static const char rfc_secret[] = "12345678901234567890"; /* RFC 6238, appendix B */

static struct rl_span secret(void)
{
    return rl_span_of(rfc_secret);
}

START_TEST(makes_the_codes_of_rfc_6238)
{
    /* The RFC's table has eight digits; six are its last six. */
    static const struct {
        int64_t now_s;
        const char *code;
    } vectors[] = {{59, "287082"},         {1111111109, "081804"}, {1111111111, "050471"},
                   {1234567890, "005924"}, {2000000000, "279037"}, {20000000000, "353130"}};
    for (size_t i = 0; i < RL_COUNT(vectors); i++) {
        char code[RL_TOTP_DIGITS + 1];
        ck_assert_int_eq(rl_totp_generate(secret(), vectors[i].now_s, code, &err), RL_OK);
        ck_assert_str_eq(code, vectors[i].code);
        int64_t step = -1;
        uint64_t wait = 0;
        ck_assert_int_eq(
            rl_totp_check(secret(), vectors[i].code, vectors[i].now_s, -1, &step, &wait, &err),
            RL_OK);
        ck_assert_int_eq(step, vectors[i].now_s / 30);
    }
}
END_TEST

static rl_code check_from(int64_t code_s, int64_t now_s, int64_t last, int64_t *step,
                          uint64_t *wait)
{
    char code[RL_TOTP_DIGITS + 1];
    ck_assert_int_eq(rl_totp_generate(secret(), code_s, code, &err), RL_OK);
    return rl_totp_check(secret(), code, now_s, last, step, wait, &err);
}

START_TEST(tolerates_one_step_either_way_and_no_more)
{
    const int64_t now = 1700000010; /* the first second of a step */
    ck_assert_int_eq(now % 30, 0);
    int64_t step = 0;
    uint64_t wait = 0;
    ck_assert_int_eq(check_from(now, now, -1, &step, &wait), RL_OK);
    ck_assert_int_eq(check_from(now - 30, now, -1, &step, &wait), RL_OK);
    ck_assert_int_eq(step, now / 30 - 1);
    ck_assert_int_eq(check_from(now + 30, now, -1, &step, &wait), RL_OK);
    ck_assert_int_eq(step, now / 30 + 1);
    ck_assert_int_eq(check_from(now - 31, now, -1, &step, &wait), RL_E_DENIED);
    ck_assert_int_eq(check_from(now + 60, now, -1, &step, &wait), RL_E_DENIED);
}
END_TEST

START_TEST(a_code_is_good_once_and_the_wait_is_told)
{
    const int64_t now = 1700000010 + 12;
    int64_t step = 0;
    uint64_t wait = 0;
    ck_assert_int_eq(check_from(now, now, -1, &step, &wait), RL_OK);
    ck_assert_int_eq(check_from(now, now, step, &step, &wait), RL_E_PRECONDITION);
    ck_assert_uint_eq(wait, 18);
    ck_assert_str_eq(err.message, "this code was already used; the next is valid in 18 s");
    /* An older one is used up with it. */
    ck_assert_int_eq(check_from(now - 30, now, step, &step, &wait), RL_E_PRECONDITION);
    ck_assert_int_eq(check_from(now + 18, now + 18, step, &step, &wait), RL_OK);
}
END_TEST

START_TEST(refuses_what_is_no_code)
{
    static const char *const bad[] = {"",       "28708",  "2870822", "28708a",
                                      " 87082", "-87082", "287 82",  "２８７０"};
    int64_t step = 0;
    uint64_t wait = 0;
    for (size_t i = 0; i < RL_COUNT(bad); i++)
        ck_assert_int_eq(rl_totp_check(secret(), bad[i], 59, -1, &step, &wait, &err), RL_E_DENIED);
}
END_TEST

START_TEST(refuses_a_secret_that_is_too_short_or_too_long)
{
    char long_secret[65] = {0};
    char code[RL_TOTP_DIGITS + 1];
    ck_assert_int_eq(rl_totp_generate(RL_SPAN(long_secret, 15), 59, code, &err), RL_E_DATA_LOSS);
    ck_assert_int_eq(rl_totp_generate(RL_SPAN(long_secret, 16), 59, code, &err), RL_OK);
    ck_assert_int_eq(rl_totp_generate(RL_SPAN(long_secret, 64), 59, code, &err), RL_OK);
    ck_assert_int_eq(rl_totp_generate(RL_SPAN(long_secret, 65), 59, code, &err), RL_E_DATA_LOSS);
}
END_TEST

START_TEST(escapes_names_in_the_url)
{
    char *url = rl_totp_url("dev.example", "al ice&x=1", secret());
    ck_assert_str_eq(url, "otpauth://totp/dev.example:al%20ice%26x%3D1?secret="
                          "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=dev.example&algorithm=SHA1&"
                          "digits=6&period=30");
    free(url);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("totp");
    TCase *t = tcase_create("totp");
    tcase_add_test(t, makes_the_codes_of_rfc_6238);
    tcase_add_test(t, tolerates_one_step_either_way_and_no_more);
    tcase_add_test(t, a_code_is_good_once_and_the_wait_is_told);
    tcase_add_test(t, refuses_what_is_no_code);
    tcase_add_test(t, refuses_a_secret_that_is_too_short_or_too_long);
    tcase_add_test(t, escapes_names_in_the_url);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
