#include "agent.h"

#include <openssl/evp.h>

static struct cluster *c;
static struct test_agent a, b;

static void set_up(void)
{
    c = cluster_make();
    agent_init(&a, c, UUID_A, "node");
    agent_init(&b, c, UUID_B, "node");
    agent_attach(&a);
    agent_attach(&b);
    TURN_UNTIL(c, a.welcomed && b.welcomed);
}

static void tear_down(void)
{
    agent_fini(&a);
    agent_fini(&b);
    cluster_free(c);
}

START_TEST(whom_nobody_has_cannot_be_dialled)
{
    struct test_dial d;
    dial(&d, c, "0190c0de-0000-7000-8000-00000000000f");
    TURN_UNTIL(c, d.closed);
    ck_assert_int_eq(d.code, RL_E_UNAVAILABLE);
    ck_assert(strstr(d.message, "is not attached to this broker"));
    ck_assert_int_eq(d.opened, 0);
    dial_fini(&d);
}
END_TEST

START_TEST(only_what_is_registered_can_be_dialled)
{
    struct test_dial d;
    dial_as(&d, c, c->proxy, UUID_A, "app");
    TURN_UNTIL(c, d.closed);
    ck_assert_int_eq(d.code, RL_E_NOT_FOUND);
    ck_assert_int_eq(a.opens, 0);
    dial_fini(&d);
}
END_TEST

static rl_code dial_over(struct rl_rpc_channel *channel)
{
    struct test_dial d;
    dial_as(&d, c, channel, UUID_A, "ssh");
    TURN_UNTIL(c, d.closed);
    ck_assert_int_eq(a.opens, 0);
    dial_fini(&d);
    return d.code;
}

START_TEST(only_a_proxy_may_dial)
{
    struct rl_rpc_channel *as_agent = channel(c, c->dial_address, b.tls);
    ck_assert_int_eq(dial_over(as_agent), RL_E_DENIED);
    rl_rpc_channel_free(&as_agent);
}
END_TEST

START_TEST(where_agents_arrive_nobody_dials)
{
    struct rl_rpc_channel *as_proxy = channel(c, c->attach_address, c->to_broker);
    ck_assert_int_eq(dial_over(as_proxy), RL_E_UNIMPLEMENTED);
    ck_assert_int_eq(dial_over(b.channel), RL_E_UNIMPLEMENTED);
    rl_rpc_channel_free(&as_proxy);
}
END_TEST

START_TEST(a_refusal_by_the_agent_reaches_the_dialler)
{
    a.refuses = true;
    struct test_dial d;
    dial(&d, c, UUID_A);
    TURN_UNTIL(c, d.closed);
    ck_assert_int_eq(d.code, RL_E_EXHAUSTED);
    ck_assert_str_eq(d.message, "too many connections here");
    dial_fini(&d);
}
END_TEST

START_TEST(a_stream_id_is_for_one_agent_one_epoch_and_once)
{
    a.is_mute = true;
    struct test_dial d;
    dial(&d, c, UUID_A);
    TURN_UNTIL(c, a.opens == 1);
    /* another agent with the right id; the right agent with a guessed id, and of another epoch */
    agent_carry(&b, a.stream_id, b.epoch);
    TURN_UNTIL(c, b.carry_closed == 1);
    ck_assert_int_eq(b.carry_code, RL_E_NOT_FOUND);
    uint8_t guess[16];
    memcpy(guess, a.stream_id, 16);
    guess[15] ^= 1;
    agent_carry(&a, guess, a.epoch);
    TURN_UNTIL(c, a.carry_closed == 1);
    agent_carry(&a, a.stream_id, a.epoch + 1);
    TURN_UNTIL(c, a.carry_closed == 2);
    ck_assert_int_eq(a.carry_code, RL_E_NOT_FOUND);
    ck_assert_int_eq(d.closed + d.opened, 0); /* none of it disturbed the dial */
    agent_carry(&a, a.stream_id, a.epoch);
    TURN_UNTIL(c, d.opened == 1);
    ck_assert_uint_eq(broker_streams(c->broker), 1);
    struct rl_tunnel_end *first = a.end;
    int fd = a.fd;
    a.fd = -1;
    a.end = NULL;
    agent_carry(&a, a.stream_id, a.epoch); /* again */
    TURN_UNTIL(c, a.carry_closed == 3);
    ck_assert_int_eq(a.carry_code, RL_E_NOT_FOUND);
    ck_assert_int_eq(d.closed, 0);
    a.end = first;
    close(fd);
    dial_fini(&d);
}
END_TEST

