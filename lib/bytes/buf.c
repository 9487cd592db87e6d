/* bytes: the bounded buffer and the cursor. Every growth is checked against the owner's maximum,
 * and memory that is given back is wiped: buffers carry keys and passwords as often as not. */
#include "bytes/buf.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 64

struct rl_span rl_span_of(const char *text)
{
    return RL_SPAN(text, text ? strlen(text) : 0);
}

bool rl_span_equal(struct rl_span a, struct rl_span b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool rl_span_is(struct rl_span a, const char *text)
{
    return rl_span_equal(a, rl_span_of(text));
}

bool rl_span_equal_secret(struct rl_span a, struct rl_span b)
{
    return a.n == b.n && (a.n == 0 || CRYPTO_memcmp(a.p, b.p, a.n) == 0);
}

char *rl_span_to_string(struct rl_span a)
{
    if (a.n && memchr(a.p, 0, a.n))
        return NULL;
    char *text = rl_alloc(a.n + 1);
    if (a.n)
        memcpy(text, a.p, a.n);
    return text;
}

void rl_buf_init(struct rl_buf *b, size_t max)
{
    *b = (struct rl_buf){.max = max};
}

void rl_buf_fini(struct rl_buf *b)
{
    if (!b)
        return;
    OPENSSL_clear_free(b->p, b->cap);
    rl_buf_init(b, b->max);
}

static bool refuse(struct rl_buf *b)
{
    b->failed = true;
    return false;
}

static bool grow(struct rl_buf *b, size_t need)
{
    size_t cap = b->cap ? b->cap : FIRST_CAPACITY;
    if (cap < need) /* who asks for much at once has said how much it will be */
        cap = cap > need / 2 ? cap * 2 : need;
    uint8_t *p = OPENSSL_clear_realloc(b->p, b->cap, cap);
    if (!p)
        return refuse(b);
    b->p = p;
    b->cap = cap;
    return true;
}

uint8_t *rl_buf_reserve(struct rl_buf *b, size_t n)
{
    if (n > b->max || b->n > b->max - n) {
        refuse(b);
        return NULL;
    }
    if (b->n + n > b->cap && !grow(b, b->n + n))
        return NULL;
    return b->p ? b->p + b->n : (grow(b, 1) ? b->p : NULL);
}

bool rl_buf_put(struct rl_buf *b, const void *p, size_t n)
{
    if (n == 0)
        return true;
    uint8_t *to = rl_buf_reserve(b, n);
    if (!to)
        return false;
    memcpy(to, p, n);
    b->n += n;
    return true;
}

bool rl_buf_put_span(struct rl_buf *b, struct rl_span s)
{
    return rl_buf_put(b, s.p, s.n);
}

bool rl_buf_put_text(struct rl_buf *b, const char *text)
{
    return rl_buf_put(b, text, strlen(text));
}

bool rl_buf_printf(struct rl_buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = NULL;
    int n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0)
        return refuse(b);
    bool ok = rl_buf_put(b, text, (size_t)n);
    OPENSSL_cleanse(text, (size_t)n);
    free(text);
    return ok;
}

static bool put_big_endian(struct rl_buf *b, uint64_t v, size_t bytes)
{
    uint8_t raw[8];
    for (size_t i = 0; i < bytes; i++)
        raw[i] = (uint8_t)(v >> (8 * (bytes - 1 - i)));
    return rl_buf_put(b, raw, bytes);
}

bool rl_buf_put_u8(struct rl_buf *b, uint8_t v)
{
    return put_big_endian(b, v, 1);
}

bool rl_buf_put_u16(struct rl_buf *b, uint16_t v)
{
    return put_big_endian(b, v, 2);
}

bool rl_buf_put_u32(struct rl_buf *b, uint32_t v)
{
    return put_big_endian(b, v, 4);
}

bool rl_buf_put_u64(struct rl_buf *b, uint64_t v)
{
    return put_big_endian(b, v, 8);
}

bool rl_buf_put_string(struct rl_buf *b, struct rl_span s)
{
    if (s.n > UINT32_MAX)
        return refuse(b);
    return rl_buf_put_u32(b, (uint32_t)s.n) && rl_buf_put_span(b, s);
}

void rl_buf_consume(struct rl_buf *b, size_t n)
{
    RL_ASSERT(n <= b->n);
    b->n -= n;
    if (b->n && n)
        memmove(b->p, b->p + n, b->n);
}

void rl_buf_clear(struct rl_buf *b)
{
    if (b->n)
        OPENSSL_cleanse(b->p, b->n);
    b->n = 0;
    b->failed = false;
}

struct rl_span rl_buf_span(const struct rl_buf *b)
{
    return RL_SPAN(b->p, b->n);
}

const char *rl_buf_text(struct rl_buf *b)
{
    if (b->n == b->cap && !grow(b, b->n + 1))
        return "";
    b->p[b->n] = '\0';
    return (const char *)b->p;
}

struct rl_cursor rl_cursor_of(struct rl_span s)
{
    return (struct rl_cursor){s.p, s.n, false};
}

struct rl_span rl_cursor_bytes(struct rl_cursor *c, size_t n)
{
    if (c->failed || n > c->n) {
        c->failed = true;
        return RL_SPAN(NULL, 0);
    }
    struct rl_span s = RL_SPAN(c->p, n);
    if (n) /* an empty span may have no address to add to */
        c->p += n;
    c->n -= n;
    return s;
}

static uint64_t read_big_endian(struct rl_cursor *c, size_t bytes)
{
    struct rl_span s = rl_cursor_bytes(c, bytes);
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++)
        v = v << 8 | s.p[i];
    return v;
}

uint8_t rl_cursor_u8(struct rl_cursor *c)
{
    return (uint8_t)read_big_endian(c, 1);
}

uint16_t rl_cursor_u16(struct rl_cursor *c)
{
    return (uint16_t)read_big_endian(c, 2);
}

uint32_t rl_cursor_u32(struct rl_cursor *c)
{
    return (uint32_t)read_big_endian(c, 4);
}

uint64_t rl_cursor_u64(struct rl_cursor *c)
{
    return read_big_endian(c, 8);
}

struct rl_span rl_cursor_string(struct rl_cursor *c)
{
    uint32_t n = rl_cursor_u32(c);
    return rl_cursor_bytes(c, n);
}

bool rl_cursor_done(const struct rl_cursor *c)
{
    return !c->failed && c->n == 0;
}
