/* key: public keys, private keys and certificates as bytes and back, and signatures with a context.
 * What is read is read whole and in its one spelling: trailing bytes, explicit curve parameters and
 * compressed points are refused. */
#include "identity/identity.h"

#include "identity/certificate.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

#define SPKI_BYTES_MAX 512
#define PEM_BYTES_MAX 65536
#define CERTIFICATE_BYTES_MAX 65536
#define SIGNED_BYTES_MAX (64u << 20)
#define SIGNATURE_BYTES_MAX 256

rl_code rl_fail_crypto(struct rl_error *err, const char *what)
{
    char reason[160] = "no reason given";
    unsigned long code = ERR_peek_last_error();
    if (code)
        ERR_error_string_n(code, reason, sizeof reason);
    ERR_clear_error();
    return rl_fail(err, RL_E_INTERNAL, "%s: %s", what, reason);
}

static bool is_curve(EVP_PKEY *key, const char *group)
{
    char name[64] = "";
    int explicit_parameters = 0;
    if (!key || !EVP_PKEY_is_a(key, "EC") ||
        EVP_PKEY_get_group_name(key, name, sizeof name, NULL) != 1)
        return false;
    EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS,
                           &explicit_parameters);
    return !explicit_parameters && strcmp(name, group) == 0;
}

bool rl_key_is_p256(EVP_PKEY *key)
{
    return is_curve(key, "prime256v1");
}

bool rl_key_is_p384(EVP_PKEY *key)
{
    return is_curve(key, "secp384r1");
}

rl_code rl_key_generate_p256(EVP_PKEY **out, struct rl_error *err)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    if (!key)
        return rl_fail_crypto(err, "making a P-256 key");
    *out = key;
    return RL_OK;
}

/* Appends what an i2d function wrote (n bytes at der) and frees it. */
static rl_code put_der(int n, uint8_t *der, const char *what, struct rl_buf *out,
                       struct rl_error *err)
{
    if (n <= 0)
        return rl_fail_crypto(err, what);
    bool fits = rl_buf_put(out, der, (size_t)n);
    OPENSSL_free(der);
    return fits ? RL_OK : rl_fail(err, RL_E_EXHAUSTED, "%s: too long", what);
}

rl_code rl_key_to_spki(EVP_PKEY *key, struct rl_buf *out, struct rl_error *err)
{
    uint8_t *der = NULL;
    int n = i2d_PUBKEY(key, &der);
    return put_der(n, der, "encoding a public key", out, err);
}

/* SubjectPublicKeyInfo of P-256 with an uncompressed point, up to the point (RFC 5480). */
static const uint8_t p256_head[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                    0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                    0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};
#define P256_POINT_BYTES 65

/* OpenSSL's decoder takes ten times as long as this, and a fleet that comes back has thousands of
 * keys. NULL: not in that form, or no point of the curve. */
static EVP_PKEY *p256_from_spki(struct rl_span der)
{
    if (der.n != sizeof p256_head + P256_POINT_BYTES ||
        memcmp(der.p, p256_head, sizeof p256_head) != 0 || der.p[sizeof p256_head] != 0x04)
        return NULL;
    char group[] = "prime256v1";
    uint8_t point[P256_POINT_BYTES];
    memcpy(point, der.p + sizeof p256_head, sizeof point);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        ERR_clear_error();
    EVP_PKEY_CTX_free(ctx);
    return key;
}

rl_code rl_key_from_spki(struct rl_span der, EVP_PKEY **out, struct rl_error *err)
{
    rl_code code = RL_E_INVAL;
    EVP_PKEY *usual = p256_from_spki(der);
    if (usual) {
        *out = usual;
        return RL_OK;
    }
    EVP_PKEY *key = NULL;
    struct rl_buf again;
    rl_buf_init(&again, SPKI_BYTES_MAX);
    const uint8_t *p = der.p;
    if (der.n == 0 || der.n > SPKI_BYTES_MAX || !(key = d2i_PUBKEY(NULL, &p, (long)der.n))) {
        ERR_clear_error();
        rl_fail(err, code, "that is no public key");
        goto out;
    }
    if (!rl_key_is_p256(key) && !EVP_PKEY_is_a(key, "ED25519")) {
        rl_fail(err, code, "a public key must be ECDSA P-256 or Ed25519");
        goto out;
    }
    if (rl_key_is_p256(key))
        EVP_PKEY_set_utf8_string_param(key, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
                                       OSSL_PKEY_EC_POINT_CONVERSION_FORMAT_UNCOMPRESSED);
    if (rl_key_to_spki(key, &again, NULL) != RL_OK || !rl_span_equal(rl_buf_span(&again), der)) {
        rl_fail(err, code, "the public key is not in its usual encoding");
        goto out;
    }
    *out = key;
    key = NULL;
    code = RL_OK;
out:
    rl_buf_fini(&again);
    EVP_PKEY_free(key);
    return code;
}

