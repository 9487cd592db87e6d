/* uuid: RFC 9562, versions 4, 7 and 8. */
#include "names/names.h"

#include "bytes/secret.h"
#include "clock/clock.h"

#include <stdio.h>
#include <string.h>

#define UUID_BYTES 16
#define NS_PER_MS UINT64_C(1000000)

static void write_text(uint8_t raw[UUID_BYTES], unsigned version, char text[RL_UUID_TEXT_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    raw[6] = (uint8_t)((raw[6] & 0x0F) | version << 4);
    raw[8] = (uint8_t)((raw[8] & 0x3F) | 0x80); /* the variant: 4.1 */
    char *at = text;
    for (size_t i = 0; i < UUID_BYTES; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        *at++ = digits[raw[i] >> 4];
        *at++ = digits[raw[i] & 0xF];
    }
    *at = '\0';
}

void rl_uuid4(char text[RL_UUID_TEXT_BYTES])
{
    uint8_t raw[UUID_BYTES];
    rl_random(raw, sizeof raw);
    write_text(raw, 4, text);
}

void rl_uuid7(char text[RL_UUID_TEXT_BYTES])
{
    uint8_t raw[UUID_BYTES];
    rl_random(raw, sizeof raw);
    uint64_t now_ns = (uint64_t)rl_clock_wall_ns();
    uint64_t ms = now_ns / NS_PER_MS;
    for (size_t i = 0; i < 6; i++)
        raw[i] = (uint8_t)(ms >> (8 * (5 - i)));
    /* The next 12 bits are the fraction of the millisecond (6.2, method 3), so that what one
     * process makes in one millisecond is in order too. */
    uint64_t fraction = now_ns % NS_PER_MS * 4096 / NS_PER_MS;
    raw[6] = (uint8_t)(fraction >> 8);
    raw[7] = (uint8_t)fraction;
    write_text(raw, 7, text);
}

void rl_uuid8(const uint8_t bytes[16], char text[RL_UUID_TEXT_BYTES])
{
    uint8_t raw[UUID_BYTES];
    memcpy(raw, bytes, sizeof raw);
    write_text(raw, 8, text);
}

bool rl_name_is_uuid(const char *text)
{
    static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    if (strlen(text) != sizeof shape - 1)
        return false;
    for (size_t i = 0; i < sizeof shape - 1; i++) {
        char c = text[i];
        bool is_hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        if (shape[i] == '-' ? c != '-' : !is_hex)
            return false;
    }
    return true;
}
