#include "sftp_client.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { READ = 1, WRITE = 2, APPEND = 4, CREATE = 8, TRUNCATE = 16, EXCLUSIVE = 32 };
#define SWAPS 3000

START_TEST(what_is_written_is_read_and_told_when_closed)
{
    struct name h;
    uint32_t code;
    ck_assert_uint_eq(open_file("f", READ | WRITE | CREATE | TRUNCATE, &h), FX_OK);
    ck_assert_uint_eq(write_at(&h, 0, "hello"), FX_OK);
    ck_assert_uint_eq(write_at(&h, 5, " world"), FX_OK);
    ck_assert(rl_span_is(read_at(&h, 6, 100, &code), "world"));
    ck_assert_uint_eq(told.count, 0);
    ck_assert_uint_eq(close_handle(&h), FX_OK);
    ck_assert_str_eq(file_text("f"), "hello world");
    ck_assert_uint_eq(told.count, 1);
    ck_assert_int_eq(told.kind, RL_SFTP_WRITE);
    ck_assert_str_eq(told.path, real("f"));
    ck_assert_uint_eq(told.bytes_written, 11);
    ck_assert_uint_eq(told.bytes_read, 5);
}
END_TEST

START_TEST(a_file_left_open_is_told_at_the_end)
{
    struct name h;
    ck_assert_uint_eq(open_file("f", WRITE | CREATE, &h), FX_OK);
    ck_assert_uint_eq(write_at(&h, 0, "x"), FX_OK);
    rl_sftp_free(&server);
    ck_assert_uint_eq(told.count, 1);
    ck_assert_uint_eq(told.bytes_written, 1);
}
END_TEST

START_TEST(append_exclusive_and_truncate_do_what_they_say)
{
    struct name h;
    put_file("f", "abc");
    ck_assert_uint_eq(open_file("f", WRITE | APPEND, &h), FX_OK);
    ck_assert_uint_eq(write_at(&h, 0, "def"), FX_OK);
    ck_assert_uint_eq(close_handle(&h), FX_OK);
    ck_assert_str_eq(file_text("f"), "abcdef");
    ck_assert_uint_eq(open_file("f", WRITE | CREATE | EXCLUSIVE, &h), FX_FAILURE);
    ck_assert_int_eq(told.error, EEXIST);
    ck_assert_uint_eq(open_file("f", WRITE | TRUNCATE, &h), FX_OK);
    ck_assert_uint_eq(close_handle(&h), FX_OK);
    ck_assert_str_eq(file_text("f"), "");
}
END_TEST

START_TEST(a_handle_for_reading_does_not_write)
{
    struct name h;
    put_file("f", "abc");
    ck_assert_uint_eq(open_file("f", READ, &h), FX_OK);
    ck_assert_uint_eq(write_at(&h, 0, "x"), FX_FAILURE);
    ck_assert_str_eq(file_text("f"), "abc");
}
END_TEST

START_TEST(devices_fifos_sockets_and_directories_are_not_opened_and_not_waited_for)
{
    struct name h;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    ck_assert_int_eq(mkfifo(real("fifo"), 0666), 0);
    ck_assert_int_eq(mkdir(real("d"), 0777), 0);
    const char *path = real("s");
    ck_assert_uint_lt(strlen(path), sizeof address.sun_path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(s, (struct sockaddr *)&address, sizeof address), 0);
    close(s);
    for (uint32_t flags = READ; flags <= WRITE; flags++) {
        ck_assert_uint_eq(open_file("fifo", flags, &h), FX_PERMISSION_DENIED);
        ck_assert_uint_eq(open_file("s", flags, &h), FX_PERMISSION_DENIED);
        ck_assert_uint_eq(open_file("d", flags, &h), FX_FAILURE);
        ck_assert_uint_eq(open_file("/", flags, &h), FX_FAILURE);
    }
    ck_assert_int_eq(told.error, EISDIR);
}
END_TEST

