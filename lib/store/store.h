/* store: PostgreSQL through libpq. A pool of blocking connections for worker threads: each unit of
 * work borrows one, and what ends by an error was not done. Queries take parameters, never text
 * glued together. Every connection has `search_path` set to the service's own schema, UTF-8, UTC.
 */
#ifndef RL_STORE_H
#define RL_STORE_H

#include "bytes/buf.h"
#include "status/status.h"

#include <stdint.h>

struct rl_store;
struct rl_db;   /* a borrowed connection: one thread's, for one unit of work */
struct rl_rows; /* a result, whole in memory */

#define RL_STORE_CONNECTIONS_MAX 64
/** How often a transaction is run again after a serialization failure or a deadlock. */
#define RL_STORE_ATTEMPTS_MAX 8

struct rl_store_options {
    const char *conninfo;    /* libpq's; holds a password perhaps, so it is never shown */
    const char *schema;      /* [a-z_][a-z0-9_]{0,62} */
    const char *application; /* shown in pg_stat_activity; NULL: "remoteler" */
    size_t connections;      /* 1..RL_STORE_CONNECTIONS_MAX */
    uint64_t wait_ms;        /* for a connection, free or new; 0: 5,000 */
    uint64_t statement_ms;   /* a longer statement is RL_E_DEADLINE; 0: 30,000 */
};

/** Connects to nothing yet: a database that is away is no reason not to start.
 * Copies the options. Errors: RL_E_INVAL for what cannot be read. */
rl_code rl_store_open(const struct rl_store_options *options, struct rl_store **out,
                      struct rl_error *err);
/** All units of work have ended before. */
void rl_store_close(struct rl_store **store);
/** Asks the database for an answer: for readiness. */
rl_code rl_store_ping(struct rl_store *store, struct rl_error *err);

/** Runs fn between BEGIN and COMMIT (READ COMMITTED); rolls back when it fails. After a
 * serialization failure, a deadlock, or a connection that was lost before COMMIT, fn runs again
 * from the start: it changes nothing outside the database, or can do so twice. Errors: fn's;
 * RL_E_UNAVAILABLE "PostgreSQL is away: ..."; RL_E_ABORTED when every attempt lost its race;
 * RL_E_UNKNOWN when the connection was lost in COMMIT itself: it may have happened. Threads: any.
 */
typedef rl_code (*rl_store_fn)(struct rl_db *db, void *context, struct rl_error *err);
rl_code rl_store_transaction(struct rl_store *store, rl_store_fn fn, void *context,
                             struct rl_error *err);
/** As rl_store_transaction(), SERIALIZABLE. */
rl_code rl_store_serializable(struct rl_store *store, rl_store_fn fn, void *context,
                              struct rl_error *err);

/* ---- queries ---- */

#define RL_PARAMS_MAX 64

enum rl_param_type {
    RL_PARAM_NULL,
    RL_PARAM_TEXT,
    RL_PARAM_INT,
    RL_PARAM_BOOL,
    RL_PARAM_BYTES,
    RL_PARAM_TIME,
    RL_PARAM_TEXTS,
    RL_PARAM_INTS,
    RL_PARAM_BYTES_LIST,
};

/** Lent for the call. */
struct rl_param {
    enum rl_param_type type;
    union {
        const char *text;
        int64_t number;
        struct rl_span bytes;
        struct {
            const void *items;
            size_t count;
        } list;
    } value;
};

/** Sent without a type, so that it fits text, uuid, jsonb, inet ...; NULL is SQL's NULL. */
struct rl_param rl_param_text(const char *text);
struct rl_param rl_param_int(int64_t number); /* bigint */
struct rl_param rl_param_bool(bool flag);
struct rl_param rl_param_bytes(struct rl_span bytes); /* bytea */
/** timestamptz, which counts microseconds: the rest is cut. */
struct rl_param rl_param_time(int64_t time_ns);
struct rl_param rl_param_texts(const char *const *items, size_t count);         /* text[] */
struct rl_param rl_param_ints(const int64_t *items, size_t count);              /* bigint[] */
struct rl_param rl_param_bytes_list(const struct rl_span *items, size_t count); /* bytea[] */
struct rl_param rl_param_null(void);

