/* totp: codes by liboath, compared here: it must be known which step matched, and in constant
 * time. */
#include "credential/totp.h"

#include "bytes/encoding.h"
#include "bytes/secret.h"

#include <ctype.h>
#include <liboath/oath.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define URL_BYTES_MAX 2048

static pthread_once_t oath_once = PTHREAD_ONCE_INIT;
static int oath_failed;

static void start_oath(void)
{
    oath_failed = oath_init();
}

static rl_code code_of_step(struct rl_span secret, int64_t step, char code[RL_TOTP_DIGITS + 1],
                            struct rl_error *err)
{
    pthread_once(&oath_once, start_oath);
    int failed = oath_failed;
    if (failed == OATH_OK)
        failed = oath_hotp_generate((const char *)secret.p, secret.n, (uint64_t)step,
                                    RL_TOTP_DIGITS, false, OATH_HOTP_DYNAMIC_TRUNCATION, code);
    if (failed != OATH_OK)
        return rl_fail(err, RL_E_INTERNAL, "making a one-time code: %s", oath_strerror(failed));
    return RL_OK;
}

static rl_code check_secret(struct rl_span secret, struct rl_error *err)
{
    if (secret.n < RL_TOTP_SECRET_BYTES_MIN || secret.n > RL_TOTP_SECRET_BYTES_MAX)
        return rl_fail(err, RL_E_DATA_LOSS, "a one-time secret has %d to %d bytes, not %zu",
                       RL_TOTP_SECRET_BYTES_MIN, RL_TOTP_SECRET_BYTES_MAX, secret.n);
    return RL_OK;
}

rl_code rl_totp_generate(struct rl_span secret, int64_t now_s, char code[RL_TOTP_DIGITS + 1],
                         struct rl_error *err)
{
    rl_code rc = check_secret(secret, err);
    if (rc != RL_OK)
        return rc;
    return code_of_step(secret, now_s / RL_TOTP_STEP_S, code, err);
}

static bool is_code(const char *text)
{
    size_t n = strnlen(text, RL_TOTP_DIGITS + 1);
    if (n != RL_TOTP_DIGITS)
        return false;
    for (size_t i = 0; i < n; i++)
        if (text[i] < '0' || text[i] > '9')
            return false;
    return true;
}

static rl_code say_used(int64_t now_s, int64_t last_step, uint64_t *wait_s, struct rl_error *err)
{
    int64_t wait = (last_step + 1) * RL_TOTP_STEP_S - now_s;
    *wait_s = wait > 0 ? (uint64_t)wait : 1;
    return rl_fail(err, RL_E_PRECONDITION,
                   "this code was already used; the next is valid in %llu s",
                   (unsigned long long)*wait_s);
}

rl_code rl_totp_check(struct rl_span secret, const char *code, int64_t now_s, int64_t last_step,
                      int64_t *step, uint64_t *wait_s, struct rl_error *err)
{
    rl_code rc = check_secret(secret, err);
    if (rc != RL_OK)
        return rc;
    if (!is_code(code))
        return rl_fail(err, RL_E_DENIED, "wrong code");
    int64_t current = now_s / RL_TOTP_STEP_S;
    int64_t fresh = -1;
    bool is_used = false;
    for (int64_t s = current - RL_TOTP_TOLERANCE; s <= current + RL_TOTP_TOLERANCE; s++) {
        char want[RL_TOTP_DIGITS + 1];
        rc = code_of_step(secret, s, want, err);
        if (rc != RL_OK)
            return rc;
        bool matches = rl_span_equal_secret(rl_span_of(want), rl_span_of(code));
        if (matches && s > last_step && fresh < 0)
            fresh = s;
        is_used |= matches && s <= last_step;
        rl_wipe(want, sizeof want);
    }
    if (fresh < 0)
        return is_used ? say_used(now_s, last_step, wait_s, err)
                       : rl_fail(err, RL_E_DENIED, "wrong code");
    *step = fresh;
    return RL_OK;
}

static void put_escaped(struct rl_buf *b, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (isalnum(c) || strchr("-._~", c))
            rl_buf_put_u8(b, c);
        else
            rl_buf_printf(b, "%%%02X", c);
    }
}

char *rl_totp_url(const char *cluster, const char *user, struct rl_span secret)
{
    struct rl_buf url;
    rl_buf_init(&url, URL_BYTES_MAX);
    char *base32 = rl_base32_encode(secret);
    rl_buf_put_text(&url, "otpauth://totp/");
    put_escaped(&url, cluster);
    rl_buf_put_text(&url, ":");
    put_escaped(&url, user);
    rl_buf_printf(&url, "?secret=%s&issuer=", base32);
    put_escaped(&url, cluster);
    rl_buf_printf(&url, "&algorithm=SHA1&digits=%d&period=%d", RL_TOTP_DIGITS, RL_TOTP_STEP_S);
    char *out = rl_strdup(rl_buf_text(&url));
    rl_wipe(base32, strlen(base32));
    free(base32);
    rl_buf_fini(&url);
    return out;
}
