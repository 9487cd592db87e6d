/* wrap: the key file and AES-256-GCM. Wrapped: u8 format (1), u32 version of the wrapping key,
 * 12 bytes nonce, ciphertext, 16 bytes tag; the bound names are additional data. */
#include "credential/wrap.h"

#include "bytes/encoding.h"
#include "bytes/secret.h"
#include "file/file.h"
#include "status/memory.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT 1
#define NONCE_BYTES 12
#define TAG_BYTES 16
#define BINDING_BYTES_MAX 1024

struct version {
    uint32_t number;
    struct rl_secret *key;
};

struct rl_wrap_key {
    struct version versions[RL_WRAP_VERSIONS_MAX];
    size_t count;
    size_t latest; /* index */
};

/* ---- the file ---- */

rl_code rl_wrap_key_create_file(const char *path, struct rl_error *err)
{
    uint8_t raw[RL_WRAP_KEY_BYTES];
    rl_random(raw, sizeof raw);
    char *base64 = rl_base64_encode(RL_SPAN(raw, sizeof raw));
    struct rl_buf line;
    rl_buf_init(&line, RL_WRAP_FILE_BYTES_MAX);
    rl_buf_printf(&line, "1:%s\n", base64);
    rl_code rc = rl_file_create(path, rl_buf_span(&line), err);
    if (rc != RL_OK)
        rl_error_prefix(err, "the key file");
    rl_wipe(raw, sizeof raw);
    rl_wipe_text(&base64);
    rl_buf_fini(&line);
    return rc;
}

static rl_code add_line(struct rl_wrap_key *key, const char *line, struct rl_error *err)
{
    char *end = NULL;
    errno = 0;
    unsigned long number = strtoul(line, &end, 10);
    if (errno || *line < '0' || *line > '9' || *end != ':' || number == 0 || number > UINT32_MAX)
        return rl_fail(err, RL_E_INVAL, "a line is VERSION:BASE64");
    if (key->count == RL_WRAP_VERSIONS_MAX)
        return rl_fail(err, RL_E_INVAL, "more than %d versions", RL_WRAP_VERSIONS_MAX);
    for (size_t i = 0; i < key->count; i++)
        if (key->versions[i].number == number)
            return rl_fail(err, RL_E_INVAL, "version %lu is there twice", number);
    struct rl_buf raw;
    rl_buf_init(&raw, RL_WRAP_FILE_BYTES_MAX);
    rl_code rc = rl_base64_decode(end + 1, &raw, err);
    if (rc == RL_OK && raw.n != RL_WRAP_KEY_BYTES)
        rc = rl_fail(err, RL_E_INVAL, "version %lu has %zu bytes, not %d", number, raw.n,
                     RL_WRAP_KEY_BYTES);
    if (rc == RL_OK) {
        key->versions[key->count] =
            (struct version){(uint32_t)number, rl_secret_create(rl_buf_span(&raw))};
        if (number >= key->versions[key->latest].number)
            key->latest = key->count;
        key->count++;
    }
    rl_buf_fini(&raw);
    return rc;
}

static rl_code parse_lines(struct rl_wrap_key *key, char *text, struct rl_error *err)
{
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));) {
        if (!*line)
            continue;
        rl_code rc = add_line(key, line, err);
        if (rc != RL_OK)
            return rc;
    }
    return key->count ? RL_OK : rl_fail(err, RL_E_INVAL, "it is empty");
}

rl_code rl_wrap_key_load(const char *path, struct rl_wrap_key **out, struct rl_error *err)
{
    struct rl_buf text;
    rl_buf_init(&text, RL_WRAP_FILE_BYTES_MAX);
    rl_code rc = rl_file_read_private(path, &text, err);
    if (rc != RL_OK) {
        rl_error_prefix(err, "the key file");
        rl_buf_fini(&text);
        return rc;
    }
    struct rl_wrap_key *key = rl_alloc(sizeof *key);
    rl_buf_text(&text);
    rc = parse_lines(key, (char *)text.p, err);
    rl_buf_fini(&text);
    if (rc != RL_OK) {
        rl_error_prefix(err, "the key file %s", path);
        rl_wrap_key_free(&key);
        return rc;
    }
    *out = key;
    return RL_OK;
}

void rl_wrap_key_free(struct rl_wrap_key **key)
{
    if (!key || !*key)
        return;
    for (size_t i = 0; i < (*key)->count; i++)
        rl_secret_free(&(*key)->versions[i].key);
    free(*key);
    *key = NULL;
}

uint32_t rl_wrap_key_version(const struct rl_wrap_key *key)
{
    return key->versions[key->latest].number;
}

rl_code rl_wrap_key_derive(const struct rl_wrap_key *key, const char *purpose, uint8_t *out,
                           size_t n, struct rl_error *err)
{
    static const char salt[] = "remoteler-derive-v1";
    struct rl_span secret = rl_secret_reveal(key->versions[key->latest].key);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
    size_t made = n;
    bool ok =
        ctx && EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_CTX_set_hkdf_md(ctx, EVP_sha256()) == 1 &&
        EVP_PKEY_CTX_set1_hkdf_salt(ctx, (const uint8_t *)salt, sizeof salt - 1) == 1 &&
        EVP_PKEY_CTX_set1_hkdf_key(ctx, secret.p, (int)secret.n) == 1 &&
        EVP_PKEY_CTX_add1_hkdf_info(ctx, (const uint8_t *)purpose, (int)strlen(purpose)) == 1 &&
        EVP_PKEY_derive(ctx, out, &made) == 1 && made == n;
    EVP_PKEY_CTX_free(ctx);
    return ok ? RL_OK : rl_fail(err, RL_E_INTERNAL, "deriving a key failed");
}

