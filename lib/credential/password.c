/* password: argon2id by libargon2. */
#include "credential/password.h"

#include "bytes/secret.h"

#include <argon2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SALT_BYTES 16
#define HASH_BYTES 32
#define ENCODED_BYTES_MAX 256

/* Of no password: what an unknown user's is compared with. The parameters must be today's, or an
 * unknown name would answer sooner than a known one. */
static const uint8_t nobodys_salt[SALT_BYTES] = "remoteler-nobody";

rl_code rl_password_check(struct rl_span password, struct rl_error *err)
{
    if (password.n < RL_PASSWORD_BYTES_MIN)
        return rl_fail(err, RL_E_INVAL, "a password has at least %d characters",
                       RL_PASSWORD_BYTES_MIN);
    if (password.n > RL_PASSWORD_BYTES_MAX)
        return rl_fail(err, RL_E_INVAL, "a password has at most %d bytes", RL_PASSWORD_BYTES_MAX);
    if (memchr(password.p, 0, password.n))
        return rl_fail(err, RL_E_INVAL, "a password can not contain a NUL byte");
    return RL_OK;
}

rl_code rl_password_hash(struct rl_span password, char **out, struct rl_error *err)
{
    rl_code rc = rl_password_check(password, err);
    if (rc != RL_OK)
        return rc;
    uint8_t salt[SALT_BYTES];
    rl_random(salt, sizeof salt);
    char encoded[ENCODED_BYTES_MAX];
    int failed = argon2id_hash_encoded(RL_PASSWORD_PASSES, RL_PASSWORD_MEMORY_KIB,
                                       RL_PASSWORD_LANES, password.p, password.n, salt, sizeof salt,
                                       HASH_BYTES, encoded, sizeof encoded);
    if (failed != ARGON2_OK)
        return rl_fail(err, RL_E_EXHAUSTED, "hashing the password: %s",
                       argon2_error_message(failed));
    *out = rl_strdup(encoded);
    return RL_OK;
}

struct cost {
    unsigned memory_kib, passes, lanes;
};

static rl_code read_cost(const char *encoded, struct cost *out, struct rl_error *err)
{
    struct cost cost;
    unsigned version = 0;
    if (strnlen(encoded, ENCODED_BYTES_MAX) == ENCODED_BYTES_MAX)
        return rl_fail(err, RL_E_DATA_LOSS, "the stored password hash is not one");
    /* A number too large for its place is too dear in any case. NOLINTNEXTLINE(cert-err34-c) */
    int numbers = sscanf(encoded, "$argon2id$v=%u$m=%u,t=%u,p=%u$", &version, &cost.memory_kib,
                         &cost.passes, &cost.lanes);
    if (numbers != 4 || cost.memory_kib > RL_PASSWORD_MEMORY_KIB_MAX ||
        cost.passes > RL_PASSWORD_PASSES_MAX || cost.lanes > 16)
        return rl_fail(err, RL_E_DATA_LOSS, "the stored password hash is not one");
    *out = cost;
    return RL_OK;
}

static rl_code deny(struct rl_error *err)
{
    return rl_fail(err, RL_E_DENIED, "wrong password");
}

/* Takes as long as a real check. */
static rl_code verify_nobody(struct rl_span password, struct rl_error *err)
{
    uint8_t hash[HASH_BYTES];
    argon2id_hash_raw(RL_PASSWORD_PASSES, RL_PASSWORD_MEMORY_KIB, RL_PASSWORD_LANES, password.p,
                      password.n, nobodys_salt, sizeof nobodys_salt, hash, sizeof hash);
    rl_wipe(hash, sizeof hash);
    return deny(err);
}

rl_code rl_password_verify(const char *encoded, struct rl_span password, bool *is_weak,
                           struct rl_error *err)
{
    if (password.n > RL_PASSWORD_BYTES_MAX)
        password.n = RL_PASSWORD_BYTES_MAX + 1; /* never right, and no dearer than the longest */
    if (!encoded)
        return verify_nobody(password, err);
    struct cost cost;
    rl_code rc = read_cost(encoded, &cost, err);
    if (rc != RL_OK)
        return rc;
    int failed = argon2id_verify(encoded, password.p, password.n); /* in constant time */
    if (failed == ARGON2_VERIFY_MISMATCH)
        return deny(err);
    if (failed == ARGON2_MEMORY_ALLOCATION_ERROR)
        return rl_fail(err, RL_E_EXHAUSTED, "checking the password: no memory");
    if (failed != ARGON2_OK)
        return rl_fail(err, RL_E_DATA_LOSS, "the stored password hash is damaged: %s",
                       argon2_error_message(failed));
    if (is_weak)
        *is_weak = cost.memory_kib < RL_PASSWORD_MEMORY_KIB || cost.passes < RL_PASSWORD_PASSES;
    return RL_OK;
}
