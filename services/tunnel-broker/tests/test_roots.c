/* A leaf: its broker attaches to a root that the test plays, and answers what is asked there. */
#include "root.h"

#include "tls/proxy_protocol.h"

static void set_up(void)
{
    c = cluster_make();
    r = (struct root_double){.opened = (rl_code)-1};
    rl_buf_init(&r.out, 65536);
    r.trust = rl_trust_create("root");
    authority_trust(r.trust, RL_IDENTITY_SERVICE, "root", c->root_services.ca, NULL);
    authority_trust(r.trust, RL_IDENTITY_SERVICE, "main", c->services.ca, NULL);
    r.broker = identity_by(&c->root_services, "broker", ROOT_BROKER);
    r.proxy = identity_by(&c->root_services, "proxy", ROOT_PROXY);
    r.user = identity_by(&c->root_users, NULL, "alice");
    root_start();
    agent_init(&a, c, UUID_A, "node");
    agent_attach(&a);
    c->auth.is_online = true;
    auth_say_clusters(c, NULL, r.address);
    TURN_UNTIL(c, a.welcomed && c->auth.is_root_attached);
}

static void tear_down(void)
{
    agent_fini(&a);
    root_stop();
    cluster_free(c);
    rl_buf_fini(&r.out);
    rl_trust_unref(&r.trust);
    rl_tls_identity_unref(&r.broker);
    rl_tls_identity_unref(&r.proxy);
    rl_tls_identity_unref(&r.user);
}

/* ---- what a root's proxy asks ---- */

struct wish {
    const char *kind, *target, *agent, *session, *client;
    const struct rl_tls_identity *signer, *user, *named;
    int64_t age_s;
    bool resumes, keeps_number;
};

static struct wish honest(void)
{
    return (struct wish){.kind = "ssh",
                         .target = "node-a",
                         .agent = "cluster/main",
                         .session = SESSION,
                         .client = "192.0.2.9:4096",
                         .signer = r.proxy,
                         .user = r.user,
                         .named = r.user};
}

static void fingerprint(const struct rl_tls_identity *identity, uint8_t out[32])
{
    ck_assert_int_eq(X509_digest(rl_tls_identity_certificate(identity), EVP_sha256(), out, NULL),
                     1);
}

static void ask(const struct wish *w)
{
    static uint8_t stream_id[16] = {0x5a};
    struct rl_buf der;
    uint8_t sha256[32], nonce[16] = {w->keeps_number ? r.number : ++r.number};
    rl_buf_init(&der, 65536);
    ck_assert_int_eq(rl_x509_to_der(rl_tls_identity_certificate(w->user), &der, NULL), RL_OK);
    fingerprint(w->named, sha256);
    Pb__Ticket ticket = PB__TICKET__INIT;
    ticket.cluster = (char *)(uintptr_t) "root";
    ticket.session_id = (char *)(uintptr_t)w->session;
    ticket.agent_id = (char *)(uintptr_t)w->agent;
    ticket.target_kind = (char *)(uintptr_t)w->kind;
    ticket.target_name = (char *)(uintptr_t)w->target;
    ticket.client_address = (char *)(uintptr_t)w->client;
    ticket.user_certificate_sha256 = (ProtobufCBinaryData){sizeof sha256, sha256};
    ticket.user_certificate = (ProtobufCBinaryData){der.n, der.p};
    ticket.time_ns = (NOW_S - w->age_s) * 1000000000ll;
    ticket.nonce = (ProtobufCBinaryData){sizeof nonce, nonce};
    ticket.resumes = w->resumes;
    ticket.proxy_start_ns = 77;
    Pb__SignedTicket *signed_ticket = NULL;
    ck_assert_int_eq(rl_ticket_sign(&ticket, rl_tls_identity_key(w->signer),
                                    rl_tls_identity_certificate(w->signer), &signed_ticket, NULL),
                     RL_OK);
    stream_id[1]++;
    Pb__Open open = PB__OPEN__INIT;
    Pb__BrokerMessage message = PB__BROKER_MESSAGE__INIT;
    open.stream_id = (ProtobufCBinaryData){sizeof stream_id, stream_id};
    open.ticket = signed_ticket;
    message.body_case = PB__BROKER_MESSAGE__BODY_OPEN;
    message.open = &open;
    root_say(&message);
    pb__signed_ticket__free_unpacked(signed_ticket, NULL);
    rl_buf_fini(&der);
}

