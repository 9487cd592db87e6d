/* target: what people write for a node: [LOGIN@]NODE[.CLUSTER][:PORT]. What came through a shell
 * (OpenSSH's ProxyCommand) is checked as if a stranger had sent it.
 */
#ifndef TSH_TARGET_H
#define TSH_TARGET_H

#include "status/status.h"

#include <stdint.h>

struct tsh_target {
    char *cluster;
    char *name; /* a node's name or id */
    uint16_t port;
};

/** For `tsh proxy ssh`. The port is 22 and the cluster is `cluster` unless said; the login is
 * OpenSSH's business. Errors: RL_E_INVAL; RL_E_NOT_FOUND what can not be a cluster's name. Owns: by
 * tsh_target_fini(). */
rl_code tsh_target_parse(const char *text, const char *cluster, struct tsh_target *out,
                         struct rl_error *err);
void tsh_target_fini(struct tsh_target *target);

/** For `tsh ssh`: "LOGIN@NODE.CLUSTER" apart; NODE may also be an id or LABEL=VALUE, whose dots are
 * its own. Heap text each; *login and *cluster are replaced where the text names one. */
void tsh_target_split(const char *text, char **login, char **cluster, char **node);

#endif
