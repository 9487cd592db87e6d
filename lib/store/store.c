/* store: the pool and the transaction. A connection that is not known to be idle and whole does not
 * go back into use: it is closed, and the next borrower opens a new one.
 */
#include "store/internal.h"

#include "bytes/secret.h"
#include "clock/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 5000
#define STATEMENT_MS 30000
/* A connection may have died while it lay idle; a statement that kills each one must not go on. */
#define LOST_MAX 2
#define RACE_PAUSE_MS 20
#define SCHEMA_BYTES_MAX 63

/* ---- opening ---- */

static bool is_schema(const char *name)
{
    size_t n = strlen(name);
    return n > 0 && n <= SCHEMA_BYTES_MAX && !(name[0] >= '0' && name[0] <= '9') &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == n;
}

/* libpq goes on without a file that it does not like, and PostgreSQL then misses a password. */
static rl_code check_passfile(const char *path, struct rl_error *err)
{
    struct stat st;
    if (stat(path, &st) != 0 || access(path, R_OK) != 0)
        return rl_fail_errno(err, RL_E_INVAL, "the password file %s", path);
    if (!S_ISREG(st.st_mode))
        return rl_fail(err, RL_E_INVAL, "the password file %s is not a regular file", path);
    if (st.st_mode & (S_IRWXG | S_IRWXO))
        return rl_fail(err, RL_E_INVAL,
                       "the password file %s: others than its owner can read or write it (mode "
                       "%03o): chmod 600 it",
                       path, (unsigned)(st.st_mode & 0777));
    return st.st_size ? RL_OK : rl_fail(err, RL_E_INVAL, "the password file %s is empty", path);
}

/* libpq's own message quotes the text, and with it perhaps the password. */
static rl_code check_conninfo(const char *conninfo, struct rl_error *err)
{
    char *message = NULL;
    PQconninfoOption *parsed = PQconninfoParse(conninfo, &message);
    PQfreemem(message);
    if (!parsed)
        return rl_fail(err, RL_E_INVAL,
                       "the connection string of PostgreSQL cannot be read; write "
                       "it like host=... dbname=... user=...");
    rl_code rc = RL_OK;
    for (const PQconninfoOption *o = parsed; rc == RL_OK && o->keyword; o++)
        if (strcmp(o->keyword, "passfile") == 0 && o->val && *o->val)
            rc = check_passfile(o->val, err);
    PQconninfoFree(parsed);
    return rc;
}

static void init_pool(struct rl_store *store, size_t count)
{
    pthread_condattr_t by_monotonic;
    pthread_condattr_init(&by_monotonic);
    pthread_condattr_setclock(&by_monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&store->has_idle, &by_monotonic);
    pthread_condattr_destroy(&by_monotonic);
    pthread_mutex_init(&store->lock, NULL);
    store->dbs = rl_alloc_array(count, sizeof *store->dbs);
    store->idle = rl_alloc_array(count, sizeof *store->idle);
    store->count = store->idle_count = count;
    for (size_t i = 0; i < count; i++) {
        store->dbs[i].store = store;
        store->idle[i] = &store->dbs[i];
    }
}

rl_code rl_store_open(const struct rl_store_options *options, struct rl_store **out,
                      struct rl_error *err)
{
    if (!is_schema(options->schema))
        return rl_fail(err, RL_E_INVAL, "\"%.63s\" is not the name of a schema: a-z, 0-9 and _",
                       options->schema);
    if (options->connections < 1 || options->connections > RL_STORE_CONNECTIONS_MAX)
        return rl_fail(err, RL_E_INVAL, "%zu is not a number of connections from 1 to %d",
                       options->connections, RL_STORE_CONNECTIONS_MAX);
    rl_code rc = check_conninfo(options->conninfo, err);
    if (rc != RL_OK)
        return rc;
    struct rl_store *store = rl_alloc(sizeof *store);
    store->conninfo = rl_strdup(options->conninfo);
    store->schema = rl_strdup(options->schema);
    store->application = rl_strdup(options->application ? options->application : "remoteler");
    store->wait_ms = options->wait_ms ? options->wait_ms : WAIT_MS;
    store->statement_ms = options->statement_ms ? options->statement_ms : STATEMENT_MS;
    init_pool(store, options->connections);
    *out = store;
    return RL_OK;
}

void rl_store_close(struct rl_store **store)
{
    if (!store || !*store)
        return;
    struct rl_store *s = *store;
    RL_ASSERT(s->idle_count == s->count);
    for (size_t i = 0; i < s->count; i++)
        rl_db_disconnect(&s->dbs[i]);
    pthread_cond_destroy(&s->has_idle);
    pthread_mutex_destroy(&s->lock);
    rl_wipe(s->conninfo, strlen(s->conninfo));
    free(s->conninfo);
    free(s->schema);
    free(s->application);
    free(s->dbs);
    free(s->idle);
    free(s);
    *store = NULL;
}

/* ---- borrowing ---- */

static struct timespec monotonic_after(uint64_t ms)
{
    struct timespec when;
    clock_gettime(CLOCK_MONOTONIC, &when);
    when.tv_sec += (time_t)(ms / 1000);
    when.tv_nsec += (long)(ms % 1000) * 1000000;
    if (when.tv_nsec >= 1000000000) {
        when.tv_sec++;
        when.tv_nsec -= 1000000000;
    }
    return when;
}

