/* Each behaviour over every pair of transports: neither side can tell what the other one is. */
#include "ends.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static const struct {
    enum over client, server;
} pairs[] = {
    {OVER_GRPC, OVER_GRPC}, {OVER_H2, OVER_GRPC}, {OVER_GRPC, OVER_H2}, {OVER_H2, OVER_H2}};

static struct ends ends;
static struct seen *const seen = &ends.seen;

static void set_up(int pair)
{
    ends_init(&ends);
    ends_serve(&ends, pairs[pair].server);
    ends_connect(&ends, pairs[pair].client, "auth");
}

static struct rl_rpc_call *open_stream(const char *method, uint32_t deadline_ms,
                                       struct heard *heard)
{
    *heard = (struct heard){0};
    return rl_rpc_stream(ends.channel, &cross__cross__descriptor, method, deadline_ms, &hearing,
                         heard);
}

START_TEST(answers_and_each_knows_the_other)
{
    set_up(_i);
    struct answer a = ask(&ends, "Say", 42, "hello", 5000);
    ck_assert_msg(a.code == RL_OK, "%d %s", a.code, a.message);
    ck_assert_uint_eq(a.number, 42);
    ck_assert_uint_eq(a.bytes, 5);
    ck_assert_ptr_nonnull(strstr(seen->who, "service proxy"));
    ck_assert_ptr_eq(strstr(seen->address, "127.0.0.1:"), seen->address);
    ck_assert_uint_ne(seen->connection, 0);
    ck_assert(rl_rpc_channel_is_up(ends.channel));
    ck_assert_uint_eq(ends.up, 1);
    uint64_t connection = seen->connection;
    a = ask(&ends, "Say", 0, "", 5000);
    ck_assert_int_eq(a.code, RL_OK);
    ck_assert_uint_eq(seen->connection, connection);
    ends_fini(&ends);
}
END_TEST

static void *ask_from_elsewhere(void *context)
{
    Cross__Words words = CROSS__WORDS__INIT;
    ProtobufCMessage *reply = NULL;
    words.number = 7;
    struct rl_error err = {0};
    rl_code rc = rl_rpc_unary_wait(ends.channel, &cross__cross__descriptor, "Say", &words.base,
                                   5000, &reply, &err);
    bool is_good = rc == RL_OK && ((Cross__Words *)reply)->number == 7;
    if (rc == RL_OK)
        protobuf_c_message_free_unpacked(reply, NULL);
    atomic_store((atomic_int *)context, is_good ? 1 : -1);
    rl_loop_stop(ends.loop);
    return NULL;
}

START_TEST(threads_ask_and_workers_answer)
{
    atomic_int outcome = 0;
    pthread_t thread;
    ends_init(&ends);
    ck_assert_int_eq(rl_workers_create(2, 16, &ends.workers, NULL), RL_OK);
    ends_serve(&ends, pairs[_i].server);
    ends_connect(&ends, pairs[_i].client, "auth");
    ck_assert_int_eq(pthread_create(&thread, NULL, ask_from_elsewhere, &outcome), 0);
    rl_loop_run(ends.loop);
    pthread_join(thread, NULL);
    ck_assert_int_eq(atomic_load(&outcome), 1);
    rl_workers_free(&ends.workers);
    ends_fini(&ends);
}
END_TEST

START_TEST(carries_a_status_and_its_message)
{
    set_up(_i);
    for (uint64_t code = 1; code <= 16; code++) {
        struct answer a = ask(&ends, "Refuse", code, "100% größer — 日本", 5000);
        ck_assert_int_eq(a.code, (rl_code)code);
        ck_assert_str_eq(a.message, "100% größer — 日本");
    }
    ends_fini(&ends);
}
END_TEST

START_TEST(refuses_what_is_forbidden_or_not_there)
{
    set_up(_i);
    struct answer a = ask(&ends, "Forbidden", 1, "", 5000);
    ck_assert_int_eq(a.code, RL_E_DENIED);
    ck_assert_str_eq(a.message, "not you");
    static ProtobufCMethodDescriptor methods[1];
    static const unsigned by_name[] = {0};
    methods[0] = cross__cross__descriptor.methods[0];
    methods[0].name = "Sing";
    ProtobufCServiceDescriptor other = cross__cross__descriptor;
    other.methods = methods;
    other.n_methods = 1;
    other.method_indices_by_name = by_name;
    Cross__Words words = CROSS__WORDS__INIT;
    struct answer b = {0};
    rl_rpc_unary(ends.channel, &other, "Sing", &words.base, 5000, on_answer, &b, NULL);
    turn_until(ends.loop, &b.done, 1);
    ck_assert_int_eq(b.code, RL_E_UNIMPLEMENTED);
    struct heard heard;
    static const struct rl_rpc_stream_ops *const ops = &hearing;
    heard = (struct heard){0};
    rl_rpc_stream(ends.channel, &other, "Sing", 5000, ops, &heard);
    turn_until(ends.loop, &heard.closed, 1);
    ck_assert_int_eq(heard.code, RL_E_UNIMPLEMENTED);
    ends_fini(&ends);
}
END_TEST

