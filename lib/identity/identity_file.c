#include "identity/identity_file.h"

#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_KEY "PRIVATE KEY"
#define BLOCK_CERTIFICATE "CERTIFICATE"
#define BLOCK_TRUST "REMOTELER TRUST BUNDLE"

rl_code rl_identity_file_write(const struct rl_identity_file *identity, struct rl_buf *out,
                               struct rl_error *err)
{
    rl_code rc = rl_key_to_pem(identity->key, out, err);
    for (size_t i = 0; rc == RL_OK && i < identity->chain_count; i++)
        rc = rl_x509_to_pem(identity->chain[i], out, err);
    if (rc != RL_OK)
        return rc;
    size_t n = pb__trust_bundle__get_packed_size(identity->trust);
    uint8_t *packed = rl_alloc(n);
    pb__trust_bundle__pack(identity->trust, packed);
    BIO *memory = BIO_new(BIO_s_mem());
    char *text = NULL;
    long length = 0;
    if (memory && PEM_write_bio(memory, BLOCK_TRUST, "", packed, (long)n) > 0)
        length = BIO_get_mem_data(memory, &text);
    if (length <= 0 || !rl_buf_put(out, text, (size_t)length))
        rc = rl_fail(err, RL_E_INTERNAL, "the trust bundle could not be written");
    BIO_free(memory);
    free(packed);
    return rc;
}

static rl_code take_key(struct rl_identity_file *identity, const uint8_t *der, long n,
                        struct rl_error *err)
{
    if (identity->key)
        return rl_fail(err, RL_E_INVAL, "the identity file has two private keys");
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &der, n);
    identity->key = info ? EVP_PKCS82PKEY(info) : NULL;
    PKCS8_PRIV_KEY_INFO_free(info);
    return identity->key ? RL_OK
                         : rl_fail(err, RL_E_INVAL, "the identity file's private key is damaged");
}

static rl_code take_certificate(struct rl_identity_file *identity, const uint8_t *der, long n,
                                struct rl_error *err)
{
    if (identity->chain_count == RL_IDENTITY_CHAIN_MAX)
        return rl_fail(err, RL_E_INVAL, "the identity file has too many certificates");
    return rl_x509_from_der(RL_SPAN(der, (size_t)n), &identity->chain[identity->chain_count++],
                            err);
}

static rl_code take_trust(struct rl_identity_file *identity, const uint8_t *packed, long n,
                          struct rl_error *err)
{
    if (identity->trust)
        return rl_fail(err, RL_E_INVAL, "the identity file has two trust bundles");
    identity->trust = pb__trust_bundle__unpack(NULL, (size_t)n, packed);
    return identity->trust ? RL_OK
                           : rl_fail(err, RL_E_INVAL, "the identity file's trust is damaged");
}

static rl_code take_block(struct rl_identity_file *identity, const char *name, const uint8_t *data,
                          long n, struct rl_error *err)
{
    if (strcmp(name, BLOCK_KEY) == 0)
        return take_key(identity, data, n, err);
    if (strcmp(name, BLOCK_CERTIFICATE) == 0)
        return take_certificate(identity, data, n, err);
    if (strcmp(name, BLOCK_TRUST) == 0)
        return take_trust(identity, data, n, err);
    return rl_fail(err, RL_E_INVAL, "the identity file has an unknown part: %.64s", name);
}

static rl_code check_whole(const struct rl_identity_file *identity, struct rl_error *err)
{
    const char *missing = !identity->key           ? "a private key"
                          : !identity->chain_count ? "a certificate"
                          : !identity->trust       ? "a trust bundle"
                                                   : NULL;
    if (missing)
        return rl_fail(err, RL_E_INVAL, "the identity file has no part that is %s", missing);
    return RL_OK;
}

rl_code rl_identity_file_read(struct rl_span text, struct rl_identity_file *out,
                              struct rl_error *err)
{
    struct rl_identity_file identity = {0};
    rl_code rc = RL_OK;
    if (text.n > RL_IDENTITY_FILE_BYTES_MAX)
        return rl_fail(err, RL_E_INVAL, "the identity file is too big");
    BIO *memory = BIO_new_mem_buf(text.p, (int)text.n);
    char *name = NULL, *header = NULL;
    unsigned char *data = NULL;
    long n = 0;
    while (rc == RL_OK && memory && PEM_read_bio(memory, &name, &header, &data, &n) == 1) {
        rc = take_block(&identity, name, data, n, err);
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_clear_free(data, (size_t)n);
    }
    BIO_free(memory);
    if (rc == RL_OK)
        rc = check_whole(&identity, err);
    if (rc == RL_OK)
        *out = identity;
    else
        rl_identity_file_fini(&identity);
    return rc;
}

void rl_identity_file_fini(struct rl_identity_file *identity)
{
    EVP_PKEY_free(identity->key);
    for (size_t i = 0; i < identity->chain_count; i++)
        X509_free(identity->chain[i]);
    if (identity->trust)
        pb__trust_bundle__free_unpacked(identity->trust, NULL);
    *identity = (struct rl_identity_file){0};
}
