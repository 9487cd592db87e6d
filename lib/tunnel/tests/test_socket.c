#include "clock/clock.h"
#include "tls/tests/pair.h"
#include "tunnel/socket.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct rl_loop *loop;
static struct rl_socket *socket_;
static int far_end;
static unsigned readable, writable, calls;

static void on_ready(void *context, bool can_read, bool can_write)
{
    (void)context;
    calls++;
    readable += can_read;
    writable += can_write;
}

static void set_up(void)
{
    int pair[2];
    ck_assert_int_eq(rl_loop_create(&loop, NULL), RL_OK);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    far_end = pair[1];
    ck_assert_int_eq(rl_socket_create(loop, pair[0], NULL, on_ready, NULL, &socket_, NULL), RL_OK);
    readable = writable = calls = 0;
}

static void tear_down(void)
{
    rl_socket_close(&socket_);
    if (far_end >= 0)
        close(far_end);
    rl_loop_free(&loop);
}

static void turns(int n)
{
    while (n-- > 0)
        rl_loop_turn(loop, 0);
}

START_TEST(tells_once_that_what_was_refused_may_be_tried_again)
{
    uint8_t bytes[16];
    ck_assert_int_eq(rl_socket_read(socket_, bytes, sizeof bytes), RL_SOCKET_WAIT);
    turns(3);
    ck_assert_uint_eq(calls, 0);
    ck_assert_int_eq(send(far_end, "hello", 5, 0), 5);
    turns(5);
    ck_assert_uint_eq(readable, 1);
    ck_assert_int_eq(rl_socket_read(socket_, bytes, sizeof bytes), 5);
    ck_assert_int_eq(rl_socket_read(socket_, bytes, sizeof bytes), RL_SOCKET_WAIT);
    turns(3);
    ck_assert_uint_eq(calls, 1);
}
END_TEST

START_TEST(finds_an_end_that_came_with_the_last_bytes)
{
    uint8_t bytes[16];
    ck_assert_int_eq(send(far_end, "hello", 5, 0), 5);
    shutdown(far_end, SHUT_WR);
    ck_assert_int_eq(rl_socket_read(socket_, bytes, sizeof bytes), 5);
    ck_assert_int_eq(rl_socket_read(socket_, bytes, sizeof bytes), RL_SOCKET_WAIT);
    turns(2);
    ck_assert_uint_eq(readable, 1);
    ck_assert_int_eq(rl_socket_read(socket_, bytes, sizeof bytes), 0);
}
END_TEST

START_TEST(waits_for_room_and_goes_on_where_it_stopped)
{
    uint8_t block[4096] = {0};
    size_t sent = 0;
    ssize_t n;
    while ((n = rl_socket_write(socket_, block, sizeof block)) > 0)
        sent += (size_t)n;
    ck_assert_int_eq(n, RL_SOCKET_WAIT);
    turns(3);
    ck_assert_uint_eq(calls, 0);
    while (recv(far_end, block, sizeof block, 0) > 0)
        ;
    turns(3);
    ck_assert_uint_eq(writable, 1);
    ck_assert_int_gt(rl_socket_write(socket_, block, sizeof block), 0);
    ck_assert_uint_gt(sent, 0);
}
END_TEST

START_TEST(writes_from_several_places_and_says_when_it_is_full)
{
    static uint8_t a[40000], b[40000], got[sizeof a + sizeof b];
    struct iovec places[] = {{a, sizeof a}, {b, sizeof b}};
    memset(a, 'a', sizeof a);
    memset(b, 'b', sizeof b);
    ck_assert_int_eq(rl_socket_writev(socket_, places, 2), sizeof got);
    ck_assert(!rl_socket_is_full(socket_));
    for (size_t n = 0; n < sizeof got;)
        n += (size_t)recv(far_end, got + n, sizeof got - n, MSG_WAITALL);
    ck_assert_mem_eq(got, a, sizeof a);
    ck_assert_mem_eq(got + sizeof a, b, sizeof b);
    ssize_t n = 0;
    while (!rl_socket_is_full(socket_))
        n = rl_socket_writev(socket_, places, 2);
    ck_assert_int_lt(n, sizeof got);
    turns(3);
    ck_assert_uint_eq(calls, 0);
    while (recv(far_end, got, sizeof got, 0) > 0)
        ;
    turns(3);
    ck_assert_uint_eq(writable, 1);
    ck_assert(!rl_socket_is_full(socket_));
}
END_TEST