START_TEST(gives_up_at_the_deadline)
{
    set_up(_i);
    ck_assert_int_eq(ask(&ends, "Say", 1, "", 5000).code, RL_OK);
    struct answer a = ask(&ends, "Ponder", 1, "", 100);
    ck_assert_int_eq(a.code, RL_E_DEADLINE);
    turn_until(ends.loop, &seen->pondering, 1);
    /* The handler answers into nothing. */
    struct rl_error late = {.code = RL_E_ABORTED};
    rl_rpc_fail(seen->call, &late);
    struct heard heard;
    open_stream("Talk", 100, &heard);
    turn_until(ends.loop, &heard.closed, 1);
    ck_assert_int_eq(heard.code, RL_E_DEADLINE);
    turn_until(ends.loop, &seen->closed, 1);
    ck_assert(seen->closed_code == RL_E_DEADLINE || seen->closed_code == RL_E_CANCELLED);
    ends_fini(&ends);
}
END_TEST

START_TEST(streams_from_the_server_in_order)
{
    set_up(_i);
    struct heard heard;
    struct rl_rpc_call *call = open_stream("Count", 20000, &heard);
    say(call, 1000, 100);
    rl_rpc_end(call, RL_OK, NULL);
    turn_until(ends.loop, &heard.closed, 1);
    ck_assert_msg(heard.code == RL_OK, "%d %s", heard.code, heard.message);
    ck_assert_uint_eq(heard.messages, 1000);
    ck_assert_uint_eq(heard.bytes, 100000);
    ck_assert(!heard.is_out_of_order);
    ck_assert_ptr_nonnull(strstr(heard.who, "service auth"));
    turn_until(ends.loop, &seen->closed, 1);
    ck_assert_int_eq(seen->closed_code, RL_OK);
    ends_fini(&ends);
}
END_TEST

START_TEST(streams_from_the_client_in_order)
{
    set_up(_i);
    struct heard heard;
    struct rl_rpc_call *call = open_stream("Sum", 20000, &heard);
    for (unsigned i = 1; i <= 1000; i++)
        say(call, i, 10);
    rl_rpc_end(call, RL_OK, NULL);
    turn_until(ends.loop, &heard.closed, 1);
    ck_assert_int_eq(heard.code, RL_OK);
    ck_assert_uint_eq(heard.messages, 1);
    ck_assert_uint_eq(heard.last, 500500);
    turn_until(ends.loop, &seen->closed, 1);
    ck_assert_uint_eq(seen->messages, 1000);
    ck_assert_uint_eq(seen->half_closed, 1);
    ends_fini(&ends);
}
END_TEST

START_TEST(talks_both_ways_at_once)
{
    set_up(_i);
    struct heard heard;
    struct rl_rpc_call *call = open_stream("Talk", 20000, &heard);
    for (unsigned i = 1; i <= 50; i++) {
        say(call, 100 + i, 1);
        turn_until(ends.loop, &heard.messages, i);
        ck_assert_uint_eq(heard.last, 100 + i);
    }
    rl_rpc_end(call, RL_OK, NULL);
    turn_until(ends.loop, &heard.closed, 1);
    ck_assert_int_eq(heard.code, RL_OK);
    ends_fini(&ends);
}
END_TEST

START_TEST(the_server_may_end_a_stream_before_the_client_does)
{
    set_up(_i);
    struct heard heard;
    struct rl_rpc_call *call = open_stream("Talk", 20000, &heard);
    say(call, 1, 1);
    say(call, 99, 1);
    turn_until(ends.loop, &heard.closed, 1);
    ck_assert_int_eq(heard.code, RL_E_PRECONDITION);
    ck_assert_str_eq(heard.message, "ninety-nine — genug");
    ck_assert_uint_eq(heard.messages, 1);
    turn_until(ends.loop, &seen->closed, 1);
    ck_assert_int_eq(seen->closed_code, RL_E_PRECONDITION);
    ends_fini(&ends);
}
END_TEST

