#include "identity/identity.h"

#include "identity/tests/world.h"

#include <openssl/ec.h>

/* ---- bad certificates: a good one, changed, and signed again by its authority ---- */

static X509 *alice_with(int nid, const char *value)
{
    X509 *leaf = alice();
    drop_extension(leaf, nid);
    if (value)
        add_extension(leaf, nid, value);
    return sign_again(leaf, users.key);
}

static int claims_position(X509 *leaf)
{
    ASN1_OBJECT *oid = OBJ_txt2obj(RL_IDENTITY_OID, 1);
    int at = X509_get_ext_by_OBJ(leaf, oid, -1);
    ASN1_OBJECT_free(oid);
    return at;
}

/* `raw` is put in place of the extension's whole value. */
static X509 *alice_with_claims(struct rl_span raw)
{
    X509 *leaf = alice();
    X509_EXTENSION *extension = X509_get_ext(leaf, claims_position(leaf));
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    ASN1_OCTET_STRING_set(value, raw.p, (int)raw.n);
    X509_EXTENSION_set_data(extension, value);
    ASN1_OCTET_STRING_free(value);
    return sign_again(leaf, users.key);
}

static X509 *alice_with_packed_claims(struct rl_span packed)
{
    ASN1_OCTET_STRING *inner = ASN1_OCTET_STRING_new();
    ASN1_OCTET_STRING_set(inner, packed.p, (int)packed.n);
    uint8_t *der = NULL;
    int der_n = i2d_ASN1_OCTET_STRING(inner, &der);
    X509 *leaf = alice_with_claims(RL_SPAN(der, (size_t)der_n));
    OPENSSL_free(der);
    ASN1_OCTET_STRING_free(inner);
    return leaf;
}

/* Claims of this user and cluster with some bytes after them, wrapped as they should be. */
static X509 *alice_claiming(const char *cluster, const char *user, struct rl_span extra)
{
    Pb__IdentityClaims claims = PB__IDENTITY_CLAIMS__INIT;
    claims.format = 1;
    claims.cluster = (char *)(uintptr_t)cluster;
    claims.user = (char *)(uintptr_t)user;
    uint8_t packed[512];
    size_t n = pb__identity_claims__pack(&claims, packed);
    memcpy(packed + n, extra.p, extra.n);
    return alice_with_packed_claims(RL_SPAN(packed, n + extra.n));
}

static X509 *alice_with_more_claims(struct rl_span extra)
{
    return alice_claiming("main", "alice", extra);
}

/* ---- what is accepted ---- */

START_TEST(knows_a_user)
{
    X509 *leaf = alice();
    struct rl_identity *identity = expect_good(leaf, false);
    ck_assert_int_eq(identity->kind, RL_IDENTITY_USER);
    ck_assert_str_eq(identity->cluster, "main");
    ck_assert_str_eq(identity->name, "alice");
    ck_assert_ptr_null(identity->service);
    ck_assert_str_eq(identity->claims->user, "alice");
    ck_assert_int_eq(identity->not_before_s, NOW_S - RL_IDENTITY_BACKDATE_S);
    ck_assert_int_eq(identity->not_after_s, NOW_S + 3600);
    uint8_t digest[32];
    X509_digest(leaf, EVP_sha256(), digest, NULL);
    ck_assert_mem_eq(identity->fingerprint, digest, sizeof digest);
    char *text = rl_identity_describe(identity);
    ck_assert_str_eq(text, "user alice");
    free(text);
    rl_identity_unref(&identity);
    X509_free(leaf);
}
END_TEST

START_TEST(knows_an_agent_and_a_service_in_either_role)
{
    X509 *agent = authority_issue(&hosts, UUID_A, NULL, key);
    X509 *proxy = authority_issue(&services, UUID_B, "proxy", key);
    for (int as_server = 0; as_server < 2; as_server++) {
        struct rl_identity *identity = expect_good(agent, as_server);
        ck_assert_int_eq(identity->kind, RL_IDENTITY_AGENT);
        ck_assert(!rl_identity_is_service(identity, "proxy"));
        rl_identity_unref(&identity);
        identity = expect_good(proxy, as_server);
        ck_assert(rl_identity_is_service(identity, "proxy"));
        ck_assert(!rl_identity_is_service(identity, "auth"));
        ck_assert_str_eq(identity->name, UUID_B);
        char *text = rl_identity_describe(identity);
        ck_assert_str_eq(text, "service proxy (" UUID_B ")");
        free(text);
        rl_identity_unref(&identity);
    }
    X509_free(agent);
    X509_free(proxy);
}
END_TEST

