#include "cluster.h"

#include <arpa/inet.h>

static struct cluster *c;
static char out[65536], command[1024];

static void set_up(void)
{
    c = cluster_make();
}

static void tear_down(void)
{
    cluster_free(c);
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

START_TEST(ping_says_who_this_is_before_anyone_trusts_it)
{
    snprintf(command, sizeof command,
             "curl -sk --max-time 10 --resolve edge.test:%u:127.0.0.1 "
             "https://edge.test:%u/v1/ping 2>&1",
             c->port, c->port);
    run(c, command, out, sizeof out);
    ck_assert_msg(strstr(out, "\"cluster\":\"main\""), "%s", out);
    ck_assert(strstr(out, "\"ca_pin\":\"sha256:00ff\""));
    ck_assert(strstr(out, "\"protocol\":1"));
    ck_assert(strstr(out, "BEGIN CERTIFICATE"));
    ck_assert(strstr(out, "auth.main.remoteler.internal"));
    ck_assert(strstr(out, "example.com:443"));
}
END_TEST

START_TEST(browsers_get_http_1_1_by_tls_1_2_too_and_are_asked_for_no_certificate)
{
    snprintf(command, sizeof command,
             "curl -skv --max-time 10 --tls-max 1.2 https://127.0.0.1:%u/ 2>&1", c->port);
    run(c, command, out, sizeof out);
    ck_assert_msg(strstr(out, "HTTP/1.1 200 OK"), "%s", out);
    ck_assert(strstr(out, "There is no web interface in this version"));
    ck_assert(strstr(out, "server accepted http/1.1"));
    ck_assert(!strstr(out, "Request CERT"));
    ck_assert(strstr(out, "Content-Security-Policy: default-src 'none'"));
}
END_TEST

START_TEST(a_host_that_is_not_the_name_of_the_connection_gets_421)
{
    snprintf(command, sizeof command,
             "curl -sk -o /dev/null -w '%%{http_code}' --max-time 10 -H 'Host: other.test' "
             "--resolve edge.test:%u:127.0.0.1 https://edge.test:%u/ 2>&1",
             c->port, c->port);
    run(c, command, out, sizeof out);
    ck_assert_str_eq(out, "421");
}
END_TEST

START_TEST(only_get_and_head_and_only_what_is_there)
{
    static const struct {
        const char *flags, *path, *code;
    } rows[] = {{"-X POST", "/", "405"}, {"-I", "/", "200"}, {"", "/etc/passwd", "404"}};
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        snprintf(command, sizeof command,
                 "curl -sk -o /dev/null -w '%%{http_code}' --max-time 10 %s "
                 "https://127.0.0.1:%u%s 2>&1",
                 rows[i].flags, c->port, rows[i].path);
        run(c, command, out, sizeof out);
        ck_assert_str_eq(out, rows[i].code);
    }
}
END_TEST

static void s_client(const char *flags)
{
    snprintf(command, sizeof command, "openssl s_client -connect 127.0.0.1:%u %s </dev/null 2>&1",
             c->port, flags);
    run(c, command, out, sizeof out);
}

START_TEST(names_that_lead_nowhere_are_refused_with_an_alert)
{
    static const char *const names[] = {"kube.main.remoteler.internal",
                                        "nothing.main.remoteler.internal",
                                        "auth.other.remoteler.internal"};
    char flags[128];
    snprintf(flags, sizeof flags, "-servername %s", names[_i]);
    s_client(flags);
    ck_assert_msg(strstr(out, "unrecognized name"), "%s", out);
    TURN_UNTIL(c, proxy_connections(c->proxy) == 0);
}
END_TEST

START_TEST(connecting_needs_a_certificate)
{
    s_client("-ign_eof -servername proxy.main.remoteler.internal -alpn remoteler-connect");
    ck_assert_msg(strstr(out, "certificate required"), "%s", out);
}
END_TEST

