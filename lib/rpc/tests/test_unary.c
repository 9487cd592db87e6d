#include "rpc/tests/world.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

static struct world *w;
static struct rl_rpc_call *held; /* by Say("hold") */
static int closed_early;
static char caller[64], caller_address[64];
static atomic_int running, most_running;

static void reply_text(struct rl_rpc_call *call, const char *text, uint64_t number, size_t bulk)
{
    Echo__Text reply = text_of(text);
    reply.number = number;
    reply.bulk.len = bulk;
    reply.bulk.data = rl_alloc(bulk);
    rl_rpc_reply(call, &reply.base);
    free(reply.bulk.data);
}

/* A Text of so many bytes of bulk, packed by the handler itself. */
static void reply_packed(struct rl_rpc_call *call, size_t bulk)
{
    Echo__Text reply = text_of("packed");
    reply.bulk.len = bulk;
    reply.bulk.data = rl_alloc(bulk);
    size_t n = echo__text__get_packed_size(&reply);
    uint8_t *packed = rl_alloc(n);
    echo__text__pack(&reply, packed);
    rl_rpc_reply_packed(call, RL_SPAN(packed, n));
    free(packed);
    free(reply.bulk.data);
}

static void wait_for_another(void)
{
    int now = atomic_fetch_add(&running, 1) + 1;
    if (now > atomic_load(&most_running))
        atomic_store(&most_running, now);
    uint64_t until = rl_clock_boot_ms() + PATIENCE_MS;
    while (atomic_load(&most_running) < 2 && rl_clock_boot_ms() < until)
        sched_yield();
    atomic_fetch_sub(&running, 1);
}

static void on_say(struct rl_rpc_call *call, const ProtobufCMessage *request, void *context)
{
    ck_assert_ptr_eq(context, &held);
    const Echo__Text *text = (const Echo__Text *)request;
    const struct rl_rpc_peer *peer = rl_rpc_peer(call);
    if (strcmp(text->text, "who") == 0) {
        snprintf(caller, sizeof caller, "%s", peer->identity ? peer->identity->name : "nobody");
        snprintf(caller_address, sizeof caller_address, "%s", peer->address);
    }
    if (strcmp(text->text, "fail") == 0) {
        struct rl_error err;
        rl_fail(&err, RL_E_PRECONDITION, "100%% \xC3\xBC\n");
        rl_rpc_fail(call, &err);
    } else if (strcmp(text->text, "hold") == 0) {
        held = call;
    } else if (strcmp(text->text, "big") == 0) {
        reply_text(call, "big", 0, RL_RPC_MESSAGE_BYTES_MAX);
    } else if (strcmp(text->text, "packed") == 0) {
        reply_packed(call, text->number);
    } else if (strcmp(text->text, "both") == 0) {
        wait_for_another();
        reply_text(call, text->text, 0, 0);
    } else {
        int64_t left = rl_rpc_remaining_ms(call);
        reply_text(call, text->text, left == INT64_MAX ? 0 : (uint64_t)left, text->bulk.len);
    }
}

static void on_message(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)call, (void)message, (void)context;
}

static void on_closed(struct rl_rpc_call *call, rl_code code, const char *message, void *context)
{
    (void)call, (void)code, (void)message, (void)context;
    closed_early++;
}

static const struct rl_rpc_stream_ops no_stream = {.message = on_message, .closed = on_closed};
static const struct rl_rpc_handler handlers[] = {
    {.method = "Say", .unary = on_say},
    {.method = "Forbidden", .unary = on_say},
    {.method = "Chat", .stream = &no_stream},
    {.method = "Bytes", .stream = &no_stream},
};

static void set_up_with(bool with_workers)
{
    w = world_make(with_workers);
    held = NULL;
    closed_early = 0;
    struct rl_rpc_server_config config = world_server_config(w);
    world_serve(w, &config, handlers, RL_COUNT(handlers), &held);
    w->channel = world_channel(w, w->tls_client);
}

static void set_up(void)
{
    set_up_with(false);
}

static void set_up_workers(void)
{
    set_up_with(true);
}

