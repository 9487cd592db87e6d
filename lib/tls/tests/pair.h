/* pair: both ends of a TLS connection in one process, over a socket pair, for tests. */
#ifndef RL_TLS_TESTS_PAIR_H
#define RL_TLS_TESTS_PAIR_H

#include "identity/tests/authority.h"
#include "tls/tls.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

struct pair {
    int server_fd, client_fd;
    SSL *server, *client;
    enum rl_tls_progress server_end, client_end;
    struct rl_error server_err, client_err;
};

static inline void pair_sockets(struct pair *p)
{
    int fds[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    p->server_fd = fds[0];
    p->client_fd = fds[1];
}

/* Turns both ends until neither can go on. A client of TLS 1.3 is done before the server has judged
 * its certificate: what the server then says is read by pair_read. */
static inline void pair_pump(struct pair *p)
{
    p->server_end = p->client_end = RL_TLS_WANT_READ;
    for (int turn = 0; turn < 20; turn++) {
        if (p->client_end != RL_TLS_DONE && p->client_end != RL_TLS_FAILED)
            p->client_end = rl_tls_handshake(p->client, &p->client_err);
        if (p->server_end != RL_TLS_DONE && p->server_end != RL_TLS_FAILED)
            p->server_end = rl_tls_handshake(p->server, &p->server_err);
        /* an end that failed hangs up, as real ones do */
        if (p->server_end == RL_TLS_FAILED)
            shutdown(p->server_fd, SHUT_WR);
        if (p->client_end == RL_TLS_FAILED)
            shutdown(p->client_fd, SHUT_WR);
    }
}

static inline void pair_open(struct pair *p, struct rl_tls_server *server,
                             struct rl_tls_client *client, const char *sni_expected)
{
    *p = (struct pair){0};
    pair_sockets(p);
    ck_assert_int_eq(
        rl_tls_accept(server, p->server_fd, RL_SPAN(NULL, 0), sni_expected, &p->server, NULL),
        RL_OK);
    ck_assert_int_eq(rl_tls_connect(client, p->client_fd, &p->client, NULL), RL_OK);
}

/* Handshaken, between a server that asks nothing and a client that checks nothing: for what comes
 * after. */
static inline void pair_open_anonymous(struct pair *p)
{
    struct authority services = authority_make(RL_IDENTITY_SERVICE, "main");
    EVP_PKEY *key = fresh_key();
    X509 *leaf = authority_issue(&services, UUID_A, "auth", key);
    struct rl_buf der;
    rl_buf_init(&der, 65536);
    ck_assert_int_eq(rl_x509_to_der(leaf, &der, NULL), RL_OK);
    struct rl_span chain = rl_buf_span(&der);
    struct rl_tls_identity *own = NULL;
    ck_assert_int_eq(rl_tls_identity_create(&chain, 1, key, &own, NULL), RL_OK);
    static const char *const protocols[] = {"h2", NULL};
    const struct rl_tls_server_config sc = {
        .route = "test", .identity = own, .client = RL_TLS_CLIENT_NONE, .alpn = protocols};
    const struct rl_tls_client_config cc = {.alpn = "h2", .insecure = true};
    struct rl_tls_server *server = NULL;
    struct rl_tls_client *client = NULL;
    ck_assert_int_eq(rl_tls_server_create(&sc, &server, NULL), RL_OK);
    ck_assert_int_eq(rl_tls_client_create(&cc, &client, NULL), RL_OK);
    pair_open(p, server, client, NULL);
    pair_pump(p);
    ck_assert_int_eq(p->client_end, RL_TLS_DONE);
    ck_assert_int_eq(p->server_end, RL_TLS_DONE);
    rl_tls_server_unref(&server);
    rl_tls_client_unref(&client);
    rl_tls_identity_unref(&own);
    rl_buf_fini(&der);
    X509_free(leaf);
    EVP_PKEY_free(key);
    authority_free(&services);
}

static inline void pair_close(struct pair *p)
{
    SSL_free(p->server);
    SSL_free(p->client);
    close(p->server_fd);
    close(p->client_fd);
}

#endif