START_TEST(accepts_the_authority_after_the_leaf_in_the_chain)
{
    X509 *leaf = alice();
    struct rl_identity *identity = NULL;
    ck_assert_int_eq(check_chain((X509 *[]){leaf, users.ca}, 2, false, NOW_S, &identity, NULL),
                     RL_OK);
    rl_identity_unref(&identity);
    X509_free(leaf);
}
END_TEST

START_TEST(lives_as_long_as_its_references)
{
    X509 *leaf = alice();
    struct rl_identity *identity = expect_good(leaf, false);
    struct rl_identity *second = rl_identity_ref(identity);
    rl_identity_unref(&identity);
    ck_assert_ptr_null(identity);
    ck_assert_str_eq(second->name, "alice");
    rl_identity_unref(&second);
    rl_identity_unref(&second);
    char *text = rl_identity_describe(NULL);
    ck_assert_str_eq(text, "nobody");
    free(text);
    X509_free(leaf);
}
END_TEST

START_TEST(a_service_names_the_host_that_it_is_reached_by)
{
    X509 *leaf = authority_issue(&services, UUID_B, "auth", key);
    ck_assert_int_eq(X509_check_host(leaf, "auth.main.remoteler.internal", 0, 0, NULL), 1);
    X509_free(leaf);
}
END_TEST

/* ---- who signed ---- */

START_TEST(rejects_a_certificate_signed_by_a_certificate)
{
    /* CVE-2025-49825: mallory holds a good certificate and signs with its key */
    EVP_PKEY *mallory_key = fresh_key();
    X509 *mallory = authority_issue(&users, "mallory", NULL, mallory_key);
    X509 *leaf = alice();
    X509_set_issuer_name(leaf, X509_get_subject_name(mallory));
    leaf = sign_again(leaf, mallory_key);
    struct rl_identity *identity = NULL;
    struct rl_error err;
    X509 *chain[] = {leaf, mallory, users.ca};
    ck_assert_int_eq(check_chain(chain, 3, false, NOW_S, &identity, &err), RL_E_UNAUTHENTICATED);
    ck_assert_ptr_nonnull(strstr(err.message, "signed by a certificate"));
    ck_assert_int_eq(check_chain(chain, 1, false, NOW_S, &identity, &err), RL_E_UNAUTHENTICATED);
    X509_free(leaf);
    X509_free(mallory);
    EVP_PKEY_free(mallory_key);
}
END_TEST

START_TEST(rejects_an_intermediate_authority)
{
    EVP_PKEY *between_key = fresh_key();
    X509 *between = authority_issue(&users, "between", NULL, between_key);
    drop_extension(between, NID_basic_constraints);
    add_extension(between, NID_basic_constraints, "critical,CA:TRUE");
    drop_extension(between, NID_key_usage);
    add_extension(between, NID_key_usage, "critical,keyCertSign,digitalSignature");
    between = sign_again(between, users.key);
    X509 *leaf = alice();
    X509_set_issuer_name(leaf, X509_get_subject_name(between));
    leaf = sign_again(leaf, between_key);
    struct rl_identity *identity = NULL;
    struct rl_error err;
    X509 *chain[] = {leaf, between, users.ca};
    ck_assert_int_eq(check_chain(chain, 3, false, NOW_S, &identity, &err), RL_E_UNAUTHENTICATED);
    ck_assert_ptr_nonnull(strstr(err.message, "signed by a certificate"));
    X509_free(leaf);
    X509_free(between);
    EVP_PKEY_free(between_key);
}
END_TEST

START_TEST(rejects_an_authority_that_is_not_known)
{
    struct authority other = authority_make(RL_IDENTITY_USER, "main");
    X509 *leaf = authority_issue(&other, "alice", NULL, key);
    struct rl_identity *identity = NULL;
    struct rl_error err;
    ck_assert_int_eq(check_chain((X509 *[]){leaf, other.ca}, 2, false, NOW_S, &identity, &err),
                     RL_E_UNAUTHENTICATED);
    ck_assert_ptr_nonnull(strstr(err.message, "not trusted here"));
    X509_free(leaf);
    authority_free(&other);
}
END_TEST

