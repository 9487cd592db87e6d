#include "dial/dial.h"

#include <check.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct outcome {
    unsigned times;
    int fd;
    rl_code code;
    char message[RL_ERROR_MESSAGE_BYTES];
};

static void on_outcome(void *context, int fd, rl_code code, const char *message)
{
    struct outcome *outcome = context;
    outcome->times++;
    outcome->fd = fd;
    outcome->code = code;
    snprintf(outcome->message, sizeof outcome->message, "%s", message);
}

static struct outcome dial(const char *address, uint32_t timeout_ms)
{
    struct outcome outcome = {.fd = -1};
    struct rl_loop *loop;
    struct rl_dial *handle;
    ck_assert_int_eq(rl_loop_create(&loop, NULL), RL_OK);
    ck_assert_int_eq(rl_dial_start(loop, address, timeout_ms, on_outcome, &outcome, &handle, NULL),
                     RL_OK);
    ck_assert_ptr_nonnull(handle);
    ck_assert_uint_eq(outcome.times, 0);
    while (!outcome.times)
        rl_loop_turn(loop, -1);
    ck_assert_ptr_null(handle);
    rl_loop_turn(loop, 0);
    ck_assert_uint_eq(outcome.times, 1);
    rl_loop_free(&loop);
    return outcome;
}

static int listen_at(const char *address, char at[64])
{
    int fd;
    uint16_t port;
    struct rl_error err;
    if (rl_listen(address, &fd, &port, &err) != RL_OK)
        ck_abort_msg("%s", err.message);
    snprintf(at, 64, "127.0.0.1:%u", port);
    return fd;
}

/* A port that was free a moment ago. */
static void refusing(char at[64])
{
    close(listen_at("127.0.0.1:0", at));
}

START_TEST(connects_without_blocking_or_delay)
{
    char at[64];
    int listener = listen_at("127.0.0.1:0", at);
    struct outcome o = dial(at, 2000);
    ck_assert_int_eq(o.code, RL_OK);
    int on = 0;
    socklen_t n = sizeof on;
    ck_assert_int_eq(getsockopt(o.fd, IPPROTO_TCP, TCP_NODELAY, &on, &n), 0);
    ck_assert_int_ne(on, 0);
    ck_assert(fcntl(o.fd, F_GETFL) & O_NONBLOCK);
    ck_assert(fcntl(o.fd, F_GETFD) & FD_CLOEXEC);
    ck_assert_int_eq(write(o.fd, "x", 1), 1);
    int accepted = accept(listener, NULL, NULL);
    char c;
    ck_assert_int_eq(read(accepted, &c, 1), 1);
    close(accepted);
    close(o.fd);
    close(listener);
}
END_TEST

START_TEST(says_who_refused)
{
    char at[64];
    refusing(at);
    struct outcome o = dial(at, 2000);
    ck_assert_int_eq(o.code, RL_E_UNAVAILABLE);
    ck_assert_int_eq(o.fd, -1);
    ck_assert_ptr_nonnull(strstr(o.message, at));
    ck_assert_ptr_nonnull(strstr(o.message, "refused"));
}
END_TEST

START_TEST(goes_on_to_the_next_address_when_one_refuses)
{
    char at[64], name[80];
    int listener = listen_at("127.0.0.1:0", at);
    snprintf(name, sizeof name, "localhost:%s", strrchr(at, ':') + 1);
    struct outcome o = dial(name, 2000);
    ck_assert_int_eq(o.code, RL_OK);
    close(o.fd);
    close(listener);
    o = dial(name, 2000);
    ck_assert_int_eq(o.code, RL_E_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(o.message, at));
}
END_TEST

/* With its queue of connections full, Linux lets a listener's port fall silent. */
START_TEST(gives_up_on_silence_in_time)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof to;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&to, sizeof to), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&to, &n), 0);
    ck_assert_int_eq(listen(listener, 0), 0);
    int full[4];
    for (size_t i = 0; i < RL_COUNT(full); i++) {
        full[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(full[i], (struct sockaddr *)&to, sizeof to);
    }
    char at[64];
    snprintf(at, sizeof at, "127.0.0.1:%u", ntohs(to.sin_port));
    struct outcome o = dial(at, 100);
    ck_assert_int_eq(o.code, RL_E_DEADLINE);
    ck_assert_int_eq(o.fd, -1);
    ck_assert_ptr_nonnull(strstr(o.message, "100 ms"));
    for (size_t i = 0; i < RL_COUNT(full); i++)
        close(full[i]);
    close(listener);
}
END_TEST

