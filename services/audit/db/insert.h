/* insert: takes events into a replica's chain, in one transaction.
 */
#ifndef RL_AUDIT_DB_INSERT_H
#define RL_AUDIT_DB_INSERT_H

#include "remoteler/v1/audit.pb-c.h"
#include "store/store.h"

#define RL_AUDIT_INSERT_MAX 1024 /* events in one transaction */

struct rl_audit_entry {
    const Pb__Event *event;              /* judged; borrowed */
    const char *sender_kind, *sender_id; /* borrowed */
    bool is_repeated;                    /* out: this uid was taken before */
};

/** Says that this replica has a chain; again is harmless. */
rl_code rl_audit_register_replica(struct rl_store *store, const char *replica, int64_t now_ns,
                                  struct rl_error *err);
/** All or none. Stamps each with its sender and the time of receipt, by `now_ns` but never before
 * the replica's last. Errors: as rl_store_transaction(). Threads: any; a replica's take turns. */
rl_code rl_audit_insert(struct rl_store *store, const char *replica, int64_t now_ns,
                        struct rl_audit_entry *entries, size_t count, struct rl_error *err);
/** The same within a transaction of the caller's, as its last step. */
rl_code rl_audit_insert_within(struct rl_db *db, const char *replica, int64_t now_ns,
                               struct rl_audit_entry *entries, size_t count, struct rl_error *err);

#endif
