#include "sealed.h"

static struct signer signer;
static Pb__SignedStatement *signed_statement;

static void setup(void)
{
    make_signer(&signer, "policy-1");
    ck_assert_int_eq(rl_statement_sign(CLUSTER, NOW, 7, rl_span_of("head"), signer.key, "policy-1",
                                       &signed_statement, NULL),
                     RL_OK);
}

static void teardown(void)
{
    pb__signed_statement__free_unpacked(signed_statement, NULL);
    free_signer(&signer);
}

static rl_code verify(const char *cluster)
{
    Pb__Statement *statement = NULL;
    struct rl_policy_keys keys = {1, &signer.pointer};
    rl_code code = rl_statement_verify(signed_statement, cluster, keys, &statement, NULL);
    if (statement)
        pb__statement__free_unpacked(statement, NULL);
    return code;
}

START_TEST(says_what_was_signed)
{
    Pb__Statement *statement = NULL;
    struct rl_policy_keys keys = {1, &signer.pointer};
    ck_assert_int_eq(rl_statement_verify(signed_statement, CLUSTER, keys, &statement, NULL), RL_OK);
    ck_assert_str_eq(statement->cluster, CLUSTER);
    ck_assert_int_eq(statement->time_ns, NOW);
    ck_assert_uint_eq(statement->policy_version, 7);
    ck_assert(rl_span_is(RL_SPAN(statement->audit_head.data, statement->audit_head.len), "head"));
    pb__statement__free_unpacked(statement, NULL);
}
END_TEST

START_TEST(is_found_out_when_tampered_with)
{
    ProtobufCBinaryData *parts[] = {&signed_statement->statement, &signed_statement->signature};
    for (size_t p = 0; p < 2; p++)
        for (size_t i = 0; i < parts[p]->len; i++) {
            parts[p]->data[i] ^= 1;
            ck_assert_int_eq(verify(CLUSTER), RL_E_UNAUTHENTICATED);
            parts[p]->data[i] ^= 1;
        }
    signed_statement->key_id[0] ^= 1;
    ck_assert_int_eq(verify(CLUSTER), RL_E_UNAUTHENTICATED);
    signed_statement->key_id[0] ^= 1;
    ck_assert_int_eq(verify(CLUSTER), RL_OK);
}
END_TEST

START_TEST(counts_in_its_own_cluster_only)
{
    ck_assert_int_eq(verify("other.com"), RL_E_DENIED);
}
END_TEST

START_TEST(is_not_verified_by_a_key_that_cannot_be_read)
{
    signer.public_key.public_key.len = 10;
    ck_assert_int_eq(verify(CLUSTER), RL_E_UNAUTHENTICATED);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("statement");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, says_what_was_signed);
    tcase_add_test(t, is_found_out_when_tampered_with);
    tcase_add_test(t, counts_in_its_own_cluster_only);
    tcase_add_test(t, is_not_verified_by_a_key_that_cannot_be_read);
    Suite *s = suite_create("statement");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