START_TEST(calls_nobody_after_a_cancel)
{
    char at[64];
    int listener = listen_at("127.0.0.1:0", at);
    struct outcome outcome = {0};
    struct rl_loop *loop;
    struct rl_dial *handle = NULL, *by_name = NULL;
    ck_assert_int_eq(rl_loop_create(&loop, NULL), RL_OK);
    rl_dial_cancel(&handle);
    rl_dial_start(loop, at, 50, on_outcome, &outcome, &handle, NULL);
    rl_dial_start(loop, "a.name.invalid:1", 50, on_outcome, &outcome, &by_name, NULL);
    rl_dial_cancel(&handle);
    rl_dial_cancel(&by_name);
    ck_assert_ptr_null(handle);
    rl_loop_turn(loop, 10);
    rl_loop_free(&loop); /* would assert that something is left */
    ck_assert_uint_eq(outcome.times, 0);
    close(listener);
}
END_TEST

START_TEST(refuses_what_is_no_address)
{
    static const char *const bad[] = {"",     "localhost", "localhost:", "localhost:65536",
                                      ":::1", "[::1:80"};
    struct rl_loop *loop;
    struct rl_dial *handle = NULL;
    ck_assert_int_eq(rl_loop_create(&loop, NULL), RL_OK);
    for (size_t i = 0; i < RL_COUNT(bad); i++) {
        ck_assert_int_eq(rl_dial_start(loop, bad[i], 50, on_outcome, NULL, &handle, NULL),
                         RL_E_INVAL);
        ck_assert_ptr_null(handle);
    }
    rl_loop_free(&loop);
}
END_TEST

START_TEST(waits_where_there_is_no_loop)
{
    char at[64];
    int listener = listen_at("127.0.0.1:0", at), fd = -1;
    struct rl_error err;
    ck_assert_int_eq(rl_dial_blocking(at, 2000, &fd, &err), RL_OK);
    ck_assert_int_ge(fd, 0);
    close(fd);
    close(listener);
    fd = -1;
    ck_assert_int_eq(rl_dial_blocking(at, 2000, &fd, &err), RL_E_UNAVAILABLE);
    ck_assert_int_eq(fd, -1);
    ck_assert_ptr_nonnull(strstr(err.message, "refused"));
}
END_TEST

START_TEST(a_port_has_one_listener)
{
    char at[64];
    int listener = listen_at("127.0.0.1:0", at), second = -1;
    struct rl_error err;
    ck_assert_int_eq(rl_listen(at, &second, NULL, &err), RL_E_EXISTS);
    ck_assert_int_eq(second, -1);
    ck_assert_ptr_nonnull(strstr(err.message, at));
    close(listener);
    ck_assert_int_eq(rl_listen(at, &second, NULL, &err), RL_OK);
    close(second);
}
END_TEST

START_TEST(listens_on_a_name)
{
    char at[64];
    close(listen_at("localhost:0", at));
    int fd = -1;
    ck_assert_int_eq(rl_listen("no port", &fd, NULL, NULL), RL_E_INVAL);
    ck_assert_int_eq(fd, -1);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("dial");
    tcase_add_test(t, connects_without_blocking_or_delay);
    tcase_add_test(t, says_who_refused);
    tcase_add_test(t, goes_on_to_the_next_address_when_one_refuses);
    tcase_add_test(t, gives_up_on_silence_in_time);
    tcase_add_test(t, calls_nobody_after_a_cancel);
    tcase_add_test(t, refuses_what_is_no_address);
    tcase_add_test(t, waits_where_there_is_no_loop);
    tcase_add_test(t, a_port_has_one_listener);
    tcase_add_test(t, listens_on_a_name);
    Suite *s = suite_create("dial");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
