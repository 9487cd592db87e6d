/* trust: the authorities, each with the one kind and the one cluster that it may speak for.
 * Internal to identity.
 */
#ifndef RL_IDENTITY_TRUST_H
#define RL_IDENTITY_TRUST_H

#include "identity/identity.h"

struct rl_authority {
    X509 *certificate;
    NAME_CONSTRAINTS *constraints; /* NULL: none */
    enum rl_identity_kind kind;
    char *cluster;
    int64_t not_before_s, not_after_s;
    uint64_t key_hint;  /* equal keys have the same; 0: not known */
    uint8_t sha256[32]; /* of the certificate in DER */
    bool is_retired;
    unsigned refs; /* atomic: lists share what did not change */
};

size_t rl_trust_count(const struct rl_trust *trust);
int64_t rl_trust_return_grace_s(const struct rl_trust *trust);
const struct rl_authority *rl_trust_at(const struct rl_trust *trust, size_t i);

#endif
