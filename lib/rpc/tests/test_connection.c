#include "rpc/h2/h2.h"
#include "rpc/tests/relay.h"

#include <sys/resource.h>

static struct world *w;
static struct relay *relay;

/* ---- Say answers, Chat echoes ---- */

static char caller_address[64], caller_via[64];
static int server_closed;
static rl_code server_code;

static void on_say(struct rl_rpc_call *call, const ProtobufCMessage *request, void *context)
{
    (void)context;
    const struct rl_rpc_peer *peer = rl_rpc_peer(call);
    snprintf(caller_address, sizeof caller_address, "%s", peer->address);
    snprintf(caller_via, sizeof caller_via, "%s", peer->via ? peer->via : "nobody");
    rl_rpc_reply(call, request);
}

static void on_message(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)context;
    rl_rpc_send(call, message, NULL);
}

static void on_closed(struct rl_rpc_call *call, rl_code code, const char *message, void *context)
{
    (void)call, (void)message, (void)context;
    server_closed++;
    server_code = code;
}

static const struct rl_rpc_stream_ops chat = {.message = on_message, .closed = on_closed};
static const struct rl_rpc_handler handlers[] = {
    {.method = "Say", .unary = on_say},
    {.method = "Forbidden", .unary = on_say},
    {.method = "Chat", .stream = &chat},
    {.method = "Bytes", .stream = &chat},
};

/* ---- a client's stream ---- */

struct talk {
    struct rl_rpc_call *call;
    int received, closed;
    rl_code code;
    char message[RL_ERROR_MESSAGE_BYTES];
};

static void talk_message(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)call, (void)message;
    ((struct talk *)context)->received++;
}

static void talk_closed(struct rl_rpc_call *call, rl_code code, const char *message, void *context)
{
    (void)call;
    struct talk *t = context;
    t->closed++;
    t->code = code;
    snprintf(t->message, sizeof t->message, "%s", message);
}

static const struct rl_rpc_stream_ops talk_ops = {.message = talk_message, .closed = talk_closed};

static void talk_say(struct talk *t)
{
    Echo__Text text = text_of("x");
    rl_rpc_send(t->call, &text.base, NULL);
}

/* Is up and has been answered once when this returns. */
static void talk_start(struct rl_rpc_channel *channel, struct talk *t)
{
    *t = (struct talk){0};
    t->call = rl_rpc_stream(channel, &echo__echo__descriptor, "Chat", 0, &talk_ops, t);
    talk_say(t);
    TURN_UNTIL(w, t->received || t->closed);
}

static struct rl_rpc_server_config server_config;
static struct rl_rpc_channel_config channel_config;

static void set_up(void)
{
    w = world_make(false);
    server_closed = 0;
    server_config = world_server_config(w);
    world_serve(w, &server_config, handlers, RL_COUNT(handlers), NULL);
    relay = relay_make(w);
    channel_config = world_channel_config(w);
    channel_config.address = relay->address;
}

static void serve_again(void)
{
    rl_rpc_server_free(&w->server);
    world_serve(w, &server_config, handlers, RL_COUNT(handlers), NULL);
    relay->target = w->port;
}

static void open_channel(void)
{
    ck_assert_int_eq(rl_rpc_channel_create_h2(&channel_config, &w->channel, NULL), RL_OK);
}

static void tear_down(void)
{
    relay_free(relay);
    world_free(w);
}

static rl_code say_code(struct rl_rpc_channel *channel)
{
    struct answer a;
    say(channel, "Say", "x", 0, &a);
    TURN_UNTIL(w, a.done);
    return a.code;
}

static void count_drained(void *context)
{
    ((struct world *)context)->drained++;
}

/* ---- ends that were meant ---- */