START_TEST(an_agent_that_comes_too_late_finds_nobody)
{
    a.is_mute = true;
    struct test_dial d;
    dial(&d, c, UUID_A);
    TURN_UNTIL(c, a.opens == 1);
    uint64_t began = rl_clock_boot_ms();
    TURN_UNTIL(c, d.closed);
    ck_assert_uint_ge(rl_clock_boot_ms() - began, 9000);
    ck_assert_int_eq(d.code, RL_E_DEADLINE);
    ck_assert(strstr(d.message, "did not answer within 10 s"));
    agent_carry(&a, a.stream_id, a.epoch);
    TURN_UNTIL(c, a.carry_closed == 1);
    ck_assert_int_eq(a.carry_code, RL_E_NOT_FOUND);
    dial_fini(&d);
}
END_TEST

START_TEST(a_dial_that_waits_hears_that_the_agent_went)
{
    a.is_mute = true;
    struct test_dial d;
    dial(&d, c, UUID_A);
    TURN_UNTIL(c, a.opens == 1);
    rl_rpc_channel_free(&a.channel);
    TURN_UNTIL(c, d.closed);
    ck_assert_int_eq(d.code, RL_E_UNAVAILABLE);
    ck_assert(strstr(d.message, "has just detached"));
    dial_fini(&d);
}
END_TEST

/* ---- bytes ---- */

struct pump {
    int from, to;
    size_t total, written, read;
    EVP_MD_CTX *sent, *got;
    bool ended;
};

static void pump_init(struct pump *p, int from, int to, size_t total)
{
    *p = (struct pump){.from = from, .to = to, .total = total};
    p->sent = EVP_MD_CTX_new();
    p->got = EVP_MD_CTX_new();
    EVP_DigestInit(p->sent, EVP_sha256());
    EVP_DigestInit(p->got, EVP_sha256());
}

static void pump_step(struct pump *p)
{
    static uint8_t block[65536];
    size_t n = p->total - p->written < sizeof block ? p->total - p->written : sizeof block;
    for (size_t i = 0; i < n; i += 251)
        block[i] = (uint8_t)(p->written + i * 7);
    ssize_t done = n ? write(p->from, block, n) : 0;
    if (done > 0) {
        EVP_DigestUpdate(p->sent, block, (size_t)done);
        p->written += (size_t)done;
        if (p->written == p->total)
            shutdown(p->from, SHUT_WR);
    }
    while ((done = read(p->to, block, sizeof block)) > 0) {
        EVP_DigestUpdate(p->got, block, (size_t)done);
        p->read += (size_t)done;
    }
    p->ended = p->ended || done == 0;
}

static void pump_check(struct pump *p)
{
    uint8_t sent[32], got[32];
    ck_assert_uint_eq(p->read, p->total);
    EVP_DigestFinal(p->sent, sent, NULL);
    EVP_DigestFinal(p->got, got, NULL);
    ck_assert_mem_eq(sent, got, 32);
    EVP_MD_CTX_free(p->sent);
    EVP_MD_CTX_free(p->got);
}

START_TEST(sixty_four_mebibytes_arrive_as_they_were_sent)
{
    struct test_dial d;
    dial(&d, c, UUID_A);
    TURN_UNTIL(c, d.opened);
    struct pump up, down;
    pump_init(&up, d.fd, a.fd, 40u << 20);
    pump_init(&down, a.fd, d.fd, 24u << 20);
    for (uint64_t until = rl_clock_boot_ms() + 100000;
         !(up.ended && down.ended) && rl_clock_boot_ms() < until;) {
        pump_step(&up);
        pump_step(&down);
        rl_loop_turn(c->loop, up.written == up.total && down.written == down.total ? 5 : 0);
    }
    pump_check(&up);
    pump_check(&down);
    TURN_UNTIL(c, d.closed && a.carry_closed);
    ck_assert_int_eq(d.code, RL_OK);
    ck_assert_int_eq(a.carry_code, RL_OK);
    TURN_UNTIL(c, broker_streams(c->broker) == 0);
    dial_fini(&d);
}
END_TEST

