#include "build_role.h"

#include <check.h>

static rl_code try_ssh(const struct rl_authz_subject *subject, struct test_node *node,
                       const char *login, struct rl_error *err)
{
    struct rl_authz_grant grant;
    return rl_authz_ssh(subject, &node->target, login, &grant, err);
}

/* Node labels of one role against nodes: "key=values key=values" as two conditions. */
START_TEST(matches_labels_by_the_table)
{
    static const struct {
        const char *key1, *values1, *key2, *values2;
        const char *env, *region; /* of the node; NULL: it has no such label */
        bool allowed, denied;     /* when it stands in allow; in deny */
    } rows[] = {
        {"env", "dev", NULL, NULL, "dev", NULL, true, true},
        {"env", "dev", NULL, NULL, "prod", NULL, false, false},
        {"env", "dev", NULL, NULL, NULL, NULL, false, false},
        {"env", "staging dev", NULL, NULL, "dev", NULL, true, true},
        {"env", "dev", "region", "^eu-.*$", "dev", "eu-west", true, true},
        {"env", "dev", "region", "^eu-.*$", "dev", "us-west", false, false},
        {"env", "dev", "region", "^eu-.*$", "dev", NULL, false, false},
        {"env", "*", NULL, NULL, "anything", NULL, true, true},
        {"env", "*", NULL, NULL, NULL, "eu", false, false},
        {"*", "*", NULL, NULL, NULL, NULL, true, true},
        {"*", "*", "env", "dev", "prod", NULL, false, false},
        {"*", "*", "env", "dev", "dev", NULL, true, true},
        {"*", "dev", NULL, NULL, "dev", NULL, false, true}, /* wrong: never allows, always denies */
        {"env", "", NULL, NULL, "dev", NULL, false, true},
        {"env", "^(broken$", NULL, NULL, "dev", NULL, false, true},
        {"env", "^(broken$", NULL, NULL, NULL, NULL, false, false},
        {"env", "^(broken$ dev", NULL, NULL, "dev", NULL, true, true},
        {"env", "^(broken$", "region", "eu", "dev", "us", false, false},
        {NULL, NULL, NULL, NULL, "dev", NULL, false, false}, /* no condition is none */
    };
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        struct test_node node;
        make_node(&node, "node-a");
        if (rows[i].env)
            node_label(&node, "env", rows[i].env);
        if (rows[i].region)
            node_label(&node, "region", rows[i].region);
        Pb__Role *allow = new_role("allow"), *all = simple_role("all", "root", "*", "*");
        add_login(allow->spec->allow, "root");
        Pb__RoleConditions *both[] = {allow->spec->allow, all->spec->deny};
        for (size_t j = 0; j < 2; j++) {
            if (rows[i].key1)
                add_label(both[j], rows[i].key1, rows[i].values1);
            if (rows[i].key2)
                add_label(both[j], rows[i].key2, rows[i].values2);
        }
        const Pb__Role *roles[] = {allow, all};
        struct rl_authz_subject a = make_subject(&roles[0], 1), d = make_subject(&roles[1], 1);
        ck_assert_msg((try_ssh(&a, &node, "root", NULL) == RL_OK) == rows[i].allowed, "allow %zu",
                      i);
        ck_assert_msg((try_ssh(&d, &node, "root", NULL) == RL_OK) == !rows[i].denied, "deny %zu",
                      i);
        ck_assert_msg(rl_authz_sees_node(&a, &node.target) == rows[i].allowed, "sees %zu", i);
        ck_assert_msg(rl_authz_sees_node(&d, &node.target) == !rows[i].denied, "hides %zu", i);
        free_role(allow);
        free_role(all);
    }
}
END_TEST

START_TEST(keeps_the_logins_of_one_role_from_the_labels_of_another)
{
    Pb__Role *a = simple_role("a", "root", "env", "dev");
    Pb__Role *b = simple_role("b", "deploy", "env", "prod");
    const Pb__Role *roles[] = {a, b};
    struct rl_authz_subject subject = make_subject(roles, 2);
    struct test_node prod;
    make_node(&prod, "node-p");
    node_label(&prod, "env", "prod");
    struct rl_error err;
    ck_assert_int_eq(try_ssh(&subject, &prod, "deploy", NULL), RL_OK);
    ck_assert_int_eq(try_ssh(&subject, &prod, "root", &err), RL_E_DENIED);
    ck_assert_str_eq(err.message, "role(s) a, b do not allow login \"root\" on node-p");
    free_role(a);
    free_role(b);
}
END_TEST

