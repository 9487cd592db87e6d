/* checkpoints: SQL about what auth signed over the audit log. */
#ifndef RL_AUTH_DB_CHECKPOINTS_H
#define RL_AUTH_DB_CHECKPOINTS_H

#include "remoteler/v1/ledger.pb-c.h"
#include "store/store.h"

#define RL_CHECKPOINTS_PAGE 256
#define RL_CHECKPOINTS_KEPT_DAYS 400

/** Whoever makes the next one holds this until the end of its transaction. */
rl_code rl_checkpoints_lock(struct rl_db *db, struct rl_error *err);
/** The latest, and how old it is; *out is NULL when there is none. Owns: by its free_unpacked. */
rl_code rl_checkpoints_last(struct rl_db *db, Pb__SignedCheckpoint **out, int64_t *age_ms,
                            struct rl_error *err);
rl_code rl_checkpoints_add(struct rl_db *db, uint64_t number, const Pb__SignedCheckpoint *made,
                           struct rl_error *err);
/** The oldest RL_CHECKPOINTS_PAGE after that number. Owns: each, and the array. */
rl_code rl_checkpoints_list(struct rl_db *db, uint64_t after, Pb__SignedCheckpoint ***out,
                            size_t *count, struct rl_error *err);

#endif
