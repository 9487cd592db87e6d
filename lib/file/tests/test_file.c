#include "file/file.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIMIT 100000

static char dir[] = "/tmp/rl-file-XXXXXX";
static char path[64];

static void setup(void)
{
    memcpy(dir, "/tmp/rl-file-XXXXXX", sizeof dir);
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/f", dir);
}

static void teardown(void)
{
    unlink(path);
    /* Nothing but the file itself may have been left beside it. */
    ck_assert_int_eq(rmdir(dir), 0);
}

static void put(const char *text, size_t n, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert(rl_file_write_fd(fd, RL_SPAN(text, n)));
    ck_assert_int_eq(fchmod(fd, mode), 0);
    close(fd);
}

static mode_t mode_of(const char *file)
{
    struct stat st;
    ck_assert_int_eq(stat(file, &st), 0);
    return st.st_mode & 07777;
}

START_TEST(reads_what_it_wrote)
{
    struct rl_buf back;
    char *big = malloc(LIMIT);
    memset(big, 'x', LIMIT);
    rl_buf_init(&back, LIMIT);
    ck_assert_int_eq(rl_file_write(path, RL_SPAN(big, LIMIT), NULL), RL_OK);
    ck_assert_int_eq(rl_file_read(path, &back, NULL), RL_OK);
    ck_assert(rl_span_equal(rl_buf_span(&back), RL_SPAN(big, LIMIT)));
    ck_assert_uint_eq(mode_of(path), 0600);
    rl_buf_fini(&back);
    free(big);
}
END_TEST

START_TEST(a_file_is_not_written_again_when_it_would_be_the_same)
{
    struct stat first, now;
    ck_assert_int_eq(rl_file_update(path, rl_span_of("text"), NULL), RL_OK);
    ck_assert_int_eq(stat(path, &first), 0);
    ck_assert_int_eq(rl_file_update(path, rl_span_of("text"), NULL), RL_OK);
    ck_assert_int_eq(stat(path, &now), 0);
    ck_assert_uint_eq(now.st_ino, first.st_ino);
    static const char *const others[] = {"texts", "tex", "", "text"};
    for (size_t i = 0; i < RL_COUNT(others); i++) {
        struct rl_buf back;
        rl_buf_init(&back, LIMIT);
        ck_assert_int_eq(rl_file_update(path, rl_span_of(others[i]), NULL), RL_OK);
        ck_assert_int_eq(rl_file_read(path, &back, NULL), RL_OK);
        ck_assert_str_eq(rl_buf_text(&back), others[i]);
        rl_buf_fini(&back);
    }
    put("text", 4, 0644);
    ck_assert_int_eq(rl_file_update(path, rl_span_of("text"), NULL), RL_OK);
    ck_assert_uint_eq(mode_of(path), 0600);
    put("text", 4, 0200);
    ck_assert_int_eq(rl_file_update(path, rl_span_of("text"), NULL), RL_OK);
    ck_assert_uint_eq(mode_of(path), 0600);
}
END_TEST

START_TEST(reads_up_to_the_limit_and_not_a_byte_beyond)
{
    static const struct {
        size_t max;
        rl_code code;
    } cases[] = {{9, RL_E_INVAL}, {10, RL_OK}, {11, RL_OK}};
    put("0123456789", 10, 0600);
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        struct rl_buf out;
        rl_buf_init(&out, cases[i].max);
        ck_assert_int_eq(rl_file_read(path, &out, NULL), cases[i].code);
        rl_buf_fini(&out);
    }
}
END_TEST

START_TEST(says_apart_what_is_missing_and_what_can_not_be_read)
{
    struct rl_buf out;
    rl_buf_init(&out, LIMIT);
    ck_assert_int_eq(rl_file_read(path, &out, NULL), RL_E_NOT_FOUND);
    ck_assert_int_eq(rl_file_read(dir, &out, NULL), RL_E_INVAL);
    rl_buf_fini(&out);
}
END_TEST

