#include "identity/identity_file.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct rl_identity_file made;
static Pb__TrustBundle bundle = PB__TRUST_BUNDLE__INIT;
static struct rl_buf text;
static char cluster[] = "dev";

static void setup(void)
{
    rl_buf_init(&text, RL_IDENTITY_FILE_BYTES_MAX);
    ck_assert_int_eq(rl_identity_create_ca(RL_IDENTITY_USER, "dev", 1763800000, 86400,
                                           &made.chain[0], &made.key, NULL),
                     RL_OK);
    made.chain_count = 1;
    bundle.cluster = cluster;
    made.trust = &bundle;
    ck_assert_int_eq(rl_identity_file_write(&made, &text, NULL), RL_OK);
}

static void teardown(void)
{
    made.trust = NULL;
    rl_identity_file_fini(&made);
    rl_buf_fini(&text);
}

START_TEST(reads_back_what_was_written)
{
    struct rl_identity_file read;
    ck_assert_int_eq(rl_identity_file_read(rl_buf_span(&text), &read, NULL), RL_OK);
    ck_assert_int_eq(EVP_PKEY_eq(read.key, made.key), 1);
    ck_assert_uint_eq(read.chain_count, 1);
    ck_assert_int_eq(X509_cmp(read.chain[0], made.chain[0]), 0);
    ck_assert_str_eq(read.trust->cluster, "dev");
    rl_identity_file_fini(&read);
}
END_TEST

START_TEST(says_which_part_is_missing)
{
    struct rl_error err;
    struct rl_identity_file read;
    char *whole = rl_strdup(rl_buf_text(&text));
    char *trust = strstr(whole, "-----BEGIN REMOTELER");
    *trust = '\0';
    ck_assert_int_eq(rl_identity_file_read(rl_span_of(whole), &read, &err), RL_E_INVAL);
    ck_assert_ptr_nonnull(strstr(err.message, "trust bundle"));
    ck_assert_int_eq(rl_identity_file_read(rl_span_of(""), &read, &err), RL_E_INVAL);
    ck_assert_ptr_nonnull(strstr(err.message, "private key"));
    free(whole);
}
END_TEST

START_TEST(refuses_a_part_twice)
{
    struct rl_error err;
    struct rl_identity_file read;
    char *twice = rl_sprintf("%s%s", rl_buf_text(&text), rl_buf_text(&text));
    ck_assert_int_eq(rl_identity_file_read(rl_span_of(twice), &read, &err), RL_E_INVAL);
    ck_assert_ptr_nonnull(strstr(err.message, "two private keys"));
    free(twice);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("identity_file");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, reads_back_what_was_written);
    tcase_add_test(t, says_which_part_is_missing);
    tcase_add_test(t, refuses_a_part_twice);
    Suite *s = suite_create("identity_file");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
