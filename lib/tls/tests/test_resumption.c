#include "tls/tls.h"

#include "tls/tests/pair.h"

#include "bytes/secret.h"

static struct authority users, services;
static struct rl_trust *trust;
static EVP_PKEY *key;
static int64_t now_s;
static struct rl_tls_identity *auth;
static SSL_CTX *stock; /* a client that offers what it is told to */
static SSL_SESSION *kept;
static uint8_t ticket_keys[2][80];

static int64_t now(void *context)
{
    (void)context;
    return now_s;
}

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(kept);
    kept = session;
    return 1;
}

static void set_up(void)
{
    now_s = NOW_S;
    kept = NULL;
    users = authority_make(RL_IDENTITY_USER, "main");
    services = authority_make(RL_IDENTITY_SERVICE, "main");
    trust = rl_trust_create("main");
    ck_assert_int_eq(authority_trust(trust, RL_IDENTITY_USER, "main", users.ca, NULL), RL_OK);
    key = fresh_key();
    X509 *leaf = authority_issue(&services, UUID_A, "auth", key);
    struct rl_buf der;
    rl_buf_init(&der, 65536);
    ck_assert_int_eq(rl_x509_to_der(leaf, &der, NULL), RL_OK);
    ck_assert_int_eq(
        rl_tls_identity_create((struct rl_span[]){rl_buf_span(&der)}, 1, key, &auth, NULL), RL_OK);
    rl_buf_fini(&der);
    X509_free(leaf);
    X509 *alice = authority_issue(&users, "alice", NULL, key);
    stock = SSL_CTX_new(TLS_client_method());
    SSL_CTX_use_certificate(stock, alice);
    SSL_CTX_use_PrivateKey(stock, key);
    SSL_CTX_set_session_cache_mode(stock, SSL_SESS_CACHE_CLIENT);
    SSL_CTX_sess_set_new_cb(stock, keep_session);
    X509_free(alice);
    rl_random(ticket_keys, sizeof ticket_keys);
}

static void tear_down(void)
{
    SSL_SESSION_free(kept);
    SSL_CTX_free(stock);
    rl_tls_identity_unref(&auth);
    authority_free(&users);
    authority_free(&services);
    rl_trust_unref(&trust);
    EVP_PKEY_free(key);
}

static struct rl_tls_server *server_of(const char *route, bool with_keys, bool allow_tls12)
{
    struct rl_tls_server_config config = {.route = route,
                                          .identity = auth,
                                          .trust = trust,
                                          .client = RL_TLS_CLIENT_REQUIRED,
                                          .allow_resumption = true,
                                          .allow_tls12 = allow_tls12,
                                          .now_s = now};
    struct rl_tls_server *server = NULL;
    ck_assert_int_eq(rl_tls_server_create(&config, &server, NULL), RL_OK);
    struct rl_span one = RL_SPAN(ticket_keys[0], 80);
    if (with_keys)
        ck_assert_int_eq(rl_tls_server_set_ticket_keys(server, &one, 1, NULL), RL_OK);
    return server;
}