/* ---- AES-256-GCM ---- */

static void put_binding(const struct rl_wrap_binding *b, struct rl_buf *out)
{
    rl_buf_put(out, "remoteler-key-v1", sizeof "remoteler-key-v1");
    rl_buf_put_string(out, rl_span_of(b->cluster));
    rl_buf_put_string(out, rl_span_of(b->kind));
    rl_buf_put_string(out, rl_span_of(b->key_id));
}

/* One pass in either direction; `tag` is written when encrypting and checked when decrypting. */
static bool gcm(bool encrypt, struct rl_span key, const uint8_t *nonce, struct rl_span bound,
                struct rl_span in, uint8_t *to, uint8_t tag[TAG_BYTES])
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    RL_NEED_MEMORY(ctx, 0);
    int n = 0;
    int last = 0;
    bool ok = EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key.p, nonce, encrypt) == 1 &&
              EVP_CipherUpdate(ctx, NULL, &n, bound.p, (int)bound.n) == 1 &&
              EVP_CipherUpdate(ctx, to, &n, in.p, (int)in.n) == 1 &&
              (encrypt || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) == 1) &&
              EVP_CipherFinal_ex(ctx, to + n, &last) == 1 &&
              (!encrypt || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, tag) == 1);
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

rl_code rl_wrap(const struct rl_wrap_key *key, const struct rl_wrap_binding *binding,
                struct rl_span plain, struct rl_buf *out, struct rl_error *err)
{
    if (plain.n == 0 || plain.n > RL_WRAP_PLAIN_BYTES_MAX)
        return rl_fail(err, RL_E_INVAL, "a key of %zu bytes can not be wrapped", plain.n);
    const struct version *v = &key->versions[key->latest];
    struct rl_buf bound;
    struct rl_buf wrapped;
    rl_buf_init(&bound, BINDING_BYTES_MAX);
    rl_buf_init(&wrapped, RL_WRAP_PLAIN_BYTES_MAX + 64);
    put_binding(binding, &bound);
    uint8_t nonce[NONCE_BYTES];
    uint8_t tag[TAG_BYTES];
    rl_random(nonce, sizeof nonce);
    rl_buf_put_u8(&wrapped, FORMAT);
    rl_buf_put_u32(&wrapped, v->number);
    rl_buf_put(&wrapped, nonce, sizeof nonce);
    uint8_t *to = rl_buf_reserve(&wrapped, plain.n);
    bool ok = to && !bound.failed &&
              gcm(true, rl_secret_reveal(v->key), nonce, rl_buf_span(&bound), plain, to, tag);
    if (ok) {
        wrapped.n += plain.n;
        ok = rl_buf_put(&wrapped, tag, sizeof tag) && rl_buf_put_span(out, rl_buf_span(&wrapped));
    }
    rl_buf_fini(&bound);
    rl_buf_fini(&wrapped);
    return ok ? RL_OK : rl_fail(err, RL_E_INTERNAL, "wrapping a key failed");
}

static const struct version *find_version(const struct rl_wrap_key *key, uint32_t number)
{
    for (size_t i = 0; i < key->count; i++)
        if (key->versions[i].number == number)
            return &key->versions[i];
    return NULL;
}

rl_code rl_unwrap(const struct rl_wrap_key *key, const struct rl_wrap_binding *binding,
                  struct rl_span wrapped, struct rl_buf *out, struct rl_error *err)
{
    struct rl_cursor c = rl_cursor_of(wrapped);
    uint8_t format = rl_cursor_u8(&c);
    uint32_t number = rl_cursor_u32(&c);
    struct rl_span nonce = rl_cursor_bytes(&c, NONCE_BYTES);
    struct rl_span body = rl_cursor_bytes(&c, c.n > TAG_BYTES ? c.n - TAG_BYTES : 0);
    struct rl_span sent_tag = rl_cursor_bytes(&c, TAG_BYTES);
    if (!rl_cursor_done(&c) || format != FORMAT || body.n == 0 || body.n > RL_WRAP_PLAIN_BYTES_MAX)
        return rl_fail(err, RL_E_DATA_LOSS, "the wrapped key %s is damaged", binding->key_id);
    const struct version *v = find_version(key, number);
    if (!v)
        return rl_fail(err, RL_E_DENIED,
                       "key %s is wrapped under version %u, which the key file does not have",
                       binding->key_id, number);
    uint8_t tag[TAG_BYTES];
    memcpy(tag, sent_tag.p, sizeof tag);
    struct rl_buf bound;
    struct rl_buf plain;
    rl_buf_init(&bound, BINDING_BYTES_MAX);
    rl_buf_init(&plain, RL_WRAP_PLAIN_BYTES_MAX);
    put_binding(binding, &bound);
    uint8_t *to = rl_buf_reserve(&plain, body.n);
    rl_code rc = RL_OK;
    if (!to || bound.failed ||
        !gcm(false, rl_secret_reveal(v->key), nonce.p, rl_buf_span(&bound), body, to, tag)) {
        rc = rl_fail(err, RL_E_DENIED,
                     "key %s can not be unwrapped: the key file is another one, or the key was "
                     "changed",
                     binding->key_id);
    } else {
        plain.n = body.n;
        if (!rl_buf_put_span(out, rl_buf_span(&plain)))
            rc = rl_fail(err, RL_E_EXHAUSTED, "key %s is too long", binding->key_id);
    }
    rl_buf_fini(&bound);
    rl_buf_fini(&plain);
    return rc;
}
