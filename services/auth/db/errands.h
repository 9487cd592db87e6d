/* errands: what this cluster has to tell or ask its roots, until they have heard it.
 */
#ifndef RL_AUTH_DB_ERRANDS_H
#define RL_AUTH_DB_ERRANDS_H

#include "db/peers.h"

#define RL_ERRAND_RETRY_S_MAX 60
/** A root that has not heard in so long that it was left is not told any more. */
#define RL_ERRAND_LEAVE_DAYS 30

struct rl_errand {
    char *kind; /* update, leave, state */
    char *root, *proxy;
    Pb__TrustBundle *trust;
    struct rl_buf trust_id;
};
void rl_errand_free(struct rl_errand **errand);

/** With the root's row as it is now; there already: tried again soon. */
rl_code rl_errands_add(struct rl_db *db, const char *kind, const char *root, struct rl_error *err);
/** An "update" for every enabled root that has heard of other authorities than these. */
rl_code rl_errands_add_updates(struct rl_db *db, struct rl_span own_sha256, struct rl_error *err);
/** One whose time has come: nobody else gets it until it is tried again, later each time. *out is
 * NULL when there is none. */
rl_code rl_errands_take(struct rl_db *db, struct rl_errand **out, struct rl_error *err);
rl_code rl_errands_done(struct rl_db *db, const char *kind, struct rl_span trust_id,
                        struct rl_error *err);
/** The trust is over: there is nothing more to ask or to tell, but that it was left. */
rl_code rl_errands_drop(struct rl_db *db, struct rl_span trust_id, struct rl_error *err);

#endif