/** A text that comes to a connection again is prepared there: keep texts few, values in `params`.
 * Errors: RL_E_EXISTS (a unique constraint), RL_E_PRECONDITION (a foreign key), RL_E_INVAL (a
 * value that does not fit, a check), RL_E_DENIED (no privilege), RL_E_DEADLINE, RL_E_ABORTED,
 * RL_E_UNAVAILABLE, else RL_E_INTERNAL. After one the transaction is over: return it. To go on
 * where something is there already, say ON CONFLICT. Owns: *rows is the caller's. */
rl_code rl_query_params(struct rl_db *db, const char *sql, const struct rl_param *params,
                        size_t count, struct rl_rows **rows, struct rl_error *err);
/** As rl_query_params(), and planned for these values each time: for a query whose filters may be
 * absent, where a plan that fits every value fits none. */
rl_code rl_query_planned(struct rl_db *db, const char *sql, const struct rl_param *params,
                         size_t count, struct rl_rows **rows, struct rl_error *err);
/** For what gives no rows; `affected` may be NULL. */
rl_code rl_exec_params(struct rl_db *db, const char *sql, const struct rl_param *params,
                       size_t count, size_t *affected, struct rl_error *err);

/* rl_query(db, &rows, err, "SELECT id FROM users WHERE name = $1", rl_param_text(name)) */
#define RL_PARAMS_(...) ((const struct rl_param[]){{RL_PARAM_NULL, {NULL}}, ##__VA_ARGS__})
#define rl_query(db, rows, err, sql, ...)                                                          \
    rl_query_params((db), (sql), RL_PARAMS_(__VA_ARGS__) + 1,                                      \
                    RL_COUNT(RL_PARAMS_(__VA_ARGS__)) - 1, (rows), (err))
#define rl_exec(db, affected, err, sql, ...)                                                       \
    rl_exec_params((db), (sql), RL_PARAMS_(__VA_ARGS__) + 1,                                       \
                   RL_COUNT(RL_PARAMS_(__VA_ARGS__)) - 1, (affected), (err))

/** The constraint that the last failed statement broke, or "". Borrowed until the next statement.
 */
const char *rl_db_constraint(const struct rl_db *db);

/* ---- rows ----
 * Readers give what is there, or 0, false, NULL or nothing for SQL's NULL. One that meets another
 * type or a column that is not there gives the same and remembers: ask rl_rows_check() once, after
 * the last read. `column` counts from 0. */

size_t rl_rows_count(const struct rl_rows *rows);
bool rl_row_is_null(struct rl_rows *rows, size_t row, size_t column);
/** text, varchar, name, json, jsonb, uuid; borrowed until the rows are freed. */
const char *rl_row_text(struct rl_rows *rows, size_t row, size_t column);
/** smallint, integer, bigint (not numeric: cast a sum to bigint). */
int64_t rl_row_int(struct rl_rows *rows, size_t row, size_t column);
bool rl_row_bool(struct rl_rows *rows, size_t row, size_t column);
/** bytea; borrowed until the rows are freed. */
struct rl_span rl_row_bytes(struct rl_rows *rows, size_t row, size_t column);
/** timestamptz, as nanoseconds since 1970. */
int64_t rl_row_time(struct rl_rows *rows, size_t row, size_t column);
/** text[]: *items are borrowed until the rows are freed; an element that is NULL reads as "". */
size_t rl_row_texts(struct rl_rows *rows, size_t row, size_t column, const char *const **items);
/** Errors: RL_E_INTERNAL naming the column of the first read that did not fit. */
rl_code rl_rows_check(const struct rl_rows *rows, struct rl_error *err);
void rl_rows_free(struct rl_rows **rows);

#endif
