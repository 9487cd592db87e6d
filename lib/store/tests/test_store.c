#include "store/store.h"
#include "testpg.h"

#include "clock/clock.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct rl_testpg *pg;
static struct rl_store *store;
static struct rl_error err;

static void start_server(void)
{
    pg = rl_testpg_create();
}

static void stop_server(void)
{
    rl_testpg_free(&pg);
}

static struct rl_store *open_store(const char *schema, size_t connections, uint64_t wait_ms)
{
    struct rl_store_options options = {.conninfo = rl_testpg_conninfo(pg),
                                       .schema = schema,
                                       .connections = connections,
                                       .wait_ms = wait_ms,
                                       .statement_ms = 20000};
    struct rl_store *opened = NULL;
    ck_assert_msg(rl_store_open(&options, &opened, &err) == RL_OK, "%s", err.message);
    return opened;
}

static rl_code run_sql(struct rl_db *db, void *sql, struct rl_error *e)
{
    return rl_exec(db, NULL, e, sql);
}

static void must(const char *sql)
{
    char copy[512];
    strcpy(copy, sql);
    ck_assert_msg(rl_store_transaction(store, run_sql, copy, &err) == RL_OK, "%s: %s", sql,
                  err.message);
}

static void set_up(void)
{
    store = open_store("demo", 4, 10000);
    must("DROP SCHEMA IF EXISTS demo CASCADE");
    must("CREATE SCHEMA demo");
    must("CREATE TABLE things (name text CONSTRAINT things_name PRIMARY KEY, n int NOT NULL "
         "DEFAULT 0"
         " CONSTRAINT small CHECK (n < 100), parent text REFERENCES things)");
}

static void tear_down(void)
{
    rl_store_close(&store);
}

static rl_code read_number(struct rl_db *db, const char *sql, int64_t *out, struct rl_error *e)
{
    struct rl_rows *rows;
    rl_code rc = rl_query(db, &rows, e, sql);
    if (rc != RL_OK)
        return rc;
    *out = rl_row_int(rows, 0, 0);
    rc = rl_rows_check(rows, e);
    rl_rows_free(&rows);
    return rc;
}

static rl_code count_things(struct rl_db *db, void *out, struct rl_error *e)
{
    return read_number(db, "SELECT count(*) FROM things", out, e);
}

static int64_t things(void)
{
    int64_t n = -1;
    ck_assert_msg(rl_store_transaction(store, count_things, &n, &err) == RL_OK, "%s", err.message);
    return n;
}

static rl_code fail_with(const char *sql)
{
    char copy[512];
    strcpy(copy, sql);
    memset(&err, 0, sizeof err);
    return rl_store_transaction(store, run_sql, copy, &err);
}

static const char *refused_passfile(const char *path)
{
    struct rl_store *none = NULL;
    char *conninfo = rl_sprintf("host=localhost passfile='%s'", path);
    struct rl_store_options options = {.conninfo = conninfo, .schema = "demo", .connections = 1};
    ck_assert_int_eq(rl_store_open(&options, &none, &err), RL_E_INVAL);
    ck_assert_ptr_null(none);
    free(conninfo);
    return err.message;
}

START_TEST(a_password_file_that_libpq_would_pass_over_is_refused)
{
    char path[] = "/tmp/rl-passfile-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_ptr_nonnull(strstr(refused_passfile(path), "is empty"));
    ck_assert_int_eq(write(fd, "*:*:*:*:x\n", 10), 10);
    ck_assert_int_eq(fchmod(fd, 0644), 0);
    ck_assert_ptr_nonnull(strstr(refused_passfile(path), "(mode 644): chmod 600 it"));
    ck_assert_ptr_nonnull(strstr(refused_passfile("/nowhere"), "No such file"));
    ck_assert_ptr_nonnull(strstr(refused_passfile("/tmp"), "is not a regular file"));
    close(fd);
    unlink(path);
}
END_TEST

