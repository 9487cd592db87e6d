#include "tls/tls.h"

#include "tls/tests/pair.h"

#include <stdlib.h>

static struct authority users, hosts, services, other_services;
static struct rl_trust *trust;
static EVP_PKEY *key;
static int64_t now_s;
static struct rl_tls_identity *auth, *proxy, *agent, *alice;

static int64_t now(void *context)
{
    (void)context;
    return now_s;
}

static struct rl_tls_identity *own(const struct authority *a, X509 *leaf)
{
    struct rl_buf der[2];
    struct rl_span chain[2];
    X509 *certificates[] = {leaf, a->ca};
    for (size_t i = 0; i < 2; i++) {
        rl_buf_init(&der[i], 65536);
        ck_assert_int_eq(rl_x509_to_der(certificates[i], &der[i], NULL), RL_OK);
        chain[i] = rl_buf_span(&der[i]);
    }
    struct rl_tls_identity *identity = NULL;
    ck_assert_int_eq(rl_tls_identity_create(chain, 2, key, &identity, NULL), RL_OK);
    rl_buf_fini(&der[0]);
    rl_buf_fini(&der[1]);
    X509_free(leaf);
    return identity;
}

static void set_up(void)
{
    now_s = NOW_S;
    users = authority_make(RL_IDENTITY_USER, "main");
    hosts = authority_make(RL_IDENTITY_AGENT, "main");
    services = authority_make(RL_IDENTITY_SERVICE, "main");
    other_services = authority_make(RL_IDENTITY_SERVICE, "main");
    trust = rl_trust_create("main");
    ck_assert_int_eq(authority_trust(trust, RL_IDENTITY_USER, "main", users.ca, NULL), RL_OK);
    ck_assert_int_eq(authority_trust(trust, RL_IDENTITY_AGENT, "main", hosts.ca, NULL), RL_OK);
    ck_assert_int_eq(authority_trust(trust, RL_IDENTITY_SERVICE, "main", services.ca, NULL), RL_OK);
    key = fresh_key();
    auth = own(&services, authority_issue(&services, UUID_A, "auth", key));
    proxy = own(&services, authority_issue(&services, UUID_B, "proxy", key));
    agent = own(&hosts, authority_issue(&hosts, UUID_A, NULL, key));
    alice = own(&users, authority_issue(&users, "alice", NULL, key));
}

static void tear_down(void)
{
    rl_tls_identity_unref(&auth);
    rl_tls_identity_unref(&proxy);
    rl_tls_identity_unref(&agent);
    rl_tls_identity_unref(&alice);
    authority_free(&users);
    authority_free(&hosts);
    authority_free(&services);
    authority_free(&other_services);
    rl_trust_unref(&trust);
    EVP_PKEY_free(key);
}

static const char *const h2_only[] = {"h2", NULL};

static struct rl_tls_server_config server_config(void)
{
    return (struct rl_tls_server_config){.route = "auth",
                                         .identity = auth,
                                         .trust = trust,
                                         .client = RL_TLS_CLIENT_OPTIONAL,
                                         .alpn = h2_only,
                                         .now_s = now};
}

static struct rl_tls_client_config client_config(struct rl_tls_identity *identity)
{
    return (struct rl_tls_client_config){.identity = identity,
                                         .trust = trust,
                                         .alpn = "h2",
                                         .sni = "auth.main.remoteler.internal",
                                         .peer_kind = RL_IDENTITY_SERVICE,
                                         .peer_service = "auth",
                                         .now_s = now};
}

static void connect_pair(struct pair *p, const struct rl_tls_server_config *sc,
                         const struct rl_tls_client_config *cc)
{
    struct rl_tls_server *server = NULL;
    struct rl_tls_client *client = NULL;
    ck_assert_int_eq(rl_tls_server_create(sc, &server, NULL), RL_OK);
    ck_assert_int_eq(rl_tls_client_create(cc, &client, NULL), RL_OK);
    pair_open(p, server, client, NULL);
    rl_tls_server_unref(&server);
    rl_tls_client_unref(&client);
    pair_pump(p);
}

