/* clusters: leaves as one user sees them. What the roles' cluster_labels hide is as if it were not
 * there.
 */
#ifndef RL_AUTH_CLUSTERS_H
#define RL_AUTH_CLUSTERS_H

#include "people/caller.h"
#include "remoteler/v1/control.pb-c.h"

/** Appends the leaves that the caller may see. */
rl_code rl_clusters_list(struct rl_auth *auth, const struct rl_caller *caller,
                         Pb__ListClustersResponse *reply, struct rl_error *err);
/** Where a leaf's brokers are attached. Errors: RL_E_NOT_FOUND, in the same words for one that is
 * hidden. */
rl_code rl_clusters_resolve(struct rl_auth *auth, const struct rl_caller *caller, const char *name,
                            Pb__ResolveTargetResponse *reply, struct rl_error *err);

#endif
