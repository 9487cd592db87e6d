#include "certificates.h"

#include "home.h"
#include "identity/identity.h"

static struct rl_error err;

/* An answer to a login as auth gives it. */
struct answer {
    Pb__LoginResponse login;
    Pb__TrustBundle trust;
    char cluster[64], user[64], bundle_cluster[64];
    struct rl_buf ssh;
};

static void make(struct answer *a, const char *cluster, const char *user)
{
    EVP_PKEY *key = NULL;
    memset(a, 0, sizeof *a);
    pb__login_response__init(&a->login);
    pb__trust_bundle__init(&a->trust);
    snprintf(a->cluster, sizeof a->cluster, "%s", cluster);
    snprintf(a->bundle_cluster, sizeof a->bundle_cluster, "%s", cluster);
    snprintf(a->user, sizeof a->user, "%s", user);
    rl_buf_init(&a->ssh, 4096);
    ck_assert_int_eq(rl_sshkey_generate(&key, NULL), RL_OK);
    ck_assert_int_eq(rl_sshkey_public_blob(key, &a->ssh, NULL),
                     RL_OK); /* stands for a certificate */
    EVP_PKEY_free(key);
    a->trust.cluster = a->bundle_cluster;
    a->login.cluster = a->cluster;
    a->login.user = a->user;
    a->login.trust = &a->trust;
    a->login.ssh_certificate = (ProtobufCBinaryData){a->ssh.n, a->ssh.p};
    a->login.valid_until_ns = INT64_C(4102444800000000000);
}

static rl_code save(struct answer *a)
{
    struct tsh_profile profile;
    struct tsh_keys keys;
    ck_assert_int_eq(tsh_keys_make(&keys, &err), RL_OK);
    ck_assert_int_eq(tsh_profile_create(PROXY, &profile, &err), RL_OK);
    rl_code rc = tsh_keys_save(&keys, &a->login, PROXY, &profile, &err);
    tsh_keys_fini(&keys);
    tsh_profile_fini(&profile);
    rl_buf_fini(&a->ssh);
    return rc;
}

START_TEST(a_login_is_kept_whole)
{
    struct answer a;
    struct tsh_profile profile;
    static char bad_role[] = "r\xff";
    char *roles[] = {bad_role};
    make(&a, CLUSTER, "alice");
    a.login.n_roles = 1;
    a.login.roles = roles;
    ck_assert_int_eq(save(&a), RL_OK);
    ck_assert_int_eq(tsh_profile_open(NULL, &profile, &err), RL_OK);
    ck_assert_str_eq(tsh_profile_text(&profile, "user"), "alice");
    static const char *const files[] = {"tls.key", "tls.pem",     "id",
                                        "id.pub",  "id-cert.pub", "trust"};
    for (size_t i = 0; i < RL_COUNT(files); i++) {
        char *path = tsh_profile_path(&profile, files[i]);
        struct stat st;
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0600);
        free(path);
    }
    tsh_profile_fini(&profile);
}
END_TEST

START_TEST(an_answer_that_would_write_into_openssh_is_refused)
{
    static const struct {
        const char *cluster, *user;
    } cases[] = {
        {"x\n    ProxyCommand id", "alice"}, {"*", "alice"},    {"a b", "alice"}, {"", "alice"},
        {"remoteler.internal", "alice"},     {CLUSTER, "a\nb"}, {CLUSTER, ""},    {CLUSTER, "a b"},
    };
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        struct answer a;
        struct tsh_profile profile;
        make(&a, cases[i].cluster, cases[i].user);
        ck_assert_msg(save(&a) == RL_E_INVAL, "number %zu", i);
        ck_assert_int_eq(tsh_profile_open(PROXY, &profile, &err), RL_E_UNAUTHENTICATED);
    }
}
END_TEST

START_TEST(an_answer_without_trust_for_its_cluster_is_refused)
{
    struct answer a;
    make(&a, CLUSTER, "alice");
    a.login.trust = NULL;
    ck_assert_int_eq(save(&a), RL_E_INTERNAL);
    make(&a, CLUSTER, "alice");
    snprintf(a.bundle_cluster, sizeof a.bundle_cluster, "other.example.org");
    ck_assert_int_eq(save(&a), RL_E_INTERNAL);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("certificates");
    tcase_add_checked_fixture(t, home_make, home_remove);
    tcase_add_test(t, a_login_is_kept_whole);
    tcase_add_test(t, an_answer_that_would_write_into_openssh_is_refused);
    tcase_add_test(t, an_answer_without_trust_for_its_cluster_is_refused);
    return run_suite(t, "certificates");
}
