#include "rpc/tests/world.h"

#include <pthread.h>
#include <sched.h>

static struct world *w;

/* One end of a stream and what it saw. */
struct end {
    struct rl_rpc_call *call;
    uint64_t expected; /* the number of the next message */
    uint64_t stop_at;  /* pauses when it has come this far; 0: never */
    int half_closed, writable, closed;
    rl_code code;
    char message[RL_ERROR_MESSAGE_BYTES];
};

static struct end server_end;
static bool server_echoes, server_reads_on; /* reads on: does not end when the client does */
static void (*on_opened)(struct rl_rpc_call *call);

static rl_code send_number(struct rl_rpc_call *call, uint64_t number, size_t bulk)
{
    static uint8_t bytes[1 << 20];
    Echo__Text text = text_of("n");
    text.number = number;
    text.bulk.data = bytes;
    text.bulk.len = bulk;
    return rl_rpc_send(call, &text.base, NULL);
}

static void saw(struct end *end, struct rl_rpc_call *call, const ProtobufCMessage *message)
{
    ck_assert_ptr_eq(end->call, call);
    ck_assert_int_eq(end->closed, 0);
    ck_assert_uint_eq(((const Echo__Text *)message)->number, end->expected);
    end->expected++;
    if (end->stop_at && end->expected >= end->stop_at)
        rl_rpc_pause(call);
}

static void ended(struct end *end, rl_code code, const char *message)
{
    end->closed++;
    end->code = code;
    end->call = NULL;
    snprintf(end->message, sizeof end->message, "%s", message);
}

/* ---- the server's end; the last Chat that was opened ---- */

static void server_opened(struct rl_rpc_call *call, void *context)
{
    (void)context;
    server_end = (struct end){.call = call, .stop_at = server_end.stop_at};
    if (on_opened)
        on_opened(call);
}

static void server_message(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)context;
    if (call == server_end.call)
        saw(&server_end, call, message);
    if (server_echoes)
        ck_assert_int_eq(rl_rpc_send(call, message, NULL), RL_OK);
}

static void server_half_closed(struct rl_rpc_call *call, void *context)
{
    (void)context;
    server_end.half_closed++;
    if (!server_reads_on)
        rl_rpc_end(call, RL_OK, NULL);
}

static void server_writable(struct rl_rpc_call *call, void *context)
{
    (void)call, (void)context;
    server_end.writable++;
}

static void server_closed(struct rl_rpc_call *call, rl_code code, const char *message,
                          void *context)
{
    (void)context;
    if (call == server_end.call)
        ended(&server_end, code, message);
}

/* ---- the client's ---- */

static void client_message(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    saw(context, call, message);
}

static void client_writable(struct rl_rpc_call *call, void *context)
{
    (void)call;
    ((struct end *)context)->writable++;
}

static void client_closed(struct rl_rpc_call *call, rl_code code, const char *message,
                          void *context)
{
    struct end *end = context;
    ck_assert_ptr_eq(end->call, call);
    ended(end, code, message);
}

static const struct rl_rpc_stream_ops server_ops = {
    .message = server_message,
    .half_closed = server_half_closed,
    .writable = server_writable,
    .closed = server_closed,
};
static const struct rl_rpc_stream_ops bytes_ops = {.message = server_message,
                                                   .closed = server_closed};
static const struct rl_rpc_stream_ops client_ops = {
    .message = client_message, .writable = client_writable, .closed = client_closed};

static void never(struct rl_rpc_call *call, const ProtobufCMessage *request, void *context)
{
    (void)call, (void)request, (void)context;
    ck_abort_msg("not called here");
}

static const struct rl_rpc_handler handlers[] = {
    {.method = "Say", .unary = never},
    {.method = "Forbidden", .unary = never},
    {.method = "Chat", .stream = &server_ops, .opened = server_opened},
    {.method = "Bytes", .stream = &bytes_ops, .opened = server_opened},
};

static void set_up(void)
{
    w = world_make(false);
    server_end = (struct end){0};
    server_echoes = server_reads_on = false;
    on_opened = NULL;
    struct rl_rpc_server_config config = world_server_config(w);
    world_serve(w, &config, handlers, RL_COUNT(handlers), NULL);
    w->channel = world_channel(w, w->tls_client);
}

static void tear_down(void)
{
    world_free(w);
}

static void start(struct end *end, const char *method, uint32_t deadline_ms)
{
    *end = (struct end){.stop_at = end->stop_at};
    end->call =
        rl_rpc_stream(w->channel, &echo__echo__descriptor, method, deadline_ms, &client_ops, end);
}

