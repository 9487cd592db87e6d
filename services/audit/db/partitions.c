/* partitions: tables by the name of their day, events_20261122 and uids_20261122. They are made
 * apart and attached, which does not stop writers. Every statement is made of numbers alone.
 */
#include "partitions.h"

#include "days.h"
#include "recordings.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define UUID_BYTES 64

/* ---- days ---- */

static int64_t day_of(int64_t time_ns)
{
    return time_ns / RL_AUDIT_DAY_NS;
}

void rl_audit_day_table(const char *table, int64_t day, char name[RL_AUDIT_TABLE_BYTES])
{
    time_t at = (time_t)(day * 86400);
    struct tm utc;
    char date[16];
    gmtime_r(&at, &utc);
    strftime(date, sizeof date, "%Y%m%d", &utc);
    snprintf(name, RL_AUDIT_TABLE_BYTES, "%s_%s", table, date);
}

/* The least UUIDv7 of a day: its first 48 bits are milliseconds (RFC 9562, 5.7). */
static void uuid_of(int64_t day, char uuid[UUID_BYTES])
{
    uint64_t ms = (uint64_t)day * 86400000u;
    snprintf(uuid, UUID_BYTES, "%08" PRIx64 "-%04" PRIx64 "-0000-0000-000000000000", ms >> 16,
             ms & 0xFFFF);
}

rl_code rl_audit_run_sql(struct rl_db *db, char *sql, struct rl_error *err)
{
    rl_code rc = rl_exec(db, NULL, err, sql);
    free(sql);
    return rc;
}

rl_code rl_audit_take_turn(struct rl_db *db, struct rl_error *err)
{
    rl_code rc = rl_exec(db, NULL, err,
                         "SELECT pg_advisory_xact_lock(hashtextextended('audit partitions', 0))");
    if (rc == RL_OK)
        rc = rl_exec(db, NULL, err, "SET LOCAL lock_timeout = '3s'");
    return rc;
}

rl_code rl_audit_is_table(struct rl_db *db, const char *name, bool *out, struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc =
        rl_query(db, &rows, err, "SELECT to_regclass($1) IS NOT NULL", rl_param_text(name));
    if (rc != RL_OK)
        return rc;
    *out = rl_row_bool(rows, 0, 0);
    rl_rows_free(&rows);
    return RL_OK;
}

/* ---- making ---- */

static rl_code make_events(struct rl_db *db, int64_t day, struct rl_error *err)
{
    char name[RL_AUDIT_TABLE_BYTES];
    bool exists = false;
    rl_audit_day_table("events", day, name);
    rl_code rc = rl_audit_is_table(db, name, &exists, err);
    if (rc != RL_OK || exists)
        return rc;
    rc = rl_audit_run_sql(db, rl_sprintf("CREATE TABLE %s (LIKE events INCLUDING ALL)", name), err);
    if (rc == RL_OK)
        rc = rl_audit_run_sql(db,
                              rl_sprintf("ALTER TABLE events ATTACH PARTITION %s"
                                         " FOR VALUES FROM (%" PRId64 ") TO (%" PRId64 ")",
                                         name, day * RL_AUDIT_DAY_NS, (day + 1) * RL_AUDIT_DAY_NS),
                              err);
    return rc;
}

/* A clock ahead of ours may have put some of that day's into uids_other: they move. */
static rl_code make_uids(struct rl_db *db, int64_t day, struct rl_error *err)
{
    char name[RL_AUDIT_TABLE_BYTES], from[UUID_BYTES], to[UUID_BYTES];
    bool exists = false;
    rl_audit_day_table("uids", day, name);
    uuid_of(day, from);
    uuid_of(day + 1, to);
    rl_code rc = rl_audit_is_table(db, name, &exists, err);
    if (rc != RL_OK || exists)
        return rc;
    rc = rl_exec(db, NULL, err, "LOCK TABLE uids_other IN ACCESS EXCLUSIVE MODE");
    if (rc == RL_OK)
        rc = rl_audit_run_sql(db, rl_sprintf("CREATE TABLE %s (LIKE uids INCLUDING ALL)", name),
                              err);
    if (rc == RL_OK)
        rc = rl_audit_run_sql(db,
                              rl_sprintf("WITH moved AS (DELETE FROM uids_other"
                                         " WHERE uid >= '%s' AND uid < '%s' RETURNING *)"
                                         " INSERT INTO %s SELECT * FROM moved",
                                         from, to, name),
                              err);
    if (rc == RL_OK)
        rc = rl_audit_run_sql(db,
                              rl_sprintf("ALTER TABLE uids ATTACH PARTITION %s"
                                         " FOR VALUES FROM ('%s') TO ('%s')",
                                         name, from, to),
                              err);
    return rc;
}

static rl_code make_day(struct rl_db *db, void *context, struct rl_error *err)
{
    int64_t day = *(const int64_t *)context;
    rl_code rc = rl_audit_take_turn(db, err);
    if (rc == RL_OK)
        rc = make_events(db, day, err);
    if (rc == RL_OK)
        rc = make_uids(db, day, err);
    return rc;
}

