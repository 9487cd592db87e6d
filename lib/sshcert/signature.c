/* signature: SSH signature blobs, made by Ed25519 and checked for every type in the table. The
 * algorithm inside the blob must suit the key, and be the one that was asked for. */
#include "sshcert/sshkey.h"

#include "types.h"

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/sha.h>

#define ED25519_SIGNATURE_BYTES 64
#define FLAG_USER_PRESENT 0x01

rl_code rl_sshkey_sign(EVP_PKEY *key, struct rl_span data, struct rl_buf *out, struct rl_error *err)
{
    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_ED25519)
        return rl_fail(err, RL_E_INVAL, "only Ed25519 keys sign here");
    uint8_t raw[ED25519_SIGNATURE_BYTES];
    size_t n = sizeof raw;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
              EVP_DigestSign(ctx, raw, &n, data.p, data.n) == 1;
    EVP_MD_CTX_free(ctx);
    if (!ok)
        return rl_fail(err, RL_E_INTERNAL, "OpenSSL did not sign with the Ed25519 key");
    size_t before = out->n;
    rl_buf_put_string(out, rl_span_of("ssh-ed25519"));
    rl_buf_put_string(out, RL_SPAN(raw, n));
    if (out->failed) {
        out->n = before;
        return rl_fail(err, RL_E_INVAL, "the signature does not fit its buffer");
    }
    return RL_OK;
}

static bool verify_raw(EVP_PKEY *key, const char *digest, struct rl_span raw, struct rl_span data)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestVerifyInit_ex(ctx, NULL, digest, NULL, NULL, key, NULL) == 1 &&
              EVP_DigestVerify(ctx, raw.p, raw.n, data.p, data.n) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

/* RFC 5656, 3.1.2: mpint r, mpint s; OpenSSL wants them in DER. */
static bool verify_ecdsa(EVP_PKEY *key, const struct key_type *type, struct rl_span raw,
                         struct rl_span data)
{
    struct rl_cursor c = rl_cursor_of(raw);
    struct rl_span r = rl_cursor_string(&c);
    struct rl_span s = rl_cursor_string(&c);
    if (!rl_cursor_done(&c) || !rl_mpint_is_canonical(r) || !rl_mpint_is_canonical(s) ||
        r.n > type->coordinate_bytes || s.n > type->coordinate_bytes)
        return false;
    bool ok = false;
    unsigned char *der = NULL;
    int der_n = 0;
    BIGNUM *r_number = BN_bin2bn(r.p, (int)r.n, NULL);
    BIGNUM *s_number = BN_bin2bn(s.p, (int)s.n, NULL);
    ECDSA_SIG *sig = ECDSA_SIG_new();
    if (!r_number || !s_number || !sig)
        goto out;
    ECDSA_SIG_set0(sig, r_number, s_number); /* takes both */
    r_number = NULL;
    s_number = NULL;
    der_n = i2d_ECDSA_SIG(sig, &der);
    ok = der_n > 0 && verify_raw(key, type->digest, RL_SPAN(der, (size_t)der_n), data);
out:
    OPENSSL_free(der);
    ECDSA_SIG_free(sig);
    BN_free(r_number);
    BN_free(s_number);
    return ok;
}

static bool verify_rsa(EVP_PKEY *key, struct rl_span algorithm, struct rl_span raw,
                       struct rl_span data)
{
    if (rl_span_is(algorithm, "rsa-sha2-512"))
        return verify_raw(key, "SHA512", raw, data);
    if (rl_span_is(algorithm, "rsa-sha2-256"))
        return verify_raw(key, "SHA256", raw, data);
    return false; /* "ssh-rsa" is SHA-1 */
}

/* PROTOCOL.u2f: a security key signs SHA256(application), flags, counter, SHA256(data). */
static bool security_key_data(const struct public_key *key, struct rl_cursor *c,
                              struct rl_span data, struct rl_buf *out)
{
    uint8_t flags = rl_cursor_u8(c);
    uint32_t counter = rl_cursor_u32(c);
    if (c->failed || !(flags & FLAG_USER_PRESENT))
        return false;
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA256(key->application.p, key->application.n, digest);
    rl_buf_put(out, digest, sizeof digest);
    rl_buf_put_u8(out, flags);
    rl_buf_put_u32(out, counter);
    SHA256(data.p, data.n, digest);
    return rl_buf_put(out, digest, sizeof digest);
}

static bool verify_family(const struct public_key *key, struct rl_span algorithm,
                          struct rl_span raw, struct rl_span data)
{
    switch (key->type->family) {
    case KEY_RSA:
        return verify_rsa(key->pkey, algorithm, raw, data);
    case KEY_ED25519:
        return rl_span_is(algorithm, key->type->name) && raw.n == ED25519_SIGNATURE_BYTES &&
               verify_raw(key->pkey, NULL, raw, data);
    case KEY_ECDSA:
        return rl_span_is(algorithm, key->type->name) &&
               verify_ecdsa(key->pkey, key->type, raw, data);
    }
    return false;
}

static bool verify_blob(const struct public_key *key, struct rl_span wanted,
                        struct rl_span signature, struct rl_span data)
{
    struct rl_cursor c = rl_cursor_of(signature);
    struct rl_span algorithm = rl_cursor_string(&c);
    struct rl_span raw = rl_cursor_string(&c);
    if (wanted.n && !rl_span_equal(wanted, algorithm))
        return false;
    struct rl_buf wrapped;
    rl_buf_init(&wrapped, 2 * SHA256_DIGEST_LENGTH + 5);
    bool ok = true;
    if (key->type->is_security_key) {
        ok = security_key_data(key, &c, data, &wrapped);
        data = rl_buf_span(&wrapped);
    }
    ok = ok && rl_cursor_done(&c) && verify_family(key, algorithm, raw, data);
    rl_buf_fini(&wrapped);
    return ok;
}

rl_code rl_sshkey_verify(struct rl_span key_blob, struct rl_span algorithm,
                         struct rl_span signature, struct rl_span data, struct rl_error *err)
{
    if (signature.n > RL_SSHKEY_SIGNATURE_BYTES_MAX)
        return rl_fail(err, RL_E_DENIED, "SSH signature is too large");
    struct public_key key;
    rl_code rc = rl_public_key_parse(key_blob, &key, err);
    if (rc != RL_OK)
        return rc;
    bool ok = verify_blob(&key, algorithm, signature, data);
    EVP_PKEY_free(key.pkey);
    return ok ? RL_OK : rl_fail(err, RL_E_DENIED, "the SSH signature is not by this key");
}
