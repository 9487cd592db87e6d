#include "../route.h"
#include "../web.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static struct rl_client_hello hello_of(const char *sni, const char *alpn)
{
    struct rl_client_hello hello = {.alpn_count = 0};
    snprintf(hello.sni, sizeof hello.sni, "%s", sni);
    if (alpn) {
        snprintf(hello.alpn[0], sizeof hello.alpn[0], "h2");
        snprintf(hello.alpn[1], sizeof hello.alpn[1], "%s", alpn);
        hello.alpn_count = 2;
    }
    return hello;
}

#define C "remoteler-connect"

static const struct {
    const char *sni, *alpn;
    enum route_kind kind;
    const char *replica;
} rows[] = {
    {"auth.dev.example.remoteler.internal", NULL, ROUTE_AUTH, ""},
    {"auth.dev.example.remoteler.internal", C, ROUTE_AUTH, ""}, /* SNI decides first */
    {"auth.remoteler.internal", "h2", ROUTE_AUTH, ""},
    {"audit.dev.example.remoteler.internal", NULL, ROUTE_AUDIT, ""},
    {"broker.dev.example.remoteler.internal", NULL, ROUTE_BROKER, ""},
    {"b-1.broker.dev.example.remoteler.internal", NULL, ROUTE_BROKER, "b-1"},
    {"proxy.dev.example.remoteler.internal", C, ROUTE_CONNECT, ""},
    {"proxy.dev.example.remoteler.internal", NULL, ROUTE_CONNECT, ""},
    {"kube.dev.example.remoteler.internal", NULL, ROUTE_REFUSED, ""},
    {"x.y.broker.dev.example.remoteler.internal", NULL, ROUTE_REFUSED, ""},
    {".broker.dev.example.remoteler.internal", NULL, ROUTE_REFUSED, ""},
    {"nothing.dev.example.remoteler.internal", NULL, ROUTE_REFUSED, ""},
    {"dev.example.remoteler.internal", NULL, ROUTE_REFUSED, ""},
    {".dev.example.remoteler.internal", NULL, ROUTE_REFUSED, ""},
    {"auth.other.example.remoteler.internal", NULL, ROUTE_REFUSED, ""},
    {"auth.xdev.example.remoteler.internal", NULL, ROUTE_REFUSED, ""},
    {"authdev.example.remoteler.internal", NULL, ROUTE_REFUSED, ""},
    {"broker.remoteler.internal", NULL, ROUTE_REFUSED, ""},
    {".remoteler.internal", NULL, ROUTE_WEB, ""},
    {"remoteler.internal", NULL, ROUTE_WEB, ""},
    {"xremoteler.internal", NULL, ROUTE_WEB, ""},
    {"example.com", C, ROUTE_CONNECT, ""},
    {"", C, ROUTE_CONNECT, ""},
    {"example.com", "http/1.1", ROUTE_WEB, ""},
    {"", NULL, ROUTE_WEB, ""},
    {"auth.dev.example.remoteler.internal.example.com", NULL, ROUTE_WEB, ""},
};

START_TEST(a_connection_goes_where_its_name_says)
{
    struct rl_client_hello hello = hello_of(rows[_i].sni, rows[_i].alpn);
    struct route route = route_of("dev.example", &hello);
    ck_assert_msg(route.kind == rows[_i].kind, "%s: %d", rows[_i].sni, route.kind);
    ck_assert_str_eq(route.replica, rows[_i].replica);
    ck_assert((route.kind == ROUTE_REFUSED) == (route.reason != NULL));
}
END_TEST

START_TEST(a_replica_of_the_longest_name_fits_and_no_longer)
{
    for (size_t n = 62; n <= 65; n++) {
        char label[80];
        memset(label, 'a', n);
        snprintf(label + n, sizeof label - n, "%s", "");
        char sni[256];
        snprintf(sni, sizeof sni, "%s.broker.dev.example.remoteler.internal", label);
        struct rl_client_hello hello = hello_of(sni, NULL);
        struct route route = route_of("dev.example", &hello);
        ck_assert_int_eq(route.kind, n < 64 ? ROUTE_BROKER : ROUTE_REFUSED);
    }
}
END_TEST

START_TEST(host_has_to_be_the_name_of_the_connection)
{
    static const struct {
        const char *host, *sni;
        bool matches;
    } hosts[] = {
        {"example.com", "example.com", true},
        {"Example.COM:443", "example.com", true},
        {"example.com.", "example.com", false},
        {"other.com", "example.com", false},
        {"example.com", "example.co", false},
        {"", "example.com", false},
        {NULL, "example.com", false},
        {"127.0.0.1:3080", "", true},
        {"[::1]:3080", "", true},
        {"[::1", "", false},
        {"localhost", "", true},
        {"example.com", "", false},
        {"127.0.0.1", "127.0.0.1", true},
        {":443", "", false},
    };
    for (size_t i = 0; i < RL_COUNT(hosts); i++)
        ck_assert_msg(web_host_matches(hosts[i].host, hosts[i].sni) == hosts[i].matches, "%zu", i);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("route");
    tcase_add_loop_test(tests, a_connection_goes_where_its_name_says, 0, RL_COUNT(rows));
    tcase_add_test(tests, a_replica_of_the_longest_name_fits_and_no_longer);
    tcase_add_test(tests, host_has_to_be_the_name_of_the_connection);
    Suite *suite = suite_create("route");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
