/* client: who must answer is part of the context. With a trust it is a name signed by an authority
 * of it; before that an authority by its pin; for the web the system's trust and a host name. */
#include "tls/current.h"
#include "tls/session.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#define ALPN_BYTES_MAX 64

struct rl_tls_client {
    char *alpn, *sni;
    enum rl_identity_kind peer_kind;
    char *peer_cluster, *peer_service, *peer_name, *pin, *web_host;
    bool is_insecure;
    int64_t (*now_s)(void *context);
    void *now_context;
    unsigned refs; /* atomic */
    struct rl_tls_current current;
    SSL_SESSION *last; /* under its lock: to be resumed, once; NULL: none */
};

static bool differs(const char *expected, const char *is)
{
    return expected && (!is || strcmp(expected, is) != 0);
}

static rl_code check_expected(const struct rl_tls_client *client, const struct rl_trust *trust,
                              const struct rl_identity *peer, struct rl_error *err)
{
    const char *cluster = client->peer_cluster;
    if (!cluster && trust)
        cluster = rl_trust_cluster(trust);
    if (peer->kind == client->peer_kind && !differs(cluster, peer->cluster) &&
        !differs(client->peer_service, peer->service) && !differs(client->peer_name, peer->name))
        return RL_OK;
    char *who = rl_identity_describe(peer);
    rl_fail(err, RL_E_UNAUTHENTICATED, "%s of cluster %s answered; expected was %s%s%s%s%s", who,
            peer->cluster, client->peer_kind == RL_IDENTITY_AGENT ? "an agent" : "a service",
            client->peer_service ? " " : "", client->peer_service ? client->peer_service : "",
            cluster ? " of cluster " : "", cluster ? cluster : "");
    free(who);
    return RL_E_UNAUTHENTICATED;
}

static rl_code judge_server(const void *owner, const struct rl_trust *trust, STACK_OF(X509) * chain,
                            int64_t now_s, struct rl_identity **out, struct rl_error *err)
{
    const struct rl_tls_client *client = owner;
    struct rl_identity *peer = NULL;
    if (client->is_insecure)
        return RL_OK;
    rl_code code = trust ? rl_identity_check(trust, chain, true, now_s, &peer, err)
                         : rl_identity_check_pinned(client->pin, client->peer_kind, chain, true,
                                                    now_s, &peer, err);
    if (code == RL_OK)
        code = check_expected(client, trust, peer, err);
    if (code == RL_OK)
        *out = peer;
    else
        rl_identity_unref(&peer);
    return code;
}

static bool verify_by_system(const struct rl_tls_client *client, SSL_CTX *context)
{
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(context);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_CTX_set_default_verify_paths(context) == 1 &&
           (X509_VERIFY_PARAM_set1_ip_asc(param, client->web_host) == 1 ||
            X509_VERIFY_PARAM_set1_host(param, client->web_host, 0) == 1);
}

static bool offer_alpn(const char *alpn, SSL_CTX *context)
{
    uint8_t wire[ALPN_BYTES_MAX];
    size_t n = alpn ? strlen(alpn) : 0;
    if (n == 0)
        return true;
    if (n + 1 > sizeof wire)
        return false;
    wire[0] = (uint8_t)n;
    memcpy(wire + 1, alpn, n);
    return SSL_CTX_set_alpn_protos(context, wire, (unsigned)(n + 1)) == 0;
}

/* A copy: OpenSSL spoils its own when the connection breaks, which is when it is wanted. What a
 * certificate was before it was renewed, or who was judged by less than a trust, is not kept. */
static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    const struct rl_tls_session *own = rl_tls_session_of(ssl);
    if (!own || !own->judge || !own->trust)
        return 0;
    struct rl_tls_client *client = own->client;
    SSL_SESSION *kept = SSL_SESSION_dup(session);
    pthread_mutex_lock(&client->current.lock);
    if (client->current.context == SSL_get_SSL_CTX(ssl)) {
        SSL_SESSION *before = client->last;
        client->last = kept;
        kept = before;
    }
    pthread_mutex_unlock(&client->current.lock);
    SSL_SESSION_free(kept);
    return 0; /* OpenSSL's reference stays its own */
}

/* A server is shown a ticket once: who watches the wire does not see the same one on two
 * connections (RFC 8446, C.4). */
static SSL_SESSION *take_session(struct rl_tls_client *client, const SSL_CTX *context)
{
    pthread_mutex_lock(&client->current.lock);
    SSL_SESSION *last = client->current.context == context ? client->last : NULL;
    if (last)
        client->last = NULL;
    pthread_mutex_unlock(&client->current.lock);
    return last;
}

static rl_code create_context(const void *owner, const struct rl_tls_identity *identity,
                              SSL_CTX **out, struct rl_error *err)
{
    const struct rl_tls_client *client = owner;
    SSL_CTX *context = NULL;
    rl_code code = rl_tls_context_create(TLS_client_method(), client->web_host != NULL, identity,
                                         &context, err);
    if (code != RL_OK)
        return code;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, keep_session);
    bool is_set = offer_alpn(client->alpn, context);
    if (is_set && client->web_host && !client->is_insecure)
        is_set = verify_by_system(client, context);
    else
        SSL_CTX_set_cert_verify_callback(context, rl_tls_verify, NULL);
    if (!is_set) {
        SSL_CTX_free(context);
        return rl_tls_fail(err, "setting TLS up");
    }
    *out = context;
    return RL_OK;
}

static char *copy(const char *text)
{
    return text ? rl_strdup(text) : NULL;
}

