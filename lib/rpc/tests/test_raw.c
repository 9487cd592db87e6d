#include "rpc/h2/window.h"
#include "rpc/tests/relay.h"

static struct world *w;

#define GROWN_BYTES_MAX (4u << 20)

#define BULK_BYTES (32u << 20)

/* Bytes that both ends can make from their offset. */
static uint8_t byte_at(uint64_t offset)
{
    return (uint8_t)((offset * 2654435761u) >> 13);
}

/* ---- the server's end: echoes, in pieces of any size, or keeps what comes until it is told ----
 */

struct echo {
    struct rl_rpc_call *call;
    uint8_t kept[GROWN_BYTES_MAX];
    size_t first, n;
    bool is_parked; /* keeps what comes: before the join */
    bool has_ended;
    size_t most_kept, received;
    int opened, closed;
    rl_code code;
    rl_code finish; /* with which it ends when the client did */
};

static struct echo echo;

static void echo_opened(struct rl_rpc_call *call, void *context)
{
    (void)context;
    echo.call = call;
    echo.opened++;
}

static void echo_data(struct rl_rpc_call *call, const uint8_t *bytes, size_t n, void *context)
{
    (void)context;
    ck_assert_uint_le(echo.n + n, sizeof echo.kept);
    if (echo.first + echo.n + n > sizeof echo.kept) {
        memmove(echo.kept, echo.kept + echo.first, echo.n);
        echo.first = 0;
    }
    memcpy(echo.kept + echo.first + echo.n, bytes, n);
    echo.n += n;
    echo.received += n;
    if (echo.n > echo.most_kept)
        echo.most_kept = echo.n;
    if (!echo.is_parked)
        rl_rpc_raw_wake(call);
}

static size_t any_of(size_t n)
{
    size_t piece = 1 + (size_t)rand() % 9000;
    return piece < n ? piece : n;
}

static ptrdiff_t echo_produce(struct rl_rpc_call *call, uint8_t *to, size_t room, void *context)
{
    (void)context;
    ck_assert_uint_ge(room, 1);
    if (echo.is_parked)
        return RL_RPC_RAW_DEFER;
    if (echo.n == 0) {
        if (!echo.has_ended)
            return RL_RPC_RAW_DEFER;
        if (echo.finish != RL_OK)
            rl_rpc_raw_finish(call, echo.finish, "as told");
        return RL_RPC_RAW_END;
    }
    size_t n = any_of(echo.n < room ? echo.n : room);
    memcpy(to, echo.kept + echo.first, n);
    echo.first += n;
    echo.n -= n;
    rl_rpc_raw_consume(call, n);
    return (ptrdiff_t)n;
}

static void echo_half_closed(struct rl_rpc_call *call, void *context)
{
    (void)context;
    echo.has_ended = true;
    rl_rpc_raw_wake(call);
}

static void echo_closed(struct rl_rpc_call *call, rl_code code, const char *message, void *context)
{
    (void)message, (void)context;
    rl_rpc_raw_consume(call, echo.n); /* harmless now */
    echo.closed++;
    echo.code = code;
    echo.call = NULL;
}

static const struct rl_rpc_raw_ops echo_ops = {
    .opened = echo_opened,
    .data = echo_data,
    .produce = echo_produce,
    .half_closed = echo_half_closed,
    .closed = echo_closed,
};

/* ---- another's end, which takes what comes ---- */

static void sink_opened(struct rl_rpc_call *call, void *context)
{
    (void)call, (void)context;
}

static void sink_data(struct rl_rpc_call *call, const uint8_t *bytes, size_t n, void *context)
{
    (void)bytes, (void)context;
    rl_rpc_raw_consume(call, n);
}

static ptrdiff_t sink_produce(struct rl_rpc_call *call, uint8_t *to, size_t room, void *context)
{
    (void)call, (void)to, (void)room, (void)context;
    return RL_RPC_RAW_DEFER;
}

static void sink_closed(struct rl_rpc_call *call, rl_code code, const char *message, void *context)
{
    (void)call, (void)code, (void)message, (void)context;
}

static const struct rl_rpc_raw_ops sink_ops = {
    .opened = sink_opened,
    .data = sink_data,
    .produce = sink_produce,
    .closed = sink_closed,
};

/* ---- a stream of messages, for what a raw client can say wrongly ---- */

