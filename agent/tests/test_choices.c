#include "agent.h"
#include "bytes/secret.h"
#include "file/file.h"
#include "resource/resource.h"
#include "uplink/uplink.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARGUMENTS_MAX 8

static struct agent agent;
static struct rl_error err;

static void set_up(void)
{
    agent = (struct agent){0};
    unsetenv("REMOTELER_PROXY");
    setenv("HOME", "/home/alice", 1);
}

static void tear_down(void)
{
    rl_labels_free(&agent.labels, agent.label_count);
    rl_settings_free(&agent_start_spec, &agent.settings);
}

/* As `remoteler start` with these arguments reads them and fills in the rest. */
static rl_code start(const char *const *args)
{
    char texts[ARGUMENTS_MAX][96], *argv[ARGUMENTS_MAX];
    int argc = 1;
    argv[0] = strcpy(texts[0], "start");
    for (; *args; args++, argc++)
        argv[argc] = strcpy(texts[argc], *args);
    tear_down();
    agent = (struct agent){0};
    rl_code rc = rl_settings_read(&agent_start_spec, argc, argv, &agent.settings, NULL, &err);
    return rc == RL_OK ? agent_choose(&agent, &err) : rc;
}
#define START(...) start((const char *const[]){__VA_ARGS__, NULL})

START_TEST(a_tunnel_or_directly_but_one_of_them)
{
    ck_assert_int_eq(START("--proxy=p:1", "--nodename=a"), RL_OK);
    ck_assert(!agent.is_direct);
    ck_assert_ptr_null(agent.settings.listen);
    ck_assert_ptr_null(agent.settings.advertise);
    ck_assert_int_eq(START("--auth-server=a:1", "--nodename=a"), RL_OK);
    ck_assert(agent.is_direct);
    ck_assert_int_eq(START("--nodename=a"), RL_E_INVAL);
    ck_assert_int_eq(START("--proxy=p:1", "--auth-server=a:1", "--nodename=a"), RL_E_INVAL);
    ck_assert_ptr_nonnull(strstr(err.message, "exclude each other"));
}
END_TEST

START_TEST(the_environments_proxy_does_not_count_against_auth_server)
{
    setenv("REMOTELER_PROXY", "p:1", 1);
    ck_assert_int_eq(START("--nodename=a"), RL_OK);
    ck_assert(!agent.is_direct);
    ck_assert_str_eq(agent.settings.proxy, "p:1");
    ck_assert_int_eq(START("--auth-server=a:1", "--nodename=a"), RL_OK);
    ck_assert(agent.is_direct);
    ck_assert_ptr_null(agent.settings.proxy);
    ck_assert_int_eq(START("--auth-server=a:1", "--proxy=p:1", "--nodename=a"), RL_E_INVAL);
}
END_TEST

START_TEST(a_tunnelled_agent_listens_nowhere)
{
    ck_assert_int_eq(START("--proxy=p:1", "--nodename=a", "--listen=127.0.0.1:1"), RL_E_INVAL);
    ck_assert_int_eq(START("--proxy=p:1", "--nodename=a", "--advertise=x:1"), RL_E_INVAL);
}
END_TEST

START_TEST(what_is_advertised_can_be_dialled)
{
    char expected[300];
    ck_assert_int_eq(START("--auth-server=a:1", "--nodename=a", "--listen=192.0.2.1:22"), RL_OK);
    ck_assert_str_eq(agent.settings.advertise, "192.0.2.1:22");
    ck_assert_int_eq(START("--auth-server=a:1", "--nodename=a", "--listen=192.0.2.1:22",
                           "--advertise=n.example:3022"),
                     RL_OK);
    ck_assert_str_eq(agent.settings.advertise, "n.example:3022");
    ck_assert_int_eq(START("--auth-server=a:1", "--nodename=a"), RL_OK);
    snprintf(expected, sizeof expected, "%s:3022", agent.hostname);
    ck_assert_str_eq(agent.settings.listen, "0.0.0.0:3022");
    ck_assert_str_eq(agent.settings.advertise, expected);
    ck_assert_int_eq(START("--auth-server=a:1", "--nodename=a", "--listen=[::]:7"), RL_OK);
    snprintf(expected, sizeof expected, "%s:7", agent.hostname);
    ck_assert_str_eq(agent.settings.advertise, expected);
}
END_TEST

