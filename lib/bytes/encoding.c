/* encoding: hex, base64, base64url and base32. One bit accumulator serves all four. */
#include "bytes/encoding.h"

#include <openssl/crypto.h>
#include <string.h>

static const char hex_digits[] = "0123456789abcdef";
static const char base32_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64url_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static char *encode(struct rl_span s, const char *digits, unsigned bits, size_t pad_to)
{
    char *text = rl_alloc(s.n * 2 + 8);
    size_t n = 0;
    uint32_t acc = 0;
    unsigned have = 0;
    for (size_t i = 0; i < s.n; i++) {
        acc = (acc << 8 | s.p[i]) & 0xFFFF;
        have += 8;
        while (have >= bits) {
            have -= bits;
            text[n++] = digits[(acc >> have) & ((1u << bits) - 1)];
        }
    }
    if (have)
        text[n++] = digits[(acc << (bits - have)) & ((1u << bits) - 1)];
    while (pad_to && n % pad_to)
        text[n++] = '=';
    OPENSSL_cleanse(&acc, sizeof acc);
    return text;
}

char *rl_hex_encode(struct rl_span s)
{
    return encode(s, hex_digits, 4, 0);
}

char *rl_base64_encode(struct rl_span s)
{
    return encode(s, base64_digits, 6, 4);
}

char *rl_base64url_encode(struct rl_span s)
{
    return encode(s, base64url_digits, 6, 0);
}

char *rl_base32_encode(struct rl_span s)
{
    return encode(s, base32_digits, 5, 0);
}

/* Decodes n digits; the bits that are left over must be zero and fewer than one digit. */
static rl_code decode(const char *text, size_t n, const char *digits, unsigned bits,
                      const char *what, struct rl_buf *out, struct rl_error *err)
{
    size_t before = out->n;
    uint32_t acc = 0;
    unsigned have = 0;
    for (size_t i = 0; i < n; i++) {
        const char *at = text[i] ? strchr(digits, text[i]) : NULL;
        if (!at) {
            out->n = before;
            return rl_fail(err, RL_E_INVAL, "not %s: character %zu is out of the alphabet", what,
                           i + 1);
        }
        acc = (acc << bits | (uint32_t)(at - digits)) & 0xFFFF;
        have += bits;
        if (have >= 8) {
            have -= 8;
            if (!rl_buf_put_u8(out, (uint8_t)(acc >> have))) {
                out->n = before;
                return rl_fail(err, RL_E_INVAL, "%s text is too long", what);
            }
        }
    }
    if (have >= bits || (acc & ((1u << have) - 1)) != 0) {
        out->n = before;
        return rl_fail(err, RL_E_INVAL, "not %s: the text is cut", what);
    }
    return RL_OK;
}

rl_code rl_hex_decode(const char *text, struct rl_buf *out, struct rl_error *err)
{
    return decode(text, strlen(text), hex_digits, 4, "hex", out, err);
}

rl_code rl_base64_decode(const char *text, struct rl_buf *out, struct rl_error *err)
{
    size_t n = strlen(text);
    if (n % 4)
        return rl_fail(err, RL_E_INVAL, "not base64: the length is not a multiple of four");
    for (int i = 0; i < 2 && n && text[n - 1] == '='; i++)
        n--;
    return decode(text, n, base64_digits, 6, "base64", out, err);
}

rl_code rl_base64url_decode(const char *text, struct rl_buf *out, struct rl_error *err)
{
    return decode(text, strlen(text), base64url_digits, 6, "base64url", out, err);
}

rl_code rl_base32_decode(const char *text, struct rl_buf *out, struct rl_error *err)
{
    struct rl_buf clean;
    rl_buf_init(&clean, out->max * 2 + 16);
    for (const char *c = text; *c; c++)
        if (*c != ' ')
            rl_buf_put_u8(&clean, (uint8_t)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c));
    rl_code rc = clean.failed
                     ? rl_fail(err, RL_E_INVAL, "base32 text is too long")
                     : decode(rl_buf_text(&clean), clean.n, base32_digits, 5, "base32", out, err);
    rl_buf_fini(&clean);
    return rc;
}
