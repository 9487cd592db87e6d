#include "store/store.h"

#include "store/internal.h"
#include "testpg.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static struct rl_store *open_store(void)
{
    struct rl_store_options options = {
        .conninfo = rl_testpg_conninfo(pg), .schema = "demo", .connections = 1, .wait_ms = 20000};
    struct rl_store *opened = NULL;
    ck_assert_msg(rl_store_open(&options, &opened, &err) == RL_OK, "%s", err.message);
    return opened;
}

static rl_code run_sql(struct rl_db *db, void *sql, struct rl_error *e)
{
    return rl_exec(db, NULL, e, sql);
}

static rl_code run_in(struct rl_store *in, const char *sql)
{
    char *copy = rl_strdup(sql);
    rl_code rc = rl_store_transaction(in, run_sql, copy, &err);
    free(copy);
    return rc;
}

static void must(const char *sql)
{
    ck_assert_msg(run_in(store, sql) == RL_OK, "%s: %s", sql, err.message);
}

static void set_up(void)
{
    store = open_store();
    must("DROP SCHEMA IF EXISTS demo CASCADE");
    must("CREATE SCHEMA demo");
    must("CREATE TABLE things (name text, n bigint)");
}

static void tear_down(void)
{
    rl_store_close(&store);
}

/* A query that a test runs several times. */
struct asked {
    const char *sql;
    const struct rl_param *params;
    size_t count;
    char *answer; /* the first column of the first row; to be freed */
};

static rl_code ask_it(struct rl_db *db, void *context, struct rl_error *e)
{
    struct asked *asked = context;
    struct rl_rows *rows;
    rl_code rc = rl_query_params(db, asked->sql, asked->params, asked->count, &rows, e);
    if (rc != RL_OK)
        return rc;
    free(asked->answer);
    const char *text = rl_rows_count(rows) ? rl_row_text(rows, 0, 0) : NULL;
    asked->answer = text ? rl_strdup(text) : NULL;
    rc = rl_rows_check(rows, e);
    rl_rows_free(&rows);
    return rc;
}

static void expect_with(const char *answer, const char *sql, const struct rl_param *params,
                        size_t count)
{
    struct asked asked = {sql, params, count, NULL};
    ck_assert_msg(rl_store_transaction(store, ask_it, &asked, &err) == RL_OK, "%s: %s", sql,
                  err.message);
    ck_assert_str_eq(asked.answer ? asked.answer : "(none)", answer);
    free(asked.answer);
}

static void expect(const char *answer, const char *sql)
{
    expect_with(answer, sql, NULL, 0);
}

/* How many statements of this beginning the connection holds prepared. */
static void expect_prepared(const char *count, const char *beginning)
{
    const struct rl_param params[] = {rl_param_text(beginning)};
    expect_with(
        count, "SELECT count(*)::text FROM pg_prepared_statements WHERE starts_with(statement, $1)",
        params, 1);
}

START_TEST(prepares_what_comes_for_the_second_time)
{
    expect("1", "SELECT 1::text /* once */");
    expect_prepared("0", "SELECT 1::text");
    expect("1", "SELECT 1::text /* once */");
    expect("1", "SELECT 1::text /* once */");
    expect("1", "SELECT 1::text /* another */");
    expect_prepared("1", "SELECT 1::text");
}
END_TEST

START_TEST(knows_a_text_wherever_it_lies)
{
    char one[] = "SELECT 'here'::text", two[] = "SELECT 'here'::text";
    expect("here", one);
    expect("here", two);
    expect_prepared("1", "SELECT 'here'");
}
END_TEST

START_TEST(the_same_text_with_other_types_is_another_statement)
{
    static const char sql[] = "SELECT coalesce($1, $1)::text AS types";
    const struct rl_param number[] = {rl_param_int(7)}, flag[] = {rl_param_bool(true)};
    const struct rl_param text[] = {rl_param_text("x")}, null[] = {rl_param_null()};
    for (int i = 0; i < 3; i++) {
        expect_with("(none)", sql, null, 1);
        expect_with("7", sql, number, 1);
        expect_with("true", sql, flag, 1);
        expect_with("x", sql, text, 1);
    }
    expect_prepared("3", "SELECT coalesce");
}
END_TEST

START_TEST(keeps_a_bounded_number_and_drops_what_was_used_longest_ago)
{
    expect("kept", "SELECT 'kept'::text");
    for (int i = 0; i < RL_STATEMENTS_MAX + 20; i++) {
        char sql[64], number[16];
        snprintf(number, sizeof number, "%d", i);
        snprintf(sql, sizeof sql, "SELECT '%d'::text AS many", i);
        for (int round = 0; round < 2; round++)
            expect(number, sql);
        expect("kept", "SELECT 'kept'::text");
    }
    expect_prepared("1", "SELECT 'kept'");
    expect_prepared("0", "SELECT '0'::text AS many");
    expect("true", "SELECT (count(*) > 100)::text FROM pg_prepared_statements");
    expect("0", "SELECT '0'::text AS many");
    char sql[128];
    snprintf(sql, sizeof sql, "SELECT (count(*) <= %d)::text FROM pg_prepared_statements",
             RL_STATEMENTS_MAX);
    expect("true", sql);
}
END_TEST