START_TEST(names_roles_and_labels_are_checked)
{
    ck_assert_int_eq(START("--proxy=p:1", "--nodename=Node A"), RL_E_INVAL);
    ck_assert_int_eq(START("--proxy=p:1", "--nodename=a.b"), RL_E_INVAL);
    ck_assert_int_eq(START("--proxy=p:1", "--nodename=a", "--roles=node,kube"), RL_E_INVAL);
    ck_assert_int_eq(START("--proxy=p:1", "--nodename=a", "--labels=env"), RL_E_INVAL);
    ck_assert_int_eq(START("--proxy=p:1", "--nodename=a", "--labels=a=1,a=2"), RL_E_INVAL);
    ck_assert_int_eq(START("--proxy=p:1", "--nodename=a", "--labels=a=1", "--labels=b=2,c=3"),
                     RL_OK);
    ck_assert_uint_eq(agent.label_count, 3);
}
END_TEST

START_TEST(data_lie_where_they_belong)
{
    ck_assert_int_eq(START("--proxy=p:1", "--nodename=a", "--data-dir=/x"), RL_OK);
    ck_assert_str_eq(agent.settings.data_dir, "/x");
    ck_assert_int_eq(START("--proxy=p:1", "--nodename=a"), RL_OK);
    ck_assert_str_eq(agent.settings.data_dir,
                     geteuid() == 0 ? "/var/lib/remoteler" : "/home/alice/.local/state/remoteler");
}
END_TEST

static void check_token(const char *setting, const char *expected)
{
    char *token = NULL;
    rl_code rc = agent_read_token(setting, &token, &err);
    ck_assert_int_eq(rc == RL_OK, expected != NULL);
    if (expected)
        ck_assert_str_eq(token, expected);
    else
        ck_assert_ptr_null(token);
    rl_wipe_text(&token);
}

START_TEST(a_token_is_a_word_a_file_or_stdin)
{
    char path[] = "@/tmp/rl-token-XXXXXX";
    close(mkstemp(path + 1));
    check_token(NULL, NULL);
    check_token("abc", "abc");
    check_token("@/nonexistent/token", NULL);
    check_token(path, NULL); /* empty */
    ck_assert_int_eq(rl_file_write(path + 1, rl_span_of("tok\r\n"), NULL), RL_OK);
    check_token(path, "tok");
    ck_assert_int_eq(rl_file_write(path + 1, rl_span_of("\n"), NULL), RL_OK);
    check_token(path, NULL);
    unlink(path + 1);
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(write(ends[1], "piped", 5), 5);
    close(ends[1]);
    ck_assert_int_ge(dup2(ends[0], STDIN_FILENO), 0);
    check_token("-", "piped");
    close(ends[0]);
}
END_TEST

START_TEST(a_broker_may_ask_for_patience_and_not_for_good_bye)
{
    ck_assert_uint_eq(rl_uplink_come_back_ms(0), 0);
    ck_assert_uint_eq(rl_uplink_come_back_ms(300000), 300000);
    ck_assert_uint_eq(rl_uplink_come_back_ms(300001), 300000);
    ck_assert_uint_eq(rl_uplink_come_back_ms(UINT32_MAX), 300000);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("choices");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_tunnel_or_directly_but_one_of_them);
    tcase_add_test(t, the_environments_proxy_does_not_count_against_auth_server);
    tcase_add_test(t, a_tunnelled_agent_listens_nowhere);
    tcase_add_test(t, what_is_advertised_can_be_dialled);
    tcase_add_test(t, names_roles_and_labels_are_checked);
    tcase_add_test(t, data_lie_where_they_belong);
    tcase_add_test(t, a_token_is_a_word_a_file_or_stdin);
    tcase_add_test(t, a_broker_may_ask_for_patience_and_not_for_good_bye);
    Suite *s = suite_create("choices");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