START_TEST(of_devices_only_null_is_opened)
{
    const struct rl_sftp_config config = {.in = -1, .out = -1, .root_fd = -1};
    struct rl_cursor c;
    struct name h;
    rl_sftp_free(&server);
    server = rl_sftp_create(&config);
    begin(FXP_INIT);
    rl_buf_put_u32(&request, 3);
    ask(&c);
    ck_assert_uint_eq(open_file("/dev/zero", READ, &h), FX_PERMISSION_DENIED);
    ck_assert_uint_eq(open_file("/dev/tty", READ, &h), FX_PERMISSION_DENIED);
    ck_assert_uint_eq(open_file("/dev/null", WRITE, &h), FX_OK);
    ck_assert_uint_eq(write_at(&h, 0, "gone"), FX_OK);
    ck_assert_uint_eq(close_handle(&h), FX_OK);
}
END_TEST

START_TEST(an_open_file_stays_itself_whatever_takes_its_name)
{
    struct name h;
    put_file("f", "mine");
    put_file("victim", "victim");
    ck_assert_uint_eq(open_file("f", READ | WRITE, &h), FX_OK);
    ck_assert_int_eq(unlinkat(scratch_fd, "f", 0), 0);
    ck_assert_int_eq(symlinkat("victim", scratch_fd, "f"), 0);
    ck_assert_uint_eq(write_at(&h, 0, "XXXX"), FX_OK);
    begin_handle(FXP_FSETSTAT, &h);
    rl_buf_put_u32(&request, ATTR_SIZE | ATTR_MODE);
    rl_buf_put_u64(&request, 0);
    rl_buf_put_u32(&request, 0);
    ck_assert_uint_eq(status(), FX_OK);
    ck_assert_str_eq(file_text("victim"), "victim");
    struct stat st;
    ck_assert_int_eq(stat(real("victim"), &st), 0);
    ck_assert_uint_ne(st.st_mode & 0777, 0);
}
END_TEST

START_TEST(links_are_followed_but_not_by_what_makes_or_removes)
{
    struct name h;
    uint32_t code;
    put_file("f", "text");
    ck_assert_int_eq(symlinkat("f", scratch_fd, "link"), 0);
    ck_assert_int_eq(symlinkat("new", scratch_fd, "dangling"), 0);
    ck_assert_int_eq(symlinkat("loop", scratch_fd, "loop"), 0);
    ck_assert_uint_eq(open_file("link", READ, &h), FX_OK);
    ck_assert(rl_span_is(read_at(&h, 0, 10, &code), "text"));
    ck_assert_uint_eq(open_file("dangling", WRITE | CREATE, &h), FX_OK);
    ck_assert_int_eq(access(real("new"), F_OK), 0);
    ck_assert_uint_eq(open_file("loop", READ, &h), FX_NO_SUCH_FILE);
    ck_assert_uint_eq(open_file("link", WRITE | CREATE | EXCLUSIVE, &h), FX_FAILURE);
    ck_assert_uint_eq(one_path(FXP_REMOVE, "link"), FX_OK);
    ck_assert_str_eq(file_text("f"), "text");
}
END_TEST

/* ---- somebody who swaps names all the time ---- */

static _Atomic bool is_over;

