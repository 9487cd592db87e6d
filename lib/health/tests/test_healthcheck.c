#include "health/healthcheck.h"

#include "health/health.h"

#include <arpa/inet.h>
#include <check.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct rl_health *health;
static char address[40];
static struct rl_error err;

static void start(const char *listen)
{
    ck_assert_msg(rl_health_start(listen, &health, &err) == RL_OK, "%s", err.message);
    snprintf(address, sizeof address, "127.0.0.1:%u", rl_health_port(health));
}

static void tear_down(void)
{
    rl_health_stop(&health);
}

START_TEST(a_ready_service_is_healthy)
{
    start("127.0.0.1:0");
    ck_assert_int_eq(rl_health_ask(address, &err), RL_OK);
}
END_TEST

START_TEST(one_that_waits_says_for_what)
{
    start("127.0.0.1:0");
    rl_health_need(health, "joined", false);
    rl_health_need(health, "auth", false);
    ck_assert_int_eq(rl_health_ask(address, &err), RL_E_PRECONDITION);
    ck_assert_str_eq(err.message, "waiting for joined,waiting for auth");
}
END_TEST

START_TEST(one_on_every_address_is_asked_on_loopback)
{
    start("0.0.0.0:0");
    snprintf(address, sizeof address, "0.0.0.0:%u", rl_health_port(health));
    ck_assert_int_eq(rl_health_ask(address, &err), RL_OK);
}
END_TEST

START_TEST(a_name_is_asked_at_this_machines_own_address)
{
    start("localhost:0");
    snprintf(address, sizeof address, "localhost:%u", rl_health_port(health));
    ck_assert_msg(rl_health_ask(address, &err) == RL_OK, "%s", err.message);
}
END_TEST

START_TEST(nobody_there_is_not_healthy)
{
    start("127.0.0.1:0");
    rl_health_stop(&health);
    ck_assert_int_eq(rl_health_ask(address, &err), RL_E_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(err.message, "nothing answers on 127.0.0.1:"));
}
END_TEST

/* A listener that greets with something else. */
START_TEST(what_is_no_health_listener_is_not_healthy)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, n), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &n), 0);
    snprintf(address, sizeof address, "127.0.0.1:%u", ntohs(at.sin_port));
    pid_t pid = fork();
    if (pid == 0) {
        int peer = accept(fd, NULL, NULL);
        char request[512];
        if (read(peer, request, sizeof request) < 0 || write(peer, "SSH-2.0-x\r\n", 11) < 0)
            _exit(1);
        _exit(0);
    }
    ck_assert_int_eq(rl_health_ask(address, &err), RL_E_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(err.message, "is no health listener"));
    close(fd);
}
END_TEST

START_TEST(an_address_that_can_not_be_asked_is_a_wrong_setting)
{
    ck_assert_int_eq(rl_health_ask(NULL, &err), RL_E_INVAL);
    ck_assert_int_eq(rl_health_ask("127.0.0.1:0", &err), RL_E_INVAL);
    ck_assert_int_eq(rl_health_ask("nowhere", &err), RL_E_INVAL);
}
END_TEST

struct settings {
    char *health, *needed;
};

static int run(const char *flag)
{
    static const struct rl_setting rows[] = {
        {.name = "health-listen",
         .type = RL_SETTING_ADDRESS,
         .offset = offsetof(struct settings, health)},
        {.name = "needed",
         .type = RL_SETTING_TEXT,
         .offset = offsetof(struct settings, needed),
         .required = true},
    };
    static const struct rl_settings_spec spec = {
        .program = "remoteler-test", .rows = rows, .count = RL_COUNT(rows)};
    struct settings settings = {0};
    char program[] = "remoteler-test", asked[] = RL_HEALTHCHECK_FLAG, text[80];
    char *argv[] = {program, asked, text, NULL};
    snprintf(text, sizeof text, "%s", flag);
    ck_assert(rl_healthcheck_is_asked(3, argv));
    return rl_healthcheck(&spec, &settings, &settings.health, 3, argv);
}

START_TEST(the_command_needs_none_of_the_other_settings_and_exits_as_it_found)
{
    char flag[80];
    start("127.0.0.1:0");
    snprintf(flag, sizeof flag, "--health-listen=%s", address);
    ck_assert_int_eq(run(flag), 0);
    rl_health_need(health, "auth", false);
    ck_assert_int_eq(run(flag), 1);
    ck_assert_int_eq(run("--health-listen=nowhere"), 2);
    ck_assert_int_eq(run("--unheard-of"), 2);
    char program[] = "remoteler-test", other[] = "run";
    char *argv[] = {program, other, NULL};
    ck_assert(!rl_healthcheck_is_asked(2, argv));
    ck_assert(!rl_healthcheck_is_asked(1, argv));
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("healthcheck");
    tcase_add_checked_fixture(t, NULL, tear_down);
    tcase_add_test(t, a_ready_service_is_healthy);
    tcase_add_test(t, one_that_waits_says_for_what);
    tcase_add_test(t, one_on_every_address_is_asked_on_loopback);
    tcase_add_test(t, a_name_is_asked_at_this_machines_own_address);
    tcase_add_test(t, nobody_there_is_not_healthy);
    tcase_add_test(t, what_is_no_health_listener_is_not_healthy);
    tcase_add_test(t, an_address_that_can_not_be_asked_is_a_wrong_setting);
    tcase_add_test(t, the_command_needs_none_of_the_other_settings_and_exits_as_it_found);
    Suite *s = suite_create("healthcheck");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
