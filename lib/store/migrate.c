/* migrate: each migration is a transaction of its own that takes the lock, looks where the schema
 * stands and does the next step. So any number of replicas may run this at once, and one that dies
 * leaves a schema that is whole.
 */
#include "store/migrate.h"

#include "store/internal.h"

#include <stdlib.h>

struct run {
    const char *schema;
    const struct rl_migration *migrations;
    int known;   /* the last version that the program knows */
    int version; /* where the schema stands */
};

static void check_order(const struct rl_migration *migrations, size_t count)
{
    for (size_t i = 0; i < count; i++)
        RL_ASSERT(migrations[i].version == (int)i + 1);
}

/* One step ahead is what an upgrade needs: the newer program has migrated, and the one before goes
 * on, and may even start again, until its turn comes. */
static rl_code refuse_newer(const struct run *run, struct rl_error *err)
{
    if (run->version <= run->known + RL_STORE_SCHEMA_SKEW)
        return RL_OK;
    return rl_fail(err, RL_E_PRECONDITION,
                   "the schema \"%s\" is at version %d and this program goes with %d to %d: run "
                   "the newer program",
                   run->schema, run->version, run->known, run->known + RL_STORE_SCHEMA_SKEW);
}

/* ---- where it stands ---- */

/* 0 when there is nothing yet. */
static rl_code read_version(struct rl_db *db, struct run *run, struct rl_error *err)
{
    struct rl_rows *rows;
    rl_code rc = rl_query(db, &rows, err, "SELECT to_regclass($1) IS NOT NULL",
                          rl_param_text("schema_version"));
    if (rc != RL_OK)
        return rc;
    bool is_there = rl_row_bool(rows, 0, 0);
    rl_rows_free(&rows);
    run->version = 0;
    if (!is_there)
        return RL_OK;
    rc = rl_query(db, &rows, err, "SELECT coalesce(max(version), 0) FROM schema_version");
    if (rc != RL_OK)
        return rc;
    run->version = (int)rl_row_int(rows, 0, 0);
    rc = rl_rows_check(rows, err);
    rl_rows_free(&rows);
    return rc;
}

/* CREATE SCHEMA asks for a privilege even IF it EXISTS, so that is looked up before. */
static rl_code make_schema(struct rl_db *db, const struct run *run, struct rl_error *err)
{
    struct rl_rows *rows;
    rl_code rc = rl_query(db, &rows, err, "SELECT to_regnamespace(quote_ident($1)) IS NOT NULL",
                          rl_param_text(run->schema));
    if (rc != RL_OK)
        return rc;
    bool is_there = rl_row_bool(rows, 0, 0);
    rl_rows_free(&rows);
    if (!is_there) {
        char *sql = rl_sprintf("CREATE SCHEMA \"%s\"", run->schema); /* checked when opened */
        rc = rl_db_script(db, sql, err);
        free(sql);
    }
    if (rc == RL_OK && run->version == 0)
        rc = rl_db_script(db,
                          "CREATE TABLE IF NOT EXISTS schema_version ("
                          " version integer PRIMARY KEY,"
                          " name text NOT NULL,"
                          " applied timestamptz NOT NULL DEFAULT now())",
                          err);
    return rc;
}

/* ---- a step ---- */

static rl_code lock_schema(struct rl_db *db, const struct run *run, struct rl_error *err)
{
    /* A migration, and the wait for another replica's, may take longer than a query. */
    rl_code rc = rl_db_script(db, "SET LOCAL statement_timeout = 0", err);
    if (rc == RL_OK)
        rc = rl_exec(db, NULL, err, "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
                     rl_param_text(run->schema));
    return rc;
}

static rl_code apply_next(struct rl_db *db, struct run *run, struct rl_error *err)
{
    const struct rl_migration *next = &run->migrations[run->version];
    rl_code rc = rl_db_script(db, next->sql, err);
    if (rc != RL_OK) {
        rl_error_prefix(err, "migrating \"%s\" to version %d (%s)", run->schema, next->version,
                        next->name);
        return rc;
    }
    rc = rl_exec(db, NULL, err, "INSERT INTO schema_version (version, name) VALUES ($1, $2)",
                 rl_param_int(next->version), rl_param_text(next->name));
    if (rc == RL_OK)
        run->version = next->version;
    return rc;
}

static rl_code step(struct rl_db *db, void *context, struct rl_error *err)
{
    struct run *run = context;
    rl_code rc = lock_schema(db, run, err);
    if (rc == RL_OK)
        rc = read_version(db, run, err);
    if (rc == RL_OK)
        rc = refuse_newer(run, err);
    if (rc == RL_OK)
        rc = make_schema(db, run, err);
    if (rc == RL_OK && run->version < run->known)
        rc = apply_next(db, run, err);
    return rc;
}

rl_code rl_store_migrate(struct rl_store *store, const struct rl_migration *migrations,
                         size_t count, struct rl_error *err)
{
    check_order(migrations, count);
    struct run run = {
        .schema = store->schema, .migrations = migrations, .known = (int)count, .version = 0};
    rl_code rc;
    do
        rc = rl_store_transaction(store, step, &run, err);
    while (rc == RL_OK && run.version < run.known);
    return rc;
}

static rl_code look(struct rl_db *db, void *context, struct rl_error *err)
{
    return read_version(db, context, err);
}

rl_code rl_store_check_version(struct rl_store *store, const struct rl_migration *migrations,
                               size_t count, struct rl_error *err)
{
    check_order(migrations, count);
    struct run run = {.schema = store->schema, .migrations = migrations, .known = (int)count};
    rl_code rc = rl_store_transaction(store, look, &run, err);
    if (rc == RL_OK)
        rc = refuse_newer(&run, err);
    if (rc == RL_OK && run.version < run.known)
        return rl_fail(err, RL_E_PRECONDITION,
                       "the schema \"%s\" is at version %d and this program needs %d: run the "
                       "migrations first",
                       store->schema, run.version, run.known);
    return rc;
}
