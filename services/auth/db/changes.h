/* changes: what of the inventory is other than it was when it was last read. Nothing is written for
 * that, neither by triggers nor by those who change: PostgreSQL keeps with each row the transaction
 * that wrote it (xmin). What was committed after a reading was written by a transaction that had
 * not ended then, so its number is at least that of the oldest one that was running: the next
 * reading asks for the rows from that number on. Rows that are gone show in the count alone.
 */
#ifndef RL_AUTH_DB_CHANGES_H
#define RL_AUTH_DB_CHANGES_H

#include "db/instances.h"

#define RL_HORIZON_BYTES 24

/** One row of instances, with the holders that it is attached to. */
struct rl_changed_row {
    char *id, *name /* "" none */, *hostname, *mode, *version;
    bool is_node; /* else it is none of the kind that is listed, but counts */
    int64_t last_seen_ns;
    Pb__Label **labels; /* those that count */
    size_t label_count;
    char **holders;
    size_t holder_count;
};

struct rl_changes {
    char *incarnation; /* another one: another server, or tables, than were read before */
    char horizon[RL_HORIZON_BYTES]; /* from here on the next reading asks */
    size_t instances, attached;     /* how many rows there are in all */
    int64_t now_ns;                 /* the database's */
    struct rl_changed_row *rows;
    size_t row_count;
    struct rl_lease_row *leases;
    size_t lease_count;
};
/** `since` is a horizon of before; NULL: all rows. Owns: by rl_changes_fini(), also after an error.
 * What is in *out before is dropped. */
rl_code rl_changes_read(struct rl_db *db, const char *since, struct rl_changes *out,
                        struct rl_error *err);
void rl_changes_fini(struct rl_changes *changes);

#endif
