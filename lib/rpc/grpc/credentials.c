/* credentials: PEM texts for gRPC core, which copies them, and what it asks back from its threads.
 */
#include "rpc/grpc/credentials.h"

#include "clock/clock.h"

#include <grpc/grpc.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define PEM_BYTES_MAX (1u << 20)

struct pem {
    struct rl_buf roots, chain, key;
};

static void pem_init(struct pem *pem)
{
    rl_buf_init(&pem->roots, PEM_BYTES_MAX);
    rl_buf_init(&pem->chain, PEM_BYTES_MAX);
    rl_buf_init(&pem->key, PEM_BYTES_MAX);
}

static void pem_fini(struct pem *pem)
{
    rl_buf_fini(&pem->roots);
    rl_buf_fini(&pem->chain);
    rl_buf_fini(&pem->key);
}

static rl_code pem_fill(struct pem *pem, struct rl_tls_identity *identity, struct rl_trust *trust,
                        struct rl_error *err)
{
    rl_code rc = rl_trust_pem(trust, RL_IDENTITY_SERVICE, &pem->roots, err);
    if (rc == RL_OK)
        rc = rl_tls_identity_pem(identity, &pem->chain, &pem->key, err);
    return rc;
}

rl_code rl_grpc_check_peer(const struct rl_trust *trust, const char *pem, size_t n,
                           bool purpose_server, int64_t now_s, struct rl_identity **out,
                           struct rl_error *err)
{
    BIO *bio = n <= PEM_BYTES_MAX ? BIO_new_mem_buf(pem, (int)n) : NULL;
    X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    STACK_OF(X509) *chain = sk_X509_new_null();
    rl_code rc;
    if (!certificate || !chain || !sk_X509_push(chain, certificate))
        rc = rl_fail(err, RL_E_UNAUTHENTICATED, "the peer's certificate can not be read");
    else
        rc = rl_identity_check(trust, chain, purpose_server, now_s, out, err);
    sk_X509_free(chain);
    X509_free(certificate);
    BIO_free(bio);
    return rc;
}

/* ---- servers ---- */

struct rl_grpc_server_identity {
    pthread_mutex_t lock; /* gRPC core asks at each handshake, on its own threads */
    struct pem pem;
    bool is_new;
};

rl_code rl_grpc_server_identity_create(struct rl_tls_identity *identity, struct rl_trust *trust,
                                       struct rl_grpc_server_identity **out, struct rl_error *err)
{
    struct rl_grpc_server_identity *server = rl_alloc(sizeof *server);
    pthread_mutex_init(&server->lock, NULL);
    pem_init(&server->pem);
    rl_code rc = rl_grpc_server_identity_reload(server, identity, trust, err);
    if (rc == RL_OK)
        *out = server;
    else
        rl_grpc_server_identity_free(&server);
    return rc;
}

rl_code rl_grpc_server_identity_reload(struct rl_grpc_server_identity *server,
                                       struct rl_tls_identity *identity, struct rl_trust *trust,
                                       struct rl_error *err)
{
    struct pem pem, old;
    pem_init(&pem);
    rl_code rc = pem_fill(&pem, identity, trust, err);
    if (rc != RL_OK) {
        pem_fini(&pem);
        return rc;
    }
    pthread_mutex_lock(&server->lock);
    old = server->pem;
    server->pem = pem;
    server->is_new = true;
    pthread_mutex_unlock(&server->lock);
    pem_fini(&old);
    return RL_OK;
}

static grpc_ssl_certificate_config_reload_status fetch(void *context,
                                                       grpc_ssl_server_certificate_config **out)
{
    struct rl_grpc_server_identity *server = context;
    pthread_mutex_lock(&server->lock);
    bool is_new = server->is_new;
    if (is_new) {
        grpc_ssl_pem_key_cert_pair pair = {rl_buf_text(&server->pem.key),
                                           rl_buf_text(&server->pem.chain)};
        *out = grpc_ssl_server_certificate_config_create(rl_buf_text(&server->pem.roots), &pair, 1);
        server->is_new = false;
    }
    pthread_mutex_unlock(&server->lock);
    return is_new ? GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW
                  : GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
}

grpc_server_credentials *rl_grpc_server_credentials(struct rl_grpc_server_identity *server)
{
    return grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(
            GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY, fetch, server));
}

void rl_grpc_server_identity_free(struct rl_grpc_server_identity **server)
{
    if (!server || !*server)
        return;
    pem_fini(&(*server)->pem);
    pthread_mutex_destroy(&(*server)->lock);
    free(*server);
    *server = NULL;
}

