#include "build_role.h"

#include <check.h>

static struct test_node node;

static void setup(void)
{
    make_node(&node, "node-a");
}

/* The grant of these roles, each of which allows root everywhere. */
static rl_code grant_of(Pb__Role *const *roles, size_t count, struct rl_authz_grant *grant,
                        struct rl_error *err)
{
    const Pb__Role *list[8];
    for (size_t i = 0; i < count; i++)
        list[i] = roles[i];
    struct rl_authz_subject subject = make_subject(list, count);
    return rl_authz_ssh(&subject, &node.target, "root", grant, err);
}

static Pb__Role *root_role(const char *name)
{
    return simple_role(name, "root", "*", "*");
}

#define SET(role, field, value)                                                                    \
    ((role)->spec->options->has_##field = true, (role)->spec->options->field = (value))

START_TEST(has_the_defaults_of_the_contract)
{
    Pb__Role *role = root_role("a");
    struct rl_authz_grant grant;
    for (int has_options = 1; has_options >= 0; has_options--) {
        ck_assert_int_eq(grant_of(&role, 1, &grant, NULL), RL_OK);
        ck_assert_uint_eq(grant.max_session_ttl_s, 0);
        ck_assert_uint_eq(grant.client_idle_timeout_s, 0);
        ck_assert_uint_eq(grant.max_sessions, 0);
        ck_assert(!grant.port_forwarding && !grant.forward_agent && grant.ssh_file_copy);
        ck_assert(!grant.disconnect_expired_cert && !grant.require_session_mfa);
        ck_assert(!grant.pin_source_ip && !grant.is_lock_strict);
        ck_assert_int_eq(grant.record_ssh, RL_RECORD_BEST_EFFORT);
        pb__role_options__free_unpacked(role->spec->options, NULL);
        role->spec->options = NULL;
    }
    free_role(role);
}
END_TEST

START_TEST(takes_the_smallest_bound)
{
    Pb__Role *roles[] = {root_role("a"), root_role("b"), root_role("c")};
    SET(roles[0], max_session_ttl_s, 7200);
    SET(roles[1], max_session_ttl_s, 3600);
    SET(roles[1], client_idle_timeout_s, 600);
    SET(roles[2], client_idle_timeout_s, 60);
    SET(roles[0], max_sessions, 3);
    SET(roles[2], max_sessions, 10);
    struct rl_authz_grant grant;
    ck_assert_int_eq(grant_of(roles, 3, &grant, NULL), RL_OK);
    ck_assert_uint_eq(grant.max_session_ttl_s, 3600);
    ck_assert_uint_eq(grant.client_idle_timeout_s, 60);
    ck_assert_uint_eq(grant.max_sessions, 3);
    for (size_t i = 0; i < 3; i++)
        free_role(roles[i]);
}
END_TEST

START_TEST(widens_by_or_and_narrows_by_and)
{
    Pb__Role *roles[] = {root_role("a"), root_role("b")};
    SET(roles[0], port_forwarding, true);
    SET(roles[0], forward_agent, true);
    SET(roles[0], ssh_file_copy, false);
    SET(roles[1], port_forwarding, false);
    SET(roles[1], ssh_file_copy, true);
    SET(roles[1], disconnect_expired_cert, true);
    roles[1]->spec->options->lock = rl_strdup("strict");
    struct rl_authz_grant grant;
    ck_assert_int_eq(grant_of(roles, 2, &grant, NULL), RL_OK);
    ck_assert(grant.port_forwarding && grant.forward_agent && !grant.ssh_file_copy);
    ck_assert(grant.disconnect_expired_cert && grant.is_lock_strict);
    ck_assert_int_eq(grant_of(roles + 1, 1, &grant, NULL), RL_OK);
    ck_assert(!grant.port_forwarding && !grant.forward_agent && grant.ssh_file_copy);
    free_role(roles[0]);
    free_role(roles[1]);
}
END_TEST

START_TEST(counts_only_roles_that_apply)
{
    Pb__Role *roles[] = {root_role("a"), simple_role("b", "root", "env", "prod"),
                         simple_role("c", "deploy", "*", "*")};
    for (size_t i = 1; i < 3; i++) {
        SET(roles[i], port_forwarding, true);
        SET(roles[i], ssh_file_copy, false);
        SET(roles[i], max_sessions, 1);
        SET(roles[i], require_session_mfa, true);
    }
    struct rl_authz_grant grant;
    ck_assert_int_eq(grant_of(roles, 3, &grant, NULL), RL_OK);
    ck_assert(!grant.port_forwarding && grant.ssh_file_copy);
    ck_assert_uint_eq(grant.max_sessions, 0);
    for (size_t i = 0; i < 3; i++)
        free_role(roles[i]);
}
END_TEST

START_TEST(records_by_the_strictest_word)
{
    static const struct {
        const char *a_default, *a_ssh, *b_default, *b_ssh; /* NULL: says nothing of it */
        rl_code want;
        int record;
    } rows[] = {
        {"off", "", "off", "", RL_OK, RL_RECORD_OFF},
        {"off", "", "best_effort", "", RL_OK, RL_RECORD_BEST_EFFORT},
        {"off", "", NULL, NULL, RL_OK, RL_RECORD_BEST_EFFORT},
        {"best_effort", "off", "strict", "off", RL_OK, RL_RECORD_OFF},
        {"", "off", "off", "", RL_OK, RL_RECORD_OFF},
        {"off", "best_effort", "off", "", RL_OK, RL_RECORD_BEST_EFFORT},
        {"off", "strict", NULL, NULL, RL_OK, RL_RECORD_STRICT},
        {"strict", "", "off", "", RL_OK, RL_RECORD_STRICT},
    };
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        Pb__Role *roles[] = {root_role("a"), root_role("b")};
        record(roles[0], rows[i].a_default, rows[i].a_ssh);
        if (rows[i].b_default)
            record(roles[1], rows[i].b_default, rows[i].b_ssh);
        struct rl_authz_grant grant;
        ck_assert_msg(grant_of(roles, 2, &grant, NULL) == rows[i].want, "%zu", i);
        if (rows[i].want == RL_OK)
            ck_assert_msg((int)grant.record_ssh == rows[i].record, "%zu", i);
        free_role(roles[0]);
        free_role(roles[1]);
    }
}
END_TEST

