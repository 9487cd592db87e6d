#include "agent.h"

#include "dial/dial.h"
#include "tls/hello.h"
#include "tls/proxy_protocol.h"

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>

/* A proxy that passes one connection through: it signs for it, and is a pipe from there on. */
struct front {
    struct cluster *cluster;
    struct rl_tls_identity *signer;
    int fd; /* listens */
    char address[64];
    uint16_t target;
    pthread_t thread;
};

static int connect_to(uint16_t port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static bool pass(int from, int to)
{
    uint8_t bytes[16384];
    ssize_t n = read(from, bytes, sizeof bytes);
    return n > 0 && write(to, bytes, (size_t)n) == n;
}

static void put_header(const struct front *f, const uint8_t *hello_random, struct rl_buf *out)
{
    struct sockaddr_in client = {.sin_family = AF_INET, .sin_port = htons(4242)};
    client.sin_addr.s_addr = htonl(0xc0000201);
    ck_assert_int_eq(rl_proxy_header_write((struct sockaddr *)&client, (struct sockaddr *)&client,
                                           hello_random, cluster_now_s(NULL),
                                           rl_tls_identity_key(f->signer),
                                           rl_tls_identity_certificate(f->signer), out, NULL),
                     RL_OK);
}

static void *serve(void *context)
{
    struct front *f = context;
    struct rl_buf hello, first;
    struct rl_client_hello parsed;
    rl_buf_init(&hello, 65536);
    rl_buf_init(&first, 65536);
    int client = accept(f->fd, NULL, NULL);
    while (rl_client_hello_parse(rl_buf_span(&hello), &parsed, NULL) == RL_HELLO_MORE)
        hello.n += (size_t)read(client, rl_buf_reserve(&hello, 4096), 4096);
    put_header(f, parsed.random, &first);
    rl_buf_put_span(&first, rl_buf_span(&hello));
    int server = connect_to(f->target);
    bool goes_on = write(server, first.p, first.n) == (ssize_t)first.n;
    struct pollfd both[2] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
    while (goes_on && poll(both, 2, -1) > 0) {
        if (both[0].revents)
            goes_on = pass(client, server);
        if (goes_on && both[1].revents)
            goes_on = pass(server, client);
    }
    close(client);
    close(server);
    rl_buf_fini(&hello);
    rl_buf_fini(&first);
    return NULL;
}

static void front_start(struct front *f, struct cluster *c, const char *proxy_id, uint16_t target)
{
    uint16_t port = 0;
    *f = (struct front){.cluster = c, .target = target};
    f->signer = service_identity(c, "proxy", proxy_id);
    ck_assert_int_eq(rl_listen("127.0.0.1:0", &f->fd, &port, NULL), RL_OK);
    ck_assert_int_eq(fcntl(f->fd, F_SETFL, 0), 0);
    snprintf(f->address, sizeof f->address, "127.0.0.1:%u", port);
    ck_assert_int_eq(pthread_create(&f->thread, NULL, serve, f), 0);
}

static void front_end(struct front *f)
{
    pthread_join(f->thread, NULL);
    close(f->fd);
    rl_tls_identity_unref(&f->signer);
}

/* ---- */

static struct cluster *c;
static uint16_t proxied_port;
static bool is_told;
static rl_code told_code;
static uint32_t told_agents;

static void set_up(void)
{
    c = cluster_make();
    ck_assert_int_eq(broker_listen_attach(c->broker, "127.0.0.1:0", c->broker_tls, c->trust,
                                          &proxied_port, NULL),
                     RL_OK);
    is_told = false;
}

static void tear_down(void)
{
    cluster_free(c);
}

static void on_told(void *context, rl_code code, const char *message, const ProtobufCMessage *reply)
{
    (void)context;
    (void)message;
    is_told = true;
    told_code = code;
    told_agents = code == RL_OK ? ((const Pb__LeaveResponse *)reply)->agents : 0;
}

static void leave_by(struct rl_rpc_channel *by)
{
    const Pb__LeaveRequest request = PB__LEAVE_REQUEST__INIT;
    is_told = false;
    rl_rpc_unary(by, &pb__passage__descriptor, "Leave", &request.base, 5000, on_told, NULL, NULL);
    TURN_UNTIL(c, is_told);
}

static void attach_at(struct test_agent *a, const char *id, const char *address)
{
    agent_init(a, c, id, "node");
    rl_rpc_channel_free(&a->channel);
    a->channel = channel(c, address, a->tls);
    agent_attach(a);
    TURN_UNTIL(c, a->welcomed);
}

/* c->proxy is the proxy UUID_B's. */
START_TEST(who_came_through_a_proxy_that_leaves_is_told_to_move_and_nobody_else)
{
    struct front own, others;
    struct test_agent through_it, through_another, directly;
    front_start(&own, c, UUID_B, proxied_port);
    front_start(&others, c, UUID_A, proxied_port);
    attach_at(&through_it, "0190c0de-0000-7000-8000-0000000000a1", own.address);
    attach_at(&through_another, "0190c0de-0000-7000-8000-0000000000a2", others.address);
    attach_at(&directly, "0190c0de-0000-7000-8000-0000000000a3", c->attach_address);
    leave_by(c->proxy);
    ck_assert_int_eq(told_code, RL_OK);
    ck_assert_uint_eq(told_agents, 1);
    TURN_UNTIL(c, through_it.drains);
    ck_assert_uint_eq(through_it.come_back_ms, 0);
    leave_by(c->proxy); /* once is enough */
    ck_assert_uint_eq(told_agents, 0);
    turn_for(c, 300);
    ck_assert_int_eq(through_it.drains, 1);
    ck_assert_int_eq(through_another.drains + directly.drains, 0);
    agent_fini(&through_it);
    agent_fini(&through_another);
    agent_fini(&directly);
    front_end(&own);
    front_end(&others);
}
END_TEST

START_TEST(no_agent_sends_others_away)
{
    struct test_agent a;
    attach_at(&a, UUID_A, c->attach_address);
    leave_by(a.channel); /* what agents reach has no such method */
    ck_assert_int_eq(told_code, RL_E_UNIMPLEMENTED);
    rl_rpc_channel_free(&a.channel);
    a.channel = channel(c, c->dial_address, a.tls);
    leave_by(a.channel);
    ck_assert_int_eq(told_code, RL_E_DENIED);
    agent_fini(&a);
}
END_TEST

START_TEST(proxies_that_leave_have_a_number)
{
    for (int i = 0; i <= BROKER_LEAVERS_MAX; i++) {
        const Pb__LeaveRequest request = PB__LEAVE_REQUEST__INIT;
        is_told = false; /* the last answer is looked at */
        rl_rpc_unary(c->proxy, &pb__passage__descriptor, "Leave", &request.base, 5000, on_told,
                     NULL, NULL);
    }
    TURN_UNTIL(c, is_told);
    turn_for(c, 300);
    leave_by(c->proxy);
    ck_assert_int_eq(told_code, RL_OK);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("leave");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, who_came_through_a_proxy_that_leaves_is_told_to_move_and_nobody_else);
    tcase_add_test(tests, no_agent_sends_others_away);
    tcase_add_test(tests, proxies_that_leave_have_a_number);
    Suite *suite = suite_create("leave");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
