/* connect: one connection, set up as every query expects it. */
#include "store/internal.h"

#include "bytes/secret.h"
#include "clock/clock.h"

#include <stdlib.h>
#include <time.h>

#define FIRST_PAUSE_MS 50
#define PAUSE_MAX_MS 1000
#define CONNECT_TIMEOUT_S "5"

/* Libraries do not write to stderr, not even a NOTICE. */
static void drop_notice(void *context, const char *message)
{
    (void)context;
    (void)message;
}

/* What comes before dbname, which holds the whole conninfo, may be overridden by it. */
static PGconn *open_pg(const struct rl_store *store)
{
    const char *const keywords[] = {"keepalives_idle",  "keepalives_interval", "keepalives_count",
                                    "tcp_user_timeout", "connect_timeout",     "application_name",
                                    "dbname",           "client_encoding",     NULL};
    const char *const values[] = {
        "10",   "5", "3", "20000", CONNECT_TIMEOUT_S, store->application, store->conninfo,
        "UTF8", NULL};
    return PQconnectdbParams(keywords, values, 1);
}

static bool set_up(const struct rl_store *store, PGconn *pg)
{
    char *path = rl_sprintf("\"%s\", pg_temp", store->schema);
    char *statement = rl_sprintf("%llu", (unsigned long long)store->statement_ms);
    const char *const values[] = {path, statement};
    PGresult *result =
        PQexecParams(pg,
                     "SELECT set_config('search_path', $1, false),"
                     " set_config('statement_timeout', $2, false),"
                     " set_config('idle_in_transaction_session_timeout', '60000', false),"
                     " set_config('TimeZone', 'UTC', false),"
                     /* compiling costs more than any statement here takes */
                     " set_config('jit', 'off', false)",
                     RL_COUNT(values), NULL, values, NULL, NULL, 0);
    bool is_good = PQresultStatus(result) == PGRES_TUPLES_OK;
    PQclear(result);
    free(statement);
    free(path);
    return is_good;
}

rl_code rl_store_connect_pg(struct rl_store *store, PGconn **out, struct rl_error *err)
{
    PGconn *pg = open_pg(store);
    if (pg)
        PQsetNoticeProcessor(pg, drop_notice, NULL);
    if (!pg || PQstatus(pg) != CONNECTION_OK || !set_up(store, pg)) {
        rl_pg_away(pg, err);
        PQfinish(pg);
        return RL_E_UNAVAILABLE;
    }
    *out = pg;
    return RL_OK;
}

/* Full jitter: the replicas that lost one database do not come back in step. */
static void pause_for(uint64_t most_ms)
{
    uint32_t chance;
    rl_random(&chance, sizeof chance);
    uint64_t ms = 1 + chance % most_ms;
    struct timespec pause = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

/* Until when it is worth to wait, as far as this store knows. */
static uint64_t patience_ends_ms(struct rl_store *store, uint64_t now_ms, uint64_t deadline_ms)
{
    uint64_t since_ms = 0;
    if (atomic_compare_exchange_strong(&store->away_since_ms, &since_ms, now_ms))
        since_ms = now_ms;
    uint64_t ends_ms = since_ms + store->wait_ms;
    return ends_ms < deadline_ms ? ends_ms : deadline_ms;
}

rl_code rl_db_connect(struct rl_db *db, uint64_t deadline_ms, struct rl_error *err)
{
    uint64_t pause_ms = FIRST_PAUSE_MS;
    while (!db->pg) {
        rl_code rc = rl_store_connect_pg(db->store, &db->pg, err);
        if (rc == RL_OK) {
            atomic_store(&db->store->away_since_ms, 0);
            return RL_OK;
        }
        uint64_t now_ms = rl_clock_boot_ms();
        uint64_t ends_ms = patience_ends_ms(db->store, now_ms, deadline_ms);
        if (now_ms >= ends_ms)
            return rc;
        uint64_t left_ms = ends_ms - now_ms;
        pause_for(pause_ms < left_ms ? pause_ms : left_ms);
        pause_ms = pause_ms * 2 < PAUSE_MAX_MS ? pause_ms * 2 : PAUSE_MAX_MS;
    }
    return RL_OK;
}

void rl_db_disconnect(struct rl_db *db)
{
    PQfinish(db->pg);
    db->pg = NULL;
    rl_db_forget_statements(db);
}