START_TEST(a_stalled_reader_stops_its_writer_and_nobody_else)
{
    struct test_dial stalled, other;
    dial(&stalled, c, UUID_A);
    TURN_UNTIL(c, stalled.opened);
    int stalled_fd = a.fd;
    a.fd = -1;
    a.end = NULL;
    dial(&other, c, UUID_A);
    TURN_UNTIL(c, other.opened);
    uint8_t block[65536] = {0};
    size_t sent = 0;
    for (int idle = 0; idle < 100;) {
        ssize_t n = write(stalled.fd, block, sizeof block);
        idle = n > 0 ? 0 : idle + 1;
        sent += n > 0 ? (size_t)n : 0;
        rl_loop_turn(c->loop, 1);
    }
    /* two socket pairs, and a window at the broker and at the agent */
    ck_assert_uint_lt(sent, 2u * 262144 + 2u * 500000);
    ck_assert_uint_gt(sent, 262144);
    ck_assert_int_eq(write(other.fd, "still here", 10), 10);
    char text[16] = {0};
    TURN_UNTIL(c, read(a.fd, text, sizeof text) == 10);
    size_t got = 0;
    while (got < sent) {
        ssize_t n = read(stalled_fd, block, sizeof block);
        got += n > 0 ? (size_t)n : 0;
        rl_loop_turn(c->loop, 0);
    }
    dial_fini(&other);
    dial_fini(&stalled);
    close(stalled_fd);
    TURN_UNTIL(c, broker_streams(c->broker) == 0);
}
END_TEST

START_TEST(a_reset_goes_through_from_either_side)
{
    struct test_dial d;
    dial(&d, c, UUID_A);
    TURN_UNTIL(c, d.opened);
    if (_i == 0) {
        rl_tunnel_end_abort(d.end, RL_E_DENIED, "alice is locked");
        TURN_UNTIL(c, a.carry_closed);
        ck_assert_int_eq(a.carry_code, RL_E_DENIED);
        ck_assert_str_eq(a.carry_message, "alice is locked");
    } else {
        rl_tunnel_end_abort(a.end, RL_E_DENIED, "the session is over");
        TURN_UNTIL(c, d.closed);
        ck_assert_int_eq(d.code, RL_E_DENIED);
        ck_assert_str_eq(d.message, "the session is over");
    }
    TURN_UNTIL(c, broker_streams(c->broker) == 0);
    dial_fini(&d);
}
END_TEST

START_TEST(a_connection_that_dies_ends_the_other_side)
{
    struct test_dial d;
    dial(&d, c, UUID_A);
    TURN_UNTIL(c, d.opened);
    if (_i == 0) {
        rl_rpc_channel_free(&a.channel);
        TURN_UNTIL(c, d.closed);
        ck_assert_int_eq(d.code, RL_E_UNAVAILABLE);
    } else {
        rl_rpc_channel_free(&c->proxy);
        TURN_UNTIL(c, a.carry_closed);
        ck_assert_int_eq(a.carry_code, RL_E_ABORTED); /* it knows that the dialler's way is lost */
    }
    TURN_UNTIL(c, broker_streams(c->broker) == 0);
    dial_fini(&d);
}
END_TEST

START_TEST(an_agent_that_comes_again_takes_along_what_can_be_resumed)
{
    struct test_dial stays, goes;
    struct test_agent again;
    dial(&stays, c, UUID_A);
    TURN_UNTIL(c, stays.opened);
    dial_features = RL_TUNNEL_FEATURE_RESUME;
    dial(&goes, c, UUID_A);
    dial_features = 0;
    TURN_UNTIL(c, goes.opened);
    agent_init(&again, c, UUID_A, "node");
    agent_attach(&again);
    TURN_UNTIL(c, again.welcomed && goes.closed);
    ck_assert_int_eq(goes.code, RL_E_UNAVAILABLE);
    ck_assert_msg(strstr(goes.message, "another way"), "%s", goes.message);
    ck_assert(!stays.closed);
    TURN_UNTIL(c, broker_streams(c->broker) == 1);
    agent_fini(&again);
    dial_fini(&goes);
    dial_fini(&stays);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("relay");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 110);
    tcase_add_test(tests, whom_nobody_has_cannot_be_dialled);
    tcase_add_test(tests, only_what_is_registered_can_be_dialled);
    tcase_add_test(tests, only_a_proxy_may_dial);
    tcase_add_test(tests, where_agents_arrive_nobody_dials);
    tcase_add_test(tests, a_refusal_by_the_agent_reaches_the_dialler);
    tcase_add_test(tests, a_stream_id_is_for_one_agent_one_epoch_and_once);
    tcase_add_test(tests, an_agent_that_comes_too_late_finds_nobody);
    tcase_add_test(tests, a_dial_that_waits_hears_that_the_agent_went);
    tcase_add_test(tests, an_agent_that_comes_again_takes_along_what_can_be_resumed);
    tcase_add_test(tests, sixty_four_mebibytes_arrive_as_they_were_sent);
    tcase_add_test(tests, a_stalled_reader_stops_its_writer_and_nobody_else);
    tcase_add_loop_test(tests, a_reset_goes_through_from_either_side, 0, 2);
    tcase_add_loop_test(tests, a_connection_that_dies_ends_the_other_side, 0, 2);
    Suite *suite = suite_create("relay");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
