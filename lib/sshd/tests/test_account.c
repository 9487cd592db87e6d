#include "sshd/account.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/rl-account-XXXXXX";
static char paths[6][64];
static struct account_sources from;
static struct account account;
static struct rl_error err;

static void write_file(int i, const char *name, const char *text, mode_t mode)
{
    snprintf(paths[i], sizeof paths[i], "%s/%s", dir, name);
    FILE *f = fopen(paths[i], "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
    ck_assert_int_eq(chmod(paths[i], mode), 0);
}

static void enter(void)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
    write_file(0, "passwd",
               "root:x:0:0:root:/root:/bin/sh\n"
               "short:x:1\n"
               "\n"
               "alice:x:1000:1001:Alice,,,:/home/alice:/bin/sh\n"
               "bare:x:7:7::::\n"
               "wild:x:-1:0::/:/bin/sh\n"
               "huge:x:4294967295:0::/:/bin/sh\n"
               "nan:x:12a:0::/:/bin/sh\n"
               "gone:x:8:8::/:/nonexistent/shell\n"
               "folder:x:9:9::/:/usr/bin\n"
               "data:x:9:9::/:/etc/passwd\n"
               "daemon:x:1:1::/:/usr/sbin/nologin\n"
               "never:x:1:1::/:/bin/false\n",
               0644);
    write_file(1, "group",
               "root:x:0:\nalice:x:1001:\nwheel:x:10:bob,alice\nboth:x:1001:alice\ntty:x:5:\n"
               "near:x:11:alicex,xalice\nbroken\nlast:x:12:alice",
               0644);
    write_file(2, "shadow", "alice:!:19000:0:99999:7::20000:\nroot:*:19000:0:99999:7:::\n", 0600);
    write_file(3, "getent",
               "#!/bin/sh\n"
               "case \"$1 $2\" in\n"
               "\"passwd carol\") echo 'carol:*:2000:2001:Carol:/home/carol:/bin/sh' ;;\n"
               "\"initgroups carol\") echo 'carol                 2001 10 4294967295' ;;\n"
               "\"passwd liar\") echo 'root:*:0:0::/root:/bin/sh' ;;\n"
               "*) exit 2 ;;\n"
               "esac\n",
               0755);
    snprintf(paths[4], sizeof paths[4], "%s/nologin", dir);
    snprintf(paths[5], sizeof paths[5], "%s/run-nologin", dir);
    from = (struct account_sources){paths[0], paths[1], paths[2], {paths[4], paths[5]}, paths[3]};
    memset(&account, 0, sizeof account);
}

static void leave(void)
{
    for (size_t i = 0; i < RL_COUNT(paths); i++)
        unlink(paths[i]);
    rmdir(dir);
    memcpy(dir + sizeof dir - 7, "XXXXXX", 6);
}

START_TEST(finds_an_account_with_its_groups)
{
    ck_assert_int_eq(rl_account_find(&from, "alice", &account, &err), RL_OK);
    ck_assert_uint_eq(account.uid, 1000);
    ck_assert_uint_eq(account.gid, 1001);
    ck_assert_str_eq(account.home, "/home/alice");
    ck_assert_str_eq(account.shell, "/bin/sh");
    ck_assert_uint_eq(account.groups_n, 3);
    ck_assert_uint_eq(account.groups[0], 1001);
    ck_assert_uint_eq(account.groups[1], 10);
    ck_assert_uint_eq(account.groups[2], 12);
    ck_assert_int_eq(rl_account_find(&from, "bare", &account, &err), RL_OK);
    ck_assert_str_eq(account.home, "/");
    ck_assert_str_eq(account.shell, "/bin/sh");
}
END_TEST

/* setresuid() takes 4294967295 as "leave it": root would stay root. */
START_TEST(refuses_what_is_no_account)
{
    static const char *const none[] = {"",      "bob",  "alic", "alice:x",
                                       "short", "wild", "huge", "nan"};
    for (size_t i = 0; i < RL_COUNT(none); i++)
        ck_assert_msg(rl_account_find(&from, none[i], &account, &err) == RL_E_NOT_FOUND, "%s",
                      none[i]);
}
END_TEST