static void expect_done(const struct pair *p)
{
    ck_assert_msg(p->client_end == RL_TLS_DONE, "client: %s", p->client_err.message);
    ck_assert_msg(p->server_end == RL_TLS_DONE, "server: %s", p->server_err.message);
}

static void expect_words(const struct rl_error *err, const char *words)
{
    ck_assert_msg(strstr(err->message, words) != NULL, "\"%s\" does not say \"%s\"", err->message,
                  words);
}

/* The server refused; and the client learns why when it reads. */
static void expect_server_refuses(struct pair *p, const char *server_words,
                                  const char *client_words)
{
    char byte;
    ck_assert_int_eq(p->server_end, RL_TLS_FAILED);
    expect_words(&p->server_err, server_words);
    if (p->client_end == RL_TLS_DONE) {
        int n = SSL_read(p->client, &byte, 1);
        ck_assert_int_le(n, 0);
        ck_assert_int_ne(rl_tls_explain(p->client, n, &p->client_err), RL_OK);
    }
    expect_words(&p->client_err, client_words);
}

static void expect_client_refuses(const struct pair *p, const char *words)
{
    ck_assert_int_eq(p->client_end, RL_TLS_FAILED);
    expect_words(&p->client_err, words);
    ck_assert_int_ne(p->server_end, RL_TLS_DONE);
}

START_TEST(both_ends_learn_who_the_other_is)
{
    struct pair p;
    struct rl_identity *peer = NULL;
    struct rl_tls_server_config sc = server_config();
    struct rl_tls_client_config cc = client_config(alice);
    connect_pair(&p, &sc, &cc);
    expect_done(&p);
    ck_assert_int_eq(rl_tls_peer(p.server, &peer, NULL), RL_OK);
    ck_assert_str_eq(peer->name, "alice");
    rl_identity_unref(&peer);
    ck_assert_int_eq(rl_tls_peer(p.client, &peer, NULL), RL_OK);
    ck_assert(rl_identity_is_service(peer, "auth"));
    rl_identity_unref(&peer);
    ck_assert_int_eq(SSL_version(p.client), TLS1_3_VERSION);
    char byte = 'x';
    ck_assert_int_eq(SSL_write(p.client, &byte, 1), 1);
    ck_assert_int_eq(SSL_read(p.server, &byte, 1), 1);
    X509 *authority = rl_tls_peer_authority(p.client);
    ck_assert_int_eq(X509_cmp(authority, services.ca), 0);
    X509_free(authority);
    pair_close(&p);
}
END_TEST

START_TEST(an_optional_certificate_may_be_missing_but_not_bad)
{
    struct pair p;
    struct rl_identity *peer = NULL;
    struct rl_tls_server_config sc = server_config();
    struct rl_tls_client_config cc = client_config(NULL);
    connect_pair(&p, &sc, &cc);
    expect_done(&p);
    ck_assert_int_eq(rl_tls_peer(p.server, &peer, NULL), RL_OK);
    ck_assert_ptr_null(peer);
    pair_close(&p);
    struct rl_tls_identity *stranger =
        own(&other_services, authority_issue(&other_services, UUID_B, "proxy", key));
    cc = client_config(stranger);
    connect_pair(&p, &sc, &cc);
    expect_server_refuses(&p, "not trusted here", "refused our certificate");
    pair_close(&p);
    rl_tls_identity_unref(&stranger);
}
END_TEST

START_TEST(a_required_certificate_must_be_there)
{
    struct pair p;
    struct rl_tls_server_config sc = server_config();
    struct rl_tls_client_config cc = client_config(NULL);
    sc.client = RL_TLS_CLIENT_REQUIRED;
    connect_pair(&p, &sc, &cc);
    expect_server_refuses(&p, "showed no certificate", "wants a certificate");
    pair_close(&p);
}
END_TEST

START_TEST(a_route_that_does_not_ask_gets_no_certificate)
{
    struct pair p;
    struct rl_identity *peer = NULL;
    struct rl_tls_server_config sc = server_config();
    struct rl_tls_client_config cc = client_config(alice);
    sc.client = RL_TLS_CLIENT_NONE;
    sc.trust = NULL;
    connect_pair(&p, &sc, &cc);
    expect_done(&p);
    ck_assert_int_eq(rl_tls_peer(p.server, &peer, NULL), RL_OK);
    ck_assert_ptr_null(peer);
    pair_close(&p);
}
END_TEST

