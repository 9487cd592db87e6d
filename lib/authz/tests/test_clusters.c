#include "build_role.h"

#include <check.h>

static void add_cluster_label(Pb__RoleConditions *c, const char *key, const char *value)
{
    add_label(c, key, value); /* built as a node's, and moved */
    c->cluster_labels =
        grow_array(c->cluster_labels, c->n_cluster_labels, sizeof *c->cluster_labels);
    c->cluster_labels[c->n_cluster_labels++] = c->node_labels[--c->n_node_labels];
}

/* "key=value"; NULL: no condition. */
struct row {
    const char *allow, *deny, *label;
    bool sees;
};

static void add_condition(Pb__RoleConditions *c, const char *text)
{
    if (!text)
        return;
    char *key = rl_strdup(text), *value = strchr(key, '=');
    *value++ = '\0';
    add_cluster_label(c, key, value);
    free(key);
}

START_TEST(sees_a_leaf_by_its_labels_and_deny_wins)
{
    static const struct row rows[] = {
        {"*=*", NULL, "env=prod", true},
        {"*=*", NULL, NULL, true},
        {NULL, NULL, "env=prod", false},
        {"env=dev", NULL, "env=dev", true},
        {"env=dev", NULL, "env=prod", false},
        {"env=dev", NULL, NULL, false},
        {"env=d*", NULL, "env=dev", true},
        {"env=^(dev|prod)$", NULL, "env=prod", true},
        {"env=^(broken$", NULL, "env=prod", false},
        {"*=*", "env=prod", "env=prod", false},
        {"*=*", "env=prod", "env=dev", true},
        {"*=*", "env=^(broken$", "env=dev", false}, /* an error denies */
        {"*=*", "*=*", "env=dev", false},
    };
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        Pb__Role *role = new_role("r"), *other = new_role("other");
        const Pb__Role *roles[] = {role, other};
        struct test_node leaf;
        make_node(&leaf, "leaf.example");
        if (rows[i].label)
            node_label(&leaf, "env", strchr(rows[i].label, '=') + 1);
        add_condition(role->spec->allow, rows[i].allow);
        add_condition(other->spec->deny, rows[i].deny); /* of any role */
        struct rl_authz_subject subject = make_subject(roles, RL_COUNT(roles));
        ck_assert_msg(rl_authz_sees_cluster(&subject, &leaf.target) == rows[i].sees, "row %zu", i);
        free_role(role);
        free_role(other);
    }
}
END_TEST

START_TEST(node_labels_show_no_cluster)
{
    Pb__Role *role = simple_role("r", "root", "*", "*");
    const Pb__Role *roles[] = {role};
    struct test_node leaf;
    make_node(&leaf, "leaf.example");
    struct rl_authz_subject subject = make_subject(roles, 1);
    ck_assert(!rl_authz_sees_cluster(&subject, &leaf.target));
    add_cluster_label(role->spec->allow, "*", "*");
    ck_assert(rl_authz_sees_cluster(&subject, &leaf.target));
    add_unknown_field(&role->base); /* allows nothing then */
    ck_assert(!rl_authz_sees_cluster(&subject, &leaf.target));
    free_role(role);
}
END_TEST

START_TEST(who_has_no_role_or_too_many_sees_none)
{
    const Pb__Role *roles[RL_AUTHZ_ROLES_MAX + 1];
    Pb__Role *role = new_role("r");
    struct test_node leaf;
    make_node(&leaf, "leaf.example");
    add_cluster_label(role->spec->allow, "*", "*");
    for (size_t i = 0; i < RL_COUNT(roles); i++)
        roles[i] = role;
    struct rl_authz_subject subject = make_subject(roles, 0);
    ck_assert(!rl_authz_sees_cluster(&subject, &leaf.target));
    subject.role_count = RL_AUTHZ_ROLES_MAX;
    ck_assert(rl_authz_sees_cluster(&subject, &leaf.target));
    subject.role_count++;
    ck_assert(!rl_authz_sees_cluster(&subject, &leaf.target));
    free_role(role);
}
END_TEST

START_TEST(a_subject_is_shown_with_its_cluster_when_that_is_another)
{
    struct rl_authz_subject subject = make_subject(NULL, 0);
    char *text = rl_authz_subject_text(&subject);
    ck_assert_str_eq(text, "alice");
    free(text);
    subject.cluster = "root.example";
    text = rl_authz_subject_text(&subject);
    ck_assert_str_eq(text, "alice@root.example");
    free(text);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("clusters");
    tcase_add_test(t, sees_a_leaf_by_its_labels_and_deny_wins);
    tcase_add_test(t, node_labels_show_no_cluster);
    tcase_add_test(t, who_has_no_role_or_too_many_sees_none);
    tcase_add_test(t, a_subject_is_shown_with_its_cluster_when_that_is_another);
    Suite *s = suite_create("clusters");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