static void expect_refusal(const struct wish *w, rl_code code, const char *words)
{
    int refusals = r.refusals, opens = a.opens, carries = r.carries;
    ask(w);
    TURN_UNTIL(c, r.refusals > refusals);
    ck_assert_msg(r.refused == code && strstr(r.refusal, words), "%s: %s", rl_code_name(r.refused),
                  r.refusal);
    ck_assert_int_eq(a.opens, opens);
    ck_assert_int_eq(r.carries, carries);
}

START_TEST(a_leaf_attaches_with_its_own_certificate_and_says_what_its_auth_holds)
{
    ck_assert_int_eq(r.hellos, 1);
    ck_assert(r.is_hello_good);
    ck_assert_int_eq(c->auth.root_code, RL_OK);
}
END_TEST

START_TEST(a_user_of_the_root_reaches_a_node_and_bytes_go_both_ways)
{
    struct wish w = honest();
    ask(&w);
    TURN_UNTIL(c, r.opened == RL_OK && r.carry);
    ck_assert_str_eq(c->auth.resolved_user, "alice@root");
    ck_assert_str_eq(c->auth.resolved_target, "node-a");
    ck_assert_str_eq(c->auth.resolved_kind, "ssh");
    ck_assert_int_eq(a.opens, 1);
    root_send("hello");
    char text[16] = {0};
    TURN_UNTIL(c, read(a.fd, text, sizeof text) == 5);
    ck_assert_str_eq(text, "hello");
    ck_assert_int_eq(write(a.fd, "world!", 6), 6);
    TURN_UNTIL(c, r.got_n == 6);
    ck_assert_str_eq(r.got, "world!");
    ck_assert_uint_eq(broker_streams(c->broker), 1);
    rl_rpc_raw_finish(r.carry, RL_E_UNAVAILABLE, "a hop died");
    TURN_UNTIL(c, a.carry_closed == 1 && broker_streams(c->broker) == 0);
    ck_assert_int_eq(a.carry_code, RL_E_UNAVAILABLE); /* not its dialler's way: it waits longer */
}
END_TEST

START_TEST(the_node_is_shown_a_ticket_of_this_cluster_that_quotes_the_root)
{
    struct wish w = honest();
    uint8_t sha256[32];
    fingerprint(r.user, sha256);
    ask(&w);
    TURN_UNTIL(c, r.opened == RL_OK);
    struct rl_identity *signer = NULL;
    struct rl_ticket_check check = {.trust = c->trust,
                                    .agent_id = UUID_A,
                                    .now_ns = NOW_S * 1000000000ll,
                                    .takes_quotes = true,
                                    .signer = &signer};
    Pb__Ticket *t = NULL;
    struct rl_error err;
    ck_assert_msg(rl_ticket_verify(a.ticket, &check, &t, &err) == RL_OK, "%s", err.message);
    char derived[RL_UUID_TEXT_BYTES];
    asked_session_id("root", SESSION, derived);
    ck_assert_str_eq(signer->name, BROKER_ID);
    ck_assert_str_eq(t->cluster, "main");
    ck_assert_str_eq(t->session_id, derived);
    ck_assert_str_eq(t->root_session_id, SESSION);
    ck_assert_str_eq(t->root_cluster, "root");
    ck_assert_str_eq(t->root_proxy_id, ROOT_PROXY);
    ck_assert_str_eq(t->root_address, "192.0.2.9:4096");
    ck_assert_int_eq(t->proxy_start_ns, 77);
    ck_assert(
        rl_span_equal(RL_SPAN(t->user_certificate_sha256.data, t->user_certificate_sha256.len),
                      RL_SPAN(sha256, sizeof sha256)));
    ck_assert_uint_eq(t->user_certificate.len, 0);
    pb__ticket__free_unpacked(t, NULL);
    rl_identity_unref(&signer);
}
END_TEST

