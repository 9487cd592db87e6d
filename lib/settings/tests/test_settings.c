#include "table.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct config config;
static struct rl_positionals positionals;
static struct rl_error err;

static rl_code read_with(const struct rl_settings_spec *by, const char *const *args)
{
    static char texts[16][128], *argv[16];
    int argc = 1;
    argv[0] = strcpy(texts[0], "test");
    for (; *args; args++, argc++)
        argv[argc] = strcpy(texts[argc], *args);
    rl_settings_free(&spec, &config); /* of the reading before */
    memset(&config, 0, sizeof config);
    memset(&positionals, 0, sizeof positionals);
    memset(&err, 0, sizeof err);
    return rl_settings_read(by, argc, argv, &config, &positionals, &err);
}

#define READ(...) read_with(&spec, (const char *const[]){__VA_ARGS__, NULL})
#define READ_NOTHING() read_with(&spec, (const char *const[]){NULL})

static void set_up(void)
{
    unsetenv("RL_TEST_PROXY");
    unsetenv("RL_TEST_NAME");
    unsetenv("RL_TEST_LABELS");
    unsetenv("RL_TEST_TTL");
}

static void tear_down(void)
{
    rl_settings_free(&spec, &config);
}

START_TEST(begins_with_the_defaults)
{
    ck_assert_int_eq(READ_NOTHING(), RL_OK);
    ck_assert_ptr_null(config.proxy);
    ck_assert_str_eq(config.name, "node");
    ck_assert_int_eq(config.port, 443);
    ck_assert_uint_eq(config.ttl_s, 43200);
    ck_assert(!config.verbose);
    ck_assert(config.recording);
    ck_assert_uint_eq(config.labels.count, 2);
    ck_assert_uint_eq(positionals.count, 0);
}
END_TEST

START_TEST(takes_flags_in_every_form)
{
    ck_assert_int_eq(
        READ("--proxy=a:1", "--nodename", "x", "-v", "--no-recording", "--port=80", "--ttl=1h30m"),
        RL_OK);
    ck_assert_str_eq(config.proxy, "a:1");
    ck_assert_str_eq(config.name, "x");
    ck_assert(config.verbose);
    ck_assert(!config.recording);
    ck_assert_int_eq(config.port, 80);
    ck_assert_uint_eq(config.ttl_s, 5400);
    ck_assert_int_eq(READ("-p", "b:2", "--verbose=yes", "--recording=false", "--nodename="), RL_OK);
    ck_assert_str_eq(config.proxy, "b:2");
    ck_assert(config.verbose);
    ck_assert(!config.recording);
    ck_assert_str_eq(config.name, "");
    ck_assert_int_eq(READ("-vpc:3"), RL_OK);
    ck_assert(config.verbose);
    ck_assert_str_eq(config.proxy, "c:3");
}
END_TEST

START_TEST(a_flag_given_twice_counts_as_the_last_says)
{
    ck_assert_int_eq(READ("--port=1", "--port=2", "--verbose", "--no-verbose"), RL_OK);
    ck_assert_int_eq(config.port, 2);
    ck_assert(!config.verbose);
}
END_TEST

START_TEST(gathers_lists_from_commas_and_repetition)
{
    ck_assert_int_eq(READ("--labels=x=1,y=2", "-L", "z=3"), RL_OK);
    ck_assert_uint_eq(config.labels.count, 3); /* and the defaults are gone */
    ck_assert_str_eq(config.labels.items[0], "x=1");
    ck_assert_str_eq(config.labels.items[1], "y=2");
    ck_assert_str_eq(config.labels.items[2], "z=3");
    ck_assert_int_eq(READ("--labels="), RL_OK);
    ck_assert_uint_eq(config.labels.count, 0);
    ck_assert_int_eq(READ("--labels=a,,b"), RL_E_INVAL);
    ck_assert_str_eq(err.message, "--labels: there is an empty item between the commas");
}
END_TEST

START_TEST(checks_each_address_of_a_list)
{
    ck_assert_int_eq(READ("-v"), RL_OK);
    ck_assert_uint_eq(config.listen.count, 1);
    ck_assert_int_eq(READ("--listen=127.0.0.1:1,[::1]:2", "--listen", "host:3"), RL_OK);
    ck_assert_uint_eq(config.listen.count, 3);
    ck_assert_str_eq(config.listen.items[1], "[::1]:2");
    ck_assert_str_eq(config.listen.items[2], "host:3");
    ck_assert_int_eq(READ("--listen=127.0.0.1:1,127.0.0.2"), RL_E_INVAL);
    ck_assert_str_eq(err.message, "--listen: \"127.0.0.2\" is not HOST:PORT: there is no port");
    ck_assert_int_eq(READ("--listen=a:1,,b:2"), RL_E_INVAL);
    ck_assert_int_eq(READ("--listen="), RL_E_INVAL);
    ck_assert_str_eq(err.message, "--listen: \"\" is not HOST:PORT: there is no port");
}
END_TEST