START_TEST(a_drain_lets_running_calls_finish)
{
    struct talk t;
    open_channel();
    talk_start(w->channel, &t);
    rl_rpc_server_drain(w->server, 10000, count_drained, w);
    TURN_UNTIL(w, w->down);
    ck_assert_int_eq(w->down_code, RL_E_UNAVAILABLE);
    ck_assert(!rl_rpc_channel_is_up(w->channel));
    ck_assert_int_eq(say_code(w->channel), RL_E_UNAVAILABLE); /* on a new connection: none */
    talk_say(&t);
    TURN_UNTIL(w, t.received == 2);
    ck_assert_int_eq(w->drained, 0);
    rl_rpc_end(t.call, RL_OK, NULL);
    TURN_UNTIL(w, t.closed && w->drained);
    ck_assert_int_eq(t.code, RL_OK);
    ck_assert_int_eq(w->disconnected, 1);
}
END_TEST

START_TEST(a_drain_does_not_wait_for_ever)
{
    struct talk t;
    open_channel();
    talk_start(w->channel, &t);
    rl_rpc_server_drain(w->server, 100, count_drained, w);
    TURN_UNTIL(w, t.closed && w->drained);
    ck_assert_int_eq(t.code, RL_E_UNAVAILABLE);
    ck_assert_int_eq(server_closed, 1);
    ck_assert_int_eq(server_code, RL_E_UNAVAILABLE);
    world_turn_for(w, 50);
    ck_assert_int_eq(w->drained, 1);
}
END_TEST

START_TEST(a_drain_without_connections_is_over_at_once)
{
    rl_rpc_server_drain(w->server, 10000, count_drained, w);
    ck_assert_int_eq(w->drained, 0);
    TURN_UNTIL(w, w->drained);
}
END_TEST

START_TEST(calls_that_are_on_their_way_at_a_drain_are_answered)
{
    struct answer a[50];
    open_channel();
    ck_assert_int_eq(say_code(w->channel), RL_OK);
    for (size_t i = 0; i < RL_COUNT(a); i++)
        say(w->channel, "Say", "x", 0, &a[i]);
    rl_rpc_server_drain(w->server, 10000, count_drained, w);
    for (size_t i = 0; i < RL_COUNT(a); i++) {
        TURN_UNTIL(w, a[i].done);
        ck_assert_int_eq(a[i].code, RL_OK);
    }
    TURN_UNTIL(w, w->drained);
}
END_TEST

START_TEST(a_caller_can_be_disconnected)
{
    struct talk t;
    open_channel();
    talk_start(w->channel, &t);
    ck_assert_uint_eq(rl_rpc_server_disconnect(w->server, w->connection + 1000, "nobody"), 0);
    ck_assert_uint_eq(rl_rpc_server_disconnect(w->server, w->connection, "alice is locked"), 1);
    ck_assert_int_eq(server_closed, 0);
    TURN_UNTIL(w, t.closed && w->disconnected);
    ck_assert_int_eq(t.code, RL_E_UNAVAILABLE);
    ck_assert_str_eq(w->disconnect_reason, "alice is locked");
    ck_assert_ptr_nonnull(strstr(w->down_message, "alice is locked"));
}
END_TEST

START_TEST(a_connection_ends_when_its_certificate_does)
{
    struct rl_tls_identity *brief = world_identity(&w->users, "alice", NULL, 2);
    struct rl_tls_client *tls = world_client(w, brief);
    channel_config.tls = tls;
    open_channel();
    struct talk t;
    talk_start(w->channel, &t);
    ck_assert_int_eq(t.closed, 0);
    TURN_UNTIL(w, t.closed && w->disconnected);
    ck_assert_int_eq(t.code, RL_E_UNAVAILABLE);
    ck_assert_str_eq(w->disconnect_reason, "its certificate expired");
    world_skew_s += 3;
    w->down = 0;
    ck_assert_int_ne(say_code(w->channel), RL_OK);
    TURN_UNTIL(w, w->down);
    ck_assert_int_eq(w->down_code, RL_E_UNAUTHENTICATED);
    rl_tls_client_unref(&tls);
    rl_tls_identity_unref(&brief);
}
END_TEST

