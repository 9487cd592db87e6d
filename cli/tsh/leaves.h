/* leaves: the clusters that trust the profile's own: which there are and whose authorities they
 * have, as its auth last said; and which cluster is meant where nothing is said.
 */
#ifndef TSH_LEAVES_H
#define TSH_LEAVES_H

#include "identity/identity.h"
#include "profile.h"
#include "remoteler/v1/auth.pb-c.h"

/** Keeps the leaves that auth named, with their authorities. *changed tells whether these are
 * others than before: then tsh_sshconfig_write() is due. */
rl_code tsh_leaves_keep(const struct tsh_profile *profile, const Pb__ListClustersResponse *said,
                        bool *changed, struct rl_error *err);
/** Those that were kept, in order; none when nothing was. What is no cluster's name, the profile's
 * own name, and authorities of another cluster than they are said to be are left out. Owns: by
 * pb__list_clusters_response__free_unpacked(). */
Pb__ListClustersResponse *tsh_leaves_read(const struct tsh_profile *profile);
/** A leaf's authorities. Errors: RL_E_NOT_FOUND not one that is known. Owns: by rl_trust_unref().
 */
rl_code tsh_leaves_trust(const struct tsh_profile *profile, const char *cluster,
                         struct rl_trust **out, struct rl_error *err);

/** What commands mean when they name no cluster: kept until the next login. The profile's own name
 * means none in particular. */
rl_code tsh_cluster_select(const struct tsh_profile *profile, const char *cluster,
                           struct rl_error *err);
/** `asked` (a flag or TSH_CLUSTER; NULL: none), else what was selected, else the profile's own.
 * Errors: RL_E_INVAL not a cluster's name. Owns: heap text. */
rl_code tsh_cluster_choose(const struct tsh_profile *profile, const char *asked, char **out,
                           struct rl_error *err);
bool tsh_cluster_is_own(const struct tsh_profile *profile, const char *cluster);

#endif