START_TEST(the_server_refuses_an_expired_certificate_and_the_client_is_told)
{
    struct pair p;
    struct rl_tls_identity *old =
        own(&users, authority_issue_at(&users, "alice", NULL, key, NOW_S - 7200, 3600));
    struct rl_tls_server_config sc = server_config();
    struct rl_tls_client_config cc = client_config(old);
    connect_pair(&p, &sc, &cc);
    expect_server_refuses(&p, "expired 1 h ago", "refused our certificate: expired");
    pair_close(&p);
    rl_tls_identity_unref(&old);
}
END_TEST

START_TEST(the_client_refuses_a_server_before_and_after_its_time)
{
    struct pair p;
    struct rl_tls_server_config sc = server_config();
    struct rl_tls_client_config cc = client_config(NULL);
    now_s = NOW_S + 7200;
    connect_pair(&p, &sc, &cc);
    expect_client_refuses(&p, "expired");
    pair_close(&p);
    now_s = NOW_S - 7200;
    connect_pair(&p, &sc, &cc);
    expect_client_refuses(&p, "not valid yet");
    pair_close(&p);
}
END_TEST

START_TEST(the_client_refuses_whoever_is_not_expected)
{
    struct pair p;
    struct rl_tls_server_config sc = server_config();
    struct rl_tls_client_config cc = client_config(NULL);
    sc.identity = proxy;
    connect_pair(&p, &sc, &cc);
    expect_client_refuses(&p, "service proxy (" UUID_B ") of cluster main answered");
    expect_words(&p.client_err, "expected was a service auth of cluster main");
    pair_close(&p);
    sc.identity = agent;
    connect_pair(&p, &sc, &cc);
    expect_client_refuses(&p, "agent " UUID_A);
    pair_close(&p);
    cc.peer_kind = RL_IDENTITY_AGENT;
    cc.peer_service = NULL;
    cc.peer_name = UUID_B;
    connect_pair(&p, &sc, &cc);
    expect_client_refuses(&p, "agent " UUID_A);
    pair_close(&p);
    cc.peer_kind = RL_IDENTITY_SERVICE;
    cc.peer_name = NULL;
    connect_pair(&p, &sc, &cc);
    expect_client_refuses(&p, "expected was a service of cluster main");
    pair_close(&p);
    sc.identity = alice;
    connect_pair(&p, &sc, &cc);
    expect_client_refuses(&p, "can not be a server's");
    pair_close(&p);
}
END_TEST

START_TEST(the_client_refuses_an_authority_that_it_does_not_know)
{
    struct pair p;
    struct rl_tls_identity *stranger =
        own(&other_services, authority_issue(&other_services, UUID_A, "auth", key));
    struct rl_tls_server_config sc = server_config();
    struct rl_tls_client_config cc = client_config(NULL);
    sc.identity = stranger;
    connect_pair(&p, &sc, &cc);
    expect_client_refuses(&p, "not trusted here");
    pair_close(&p);
    rl_tls_identity_unref(&stranger);
}
END_TEST

START_TEST(a_service_of_another_trusted_cluster_is_not_ours)
{
    struct pair p;
    struct authority leaf = authority_make(RL_IDENTITY_SERVICE, "leaf.example");
    ck_assert_int_eq(authority_trust(trust, RL_IDENTITY_SERVICE, "leaf.example", leaf.ca, NULL),
                     RL_OK);
    struct rl_tls_identity *foreign = own(&leaf, authority_issue(&leaf, UUID_A, "auth", key));
    struct rl_tls_server_config sc = server_config();
    struct rl_tls_client_config cc = client_config(NULL);
    sc.identity = foreign;
    connect_pair(&p, &sc, &cc);
    expect_client_refuses(&p, "cluster leaf.example answered");
    pair_close(&p);
    cc.peer_cluster = "leaf.example";
    connect_pair(&p, &sc, &cc);
    expect_done(&p);
    pair_close(&p);
    rl_tls_identity_unref(&foreign);
    authority_free(&leaf);
}
END_TEST