START_TEST(rejects_each_kind_from_the_authority_of_another)
{
    struct authority kinds[] = {users, hosts, services};
    static const char *const uris[] = {
        "URI:spiffe://main/user/alice",
        ("URI:spiffe://main/agent/" UUID_A),
        ("URI:spiffe://main/service/auth/" UUID_A),
    };
    static const char *const names[] = {"alice", UUID_A, UUID_A};
    for (size_t by = 0; by < 3; by++)
        for (size_t as = 0; as < 3; as++) {
            if (by == as)
                continue;
            X509 *leaf = authority_issue(&kinds[by], names[by], "auth", key);
            drop_extension(leaf, NID_subject_alt_name);
            add_extension(leaf, NID_subject_alt_name, uris[as]);
            expect_refused(sign_again(leaf, kinds[by].key), "authority");
        }
}
END_TEST

START_TEST(rejects_a_user_of_another_cluster_by_this_clusters_authority)
{
    /* 17.2.7: the certificate's cluster was not matched to its issuer */
    X509 *leaf = alice();
    drop_extension(leaf, NID_subject_alt_name);
    add_extension(leaf, NID_subject_alt_name, "URI:spiffe://leaf.example/user/alice");
    expect_refused(sign_again(leaf, users.key), "signed a name of cluster leaf.example");
}
END_TEST

START_TEST(accepts_a_foreign_authority_for_its_own_cluster_only)
{
    ck_assert_int_eq(
        authority_trust(trust, RL_IDENTITY_USER, "leaf.example", foreign_users.ca, NULL), RL_OK);
    X509 *bob = authority_issue(&foreign_users, "bob", NULL, key);
    struct rl_identity *identity = expect_good(bob, false);
    ck_assert_str_eq(identity->cluster, "leaf.example");
    rl_identity_unref(&identity);
    drop_extension(bob, NID_subject_alt_name);
    add_extension(bob, NID_subject_alt_name, "URI:spiffe://main/user/bob");
    expect_refused(sign_again(bob, foreign_users.key), "signed a name of cluster main");
}
END_TEST

/* ---- what the leaf may be ---- */

START_TEST(rejects_an_authority_as_a_holder)
{
    expect_refused(alice_with(NID_basic_constraints, "critical,CA:TRUE"), "authority's");
    X509 *ca = X509_dup(users.ca);
    expect_refused(ca, "");
}
END_TEST

START_TEST(rejects_other_purposes_than_those_of_its_kind)
{
    expect_refused(alice_with(NID_ext_key_usage, "serverAuth,clientAuth"), "purposes");
    expect_refused(alice_with(NID_ext_key_usage, "serverAuth"), "purposes");
    expect_refused(alice_with(NID_ext_key_usage, "clientAuth,1.3.6.1.4.1.311.20.2.2"), "purposes");
    expect_refused(alice_with(NID_ext_key_usage, "anyExtendedKeyUsage"), "purposes");
    expect_refused(alice_with(NID_ext_key_usage, NULL), "purposes");
    X509 *agent = authority_issue(&hosts, UUID_A, NULL, key);
    drop_extension(agent, NID_ext_key_usage);
    add_extension(agent, NID_ext_key_usage, "clientAuth");
    expect_refused(sign_again(agent, hosts.key), "purposes");
}
END_TEST

START_TEST(rejects_a_key_that_may_sign_certificates)
{
    expect_refused(alice_with(NID_key_usage, "critical,digitalSignature,keyCertSign"),
                   "not for signing");
    expect_refused(alice_with(NID_key_usage, NULL), "not for signing");
}
END_TEST

START_TEST(rejects_a_user_that_acts_as_a_server)
{
    X509 *leaf = alice();
    expect_refused_at(leaf, true, NOW_S, "can not be a server's");
    X509_free(leaf);
}
END_TEST

