#include "cluster.h"

#include "tunnel/socket.h"

#include <arpa/inet.h>

/* A user's program: TLS, a request, an answer, bytes. */
struct user {
    struct rl_tls_identity *identity;
    struct rl_tls_client *tls;
    SSL *ssl;
    struct rl_socket *socket;
    rl_code code;
    char message[512], session[64], local[64];
};

static struct cluster *c;

static void set_up(void)
{
    c = cluster_make();
}

static void tear_down(void)
{
    cluster_free(c);
}

/* What a load balancer sends first: PROXY v2 for 1.2.3.4:80. */
static const uint8_t balanced[] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49,
                                   0x54, 0x0a, 0x21, 0x11, 0x00, 0x0c, 1,    2,    3,    4,
                                   5,    6,    7,    8,    0,    80,   1,    187};

static void user_connect(struct user *u, struct rl_tls_identity *identity)
{
    *u = (struct user){.identity = identity};
    u->tls = tls_client(c, identity, "remoteler-connect", "proxy.main.remoteler.internal", "proxy");
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(c->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    struct sockaddr_in own;
    socklen_t n = sizeof own;
    getsockname(fd, (struct sockaddr *)&own, &n);
    snprintf(u->local, sizeof u->local, "127.0.0.1:%u", ntohs(own.sin_port));
    if (c->balancers.count)
        ck_assert_int_eq(write(fd, balanced, sizeof balanced), (ssize_t)sizeof balanced);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    ck_assert_int_eq(rl_tls_connect(u->tls, fd, &u->ssl, NULL), RL_OK);
    enum rl_tls_progress progress;
    TURN_UNTIL(c, (progress = rl_tls_handshake(u->ssl, NULL)) == RL_TLS_DONE ||
                      progress == RL_TLS_FAILED);
    ck_assert_int_eq(progress, RL_TLS_DONE);
    ck_assert_int_eq(rl_socket_create(c->loop, fd, u->ssl, NULL, NULL, &u->socket, NULL), RL_OK);
}

static void user_write(struct user *u, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    while (n) {
        ssize_t done = rl_socket_write(u->socket, p, n);
        ck_assert_int_ne(done, RL_SOCKET_BROKEN);
        p += done > 0 ? done : 0;
        n -= done > 0 ? (size_t)done : 0;
        rl_loop_turn(c->loop, 0);
    }
}

/* n bytes, or fewer at the end; returns how many. */
static size_t user_read(struct user *u, void *to, size_t n)
{
    size_t got = 0;
    ssize_t done = RL_SOCKET_WAIT;
    for (uint64_t until = rl_clock_boot_ms() + PATIENCE_MS;
         got < n && rl_clock_boot_ms() < until;) {
        done = rl_socket_read(u->socket, (uint8_t *)to + got, n - got);
        if (done == 0 || done == RL_SOCKET_BROKEN)
            break;
        got += done > 0 ? (size_t)done : 0;
        rl_loop_turn(c->loop, 5);
    }
    return got;
}

static void user_ask(struct user *u, const char *cluster, const char *kind, const char *target,
                     uint32_t port)
{
    Pb__ConnectRequest request = PB__CONNECT_REQUEST__INIT;
    request.cluster = (char *)(uintptr_t)cluster;
    request.kind = (char *)(uintptr_t)kind;
    request.target = (char *)(uintptr_t)target;
    request.port = port;
    uint8_t packed[9000];
    size_t n = pb__connect_request__pack(&request, packed + 4);
    packed[0] = packed[1] = 0;
    packed[2] = (uint8_t)(n >> 8);
    packed[3] = (uint8_t)n;
    user_write(u, packed, n + 4);
}

static void user_hear(struct user *u)
{
    uint8_t length[4], packed[8192];
    ck_assert_uint_eq(user_read(u, length, 4), 4);
    size_t n = (size_t)length[2] << 8 | length[3];
    ck_assert_uint_eq(user_read(u, packed, n), n);
    Pb__ConnectResponse *r = pb__connect_response__unpack(NULL, n, packed);
    ck_assert_ptr_nonnull(r);
    u->code = (rl_code)r->code;
    snprintf(u->message, sizeof u->message, "%s", r->message);
    snprintf(u->session, sizeof u->session, "%s", r->session_id);
    pb__connect_response__free_unpacked(r, NULL);
}

static void user_go(struct user *u, const char *target)
{
    user_connect(u, user_identity(c, "alice", "access", ""));
    user_ask(u, "", "ssh", target, 22);
    user_hear(u);
}

/* The program on a node goes when its user does. */
static void leave(struct fake_far *far)
{
    if (far->fd >= 0)
        close(far->fd);
    far->fd = -1;
}

static void user_free(struct user *u)
{
    rl_socket_close(&u->socket);
    leave(&c->broker);
    leave(&c->node);
    rl_tls_client_unref(&u->tls);
    rl_tls_identity_unref(&u->identity);
    TURN_UNTIL(c, proxy_connections(c->proxy) == 0);
}

static void check_echo(struct user *u, struct fake_far *far)
{
    char text[16] = {0};
    user_write(u, "hello", 5);
    TURN_UNTIL(c, read(far->fd, text, sizeof text) == 5);
    ck_assert_str_eq(text, "hello");
    ck_assert_int_eq(write(far->fd, "world!", 6), 6);
    ck_assert_uint_eq(user_read(u, text, 6), 6);
    ck_assert_str_eq(text, "world!");
}

START_TEST(a_user_reaches_a_tunnelled_node_and_the_ticket_says_who_comes)
{
    struct user u;
    user_go(&u, "node-a");
    ck_assert_msg(u.code == RL_OK, "%s", u.message);
    check_echo(&u, &c->broker);
    ck_assert_int_eq(c->broker.dials, 1);
    ck_assert_int_eq(c->other.dials, 0);
    ck_assert_str_eq(c->broker.ticket_client, u.local);
    ck_assert_str_eq(c->resolved_client, u.local);
    ck_assert_str_eq(c->broker.ticket_session, u.session);
    ck_assert_str_eq(c->broker.ticket_agent, NODE_ID);
    ck_assert_uint_eq(c->broker.ticket_fingerprint, 32);
    rl_socket_finish(u.socket);
    char byte;
    ssize_t n = -1;
    TURN_UNTIL(c, (n = read(c->broker.fd, &byte, 1)) == 0);
    shutdown(c->broker.fd, SHUT_WR);
    ck_assert_uint_eq(user_read(&u, &byte, 1), 0);
    TURN_UNTIL(c, c->broker.closed);
    ck_assert_int_eq(c->broker.code, RL_OK);
    user_free(&u);
}
END_TEST

START_TEST(behind_a_balancer_the_users_address_is_what_the_balancer_says)
{
    static char own[] = "127.0.0.1";
    static char *items[] = {own};
    c->balancers = (struct rl_text_list){items, 1};
    struct user u;
    user_go(&u, "node-a");
    ck_assert_int_eq(u.code, RL_OK);
    ck_assert_str_eq(c->broker.ticket_client, "1.2.3.4:80");
    user_free(&u);
}
END_TEST

START_TEST(every_broker_is_asked_when_auths_row_is_stale)
{
    c->knows_holder = false; /* the other is first in the list and has it not */
    struct user u;
    user_go(&u, "node-a");
    ck_assert_int_eq(u.code, RL_OK);
    ck_assert_int_eq(c->other.dials, 1);
    ck_assert_int_eq(c->broker.dials, 1);
    check_echo(&u, &c->broker);
    user_free(&u);
}
END_TEST

START_TEST(a_broker_that_left_the_list_is_asked_for_as_long_as_it_answers)
{
    struct user u;
    user_go(&u, "node-a");
    ck_assert_int_eq(u.code, RL_OK);
    user_free(&u);
    Pb__ControlUpdate nobody = PB__CONTROL_UPDATE__INIT;
    nobody.revision = 2;
    nobody.brokers_changed = true;
    auth_say(c, &nobody);
    TURN_UNTIL(c, rl_control_state(c->control)->n_brokers == 0);
    c->knows_holder = c->is_online = false;
    user_go(&u, "node-a");
    ck_assert_msg(u.code == RL_OK, "%s", u.message);
    check_echo(&u, &c->broker);
    user_free(&u);
    rl_rpc_server_free(&c->broker.server);
    rl_rpc_server_free(&c->other.server);
    user_go(&u, "node-a");
    ck_assert_int_eq(u.code, RL_E_UNAVAILABLE);
    user_free(&u);
}
END_TEST

START_TEST(a_direct_node_is_dialled_itself)
{
    c->mode = "direct";
    struct user u;
    user_go(&u, "node-a");
    ck_assert_msg(u.code == RL_OK, "%s", u.message);
    ck_assert_int_eq(c->node.dials, 1);
    ck_assert_int_eq(c->broker.dials + c->other.dials, 0);
    check_echo(&u, &c->node);
    user_free(&u);
}
END_TEST

/* A direct node says itself where it listens: it may say where a broker does, or another node. */
START_TEST(whoever_answers_for_a_direct_node_has_to_be_it)
{
    struct fake_far *impostor = _i ? &c->other : &c->broker;
    struct user u;
    c->mode = "direct";
    if (_i) {
        far_stop(&c->other);
        far_start(&c->other, c, issue(&c->agents, UUID_A, NULL));
    }
    snprintf(c->node.address, sizeof c->node.address, "%s", impostor->address);
    user_go(&u, "node-a");
    ck_assert_int_eq(u.code, RL_E_UNAVAILABLE);
    ck_assert_int_eq(impostor->dials, 0);
    user_free(&u);
}
END_TEST

START_TEST(what_is_not_there_is_said_in_words)
{
    struct user u;
    user_go(&u, "node-z");
    ck_assert_int_eq(u.code, RL_E_NOT_FOUND);
    ck_assert_str_eq(u.message, "no such node \"node-z\"");
    user_free(&u);
    c->broker.has_node = false;
    c->is_online = false;
    c->last_seen_ns = (NOW_S - 300) * 1000000000ll;
    user_go(&u, "node-a");
    ck_assert_int_eq(u.code, RL_E_UNAVAILABLE);
    ck_assert_str_eq(u.message, "node node-a is offline since 2027-01-15T07:55:00Z, 5 min ago");
    ck_assert_int_eq(c->other.dials, 1); /* everyone was asked all the same */
    user_free(&u);
}
END_TEST

START_TEST(a_node_whose_row_says_offline_is_found_if_a_broker_has_it)
{
    c->is_online = c->knows_holder = false;
    struct user u;
    user_go(&u, "node-a");
    ck_assert_int_eq(u.code, RL_OK);
    user_free(&u);
}
END_TEST

START_TEST(auth_away_is_said_so)
{
    c->is_away = true;
    struct user u;
    user_go(&u, "node-a");
    ck_assert_int_eq(u.code, RL_E_UNAVAILABLE);
    ck_assert(strstr(u.message, "auth can not be asked"));
    user_free(&u);
}
END_TEST

START_TEST(what_auth_said_last_helps_the_same_user_while_it_is_away)
{
    struct user u;
    user_go(&u, "node-a");
    ck_assert_int_eq(u.code, RL_OK);
    user_free(&u);
    c->is_away = true;
    user_go(&u, "node-a");
    ck_assert_int_eq(u.code, RL_OK);
    check_echo(&u, &c->broker);
    user_free(&u);
    rl_rpc_server_free(&c->auth); /* and when it does not even answer */
    TURN_UNTIL(c, !rl_control_is_up(c->control));
    user_go(&u, "node-a");
    ck_assert_int_eq(u.code, RL_OK);
    user_free(&u);
    user_go(&u, "node-b");
    ck_assert_int_eq(u.code, RL_E_UNAVAILABLE);
    user_free(&u);
}
END_TEST

START_TEST(a_node_that_is_nowhere_is_said_to_be_out_of_reach_without_our_addresses)
{
    c->broker.has_node = false;
    rl_rpc_server_free(&c->other.server);
    struct user u;
    user_go(&u, "node-a");
    ck_assert_int_eq(u.code, RL_E_UNAVAILABLE);
    ck_assert_str_eq(u.message, "node node-a can not be reached now; try again in a moment");
    user_free(&u);
}
END_TEST

START_TEST(requests_for_what_is_not_served_are_refused)
{
    static const struct {
        const char *cluster, *kind, *target;
        uint32_t port;
        rl_code code;
    } rows[] = {
        {"", "ssh", "node-a", 80, RL_E_INVAL},
        {"", "app", "node-a", 0, RL_E_UNIMPLEMENTED},
        {"leaf", "app", "node-a", 0, RL_E_UNIMPLEMENTED},
        {"", "ssh", "", 0, RL_E_INVAL},
        {"", "auth", "", 0, RL_E_UNIMPLEMENTED},
        {"main", "audit", "", 0, RL_E_UNIMPLEMENTED},
        {"leaf", "ssh", "", 0, RL_E_INVAL},
        {"leaf", "auth", "node-a", 0, RL_E_INVAL},
        {"leaf", "audit", "", 22, RL_E_INVAL},
        {"Leaf/../x", "ssh", "node-a", 0, RL_E_INVAL},
    };
    struct user u;
    user_connect(&u, user_identity(c, "alice", "access", ""));
    user_ask(&u, rows[_i].cluster, rows[_i].kind, rows[_i].target, rows[_i].port);
    user_hear(&u);
    ck_assert_int_eq(u.code, rows[_i].code);
    ck_assert_int_eq(c->resolved, 0);
    user_free(&u);
}
END_TEST

START_TEST(a_request_that_is_too_long_or_no_request_is_refused)
{
    static const uint8_t longer[] = {0, 0, 0x20, 0x01}, garbage[] = {0, 0, 0, 3, 0xff, 0xff, 0xff};
    struct user u;
    user_connect(&u, user_identity(c, "alice", "access", ""));
    user_write(&u, _i ? longer : garbage, _i ? sizeof longer : sizeof garbage);
    user_hear(&u);
    ck_assert_int_eq(u.code, RL_E_INVAL);
    user_free(&u);
}
END_TEST

START_TEST(only_a_users_own_whole_certificate_connects)
{
    struct user u;
    user_connect(&u, _i ? user_identity(c, "alice", "access", "kube/x")
                        : issue(&c->agents, NODE_ID, NULL));
    user_hear(&u);
    ck_assert_int_eq(u.code, RL_E_DENIED);
    user_free(&u);
}
END_TEST

static void say_lock(const char *kind, const char *name)
{
    Pb__Metadata metadata = PB__METADATA__INIT;
    Pb__LockSpec spec = PB__LOCK_SPEC__INIT;
    Pb__Lock lock = PB__LOCK__INIT, *locks[] = {&lock};
    lock.metadata = &metadata;
    lock.spec = &spec;
    spec.target_kind = (char *)(uintptr_t)kind;
    spec.target_name = (char *)(uintptr_t)name;
    spec.message = (char *)(uintptr_t) "lost laptop";
    Pb__ControlUpdate update = PB__CONTROL_UPDATE__INIT;
    update.locks = locks;
    update.n_locks = 1;
    update.locks_changed = true;
    auth_say(c, &update);
}

static void say_cut(void)
{
    Pb__Cut cut = PB__CUT__INIT, *cuts[] = {&cut};
    cut.user = (char *)(uintptr_t) "alice";
    cut.cluster = (char *)(uintptr_t) "main";
    cut.issued_before_ns = (NOW_S + 1) * 1000000000ll;
    Pb__ControlUpdate update = PB__CONTROL_UPDATE__INIT;
    update.cuts = cuts;
    update.n_cuts = 1;
    update.cuts_changed = true;
    auth_say(c, &update);
}

static void stop_by(int way)
{
    if (way == 0)
        say_lock("user", "alice");
    else if (way == 1)
        say_lock("role", "access");
    else if (way == 2)
        say_lock("node", "node-a");
    else
        say_cut();
}

START_TEST(a_lock_or_a_cut_ends_running_connections_and_refuses_new_ones)
{
    struct user u;
    user_go(&u, "node-a");
    ck_assert_int_eq(u.code, RL_OK);
    check_echo(&u, &c->broker);
    stop_by(_i);
    TURN_UNTIL(c, c->broker.closed);
    ck_assert_int_eq(c->broker.code, RL_E_DENIED);
    ck_assert_msg(strstr(c->broker.message, _i == 3 ? "issued before" : "lost laptop"), "%s",
                  c->broker.message);
    char byte;
    ck_assert_uint_eq(user_read(&u, &byte, 1), 0);
    user_free(&u);
    user_connect(&u, user_identity(c, "alice", "access", ""));
    if (_i == 2) /* a lock on a node is seen when it is known which node it is */
        user_ask(&u, "", "ssh", "node-a", 0);
    user_hear(&u);
    ck_assert_int_eq(u.code, RL_E_DENIED);
    user_free(&u);
    ck_assert_int_eq(c->broker.dials, 1);
}
END_TEST

START_TEST(a_lock_on_another_ends_nothing)
{
    struct user u;
    user_go(&u, "node-a");
    say_lock("user", "bob");
    for (int i = 0; i < 20; i++)
        rl_loop_turn(c->loop, 5);
    check_echo(&u, &c->broker);
    user_free(&u);
}
END_TEST

/* ---- users of a root cluster ---- */

static void say_root(bool is_trusted)
{
    Pb__PeerCluster root = PB__PEER_CLUSTER__INIT, *clusters[] = {&root};
    root.name = (char *)(uintptr_t)ROOT;
    root.is_root = true;
    Pb__ControlUpdate update = PB__CONTROL_UPDATE__INIT;
    update.clusters = clusters;
    update.n_clusters = is_trusted;
    update.clusters_changed = true;
    size_t before = rl_control_state(c->control)->n_clusters;
    auth_say(c, &update);
    if (before != update.n_clusters)
        TURN_UNTIL(c, rl_control_state(c->control)->n_clusters == update.n_clusters);
}

static void say_lock_of(const char *kind, const char *name, const char *cluster)
{
    Pb__LockSpec spec = PB__LOCK_SPEC__INIT;
    Pb__Lock lock = PB__LOCK__INIT, *locks[] = {&lock};
    lock.spec = &spec;
    spec.target_kind = (char *)(uintptr_t)kind;
    spec.target_name = (char *)(uintptr_t)name;
    spec.target_cluster = (char *)(uintptr_t)cluster;
    spec.message = (char *)(uintptr_t) "lost laptop";
    Pb__ControlUpdate update = PB__CONTROL_UPDATE__INIT;
    update.locks = locks;
    update.n_locks = 1;
    update.locks_changed = true;
    auth_say(c, &update);
}

static void root_user_go(struct user *u)
{
    user_connect(u, user_identity_by(&c->root_users, "alice", "access", ""));
    user_ask(u, "", "ssh", "node-a", 22);
    user_hear(u);
}

START_TEST(a_roots_user_connects_while_the_root_is_trusted)
{
    struct user u;
    root_user_go(&u); /* the handshake would do; auth has not said so yet */
    ck_assert_int_eq(u.code, RL_E_DENIED);
    ck_assert_str_eq(u.message, "cluster main does not, or does not any more, trust cluster " ROOT);
    user_free(&u);
    say_root(true);
    root_user_go(&u);
    ck_assert_msg(u.code == RL_OK, "%s", u.message);
    check_echo(&u, &c->broker);
    uint64_t began_ms = rl_clock_boot_ms();
    say_root(false);
    TURN_UNTIL(c, c->broker.closed);
    ck_assert_uint_lt(rl_clock_boot_ms() - began_ms, 2000);
    ck_assert_int_eq(c->broker.code, RL_E_DENIED);
    user_free(&u);
    root_user_go(&u);
    ck_assert_int_eq(u.code, RL_E_DENIED);
    user_free(&u);
}
END_TEST

START_TEST(a_roots_user_goes_with_the_authority_that_signed)
{
    struct user u;
    say_root(true);
    root_user_go(&u);
    ck_assert_int_eq(u.code, RL_OK);
    struct proxy_identity anew = {.own = c->proxy_id, .trust = c->trust, .users = c->trust};
    ck_assert_int_eq(proxy_renewed(c->proxy, &anew, NULL), RL_OK);
    TURN_UNTIL(c, c->broker.closed);
    ck_assert_int_eq(c->broker.code, RL_E_DENIED);
    user_free(&u);
}
END_TEST

START_TEST(locks_stop_the_user_of_that_cluster_only)
{
    static const struct {
        const char *kind, *name, *cluster;
        bool stops;
    } rows[] = {
        {"user", "alice", "", false},  {"user", "alice", "main", false},
        {"role", "access", "", false}, /* the name of a role there */
        {"user", "alice", ROOT, true}, {"role", "access", ROOT, true},
    };
    struct user u;
    say_root(true);
    root_user_go(&u);
    ck_assert_int_eq(u.code, RL_OK);
    say_lock_of(rows[_i].kind, rows[_i].name, rows[_i].cluster);
    if (rows[_i].stops)
        TURN_UNTIL(c, c->broker.closed);
    for (int i = 0; i < 20 && !rows[_i].stops; i++)
        rl_loop_turn(c->loop, 5);
    if (!rows[_i].stops)
        check_echo(&u, &c->broker);
    user_free(&u);
}
END_TEST

START_TEST(a_leaf_of_that_name_makes_nobody_a_user)
{
    Pb__PeerCluster leaf = PB__PEER_CLUSTER__INIT, *clusters[] = {&leaf};
    leaf.name = (char *)(uintptr_t)ROOT;
    Pb__ControlUpdate update = PB__CONTROL_UPDATE__INIT;
    update.clusters = clusters;
    update.n_clusters = 1;
    update.clusters_changed = true;
    auth_say(c, &update);
    TURN_UNTIL(c, rl_control_state(c->control)->n_clusters == 1);
    struct user u;
    root_user_go(&u);
    ck_assert_int_eq(u.code, RL_E_DENIED);
    user_free(&u);
}
END_TEST

START_TEST(a_connection_ends_with_its_certificate)
{
    struct user u;
    cluster_skew_s = 598; /* of 600 */
    user_go(&u, "node-a");
    ck_assert_int_eq(u.code, RL_OK);
    cluster_skew_s = 602;
    TURN_UNTIL(c, c->broker.closed);
    ck_assert(strstr(c->broker.message, "login expired; run tsh login"));
    user_free(&u);
}
END_TEST

START_TEST(a_node_that_does_not_answer_is_given_up)
{
    c->broker.is_mute = true;
    struct user u;
    user_connect(&u, user_identity(c, "alice", "access", ""));
    user_ask(&u, "", "ssh", "node-a", 0);
    TURN_UNTIL(c, c->broker.dials == 1);
    say_lock("user", "alice"); /* while it waits */
    user_hear(&u);
    ck_assert_int_eq(u.code, RL_E_DENIED);
    ck_assert(strstr(u.message, "lost laptop"));
    user_free(&u);
}
END_TEST

START_TEST(much_arrives_as_it_was_sent)
{
    struct user u;
    user_go(&u, "node-a");
    size_t total = 8u << 20, sent = 0, got = 0, wrong = 0;
    static uint8_t block[30000], back[30000];
    while (got < total) {
        size_t n = total - sent < sizeof block ? total - sent : sizeof block;
        for (size_t i = 0; i < n; i++)
            block[i] = (uint8_t)((sent + i) * 31 >> 3);
        ssize_t done = n ? rl_socket_write(u.socket, block, n) : 0;
        ck_assert_int_ne(done, RL_SOCKET_BROKEN);
        sent += done > 0 ? (size_t)done : 0;
        ssize_t k = read(c->broker.fd, back, sizeof back);
        for (ssize_t i = 0; i < k; i++)
            wrong += back[i] != (uint8_t)((got + (size_t)i) * 31 >> 3);
        got += k > 0 ? (size_t)k : 0;
        rl_loop_turn(c->loop, 0);
    }
    ck_assert_uint_eq(wrong, 0);
    user_free(&u);
}
END_TEST

/* ---- leaf clusters ---- */

static void leaf_go(struct user *u, const char *cluster, const char *kind, const char *target)
{
    user_connect(u, user_identity(c, "alice", "access", ""));
    user_ask(u, cluster, kind, target, 0);
    user_hear(u);
}

START_TEST(a_leaf_is_dialled_with_what_the_user_named_and_his_certificate)
{
    static const struct {
        const char *kind, *target;
    } rows[] = {{"ssh", "node-b"}, {"ssh", "env=dev"}, {"auth", ""}, {"audit", ""}};
    struct user u;
    leaf_go(&u, "leaf", rows[_i].kind, rows[_i].target);
    ck_assert_msg(u.code == RL_OK, "%s", u.message);
    ck_assert_str_eq(c->resolved_cluster, "leaf");
    ck_assert_str_eq(c->broker.ticket_agent, "cluster/leaf");
    ck_assert_str_eq(c->broker.ticket_kind, rows[_i].kind);
    ck_assert_str_eq(c->broker.ticket_target, rows[_i].target);
    ck_assert(c->broker.has_certificate);
    check_echo(&u, &c->broker);
    user_free(&u);
}
END_TEST

START_TEST(within_the_cluster_no_certificate_is_shown_around)
{
    struct user u;
    user_go(&u, "node-a");
    ck_assert_int_eq(u.code, RL_OK);
    ck_assert(!c->broker.has_certificate);
    ck_assert_str_eq(c->broker.ticket_target, "");
    user_free(&u);
}
END_TEST

START_TEST(a_leaf_that_is_not_there_is_said_so_with_since_when_and_what_to_do)
{
    struct user u;
    c->broker.has_node = false;
    c->is_online = false;
    c->last_seen_ns = (NOW_S - 3600) * 1000000000ll;
    leaf_go(&u, "leaf", "ssh", "node-b");
    ck_assert_int_eq(u.code, RL_E_UNAVAILABLE);
    ck_assert_msg(strstr(u.message, "cluster leaf is offline since ") &&
                      strstr(u.message, "1 h ago; it has to reach this cluster by itself"),
                  "%s", u.message);
    user_free(&u);
    leaf_go(&u, "other", "ssh", "node-b");
    ck_assert_int_eq(u.code, RL_E_NOT_FOUND);
    user_free(&u);
}
END_TEST

START_TEST(what_a_leaf_says_is_passed_on_and_nobody_else_is_asked)
{
    struct user u;
    c->broker.refusal = RL_E_ABORTED;
    leaf_go(&u, "leaf", "ssh", "node-b");
    ck_assert_int_eq(u.code, RL_E_UNAVAILABLE);
    ck_assert_str_eq(u.message, "cluster leaf: node node-b is offline");
    ck_assert_int_eq(c->broker.dials + c->other.dials, 1);
    user_free(&u);
    c->broker.refusal = RL_E_NOT_FOUND;
    leaf_go(&u, "leaf", "ssh", "node-b");
    ck_assert_int_eq(u.code, RL_E_NOT_FOUND);
    user_free(&u);
}
END_TEST

START_TEST(where_a_leaf_was_helps_for_all_that_is_in_it_while_auth_is_away)
{
    struct user u;
    leaf_go(&u, "leaf", "ssh", "node-b");
    ck_assert_int_eq(u.code, RL_OK);
    user_free(&u);
    c->is_away = true;
    leaf_go(&u, "leaf", "auth", "");
    ck_assert_int_eq(u.code, RL_OK);
    user_free(&u);
    leaf_go(&u, "other", "auth", "");
    ck_assert_int_eq(u.code, RL_E_UNAVAILABLE);
    ck_assert(strstr(u.message, "where the cluster is"));
    user_free(&u);
}
END_TEST

START_TEST(a_roots_user_reaches_no_leaf_from_here)
{
    struct user u;
    say_root(true);
    user_connect(&u, user_identity_by(&c->root_users, "alice", "access", ""));
    user_ask(&u, "leaf", "ssh", "node-b", 0);
    user_hear(&u);
    ck_assert_int_eq(u.code, RL_E_DENIED);
    ck_assert_int_eq(c->resolved, 0);
    user_free(&u);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("connect");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_user_reaches_a_tunnelled_node_and_the_ticket_says_who_comes);
    tcase_add_test(tests, behind_a_balancer_the_users_address_is_what_the_balancer_says);
    tcase_add_test(tests, every_broker_is_asked_when_auths_row_is_stale);
    tcase_add_test(tests, a_broker_that_left_the_list_is_asked_for_as_long_as_it_answers);
    tcase_add_test(tests, a_direct_node_is_dialled_itself);
    tcase_add_loop_test(tests, whoever_answers_for_a_direct_node_has_to_be_it, 0, 2);
    tcase_add_test(tests, what_is_not_there_is_said_in_words);
    tcase_add_test(tests, a_node_whose_row_says_offline_is_found_if_a_broker_has_it);
    tcase_add_test(tests, auth_away_is_said_so);
    tcase_add_test(tests, what_auth_said_last_helps_the_same_user_while_it_is_away);
    tcase_add_test(tests, a_node_that_is_nowhere_is_said_to_be_out_of_reach_without_our_addresses);
    tcase_add_loop_test(tests, a_leaf_is_dialled_with_what_the_user_named_and_his_certificate, 0,
                        4);
    tcase_add_test(tests, within_the_cluster_no_certificate_is_shown_around);
    tcase_add_test(tests, a_leaf_that_is_not_there_is_said_so_with_since_when_and_what_to_do);
    tcase_add_test(tests, what_a_leaf_says_is_passed_on_and_nobody_else_is_asked);
    tcase_add_test(tests, where_a_leaf_was_helps_for_all_that_is_in_it_while_auth_is_away);
    tcase_add_test(tests, a_roots_user_reaches_no_leaf_from_here);
    tcase_add_loop_test(tests, requests_for_what_is_not_served_are_refused, 0, 9);
    tcase_add_loop_test(tests, a_request_that_is_too_long_or_no_request_is_refused, 0, 2);
    tcase_add_loop_test(tests, only_a_users_own_whole_certificate_connects, 0, 2);
    tcase_add_loop_test(tests, a_lock_or_a_cut_ends_running_connections_and_refuses_new_ones, 0, 4);
    tcase_add_test(tests, a_lock_on_another_ends_nothing);
    tcase_add_test(tests, a_roots_user_connects_while_the_root_is_trusted);
    tcase_add_test(tests, a_roots_user_goes_with_the_authority_that_signed);
    tcase_add_loop_test(tests, locks_stop_the_user_of_that_cluster_only, 0, 5);
    tcase_add_test(tests, a_leaf_of_that_name_makes_nobody_a_user);
    tcase_add_test(tests, a_connection_ends_with_its_certificate);
    tcase_add_test(tests, a_node_that_does_not_answer_is_given_up);
    tcase_add_test(tests, much_arrives_as_it_was_sent);
    Suite *suite = suite_create("connect");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
