/* ledger: the log as it lies in the database, for whoever proves it: heads, chains, tombstones.
 */
#ifndef RL_AUDIT_DB_LEDGER_H
#define RL_AUDIT_DB_LEDGER_H

#include "ledger/ledger.h"
#include "store/store.h"

#define RL_AUDIT_LEDGER_PAGE 128
#define RL_AUDIT_TOMBSTONES_MAX 256 /* signed in one go */

/** The heads of all chains, and what is there at those that are known. Everything written since
 * the known ones was received after `since_ns`. */
rl_code rl_audit_heads_of(struct rl_store *store, Pb__ChainHead *const *known, size_t known_count,
                          int64_t since_ns, Pb__HeadsResponse *reply, struct rl_error *err);

/** How far a reader of the whole log is. */
struct rl_audit_ledger_place {
    char **chains; /* NULL: not begun */
    size_t chain_count, chain;
    bool in_records; /* of the chain; else in its tombstones */
    int64_t received_ns, sequence;
};
void rl_audit_ledger_place_fini(struct rl_audit_ledger_place *place);
/** The next message of the log, and moves the place. Owns: *out by its free_unpacked; NULL at the
 * end. Errors: RL_E_DATA_LOSS a row that can not be one. */
rl_code rl_audit_read_ledger(struct rl_store *store, struct rl_audit_ledger_place *place,
                             Pb__LedgerResponse **out, struct rl_error *err);

/** Tombstones that auth has not signed yet; at most RL_AUDIT_TOMBSTONES_MAX. Owns: each by its
 * free_unpacked, and the array. */
rl_code rl_audit_unsigned_tombstones(struct rl_store *store, const char *cluster,
                                     Pb__Tombstone ***out, size_t *count, struct rl_error *err);
rl_code rl_audit_keep_signature(struct rl_store *store, const Pb__Tombstone *tombstone,
                                const Pb__SignedTombstone *signature, struct rl_error *err);

#endif
