/* visible: nodes as one user sees them. What the roles hide is as if it were not there. */
#ifndef RL_AUTH_VISIBLE_H
#define RL_AUTH_VISIBLE_H

#include "db/instances.h"
#include "people/caller.h"

/** The nodes of this name or id that the caller may see, by name. Owns: by rl_visible_free(). */
rl_code rl_visible_nodes(struct rl_auth *auth, const struct rl_caller *caller, const char *wanted,
                         Pb__Node ***out, size_t *count, struct rl_error *err);
void rl_visible_free(Pb__Node ***nodes, size_t count);
bool rl_labels_have(Pb__Label *const *labels, size_t count, const char *key, const char *value);

#endif