START_TEST(a_pin_stands_for_one_authority)
{
    struct pair p;
    char *pin = rl_identity_pin(services.ca);
    char *wrong = rl_identity_pin(other_services.ca);
    struct rl_tls_server_config sc = server_config();
    struct rl_tls_client_config cc = client_config(NULL);
    cc.trust = NULL;
    cc.pin = pin;
    connect_pair(&p, &sc, &cc);
    expect_done(&p);
    struct rl_identity *peer = NULL;
    ck_assert_int_eq(rl_tls_peer(p.client, &peer, NULL), RL_OK);
    ck_assert_str_eq(peer->cluster, "main");
    rl_identity_unref(&peer);
    pair_close(&p);
    cc.pin = wrong;
    connect_pair(&p, &sc, &cc);
    expect_client_refuses(&p, "with the pin");
    pair_close(&p);
    /* the right authority, and another service than the one expected */
    cc.pin = pin;
    sc.identity = proxy;
    connect_pair(&p, &sc, &cc);
    expect_client_refuses(&p, "service proxy");
    pair_close(&p);
    free(pin);
    free(wrong);
}
END_TEST

START_TEST(a_pinned_authority_must_have_signed_the_leaf)
{
    /* an attacker's leaf beside the true authority's certificate */
    struct pair p;
    char *pin = rl_identity_pin(services.ca);
    X509 *leaf = authority_issue(&other_services, UUID_A, "auth", key);
    struct authority mixed = other_services;
    mixed.ca = services.ca;
    struct rl_tls_identity *forged = own(&mixed, leaf);
    struct rl_tls_server_config sc = server_config();
    struct rl_tls_client_config cc = client_config(NULL);
    sc.identity = forged;
    cc.trust = NULL;
    cc.pin = pin;
    connect_pair(&p, &sc, &cc);
    expect_client_refuses(&p, "not trusted here");
    pair_close(&p);
    cc.pin = NULL;
    cc.insecure = true;
    connect_pair(&p, &sc, &cc);
    expect_done(&p);
    ck_assert_ptr_null(rl_tls_peer_authority(p.client));
    pair_close(&p);
    rl_tls_identity_unref(&forged);
    free(pin);
}
END_TEST

START_TEST(a_client_that_trusts_nothing_is_not_made)
{
    struct rl_tls_client *client = NULL;
    struct rl_tls_client_config cc = client_config(NULL);
    cc.trust = NULL;
    ck_assert_int_eq(rl_tls_client_create(&cc, &client, NULL), RL_E_INVAL);
    ck_assert_ptr_null(client);
}
END_TEST

START_TEST(the_systems_trust_does_not_take_our_authorities)
{
    struct pair p;
    struct rl_tls_server_config sc = server_config();
    struct rl_tls_client_config cc = client_config(NULL);
    cc.trust = NULL;
    cc.web_host = "auth.main.remoteler.internal";
    connect_pair(&p, &sc, &cc);
    expect_client_refuses(&p, "not trusted");
    pair_close(&p);
}
END_TEST

START_TEST(a_common_protocol_must_be_found)
{
    struct pair p;
    struct rl_tls_server_config sc = server_config();
    struct rl_tls_client_config cc = client_config(NULL);
    cc.alpn = "http/1.1";
    connect_pair(&p, &sc, &cc);
    expect_server_refuses(&p, "another protocol", "does not speak our protocol");
    pair_close(&p);
    cc.alpn = NULL;
    connect_pair(&p, &sc, &cc);
    ck_assert_int_eq(p.server_end, RL_TLS_FAILED);
    expect_words(&p.server_err, "does not speak our protocol");
    pair_close(&p);
    sc.allow_no_alpn = true;
    connect_pair(&p, &sc, &cc);
    expect_done(&p);
    pair_close(&p);
    /* and the client insists too */
    sc.alpn = NULL;
    cc.alpn = "h2";
    connect_pair(&p, &sc, &cc);
    ck_assert_int_eq(p.client_end, RL_TLS_FAILED);
    expect_words(&p.client_err, "does not speak our protocol");
    pair_close(&p);
}
END_TEST