START_TEST(lets_a_denial_of_any_role_win)
{
    Pb__Role *a = simple_role("a", "root", "*", "*");
    Pb__Role *b = new_role("b");
    add_login(b->spec->deny, "root");
    const Pb__Role *roles[] = {a, b};
    struct rl_authz_subject subject = make_subject(roles, 2);
    struct test_node node;
    make_node(&node, "node-a");
    struct rl_error err;
    ck_assert_int_eq(try_ssh(&subject, &node, "root", &err), RL_E_DENIED);
    ck_assert_str_eq(err.message, "role b denies login \"root\" on node-a");
    ck_assert(rl_authz_sees_node(&subject, &node.target)); /* the login is denied, not the node */
    subject.role_count = 1;
    ck_assert_int_eq(try_ssh(&subject, &node, "root", NULL), RL_OK);
    free_role(a);
    free_role(b);
}
END_TEST

START_TEST(takes_a_denied_login_as_a_pattern_and_an_error_in_it_as_a_match)
{
    static const struct {
        const char *deny;
        bool is_denied;
    } rows[] = {{"root", true},
                {"ro*", true},
                {"*", true},
                {"^r.*$", true},
                {"^(r$", true},
                {"{{internal.x", true},
                {"{{bad.x}}", true},
                {"deploy", false},
                {"^x$", false},
                {"", false},
                {"{{internal.absent}}", false},
                {"{{internal.logins}}", true}};
    Pb__Trait *traits[] = {new_trait("logins")};
    add_value(traits[0], "root");
    struct test_node node;
    make_node(&node, "node-a");
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        Pb__Role *role = simple_role("a", "root", "*", "*");
        add_login(role->spec->deny, rows[i].deny);
        const Pb__Role *roles[] = {role};
        struct rl_authz_subject subject = make_subject(roles, 1);
        subject.trait_count = 1;
        subject.traits = traits;
        ck_assert_msg((try_ssh(&subject, &node, "root", NULL) == RL_E_DENIED) == rows[i].is_denied,
                      "%s", rows[i].deny);
        free_role(role);
    }
    pb__trait__free_unpacked(traits[0], NULL);
}
END_TEST

static void expect_logins(const struct rl_authz_subject *subject, const char *want)
{
    char **logins, *joined = rl_strdup("");
    size_t count;
    rl_authz_logins(subject, &logins, &count);
    for (size_t i = 0; i < count; i++) {
        char *longer = rl_sprintf("%s%s%s", joined, i ? " " : "", logins[i]);
        free(joined);
        joined = longer;
    }
    ck_assert_str_eq(joined, want);
    free(joined);
    free_list(logins, count);
}

START_TEST(fills_templates_with_the_traits_of_their_own_side_only)
{
    Pb__Trait *traits[] = {new_trait("logins")};
    static const char *const values[] = {"alice",  "bad login", "-oProxyCommand",
                                         "deploy", "",          "alice"};
    for (size_t i = 0; i < RL_COUNT(values); i++)
        add_value(traits[0], values[i]);
    Pb__Role *role = new_role("access");
    add_login(role->spec->allow, "{{internal.logins}}");
    add_login(role->spec->allow, "{{ internal.logins }}");
    add_login(role->spec->allow, "x-{{external.logins}}");
    add_login(role->spec->allow, "ops");
    add_login(role->spec->allow, "{{internal.absent}}");
    add_login(role->spec->allow, "{{internal.}}");
    add_login(role->spec->allow, "{{internal.logins}}{{internal.logins}}");
    add_login(role->spec->allow, "{{logins}}");
    add_login(role->spec->allow, "internal.logins}}");
    add_login(role->spec->allow, "*");
    const Pb__Role *roles[] = {role};
    struct rl_authz_subject subject = make_subject(roles, 1);
    expect_logins(&subject, "ops");
    subject.traits = traits;
    subject.trait_count = 1;
    expect_logins(&subject, "alice deploy ops");
    subject.cluster = "root.example.com";
    expect_logins(&subject, "ops x--oProxyCommand x-alice x-deploy");
    free_role(role);
    pb__trait__free_unpacked(traits[0], NULL);
}
END_TEST

START_TEST(refuses_a_login_that_is_none_by_its_form)
{
    Pb__Role *role = simple_role("a", "*", "*", "*");
    add_login(role->spec->allow, "root\n");
    const Pb__Role *roles[] = {role};
    struct rl_authz_subject subject = make_subject(roles, 1);
    struct test_node node;
    make_node(&node, "node-a");
    static const char *const bad[] = {"", "*", "root\n", "-l", "a b", "../x", "\x1b[2J"};
    for (size_t i = 0; i < RL_COUNT(bad); i++) {
        struct rl_error err = {0};
        ck_assert_int_eq(try_ssh(&subject, &node, bad[i], &err), RL_E_DENIED);
        ck_assert_int_eq(err.code, RL_E_DENIED);
        ck_assert_ptr_null(strchr(err.message, '\x1b'));
    }
    free_role(role);
}
END_TEST