START_TEST(a_cancelled_call_ends_on_both_sides)
{
    set_up(_i);
    struct heard heard;
    struct rl_rpc_call *call = open_stream("Talk", 0, &heard);
    say(call, 1, 1);
    turn_until(ends.loop, &heard.messages, 1);
    rl_rpc_cancel(call);
    ck_assert_uint_eq(heard.closed, 0);
    turn_until(ends.loop, &heard.closed, 1);
    ck_assert_int_eq(heard.code, RL_E_CANCELLED);
    turn_until(ends.loop, &seen->closed, 1);
    ck_assert_int_eq(seen->closed_code, RL_E_CANCELLED);
    ends_fini(&ends);
}
END_TEST

START_TEST(the_server_cancels_too)
{
    set_up(_i);
    struct heard heard;
    struct rl_rpc_call *call = open_stream("Talk", 0, &heard);
    say(call, 1, 1);
    turn_until(ends.loop, &heard.messages, 1);
    rl_rpc_cancel(seen->call);
    turn_until(ends.loop, &heard.closed, 1);
    ck_assert_int_ne(heard.code, RL_OK);
    turn_until(ends.loop, &seen->closed, 1);
    ck_assert_int_eq(seen->closed_code, RL_E_CANCELLED);
    ends_fini(&ends);
}
END_TEST

START_TEST(a_reader_that_pauses_holds_the_writer_back)
{
    set_up(_i);
    struct heard heard;
    struct rl_rpc_call *call = open_stream("Count", 0, &heard);
    heard.pause_at = 3;
    say(call, 300, 100000); /* 30 MB: more than all the queues and windows between hold */
    rl_rpc_end(call, RL_OK, NULL);
    turn_until(ends.loop, &heard.messages, 3);
    for (unsigned i = 0; i < 50; i++)
        rl_loop_turn(ends.loop, 10);
    ck_assert_uint_eq(heard.messages, 3);
    ck_assert_uint_gt(seen->refused_at, 0);
    ck_assert_uint_lt(seen->refused_at, 300);
    heard.pause_at = 0;
    rl_rpc_resume(call);
    turn_until(ends.loop, &heard.closed, 1);
    ck_assert_msg(heard.code == RL_OK, "%d %s", heard.code, heard.message);
    ck_assert_uint_eq(heard.messages, 300);
    ck_assert(!heard.is_out_of_order);
    ck_assert_uint_gt(seen->writable, 0);
    ends_fini(&ends);
}
END_TEST

START_TEST(takes_messages_up_to_the_limit)
{
    set_up(_i);
    struct heard heard;
    struct rl_rpc_call *call = open_stream("Sum", 20000, &heard);
    say(call, 1, RL_RPC_MESSAGE_BYTES_MAX - 16);
    Cross__Words words = CROSS__WORDS__INIT;
    words.text.data = rl_alloc(RL_RPC_MESSAGE_BYTES_MAX);
    words.text.len = RL_RPC_MESSAGE_BYTES_MAX;
    ck_assert_int_eq(rl_rpc_send(call, &words.base, NULL), RL_E_INVAL);
    free(words.text.data);
    rl_rpc_end(call, RL_OK, NULL);
    turn_until(ends.loop, &heard.closed, 1);
    ck_assert_int_eq(heard.code, RL_OK);
    ck_assert_uint_eq(seen->messages, 1);
    ends_fini(&ends);
}
END_TEST

static void on_drained(void *context)
{
    (*(unsigned *)context)++;
}

START_TEST(a_draining_server_lets_running_calls_end)
{
    set_up(_i);
    struct heard heard;
    struct rl_rpc_call *call = open_stream("Talk", 20000, &heard);
    say(call, 1, 1);
    turn_until(ends.loop, &heard.messages, 1);
    unsigned drained = 0;
    rl_rpc_server_drain(ends.server, 20000, on_drained, &drained);
    say(call, 2, 1);
    turn_until(ends.loop, &heard.messages, 2);
    ck_assert_uint_eq(drained, 0);
    rl_rpc_end(call, RL_OK, NULL);
    turn_until(ends.loop, &heard.closed, 1);
    ck_assert_int_eq(heard.code, RL_OK);
    turn_until(ends.loop, &drained, 1);
    ck_assert_int_ne(ask(&ends, "Say", 1, "", 300).code, RL_OK);
    ends_fini(&ends);
}
END_TEST

START_TEST(a_draining_server_has_no_endless_patience)
{
    set_up(_i);
    struct heard heard;
    struct rl_rpc_call *call = open_stream("Talk", 0, &heard);
    say(call, 1, 1);
    turn_until(ends.loop, &heard.messages, 1);
    unsigned drained = 0;
    rl_rpc_server_drain(ends.server, 100, on_drained, &drained);
    turn_until(ends.loop, &heard.closed, 1);
    ck_assert_int_ne(heard.code, RL_OK);
    turn_until(ends.loop, &drained, 1);
    ck_assert_uint_eq(seen->closed, 1);
    ends_fini(&ends);
}
END_TEST

