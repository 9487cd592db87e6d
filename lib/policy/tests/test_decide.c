#include "asked.h"

START_TEST(decides_by_the_claimed_roles_that_there_are)
{
    expect(RL_OK, NULL);
    request.login = "deploy";
    expect(RL_OK, NULL);
    request.login = "root";
    expect(RL_E_DENIED, "role(s) access do not allow login \"root\" on node-a");
    request.login = "alice";
    set_label("prod");
    expect(RL_E_DENIED, "do not allow");
    set_label("dev");
    rl_policy_remove(policy, "role/access");
    expect(RL_E_DENIED, "alice has no role here");
}
END_TEST

START_TEST(gives_claims_of_another_cluster_nothing)
{
    replace(&claims->cluster, "other.com");
    expect(RL_E_DENIED,
           "the authority of cluster " CLUSTER " signed for a user of cluster other.com");
    request.authority = rl_span_of("a key that nobody knows");
    expect(RL_E_DENIED, "not, or no longer, trusted here");
    replace(&claims->cluster, CLUSTER);
    expect(RL_E_DENIED, "not, or no longer, trusted here");
}
END_TEST

START_TEST(takes_a_certificate_for_what_it_is_for_only)
{
    replace(&claims->usage, "kube");
    expect(RL_E_DENIED, "another use");
    replace(&claims->usage, "");
    replace(&claims->target, "node/0190a1b2-0000-7000-8000-000000000009");
    expect(RL_E_DENIED, "another target");
    replace(&claims->target, "node/" AGENT);
    expect(RL_OK, NULL);
    replace(&claims->user, "");
    expect(RL_E_DENIED, "not a user's");
}
END_TEST

START_TEST(looks_at_locks)
{
    static const struct {
        const char *kind, *target, *cluster;
        rl_code want;
    } rows[] = {
        {"user", "alice", "", RL_E_DENIED},    {"user", "alice", CLUSTER, RL_E_DENIED},
        {"user", "alice", "other.com", RL_OK}, {"user", "bob", "", RL_OK},
        {"role", "access", "", RL_E_DENIED},   {"role", "admin", "", RL_OK},
        {"node", "node-a", "", RL_E_DENIED},   {"node", AGENT, "", RL_E_DENIED},
        {"node", "node-b", "", RL_OK},         {"login", "alice", "", RL_E_DENIED},
        {"login", "root", "", RL_OK},
    };
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        set_lock(rows[i].kind, rows[i].target, rows[i].cluster);
        expect(rows[i].want, rows[i].want == RL_OK ? NULL : "locked");
    }
}
END_TEST

START_TEST(stops_a_running_session_by_locks_and_not_by_age)
{
    struct rl_error err;
    request.now_ns = NOW + 400 * 86400 * SECOND;
    request.statement_policy_version = 9;
    free_update(seal(policy, NULL, 5, &signer));
    ck_assert_int_eq(rl_policy_check_stops(policy, &request, &err), RL_OK);
    set_lock("user", "alice", "");
    free_update(seal(policy, NULL, 6, &signer));
    ck_assert_int_eq(rl_policy_check_stops(policy, &request, &err), RL_E_DENIED);
    ck_assert_msg(strstr(err.message, "locked") != NULL, "%s", err.message);
    set_lock("login", "root", "");
    free_update(seal(policy, NULL, 7, &signer));
    ck_assert_int_eq(rl_policy_check_stops(policy, &request, &err), RL_OK);
    ck_assert_int_eq(rl_policy_check_stops(NULL, &request, &err), RL_E_UNAVAILABLE);
}
END_TEST

START_TEST(looks_at_cuts)
{
    char user[] = "alice", cluster[] = CLUSTER;
    Pb__Cut cut = PB__CUT__INIT;
    cut.user = user;
    cut.cluster = cluster;
    cut.issued_before_ns = claims->issued_at_ns;
    set_message(policy, "cut/" CLUSTER "/alice", &cut.base);
    expect(RL_OK, NULL);
    cut.issued_before_ns++;
    set_message(policy, "cut/" CLUSTER "/alice", &cut.base);
    expect(RL_E_DENIED, "certificate issued before");
}
END_TEST