START_TEST(renewing_leaves_running_calls_alone)
{
    struct talk t;
    open_channel();
    talk_start(w->channel, &t);
    rl_rpc_channel_renew(w->channel, NULL);
    ck_assert_int_eq(say_code(w->channel), RL_OK);
    ck_assert_int_eq(w->connected, 2);
    talk_say(&t);
    TURN_UNTIL(w, t.received == 2);
    ck_assert_int_eq(w->disconnected, 0);
    rl_rpc_end(t.call, RL_OK, NULL);
    TURN_UNTIL(w, t.closed && w->disconnected);
    ck_assert_int_eq(t.code, RL_OK);
    ck_assert_int_eq(w->disconnected, 1);
    rl_rpc_channel_renew(w->channel, "127.0.0.1:1");
    ck_assert_int_eq(say_code(w->channel), RL_E_UNAVAILABLE);
    TURN_UNTIL(w, w->disconnected == 2);
}
END_TEST

/* ---- ends that were not ---- */

START_TEST(a_lost_connection_ends_its_calls_and_the_next_call_connects)
{
    struct talk t;
    open_channel();
    talk_start(w->channel, &t);
    relay_cut(relay);
    TURN_UNTIL(w, t.closed && server_closed);
    ck_assert_int_eq(t.code, RL_E_UNAVAILABLE);
    ck_assert_int_eq(server_code, RL_E_UNAVAILABLE);
    ck_assert_int_eq(w->down, 1);
    ck_assert_int_eq(say_code(w->channel), RL_OK);
    ck_assert_int_eq(w->connected, 2);
}
END_TEST

START_TEST(a_channel_may_stay_connected_by_itself)
{
    channel_config.stay_connected = true;
    open_channel();
    rl_rpc_channel_connect(w->channel);
    TURN_UNTIL(w, w->up == 1);
    ck_assert(rl_rpc_channel_is_up(w->channel));
    uint16_t target = relay->target;
    relay->target = 1; /* nobody is there */
    relay_cut(relay);
    TURN_UNTIL(w, w->down >= 3);
    ck_assert(!rl_rpc_channel_is_up(w->channel));
    relay->target = target;
    TURN_UNTIL(w, w->up == 2);
}
END_TEST

START_TEST(keepalive_finds_a_silent_peer_on_both_sides)
{
    server_config.keepalive_ms = server_config.keepalive_timeout_ms = 150;
    channel_config.keepalive_ms = channel_config.keepalive_timeout_ms = 150;
    serve_again();
    open_channel();
    struct talk t;
    talk_start(w->channel, &t);
    world_turn_for(w, 600); /* idle, and alive */
    ck_assert_int_eq(w->disconnected + w->down, 0);
    uint64_t began = rl_clock_boot_ms();
    relay->is_silent = true;
    TURN_UNTIL(w, t.closed && server_closed);
    ck_assert_int_eq(t.code, RL_E_UNAVAILABLE);
    ck_assert_int_eq(server_code, RL_E_UNAVAILABLE);
    ck_assert_uint_ge(rl_clock_boot_ms() - began, 140);
}
END_TEST

START_TEST(a_probe_finds_a_dead_network_at_once)
{
    open_channel();
    struct talk t;
    talk_start(w->channel, &t);
    rl_rpc_channel_probe(w->channel, 100);
    world_turn_for(w, 250);
    ck_assert_int_eq(w->down, 0);
    relay->is_silent = true;
    rl_rpc_channel_probe(w->channel, 100);
    TURN_UNTIL(w, t.closed);
    ck_assert_int_eq(t.code, RL_E_UNAVAILABLE);
}
END_TEST

START_TEST(a_server_that_says_nothing_is_given_up)
{
    relay->is_silent = true;
    channel_config.connect_timeout_ms = 200;
    open_channel();
    ck_assert_int_eq(say_code(w->channel), RL_E_UNAVAILABLE);
    ck_assert_int_eq(w->down, 1);
    ck_assert_int_eq(w->down_code, RL_E_DEADLINE);
}
END_TEST