static void tear_down(void)
{
    if (held) {
        struct rl_error err;
        rl_fail(&err, RL_E_ABORTED, "the test is over");
        rl_rpc_fail(held, &err);
    }
    world_free(w);
}

START_TEST(answers)
{
    struct answer a;
    say(w->channel, "Say", "hello", 0, &a);
    ck_assert_int_eq(a.done, 0);
    TURN_UNTIL(w, a.done);
    ck_assert_int_eq(a.code, RL_OK);
    ck_assert_str_eq(a.text, "hello");
    ck_assert_uint_eq(a.number, 0);
    ck_assert_int_eq(w->connected, 1);
}
END_TEST

START_TEST(fails_with_a_message)
{
    struct answer a;
    say(w->channel, "Say", "fail", 0, &a);
    TURN_UNTIL(w, a.done);
    ck_assert_int_eq(a.code, RL_E_PRECONDITION);
    ck_assert_str_eq(a.message, "100% \xC3\xBC?");
}
END_TEST

START_TEST(many_calls_share_a_connection)
{
    static struct answer many[500];
    for (size_t i = 0; i < RL_COUNT(many); i++)
        say(w->channel, "Say", "hello", 0, &many[i]);
    for (size_t i = 0; i < RL_COUNT(many); i++) {
        TURN_UNTIL(w, many[i].done);
        ck_assert_int_eq(many[i].code, RL_OK);
        ck_assert_int_eq(many[i].done, 1);
    }
    ck_assert_int_eq(w->connected, 1);
}
END_TEST

START_TEST(the_server_sees_the_deadline)
{
    struct answer a;
    say(w->channel, "Say", "hello", 5000, &a);
    TURN_UNTIL(w, a.done);
    ck_assert(a.number > 1000 && a.number <= 5000);
}
END_TEST

START_TEST(a_deadline_ends_the_call)
{
    struct answer a;
    uint64_t began = rl_clock_boot_ms();
    say(w->channel, "Say", "hold", 200, &a);
    TURN_UNTIL(w, a.done);
    ck_assert_int_eq(a.code, RL_E_DEADLINE);
    ck_assert(rl_clock_boot_ms() - began >= 190);
    ck_assert_ptr_nonnull(held);
    ck_assert_int_le(rl_rpc_remaining_ms(held), 50);
    /* completes into nothing */
    struct rl_rpc_call *late = held;
    held = NULL;
    reply_text(late, "late", 0, 0);
    say(w->channel, "Say", "again", 0, &a);
    TURN_UNTIL(w, a.done);
    ck_assert_str_eq(a.text, "again");
}
END_TEST

START_TEST(a_cancelled_call_is_done_once_and_later)
{
    struct answer a;
    struct rl_rpc_call *call = say(w->channel, "Say", "hold", 0, &a);
    TURN_UNTIL(w, held);
    rl_rpc_cancel(call);
    ck_assert_int_eq(a.done, 0);
    TURN_UNTIL(w, a.done);
    ck_assert_int_eq(a.code, RL_E_CANCELLED);
    world_turn_for(w, 50);
    ck_assert_int_eq(a.done, 1);
}
END_TEST

START_TEST(a_call_that_waits_for_its_connection_can_be_cancelled)
{
    struct answer a, b;
    struct rl_rpc_call *call = say(w->channel, "Say", "never sent", 0, &a);
    say(w->channel, "Say", "sent", 0, &b);
    rl_rpc_cancel(call);
    TURN_UNTIL(w, a.done && b.done);
    ck_assert_int_eq(a.code, RL_E_CANCELLED);
    ck_assert_int_eq(b.code, RL_OK);
}
END_TEST

START_TEST(refuses_what_is_too_big_to_send)
{
    struct answer a = {0};
    Echo__Text request = text_of("x");
    request.bulk.len = RL_RPC_MESSAGE_BYTES_MAX;
    request.bulk.data = rl_alloc(request.bulk.len);
    rl_rpc_unary(w->channel, &echo__echo__descriptor, "Say", &request.base, 0, answer_done, &a,
                 NULL);
    free(request.bulk.data);
    ck_assert_int_eq(a.done, 0);
    TURN_UNTIL(w, a.done);
    ck_assert_int_eq(a.code, RL_E_INVAL);
    say(w->channel, "Say", "big", 0, &a);
    TURN_UNTIL(w, a.done);
    ck_assert_int_eq(a.code, RL_E_EXHAUSTED);
}
END_TEST

