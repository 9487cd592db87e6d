#include "home.h"

static struct rl_error err;

static rl_code open_home(bool create)
{
    char *path = NULL;
    rl_code rc = tsh_home(create, &path, &err);
    if (rc == RL_OK)
        ck_assert_str_eq(path, home);
    free(path);
    return rc;
}

START_TEST(a_home_that_others_can_write_to_is_refused)
{
    static const mode_t bad[] = {0770, 0720, 0702, 0777, 01777};
    for (size_t i = 0; i < RL_COUNT(bad); i++) {
        ck_assert_int_eq(chmod(home, bad[i]), 0);
        ck_assert_int_eq(open_home(false), RL_E_DENIED);
        ck_assert_int_eq(open_home(true), RL_E_DENIED);
        ck_assert_ptr_nonnull(strstr(err.message, "chmod 700"));
    }
    ck_assert_int_eq(chmod(home, 0755), 0);
    ck_assert_int_eq(open_home(false), RL_OK);
}
END_TEST

START_TEST(a_home_of_another_user_is_refused)
{
    if (geteuid() != 0)
        return;
    ck_assert_int_eq(chown(home, 65534, 65534), 0);
    ck_assert_int_eq(open_home(true), RL_E_DENIED);
}
END_TEST

START_TEST(a_home_that_is_a_file_is_refused)
{
    ck_assert_int_eq(rmdir(home), 0);
    write_text(home, "x");
    ck_assert_int_eq(open_home(true), RL_E_INVAL);
}
END_TEST