static rl_code put_bio(BIO *bio, const char *what, struct rl_buf *out, struct rl_error *err)
{
    char *text = NULL;
    long n = BIO_get_mem_data(bio, &text);
    if (n <= 0 || !rl_buf_put(out, text, (size_t)n))
        return rl_fail(err, RL_E_EXHAUSTED, "%s: too long", what);
    return RL_OK;
}

rl_code rl_key_to_pem(EVP_PKEY *key, struct rl_buf *out, struct rl_error *err)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    rl_code code = bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1
                       ? put_bio(bio, "writing a private key", out, err)
                       : rl_fail_crypto(err, "writing a private key");
    BIO_free(bio);
    return code;
}

/* OpenSSL would ask at the terminal for the password of an encrypted key. */
static int no_password(char *buffer, int size, int is_writing, void *context)
{
    (void)buffer, (void)size, (void)is_writing, (void)context;
    return -1;
}

rl_code rl_key_from_pem(struct rl_span pem, EVP_PKEY **out, struct rl_error *err)
{
    EVP_PKEY *key = NULL;
    BIO *bio = NULL;
    if (pem.n > 0 && pem.n <= PEM_BYTES_MAX && (bio = BIO_new_mem_buf(pem.p, (int)pem.n)))
        key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    BIO_free(bio);
    ERR_clear_error();
    if (!key)
        return rl_fail(err, RL_E_INVAL, "no private key in PEM without a password is there");
    *out = key;
    return RL_OK;
}

rl_code rl_x509_to_der(X509 *certificate, struct rl_buf *out, struct rl_error *err)
{
    uint8_t *der = NULL;
    int n = i2d_X509(certificate, &der);
    return put_der(n, der, "encoding a certificate", out, err);
}

rl_code rl_x509_from_der(struct rl_span der, X509 **out, struct rl_error *err)
{
    const uint8_t *p = der.p;
    X509 *certificate = NULL;
    if (der.n > 0 && der.n <= CERTIFICATE_BYTES_MAX)
        certificate = d2i_X509(NULL, &p, (long)der.n);
    ERR_clear_error();
    if (!certificate || p != der.p + der.n) {
        X509_free(certificate);
        return rl_fail(err, RL_E_INVAL, "that is no certificate in DER");
    }
    *out = certificate;
    return RL_OK;
}

rl_code rl_x509_to_pem(X509 *certificate, struct rl_buf *out, struct rl_error *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    rl_code code = bio && PEM_write_bio_X509(bio, certificate) == 1
                       ? put_bio(bio, "writing a certificate", out, err)
                       : rl_fail_crypto(err, "writing a certificate");
    BIO_free(bio);
    return code;
}

/* "context\0body": the NUL keeps one context from being the beginning of another. */
static rl_code join_context(const char *context, struct rl_span body, struct rl_buf *out,
                            struct rl_error *err)
{
    rl_buf_init(out, SIGNED_BYTES_MAX);
    rl_buf_put(out, context, strlen(context) + 1);
    rl_buf_put_span(out, body);
    return out->failed ? rl_fail(err, RL_E_EXHAUSTED, "too long to sign") : RL_OK;
}

static const EVP_MD *digest_for(EVP_PKEY *key)
{
    return EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_sha256();
}

static bool can_sign(EVP_PKEY *key)
{
    return rl_key_is_p256(key) || EVP_PKEY_is_a(key, "ED25519");
}

rl_code rl_key_sign(EVP_PKEY *key, const char *context, struct rl_span body, struct rl_buf *out,
                    struct rl_error *err)
{
    struct rl_buf text;
    uint8_t signature[SIGNATURE_BYTES_MAX];
    size_t n = sizeof signature;
    if (!can_sign(key))
        return rl_fail(err, RL_E_INVAL, "that key signs nothing here: it is no P-256 or Ed25519");
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    rl_code code = join_context(context, body, &text, err);
    if (code != RL_OK)
        goto out;
    if (!md || EVP_DigestSignInit(md, NULL, digest_for(key), NULL, key) != 1 ||
        EVP_DigestSign(md, signature, &n, text.p, text.n) != 1) {
        code = rl_fail_crypto(err, "signing");
        goto out;
    }
    if (!rl_buf_put(out, signature, n))
        code = rl_fail(err, RL_E_EXHAUSTED, "no room for a signature");
out:
    EVP_MD_CTX_free(md);
    rl_buf_fini(&text);
    return code;
}

rl_code rl_key_verify(EVP_PKEY *key, const char *context, struct rl_span body,
                      struct rl_span signature, struct rl_error *err)
{
    struct rl_buf text;
    if (!can_sign(key))
        return rl_fail(err, RL_E_UNAUTHENTICATED, "the key can not have made this signature");
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    rl_code code = join_context(context, body, &text, err);
    if (code == RL_OK && (!md || EVP_DigestVerifyInit(md, NULL, digest_for(key), NULL, key) != 1 ||
                          EVP_DigestVerify(md, signature.p, signature.n, text.p, text.n) != 1))
        code = rl_fail(err, RL_E_UNAUTHENTICATED, "the signature is wrong");
    ERR_clear_error();
    EVP_MD_CTX_free(md);
    rl_buf_fini(&text);
    return code;
}
