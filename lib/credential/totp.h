/* totp: one-time codes by time (RFC 6238): SHA-1, six digits, 30 s, one step of tolerance either
 * way. A code is good once: the step that matched is told, and the caller keeps it for the next
 * time. Thread-safe.
 */
#ifndef RL_CREDENTIAL_TOTP_H
#define RL_CREDENTIAL_TOTP_H

#include "bytes/buf.h"

#define RL_TOTP_SECRET_BYTES 20 /* of a new one: RFC 4226, 4, R6 */
#define RL_TOTP_SECRET_BYTES_MIN 16
#define RL_TOTP_SECRET_BYTES_MAX 64
#define RL_TOTP_STEP_S 30
#define RL_TOTP_DIGITS 6
#define RL_TOTP_TOLERANCE 1 /* steps */

/** Is it a code of a step that was not yet used?
 *
 * `last_step`  the latest step that was used; -1: none was
 * `step`       the step that matched, later than last_step: keep it
 * `wait_s`     with RL_E_PRECONDITION: seconds until the next code is valid
 * Errors       RL_E_DENIED wrong; RL_E_PRECONDITION right, and used already */
rl_code rl_totp_check(struct rl_span secret, const char *code, int64_t now_s, int64_t last_step,
                      int64_t *step, uint64_t *wait_s, struct rl_error *err);

/** The code of a moment. */
rl_code rl_totp_generate(struct rl_span secret, int64_t now_s, char code[RL_TOTP_DIGITS + 1],
                         struct rl_error *err);

/** otpauth://totp/CLUSTER:USER?secret=...: what an authenticator's QR code says. Heap text, holds
 * the secret. Source: the Key Uri Format of google-authenticator. */
char *rl_totp_url(const char *cluster, const char *user, struct rl_span secret);

#endif
