#include "policy/policy.h"

#include "bytes/encoding.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static rl_code set(struct rl_policy *policy, const char *key, const char *value)
{
    return rl_policy_set(policy, key, rl_span_of(value), NULL);
}

static void expect_hash(const struct rl_policy *policy, const char *hex)
{
    uint8_t hash[32];
    rl_policy_hash(policy, hash);
    char *text = rl_hex_encode(RL_SPAN(hash, sizeof hash));
    ck_assert_str_eq(text, hex);
    free(text);
}

/* By hand: printf '\0\0\0\6role/a\0\0\0\1x\0\0\0\6role/b\0\0\0\0' | sha256sum */
START_TEST(hashes_as_the_protocol_says)
{
    struct rl_policy *policy = rl_policy_create();
    expect_hash(policy, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    set(policy, "role/b", "");
    set(policy, "role/a", "x");
    expect_hash(policy, "c4417cdfbf233e9e1a72075fe0697c6000937ab0c689d60c504d2d5d4cd201ef");
    rl_policy_unref(&policy);
}
END_TEST

START_TEST(hashes_the_content_and_not_its_history)
{
    uint8_t first[32], second[32];
    struct rl_policy *a = rl_policy_create(), *b = rl_policy_create();
    set(a, "k1", "1");
    set(a, "k2", "2");
    set(a, "k3", "3");
    set(b, "k3", "other");
    set(b, "k9", "9");
    set(b, "k2", "2");
    set(b, "k3", "3");
    set(b, "k1", "1");
    rl_policy_remove(b, "k9");
    rl_policy_remove(b, "k10");
    rl_policy_hash(a, first);
    rl_policy_hash(b, second);
    ck_assert_mem_eq(first, second, 32);
    ck_assert_uint_eq(rl_policy_entry_count(b), 3);
    rl_policy_remove(b, "k1");
    rl_policy_hash(b, second);
    ck_assert_mem_ne(first, second, 32);
    rl_policy_unref(&a);
    rl_policy_unref(&b);
}
END_TEST

START_TEST(bounds_entries)
{
    struct rl_policy *policy = rl_policy_create();
    char key[32];
    for (int i = 0; i < RL_POLICY_ENTRIES_MAX; i++) {
        snprintf(key, sizeof key, "k%06d", i);
        ck_assert_int_eq(set(policy, key, "v"), RL_OK);
    }
    ck_assert_int_eq(set(policy, "one more", "v"), RL_E_EXHAUSTED);
    ck_assert_int_eq(set(policy, "k000000", "another"), RL_OK); /* a change is not one more */
    rl_policy_remove(policy, "k000001");
    ck_assert_int_eq(set(policy, "one more", "v"), RL_OK);
    rl_policy_unref(&policy);
}
END_TEST

START_TEST(bounds_bytes)
{
    struct rl_policy *policy = rl_policy_create();
    size_t room = RL_POLICY_BYTES_MAX - 1;
    uint8_t *value = rl_alloc(room + 1);
    ck_assert_int_eq(rl_policy_set(policy, "k", RL_SPAN(value, room + 1), NULL), RL_E_EXHAUSTED);
    ck_assert_int_eq(rl_policy_set(policy, "k", RL_SPAN(value, room), NULL), RL_OK);
    ck_assert_int_eq(set(policy, "l", ""), RL_E_EXHAUSTED);
    ck_assert_int_eq(rl_policy_set(policy, "k", RL_SPAN(value, room - 1), NULL), RL_OK);
    ck_assert_int_eq(set(policy, "l", ""), RL_OK);
    free(value);
    rl_policy_unref(&policy);
}
END_TEST

START_TEST(bounds_keys)
{
    struct rl_policy *policy = rl_policy_create();
    char *key = rl_sprintf("%0512d", 0), *longer = rl_sprintf("%0513d", 0);
    ck_assert_int_eq(set(policy, "", "v"), RL_E_INVAL);
    ck_assert_int_eq(set(policy, key, "v"), RL_OK);
    ck_assert_int_eq(set(policy, longer, "v"), RL_E_INVAL);
    free(key);
    free(longer);
    rl_policy_unref(&policy);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("entries");
    tcase_add_test(t, hashes_as_the_protocol_says);
    tcase_add_test(t, hashes_the_content_and_not_its_history);
    tcase_add_test(t, bounds_entries);
    tcase_add_test(t, bounds_bytes);
    tcase_add_test(t, bounds_keys);
    Suite *s = suite_create("entries");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
