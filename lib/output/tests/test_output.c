#include "output/output.h"
#include "output/value.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *printed;
static size_t printed_bytes;
static FILE *to;

static void set_up(void)
{
    to = open_memstream(&printed, &printed_bytes);
}

static void tear_down(void)
{
    free(printed);
}

static json_t *parse(const char *text)
{
    json_error_t error;
    json_t *value = json_loads(text, JSON_DECODE_ANY, &error);
    ck_assert_msg(value != NULL, "%s: %s", text, error.text);
    return value;
}

static const struct rl_column columns[] = {
    {"NAME", "name"}, {"LABELS", "labels"}, {"LOGINS", "logins"}, {"KIND", "resource.kind"}};

static void table(enum rl_format format, const char *json)
{
    json_t *value = parse(json);
    ck_assert_int_eq(
        rl_output_table(to, format, value, columns, RL_COUNT(columns), "No nodes.", NULL), RL_OK);
    json_decref(value);
    fclose(to);
}

START_TEST(prints_a_table_with_columns_in_line)
{
    table(RL_FORMAT_TEXT, "[{\"name\":\"a\",\"labels\":{\"env\":\"dev\"},\"logins\":[\"x\",\"y\"],"
                          "\"resource\":{\"kind\":\"node\"}},"
                          "{\"name\":\"Zürich\",\"labels\":{},\"logins\":null}]");
    ck_assert_str_eq(printed, "NAME    LABELS   LOGINS  KIND\n"
                              "a       env=dev  x,y     node\n"
                              "Zürich  -        -       -\n");
}
END_TEST

START_TEST(lets_no_escape_reach_the_terminal)
{
    table(RL_FORMAT_TEXT, "[{\"name\":\"\\u001b]0;x\\u0007\",\"labels\":{\"a\\n\":\"\\u009b\"}}]");
    ck_assert_str_eq(printed, "NAME    LABELS  LOGINS  KIND\n"
                              "?]0;x?  a?=?    -       -\n");
}
END_TEST

START_TEST(a_table_of_cells_is_the_same_and_may_be_larger_than_was_said)
{
    static const char *const titles[] = {"NAME", "LABELS"};
    struct rl_table *cells = rl_table_create(titles, 2, 1);
    for (int i = 0; i < 3000; i++) {
        rl_table_put(cells, i == 1 ? "Z\xC3\xBCrich" : "a");
        rl_table_put(cells, i == 2 ? "\x1B[2J" : "");
        rl_table_next(cells);
        rl_table_put(cells, i ? "" : "env=dev");
        rl_table_next(cells);
    }
    ck_assert_int_eq(rl_table_print(to, cells, "No nodes.", NULL), RL_OK);
    rl_table_free(&cells);
    fclose(to);
    static const char begins[] = "NAME    LABELS\n"
                                 "a       env=dev\n"
                                 "Z\xC3\xBCrich  -\n"
                                 "a?[2J   -\n"
                                 "a       -\n";
    ck_assert_int_eq(strncmp(printed, begins, sizeof begins - 1), 0);
    ck_assert_uint_eq(printed_bytes, sizeof begins - 1 + 2996 * strlen("a       -\n"));
}
END_TEST

START_TEST(an_empty_table_of_cells_says_so)
{
    static const char *const titles[] = {"NAME"};
    struct rl_table *cells = rl_table_create(titles, 1, 0);
    ck_assert_int_eq(rl_table_print(to, cells, "No nodes.", NULL), RL_OK);
    rl_table_free(&cells);
    rl_table_free(&cells);
    fclose(to);
    ck_assert_str_eq(printed, "No nodes.\n");
}
END_TEST

START_TEST(says_when_there_is_nothing)
{
    table(RL_FORMAT_TEXT, "[]");
    ck_assert_str_eq(printed, "No nodes.\n");
}
END_TEST

START_TEST(says_nothing_as_an_empty_list_in_json)
{
    table(RL_FORMAT_JSON, "[]");
    ck_assert_str_eq(printed, "[]\n");
}
END_TEST

START_TEST(says_nothing_as_an_empty_list_in_yaml)
{
    table(RL_FORMAT_YAML, "[]");
    ck_assert_str_eq(printed, "[]\n");
}
END_TEST

START_TEST(prints_an_object_as_lines)
{
    json_t *value = parse("{\"name\":\"a\",\"mfa\":true,\"n\":12,\"f\":1.5}");
    const struct rl_column lines[] = {
        {"Name", "name"}, {"Second factor", "mfa"}, {"N", "n"}, {"F", "f"}, {"None", "x"}};
    ck_assert_int_eq(rl_output_object(to, RL_FORMAT_TEXT, value, lines, RL_COUNT(lines), NULL),
                     RL_OK);
    fclose(to);
    json_decref(value);
    ck_assert_str_eq(printed, "Name:           a\n"
                              "Second factor:  yes\n"
                              "N:              12\n"
                              "F:              1.5\n"
                              "None:           -\n");
}
END_TEST

