#include "bytes/buf.h"
#include "dial/resolve.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TYPE_A 1
#define TYPE_AAAA 28

/* A name server that knows one name with two IPv4 and two IPv6 addresses, and no other. */
struct server {
    struct rl_loop *loop;
    int fd;
    struct rl_watch *watch;
    char address[64];
    bool knows_name, is_silent;
    unsigned questions;
};

static void put_records(struct rl_buf *reply, unsigned type)
{
    static const uint8_t v4[2][4] = {{127, 0, 0, 1}, {127, 0, 0, 2}};
    for (unsigned i = 0; i < 2; i++) {
        static const uint8_t v6[16] = {[15] = 1};
        rl_buf_put_u16(reply, 0xC00C); /* the name in the question (RFC 1035, 4.1.4) */
        rl_buf_put_u16(reply, (uint16_t)type);
        rl_buf_put_u16(reply, 1);
        rl_buf_put_u32(reply, 0);
        rl_buf_put_u16(reply, type == TYPE_A ? 4 : 16);
        rl_buf_put(reply, type == TYPE_A ? v4[i] : v6, type == TYPE_A ? 4 : 16);
    }
}

static void on_question(void *context, int fd, unsigned events)
{
    (void)events;
    struct server *server = context;
    uint8_t question[512];
    struct sockaddr_in from;
    socklen_t from_n = sizeof from;
    ssize_t n = recvfrom(fd, question, sizeof question, 0, (struct sockaddr *)&from, &from_n);
    ck_assert_int_gt(n, 16);
    server->questions++;
    if (server->is_silent)
        return;
    size_t end = 12 + strlen((const char *)question + 12) + 5;
    unsigned type = question[end - 3];
    struct rl_buf reply;
    rl_buf_init(&reply, 512);
    rl_buf_put(&reply, question, 2);
    rl_buf_put_u16(&reply, server->knows_name ? 0x8180 : 0x8183);
    rl_buf_put_u16(&reply, 1);
    rl_buf_put_u16(&reply, server->knows_name ? 2 : 0);
    rl_buf_put_u32(&reply, 0);
    rl_buf_put(&reply, question + 12, end - 12);
    if (server->knows_name)
        put_records(&reply, type);
    sendto(fd, reply.p, reply.n, 0, (struct sockaddr *)&from, from_n);
    rl_buf_fini(&reply);
}