static void say_packed(uint64_t bulk, struct answer *a)
{
    Echo__Text request = text_of("packed");
    request.number = bulk;
    *a = (struct answer){0};
    rl_rpc_unary(w->channel, &echo__echo__descriptor, "Say", &request.base, 0, answer_done, a,
                 NULL);
    TURN_UNTIL(w, a->done);
}

START_TEST(what_the_handler_packed_arrives_and_is_bounded_too)
{
    struct answer a;
    say_packed(3, &a);
    ck_assert_int_eq(a.code, RL_OK);
    ck_assert_str_eq(a.text, "packed");
    say_packed(RL_RPC_MESSAGE_BYTES_MAX, &a);
    ck_assert_int_eq(a.code, RL_E_EXHAUSTED);
}
END_TEST

START_TEST(carries_messages_larger_than_the_windows)
{
    struct answer a = {0};
    Echo__Text request = text_of("x");
    request.bulk.len = RL_RPC_MESSAGE_BYTES_MAX - 100;
    request.bulk.data = rl_alloc(request.bulk.len);
    rl_rpc_unary(w->channel, &echo__echo__descriptor, "Say", &request.base, 0, answer_done, &a,
                 NULL);
    free(request.bulk.data);
    TURN_UNTIL(w, a.done);
    ck_assert_int_eq(a.code, RL_OK);
    ck_assert_uint_eq(a.bulk, RL_RPC_MESSAGE_BYTES_MAX - 100);
}
END_TEST

START_TEST(a_server_refuses_what_is_larger_than_it_takes)
{
    rl_rpc_channel_free(&w->channel);
    rl_rpc_server_free(&w->server);
    struct rl_rpc_server_config config = world_server_config(w);
    config.message_bytes_max = 1000;
    world_serve(w, &config, handlers, RL_COUNT(handlers), &held);
    w->channel = world_channel(w, w->tls_client);
    struct answer a = {0};
    Echo__Text request = text_of("");
    uint8_t bulk[1000] = {0};
    request.bulk.data = bulk;
    for (int more = 0; more < 2; more++) {
        request.bulk.len = 997 + (size_t)more; /* and three bytes before it: the limit, one more */
        a.done = 0;
        rl_rpc_unary(w->channel, &echo__echo__descriptor, "Say", &request.base, 0, answer_done, &a,
                     NULL);
        TURN_UNTIL(w, a.done);
        ck_assert_int_eq(a.code, more ? RL_E_EXHAUSTED : RL_OK);
    }
}
END_TEST

START_TEST(unknown_methods_are_unimplemented_for_everyone)
{
    struct rl_rpc_channel *nobody = world_channel(w, w->tls_nobody);
    struct answer known, unknown;
    Echo__Text request = text_of("x");
    known = unknown = (struct answer){0};
    rl_rpc_unary(w->channel, &echo__unknown__descriptor, "Say", &request.base, 0, answer_done,
                 &known, NULL);
    rl_rpc_unary(nobody, &echo__unknown__descriptor, "Say", &request.base, 0, answer_done, &unknown,
                 NULL);
    TURN_UNTIL(w, known.done && unknown.done);
    ck_assert_int_eq(known.code, RL_E_UNIMPLEMENTED);
    ck_assert_int_eq(unknown.code, RL_E_UNIMPLEMENTED);
    ck_assert_str_eq(known.message, unknown.message);
    rl_rpc_channel_free(&nobody);
}
END_TEST

START_TEST(asks_who_may_call_what)
{
    struct rl_rpc_channel *nobody = world_channel(w, w->tls_nobody);
    struct answer a;
    say(w->channel, "Forbidden", "x", 0, &a);
    TURN_UNTIL(w, a.done);
    ck_assert_int_eq(a.code, RL_E_DENIED);
    ck_assert_str_eq(a.message, "nobody may do this");
    say(nobody, "Chat", "x", 0, &a);
    TURN_UNTIL(w, a.done);
    ck_assert_int_eq(a.code, RL_E_UNAUTHENTICATED);
    ck_assert_int_eq(closed_early, 0); /* no handler saw it */
    rl_rpc_channel_free(&nobody);
}
END_TEST