static uint64_t messages;
static char last_text[64];

static void chat_message(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)call, (void)context;
    messages++;
    snprintf(last_text, sizeof last_text, "%s", ((const Echo__Text *)message)->text);
}

static void chat_closed(struct rl_rpc_call *call, rl_code code, const char *message, void *context)
{
    (void)call, (void)code, (void)message, (void)context;
}

static void never(struct rl_rpc_call *call, const ProtobufCMessage *request, void *context)
{
    (void)call, (void)request, (void)context;
    ck_abort_msg("not called here");
}

static const struct rl_rpc_stream_ops chat_ops = {.message = chat_message, .closed = chat_closed};
static const struct rl_rpc_handler handlers[] = {
    {.method = "Say", .raw = &sink_ops},
    {.method = "Forbidden", .unary = never},
    {.method = "Chat", .stream = &chat_ops},
    {.method = "Bytes", .raw = &echo_ops},
};

/* ---- the client's end: sends `total` bytes or a given text, checks what comes back ---- */

struct client {
    struct rl_rpc_call *call;
    const uint8_t *text; /* NULL: byte_at() */
    size_t text_n;       /* again and again; 0: it is as long as `total` */
    uint64_t total, sent, received;
    bool stays_open, owes;
    uint64_t owed;
    size_t piece_max;
    int closed;
    rl_code code;
    char message[RL_ERROR_MESSAGE_BYTES];
};

static void client_data(struct rl_rpc_call *call, const uint8_t *bytes, size_t n, void *context)
{
    struct client *c = context;
    size_t wrong = 0; /* not an assertion for each byte: Check writes each down */
    for (size_t i = 0; i < n && !c->text; i++)
        wrong += bytes[i] != byte_at(c->received + i);
    ck_assert_uint_eq(wrong, 0);
    c->received += n;
    if (c->owes)
        c->owed += n;
    else
        rl_rpc_raw_consume(call, n);
}

static ptrdiff_t client_produce(struct rl_rpc_call *call, uint8_t *to, size_t room, void *context)
{
    (void)call;
    struct client *c = context;
    if (c->sent == c->total)
        return c->stays_open ? RL_RPC_RAW_DEFER : RL_RPC_RAW_END;
    uint64_t left = c->total - c->sent;
    size_t n = any_of(left < room ? (size_t)left : room);
    if (c->piece_max && n > c->piece_max)
        n = c->piece_max;
    for (size_t i = 0; i < n; i++)
        to[i] = !c->text ? byte_at(c->sent + i)
                         : c->text[c->text_n ? (c->sent + i) % c->text_n : c->sent + i];
    c->sent += n;
    return (ptrdiff_t)n;
}

static void client_closed(struct rl_rpc_call *call, rl_code code, const char *message,
                          void *context)
{
    struct client *c = context;
    ck_assert_ptr_eq(c->call, call);
    c->closed++;
    c->code = code;
    c->call = NULL;
    snprintf(c->message, sizeof c->message, "%s", message);
}

static const struct rl_rpc_raw_ops client_ops = {
    .data = client_data, .produce = client_produce, .closed = client_closed};

static void open_raw(struct client *c, const char *method)
{
    c->call = rl_rpc_raw_open(w->channel, &echo__echo__descriptor, method, &client_ops, c);
}

static void serve(uint32_t stream_window, uint32_t connection_window)
{
    struct rl_rpc_server_config config = world_server_config(w);
    config.stream_window_bytes = stream_window;
    config.connection_window_bytes = connection_window;
    world_serve(w, &config, handlers, RL_COUNT(handlers), NULL);
    struct rl_rpc_channel_config channel = world_channel_config(w);
    channel.stream_window_bytes = stream_window;
    channel.connection_window_bytes = connection_window;
    ck_assert_int_eq(rl_rpc_channel_create_h2(&channel, &w->channel, NULL), RL_OK);
}

static void set_up(void)
{
    w = world_make(false);
    memset(&echo, 0, sizeof echo);
    messages = 0;
    srand(1);
}

static void tear_down(void)
{
    world_free(w);
}

