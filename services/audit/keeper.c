/* keeper: rounds on a thread of its own, because migrations and retention may take long. The loop
 * starts each and hears how it went; what is said is said when it changes.
 */
#include "keeper.h"

#include "clock/clock.h"
#include "db/insert.h"
#include "db/partitions.h"
#include "db/schema.h"
#include "log/log.h"
#include "loop/workers.h"

#include <stdlib.h>
#include <string.h>

struct rl_audit_keeper {
    struct rl_audit_keeper_config config;
    struct rl_workers *worker;
    struct rl_timer *timer;
    bool is_working, was_ready, is_registered, has_said_time;
    uint64_t maintained_ms; /* of CLOCK_BOOTTIME; 0: never */
    char said[RL_ERROR_MESSAGE_BYTES];
    /* a round's own */
    uint64_t retention_s;
    int64_t ahead_s; /* of PostgreSQL's clock, when they do not agree; else 0 */
    bool is_maintained, do_clocks_agree;
    rl_code rc;
    struct rl_error err;
};

rl_code rl_audit_maintain(struct rl_store *owner, struct rl_store *writer, int64_t now_ns,
                          uint64_t retention_s, struct rl_error *err)
{
    struct rl_audit_retained done = {0, 0};
    rl_code rc = rl_store_migrate(owner, rl_audit_migrations, rl_audit_migration_count, err);
    if (rc == RL_OK)
        rc = rl_audit_admit_writer(owner, writer, err);
    if (rc == RL_OK)
        rc = rl_audit_make_partitions(owner, now_ns, err);
    if (rc == RL_OK)
        rc = rl_audit_retain(owner, now_ns, retention_s, &done, err);
    if (done.dropped)
        rl_log_info("days were dropped after retention", RL_NUMBER("days", done.dropped),
                    RL_NUMBER("retention_s", retention_s));
    if (done.with_gaps)
        rl_log_error("days are kept beyond retention, because events of them are missing; run "
                     "`tctl audit verify`",
                     RL_NUMBER("days", done.with_gaps));
    return rc;
}

static rl_code check_privileges(struct rl_db *db, void *context, struct rl_error *err)
{
    (void)context;
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err,
                          "SELECT bool_or(has_table_privilege(t, 'UPDATE, DELETE, TRUNCATE')),"
                          " bool_and(has_table_privilege(t, 'INSERT')), current_user::text"
                          " FROM unnest(ARRAY['events', 'uids', 'replicas',"
                          " 'tombstone_signatures', 'recordings', 'recording_parts']) t");
    if (rc != RL_OK)
        return rc;
    const char *role = rl_row_text(rows, 0, 2);
    if (rl_row_bool(rows, 0, 0))
        rc = rl_fail(err, RL_E_PRECONDITION,
                     "the database role \"%s\" could rewrite audit's tables: give `database` a "
                     "role of its own",
                     role);
    else if (!rl_row_bool(rows, 0, 1))
        rc = rl_fail(err, RL_E_PRECONDITION,
                     "the database role \"%s\" may not insert: set owner-database, or run "
                     "`remoteler-audit maintain` with this `database`",
                     role);
    rl_rows_free(&rows);
    return rc;
}

rl_code rl_audit_check_database(struct rl_store *writer, int64_t now_ns, struct rl_error *err)
{
    rl_code rc = rl_store_check_version(writer, rl_audit_migrations, rl_audit_migration_count, err);
    if (rc == RL_OK)
        rc = rl_store_transaction(writer, check_privileges, NULL, err);
    return rc == RL_OK ? rl_audit_check_partition(writer, now_ns, err) : rc;
}

/* ---- rounds ---- */

static void say(struct rl_audit_keeper *keeper)
{
    const char *error = keeper->rc == RL_OK ? "" : keeper->err.message;
    if (strcmp(error, keeper->said) == 0)
        return;
    if (!*error)
        rl_log_info("the database is ready");
    else if (keeper->rc == RL_E_UNAVAILABLE)
        rl_log_warn("waiting for PostgreSQL", RL_TEXT("error", error));
    else
        rl_log_error("the database is not ready", RL_TEXT("error", error));
    strcpy(keeper->said, error);
}

static void say_time(struct rl_audit_keeper *keeper)
{
    if (!keeper->do_clocks_agree && !keeper->has_said_time)
        rl_log_error("this clock and PostgreSQL's do not agree: what is received is filed by "
                     "neither, but by what has passed since they did",
                     RL_NUMBER("ahead_s", keeper->ahead_s));
    else if (keeper->do_clocks_agree && keeper->has_said_time)
        rl_log_info("this clock and PostgreSQL's agree again");
    keeper->has_said_time = !keeper->do_clocks_agree;
}