START_TEST(the_web_chooses_http_1_1_or_nothing)
{
    s_client("-servername example.com -alpn h2,http/1.1");
    ck_assert_msg(strstr(out, "ALPN protocol: http/1.1"), "%s", out);
    s_client("-servername example.com -alpn h2");
    ck_assert_msg(strstr(out, "no application protocol"), "%s", out);
}
END_TEST

START_TEST(every_address_that_it_listens_on_is_served)
{
    uint16_t other = 0;
    struct rl_error err;
    ck_assert_int_eq(proxy_listen(c->proxy, "127.0.0.1:0", &other, NULL), RL_OK);
    ck_assert_uint_ne(other, c->port);
    const uint16_t ports[] = {c->port, other};
    for (size_t i = 0; i < RL_COUNT(ports); i++) {
        snprintf(command, sizeof command,
                 "curl -sk --max-time 10 https://127.0.0.1:%u/v1/ping 2>&1", ports[i]);
        run(c, command, out, sizeof out);
        ck_assert_msg(strstr(out, "\"cluster\":\"main\""), "%s", out);
    }
    for (size_t i = 2; i < PROXY_LISTENERS_MAX; i++)
        ck_assert_int_eq(proxy_listen(c->proxy, "127.0.0.1:0", NULL, NULL), RL_OK);
    ck_assert_int_eq(proxy_listen(c->proxy, "127.0.0.1:0", NULL, &err), RL_E_INVAL);
    ck_assert(strstr(err.message, "at most 16"));
}
END_TEST

START_TEST(what_is_not_tls_is_told_so_and_closed)
{
    int fd = connect_to(c->port);
    ck_assert_int_eq(write(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27), 27);
    uint8_t alert[16];
    ssize_t n = 0;
    TURN_UNTIL(c, (n = read(fd, alert, sizeof alert)) > 0);
    ck_assert_int_eq(n, 7);
    ck_assert_int_eq(alert[0], 21);
    close(fd);
    TURN_UNTIL(c, proxy_connections(c->proxy) == 0);
}
END_TEST

/* Refused with a TLS alert, so that who comes does not wait: 0 not yet, 1 so. */
static int is_refused(int fd)
{
    uint8_t said[8] = {0};
    return recv(fd, said, sizeof said, MSG_PEEK) == 7 && said[0] == 21 && said[6] == 80;
}

START_TEST(half_open_connections_are_bounded_and_more_are_told_so)
{
    int fds[15];
    for (int i = 0; i < 15; i++)
        fds[i] = connect_to(c->port);
    int closed = 0;
    for (int turns = 0; turns < 200 && closed < 5; turns++) {
        rl_loop_turn(c->loop, 5);
        closed = 0;
        for (int i = 0; i < 15; i++)
            closed += is_refused(fds[i]);
    }
    ck_assert_int_eq(closed, 5); /* half_open_max is 10 */
    ck_assert_uint_eq(proxy_connections(c->proxy), 10);
    for (int i = 0; i < 15; i++)
        close(fds[i]);
    TURN_UNTIL(c, proxy_connections(c->proxy) == 0);
}
END_TEST

START_TEST(a_proxy_header_from_who_is_no_balancer_is_refused)
{
    static const uint8_t header[] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49,
                                     0x54, 0x0a, 0x21, 0x11, 0x00, 0x0c, 1,    2,    3,    4,
                                     5,    6,    7,    8,    0,    80,   1,    187};
    int fd = connect_to(c->port);
    ck_assert_int_eq(write(fd, header, sizeof header), (ssize_t)sizeof header);
    uint8_t alert[16];
    ssize_t n = 0;
    TURN_UNTIL(c, (n = read(fd, alert, sizeof alert)) > 0);
    ck_assert_int_eq(alert[0], 21);
    close(fd);
}
END_TEST