START_TEST(sorts_positionals_from_flags)
{
    ck_assert_int_eq(READ("one", "--port", "5", "-", "-v"), RL_OK);
    ck_assert_uint_eq(positionals.count, 2);
    ck_assert_str_eq(positionals.items[0], "one");
    ck_assert_str_eq(positionals.items[1], "-");
    ck_assert(config.verbose);
    ck_assert_int_eq(READ("--", "--port", "-v"), RL_OK);
    ck_assert_uint_eq(positionals.count, 2);
    ck_assert_str_eq(positionals.items[0], "--port");
    ck_assert(!config.verbose);
}
END_TEST

START_TEST(leaves_the_rest_to_another_program)
{
    struct rl_settings_spec ssh = spec;
    ssh.stop_at_positional = true;
    ssh.positional_max = SIZE_MAX;
    ck_assert_int_eq(
        read_with(&ssh, (const char *const[]){"-v", "node", "ls", "-l", "--help", "--", NULL}),
        RL_OK);
    ck_assert(config.verbose);
    ck_assert_uint_eq(positionals.count, 5);
    ck_assert_str_eq(positionals.items[2], "-l");
    ck_assert_str_eq(positionals.items[4], "--");
}
END_TEST

START_TEST(refuses_one_argument_too_many)
{
    ck_assert_int_eq(READ("a", "b"), RL_OK);
    ck_assert_int_eq(READ("a", "b", "c"), RL_E_INVAL);
    ck_assert_str_eq(err.message,
                     "\"c\" is one argument too many; `tsh test --help` shows the usage");
}
END_TEST

START_TEST(says_in_one_sentence_what_is_wrong)
{
    static const struct {
        const char *arg, *message;
    } cases[] = {
        {"--ttl=abc", "--ttl: \"abc\" is not a duration; write it like 12h or 30m"},
        {"--ttl=30", "--ttl: \"30\" is not a duration; write it like 12h or 30m"},
        {"--ttl=59s", "--ttl: 59s is not between 1m and 1d6h"},
        {"--port=0", "--port: 0 is not between 1 and 65535"},
        {"--port=65536", "--port: 65536 is not between 1 and 65535"},
        {"--port= 1", "--port: \" 1\" is not a number"},
        {"--port=1x", "--port: \"1x\" is not a number"},
        {"--port=99999999999999999999", "--port: \"99999999999999999999\" is not a number"},
        {"--verbose=maybe", "--verbose: \"maybe\" is not yes or no"},
        {"--proxy=host", "--proxy: \"host\" is not HOST:PORT: there is no port"},
        {"--port", "--port: needs a value"},
        {"-p", "--proxy: needs a value"},
        {"--prot=1", "there is no flag --prot=1; `tsh test --help` lists them"},
        {"--no-port", "there is no flag --no-port; `tsh test --help` lists them"},
        {"-vx", "there is no flag -vx; `tsh test --help` lists them"},
        {"--\x1b[2J", "there is no flag --?[2J; `tsh test --help` lists them"},
    };
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        ck_assert_int_eq(READ(cases[i].arg), RL_E_INVAL);
        ck_assert_str_eq(err.message, cases[i].message);
    }
    ck_assert_int_eq(READ("--port=1"), RL_OK);
    ck_assert_int_eq(READ("--port=65535", "--ttl=1m"), RL_OK);
}
END_TEST

START_TEST(takes_the_environment_below_flags_and_nothing_from_an_empty_variable)
{
    setenv("RL_TEST_NAME", "from-env", 1);
    setenv("RL_TEST_LABELS", "e=1", 1);
    setenv("RL_TEST_PROXY", "", 1);
    ck_assert_int_eq(READ_NOTHING(), RL_OK);
    ck_assert_str_eq(config.name, "from-env");
    ck_assert_uint_eq(config.labels.count, 1);
    ck_assert_ptr_null(config.proxy);
    ck_assert_int_eq(READ("--nodename=from-flag", "--labels=f=1,g=2"), RL_OK);
    ck_assert_str_eq(config.name, "from-flag");
    ck_assert_uint_eq(config.labels.count, 2);
    setenv("RL_TEST_TTL", "soon", 1);
    ck_assert_int_eq(READ_NOTHING(), RL_E_INVAL);
    ck_assert_str_eq(err.message,
                     "RL_TEST_TTL: \"soon\" is not a duration; write it like 12h or 30m");
}
END_TEST

