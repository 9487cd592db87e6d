#include "home.h"
#include "sshconfig.h"

#define LINE "Include \"/home/alice/.tsh/ssh_config\" # remoteler\n"

static struct rl_error err;
static char config[80];

static void set_up(void)
{
    home_make();
    snprintf(config, sizeof config, "%s/.ssh/config", home);
}

static rl_code include(bool wanted)
{
    return tsh_sshconfig_include_in(config, "/home/alice/.tsh", wanted, &err);
}

static void check_text(const char *path, const char *expected)
{
    char *text = read_text(path);
    ck_assert_str_eq(text, expected);
    free(text);
}

static void users_own(const char *text)
{
    char dir[80];
    snprintf(dir, sizeof dir, "%s/.ssh", home);
    ck_assert_int_eq(mkdir(dir, 0700), 0);
    write_text(config, text);
}

START_TEST(makes_the_file_and_its_directory)
{
    struct stat st;
    ck_assert_int_eq(include(true), RL_OK);
    check_text(config, LINE);
    ck_assert_int_eq(stat(config, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    char dir[80];
    snprintf(dir, sizeof dir, "%s/.ssh", home);
    ck_assert_int_eq(stat(dir, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0700);
}
END_TEST

START_TEST(goes_first_once_and_comes_out_again)
{
    static const char own[] = "Host *\n    User alice\n# no newline at the end";
    users_own(own);
    ck_assert_int_eq(include(true), RL_OK);
    check_text(config, LINE "Host *\n    User alice\n# no newline at the end");
    ck_assert_int_eq(include(true), RL_OK);
    check_text(config, LINE "Host *\n    User alice\n# no newline at the end");
    ck_assert_int_eq(include(false), RL_OK);
    check_text(config, own);
    ck_assert_int_eq(include(false), RL_OK);
    check_text(config, own);
}
END_TEST

START_TEST(goes_first_again_where_something_was_put_before_it)
{
    users_own("Host a\n" LINE "Host b\n" LINE);
    ck_assert_int_eq(include(true), RL_OK);
    check_text(config, LINE "Host a\nHost b\n");
}
END_TEST

START_TEST(takes_nobody_elses_line)
{
    static const char others[] = "Include \"/home/alice/.tsh/ssh_config\"\n"
                                 "Include \"/elsewhere/.tsh/ssh_config\" # remoteler\n";
    users_own(others);
    ck_assert_int_eq(include(false), RL_OK);
    check_text(config, others);
}
END_TEST

START_TEST(keeps_mode_and_owner)
{
    struct stat st;
    users_own("Host a\n");
    ck_assert_int_eq(chmod(config, 0640), 0);
    if (geteuid() == 0)
        ck_assert_int_eq(chown(config, 65534, 65533), 0);
    ck_assert_int_eq(include(true), RL_OK);
    ck_assert_int_eq(stat(config, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0640);
    if (geteuid() == 0) {
        ck_assert_uint_eq(st.st_uid, 65534);
        ck_assert_uint_eq(st.st_gid, 65533);
    }
}
END_TEST

START_TEST(keeps_a_symbolic_link)
{
    struct stat st;
    char target[80];
    users_own("Host a\n");
    snprintf(target, sizeof target, "%s/dotfiles", home);
    ck_assert_int_eq(rename(config, target), 0);
    ck_assert_int_eq(symlink("../dotfiles", config), 0);
    ck_assert_int_eq(include(true), RL_OK);
    ck_assert_int_eq(lstat(config, &st), 0);
    ck_assert(S_ISLNK(st.st_mode));
    check_text(target, LINE "Host a\n");
    ck_assert_int_eq(include(false), RL_OK);
    check_text(target, "Host a\n");
}
END_TEST

START_TEST(keeps_every_byte_of_the_users)
{
    static const char own[] = "Host a\n\0\xff\r\n\n\nHost b\n";
    struct rl_buf back;
    users_own("");
    ck_assert_int_eq(rl_file_write(config, RL_SPAN(own, sizeof own - 1), NULL), RL_OK);
    ck_assert_int_eq(include(true), RL_OK);
    ck_assert_int_eq(include(false), RL_OK);
    rl_buf_init(&back, 4096);
    ck_assert_int_eq(rl_file_read(config, &back, NULL), RL_OK);
    ck_assert(rl_span_equal(rl_buf_span(&back), RL_SPAN(own, sizeof own - 1)));
    rl_buf_fini(&back);
}
END_TEST

START_TEST(a_logout_makes_nothing)
{
    ck_assert_int_eq(include(false), RL_OK);
    char dir[80];
    snprintf(dir, sizeof dir, "%s/.ssh", home);
    ck_assert_int_ne(access(dir, F_OK), 0);
}
END_TEST

START_TEST(a_home_with_a_quote_gets_no_line)
{
    ck_assert_int_eq(tsh_sshconfig_include_in(config, "/x\"\nHost *", true, &err), RL_E_INVAL);
    ck_assert_int_ne(access(config, F_OK), 0);
}
END_TEST

START_TEST(what_can_not_be_written_is_left_as_it_was)
{
    struct stat st;
    if (geteuid() == 0)
        return; /* root writes everywhere */
    users_own("Host a\n");
    char dir[80];
    snprintf(dir, sizeof dir, "%s/.ssh", home);
    ck_assert_int_eq(chmod(dir, 0500), 0);
    ck_assert_int_eq(include(true), RL_E_UNAVAILABLE);
    ck_assert_int_eq(stat(config, &st), 0);
    check_text(config, "Host a\n");
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("sshinclude");
    tcase_add_checked_fixture(t, set_up, home_remove);
    tcase_add_test(t, makes_the_file_and_its_directory);
    tcase_add_test(t, goes_first_once_and_comes_out_again);
    tcase_add_test(t, goes_first_again_where_something_was_put_before_it);
    tcase_add_test(t, takes_nobody_elses_line);
    tcase_add_test(t, keeps_mode_and_owner);
    tcase_add_test(t, keeps_a_symbolic_link);
    tcase_add_test(t, keeps_every_byte_of_the_users);
    tcase_add_test(t, a_logout_makes_nothing);
    tcase_add_test(t, a_home_with_a_quote_gets_no_line);
    tcase_add_test(t, what_can_not_be_written_is_left_as_it_was);
    return run_suite(t, "sshinclude");
}
