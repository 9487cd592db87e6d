/* recording_days: parts lie in a table for each day on which their recordings began, so that
 * retention drops whole tables: recording_parts_20261122. */
#include "days.h"
#include "partitions.h"
#include "recordings.h"

#include <inttypes.h>
#include <stdlib.h>

static rl_code make_day(struct rl_db *db, void *context, struct rl_error *err)
{
    int64_t day = *(const int64_t *)context;
    char name[RL_AUDIT_TABLE_BYTES];
    bool exists = false;
    rl_audit_day_table("recording_parts", day, name);
    rl_code rc = rl_audit_take_turn(db, err);
    if (rc == RL_OK)
        rc = rl_audit_is_table(db, name, &exists, err);
    if (rc != RL_OK || exists)
        return rc;
    rc = rl_audit_run_sql(
        db, rl_sprintf("CREATE TABLE %s (LIKE recording_parts INCLUDING ALL)", name), err);
    if (rc == RL_OK)
        rc = rl_audit_run_sql(db,
                              rl_sprintf("ALTER TABLE recording_parts ATTACH PARTITION %s"
                                         " FOR VALUES FROM (%" PRId64 ") TO (%" PRId64 ")",
                                         name, day, day + 1),
                              err);
    return rc;
}

rl_code rl_audit_make_recording_days(struct rl_store *owner, int64_t now_ns, struct rl_error *err)
{
    rl_code rc = RL_OK;
    for (int64_t ahead = 0; rc == RL_OK && ahead <= RL_AUDIT_DAYS_AHEAD; ahead++) {
        int64_t day = now_ns / RL_AUDIT_DAY_NS + ahead;
        rc = rl_store_transaction(owner, make_day, &day, err);
    }
    return rc;
}

/* A session may run for longer than recordings are kept: it keeps its day. */
static rl_code is_open(struct rl_db *db, int64_t day, bool *out, struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc =
        rl_query(db, &rows, err, "SELECT EXISTS (SELECT FROM recording_leases WHERE day = $1)",
                 rl_param_int(day));
    if (rc == RL_OK)
        *out = rl_row_bool(rows, 0, 0);
    rl_rows_free(&rows);
    return rc;
}

static rl_code drop_day(struct rl_db *db, void *context, struct rl_error *err)
{
    int64_t day = *(const int64_t *)context;
    char name[RL_AUDIT_TABLE_BYTES];
    bool exists = false, open = true;
    rl_audit_day_table("recording_parts", day, name);
    rl_code rc = rl_audit_take_turn(db, err);
    if (rc == RL_OK)
        rc = rl_audit_is_table(db, name, &exists, err);
    if (rc == RL_OK && exists)
        rc = is_open(db, day, &open, err);
    if (rc != RL_OK || !exists || open)
        return rc;
    rc = rl_exec(db, NULL, err, "DELETE FROM recordings WHERE day = $1", rl_param_int(day));
    return rc == RL_OK ? rl_audit_run_sql(db, rl_sprintf("DROP TABLE %s", name), err) : rc;
}

rl_code rl_audit_retain_recordings(struct rl_store *owner, int64_t cutoff_ns, size_t *dropped,
                                   struct rl_error *err)
{
    int64_t days[RL_AUDIT_DAYS_DROP_MAX];
    size_t count = 0;
    rl_code rc = rl_audit_list_days(owner, "recording_parts", cutoff_ns, days, &count, err);
    for (size_t i = 0; rc == RL_OK && i < count; i++)
        rc = rl_store_transaction(owner, drop_day, &days[i], err);
    *dropped = rc == RL_OK ? count : 0;
    return rc;
}