static void expect_refused(Pb__Role *role, const char *message)
{
    struct rl_error err;
    struct rl_authz_grant grant = {.max_sessions = 77};
    ck_assert_int_eq(grant_of(&role, 1, &grant, &err), RL_E_DENIED);
    ck_assert_str_eq(err.message, message);
    ck_assert_uint_eq(grant.max_sessions, 77); /* untouched */
    const Pb__Role *list[] = {role};
    struct rl_authz_subject subject = make_subject(list, 1);
    char **logins;
    size_t count;
    rl_authz_node_logins(&subject, &node.target, &logins, &count);
    ck_assert_uint_eq(count, 0);
    free_list(logins, count);
    free_role(role);
}

START_TEST(refuses_the_session_by_an_option_it_does_not_enforce_and_says_which)
{
    Pb__Role *role = root_role("m");
    SET(role, require_session_mfa, true);
    expect_refused(role,
                   "role m asks for require_session_mfa, which this version does not enforce; "
                   "the session is refused");
    role = root_role("p");
    SET(role, pin_source_ip, true);
    expect_refused(role, "role p asks for pin_source_ip, which this version does not enforce; the "
                         "session is refused");
}
END_TEST

START_TEST(allows_nothing_by_a_word_or_a_bound_it_does_not_know)
{
    struct rl_authz_grant grant;
    for (int which = 0; which < 6; which++) {
        Pb__Role *role = root_role("a");
        switch (which) {
        case 0:
            record(role, "sometimes", "");
            break;
        case 1:
            record(role, "", "Strict");
            break;
        case 2:
            role->spec->options->lock = rl_strdup("loose");
            break;
        case 3:
            SET(role, max_session_ttl_s, 0);
            break;
        case 4:
            SET(role, client_idle_timeout_s, 0);
            break;
        default:
            SET(role, max_sessions, 0);
        }
        ck_assert_msg(grant_of(&role, 1, &grant, NULL) == RL_E_DENIED, "%d", which);
        free_role(role);
    }
}
END_TEST

START_TEST(bounds_a_certificate_by_the_smallest_ttl_of_all_roles)
{
    Pb__Role *roles[] = {root_role("a"), simple_role("b", "x", "env", "nowhere")};
    const Pb__Role *list[] = {roles[0], roles[1]};
    struct rl_authz_subject subject = make_subject(list, 2);
    ck_assert_uint_eq(rl_authz_session_ttl_s(&subject, 43200), 43200);
    SET(roles[0], max_session_ttl_s, 86400);
    ck_assert_uint_eq(rl_authz_session_ttl_s(&subject, 43200), 86400);
    SET(roles[1], max_session_ttl_s, 600);
    ck_assert_uint_eq(rl_authz_session_ttl_s(&subject, 43200), 600);
    free_role(roles[0]);
    free_role(roles[1]);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("options");
    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, has_the_defaults_of_the_contract);
    tcase_add_test(t, takes_the_smallest_bound);
    tcase_add_test(t, widens_by_or_and_narrows_by_and);
    tcase_add_test(t, counts_only_roles_that_apply);
    tcase_add_test(t, records_by_the_strictest_word);
    tcase_add_test(t, refuses_the_session_by_an_option_it_does_not_enforce_and_says_which);
    tcase_add_test(t, allows_nothing_by_a_word_or_a_bound_it_does_not_know);
    tcase_add_test(t, bounds_a_certificate_by_the_smallest_ttl_of_all_roles);
    Suite *s = suite_create("options");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
