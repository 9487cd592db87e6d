#include "table.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/rl-settings-XXXXXX";
static struct config config;
static struct rl_error err;

static void set_up(void)
{
    strcpy(path, "/tmp/rl-settings-XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    unsetenv("RL_TEST_NAME");
}

static void tear_down(void)
{
    rl_settings_free(&spec, &config);
    unlink(path);
}

static rl_code read_bytes(const char *bytes, size_t n, const char *flag)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, n, file), n);
    fclose(file);
    char program[] = "test", option[64], *copy = strdup(flag ? flag : "--port=443");
    snprintf(option, sizeof option, "--config=%s", path);
    char *argv[] = {program, option, copy, NULL};
    memset(&config, 0, sizeof config);
    memset(&err, 0, sizeof err);
    rl_code rc = rl_settings_read(&spec, flag ? 3 : 2, argv, &config, NULL, &err);
    free(copy);
    return rc;
}

static rl_code read_text(const char *text)
{
    return read_bytes(text, strlen(text), NULL);
}

START_TEST(reads_values_lists_and_pairs)
{
    ck_assert_int_eq(read_text("# the agent\nproxy: p.example.com:443\nnodename: 'x y'\n"
                               "labels: [env=dev, \"a,b=c\"]\nttl: 90m\nverbose: yes\n"),
                     RL_OK);
    ck_assert_str_eq(config.proxy, "p.example.com:443");
    ck_assert_str_eq(config.name, "x y");
    ck_assert_uint_eq(config.labels.count, 2);
    ck_assert_str_eq(config.labels.items[1], "a,b=c");
    ck_assert_uint_eq(config.ttl_s, 5400);
    ck_assert(config.verbose);
    ck_assert_int_eq(config.port, 443);
    rl_settings_free(&spec, &config);
    ck_assert_int_eq(read_text("labels: {env: dev, site: edge}\n"), RL_OK);
    ck_assert_uint_eq(config.labels.count, 2);
    ck_assert_str_eq(config.labels.items[1], "site=edge");
    rl_settings_free(&spec, &config);
    ck_assert_int_eq(read_text("labels: x=1,y=2\n"), RL_OK);
    ck_assert_uint_eq(config.labels.count, 2);
    rl_settings_free(&spec, &config);
    ck_assert_int_eq(read_text("labels: []\n"), RL_OK);
    ck_assert_uint_eq(config.labels.count, 0);
    rl_settings_free(&spec, &config);
    ck_assert_int_eq(read_text("listen: ['a:1', '[::1]:2']\n"), RL_OK);
    ck_assert_uint_eq(config.listen.count, 2);
    ck_assert_str_eq(config.listen.items[1], "[::1]:2");
}
END_TEST

START_TEST(reads_a_file_with_nothing_in_it)
{
    static const char *const empty[] = {"", "# nothing\n", "---\n", "nodename:\n"};
    for (size_t i = 0; i < RL_COUNT(empty); i++) {
        ck_assert_int_eq(read_text(empty[i]), RL_OK);
        ck_assert_str_eq(config.name, "node");
        rl_settings_free(&spec, &config);
    }
}
END_TEST

START_TEST(stands_below_the_environment_and_the_flags)
{
    const char *text = "nodename: file\nport: 1\n";
    setenv("RL_TEST_NAME", "env", 1);
    ck_assert_int_eq(read_bytes(text, strlen(text), "--port=2"), RL_OK);
    ck_assert_str_eq(config.name, "env");
    ck_assert_int_eq(config.port, 2);
}
END_TEST

static void check_refused(const char *text, const char *after_path)
{
    ck_assert_msg(read_text(text) == RL_E_INVAL, "took %s", text);
    ck_assert_msg(strncmp(err.message, path, strlen(path)) == 0, "%s", err.message);
    ck_assert_msg(strncmp(err.message + strlen(path), after_path, strlen(after_path)) == 0,
                  "%s instead of %s", err.message, after_path);
}

START_TEST(names_the_line_of_what_is_wrong)
{
    check_refused("proxy: a:1\nprox: b:1\n", ":2: there is no setting \"prox\"");
    check_refused("\n\nttl: soon\n", ":3: ttl: \"soon\" is not a duration");
    check_refused("port: 1\nport: 2\n", ":2: port: is set twice");
    check_refused("config: x\n", ":1: there is no setting \"config\"");
    check_refused("nodename: [a]\n", ":1: nodename: takes one plain value");
    check_refused("labels: [[a]]\n", ":1: an item of a list is plain text");
    check_refused("listen: [a:1, b]\n", ":1: listen: \"b\" is not HOST:PORT");
    check_refused("listen: []\n", ":1: at least one address is needed");
    check_refused("listen: {a: 1}\n", ":1: listen: takes one plain value");
    check_refused("labels: {a: [b]}\n", ":1: a value is plain text");
    check_refused("labels: &x [a]\nport: *x\n", ":2: port: takes one plain value");
    check_refused("- a\n", ":1: settings are written `name: value`");
    check_refused("port: 1\n---\nport: 2\n", ":2: there is more than one document");
    check_refused("a: [\n", ":1: there is no setting \"a\"");
    check_refused("labels: [a\n", ":2: this is not YAML: ");
    check_refused("nodename: \"\\0x\"\n", ":1: a NUL has no place here");
    check_refused("nodename: \"\xff\"\n", ":1: this is not YAML: ");
    check_refused("? [a]\n: b\n", ":1: a setting's name is plain text");
}
END_TEST

START_TEST(refuses_a_file_that_is_no_file_of_settings)
{
    static char large[1024 * 1024 + 2];
    memset(large, '#', sizeof large);
    ck_assert_int_eq(read_bytes(large, sizeof large, NULL), RL_E_INVAL);
    ck_assert_ptr_nonnull(strstr(err.message, "larger"));
    ck_assert_int_eq(read_bytes("", 0, "--config=/nonexistent/x"), RL_E_INVAL);
    ck_assert_str_eq(err.message, "reading /nonexistent/x: No such file or directory");
    ck_assert_int_eq(read_bytes("", 0, "--config=/"), RL_E_INVAL);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("file");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, reads_values_lists_and_pairs);
    tcase_add_test(t, reads_a_file_with_nothing_in_it);
    tcase_add_test(t, stands_below_the_environment_and_the_flags);
    tcase_add_test(t, names_the_line_of_what_is_wrong);
    tcase_add_test(t, refuses_a_file_that_is_no_file_of_settings);
    Suite *s = suite_create("file");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
