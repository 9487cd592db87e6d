/* search: what was written, in pages, so that an answer of any size is read in constant memory.
 */
#ifndef RL_AUDIT_DB_SEARCH_H
#define RL_AUDIT_DB_SEARCH_H

#include "remoteler/v1/audit.pb-c.h"
#include "store/store.h"

#define RL_AUDIT_PAGE_EVENTS 128
#define RL_AUDIT_SEARCH_ALL UINT32_MAX /* a limit that is none */
#define RL_AUDIT_REPLICAS_MAX 1024     /* chains that a follower keeps up with */
#define RL_AUDIT_UUID_BYTES 37

/** What to look for; borrowed. NULL and 0: whatever. */
struct rl_audit_filter {
    int64_t from_ns, to_ns; /* both included */
    const char *const *types;
    size_t type_count;
    const char *const *families; /* "lock." for lock.* */
    size_t family_count;
    const char *user, *session_id;
    const char *own_user, *own_cluster; /* only what this user did */
};

/** A place in time; events are ordered by it. */
struct rl_audit_place {
    int64_t at_ns;
    char uid[RL_AUDIT_UUID_BYTES];
};

/** How far each replica's chain was when a follower began, and is read since. */
struct rl_audit_heads {
    int64_t began_ns; /* of a chain that is not listed, nothing was there after this */
    struct rl_audit_head {
        char replica[RL_AUDIT_UUID_BYTES];
        int64_t received_ns, sequence;
    } * items;
    size_t count;
};
void rl_audit_heads_fini(struct rl_audit_heads *heads);

struct rl_audit_page {
    Pb__Event *events[RL_AUDIT_PAGE_EVENTS];
    size_t count;
};
void rl_audit_page_clear(struct rl_audit_page *page);

/** Where the newest `limit` events begin: those after `place` are `limit` or fewer, and `more`
 * tells that there are others before. */
rl_code rl_audit_find_start(struct rl_store *store, const struct rl_audit_filter *filter,
                            uint32_t limit, struct rl_audit_place *place, bool *more,
                            struct rl_error *err);
/** The next events after `place`, oldest first, and moves it; none: the end. With `heads`, only
 * what was there when they were read. Errors: RL_E_DATA_LOSS an event that cannot be read. */
rl_code rl_audit_read_page(struct rl_store *store, const struct rl_audit_filter *filter,
                           const struct rl_audit_heads *heads, struct rl_audit_place *place,
                           struct rl_audit_page *page, struct rl_error *err);
/** Where the chains are now. */
rl_code rl_audit_read_heads(struct rl_store *store, int64_t now_ns, struct rl_audit_heads *heads,
                            struct rl_error *err);
/** What was written since `heads`, in the order of receipt, and moves them. `more`: ask again. */
rl_code rl_audit_read_news(struct rl_store *store, const struct rl_audit_filter *filter,
                           int64_t now_ns, struct rl_audit_heads *heads, struct rl_audit_page *page,
                           bool *more, struct rl_error *err);

#endif