static void on_round_over(void *context)
{
    struct rl_audit_keeper *keeper = context;
    bool is_good = keeper->rc == RL_OK;
    keeper->is_working = false;
    if (keeper->is_maintained)
        keeper->maintained_ms = rl_loop_now_ms(keeper->config.loop);
    say(keeper);
    say_time(keeper);
    rl_health_need(keeper->config.health, "database", is_good);
    rl_timer_arm(keeper->timer, is_good ? RL_AUDIT_KEEPER_LOOK_MS : RL_AUDIT_KEEPER_RETRY_MS);
    if (is_good && !keeper->was_ready) {
        keeper->was_ready = true;
        keeper->config.ready(keeper->config.context);
    }
}

static bool is_due(const struct rl_audit_keeper *keeper)
{
    return keeper->config.owner &&
           (!keeper->maintained_ms ||
            rl_clock_boot_ms() - keeper->maintained_ms >= RL_AUDIT_MAINTAIN_MS);
}

static rl_code hear_time(struct rl_db *db, void *context, struct rl_error *err)
{
    struct rl_audit_keeper *keeper = context;
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err, "SELECT clock_timestamp()");
    if (rc == RL_OK) {
        int64_t own_ns = rl_clock_wall_ns(), database_ns = rl_row_time(rows, 0, 0);
        keeper->do_clocks_agree =
            rl_voted_clock_hear(keeper->config.clock, own_ns, database_ns, rl_clock_boot_ms());
        keeper->ahead_s = (own_ns - database_ns) / 1000000000;
    }
    rl_rows_free(&rows);
    return rc;
}

static void work(void *context)
{
    struct rl_audit_keeper *keeper = context;
    const struct rl_audit_keeper_config *c = &keeper->config;
    bool due = is_due(keeper);
    keeper->rc = rl_store_transaction(c->writer, hear_time, keeper, &keeper->err);
    int64_t now_ns = rl_voted_clock_now_ns(c->clock);
    if (keeper->rc == RL_OK && due)
        keeper->rc =
            rl_audit_maintain(c->owner, c->writer, now_ns, keeper->retention_s, &keeper->err);
    keeper->is_maintained = due && keeper->rc == RL_OK;
    if (keeper->rc == RL_OK)
        keeper->rc = rl_audit_check_database(c->writer, now_ns, &keeper->err);
    if (keeper->rc == RL_OK && !keeper->is_registered) {
        keeper->rc = rl_audit_register_replica(c->writer, c->replica, now_ns, &keeper->err);
        keeper->is_registered = keeper->rc == RL_OK;
    }
    rl_loop_post(c->loop, on_round_over, keeper);
}

static void begin_round(void *context)
{
    struct rl_audit_keeper *keeper = context;
    if (keeper->is_working)
        return;
    keeper->is_working = true;
    keeper->retention_s = keeper->config.retention_s;
    RL_ASSERT(rl_workers_submit(keeper->worker, work, keeper, NULL) == RL_OK);
}

/* ---- life ---- */

rl_code rl_audit_keeper_start(const struct rl_audit_keeper_config *config,
                              struct rl_audit_keeper **out, struct rl_error *err)
{
    struct rl_audit_keeper *keeper = rl_alloc(sizeof *keeper);
    keeper->config = *config;
    keeper->do_clocks_agree = true;
    rl_code rc = rl_workers_create(1, 1, &keeper->worker, err);
    if (rc != RL_OK) {
        free(keeper);
        return rc;
    }
    rl_health_need(config->health, "database", false);
    keeper->timer = rl_timer_create(config->loop, begin_round, keeper);
    begin_round(keeper);
    *out = keeper;
    return RL_OK;
}

void rl_audit_keeper_retain(struct rl_audit_keeper *keeper, uint64_t retention_s)
{
    keeper->config.retention_s = retention_s;
}

void rl_audit_keeper_maintain_soon(struct rl_audit_keeper *keeper)
{
    keeper->maintained_ms = 0;
    if (!keeper->is_working)
        rl_timer_arm(keeper->timer, 0);
}

void rl_audit_keeper_stop(struct rl_audit_keeper **holder)
{
    struct rl_audit_keeper *keeper = *holder;
    if (!keeper)
        return;
    rl_workers_free(&keeper->worker);
    while (keeper->is_working)
        rl_loop_turn(keeper->config.loop, 10);
    rl_timer_free(&keeper->timer);
    free(keeper);
    *holder = NULL;
}
