/* What the files of store share. */
#ifndef RL_STORE_INTERNAL_H
#define RL_STORE_INTERNAL_H

#include "store/store.h"

#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>

/* Of one connection: the server keeps a plan for each. */
#define RL_STATEMENTS_MAX 128

/* PostgreSQL cuts names at 63 bytes. */
#define CONSTRAINT_BYTES 64

/* Why the last statement failed, as far as it is a reason to do it all again. */
enum retry {
    RETRY_NO,
    RETRY_RACE, /* lost against another transaction */
    RETRY_LOST, /* the connection is gone, or good for nothing more */
};

struct rl_db {
    struct rl_store *store;
    PGconn *pg; /* NULL: not connected */
    enum retry retry;
    char constraint[CONSTRAINT_BYTES];
    /* prepared.c */
    struct rl_statement *statements[RL_STATEMENTS_MAX];
    size_t statement_count;
    uint64_t uses, last_number;
};

struct rl_store {
    char *conninfo, *schema, *application;
    uint64_t wait_ms, statement_ms;
    _Atomic uint64_t away_since_ms; /* the first connection that was not made since one was; 0 */
    pthread_mutex_t lock;
    pthread_cond_t has_idle;
    struct rl_db *dbs;
    struct rl_db **idle; /* a stack: the warmest connection goes out first */
    size_t count, idle_count;
};

/* connect.c */
rl_code rl_store_connect_pg(struct rl_store *store, PGconn **out, struct rl_error *err);
/* Connects unless it is, trying again until deadline_ms of CLOCK_BOOTTIME; once only when the
 * database has been away for longer than a restart takes: then nobody gains by waiting. */
rl_code rl_db_connect(struct rl_db *db, uint64_t deadline_ms, struct rl_error *err);
void rl_db_disconnect(struct rl_db *db);

/* errors.c: what a failed result means; notes in db why. */
rl_code rl_db_fail(struct rl_db *db, const PGresult *result, struct rl_error *err);
rl_code rl_pg_away(PGconn *pg, struct rl_error *err);

/* A statement with its parameters, as libpq takes them. */
struct rl_call {
    const char *sql;
    size_t count;
    const Oid *types;
    const char *const *values;
    const int *lengths, *formats;
};

/* prepared.c: both run it; rl_db_call() prepared, prepared when this connection has met it before.
 * The result is the caller's.
 */
PGresult *rl_db_call_once(struct rl_db *db, const struct rl_call *call);
PGresult *rl_db_call(struct rl_db *db, const struct rl_call *call);
/* The connection that they were prepared on is gone. */
void rl_db_forget_statements(struct rl_db *db);

/* query.c: one or more statements that are literals of the program. */
rl_code rl_db_script(struct rl_db *db, const char *sql, struct rl_error *err);

/* rows.c: takes the result over. */
struct rl_rows *rl_rows_create(PGresult *result);

#endif
