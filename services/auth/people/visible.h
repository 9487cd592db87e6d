/* visible: nodes as one user sees them. What the roles hide is as if it were not there. */
#ifndef RL_AUTH_VISIBLE_H
#define RL_AUTH_VISIBLE_H

#include "db/instances.h"
#include "people/caller.h"

/** The nodes that the caller may see, by name. `wanted` (or NULL): of this name or id only. Owns:
 * by rl_visible_free(). */
rl_code rl_visible_nodes(struct rl_auth *auth, const struct rl_caller *caller, const char *wanted,
                         Pb__Node ***out, size_t *count, struct rl_error *err);
void rl_visible_free(Pb__Node ***nodes, size_t count);
struct rl_authz_target rl_visible_target(const Pb__Node *node);
bool rl_node_has_label(const Pb__Node *node, const char *key, const char *value);

#endif