START_TEST(the_name_must_read_as_the_one_that_chose_the_route)
{
    static const struct {
        const char *expected, *sent;
        bool good;
    } cases[] = {
        {"auth.main.remoteler.internal", "auth.main.remoteler.internal", true},
        {"auth.main.remoteler.internal", "AUTH.main.remoteler.internal", true},
        {"auth.main.remoteler.internal", "kube.main.remoteler.internal", false},
        {"auth.main.remoteler.internal", NULL, false},
        {"", NULL, true},
        {"", "auth.main.remoteler.internal", false},
        {NULL, "auth.main.remoteler.internal", true},
    };
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        struct pair p;
        struct rl_tls_server *server = NULL;
        struct rl_tls_client *client = NULL;
        struct rl_tls_server_config sc = server_config();
        struct rl_tls_client_config cc = client_config(NULL);
        cc.sni = cases[i].sent;
        ck_assert_int_eq(rl_tls_server_create(&sc, &server, NULL), RL_OK);
        ck_assert_int_eq(rl_tls_client_create(&cc, &client, NULL), RL_OK);
        pair_open(&p, server, client, cases[i].expected);
        pair_pump(&p);
        ck_assert_msg((p.server_end == RL_TLS_DONE) == cases[i].good, "case %zu", i);
        pair_close(&p);
        rl_tls_server_unref(&server);
        rl_tls_client_unref(&client);
    }
}
END_TEST

START_TEST(tls_1_2_is_for_the_routes_that_allow_it)
{
    for (int allowed = 0; allowed < 2; allowed++) {
        struct pair p = {0};
        struct rl_tls_server *server = NULL;
        struct rl_tls_server_config sc = server_config();
        sc.allow_tls12 = allowed;
        sc.alpn = NULL;
        ck_assert_int_eq(rl_tls_server_create(&sc, &server, NULL), RL_OK);
        pair_sockets(&p);
        ck_assert_int_eq(
            rl_tls_accept(server, p.server_fd, RL_SPAN(NULL, 0), NULL, &p.server, NULL), RL_OK);
        SSL_CTX *old = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_max_proto_version(old, TLS1_2_VERSION);
        p.client = SSL_new(old);
        SSL_set_fd(p.client, p.client_fd);
        SSL_set_connect_state(p.client);
        enum rl_tls_progress progress = RL_TLS_WANT_READ;
        for (int turn = 0; turn < 10 && progress == RL_TLS_WANT_READ; turn++) {
            SSL_do_handshake(p.client);
            progress = rl_tls_handshake(p.server, &p.server_err);
        }
        ck_assert_int_eq(progress, allowed ? RL_TLS_DONE : RL_TLS_FAILED);
        if (!allowed)
            expect_words(&p.server_err, "our version of TLS");
        pair_close(&p);
        SSL_CTX_free(old);
        rl_tls_server_unref(&server);
    }
}
END_TEST

START_TEST(bytes_that_were_read_already_come_first)
{
    /* cut the ClientHello at several places: that much was peeked, the rest is in the socket */
    static const size_t cuts[] = {0, 1, 5, 100, 10000};
    for (size_t i = 0; i < RL_COUNT(cuts); i++) {
        struct pair p = {0};
        struct rl_tls_server *server = NULL;
        struct rl_tls_client *client = NULL;
        struct rl_tls_server_config sc = server_config();
        struct rl_tls_client_config cc = client_config(alice);
        uint8_t peeked[10000];
        ck_assert_int_eq(rl_tls_server_create(&sc, &server, NULL), RL_OK);
        ck_assert_int_eq(rl_tls_client_create(&cc, &client, NULL), RL_OK);
        pair_sockets(&p);
        ck_assert_int_eq(rl_tls_connect(client, p.client_fd, &p.client, NULL), RL_OK);
        ck_assert_int_eq(rl_tls_handshake(p.client, NULL), RL_TLS_WANT_READ);
        ssize_t n = cuts[i] ? read(p.server_fd, peeked, cuts[i]) : 0;
        ck_assert_int_ge(n, 0);
        ck_assert_int_eq(
            rl_tls_accept(server, p.server_fd, RL_SPAN(peeked, (size_t)n), NULL, &p.server, NULL),
            RL_OK);
        memset(peeked, 0, sizeof peeked);
        pair_pump(&p);
        expect_done(&p);
        ck_assert_int_eq(SSL_get_fd(p.server), p.server_fd);
        pair_close(&p);
        rl_tls_server_unref(&server);
        rl_tls_client_unref(&client);
    }
}
END_TEST

