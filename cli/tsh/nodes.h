/* nodes: what auth answered to the question which nodes there are, in whichever form: by rows, page
 * by page, or by nodes from an auth of the version before.
 */
#ifndef TSH_NODES_H
#define TSH_NODES_H

#include "remoteler/v1/auth.pb-c.h"
#include "status/status.h"

#include <stdint.h>

/** All borrowed from the answers; never NULL. */
struct tsh_node {
    const char *id, *name /* "" none */, *hostname, *mode, *version, *status;
    int64_t last_seen_ns;
    Pb__Label *const *labels;
    char *const *logins;
    size_t label_count, login_count;
};

struct tsh_nodes {
    struct tsh_node *items;
    size_t count;
    Pb__ListNodesResponse **answers;
    size_t answer_count;
};
/** Takes the answer, also when it fails. A node that is not whole is left out. Errors:
 * RL_E_INTERNAL a row of a class that the answer does not have. */
rl_code tsh_nodes_add(struct tsh_nodes *nodes, Pb__ListNodesResponse *answer, struct rl_error *err);
void tsh_nodes_fini(struct tsh_nodes *nodes);

#endif
