/* partitions: by the owner: made ahead, a day each; dropped after retention, leaving a tombstone.
 */
#ifndef RL_AUDIT_DB_PARTITIONS_H
#define RL_AUDIT_DB_PARTITIONS_H

#include "store/store.h"

#define RL_AUDIT_DAYS_AHEAD 7
#define RL_AUDIT_DAY_NS (86400 * INT64_C(1000000000))

/** Those of the day of now_ns and of the next RL_AUDIT_DAYS_AHEAD; what is there stays. */
rl_code rl_audit_make_partitions(struct rl_store *owner, int64_t now_ns, struct rl_error *err);
/** Is there a partition for what is received now? Any role that may read. Errors:
 * RL_E_PRECONDITION there is none. */
rl_code rl_audit_check_partition(struct rl_store *store, int64_t now_ns, struct rl_error *err);
struct rl_audit_retained {
    size_t dropped;   /* days */
    size_t with_gaps; /* days that are kept: events of them are missing */
};
/** Makes tombstones for the days that ended retention_s ago, and drops those whose tombstones auth
 * has signed; at most so many at once as fit. */
rl_code rl_audit_retain(struct rl_store *owner, int64_t now_ns, uint64_t retention_s,
                        struct rl_audit_retained *done, struct rl_error *err);

#endif
