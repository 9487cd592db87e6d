#include "bootstrap.h"
#include "bundle/bundle.h"
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct rl_auth *open_another(void)
{
    struct rl_auth *other = NULL;
    ok(rl_auth_open(fixture_settings(), &other, &err));
    return other;
}

static char *path_of(const char *name)
{
    return rl_sprintf("%s/%s", fixture_directory, name);
}

START_TEST(a_second_time_changes_nothing)
{
    struct rl_bootstrap_result result;
    long revision = fixture_count("SELECT number FROM revision");
    struct rl_auth *other = open_another();
    ok(rl_bootstrap(other, &result, &err));
    ck_assert(!result.created);
    ck_assert(!result.key_created);
    ck_assert_int_eq(fixture_count("SELECT number FROM revision"), revision);
    ck_assert_int_eq(fixture_count("SELECT count(*) FROM authorities"), 6);
    ck_assert_int_eq(fixture_count("SELECT count(*) FROM roles"), 3);
    rl_auth_close(&other);
}
END_TEST

START_TEST(writes_an_identity_and_tokens_once)
{
    struct rl_bootstrap_result result;
    struct rl_auth_settings *s = fixture_settings();
    s->identity_out = path_of("admin.pem");
    s->service_tokens_out = path_of("tokens");
    struct rl_auth *other = open_another();
    ok(rl_bootstrap(other, &result, &err));
    ck_assert(result.identity_written);
    ck_assert_uint_eq(result.tokens_written, 3);
    struct rl_tls_identity *identity = NULL;
    Pb__TrustBundle *trust = NULL;
    ok(rl_bundle_read(s->identity_out, &identity, &trust, &err));
    ck_assert_str_eq(trust->cluster, CLUSTER);
    ck_assert_uint_eq(trust->n_service_cas, 1);
    rl_tls_identity_unref(&identity);
    pb__trust_bundle__free_unpacked(trust, NULL);
    char *pin = path_of("tokens/ca.pin");
    char *token = path_of("tokens/broker.token");
    ck_assert_int_eq(access(pin, R_OK), 0);
    free(pin);
    struct stat st;
    ck_assert_int_eq(stat(token, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0600);
    ok(rl_bootstrap(other, &result, &err));
    ck_assert(!result.identity_written);
    ck_assert_uint_eq(result.tokens_written, 0);
    rl_auth_close(&other);
    free(token);
    free(s->identity_out);
    free(s->service_tokens_out);
}
END_TEST

START_TEST(refuses_the_database_of_another_cluster)
{
    struct rl_bootstrap_result result;
    char other_name[] = "other.example";
    fixture_settings()->cluster = other_name;
    struct rl_auth *other = open_another();
    refused(rl_bootstrap(other, &result, &err), RL_E_PRECONDITION);
    ck_assert_ptr_nonnull(strstr(err.message, CLUSTER));
    rl_auth_close(&other);
}
END_TEST

START_TEST(refuses_a_name_that_no_cluster_can_have)
{
    static const char *const bad[] = {"", "UPPER", "a..b", "x.remoteler.internal", "-a"};
    struct rl_bootstrap_result result;
    for (size_t i = 0; i < RL_COUNT(bad); i++) {
        fixture_settings()->cluster = rl_strdup(bad[i]);
        struct rl_auth *other = open_another();
        refused(rl_bootstrap(other, &result, &err), RL_E_INVAL);
        rl_auth_close(&other);
        free(fixture_settings()->cluster);
    }
}
END_TEST

START_TEST(a_lost_key_file_is_said_and_not_replaced)
{
    struct rl_bootstrap_result result;
    ck_assert_int_eq(unlink(fixture_settings()->key_file), 0);
    struct rl_auth *other = open_another();
    refused(rl_bootstrap(other, &result, &err), RL_E_PRECONDITION);
    ck_assert_ptr_nonnull(strstr(err.message, "restore it"));
    ck_assert_int_ne(access(fixture_settings()->key_file, F_OK), 0);
    rl_auth_close(&other);
}
END_TEST

START_TEST(another_key_file_opens_nothing)
{
    fixture_settings()->key_file = path_of("other-key");
    ok(rl_wrap_key_create_file(fixture_settings()->key_file, &err));
    struct rl_auth *other = open_another();
    refused(rl_auth_start(other, &err), RL_E_DENIED);
    ck_assert_ptr_nonnull(strstr(err.message, "key file is another one"));
    rl_auth_close(&other);
    free(fixture_settings()->key_file);
}
END_TEST

START_TEST(a_schema_that_is_two_steps_ahead_is_left_alone)
{
    struct rl_bootstrap_result result;
    static const char later[] = "INSERT INTO schema_version (version, name) SELECT max(version) + "
                                "1, 'later' FROM schema_version";
    fixture_sql(later);
    struct rl_auth *other = open_another();
    ok(rl_auth_start(other, &err)); /* one step: the release after this one has upgraded already */
    rl_auth_close(&other);
    fixture_sql(later);
    other = open_another();
    refused(rl_bootstrap(other, &result, &err), RL_E_PRECONDITION);
    refused(rl_auth_start(other, &err), RL_E_PRECONDITION);
    rl_auth_close(&other);
}
END_TEST

START_TEST(a_cluster_that_was_not_made_is_said)
{
    fixture_settings()->database = rl_strdup(fixture_new_database());
    struct rl_auth *other = open_another();
    refused(rl_auth_start(other, &err), RL_E_PRECONDITION);
    rl_auth_close(&other);
    free(fixture_settings()->database);
}
END_TEST

START_TEST(private_keys_do_not_lie_open_in_the_database)
{
    ck_assert_int_eq(fixture_count("SELECT count(*) FROM authorities"
                                   " WHERE position('PRIVATE'::bytea IN private_key) > 0"),
                     0);
    /* A key moved to another row opens nothing there. */
    fixture_sql("UPDATE authorities a SET private_key = b.private_key FROM authorities b"
                " WHERE a.kind = 'user' AND a.format = 'ssh' AND b.kind = 'host' AND b.format ="
                " 'ssh'");
    struct rl_auth *other = open_another();
    refused(rl_auth_start(other, &err), RL_E_DENIED);
    rl_auth_close(&other);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("bootstrap");
    tcase_add_checked_fixture(t, fixture_set_up, fixture_tear_down);
    tcase_add_test(t, a_second_time_changes_nothing);
    tcase_add_test(t, writes_an_identity_and_tokens_once);
    tcase_add_test(t, refuses_the_database_of_another_cluster);
    tcase_add_test(t, refuses_a_name_that_no_cluster_can_have);
    tcase_add_test(t, a_lost_key_file_is_said_and_not_replaced);
    tcase_add_test(t, another_key_file_opens_nothing);
    tcase_add_test(t, a_schema_that_is_two_steps_ahead_is_left_alone);
    tcase_add_test(t, a_cluster_that_was_not_made_is_said);
    tcase_add_test(t, private_keys_do_not_lie_open_in_the_database);
    return fixture_main("bootstrap", t);
}
