/* private: Ed25519 private keys as openssh-key-v1 text (OpenSSH PROTOCOL.key), unencrypted: what
 * ssh, ssh-keygen and ssh-agent read. Every buffer here is wiped. */
#include "bytes/encoding.h"
#include "bytes/secret.h"
#include "sshcert/sshkey.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC "openssh-key-v1" /* with its NUL on the wire */
#define BEGIN "-----BEGIN OPENSSH PRIVATE KEY-----"
#define END "-----END OPENSSH PRIVATE KEY-----"
#define LINE_WIDTH 70
#define SEED_BYTES 32
#define BLOCK_BYTES 8 /* of the "none" cipher */

/* string type, string public, string seed||public: the middle of both sections. */
static bool put_key_pair(struct rl_buf *b, const uint8_t *seed, const uint8_t *public_key)
{
    uint8_t both[2 * SEED_BYTES];
    memcpy(both, seed, SEED_BYTES);
    memcpy(both + SEED_BYTES, public_key, SEED_BYTES);
    rl_buf_put_string(b, rl_span_of("ssh-ed25519"));
    rl_buf_put_string(b, RL_SPAN(public_key, SEED_BYTES));
    bool ok = rl_buf_put_string(b, RL_SPAN(both, sizeof both));
    rl_wipe(both, sizeof both);
    return ok;
}

static void put_padding(struct rl_buf *b)
{
    for (uint8_t i = 1; b->n % BLOCK_BYTES && !b->failed; i++)
        rl_buf_put_u8(b, i);
}

static bool put_private_section(EVP_PKEY *key, const char *comment, struct rl_buf *b)
{
    uint8_t seed[SEED_BYTES];
    uint8_t public_key[SEED_BYTES];
    size_t seed_n = sizeof seed;
    size_t public_n = sizeof public_key;
    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_ED25519 ||
        EVP_PKEY_get_raw_private_key(key, seed, &seed_n) != 1 ||
        EVP_PKEY_get_raw_public_key(key, public_key, &public_n) != 1)
        return false;
    uint8_t check[4];
    rl_random(check, sizeof check);
    rl_buf_put(b, check, sizeof check);
    rl_buf_put(b, check, sizeof check);
    put_key_pair(b, seed, public_key);
    rl_wipe(seed, sizeof seed);
    rl_buf_put_string(b, rl_span_of(comment ? comment : ""));
    put_padding(b);
    return !b->failed;
}

static bool put_text(struct rl_span raw, struct rl_buf *out)
{
    char *base64 = rl_base64_encode(raw);
    size_t n = strlen(base64);
    rl_buf_put_text(out, BEGIN "\n");
    for (size_t at = 0; at < n; at += LINE_WIDTH) {
        rl_buf_put(out, base64 + at, n - at < LINE_WIDTH ? n - at : LINE_WIDTH);
        rl_buf_put_u8(out, '\n');
    }
    rl_buf_put_text(out, END "\n");
    rl_wipe(base64, n);
    free(base64);
    return !out->failed;
}

rl_code rl_sshkey_private_format(EVP_PKEY *key, const char *comment, struct rl_buf *out,
                                 struct rl_error *err)
{
    if (comment && strlen(comment) > RL_SSHKEY_COMMENT_BYTES_MAX)
        return rl_fail(err, RL_E_INVAL, "the key's comment is longer than %d bytes",
                       RL_SSHKEY_COMMENT_BYTES_MAX);
    struct rl_buf section;
    struct rl_buf blob;
    struct rl_buf raw;
    rl_buf_init(&section, RL_SSHKEY_PRIVATE_BYTES_MAX);
    rl_buf_init(&blob, RL_SSHKEY_BLOB_BYTES_MAX);
    rl_buf_init(&raw, RL_SSHKEY_PRIVATE_BYTES_MAX);
    size_t before = out->n;
    rl_code rc = rl_sshkey_public_blob(key, &blob, err);
    if (rc != RL_OK)
        goto out;
    if (!put_private_section(key, comment, &section)) {
        rc = rl_fail(err, RL_E_INVAL, "only Ed25519 private keys are written");
        goto out;
    }
    rl_buf_put(&raw, MAGIC, sizeof MAGIC);
    rl_buf_put_string(&raw, rl_span_of("none")); /* cipher */
    rl_buf_put_string(&raw, rl_span_of("none")); /* key derivation */
    rl_buf_put_string(&raw, rl_span_of(""));
    rl_buf_put_u32(&raw, 1);
    rl_buf_put_string(&raw, rl_buf_span(&blob));
    rl_buf_put_string(&raw, rl_buf_span(&section));
    if (raw.failed || !put_text(rl_buf_span(&raw), out)) {
        out->n = before;
        rc = rl_fail(err, RL_E_INVAL, "the private key does not fit its buffer");
    }
out:
    rl_buf_fini(&section);
    rl_buf_fini(&blob);
    rl_buf_fini(&raw);
    return rc;
}