/* The proxy reads its list at each connection: here 127.0.0.1 becomes a balancer. */
START_TEST(a_listed_balancer_says_who_comes_and_has_to)
{
    static char own[] = "127.0.0.1";
    static char *items[] = {own};
    c->balancers = (struct rl_text_list){items, 1};
    int fd = connect_to(c->port);
    ck_assert_int_eq(write(fd, "\x16\x03\x01\x00\x05", 5), 5); /* TLS, and no header before it */
    uint8_t alert[16];
    ssize_t n = 0;
    TURN_UNTIL(c, (n = read(fd, alert, sizeof alert)) >= 0);
    ck_assert(n == 0 || alert[0] == 21);
    close(fd);
    TURN_UNTIL(c, proxy_connections(c->proxy) == 0);
    snprintf(command, sizeof command,
             "curl -sk -o /dev/null -w '%%{http_code}' --max-time 10 --haproxy-protocol "
             "https://127.0.0.1:%u/ 2>&1",
             c->port);
    run(c, command, out, sizeof out); /* version 1: not taken */
    ck_assert_str_eq(out, "000");
}
END_TEST

static bool is_answered;
static rl_code answer_code;

static void on_answer(void *context, rl_code code, const char *message,
                      const ProtobufCMessage *reply)
{
    (void)context;
    (void)message;
    (void)reply;
    is_answered = true;
    answer_code = code;
}

/* A service's call through the proxy, TLS from end to end. */
START_TEST(auth_is_reached_through_the_proxy_and_sees_the_clients_address)
{
    static const char *const names[] = {"auth.main.remoteler.internal", "auth.remoteler.internal"};
    struct rl_tls_client *tls = tls_client(c, c->proxy_id, "h2", names[_i], "auth");
    struct rl_rpc_channel *through = channel(c, c->address, tls);
    Pb__HeartbeatRequest request = PB__HEARTBEAT_REQUEST__INIT;
    is_answered = false;
    TURN_UNTIL(c, c->seen_address[0]); /* the control line's own, directly */
    c->seen_address[0] = '\0';
    rl_rpc_unary(through, &pb__control__descriptor, "Heartbeat", &request.base, 10000, on_answer,
                 NULL, NULL);
    TURN_UNTIL(c, is_answered);
    ck_assert_int_eq(answer_code, RL_OK);
    ck_assert_msg(strncmp(c->seen_address, "127.0.0.1:", 10) == 0, "%s", c->seen_address);
    ck_assert_uint_eq(proxy_connections(c->proxy), 1);
    rl_rpc_channel_free(&through);
    TURN_UNTIL(c, proxy_connections(c->proxy) == 0);
    rl_tls_client_unref(&tls);
}
END_TEST

static void turn_for(uint64_t ms)
{
    for (uint64_t until_ms = rl_clock_boot_ms() + ms; rl_clock_boot_ms() < until_ms;)
        rl_loop_turn(c->loop, 5);
}

/* A broker's listener for agents that does not listen yet. */
static int broker_away(char address[64])
{
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof own;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&own, sizeof own), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&own, &length), 0);
    snprintf(address, 64, "127.0.0.1:%u", ntohs(own.sin_port));
    return fd;
}

/* An agent that comes for it. */
static struct rl_rpc_channel *come_for_broker(char *attach_address, struct rl_tls_client **tls)
{
    Pb__BrokerAddress broker = PB__BROKER_ADDRESS__INIT, *brokers[] = {&broker};
    Pb__ControlUpdate update = PB__CONTROL_UPDATE__INIT;
    broker.id = (char *)(uintptr_t)BROKER_ID;
    broker.attach_address = attach_address;
    update.revision = 2;
    update.brokers = brokers;
    update.n_brokers = 1;
    update.brokers_changed = true;
    TURN_UNTIL(c, c->watch);
    auth_say(c, &update);
    turn_for(100);
    *tls = tls_client(c, c->proxy_id, "h2", "broker.main.remoteler.internal", "broker");
    struct rl_rpc_channel *agent = channel(c, c->address, *tls);
    rl_rpc_channel_connect(agent);
    TURN_UNTIL(c, proxy_connections(c->proxy) == 1);
    return agent;
}