START_TEST(a_session_has_one_id_in_the_leaf_whichever_broker_makes_it)
{
    char one[RL_UUID_TEXT_BYTES], again[RL_UUID_TEXT_BYTES], other[RL_UUID_TEXT_BYTES];
    asked_session_id("root", SESSION, one);
    asked_session_id("root", SESSION, again);
    asked_session_id("toor", SESSION, other);
    ck_assert_str_eq(one, again);
    ck_assert_str_ne(one, other);
    ck_assert(rl_name_is_uuid(one) && one[14] == '8');
}
END_TEST

START_TEST(a_ticket_that_is_not_of_the_roots_proxy_for_this_leaf_and_minute_is_refused)
{
    struct wish w = honest();
    struct rl_tls_identity *own = service_identity(c, "proxy", ROOT_PROXY);
    struct rl_tls_identity *others = identity_by(&c->leaf_services, "proxy", ROOT_PROXY);
    w.signer = r.broker;
    expect_refusal(&w, RL_E_DENIED, "not by a proxy of cluster root");
    w.signer = own; /* of this cluster: it is no root's */
    expect_refusal(&w, RL_E_UNAUTHENTICATED, "");
    w.signer = others; /* another leaf's */
    expect_refusal(&w, RL_E_UNAUTHENTICATED, "");
    w = honest();
    w.agent = "cluster/leaf";
    expect_refusal(&w, RL_E_DENIED, "for another agent");
    w = honest();
    w.age_s = 61;
    expect_refusal(&w, RL_E_DENIED, "older than 60");
    w = honest();
    w.session = "../x";
    expect_refusal(&w, RL_E_INVAL, "no proper id");
    ck_assert_int_eq(c->auth.resolved, 0);
    rl_tls_identity_unref(&own);
    rl_tls_identity_unref(&others);
}
END_TEST

START_TEST(a_ticket_is_good_once)
{
    struct wish w = honest();
    ask(&w);
    TURN_UNTIL(c, r.opened == RL_OK);
    w.keeps_number = true;
    expect_refusal(&w, RL_E_DENIED, "used before");
}
END_TEST

START_TEST(who_comes_is_a_user_of_that_root_and_the_one_who_is_named)
{
    struct wish w = honest();
    struct authority others = authority_make(RL_IDENTITY_USER, "main");
    struct rl_tls_identity *bob = identity_by(&c->root_users, NULL, "bob");
    struct rl_tls_identity *local = identity_by(&others, NULL, "alice");
    w.user = bob; /* and alice is named */
    expect_refusal(&w, RL_E_DENIED, "another certificate");
    w.user = w.named = local; /* the leaf's own cluster, by an authority that nobody knows */
    expect_refusal(&w, RL_E_UNAUTHENTICATED, "");
    w.user = w.named = r.proxy; /* a service of the root */
    expect_refusal(&w, RL_E_DENIED, "no user's of cluster root");
    ck_assert_int_eq(c->auth.resolved, 0);
    authority_free(&others);
    rl_tls_identity_unref(&bob);
    rl_tls_identity_unref(&local);
}
END_TEST