START_TEST(a_server_that_goes_ends_its_calls_and_another_one_is_found)
{
    set_up(_i);
    struct heard heard;
    struct rl_rpc_call *call = open_stream("Talk", 0, &heard);
    say(call, 1, 1);
    turn_until(ends.loop, &heard.messages, 1);
    uint64_t connection = seen->connection;
    rl_rpc_server_free(&ends.server);
    ck_assert_uint_eq(seen->closed, 1);
    turn_until(ends.loop, &heard.closed, 1);
    ck_assert_int_ne(heard.code, RL_OK);
    turn_until(ends.loop, &ends.down, 1);
    ck_assert_int_eq(ends.down_code, RL_E_UNAVAILABLE);
    ends_serve(&ends, pairs[_i].server);
    struct answer a = {.code = RL_E_UNKNOWN};
    while (a.code != RL_OK) /* the first may still meet the old connection's end */
        a = ask(&ends, "Say", 7, "", 5000);
    ck_assert_uint_ne(seen->connection, connection);
    ck_assert_uint_ge(ends.up, 2);
    ends_fini(&ends);
}
END_TEST

START_TEST(a_channel_that_goes_ends_its_calls)
{
    set_up(_i);
    struct heard heard;
    struct rl_rpc_call *call = open_stream("Talk", 0, &heard);
    say(call, 1, 1);
    turn_until(ends.loop, &heard.messages, 1);
    rl_rpc_channel_free(&ends.channel);
    ck_assert_uint_eq(heard.closed, 1);
    ck_assert_int_ne(heard.code, RL_OK);
    turn_until(ends.loop, &seen->closed, 1);
    ck_assert_int_ne(seen->closed_code, RL_OK);
    ends_fini(&ends);
}
END_TEST

START_TEST(nobody_else_is_taken_for_the_service)
{
    ends_init(&ends);
    ends_serve(&ends, pairs[_i].server);
    ends_connect(&ends, pairs[_i].client, "audit");
    ck_assert_int_ne(ask(&ends, "Say", 1, "", 300).code, RL_OK);
    ck_assert_uint_eq(ends.up, 0);
    ck_assert_str_eq(seen->who, "");
    ends_fini(&ends);
}
END_TEST

START_TEST(a_stranger_does_not_get_in)
{
    ends_init(&ends);
    struct authority stranger;
    authority_init(&stranger, "main");
    rl_tls_identity_unref(&ends.client_identity);
    ends.client_identity = authority_identity(&stranger, "proxy", 3600);
    ends_serve(&ends, pairs[_i].server);
    ends_connect(&ends, pairs[_i].client, "auth");
    ck_assert_int_ne(ask(&ends, "Say", 1, "", 300).code, RL_OK);
    ck_assert_str_eq(seen->who, "");
    ends_fini(&ends);
    authority_fini(&stranger);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("cross");
    const int n = (int)RL_COUNT(pairs);
    tcase_add_loop_test(t, answers_and_each_knows_the_other, 0, n);
    tcase_add_loop_test(t, threads_ask_and_workers_answer, 0, n);
    tcase_add_loop_test(t, carries_a_status_and_its_message, 0, n);
    tcase_add_loop_test(t, refuses_what_is_forbidden_or_not_there, 0, n);
    tcase_add_loop_test(t, gives_up_at_the_deadline, 0, n);
    tcase_add_loop_test(t, streams_from_the_server_in_order, 0, n);
    tcase_add_loop_test(t, streams_from_the_client_in_order, 0, n);
    tcase_add_loop_test(t, talks_both_ways_at_once, 0, n);
    tcase_add_loop_test(t, the_server_may_end_a_stream_before_the_client_does, 0, n);
    tcase_add_loop_test(t, a_cancelled_call_ends_on_both_sides, 0, n);
    tcase_add_loop_test(t, the_server_cancels_too, 0, n);
    tcase_add_loop_test(t, a_reader_that_pauses_holds_the_writer_back, 0, n);
    tcase_add_loop_test(t, takes_messages_up_to_the_limit, 0, n);
    tcase_add_loop_test(t, a_draining_server_lets_running_calls_end, 0, n);
    tcase_add_loop_test(t, a_draining_server_has_no_endless_patience, 0, n);
    tcase_add_loop_test(t, a_server_that_goes_ends_its_calls_and_another_one_is_found, 0, n);
    tcase_add_loop_test(t, a_channel_that_goes_ends_its_calls, 0, n);
    tcase_add_loop_test(t, nobody_else_is_taken_for_the_service, 0, n);
    tcase_add_loop_test(t, a_stranger_does_not_get_in, 0, n);
    Suite *s = suite_create("cross");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
