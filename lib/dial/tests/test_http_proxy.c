#include "bytes/buf.h"
#include "bytes/encoding.h"
#include "dial/dial.h"

#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- what the settings mean ---- */

static struct rl_http_proxy *make(const char *url, const char *except)
{
    struct rl_http_proxy *proxy = NULL;
    struct rl_error err;
    if (rl_http_proxy_create(url, except, &proxy, &err) != RL_OK)
        ck_abort_msg("%s: %s", url, err.message);
    return proxy;
}

static void leads_to(const char *url, const char *address, const char *authorization)
{
    struct rl_http_proxy *proxy = make(url, NULL);
    ck_assert_str_eq(rl_http_proxy_address(proxy), address);
    ck_assert_pstr_eq(rl_http_proxy_authorization(proxy), authorization);
    rl_http_proxy_free(&proxy);
    ck_assert_ptr_null(proxy);
}

START_TEST(reads_a_proxys_url)
{
    leads_to("http://squid.example.com:3128", "squid.example.com:3128", NULL);
    leads_to("http://squid.example.com:3128/", "squid.example.com:3128", NULL);
    leads_to("HTTP://proxy", "proxy:80", NULL);
    leads_to("10.0.0.1:8080", "10.0.0.1:8080", NULL);
    leads_to("http://[fe80::1]", "[fe80::1]:80", NULL);
    leads_to("http://[fe80::1]:3128", "[fe80::1]:3128", NULL);
    /* RFC 7617, 2 */
    leads_to("http://Aladdin:open%20sesame@p:1", "p:1", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    leads_to("http://a:b@c@p:1", "p:1", "Basic YTpiQGM=");
}
END_TEST

START_TEST(refuses_what_is_no_proxy)
{
    static const char *const bad[] = {
        "",
        "https://p:3128",
        "socks5://p:1080",
        "http://",
        "http://:1",
        "http://p:70000",
        "http://a:%4@p:3128",
        "http://a:%zz@p:3128",
        "http://p q:1",
    };
    for (size_t i = 0; i < RL_COUNT(bad); i++) {
        struct rl_http_proxy *proxy = NULL;
        struct rl_error err;
        ck_assert_msg(rl_http_proxy_create(bad[i], NULL, &proxy, &err) == RL_E_INVAL, "%s", bad[i]);
        ck_assert_ptr_null(proxy);
    }
    char *user = rl_sprintf("http://%0*d@p:1", RL_HTTP_PROXY_USER_BYTES_MAX + 1, 0);
    struct rl_http_proxy *proxy = NULL;
    ck_assert_int_eq(rl_http_proxy_create(user, NULL, &proxy, NULL), RL_E_INVAL);
    free(user);
}
END_TEST

START_TEST(a_password_is_in_no_message)
{
    struct rl_http_proxy *proxy = NULL;
    struct rl_error err;
    ck_assert_int_eq(rl_http_proxy_create("http://a:geheim@p:99999", NULL, &proxy, &err),
                     RL_E_INVAL);
    ck_assert_ptr_null(strstr(err.message, "geheim"));
    ck_assert_int_eq(rl_http_proxy_create("ftp://a:geheim@p:1", NULL, &proxy, &err), RL_E_INVAL);
    ck_assert_ptr_null(strstr(err.message, "geheim"));
}
END_TEST

START_TEST(exceptions_are_dialled_straight)
{
    static const struct {
        const char *except, *host;
        uint16_t port;
        bool is_for;
    } cases[] = {
        {NULL, "a.example.com", 443, true},
        {"", "a.example.com", 443, true},
        {"*", "a.example.com", 443, false},
        {"example.com", "example.com", 443, false},
        {"example.com", "A.Example.COM", 443, false},
        {"example.com", "badexample.com", 443, true},
        {".example.com", "a.example.com", 443, false},
        {"other, example.com:8443", "example.com", 8443, false},
        {"other, example.com:8443", "example.com", 443, true},
        {"10.0.0.7", "10.0.0.7", 443, false},
        {"10.0.0.7", "10.0.0.70", 443, true},
        {"10.0.0.0/8", "10.255.1.2", 443, false},
        {"10.0.0.0/9", "10.128.1.2", 443, true},
        {"10.0.0.0/8:443", "10.1.1.2", 444, true},
        {"0.0.0.0/0", "192.0.2.1", 443, false},
        {"0.0.0.0/0", "2001:db8::1", 443, true},
        {"2001:db8::/32", "2001:db8:1::1", 443, false},
        {"[2001:db8::]/32", "2001:db9::1", 443, true},
        {"[2001:db8::1]:443", "2001:db8::1", 443, false},
        {"[2001:db8::1]:443", "2001:db8::1", 444, true},
        {"2001:db8::1", "2001:db8::1", 443, false},
        {"0.7", "10.0.0.7", 443, true}, /* a name's end, but this is an address */
    };
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        struct rl_http_proxy *proxy = make("p:1", cases[i].except);
        ck_assert_msg(rl_http_proxy_is_for(proxy, cases[i].host, cases[i].port) == cases[i].is_for,
                      "%s: %s:%u", cases[i].except, cases[i].host, cases[i].port);
        rl_http_proxy_free(&proxy);
    }
    ck_assert(!rl_http_proxy_is_for(NULL, "example.com", 443));
}
END_TEST