START_TEST(commits_what_succeeds)
{
    must("INSERT INTO things VALUES ('a')");
    ck_assert_int_eq(things(), 1);
    ck_assert_int_eq(rl_store_ping(store, NULL), RL_OK);
}
END_TEST

static rl_code insert_and_refuse(struct rl_db *db, void *context, struct rl_error *e)
{
    (void)context;
    rl_code rc = rl_exec(db, NULL, e, "INSERT INTO things VALUES ('lost')");
    return rc == RL_OK ? rl_fail(e, RL_E_DENIED, "no") : rc;
}

START_TEST(rolls_back_what_fails)
{
    ck_assert_int_eq(rl_store_transaction(store, insert_and_refuse, NULL, &err), RL_E_DENIED);
    ck_assert_str_eq(err.message, "no");
    ck_assert_int_eq(things(), 0);
}
END_TEST

static rl_code insert_twice_and_shrug(struct rl_db *db, void *context, struct rl_error *e)
{
    (void)context;
    (void)e;
    rl_exec(db, NULL, NULL, "INSERT INTO things VALUES ('x')");
    rl_exec(db, NULL, NULL, "INSERT INTO things VALUES ('x')");
    return RL_OK;
}

START_TEST(does_not_call_a_failed_transaction_a_success)
{
    ck_assert_int_eq(rl_store_transaction(store, insert_twice_and_shrug, NULL, &err),
                     RL_E_INTERNAL);
    ck_assert_int_eq(things(), 0);
}
END_TEST

static rl_code insert_x(struct rl_db *db, void *constraint, struct rl_error *e)
{
    rl_code rc = rl_exec(db, NULL, e, "INSERT INTO things VALUES ('x')");
    strcpy(constraint, rl_db_constraint(db));
    return rc;
}

START_TEST(tells_by_code_what_the_database_refused)
{
    char constraint[64];
    must("INSERT INTO things VALUES ('x')");
    ck_assert_int_eq(rl_store_transaction(store, insert_x, constraint, &err), RL_E_EXISTS);
    ck_assert_str_eq(constraint, "things_name");
    ck_assert_ptr_nonnull(strstr(err.message, "it is there already: duplicate key"));
    ck_assert_int_eq(fail_with("INSERT INTO things VALUES ('y', 100)"), RL_E_INVAL);
    ck_assert_int_eq(fail_with("INSERT INTO things VALUES ('y', NULL)"), RL_E_INVAL);
    ck_assert_int_eq(fail_with("INSERT INTO things VALUES ('y', 0, 'nobody')"), RL_E_PRECONDITION);
    ck_assert_int_eq(fail_with("SELECT 1/0"), RL_E_INVAL);
    ck_assert_int_eq(fail_with("SELEKT"), RL_E_INTERNAL);
    ck_assert_int_eq(fail_with("SELECT * FROM nowhere"), RL_E_INTERNAL);
    ck_assert_int_eq(fail_with("DO $$ BEGIN RAISE SQLSTATE '53100'; END $$"), RL_E_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(err.message, "the disk of PostgreSQL is full"));
    ck_assert_int_eq(fail_with("DO $$ BEGIN RAISE SQLSTATE '53200'; END $$"), RL_E_UNAVAILABLE);
    ck_assert_int_eq(fail_with("DO $$ BEGIN RAISE 'no'; END $$"), RL_E_PRECONDITION);
    ck_assert_int_eq(fail_with("SET LOCAL statement_timeout = 1; SELECT 1"), RL_E_INTERNAL);
}
END_TEST

START_TEST(tells_when_the_role_may_not)
{
    must("DROP ROLE IF EXISTS reader");
    must("CREATE ROLE reader LOGIN");
    must("GRANT USAGE ON SCHEMA demo TO reader");
    must("GRANT SELECT ON things TO reader");
    char *conninfo = rl_sprintf("%s user=reader", rl_testpg_conninfo(pg));
    struct rl_store_options options = {.conninfo = conninfo, .schema = "demo", .connections = 1};
    struct rl_store *reader;
    char sql[] = "INSERT INTO things VALUES ('no')";
    int64_t n;
    ck_assert_int_eq(rl_store_open(&options, &reader, NULL), RL_OK);
    ck_assert_int_eq(rl_store_transaction(reader, count_things, &n, NULL), RL_OK);
    ck_assert_int_eq(rl_store_transaction(reader, run_sql, sql, &err), RL_E_DENIED);
    rl_store_close(&reader);
    free(conninfo);
}
END_TEST