START_TEST(an_address_that_is_none_is_told_later)
{
    channel_config.address = "no port";
    open_channel();
    struct answer a;
    say(w->channel, "Say", "x", 0, &a);
    ck_assert_int_eq(w->down, 0);
    TURN_UNTIL(w, a.done);
    ck_assert_int_eq(a.code, RL_E_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(a.message, "no port"));
    ck_assert_int_eq(w->down, 1);
}
END_TEST

START_TEST(a_socket_that_is_given_is_the_only_connection)
{
    struct answer a;
    channel_config.has_socket = true;
    channel_config.address = "auth.leaf";
    ck_assert_int_eq(rl_dial_blocking(relay->address, 2000, &channel_config.socket, NULL), RL_OK);
    open_channel();
    ck_assert_int_eq(say_code(w->channel), RL_OK);
    ck_assert_int_eq(w->up, 1);
    relay_cut(relay);
    TURN_UNTIL(w, w->down == 1);
    say(w->channel, "Say", "x", 0, &a);
    TURN_UNTIL(w, a.done);
    ck_assert_int_eq(a.code, RL_E_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(a.message, "auth.leaf: its only connection has ended"));
    ck_assert_int_eq(w->connected, 1);
}
END_TEST

START_TEST(a_socket_that_was_not_needed_is_closed)
{
    int ends[2];
    char byte;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    channel_config.has_socket = true;
    channel_config.socket = ends[0];
    open_channel();
    rl_rpc_channel_free(&w->channel);
    ck_assert_int_eq(read(ends[1], &byte, 1), 0);
    close(ends[1]);
}
END_TEST

static void free_channel_when_down(void *context, rl_code code, const char *message)
{
    world_on_down(context, code, message);
    rl_rpc_channel_free(&w->channel);
}

START_TEST(a_channel_may_be_freed_when_it_is_down)
{
    channel_config.down = free_channel_when_down;
    open_channel();
    struct talk t;
    talk_start(w->channel, &t);
    relay_cut(relay);
    TURN_UNTIL(w, t.closed && w->down);
    world_turn_for(w, 20);
    ck_assert_int_eq(w->down, 1);
}
END_TEST

/* ---- the channel goes while one of its own callbacks runs ---- */

enum moment { IN_UP, IN_MESSAGE, IN_WRITABLE, IN_DATA, IN_PRODUCE, IN_RAW_CLOSED, MOMENTS };
static enum moment moment;
static int raw_closed;

static void free_if(enum moment now)
{
    if (moment == now)
        rl_rpc_channel_free(&w->channel);
}

static void freeing_up(void *context, const struct rl_rpc_peer *peer)
{
    (void)context, (void)peer;
    free_if(IN_UP);
}

static void freeing_message(struct rl_rpc_call *call, const ProtobufCMessage *message,
                            void *context)
{
    talk_message(call, message, context);
    free_if(IN_MESSAGE);
}

static void freeing_writable(struct rl_rpc_call *call, void *context)
{
    (void)call, (void)context;
    free_if(IN_WRITABLE);
}

static void freeing_data(struct rl_rpc_call *call, const uint8_t *bytes, size_t n, void *context)
{
    (void)bytes, (void)context;
    rl_rpc_raw_consume(call, n);
    free_if(IN_DATA);
    if (moment == IN_RAW_CLOSED)
        rl_rpc_cancel(call);
}

static ptrdiff_t freeing_produce(struct rl_rpc_call *call, uint8_t *to, size_t room, void *context)
{
    (void)call, (void)room, (void)context;
    free_if(IN_PRODUCE);
    *to = 0; /* five of these are an empty message */
    return 1;
}

static void freeing_closed(struct rl_rpc_call *call, rl_code code, const char *message,
                           void *context)
{
    (void)call, (void)code, (void)message, (void)context;
    raw_closed++;
    free_if(IN_RAW_CLOSED);
}