START_TEST(carries_ten_thousand_messages_both_ways_in_order)
{
    struct end client = {0};
    server_echoes = true;
    start(&client, "Chat", 0);
    for (uint64_t i = 0; i < 10000; i++)
        ck_assert_int_eq(send_number(client.call, i, i % 100), RL_OK);
    rl_rpc_end(client.call, RL_OK, NULL);
    ck_assert_int_eq(send_number(client.call, 0, 0), RL_E_CANCELLED);
    TURN_UNTIL(w, client.closed && server_end.closed);
    ck_assert_uint_eq(client.expected, 10000);
    ck_assert_uint_eq(server_end.expected, 10000);
    ck_assert_int_eq(client.code, RL_OK);
    ck_assert_int_eq(server_end.code, RL_OK);
    ck_assert_int_eq(server_end.half_closed, 1);
}
END_TEST

static void send_many_and_end(struct rl_rpc_call *call)
{
    for (uint64_t i = 0; i < 10000; i++)
        ck_assert_int_eq(send_number(call, i, 100), RL_OK);
    rl_rpc_end(call, RL_E_ABORTED, "enough");
}

START_TEST(a_server_streams_and_ends_with_a_status_after_what_is_queued)
{
    struct end client = {0};
    on_opened = send_many_and_end;
    start(&client, "Chat", 0);
    TURN_UNTIL(w, client.closed && server_end.closed);
    ck_assert_uint_eq(client.expected, 10000);
    ck_assert_int_eq(client.code, RL_E_ABORTED);
    ck_assert_str_eq(client.message, "enough");
    ck_assert_int_eq(server_end.code, RL_E_ABORTED);
}
END_TEST

START_TEST(a_paused_client_gets_all_before_the_end)
{
    struct end client = {.stop_at = 10};
    on_opened = send_many_and_end;
    start(&client, "Chat", 0);
    TURN_UNTIL(w, client.expected == 10);
    world_turn_for(w, 50);
    ck_assert_uint_eq(client.expected, 10);
    ck_assert_int_eq(client.closed, 0);
    client.stop_at = 9000; /* the server is done before */
    rl_rpc_resume(client.call);
    ck_assert_uint_eq(client.expected, 10); /* later, not from inside */
    TURN_UNTIL(w, client.expected == 9000 && server_end.closed);
    world_turn_for(w, 20);
    ck_assert_int_eq(client.closed, 0);
    client.stop_at = 0;
    rl_rpc_resume(client.call);
    TURN_UNTIL(w, client.closed);
    ck_assert_uint_eq(client.expected, 10000);
    ck_assert_int_eq(client.code, RL_E_ABORTED);
}
END_TEST

START_TEST(a_paused_client_may_cancel_or_go_after_the_server_has_ended)
{
    struct end client = {.stop_at = 9000}, other = {.stop_at = 9000};
    on_opened = send_many_and_end;
    start(&client, "Chat", 0);
    TURN_UNTIL(w, client.expected == 9000 && server_end.closed);
    start(&other, "Chat", 0);
    TURN_UNTIL(w, other.expected == 9000 && server_end.closed);
    world_turn_for(w, 20);
    rl_rpc_cancel(client.call);
    TURN_UNTIL(w, client.closed);
    ck_assert_int_eq(client.code, RL_E_CANCELLED);
    rl_rpc_channel_free(&w->channel);
    ck_assert_int_eq(other.closed, 1);
}
END_TEST

/* Fills the stream until the queue refuses; how many went in. */
static uint64_t fill(struct rl_rpc_call *call, uint64_t first, size_t bulk)
{
    uint64_t number = first;
    rl_code code;
    while ((code = send_number(call, number, bulk)) == RL_OK)
        number++;
    ck_assert_int_eq(code, RL_E_EXHAUSTED);
    return number;
}

