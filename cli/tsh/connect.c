#include "connect.h"

#include "dial/dial.h"
#include "enrol/enrol.h"
#include "identity.h"
#include "leaves.h"
#include "tunnel/tunnel.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONNECT_MS 10000
#define ANSWER_MS 20000 /* what is wrong at a far end the proxy says within it */
#define MESSAGE_BYTES_MAX 8192
#define RELAY_BYTES (RL_TLS_GATHER_RECORDS * TSH_RECORD_BYTES) /* by one system call */
#define PIPE_BYTES 262144
#define LENGTH_BYTES 4

/* ---- waiting on a non-blocking TLS connection ---- */

/* By TLS 1.3 a server refuses a certificate only after our side of the handshake is done. */
static rl_code explain(struct tsh_connection *c, int result, struct rl_error *err)
{
    struct rl_error why;
    if (rl_tls_explain(c->ssl, result, &why) == RL_E_UNAUTHENTICATED)
        return rl_fail(err, RL_E_UNAUTHENTICATED,
                       "the proxy refused this login's certificate, or the authority that signed "
                       "it is no longer trusted: run tsh login");
    return rl_fail(err, RL_E_UNAVAILABLE, "the proxy closed the connection");
}

static rl_code wait_for(struct tsh_connection *c, int result, struct rl_error *err)
{
    int why = SSL_get_error(c->ssl, result);
    struct pollfd p = {c->fd, why == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN, 0};
    if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
        return explain(c, result, err);
    if (poll(&p, 1, ANSWER_MS) <= 0)
        return rl_fail(err, RL_E_DEADLINE, "the proxy did not answer in %d s", ANSWER_MS / 1000);
    return RL_OK;
}

static bool is_broken(const struct tsh_connection *c, int result)
{
    int why = SSL_get_error(c->ssl, result);
    return why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE;
}

/* Whoever refuses says why and closes; what we write then fails, and the reason lies unread. */
static int last_words(struct tsh_connection *c)
{
    char byte;
    ERR_clear_error();
    return SSL_read(c->ssl, &byte, 1);
}

static rl_code write_all(struct tsh_connection *c, struct rl_span bytes, struct rl_error *err)
{
    rl_code rc = RL_OK;
    for (size_t done = 0; rc == RL_OK && done < bytes.n;) {
        ERR_clear_error(); /* SSL_get_error() looks at what lies there */
        int n = SSL_write(c->ssl, bytes.p + done, (int)(bytes.n - done));
        if (n > 0)
            done += (size_t)n;
        else
            rc = wait_for(c, is_broken(c, n) ? last_words(c) : n, err);
    }
    return rc;
}

static rl_code read_all(struct tsh_connection *c, uint8_t *to, size_t want, struct rl_error *err)
{
    rl_code rc = RL_OK;
    for (size_t done = 0; rc == RL_OK && done < want;) {
        ERR_clear_error();
        int n = SSL_read(c->ssl, to + done, (int)(want - done));
        if (n > 0)
            done += (size_t)n;
        else
            rc = wait_for(c, n, err);
    }
    return rc;
}

/* ---- the request ---- */

static rl_code ask(struct tsh_connection *c, const char *kind, const struct tsh_target *target,
                   struct rl_error *err)
{
    struct rl_buf out;
    char *kind_text = rl_strdup(kind);
    Pb__ConnectRequest request = PB__CONNECT_REQUEST__INIT;
    request.cluster = target->cluster;
    request.kind = kind_text;
    request.target = target->name;
    request.port = target->port;
    size_t n = pb__connect_request__get_packed_size(&request);
    rl_buf_init(&out, MESSAGE_BYTES_MAX + LENGTH_BYTES);
    rl_buf_put_u32(&out, (uint32_t)n);
    uint8_t *to = rl_buf_reserve(&out, n);
    rl_code rc = to ? RL_OK : rl_fail(err, RL_E_INVAL, "the node's name is too long");
    if (rc == RL_OK) {
        out.n += pb__connect_request__pack(&request, to);
        rc = write_all(c, rl_buf_span(&out), err);
    }
    rl_buf_fini(&out);
    free(kind_text);
    return rc;
}

/* A proxy that lies here makes tsh ask auth in vain, no more. */
static bool is_old(const struct tsh_profile *profile, const ProtobufCBinaryData *sha256)
{
    Pb__TrustBundle *trust = NULL;
    uint8_t own[32];
    if (sha256->len != sizeof own || tsh_profile_trust(profile, &trust, NULL) != RL_OK)
        return false;
    rl_trust_bundle_hash(trust, own);
    pb__trust_bundle__free_unpacked(trust, NULL);
    return memcmp(own, sha256->data, sizeof own) != 0;
}

static bool is_old_of_leaf(const struct tsh_profile *profile, const char *cluster,
                           const ProtobufCBinaryData *sha256)
{
    uint8_t known[32] = {0};
    if (sha256->len != sizeof known)
        return false;
    Pb__ListClustersResponse *leaves = tsh_leaves_read(profile);
    for (size_t i = 0; i < leaves->n_clusters; i++)
        if (strcmp(leaves->clusters[i]->name, cluster) == 0)
            rl_trust_bundle_hash(leaves->clusters[i]->trust, known);
    pb__list_clusters_response__free_unpacked(leaves, NULL);
    return memcmp(known, sha256->data, sizeof known) != 0;
}