rl_code rl_tls_client_create(const struct rl_tls_client_config *config, struct rl_tls_client **out,
                             struct rl_error *err)
{
    if (!config->insecure && !config->web_host &&
        (!(config->trust || config->pin) || config->peer_kind == 0))
        return rl_fail(err, RL_E_INVAL,
                       "nothing says whom to trust: neither authorities, nor a pin, nor a host");
    struct rl_tls_client *client = rl_alloc(sizeof *client);
    client->refs = 1;
    client->alpn = copy(config->alpn);
    client->sni = copy(config->sni);
    client->peer_kind = config->peer_kind;
    client->peer_cluster = copy(config->peer_cluster);
    client->peer_service = copy(config->peer_service);
    client->peer_name = copy(config->peer_name);
    client->pin = copy(config->pin);
    client->web_host = copy(config->web_host);
    client->is_insecure = config->insecure;
    client->now_s = config->now_s;
    client->now_context = config->now_context;
    rl_code code = rl_tls_current_init(&client->current, client, create_context, config->identity,
                                       config->trust, err);
    if (code == RL_OK)
        *out = client;
    else
        rl_tls_client_unref(&client);
    return code;
}

struct rl_tls_client *rl_tls_client_ref(struct rl_tls_client *client)
{
    if (client)
        __atomic_add_fetch(&client->refs, 1, __ATOMIC_RELAXED);
    return client;
}

void rl_tls_client_unref(struct rl_tls_client **client)
{
    struct rl_tls_client *gone = client ? *client : NULL;
    if (!gone)
        return;
    *client = NULL;
    if (__atomic_sub_fetch(&gone->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    rl_tls_current_fini(&gone->current);
    SSL_SESSION_free(gone->last);
    free(gone->alpn);
    free(gone->sni);
    free(gone->peer_cluster);
    free(gone->peer_service);
    free(gone->peer_name);
    free(gone->pin);
    free(gone->web_host);
    free(gone);
}

rl_code rl_tls_client_reload(struct rl_tls_client *client, struct rl_tls_identity *identity,
                             struct rl_trust *trust, struct rl_error *err)
{
    rl_code code =
        rl_tls_current_swap(&client->current, client, create_context, identity, trust, err);
    if (code != RL_OK)
        return code;
    pthread_mutex_lock(&client->current.lock);
    SSL_SESSION *last = client->last;
    client->last = NULL;
    pthread_mutex_unlock(&client->current.lock);
    SSL_SESSION_free(last);
    return RL_OK;
}

/* Offers what is left of the last connection. Not taken, it costs nothing but its bytes. A copy is
 * offered: OpenSSL spoils its own when the attempt fails. */
static SSL_SESSION *resume(struct rl_tls_client *client, SSL *ssl)
{
    SSL_SESSION *last = take_session(client, SSL_get_SSL_CTX(ssl));
    SSL_SESSION *shown = last ? SSL_SESSION_dup(last) : NULL;
    if (shown && SSL_set_session(ssl, shown) != 1)
        ERR_clear_error();
    SSL_SESSION_free(shown);
    return last;
}

/* Of an attempt that no server has answered: while it is away a client comes again and again, and
 * would have nothing left to resume when it is back. Whoever watches sees one address try the same
 * twice, which it could tell anyway. */
void rl_tls_client_take_back(SSL *ssl, struct rl_tls_session *session)
{
    struct rl_tls_client *client = session->client;
    SSL_SESSION *offered = session->offered;
    OSSL_HANDSHAKE_STATE state = SSL_get_state(ssl);
    session->offered = NULL;
    pthread_mutex_lock(&client->current.lock);
    if ((state == TLS_ST_BEFORE || state == TLS_ST_CW_CLNT_HELLO) && !client->last &&
        client->current.context == SSL_get_SSL_CTX(ssl)) {
        client->last = offered;
        offered = NULL;
    }
    pthread_mutex_unlock(&client->current.lock);
    SSL_SESSION_free(offered);
}

static SSL *begin(struct rl_tls_client *client, struct rl_trust **trust)
{
    SSL *ssl = rl_tls_current_begin(&client->current, trust);
    if (ssl && client->sni && SSL_set_tlsext_host_name(ssl, client->sni) != 1) {
        rl_trust_unref(trust);
        SSL_free(ssl);
        return NULL;
    }
    return ssl;
}

rl_code rl_tls_connect(struct rl_tls_client *client, int fd, SSL **out, struct rl_error *err)
{
    struct rl_trust *trust = NULL;
    BIO *bio = rl_tls_socket_bio(fd, RL_SPAN(NULL, 0));
    SSL *ssl = bio ? begin(client, &trust) : NULL;
    if (!ssl) {
        BIO_free(bio);
        return rl_tls_fail(err, "opening a TLS connection");
    }
    SSL_set_bio(ssl, bio, bio);
    SSL_set_connect_state(ssl);
    bool by_system = client->web_host && !client->is_insecure;
    struct rl_tls_session *session = rl_alloc(sizeof *session);
    session->client = rl_tls_client_ref(client);
    session->trust = trust;
    session->judge = by_system ? NULL : judge_server;
    session->now_s = client->now_s;
    session->now_context = client->now_context;
    session->peer_must_show = !by_system && !client->is_insecure;
    session->alpn_must_match = client->alpn != NULL;
    session->offered = resume(client, ssl);
    rl_tls_session_attach(ssl, session);
    *out = ssl;
    return RL_OK;
}