START_TEST(a_stalled_reader_holds_its_window_and_others_go_on)
{
    struct end client = {0};
    server_end.stop_at = 1;
    start(&client, "Chat", 0);
    uint64_t sent = fill(client.call, 0, 10000);
    ck_assert_uint_le(sent * 10000, RL_RPC_SEND_QUEUE_BYTES_MAX);
    ck_assert_uint_ge((sent + 1) * 10020, RL_RPC_SEND_QUEUE_BYTES_MAX);
    TURN_UNTIL(w, server_end.expected == 1);
    world_turn_for(w, 100);
    uint64_t more = fill(client.call, sent, 10000) - sent;
    /* what left the queue is in the window, or in the one message under way */
    ck_assert_uint_le(more * 10000, (256 << 10) + 20000);
    ck_assert_uint_eq(server_end.expected, 1);
    ck_assert_int_eq(client.writable, 0);

    struct end stalled = server_end, other = {0};
    server_end.stop_at = 0;
    server_echoes = true;
    start(&other, "Chat", 0);
    for (uint64_t i = 0; i < 200; i++)
        send_number(other.call, i, 10000);
    rl_rpc_end(other.call, RL_OK, NULL);
    TURN_UNTIL(w, other.closed);
    ck_assert_uint_eq(other.expected, 200);

    server_end = stalled;
    server_end.stop_at = 0;
    server_echoes = false;
    rl_rpc_resume(server_end.call);
    rl_rpc_end(client.call, RL_OK, NULL);
    TURN_UNTIL(w, client.closed);
    ck_assert_int_eq(client.code, RL_OK);
    ck_assert_int_eq(client.writable, 1);
    ck_assert_uint_eq(server_end.expected, sent + more);
}
END_TEST

START_TEST(a_message_larger_than_the_queue_fits_an_empty_one)
{
    struct end client = {0};
    start(&client, "Chat", 0);
    ck_assert_int_eq(send_number(client.call, 0, 1 << 20), RL_OK);
    Echo__Text text = text_of("");
    text.bulk.len = RL_RPC_MESSAGE_BYTES_MAX;
    text.bulk.data = rl_alloc(text.bulk.len);
    ck_assert_int_eq(rl_rpc_send(client.call, &text.base, NULL), RL_E_INVAL);
    free(text.bulk.data);
    rl_rpc_end(client.call, RL_OK, NULL);
    TURN_UNTIL(w, client.closed);
    ck_assert_uint_eq(server_end.expected, 1);
}
END_TEST

START_TEST(a_server_sees_that_the_client_cancelled)
{
    struct end client = {0};
    start(&client, "Chat", 0);
    send_number(client.call, 0, 0);
    TURN_UNTIL(w, server_end.expected == 1);
    rl_rpc_cancel(client.call);
    ck_assert_int_eq(client.closed, 0);
    TURN_UNTIL(w, client.closed && server_end.closed);
    ck_assert_int_eq(client.code, RL_E_CANCELLED);
    ck_assert_int_eq(server_end.code, RL_E_CANCELLED);
    ck_assert_int_eq(server_end.half_closed, 0);
}
END_TEST

START_TEST(a_client_sees_that_the_server_cancelled)
{
    struct end client = {0};
    start(&client, "Chat", 0);
    send_number(client.call, 0, 0);
    TURN_UNTIL(w, server_end.expected == 1);
    rl_rpc_cancel(server_end.call);
    TURN_UNTIL(w, client.closed && server_end.closed);
    ck_assert_int_eq(client.code, RL_E_CANCELLED);
}
END_TEST

START_TEST(a_deadline_ends_a_stream_on_both_sides)
{
    struct end client = {0};
    start(&client, "Chat", 150);
    send_number(client.call, 0, 0);
    TURN_UNTIL(w, client.closed && server_end.closed);
    ck_assert_int_eq(client.code, RL_E_DEADLINE);
    ck_assert(server_end.code == RL_E_DEADLINE || server_end.code == RL_E_CANCELLED);
}
END_TEST

START_TEST(a_server_without_half_closed_ends_well)
{
    struct end client = {0};
    start(&client, "Bytes", 0);
    send_number(client.call, 0, 0);
    rl_rpc_end(client.call, RL_OK, NULL);
    TURN_UNTIL(w, client.closed && server_end.closed);
    ck_assert_int_eq(client.code, RL_OK);
    ck_assert_uint_eq(server_end.expected, 1);
}
END_TEST

START_TEST(a_server_may_go_on_after_the_client_has_ended)
{
    struct end client = {0};
    server_reads_on = true;
    start(&client, "Chat", 0);
    rl_rpc_end(client.call, RL_OK, NULL);
    TURN_UNTIL(w, server_end.half_closed);
    send_number(server_end.call, 0, 0);
    TURN_UNTIL(w, client.expected == 1);
    rl_rpc_end(server_end.call, RL_E_NOT_FOUND, NULL);
    TURN_UNTIL(w, client.closed);
    ck_assert_int_eq(client.code, RL_E_NOT_FOUND);
    ck_assert_str_eq(client.message, "");
}
END_TEST