START_TEST(an_agent_waits_at_the_proxy_for_a_broker_that_restarts)
{
    static const char magic[12] = "\r\n\r\n\0\r\nQUIT\n";
    char address[64], first[12];
    struct rl_tls_client *tls = NULL;
    int broker = broker_away(address), fd = -1;
    struct rl_rpc_channel *agent = come_for_broker(address, &tls);
    turn_for(500);
    ck_assert_uint_eq(proxy_connections(c->proxy), 1);
    ck_assert_int_eq(listen(broker, 8), 0);
    TURN_UNTIL(c, (fd = accept(broker, NULL, NULL)) >= 0);
    TURN_UNTIL(c, recv(fd, first, sizeof first, MSG_DONTWAIT) == (ssize_t)sizeof first);
    ck_assert_mem_eq(first, magic, sizeof magic);
    close(fd);
    close(broker);
    rl_rpc_channel_free(&agent);
    rl_tls_client_unref(&tls);
}
END_TEST

START_TEST(whoever_waits_for_a_broker_in_vain_is_let_go)
{
    char address[64];
    struct rl_tls_client *tls = NULL;
    int broker = broker_away(address);
    struct rl_rpc_channel *agent = come_for_broker(address, &tls);
    TURN_UNTIL(c, proxy_connections(c->proxy) == 0);
    close(broker);
    rl_rpc_channel_free(&agent);
    rl_tls_client_unref(&tls);
}
END_TEST

static void on_drained(void *context)
{
    ((struct cluster *)context)->is_drained = true;
}

START_TEST(a_proxy_that_stops_takes_nobody_in_and_waits_a_while)
{
    int fd = connect_to(c->port);
    TURN_UNTIL(c, proxy_connections(c->proxy) == 1);
    proxy_drain(c->proxy, 60000, on_drained, c);
    rl_loop_turn(c->loop, 10);
    ck_assert(!c->is_drained);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(c->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int other = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ne(connect(other, (struct sockaddr *)&to, sizeof to), 0);
    close(other);
    close(fd);
    TURN_UNTIL(c, c->is_drained);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("front");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, ping_says_who_this_is_before_anyone_trusts_it);
    tcase_add_test(tests, browsers_get_http_1_1_by_tls_1_2_too_and_are_asked_for_no_certificate);
    tcase_add_test(tests, a_host_that_is_not_the_name_of_the_connection_gets_421);
    tcase_add_test(tests, only_get_and_head_and_only_what_is_there);
    tcase_add_loop_test(tests, names_that_lead_nowhere_are_refused_with_an_alert, 0, 3);
    tcase_add_test(tests, connecting_needs_a_certificate);
    tcase_add_test(tests, the_web_chooses_http_1_1_or_nothing);
    tcase_add_test(tests, every_address_that_it_listens_on_is_served);
    tcase_add_test(tests, what_is_not_tls_is_told_so_and_closed);
    tcase_add_test(tests, half_open_connections_are_bounded_and_more_are_told_so);
    tcase_add_test(tests, a_proxy_header_from_who_is_no_balancer_is_refused);
    tcase_add_test(tests, a_listed_balancer_says_who_comes_and_has_to);
    tcase_add_loop_test(tests, auth_is_reached_through_the_proxy_and_sees_the_clients_address, 0,
                        2);
    tcase_add_test(tests, an_agent_waits_at_the_proxy_for_a_broker_that_restarts);
    tcase_add_test(tests, whoever_waits_for_a_broker_in_vain_is_let_go);
    tcase_add_test(tests, a_proxy_that_stops_takes_nobody_in_and_waits_a_while);
    Suite *suite = suite_create("front");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