/* ---- clients ---- */

struct rl_grpc_verifier {
    struct rl_trust *trust;
    char *service;
    int64_t ahead_s; /* of the wall clock is the caller's */
    atomic_uint refs;
    pthread_mutex_t lock;
    struct rl_identity *identity;
    struct rl_error failure;
};

static rl_code check_service(const struct rl_grpc_verifier *verifier,
                             const struct rl_identity *identity, struct rl_error *err)
{
    if (rl_identity_is_service(identity, verifier->service) &&
        strcmp(identity->cluster, rl_trust_cluster(verifier->trust)) == 0)
        return RL_OK;
    char *who = rl_identity_describe(identity);
    rl_fail(err, RL_E_UNAUTHENTICATED, "expected the service %s, %s answered", verifier->service,
            who);
    free(who);
    return RL_E_UNAUTHENTICATED;
}

/* On a thread of gRPC core; 0 is yes. */
static int verify(const char *target, const char *pem, void *context)
{
    (void)target; /* a name in DNS says nothing: the SPIFFE identity does */
    struct rl_grpc_verifier *verifier = context;
    struct rl_identity *identity = NULL;
    struct rl_error err = {0};
    rl_code rc = rl_grpc_check_peer(verifier->trust, pem, strlen(pem), true,
                                    rl_clock_wall_s() + verifier->ahead_s, &identity, &err);
    if (rc == RL_OK)
        rc = check_service(verifier, identity, &err);
    if (rc != RL_OK)
        rl_identity_unref(&identity);
    pthread_mutex_lock(&verifier->lock);
    verifier->failure = err;
    rl_identity_unref(&verifier->identity);
    verifier->identity = identity;
    pthread_mutex_unlock(&verifier->lock);
    return rc != RL_OK;
}

static void release_verifier(void *context)
{
    struct rl_grpc_verifier *verifier = context;
    rl_grpc_verifier_unref(&verifier);
}

static grpc_channel_credentials *create_credentials(struct pem *pem,
                                                    struct rl_grpc_verifier *verifier)
{
    grpc_ssl_pem_key_cert_pair pair = {rl_buf_text(&pem->key), rl_buf_text(&pem->chain)};
    grpc_ssl_verify_peer_options options = {verify, verifier, release_verifier};
    atomic_fetch_add(&verifier->refs, 1);
    return grpc_ssl_credentials_create_ex(rl_buf_text(&pem->roots), &pair, &options, NULL);
}

rl_code rl_grpc_client_credentials(struct rl_tls_identity *identity, struct rl_trust *trust,
                                   const char *peer_service, int64_t now_s,
                                   grpc_channel_credentials **out,
                                   struct rl_grpc_verifier **verifier, struct rl_error *err)
{
    struct pem pem;
    pem_init(&pem);
    rl_code rc = pem_fill(&pem, identity, trust, err);
    if (rc == RL_OK) {
        struct rl_grpc_verifier *v = rl_alloc(sizeof *v);
        v->trust = rl_trust_ref(trust);
        v->service = rl_strdup(peer_service);
        v->ahead_s = now_s - rl_clock_wall_s();
        atomic_init(&v->refs, 1);
        pthread_mutex_init(&v->lock, NULL);
        *out = create_credentials(&pem, v);
        *verifier = v;
    }
    pem_fini(&pem);
    return rc;
}

struct rl_identity *rl_grpc_verifier_take(struct rl_grpc_verifier *verifier)
{
    pthread_mutex_lock(&verifier->lock);
    struct rl_identity *identity = verifier->identity;
    verifier->identity = NULL;
    pthread_mutex_unlock(&verifier->lock);
    return identity;
}

bool rl_grpc_verifier_failure(struct rl_grpc_verifier *verifier, struct rl_error *out)
{
    pthread_mutex_lock(&verifier->lock);
    bool is_there = verifier->failure.code != RL_OK;
    if (is_there)
        *out = verifier->failure;
    pthread_mutex_unlock(&verifier->lock);
    return is_there;
}

void rl_grpc_verifier_unref(struct rl_grpc_verifier **verifier)
{
    struct rl_grpc_verifier *v = verifier ? *verifier : NULL;
    if (!v)
        return;
    *verifier = NULL;
    if (atomic_fetch_sub(&v->refs, 1) != 1)
        return;
    rl_identity_unref(&v->identity);
    rl_trust_unref(&v->trust);
    pthread_mutex_destroy(&v->lock);
    free(v->service);
    free(v);
}
