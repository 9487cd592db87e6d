#include "credential/token.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct rl_error err;

START_TEST(two_tokens_differ_and_so_do_their_hashes)
{
    char *a = rl_token_create();
    char *b = rl_token_create();
    ck_assert_uint_eq(strlen(a), RL_TOKEN_TEXT_BYTES);
    ck_assert_str_ne(a, b);
    uint8_t ha[RL_TOKEN_HASH_BYTES];
    uint8_t hb[RL_TOKEN_HASH_BYTES];
    uint8_t again[RL_TOKEN_HASH_BYTES];
    ck_assert_int_eq(rl_token_hash(a, ha, &err), RL_OK);
    ck_assert_int_eq(rl_token_hash(b, hb, &err), RL_OK);
    ck_assert_int_eq(rl_token_hash(a, again, &err), RL_OK);
    ck_assert_mem_ne(ha, hb, sizeof ha);
    ck_assert_mem_eq(ha, again, sizeof ha);
    rl_token_free(&a);
    rl_token_free(&b);
    ck_assert_ptr_null(a);
    rl_token_free(&a);
}
END_TEST

START_TEST(refuses_what_can_not_be_a_token)
{
    uint8_t hash[RL_TOKEN_HASH_BYTES];
    char text[RL_TOKEN_TEXT_BYTES + 2];
    memset(text, 'a', sizeof text);
    text[RL_TOKEN_TEXT_BYTES + 1] = '\0';
    ck_assert_int_eq(rl_token_hash(text, hash, &err), RL_E_INVAL);
    text[RL_TOKEN_TEXT_BYTES] = '\0';
    ck_assert_int_eq(rl_token_hash(text, hash, &err), RL_OK);
    text[RL_TOKEN_TEXT_BYTES - 1] = '\0';
    ck_assert_int_eq(rl_token_hash(text, hash, &err), RL_E_INVAL);
    ck_assert_int_eq(rl_token_hash("", hash, &err), RL_E_INVAL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("token");
    TCase *t = tcase_create("token");
    tcase_add_test(t, two_tokens_differ_and_so_do_their_hashes);
    tcase_add_test(t, refuses_what_can_not_be_a_token);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
