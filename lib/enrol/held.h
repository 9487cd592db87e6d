/* held: a state in memory, with what follows from it: keys, certificate, trust. Immutable; a
 * renewal makes another. Internal to enrol.
 */
#ifndef RL_ENROL_HELD_H
#define RL_ENROL_HELD_H

#include "enrol/enrol.h"
#include "remoteler/v1/state.pb-c.h"

#define RL_ENROL_STATE_BYTES_MAX (1u << 20)

struct rl_held {
    Pb__EnrolState *state;
    EVP_PKEY *tls_key;
    EVP_PKEY *next_tls_key;      /* NULL: no renewal is under way */
    EVP_PKEY *ssh_key;           /* agents */
    struct rl_tls_identity *tls; /* NULL: has not joined */
    struct rl_trust *trust;
};

/** Errors: RL_E_INVAL when it is damaged. */
rl_code rl_held_read(struct rl_span packed, struct rl_held **out, struct rl_error *err);
/** Wipes the keys. Takes NULL. */
void rl_held_free(struct rl_held **held);
/** A new party's: fresh keys and nothing else, packed. */
rl_code rl_held_begin(const char *kind, struct rl_buf *packed, struct rl_error *err);
/** As it is, with a fresh key for the renewal that is to come, packed. */
rl_code rl_held_begin_renewal(const struct rl_held *held, struct rl_buf *packed,
                              struct rl_error *err);
rl_code rl_held_pack(const Pb__EnrolState *state, struct rl_buf *packed, struct rl_error *err);
/** Is the pin that of one of its service authorities? */
bool rl_bundle_has_pin(const Pb__TrustBundle *bundle, const char *pin);
/** Is the pin that of one of the state's service authorities, or the one it joined by? */
bool rl_held_has_pin(const struct rl_held *held, const char *pin);
/** Seconds since 1970: certified at, and until. */
void rl_held_times(const struct rl_held *held, int64_t *from_s, int64_t *until_s);

#endif