START_TEST(allows_nothing_by_a_role_with_a_field_it_does_not_know)
{
    struct test_node node;
    make_node(&node, "");
    for (int where = 0; where < 6; where++) {
        Pb__Role *role = simple_role("new", "root", "*", "*");
        add_rule(role->spec->allow, "node", "list", "");
        record(role, "", "");
        ProtobufCMessage *inside[] = {&role->base,
                                      &role->metadata->base,
                                      &role->spec->base,
                                      &role->spec->options->record_session->base,
                                      &role->spec->allow->node_labels[0]->base,
                                      &role->spec->deny->base};
        const Pb__Role *roles[] = {role};
        struct rl_authz_subject subject = make_subject(roles, 1);
        struct rl_authz_rule_grant rule;
        ck_assert_int_eq(try_ssh(&subject, &node, "root", NULL), RL_OK);
        ck_assert_int_eq(rl_authz_rule(&subject, "node", "list", &rule, NULL), RL_OK);
        add_unknown_field(inside[where]);
        struct rl_error err;
        ck_assert_int_eq(try_ssh(&subject, &node, "root", &err), RL_E_DENIED);
        ck_assert_ptr_nonnull(strstr(err.message, "that this version does not know"));
        ck_assert_int_eq(rl_authz_rule(&subject, "node", "list", &rule, NULL), RL_E_DENIED);
        ck_assert(!rl_authz_sees_node(&subject, &node.target));
        expect_logins(&subject, "");
        free_role(role);
    }
}
END_TEST

START_TEST(still_counts_the_denials_of_such_a_role)
{
    Pb__Role *good = simple_role("good", "root", "*", "*");
    Pb__Role *newer = new_role("newer");
    add_unknown_field(&newer->spec->base);
    const Pb__Role *roles[] = {good, newer};
    struct rl_authz_subject subject = make_subject(roles, 2);
    struct test_node node;
    make_node(&node, "node-a");
    ck_assert_int_eq(try_ssh(&subject, &node, "root", NULL), RL_OK);
    add_label(newer->spec->deny, "*", "*");
    ck_assert_int_eq(try_ssh(&subject, &node, "root", NULL), RL_E_DENIED);
    free_role(good);
    free_role(newer);
}
END_TEST

START_TEST(keeps_the_demands_of_such_a_role_where_another_allows)
{
    Pb__Role *good = simple_role("good", "root", "*", "*");
    Pb__Role *newer = simple_role("newer", "root", "*", "*");
    const Pb__Role *roles[] = {good, newer};
    struct rl_authz_subject subject = make_subject(roles, 2);
    struct test_node node;
    make_node(&node, "node-a");
    newer->spec->options->has_max_sessions = newer->spec->options->has_port_forwarding = true;
    newer->spec->options->max_sessions = 2;
    newer->spec->options->port_forwarding = true;
    struct rl_authz_grant grant;
    ck_assert_int_eq(rl_authz_ssh(&subject, &node.target, "root", &grant, NULL), RL_OK);
    ck_assert(grant.port_forwarding && grant.max_sessions == 2);
    add_unknown_field(&newer->spec->base);
    ck_assert_int_eq(rl_authz_ssh(&subject, &node.target, "root", &grant, NULL), RL_OK);
    ck_assert(!grant.port_forwarding && grant.max_sessions == 2);
    add_unknown_field(&newer->spec->options->base);
    struct rl_error err;
    ck_assert_int_eq(try_ssh(&subject, &node, "root", &err), RL_E_DENIED);
    ck_assert_str_eq(err.message, "role newer has an option that this version does not know; the "
                                  "session is refused");
    free_role(good);
    free_role(newer);
}
END_TEST

START_TEST(denies_who_has_no_role_or_too_many)
{
    struct test_node node;
    make_node(&node, "node-a");
    struct rl_authz_subject nobody = make_subject(NULL, 0);
    struct rl_error err;
    ck_assert_int_eq(try_ssh(&nobody, &node, "root", &err), RL_E_DENIED);
    ck_assert_str_eq(err.message, "alice has no role here");
    Pb__Role *role = simple_role("a", "root", "*", "*");
    add_rule(role->spec->allow, "*", "*", "");
    const Pb__Role *roles[RL_AUTHZ_ROLES_MAX + 1];
    for (size_t i = 0; i < RL_COUNT(roles); i++)
        roles[i] = role;
    struct rl_authz_rule_grant rule;
    for (size_t n = RL_AUTHZ_ROLES_MAX - 1; n <= RL_AUTHZ_ROLES_MAX + 1; n++) {
        struct rl_authz_subject many = make_subject(roles, n);
        rl_code want = n <= RL_AUTHZ_ROLES_MAX ? RL_OK : RL_E_DENIED;
        ck_assert_int_eq(try_ssh(&many, &node, "root", NULL), want);
        ck_assert_int_eq(rl_authz_rule(&many, "node", "list", &rule, NULL), want);
        ck_assert_int_eq(rl_authz_sees_node(&many, &node.target), want == RL_OK);
        expect_logins(&many, want == RL_OK ? "root" : "");
    }
    free_role(role);
}
END_TEST