static void show_name(const char *name)
{
    expect(name, "SELECT name FROM things");
}

START_TEST(prepares_anew_on_a_new_connection)
{
    must("INSERT INTO things VALUES ('a', 1)");
    for (int i = 0; i < 3; i++)
        show_name("a");
    rl_testpg_stop(pg);
    rl_testpg_start(pg);
    for (int i = 0; i < 3; i++)
        show_name("a");
    expect_prepared("1", "SELECT name");
}
END_TEST

/* As another replica's migration does, which this connection does not hear of. */
START_TEST(goes_on_after_a_column_has_another_type)
{
    must("INSERT INTO things VALUES ('a', 1)");
    for (int i = 0; i < 3; i++)
        show_name("a");
    struct rl_store *other = open_store();
    ck_assert_int_eq(run_in(other, "ALTER TABLE things ALTER name TYPE varchar(9)"), RL_OK);
    show_name("a");
    ck_assert_int_eq(run_in(other, "ALTER TABLE things ADD more text, DROP n"), RL_OK);
    ck_assert_int_eq(run_in(other, "CREATE INDEX ON things (name)"), RL_OK);
    show_name("a");
    ck_assert_int_eq(run_in(other, "DROP TABLE things; "), RL_OK);
    ck_assert_int_eq(run_in(other, "CREATE TABLE things AS SELECT 'new'::text AS name"), RL_OK);
    show_name("new");
    rl_store_close(&other);
}
END_TEST

START_TEST(goes_on_when_somebody_took_the_statements_away)
{
    must("INSERT INTO things VALUES ('a', 1)");
    for (int i = 0; i < 3; i++)
        show_name("a");
    must("DEALLOCATE ALL");
    show_name("a");
}
END_TEST

START_TEST(a_refused_statement_is_refused_each_time_alike)
{
    must("CREATE UNIQUE INDEX ON things (name)");
    must("INSERT INTO things VALUES ('a', 1)");
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(run_in(store, "INSERT INTO things VALUES ('a', 2)"), RL_E_EXISTS);
        ck_assert_int_eq(run_in(store, "SELECT nothing FROM nowhere"), RL_E_INTERNAL);
    }
    expect_prepared("0", "SELECT nothing");
    must("CREATE TABLE nowhere AS SELECT 1 AS nothing");
    must("SELECT nothing FROM nowhere");
}
END_TEST

static rl_code ask_planned(struct rl_db *db, void *context, struct rl_error *e)
{
    struct rl_rows *rows;
    const struct rl_param params[] = {rl_param_text("a"), rl_param_null()};
    rl_code rc = rl_query_planned(db,
                                  "SELECT n FROM things WHERE name = $1"
                                  " AND ($2::bigint IS NULL OR n = $2)",
                                  params, RL_COUNT(params), &rows, e);
    if (rc == RL_OK)
        *(int64_t *)context = rl_row_int(rows, 0, 0);
    rl_rows_free(&rows);
    return rc;
}

START_TEST(does_not_prepare_what_is_to_be_planned_for_its_values)
{
    must("INSERT INTO things VALUES ('a', 7)");
    for (int i = 0; i < 3; i++) {
        int64_t n = 0;
        ck_assert_int_eq(rl_store_transaction(store, ask_planned, &n, &err), RL_OK);
        ck_assert_int_eq(n, 7);
    }
    expect_prepared("0", "SELECT n FROM");
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("prepared");
    tcase_add_unchecked_fixture(t, start_server, stop_server);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, prepares_what_comes_for_the_second_time);
    tcase_add_test(t, knows_a_text_wherever_it_lies);
    tcase_add_test(t, the_same_text_with_other_types_is_another_statement);
    tcase_add_test(t, keeps_a_bounded_number_and_drops_what_was_used_longest_ago);
    tcase_add_test(t, prepares_anew_on_a_new_connection);
    tcase_add_test(t, goes_on_after_a_column_has_another_type);
    tcase_add_test(t, goes_on_when_somebody_took_the_statements_away);
    tcase_add_test(t, does_not_prepare_what_is_to_be_planned_for_its_values);
    tcase_add_test(t, a_refused_statement_is_refused_each_time_alike);
    Suite *s = suite_create("prepared");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_set_fork_status(r, CK_NOFORK); /* tests restart the server: it has to be their child */
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
