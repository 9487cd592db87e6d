/* pattern: the three ways to write what matches. A regular expression is the role author's, its
 * subject often a stranger's, so both sides are bounded: the length of the pattern, the nesting,
 * the steps, the depth and the heap of one match. What hits a bound is an error, not a mismatch:
 * the caller knows which of the two is the safe one.
 */
#include "authz/internal.h"

#include "bytes/utf8.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#define NESTING_MAX 32
#define MATCH_STEPS_MAX 50000
#define MATCH_DEPTH_MAX 5000
#define MATCH_HEAP_KIB_MAX 2048
#define SUBJECT_BYTES_MAX 4096

static bool is_regular_expression(const char *pattern)
{
    return pattern[0] == '^';
}

static rl_code fail_pcre2(int code, const char *pattern, struct rl_error *err)
{
    PCRE2_UCHAR text[160];
    if (pcre2_get_error_message(code, text, sizeof text) < 0)
        text[0] = '\0';
    return rl_fail(err, RL_E_INVAL, "the pattern \"%s\": %s", pattern, (const char *)text);
}

static rl_code compile(const char *pattern, pcre2_code **out, struct rl_error *err)
{
    /* Whole string, and a `$` that does not let a trailing newline through; \C could split a
     * character. The leading `^` leaves no room for (*VERBS) that would lift the limits below. */
    const uint32_t options = PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOLLAR_ENDONLY | PCRE2_UTF |
                             PCRE2_NEVER_BACKSLASH_C;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (!context)
        return rl_fail(err, RL_E_EXHAUSTED, "no memory for a pattern");
    pcre2_set_parens_nest_limit(context, NESTING_MAX);
    int code = 0;
    PCRE2_SIZE at = 0;
    pcre2_code *compiled =
        pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, options, &code, &at, context);
    pcre2_compile_context_free(context);
    if (!compiled)
        return fail_pcre2(code, pattern, err);
    *out = compiled;
    return RL_OK;
}

static rl_code check_shape(const char *pattern, struct rl_error *err)
{
    size_t n = strlen(pattern);
    if (n > RL_AUTHZ_PATTERN_BYTES_MAX)
        return rl_fail(err, RL_E_INVAL, "a pattern has at most %d bytes, this one %zu",
                       RL_AUTHZ_PATTERN_BYTES_MAX, n);
    if (is_regular_expression(pattern) && (n < 2 || pattern[n - 1] != '$'))
        return rl_fail(err, RL_E_INVAL,
                       "the pattern \"%s\": a regular expression begins with ^ and ends with $",
                       pattern);
    return RL_OK;
}

static void take_groups(pcre2_match_data *data, const char *text, struct captures *out)
{
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(data);
    for (size_t i = 1; i < pcre2_get_ovector_count(data) && i <= CAPTURES_MAX; i++) {
        PCRE2_SIZE from = ends[2 * i], to = ends[2 * i + 1];
        bool took_part = from != PCRE2_UNSET && from <= to;
        out->items[out->count++] =
            took_part ? rl_sprintf("%.*s", (int)(to - from), text + from) : rl_strdup("");
    }
}

/* `groups` may be NULL. */
static rl_code run(const pcre2_code *compiled, const char *pattern, const char *text,
                   struct captures *groups, struct rl_error *err)
{
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    pcre2_match_data *data = pcre2_match_data_create_from_pattern(compiled, NULL);
    rl_code code = RL_E_EXHAUSTED;
    if (!context || !data) {
        rl_fail(err, code, "no memory for a pattern");
        goto out;
    }
    pcre2_set_match_limit(context, MATCH_STEPS_MAX);
    pcre2_set_depth_limit(context, MATCH_DEPTH_MAX);
    pcre2_set_heap_limit(context, MATCH_HEAP_KIB_MAX);
    int found = pcre2_match(compiled, (PCRE2_SPTR)text, strlen(text), 0, 0, data, context);
    if (found >= 0) {
        code = RL_OK;
        if (groups)
            take_groups(data, text, groups);
    } else if (found == PCRE2_ERROR_NOMATCH) {
        code = RL_E_NOT_FOUND;
    } else {
        code = fail_pcre2(found, pattern, err);
    }
out:
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    return code;
}

static size_t character_bytes(const char *text)
{
    uint32_t point;
    size_t n = rl_utf8_next(text, strnlen(text, 4), &point);
    return n ? n : 1;
}

/* `*` takes what it can and is only ever widened again from the last one: no recursion, at most
 * |pattern| × |text| steps. */
static bool glob_matches(const char *pattern, const char *text)
{
    const char *star = NULL, *resume = NULL;
    while (*text) {
        if (*pattern == '*') {
            star = pattern++;
            resume = text;
        } else if (*pattern == '?') {
            pattern++;
            text += character_bytes(text);
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star + 1;
            resume += character_bytes(resume);
            text = resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

void captures_fini(struct captures *captures)
{
    for (size_t i = 0; i < captures->count; i++)
        free(captures->items[i]);
    captures->count = 0;
}

static rl_code match(const char *pattern, const char *text, struct captures *groups,
                     struct rl_error *err)
{
    rl_code code = check_shape(pattern, err);
    if (code != RL_OK)
        return code;
    if (strnlen(text, SUBJECT_BYTES_MAX + 1) > SUBJECT_BYTES_MAX)
        return rl_fail(err, RL_E_INVAL, "a text of more than %d bytes is not matched",
                       SUBJECT_BYTES_MAX);
    if (!is_regular_expression(pattern))
        return glob_matches(pattern, text) ? RL_OK : RL_E_NOT_FOUND;
    pcre2_code *compiled = NULL;
    code = compile(pattern, &compiled, err);
    if (code != RL_OK)
        return code;
    code = run(compiled, pattern, text, groups, err);
    pcre2_code_free(compiled);
    return code;
}

rl_code rl_pattern_match(const char *pattern, const char *text, struct rl_error *err)
{
    return match(pattern, text, NULL, err);
}

rl_code pattern_capture(const char *pattern, const char *text, struct captures *out,
                        struct rl_error *err)
{
    out->count = 0;
    return match(pattern, text, out, err);
}

rl_code pattern_groups(const char *pattern, size_t *out, struct rl_error *err)
{
    uint32_t groups = 0;
    rl_code code = check_shape(pattern, err);
    if (code == RL_OK && is_regular_expression(pattern)) {
        pcre2_code *compiled = NULL;
        code = compile(pattern, &compiled, err);
        if (code != RL_OK)
            return code;
        pcre2_pattern_info(compiled, PCRE2_INFO_CAPTURECOUNT, &groups);
        pcre2_code_free(compiled);
    }
    if (code == RL_OK)
        *out = groups < CAPTURES_MAX ? groups : CAPTURES_MAX;
    return code;
}

rl_code rl_pattern_check(const char *pattern, struct rl_error *err)
{
    size_t groups;
    return pattern_groups(pattern, &groups, err);
}