START_TEST(echoes_32_mib_through_default_windows)
{
    serve(0, 0);
    struct client c = {.total = BULK_BYTES};
    open_raw(&c, "Bytes");
    TURN_UNTIL(w, c.closed && echo.closed);
    ck_assert_int_eq(c.code, RL_OK);
    ck_assert_uint_eq(c.received, BULK_BYTES);
    ck_assert_int_eq(echo.code, RL_OK);
    ck_assert_uint_le(echo.most_kept, RL_RPC_RAW_WINDOW_BYTES_MAX);
}
END_TEST

/* Its own windows are so small that any pace is a fast one. */
START_TEST(a_lone_streams_window_follows_its_pace)
{
    serve(4096, 1000);
    struct client c = {.total = 8u << 20};
    open_raw(&c, "Bytes");
    TURN_UNTIL(w, c.received > (256u << 10)); /* the first bytes know the standard's window */
    echo.most_kept = 0;
    TURN_UNTIL(w, c.closed && echo.closed);
    ck_assert_uint_eq(c.received, c.total);
    ck_assert_uint_gt(echo.most_kept, 2 * 4096);
    ck_assert_uint_le(echo.most_kept, RL_RPC_RAW_WINDOW_BYTES_MAX);
    rl_rpc_channel_free(&w->channel);
    rl_rpc_server_free(&w->server);
    /* what was borrowed for it is there again */
    ck_assert_uint_eq(rl_h2_window_borrow(UINT32_MAX), RL_H2_WINDOW_BUDGET_BYTES);
    rl_h2_window_repay(RL_H2_WINDOW_BUDGET_BYTES);
}
END_TEST

static bool say_one_more(struct client *other)
{
    other->total += other->text_n;
    rl_rpc_raw_wake(other->call);
    return true;
}

/* Bytes for ever, there and back, and a stream beside them. Later than the first bytes, which know
 * the standard's window. */
static void open_beside(struct client *c, struct client *other, const char *method)
{
    static const uint8_t empty_message[5];
    *c = (struct client){.total = UINT64_MAX};
    *other =
        (struct client){.text = empty_message, .text_n = sizeof empty_message, .stays_open = true};
    serve(4096, 1000);
    open_raw(c, "Bytes");
    open_raw(other, method);
    TURN_UNTIL(w, say_one_more(other) && c->received > (256u << 10));
    echo.most_kept = 0;
}

static void end_both(struct client *c, struct client *other)
{
    rl_rpc_cancel(c->call);
    rl_rpc_cancel(other->call);
    TURN_UNTIL(w, c->closed && other->closed && echo.closed);
}

START_TEST(a_stream_that_is_not_alone_keeps_its_own_window)
{
    struct client c, other;
    open_beside(&c, &other, "Say");
    uint64_t end_ms = rl_loop_now_ms(w->loop) + 3 * RL_H2_ALONE_RUN_MS;
    TURN_UNTIL(w, say_one_more(&other) && rl_loop_now_ms(w->loop) > end_ms);
    ck_assert_uint_le(echo.most_kept, 4096);
    end_both(&c, &other);
}
END_TEST

START_TEST(messages_keep_no_stream_narrow)
{
    struct client c, other;
    open_beside(&c, &other, "Chat");
    TURN_UNTIL(w, say_one_more(&other) && echo.most_kept > 4096);
    end_both(&c, &other);
}
END_TEST

START_TEST(echoes_through_tiny_windows)
{
    static const uint32_t windows[][2] = {{1, 1}, {7, 65535}, {1000, 100}, {65536, 17}, {333, 333}};
    for (size_t i = 0; i < RL_COUNT(windows); i++) {
        memset(&echo, 0, sizeof echo);
        serve(windows[i][0], windows[i][1]);
        struct client c = {.total = windows[i][0] == 1 ? 500 : 50000};
        open_raw(&c, "Bytes");
        TURN_UNTIL(w, c.closed && echo.closed);
        ck_assert_int_eq(c.code, RL_OK);
        ck_assert_uint_eq(c.received, c.total);
        /* the server's SETTINGS may come after the first bytes, which know the standard's window */
        ck_assert_uint_le(echo.most_kept, 65535);
        rl_rpc_channel_free(&w->channel);
        rl_rpc_server_free(&w->server);
    }
}
END_TEST