START_TEST(a_handler_knows_its_caller)
{
    struct rl_rpc_channel *nobody = world_channel(w, w->tls_nobody);
    struct answer a;
    say(w->channel, "Say", "who", 0, &a);
    TURN_UNTIL(w, a.done);
    ck_assert_str_eq(caller, "alice");
    ck_assert_int_eq(strncmp(caller_address, "127.0.0.1:", 10), 0);
    say(nobody, "Say", "who", 0, &a);
    TURN_UNTIL(w, a.done);
    ck_assert_str_eq(caller, "nobody");
    rl_rpc_channel_free(&nobody);
}
END_TEST

START_TEST(a_channel_that_is_freed_ends_its_calls)
{
    struct answer a, b;
    say(w->channel, "Say", "hold", 0, &a);
    TURN_UNTIL(w, held);
    say(w->channel, "Say", "x", 0, &b);
    rl_rpc_channel_free(&w->channel);
    ck_assert_int_eq(a.done, 1);
    ck_assert_int_eq(b.done, 1);
    ck_assert_int_ne(a.code, RL_OK);
}
END_TEST

static void free_channel(void *context, rl_code code, const char *message,
                         const ProtobufCMessage *reply)
{
    struct answer *a = context;
    answer_done(a, code, message, reply);
    rl_rpc_channel_free(&w->channel);
}

START_TEST(a_channel_may_be_freed_when_it_is_done)
{
    struct answer a = {0}, other;
    Echo__Text request = text_of("x");
    rl_rpc_unary(w->channel, &echo__echo__descriptor, "Say", &request.base, 0, free_channel, &a,
                 NULL);
    say(w->channel, "Say", "hold", 0, &other);
    TURN_UNTIL(w, a.done);
    ck_assert_int_eq(a.code, RL_OK);
    ck_assert_int_eq(other.done, 1);
    world_turn_for(w, 30);
}
END_TEST

START_TEST(a_server_that_is_freed_ends_its_calls)
{
    struct answer a;
    say(w->channel, "Say", "hold", 0, &a);
    TURN_UNTIL(w, held);
    rl_rpc_server_free(&w->server);
    TURN_UNTIL(w, a.done);
    ck_assert_int_eq(a.code, RL_E_UNAVAILABLE);
    struct rl_rpc_call *late = held;
    held = NULL;
    reply_text(late, "late", 0, 0);
}
END_TEST

START_TEST(two_handlers_run_at_once_on_workers)
{
    struct answer a, b;
    atomic_store(&running, 0);
    atomic_store(&most_running, 0);
    say(w->channel, "Say", "both", 0, &a);
    say(w->channel, "Say", "both", 0, &b);
    TURN_UNTIL(w, a.done && b.done);
    ck_assert_int_eq(a.code, RL_OK);
    ck_assert_int_eq(atomic_load(&most_running), 2);
}
END_TEST

START_TEST(many_calls_run_on_workers)
{
    static struct answer many[80];
    for (size_t i = 0; i < RL_COUNT(many); i++)
        say(w->channel, "Say", "x", 0, &many[i]);
    for (size_t i = 0; i < RL_COUNT(many); i++)
        TURN_UNTIL(w, many[i].done);
    for (size_t i = 0; i < RL_COUNT(many); i++)
        ck_assert_int_eq(many[i].code, RL_OK);
}
END_TEST

START_TEST(waits_on_the_loops_own_thread)
{
    Echo__Text request = text_of("wait");
    ProtobufCMessage *reply = NULL;
    struct rl_error err;
    ck_assert_int_eq(rl_rpc_unary_wait(w->channel, &echo__echo__descriptor, "Say", &request.base,
                                       1000, &reply, &err),
                     RL_OK);
    ck_assert_str_eq(((Echo__Text *)reply)->text, "wait");
    protobuf_c_message_free_unpacked(reply, NULL);
    request = text_of("fail");
    ck_assert_int_eq(rl_rpc_unary_wait(w->channel, &echo__echo__descriptor, "Say", &request.base,
                                       1000, &reply, &err),
                     RL_E_PRECONDITION);
}
END_TEST