START_TEST(exceptions_are_counted)
{
    struct rl_buf list;
    struct rl_http_proxy *proxy = NULL;
    rl_buf_init(&list, 4096);
    for (int i = 0; i < RL_HTTP_PROXY_EXCEPTIONS_MAX; i++)
        rl_buf_printf(&list, "h%d,", i);
    rl_http_proxy_free(&(struct rl_http_proxy *){make("p:1", rl_buf_text(&list))});
    rl_buf_put_text(&list, "more");
    ck_assert_int_eq(rl_http_proxy_create("p:1", rl_buf_text(&list), &proxy, NULL), RL_E_INVAL);
    rl_buf_fini(&list);
}
END_TEST

/* ---- a proxy that says what it is told to say, piece by piece ---- */

static struct {
    int listener;
    char at[64];
    const char *const *pieces;
    char request[4096];
    pthread_t thread;
} fake;

static void *serve(void *unused)
{
    size_t n = 0;
    int fd = accept(fake.listener, NULL, NULL);
    memset(fake.request, 0, sizeof fake.request);
    while (!strstr(fake.request, "\r\n\r\n")) {
        ssize_t got = read(fd, fake.request + n, sizeof fake.request - 1 - n);
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    for (const char *const *piece = fake.pieces; *piece; piece++) {
        if (send(fd, *piece, strlen(*piece), MSG_NOSIGNAL) < 0)
            break;
        usleep(20000); /* so that they arrive apart */
    }
    close(fd);
    return unused;
}

static void start_fake(const char *const *pieces)
{
    uint16_t port;
    ck_assert_int_eq(rl_listen("127.0.0.1:0", &fake.listener, &port, NULL), RL_OK);
    fcntl(fake.listener, F_SETFL, 0); /* its thread waits */
    snprintf(fake.at, sizeof fake.at, "http://us:er@127.0.0.1:%u", port);
    fake.pieces = pieces;
    ck_assert_int_eq(pthread_create(&fake.thread, NULL, serve, NULL), 0);
}

static void stop_fake(void)
{
    pthread_join(fake.thread, NULL);
    close(fake.listener);
}

struct outcome {
    bool is_known;
    int fd;
    rl_code code;
    char message[RL_ERROR_MESSAGE_BYTES];
};

static void on_outcome(void *context, int fd, rl_code code, const char *message)
{
    struct outcome *o = context;
    *o = (struct outcome){true, fd, code, ""};
    snprintf(o->message, sizeof o->message, "%s", message);
}

static struct outcome dial(const char *address, const char *except, uint32_t timeout_ms)
{
    struct outcome outcome = {.fd = -1};
    struct rl_loop *loop;
    struct rl_http_proxy *proxy = make(fake.at, except);
    const struct rl_dial_how how = {.proxy = proxy};
    ck_assert_int_eq(rl_loop_create(&loop, NULL), RL_OK);
    ck_assert_int_eq(
        rl_dial_start_by(loop, address, &how, timeout_ms, on_outcome, &outcome, NULL, NULL), RL_OK);
    while (!outcome.is_known)
        rl_loop_turn(loop, -1);
    rl_loop_free(&loop);
    rl_http_proxy_free(&proxy);
    return outcome;
}

START_TEST(what_follows_the_answer_is_the_targets)
{
    static const char *const pieces[] = {"HTTP/1.1 200 Conn", "ection established\r\nX: y\r\n\r",
                                         "\nfirst", " bytes", NULL};
    start_fake(pieces);
    struct outcome o = dial("Root.example.com:443", NULL, 5000);
    ck_assert_msg(o.code == RL_OK, "%s", o.message);
    char got[64] = "";
    size_t n = 0;
    ssize_t more;
    ck_assert_int_eq(recv(o.fd, got, 1, MSG_DONTWAIT | MSG_PEEK), 1);
    stop_fake();
    while (n < sizeof got && (more = recv(o.fd, got + n, sizeof got - n, MSG_DONTWAIT)) > 0)
        n += (size_t)more;
    ck_assert_str_eq(got, "first bytes");
    ck_assert_str_eq(fake.request, "CONNECT Root.example.com:443 HTTP/1.1\r\n"
                                   "Host: Root.example.com:443\r\n"
                                   "Proxy-Authorization: Basic dXM6ZXI=\r\n\r\n");
    close(o.fd);
}
END_TEST

static void fails(const char *const *pieces, const char *why)
{
    start_fake(pieces);
    struct outcome o = dial("root.example.com:443", NULL, 5000);
    ck_assert_int_eq(o.code, RL_E_UNAVAILABLE);
    ck_assert_int_eq(o.fd, -1);
    ck_assert_msg(strstr(o.message, why) && strstr(o.message, "by way of 127.0.0.1"), "%s",
                  o.message);
    ck_assert_ptr_null(strstr(o.message, "us:er"));
    stop_fake();
}

START_TEST(tells_why_a_proxy_refused)
{
    static const char *const no[] = {"HTTP/1.1 407 Proxy Authentication\033[31m Required\r\n\r\n",
                                     NULL};
    static const char *const ssh[] = {"SSH-2.0-OpenSSH_9.2\r\n\r\n", NULL};
    static const char *const nothing[] = {NULL};
    static const char *const half[] = {"HTTP/1.1 200 OK\r\n", NULL};
    fails(no, "407 Proxy Authentication?[31m Required");
    fails(ssh, "does not speak HTTP");
    fails(nothing, "closed the connection");
    fails(half, "closed the connection");
}
END_TEST

START_TEST(an_endless_answer_is_an_error)
{
    static char long_line[2000];
    memset(long_line, 'x', sizeof long_line - 1);
    const char *const pieces[] = {
        "HTTP/1.1 200 OK\r\n", long_line, long_line, long_line, long_line, long_line, NULL};
    fails(pieces, "too great length");
}
END_TEST

START_TEST(a_silent_proxy_is_given_up_in_time)
{
    uint16_t port;
    ck_assert_int_eq(rl_listen("127.0.0.1:0", &fake.listener, &port, NULL), RL_OK);
    snprintf(fake.at, sizeof fake.at, "127.0.0.1:%u", port);
    struct outcome o = dial("root.example.com:443", NULL, 100);
    ck_assert_int_eq(o.code, RL_E_DEADLINE);
    close(fake.listener);
}
END_TEST

START_TEST(goes_straight_where_the_proxy_is_not_wanted)
{
    int target;
    uint16_t port;
    char at[64];
    ck_assert_int_eq(rl_listen("127.0.0.1:0", &target, &port, NULL), RL_OK);
    snprintf(at, sizeof at, "127.0.0.1:%u", port);
    strcpy(fake.at, "http://127.0.0.1:1");
    struct outcome o = dial(at, "127.0.0.0/8", 5000);
    ck_assert_msg(o.code == RL_OK, "%s", o.message);
    close(o.fd);
    close(target);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("http_proxy");
    tcase_add_test(t, reads_a_proxys_url);
    tcase_add_test(t, refuses_what_is_no_proxy);
    tcase_add_test(t, a_password_is_in_no_message);
    tcase_add_test(t, exceptions_are_dialled_straight);
    tcase_add_test(t, exceptions_are_counted);
    tcase_add_test(t, what_follows_the_answer_is_the_targets);
    tcase_add_test(t, tells_why_a_proxy_refused);
    tcase_add_test(t, an_endless_answer_is_an_error);
    tcase_add_test(t, a_silent_proxy_is_given_up_in_time);
    tcase_add_test(t, goes_straight_where_the_proxy_is_not_wanted);
    Suite *s = suite_create("http_proxy");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