START_TEST(a_channel_may_be_freed_in_any_of_its_callbacks)
{
    static const struct rl_rpc_stream_ops stream_ops = {
        .message = freeing_message, .writable = freeing_writable, .closed = talk_closed};
    static const struct rl_rpc_raw_ops raw_ops = {
        .data = freeing_data, .produce = freeing_produce, .closed = freeing_closed};
    static uint8_t bulk[1 << 20];
    Echo__Text text = text_of("x");
    text.bulk.data = bulk;
    text.bulk.len = sizeof bulk;
    channel_config.up = freeing_up;
    channel_config.address = w->address;
    for (moment = IN_UP; moment < MOMENTS; moment++) {
        struct talk t = {0}, other = {0};
        raw_closed = 0;
        open_channel();
        other.call =
            rl_rpc_stream(w->channel, &echo__echo__descriptor, "Chat", 0, &talk_ops, &other);
        if (moment <= IN_WRITABLE) {
            t.call = rl_rpc_stream(w->channel, &echo__echo__descriptor, "Chat", 0, &stream_ops, &t);
            while (rl_rpc_send(t.call, &text.base, NULL) == RL_OK && moment == IN_WRITABLE)
                ;
        } else {
            rl_rpc_raw_open(w->channel, &echo__echo__descriptor, "Chat", &raw_ops, NULL);
        }
        TURN_UNTIL(w, !w->channel);
        ck_assert_int_eq(other.closed, 1);
        ck_assert_int_eq(moment <= IN_WRITABLE ? t.closed : raw_closed, 1);
        world_turn_for(w, 20);
    }
}
END_TEST

START_TEST(ends_at_any_moment_leave_nothing_behind)
{
    for (int turns = 0; turns < 40; turns++) {
        struct answer a;
        struct talk t = {0};
        open_channel();
        say(w->channel, "Say", "x", 0, &a);
        t.call = rl_rpc_stream(w->channel, &echo__echo__descriptor, "Chat", 0, &talk_ops, &t);
        talk_say(&t);
        for (int i = 0; i < turns; i++)
            rl_loop_turn(w->loop, 1);
        if (turns % 2)
            rl_rpc_channel_free(&w->channel);
        serve_again();
        rl_rpc_channel_free(&w->channel);
        ck_assert_int_eq(a.done, 1);
        ck_assert_int_eq(t.closed, 1);
        relay_cut(relay);
    }
}
END_TEST

/* ---- limits ---- */

START_TEST(takes_no_more_connections_than_it_may)
{
    server_config.connections_max = 1;
    serve_again();
    open_channel();
    ck_assert_int_eq(say_code(w->channel), RL_OK);
    struct rl_rpc_channel *second = world_channel(w, w->tls_client);
    ck_assert_int_eq(say_code(second), RL_E_UNAVAILABLE);
    rl_rpc_channel_free(&w->channel);
    TURN_UNTIL(w, w->disconnected);
    ck_assert_int_eq(say_code(second), RL_OK);
    rl_rpc_channel_free(&second);
}
END_TEST

START_TEST(whoever_comes_before_the_door_is_opened_waits_there)
{
    struct rl_rpc_listen held = {.address = "127.0.0.1:0", .tls = w->tls_server, .is_held = true};
    ck_assert_int_eq(rl_rpc_server_listen(w->server, &held, &w->port, NULL), RL_OK);
    relay->target = w->port;
    open_channel();
    rl_rpc_channel_connect(w->channel);
    world_turn_for(w, 200);
    ck_assert_int_eq(w->up, 0);
    rl_rpc_server_let_in(w->server);
    TURN_UNTIL(w, w->up);
    ck_assert_int_eq(say_code(w->channel), RL_OK);
}
END_TEST