START_TEST(rejects_names_that_are_not_exactly_one_uri)
{
    static const char *const bad[] = {
        "URI:spiffe://main/user/alice,URI:spiffe://main/user/bob",
        "URI:spiffe://main/user/alice,email:alice@example.com",
        "URI:spiffe://main/user/alice,DNS:proxy.example.com",
        "DNS:alice",
        "URI:https://main/user/alice",
        "URI:spiffe://main",
        "URI:spiffe://main/user/",
        "URI:spiffe://main/user/alice/",
        "URI:spiffe://main/user/alice/x",
        "URI:spiffe://main/root/alice",
        "URI:spiffe://main//user/alice",
        "URI:spiffe:///user/alice",
        "URI:spiffe://main/user/al ice",
        "URI:spiffe://main:80/user/alice",
        "URI:spiffe://main/user/alice?admin",
        "URI:spiffe://main/agent/alice",
        ("URI:spiffe://main/service/root/" UUID_A),
    };
    for (size_t i = 0; i < RL_COUNT(bad); i++)
        expect_refused(alice_with(NID_subject_alt_name, bad[i]), "");
    expect_refused(alice_with(NID_subject_alt_name, NULL), "no name");
}
END_TEST

START_TEST(rejects_a_name_with_a_nul_in_it)
{
    X509 *leaf = alice();
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    GENERAL_NAME *name = sk_GENERAL_NAME_value(names, 0);
    static const char text[] = "spiffe://main/user/alice\0.evil";
    ASN1_STRING_set(name->d.uniformResourceIdentifier, text, (int)sizeof text - 1);
    drop_extension(leaf, NID_subject_alt_name);
    X509_add1_ext_i2d(leaf, NID_subject_alt_name, names, 0, 0);
    GENERAL_NAMES_free(names);
    expect_refused(sign_again(leaf, users.key), "no name");
}
END_TEST

START_TEST(rejects_critical_extensions_that_it_does_not_know)
{
    X509 *leaf = alice();
    X509_EXTENSION_set_critical(X509_get_ext(leaf, claims_position(leaf)), 1);
    expect_refused(sign_again(leaf, users.key), "critical");
    leaf = alice();
    add_extension(leaf, NID_policy_constraints, "critical,requireExplicitPolicy:0");
    expect_refused(sign_again(leaf, users.key), "critical");
}
END_TEST

START_TEST(rejects_an_extension_that_is_there_twice)
{
    X509 *leaf = alice();
    X509_add_ext(leaf, X509_get_ext(leaf, claims_position(leaf)), -1);
    expect_refused(sign_again(leaf, users.key), "twice");
}
END_TEST

START_TEST(rejects_keys_that_are_not_p256)
{
    EVP_PKEY *others[] = {EVP_EC_gen("P-384"), EVP_RSA_gen(2048)};
    for (size_t i = 0; i < RL_COUNT(others); i++) {
        X509 *leaf = alice();
        X509_set_pubkey(leaf, others[i]);
        expect_refused(sign_again(leaf, users.key), "P-256");
        EVP_PKEY_free(others[i]);
    }
}
END_TEST

/* ---- time ---- */

START_TEST(rejects_before_and_after_its_time_and_accepts_on_the_bounds)
{
    X509 *leaf = alice();
    struct rl_identity *identity = NULL;
    int64_t from_s = NOW_S - RL_IDENTITY_BACKDATE_S, until_s = NOW_S + 3600;
    expect_refused_at(leaf, false, from_s - 1, "not valid yet");
    expect_refused_at(leaf, false, until_s + 180, "expired 3 min ago");
    expect_refused_at(leaf, false, INT64_MIN, "not valid yet");
    expect_refused_at(leaf, false, INT64_MAX, "expired");
    for (size_t i = 0; i < 2; i++) {
        int64_t at_s = i ? until_s : from_s;
        ck_assert_int_eq(check_chain(&leaf, 1, false, at_s, &identity, NULL), RL_OK);
        rl_identity_unref(&identity);
    }
    X509_free(leaf);
}
END_TEST

