#include "enrol/directory.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char base[64], path[96];
static struct rl_directory *directory;

static void set_up(void)
{
    strcpy(base, "/tmp/rl-directory-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(base));
    snprintf(path, sizeof path, "%s/data", base);
    ck_assert_int_eq(rl_directory_open(path, false, &directory, NULL), RL_OK);
}

static void tear_down(void)
{
    char command[160];
    rl_directory_close(&directory);
    snprintf(command, sizeof command, "rm -rf %s", base);
    ck_assert_int_eq(system(command), 0);
}

static mode_t mode_of(const char *name)
{
    char full[192];
    struct stat st;
    snprintf(full, sizeof full, "%s/%s", path, name);
    ck_assert_int_eq(stat(full, &st), 0);
    return st.st_mode & 07777;
}

START_TEST(is_made_for_its_owner_alone)
{
    umask(0);
    ck_assert_int_eq(rl_directory_write(directory, "a", rl_span_of("x"), NULL), RL_OK);
    ck_assert_int_eq(mode_of("."), 0700);
    ck_assert_int_eq(mode_of("a"), 0600);
    ck_assert_int_eq(mode_of("lock"), 0600);
}
END_TEST

START_TEST(remembers_and_leaves_no_file)
{
    struct rl_directory *memory = NULL;
    struct rl_buf out;
    char other[128], name[8];
    rl_buf_init(&out, 1024);
    snprintf(other, sizeof other, "%s/memory", base);
    ck_assert_int_eq(rl_directory_open(other, true, &memory, NULL), RL_OK);
    ck_assert_int_eq(rl_directory_read(memory, "a", 100, &out, NULL), RL_E_NOT_FOUND);
    ck_assert_int_eq(rl_directory_write(memory, "a", rl_span_of("old"), NULL), RL_OK);
    ck_assert_int_eq(rl_directory_write(memory, "a", rl_span_of("new"), NULL), RL_OK);
    ck_assert_int_eq(rl_directory_read(memory, "a", 3, &out, NULL), RL_OK);
    ck_assert_str_eq(rl_buf_text(&out), "new");
    ck_assert_int_eq(rl_directory_read(memory, "a", 2, &out, NULL), RL_E_INVAL);
    for (int i = 1; i < RL_DIRECTORY_MEMORY_FILES_MAX; i++) {
        snprintf(name, sizeof name, "f%d", i);
        ck_assert_int_eq(rl_directory_write(memory, name, RL_SPAN(NULL, 0), NULL), RL_OK);
    }
    ck_assert_int_eq(rl_directory_write(memory, "more", rl_span_of("x"), NULL), RL_E_EXHAUSTED);
    ck_assert_int_eq(rl_directory_write(memory, "a", rl_span_of("again"), NULL), RL_OK);
    DIR *entries = opendir(other);
    for (struct dirent *e; (e = readdir(entries));)
        ck_assert(e->d_name[0] == '.' || strcmp(e->d_name, "lock") == 0);
    closedir(entries);
    rl_directory_close(&memory);
    rl_buf_fini(&out);
}
END_TEST

START_TEST(reads_what_was_written_last)
{
    struct rl_buf out;
    rl_buf_init(&out, 1024);
    ck_assert_int_eq(rl_directory_read(directory, "a", 100, &out, NULL), RL_E_NOT_FOUND);
    ck_assert_int_eq(rl_directory_write(directory, "a", rl_span_of("a longer one"), NULL), RL_OK);
    ck_assert_int_eq(rl_directory_write(directory, "a", rl_span_of("new"), NULL), RL_OK);
    ck_assert_int_eq(rl_directory_read(directory, "a", 3, &out, NULL), RL_OK);
    ck_assert_str_eq(rl_buf_text(&out), "new");
    ck_assert_int_eq(rl_directory_read(directory, "a", 2, &out, NULL), RL_E_INVAL);
    ck_assert_int_eq(rl_directory_write(directory, "empty", RL_SPAN(NULL, 0), NULL), RL_OK);
    rl_buf_clear(&out);
    ck_assert_int_eq(rl_directory_read(directory, "empty", 100, &out, NULL), RL_OK);
    ck_assert_uint_eq(out.n, 0);
    rl_buf_fini(&out);
}
END_TEST

START_TEST(a_write_that_fails_leaves_the_old_file)
{
    struct rl_buf out;
    char in_the_way[192];
    rl_buf_init(&out, 1024);
    ck_assert_int_eq(rl_directory_write(directory, "a", rl_span_of("old"), NULL), RL_OK);
    snprintf(in_the_way, sizeof in_the_way, "%s/a.new", path);
    ck_assert_int_eq(mkdir(in_the_way, 0700), 0);
    ck_assert_int_eq(rl_directory_write(directory, "a", rl_span_of("new"), NULL), RL_E_UNAVAILABLE);
    ck_assert_int_eq(rl_directory_read(directory, "a", 100, &out, NULL), RL_OK);
    ck_assert_str_eq(rl_buf_text(&out), "old");
    rl_buf_fini(&out);
}
END_TEST

START_TEST(does_not_follow_links)
{
    char link[192];
    struct rl_buf out;
    rl_buf_init(&out, 1024);
    snprintf(link, sizeof link, "%s/a", path);
    ck_assert_int_eq(symlink("/etc/passwd", link), 0);
    ck_assert_int_eq(rl_directory_read(directory, "a", 100000, &out, NULL), RL_E_INVAL);
    rl_buf_fini(&out);
}
END_TEST

START_TEST(is_for_one_process)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct rl_directory *second = NULL;
        _exit(rl_directory_open(path, false, &second, NULL) == RL_E_EXISTS ? 0 : 1);
    }
    int status = -1;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(a_child_does_not_hold_it_for_a_dead_parent)
{
    /* a session's process outlives the agent that forked it */
    int ready[2], done[2];
    char byte;
    rl_directory_close(&directory);
    ck_assert_int_eq(pipe(ready), 0);
    ck_assert_int_eq(pipe(done), 0);
    fflush(NULL);
    pid_t parent = fork();
    if (parent == 0) {
        if (rl_directory_open(path, false, &directory, NULL) != RL_OK)
            _exit(1);
        if (fork() == 0) {
            close(done[1]);
            (void)!write(ready[1], "x", 1);
            (void)!read(done[0], &byte, 1);
        }
        _exit(0);
    }
    int status = -1;
    ck_assert_int_eq(waitpid(parent, &status, 0), parent);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    ck_assert_int_eq(rl_directory_open(path, false, &directory, NULL), RL_OK);
    close(done[1]);
}
END_TEST

