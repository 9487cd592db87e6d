/* password: kept as argon2id hashes only. Checking one costs the same whether the user exists or
 * not. All functions are thread-safe; each takes RL_PASSWORD_MEMORY_KIB while it runs, so they run
 * on workers.
 */
#ifndef RL_CREDENTIAL_PASSWORD_H
#define RL_CREDENTIAL_PASSWORD_H

#include "bytes/buf.h"

#define RL_PASSWORD_BYTES_MIN 8
#define RL_PASSWORD_BYTES_MAX 256

/** What a new hash costs. Source: OWASP Password Storage Cheat Sheet; RFC 9106. */
#define RL_PASSWORD_MEMORY_KIB 19456
#define RL_PASSWORD_PASSES 2
#define RL_PASSWORD_LANES 1
/** A stored hash that asks for more than this is not computed. */
#define RL_PASSWORD_MEMORY_KIB_MAX (256u * 1024)
#define RL_PASSWORD_PASSES_MAX 16

/** Is it fit to be set? Errors: RL_E_INVAL with the rule, for the person. */
rl_code rl_password_check(struct rl_span password, struct rl_error *err);

/** The encoded hash ("$argon2id$v=19$...") under a fresh salt. The caller frees *out. */
rl_code rl_password_hash(struct rl_span password, char **out, struct rl_error *err);

/** Is this the password of that hash?
 *
 * `encoded`   NULL when there is no such user: costs as much, and is denied
 * `is_weak`   set when the hash should be made anew with today's parameters; may be NULL
 * Errors      RL_E_DENIED wrong; RL_E_DATA_LOSS the stored hash is not one */
rl_code rl_password_verify(const char *encoded, struct rl_span password, bool *is_weak,
                           struct rl_error *err);

#endif
