/* sshconfig: makes plain `ssh NODE` work: $TSH_HOME/ssh_config, whole enough for `ssh -F`, and one
 * marked Include as the first line of ~/.ssh/config. Exact host names, never `Match exec`.
 */
#ifndef TSH_SSHCONFIG_H
#define TSH_SSHCONFIG_H

#include "nodes.h"
#include "profile.h"

/** Keeps what the profile's user may see, for the next tsh_sshconfig_write(). */
rl_code tsh_sshconfig_keep_nodes(const struct tsh_profile *profile, const struct tsh_nodes *nodes,
                                 struct rl_error *err);
/** Writes $TSH_HOME/ssh_config for every profile that is logged in, and each one's known_hosts. */
rl_code tsh_sshconfig_write(const char *home, struct rl_error *err);
/** The block of one cluster alone, the profile's own or a leaf, for who keeps a configuration of
 * his own. Errors: RL_E_NOT_FOUND. */
rl_code tsh_sshconfig_of_cluster(const struct tsh_profile *profile, const char *cluster,
                                 struct rl_buf *out, struct rl_error *err);
/** A path that OpenSSH's configuration can carry in quotes. Errors: RL_E_INVAL. */
rl_code tsh_sshconfig_check_path(const char *path, struct rl_error *err);
/** Puts the Include into the passwd home's ~/.ssh/config, or takes it out: atomically, keeping
 * mode, owner and a symbolic link. Nothing to do is no error. */
rl_code tsh_sshconfig_include(const char *home, bool wanted, struct rl_error *err);
/** The same in another file than the passwd home's. Its directory is made when it is wanted. */
rl_code tsh_sshconfig_include_in(const char *user_config, const char *home, bool wanted,
                                 struct rl_error *err);
/** Seconds since the nodes were last listed; INT64_MAX: never. */
int64_t tsh_sshconfig_age_s(const struct tsh_profile *profile);
/** From now on they count as fresh: whoever lists them anew says so before, so that a hundred ssh
 * at once ask once. */
void tsh_sshconfig_claim(const struct tsh_profile *profile);

#endif
