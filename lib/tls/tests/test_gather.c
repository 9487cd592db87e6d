/* Many records by one system call, and none lost. */
#include "tls/tests/pair.h"
#include "tls/tls.h"

#include <stdlib.h>

#define RECORD_BYTES 16384
#define TOTAL_BYTES (1u << 20)

static struct pair p;

static void set_up(void)
{
    pair_open_anonymous(&p);
    rl_tls_gather(p.server);
    rl_tls_gather(p.client);
}

static void tear_down(void)
{
    pair_close(&p);
}

/* The byte at an offset of a stream in which no block is like another. */
static uint8_t byte_at(size_t offset)
{
    return (uint8_t)(offset ^ offset >> 8 ^ offset >> 16);
}

/* What the client can read now is what comes at `offset`; returns how much that was. */
static size_t read_and_compare(size_t offset)
{
    uint8_t bytes[RECORD_BYTES];
    size_t all = 0, n, wrong = 0;
    while (SSL_read_ex(p.client, bytes, sizeof bytes, &n) == 1) {
        for (size_t i = 0; i < n; i++)
            wrong += bytes[i] != byte_at(offset + all + i);
        all += n;
    }
    ck_assert_uint_eq(wrong, 0);
    return all;
}

static bool write_some(size_t offset, size_t n, size_t *written)
{
    uint8_t bytes[RECORD_BYTES];
    for (size_t i = 0; i < n; i++)
        bytes[i] = byte_at(offset + i);
    return SSL_write_ex(p.server, bytes, n, written) == 1;
}

START_TEST(what_is_written_waits_until_it_is_flushed)
{
    size_t n = 0;
    for (size_t i = 0; i < 3; i++)
        ck_assert(write_some(i * 100, 100, &n));
    ck_assert(rl_tls_has_unsent(p.server));
    ck_assert_uint_eq(read_and_compare(0), 0);
    ck_assert_int_eq(rl_tls_flush(p.server), RL_TLS_DONE);
    ck_assert(!rl_tls_has_unsent(p.server));
    ck_assert_uint_eq(read_and_compare(0), 300);
    ck_assert_int_eq(rl_tls_flush(p.server), RL_TLS_DONE); /* of nothing */
}
END_TEST

START_TEST(what_is_too_much_to_wait_goes_out_by_itself)
{
    size_t n = 0, written = 0;
    for (; written <= RL_TLS_GATHER_BYTES; written += n)
        ck_assert(write_some(written, RECORD_BYTES, &n));
    size_t got = read_and_compare(0);
    ck_assert_uint_ge(got, 4 * RECORD_BYTES);
    ck_assert_uint_lt(got, written);
    ck_assert_int_eq(rl_tls_flush(p.server), RL_TLS_DONE);
    ck_assert_uint_eq(got + read_and_compare(got), written);
}
END_TEST

/* A reader that stalls: what waits is bounded, and goes on where it stopped. */
START_TEST(a_full_socket_loses_nothing_and_bounds_what_waits)
{
    int small = 8192;
    ck_assert_int_eq(setsockopt(p.server_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    size_t written = 0, got = 0, n = 0;
    while (written < TOTAL_BYTES && write_some(written, RECORD_BYTES, &n))
        written += n;
    ck_assert_uint_lt(written, 16 * RECORD_BYTES);
    ck_assert_int_eq(rl_tls_flush(p.server), RL_TLS_WANT_WRITE);
    ck_assert(rl_tls_has_unsent(p.server));
    while (got < TOTAL_BYTES) {
        got += read_and_compare(got);
        while (written < TOTAL_BYTES && write_some(written, RECORD_BYTES, &n))
            written += n;
        ck_assert_int_ne(rl_tls_flush(p.server), RL_TLS_FAILED);
    }
    ck_assert_uint_eq(got, TOTAL_BYTES);
    ck_assert(!rl_tls_has_unsent(p.server));
}
END_TEST

START_TEST(the_end_goes_out_behind_what_waited)
{
    size_t n = 0;
    ck_assert(write_some(0, 1000, &n));
    ck_assert_int_eq(SSL_shutdown(p.server), 0); /* said; the answer has not come */
    ck_assert(!rl_tls_has_unsent(p.server));
    ck_assert_uint_eq(read_and_compare(0), 1000);
    ck_assert_int_eq(SSL_get_shutdown(p.client) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
}
END_TEST

START_TEST(a_flush_says_that_the_peer_is_gone)
{
    size_t n = 0;
    ck_assert(write_some(0, 1000, &n));
    shutdown(p.client_fd, SHUT_RDWR);
    ck_assert_int_eq(rl_tls_flush(p.server), RL_TLS_FAILED);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("gather");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, what_is_written_waits_until_it_is_flushed);
    tcase_add_test(t, what_is_too_much_to_wait_goes_out_by_itself);
    tcase_add_test(t, a_full_socket_loses_nothing_and_bounds_what_waits);
    tcase_add_test(t, the_end_goes_out_behind_what_waited);
    tcase_add_test(t, a_flush_says_that_the_peer_is_gone);
    Suite *s = suite_create("gather");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