START_TEST(takes_each_setting_but_secrets_from_the_programs_own_variables)
{
    struct rl_setting with_secret[RL_COUNT(rows)];
    memcpy(with_secret, rows, sizeof rows);
    with_secret[4].is_secret = true; /* listen */
    struct rl_settings_spec own = spec;
    own.rows = with_secret;
    own.environment_prefix = "RL_TEST_OWN";
    setenv("RL_TEST_OWN_PORT", "4711", 1);
    setenv("RL_TEST_OWN_LISTEN", "a:1", 1);
    setenv("RL_TEST_OWN_NODENAME", "not-this", 1); /* the row names another */
    ck_assert_int_eq(read_with(&own, (const char *const[]){NULL}), RL_OK);
    ck_assert_int_eq(config.port, 4711);
    ck_assert_str_eq(config.listen.items[0], "0.0.0.0:443");
    ck_assert_str_eq(config.name, "node");
    ck_assert_int_eq(read_with(&own, (const char *const[]){"--port=1", NULL}), RL_OK);
    ck_assert_int_eq(config.port, 1);
    setenv("RL_TEST_OWN_PORT", "many", 1);
    ck_assert_int_eq(read_with(&own, (const char *const[]){NULL}), RL_E_INVAL);
    ck_assert_str_eq(err.message, "RL_TEST_OWN_PORT: \"many\" is not a number");
    unsetenv("RL_TEST_OWN_PORT");
    with_secret[5].required = true;
    with_secret[5].fallback = NULL;
    ck_assert_int_eq(read_with(&own, (const char *const[]){NULL}), RL_E_INVAL);
    ck_assert_str_eq(err.message, "--port is needed (or RL_TEST_OWN_PORT in the environment)");
    unsetenv("RL_TEST_OWN_LISTEN");
    unsetenv("RL_TEST_OWN_NODENAME");
}
END_TEST

START_TEST(looks_at_some_settings_without_what_is_required)
{
    struct rl_setting needed[RL_COUNT(rows)];
    memcpy(needed, rows, sizeof rows);
    needed[0].required = true;
    struct rl_settings_spec strict = spec;
    char program[] = "test", port[] = "--port=7", wrong[] = "--port=0";
    char *argv[] = {program, port, NULL}, *bad[] = {program, wrong, NULL};
    struct config got = {0};
    strict.rows = needed;
    ck_assert_int_eq(rl_settings_read_some(&strict, 2, argv, &got, &err), RL_OK);
    ck_assert_int_eq(got.port, 7);
    rl_settings_free(&strict, &got);
    ck_assert_int_eq(rl_settings_read_some(&strict, 2, bad, &got, &err), RL_E_INVAL);
}
END_TEST

START_TEST(misses_what_is_required)
{
    struct rl_setting needed[RL_COUNT(rows)];
    memcpy(needed, rows, sizeof rows);
    needed[0].required = true;
    struct rl_settings_spec strict = spec;
    strict.rows = needed;
    ck_assert_int_eq(read_with(&strict, (const char *const[]){NULL}), RL_E_INVAL);
    ck_assert_str_eq(err.message, "--proxy is needed (or RL_TEST_PROXY in the environment)");
    setenv("RL_TEST_PROXY", "a:1", 1);
    ck_assert_int_eq(read_with(&strict, (const char *const[]){NULL}), RL_OK);
}
END_TEST

START_TEST(shows_help_whatever_else_is_missing)
{
    int kept = dup(STDOUT_FILENO);
    ck_assert_ptr_nonnull(freopen("/dev/null", "w", stdout));
    ck_assert_int_eq(READ("--help"), RL_E_CANCELLED);
    ck_assert_int_eq(READ("-vh"), RL_E_CANCELLED);
    ck_assert_int_eq(READ("--help=man"), RL_E_CANCELLED);
    ck_assert_int_eq(READ("--help=markdown"), RL_E_CANCELLED);
    ck_assert_int_eq(READ("--help=html"), RL_E_INVAL);
    ck_assert_int_eq(READ("--helpless"), RL_E_INVAL);
    fflush(stdout);
    dup2(kept, STDOUT_FILENO);
    close(kept);
}
END_TEST