static rl_code take_too_long(struct rl_db *db, void *context, struct rl_error *e)
{
    (void)context;
    rl_code rc = rl_exec(db, NULL, e, "SET LOCAL statement_timeout = 20");
    return rc == RL_OK ? rl_exec(db, NULL, e, "SELECT pg_sleep(30)") : rc;
}

START_TEST(ends_a_statement_that_takes_too_long)
{
    ck_assert_int_eq(rl_store_transaction(store, take_too_long, NULL, &err), RL_E_DEADLINE);
}
END_TEST

/* ---- races ---- */

static atomic_int attempts;

static rl_code read_then_add(struct rl_db *db, void *context, struct rl_error *e)
{
    (void)context;
    int64_t n;
    atomic_fetch_add(&attempts, 1);
    rl_code rc = read_number(db, "SELECT n FROM things WHERE name = 'counter'", &n, e);
    if (rc == RL_OK)
        rc = rl_exec(db, NULL, e, "UPDATE things SET n = $1 WHERE name = 'counter'",
                     rl_param_int(n + 1));
    return rc;
}

enum { RACERS = 4, ROUNDS = 6 };

static void *race(void *context)
{
    (void)context;
    for (int i = 0; i < ROUNDS; i++) {
        struct rl_error own;
        rl_code rc;
        do /* each call is bounded: one that lost all its attempts is told so */
            rc = rl_store_serializable(store, read_then_add, NULL, &own);
        while (rc == RL_E_ABORTED);
        ck_assert_msg(rc == RL_OK, "%s", own.message);
    }
    return NULL;
}

static rl_code read_counter(struct rl_db *db, void *out, struct rl_error *e)
{
    return read_number(db, "SELECT n FROM things WHERE name = 'counter'", out, e);
}

START_TEST(runs_a_transaction_again_that_lost_a_race)
{
    pthread_t threads[RACERS];
    int64_t n = 0;
    atomic_store(&attempts, 0);
    must("INSERT INTO things VALUES ('counter')");
    for (int i = 0; i < RACERS; i++)
        pthread_create(&threads[i], NULL, race, NULL);
    for (int i = 0; i < RACERS; i++)
        pthread_join(threads[i], NULL);
    rl_store_transaction(store, read_counter, &n, NULL);
    ck_assert_int_eq(n, RACERS * ROUNDS);
    ck_assert_int_gt(atomic_load(&attempts), RACERS * ROUNDS);
}
END_TEST

static rl_code lose_always(struct rl_db *db, void *count, struct rl_error *e)
{
    ++*(int *)count;
    return rl_exec(db, NULL, e, "DO $$ BEGIN RAISE SQLSTATE '40001'; END $$");
}

START_TEST(gives_up_after_the_last_attempt)
{
    int count = 0;
    ck_assert_int_eq(rl_store_transaction(store, lose_always, &count, &err), RL_E_ABORTED);
    ck_assert_int_eq(count, RL_STORE_ATTEMPTS_MAX);
}
END_TEST

/* ---- the server comes and goes ---- */

START_TEST(recovers_when_the_server_was_restarted)
{
    must("INSERT INTO things VALUES ('before')");
    rl_testpg_stop(pg);
    rl_testpg_start(pg);
    ck_assert_int_eq(things(), 1); /* the connection in the pool is dead, and nobody notices */
    rl_testpg_kill(pg);
    rl_testpg_start(pg);
    must("INSERT INTO things VALUES ('after')");
    ck_assert_int_eq(things(), 2);
}
END_TEST

