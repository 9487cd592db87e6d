/* own: one's own certificate and key, immutable and shared. */
#include "tls/own.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <time.h>

#define CHAIN_MAX 8

struct rl_tls_identity {
    STACK_OF(X509) * chain; /* leaf first, then its authority */
    EVP_PKEY *key;
    int64_t not_after_s;
    unsigned refs; /* atomic */
};

static int64_t not_after_of(X509 *leaf)
{
    struct tm tm;
    return ASN1_TIME_to_tm(X509_get0_notAfter(leaf), &tm) == 1 ? timegm(&tm) : 0;
}

/* Takes `chain` over, also when it fails; a ref of `key`. */
static rl_code create(STACK_OF(X509) * chain, EVP_PKEY *key, struct rl_tls_identity **out,
                      struct rl_error *err)
{
    X509 *leaf = sk_X509_num(chain) > 0 ? sk_X509_value(chain, 0) : NULL;
    bool fits = leaf && X509_check_private_key(leaf, key) == 1;
    ERR_clear_error();
    if (!fits) {
        sk_X509_pop_free(chain, X509_free);
        return leaf ? rl_fail(err, RL_E_INVAL, "the key is not that of the certificate")
                    : rl_fail(err, RL_E_INVAL, "there is no certificate");
    }
    struct rl_tls_identity *identity = rl_alloc(sizeof *identity);
    identity->chain = chain;
    EVP_PKEY_up_ref(key);
    identity->key = key;
    identity->not_after_s = not_after_of(leaf);
    identity->refs = 1;
    *out = identity;
    return RL_OK;
}

rl_code rl_tls_identity_create(const struct rl_span *chain_der, size_t chain_count, EVP_PKEY *key,
                               struct rl_tls_identity **out, struct rl_error *err)
{
    if (chain_count > CHAIN_MAX)
        return rl_fail(err, RL_E_INVAL, "more than %d certificates in a chain", CHAIN_MAX);
    STACK_OF(X509) *chain = sk_X509_new_null();
    RL_ASSERT(chain);
    for (size_t i = 0; i < chain_count; i++) {
        X509 *certificate = NULL;
        rl_code code = rl_x509_from_der(chain_der[i], &certificate, err);
        if (code != RL_OK) {
            sk_X509_pop_free(chain, X509_free);
            return code;
        }
        RL_ASSERT(sk_X509_push(chain, certificate) > 0);
    }
    return create(chain, key, out, err);
}

static int no_password(char *buffer, int size, int is_writing, void *context)
{
    (void)buffer, (void)size, (void)is_writing, (void)context;
    return -1;
}

rl_code rl_tls_identity_create_pem(struct rl_span chain_pem, struct rl_span key_pem,
                                   struct rl_tls_identity **out, struct rl_error *err)
{
    EVP_PKEY *key = NULL;
    rl_code code = rl_key_from_pem(key_pem, &key, err);
    if (code != RL_OK)
        return code;
    STACK_OF(X509) *chain = sk_X509_new_null();
    BIO *bio = chain_pem.n <= INT32_MAX ? BIO_new_mem_buf(chain_pem.p, (int)chain_pem.n) : NULL;
    X509 *certificate;
    while (bio && sk_X509_num(chain) < CHAIN_MAX &&
           (certificate = PEM_read_bio_X509(bio, NULL, no_password, NULL)))
        RL_ASSERT(sk_X509_push(chain, certificate) > 0);
    ERR_clear_error();
    BIO_free(bio);
    code = create(chain, key, out, err);
    EVP_PKEY_free(key);
    return code;
}

struct rl_tls_identity *rl_tls_identity_ref(struct rl_tls_identity *identity)
{
    if (identity)
        __atomic_add_fetch(&identity->refs, 1, __ATOMIC_RELAXED);
    return identity;
}

void rl_tls_identity_unref(struct rl_tls_identity **identity)
{
    struct rl_tls_identity *gone = identity ? *identity : NULL;
    if (!gone)
        return;
    *identity = NULL;
    if (__atomic_sub_fetch(&gone->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    sk_X509_pop_free(gone->chain, X509_free);
    EVP_PKEY_free(gone->key);
    free(gone);
}

int64_t rl_tls_identity_not_after_s(const struct rl_tls_identity *identity)
{
    return identity->not_after_s;
}

X509 *rl_tls_identity_certificate(const struct rl_tls_identity *identity)
{
    return sk_X509_value(identity->chain, 0);
}

EVP_PKEY *rl_tls_identity_key(const struct rl_tls_identity *identity)
{
    return identity->key;
}

rl_code rl_tls_identity_pem(const struct rl_tls_identity *identity, struct rl_buf *chain,
                            struct rl_buf *key, struct rl_error *err)
{
    rl_code code = RL_OK;
    for (int i = 0; code == RL_OK && i < sk_X509_num(identity->chain); i++)
        code = rl_x509_to_pem(sk_X509_value(identity->chain, i), chain, err);
    return code == RL_OK ? rl_key_to_pem(identity->key, key, err) : code;
}

bool rl_tls_identity_use(const struct rl_tls_identity *identity, SSL_CTX *context)
{
    bool used = SSL_CTX_use_certificate(context, rl_tls_identity_certificate(identity)) == 1 &&
                SSL_CTX_use_PrivateKey(context, identity->key) == 1;
    for (int i = 1; used && i < sk_X509_num(identity->chain); i++)
        used = SSL_CTX_add1_chain_cert(context, sk_X509_value(identity->chain, i)) == 1;
    return used;
}