START_TEST(keeps_what_comes_before_the_join)
{
    serve(0, 0);
    echo.is_parked = true;
    struct client c = {.total = 1u << 20};
    open_raw(&c, "Bytes");
    TURN_UNTIL(w, echo.n >= (200 << 10));
    world_turn_for(w, 50);
    ck_assert_uint_le(echo.received, 256 << 10); /* nothing was consumed */
    ck_assert_uint_eq(c.received, 0);
    echo.is_parked = false;
    rl_rpc_raw_wake(echo.call);
    TURN_UNTIL(w, c.closed);
    ck_assert_uint_eq(c.received, 1u << 20);
}
END_TEST

START_TEST(a_stalled_stream_holds_its_window_and_others_go_on)
{
    serve(0, 0);
    struct client stalled = {.total = 4u << 20, .owes = true}, other = {.total = 4u << 20};
    open_raw(&stalled, "Bytes");
    TURN_UNTIL(w, stalled.received >= (256u << 10));
    world_turn_for(w, 50);
    ck_assert_uint_eq(stalled.received, 256u << 10);
    struct echo first = echo;
    memset(&echo, 0, sizeof echo);
    open_raw(&other, "Bytes");
    TURN_UNTIL(w, other.closed);
    ck_assert_uint_eq(other.received, 4u << 20);
    echo = first;
    stalled.owes = false;
    rl_rpc_raw_consume(stalled.call, stalled.owed);
    TURN_UNTIL(w, stalled.closed);
    ck_assert_uint_eq(stalled.received, 4u << 20);
}
END_TEST

START_TEST(a_server_finishes_with_a_status)
{
    serve(0, 0);
    echo.finish = RL_E_NOT_FOUND;
    struct client c = {.total = 100000};
    open_raw(&c, "Bytes");
    TURN_UNTIL(w, c.closed);
    ck_assert_uint_eq(c.received, 100000);
    ck_assert_int_eq(c.code, RL_E_NOT_FOUND);
    ck_assert_str_eq(c.message, "as told");
}
END_TEST

START_TEST(a_server_finishes_at_once)
{
    serve(0, 0);
    echo.is_parked = true;
    struct client c = {.total = 1u << 20};
    open_raw(&c, "Bytes");
    TURN_UNTIL(w, echo.n > 0);
    rl_rpc_raw_finish(echo.call, RL_E_DENIED, "no");
    TURN_UNTIL(w, c.closed && echo.closed);
    ck_assert_int_eq(c.code, RL_E_DENIED);
    ck_assert_uint_eq(c.received, 0);
}
END_TEST

START_TEST(either_side_may_cancel)
{
    serve(0, 0);
    struct client c = {.total = 10, .stays_open = true};
    open_raw(&c, "Bytes");
    TURN_UNTIL(w, c.received == 10);
    rl_rpc_cancel(c.call);
    TURN_UNTIL(w, c.closed && echo.closed);
    ck_assert_int_eq(c.code, RL_E_CANCELLED);
    ck_assert_int_eq(echo.code, RL_E_CANCELLED);
    c = (struct client){.total = 10, .stays_open = true};
    memset(&echo, 0, sizeof echo);
    open_raw(&c, "Bytes");
    TURN_UNTIL(w, c.received == 10);
    rl_rpc_cancel(echo.call);
    TURN_UNTIL(w, c.closed && echo.closed);
    ck_assert_int_eq(c.code, RL_E_CANCELLED);
}
END_TEST

START_TEST(closes_when_nobody_listens)
{
    serve(0, 0);
    rl_rpc_server_free(&w->server);
    struct client c = {.total = 10};
    open_raw(&c, "Bytes");
    ck_assert_int_eq(c.closed, 0);
    TURN_UNTIL(w, c.closed);
    ck_assert_int_eq(c.code, RL_E_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(c.message, w->address));
    ck_assert_int_eq(w->down, 1);
}
END_TEST

/* Through 40 ms. Not how long it takes is held against it: that is the machine's load too; but how
 * much is on the way at once, which would be 64 KiB without growing. */
#define ON_THE_WAY_BYTES (96u << 10)

