#include "health/health.h"

#include <arpa/inet.h>
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct rl_health *health;
static char answer[100000];

static void set_up(void)
{
    struct rl_error err;
    ck_assert_msg(rl_health_start("127.0.0.1:0", &health, &err) == RL_OK, "%s", err.message);
    ck_assert_uint_ne(rl_health_port(health), 0);
}

static void tear_down(void)
{
    rl_health_stop(&health);
    ck_assert_ptr_null(health);
}

static const char *ask(const char *request)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(rl_health_port(health)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    ck_assert_int_eq(write(fd, request, strlen(request)), (ssize_t)strlen(request));
    size_t n = 0;
    ssize_t got;
    while ((got = read(fd, answer + n, sizeof answer - 1 - n)) > 0)
        n += (size_t)got;
    answer[n] = '\0';
    close(fd);
    return answer;
}

static const char *get(const char *path)
{
    char request[200];
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
             path);
    return ask(request);
}

static void check_answer(const char *got, const char *status, const char *part)
{
    ck_assert_msg(strncmp(got, "HTTP/1.1 ", 9) == 0 && strncmp(got + 9, status, 3) == 0, "%s", got);
    ck_assert_msg(strstr(got, part) != NULL, "no \"%s\" in %s", part, got);
}

START_TEST(is_alive)
{
    check_answer(get("/healthz"), "200", "\r\n\r\nok\n");
    check_answer(get("/healthz?x=1"), "200", "ok\n");
}
END_TEST

START_TEST(is_ready_when_every_need_is_met)
{
    check_answer(get("/readyz"), "200", "ready\n");
    rl_health_need(health, "PostgreSQL", false);
    rl_health_need(health, "a certificate", false);
    check_answer(get("/readyz"), "503",
                 "\r\n\r\nwaiting for PostgreSQL\nwaiting for a certificate\n");
    rl_health_need(health, "PostgreSQL", true);
    check_answer(get("/readyz"), "503", "\r\n\r\nwaiting for a certificate\n");
    rl_health_need(health, "a certificate", true);
    check_answer(get("/readyz"), "200", "ready\n");
    rl_health_need(health, "PostgreSQL", false);
    check_answer(get("/readyz"), "503", "waiting for PostgreSQL\n");
    check_answer(get("/metrics"), "200", "# TYPE remoteler_ready gauge\nremoteler_ready 0\n");
    rl_health_need(health, "PostgreSQL", true);
    check_answer(get("/metrics"), "200", "\nremoteler_ready 1\n");
}
END_TEST

static void *count_to_ten_thousand(void *metric)
{
    for (int i = 0; i < 10000; i++)
        rl_metric_add(metric, 1);
    return NULL;
}

START_TEST(shows_what_many_threads_counted)
{
    pthread_t threads[4];
    struct rl_metric *dials = rl_health_counter(health, "dials_total", "Dials.", "kind=\"ssh\"");
    struct rl_metric *tunnels = rl_health_gauge(health, "tunnels", "Tunnels now.", NULL);
    struct rl_metric *apps = rl_health_counter(health, "dials_total", "Dials.", "kind=\"app\"");
    ck_assert_ptr_eq(dials, rl_health_counter(health, "dials_total", "Dials.", "kind=\"ssh\""));
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, count_to_ten_thousand, dials);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    rl_metric_set(tunnels, -3);
    rl_metric_add(apps, 2);
    check_answer(get("/metrics"), "200",
                 "# HELP dials_total Dials.\n# TYPE dials_total counter\n"
                 "dials_total{kind=\"ssh\"} 40000\ndials_total{kind=\"app\"} 2\n"
                 "# HELP tunnels Tunnels now.\n# TYPE tunnels gauge\ntunnels -3\n");
    check_answer(answer, "200", "Content-Type: text/plain; version=0.0.4");
    check_answer(answer, "200", "remoteler_build_info{version=\"");
}
END_TEST

START_TEST(gives_no_metric_beyond_the_thousandth)
{
    char name[32];
    struct rl_metric *last = NULL;
    for (int i = 1; i < 1000; i++) { /* one is the version */
        snprintf(name, sizeof name, "m%d", i);
        last = rl_health_counter(health, name, "M.", NULL);
        ck_assert_ptr_nonnull(last);
    }
    struct rl_metric *none = rl_health_counter(health, "m1000", "M.", NULL);
    ck_assert_ptr_null(none);
    rl_metric_add(none, 1);
    ck_assert_ptr_eq(rl_health_counter(health, "m999", "M.", NULL), last);
    ck_assert_ptr_null(rl_health_counter(NULL, "m", "M.", NULL));
}
END_TEST

START_TEST(takes_nothing_but_get)
{
    check_answer(ask("POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: "
                     "close\r\n\r\nabc"),
                 "405", "Allow: GET");
    check_answer(ask("DELETE /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), "405",
                 "GET only");
}
END_TEST

START_TEST(knows_three_pages)
{
    check_answer(get("/"), "404", "there are /healthz, /readyz and /metrics\n");
    check_answer(get("/healthz/"), "404", "");
    check_answer(get("/../healthz"), "404", "");
}
END_TEST

START_TEST(lives_through_nonsense)
{
    ask("\x16\x03\x01\x02\x01 what?\r\n\r\n");
    check_answer(get("/healthz"), "200", "ok\n");
}
END_TEST

START_TEST(says_when_the_address_is_taken_or_wrong)
{
    struct rl_health *second = NULL;
    struct rl_error err;
    char address[40];
    snprintf(address, sizeof address, "127.0.0.1:%u", rl_health_port(health));
    ck_assert_int_eq(rl_health_start(address, &second, &err), RL_E_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(err.message, "Address already in use"));
    ck_assert_int_eq(rl_health_start("nowhere", &second, &err), RL_E_INVAL);
    ck_assert_ptr_null(second);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("health");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, is_alive);
    tcase_add_test(t, is_ready_when_every_need_is_met);
    tcase_add_test(t, shows_what_many_threads_counted);
    tcase_add_test(t, gives_no_metric_beyond_the_thousandth);
    tcase_add_test(t, takes_nothing_but_get);
    tcase_add_test(t, knows_three_pages);
    tcase_add_test(t, lives_through_nonsense);
    tcase_add_test(t, says_when_the_address_is_taken_or_wrong);
    Suite *s = suite_create("health");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