START_TEST(a_key_that_others_can_reach_is_refused)
{
    static const mode_t bad[] = {0640, 0604, 0620, 0602, 0610};
    struct rl_buf out;
    rl_buf_init(&out, LIMIT);
    for (size_t i = 0; i < RL_COUNT(bad); i++) {
        put("key", 3, bad[i]);
        ck_assert_int_eq(rl_file_read_private(path, &out, NULL), RL_E_DENIED);
    }
    put("key", 3, 0400);
    ck_assert_int_eq(rl_file_read_private(path, &out, NULL), RL_OK);
    ck_assert(rl_span_is(rl_buf_span(&out), "key"));
    ck_assert_int_eq(rl_file_read_private(dir, &out, NULL), RL_E_INVAL);
    rl_buf_fini(&out);
}
END_TEST

START_TEST(a_secret_loses_one_newline_and_nothing_else)
{
    static const struct {
        const char *text;
        size_t n;
        const char *secret; /* NULL: refused */
    } cases[] = {
        {"pass\n", 5, "pass"},   {"pass", 4, "pass"},   {"pass\n\n", 6, "pass\n"},
        {" p\r\n", 4, " p\r"},   {"", 0, ""},           {"\n", 1, ""},
        {"pa\0ss", 5, NULL},     {"12345678", 8, NULL}, {"1234567\n", 8, "1234567"},
        {"1234567\n8", 9, NULL},
    };
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        struct rl_secret *secret = NULL;
        put(cases[i].text, cases[i].n, 0600);
        rl_code rc = rl_file_read_secret(path, 7, &secret, NULL);
        ck_assert_int_eq(rc, cases[i].secret ? RL_OK : RL_E_INVAL);
        if (cases[i].secret)
            ck_assert(rl_span_is(rl_secret_reveal(secret), cases[i].secret));
        rl_secret_free(&secret);
    }
}
END_TEST

START_TEST(what_is_replaced_keeps_its_mode)
{
    struct stat like;
    put("old", 3, 0644);
    ck_assert_int_eq(stat(path, &like), 0);
    ck_assert_int_eq(rl_file_replace(path, rl_span_of("new"), &like, NULL), RL_OK);
    ck_assert_uint_eq(mode_of(path), 0644);
}
END_TEST

START_TEST(what_can_not_be_replaced_is_left_with_nothing_beside_it)
{
    char below[80];
    ck_assert_int_eq(mkdir(path, 0700), 0);
    snprintf(below, sizeof below, "%s/x", path);
    ck_assert_int_eq(mkdir(below, 0700),
                     0); /* a directory that is not empty takes no file's name */
    ck_assert_int_eq(rl_file_write(path, rl_span_of("new"), NULL), RL_E_UNAVAILABLE);
    ck_assert_int_eq(rmdir(below), 0);
    ck_assert_int_eq(rmdir(path), 0);
    snprintf(below, sizeof below, "%s/no/such", dir);
    ck_assert_int_eq(rl_file_write(below, rl_span_of("new"), NULL), RL_E_UNAVAILABLE);
}
END_TEST

START_TEST(a_new_file_takes_no_other_ones_place)
{
    ck_assert_int_eq(rl_file_create(path, rl_span_of("one"), NULL), RL_OK);
    ck_assert_uint_eq(mode_of(path), 0600);
    ck_assert_int_eq(rl_file_create(path, rl_span_of("two"), NULL), RL_E_EXISTS);
    struct rl_buf out;
    rl_buf_init(&out, LIMIT);
    ck_assert_int_eq(rl_file_read(path, &out, NULL), RL_OK);
    ck_assert(rl_span_is(rl_buf_span(&out), "one"));
    rl_buf_fini(&out);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("file");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, reads_what_it_wrote);
    tcase_add_test(t, a_file_is_not_written_again_when_it_would_be_the_same);
    tcase_add_test(t, reads_up_to_the_limit_and_not_a_byte_beyond);
    tcase_add_test(t, says_apart_what_is_missing_and_what_can_not_be_read);
    tcase_add_test(t, a_key_that_others_can_reach_is_refused);
    tcase_add_test(t, a_secret_loses_one_newline_and_nothing_else);
    tcase_add_test(t, what_is_replaced_keeps_its_mode);
    tcase_add_test(t, what_can_not_be_replaced_is_left_with_nothing_beside_it);
    tcase_add_test(t, a_new_file_takes_no_other_ones_place);
    Suite *s = suite_create("file");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
