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

static inline void pair_close(struct pair *p)
{
    SSL_free(p->server);
    SSL_free(p->client);
    close(p->server_fd);
    close(p->client_fd);
}

#endif
