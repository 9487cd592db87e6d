/* session: the one place where a peer's certificate is judged, for every context of either role.
 * OpenSSL builds no chain here: what the peer sent goes to rl_identity_check as it came. */
#include "tls/session.h"

#include "clock/clock.h"
#include "tls/own.h"

#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#ifdef __arm__
#include <asm/hwcap.h> /* the libc's own has no HWCAP2_AES there */
#endif

#define PEER_CHAIN_BYTES_MAX 65536
#define TLS12_CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"
/* A client's order counts. AES-128 is as far out of reach as AES-256 and a little faster; without
 * instructions for AES, ChaCha20 is several times faster than either. */
#define CIPHERS_AES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define CIPHERS_CHACHA "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384"
/* Not const: the macro that takes it casts it away, which clang calls an error. */
static char groups[] = "X25519:P-256";

static int session_index = -1;
static pthread_once_t session_once = PTHREAD_ONCE_INIT;

static void free_session(void *parent, void *pointer, CRYPTO_EX_DATA *data, int index, long number,
                         void *context)
{
    struct rl_tls_session *session = pointer;
    (void)data, (void)index, (void)number, (void)context;
    if (!session)
        return;
    if (session->offered)
        rl_tls_client_take_back(parent, session);
    rl_tls_server_unref(&session->server);
    rl_tls_client_unref(&session->client);
    rl_trust_unref(&session->trust);
    rl_identity_unref(&session->peer);
    free(session->sni_expected);
    free(session);
}

static void make_index(void)
{
    session_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_session);
    RL_ASSERT(session_index >= 0);
}

void rl_tls_session_attach(SSL *ssl, struct rl_tls_session *session)
{
    pthread_once(&session_once, make_index);
    RL_ASSERT(SSL_set_ex_data(ssl, session_index, session) == 1);
}

struct rl_tls_session *rl_tls_session_of(const SSL *ssl)
{
    pthread_once(&session_once, make_index);
    return SSL_get_ex_data(ssl, session_index);
}

int64_t rl_tls_session_now_s(const struct rl_tls_session *session)
{
    return session->now_s ? session->now_s(session->now_context) : rl_clock_wall_s();
}

/* The alert that the peer gets: "expired" where that is so, else only that it was refused. */
static int verify_error(X509_STORE_CTX *store, int64_t now_s)
{
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    time_t now = (time_t)now_s;
    bool is_expired = leaf && X509_cmp_time(X509_get0_notAfter(leaf), &now) < 0;
    return is_expired ? X509_V_ERR_CERT_HAS_EXPIRED : X509_V_ERR_CERT_REJECTED;
}

int rl_tls_verify(X509_STORE_CTX *store, void *unused)
{
    (void)unused;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct rl_tls_session *session = ssl ? rl_tls_session_of(ssl) : NULL;
    if (!session || !session->judge) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
        return 0;
    }
    const void *owner =
        session->is_server ? (const void *)session->server : (const void *)session->client;
    int64_t now_s = rl_tls_session_now_s(session);
    struct rl_identity *peer = NULL;
    rl_code code = session->judge(owner, session->trust, X509_STORE_CTX_get0_untrusted(store),
                                  now_s, &peer, &session->failure);
    if (code != RL_OK) {
        X509_STORE_CTX_set_error(store, verify_error(store, now_s));
        return 0;
    }
    rl_identity_unref(&session->peer);
    session->peer = peer;
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

/* A resumed session brings its leaf along: it is judged as if it had just been shown. */
static rl_code judge_resumed(SSL *ssl, struct rl_tls_session *session, struct rl_error *err)
{
    X509 *leaf = SSL_get0_peer_certificate(ssl);
    struct rl_identity *peer = NULL;
    if (!leaf || !session->judge)
        return RL_OK;
    STACK_OF(X509) *chain = sk_X509_new_null();
    RL_ASSERT(chain && sk_X509_push(chain, leaf) > 0);
    const void *owner =
        session->is_server ? (const void *)session->server : (const void *)session->client;
    rl_code code =
        session->judge(owner, session->trust, chain, rl_tls_session_now_s(session), &peer, err);
    sk_X509_free(chain);
    if (code != RL_OK)
        return code;
    rl_identity_unref(&session->peer);
    session->peer = peer;
    return RL_OK;
}

rl_code rl_tls_peer(SSL *ssl, struct rl_identity **out, struct rl_error *err)
{
    struct rl_tls_session *session = rl_tls_session_of(ssl);
    RL_ASSERT(session);
    if (SSL_session_reused(ssl) && !session->peer) {
        rl_code code = judge_resumed(ssl, session, err);
        if (code != RL_OK)
            return code;
    }
    if (session->peer && session->peer->not_after_s < rl_tls_session_now_s(session))
        return rl_fail(err, RL_E_UNAUTHENTICATED, "the certificate has expired");
    if (!session->peer && session->peer_must_show)
        return rl_fail(err, RL_E_UNAUTHENTICATED, "the other side showed no certificate");
    *out = rl_identity_ref(session->peer);
    return RL_OK;
}

X509 *rl_tls_peer_authority(SSL *ssl)
{
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
    X509 *leaf = SSL_get0_peer_certificate(ssl);
    int count = sk_X509_num(chain);
    X509 *top = count > 0 ? sk_X509_value(chain, count - 1) : NULL;
    if (!leaf || !top || X509_cmp(top, leaf) == 0)
        return NULL;
    EVP_PKEY *key = X509_get0_pubkey(top);
    bool signed_it = key && X509_verify(leaf, key) == 1;
    ERR_clear_error();
    if (!signed_it || X509_up_ref(top) != 1)
        return NULL;
    return top;
}

rl_code rl_tls_fail(struct rl_error *err, const char *what)
{
    char reason[160] = "no reason given";
    unsigned long code = ERR_peek_last_error();
    if (code)
        ERR_error_string_n(code, reason, sizeof reason);
    ERR_clear_error();
    return rl_fail(err, RL_E_INTERNAL, "%s: %s", what, reason);
}

static bool has_aes_instructions(void)
{
#if defined(__x86_64__) || defined(__i386__)
    return __builtin_cpu_supports("aes");
#elif defined(__aarch64__)
    return getauxval(AT_HWCAP) & HWCAP_AES;
#elif defined(__arm__)
    return getauxval(AT_HWCAP2) & HWCAP2_AES;
#else
    return false;
#endif
}

rl_code rl_tls_context_create(const SSL_METHOD *method, bool allow_tls12,
                              const struct rl_tls_identity *identity, SSL_CTX **out,
                              struct rl_error *err)
{
    SSL_CTX *context = SSL_CTX_new(method);
    if (!context ||
        SSL_CTX_set_min_proto_version(context, allow_tls12 ? TLS1_2_VERSION : TLS1_3_VERSION) !=
            1 ||
        SSL_CTX_set_cipher_list(context, TLS12_CIPHERS) != 1 ||
        SSL_CTX_set_ciphersuites(context, has_aes_instructions() ? CIPHERS_AES : CIPHERS_CHACHA) !=
            1 ||
        SSL_CTX_set1_groups_list(context, groups) != 1 ||
        (identity && !rl_tls_identity_use(identity, context))) {
        SSL_CTX_free(context);
        return rl_tls_fail(err, "setting TLS up");
    }
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_cert_list(context, PEER_CHAIN_BYTES_MAX);
    *out = context;
    return RL_OK;
}
