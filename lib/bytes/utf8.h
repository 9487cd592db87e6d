/* utf8: one character at a time from bytes that anybody may have sent (RFC 3629). */
#ifndef RL_BYTES_UTF8_H
#define RL_BYTES_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The bytes of the character at p, 1..4, with its code point; 0 when n is 0 or what is there is
 * not UTF-8 (overlong, a surrogate, beyond U+10FFFF, cut): skip one byte then. */
size_t rl_utf8_next(const void *p, size_t n, uint32_t *point);
/** Has no business in a line of a terminal or a log: controls, line separators, and what turns the
 * direction of the text around it. */
bool rl_utf8_is_control(uint32_t point);
/** A copy in which each byte that is not UTF-8 is U+FFFD; nothing else is changed. Heap text. */
char *rl_utf8_repair(const char *text);

#endif
