#include "identity/identity.h"

#include "identity/tests/world.h"
#include "identity/trust.h"

#include <openssl/ec.h>

/* ---- the list of authorities ---- */

static void expect_not_added(enum rl_identity_kind kind, const char *cluster, X509 *ca,
                             const char *words)
{
    struct rl_error err;
    ck_assert_int_eq(authority_trust(trust, kind, cluster, ca, &err), RL_E_INVAL);
    ck_assert_msg(strstr(err.message, words) != NULL, "\"%s\" does not say \"%s\"", err.message,
                  words);
}

START_TEST(does_not_take_as_authority_what_is_none)
{
    struct authority other = authority_make(RL_IDENTITY_USER, "main");
    X509 *leaf = alice();
    expect_not_added(RL_IDENTITY_USER, "main", leaf, "may not sign");
    X509_free(leaf);
    X509 *crossed = sign_again(X509_dup(other.ca), users.key);
    expect_not_added(RL_IDENTITY_USER, "main", crossed, "another one signed it");
    X509_free(crossed);
    X509 *open_ended = X509_dup(other.ca);
    drop_extension(open_ended, NID_basic_constraints);
    add_extension(open_ended, NID_basic_constraints, "critical,CA:TRUE");
    open_ended = sign_again(open_ended, other.key);
    expect_not_added(RL_IDENTITY_USER, "main", open_ended, "may not sign");
    X509_free(open_ended);
    ck_assert_int_eq(rl_trust_add(trust, RL_IDENTITY_USER, "main", RL_SPAN("x", 1), NULL),
                     RL_E_INVAL);
    authority_free(&other);
}
END_TEST

START_TEST(writes_the_authorities_of_one_kind_of_its_own_cluster)
{
    struct rl_buf pem, one;
    rl_buf_init(&pem, 65536);
    rl_buf_init(&one, 65536);
    ck_assert_int_eq(
        authority_trust(trust, RL_IDENTITY_USER, "leaf.example", foreign_users.ca, NULL), RL_OK);
    ck_assert_int_eq(rl_trust_pem(trust, RL_IDENTITY_USER, &pem, NULL), RL_OK);
    ck_assert_int_eq(rl_x509_to_pem(users.ca, &one, NULL), RL_OK);
    ck_assert(rl_span_equal(rl_buf_span(&pem), rl_buf_span(&one)));
    rl_buf_clear(&pem);
    struct rl_trust *empty = rl_trust_create("main");
    ck_assert_int_eq(rl_trust_pem(empty, RL_IDENTITY_USER, &pem, NULL), RL_E_NOT_FOUND);
    ck_assert_uint_eq(pem.n, 0);
    rl_trust_unref(&empty);
    rl_buf_fini(&pem);
    rl_buf_fini(&one);
}
END_TEST

START_TEST(does_not_take_an_authority_of_another_cluster)
{
    expect_not_added(RL_IDENTITY_USER, "main", foreign_users.ca, "names another");
    expect_not_added(RL_IDENTITY_USER, "remoteler.internal", foreign_users.ca, "");
}
END_TEST

START_TEST(does_not_take_an_authority_for_two_kinds)
{
    expect_not_added(RL_IDENTITY_SERVICE, "main", users.ca, "there twice");
    ck_assert_int_eq(authority_trust(trust, RL_IDENTITY_USER, "main", users.ca, NULL), RL_OK);
}
END_TEST

START_TEST(does_not_take_an_authority_with_a_weak_key)
{
    struct authority other = authority_make(RL_IDENTITY_USER, "main");
    EVP_PKEY *weak = EVP_EC_gen("P-224");
    X509 *ca = X509_dup(other.ca);
    X509_set_pubkey(ca, weak);
    drop_extension(ca, NID_subject_key_identifier);
    ca = sign_again(ca, weak);
    expect_not_added(RL_IDENTITY_USER, "main", ca, "weak");
    X509_free(ca);
    EVP_PKEY_free(weak);
    authority_free(&other);
}
END_TEST

/* ---- lists that follow one another ---- */

static rl_code add_again(struct rl_trust *to, const struct rl_trust *before,
                         enum rl_identity_kind kind, const char *cluster, X509 *ca)
{
    struct rl_buf der;
    rl_buf_init(&der, 65536);
    ck_assert_int_eq(rl_x509_to_der(ca, &der, NULL), RL_OK);
    rl_code code = rl_trust_add_again(to, before, kind, cluster, rl_buf_span(&der), NULL);
    rl_buf_fini(&der);
    return code;
}