static atomic_bool has_waited;

static void *wait_elsewhere(void *context)
{
    (void)context;
    Echo__Text request = text_of("elsewhere");
    ProtobufCMessage *reply = NULL;
    ck_assert_int_eq(rl_rpc_unary_wait(w->channel, &echo__echo__descriptor, "Say", &request.base,
                                       5000, &reply, NULL),
                     RL_OK);
    ck_assert_str_eq(((Echo__Text *)reply)->text, "elsewhere");
    protobuf_c_message_free_unpacked(reply, NULL);
    atomic_store(&has_waited, true);
    return NULL;
}

START_TEST(waits_on_another_thread)
{
    pthread_t thread;
    atomic_store(&has_waited, false);
    ck_assert_int_eq(pthread_create(&thread, NULL, wait_elsewhere, NULL), 0);
    TURN_UNTIL(w, atomic_load(&has_waited));
    pthread_join(thread, NULL);
}
END_TEST

START_TEST(a_service_with_a_method_that_nobody_handles_does_not_start)
{
    struct rl_rpc_server_config config = world_server_config(w);
    struct rl_rpc_server *server = NULL;
    rl_rpc_server_create_h2(&config, &server, NULL);
    rl_rpc_server_add(server, &echo__echo__descriptor, handlers, RL_COUNT(handlers) - 1, NULL);
}
END_TEST

START_TEST(a_method_with_two_handlers_does_not_start)
{
    struct rl_rpc_handler twice[RL_COUNT(handlers)];
    memcpy(twice, handlers, sizeof handlers);
    twice[1] = twice[0];
    struct rl_rpc_server_config config = world_server_config(w);
    struct rl_rpc_server *server = NULL;
    rl_rpc_server_create_h2(&config, &server, NULL);
    rl_rpc_server_add(server, &echo__echo__descriptor, twice, RL_COUNT(twice), NULL);
}
END_TEST

static TCase *loop_case(void)
{
    TCase *c = tcase_create("unary");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, answers);
    tcase_add_test(c, fails_with_a_message);
    tcase_add_test(c, many_calls_share_a_connection);
    tcase_add_test(c, the_server_sees_the_deadline);
    tcase_add_test(c, a_deadline_ends_the_call);
    tcase_add_test(c, a_cancelled_call_is_done_once_and_later);
    tcase_add_test(c, a_call_that_waits_for_its_connection_can_be_cancelled);
    tcase_add_test(c, refuses_what_is_too_big_to_send);
    tcase_add_test(c, what_the_handler_packed_arrives_and_is_bounded_too);
    tcase_add_test(c, carries_messages_larger_than_the_windows);
    tcase_add_test(c, a_server_refuses_what_is_larger_than_it_takes);
    tcase_add_test(c, unknown_methods_are_unimplemented_for_everyone);
    tcase_add_test(c, asks_who_may_call_what);
    tcase_add_test(c, a_handler_knows_its_caller);
    tcase_add_test(c, a_channel_that_is_freed_ends_its_calls);
    tcase_add_test(c, a_channel_may_be_freed_when_it_is_done);
    tcase_add_test(c, a_server_that_is_freed_ends_its_calls);
    tcase_add_test(c, waits_on_the_loops_own_thread);
    tcase_add_test(c, waits_on_another_thread);
    tcase_add_test_raise_signal(c, a_service_with_a_method_that_nobody_handles_does_not_start,
                                SIGABRT);
    tcase_add_test_raise_signal(c, a_method_with_two_handlers_does_not_start, SIGABRT);
    return c;
}

int main(void)
{
    Suite *suite = suite_create("rpc unary");
    suite_add_tcase(suite, loop_case());
    TCase *c = tcase_create("workers");
    tcase_add_checked_fixture(c, set_up_workers, tear_down);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, answers);
    tcase_add_test(c, fails_with_a_message);
    tcase_add_test(c, two_handlers_run_at_once_on_workers);
    tcase_add_test(c, many_calls_run_on_workers);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
