/* wire: gRPC's own spellings inside HTTP/2. */
#include "rpc/wire.h"

#include "bytes/utf8.h"

#include <stdio.h>
#include <string.h>

bool rl_rpc_message_encode(const char *message, struct rl_buf *out)
{
    bool fits = true;
    for (const char *p = message; *p && fits; p++) {
        unsigned char c = (unsigned char)*p;
        if (c >= 0x20 && c <= 0x7E && c != '%')
            fits = rl_buf_put_u8(out, c);
        else
            fits = rl_buf_printf(out, "%%%02X", c);
    }
    return fits;
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

/* Undoes the escapes; how many bytes there are then. */
static size_t unescape(struct rl_span text, uint8_t *out, size_t room)
{
    size_t n = 0;
    for (size_t i = 0; i < text.n && n < room; i++) {
        bool is_escape = text.p[i] == '%' && i + 2 < text.n && hex_value(text.p[i + 1]) >= 0 &&
                         hex_value(text.p[i + 2]) >= 0;
        if (!is_escape) {
            out[n++] = text.p[i];
            continue;
        }
        out[n++] = (uint8_t)(hex_value(text.p[i + 1]) << 4 | hex_value(text.p[i + 2]));
        i += 2;
    }
    return n;
}

void rl_rpc_message_decode(struct rl_span text, char out[RL_ERROR_MESSAGE_BYTES])
{
    uint8_t raw[RL_ERROR_MESSAGE_BYTES - 1];
    size_t n = unescape(text, raw, sizeof raw);
    size_t to = 0;
    for (size_t from = 0; from < n;) {
        uint32_t point = 0;
        size_t length = rl_utf8_next(raw + from, n - from, &point);
        if (length == 0 || rl_utf8_is_control(point)) {
            out[to++] = '?';
            from += length ? length : 1;
            continue;
        }
        memcpy(out + to, raw + from, length);
        to += length;
        from += length;
    }
    out[to] = '\0';
}

rl_code rl_rpc_status_parse(struct rl_span text)
{
    if (text.n == 0 || text.n > 2)
        return RL_E_UNKNOWN;
    long number = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return RL_E_UNKNOWN;
        number = number * 10 + (text.p[i] - '0');
    }
    return rl_code_from_number(number);
}

/* ---- time-outs ---- */

#define TIMEOUT_DIGITS_MAX 8
#define TIMEOUT_NUMBER_MAX 99999999u

void rl_rpc_timeout_format(uint64_t timeout_ms, char out[RL_RPC_TIMEOUT_TEXT_BYTES])
{
    uint64_t seconds = timeout_ms / 1000 + (timeout_ms % 1000 != 0);
    if (timeout_ms <= TIMEOUT_NUMBER_MAX)
        snprintf(out, RL_RPC_TIMEOUT_TEXT_BYTES, "%um", (unsigned)timeout_ms);
    else if (seconds <= TIMEOUT_NUMBER_MAX)
        snprintf(out, RL_RPC_TIMEOUT_TEXT_BYTES, "%uS", (unsigned)seconds);
    else
        snprintf(out, RL_RPC_TIMEOUT_TEXT_BYTES, "%uH", TIMEOUT_NUMBER_MAX);
}

/* Microseconds and nanoseconds are divided, the others multiplied. */
static const struct {
    uint8_t unit;
    uint64_t multiply, divide;
} timeout_units[] = {
    {'H', 3600000, 1}, {'M', 60000, 1}, {'S', 1000, 1},
    {'m', 1, 1},       {'u', 1, 1000},  {'n', 1, 1000000},
};

rl_code rl_rpc_timeout_parse(struct rl_span text, uint64_t *timeout_ms, struct rl_error *err)
{
    if (text.n < 2 || text.n > TIMEOUT_DIGITS_MAX + 1)
        return rl_fail(err, RL_E_INVAL, "grpc-timeout is one to eight digits and a unit");
    uint64_t number = 0;
    for (size_t i = 0; i + 1 < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return rl_fail(err, RL_E_INVAL, "grpc-timeout has something else than digits");
        number = number * 10 + (uint64_t)(text.p[i] - '0');
    }
    for (size_t i = 0; i < RL_COUNT(timeout_units); i++) {
        if (text.p[text.n - 1] != timeout_units[i].unit)
            continue;
        uint64_t divide = timeout_units[i].divide;
        *timeout_ms = (number * timeout_units[i].multiply + divide - 1) / divide;
        return RL_OK;
    }
    return rl_fail(err, RL_E_INVAL, "grpc-timeout has an unknown unit");
}

/* ---- what is not gRPC's ---- */

rl_code rl_rpc_code_of_http(int status)
{
    switch (status) {
    case 400:
        return RL_E_INTERNAL;
    case 401:
        return RL_E_UNAUTHENTICATED;
    case 403:
        return RL_E_DENIED;
    case 404:
        return RL_E_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return RL_E_UNAVAILABLE;
    default:
        return RL_E_UNKNOWN;
    }
}

enum { REFUSED_STREAM = 7, CANCEL = 8, ENHANCE_YOUR_CALM = 11, INADEQUATE_SECURITY = 12 };

rl_code rl_rpc_code_of_h2(uint32_t error)
{
    switch (error) {
    case REFUSED_STREAM:
        return RL_E_UNAVAILABLE;
    case CANCEL:
        return RL_E_CANCELLED;
    case ENHANCE_YOUR_CALM:
        return RL_E_EXHAUSTED;
    case INADEQUATE_SECURITY:
        return RL_E_DENIED;
    default:
        return RL_E_INTERNAL;
    }
}
