/* server: a context for each route. What changes (certificate, trust, ticket keys) is swapped under
 * a lock. */
#include "tls/current.h"
#include "tls/session.h"

#include "bytes/secret.h"
#include "tls/ticket.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ALPN_BYTES_MAX 256
#define TICKET_LIFE_S 3600

struct rl_tls_server {
    char *route;
    enum rl_tls_client_certificate client;
    uint8_t alpn[ALPN_BYTES_MAX]; /* as on the wire */
    unsigned alpn_bytes;
    bool alpn_must_match, allow_tls12, allow_resumption;
    int64_t (*now_s)(void *context);
    void *now_context;
    unsigned refs; /* atomic */
    struct rl_tls_current current;
    struct rl_tls_ticket_keys ticket_keys; /* under its lock */
};

static rl_code judge_client(const void *owner, const struct rl_trust *trust, STACK_OF(X509) * chain,
                            int64_t now_s, struct rl_identity **out, struct rl_error *err)
{
    (void)owner;
    return rl_identity_check(trust, chain, false, now_s, out, err);
}

/* ---- OpenSSL's callbacks ---- */

static int choose_alpn(SSL *ssl, const uint8_t **out, uint8_t *out_n, const uint8_t *offered,
                       unsigned offered_n, void *context)
{
    const struct rl_tls_server *server = rl_tls_session_of(ssl)->server;
    (void)context;
    uint8_t *chosen = NULL;
    if (server->alpn_bytes == 0)
        return SSL_TLSEXT_ERR_NOACK;
    if (SSL_select_next_proto(&chosen, out_n, server->alpn, server->alpn_bytes, offered,
                              offered_n) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* The route was chosen by what we parsed; OpenSSL must have read the same. */
static int check_sni(SSL *ssl, int *alert, void *context)
{
    struct rl_tls_session *session = rl_tls_session_of(ssl);
    (void)context;
    const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (!session->sni_expected || strcasecmp(session->sni_expected, sni ? sni : "") == 0)
        return SSL_TLSEXT_ERR_OK;
    rl_fail(&session->failure, RL_E_UNAUTHENTICATED,
            "the host name of the ClientHello reads in two ways");
    *alert = SSL_AD_UNRECOGNIZED_NAME;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int use_ticket_key(SSL *ssl, uint8_t *name, uint8_t *iv, EVP_CIPHER_CTX *cipher,
                          EVP_MAC_CTX *mac, int is_new)
{
    struct rl_tls_server *server = rl_tls_session_of(ssl)->server;
    pthread_mutex_lock(&server->current.lock);
    int result = rl_tls_ticket_use(&server->ticket_keys, name, iv, cipher, mac, is_new == 1);
    pthread_mutex_unlock(&server->current.lock);
    return result;
}

/* ---- contexts ---- */

static void set_session_context(SSL_CTX *context, const char *route)
{
    uint8_t digest[32];
    RL_ASSERT(EVP_Digest(route, strlen(route), digest, NULL, EVP_sha256(), NULL) == 1);
    RL_ASSERT(SSL_CTX_set_session_id_context(context, digest, sizeof digest) == 1);
}

static void ask_for_certificate(SSL_CTX *context, enum rl_tls_client_certificate client)
{
    int mode = SSL_VERIFY_NONE;
    if (client != RL_TLS_CLIENT_NONE)
        mode = SSL_VERIFY_PEER;
    if (client == RL_TLS_CLIENT_REQUIRED)
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(context, mode, NULL);
    SSL_CTX_set_cert_verify_callback(context, rl_tls_verify, NULL);
}

static rl_code create_context(const void *owner, const struct rl_tls_identity *identity,
                              SSL_CTX **out, struct rl_error *err)
{
    const struct rl_tls_server *server = owner;
    SSL_CTX *context = NULL;
    rl_code code =
        rl_tls_context_create(TLS_server_method(), server->allow_tls12, identity, &context, err);
    if (code != RL_OK)
        return code;
    set_session_context(context, server->route);
    ask_for_certificate(context, server->client);
    SSL_CTX_set_alpn_select_cb(context, choose_alpn, NULL);
    SSL_CTX_set_tlsext_servername_callback(context, check_sni);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(context, use_ticket_key);
    SSL_CTX_set_timeout(context, TICKET_LIFE_S);
    SSL_CTX_set_max_early_data(context, 0);
    *out = context;
    return RL_OK;
}

static rl_code set_alpn(struct rl_tls_server *server, const char *const *names,
                        struct rl_error *err)
{
    for (size_t i = 0; names && names[i]; i++) {
        size_t n = strlen(names[i]);
        if (n == 0 || n > 255 || server->alpn_bytes + 1 + n > sizeof server->alpn)
            return rl_fail(err, RL_E_INVAL, "too many or too long ALPN names");
        server->alpn[server->alpn_bytes] = (uint8_t)n;
        memcpy(server->alpn + server->alpn_bytes + 1, names[i], n);
        server->alpn_bytes += (unsigned)(1 + n);
    }
    return RL_OK;
}

rl_code rl_tls_server_create(const struct rl_tls_server_config *config, struct rl_tls_server **out,
                             struct rl_error *err)
{
    RL_ASSERT(config->route && config->identity);
    RL_ASSERT(config->trust || config->client == RL_TLS_CLIENT_NONE);
    struct rl_tls_server *server = rl_alloc(sizeof *server);
    server->refs = 1;
    server->route = rl_strdup(config->route);
    server->client = config->client;
    server->allow_tls12 = config->allow_tls12;
    server->allow_resumption = config->allow_resumption;
    server->now_s = config->now_s;
    server->now_context = config->now_context;
    rl_code code = rl_tls_current_init(&server->current, server, create_context, config->identity,
                                       config->trust, err);
    if (code == RL_OK)
        code = set_alpn(server, config->alpn, err);
    server->alpn_must_match = server->alpn_bytes > 0 && !config->allow_no_alpn;
    if (code == RL_OK)
        *out = server;
    else
        rl_tls_server_unref(&server);
    return code;
}

struct rl_tls_server *rl_tls_server_ref(struct rl_tls_server *server)
{
    if (server)
        __atomic_add_fetch(&server->refs, 1, __ATOMIC_RELAXED);
    return server;
}

void rl_tls_server_unref(struct rl_tls_server **server)
{
    struct rl_tls_server *gone = server ? *server : NULL;
    if (!gone)
        return;
    *server = NULL;
    if (__atomic_sub_fetch(&gone->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    rl_tls_current_fini(&gone->current);
    rl_wipe(&gone->ticket_keys, sizeof gone->ticket_keys);
    free(gone->route);
    free(gone);
}

rl_code rl_tls_server_reload(struct rl_tls_server *server, struct rl_tls_identity *identity,
                             struct rl_trust *trust, struct rl_error *err)
{
    return rl_tls_current_swap(&server->current, server, create_context, identity, trust, err);
}

rl_code rl_tls_server_set_ticket_keys(struct rl_tls_server *server, const struct rl_span *keys,
                                      size_t count, struct rl_error *err)
{
    pthread_mutex_lock(&server->current.lock);
    rl_code code = rl_tls_ticket_keys_set(&server->ticket_keys, server->route, keys, count, err);
    pthread_mutex_unlock(&server->current.lock);
    return code;
}

/* ---- connections ---- */

/* Without keys there are no tickets: one that nobody can open would be sent otherwise. */
static void set_tickets(SSL *ssl, bool wanted)
{
    SSL_set_num_tickets(ssl, wanted ? 1 : 0);
    if (!wanted)
        SSL_set_options(ssl, SSL_OP_NO_TICKET);
}

static SSL *begin(struct rl_tls_server *server, struct rl_trust **trust)
{
    SSL *ssl = rl_tls_current_begin(&server->current, trust);
    if (!ssl)
        return NULL;
    pthread_mutex_lock(&server->current.lock);
    set_tickets(ssl, server->allow_resumption && server->ticket_keys.count > 0);
    pthread_mutex_unlock(&server->current.lock);
    return ssl;
}

rl_code rl_tls_accept(struct rl_tls_server *server, int fd, struct rl_span already_read,
                      const char *sni_expected, SSL **out, struct rl_error *err)
{
    struct rl_trust *trust = NULL;
    BIO *bio = rl_tls_socket_bio(fd, already_read);
    SSL *ssl = bio ? begin(server, &trust) : NULL;
    if (!ssl) {
        BIO_free(bio);
        return rl_tls_fail(err, "accepting a TLS connection");
    }
    SSL_set_bio(ssl, bio, bio);
    SSL_set_accept_state(ssl);
    struct rl_tls_session *session = rl_alloc(sizeof *session);
    session->is_server = true;
    session->server = rl_tls_server_ref(server);
    session->trust = trust;
    session->judge = server->client == RL_TLS_CLIENT_NONE ? NULL : judge_client;
    session->now_s = server->now_s;
    session->now_context = server->now_context;
    session->peer_must_show = server->client == RL_TLS_CLIENT_REQUIRED;
    session->alpn_must_match = server->alpn_must_match;
    session->sni_expected = sni_expected ? rl_strdup(sni_expected) : NULL;
    rl_tls_session_attach(ssl, session);
    *out = ssl;
    return RL_OK;
}