START_TEST(prints_json_that_reads_back)
{
    json_t *value = parse("{\"a\":[1,null,\"x\\u0001\"]}");
    ck_assert_int_eq(rl_output_value(to, RL_FORMAT_JSON, value, NULL), RL_OK);
    fclose(to);
    json_t *again = parse(printed);
    ck_assert(json_equal(value, again));
    ck_assert_int_eq(printed[printed_bytes - 1], '\n');
    json_decref(again);
    json_decref(value);
}
END_TEST

START_TEST(prints_yaml)
{
    json_t *value = parse("{\"kind\":\"role\",\"spec\":{\"logins\":[\"a\",\"{{b}}\"],\"empty\":{},"
                          "\"none\":null,\"count\":3,\"on\":true,\"text\":\"one\\ntwo\\n\"}}");
    ck_assert_int_eq(rl_output_value(to, RL_FORMAT_YAML, value, NULL), RL_OK);
    fclose(to);
    json_decref(value);
    ck_assert_str_eq(printed, "kind: role\n"
                              "spec:\n"
                              "  logins:\n"
                              "  - a\n"
                              "  - '{{b}}'\n"
                              "  empty: {}\n"
                              "  none: null\n"
                              "  count: 3\n"
                              "  \"on\": true\n"
                              "  text: |\n"
                              "    one\n"
                              "    two\n");
}
END_TEST

START_TEST(quotes_strings_that_yaml_would_read_as_something_else)
{
    static const char *const words[] = {"",    "true", "No",   "null", "~",          "0x1f",
                                        "1e3", "-1",   ".inf", "1:30", "2026-11-22", "y"};
    json_t *list = json_array();
    for (size_t i = 0; i < RL_COUNT(words); i++)
        json_array_append_new(list, json_string(words[i]));
    ck_assert_int_eq(rl_output_value(to, RL_FORMAT_YAML, list, NULL), RL_OK);
    fclose(to);
    json_decref(list);
    const char *at = printed;
    for (size_t i = 0; i < RL_COUNT(words); i++) {
        char want[40];
        int n = snprintf(want, sizeof want, "- \"%s\"\n", words[i]);
        ck_assert_msg(strncmp(at, want, (size_t)n) == 0, "%s in %s", want, printed);
        at += n;
    }
}
END_TEST

START_TEST(refuses_yaml_without_end)
{
    json_t *value = json_array();
    for (int i = 0; i < 100; i++) {
        json_t *outer = json_array();
        json_array_append_new(outer, value);
        value = outer;
    }
    struct rl_error err;
    ck_assert_int_eq(rl_output_value(to, RL_FORMAT_YAML, value, &err), RL_E_DATA_LOSS);
    json_decref(value);
    fclose(to);
}
END_TEST

START_TEST(fails_when_the_disk_is_full)
{
    FILE *full = fopen("/dev/full", "w");
    json_t *value = parse("[1]");
    for (int format = RL_FORMAT_JSON; format <= RL_FORMAT_YAML; format++) {
        struct rl_error err;
        ck_assert_int_eq(rl_output_value(full, (enum rl_format)format, value, &err),
                         RL_E_DATA_LOSS);
        clearerr(full);
    }
    json_decref(value);
    fclose(full);
    fclose(to);
}
END_TEST

START_TEST(knows_formats_and_exit_statuses)
{
    enum rl_format format = RL_FORMAT_TEXT;
    struct rl_error err;
    ck_assert_int_eq(rl_format_parse("yaml", &format, NULL), RL_OK);
    ck_assert_int_eq(format, RL_FORMAT_YAML);
    ck_assert_int_eq(rl_format_parse("xml", &format, &err), RL_E_INVAL);
    ck_assert_str_eq(err.message, "\"xml\" is not a format; it is text, json or yaml");
    ck_assert_int_eq(rl_exit_of(RL_OK), 0);
    ck_assert_int_eq(rl_exit_of(RL_E_UNAVAILABLE), 1);
    ck_assert_int_eq(rl_exit_of(RL_E_INVAL), 1);
    ck_assert_int_eq(rl_exit_of(RL_E_UNAUTHENTICATED), 3);
    ck_assert_int_eq(rl_exit_of(RL_E_DENIED), 4);
    fclose(to);
}
END_TEST

