/* target: what people write for a node: [LOGIN@]NODE[.CLUSTER][:PORT]. What came through a shell
 * (OpenSSH's ProxyCommand) is checked as if a stranger had sent it.
 */
#ifndef TSH_TARGET_H
#define TSH_TARGET_H

#include "status/status.h"

#include <stdint.h>

struct tsh_target {
    char *name; /* a node's name or id */
    uint16_t port;
};

/** For `tsh proxy ssh`. The port is 22 unless said; the login is OpenSSH's business. Errors:
 * RL_E_INVAL; RL_E_NOT_FOUND another cluster than one's own. Owns: by tsh_target_fini(). */
rl_code tsh_target_parse(const char *text, const char *own_cluster, struct tsh_target *out,
                         struct rl_error *err);
void tsh_target_fini(struct tsh_target *target);

/** For `tsh ssh`: "LOGIN@NODE.CLUSTER" apart, without the user's own cluster; NODE may also be an
 * id or LABEL=VALUE. Heap text each; *login is replaced where the text names one. */
void tsh_target_split(const char *text, const char *own_cluster, char **login, char **node);

#endif
