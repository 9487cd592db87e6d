/* days: what tables by the name of their day have in common. By the owner.
 */
#ifndef RL_AUDIT_DB_DAYS_H
#define RL_AUDIT_DB_DAYS_H

#include "store/store.h"

#define RL_AUDIT_TABLE_BYTES 64
#define RL_AUDIT_DAYS_DROP_MAX 400 /* in one go */

/** "events" and a day since 1970 to "events_20261122". */
void rl_audit_day_table(const char *table, int64_t day, char name[RL_AUDIT_TABLE_BYTES]);
/** First in a transaction: replicas' jobs take turns; and nobody waits long behind one of ours that
 * waits for a lock. */
rl_code rl_audit_take_turn(struct rl_db *db, struct rl_error *err);
rl_code rl_audit_is_table(struct rl_db *db, const char *name, bool *out, struct rl_error *err);
/** Runs and frees `sql`, which is made of numbers and names of ours alone. */
rl_code rl_audit_run_sql(struct rl_db *db, char *sql, struct rl_error *err);
/** The days of `table` that end before the cutoff, oldest first. */
rl_code rl_audit_list_days(struct rl_store *owner, const char *table, int64_t cutoff_ns,
                           int64_t days[RL_AUDIT_DAYS_DROP_MAX], size_t *count,
                           struct rl_error *err);

#endif