static void server_start(struct server *server, struct rl_loop *loop)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    *server = (struct server){.loop = loop, .fd = socket(AF_INET, SOCK_DGRAM, 0)};
    ck_assert_int_eq(bind(server->fd, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(getsockname(server->fd, (struct sockaddr *)&at, &n), 0);
    snprintf(server->address, sizeof server->address, "127.0.0.1:%u", ntohs(at.sin_port));
    ck_assert_int_eq(
        rl_watch_start(loop, server->fd, RL_LOOP_READ, on_question, server, &server->watch, NULL),
        RL_OK);
}

struct answer {
    unsigned times;
    size_t count;
    char text[RL_RESOLVE_ADDRESSES_MAX][RL_RESOLVE_TEXT_BYTES];
    char message[128];
    struct rl_resolve **stop;
};

static void on_answer(void *context, const struct rl_endpoint *endpoints, size_t count,
                      const char *message)
{
    struct answer *answer = context;
    answer->times++;
    answer->count = count;
    for (size_t i = 0; i < count; i++)
        rl_endpoint_format(&endpoints[i], answer->text[i]);
    snprintf(answer->message, sizeof answer->message, "%s", message ? message : "");
    rl_resolve_stop(answer->stop);
}

static struct rl_loop *loop;
static struct server server;

static void setup(void)
{
    ck_assert_int_eq(rl_loop_create(&loop, NULL), RL_OK);
    server_start(&server, loop);
}

static void teardown(void)
{
    rl_watch_stop(&server.watch);
    close(server.fd);
    rl_loop_free(&loop);
}

static struct answer resolve(const char *host)
{
    struct rl_resolve *handle = NULL;
    struct answer answer = {.stop = &handle};
    ck_assert_int_eq(
        rl_resolve_start(loop, host, 443, server.address, on_answer, &answer, &handle, NULL),
        RL_OK);
    ck_assert_uint_eq(answer.times, 0);
    while (!answer.times)
        rl_loop_turn(loop, -1);
    ck_assert_uint_eq(answer.times, 1);
    return answer;
}

START_TEST(asks_nobody_about_an_address)
{
    struct answer a = resolve("10.1.2.3");
    ck_assert_uint_eq(a.count, 1);
    ck_assert_str_eq(a.text[0], "10.1.2.3:443");
    a = resolve("::1");
    ck_assert_uint_eq(a.count, 1);
    ck_assert_str_eq(a.text[0], "[::1]:443");
    ck_assert_uint_eq(server.questions, 0);
}
END_TEST

START_TEST(lets_the_families_take_turns)
{
    server.knows_name = true;
    struct answer a = resolve("node.example.com");
    ck_assert_uint_eq(a.count, 4);
    for (size_t i = 0; i + 1 < a.count; i++)
        ck_assert((a.text[i][0] == '[') != (a.text[i + 1][0] == '['));
}
END_TEST

START_TEST(says_that_there_is_no_such_name)
{
    struct answer a = resolve("node.example.com");
    ck_assert_uint_eq(a.count, 0);
    ck_assert_ptr_nonnull(strstr(a.message, "not found"));
}
END_TEST

START_TEST(stops_while_a_name_server_is_silent)
{
    server.is_silent = true;
    struct rl_resolve *handle = NULL;
    struct answer answer = {.stop = &handle};
    ck_assert_int_eq(rl_resolve_start(loop, "node.example.com", 443, server.address, on_answer,
                                      &answer, &handle, NULL),
                     RL_OK);
    while (!server.questions)
        rl_loop_turn(loop, -1);
    rl_resolve_stop(&handle);
    rl_loop_turn(loop, 0);
    ck_assert_uint_eq(answer.times, 0);
}
END_TEST

START_TEST(asks_again_when_a_question_was_lost)
{
    server.is_silent = true;
    struct rl_resolve *handle = NULL;
    struct answer answer = {.stop = &handle};
    ck_assert_int_eq(rl_resolve_start(loop, "node.example.com", 443, server.address, on_answer,
                                      &answer, &handle, NULL),
                     RL_OK);
    while (server.questions < 2)
        rl_loop_turn(loop, -1);
    server.is_silent = false;
    server.knows_name = true;
    while (!answer.times)
        rl_loop_turn(loop, -1);
    ck_assert_uint_gt(answer.count, 0);
}
END_TEST

static void on_dialled(void *context, int fd, rl_code code, const char *message)
{
    (void)message;
    *(int *)context = code == RL_OK ? fd : -(int)code;
}

/* One of the four addresses listens; the others refuse. */
START_TEST(a_dial_tries_every_address)
{
    char name[64];
    int listener, fd = 0;
    uint16_t port;
    const struct rl_dial_how how = {.servers = server.address};
    server.knows_name = true;
    ck_assert_int_eq(rl_listen("127.0.0.2:0", &listener, &port, NULL), RL_OK);
    snprintf(name, sizeof name, "node.example.com:%u", port);
    ck_assert_int_eq(rl_dial_start_by(loop, name, &how, 2000, on_dialled, &fd, NULL, NULL), RL_OK);
    while (!fd)
        rl_loop_turn(loop, -1);
    ck_assert_int_gt(fd, 0);
    close(fd);
    close(listener);
    fd = 0;
    ck_assert_int_eq(rl_dial_start_by(loop, name, &how, 2000, on_dialled, &fd, NULL, NULL), RL_OK);
    while (!fd)
        rl_loop_turn(loop, -1);
    ck_assert_int_eq(fd, -RL_E_UNAVAILABLE);
}
END_TEST

START_TEST(reads_an_address_strictly)
{
    struct rl_endpoint endpoint;
    ck_assert(rl_endpoint_parse("192.168.0.1", 1, &endpoint));
    ck_assert(rl_endpoint_parse("fe80::1", 1, &endpoint));
    static const char *const bad[] = {"",           "1.2.3",     "1.2.3.4.5",
                                      "fe80::1%lo", "localhost", "0x7f.1"};
    for (size_t i = 0; i < RL_COUNT(bad); i++)
        ck_assert_msg(!rl_endpoint_parse(bad[i], 1, &endpoint), "%s", bad[i]);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("resolve");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, asks_nobody_about_an_address);
    tcase_add_test(t, lets_the_families_take_turns);
    tcase_add_test(t, says_that_there_is_no_such_name);
    tcase_add_test(t, stops_while_a_name_server_is_silent);
    tcase_add_test(t, asks_again_when_a_question_was_lost);
    tcase_add_test(t, a_dial_tries_every_address);
    tcase_add_test(t, reads_an_address_strictly);
    Suite *s = suite_create("resolve");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
