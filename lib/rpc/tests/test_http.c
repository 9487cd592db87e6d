#include "rpc/tests/http.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static struct world *w;
static struct http http;

static void on_say(struct rl_rpc_call *call, const ProtobufCMessage *request, void *context)
{
    (void)context;
    rl_rpc_reply(call, request);
}

static void on_message(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)call, (void)message, (void)context;
}

static void on_closed(struct rl_rpc_call *call, rl_code code, const char *message, void *context)
{
    (void)call, (void)code, (void)message, (void)context;
}

static const struct rl_rpc_stream_ops chat = {.message = on_message, .closed = on_closed};
static const struct rl_rpc_handler handlers[] = {
    {.method = "Say", .unary = on_say},
    {.method = "Forbidden", .unary = on_say},
    {.method = "Chat", .stream = &chat},
    {.method = "Bytes", .stream = &chat},
};

static int tcp_connect(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* ---- what a client may say to our server ---- */

static void set_up_client(void)
{
    w = world_make(false);
    struct rl_rpc_server_config config = world_server_config(w);
    config.keepalive_ms = 60000;
    world_serve(w, &config, handlers, RL_COUNT(handlers), NULL);
    http_open(&http, w, tcp_connect(w->port), false);
}

static void tear_down(void)
{
    http_close(&http);
    world_free(w);
}

static nghttp2_nv field(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value), NGHTTP2_NV_FLAG_NONE};
}

struct ask {
    const char *method, *path, *content_type, *timeout, *more;
};

static void ask(struct ask a)
{
    nghttp2_nv fields[8] = {
        field(":method", a.method ? a.method : "POST"),
        field(":scheme", "https"),
        field(":path", a.path ? a.path : "/remoteler.test.Echo/Say"),
        field(":authority", "here"),
        field("content-type", a.content_type ? a.content_type : "application/grpc"),
    };
    size_t count = 5;
    if (a.timeout)
        fields[count++] = field("grpc-timeout", a.timeout);
    if (a.more)
        fields[count++] = field("x-more", a.more);
    http.closed = 0;
    http.status[0] = http.grpc_status[0] = http.grpc_message[0] = '\0';
    ck_assert_int_gt(nghttp2_submit_request(http.session, NULL, fields, count, NULL, NULL), 0);
    HTTP_UNTIL(&http, http.closed || http.is_over);
}

START_TEST(answers_http_with_http)
{
    ask((struct ask){.method = "GET"});
    ck_assert_str_eq(http.status, "405");
    ask((struct ask){.content_type = "text/plain"});
    ck_assert_str_eq(http.status, "415");
    ask((struct ask){.content_type = "application/grpcx"});
    ck_assert_str_eq(http.status, "415");
    ask((struct ask){.content_type = "application/grpc+proto", .path = "/x"});
    ck_assert_str_eq(http.status, "200");
    ck_assert_str_eq(http.grpc_status, "12");
    ck_assert(!http.is_over);
}
END_TEST

START_TEST(refuses_a_request_without_a_message)
{
    ask((struct ask){0});
    ck_assert_str_eq(http.status, "200");
    ck_assert_str_eq(http.grpc_status, "13");
}
END_TEST

START_TEST(refuses_a_time_out_that_is_none)
{
    ask((struct ask){.timeout = "soon"});
    ck_assert_str_eq(http.grpc_status, "13");
    ck_assert_ptr_nonnull(strstr(http.grpc_message, "grpc-timeout"));
}
END_TEST

START_TEST(knows_no_method_of_a_strange_name)
{
    char path[400];
    memset(path, 'a', sizeof path - 1);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    static const char *const paths[] = {"/",
                                        "/remoteler.test.Echo",
                                        "/remoteler.test.Echo/",
                                        "/remoteler.test.Echo/Say/",
                                        "/remoteler.test.Echo/say",
                                        "//",
                                        "*"};
    for (size_t i = 0; i < RL_COUNT(paths); i++) {
        ask((struct ask){.path = paths[i]});
        /* nghttp2 itself refuses what is no path */
        ck_assert(strcmp(http.grpc_status, "12") == 0 || http.error == NGHTTP2_PROTOCOL_ERROR);
    }
    ask((struct ask){.path = path});
    ck_assert_str_eq(http.grpc_status, "12");
}
END_TEST

START_TEST(resets_a_request_with_too_many_headers)
{
    char more[RL_RPC_METHOD_BYTES_MAX * 140];
    memset(more, 'm', sizeof more - 1);
    more[sizeof more - 1] = '\0';
    ask((struct ask){.more = more});
    ck_assert_uint_ne(http.error, NGHTTP2_NO_ERROR);
    ck_assert(!http.is_over);
    more[1000] = '\0';
    ask((struct ask){.more = more, .path = "/x"});
    ck_assert_str_eq(http.grpc_status, "12");
}
END_TEST

START_TEST(drops_who_does_not_speak_http2)
{
    HTTP_UNTIL(&http, w->connected);
    static const char words[] = "\0\0\4\3\0\0\0\0\0zzzz"; /* RST_STREAM of stream 0 */
    http_put(&http, words, sizeof words - 1);
    HTTP_UNTIL(&http, w->disconnected);
}
END_TEST