START_TEST(shares_with_the_list_before_what_was_there_in_whatever_order)
{
    struct rl_trust *before = rl_trust_create("main"), *after = rl_trust_create("main");
    X509 *const cas[] = {users.ca, foreign_users.ca};
    const char *const clusters[] = {"main", "leaf.example"};
    for (size_t i = 0; i < 2; i++)
        ck_assert_int_eq(add_again(before, NULL, RL_IDENTITY_USER, clusters[i], cas[i]), RL_OK);
    for (size_t i = 2; i-- > 0;)
        ck_assert_int_eq(add_again(after, before, RL_IDENTITY_USER, clusters[i], cas[i]), RL_OK);
    ck_assert_ptr_eq(rl_trust_at(after, 0), rl_trust_at(before, 1));
    ck_assert_ptr_eq(rl_trust_at(after, 1), rl_trust_at(before, 0));
    ck_assert_int_eq(add_again(after, before, RL_IDENTITY_AGENT, "main", hosts.ca), RL_OK);
    ck_assert_uint_eq(rl_trust_count(after), 3);
    rl_trust_unref(&before);
    X509 *alices = alice();
    STACK_OF(X509) *chain = sk_X509_new_null();
    struct rl_identity *who = NULL;
    sk_X509_push(chain, alices);
    ck_assert_int_eq(rl_identity_check(after, chain, false, NOW_S, &who, NULL), RL_OK);
    ck_assert(rl_trust_vouches(after, who));
    rl_identity_unref(&who);
    sk_X509_free(chain);
    X509_free(alices);
    rl_trust_unref(&after);
}
END_TEST

START_TEST(what_the_list_before_knew_as_another_is_checked_like_a_new_one)
{
    struct rl_trust *before = rl_trust_create("main"), *after = rl_trust_create("main");
    ck_assert_int_eq(add_again(before, NULL, RL_IDENTITY_USER, "main", users.ca), RL_OK);
    ck_assert_int_eq(add_again(after, before, RL_IDENTITY_USER, "leaf.example", users.ca),
                     RL_E_INVAL); /* it names another cluster */
    ck_assert_int_eq(add_again(after, before, RL_IDENTITY_AGENT, "main", users.ca), RL_OK);
    ck_assert_ptr_ne(rl_trust_at(after, 0), rl_trust_at(before, 0));
    ck_assert_int_eq(add_again(after, before, RL_IDENTITY_USER, "main", users.ca),
                     RL_E_INVAL); /* there twice */
    ck_assert_uint_eq(rl_trust_count(after), 1);
    rl_trust_unref(&before);
    rl_trust_unref(&after);
}
END_TEST

/* ---- issuing ---- */

START_TEST(refuses_to_issue_what_it_would_not_accept)
{
    Pb__IdentityClaims claims = PB__IDENTITY_CLAIMS__INIT;
    char cluster[] = "main", user[] = "alice", bob[] = "bob";
    claims.format = 1;
    claims.cluster = cluster;
    claims.user = user;
    const struct rl_identity_request good = {.kind = RL_IDENTITY_USER,
                                             .cluster = "main",
                                             .name = "alice",
                                             .subject = key,
                                             .claims = &claims,
                                             .now_s = NOW_S,
                                             .ttl_s = 60};
    X509 *out = NULL;
    struct rl_identity_request bad = good;
    bad.name = "al/ice";
    claims.user = (char *)(uintptr_t)bad.name;
    ck_assert_int_eq(rl_identity_issue(&bad, users.ca, users.key, &out, NULL), RL_E_INVAL);
    claims.user = bob;
    ck_assert_int_eq(rl_identity_issue(&good, users.ca, users.key, &out, NULL), RL_E_INVAL);
    claims.user = user;
    ck_assert_int_eq(rl_identity_issue(&good, foreign_users.ca, foreign_users.key, &out, NULL),
                     RL_E_INVAL);
    ck_assert_int_eq(rl_identity_issue(&good, users.ca, hosts.key, &out, NULL), RL_E_INVAL);
    bad = good;
    bad.ttl_s = 0;
    ck_assert_int_eq(rl_identity_issue(&bad, users.ca, users.key, &out, NULL), RL_E_INVAL);
    bad = good;
    bad.addresses = (const char *const[]){"example.com"};
    bad.address_count = 1;
    ck_assert_int_eq(rl_identity_issue(&bad, users.ca, users.key, &out, NULL), RL_E_INVAL);
    claims.format = 2;
    ck_assert_int_eq(rl_identity_issue(&good, users.ca, users.key, &out, NULL), RL_E_INVAL);
    ck_assert_ptr_null(out);
}
END_TEST