START_TEST(nothing_but_what_is_registered_is_dialled)
{
    static const char *const targets[] = {"127.0.0.1:22", "10.0.0.1", "cluster/leaf", "node-b"};
    struct wish w = honest();
    for (size_t i = 0; i < RL_COUNT(targets); i++) {
        w.target = targets[i];
        expect_refusal(&w, RL_E_NOT_FOUND, "no such node"); /* a name like any, to auth */
    }
    static const char *const kinds[] = {"app", "kube", "broker", "tcp", ""};
    w.target = "node-a";
    for (size_t i = 0; i < RL_COUNT(kinds); i++) {
        w.kind = kinds[i];
        expect_refusal(&w, RL_E_NOT_FOUND, "offers no");
    }
    w.kind = "auth";
    expect_refusal(&w, RL_E_INVAL, "not named so");
    w = honest();
    w.target = "";
    expect_refusal(&w, RL_E_INVAL, "not named so");
}
END_TEST

START_TEST(why_a_node_is_not_reached_is_said_in_words_that_pass_the_root)
{
    struct wish w = honest();
    rl_rpc_cancel(a.attach);
    TURN_UNTIL(c, broker_agents(c->broker) == 0);
    expect_refusal(&w, RL_E_ABORTED, "cluster main: node node-a can not be reached now");
    c->auth.is_online = false;
    expect_refusal(&w, RL_E_ABORTED, "cluster main: node node-a is offline since 2027");
    c->auth.is_resolve_away = true;
    expect_refusal(&w, RL_E_ABORTED, "its auth can not be asked");
}
END_TEST

START_TEST(a_refusal_of_the_node_reaches_the_root)
{
    struct wish w = honest();
    int refusals = r.refusals;
    a.refuses = true;
    ask(&w);
    TURN_UNTIL(c, r.refusals > refusals);
    ck_assert_int_eq(r.refused, RL_E_EXHAUSTED);
    ck_assert_str_eq(r.refusal, "cluster main: too many connections here");
    ck_assert_int_eq(r.carries, 0);
}
END_TEST

START_TEST(a_policy_of_the_root_goes_to_auth_and_the_root_hears_what_is_held)
{
    Pb__SignedPolicySeal seal = PB__SIGNED_POLICY_SEAL__INIT;
    Pb__PolicyUpdate update = PB__POLICY_UPDATE__INIT;
    Pb__BrokerMessage message = PB__BROKER_MESSAGE__INIT;
    update.seal = &seal;
    message.body_case = PB__BROKER_MESSAGE__BODY_POLICY;
    message.policy = &update;
    c->auth.takes_version = 12;
    root_say(&message);
    TURN_UNTIL(c, r.helds == 1);
    ck_assert_uint_eq(r.held, 12);
    c->auth.take_code = RL_E_PRECONDITION; /* it wants the whole */
    root_say(&message);
    TURN_UNTIL(c, r.helds == 2);
    ck_assert_uint_eq(r.held, 0);
    c->auth.take_code = RL_E_DENIED; /* it is not the root's */
    root_say(&message);
    TURN_UNTIL(c, c->auth.taken == 3);
    turn_for(c, 50);
    ck_assert_int_eq(r.helds, 2);
    c->auth.take_code = RL_E_UNAVAILABLE; /* it comes again by itself */
    root_say(&message);
    TURN_UNTIL(c, c->auth.taken == 4);
    c->auth.take_code = RL_OK;
    TURN_UNTIL(c, r.helds == 3);
    ck_assert_uint_eq(r.held, 12);
}
END_TEST

START_TEST(a_root_that_is_left_is_cut_at_once_with_all_that_came_from_it)
{
    struct wish w = honest();
    ask(&w);
    TURN_UNTIL(c, r.opened == RL_OK);
    auth_say_clusters(c, NULL, NULL);
    TURN_UNTIL(c, !r.attach && !r.carry && a.carry_closed == 1);
    ck_assert_uint_eq(broker_streams(c->broker), 0);
    auth_say_clusters(c, NULL, r.address); /* and is there again when it is allowed again */
    TURN_UNTIL(c, r.hellos == 2);
}
END_TEST

