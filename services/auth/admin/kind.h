/* admin_kind: how a kind of document is read, written and removed: what the files of admin's
 * resources share.
 */
#ifndef RL_AUTH_ADMIN_KIND_H
#define RL_AUTH_ADMIN_KIND_H

#include "admin/admin.h"
#include "db/peers.h"

struct rl_getting {
    const struct rl_snapshot *snapshot;
    const char *name; /* "": all */
    bool with_roots;  /* what roots have made, and counts here */
    Pb__GetResourcesResponse *reply;
};
bool rl_getting_wants(const struct rl_getting *getting, const char *name);
/** Takes the document. */
void rl_getting_append(struct rl_getting *getting, Pb__Resource__KindCase kind, void *document);

struct rl_putting {
    struct rl_auth *auth;
    const struct rl_caller *caller;
    Pb__Resource *resource; /* a copy */
    bool replace, created;
    uint64_t revision;
    struct rl_root_row *established; /* with a root, for this document; NULL: nothing new */
};

/* admin_clusters.c */
rl_code rl_kind_get_roots(struct rl_db *db, struct rl_getting *getting, struct rl_error *err);
/** Establishes trust, where that is asked for: blocks for the root. */
rl_code rl_kind_check_root(struct rl_putting *putting, Pb__PutResourceResponse *reply,
                           struct rl_error *err);
rl_code rl_kind_put_root(struct rl_db *db, struct rl_putting *putting, struct rl_error *err);
rl_code rl_kind_delete_root(struct rl_db *db, struct rl_auth *auth, const char *name,
                            struct rl_error *err);
rl_code rl_kind_get_leaves(struct rl_db *db, struct rl_getting *getting, struct rl_error *err);
rl_code rl_kind_check_leaf(struct rl_putting *putting, Pb__PutResourceResponse *reply,
                           struct rl_error *err);
rl_code rl_kind_put_leaf(struct rl_db *db, struct rl_putting *putting, struct rl_error *err);
rl_code rl_kind_delete_leaf(struct rl_db *db, struct rl_auth *auth, const char *name,
                            struct rl_error *err);

#endif
