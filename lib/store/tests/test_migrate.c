#include "store/migrate.h"
#include "testpg.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static struct rl_testpg *pg;
static struct rl_store *store;
static struct rl_error err;

static const struct rl_migration steps[] = {
    {1, "users", "CREATE TABLE users (name text PRIMARY KEY); CREATE TABLE roles (name text)"},
    {2, "ages", "ALTER TABLE users ADD COLUMN age int; INSERT INTO users VALUES ('root', 1)"},
    {3, "more", "INSERT INTO users VALUES ('alice', 2)"},
};

static void start_server(void)
{
    pg = rl_testpg_create();
}

static void stop_server(void)
{
    rl_testpg_free(&pg);
}

static rl_code run_sql(struct rl_db *db, void *sql, struct rl_error *e)
{
    return rl_exec(db, NULL, e, sql);
}

static rl_code run(const char *sql)
{
    char copy[256];
    strcpy(copy, sql);
    return rl_store_transaction(store, run_sql, copy, &err);
}

static void set_up(void)
{
    struct rl_store_options options = {
        .conninfo = rl_testpg_conninfo(pg), .schema = "auth", .connections = 4, .wait_ms = 20000};
    ck_assert_int_eq(rl_store_open(&options, &store, NULL), RL_OK);
    ck_assert_int_eq(run("DROP SCHEMA IF EXISTS auth CASCADE"), RL_OK);
}

static void tear_down(void)
{
    rl_store_close(&store);
}

static rl_code read_int(struct rl_db *db, void *out, struct rl_error *e)
{
    struct rl_rows *rows;
    rl_code rc = rl_query(db, &rows, e,
                          "SELECT (SELECT count(*) FROM users) * 100"
                          " + (SELECT count(*) * 10 + max(version) FROM schema_version)");
    if (rc != RL_OK)
        return rc;
    *(int64_t *)out = rl_row_int(rows, 0, 0);
    rc = rl_rows_check(rows, e);
    rl_rows_free(&rows);
    return rc;
}

/* Users times 100, steps recorded times 10, the version. */
static int64_t state(void)
{
    int64_t n = -1;
    ck_assert_msg(rl_store_transaction(store, read_int, &n, &err) == RL_OK, "%s", err.message);
    return n;
}

START_TEST(makes_the_schema_and_brings_it_up_to_date)
{
    ck_assert_msg(rl_store_migrate(store, steps, 2, &err) == RL_OK, "%s", err.message);
    ck_assert_int_eq(state(), 122);
    ck_assert_int_eq(rl_store_migrate(store, steps, 2, &err), RL_OK);
    ck_assert_int_eq(state(), 122);
    ck_assert_int_eq(rl_store_migrate(store, steps, 3, &err), RL_OK);
    ck_assert_int_eq(state(), 233);
}
END_TEST

START_TEST(goes_with_a_schema_that_is_one_step_ahead_and_leaves_it)
{
    ck_assert_int_eq(rl_store_migrate(store, steps, 3, NULL), RL_OK);
    ck_assert_msg(rl_store_migrate(store, steps, 2, &err) == RL_OK, "%s", err.message);
    ck_assert_msg(rl_store_check_version(store, steps, 2, &err) == RL_OK, "%s", err.message);
    ck_assert_int_eq(state(), 233);
}
END_TEST

START_TEST(refuses_a_schema_that_is_two_steps_ahead)
{
    static const char words[] = "the schema \"auth\" is at version 3 and this program goes with 1 "
                                "to 2: run the newer program";
    ck_assert_int_eq(rl_store_migrate(store, steps, 3, NULL), RL_OK);
    ck_assert_int_eq(rl_store_migrate(store, steps, 1, &err), RL_E_PRECONDITION);
    ck_assert_str_eq(err.message, words);
    ck_assert_int_eq(rl_store_check_version(store, steps, 1, &err), RL_E_PRECONDITION);
    ck_assert_str_eq(err.message, words);
    ck_assert_int_eq(state(), 233);
}
END_TEST

START_TEST(tells_a_role_that_may_not_migrate_that_it_is_too_early)
{
    ck_assert_int_eq(rl_store_check_version(store, steps, 3, &err), RL_E_PRECONDITION);
    ck_assert_str_eq(err.message, "the schema \"auth\" is at version 0 and this program needs 3: "
                                  "run the migrations first");
}
END_TEST

START_TEST(a_failed_step_leaves_nothing_behind)
{
    const struct rl_migration bad[] = {
        steps[0], {2, "broken", "INSERT INTO users VALUES ('x'); SELECT no_such_function()"}};
    ck_assert_int_eq(rl_store_migrate(store, bad, 2, &err), RL_E_INTERNAL);
    ck_assert_ptr_nonnull(strstr(err.message, "migrating \"auth\" to version 2 (broken): "));
    ck_assert_int_eq(state(), 11);
    ck_assert_int_eq(rl_store_migrate(store, steps, 3, &err), RL_OK);
    ck_assert_int_eq(state(), 233);
}
END_TEST

static void *migrate(void *context)
{
    struct rl_error own;
    rl_code rc = rl_store_migrate(context, steps, 3, &own);
    ck_assert_msg(rc == RL_OK, "%s", own.message);
    return NULL;
}

START_TEST(replicas_may_migrate_at_once)
{
    pthread_t threads[4];
    for (size_t i = 0; i < RL_COUNT(threads); i++)
        pthread_create(&threads[i], NULL, migrate, store);
    for (size_t i = 0; i < RL_COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(state(), 233);
}
END_TEST

START_TEST(an_owner_of_the_schema_alone_may_migrate)
{
    run("CREATE ROLE auth_owner LOGIN");
    ck_assert_int_eq(run("CREATE SCHEMA auth AUTHORIZATION auth_owner"), RL_OK);
    char *conninfo = rl_sprintf("%s user=auth_owner", rl_testpg_conninfo(pg));
    struct rl_store_options options = {.conninfo = conninfo, .schema = "auth", .connections = 1};
    struct rl_store *owner;
    ck_assert_int_eq(rl_store_open(&options, &owner, NULL), RL_OK);
    ck_assert_msg(rl_store_migrate(owner, steps, 3, &err) == RL_OK, "%s", err.message);
    rl_store_close(&owner);
    free(conninfo);
    ck_assert_int_eq(state(), 233);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("migrate");
    tcase_add_unchecked_fixture(t, start_server, stop_server);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, makes_the_schema_and_brings_it_up_to_date);
    tcase_add_test(t, goes_with_a_schema_that_is_one_step_ahead_and_leaves_it);
    tcase_add_test(t, refuses_a_schema_that_is_two_steps_ahead);
    tcase_add_test(t, tells_a_role_that_may_not_migrate_that_it_is_too_early);
    tcase_add_test(t, a_failed_step_leaves_nothing_behind);
    tcase_add_test(t, replicas_may_migrate_at_once);
    tcase_add_test(t, an_owner_of_the_schema_alone_may_migrate);
    Suite *s = suite_create("migrate");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_set_fork_status(r, CK_NOFORK); /* the server is the child of one process */
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