START_TEST(a_reload_counts_for_the_next_handshake)
{
    struct pair p, running;
    struct rl_tls_server *server = NULL;
    struct rl_tls_client *client = NULL;
    struct rl_tls_server_config sc = server_config();
    struct rl_tls_client_config cc = client_config(alice);
    ck_assert_int_eq(rl_tls_server_create(&sc, &server, NULL), RL_OK);
    ck_assert_int_eq(rl_tls_client_create(&cc, &client, NULL), RL_OK);
    pair_open(&running, server, client, NULL);
    pair_pump(&running);
    expect_done(&running);
    ck_assert_int_eq(rl_tls_server_reload(server, proxy, NULL, NULL), RL_OK);
    pair_open(&p, server, client, NULL);
    pair_pump(&p);
    expect_client_refuses(&p, "service proxy");
    pair_close(&p);
    struct rl_trust *nobody = rl_trust_create("main");
    ck_assert_int_eq(rl_tls_server_reload(server, auth, nobody, NULL), RL_OK);
    rl_trust_unref(&nobody);
    pair_open(&p, server, client, NULL);
    pair_pump(&p);
    expect_server_refuses(&p, "not trusted here", "refused our certificate");
    pair_close(&p);
    char byte = 'x';
    ck_assert_int_eq(SSL_write(running.client, &byte, 1), 1);
    ck_assert_int_eq(SSL_read(running.server, &byte, 1), 1);
    ck_assert_int_eq(rl_tls_server_reload(server, NULL, trust, NULL), RL_OK);
    ck_assert_int_eq(rl_tls_client_reload(client, agent, NULL, NULL), RL_OK);
    pair_open(&p, server, client, NULL);
    pair_pump(&p);
    expect_done(&p);
    struct rl_identity *peer = NULL;
    ck_assert_int_eq(rl_tls_peer(p.server, &peer, NULL), RL_OK);
    ck_assert_int_eq(peer->kind, RL_IDENTITY_AGENT);
    rl_identity_unref(&peer);
    pair_close(&p);
    pair_close(&running);
    rl_tls_server_unref(&server);
    rl_tls_client_unref(&client);
}
END_TEST

START_TEST(the_blocking_handshake_ends_by_its_time)
{
    struct pair p = {0};
    struct rl_tls_client *client = NULL;
    struct rl_error err;
    struct rl_tls_client_config cc = client_config(alice);
    ck_assert_int_eq(rl_tls_client_create(&cc, &client, NULL), RL_OK);
    pair_sockets(&p);
    fcntl(p.client_fd, F_SETFL, 0);
    ck_assert_int_eq(rl_tls_connect(client, p.client_fd, &p.client, NULL), RL_OK);
    ck_assert_int_eq(rl_tls_handshake_blocking(p.client, 20, &err), RL_E_DEADLINE);
    ck_assert_int_eq(fcntl(p.client_fd, F_GETFL) & O_NONBLOCK, 0);
    pair_close(&p);
    rl_tls_client_unref(&client);
}
END_TEST

START_TEST(whoever_does_not_speak_tls_is_told_so)
{
    struct pair p = {0};
    struct rl_tls_client *client = NULL;
    struct rl_error err;
    struct rl_tls_client_config cc = client_config(alice);
    ck_assert_int_eq(rl_tls_client_create(&cc, &client, NULL), RL_OK);
    pair_sockets(&p);
    ck_assert_int_eq(rl_tls_connect(client, p.client_fd, &p.client, NULL), RL_OK);
    static const char banner[] = "SSH-2.0-OpenSSH_9.2\r\n";
    ck_assert_int_gt(write(p.server_fd, banner, sizeof banner - 1), 0);
    ck_assert_int_eq(rl_tls_handshake_blocking(p.client, 1000, &err), RL_E_UNAVAILABLE);
    expect_words(&err, "the server does not speak TLS");
    SSL_free(p.client);
    p.client = NULL;
    shutdown(p.server_fd, SHUT_WR);
    char drain[4096];
    while (read(p.client_fd, drain, sizeof drain) > 0)
        continue;
    ck_assert_int_eq(rl_tls_connect(client, p.client_fd, &p.client, NULL), RL_OK);
    ck_assert_int_eq(rl_tls_handshake_blocking(p.client, 1000, &err), RL_E_UNAVAILABLE);
    expect_words(&err, "the server closed the connection");
    pair_close(&p);
    rl_tls_client_unref(&client);
}
END_TEST

