/* bytes: bounded memory.
 *
 * `rl_span` lends bytes; `rl_buf` owns them and never grows past its `max`; `rl_cursor` reads
 * fields from a span and remembers the first thing that did not fit, so a parser reads straight
 * down and asks once at the end.
 */
#ifndef RL_BYTES_BUF_H
#define RL_BYTES_BUF_H

#include "status/status.h"

#include <stdint.h>

/** Lent bytes: valid while their owner is unchanged. p may be NULL when n is 0. */
struct rl_span {
    const uint8_t *p;
    size_t n;
};

#define RL_SPAN(pointer, length) ((struct rl_span){(const uint8_t *)(pointer), (length)})

struct rl_span rl_span_of(const char *text);
bool rl_span_equal(struct rl_span a, struct rl_span b);
bool rl_span_is(struct rl_span a, const char *text);
/** Compares in constant time (lengths are not secret). For secrets, digests and tokens. */
bool rl_span_equal_secret(struct rl_span a, struct rl_span b);
/** A NUL-terminated heap copy; NULL when a byte is NUL. The caller frees. */
char *rl_span_to_string(struct rl_span a);

/** Owned bytes. `n` used of `cap`, never more than `max`. Zeroed by init; use by value, not copied.
 */
struct rl_buf {
    uint8_t *p;
    size_t n, cap, max;
    bool failed; /* an append did not fit: the content is not whole */
};

/** `max` bytes is the named limit of whoever owns the buffer. */
void rl_buf_init(struct rl_buf *b, size_t max);
/** Wipes and frees; the buffer may be used again, with the same max. */
void rl_buf_fini(struct rl_buf *b);
/** Appends return false and set `failed` when it would pass `max` or memory is refused; nothing is
 * appended then. Check once, at the end. */
bool rl_buf_put(struct rl_buf *b, const void *p, size_t n);
bool rl_buf_put_span(struct rl_buf *b, struct rl_span s);
bool rl_buf_put_text(struct rl_buf *b, const char *text);
bool rl_buf_printf(struct rl_buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool rl_buf_put_u8(struct rl_buf *b, uint8_t v);
bool rl_buf_put_u16(struct rl_buf *b, uint16_t v); /* all big-endian */
bool rl_buf_put_u32(struct rl_buf *b, uint32_t v);
bool rl_buf_put_u64(struct rl_buf *b, uint64_t v);
/** SSH's `string` (RFC 4251, 5): a u32 length, then the bytes. */
bool rl_buf_put_string(struct rl_buf *b, struct rl_span s);
/** Room for n more bytes at p + n; the caller adds to n what it wrote. NULL as above. */
uint8_t *rl_buf_reserve(struct rl_buf *b, size_t n);
/** Drops the first n bytes (n <= b->n). */
void rl_buf_consume(struct rl_buf *b, size_t n);
void rl_buf_clear(struct rl_buf *b);
struct rl_span rl_buf_span(const struct rl_buf *b);
/** The content as NUL-terminated text, borrowed; "" when empty. The NUL is not counted in n. */
const char *rl_buf_text(struct rl_buf *b);

struct rl_cursor {
    const uint8_t *p;
    size_t n;
    bool failed;
};

struct rl_cursor rl_cursor_of(struct rl_span s);
uint8_t rl_cursor_u8(struct rl_cursor *c);
uint16_t rl_cursor_u16(struct rl_cursor *c);
uint32_t rl_cursor_u32(struct rl_cursor *c);
uint64_t rl_cursor_u64(struct rl_cursor *c);
struct rl_span rl_cursor_bytes(struct rl_cursor *c, size_t n);
/** SSH's `string`. */
struct rl_span rl_cursor_string(struct rl_cursor *c);
/** Nothing failed and nothing is left. */
bool rl_cursor_done(const struct rl_cursor *c);

#endif