START_TEST(certifies_addresses_of_a_service)
{
    Pb__IdentityClaims claims = PB__IDENTITY_CLAIMS__INIT;
    char cluster[] = "main";
    claims.format = 1;
    claims.cluster = cluster;
    static const char *const addresses[] = {"example.com", "192.0.2.7", "2001:db8::7",
                                            "kube.main.remoteler.internal"};
    struct rl_identity_request request = {.kind = RL_IDENTITY_SERVICE,
                                          .cluster = "main",
                                          .name = UUID_A,
                                          .service = "proxy",
                                          .subject = key,
                                          .claims = &claims,
                                          .now_s = NOW_S,
                                          .ttl_s = 60,
                                          .addresses = addresses,
                                          .address_count = RL_COUNT(addresses)};
    X509 *leaf = NULL;
    ck_assert_int_eq(rl_identity_issue(&request, services.ca, services.key, &leaf, NULL), RL_OK);
    ck_assert_int_eq(X509_check_host(leaf, "example.com", 0, 0, NULL), 1);
    ck_assert_int_eq(X509_check_host(leaf, "kube.main.remoteler.internal", 0, 0, NULL), 1);
    ck_assert_int_eq(X509_check_ip_asc(leaf, "192.0.2.7", 0), 1);
    ck_assert_int_eq(X509_check_ip_asc(leaf, "2001:db8::7", 0), 1);
    struct rl_identity *identity = expect_good(leaf, true);
    rl_identity_unref(&identity);
    X509_free(leaf);
    request.addresses = (const char *const[]){"*.example.com"};
    request.address_count = 1;
    ck_assert_int_eq(rl_identity_issue(&request, services.ca, services.key, &leaf, NULL),
                     RL_E_INVAL);
}
END_TEST

START_TEST(every_serial_is_new)
{
    X509 *a = alice(), *b = alice();
    ck_assert_int_ne(ASN1_INTEGER_cmp(X509_get_serialNumber(a), X509_get_serialNumber(b)), 0);
    X509_free(a);
    X509_free(b);
}
END_TEST

START_TEST(other_validators_accept_the_chain_too)
{
    /* gRPC core's own TLS builds chains by OpenSSL's rules */
    X509 *leaf = authority_issue(&services, UUID_B, "auth", key);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_add_cert(store, services.ca);
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    X509_STORE_CTX_init(context, store, leaf, NULL);
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(context);
    X509_VERIFY_PARAM_set_time(param, NOW_S);
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT | X509_V_FLAG_USE_CHECK_TIME);
    ck_assert_int_eq(X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_SERVER), 1);
    ck_assert_msg(X509_verify_cert(context) == 1, "%s",
                  X509_verify_cert_error_string(X509_STORE_CTX_get_error(context)));
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    X509_free(leaf);
}
END_TEST

START_TEST(never_issues_beyond_the_authoritys_end)
{
    X509 *leaf = authority_issue_at(&users, "alice", NULL, key, NOW_S, 7300ull * 86400);
    struct rl_identity *identity = expect_good(leaf, false);
    ck_assert_int_eq(identity->not_after_s, NOW_S + CA_LEFT_S);
    rl_identity_unref(&identity);
    X509_free(leaf);
}
END_TEST

static void add_authorities_and_issuing(TCase *t)
{
    tcase_add_test(t, does_not_take_as_authority_what_is_none);
    tcase_add_test(t, writes_the_authorities_of_one_kind_of_its_own_cluster);
    tcase_add_test(t, does_not_take_an_authority_of_another_cluster);
    tcase_add_test(t, does_not_take_an_authority_for_two_kinds);
    tcase_add_test(t, does_not_take_an_authority_with_a_weak_key);
    tcase_add_test(t, shares_with_the_list_before_what_was_there_in_whatever_order);
    tcase_add_test(t, what_the_list_before_knew_as_another_is_checked_like_a_new_one);
    tcase_add_test(t, never_issues_beyond_the_authoritys_end);
    tcase_add_test(t, refuses_to_issue_what_it_would_not_accept);
    tcase_add_test(t, certifies_addresses_of_a_service);
    tcase_add_test(t, every_serial_is_new);
    tcase_add_test(t, other_validators_accept_the_chain_too);
}

int main(void)
{
    TCase *t = tcase_create("authorities");
    tcase_add_checked_fixture(t, set_up, tear_down);
    add_authorities_and_issuing(t);
    Suite *s = suite_create("authorities");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
