#include "sftp_client.h"

#define FILES 100000
#define NOT_UTF8 "caf\xe9\xff\x01"

START_TEST(rename_replaces_nothing_and_posix_rename_does)
{
    put_file("a", "a");
    put_file("b", "b");
    ck_assert_uint_eq(two_paths(FXP_RENAME, NULL, "a", "b"), FX_FAILURE);
    ck_assert_int_eq(told.error, EEXIST);
    ck_assert_str_eq(file_text("b"), "b");
    ck_assert_uint_eq(two_paths(FXP_RENAME, NULL, "a", "c"), FX_OK);
    ck_assert_str_eq(file_text("c"), "a");
    ck_assert_uint_eq(two_paths(FXP_EXTENDED, "posix-rename@openssh.com", "c", "b"), FX_OK);
    ck_assert_str_eq(file_text("b"), "a");
    ck_assert_int_eq(told.kind, RL_SFTP_RENAME);
    ck_assert_str_eq(told.target, real("b"));
}
END_TEST

START_TEST(links_are_made_read_and_removed)
{
    struct rl_cursor c;
    struct stat st;
    put_file("f", "text");
    ck_assert_uint_eq(two_paths(FXP_SYMLINK, NULL, "../f", "s"), FX_OK);
    ck_assert_str_eq(told.path, real("s"));
    ck_assert_str_eq(told.target, "../f");
    begin(FXP_READLINK);
    put_path("s");
    ck_assert_uint_eq(ask(&c), FXP_NAME);
    ck_assert_uint_eq(rl_cursor_u32(&c), 1);
    ck_assert(rl_span_is(rl_cursor_string(&c), "../f"));
    begin(FXP_READLINK);
    put_path("f");
    ck_assert_uint_eq(status(), FX_BAD_MESSAGE);
    ck_assert_uint_eq(two_paths(FXP_EXTENDED, "hardlink@openssh.com", "f", "h"), FX_OK);
    ck_assert_int_eq(stat(real("h"), &st), 0);
    ck_assert_uint_eq(st.st_nlink, 2);
    ck_assert_uint_eq(two_paths(FXP_EXTENDED, "hardlink@openssh.com", "f", "h"), FX_FAILURE);
}
END_TEST

START_TEST(directories_are_made_and_removed_when_empty)
{
    ck_assert_uint_eq(one_path(FXP_MKDIR, "d"), FX_OK);
    ck_assert_uint_eq(one_path(FXP_MKDIR, "d"), FX_FAILURE);
    ck_assert_uint_eq(one_path(FXP_MKDIR, "d/e/"), FX_OK);
    ck_assert_uint_eq(one_path(FXP_RMDIR, "d"), FX_FAILURE);
    ck_assert_uint_eq(one_path(FXP_REMOVE, "d"), FX_FAILURE);
    ck_assert_uint_eq(one_path(FXP_RMDIR, "d/e"), FX_OK);
    ck_assert_uint_eq(one_path(FXP_RMDIR, "/d"), FX_OK);
    ck_assert_int_eq(told.kind, RL_SFTP_RMDIR);
    ck_assert_uint_eq(one_path(FXP_RMDIR, "none"), FX_NO_SUCH_FILE);
    ck_assert_uint_eq(one_path(FXP_RMDIR, "."), FX_BAD_MESSAGE);
    ck_assert_uint_ne(one_path(FXP_RMDIR, "/"), FX_OK);
}
END_TEST

START_TEST(dots_do_not_lead_out_of_the_root_that_was_given)
{
    static const char *const paths[] = {"../../../etc/passwd", "/../etc/passwd", "/etc/passwd",
                                        "out/etc/passwd", "outside"};
    struct name h;
    ck_assert_int_eq(symlinkat("/", scratch_fd, "out"), 0);
    ck_assert_int_eq(symlinkat("/etc/passwd", scratch_fd, "outside"), 0);
    for (size_t i = 0; i < RL_COUNT(paths); i++)
        ck_assert_uint_eq(open_file(paths[i], 1, &h), FX_NO_SUCH_FILE);
    ck_assert_uint_eq(one_path(FXP_MKDIR, "../../x"), FX_OK);
    ck_assert_int_eq(access(real("x"), F_OK), 0);
}
END_TEST

/* The names of a directory; `wanted` is among them. */
static unsigned list(const char *path, const char *wanted, bool *found)
{
    struct rl_cursor c;
    struct name h;
    unsigned count = 0;
    begin(FXP_OPENDIR);
    put_path(path);
    ck_assert_uint_eq(take_handle(&h), FX_OK);
    *found = false;
    for (;;) {
        begin_handle(FXP_READDIR, &h);
        if (ask(&c) == FXP_STATUS)
            break;
        ck_assert_uint_lt(reply.n, RL_SFTP_PACKET_BYTES_MAX);
        for (uint32_t n = rl_cursor_u32(&c); n; n--) {
            struct attributes a;
            *found |= rl_span_is(rl_cursor_string(&c), wanted);
            rl_cursor_string(&c);
            ck_assert(rl_sftp_read_attributes(&c, &a));
            count++;
        }
        ck_assert(rl_cursor_done(&c));
    }
    ck_assert_uint_eq(rl_cursor_u32(&c), FX_EOF);
    ck_assert_uint_eq(close_handle(&h), FX_OK);
    return count;
}

