#include "bundle/bundle.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct rl_error err;
static char directory[64], path[128];
static EVP_PKEY *key, *ca_key;
static X509 *ca, *leaf;
static ProtobufCBinaryData chain[2];
static struct rl_buf der[2];
static Pb__TrustBundle trust = PB__TRUST_BUNDLE__INIT;
static char cluster[] = "dev.example";

static void make_leaf(void)
{
    Pb__IdentityClaims claims = PB__IDENTITY_CLAIMS__INIT;
    char user[] = "admin";
    claims.format = 1;
    claims.cluster = cluster;
    claims.user = user;
    struct rl_identity_request request = {.kind = RL_IDENTITY_USER,
                                          .cluster = cluster,
                                          .name = user,
                                          .subject = key,
                                          .claims = &claims,
                                          .now_s = 1700000000,
                                          .ttl_s = 3600};
    ck_assert_int_eq(rl_identity_issue(&request, ca, ca_key, &leaf, &err), RL_OK);
}

static void set_up(void)
{
    snprintf(directory, sizeof directory, "/tmp/rl_bundle_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/id.pem", directory);
    ck_assert_int_eq(
        rl_identity_create_ca(RL_IDENTITY_USER, cluster, 1700000000, 86400, &ca, &ca_key, &err),
        RL_OK);
    ck_assert_int_eq(rl_key_generate_p256(&key, &err), RL_OK);
    make_leaf();
    X509 *const both[] = {leaf, ca};
    for (size_t i = 0; i < 2; i++) {
        rl_buf_init(&der[i], 8192);
        ck_assert_int_eq(rl_x509_to_der(both[i], &der[i], &err), RL_OK);
        chain[i] = (ProtobufCBinaryData){der[i].n, der[i].p};
    }
    trust.cluster = cluster;
    trust.n_user_cas = 1;
    trust.user_cas = &chain[1];
}

static void tear_down(void)
{
    unlink(path);
    rmdir(directory);
    EVP_PKEY_free(key);
    EVP_PKEY_free(ca_key);
    X509_free(leaf);
    X509_free(ca);
    rl_buf_fini(&der[0]);
    rl_buf_fini(&der[1]);
}

static rl_code read_back(struct rl_tls_identity **identity, Pb__TrustBundle **bundle)
{
    *identity = NULL;
    *bundle = NULL;
    return rl_bundle_read(path, identity, bundle, &err);
}

START_TEST(reads_what_it_wrote)
{
    struct rl_tls_identity *identity;
    Pb__TrustBundle *bundle;
    ck_assert_int_eq(rl_bundle_write(path, key, chain, 2, &trust, &err), RL_OK);
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0600);
    ck_assert_msg(read_back(&identity, &bundle) == RL_OK, "%s", err.message);
    ck_assert_int_eq(X509_cmp(rl_tls_identity_certificate(identity), leaf), 0);
    ck_assert_int_eq(EVP_PKEY_eq(rl_tls_identity_key(identity), key), 1);
    ck_assert_str_eq(bundle->cluster, cluster);
    ck_assert_uint_eq(bundle->n_user_cas, 1);
    rl_tls_identity_unref(&identity);
    pb__trust_bundle__free_unpacked(bundle, NULL);
}
END_TEST

START_TEST(replaces_an_older_file)
{
    struct rl_tls_identity *identity;
    Pb__TrustBundle *bundle;
    FILE *f = fopen(path, "w");
    fputs("something else", f);
    fclose(f);
    ck_assert_int_eq(rl_bundle_write(path, key, chain, 2, &trust, &err), RL_OK);
    ck_assert_int_eq(read_back(&identity, &bundle), RL_OK);
    rl_tls_identity_unref(&identity);
    pb__trust_bundle__free_unpacked(bundle, NULL);
}
END_TEST

START_TEST(refuses_a_file_that_others_can_read)
{
    struct rl_tls_identity *identity;
    Pb__TrustBundle *bundle;
    ck_assert_int_eq(rl_bundle_write(path, key, chain, 2, &trust, &err), RL_OK);
    ck_assert_int_eq(chmod(path, 0640), 0);
    ck_assert_int_eq(read_back(&identity, &bundle), RL_E_DENIED);
}
END_TEST

START_TEST(refuses_what_is_not_whole)
{
    struct rl_tls_identity *identity;
    Pb__TrustBundle *bundle;
    ck_assert_int_eq(read_back(&identity, &bundle), RL_E_NOT_FOUND);
    ck_assert_int_eq(rl_bundle_write(path, key, chain, 0, &trust, &err), RL_OK);
    ck_assert_int_eq(read_back(&identity, &bundle), RL_E_INVAL);
    ck_assert_int_eq(rl_bundle_write(path, ca_key, chain, 2, &trust, &err), RL_OK);
    ck_assert_int_ne(read_back(&identity, &bundle), RL_OK); /* another's key */
    ck_assert_int_eq(rl_bundle_write(path, key, chain, 2, &trust, &err), RL_OK);
    ck_assert_int_eq(truncate(path, 300), 0);
    ck_assert_int_eq(read_back(&identity, &bundle), RL_E_INVAL);
    ck_assert_ptr_null(identity);
    ck_assert_ptr_null(bundle);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("bundle");
    TCase *t = tcase_create("bundle");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, reads_what_it_wrote);
    tcase_add_test(t, replaces_an_older_file);
    tcase_add_test(t, refuses_a_file_that_others_can_read);
    tcase_add_test(t, refuses_what_is_not_whole);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
