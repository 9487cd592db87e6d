/* sshkey: public keys between SSH's blobs, lines and fingerprints, and OpenSSL's keys. A blob has
 * one spelling: what is read here and written again is the same bytes. */
#include "sshcert/sshkey.h"

#include "bytes/encoding.h"
#include "types.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <stdlib.h>
#include <string.h>

#define ED25519_BYTES 32

bool rl_mpint_is_canonical(struct rl_span m)
{
    if (m.n == 0 || (m.p[0] & 0x80))
        return false;
    return m.p[0] != 0 || (m.n > 1 && (m.p[1] & 0x80));
}

static EVP_PKEY *from_params(const char *algorithm, OSSL_PARAM_BLD *build)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, algorithm, NULL);
    if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return key;
}

static EVP_PKEY *parse_ecdsa(struct rl_cursor *c, const struct key_type *type)
{
    struct rl_span curve = rl_cursor_string(c);
    struct rl_span point = rl_cursor_string(c);
    /* Uncompressed points only: one spelling for each key. */
    if (!rl_span_is(curve, type->curve) || point.n == 0 || point.p[0] != 0x04)
        return NULL;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    if (build &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, type->group, 0) &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point.p, point.n))
        key = from_params("EC", build);
    OSSL_PARAM_BLD_free(build);
    return key;
}

static bool rsa_is_in_range(const BIGNUM *e, const BIGNUM *n)
{
    int bits = BN_num_bits(n);
    return bits >= RL_SSHKEY_RSA_BITS_MIN && bits <= RL_SSHKEY_RSA_BITS_MAX && BN_is_odd(n) &&
           BN_is_odd(e) && BN_num_bits(e) > 1 && BN_num_bits(e) <= 64;
}

static EVP_PKEY *parse_rsa(struct rl_cursor *c)
{
    struct rl_span exponent = rl_cursor_string(c);
    struct rl_span modulus = rl_cursor_string(c);
    if (!rl_mpint_is_canonical(exponent) || !rl_mpint_is_canonical(modulus))
        return NULL;
    EVP_PKEY *key = NULL;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    BIGNUM *e = BN_bin2bn(exponent.p, (int)exponent.n, NULL);
    BIGNUM *n = BN_bin2bn(modulus.p, (int)modulus.n, NULL);
    if (build && e && n && rsa_is_in_range(e, n) &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e))
        key = from_params("RSA", build);
    BN_free(e);
    BN_free(n);
    OSSL_PARAM_BLD_free(build);
    return key;
}

static EVP_PKEY *parse_ed25519(struct rl_cursor *c)
{
    struct rl_span raw = rl_cursor_string(c);
    if (raw.n != ED25519_BYTES)
        return NULL;
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, raw.p, raw.n);
}

static EVP_PKEY *parse_family(struct rl_cursor *c, const struct key_type *type)
{
    switch (type->family) {
    case KEY_ED25519:
        return parse_ed25519(c);
    case KEY_ECDSA:
        return parse_ecdsa(c, type);
    case KEY_RSA:
        return parse_rsa(c);
    }
    return NULL;
}

static rl_code unknown_type(struct rl_span name, struct rl_error *err)
{
    if (rl_key_type_by_cert_name(name))
        return rl_fail(err, RL_E_INVAL, "a certificate stands where a plain key is wanted");
    return rl_fail(err, RL_E_INVAL, "not a supported SSH key type");
}

rl_code rl_public_key_parse(struct rl_span blob, struct public_key *out, struct rl_error *err)
{
    if (blob.n > RL_SSHKEY_BLOB_BYTES_MAX)
        return rl_fail(err, RL_E_INVAL, "SSH key of %zu bytes is too large", blob.n);
    struct rl_cursor c = rl_cursor_of(blob);
    struct rl_span name = rl_cursor_string(&c);
    const struct key_type *type = rl_key_type_by_name(name);
    if (!type)
        return unknown_type(name, err);
    EVP_PKEY *pkey = parse_family(&c, type);
    struct rl_span application = RL_SPAN(NULL, 0);
    if (type->is_security_key)
        application = rl_cursor_string(&c);
    if (!pkey || !rl_cursor_done(&c)) {
        EVP_PKEY_free(pkey);
        return rl_fail(err, RL_E_INVAL, "malformed or too weak %s key", type->name);
    }
    *out = (struct public_key){.type = type, .pkey = pkey, .application = application};
    return RL_OK;
}

rl_code rl_sshkey_public_parse(struct rl_span blob, EVP_PKEY **out, struct rl_error *err)
{
    struct public_key key;
    rl_code rc = rl_public_key_parse(blob, &key, err);
    if (rc == RL_OK)
        *out = key.pkey;
    return rc;
}

static bool put_mpint(struct rl_buf *out, const BIGNUM *n)
{
    size_t bytes = (size_t)BN_num_bytes(n);
    size_t sign = BN_num_bits(n) % 8 == 0 ? 1 : 0;
    if (!rl_buf_put_u32(out, (uint32_t)(bytes + sign)) || (sign && !rl_buf_put_u8(out, 0)))
        return false;
    uint8_t *to = rl_buf_reserve(out, bytes);
    if (!to)
        return false;
    BN_bn2bin(n, to);
    out->n += bytes;
    return true;
}

