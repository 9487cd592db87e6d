#include "target.h"

#include "home.h"

static struct rl_error err;

START_TEST(a_target_is_taken_apart)
{
    static const struct {
        const char *text, *name;
        uint16_t port;
        const char *cluster;
    } cases[] = {
        {"node-a", "node-a", 22, CLUSTER},
        {"node-a:22", "node-a", 22, CLUSTER},
        {"node-a:65535", "node-a", 65535, CLUSTER},
        {"root@node-a:1", "node-a", 1, CLUSTER},
        {"a@b@node-a", "node-a", 22, CLUSTER},
        {"node-a." CLUSTER, "node-a", 22, CLUSTER},
        {"node-a.leaf", "node-a", 22, "leaf"},
        {"node-a.other.org:22", "node-a", 22, "other.org"},
        {"bob@" UUID "." CLUSTER ":2222", UUID, 2222, CLUSTER},
        {UUID, UUID, 22, CLUSTER},
    };
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        struct tsh_target target;
        ck_assert_msg(tsh_target_parse(cases[i].text, CLUSTER, &target, &err) == RL_OK, "%s",
                      cases[i].text);
        ck_assert_str_eq(target.name, cases[i].name);
        ck_assert_uint_eq(target.port, cases[i].port);
        ck_assert_str_eq(target.cluster, cases[i].cluster);
        tsh_target_fini(&target);
    }
}
END_TEST

START_TEST(what_a_shell_may_have_made_of_it_is_refused)
{
    static const char *const bad[] = {
        "",
        "@",
        ":22",
        "node-a:",
        "node-a:0",
        "node-a:65536",
        "node-a:4294967318",
        "node-a: 22",
        "node-a:+22",
        "node-a:-1",
        "node-a:22x",
        "node a",
        "node-a;id",
        "$(id)",
        "`id`",
        "'node-a'",
        "-oProxyCommand=x",
        "NODE-A",
        "node_a",
        "n\nx",
        "[::1]:22",

        "*",
    };
    for (size_t i = 0; i < RL_COUNT(bad); i++) {
        struct tsh_target target = {0};
        ck_assert_msg(tsh_target_parse(bad[i], CLUSTER, &target, &err) == RL_E_INVAL, "%s", bad[i]);
        ck_assert_ptr_null(target.name);
    }
}
END_TEST

START_TEST(what_can_be_no_cluster_is_not_found)
{
    struct tsh_target target;
    ck_assert_int_eq(tsh_target_parse("node-a.other..org", CLUSTER, &target, &err), RL_E_NOT_FOUND);
    ck_assert_int_eq(tsh_target_parse("node-a.x'y", CLUSTER, &target, &err), RL_E_NOT_FOUND);
    ck_assert_int_eq(tsh_target_parse("../node-a", CLUSTER, &target, &err), RL_E_NOT_FOUND);
    ck_assert_int_eq(tsh_target_parse("node-a.", CLUSTER, &target, &err), RL_E_NOT_FOUND);
    ck_assert_int_eq(tsh_target_parse("node-a." CLUSTER ".", CLUSTER, &target, &err),
                     RL_E_NOT_FOUND);
}
END_TEST

static void check_split(const char *text, const char *given, const char *login, const char *cluster,
                        const char *node)
{
    char *got_login = given ? rl_strdup(given) : NULL, *got_node = NULL;
    char *got_cluster = rl_strdup(CLUSTER);
    tsh_target_split(text, &got_login, &got_cluster, &got_node);
    ck_assert_str_eq(got_node, node);
    ck_assert_str_eq(got_cluster, cluster);
    if (login)
        ck_assert_str_eq(got_login, login);
    else
        ck_assert_ptr_null(got_login);
    free(got_login);
    free(got_cluster);
    free(got_node);
}

START_TEST(what_a_person_means_is_split)
{
    check_split("node-a", NULL, NULL, CLUSTER, "node-a");
    check_split("root@node-a", NULL, "root", CLUSTER, "node-a");
    check_split("root@node-a", "bob", "root", CLUSTER, "node-a");
    check_split("node-a", "bob", "bob", CLUSTER, "node-a");
    check_split("alice@example.com@node-a", NULL, "alice@example.com", CLUSTER, "node-a");
    check_split("@node-a", NULL, NULL, CLUSTER, "node-a");
    check_split("node-a." CLUSTER, NULL, NULL, CLUSTER, "node-a");
    check_split("node-a.other.org", NULL, NULL, "other.org", "node-a");
    check_split("root@node-a.leaf", NULL, "root", "leaf", "node-a");
    check_split("root@env=dev", NULL, "root", CLUSTER, "env=dev");
    check_split("zone=a.b", NULL, NULL, CLUSTER, "zone=a.b");
    check_split("node-a.", NULL, NULL, CLUSTER, "node-a.");
    check_split(".leaf", NULL, NULL, CLUSTER, ".leaf");
    check_split("", NULL, NULL, CLUSTER, "");
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("target");
    tcase_add_test(t, a_target_is_taken_apart);
    tcase_add_test(t, what_a_shell_may_have_made_of_it_is_refused);
    tcase_add_test(t, what_can_be_no_cluster_is_not_found);
    tcase_add_test(t, what_a_person_means_is_split);
    return run_suite(t, "target");
}