START_TEST(recognises_an_agent_of_its_own_for_a_while_after_its_end)
{
    const int64_t grace_s = 86400, until_s = NOW_S + 3600;
    struct authority foreign = authority_make(RL_IDENTITY_AGENT, "leaf.example");
    ck_assert_int_eq(authority_trust(trust, RL_IDENTITY_AGENT, "leaf.example", foreign.ca, NULL),
                     RL_OK);
    rl_trust_set_return_grace(trust, (uint64_t)grace_s);
    X509 *agent = authority_issue(&hosts, UUID_A, NULL, key);
    X509 *others[] = {authority_issue(&services, UUID_B, "proxy", key), alice(),
                      authority_issue(&foreign, UUID_B, NULL, key)};
    struct rl_identity *identity = NULL;
    ck_assert_int_eq(check_chain(&agent, 1, false, until_s, &identity, NULL), RL_OK);
    ck_assert(!identity->is_retired);
    ck_assert_int_eq(identity->not_after_s, until_s);
    rl_identity_unref(&identity);
    static const int64_t after_s[] = {1, 86400};
    for (size_t i = 0; i < RL_COUNT(after_s); i++) {
        ck_assert_int_eq(check_chain(&agent, 1, false, until_s + after_s[i], &identity, NULL),
                         RL_OK);
        ck_assert(identity->is_retired);
        ck_assert_int_eq(identity->not_after_s, until_s + grace_s);
        rl_identity_unref(&identity);
    }
    expect_refused_at(agent, false, until_s + grace_s + 1, "expired");
    expect_refused_at(agent, true, until_s + 1, "expired");
    for (size_t i = 0; i < RL_COUNT(others); i++) {
        expect_refused_at(others[i], false, until_s + 1, "expired");
        X509_free(others[i]);
    }
    X509_free(agent);
    authority_free(&foreign);
}
END_TEST

START_TEST(rejects_what_an_expired_authority_signed)
{
    X509 *leaf = alice();
    ASN1_TIME_set(X509_getm_notAfter(leaf), NOW_S + 7300ll * 86400);
    leaf = sign_again(leaf, users.key);
    expect_refused_at(leaf, false, NOW_S + CA_LEFT_S + 86400,
                      "the authority's certificate expired");
    X509_free(leaf);
}
END_TEST

/* ---- claims ---- */

START_TEST(rejects_missing_and_unreadable_claims)
{
    X509 *leaf = alice();
    X509_EXTENSION_free(X509_delete_ext(leaf, claims_position(leaf)));
    expect_refused(sign_again(leaf, users.key), "no claims");
    expect_refused(alice_with_claims(RL_SPAN("", 0)), "can not be read");
    expect_refused(alice_with_claims(RL_SPAN("\x04\x02\x08", 3)), "can not be read");
    expect_refused(alice_with_claims(RL_SPAN("\x04\x02\x0a\x7f", 4)), "can not be read");
    expect_refused(alice_with_claims(RL_SPAN("\x04\x02\x08\x02", 4)), "can not be read");
}
END_TEST

START_TEST(rejects_claims_that_are_too_long)
{
    uint8_t *big = rl_alloc(RL_IDENTITY_CLAIMS_BYTES_MAX + 1);
    expect_refused(alice_with_claims(RL_SPAN(big, RL_IDENTITY_CLAIMS_BYTES_MAX + 1)), "too long");
    expect_refused(alice_with_claims(RL_SPAN(big, RL_IDENTITY_CLAIMS_BYTES_MAX)),
                   "can not be read");
    free(big);
}
END_TEST

START_TEST(rejects_claims_that_differ_from_the_name)
{
    /* a second value for a field wins in protobuf: field 2 is the cluster, 3 the user */
    expect_refused(alice_with_more_claims(rl_span_of("\x12\x05other")), "");
    expect_refused(alice_with_more_claims(rl_span_of("\x1a\x03"
                                                     "bob")),
                   "");
    expect_refused(alice_claiming("leaf.example", "alice", rl_span_of("")), "another cluster");
    expect_refused(alice_claiming("main", "bob", rl_span_of("")), "another user");
    expect_refused(alice_claiming("main", "", rl_span_of("")), "another user");
}
END_TEST

START_TEST(keeps_fields_that_it_does_not_know)
{
    X509 *leaf = alice_with_more_claims(rl_span_of("\xa2\x06\x03new"));
    struct rl_identity *identity = expect_good(leaf, false);
    ck_assert_uint_eq(identity->claims->base.n_unknown_fields, 1);
    rl_identity_unref(&identity);
    X509_free(leaf);
}
END_TEST

START_TEST(rejects_a_text_with_a_nul_in_the_claims)
{
    /* a role "admin\0x" would read as "admin" */
    expect_refused(alice_with_more_claims(RL_SPAN("\x22\x07"
                                                  "admin\0x",
                                                  9)),
                   "can not be read");
}
END_TEST

