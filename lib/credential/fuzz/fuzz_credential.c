/* What a person types, a join sends, and a damaged database would hold: tokens, one-time codes,
 * hashes. Nothing is taken that was not made here. A hash that is well-formed is not computed: its
 * cost is bounded (tests/test_password.c), but not for a fuzzer.
 */
#include "credential/password.h"
#include "credential/token.h"
#include "credential/totp.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

static void as_token(const char *text)
{
    uint8_t hash[RL_TOKEN_HASH_BYTES];
    if (rl_token_hash(text, hash, NULL) == RL_OK)
        RL_ASSERT(strlen(text) == RL_TOKEN_TEXT_BYTES);
}

static void as_code(const char *text)
{
    static const uint8_t secret[RL_TOTP_SECRET_BYTES] = "12345678901234567890";
    char right[RL_TOTP_DIGITS + 1];
    int64_t step = -1;
    uint64_t wait_s = 0;
    if (rl_totp_check(RL_SPAN(secret, sizeof secret), text, 1800000000, -1, &step, &wait_s, NULL) !=
        RL_OK)
        return;
    rl_code made =
        rl_totp_generate(RL_SPAN(secret, sizeof secret), step * RL_TOTP_STEP_S, right, NULL);
    FUZZ_EXPECT(made == RL_OK);
    RL_ASSERT(made != RL_OK || strcmp(right, text) == 0);
}

static void as_hash(const char *text)
{
    bool is_weak = false;
    if (strncmp(text, "$argon2id$v=19$", 15) != 0)
        RL_ASSERT(rl_password_verify(text, rl_span_of("password"), &is_weak, NULL) != RL_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rl_password_check(RL_SPAN(data, size), NULL);
    char *text = rl_span_to_string(RL_SPAN(data, size));
    if (!text)
        return 0;
    as_token(text);
    as_code(text);
    as_hash(text);
    free(text);
    return 0;
}
