#include "status/status.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(keeps_the_code_and_the_message)
{
    struct rl_error err;
    ck_assert_int_eq(rl_fail(&err, RL_E_DENIED, "no %s", "entry"), RL_E_DENIED);
    ck_assert_int_eq(err.code, RL_E_DENIED);
    ck_assert_str_eq(err.message, "no entry");
}
END_TEST

START_TEST(works_without_an_error_to_fill)
{
    ck_assert_int_eq(rl_fail(NULL, RL_E_INVAL, "x"), RL_E_INVAL);
}
END_TEST

START_TEST(appends_the_reason_of_the_system)
{
    struct rl_error err;
    errno = ENOENT;
    rl_fail_errno(&err, RL_E_NOT_FOUND, "opening %s", "a");
    ck_assert_str_eq(err.message, "opening a: No such file or directory");
}
END_TEST

START_TEST(prefixes_an_error_and_keeps_its_code)
{
    struct rl_error err;
    rl_fail(&err, RL_E_RANGE, "too far");
    ck_assert_int_eq(rl_error_prefix(&err, "reading %d", 7), RL_E_RANGE);
    ck_assert_str_eq(err.message, "reading 7: too far");
}
END_TEST

START_TEST(cuts_a_long_message_at_a_character)
{
    char text[RL_ERROR_MESSAGE_BYTES * 2];
    struct rl_error err;
    for (size_t lead = 0; lead < 3; lead++) {
        memset(text, 'a', lead);
        for (size_t i = lead; i + 3 < sizeof text; i += 3)
            memcpy(text + i, "\xE2\x82\xAC", 4);
        rl_fail(&err, RL_E_INVAL, "%s", text);
        ck_assert_uint_eq((strlen(err.message) - lead) % 3, 0);
        ck_assert_uint_gt(strlen(err.message), RL_ERROR_MESSAGE_BYTES - 5);
    }
}
END_TEST

/* Else the sanitizer would end the process before we could. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

__attribute__((visibility("default"))) const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return __asan_default_options();
}

static void ask_for_too_much(int which)
{
    volatile size_t size = PTRDIFF_MAX;
    void *p = which == 0 ? rl_alloc(size) : rl_alloc_array(size, 2);
    free(p);
}

START_TEST(memory_that_is_refused_ends_the_process_in_one_line)
{
    int fds[2], status = 0;
    char said[4096] = "";
    ck_assert_int_eq(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fds[1], STDERR_FILENO);
        ask_for_too_much(_i);
        _exit(0);
    }
    close(fds[1]);
    size_t n = 0;
    for (ssize_t got; (got = read(fds[0], said + n, sizeof said - 1 - n)) > 0;)
        n += (size_t)got;
    close(fds[0]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(strstr(said, "remoteler: no memory for "), "%s", said);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}
END_TEST

START_TEST(takes_only_known_numbers_from_a_peer)
{
    ck_assert_int_eq(rl_code_from_number(7), RL_E_DENIED);
    ck_assert_int_eq(rl_code_from_number(17), RL_E_UNKNOWN);
    ck_assert_int_eq(rl_code_from_number(-1), RL_E_UNKNOWN);
    ck_assert_str_eq(rl_code_name(RL_E_UNAUTHENTICATED), "UNAUTHENTICATED");
    ck_assert_str_eq(rl_code_name((rl_code)99), "UNKNOWN");
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("status");
    tcase_add_loop_test(t, memory_that_is_refused_ends_the_process_in_one_line, 0, 2);
    tcase_add_test(t, keeps_the_code_and_the_message);
    tcase_add_test(t, works_without_an_error_to_fill);
    tcase_add_test(t, appends_the_reason_of_the_system);
    tcase_add_test(t, prefixes_an_error_and_keeps_its_code);
    tcase_add_test(t, cuts_a_long_message_at_a_character);
    tcase_add_test(t, takes_only_known_numbers_from_a_peer);
    Suite *s = suite_create("status");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