static void cross_long_path(uint32_t stream_window_max)
{
    struct rl_rpc_server_config server = world_server_config(w);
    server.stream_window_bytes_max = stream_window_max;
    world_serve(w, &server, handlers, RL_COUNT(handlers), NULL);
    struct relay *relay = relay_make(w);
    relay->delay_ms = 20;
    struct rl_rpc_channel_config config = world_channel_config(w);
    config.address = relay->address;
    config.stream_window_bytes_max = stream_window_max;
    ck_assert_int_eq(rl_rpc_channel_create_h2(&config, &w->channel, NULL), RL_OK);
    struct client c = {.total = 10u << 20};
    open_raw(&c, "Bytes");
    TURN_UNTIL(w, c.closed);
    ck_assert_int_eq(c.code, RL_OK);
    ck_assert_uint_eq(c.received, c.total);
    ck_assert_uint_gt(relay->most_held, ON_THE_WAY_BYTES);
    relay_free(relay);
}

START_TEST(the_connections_window_grows_with_a_long_path)
{
    cross_long_path(0);
    ck_assert_uint_le(echo.most_kept, 256 << 10);
}
END_TEST

START_TEST(a_streams_window_grows_where_it_may)
{
    cross_long_path(GROWN_BYTES_MAX);
#if !defined(__SANITIZE_THREAD__) /* by which nothing is fast enough to need more */
    ck_assert_uint_gt(echo.most_kept, 256 << 10);
#endif
}
END_TEST

/* ---- what a stream of messages refuses ---- */

static void expect_end(const char *bytes, size_t n, rl_code code)
{
    struct client c = {.text = (const uint8_t *)bytes, .total = n};
    open_raw(&c, "Chat");
    TURN_UNTIL(w, c.closed);
    ck_assert_msg(c.code == code, "%s: %s", rl_code_name(c.code), c.message);
}

#define EXPECT_END(bytes, code) expect_end((bytes), sizeof(bytes) - 1, (code))

START_TEST(refuses_what_is_no_message)
{
    serve(0, 0);
    EXPECT_END("\1\0\0\0\0", RL_E_UNIMPLEMENTED);   /* compressed */
    EXPECT_END("\0\0\x40\0\1xxxx", RL_E_EXHAUSTED); /* 4 MiB and a byte */
    EXPECT_END("\0\xff\xff\xff\xffxxxx", RL_E_EXHAUSTED);
    EXPECT_END("\0\0\0\0\5\x0a\3xx", RL_E_INTERNAL); /* ends in the middle */
    EXPECT_END("\0\0\0", RL_E_INTERNAL);             /* of the prefix even */
    EXPECT_END("\0\0\0\0\4\x0a\5xx", RL_E_INTERNAL); /* does not decode */
    ck_assert_uint_eq(messages, 0);
    EXPECT_END("\0\0\0\0\4\x0a\2xx", RL_OK);
    EXPECT_END("\0\0\0\0\0\0\0\0\0\0", RL_OK);
    EXPECT_END("", RL_OK);
    ck_assert_uint_eq(messages, 3);
}
END_TEST

START_TEST(puts_messages_together_from_single_bytes)
{
    serve(0, 0);
    static const char bytes[] = "\0\0\0\0\4\x0a\2xx\0\0\0\0\0\0\0\0\0\5\x0a\3end";
    struct client c = {.text = (const uint8_t *)bytes, .total = sizeof bytes - 1, .piece_max = 1};
    open_raw(&c, "Chat");
    TURN_UNTIL(w, c.closed);
    ck_assert_int_eq(c.code, RL_OK);
    ck_assert_uint_eq(messages, 3);
    ck_assert_str_eq(last_text, "end");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rpc raw");
    TCase *c = tcase_create("raw");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, echoes_32_mib_through_default_windows);
    tcase_add_test(c, echoes_through_tiny_windows);
    tcase_add_test(c, keeps_what_comes_before_the_join);
    tcase_add_test(c, a_stalled_stream_holds_its_window_and_others_go_on);
    tcase_add_test(c, a_server_finishes_with_a_status);
    tcase_add_test(c, a_server_finishes_at_once);
    tcase_add_test(c, either_side_may_cancel);
    tcase_add_test(c, closes_when_nobody_listens);
    tcase_add_test(c, the_connections_window_grows_with_a_long_path);
    tcase_add_test(c, a_streams_window_grows_where_it_may);
    tcase_add_test(c, a_lone_streams_window_follows_its_pace);
    tcase_add_test(c, a_stream_that_is_not_alone_keeps_its_own_window);
    tcase_add_test(c, messages_keep_no_stream_narrow);
    tcase_add_test(c, refuses_what_is_no_message);
    tcase_add_test(c, puts_messages_together_from_single_bytes);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