/* "x" is by turns a file, and a link to the victim. */
static void *swap(void *unused)
{
    (void)unused;
    while (!is_over) {
        int fd = openat(scratch_fd, "file~", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
        close(fd);
        renameat(scratch_fd, "file~", scratch_fd, "x");
        if (symlinkat("victim", scratch_fd, "link~") == 0)
            renameat(scratch_fd, "link~", scratch_fd, "x");
    }
    return NULL;
}

static void attack(void)
{
    struct name h;
    begin_extended("lsetstat@openssh.com");
    put_path("x");
    rl_buf_put_u32(&request, ATTR_MODE | ATTR_TIMES);
    rl_buf_put_u32(&request, 0);
    rl_buf_put_u32(&request, 1);
    rl_buf_put_u32(&request, 1);
    status();
    one_path(FXP_REMOVE, "x");
    if (open_file("x", WRITE | CREATE | EXCLUSIVE | TRUNCATE, &h) == FX_OK)
        close_handle(&h);
}

START_TEST(names_swapped_midway_never_lead_where_links_are_not_followed)
{
    pthread_t thread;
    struct stat before, after;
    put_file("victim", "victim");
    ck_assert_int_eq(stat(real("victim"), &before), 0);
    is_over = false;
    ck_assert_int_eq(pthread_create(&thread, NULL, swap, NULL), 0);
    for (int i = 0; i < SWAPS; i++)
        attack();
    is_over = true;
    pthread_join(thread, NULL);
    ck_assert_int_eq(stat(real("victim"), &after), 0);
    ck_assert_uint_eq(before.st_mode, after.st_mode);
    ck_assert_int_eq(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
    ck_assert_str_eq(file_text("victim"), "victim");
}
END_TEST

START_TEST(all_that_a_setstat_sets_is_set_on_one_thing)
{
    struct stat st;
    put_file("f", "0123456789");
    ck_assert_int_eq(symlinkat("f", scratch_fd, "link"), 0);
    begin(FXP_SETSTAT);
    put_path("link");
    rl_buf_put_u32(&request, ATTR_SIZE | ATTR_MODE | ATTR_TIMES);
    rl_buf_put_u64(&request, 4);
    rl_buf_put_u32(&request, 0100640);
    rl_buf_put_u32(&request, 1000000000);
    rl_buf_put_u32(&request, 2000000000);
    ck_assert_uint_eq(status(), FX_OK);
    ck_assert_int_eq(lstat(real("f"), &st), 0);
    ck_assert_int_eq(st.st_size, 4);
    ck_assert_uint_eq(st.st_mode, S_IFREG | 0640);
    ck_assert_int_eq(st.st_mtim.tv_sec, 2000000000);
    ck_assert_int_eq(told.kind, RL_SFTP_SETSTAT);
    ck_assert_str_eq(told.path, real("f"));
    ck_assert_str_eq(told.target, "mode=640 size=4 times");
}
END_TEST

START_TEST(fsync_and_statvfs_answer)
{
    struct rl_cursor c;
    struct name h;
    ck_assert_uint_eq(open_file("f", WRITE | CREATE, &h), FX_OK);
    begin_extended("fsync@openssh.com");
    rl_buf_put_string(&request, RL_SPAN(h.bytes, 8));
    ck_assert_uint_eq(status(), FX_OK);
    begin_extended("fstatvfs@openssh.com");
    rl_buf_put_string(&request, RL_SPAN(h.bytes, 8));
    ck_assert_uint_eq(ask(&c), FXP_EXTENDED_REPLY);
    ck_assert_uint_eq(c.n, 11 * 8);
    begin_extended("statvfs@openssh.com");
    put_path("/");
    ck_assert_uint_eq(ask(&c), FXP_EXTENDED_REPLY);
    begin_extended("limits@openssh.com");
    ck_assert_uint_eq(ask(&c), FXP_EXTENDED_REPLY);
    ck_assert_uint_eq(rl_cursor_u64(&c), RL_SFTP_PACKET_BYTES_MAX);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sftp files");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, what_is_written_is_read_and_told_when_closed);
    tcase_add_test(tests, a_file_left_open_is_told_at_the_end);
    tcase_add_test(tests, append_exclusive_and_truncate_do_what_they_say);
    tcase_add_test(tests, a_handle_for_reading_does_not_write);
    tcase_add_test(tests, devices_fifos_sockets_and_directories_are_not_opened_and_not_waited_for);
    tcase_add_test(tests, of_devices_only_null_is_opened);
    tcase_add_test(tests, an_open_file_stays_itself_whatever_takes_its_name);
    tcase_add_test(tests, links_are_followed_but_not_by_what_makes_or_removes);
    tcase_add_test(tests, names_swapped_midway_never_lead_where_links_are_not_followed);
    tcase_add_test(tests, all_that_a_setstat_sets_is_set_on_one_thing);
    tcase_add_test(tests, fsync_and_statvfs_answer);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