static rl_code borrow(struct rl_store *store, struct rl_db **out, struct rl_error *err)
{
    struct timespec deadline = monotonic_after(store->wait_ms);
    int waited = 0;
    pthread_mutex_lock(&store->lock);
    while (store->idle_count == 0 && waited != ETIMEDOUT)
        waited = pthread_cond_timedwait(&store->has_idle, &store->lock, &deadline);
    struct rl_db *db = store->idle_count ? store->idle[--store->idle_count] : NULL;
    pthread_mutex_unlock(&store->lock);
    if (!db)
        return rl_fail(err, RL_E_UNAVAILABLE,
                       "all %zu connections to PostgreSQL have been busy for %llu ms", store->count,
                       (unsigned long long)store->wait_ms);
    *out = db;
    return RL_OK;
}

static void give_back(struct rl_db *db)
{
    struct rl_store *store = db->store;
    bool is_whole =
        PQstatus(db->pg) == CONNECTION_OK && PQtransactionStatus(db->pg) == PQTRANS_IDLE;
    if (!is_whole)
        rl_db_disconnect(db);
    pthread_mutex_lock(&store->lock);
    store->idle[store->idle_count++] = db;
    pthread_cond_signal(&store->has_idle);
    pthread_mutex_unlock(&store->lock);
}

/* ---- the transaction ---- */

static rl_code commit(struct rl_db *db, struct rl_error *err)
{
    PGresult *result = PQexec(db->pg, "COMMIT");
    rl_code rc = RL_OK;
    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        rc = rl_db_fail(db, result, err);
        if (db->retry == RETRY_LOST) {
            db->retry = RETRY_NO;
            rc = rl_fail(err, RL_E_UNKNOWN,
                         "the connection to PostgreSQL was lost while it "
                         "committed: it may have happened");
        }
    }
    PQclear(result);
    return rc;
}

/* fn has said yes; did a statement of it say no? PostgreSQL would answer COMMIT by rolling back. */
static rl_code check_not_failed(struct rl_db *db, struct rl_error *err)
{
    if (PQtransactionStatus(db->pg) == PQTRANS_INTRANS)
        return RL_OK;
    if (db->retry != RETRY_NO)
        return rl_fail(err, RL_E_ABORTED, "the transaction was broken off");
    return rl_fail(err, RL_E_INTERNAL,
                   "a statement of the transaction failed and its error was "
                   "dropped: nothing was done");
}

static rl_code run_once(struct rl_db *db, const char *begin, rl_store_fn fn, void *context,
                        struct rl_error *err)
{
    db->retry = RETRY_NO;
    rl_code rc = rl_db_script(db, begin, err);
    if (rc != RL_OK)
        return rc;
    rc = fn(db, context, err);
    if (rc == RL_OK)
        rc = check_not_failed(db, err);
    if (rc == RL_OK)
        return commit(db, err);
    PQclear(PQexec(db->pg, "ROLLBACK")); /* if that fails the connection is not idle, and goes */
    return rc;
}

static void pause_after_race(unsigned attempt)
{
    uint32_t chance;
    rl_random(&chance, sizeof chance);
    struct timespec pause = {0, (long)(chance % (RACE_PAUSE_MS * attempt)) * 1000000};
    nanosleep(&pause, NULL);
}

static rl_code run(struct rl_store *store, const char *begin, rl_store_fn fn, void *context,
                   struct rl_error *err)
{
    struct rl_db *db = NULL;
    uint64_t deadline_ms = rl_clock_boot_ms() + store->wait_ms;
    rl_code rc = borrow(store, &db, err);
    if (rc != RL_OK)
        return rc;
    unsigned lost = 0;
    for (unsigned attempt = 1;; attempt++) {
        rc = rl_db_connect(db, deadline_ms, err);
        if (rc == RL_OK)
            rc = run_once(db, begin, fn, context, err);
        else
            db->retry = RETRY_NO;
        if (rc == RL_OK || db->retry == RETRY_NO || attempt == RL_STORE_ATTEMPTS_MAX)
            break;
        if (db->retry == RETRY_LOST && ++lost > LOST_MAX)
            break;
        if (db->retry == RETRY_LOST)
            rl_db_disconnect(db);
        else
            pause_after_race(attempt);
    }
    give_back(db);
    return rc;
}

rl_code rl_store_transaction(struct rl_store *store, rl_store_fn fn, void *context,
                             struct rl_error *err)
{
    return run(store, "BEGIN ISOLATION LEVEL READ COMMITTED", fn, context, err);
}

rl_code rl_store_serializable(struct rl_store *store, rl_store_fn fn, void *context,
                              struct rl_error *err)
{
    return run(store, "BEGIN ISOLATION LEVEL SERIALIZABLE", fn, context, err);
}

static rl_code do_nothing(struct rl_db *db, void *context, struct rl_error *err)
{
    (void)context;
    return rl_db_script(db, "SELECT 1", err);
}

rl_code rl_store_ping(struct rl_store *store, struct rl_error *err)
{
    return rl_store_transaction(store, do_nothing, NULL, err);
}
