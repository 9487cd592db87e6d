#include "table.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static char *shown;
static size_t shown_bytes;
static FILE *to;

static void set_up(void)
{
    to = open_memstream(&shown, &shown_bytes);
    ck_assert_ptr_nonnull(to);
}

static void tear_down(void)
{
    free(shown);
}

static void check_has(const char *part)
{
    ck_assert_msg(strstr(shown, part) != NULL, "\"%s\" is not in\n%s", part, shown);
}

START_TEST(help_shows_every_row_with_its_default_and_variable)
{
    rl_settings_print_help(&spec, to);
    fclose(to);
    check_has("Tests the table\n\nUsage: tsh test [flags] [NODE]\n\nFlags:\n");
    check_has("  -p, --proxy=HOST:PORT       The proxy to go through [RL_TEST_PROXY]\n");
    check_has("      --ttl=TIME              How long it lasts (default 12h) [RL_TEST_TTL]\n");
    check_has("      --listen=HOST:PORT,...  Where it listens (default 0.0.0.0:443)\n");
    check_has("  -v, --verbose               Say more\n");
    check_has("      --recording             Record sessions (on; off with --no-recording)\n");
    check_has("  -h, --help                  Show this\n");
    check_has("\nExample:\n  tsh test node-a\n");
    for (char *line = strtok(shown, "\n"); line; line = strtok(NULL, "\n"))
        ck_assert_msg(strlen(line) <= 80, "too long: %s", line);
}
END_TEST

START_TEST(help_folds_long_lines_and_hides_rows_without_help)
{
    static const struct rl_setting two[] = {
        {.name = "a-rather-long-name-for-a-setting-this-is",
         .type = RL_SETTING_TEXT,
         .help = "one two three four five six seven eight nine ten eleven twelve thirteen"},
        {.name = "hidden", .type = RL_SETTING_TEXT}};
    struct rl_settings_spec small = {.program = "p", .rows = two, .count = 2};
    rl_settings_print_help(&small, to);
    fclose(to);
    check_has("--a-rather-long-name-for-a-setting-this-is=TEXT\n");
    check_has("\n              one two three four five six seven eight nine ten eleven twelve\n"
              "              thirteen\n");
    ck_assert_ptr_null(strstr(shown, "hidden"));
}
END_TEST

START_TEST(the_man_page_is_escaped_roff)
{
    rl_settings_print_man(&spec, 1, to);
    fclose(to);
    check_has(".TH \"TSH\\-TEST\" 1 ");
    check_has(".SH NAME\ntsh test \\- Tests the table\n");
    check_has("\\fB\\-p\\fR, \\fB\\-\\-proxy\\fR=\\fIHOST:PORT\\fR\n");
    check_has("Default: 12h.\n");
    check_has("\n\\&.tsh 'x'\n"); /* a line of the example that begins with a dot */
    check_has(".SH FILES\n");
}
END_TEST

START_TEST(the_markdown_is_one_table)
{
    rl_settings_print_markdown(&spec, to);
    fclose(to);
    check_has("| setting | range | default | environment | |\n|---|---|---|---|---|\n");
    check_has("| `--ttl=TIME` | 1m to 1d6h | `12h` | `RL_TEST_TTL` | How long it lasts |\n");
    check_has("| `--port=N` | 1 to 65535 | `443` |  | A port \\| a number |\n");
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("show");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, help_shows_every_row_with_its_default_and_variable);
    tcase_add_test(t, help_folds_long_lines_and_hides_rows_without_help);
    tcase_add_test(t, the_man_page_is_escaped_roff);
    tcase_add_test(t, the_markdown_is_one_table);
    Suite *s = suite_create("show");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