START_TEST(a_server_may_end_while_the_client_sends)
{
    struct end client = {0};
    start(&client, "Chat", 0);
    send_number(client.call, 0, 0);
    TURN_UNTIL(w, server_end.expected == 1);
    rl_rpc_end(server_end.call, RL_E_RANGE, "stop");
    for (uint64_t i = 1; i < 100; i++)
        send_number(client.call, i, 10000);
    TURN_UNTIL(w, client.closed && server_end.closed);
    ck_assert_int_eq(client.code, RL_E_RANGE);
    ck_assert_int_eq(server_end.code, RL_E_RANGE);
}
END_TEST

START_TEST(a_server_that_has_ended_hears_no_more)
{
    struct end client = {0};
    start(&client, "Chat", 0);
    send_number(client.call, 0, 0);
    TURN_UNTIL(w, server_end.expected == 1);
    for (uint64_t i = 1; i < 1000; i++)
        send_number(client.call, i, 1000);
    rl_rpc_end(client.call, RL_OK, NULL);
    rl_rpc_end(server_end.call, RL_OK, NULL);
    TURN_UNTIL(w, client.closed && server_end.closed);
    ck_assert_int_eq(client.code, RL_OK);
    ck_assert_uint_eq(server_end.expected, 1);
    ck_assert_int_eq(server_end.half_closed, 0);
}
END_TEST

static void end_at_once(struct rl_rpc_call *call)
{
    rl_rpc_set_data(call, &server_end);
    ck_assert_ptr_eq(rl_rpc_data(call), &server_end);
    rl_rpc_end(call, RL_E_UNAVAILABLE, "not today");
}

START_TEST(opened_may_end_the_call)
{
    struct end client = {0};
    on_opened = end_at_once;
    start(&client, "Chat", 0);
    TURN_UNTIL(w, client.closed && server_end.closed);
    ck_assert_int_eq(client.code, RL_E_UNAVAILABLE);
    ck_assert_str_eq(client.message, "not today");
    ck_assert_int_eq(server_end.code, RL_E_UNAVAILABLE);
}
END_TEST

START_TEST(opened_may_cancel_the_call)
{
    struct end client = {0};
    on_opened = rl_rpc_cancel;
    start(&client, "Chat", 0);
    TURN_UNTIL(w, client.closed && server_end.closed);
    ck_assert_int_eq(client.code, RL_E_CANCELLED);
}
END_TEST

static void *send_elsewhere(void *context)
{
    struct rl_rpc_call *call = context;
    for (uint64_t i = 0; i < 5000; i++)
        while (send_number(call, i, 4000) == RL_E_EXHAUSTED)
            sched_yield();
    rl_rpc_end(call, RL_OK, NULL);
    return NULL;
}

START_TEST(another_thread_may_send_and_end)
{
    struct end client = {0};
    start(&client, "Chat", 0);
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, send_elsewhere, client.call), 0);
    TURN_UNTIL(w, client.closed);
    pthread_join(thread, NULL);
    ck_assert_int_eq(client.code, RL_OK);
    ck_assert_uint_eq(server_end.expected, 5000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rpc stream");
    TCase *c = tcase_create("stream");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, carries_ten_thousand_messages_both_ways_in_order);
    tcase_add_test(c, a_server_streams_and_ends_with_a_status_after_what_is_queued);
    tcase_add_test(c, a_paused_client_gets_all_before_the_end);
    tcase_add_test(c, a_paused_client_may_cancel_or_go_after_the_server_has_ended);
    tcase_add_test(c, a_stalled_reader_holds_its_window_and_others_go_on);
    tcase_add_test(c, a_message_larger_than_the_queue_fits_an_empty_one);
    tcase_add_test(c, a_server_sees_that_the_client_cancelled);
    tcase_add_test(c, a_client_sees_that_the_server_cancelled);
    tcase_add_test(c, a_deadline_ends_a_stream_on_both_sides);
    tcase_add_test(c, a_server_without_half_closed_ends_well);
    tcase_add_test(c, a_server_may_go_on_after_the_client_has_ended);
    tcase_add_test(c, a_server_may_end_while_the_client_sends);
    tcase_add_test(c, a_server_that_has_ended_hears_no_more);
    tcase_add_test(c, opened_may_end_the_call);
    tcase_add_test(c, opened_may_cancel_the_call);
    tcase_add_test(c, another_thread_may_send_and_end);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