START_TEST(a_root_that_was_away_is_attached_again_and_auth_knows)
{
    root_stop();
    TURN_UNTIL(c, !c->auth.is_root_attached);
    ck_assert_int_eq(c->auth.root_code, RL_E_UNAVAILABLE);
    root_start();
    TURN_UNTIL(c, c->auth.is_root_attached && r.hellos == 2);
}
END_TEST

START_TEST(a_root_is_left_while_auth_is_told_how_it_stands)
{
    c->auth.holds_reports = true;
    root_stop();
    TURN_UNTIL(c, c->auth.held_report);
    auth_say_clusters(c, NULL, NULL);
    TURN_UNTIL(c, rl_control_state(c->control)->n_clusters == 0);
    Pb__ReportRootResponse late = PB__REPORT_ROOT_RESPONSE__INIT;
    c->auth.holds_reports = false;
    rl_rpc_reply(c->auth.held_report, &late.base);
    root_start();
    auth_say_clusters(c, NULL, r.address);
    TURN_UNTIL(c, c->auth.is_root_attached && r.hellos == 2);
}
END_TEST

START_TEST(an_open_that_waits_for_auth_outlives_neither_root_nor_broker)
{
    struct wish w = honest();
    a.is_mute = true;
    ask(&w);
    TURN_UNTIL(c, a.opens == 1);
    ask(&w); /* one waits for its node, this one for auth's answer */
    auth_say_clusters(c, NULL, NULL);
    TURN_UNTIL(c, !r.attach);
    agent_carry(&a, a.stream_id, a.epoch);
    TURN_UNTIL(c, a.carry_closed == 1);
    ck_assert_int_eq(a.carry_code, RL_E_NOT_FOUND);
}
END_TEST

/* ---- elsewhere in the leaf ---- */

/* Another broker of the leaf, that has the node; or none: nobody listens there. */
static void say_broker(const char *address)
{
    Pb__BrokerAddress other = PB__BROKER_ADDRESS__INIT, *list[] = {&other};
    Pb__ControlUpdate update = PB__CONTROL_UPDATE__INIT;
    other.id = (char *)(uintptr_t)OTHER_BROKER;
    other.dial_address = (char *)(uintptr_t)address;
    update.brokers = list;
    update.n_brokers = 1;
    update.brokers_changed = true;
    auth_say(c, &update);
    TURN_UNTIL(c, rl_control_state(c->control)->n_brokers == 1);
}

START_TEST(a_node_at_another_broker_of_the_leaf_is_dialled_there)
{
    struct broker *other = NULL;
    struct rl_tls_identity *id = service_identity(c, "broker", OTHER_BROKER);
    struct rl_tls_server *tls = tls_server(c, id);
    struct broker_config config = {.loop = c->loop,
                                   .cluster = "main",
                                   .id = OTHER_BROKER,
                                   .agents_max = 10,
                                   .attach_rate = 5,
                                   .stream_window_bytes = 262144,
                                   .now_s = cluster_now_s};
    struct test_agent b;
    char dial_at[64], attach_at[64];
    uint16_t port = 0;
    ck_assert_int_eq(broker_create(&config, &other, NULL), RL_OK);
    ck_assert_int_eq(broker_listen_dial(other, "127.0.0.1:0", tls, &port, NULL), RL_OK);
    snprintf(dial_at, sizeof dial_at, "127.0.0.1:%u", port);
    ck_assert_int_eq(broker_listen_attach(other, "127.0.0.1:0", tls, NULL, &port, NULL), RL_OK);
    snprintf(attach_at, sizeof attach_at, "127.0.0.1:%u", port);
    broker_set_control(other, c->control);
    rl_rpc_cancel(a.attach);
    TURN_UNTIL(c, broker_agents(c->broker) == 0);
    agent_init(&b, c, UUID_A, "node");
    rl_rpc_channel_free(&b.channel);
    b.channel = channel(c, attach_at, b.tls);
    agent_attach(&b);
    TURN_UNTIL(c, b.welcomed);
    say_broker(dial_at);
    snprintf(c->auth.holder, sizeof c->auth.holder, OTHER_BROKER);
    struct wish w = honest();
    ask(&w);
    TURN_UNTIL(c, r.opened == RL_OK && r.carry);
    ck_assert_int_eq(b.opens, 1);
    root_send("hello");
    char text[16] = {0};
    TURN_UNTIL(c, read(b.fd, text, sizeof text) == 5);
    ck_assert_int_eq(write(b.fd, "world!", 6), 6);
    TURN_UNTIL(c, r.got_n == 6);
    rl_rpc_raw_finish(r.carry, RL_E_UNAVAILABLE, "a hop died");
    TURN_UNTIL(c, b.carry_closed == 1 && !broker_streams(c->broker) && !broker_streams(other));
    ck_assert_int_eq(b.carry_code, RL_E_UNAVAILABLE);
    agent_fini(&b);
    broker_free(&other);
    rl_tls_server_unref(&tls);
    rl_tls_identity_unref(&id);
}
END_TEST