static rl_code restart_once(struct rl_db *db, void *runs, struct rl_error *e)
{
    rl_code rc = rl_exec(db, NULL, e, "INSERT INTO things VALUES ('once')");
    if (rc == RL_OK && ++*(int *)runs == 1) {
        rl_testpg_stop(pg);
        rl_testpg_start(pg);
    }
    return rc == RL_OK ? rl_exec(db, NULL, e, "INSERT INTO things VALUES ('twice')") : rc;
}

START_TEST(runs_again_what_a_restart_broke_off)
{
    int runs = 0;
    ck_assert_msg(rl_store_transaction(store, restart_once, &runs, &err) == RL_OK, "%s",
                  err.message);
    ck_assert_int_eq(runs, 2);
    ck_assert_int_eq(things(), 2);
}
END_TEST

static rl_code restart_before_commit(struct rl_db *db, void *runs, struct rl_error *e)
{
    ++*(int *)runs;
    rl_code rc = rl_exec(db, NULL, e, "INSERT INTO things VALUES ('maybe')");
    rl_testpg_stop(pg);
    rl_testpg_start(pg);
    return rc;
}

START_TEST(does_not_guess_what_became_of_a_commit)
{
    int runs = 0;
    ck_assert_int_eq(rl_store_transaction(store, restart_before_commit, &runs, &err), RL_E_UNKNOWN);
    ck_assert_int_eq(runs, 1);
    ck_assert_int_eq(things(), 0);
}
END_TEST

START_TEST(says_within_its_time_that_the_database_is_away)
{
    struct rl_store *impatient = open_store("demo", 1, 200);
    ck_assert_int_eq(rl_store_ping(impatient, NULL), RL_OK);
    rl_testpg_stop(pg);
    rl_code rc = rl_store_ping(impatient, &err);
    rl_testpg_start(pg);
    ck_assert_int_eq(rc, RL_E_UNAVAILABLE);
    ck_assert_msg(strncmp(err.message, "PostgreSQL is away: ", 20) == 0, "%s", err.message);
    ck_assert_int_eq(rl_store_ping(impatient, NULL), RL_OK);
    rl_store_close(&impatient);
}
END_TEST

static uint64_t failing_ping_ms(struct rl_store *asked)
{
    uint64_t start_ms = rl_clock_boot_ms();
    ck_assert_int_eq(rl_store_ping(asked, &err), RL_E_UNAVAILABLE);
    return rl_clock_boot_ms() - start_ms;
}

START_TEST(waits_for_a_database_that_is_away_once_and_not_in_every_call)
{
    struct rl_store *patient = open_store("demo", 1, 2000);
    ck_assert_int_eq(rl_store_ping(patient, NULL), RL_OK);
    for (int outage = 0; outage < 2; outage++) {
        rl_testpg_stop(pg);
        ck_assert_uint_ge(failing_ping_ms(patient), 1900);
        ck_assert_uint_lt(failing_ping_ms(patient), 1000);
        ck_assert_uint_lt(failing_ping_ms(patient), 1000);
        rl_testpg_start(pg);
        ck_assert_int_eq(rl_store_ping(patient, NULL), RL_OK);
    }
    rl_store_close(&patient);
}
END_TEST

/* ---- the pool ---- */

static struct rl_store *small;

static rl_code borrow_within(struct rl_db *db, void *context, struct rl_error *e)
{
    (void)db;
    (void)context;
    return rl_store_ping(small, e);
}

START_TEST(says_when_every_connection_is_busy)
{
    small = open_store("demo", 1, 50);
    ck_assert_int_eq(rl_store_transaction(small, borrow_within, NULL, &err), RL_E_UNAVAILABLE);
    ck_assert_str_eq(err.message, "all 1 connections to PostgreSQL have been busy for 50 ms");
    ck_assert_int_eq(rl_store_ping(small, NULL), RL_OK);
    rl_store_close(&small);
}
END_TEST

static void *ping_often(void *context)
{
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(rl_store_ping(context, NULL), RL_OK);
    return NULL;
}