START_TEST(a_value_is_made_of_any_bytes)
{
    char *items[] = {(char *)(uintptr_t) "ok", (char *)(uintptr_t) "b\377d"};
    json_t *object = json_pack("{s:o, s:o, s:o, s:o, s:o}", "text", rl_json_text("a\xC0"), "list",
                               rl_json_texts(items, 2), "none", rl_json_text_or_null(""), "never",
                               rl_json_time_or_null(0), "time", rl_json_time_or_null(1000000000));
    ck_assert_ptr_nonnull(object);
    rl_json_put(object, "k\xFFy", json_true());
    ck_assert_str_eq(json_string_value(json_object_get(object, "text")), "a\xEF\xBF\xBD");
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(object, "list"), 1)),
                     "b\xEF\xBF\xBD"
                     "d");
    ck_assert(json_is_null(json_object_get(object, "none")));
    ck_assert(json_is_null(json_object_get(object, "never")));
    ck_assert_str_eq(json_string_value(json_object_get(object, "time")), "1970-01-01T00:00:01Z");
    ck_assert(json_is_true(json_object_get(object, "k\xEF\xBF\xBDy")));
    json_decref(object);
    json_t *absent = rl_json_text(NULL);
    ck_assert_str_eq(json_string_value(absent), "");
    json_decref(absent);
    fclose(to);
}
END_TEST

START_TEST(a_user_of_another_cluster_is_shown_with_it)
{
    static const char *const rows[][4] = {
        {"alice", "leaf", "leaf", "alice"},
        {"alice", "leaf", "root", "alice@root"},
        {"alice", "leaf", "", "alice"},
        {"", "leaf", "root", ""},
        {"alice@root", "leaf", "leaf", "alice@root"},
    };
    json_t *list = json_array();
    for (size_t i = 0; i < RL_COUNT(rows); i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "user", rows[i][0], "cluster",
                                              rows[i][1], "user_cluster",
                                              rl_json_text_or_null(rows[i][2])));
    json_array_append_new(list, json_object());
    rl_json_show_users(list);
    for (size_t i = 0; i < RL_COUNT(rows); i++)
        ck_assert_str_eq(json_string_value(json_object_get(json_array_get(list, i), "user")),
                         rows[i][3]);
    json_decref(list);
    fclose(to);
}
END_TEST

/* What goes to stderr while `say` runs. */
static char *said_by(int (*say)(void), int *status)
{
    static char said[1024];
    FILE *file = tmpfile();
    int before = dup(STDERR_FILENO);
    fflush(stderr);
    ck_assert_int_ge(dup2(fileno(file), STDERR_FILENO), 0);
    *status = say();
    fflush(stderr);
    ck_assert_int_ge(dup2(before, STDERR_FILENO), 0);
    close(before);
    rewind(file);
    said[fread(said, 1, sizeof said - 1, file)] = '\0';
    fclose(file);
    return said;
}

static int say_a_hostile_thing(void)
{
    struct rl_error err;
    rl_fail(&err, RL_E_DENIED,
            "no\nroot@host:~# \x1b]0;owned\x07\xC2\x9B"
            "2J");
    return rl_output_fail("tsh", &err);
}

static int say_usage(void)
{
    struct rl_error err;
    rl_fail(&err, RL_E_INVAL, "which node?");
    return rl_output_usage("tsh", err.code, &err);
}

static int say_help_was_shown(void)
{
    struct rl_error err;
    rl_fail(&err, RL_E_CANCELLED, "help was shown");
    return rl_output_usage("tsh", err.code, &err);
}

START_TEST(a_servers_message_is_one_harmless_line)
{
    int status;
    const char *said = said_by(say_a_hostile_thing, &status);
    ck_assert_str_eq(said, "tsh: no?root@host:~# ?]0;owned??2J\n");
    ck_assert_int_eq(status, RL_EXIT_DENIED);
    ck_assert_str_eq(said_by(say_usage, &status), "tsh: which node?\n");
    ck_assert_int_eq(status, RL_EXIT_USAGE);
    ck_assert_str_eq(said_by(say_help_was_shown, &status), "");
    ck_assert_int_eq(status, RL_EXIT_DONE);
    fclose(to);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("output");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, prints_a_table_with_columns_in_line);
    tcase_add_test(t, lets_no_escape_reach_the_terminal);
    tcase_add_test(t, a_table_of_cells_is_the_same_and_may_be_larger_than_was_said);
    tcase_add_test(t, an_empty_table_of_cells_says_so);
    tcase_add_test(t, says_when_there_is_nothing);
    tcase_add_test(t, says_nothing_as_an_empty_list_in_json);
    tcase_add_test(t, says_nothing_as_an_empty_list_in_yaml);
    tcase_add_test(t, prints_an_object_as_lines);
    tcase_add_test(t, prints_json_that_reads_back);
    tcase_add_test(t, prints_yaml);
    tcase_add_test(t, quotes_strings_that_yaml_would_read_as_something_else);
    tcase_add_test(t, refuses_yaml_without_end);
    tcase_add_test(t, fails_when_the_disk_is_full);
    tcase_add_test(t, knows_formats_and_exit_statuses);
    tcase_add_test(t, a_value_is_made_of_any_bytes);
    tcase_add_test(t, a_user_of_another_cluster_is_shown_with_it);
    tcase_add_test(t, a_servers_message_is_one_harmless_line);
    Suite *s = suite_create("output");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
