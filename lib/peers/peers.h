/* peers: other clusters, as auth names them to the services, and whom of theirs a listener
 * believes: of a root its users, of a leaf its services, of either nobody else. Pure.
 */
#ifndef RL_PEERS_H
#define RL_PEERS_H

#include "identity/identity.h"
#include "remoteler/v1/control.pb-c.h"

/** The root, or the leaf, of that name; NULL: none, or it is not enabled. */
const Pb__PeerCluster *rl_peers_root(Pb__PeerCluster *const *peers, size_t count, const char *name);
const Pb__PeerCluster *rl_peers_leaf(Pb__PeerCluster *const *peers, size_t count, const char *name);

/** Adds to the cluster's own authorities in `trust`, before it is shared, those of the peers. What
 * can not be added (no authority, another cluster's, a key that is there already, the cluster's own
 * name) is left out: nobody of another cluster keeps this one's users out. Returns how many were.
 * `before` is what was believed so far (NULL: nothing); what it has is taken from there: to verify
 * the authorities of hundreds of leaves takes long, and this is called where sessions wait.
 */
size_t rl_peers_add_to_trust(struct rl_trust *trust, const struct rl_trust *before,
                             Pb__PeerCluster *const *peers, size_t count);

#endif
