#include "connect.h"

#include "tls/tls.h"

#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BULK_BYTES (8u << 20)

/* The proxy's side of a connection, and what tsh has on its other three ends. */
struct world {
    SSL_CTX *server_ctx;
    SSL *server;
    int server_fd;
    struct tsh_connection connection;
    int in[2], out[2];
    pthread_t relay;
    rl_code code;
};

static struct world w;

static SSL_CTX *make_server(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    X509_set_version(certificate, X509_VERSION_3);
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    ck_assert_int_gt(X509_sign(certificate, key, EVP_sha256()), 0);
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    ck_assert_int_eq(SSL_CTX_use_certificate(ctx, certificate), 1);
    ck_assert_int_eq(SSL_CTX_use_PrivateKey(ctx, key), 1);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return ctx;
}

static void *accept_tls(void *ssl)
{
    ck_assert_int_eq(SSL_accept(ssl), 1);
    return NULL;
}

static void set_up(void)
{
    int fds[2];
    pthread_t server;
    signal(SIGPIPE, SIG_IGN);
    const struct rl_tls_client_config client = {.insecure = true};
    w = (struct world){.server_ctx = make_server()};
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    ck_assert(pipe(w.in) == 0 && pipe(w.out) == 0);
    w.server_fd = fds[0];
    w.server = SSL_new(w.server_ctx);
    w.connection = (struct tsh_connection){.fd = fds[1]};
    ck_assert_int_eq(rl_tls_client_create(&client, &w.connection.tls, NULL), RL_OK);
    ck_assert_int_eq(rl_tls_connect(w.connection.tls, fds[1], &w.connection.ssl, NULL), RL_OK);
    SSL_set_fd(w.server, w.server_fd);
    tsh_connection_set_sizes(&w.connection);
    pthread_create(&server, NULL, accept_tls, w.server);
    ck_assert_int_eq(SSL_connect(w.connection.ssl), 1);
    pthread_join(server, NULL);
    fcntl(w.connection.fd, F_SETFL, O_NONBLOCK);
}

static void tear_down(void)
{
    tsh_connection_close(&w.connection);
    SSL_free(w.server);
    SSL_CTX_free(w.server_ctx);
    close(w.server_fd);
    close(w.in[0]);
    close(w.out[0]);
}

static void *run_relay(void *unused)
{
    (void)unused;
    w.code = tsh_connection_relay(&w.connection, w.in[0], w.out[1], NULL);
    close(w.out[1]);
    return NULL;
}

static void start_relay(void)
{
    ck_assert_int_eq(pthread_create(&w.relay, NULL, run_relay, NULL), 0);
}

static uint8_t pattern(size_t at)
{
    return (uint8_t)(at * 31 + (at >> 8) + (at >> 16));
}

static void fill(uint8_t *to, size_t from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = pattern(from + i);
}

static void expect_out(size_t from, size_t n)
{
    uint8_t bytes[65536], expected[sizeof bytes];
    for (size_t done = 0; done < n;) {
        size_t most = n - done < sizeof bytes ? n - done : sizeof bytes;
        ssize_t got = read(w.out[0], bytes, most);
        ck_assert_int_gt(got, 0);
        fill(expected, from + done, (size_t)got);
        ck_assert_mem_eq(bytes, expected, (size_t)got);
        done += (size_t)got;
    }
}

/* One record for each piece. */
static void say(size_t from, size_t n, size_t piece)
{
    uint8_t bytes[16384];
    for (size_t done = 0; done < n; done += piece) {
        fill(bytes, from + done, piece);
        ck_assert_int_eq(SSL_write(w.server, bytes, (int)piece), (int)piece);
    }
}

static void finish(void)
{
    close(w.in[1]);
    SSL_shutdown(w.server);
    pthread_join(w.relay, NULL);
    ck_assert_int_eq(w.code, RL_OK);
}

START_TEST(records_that_came_together_are_all_passed_on)
{
    say(0, 300, 100);
    start_relay();
    expect_out(0, 300); /* nothing more comes that would wake anybody */
    finish();
}
END_TEST

START_TEST(more_than_one_buffer_that_came_together_is_all_passed_on)
{
    say(0, 96000, 16000);
    say(96000, 7, 7);
    start_relay();
    expect_out(0, 96007);
    finish();
}
END_TEST

static void *echo(void *unused)
{
    static uint8_t bytes[16384];
    int n;
    (void)unused;
    while ((n = SSL_read(w.server, bytes, sizeof bytes)) > 0) {
        ck_assert_int_le(n, TSH_RECORD_BYTES);
        ck_assert_int_eq(SSL_write(w.server, bytes, n), n);
    }
    ck_assert_int_eq(SSL_get_error(w.server, n), SSL_ERROR_ZERO_RETURN);
    SSL_shutdown(w.server);
    return NULL;
}

static void *feed(void *unused)
{
    uint8_t bytes[4096];
    (void)unused;
    for (size_t done = 0; done < BULK_BYTES; done += sizeof bytes) {
        fill(bytes, done, sizeof bytes);
        ck_assert_int_eq(write(w.in[1], bytes, sizeof bytes), sizeof bytes);
    }
    close(w.in[1]);
    return NULL;
}

START_TEST(bulk_goes_both_ways_and_a_half_close_is_passed_on)
{
    pthread_t echoing, feeding;
    pthread_create(&echoing, NULL, echo, NULL);
    start_relay();
    pthread_create(&feeding, NULL, feed, NULL);
    expect_out(0, BULK_BYTES);
    pthread_join(feeding, NULL);
    pthread_join(echoing, NULL);
    pthread_join(w.relay, NULL);
    ck_assert_int_eq(w.code, RL_OK);
}
END_TEST

START_TEST(a_connection_that_breaks_is_an_error)
{
    start_relay();
    shutdown(w.server_fd, SHUT_RDWR); /* without close_notify: somebody may have cut it off */
    pthread_join(w.relay, NULL);
    ck_assert_int_eq(w.code, RL_E_UNAVAILABLE);
    close(w.in[1]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tsh connect");
    TCase *c = tcase_create("relay");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_set_timeout(c, 30);
    tcase_add_test(c, records_that_came_together_are_all_passed_on);
    tcase_add_test(c, more_than_one_buffer_that_came_together_is_all_passed_on);
    tcase_add_test(c, bulk_goes_both_ways_and_a_half_close_is_passed_on);
    tcase_add_test(c, a_connection_that_breaks_is_an_error);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
