#include "credential/password.h"

#include <argon2.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct rl_error err;

START_TEST(knows_its_own_password_and_no_other)
{
    char *hash = NULL;
    bool weak = true;
    ck_assert_int_eq(rl_password_hash(rl_span_of("correct horse"), &hash, &err), RL_OK);
    ck_assert_int_eq(strncmp(hash, "$argon2id$v=19$m=19456,t=2,p=1$", 31), 0);
    ck_assert_int_eq(rl_password_verify(hash, rl_span_of("correct horse"), &weak, &err), RL_OK);
    ck_assert(!weak);
    ck_assert_int_eq(rl_password_verify(hash, rl_span_of("correct horsf"), NULL, &err),
                     RL_E_DENIED);
    ck_assert_int_eq(rl_password_verify(hash, rl_span_of(""), NULL, &err), RL_E_DENIED);
    free(hash);
}
END_TEST

START_TEST(hashes_the_same_password_differently_each_time)
{
    char *a = NULL;
    char *b = NULL;
    ck_assert_int_eq(rl_password_hash(rl_span_of("correct horse"), &a, &err), RL_OK);
    ck_assert_int_eq(rl_password_hash(rl_span_of("correct horse"), &b, &err), RL_OK);
    ck_assert_str_ne(a, b);
    free(a);
    free(b);
}
END_TEST

START_TEST(takes_8_to_256_bytes)
{
    char text[258];
    memset(text, 'x', sizeof text);
    static const struct {
        size_t n;
        rl_code want;
    } cases[] = {{0, RL_E_INVAL}, {7, RL_E_INVAL}, {8, RL_OK}, {256, RL_OK}, {257, RL_E_INVAL}};
    for (size_t i = 0; i < RL_COUNT(cases); i++)
        ck_assert_int_eq(rl_password_check(RL_SPAN(text, cases[i].n), &err), cases[i].want);
    text[3] = '\0';
    ck_assert_int_eq(rl_password_check(RL_SPAN(text, 20), &err), RL_E_INVAL);
}
END_TEST

START_TEST(asks_for_a_new_hash_when_the_old_one_is_weaker)
{
    char encoded[256];
    ck_assert_int_eq(argon2id_hash_encoded(1, 1024, 1, "password1", 9, "saltsaltsalt", 12, 32,
                                           encoded, sizeof encoded),
                     ARGON2_OK);
    bool weak = false;
    ck_assert_int_eq(rl_password_verify(encoded, rl_span_of("password1"), &weak, &err), RL_OK);
    ck_assert(weak);
}
END_TEST

START_TEST(refuses_a_stored_text_that_is_no_hash_or_too_dear)
{
    static const char *const bad[] = {
        "",
        "password1",
        "$argon2id$v=19$m=19456,t=2,p=1$",
        "$argon2id$v=19$m=19456,t=2,p=1$!!!!$????",
        "$argon2i$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA",
        "$argon2id$v=19$m=4000000,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo",
        "$argon2id$v=19$m=1024,t=4000000,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo",
    };
    for (size_t i = 0; i < RL_COUNT(bad); i++)
        ck_assert_int_eq(rl_password_verify(bad[i], rl_span_of("password1"), NULL, &err),
                         RL_E_DATA_LOSS);
}
END_TEST

static double cost_s(const char *encoded)
{
    struct timespec from;
    struct timespec to;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    ck_assert_int_eq(rl_password_verify(encoded, rl_span_of("wrong horse"), NULL, &err),
                     RL_E_DENIED);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
    return (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
}

START_TEST(an_unknown_user_costs_as_much_as_a_known_one)
{
    char *hash = NULL;
    ck_assert_int_eq(rl_password_hash(rl_span_of("correct horse"), &hash, &err), RL_OK);
    double known = cost_s(hash);
    struct rl_error other = err;
    double unknown = cost_s(NULL);
    ck_assert_str_eq(other.message, err.message);
    /* CPU time of this thread: other load does not count, so half to double is generous. */
    ck_assert(unknown > known / 2 && unknown < known * 2);
    free(hash);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("password");
    TCase *t = tcase_create("password");
    tcase_add_test(t, knows_its_own_password_and_no_other);
    tcase_add_test(t, hashes_the_same_password_differently_each_time);
    tcase_add_test(t, takes_8_to_256_bytes);
    tcase_add_test(t, asks_for_a_new_hash_when_the_old_one_is_weaker);
    tcase_add_test(t, refuses_a_stored_text_that_is_no_hash_or_too_dear);
    tcase_add_test(t, an_unknown_user_costs_as_much_as_a_known_one);
    tcase_set_timeout(t, 60);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