static rl_code hear(struct tsh_connection *c, const struct tsh_profile *profile,
                    const char *cluster, struct rl_error *err)
{
    uint8_t raw[MESSAGE_BYTES_MAX];
    rl_code rc = read_all(c, raw, LENGTH_BYTES, err);
    if (rc != RL_OK)
        return rc;
    struct rl_cursor length = rl_cursor_of(RL_SPAN(raw, LENGTH_BYTES));
    uint32_t n = rl_cursor_u32(&length);
    if (n > sizeof raw)
        return rl_fail(err, RL_E_UNAVAILABLE, "the proxy's answer is too long");
    if ((rc = read_all(c, raw, n, err)) != RL_OK)
        return rc;
    Pb__ConnectResponse *response = pb__connect_response__unpack(NULL, n, raw);
    if (!response)
        return rl_fail(err, RL_E_UNAVAILABLE, "the proxy's answer can not be read");
    if (response->code)
        rc = rl_fail(err, rl_code_from_number((long)response->code), "%s", response->message);
    c->trust_is_old = is_old(profile, &response->trust_sha256);
    c->leaf_trust_is_old = is_old_of_leaf(profile, cluster, &response->leaf_trust_sha256);
    pb__connect_response__free_unpacked(response, NULL);
    return rc;
}

static rl_code make_tls(const struct tsh_profile *profile, struct rl_tls_client **out,
                        struct rl_error *err)
{
    struct rl_tls_identity *identity = NULL;
    struct rl_trust *trust = NULL;
    rl_code rc = tsh_identity(profile, &identity, &trust, err);
    if (rc != RL_OK)
        return rc;
    char *sni = rl_sprintf("proxy.%s" RL_TLS_SNI_SUFFIX, tsh_profile_text(profile, "cluster"));
    const struct rl_tls_client_config config = {
        .identity = identity,
        .trust = trust,
        .alpn = "remoteler-connect",
        .sni = sni,
        .peer_kind = RL_IDENTITY_SERVICE,
        .peer_service = "proxy",
    };
    rc = rl_tls_client_create(&config, out, err);
    free(sni);
    rl_tls_identity_unref(&identity);
    rl_trust_unref(&trust);
    return rc;
}

static rl_code handshake(struct tsh_connection *c, struct rl_error *err)
{
    enum rl_tls_progress progress;
    while ((progress = rl_tls_handshake(c->ssl, err)) != RL_TLS_DONE) {
        struct pollfd p = {c->fd, progress == RL_TLS_WANT_WRITE ? POLLOUT : POLLIN, 0};
        if (progress == RL_TLS_FAILED)
            return err->code;
        if (poll(&p, 1, CONNECT_MS) <= 0)
            return rl_fail(err, RL_E_DEADLINE, "the proxy did not answer in %d s",
                           CONNECT_MS / 1000);
    }
    return RL_OK;
}

void tsh_connection_set_sizes(struct tsh_connection *connection)
{
    SSL_set_read_ahead(connection->ssl, 1);
    SSL_set_max_send_fragment(connection->ssl, TSH_RECORD_BYTES);
}

rl_code tsh_connect(const struct tsh_profile *profile, const char *kind,
                    const struct tsh_target *target, struct tsh_connection *out,
                    struct rl_error *err)
{
    struct tsh_connection c = {.fd = -1};
    rl_code rc = make_tls(profile, &c.tls, err);
    if (rc == RL_OK &&
        (rc = rl_dial_blocking(tsh_profile_text(profile, "proxy"), CONNECT_MS, &c.fd, err)) ==
            RL_OK &&
        (rc = rl_tls_connect(c.tls, c.fd, &c.ssl, err)) == RL_OK) {
        tsh_connection_set_sizes(&c);
        rc = handshake(&c, err);
    }
    if (rc == RL_OK && (rc = ask(&c, kind, target, err)) == RL_OK) {
        rc = hear(&c, profile, target->cluster, err);
        if (rc != RL_OK && err && !tsh_cluster_is_own(profile, target->cluster) &&
            !strstr(err->message, target->cluster))
            rl_error_prefix(err, "cluster %s", target->cluster);
    }
    if (rc == RL_OK)
        *out = c;
    else
        tsh_connection_close(&c);
    return rc;
}

void tsh_connection_close(struct tsh_connection *connection)
{
    SSL_free(connection->ssl);
    if (connection->fd >= 0)
        close(connection->fd);
    rl_tls_client_unref(&connection->tls);
    *connection = (struct tsh_connection){.fd = -1};
}

/* ---- the relay ---- */

struct relay {
    struct tsh_connection *c;
    int in, out;
    bool in_open, net_open; /* still to be read */
    bool net_wants_write;   /* TLS must write before it can go on */
    bool net_has_more;      /* OpenSSL holds bytes that poll() does not see */
    bool in_ready, net_ready;
    uint8_t up[RELAY_BYTES], down[RELAY_BYTES];
    size_t up_n, up_at, down_n, down_at;
};