START_TEST(asks_getent_for_those_who_are_not_in_the_files)
{
    ck_assert_int_eq(rl_account_find(&from, "carol", &account, &err), RL_OK);
    ck_assert_uint_eq(account.uid, 2000);
    ck_assert_uint_eq(account.groups_n, 2);
    ck_assert_uint_eq(account.groups[0], 2001);
    ck_assert_uint_eq(account.groups[1], 10);
    ck_assert_int_eq(rl_account_find(&from, "liar", &account, &err), RL_E_NOT_FOUND);
    from.getent = NULL;
    ck_assert_int_eq(rl_account_find(&from, "carol", &account, &err), RL_E_NOT_FOUND);
}
END_TEST

START_TEST(an_account_expires_on_its_day)
{
    ck_assert_int_eq(rl_account_find(&from, "alice", &account, &err), RL_OK);
    ck_assert_int_eq(rl_account_check(&from, &account, 20000L * 86400 - 1, &err), RL_OK);
    ck_assert_int_eq(rl_account_check(&from, &account, 20000L * 86400, &err), RL_E_DENIED);
    ck_assert_ptr_nonnull(strstr(err.message, "expired"));
}
END_TEST

START_TEST(a_node_that_takes_no_logins_still_takes_root)
{
    ck_assert_int_eq(rl_account_find(&from, "alice", &account, &err), RL_OK);
    write_file(4, "nologin", "going down for maintenance\n", 0644);
    ck_assert_int_eq(rl_account_check(&from, &account, 0, &err), RL_E_DENIED);
    ck_assert_str_eq(err.message, "going down for maintenance");
    ck_assert_int_eq(rl_account_find(&from, "root", &account, &err), RL_OK);
    ck_assert_int_eq(rl_account_check(&from, &account, 0, &err), RL_OK);
    unlink(paths[4]);
    ck_assert_int_eq(rl_account_find(&from, "alice", &account, &err), RL_OK);
    ck_assert_int_eq(rl_account_check(&from, &account, 0, &err), RL_OK);
    write_file(5, "run-nologin", "", 0644); /* as systemd has it while a system starts */
    ck_assert_int_eq(rl_account_check(&from, &account, 0, &err), RL_E_DENIED);
    ck_assert_str_eq(err.message, "this node takes no logins now");
}
END_TEST

START_TEST(a_shell_that_is_not_there_is_said)
{
    ck_assert_int_eq(rl_account_find(&from, "gone", &account, &err), RL_OK);
    ck_assert_int_eq(rl_account_check(&from, &account, 0, &err), RL_E_DENIED);
    ck_assert_ptr_nonnull(strstr(err.message, "/nonexistent/shell"));
}
END_TEST

START_TEST(a_directory_or_a_file_that_is_no_program_is_no_shell)
{
    static const char *const logins[] = {"folder", "data"};
    for (size_t i = 0; i < RL_COUNT(logins); i++) {
        ck_assert_int_eq(rl_account_find(&from, logins[i], &account, &err), RL_OK);
        ck_assert_int_eq(rl_account_check(&from, &account, 0, &err), RL_E_DENIED);
        ck_assert_ptr_nonnull(strstr(err.message, "cannot be run"));
    }
}
END_TEST

START_TEST(a_shell_that_only_says_no_is_known)
{
    static const struct {
        const char *login;
        bool takes_none;
    } cases[] = {{"daemon", true}, {"never", true}, {"alice", false}, {"root", false}};
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        ck_assert_int_eq(rl_account_find(&from, cases[i].login, &account, &err), RL_OK);
        ck_assert_int_eq(rl_account_takes_no_sessions(&account), cases[i].takes_none);
    }
}
END_TEST

START_TEST(finds_a_group_by_name)
{
    ck_assert_int_eq(rl_account_group_id(&from, "tty"), 5);
    ck_assert_int_eq(rl_account_group_id(&from, "last"), 12);
    ck_assert_int_eq(rl_account_group_id(&from, "none"), -1);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("account");
    tcase_add_checked_fixture(t, enter, leave);
    tcase_add_test(t, finds_an_account_with_its_groups);
    tcase_add_test(t, refuses_what_is_no_account);
    tcase_add_test(t, asks_getent_for_those_who_are_not_in_the_files);
    tcase_add_test(t, an_account_expires_on_its_day);
    tcase_add_test(t, a_node_that_takes_no_logins_still_takes_root);
    tcase_add_test(t, a_shell_that_is_not_there_is_said);
    tcase_add_test(t, a_directory_or_a_file_that_is_no_program_is_no_shell);
    tcase_add_test(t, a_shell_that_only_says_no_is_known);
    tcase_add_test(t, finds_a_group_by_name);
    Suite *s = suite_create("account");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
