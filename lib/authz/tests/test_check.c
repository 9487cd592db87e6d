#include "build_role.h"
#include "bytes/buf.h"

#include <check.h>

static Pb__Role *role;

static void setup(void)
{
    role = new_role("developer");
}

static void teardown(void)
{
    free_role(role);
}

static void expect_refused(const char *part)
{
    struct rl_error err;
    ck_assert_msg(rl_authz_check_role(role, NULL, &err) == RL_E_INVAL, "took it, wanted: %s", part);
    ck_assert_msg(strstr(err.message, part) != NULL, "%s: lacks %s", err.message, part);
}

START_TEST(takes_the_role_of_the_contract)
{
    Pb__RoleSpec *spec = role->spec;
    add_login(spec->allow, "{{internal.logins}}");
    add_login(spec->allow, "deploy");
    add_label(spec->allow, "env", "staging dev");
    add_label(spec->allow, "region", "^eu-.*$");
    add_rule(spec->allow, "session", "list", "own");
    add_label(spec->deny, "env", "prod");
    add_login(spec->deny, "r*");
    spec->options->has_max_session_ttl_s = true;
    spec->options->max_session_ttl_s = 43200;
    record(role, "best_effort", "best_effort");
    struct rl_error err = {0};
    struct rl_buf warnings;
    rl_buf_init(&warnings, 4096);
    ck_assert_msg(rl_authz_check_role(role, &warnings, &err) == RL_OK, "%s", err.message);
    ck_assert_uint_eq(warnings.n, 0);
    rl_buf_fini(&warnings);
}
END_TEST

START_TEST(warns_of_each_option_that_is_not_enforced)
{
    record(role, "strict", "");
    role->spec->options->has_require_session_mfa = role->spec->options->require_session_mfa = true;
    role->spec->options->has_pin_source_ip = role->spec->options->pin_source_ip = true;
    struct rl_buf warnings;
    rl_buf_init(&warnings, 4096);
    ck_assert_int_eq(rl_authz_check_role(role, &warnings, NULL), RL_OK);
    static const char *const named[] = {"require_session_mfa", "pin_source_ip"};
    for (size_t i = 0; i < RL_COUNT(named); i++)
        ck_assert_ptr_nonnull(strstr(rl_buf_text(&warnings), named[i]));
    ck_assert_ptr_null(strstr(rl_buf_text(&warnings), "record_session"));
    rl_buf_fini(&warnings);
}
END_TEST

START_TEST(refuses_a_pattern_that_does_not_compile)
{
    add_label(role->spec->deny, "env", "dev ^(a$");
    expect_refused("deny: node_labels: the pattern \"^(a$\"");
}
END_TEST

START_TEST(refuses_label_conditions_that_cannot_mean_anything)
{
    add_label(role->spec->allow, "*", "dev");
    expect_refused("allow: node_labels: the key \"*\"");
    role->spec->allow->node_labels[0]->key[0] = '-';
    expect_refused("allow: node_labels:");
    role->spec->allow->node_labels[0]->key[0] = 'k';
    ck_assert_int_eq(rl_authz_check_role(role, NULL, NULL), RL_OK);
    add_label(role->spec->allow, "k", "dev");
    expect_refused("the key \"k\" twice");
    role->spec->allow->node_labels[1]->key[0] = 'l';
    add_label(role->spec->allow, "m", "");
    expect_refused("the key \"m\" has no value");
}
END_TEST

START_TEST(refuses_logins_and_templates_that_are_none)
{
    static const char *const bad[] = {"*",
                                      "a b",
                                      "{{internal.}}",
                                      "{{x.y}}",
                                      "{{a",
                                      "a}}",
                                      "{{internal.a b}}",
                                      "{{}}",
                                      "{{internal.a}}{{internal.b}}",
                                      ""};
    for (size_t i = 0; i < RL_COUNT(bad); i++) {
        teardown();
        setup();
        add_login(role->spec->allow, bad[i]);
        expect_refused("allow: logins:");
    }
}
END_TEST

START_TEST(refuses_kinds_verbs_and_conditions_that_are_not_there)
{
    add_rule(role->spec->allow, "sesion", "list", "");
    expect_refused("allow: rules: resources: \"sesion\" is not a kind");
    teardown();
    setup();
    add_rule(role->spec->deny, "session", "watch", "");
    expect_refused("deny: rules: verbs: \"watch\" is not a verb");
    teardown();
    setup();
    add_rule(role->spec->allow, "session", "list", "mine");
    expect_refused("where is \"own\"");
    role->spec->allow->rules[0]->n_verbs--;
    free(role->spec->allow->rules[0]->verbs[0]);
    expect_refused("a rule has resources and verbs");
}
END_TEST

START_TEST(refuses_bounds_and_words_that_have_no_meaning)
{
    Pb__RoleOptions *o = role->spec->options;
    o->has_max_session_ttl_s = true;
    o->max_session_ttl_s = 59;
    expect_refused("max_session_ttl is at least 60 s");
    o->max_session_ttl_s = 60;
    o->has_client_idle_timeout_s = true;
    expect_refused("client_idle_timeout");
    o->client_idle_timeout_s = 1;
    o->has_max_sessions = true;
    expect_refused("max_sessions is at least 1");
    o->max_sessions = 1;
    ck_assert_int_eq(rl_authz_check_role(role, NULL, NULL), RL_OK);
    record(role, "always", "");
    expect_refused("record_session is off, best_effort or strict, not \"always\"");
    free(o->record_session->default_mode);
    o->record_session->default_mode = rl_strdup("off");
    o->lock = rl_strdup("hard");
    expect_refused("lock is best_effort or strict, not \"hard\"");
}
END_TEST

START_TEST(refuses_a_name_or_a_field_it_does_not_know)
{
    add_unknown_field(&role->spec->base);
    expect_refused("a field that this version does not know");
    role->metadata->name[0] = ' ';
    expect_refused("resource name");
}
END_TEST

START_TEST(bounds_every_list)
{
    for (int i = 0; i < 256; i++)
        add_login(role->spec->allow, "deploy");
    ck_assert_int_eq(rl_authz_check_role(role, NULL, NULL), RL_OK);
    add_login(role->spec->allow, "deploy");
    expect_refused("allow: logins: at most 256 entries, these are 257");
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("check");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, takes_the_role_of_the_contract);
    tcase_add_test(t, warns_of_each_option_that_is_not_enforced);
    tcase_add_test(t, refuses_a_pattern_that_does_not_compile);
    tcase_add_test(t, refuses_label_conditions_that_cannot_mean_anything);
    tcase_add_test(t, refuses_logins_and_templates_that_are_none);
    tcase_add_test(t, refuses_kinds_verbs_and_conditions_that_are_not_there);
    tcase_add_test(t, refuses_bounds_and_words_that_have_no_meaning);
    tcase_add_test(t, refuses_a_name_or_a_field_it_does_not_know);
    tcase_add_test(t, bounds_every_list);
    Suite *s = suite_create("check");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
