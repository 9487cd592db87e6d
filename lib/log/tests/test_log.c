#include "log/log.h"

#include "clock/clock.h"

#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int saved_stderr, reader;
static char line[100000];

static void set_up(void)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    saved_stderr = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    reader = ends[0];
}

static void tear_down(void)
{
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    close(reader);
}

/* What was logged: a pipe of 64 KiB holds a whole line. */
static const char *logged(void)
{
    ssize_t n = read(reader, line, sizeof line - 1);
    ck_assert_int_gt(n, 0);
    line[n] = '\0';
    return line;
}

static json_t *logged_json(void)
{
    const char *text = logged();
    json_error_t error;
    ck_assert_msg(text[strlen(text) - 1] == '\n', "no end of line");
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(root != NULL, "%s in %s", error.text, text);
    return root;
}

static void check_text(json_t *root, const char *key, const char *want)
{
    ck_assert_msg(json_is_string(json_object_get(root, key)), "no %s", key);
    ck_assert_str_eq(json_string_value(json_object_get(root, key)), want);
}

START_TEST(writes_one_object_a_line)
{
    rl_log_setup("remoteler-auth", RL_LOG_INFO, false);
    rl_log_info("agent attached", RL_TEXT("agent", "a-1"), RL_NUMBER("epoch", -42));
    json_t *root = logged_json();
    check_text(root, "level", "info");
    check_text(root, "program", "remoteler-auth");
    check_text(root, "message", "agent attached");
    check_text(root, "agent", "a-1");
    ck_assert_int_eq(json_integer_value(json_object_get(root, "epoch")), -42);
    int64_t when;
    ck_assert_int_eq(rl_clock_parse(json_string_value(json_object_get(root, "time")), &when, NULL),
                     RL_OK);
    json_decref(root);
}
END_TEST

START_TEST(works_without_fields_and_with_a_missing_text)
{
    rl_log_setup("p", RL_LOG_DEBUG, false);
    rl_log_error("bare");
    json_decref(logged_json());
    const char *none = NULL;
    rl_log_debug("with", RL_TEXT("x", none));
    json_t *root = logged_json();
    check_text(root, "x", "");
    json_decref(root);
}
END_TEST

START_TEST(escapes_whatever_bytes_there_are)
{
    char all[256];
    for (int i = 0; i < 255; i++)
        all[i] = (char)(i + 1);
    all[255] = '\0';
    rl_log_setup("p", RL_LOG_INFO, false);
    rl_log_info("x", RL_TEXT("all", all), RL_TEXT("ok", "Zürich \"€\" \\ \n\x1b[0m"));
    ck_assert_ptr_null(memchr(logged(), 0x1b, strlen(line)));
    json_t *root = json_loads(line, 0, NULL);
    ck_assert_ptr_nonnull(root);
    check_text(root, "ok", "Zürich \"€\" \\ \n\x1b[0m");
    const char *got = json_string_value(json_object_get(root, "all"));
    ck_assert_int_eq(strncmp(got, all, 127), 0);
    for (const char *c = got + 127; *c; c += 3) /* bytes that are no character, each replaced */
        ck_assert_int_eq(strncmp(c, "\xEF\xBF\xBD", 3), 0);
    ck_assert_uint_eq(strlen(got + 127), 128 * 3);
    json_decref(root);
}
END_TEST

START_TEST(an_injected_line_stays_in_its_value)
{
    rl_log_setup("p", RL_LOG_INFO, false);
    rl_log_info("x", RL_TEXT("user", "eve\"}\n{\"level\":\"error\""));
    json_t *root = logged_json();
    check_text(root, "level", "info");
    check_text(root, "user", "eve\"}\n{\"level\":\"error\"");
    ck_assert_ptr_eq(strchr(line, '\n'), line + strlen(line) - 1);
    json_decref(root);
}
END_TEST

START_TEST(cuts_a_long_value_at_a_character_and_keeps_the_line_whole)
{
    static char value[10000];
    for (size_t i = 0; i + 3 < sizeof value; i += 3)
        memcpy(value + i, "\xE2\x82\xAC", 4);
    rl_log_setup("p", RL_LOG_INFO, false);
    rl_log_info("x", RL_TEXT("v", value));
    json_t *root = logged_json();
    const char *got = json_string_value(json_object_get(root, "v"));
    ck_assert_uint_ge(strlen(got), 4096);
    ck_assert_uint_le(strlen(got), 4096 + 6);
    ck_assert_ptr_nonnull(strstr(got, "\xE2\x82\xAC..."));
    json_decref(root);
}
END_TEST

START_TEST(leaves_out_fields_that_do_not_fit_and_says_so)
{
    static char value[4000]; /* each byte becomes six */
    memset(value, 1, sizeof value - 1);
    rl_log_setup("p", RL_LOG_INFO, false);
    rl_log_info("x", RL_TEXT("a", value), RL_TEXT("b", value), RL_TEXT("c", value),
                RL_NUMBER("d", 7));
    json_t *root = logged_json();
    ck_assert_ptr_nonnull(json_object_get(root, "b"));
    ck_assert_ptr_null(json_object_get(root, "c"));
    ck_assert_int_eq(json_integer_value(json_object_get(root, "d")), 7);
    ck_assert_int_eq(json_integer_value(json_object_get(root, "left_out")), 1);
    json_decref(root);
}
END_TEST

START_TEST(writes_plain_lines_for_people)
{
    rl_log_setup("p", RL_LOG_INFO, true);
    rl_log_warn("two words", RL_TEXT("a", "b"), RL_TEXT("c", "d e"), RL_NUMBER("n", 3),
                RL_TEXT("esc", "\x1b[0m\n"), RL_TEXT("none", ""));
    ck_assert_str_eq(logged(), "WARN two words a=b c=\"d e\" n=3 esc=?[0m? none=\"\"\n");
}
END_TEST

START_TEST(is_silent_below_its_level)
{
    rl_log_setup("p", RL_LOG_WARN, true);
    errno = EDOM;
    rl_log_info("no");
    rl_log_error("yes");
    ck_assert_int_eq(errno, EDOM);
    ck_assert_str_eq(logged(), "ERROR yes\n");
}
END_TEST

START_TEST(knows_its_levels)
{
    enum rl_log_level level = RL_LOG_ERROR;
    struct rl_error err;
    ck_assert_int_eq(rl_log_level_parse("debug", &level, NULL), RL_OK);
    ck_assert_int_eq(level, RL_LOG_DEBUG);
    ck_assert_int_eq(rl_log_level_parse("warn", &level, NULL), RL_OK);
    ck_assert_int_eq(level, RL_LOG_WARN);
    ck_assert_int_eq(rl_log_level_parse("loud", &level, &err), RL_E_INVAL);
    ck_assert_str_eq(err.message, "\"loud\" is not a log level; it is debug, info, warn or error");
    ck_assert_int_eq(level, RL_LOG_WARN);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("log");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, writes_one_object_a_line);
    tcase_add_test(t, works_without_fields_and_with_a_missing_text);
    tcase_add_test(t, escapes_whatever_bytes_there_are);
    tcase_add_test(t, an_injected_line_stays_in_its_value);
    tcase_add_test(t, cuts_a_long_value_at_a_character_and_keeps_the_line_whole);
    tcase_add_test(t, leaves_out_fields_that_do_not_fit_and_says_so);
    tcase_add_test(t, writes_plain_lines_for_people);
    tcase_add_test(t, is_silent_below_its_level);
    tcase_add_test(t, knows_its_levels);
    Suite *s = suite_create("log");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