START_TEST(a_broker_that_is_away_is_not_the_end_of_asking)
{
    say_broker("127.0.0.1:1");
    snprintf(c->auth.holder, sizeof c->auth.holder, OTHER_BROKER); /* auth's row is stale */
    struct wish w = honest();
    ask(&w);
    TURN_UNTIL(c, r.opened == RL_OK);
    rl_rpc_cancel(a.attach);
    TURN_UNTIL(c, broker_agents(c->broker) == 0);
    expect_refusal(&w, RL_E_ABORTED, "can not be reached now");
}
END_TEST

/* ---- auth and audit ---- */

static int accept_one(int listener)
{
    int fd = -1;
    TURN_UNTIL(c, (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0);
    return fd;
}

static void say_services(const char *auth)
{
    char *list[] = {(char *)(uintptr_t)auth};
    Pb__ServiceAddresses services = PB__SERVICE_ADDRESSES__INIT;
    Pb__ControlUpdate update = PB__CONTROL_UPDATE__INIT;
    services.auth = list;
    services.n_auth = 1;
    update.services = &services;
    auth_say(c, &update);
    TURN_UNTIL(c, rl_control_state(c->control)->services);
}

/* The first flight of a real client, as what is carried. */
static struct rl_span client_hello(uint8_t room[4096])
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    BIO *out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
    SSL_set_connect_state(ssl);
    ck_assert_int_le(SSL_do_handshake(ssl), 0);
    int n = BIO_read(out, room, 4096);
    ck_assert_int_gt(n, 0);
    SSL_free(ssl);
    SSL_CTX_free(context);
    return RL_SPAN(room, (size_t)n);
}

static void root_send_bytes(struct rl_span bytes)
{
    uint8_t header[RL_TUNNEL_DATA_HEADER_BYTES_MAX];
    rl_buf_put(&r.out, header, rl_frame_data_header_write(header, 0, bytes.n));
    rl_buf_put_span(&r.out, bytes);
    rl_rpc_raw_wake(r.carry);
}