START_TEST(takes_a_role_without_a_spec_for_one_that_allows_nothing)
{
    Pb__Role role = PB__ROLE__INIT;
    const Pb__Role *roles[] = {&role};
    struct rl_authz_subject subject = make_subject(roles, 1);
    struct test_node node;
    make_node(&node, "node-a");
    struct rl_authz_rule_grant rule;
    ck_assert_int_eq(try_ssh(&subject, &node, "root", NULL), RL_E_DENIED);
    ck_assert_int_eq(rl_authz_rule(&subject, "node", "list", &rule, NULL), RL_E_DENIED);
    ck_assert(!rl_authz_sees_node(&subject, &node.target));
    expect_logins(&subject, "");
}
END_TEST

START_TEST(decides_rules_by_the_table)
{
    static const struct {
        const char *kind, *verb, *where;
        const char *deny_kind, *deny_verb;
        rl_code want;
        bool own_only;
    } rows[] = {
        {"session", "list", "", NULL, NULL, RL_OK, false},
        {"session", "list", "own", NULL, NULL, RL_OK, true},
        {"*", "*", "", NULL, NULL, RL_OK, false},
        {"session", "*", "own", NULL, NULL, RL_OK, true},
        {"session", "read", "", NULL, NULL, RL_E_DENIED, false},
        {"event", "list", "", NULL, NULL, RL_E_DENIED, false},
        {"session", "list", "mine", NULL, NULL, RL_E_DENIED, false},
        {"*", "*", "", "session", "list", RL_E_DENIED, false},
        {"*", "*", "", "*", "*", RL_E_DENIED, false},
        {"*", "*", "", "session", "read", RL_OK, false},
    };
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        Pb__Role *role = new_role("r"), *other = new_role("o");
        add_rule(role->spec->allow, rows[i].kind, rows[i].verb, rows[i].where);
        if (rows[i].deny_kind)
            add_rule(other->spec->deny, rows[i].deny_kind, rows[i].deny_verb, "");
        const Pb__Role *roles[] = {role, other};
        struct rl_authz_subject subject = make_subject(roles, 2);
        struct rl_authz_rule_grant grant = {false};
        ck_assert_msg(rl_authz_rule(&subject, "session", "list", &grant, NULL) == rows[i].want,
                      "%zu", i);
        ck_assert_msg(grant.own_only == rows[i].own_only, "own %zu", i);
        free_role(role);
        free_role(other);
    }
}
END_TEST

START_TEST(reaches_all_when_one_role_says_own_and_another_all)
{
    Pb__Role *own = new_role("own"), *all = new_role("all");
    add_rule(own->spec->allow, "session", "list", "own");
    add_rule(all->spec->allow, "session", "list", "");
    const Pb__Role *roles[] = {own, all};
    struct rl_authz_subject subject = make_subject(roles, 2);
    struct rl_authz_rule_grant grant = {true};
    ck_assert_int_eq(rl_authz_rule(&subject, "session", "list", &grant, NULL), RL_OK);
    ck_assert(!grant.own_only);
    free_role(own);
    free_role(all);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("authz");
    tcase_add_test(t, matches_labels_by_the_table);
    tcase_add_test(t, keeps_the_logins_of_one_role_from_the_labels_of_another);
    tcase_add_test(t, lets_a_denial_of_any_role_win);
    tcase_add_test(t, takes_a_denied_login_as_a_pattern_and_an_error_in_it_as_a_match);
    tcase_add_test(t, fills_templates_with_the_traits_of_their_own_side_only);
    tcase_add_test(t, refuses_a_login_that_is_none_by_its_form);
    tcase_add_test(t, allows_nothing_by_a_role_with_a_field_it_does_not_know);
    tcase_add_test(t, still_counts_the_denials_of_such_a_role);
    tcase_add_test(t, keeps_the_demands_of_such_a_role_where_another_allows);
    tcase_add_test(t, denies_who_has_no_role_or_too_many);
    tcase_add_test(t, takes_a_role_without_a_spec_for_one_that_allows_nothing);
    tcase_add_test(t, decides_rules_by_the_table);
    tcase_add_test(t, reaches_all_when_one_role_says_own_and_another_all);
    Suite *s = suite_create("authz");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