START_TEST(an_identity_is_read_from_pem_as_from_der)
{
    struct rl_buf chain, pem_key, again;
    struct rl_tls_identity *copy = NULL;
    rl_buf_init(&chain, 65536);
    rl_buf_init(&pem_key, 65536);
    rl_buf_init(&again, 65536);
    ck_assert_int_eq(rl_tls_identity_pem(auth, &chain, &pem_key, NULL), RL_OK);
    ck_assert_int_eq(
        rl_tls_identity_create_pem(rl_buf_span(&chain), rl_buf_span(&pem_key), &copy, NULL), RL_OK);
    ck_assert_int_eq(X509_cmp(rl_tls_identity_certificate(copy), rl_tls_identity_certificate(auth)),
                     0);
    ck_assert_int_eq(rl_tls_identity_not_after_s(copy), NOW_S + 3600);
    rl_tls_identity_unref(&copy);
    EVP_PKEY *other = fresh_key();
    ck_assert_int_eq(rl_key_to_pem(other, &again, NULL), RL_OK);
    ck_assert_int_eq(
        rl_tls_identity_create_pem(rl_buf_span(&chain), rl_buf_span(&again), &copy, NULL),
        RL_E_INVAL);
    ck_assert_int_eq(rl_tls_identity_create_pem(rl_span_of("x"), rl_buf_span(&again), &copy, NULL),
                     RL_E_INVAL);
    ck_assert_ptr_null(copy);
    EVP_PKEY_free(other);
    rl_buf_fini(&chain);
    rl_buf_fini(&pem_key);
    rl_buf_fini(&again);
}
END_TEST

static void add_tests(TCase *t)
{
    tcase_add_test(t, both_ends_learn_who_the_other_is);
    tcase_add_test(t, an_optional_certificate_may_be_missing_but_not_bad);
    tcase_add_test(t, a_required_certificate_must_be_there);
    tcase_add_test(t, a_route_that_does_not_ask_gets_no_certificate);
    tcase_add_test(t, the_server_refuses_an_expired_certificate_and_the_client_is_told);
    tcase_add_test(t, the_client_refuses_a_server_before_and_after_its_time);
    tcase_add_test(t, the_client_refuses_whoever_is_not_expected);
    tcase_add_test(t, the_client_refuses_an_authority_that_it_does_not_know);
    tcase_add_test(t, a_service_of_another_trusted_cluster_is_not_ours);
    tcase_add_test(t, a_pin_stands_for_one_authority);
    tcase_add_test(t, a_pinned_authority_must_have_signed_the_leaf);
    tcase_add_test(t, a_client_that_trusts_nothing_is_not_made);
    tcase_add_test(t, the_systems_trust_does_not_take_our_authorities);
    tcase_add_test(t, a_common_protocol_must_be_found);
    tcase_add_test(t, the_name_must_read_as_the_one_that_chose_the_route);
    tcase_add_test(t, tls_1_2_is_for_the_routes_that_allow_it);
    tcase_add_test(t, bytes_that_were_read_already_come_first);
    tcase_add_test(t, a_reload_counts_for_the_next_handshake);
    tcase_add_test(t, the_blocking_handshake_ends_by_its_time);
    tcase_add_test(t, whoever_does_not_speak_tls_is_told_so);
    tcase_add_test(t, an_identity_is_read_from_pem_as_from_der);
}

int main(void)
{
    TCase *t = tcase_create("tls");
    tcase_add_checked_fixture(t, set_up, tear_down);
    add_tests(t);
    Suite *s = suite_create("tls");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