/* One connection that offers the kept session; the client reads until it has its ticket. */
static void connect_with(struct rl_tls_server *server, struct pair *p)
{
    char bytes[2];
    *p = (struct pair){.server_end = RL_TLS_WANT_READ};
    pair_sockets(p);
    ck_assert_int_eq(rl_tls_accept(server, p->server_fd, RL_SPAN(NULL, 0), NULL, &p->server, NULL),
                     RL_OK);
    p->client = SSL_new(stock);
    SSL_set_fd(p->client, p->client_fd);
    SSL_set_connect_state(p->client);
    if (kept)
        SSL_set_session(p->client, kept);
    for (int turn = 0; turn < 10; turn++) {
        SSL_do_handshake(p->client);
        if (p->server_end == RL_TLS_WANT_READ)
            p->server_end = rl_tls_handshake(p->server, &p->server_err);
    }
    if (p->server_end == RL_TLS_DONE) {
        SSL_write(p->server, "x", 1);
        SSL_read(p->client, bytes, sizeof bytes);
    }
    /* a session whose connection broke off is not offered again */
    SSL_set_shutdown(p->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

START_TEST(resumes_on_its_own_route_and_knows_who_it_is)
{
    for (int old = 0; old < 2; old++) {
        struct pair p;
        struct rl_identity *peer = NULL;
        struct rl_tls_server *server = server_of("connect", true, old);
        SSL_CTX_set_max_proto_version(stock, old ? TLS1_2_VERSION : TLS1_3_VERSION);
        connect_with(server, &p);
        ck_assert_int_eq(p.server_end, RL_TLS_DONE);
        ck_assert_ptr_nonnull(kept);
        pair_close(&p);
        connect_with(server, &p);
        ck_assert_msg(p.server_end == RL_TLS_DONE, "%s", p.server_err.message);
        ck_assert_int_eq(SSL_session_reused(p.server), 1);
        ck_assert_int_eq(rl_tls_peer(p.server, &peer, NULL), RL_OK);
        ck_assert_str_eq(peer->name, "alice");
        rl_identity_unref(&peer);
        pair_close(&p);
        rl_tls_server_unref(&server);
        SSL_SESSION_free(kept);
        kept = NULL;
    }
}
END_TEST

START_TEST(a_ticket_of_one_route_is_nothing_at_another)
{
    /* CVE-2025-23419; both have the same ticket keys, as routes of one service do */
    for (int old = 0; old < 2; old++) {
        struct pair p;
        struct rl_tls_server *connect_route = server_of("connect", true, old);
        struct rl_tls_server *kube_route = server_of("kube", true, old);
        SSL_CTX_set_max_proto_version(stock, old ? TLS1_2_VERSION : TLS1_3_VERSION);
        connect_with(connect_route, &p);
        ck_assert_ptr_nonnull(kept);
        pair_close(&p);
        connect_with(kube_route, &p);
        ck_assert_int_eq(SSL_session_reused(p.server), 0);
        pair_close(&p);
        rl_tls_server_unref(&connect_route);
        rl_tls_server_unref(&kube_route);
        SSL_SESSION_free(kept);
        kept = NULL;
    }
}
END_TEST

START_TEST(a_resumed_session_ends_with_its_certificate)
{
    struct pair p;
    struct rl_identity *peer = NULL;
    struct rl_tls_server *server = server_of("connect", true, false);
    connect_with(server, &p);
    ck_assert_int_eq(rl_tls_peer(p.server, &peer, NULL), RL_OK);
    rl_identity_unref(&peer);
    now_s = NOW_S + 3601;
    ck_assert_int_eq(rl_tls_peer(p.server, &peer, NULL), RL_E_UNAUTHENTICATED);
    pair_close(&p);
    connect_with(server, &p);
    ck_assert_int_eq(SSL_session_reused(p.server), 1);
    ck_assert_int_eq(p.server_end, RL_TLS_FAILED);
    ck_assert_ptr_nonnull(strstr(p.server_err.message, "expired"));
    ck_assert_int_eq(rl_tls_peer(p.server, &peer, NULL), RL_E_UNAUTHENTICATED);
    ck_assert_ptr_null(peer);
    pair_close(&p);
    rl_tls_server_unref(&server);
}
END_TEST

START_TEST(a_resumed_session_is_held_against_the_trust_of_now)
{
    struct pair p;
    struct rl_tls_server *server = server_of("connect", true, false);
    connect_with(server, &p);
    pair_close(&p);
    struct rl_trust *none = rl_trust_create("main");
    ck_assert_int_eq(rl_tls_server_reload(server, NULL, none, NULL), RL_OK);
    rl_trust_unref(&none);
    connect_with(server, &p);
    ck_assert_int_eq(SSL_session_reused(p.server), 1);
    ck_assert_int_eq(p.server_end, RL_TLS_FAILED);
    ck_assert_ptr_nonnull(strstr(p.server_err.message, "not trusted here"));
    pair_close(&p);
    rl_tls_server_unref(&server);
}
END_TEST

START_TEST(without_keys_there_are_no_tickets)
{
    struct pair p;
    struct rl_tls_server *server = server_of("connect", false, false);
    connect_with(server, &p);
    ck_assert_int_eq(p.server_end, RL_TLS_DONE);
    ck_assert_ptr_null(kept);
    pair_close(&p);
    rl_tls_server_unref(&server);
}
END_TEST

START_TEST(an_older_key_still_opens_and_a_dropped_one_does_not)
{
    struct pair p;
    struct rl_tls_server *server = server_of("connect", true, false);
    connect_with(server, &p);
    pair_close(&p);
    struct rl_span both[] = {RL_SPAN(ticket_keys[1], 80), RL_SPAN(ticket_keys[0], 80)};
    ck_assert_int_eq(rl_tls_server_set_ticket_keys(server, both, 2, NULL), RL_OK);
    SSL_SESSION *old = kept;
    SSL_SESSION_up_ref(old);
    connect_with(server, &p);
    ck_assert_int_eq(SSL_session_reused(p.server), 1);
    pair_close(&p);
    ck_assert_int_eq(rl_tls_server_set_ticket_keys(server, both, 1, NULL), RL_OK);
    SSL_SESSION_free(kept);
    kept = old;
    connect_with(server, &p);
    ck_assert_int_eq(SSL_session_reused(p.server), 0);
    ck_assert_int_eq(p.server_end, RL_TLS_DONE);
    pair_close(&p);
    rl_tls_server_unref(&server);
}
END_TEST

START_TEST(refuses_keys_of_the_wrong_length_or_number)
{
    struct rl_tls_server *server = server_of("connect", false, false);
    struct rl_span keys[9];
    for (size_t i = 0; i < RL_COUNT(keys); i++)
        keys[i] = RL_SPAN(ticket_keys[0], 80);
    ck_assert_int_eq(rl_tls_server_set_ticket_keys(server, keys, 8, NULL), RL_OK);
    ck_assert_int_eq(rl_tls_server_set_ticket_keys(server, keys, 9, NULL), RL_E_INVAL);
    keys[1].n = 79;
    ck_assert_int_eq(rl_tls_server_set_ticket_keys(server, keys, 2, NULL), RL_E_INVAL);
    rl_tls_server_unref(&server);
}
END_TEST

/* ---- our own client ---- */

static struct rl_tls_identity *identity_of_alice(void)
{
    struct rl_tls_identity *out = NULL;
    struct rl_buf der;
    X509 *alice = authority_issue(&users, "alice", NULL, key);
    rl_buf_init(&der, 65536);
    ck_assert_int_eq(rl_x509_to_der(alice, &der, NULL), RL_OK);
    struct rl_span chain = rl_buf_span(&der);
    ck_assert_int_eq(rl_tls_identity_create(&chain, 1, key, &out, NULL), RL_OK);
    rl_buf_fini(&der);
    X509_free(alice);
    return out;
}

static struct rl_tls_client *client_of(struct rl_trust *believed)
{
    struct rl_tls_identity *alice = identity_of_alice();
    struct rl_tls_client_config config = {
        .identity = alice, .trust = believed, .peer_kind = RL_IDENTITY_SERVICE, .now_s = now};
    struct rl_tls_client *client = NULL;
    ck_assert_int_eq(rl_tls_client_create(&config, &client, NULL), RL_OK);
    rl_tls_identity_unref(&alice);
    return client;
}

static struct rl_trust *trust_in_services(void)
{
    struct rl_trust *out = rl_trust_create("main");
    ck_assert_int_eq(authority_trust(out, RL_IDENTITY_SERVICE, "main", services.ca, NULL), RL_OK);
    return out;
}

/* A connection that breaks off without a goodbye. Was it resumed? */
static bool connect_once(struct rl_tls_server *server, struct rl_tls_client *client)
{
    struct pair p;
    char bytes[2];
    struct rl_identity *peer = NULL;
    pair_open(&p, server, client, NULL);
    pair_pump(&p);
    ck_assert_msg(p.client_end == RL_TLS_DONE, "%s", p.client_err.message);
    ck_assert_msg(p.server_end == RL_TLS_DONE, "%s", p.server_err.message);
    ck_assert_int_eq(SSL_write(p.server, "x", 1), 1);
    ck_assert_int_eq(SSL_read(p.client, bytes, sizeof bytes), 1);
    ck_assert_int_eq(rl_tls_peer(p.server, &peer, NULL), RL_OK);
    ck_assert_str_eq(peer->name, "alice");
    rl_identity_unref(&peer);
    ck_assert_int_eq(rl_tls_peer(p.client, &peer, NULL), RL_OK);
    ck_assert_str_eq(peer->name, UUID_A);
    rl_identity_unref(&peer);
    bool is_resumed = SSL_session_reused(p.server) == 1;
    ck_assert_int_eq(SSL_session_reused(p.client), is_resumed);
    pair_close(&p);
    return is_resumed;
}

START_TEST(our_client_resumes_what_broke_off_and_each_time_anew)
{
    struct rl_tls_server *server = server_of("connect", true, false);
    struct rl_trust *believed = trust_in_services();
    struct rl_tls_client *client = client_of(believed);
    ck_assert(!connect_once(server, client));
    ck_assert(connect_once(server, client));
    ck_assert(connect_once(server, client));
    rl_tls_client_unref(&client);
    rl_trust_unref(&believed);
    rl_tls_server_unref(&server);
}
END_TEST

/* A server that is away: the ClientHello is sent, and whoever took it hangs up. */
static void connect_in_vain(struct rl_tls_server *server, struct rl_tls_client *client)
{
    struct pair p;
    pair_open(&p, server, client, NULL);
    ck_assert_int_eq(rl_tls_handshake(p.client, &p.client_err), RL_TLS_WANT_READ);
    shutdown(p.server_fd, SHUT_WR);
    ck_assert_int_eq(rl_tls_handshake(p.client, &p.client_err), RL_TLS_FAILED);
    pair_close(&p);
}

START_TEST(our_client_still_has_what_no_server_has_looked_at)
{
    struct rl_tls_server *server = server_of("connect", true, false);
    struct rl_trust *believed = trust_in_services();
    struct rl_tls_client *client = client_of(believed);
    ck_assert(!connect_once(server, client));
    connect_in_vain(server, client);
    connect_in_vain(server, client);
    ck_assert(connect_once(server, client));
    connect_in_vain(server, client);
    ck_assert_int_eq(rl_tls_client_reload(client, NULL, believed, NULL), RL_OK);
    ck_assert(!connect_once(server, client));
    rl_tls_client_unref(&client);
    rl_trust_unref(&believed);
    rl_tls_server_unref(&server);
}
END_TEST

START_TEST(our_client_shows_a_server_each_ticket_once)
{
    struct pair p;
    struct rl_tls_server *server = server_of("connect", true, false);
    struct rl_trust *believed = trust_in_services();
    struct rl_tls_client *client = client_of(believed);
    ck_assert(!connect_once(server, client));
    pair_open(&p, server, client, NULL);
    ck_assert_int_eq(rl_tls_handshake(p.client, &p.client_err), RL_TLS_WANT_READ);
    ck_assert_int_eq(rl_tls_handshake(p.server, &p.server_err), RL_TLS_WANT_READ);
    rl_tls_handshake(p.client, &p.client_err); /* reads the answer */
    pair_close(&p);
    ck_assert(!connect_once(server, client));
    rl_tls_client_unref(&client);
    rl_trust_unref(&believed);
    rl_tls_server_unref(&server);
}
END_TEST

START_TEST(our_client_forgets_with_its_certificate_and_its_trust)
{
    struct rl_tls_server *server = server_of("connect", true, false);
    struct rl_trust *believed = trust_in_services();
    struct rl_tls_client *client = client_of(believed);
    struct rl_tls_identity *renewed = identity_of_alice();
    connect_once(server, client);
    ck_assert_int_eq(rl_tls_client_reload(client, renewed, NULL, NULL), RL_OK);
    ck_assert(!connect_once(server, client));
    ck_assert_int_eq(rl_tls_client_reload(client, NULL, believed, NULL), RL_OK);
    ck_assert(!connect_once(server, client));
    ck_assert(connect_once(server, client));
    rl_tls_identity_unref(&renewed);
    rl_tls_client_unref(&client);
    rl_trust_unref(&believed);
    rl_tls_server_unref(&server);
}
END_TEST

START_TEST(our_client_judges_a_resumed_server_by_the_time_of_now)
{
    struct pair p;
    struct rl_tls_server *server = server_of("connect", true, false);
    struct rl_trust *believed = trust_in_services();
    struct rl_tls_client *client = client_of(believed);
    connect_once(server, client);
    now_s = NOW_S + 3601;
    pair_open(&p, server, client, NULL);
    pair_pump(&p);
    ck_assert_int_eq(p.client_end, RL_TLS_FAILED);
    ck_assert_ptr_nonnull(strstr(p.client_err.message, "expired"));
    pair_close(&p);
    rl_tls_client_unref(&client);
    rl_trust_unref(&believed);
    rl_tls_server_unref(&server);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("resumption");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, resumes_on_its_own_route_and_knows_who_it_is);
    tcase_add_test(t, a_ticket_of_one_route_is_nothing_at_another);
    tcase_add_test(t, a_resumed_session_ends_with_its_certificate);
    tcase_add_test(t, a_resumed_session_is_held_against_the_trust_of_now);
    tcase_add_test(t, without_keys_there_are_no_tickets);
    tcase_add_test(t, an_older_key_still_opens_and_a_dropped_one_does_not);
    tcase_add_test(t, refuses_keys_of_the_wrong_length_or_number);
    tcase_add_test(t, our_client_resumes_what_broke_off_and_each_time_anew);
    tcase_add_test(t, our_client_forgets_with_its_certificate_and_its_trust);
    tcase_add_test(t, our_client_still_has_what_no_server_has_looked_at);
    tcase_add_test(t, our_client_shows_a_server_each_ticket_once);
    tcase_add_test(t, our_client_judges_a_resumed_server_by_the_time_of_now);
    Suite *s = suite_create("resumption");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