START_TEST(more_threads_than_connections_take_turns)
{
    pthread_t threads[6];
    struct rl_store *two = open_store("demo", 2, 20000);
    for (size_t i = 0; i < RL_COUNT(threads); i++)
        pthread_create(&threads[i], NULL, ping_often, two);
    for (size_t i = 0; i < RL_COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    rl_store_close(&two);
}
END_TEST

/* ---- options ---- */

static rl_code open_with(const char *conninfo, const char *schema, size_t connections)
{
    struct rl_store_options options = {
        .conninfo = conninfo, .schema = schema, .connections = connections};
    struct rl_store *opened = NULL;
    rl_code rc = rl_store_open(&options, &opened, &err);
    rl_store_close(&opened);
    return rc;
}

START_TEST(checks_its_options)
{
    ck_assert_int_eq(open_with("host=x", "auth", 1), RL_OK);
    ck_assert_int_eq(open_with("host=x", "auth", RL_STORE_CONNECTIONS_MAX), RL_OK);
    ck_assert_int_eq(open_with("host=x", "auth", 0), RL_E_INVAL);
    ck_assert_int_eq(open_with("host=x", "auth", RL_STORE_CONNECTIONS_MAX + 1), RL_E_INVAL);
    ck_assert_int_eq(open_with("host=x", "", 1), RL_E_INVAL);
    ck_assert_int_eq(open_with("host=x", "a\"b", 1), RL_E_INVAL);
    ck_assert_int_eq(open_with("host=x", "1a", 1), RL_E_INVAL);
    ck_assert_int_eq(open_with("host=x", "Auth", 1), RL_E_INVAL);
}
END_TEST

START_TEST(never_shows_the_password)
{
    ck_assert_int_eq(open_with("host=x password=hunter2 hunter2", "auth", 1), RL_E_INVAL);
    ck_assert_ptr_null(strstr(err.message, "hunter2"));
    ck_assert_int_eq(open_with("postgres://u:hunter2@[::1/db", "auth", 1), RL_E_INVAL);
    ck_assert_ptr_null(strstr(err.message, "hunter2"));
    struct rl_store_options options = {.conninfo = "host=/nonexistent password=hunter2 user=u",
                                       .schema = "auth",
                                       .connections = 1,
                                       .wait_ms = 1};
    struct rl_store *away;
    ck_assert_int_eq(rl_store_open(&options, &away, NULL), RL_OK);
    ck_assert_int_eq(rl_store_ping(away, &err), RL_E_UNAVAILABLE);
    ck_assert_ptr_null(strstr(err.message, "hunter2"));
    rl_store_close(&away);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("store");
    tcase_add_unchecked_fixture(t, start_server, stop_server);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_password_file_that_libpq_would_pass_over_is_refused);
    tcase_add_test(t, commits_what_succeeds);
    tcase_add_test(t, rolls_back_what_fails);
    tcase_add_test(t, does_not_call_a_failed_transaction_a_success);
    tcase_add_test(t, tells_by_code_what_the_database_refused);
    tcase_add_test(t, tells_when_the_role_may_not);
    tcase_add_test(t, ends_a_statement_that_takes_too_long);
    tcase_add_test(t, runs_a_transaction_again_that_lost_a_race);
    tcase_add_test(t, gives_up_after_the_last_attempt);
    tcase_add_test(t, recovers_when_the_server_was_restarted);
    tcase_add_test(t, runs_again_what_a_restart_broke_off);
    tcase_add_test(t, does_not_guess_what_became_of_a_commit);
    tcase_add_test(t, says_within_its_time_that_the_database_is_away);
    tcase_add_test(t, waits_for_a_database_that_is_away_once_and_not_in_every_call);
    tcase_add_test(t, says_when_every_connection_is_busy);
    tcase_add_test(t, more_threads_than_connections_take_turns);
    tcase_add_test(t, checks_its_options);
    tcase_add_test(t, never_shows_the_password);
    Suite *s = suite_create("store");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_set_fork_status(r, CK_NOFORK); /* tests restart the server: it has to be their child */
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
