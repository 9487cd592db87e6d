/* answer: the proofs that auth wants, and the check of what it sends. Internal to enrol.
 */
#ifndef RL_ENROL_ANSWER_H
#define RL_ENROL_ANSWER_H

#include "enrol/held.h"

/** Appends the signature that shows that the key is held. Source: proto/remoteler/v1/auth.proto */
rl_code rl_proof_join(EVP_PKEY *key, const char *token, struct rl_buf *out, struct rl_error *err);
rl_code rl_proof_renew(EVP_PKEY *key, X509 *old, struct rl_buf *out, struct rl_error *err);

/** The state that follows from an answer, packed: certificates for `key` (the one asked for, whose
 * PEM is `key_pem`), for the same party as before, from authorities of which one has `pin` (NULL:
 * any). Errors: RL_E_INTERNAL auth's answer does not hold together. */
rl_code rl_answer_accept(const struct rl_held *held, EVP_PKEY *key,
                         const ProtobufCBinaryData *key_pem, const char *pin,
                         const Pb__JoinResponse *answer, struct rl_buf *packed,
                         struct rl_error *err);

#endif
