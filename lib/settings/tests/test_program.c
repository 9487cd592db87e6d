#include "settings/program.h"
#include "table.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct rl_setting ls_rows[] = {
    {.name = "format",
     .type = RL_SETTING_TEXT,
     .offset = AT(name),
     .help = "how it's [shown]: text or json"},
};
static const struct rl_settings_spec proxy_ssh = {
    .program = "tsh proxy ssh", .summary = "a byte stream", .rows = ls_rows, .count = 1};
static const struct rl_settings_spec proxy_app = {.program = "tsh proxy app", .summary = "an app"};
static const struct rl_settings_spec *const commands[] = {&spec, &proxy_ssh, &proxy_app};
static const struct rl_program program = {
    .name = "tsh", .summary = "Tests programs", .commands = commands, .count = 3};

/* What was printed by the shell that ran the text; heap. The shell takes a script by a file. */
static char *run_bash(const char *completion, const char *rest)
{
    char path[] = "/tmp/rl-completion-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    FILE *script = fdopen(fd, "w");
    fprintf(script, "%s\n%s\n", completion, rest);
    fclose(script);
    char *command = rl_sprintf("bash --norc %s 2>&1", path);
    FILE *out = popen(command, "r");
    ck_assert_ptr_nonnull(out);
    char *text = rl_alloc(65536);
    size_t n = fread(text, 1, 65535, out);
    text[n] = '\0';
    pclose(out);
    unlink(path);
    free(command);
    return text;
}

static char *completion_of(const char *shell)
{
    char *text;
    size_t bytes;
    struct rl_error err;
    FILE *to = open_memstream(&text, &bytes);
    ck_assert_int_eq(rl_program_print_completion(&program, shell, to, &err), RL_OK);
    fclose(to);
    return text;
}

/* What bash offers when the cursor is at the last of the words, a line each. */
static void check_offers(const char *words, const char *expected)
{
    char *completion = completion_of("bash");
    char *rest = rl_sprintf("COMP_WORDS=(%s); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _tsh\n"
                            "printf '%%s\\n' \"${COMPREPLY[@]}\"",
                            words);
    char *offered = run_bash(completion, rest);
    ck_assert_str_eq(offered, expected);
    free(offered);
    free(rest);
    free(completion);
}

START_TEST(bash_offers_the_commands)
{
    check_offers("tsh ''", "test\nproxy\n--help\n");
    check_offers("tsh p", "proxy\n");
    check_offers("tsh proxy ''", "ssh\napp\n--help\n");
    check_offers("tsh nonsense p", "proxy\n");
}
END_TEST

START_TEST(bash_offers_the_flags_of_the_command)
{
    check_offers("tsh test --p", "--proxy=\n--port=\n");
    check_offers("tsh test --v", "--verbose\n");
    check_offers("tsh test node --no", "--nodename=\n--no-recording\n");
    check_offers("tsh proxy ssh --", "--format=\n--help\n");
    check_offers("tsh proxy app --", "--help\n");
}
END_TEST

START_TEST(bash_offers_files_where_the_flag_names_one)
{
    check_offers("tsh test --config = tests/table", "tests/table.h\n");
    check_offers("tsh test --proxy = tests/table", "\n");
    check_offers("tsh test --proxy =", "\n");
}
END_TEST

START_TEST(a_word_that_is_a_command_elsewhere_is_not_taken_for_one)
{
    check_offers("tsh test proxy --po", "--port=\n");
}
END_TEST

START_TEST(bash_takes_the_script_without_a_word)
{
    char *completion = completion_of("bash");
    char *said = run_bash(completion, "complete -p tsh");
    ck_assert_str_eq(said, "complete -o default -F _tsh tsh\n");
    free(said);
    free(completion);
}
END_TEST

START_TEST(zsh_and_fish_have_quotes_and_brackets_escaped)
{
    char *zsh = completion_of("zsh");
    ck_assert_ptr_nonnull(
        strstr(zsh, "'*--format=[how it'\\''s \\[shown\\]\\: text or json]:TEXT: '"));
    ck_assert_ptr_nonnull(strstr(zsh, "/proxy)\n        list=( 'ssh:a byte stream' 'app:an app')"));
    ck_assert_ptr_nonnull(strstr(zsh, "'*--config=[The file of settings]:FILE:_files'"));
    free(zsh);
    char *fish = completion_of("fish");
    ck_assert_ptr_nonnull(strstr(fish, "-n '__tsh_at \"/proxy/ssh\"' -l format -x "
                                       "-d 'how it\\'s [shown]: text or json'\n"));
    ck_assert_ptr_nonnull(strstr(fish, "-n '__tsh_at \"/test\"' -l verbose -s v -d 'Say more'\n"));
    free(fish);
}
END_TEST

/* What rl_program_show() printed to stdout for the argument. */
static char *shown_for(const char *argument)
{
    char path[] = "/tmp/rl-shown-XXXXXX";
    int fd = mkstemp(path), saved = dup(STDOUT_FILENO);
    fflush(stdout);
    dup2(fd, STDOUT_FILENO);
    char name[] = "tsh", *word = rl_strdup(argument), *argv[] = {name, word, NULL};
    bool is_shown = rl_program_show(&program, 2, argv);
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    free(word);
    char *text = rl_alloc(65536);
    ssize_t n = pread(fd, text, 65535, 0);
    ck_assert_int_ge(n, 0);
    close(fd);
    unlink(path);
    ck_assert(is_shown == (n > 0));
    return text;
}

START_TEST(the_overview_names_every_command)
{
    char *man = shown_for("--help=man");
    ck_assert_ptr_nonnull(strstr(man, ".TH \"tsh\" 1 "));
    ck_assert_ptr_nonnull(strstr(man, ".TP\n\\fBtsh proxy app\\fR\nan app.\n"));
    free(man);
    char *markdown = shown_for("--help=markdown");
    ck_assert_ptr_nonnull(strstr(markdown, "# tsh\n\nTests programs\n"));
    ck_assert_ptr_nonnull(strstr(markdown, "\n## tsh proxy ssh\n"));
    free(markdown);
    char *names = shown_for("--help=commands");
    ck_assert_str_eq(names, "tsh test\ntsh proxy ssh\ntsh proxy app\n");
    free(names);
    free(shown_for("--help"));
    free(shown_for("--help=html"));
}
END_TEST

START_TEST(refuses_a_shell_that_it_does_not_know)
{
    struct rl_error err;
    ck_assert_int_eq(rl_program_print_completion(&program, "tcsh\x1b", stdout, &err), RL_E_INVAL);
    ck_assert_str_eq(err.message, "\"tcsh?\" is not bash, zsh or fish");
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("program");
    tcase_add_test(t, bash_offers_the_commands);
    tcase_add_test(t, bash_offers_the_flags_of_the_command);
    tcase_add_test(t, bash_offers_files_where_the_flag_names_one);
    tcase_add_test(t, a_word_that_is_a_command_elsewhere_is_not_taken_for_one);
    tcase_add_test(t, bash_takes_the_script_without_a_word);
    tcase_add_test(t, zsh_and_fish_have_quotes_and_brackets_escaped);
    tcase_add_test(t, the_overview_names_every_command);
    tcase_add_test(t, refuses_a_shell_that_it_does_not_know);
    Suite *s = suite_create("program");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
