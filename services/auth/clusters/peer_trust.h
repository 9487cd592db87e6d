/* peer_trust: what clusters say of their authorities. Nothing that another cluster sends is kept as
 * it came: what is fit is written anew, and what should not be there is refused.
 */
#ifndef RL_AUTH_PEER_TRUST_H
#define RL_AUTH_PEER_TRUST_H

#include "snapshot.h"

#define RL_PEER_AUTHORITIES_MAX 8 /* of a kind: rotation has two */

enum rl_peer { RL_PEER_ROOT, RL_PEER_LEAF };

/** The authorities of `cluster`, as a root or as a leaf tells them: public keys only, of that
 * cluster, none of them a certificate where a key is wanted, and no others than such a peer has to
 * tell. Owns: *out by pb__trust_bundle__free_unpacked(). Errors: RL_E_INVAL says which and why. */
rl_code rl_peer_trust_take(const Pb__TrustBundle *offered, enum rl_peer peer, const char *cluster,
                           Pb__TrustBundle **out, struct rl_error *err);
/** What this cluster tells: as a leaf to its root, or as a root to its leaf. Owns: as above. */
Pb__TrustBundle *rl_peer_trust_own(const struct rl_snapshot *snapshot, enum rl_peer as);
/** SHA-256 of a bundle, packed. */
void rl_peer_trust_hash(const Pb__TrustBundle *bundle, uint8_t out[32]);
/** What a root's policy for this cluster says of the root's authorities; to be taken by
 * rl_peer_trust_take(). */
Pb__TrustBundle *rl_peer_trust_of_policy(const struct rl_policy *policy, const char *cluster);
/** As nodes are told: its users' keys, each under an id of its own. */
Pb__RootTrust *rl_peer_root_trust(const Pb__TrustedCluster *document, const Pb__TrustBundle *trust);

/** Whom auth's listener believes: this cluster, the users of its roots, the services of its leaves.
 * `before`: whom it believed so far; NULL: nobody. Owns: *out by rl_trust_unref(). */
rl_code rl_peer_listeners_trust(const struct rl_snapshot *snapshot, const struct rl_trust *before,
                                struct rl_trust **out, struct rl_error *err);
/** A peer's own services: for whoever calls them, or checks what they signed. */
rl_code rl_peer_services_trust(const Pb__TrustBundle *bundle, struct rl_trust **out,
                               struct rl_error *err);

#endif