/* ---- tampering ---- */

START_TEST(rejects_every_changed_byte)
{
    X509 *leaf = alice();
    uint8_t *der = NULL;
    int n = i2d_X509(leaf, &der);
    for (int i = 0; i < n; i++) {
        X509 *changed = NULL;
        struct rl_identity *identity = NULL;
        der[i] ^= 0x01;
        if (rl_x509_from_der(RL_SPAN(der, (size_t)n), &changed, NULL) == RL_OK)
            ck_assert_msg(check_chain(&changed, 1, false, NOW_S, &identity, NULL) != RL_OK,
                          "byte %d", i);
        X509_free(changed);
        der[i] ^= 0x01;
    }
    OPENSSL_free(der);
    X509_free(leaf);
}
END_TEST

START_TEST(rejects_no_chain_and_too_long_a_chain)
{
    X509 *leaf = alice();
    X509 *chain[] = {leaf, users.ca, users.ca, users.ca, users.ca};
    struct rl_identity *identity = NULL;
    ck_assert_int_eq(check_chain(NULL, 0, false, NOW_S, &identity, NULL), RL_E_UNAUTHENTICATED);
    ck_assert_int_eq(rl_identity_check(trust, NULL, false, NOW_S, &identity, NULL),
                     RL_E_UNAUTHENTICATED);
    ck_assert_int_eq(check_chain(chain, 5, false, NOW_S, &identity, NULL), RL_E_UNAUTHENTICATED);
    ck_assert_int_eq(check_chain(chain, 4, false, NOW_S, &identity, NULL), RL_OK);
    rl_identity_unref(&identity);
    X509_free(leaf);
}
END_TEST

static void add_checks(TCase *t)
{
    tcase_add_test(t, knows_a_user);
    tcase_add_test(t, knows_an_agent_and_a_service_in_either_role);
    tcase_add_test(t, accepts_the_authority_after_the_leaf_in_the_chain);
    tcase_add_test(t, lives_as_long_as_its_references);
    tcase_add_test(t, a_service_names_the_host_that_it_is_reached_by);
    tcase_add_test(t, rejects_a_certificate_signed_by_a_certificate);
    tcase_add_test(t, rejects_an_intermediate_authority);
    tcase_add_test(t, rejects_an_authority_that_is_not_known);
    tcase_add_test(t, rejects_each_kind_from_the_authority_of_another);
    tcase_add_test(t, rejects_a_user_of_another_cluster_by_this_clusters_authority);
    tcase_add_test(t, accepts_a_foreign_authority_for_its_own_cluster_only);
    tcase_add_test(t, rejects_an_authority_as_a_holder);
    tcase_add_test(t, rejects_other_purposes_than_those_of_its_kind);
    tcase_add_test(t, rejects_a_key_that_may_sign_certificates);
    tcase_add_test(t, rejects_a_user_that_acts_as_a_server);
    tcase_add_test(t, rejects_names_that_are_not_exactly_one_uri);
    tcase_add_test(t, rejects_a_name_with_a_nul_in_it);
    tcase_add_test(t, rejects_critical_extensions_that_it_does_not_know);
    tcase_add_test(t, rejects_an_extension_that_is_there_twice);
    tcase_add_test(t, rejects_keys_that_are_not_p256);
    tcase_add_test(t, rejects_before_and_after_its_time_and_accepts_on_the_bounds);
    tcase_add_test(t, recognises_an_agent_of_its_own_for_a_while_after_its_end);
    tcase_add_test(t, rejects_what_an_expired_authority_signed);
    tcase_add_test(t, rejects_missing_and_unreadable_claims);
    tcase_add_test(t, rejects_claims_that_are_too_long);
    tcase_add_test(t, rejects_claims_that_differ_from_the_name);
    tcase_add_test(t, keeps_fields_that_it_does_not_know);
    tcase_add_test(t, rejects_a_text_with_a_nul_in_the_claims);
    tcase_add_test(t, rejects_every_changed_byte);
    tcase_add_test(t, rejects_no_chain_and_too_long_a_chain);
}

int main(void)
{
    TCase *t = tcase_create("identity");
    tcase_add_checked_fixture(t, set_up, tear_down);
    add_checks(t);
    Suite *s = suite_create("identity");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