START_TEST(drops_who_floods_it_with_pings_and_does_not_read)
{
    HTTP_UNTIL(&http, w->connected);
    static const uint8_t ping[17] = {0, 0, 8, 6};
    uint64_t until = rl_clock_boot_ms() + PATIENCE_MS;
    while (!w->disconnected && rl_clock_boot_ms() < until) {
        while (http.out_n + sizeof ping <= sizeof http.out)
            http_put(&http, ping, sizeof ping);
        size_t done = 0;
        if (SSL_write_ex(http.ssl, http.out, http.out_n, &done) == 1) {
            memmove(http.out, http.out + done, http.out_n - done);
            http.out_n -= done;
        }
        rl_loop_turn(w->loop, 0);
    }
    ck_assert_int_eq(w->disconnected, 1);
}
END_TEST

/* ---- what a server may say to our client ---- */

static struct answer answer;

static void set_up_server(void)
{
    w = world_make(false);
    int fd = -1;
    ck_assert_int_eq(rl_listen("127.0.0.1:0", &fd, &w->port, NULL), RL_OK);
    snprintf(w->address, sizeof w->address, "127.0.0.1:%u", w->port);
    w->channel = world_channel(w, w->tls_client);
    say(w->channel, "Say", "x", 0, &answer);
    int accepted = -1;
    TURN_UNTIL(w, (accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) >= 0);
    close(fd);
    http_open(&http, w, accepted, true);
    HTTP_UNTIL(&http, http.requests);
}

static void reply(const nghttp2_nv *fields, size_t count)
{
    ck_assert_int_eq(nghttp2_submit_response(http.session, http.last_stream, fields, count, NULL),
                     0);
    HTTP_UNTIL(&http, answer.done);
    ck_assert_int_eq(answer.done, 1);
}

START_TEST(understands_an_http_status)
{
    reply((nghttp2_nv[]){field(":status", "503"), field("content-type", "text/html")}, 2);
    ck_assert_int_eq(answer.code, RL_E_UNAVAILABLE);
}
END_TEST

START_TEST(an_answer_without_a_status_is_an_error)
{
    reply((nghttp2_nv[]){field(":status", "200"), field("content-type", "application/grpc")}, 2);
    ck_assert_int_eq(answer.code, RL_E_INTERNAL);
}
END_TEST

START_TEST(a_good_status_without_a_reply_is_an_error)
{
    reply((nghttp2_nv[]){field(":status", "200"), field("grpc-status", "0")}, 2);
    ck_assert_int_eq(answer.code, RL_E_INTERNAL);
}
END_TEST

START_TEST(a_status_that_is_none_is_unknown)
{
    reply((nghttp2_nv[]){field(":status", "200"), field("grpc-status", "x9"),
                         field("grpc-message", "%1b[1mbold")},
          3);
    ck_assert_int_eq(answer.code, RL_E_UNKNOWN);
    ck_assert_str_eq(answer.message, "?[1mbold");
}
END_TEST

static void expect_reset(uint32_t error, rl_code code)
{
    nghttp2_submit_rst_stream(http.session, NGHTTP2_FLAG_NONE, http.last_stream, error);
    HTTP_UNTIL(&http, answer.done);
    ck_assert_int_eq(answer.code, code);
}

START_TEST(a_refused_stream_is_unavailable)
{
    expect_reset(NGHTTP2_REFUSED_STREAM, RL_E_UNAVAILABLE);
}
END_TEST

START_TEST(a_reset_stream_is_cancelled)
{
    expect_reset(NGHTTP2_CANCEL, RL_E_CANCELLED);
}
END_TEST

START_TEST(a_call_that_a_goaway_leaves_out_is_unavailable)
{
    nghttp2_submit_goaway(http.session, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0);
    HTTP_UNTIL(&http, answer.done);
    ck_assert_int_eq(answer.code, RL_E_UNAVAILABLE);
    ck_assert_int_eq(w->down, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rpc http");
    TCase *c = tcase_create("strange clients");
    tcase_add_checked_fixture(c, set_up_client, tear_down);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, answers_http_with_http);
    tcase_add_test(c, refuses_a_request_without_a_message);
    tcase_add_test(c, refuses_a_time_out_that_is_none);
    tcase_add_test(c, knows_no_method_of_a_strange_name);
    tcase_add_test(c, resets_a_request_with_too_many_headers);
    tcase_add_test(c, drops_who_does_not_speak_http2);
    tcase_add_test(c, drops_who_floods_it_with_pings_and_does_not_read);
    suite_add_tcase(suite, c);
    c = tcase_create("strange servers");
    tcase_add_checked_fixture(c, set_up_server, tear_down);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, understands_an_http_status);
    tcase_add_test(c, an_answer_without_a_status_is_an_error);
    tcase_add_test(c, a_good_status_without_a_reply_is_an_error);
    tcase_add_test(c, a_status_that_is_none_is_unknown);
    tcase_add_test(c, a_refused_stream_is_unavailable);
    tcase_add_test(c, a_reset_stream_is_cancelled);
    tcase_add_test(c, a_call_that_a_goaway_leaves_out_is_unavailable);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