static int knock(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(w->port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    rl_loop_turn(w->loop, 0);
    return fd;
}

static bool is_open(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

START_TEST(those_who_only_knock_keep_nobody_out)
{
    static int fds[RL_RPC_HANDSHAKES_MAX + 2];
    struct rlimit limit = {8192, 8192};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (size_t i = 0; i < RL_RPC_HANDSHAKES_MAX; i++)
        fds[i] = knock();
    world_turn_for(w, 50);
    ck_assert(is_open(fds[0]));
    fds[RL_RPC_HANDSHAKES_MAX] = knock();
    TURN_UNTIL(w, !is_open(fds[0])); /* the oldest made room */
    ck_assert(is_open(fds[1]));
    open_channel();
    ck_assert_int_eq(say_code(w->channel), RL_OK);
    ck_assert(!is_open(fds[1]));
    ck_assert(is_open(fds[2]));
    for (size_t i = 0; i <= RL_RPC_HANDSHAKES_MAX; i++)
        close(fds[i]);
}
END_TEST

START_TEST(calls_beyond_the_limit_wait)
{
    server_config.concurrent_calls_max = 2;
    serve_again();
    open_channel();
    struct talk a, b, c = {0};
    talk_start(w->channel, &a);
    talk_start(w->channel, &b);
    c.call = rl_rpc_stream(w->channel, &echo__echo__descriptor, "Chat", 0, &talk_ops, &c);
    talk_say(&c);
    world_turn_for(w, 100);
    ck_assert_int_eq(c.received, 0);
    rl_rpc_end(a.call, RL_OK, NULL);
    TURN_UNTIL(w, c.received);
    ck_assert_int_eq(c.closed, 0);
}
END_TEST

START_TEST(opening_and_cancelling_without_end_ends_the_connection)
{
    open_channel();
    ck_assert_int_eq(say_code(w->channel), RL_OK);
    static struct talk many[100];
    for (int round = 0; round < 100 && !w->disconnected; round++) {
        for (size_t i = 0; i < RL_COUNT(many); i++)
            many[i].call =
                rl_rpc_stream(w->channel, &echo__echo__descriptor, "Chat", 0, &talk_ops, &many[i]);
        rl_loop_turn(w->loop, 0);
        for (size_t i = 0; i < RL_COUNT(many); i++)
            rl_rpc_cancel(many[i].call);
        rl_loop_turn(w->loop, 0);
    }
    TURN_UNTIL(w, w->disconnected);
}
END_TEST

START_TEST(a_connection_that_is_no_tls_is_dropped)
{
    int fd = knock();
    static const char words[] = "GET / HTTP/1.1\r\n\r\n";
    ck_assert_int_eq(send(fd, words, sizeof words - 1, 0), sizeof words - 1);
    char answer[100];
    ssize_t n;
    TURN_UNTIL(w, (n = recv(fd, answer, sizeof answer, MSG_DONTWAIT)) == 0 ||
                      (n < 0 && errno != EAGAIN));
    close(fd);
    ck_assert_int_eq(w->connected, 0);
    open_channel();
    ck_assert_int_eq(say_code(w->channel), RL_OK);
}
END_TEST

/* ---- through the proxy ---- */

static void expect_proxied(struct rl_tls_identity *signer, bool spoils_random, rl_code code)
{
    rl_rpc_server_free(&w->server);
    ck_assert_int_eq(rl_rpc_server_create_h2(&server_config, &w->server, NULL), RL_OK);
    rl_rpc_server_add(w->server, &echo__echo__descriptor, handlers, RL_COUNT(handlers), NULL);
    world_listen(w, w->trust);
    relay->target = w->port;
    relay->signer = signer;
    relay->spoils_random = spoils_random;
    open_channel();
    ck_assert_int_eq(say_code(w->channel), code);
    rl_rpc_channel_free(&w->channel);
}

START_TEST(believes_a_proxys_header)
{
    expect_proxied(w->proxy, false, RL_OK);
    ck_assert_str_eq(caller_address, "192.0.2.7:4711");
    ck_assert_str_eq(caller_via, UUID_B);
}
END_TEST

START_TEST(who_comes_directly_came_through_nobody)
{
    open_channel();
    ck_assert_int_eq(say_code(w->channel), RL_OK);
    ck_assert_str_eq(caller_via, "nobody");
}
END_TEST

START_TEST(a_retry_is_at_most_half_of_the_outage_away)
{
    ck_assert_uint_eq(rl_h2_backoff_ms(0), 200);
    ck_assert_uint_eq(rl_h2_backoff_ms(400), 200);
    ck_assert_uint_eq(rl_h2_backoff_ms(402), 201);
    ck_assert_uint_eq(rl_h2_backoff_ms(3000), 1500);
    ck_assert_uint_eq(rl_h2_backoff_ms(60000), 30000);
    ck_assert_uint_eq(rl_h2_backoff_ms(60002), 30000);
    ck_assert_uint_eq(rl_h2_backoff_ms(UINT64_MAX), 30000);
}
END_TEST

START_TEST(refuses_headers_that_are_not_a_proxys)
{
    expect_proxied(NULL, false, RL_E_UNAVAILABLE);     /* none at all */
    expect_proxied(w->alice, false, RL_E_UNAVAILABLE); /* a user's */
    expect_proxied(w->auth, false, RL_E_UNAVAILABLE);  /* another service's */
    expect_proxied(w->proxy, true, RL_E_UNAVAILABLE);  /* another connection's */
    ck_assert_int_eq(w->connected, 0);
}
END_TEST

START_TEST(refuses_a_header_where_none_may_come)
{
    relay->signer = w->proxy;
    open_channel();
    ck_assert_int_eq(say_code(w->channel), RL_E_UNAVAILABLE);
    ck_assert_int_eq(w->connected, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rpc connection");
    TCase *c = tcase_create("connection");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, a_drain_lets_running_calls_finish);
    tcase_add_test(c, a_drain_does_not_wait_for_ever);
    tcase_add_test(c, a_drain_without_connections_is_over_at_once);
    tcase_add_test(c, calls_that_are_on_their_way_at_a_drain_are_answered);
    tcase_add_test(c, a_caller_can_be_disconnected);
    tcase_add_test(c, a_connection_ends_when_its_certificate_does);
    tcase_add_test(c, renewing_leaves_running_calls_alone);
    tcase_add_test(c, a_lost_connection_ends_its_calls_and_the_next_call_connects);
    tcase_add_test(c, a_channel_may_stay_connected_by_itself);
    tcase_add_test(c, who_comes_directly_came_through_nobody);
    tcase_add_test(c, a_retry_is_at_most_half_of_the_outage_away);
    tcase_add_test(c, keepalive_finds_a_silent_peer_on_both_sides);
    tcase_add_test(c, a_probe_finds_a_dead_network_at_once);
    tcase_add_test(c, a_server_that_says_nothing_is_given_up);
    tcase_add_test(c, an_address_that_is_none_is_told_later);
    tcase_add_test(c, a_socket_that_is_given_is_the_only_connection);
    tcase_add_test(c, a_socket_that_was_not_needed_is_closed);
    tcase_add_test(c, a_channel_may_be_freed_when_it_is_down);
    tcase_add_test(c, a_channel_may_be_freed_in_any_of_its_callbacks);
    tcase_add_test(c, ends_at_any_moment_leave_nothing_behind);
    tcase_add_test(c, takes_no_more_connections_than_it_may);
    tcase_add_test(c, whoever_comes_before_the_door_is_opened_waits_there);
    tcase_add_test(c, those_who_only_knock_keep_nobody_out);
    tcase_add_test(c, calls_beyond_the_limit_wait);
    tcase_add_test(c, opening_and_cancelling_without_end_ends_the_connection);
    tcase_add_test(c, a_connection_that_is_no_tls_is_dropped);
    tcase_add_test(c, believes_a_proxys_header);
    tcase_add_test(c, refuses_headers_that_are_not_a_proxys);
    tcase_add_test(c, refuses_a_header_where_none_may_come);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