static bool put_ed25519(EVP_PKEY *key, struct rl_buf *out)
{
    uint8_t raw[ED25519_BYTES];
    size_t n = sizeof raw;
    if (EVP_PKEY_get_raw_public_key(key, raw, &n) != 1)
        return false;
    rl_buf_put_string(out, rl_span_of("ssh-ed25519"));
    return rl_buf_put_string(out, RL_SPAN(raw, n));
}

static bool put_ecdsa(EVP_PKEY *key, struct rl_buf *out)
{
    char group[64];
    uint8_t point[1 + 2 * 66];
    size_t n = 0;
    if (EVP_PKEY_get_group_name(key, group, sizeof group, NULL) != 1 ||
        EVP_PKEY_set_utf8_string_param(key, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
                                       "uncompressed") != 1 ||
        EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, point,
                                        sizeof point, &n) != 1)
        return false;
    const struct key_type *type = rl_key_type_by_group(group);
    if (!type)
        return false;
    rl_buf_put_string(out, rl_span_of(type->name));
    rl_buf_put_string(out, rl_span_of(type->curve));
    return rl_buf_put_string(out, RL_SPAN(point, n));
}

static bool put_rsa(EVP_PKEY *key, struct rl_buf *out)
{
    BIGNUM *e = NULL;
    BIGNUM *n = NULL;
    bool ok = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) == 1 &&
              EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n) == 1 && rsa_is_in_range(e, n) &&
              rl_buf_put_string(out, rl_span_of("ssh-rsa")) && put_mpint(out, e) &&
              put_mpint(out, n);
    BN_free(e);
    BN_free(n);
    return ok;
}

rl_code rl_sshkey_public_blob(EVP_PKEY *key, struct rl_buf *out, struct rl_error *err)
{
    size_t before = out->n;
    bool ok = false;
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_ED25519:
        ok = put_ed25519(key, out);
        break;
    case EVP_PKEY_EC:
        ok = put_ecdsa(key, out);
        break;
    case EVP_PKEY_RSA:
        ok = put_rsa(key, out);
        break;
    default:
        break;
    }
    if (!ok || out->failed) {
        out->n = before;
        return rl_fail(err, RL_E_INVAL, "SSH has no public key of this kind or size");
    }
    return RL_OK;
}

rl_code rl_sshkey_generate(EVP_PKEY **out, struct rl_error *err)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    if (!key)
        return rl_fail(err, RL_E_INTERNAL, "OpenSSL made no Ed25519 key");
    *out = key;
    return RL_OK;
}

rl_code rl_sshkey_line_parse(const char *line, struct rl_buf *blob, struct rl_error *err)
{
    if (strnlen(line, RL_SSHKEY_LINE_BYTES_MAX + 1) > RL_SSHKEY_LINE_BYTES_MAX)
        return rl_fail(err, RL_E_INVAL, "SSH key line is too long");
    static const char blanks[] = " \t\r\n";
    line += strspn(line, blanks);
    size_t type_n = strcspn(line, blanks);
    const char *text = line + type_n;
    text += strspn(text, blanks);
    size_t text_n = strcspn(text, blanks);
    char *base64 = strndup(text, text_n);
    if (!base64)
        return rl_fail(err, RL_E_EXHAUSTED, "no memory for an SSH key line");
    size_t before = blob->n;
    rl_code rc = rl_base64_decode(base64, blob, err);
    free(base64);
    if (rc != RL_OK) {
        rl_error_prefix(err, "SSH key line");
        return rc;
    }
    struct rl_cursor c = rl_cursor_of(rl_buf_span(blob));
    rl_cursor_bytes(&c, before);
    struct rl_span type = rl_cursor_string(&c);
    if (type.n == 0 || !rl_span_equal(type, RL_SPAN(line, type_n))) {
        blob->n = before;
        return rl_fail(err, RL_E_INVAL, "SSH key line does not read \"type base64 [comment]\"");
    }
    return RL_OK;
}

char *rl_sshkey_line_format(struct rl_span blob, const char *comment)
{
    struct rl_cursor c = rl_cursor_of(blob);
    char *type = rl_span_to_string(rl_cursor_string(&c));
    if (c.failed || !type || !*type) {
        free(type);
        return NULL;
    }
    char *base64 = rl_base64_encode(blob);
    bool has_comment = comment && *comment;
    char *line =
        rl_sprintf("%s %s%s%s", type, base64, has_comment ? " " : "", has_comment ? comment : "");
    free(type);
    free(base64);
    return line;
}

char *rl_sshkey_fingerprint(struct rl_span blob)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    RL_ASSERT(EVP_Digest(blob.p, blob.n, digest, &n, EVP_sha256(), NULL) == 1);
    char *base64 = rl_base64_encode(RL_SPAN(digest, n));
    base64[strcspn(base64, "=")] = '\0';
    char *text = rl_sprintf("SHA256:%s", base64);
    free(base64);
    return text;
}
