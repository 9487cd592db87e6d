/* clusters: asks auth which clusters there are: the profile's own, and those that trust it.
 */
#ifndef TSH_CLUSTERS_H
#define TSH_CLUSTERS_H

#include "client.h"
#include "profile.h"

/** Asks auth which clusters there are. Keeps the leaves (leaves.h); *changed tells
 * whether they are others than before: then tsh_sshconfig_write() is due. *out (may be NULL): all
 * that auth said; by pb__list_clusters_response__free_unpacked(). */
rl_code tsh_clusters_ask(struct tsh_client *client, const struct tsh_profile *profile,
                         bool *changed, Pb__ListClustersResponse **out, struct rl_error *err);
/** The same with a connection of its own, and OpenSSH's files are brought up to date. */
rl_code tsh_clusters_refresh(const struct tsh_profile *profile, bool *changed,
                             Pb__ListClustersResponse **out, struct rl_error *err);

#endif