START_TEST(does_not_spin_on_a_peer_that_went_while_nobody_reads)
{
    close(far_end);
    far_end = -1;
    turns(3);
    uint64_t before = rl_clock_boot_ms();
    rl_loop_turn(loop, 30); /* nothing wakes it */
    ck_assert_uint_ge(rl_clock_boot_ms() - before, 25);
    uint8_t byte;
    ck_assert_int_eq(rl_socket_read(socket_, &byte, 1), 0);
}
END_TEST

START_TEST(says_broken_when_the_reader_is_gone)
{
    close(far_end);
    far_end = -1;
    ck_assert_int_eq(rl_socket_write(socket_, (const uint8_t *)"x", 1), RL_SOCKET_BROKEN);
}
END_TEST

START_TEST(a_half_close_leaves_the_other_direction_open)
{
    rl_socket_finish(socket_);
    char text[8] = {0};
    ck_assert_int_eq(recv(far_end, text, sizeof text, 0), 0);
    ck_assert_int_eq(send(far_end, "more", 4, 0), 4);
    ck_assert_int_eq(rl_socket_read(socket_, (uint8_t *)text, sizeof text), 4);
}
END_TEST

/* ---- through a pipe ---- */

START_TEST(bytes_go_through_a_pipe_and_say_the_same_as_by_hand)
{
    int pipe_[2];
    char text[8] = {0};
    ck_assert_int_eq(pipe2(pipe_, O_NONBLOCK), 0);
    ck_assert(rl_socket_is_plain(socket_));
    ck_assert_int_eq(rl_socket_read_into_pipe(socket_, pipe_[1], 4096), RL_SOCKET_WAIT);
    ck_assert_int_eq(send(far_end, "hello", 5, 0), 5);
    turns(2);
    ck_assert_uint_eq(readable, 1);
    ck_assert_int_eq(rl_socket_read_into_pipe(socket_, pipe_[1], 4096), 5);
    ck_assert_int_eq(rl_socket_write_from_pipe(socket_, pipe_[0], 5), 5);
    ck_assert_int_eq(recv(far_end, text, sizeof text, 0), 5);
    ck_assert_str_eq(text, "hello");
    shutdown(far_end, SHUT_WR);
    ck_assert_int_eq(rl_socket_read_into_pipe(socket_, pipe_[1], 4096), RL_SOCKET_WAIT);
    turns(2);
    ck_assert_int_eq(rl_socket_read_into_pipe(socket_, pipe_[1], 4096), 0);
    ck_assert_int_eq(write(pipe_[1], "x", 1), 1);
    close(far_end);
    far_end = -1;
    signal(SIGPIPE, SIG_IGN); /* as every service does */
    ck_assert_int_eq(rl_socket_write_from_pipe(socket_, pipe_[0], 1), RL_SOCKET_BROKEN);
    close(pipe_[0]);
    close(pipe_[1]);
}
END_TEST

START_TEST(a_pipe_waits_for_a_peer_that_stalls)
{
    int pipe_[2];
    uint8_t block[4096] = {0};
    ssize_t n = 1;
    ck_assert_int_eq(pipe2(pipe_, O_NONBLOCK), 0);
    while (n > 0) {
        ck_assert_int_eq(write(pipe_[1], block, sizeof block), sizeof block);
        n = rl_socket_write_from_pipe(socket_, pipe_[0], sizeof block);
    }
    ck_assert_int_eq(n, RL_SOCKET_WAIT);
    turns(2);
    ck_assert_uint_eq(calls, 0);
    while (recv(far_end, block, sizeof block, 0) > 0)
        ;
    turns(2);
    ck_assert_uint_eq(writable, 1);
    ck_assert_int_gt(rl_socket_write_from_pipe(socket_, pipe_[0], sizeof block), 0);
    close(pipe_[0]);
    close(pipe_[1]);
}
END_TEST

/* ---- gathered TLS ---- */

static struct pair tls;

static void set_up_tls(void)
{
    pair_open_anonymous(&tls);
    ck_assert_int_eq(rl_loop_create(&loop, NULL), RL_OK);
    ck_assert_int_eq(
        rl_socket_create(loop, tls.server_fd, tls.server, on_ready, NULL, &socket_, NULL), RL_OK);
    rl_socket_gather(socket_);
    readable = writable = calls = 0;
}