START_TEST(names_that_are_not_utf8_are_names)
{
    bool found;
    struct name h;
    ck_assert_uint_eq(open_file(NOT_UTF8, 2 | 8, &h), FX_OK);
    ck_assert_uint_eq(write_at(&h, 0, "x"), FX_OK);
    ck_assert_uint_eq(close_handle(&h), FX_OK);
    ck_assert_int_eq(access(real(NOT_UTF8), F_OK), 0);
    ck_assert_uint_eq(list("/", NOT_UTF8, &found), 3);
    ck_assert(found);
    ck_assert_uint_eq(two_paths(FXP_RENAME, NULL, NOT_UTF8, "plain"), FX_OK);
}
END_TEST

START_TEST(a_hundred_thousand_files_are_listed_a_part_at_a_time)
{
    bool found;
    char name[32];
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "f%d", i);
        int fd = openat(scratch_fd, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        ck_assert_int_ge(fd, 0);
        close(fd);
    }
    ck_assert_uint_eq(list(".", "f99999", &found), FILES + 2);
    ck_assert(found);
    ck_assert_uint_eq(told.count, 1);
    ck_assert_int_eq(told.kind, RL_SFTP_LIST);
}
END_TEST

START_TEST(an_open_directory_stays_itself_whatever_takes_its_name)
{
    struct rl_cursor c;
    struct name h;
    ck_assert_int_eq(mkdir(real("d"), 0777), 0);
    ck_assert_int_eq(mkdir(real("other"), 0777), 0);
    put_file("other/secret", "");
    begin(FXP_OPENDIR);
    put_path("d");
    ck_assert_uint_eq(take_handle(&h), FX_OK);
    ck_assert_int_eq(renameat(scratch_fd, "d", scratch_fd, "moved"), 0);
    ck_assert_int_eq(symlinkat("other", scratch_fd, "d"), 0);
    begin_handle(FXP_READDIR, &h);
    ck_assert_uint_eq(ask(&c), FXP_NAME);
    ck_assert_ptr_null(memmem(reply.p, reply.n, "secret", 6));
    begin_handle(FXP_READ, &h);
    rl_buf_put_u64(&request, 0);
    rl_buf_put_u32(&request, 1);
    ck_assert_uint_eq(status(), FX_BAD_MESSAGE);
}
END_TEST

static void check_real_path(const char *extension, const char *path, const char *want)
{
    struct rl_cursor c;
    begin(extension ? FXP_EXTENDED : FXP_REALPATH);
    if (extension)
        put_path(extension);
    put_path(path);
    ck_assert_uint_eq(ask(&c), FXP_NAME);
    ck_assert_uint_eq(rl_cursor_u32(&c), 1);
    struct rl_span got = rl_cursor_string(&c);
    ck_assert_mem_eq(got.p, want, got.n);
    ck_assert_uint_eq(got.n, strlen(want));
}

START_TEST(real_paths_are_whole_and_their_last_name_may_be_missing)
{
    ck_assert_int_eq(mkdir(real("home"), 0777), 0);
    ck_assert_int_eq(mkdir(real("d"), 0777), 0);
    ck_assert_int_eq(symlinkat("d", scratch_fd, "link"), 0);
    check_real_path(NULL, "", scratch);
    check_real_path(NULL, ".", scratch);
    check_real_path(NULL, "d/../link/.", real("d"));
    check_real_path(NULL, "link/new", real("d/new"));
    check_real_path("expand-path@openssh.com", "~", real("home"));
    check_real_path("expand-path@openssh.com", "~/x", real("home/x"));
    begin(FXP_REALPATH);
    put_path("none/new");
    ck_assert_uint_eq(status(), FX_NO_SUCH_FILE);
    begin_extended("expand-path@openssh.com");
    put_path("~nobody-of-that-name/x");
    ck_assert_uint_eq(status(), FX_NO_SUCH_FILE);
}
END_TEST

START_TEST(users_and_groups_have_names_where_there_are_any)
{
    struct rl_cursor c;
    begin_extended("users-groups-by-id@openssh.com");
    rl_buf_put_u32(&request, 8);
    rl_buf_put_u32(&request, 0);
    rl_buf_put_u32(&request, 4000000000u);
    rl_buf_put_u32(&request, 4);
    rl_buf_put_u32(&request, 0);
    ck_assert_uint_eq(ask(&c), FXP_EXTENDED_REPLY);
    struct rl_span users = rl_cursor_string(&c), groups = rl_cursor_string(&c);
    ck_assert(rl_cursor_done(&c));
    ck_assert(rl_span_equal(users, RL_SPAN("\0\0\0\4root\0\0\0\0", 12)));
    ck_assert(rl_span_equal(groups, RL_SPAN("\0\0\0\4root", 8)));
    begin_extended("users-groups-by-id@openssh.com");
    rl_buf_put_string(&request, rl_span_of("123"));
    ck_assert_uint_eq(status(), FX_BAD_MESSAGE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sftp tree");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, rename_replaces_nothing_and_posix_rename_does);
    tcase_add_test(tests, links_are_made_read_and_removed);
    tcase_add_test(tests, directories_are_made_and_removed_when_empty);
    tcase_add_test(tests, dots_do_not_lead_out_of_the_root_that_was_given);
    tcase_add_test(tests, names_that_are_not_utf8_are_names);
    tcase_add_test(tests, a_hundred_thousand_files_are_listed_a_part_at_a_time);
    tcase_add_test(tests, an_open_directory_stays_itself_whatever_takes_its_name);
    tcase_add_test(tests, real_paths_are_whole_and_their_last_name_may_be_missing);
    tcase_add_test(tests, users_and_groups_have_names_where_there_are_any);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