rl_code rl_audit_make_partitions(struct rl_store *owner, int64_t now_ns, struct rl_error *err)
{
    rl_code rc = RL_OK;
    for (int64_t ahead = 0; rc == RL_OK && ahead <= RL_AUDIT_DAYS_AHEAD; ahead++) {
        int64_t day = day_of(now_ns) + ahead;
        rc = rl_store_transaction(owner, make_day, &day, err);
    }
    return rc == RL_OK ? rl_audit_make_recording_days(owner, now_ns, err) : rc;
}

static rl_code check_day(struct rl_db *db, void *context, struct rl_error *err)
{
    char name[RL_AUDIT_TABLE_BYTES];
    bool exists = false;
    rl_audit_day_table("events", *(const int64_t *)context, name);
    rl_code rc = rl_audit_is_table(db, name, &exists, err);
    if (rc == RL_OK && !exists)
        rc = rl_fail(err, RL_E_PRECONDITION,
                     "there is no partition %s: set owner-database, or run "
                     "`remoteler-audit maintain` every hour",
                     name);
    return rc;
}

rl_code rl_audit_check_partition(struct rl_store *store, int64_t now_ns, struct rl_error *err)
{
    int64_t day = day_of(now_ns);
    return rl_store_transaction(store, check_day, &day, err);
}

/* ---- dropping ---- */

struct retention {
    int64_t cutoff_ns;
    int64_t days[RL_AUDIT_DAYS_DROP_MAX]; /* those of `table` that end before the cutoff */
    size_t count;
    const char *table;
    int64_t day; /* being dropped */
    bool is_dropped, has_gap;
};

/* Found by their names, which only make_day() gives. */
static rl_code list_days(struct rl_db *db, void *context, struct rl_error *err)
{
    struct retention *r = context;
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(
        db, &rows, err,
        "SELECT (to_date(right(c.relname, 8), 'YYYYMMDD') - date '1970-01-01')::bigint AS day"
        " FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = $1::text::regclass AND c.relname ~ '_[0-9]{8}$' ORDER BY day",
        rl_param_text(r->table));
    if (rc != RL_OK)
        return rc;
    r->count = 0;
    for (size_t i = 0; i < rl_rows_count(rows) && r->count < RL_AUDIT_DAYS_DROP_MAX; i++) {
        int64_t day = rl_row_int(rows, i, 0);
        if ((day + 1) * RL_AUDIT_DAY_NS <= r->cutoff_ns)
            r->days[r->count++] = day;
    }
    rc = rl_rows_check(rows, err);
    rl_rows_free(&rows);
    return rc;
}

/* A row for each chain that runs through the day, or one to say that it was empty. */
static rl_code bury(struct rl_db *db, const char *name, int64_t day, struct rl_error *err)
{
    rl_code rc = rl_audit_run_sql(
        db,
        rl_sprintf("INSERT INTO tombstones (day, replica, events, first_sequence, last_sequence,"
                   " prev_hash, hash)"
                   " SELECT date '1970-01-01' + %" PRId64 ", replica, n, first, last,"
                   " (SELECT prev_hash FROM %s e WHERE e.replica = chain.replica"
                   "  ORDER BY received_ns, sequence LIMIT 1),"
                   " (SELECT hash FROM %s e WHERE e.replica = chain.replica"
                   "  ORDER BY received_ns DESC, sequence DESC LIMIT 1)"
                   " FROM (SELECT replica, count(*) AS n, min(sequence) AS first,"
                   "  max(sequence) AS last FROM %s GROUP BY replica) chain"
                   " ON CONFLICT DO NOTHING",
                   day, name, name, name),
        err);
    if (rc == RL_OK)
        rc =
            rl_audit_run_sql(db,
                             rl_sprintf("INSERT INTO tombstones (day, events)"
                                        " SELECT date '1970-01-01' + %" PRId64 ", 0"
                                        " WHERE NOT EXISTS (SELECT FROM %s) ON CONFLICT DO NOTHING",
                                        day, name),
                             err);
    return rc;
}

/* What is dropped is proven by auth's word alone from then on: a day with a gap is kept, and so is
 * one that auth has not signed yet. */
static rl_code check_signed(struct rl_db *db, int64_t day, bool *out, bool *has_gap,
                            struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc =
        rl_query(db, &rows, err,
                 "SELECT coalesce(bool_and(s.signed IS NOT NULL), true),"
                 " coalesce(bool_and(t.events = t.last_sequence - t.first_sequence + 1), true)"
                 " FROM tombstones t LEFT JOIN tombstone_signatures s"
                 " ON s.day = t.day AND s.replica = t.replica"
                 " WHERE t.day = date '1970-01-01' + $1::integer AND t.replica IS NOT NULL",
                 rl_param_int(day));
    if (rc != RL_OK)
        return rc;
    *out = rl_row_bool(rows, 0, 0) && rl_row_bool(rows, 0, 1);
    *has_gap = !rl_row_bool(rows, 0, 1);
    rl_rows_free(&rows);
    return rc;
}

