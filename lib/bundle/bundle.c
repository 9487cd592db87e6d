/* bundle: PEM written and read by OpenSSL; the file is replaced by rename. */
#include "bundle/bundle.h"

#include "file/file.h"

#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#define TRUST_LABEL "REMOTELER TRUST"

/* ---- writing ---- */

static bool put_block(BIO *bio, const char *label, const uint8_t *p, size_t n)
{
    return n <= LONG_MAX && PEM_write_bio(bio, label, "", p, (long)n) > 0;
}

static bool put_trust(BIO *bio, const Pb__TrustBundle *trust)
{
    size_t n = pb__trust_bundle__get_packed_size(trust);
    uint8_t *packed = rl_alloc(n);
    pb__trust_bundle__pack(trust, packed);
    bool ok = put_block(bio, TRUST_LABEL, packed, n);
    free(packed);
    return ok;
}

static rl_code to_text(EVP_PKEY *key, const ProtobufCBinaryData *chain, size_t chain_count,
                       const Pb__TrustBundle *trust, BIO **out, struct rl_error *err)
{
    struct rl_buf pem;
    rl_buf_init(&pem, RL_BUNDLE_BYTES_MAX);
    rl_code rc = rl_key_to_pem(key, &pem, err);
    if (rc != RL_OK)
        return rc;
    BIO *bio = BIO_new(BIO_s_secmem());
    bool ok = bio && BIO_write(bio, pem.p, (int)pem.n) == (int)pem.n;
    for (size_t i = 0; ok && i < chain_count; i++)
        ok = put_block(bio, PEM_STRING_X509, chain[i].data, chain[i].len);
    ok = ok && put_trust(bio, trust);
    rl_buf_fini(&pem);
    if (!ok) {
        BIO_free(bio);
        return rl_fail(err, RL_E_INTERNAL, "writing an identity as PEM");
    }
    *out = bio;
    return RL_OK;
}

rl_code rl_bundle_write(const char *path, EVP_PKEY *key, const ProtobufCBinaryData *chain,
                        size_t chain_count, const Pb__TrustBundle *trust, struct rl_error *err)
{
    BIO *bio = NULL;
    rl_code rc = to_text(key, chain, chain_count, trust, &bio, err);
    if (rc != RL_OK)
        return rc;
    char *text = NULL;
    long n = BIO_get_mem_data(bio, &text);
    rc = rl_file_write(path, RL_SPAN(text, (size_t)n), err);
    BIO_free(bio);
    return rc;
}

/* ---- reading ---- */

struct blocks {
    EVP_PKEY *key;
    struct rl_buf chain[RL_IDENTITY_CHAIN_MAX];
    size_t chain_count;
    Pb__TrustBundle *trust;
};

static void blocks_fini(struct blocks *b)
{
    EVP_PKEY_free(b->key);
    for (size_t i = 0; i < b->chain_count; i++)
        rl_buf_fini(&b->chain[i]);
    if (b->trust)
        pb__trust_bundle__free_unpacked(b->trust, NULL);
}

/* One block that was read; false when it is there too often or is not what it says. */
static bool take_block(struct blocks *b, const char *label, const uint8_t *p, size_t n)
{
    if (strcmp(label, PEM_STRING_PKCS8INF) == 0) {
        const uint8_t *at = p;
        if (b->key)
            return false;
        b->key = d2i_AutoPrivateKey(NULL, &at, (long)n);
        return b->key != NULL;
    }
    if (strcmp(label, TRUST_LABEL) == 0) {
        if (b->trust)
            return false;
        b->trust = pb__trust_bundle__unpack(NULL, n, p);
        return b->trust != NULL;
    }
    if (strcmp(label, PEM_STRING_X509) != 0)
        return true; /* a later version's */
    if (b->chain_count == RL_IDENTITY_CHAIN_MAX)
        return false;
    rl_buf_init(&b->chain[b->chain_count], RL_BUNDLE_BYTES_MAX);
    return rl_buf_put(&b->chain[b->chain_count++], p, n);
}

static bool take_blocks(struct blocks *b, struct rl_span text)
{
    BIO *bio = BIO_new_mem_buf(text.p, (int)text.n);
    RL_ASSERT(bio);
    bool ok = true;
    char *label = NULL;
    char *header = NULL;
    uint8_t *data = NULL;
    long n = 0;
    while (ok && PEM_read_bio(bio, &label, &header, &data, &n) == 1) {
        ok = n >= 0 && take_block(b, label, data, (size_t)n);
        OPENSSL_free(label);
        OPENSSL_free(header);
        OPENSSL_clear_free(data, (size_t)n);
    }
    BIO_free(bio);
    return ok && b->key && b->trust && b->chain_count;
}

rl_code rl_bundle_read(const char *path, struct rl_tls_identity **identity, Pb__TrustBundle **trust,
                       struct rl_error *err)
{
    struct rl_buf text;
    struct blocks blocks = {0};
    rl_buf_init(&text, RL_BUNDLE_BYTES_MAX);
    rl_code rc = rl_file_read_private(path, &text, err);
    if (rc != RL_OK)
        rl_error_prefix(err, "the identity file");
    else if (!take_blocks(&blocks, rl_buf_span(&text)))
        rc = rl_fail(err, RL_E_INVAL,
                     "%s is not an identity file: it needs one PRIVATE KEY, one " TRUST_LABEL
                     " and CERTIFICATE blocks",
                     path);
    if (rc == RL_OK) {
        struct rl_span chain[RL_IDENTITY_CHAIN_MAX];
        for (size_t i = 0; i < blocks.chain_count; i++)
            chain[i] = rl_buf_span(&blocks.chain[i]);
        rc = rl_tls_identity_create(chain, blocks.chain_count, blocks.key, identity, err);
        if (rc != RL_OK)
            rl_error_prefix(err, "the identity file %s", path);
    }
    if (rc == RL_OK) {
        *trust = blocks.trust;
        blocks.trust = NULL;
    }
    blocks_fini(&blocks);
    rl_buf_fini(&text);
    return rc;
}