static void tear_down_tls(void)
{
    rl_socket_close(&socket_);
    SSL_free(tls.client);
    close(tls.client_fd);
    rl_loop_free(&loop);
}

static size_t read_tls_client(void)
{
    uint8_t bytes[16384];
    size_t all = 0, n;
    while (SSL_read_ex(tls.client, bytes, sizeof bytes, &n) == 1)
        all += n;
    return all;
}

START_TEST(what_a_turn_wrote_goes_out_at_its_end)
{
    ck_assert(!rl_socket_is_plain(socket_));
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(rl_socket_write(socket_, (const uint8_t *)"hello", 5), 5);
    ck_assert(rl_socket_has_unsent(socket_));
    ck_assert_uint_eq(read_tls_client(), 0);
    turns(1);
    ck_assert(!rl_socket_has_unsent(socket_));
    ck_assert_uint_eq(read_tls_client(), 15);
    ck_assert_uint_eq(calls, 0);
}
END_TEST

START_TEST(a_peer_that_stalls_gets_all_of_it_in_the_end)
{
    static const uint8_t block[16384];
    int small = 8192;
    size_t sent = 0, got = 0;
    ck_assert_int_eq(setsockopt(tls.server_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    ssize_t n;
    while ((n = rl_socket_write(socket_, block, sizeof block)) > 0)
        sent += (size_t)n;
    ck_assert_int_eq(n, RL_SOCKET_WAIT);
    turns(3);
    ck_assert(rl_socket_has_unsent(socket_));
    ck_assert_uint_eq(calls, 0);
    while (n == RL_SOCKET_WAIT) { /* the same bytes again, as the contract has it */
        got += read_tls_client();
        turns(1);
        n = rl_socket_write(socket_, block, sizeof block);
    }
    sent += (size_t)n;
    rl_socket_finish(socket_);
    for (int i = 0; i < 1000 && rl_socket_has_unsent(socket_); i++) {
        got += read_tls_client();
        turns(1);
    }
    ck_assert(!rl_socket_has_unsent(socket_));
    ck_assert_uint_ge(writable, 1); /* who waits for that is told */
    got += read_tls_client();
    ck_assert_uint_eq(got, sent);
    ck_assert_int_ne(SSL_get_shutdown(tls.client) & SSL_RECEIVED_SHUTDOWN, 0);
}
END_TEST

START_TEST(a_peer_that_went_before_the_turns_end_is_found)
{
    ck_assert_int_eq(rl_socket_write(socket_, (const uint8_t *)"hello", 5), 5);
    shutdown(tls.client_fd, SHUT_RDWR);
    turns(2);
    ck_assert_uint_ge(writable, 1);
    ck_assert(!rl_socket_has_unsent(socket_));
    ck_assert_int_eq(rl_socket_write(socket_, (const uint8_t *)"x", 1), RL_SOCKET_BROKEN);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("socket");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, tells_once_that_what_was_refused_may_be_tried_again);
    tcase_add_test(tests, finds_an_end_that_came_with_the_last_bytes);
    tcase_add_test(tests, waits_for_room_and_goes_on_where_it_stopped);
    tcase_add_test(tests, writes_from_several_places_and_says_when_it_is_full);
    tcase_add_test(tests, does_not_spin_on_a_peer_that_went_while_nobody_reads);
    tcase_add_test(tests, says_broken_when_the_reader_is_gone);
    tcase_add_test(tests, a_half_close_leaves_the_other_direction_open);
    tcase_add_test(tests, bytes_go_through_a_pipe_and_say_the_same_as_by_hand);
    tcase_add_test(tests, a_pipe_waits_for_a_peer_that_stalls);
    TCase *gathered = tcase_create("gathered");
    tcase_add_checked_fixture(gathered, set_up_tls, tear_down_tls);
    tcase_add_test(gathered, what_a_turn_wrote_goes_out_at_its_end);
    tcase_add_test(gathered, a_peer_that_stalls_gets_all_of_it_in_the_end);
    tcase_add_test(gathered, a_peer_that_went_before_the_turns_end_is_found);
    Suite *suite = suite_create("socket");
    suite_add_tcase(suite, tests);
    suite_add_tcase(suite, gathered);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