/* Nobody writes to a day that is over, so it is buried before DROP locks the parent. */
static rl_code drop_events(struct rl_db *db, void *context, struct rl_error *err)
{
    struct retention *r = context;
    char name[RL_AUDIT_TABLE_BYTES];
    bool exists = false, is_signed = false;
    r->is_dropped = r->has_gap = false;
    rl_audit_day_table("events", r->day, name);
    rl_code rc = rl_audit_take_turn(db, err);
    if (rc == RL_OK)
        rc = rl_audit_is_table(db, name, &exists, err);
    if (rc == RL_OK && exists)
        rc = bury(db, name, r->day, err);
    if (rc == RL_OK && exists)
        rc = check_signed(db, r->day, &is_signed, &r->has_gap, err);
    if (rc == RL_OK && exists && is_signed)
        rc = rl_audit_run_sql(db, rl_sprintf("DROP TABLE %s", name), err);
    r->is_dropped = exists && is_signed;
    return rc;
}

/* A uid goes no earlier than its event: one of a slow clock lies in a day before its receipt. */
static rl_code is_needed(struct rl_db *db, const char *name, int64_t cutoff_ns, bool *out,
                         struct rl_error *err)
{
    char *sql = rl_sprintf("SELECT EXISTS (SELECT FROM %s WHERE received_ns >= $1)", name);
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err, sql, rl_param_int(cutoff_ns));
    free(sql);
    if (rc == RL_OK)
        *out = rl_row_bool(rows, 0, 0);
    rl_rows_free(&rows);
    return rc;
}

static rl_code drop_uids(struct rl_db *db, void *context, struct rl_error *err)
{
    const struct retention *r = context;
    char name[RL_AUDIT_TABLE_BYTES];
    bool exists = false, needed = true;
    rl_audit_day_table("uids", r->day, name);
    rl_code rc = rl_audit_take_turn(db, err);
    if (rc == RL_OK)
        rc = rl_audit_is_table(db, name, &exists, err);
    if (rc == RL_OK && exists)
        rc = is_needed(db, name, r->cutoff_ns, &needed, err);
    if (rc == RL_OK && exists && !needed)
        rc = rl_audit_run_sql(db, rl_sprintf("DROP TABLE %s", name), err);
    return rc;
}

static rl_code drop_stray_uids(struct rl_db *db, void *context, struct rl_error *err)
{
    const struct retention *r = context;
    return rl_exec(db, NULL, err, "DELETE FROM uids_other WHERE received_ns < $1",
                   rl_param_int(r->cutoff_ns));
}

rl_code rl_audit_list_days(struct rl_store *owner, const char *table, int64_t cutoff_ns,
                           int64_t days[RL_AUDIT_DAYS_DROP_MAX], size_t *count,
                           struct rl_error *err)
{
    struct retention r = {.cutoff_ns = cutoff_ns, .table = table};
    rl_code rc = rl_store_transaction(owner, list_days, &r, err);
    memcpy(days, r.days, r.count * sizeof *days);
    *count = r.count;
    return rc;
}

static rl_code drop_all(struct rl_store *owner, struct retention *r, rl_store_fn drop,
                        struct rl_audit_retained *done, struct rl_error *err)
{
    rl_code rc = rl_store_transaction(owner, list_days, r, err);
    for (size_t i = 0; rc == RL_OK && i < r->count; i++) {
        r->day = r->days[i];
        rc = rl_store_transaction(owner, drop, r, err);
        if (rc == RL_OK && done) {
            done->dropped += r->is_dropped;
            done->with_gaps += r->has_gap;
        }
    }
    return rc;
}

rl_code rl_audit_retain(struct rl_store *owner, int64_t now_ns, uint64_t retention_s,
                        struct rl_audit_retained *done, struct rl_error *err)
{
    int64_t cutoff_ns = now_ns - (int64_t)retention_s * INT64_C(1000000000);
    /* Events go by whole days, so their uids do too. */
    struct retention r = {.cutoff_ns = day_of(cutoff_ns) * RL_AUDIT_DAY_NS, .table = "events"};
    *done = (struct rl_audit_retained){0, 0};
    rl_code rc = drop_all(owner, &r, drop_events, done, err);
    /* A day that is kept for want of a signature keeps its uids too. */
    if (rc == RL_OK)
        rc = rl_store_transaction(owner, list_days, &r, err);
    if (rc == RL_OK && r.count)
        r.cutoff_ns = r.days[0] * RL_AUDIT_DAY_NS;
    r.table = "uids";
    if (rc == RL_OK)
        rc = drop_all(owner, &r, drop_uids, NULL, err);
    if (rc == RL_OK)
        rc = rl_store_transaction(owner, drop_stray_uids, &r, err);
    size_t recordings = 0;
    return rc == RL_OK ? rl_audit_retain_recordings(owner, r.cutoff_ns, &recordings, err) : rc;
}