/* A table of its own: a list whose items have commas, and an environment that gives way. */
struct special {
    char *proxy, *auth_server, *file;
    struct rl_text_list options;
};
static const struct rl_setting special_rows[] = {
    {.name = "proxy",
     .type = RL_SETTING_ADDRESS,
     .offset = offsetof(struct special, proxy),
     .environment = "RL_TEST_PROXY",
     .environment_unless = "auth-server"},
    {.name = "auth-server",
     .type = RL_SETTING_ADDRESS,
     .offset = offsetof(struct special, auth_server)},
    {.name = "config", .type = RL_SETTING_FILE, .offset = offsetof(struct special, file)},
    {.name = "option",
     .type = RL_SETTING_LIST,
     .offset = offsetof(struct special, options),
     .keeps_commas = true,
     .letter = 'o'},
};
static const struct rl_settings_spec special_spec = {.program = "tsh test",
                                                     .rows = special_rows,
                                                     .count = RL_COUNT(special_rows),
                                                     .file_setting = "config"};

static struct special read_special(const char *const *args)
{
    struct special got = {0};
    char texts[8][128], *argv[8];
    int argc = 1;
    argv[0] = strcpy(texts[0], "test");
    for (; *args; args++, argc++)
        argv[argc] = strcpy(texts[argc], *args);
    ck_assert_int_eq(rl_settings_read(&special_spec, argc, argv, &got, NULL, NULL), RL_OK);
    return got;
}
#define SPECIAL(...) read_special((const char *const[]){__VA_ARGS__, NULL})

START_TEST(a_list_may_keep_its_commas)
{
    struct special got = SPECIAL("-o", "Ciphers=a,b", "-oMACs=c,d", "--option=");
    ck_assert_uint_eq(got.options.count, 3);
    ck_assert_str_eq(got.options.items[0], "Ciphers=a,b");
    ck_assert_str_eq(got.options.items[1], "MACs=c,d");
    rl_settings_free(&special_spec, &got);
}
END_TEST

START_TEST(the_environment_gives_way_to_what_excludes_it)
{
    char path[] = "/tmp/rl-settings-XXXXXX";
    char flag[64];
    int fd = mkstemp(path);
    ck_assert_int_eq(write(fd, "auth-server: a:1\n", 17), 17);
    close(fd);
    snprintf(flag, sizeof flag, "--config=%s", path);
    setenv("RL_TEST_PROXY", "p:1", 1);
    struct special got = SPECIAL("-ox");
    ck_assert_str_eq(got.proxy, "p:1");
    rl_settings_free(&special_spec, &got);
    got = SPECIAL("--auth-server=a:1");
    ck_assert_ptr_null(got.proxy);
    rl_settings_free(&special_spec, &got);
    got = SPECIAL(flag);
    ck_assert_ptr_null(got.proxy);
    ck_assert_str_eq(got.auth_server, "a:1");
    rl_settings_free(&special_spec, &got);
    got = SPECIAL("--auth-server=a:1", "--proxy=q:1"); /* both by flags: the program's to refuse */
    ck_assert_str_eq(got.proxy, "q:1");
    rl_settings_free(&special_spec, &got);
    unlink(path);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("settings");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, begins_with_the_defaults);
    tcase_add_test(t, takes_flags_in_every_form);
    tcase_add_test(t, a_flag_given_twice_counts_as_the_last_says);
    tcase_add_test(t, gathers_lists_from_commas_and_repetition);
    tcase_add_test(t, checks_each_address_of_a_list);
    tcase_add_test(t, sorts_positionals_from_flags);
    tcase_add_test(t, leaves_the_rest_to_another_program);
    tcase_add_test(t, refuses_one_argument_too_many);
    tcase_add_test(t, says_in_one_sentence_what_is_wrong);
    tcase_add_test(t, takes_the_environment_below_flags_and_nothing_from_an_empty_variable);
    tcase_add_test(t, takes_each_setting_but_secrets_from_the_programs_own_variables);
    tcase_add_test(t, looks_at_some_settings_without_what_is_required);
    tcase_add_test(t, misses_what_is_required);
    tcase_add_test(t, shows_help_whatever_else_is_missing);
    tcase_add_test(t, a_list_may_keep_its_commas);
    tcase_add_test(t, the_environment_gives_way_to_what_excludes_it);
    Suite *s = suite_create("settings");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
