/* status: codes, messages and the two ways a program may end itself (assertion, no memory). */
#include "status/status.h"
#include "status/memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Steps back from a cut in the middle of a UTF-8 sequence. */
static void cut_at_character(char *text, size_t length)
{
    size_t start = length;
    while (start > 0 && length - start < 4 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
        start--;
    if (start == 0)
        return;
    unsigned char lead = (unsigned char)text[start - 1];
    size_t need = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (length - (start - 1) < need)
        text[start - 1] = '\0';
}

rl_code rl_vfail(struct rl_error *err, rl_code code, const char *format, va_list args)
{
    RL_ASSERT(code != RL_OK);
    if (!err)
        return code;
    char text[RL_ERROR_MESSAGE_BYTES];
    int n = vsnprintf(text, sizeof text, format, args);
    if (n >= (int)sizeof text)
        cut_at_character(text, sizeof text - 1);
    err->code = code;
    memcpy(err->message, text, sizeof text);
    return code;
}

rl_code(rl_fail)(struct rl_error *err, rl_code code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    rl_vfail(err, code, format, args);
    va_end(args);
    return code;
}

rl_code(rl_fail_errno)(struct rl_error *err, rl_code code, const char *format, ...)
{
    int saved = errno;
    char what[RL_ERROR_MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return rl_fail(err, code, "%s: %s", what, strerror(saved));
}

rl_code rl_error_prefix(struct rl_error *err, const char *format, ...)
{
    if (!err)
        return RL_E_UNKNOWN;
    char what[RL_ERROR_MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    char rest[RL_ERROR_MESSAGE_BYTES];
    memcpy(rest, err->message, sizeof rest);
    return rl_fail(err, err->code, "%s: %s", what, rest);
}

static const char *const code_names[] = {
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
};

const char *rl_code_name(rl_code code)
{
    return (size_t)code < RL_COUNT(code_names) ? code_names[code] : "UNKNOWN";
}

rl_code rl_code_from_number(long number)
{
    return number >= 0 && number < (long)RL_COUNT(code_names) ? (rl_code)number : RL_E_UNKNOWN;
}

_Noreturn void rl_assert_failed(const char *claim, const char *file, int line)
{
    fprintf(stderr, "remoteler: a programming error: %s does not hold (%s:%d)\n", claim, file,
            line);
    abort();
}

_Noreturn void rl_no_memory(size_t bytes)
{
    fprintf(stderr, "remoteler: no memory for %zu bytes\n", bytes);
    abort();
}

void *rl_alloc(size_t size)
{
    void *p = calloc(1, size ? size : 1);
    if (!p)
        rl_no_memory(size);
    return p;
}

void *rl_alloc_array(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size ? size : 1);
    if (!p)
        rl_no_memory(size);
    return p;
}

char *rl_strdup(const char *text)
{
    char *p = strdup(text);
    if (!p)
        rl_no_memory(strlen(text));
    return p;
}

char *rl_sprintf(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *out = NULL;
    if (vasprintf(&out, format, args) < 0)
        rl_no_memory(0);
    va_end(args);
    return out;
}