START_TEST(is_refused_where_others_may_write)
{
    struct rl_error err;
    rl_directory_close(&directory);
    ck_assert_int_eq(chmod(path, 0770), 0);
    ck_assert_int_eq(rl_directory_open(path, false, &directory, &err), RL_E_INVAL);
    ck_assert_ptr_nonnull(strstr(err.message, "chmod 700"));
    ck_assert_int_eq(chmod(path, 0755), 0);
    ck_assert_int_eq(rl_directory_open(path, false, &directory, NULL), RL_OK);
    struct rl_directory *none = NULL;
    ck_assert_int_eq(rl_directory_open("/nowhere/at/all", false, &none, NULL), RL_E_INVAL);
    ck_assert_int_eq(rl_directory_open("/etc/passwd", false, &none, NULL), RL_E_INVAL);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("directory");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, is_made_for_its_owner_alone);
    tcase_add_test(t, reads_what_was_written_last);
    tcase_add_test(t, remembers_and_leaves_no_file);
    tcase_add_test(t, a_write_that_fails_leaves_the_old_file);
    tcase_add_test(t, does_not_follow_links);
    tcase_add_test(t, is_for_one_process);
    tcase_add_test(t, a_child_does_not_hold_it_for_a_dead_parent);
    tcase_add_test(t, is_refused_where_others_may_write);
    Suite *s = suite_create("directory");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