/* The base64 between the two lines, without its line ends, decoded. */
static rl_code read_armour(struct rl_span text, struct rl_buf *raw, struct rl_error *err)
{
    if (text.n > RL_SSHKEY_PRIVATE_BYTES_MAX)
        return rl_fail(err, RL_E_INVAL, "private key file is too large for an Ed25519 key");
    const uint8_t *begin = text.n ? memmem(text.p, text.n, BEGIN, strlen(BEGIN)) : NULL;
    const uint8_t *end = text.n ? memmem(text.p, text.n, END, strlen(END)) : NULL;
    if (!begin || !end || end < begin + strlen(BEGIN))
        return rl_fail(err, RL_E_INVAL, "not an OpenSSH private key");
    struct rl_buf base64;
    rl_buf_init(&base64, RL_SSHKEY_PRIVATE_BYTES_MAX);
    for (const uint8_t *p = begin + strlen(BEGIN); p < end; p++)
        if (*p != '\n' && *p != '\r')
            rl_buf_put_u8(&base64, *p);
    rl_code rc = rl_base64_decode(rl_buf_text(&base64), raw, err);
    rl_buf_fini(&base64);
    return rc;
}

static rl_code read_envelope(struct rl_span raw, struct rl_span *section, struct rl_error *err)
{
    struct rl_cursor c = rl_cursor_of(raw);
    struct rl_span magic = rl_cursor_bytes(&c, sizeof MAGIC);
    struct rl_span cipher = rl_cursor_string(&c);
    struct rl_span derivation = rl_cursor_string(&c);
    struct rl_span options = rl_cursor_string(&c);
    uint32_t keys = rl_cursor_u32(&c);
    rl_cursor_string(&c); /* the public half: the section below has it again */
    *section = rl_cursor_string(&c);
    if (!rl_cursor_done(&c) || !rl_span_equal(magic, RL_SPAN(MAGIC, sizeof MAGIC)) || keys != 1)
        return rl_fail(err, RL_E_INVAL, "malformed OpenSSH private key");
    if (!rl_span_is(cipher, "none") || !rl_span_is(derivation, "none") || options.n != 0)
        return rl_fail(err, RL_E_INVAL,
                       "the private key is encrypted; take the passphrase off with ssh-keygen -p");
    return RL_OK;
}

static bool padding_is_right(struct rl_cursor *c)
{
    if (c->failed || c->n >= BLOCK_BYTES)
        return false;
    for (size_t i = 0; i < c->n; i++)
        if (c->p[i] != i + 1)
            return false;
    return true;
}

static rl_code read_section(struct rl_span section, EVP_PKEY **out, struct rl_error *err)
{
    struct rl_cursor c = rl_cursor_of(section);
    bool ok = rl_cursor_u32(&c) == rl_cursor_u32(&c);
    struct rl_span type = rl_cursor_string(&c);
    if (ok && !c.failed && !rl_span_is(type, "ssh-ed25519"))
        return rl_fail(err, RL_E_INVAL, "only Ed25519 private keys are read");
    struct rl_span public_key = rl_cursor_string(&c);
    struct rl_span both = rl_cursor_string(&c);
    rl_cursor_string(&c); /* comment */
    if (!ok || !padding_is_right(&c) || public_key.n != SEED_BYTES || both.n != 2 * SEED_BYTES ||
        memcmp(both.p + SEED_BYTES, public_key.p, SEED_BYTES) != 0)
        return rl_fail(err, RL_E_INVAL, "malformed OpenSSH private key");
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, both.p, SEED_BYTES);
    uint8_t derived[SEED_BYTES];
    size_t n = sizeof derived;
    if (!key || EVP_PKEY_get_raw_public_key(key, derived, &n) != 1 ||
        memcmp(derived, public_key.p, SEED_BYTES) != 0) {
        EVP_PKEY_free(key);
        return rl_fail(err, RL_E_INVAL, "the private key's two halves do not belong together");
    }
    *out = key;
    return RL_OK;
}

rl_code rl_sshkey_private_parse(struct rl_span text, EVP_PKEY **out, struct rl_error *err)
{
    struct rl_buf raw;
    rl_buf_init(&raw, RL_SSHKEY_PRIVATE_BYTES_MAX);
    struct rl_span section;
    rl_code rc = read_armour(text, &raw, err);
    if (rc == RL_OK)
        rc = read_envelope(rl_buf_span(&raw), &section, err);
    if (rc == RL_OK)
        rc = read_section(section, out, err);
    rl_buf_fini(&raw);
    return rc;
}