/* 1 something moved, 0 nothing can now, -1 this direction is over. */
static int read_in(struct relay *r)
{
    ssize_t n = read(r->in, r->up, sizeof r->up);
    if (n > 0) {
        r->up_n = (size_t)n;
        r->up_at = 0;
        return 1;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    r->in_open = false;
    return -1;
}

static bool encrypt_all(struct relay *r)
{
    while (r->up_at < r->up_n) {
        ERR_clear_error();
        int n = SSL_write(r->c->ssl, r->up + r->up_at, (int)(r->up_n - r->up_at));
        if (n > 0) {
            r->up_at += (size_t)n;
            continue;
        }
        int why = SSL_get_error(r->c->ssl, n);
        r->net_wants_write = why == SSL_ERROR_WANT_WRITE;
        return why == SSL_ERROR_WANT_WRITE || why == SSL_ERROR_WANT_READ;
    }
    r->up_n = r->up_at = 0;
    if (!r->in_open && !(SSL_get_shutdown(r->c->ssl) & SSL_SENT_SHUTDOWN))
        SSL_shutdown(r->c->ssl); /* close_notify: nothing more from here */
    return true;
}

static bool write_net(struct relay *r)
{
    r->net_wants_write = false;
    if (!encrypt_all(r))
        return false;
    enum rl_tls_progress sent = rl_tls_flush(r->c->ssl);
    r->net_wants_write |= sent == RL_TLS_WANT_WRITE;
    return sent != RL_TLS_FAILED;
}

/* All that is there, as long as it has room: OpenSSL itself finds out that one system call brought
 * no more. How it ended is looked at when what came before is on its way. False when it broke. */
static bool read_net(struct relay *r)
{
    int n;
    r->down_at = 0;
    do {
        ERR_clear_error();
        n = SSL_read(r->c->ssl, r->down + r->down_n, (int)(sizeof r->down - r->down_n));
        r->down_n += n > 0 ? (size_t)n : 0;
    } while (n > 0 && r->down_n < sizeof r->down);
    int why = n > 0 ? SSL_ERROR_NONE : SSL_get_error(r->c->ssl, n);
    bool is_over = n <= 0 && why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE;
    r->net_has_more = n > 0 || (is_over && r->down_n);
    if (!is_over || r->down_n)
        return true;
    r->net_open = false;
    return why == SSL_ERROR_ZERO_RETURN;
}

static bool write_out(struct relay *r)
{
    while (r->down_at < r->down_n) {
        ssize_t n = write(r->out, r->down + r->down_at, r->down_n - r->down_at);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return true;
        if (n <= 0)
            return false;
        r->down_at += (size_t)n;
    }
    r->down_n = r->down_at = 0;
    return true;
}

static void wait_for_any(struct relay *r)
{
    bool reads_net = r->net_open && r->down_n == 0;
    struct pollfd p[3] = {
        {r->in_open && r->up_n == 0 && !r->net_wants_write ? r->in : -1, POLLIN, 0},
        {r->down_n ? r->out : -1, POLLOUT, 0},
        {r->c->fd, (short)((reads_net ? POLLIN : 0) | (r->net_wants_write ? POLLOUT : 0)), 0},
    };
    if (!p[2].events)
        p[2].fd = -1;
    bool has_more = reads_net && r->net_has_more;
    bool is_known = poll(p, 3, has_more ? 0 : -1) >= 0;
    r->in_ready = is_known && p[0].revents;
    r->net_ready = reads_net && (has_more || (is_known && p[2].revents & ~POLLOUT));
}

rl_code tsh_connection_relay(struct tsh_connection *connection, int in, int out,
                             struct rl_error *err)
{
    struct relay *r = rl_alloc(sizeof *r);
    *r = (struct relay){.c = connection,
                        .in = in,
                        .out = out,
                        .in_open = true,
                        .net_open = true,
                        .net_has_more = true};
    rl_code rc = RL_OK;
    /* Both may be a terminal that the shell goes on using. */
    int in_flags = fcntl(in, F_GETFL), out_flags = fcntl(out, F_GETFL);
    fcntl(in, F_SETFL, in_flags | O_NONBLOCK);
    fcntl(out, F_SETFL, out_flags | O_NONBLOCK);
    /* ssh's pipes, if they are: with more room in them each side is woken less often. */
    fcntl(in, F_SETPIPE_SZ, PIPE_BYTES);
    fcntl(out, F_SETPIPE_SZ, PIPE_BYTES);
    rl_tls_gather(connection->ssl);
    while (rc == RL_OK && (r->net_open || r->down_n)) {
        wait_for_any(r);
        if (r->in_ready)
            read_in(r);
        if (!write_net(r) || (r->net_ready && !read_net(r)))
            rc = rl_fail(err, RL_E_UNAVAILABLE, "the connection to the proxy broke");
        if (!write_out(r))
            break; /* whoever read our output is gone */
    }
    fcntl(out, F_SETFL, out_flags);
    fcntl(in, F_SETFL, in_flags);
    free(r);
    return rc;
}