START_TEST(auth_is_reached_behind_a_header_that_this_broker_signs)
{
    int listener;
    uint16_t port = 0;
    char address[64];
    ck_assert_int_eq(rl_listen("127.0.0.1:0", &listener, &port, NULL), RL_OK);
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    say_services(address);
    struct wish w = honest();
    w.kind = "auth";
    w.target = "";
    ask(&w);
    int fd = accept_one(listener);
    TURN_UNTIL(c, r.opened == RL_OK && r.carry);
    uint8_t room[4096], got[16384];
    struct rl_span hello = client_hello(room);
    root_send_bytes(hello);
    size_t n = 0;
    struct rl_proxy_header header = {0};
    enum rl_proxy_result result = RL_PROXY_MORE;
    TURN_UNTIL(c, ({
                   ssize_t m = read(fd, got + n, sizeof got - n);
                   n += m > 0 ? (size_t)m : 0;
                   result = rl_proxy_header_parse(RL_SPAN(got, n), &header, NULL);
                   result == RL_PROXY_WHOLE &&n == header.bytes + hello.n;
               }));
    ck_assert_int_eq(memcmp(got + header.bytes, hello.p, hello.n), 0);
    struct rl_identity *signer = NULL;
    ck_assert_int_eq(
        rl_proxy_header_verify(&header, c->trust, hello.p + 11, NOW_S, NULL, &signer, NULL), RL_OK);
    ck_assert_str_eq(signer->name, BROKER_ID);
    rl_identity_unref(&signer);
    ck_assert_int_eq(write(fd, "answer", 6), 6);
    TURN_UNTIL(c, r.got_n == 6);
    ck_assert_int_eq(c->auth.resolved, 0); /* auth asks for the certificate itself */
    close(fd);
    TURN_UNTIL(c, !r.carry || r.ends || (r.ends = true));
    auth_say_clusters(c, NULL, NULL);
    TURN_UNTIL(c, !r.carry && !r.attach);
    close(listener);
}
END_TEST

START_TEST(what_is_no_tls_never_reaches_auth)
{
    int listener;
    uint16_t port = 0;
    char address[64], byte;
    ck_assert_int_eq(rl_listen("127.0.0.1:0", &listener, &port, NULL), RL_OK);
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    say_services(address);
    struct wish w = honest();
    w.kind = "auth";
    w.target = "";
    w.client = "nowhere";
    int refusals = r.refusals;
    ask(&w);
    TURN_UNTIL(c, r.refusals > refusals);
    ck_assert_int_eq(r.refused, RL_E_INVAL);
    w.client = "192.0.2.9:4096";
    ask(&w);
    int fd = accept_one(listener);
    TURN_UNTIL(c, r.opened == RL_OK && r.carry);
    root_send("GET / HTTP/1.1\r\n\r\n");
    TURN_UNTIL(c, !r.carry);
    ck_assert_int_le(read(fd, &byte, 1), 0);
    close(fd);
    close(listener);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("roots");
    TCase *t = tcase_create("roots");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_leaf_attaches_with_its_own_certificate_and_says_what_its_auth_holds);
    tcase_add_test(t, a_user_of_the_root_reaches_a_node_and_bytes_go_both_ways);
    tcase_add_test(t, the_node_is_shown_a_ticket_of_this_cluster_that_quotes_the_root);
    tcase_add_test(t, a_session_has_one_id_in_the_leaf_whichever_broker_makes_it);
    tcase_add_test(t, a_ticket_that_is_not_of_the_roots_proxy_for_this_leaf_and_minute_is_refused);
    tcase_add_test(t, a_ticket_is_good_once);
    tcase_add_test(t, who_comes_is_a_user_of_that_root_and_the_one_who_is_named);
    tcase_add_test(t, nothing_but_what_is_registered_is_dialled);
    tcase_add_test(t, why_a_node_is_not_reached_is_said_in_words_that_pass_the_root);
    tcase_add_test(t, a_refusal_of_the_node_reaches_the_root);
    tcase_add_test(t, a_policy_of_the_root_goes_to_auth_and_the_root_hears_what_is_held);
    tcase_add_test(t, a_root_that_is_left_is_cut_at_once_with_all_that_came_from_it);
    tcase_add_test(t, a_root_that_was_away_is_attached_again_and_auth_knows);
    tcase_add_test(t, a_root_is_left_while_auth_is_told_how_it_stands);
    tcase_add_test(t, an_open_that_waits_for_auth_outlives_neither_root_nor_broker);
    tcase_add_test(t, a_node_at_another_broker_of_the_leaf_is_dialled_there);
    tcase_add_test(t, a_broker_that_is_away_is_not_the_end_of_asking);
    tcase_add_test(t, auth_is_reached_behind_a_header_that_this_broker_signs);
    tcase_add_test(t, what_is_no_tls_never_reaches_auth);
    suite_add_tcase(s, t);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