START_TEST(a_home_is_made_for_its_user_alone_and_only_by_a_login)
{
    struct stat st;
    ck_assert_int_eq(rmdir(home), 0);
    ck_assert_int_eq(open_home(false), RL_E_UNAUTHENTICATED);
    ck_assert_int_ne(access(home, F_OK), 0);
    ck_assert_int_eq(open_home(true), RL_OK);
    ck_assert_int_eq(stat(home, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0700);
}
END_TEST

START_TEST(a_login_is_found_again_by_its_proxy_and_as_the_current_one)
{
    struct tsh_profile profile;
    log_in(PROXY, CLUSTER, FUTURE, NULL);
    log_in("other.example.org:8443", "other.example.org", FUTURE, NULL);
    ck_assert_int_eq(tsh_profile_open(PROXY, &profile, &err), RL_OK);
    ck_assert_str_eq(profile.name, "root.example.com_443");
    ck_assert_str_eq(tsh_profile_text(&profile, "user"), "alice");
    ck_assert_str_eq(tsh_profile_text(&profile, "no such"), "");
    tsh_profile_fini(&profile);
    ck_assert_int_eq(tsh_profile_open(NULL, &profile, &err), RL_OK);
    ck_assert_str_eq(tsh_profile_text(&profile, "cluster"), "other.example.org");
    tsh_profile_fini(&profile);
    ck_assert_int_eq(tsh_profile_open("third.example.org:1", &profile, &err), RL_E_UNAUTHENTICATED);
    ck_assert_int_eq(tsh_profile_open("no address", &profile, &err), RL_E_INVAL);
}
END_TEST

START_TEST(every_file_is_the_users_alone)
{
    char command[160];
    log_in(PROXY, CLUSTER, FUTURE, NULL);
    snprintf(command, sizeof command,
             "test -z \"$(find %s -type f ! -perm 600)$(find %s -type d ! -perm 700)\"", home,
             home);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

START_TEST(an_expired_login_says_so)
{
    static const struct {
        const char *until;
        rl_code code;
    } cases[] = {
        {FUTURE, RL_OK},
        {PAST, RL_E_UNAUTHENTICATED},
        {"tomorrow", RL_E_UNAUTHENTICATED},
        {"", RL_E_UNAUTHENTICATED},
    };
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        struct tsh_profile profile;
        log_in(PROXY, CLUSTER, cases[i].until, NULL);
        ck_assert_int_eq(tsh_profile_open(PROXY, &profile, &err), RL_OK);
        ck_assert_int_eq(tsh_profile_check_valid(&profile, &err), cases[i].code);
        if (cases[i].code != RL_OK)
            ck_assert_ptr_nonnull(strstr(err.message, "run tsh login --proxy=" PROXY));
        tsh_profile_fini(&profile);
    }
}
END_TEST

START_TEST(a_damaged_profile_is_no_login)
{
    static const char *const damaged[] = {
        "",
        "{",
        "[]",
        "\"text\"",
        "{}",
        "{\"proxy\": \"" PROXY "\"}",
        "{\"proxy\": 1, \"cluster\": \"a\"}",
        "{\"proxy\": \"" PROXY "\", \"cluster\": \"a\\n    ProxyCommand evil\"}",
        "{\"proxy\": \"" PROXY "\", \"cluster\": \"*\"}",
        "{\"proxy\": \"x;touch y:443\", \"cluster\": \"a\"}",
        "{\"proxy\": \"$(id):443\", \"cluster\": \"a\"}",
        "{\"proxy\": \"" PROXY " --home=/:1\", \"cluster\": \"a\"}",
    };
    char path[160];
    log_in(PROXY, CLUSTER, FUTURE, NULL);
    snprintf(path, sizeof path, "%s/profiles/root.example.com_443/profile", home);
    for (size_t i = 0; i < RL_COUNT(damaged); i++) {
        struct tsh_profile profile;
        write_text(path, damaged[i]);
        ck_assert_msg(tsh_profile_open(PROXY, &profile, &err) == RL_E_UNAUTHENTICATED,
                      "number %zu was believed", i);
        ck_assert_int_eq(tsh_profile_create(PROXY, &profile, &err), RL_OK);
        ck_assert_ptr_null(profile.status);
        tsh_profile_fini(&profile);
    }
}
END_TEST

START_TEST(a_current_that_names_nothing_is_no_login)
{
    static const char *const names[] = {"", "\n", "..", "gone_1", "../../etc"};
    char path[80];
    struct tsh_profile profile;
    log_in(PROXY, CLUSTER, FUTURE, NULL);
    snprintf(path, sizeof path, "%s/current", home);
    for (size_t i = 0; i < RL_COUNT(names); i++) {
        write_text(path, names[i]);
        ck_assert_int_eq(tsh_profile_open(NULL, &profile, &err), RL_E_UNAUTHENTICATED);
    }
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(tsh_profile_open(NULL, &profile, &err), RL_E_UNAUTHENTICATED);
}
END_TEST

START_TEST(a_damaged_trust_is_an_error_and_a_missing_one_is_none)
{
    char path[160];
    struct tsh_profile profile;
    Pb__TrustBundle *trust = NULL;
    log_in(PROXY, CLUSTER, FUTURE, NULL);
    ck_assert_int_eq(tsh_profile_open(PROXY, &profile, &err), RL_OK);
    ck_assert_int_eq(tsh_profile_trust(&profile, &trust, &err), RL_OK);
    ck_assert_str_eq(trust->cluster, CLUSTER);
    pb__trust_bundle__free_unpacked(trust, NULL);
    snprintf(path, sizeof path, "%s/trust", profile.dir);
    write_text(path, "\x0a\xff\xff");
    ck_assert_int_eq(tsh_profile_trust(&profile, &trust, &err), RL_E_INVAL);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(tsh_profile_trust(&profile, &trust, &err), RL_E_NOT_FOUND);
    tsh_profile_fini(&profile);
}
END_TEST

START_TEST(forgetting_leaves_the_trust_and_nothing_else)
{
    struct tsh_profile profile;
    char path[160];
    log_in(PROXY, CLUSTER, FUTURE, NULL);
    ck_assert_int_eq(tsh_profile_open(PROXY, &profile, &err), RL_OK);
    snprintf(path, sizeof path, "%s/tls.key", profile.dir);
    write_text(path, "key");
    ck_assert_int_eq(tsh_profile_forget(&profile, &err), RL_OK);
    ck_assert_int_ne(access(path, F_OK), 0);
    snprintf(path, sizeof path, "%s/trust", profile.dir);
    ck_assert_int_eq(access(path, F_OK), 0);
    ck_assert_int_eq(tsh_profile_forget(&profile, &err), RL_OK); /* again is no error */
    tsh_profile_fini(&profile);
    ck_assert_int_eq(tsh_profile_open(PROXY, &profile, &err), RL_E_UNAUTHENTICATED);
}
END_TEST

START_TEST(names_come_in_order_with_the_current_one_first)
{
    char **names = NULL;
    ck_assert_int_eq(tsh_profile_names(home, &names, &err), RL_OK);
    ck_assert_ptr_null(names[0]);
    tsh_profile_names_free(&names);
    log_in("c.example:1", "c.example", FUTURE, NULL);
    log_in("a.example:1", "a.example", FUTURE, NULL);
    log_in("b.example:1", "b.example", FUTURE, NULL);
    ck_assert_int_eq(tsh_profile_names(home, &names, &err), RL_OK);
    ck_assert_str_eq(names[0], "b.example_1");
    ck_assert_str_eq(names[1], "a.example_1");
    ck_assert_str_eq(names[2], "c.example_1");
    ck_assert_ptr_null(names[3]);
    tsh_profile_names_free(&names);
}
END_TEST

START_TEST(there_are_so_many_profiles_and_not_one_more)
{
    char path[160];
    char **names = NULL;
    snprintf(path, sizeof path, "%s/profiles", home);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    for (int i = 0; i < 65; i++) {
        ck_assert_int_eq(tsh_profile_names(home, &names, &err), RL_OK);
        tsh_profile_names_free(&names);
        snprintf(path, sizeof path, "%s/profiles/p%d", home, i);
        ck_assert_int_eq(mkdir(path, 0700), 0);
    }
    ck_assert_int_eq(tsh_profile_names(home, &names, &err), RL_E_EXHAUSTED);
    ck_assert_ptr_null(names);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("profile");
    tcase_add_checked_fixture(t, home_make, home_remove);
    tcase_add_test(t, a_home_that_others_can_write_to_is_refused);
    tcase_add_test(t, a_home_of_another_user_is_refused);
    tcase_add_test(t, a_home_that_is_a_file_is_refused);
    tcase_add_test(t, a_home_is_made_for_its_user_alone_and_only_by_a_login);
    tcase_add_test(t, a_login_is_found_again_by_its_proxy_and_as_the_current_one);
    tcase_add_test(t, every_file_is_the_users_alone);
    tcase_add_test(t, an_expired_login_says_so);
    tcase_add_test(t, a_damaged_profile_is_no_login);
    tcase_add_test(t, a_current_that_names_nothing_is_no_login);
    tcase_add_test(t, a_damaged_trust_is_an_error_and_a_missing_one_is_none);
    tcase_add_test(t, forgetting_leaves_the_trust_and_nothing_else);
    tcase_add_test(t, names_come_in_order_with_the_current_one_first);
    tcase_add_test(t, there_are_so_many_profiles_and_not_one_more);
    return run_suite(t, "profile");
}
