#include "clock/clock.h"
#include "tunnel/socket.h"

#include <check.h>
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

int main(void)
{
    TCase *tests = tcase_create("socket");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, tells_once_that_what_was_refused_may_be_tried_again);
    tcase_add_test(tests, finds_an_end_that_came_with_the_last_bytes);
    tcase_add_test(tests, waits_for_room_and_goes_on_where_it_stopped);
    tcase_add_test(tests, does_not_spin_on_a_peer_that_went_while_nobody_reads);
    tcase_add_test(tests, says_broken_when_the_reader_is_gone);
    tcase_add_test(tests, a_half_close_leaves_the_other_direction_open);
    Suite *suite = suite_create("socket");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
