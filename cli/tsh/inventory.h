/* inventory: the nodes that the user may see, asked of auth, and kept for OpenSSH. */
#ifndef TSH_INVENTORY_H
#define TSH_INVENTORY_H

#include "nodes.h"
#include "profile.h"

/** Asks the auth of a cluster (NULL: the profile's own). Owns: *out by tsh_nodes_fini(). `search`
 * NULL: all. */
rl_code tsh_inventory_list(const struct tsh_profile *profile, const char *cluster,
                           const char *search, Pb__Label *const *labels, size_t label_count,
                           struct tsh_nodes *out, struct rl_error *err);
/** The cluster's authorities have changed: asks auth for them and writes what ssh believes. */
rl_code tsh_trust_refresh(const struct tsh_profile *profile, struct rl_error *err);
/** Asks the profile's own auth for all nodes and clusters, keeps both, and writes
 * $TSH_HOME/ssh_config anew. *out (may be NULL): the nodes, as above. */
rl_code tsh_inventory_refresh(const struct tsh_profile *profile, struct tsh_nodes *out,
                              struct rl_error *err);
/** The contract's array of `tsh ls`. A new reference. */
json_t *tsh_inventory_json(const struct tsh_nodes *nodes, const char *cluster);
/** What the person meant by NODE, UUID or LABEL=VALUE: exactly one node. Errors: RL_E_DENIED "no
 * such node" (4); RL_E_INVAL when several match. Borrowed from `nodes`. */
rl_code tsh_inventory_pick(const struct tsh_nodes *nodes, const char *target,
                           const struct tsh_node **out, struct rl_error *err);
/** What OpenSSH is told to connect to: NAME.CLUSTER, or ID.CLUSTER for a node without a name. The
 * configuration has a block for all of a cluster's, also for a node that came after it was written.
 * Errors: RL_E_INTERNAL neither is what such names may be. Heap text. */
rl_code tsh_inventory_host(const struct tsh_node *node, const char *cluster, char **out,
                           struct rl_error *err);

#endif