START_TEST(ends_when_the_policy_is_too_old)
{
    static const struct {
        uint64_t max_age_s;
        int64_t age_s, statement_age_s;
        rl_code want;
    } rows[] = {
        {0, 7 * 86400, -1, RL_OK},  {0, 7 * 86400 + 1, -1, RL_E_DENIED},
        {3600, 3600, -1, RL_OK},    {3600, 3601, -1, RL_E_DENIED},
        {3600, 99999, 3600, RL_OK}, {3600, 99999, 3601, RL_E_DENIED},
        {3600, 10, 99999, RL_OK},   {3600, -500, -1, RL_OK},
    };
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        set_settings(rows[i].max_age_s);
        request.now_ns = NOW + rows[i].age_s * SECOND;
        request.statement_age_s = rows[i].statement_age_s;
        expect(rows[i].want, rows[i].want == RL_OK ? NULL : "has not heard from auth");
    }
}
END_TEST

START_TEST(refuses_strict_roles_after_five_minutes_and_goes_on_for_others)
{
    static const struct {
        const char *mode;
        int64_t age_s, statement_age_s;
        rl_code want;
    } rows[] = {
        {"strict", 86400, 300, RL_OK},
        {"strict", 86400, 301, RL_E_DENIED},
        {"strict", 86400, -1, RL_E_DENIED},
        {"strict", 300, -1, RL_OK},
        {"best_effort", 86400, 301, RL_OK},
        {"best_effort", 86400, -1, RL_OK},
        {"", 86400, 301, RL_OK},
    };
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        set_role("access", rows[i].mode);
        request.now_ns = NOW + rows[i].age_s * SECOND;
        request.statement_age_s = rows[i].statement_age_s;
        expect(rows[i].want, rows[i].want == RL_OK ? NULL : "strict");
    }
}
END_TEST

START_TEST(does_not_decide_when_auth_is_further)
{
    request.statement_policy_version = 6;
    expect(RL_E_UNAVAILABLE, "version 5 of the policy and auth is at 6");
    request.statement_policy_version = 0;
    expect(RL_OK, NULL);
}
END_TEST

START_TEST(does_not_decide_without_a_policy_from_auth)
{
    struct rl_authz_grant grant;
    ck_assert_int_eq(rl_policy_decide_ssh(NULL, &request, &grant, NULL), RL_E_UNAVAILABLE);
    ck_assert_int_eq(rl_policy_decide_ssh(policy, &request, &grant, NULL), RL_E_UNAVAILABLE);
}
END_TEST

START_TEST(denies_all_when_an_entry_cannot_be_read)
{
    set_text(policy, "lock/x", "\xff\xff");
    expect(RL_E_DENIED, "lock/x");
}
END_TEST

START_TEST(ignores_entries_of_kinds_to_come)
{
    set_text(policy, "app/x", "\xff\xff");
    set_text(policy, "setting/agent-of-the-future", "\xff\xff");
    expect(RL_OK, NULL);
}
END_TEST

START_TEST(shows_what_is_in_it)
{
    set_authority("ca/host-ssh/k1", "k1", "a host's");
    Pb__CaKey *const *keys;
    Pb__Label *const *labels;
    size_t count;
    rl_policy_user_ssh_cas(policy, &keys, &count);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(keys[0]->id, "k1");
    rl_policy_labels(policy, &labels, &count);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(labels[0]->value, "dev");
    ck_assert_ptr_nonnull(rl_policy_role(policy, "access"));
    ck_assert_ptr_null(rl_policy_role(policy, "acces"));
    ck_assert_ptr_null(rl_policy_role(policy, ""));
    ck_assert_str_eq(rl_policy_settings(policy)->node_name, "node-a");
    ck_assert_ptr_null(rl_policy_settings(NULL));
    set_label("prod"); /* what was unpacked is not kept */
    rl_policy_labels(policy, &labels, &count);
    ck_assert_str_eq(labels[0]->value, "prod");
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("decide");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, decides_by_the_claimed_roles_that_there_are);
    tcase_add_test(t, gives_claims_of_another_cluster_nothing);
    tcase_add_test(t, takes_a_certificate_for_what_it_is_for_only);
    tcase_add_test(t, looks_at_locks);
    tcase_add_test(t, stops_a_running_session_by_locks_and_not_by_age);
    tcase_add_test(t, looks_at_cuts);
    tcase_add_test(t, ends_when_the_policy_is_too_old);
    tcase_add_test(t, refuses_strict_roles_after_five_minutes_and_goes_on_for_others);
    tcase_add_test(t, does_not_decide_when_auth_is_further);
    tcase_add_test(t, does_not_decide_without_a_policy_from_auth);
    tcase_add_test(t, denies_all_when_an_entry_cannot_be_read);
    tcase_add_test(t, ignores_entries_of_kinds_to_come);
    tcase_add_test(t, shows_what_is_in_it);
    Suite *s = suite_create("decide");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
