/* utf8: a strict decoder. Lax ones let one name have two spellings. */
#include "bytes/utf8.h"

#include "status/status.h"

#include <string.h>

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/* The smallest code point that needs `length` bytes: below it the spelling is overlong. */
static const uint32_t least_point[] = {0, 0, 0x80, 0x800, 0x10000};

size_t rl_utf8_next(const void *p, size_t n, uint32_t *point)
{
    const unsigned char *text = p;
    if (n == 0)
        return 0;
    if (text[0] < 0x80) {
        *point = text[0];
        return 1;
    }
    size_t length = text[0] >= 0xF0 ? 4 : text[0] >= 0xE0 ? 3 : 2;
    if (text[0] < 0xC2 || text[0] > 0xF4 || n < length)
        return 0;
    uint32_t value = text[0] & (0xFFu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xC0) != 0x80)
            return 0;
        value = value << 6 | (text[i] & 0x3Fu);
    }
    bool is_surrogate = value >= 0xD800 && value <= 0xDFFF;
    if (value < least_point[length] || value > 0x10FFFF || is_surrogate)
        return 0;
    *point = value;
    return length;
}

bool rl_utf8_is_control(uint32_t point)
{
    return point < 0x20 || (point >= 0x7F && point < 0xA0) /* C0, DEL, C1 */
           || (point >= 0x2028 && point <= 0x202E)         /* separators, embeddings, overrides */
           || (point >= 0x2066 && point <= 0x2069)         /* isolates */
           || point == 0x200E || point == 0x200F || point == 0x61C || point == 0xFEFF;
}

char *rl_utf8_repair(const char *text)
{
    size_t n = strlen(text), used = 0;
    char *out = rl_alloc_array(n + 1, sizeof REPLACEMENT - 1);
    while (n) {
        uint32_t point;
        size_t length = rl_utf8_next(text, n, &point);
        size_t taken = length ? length : 1;
        memcpy(out + used, length ? text : REPLACEMENT, length ? length : sizeof REPLACEMENT - 1);
        used += length ? length : sizeof REPLACEMENT - 1;
        text += taken;
        n -= taken;
    }
    return out;
}
