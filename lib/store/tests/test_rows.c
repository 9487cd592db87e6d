#include "store/store.h"
#include "testpg.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct rl_testpg *pg;
static struct rl_store *store;

static void set_up(void)
{
    pg = rl_testpg_create();
    struct rl_store_options options = {
        .conninfo = rl_testpg_conninfo(pg), .schema = "demo", .connections = 1};
    ck_assert_int_eq(rl_store_open(&options, &store, NULL), RL_OK);
}

static void tear_down(void)
{
    rl_store_close(&store);
    rl_testpg_free(&pg);
}

static void in_transaction(rl_store_fn fn)
{
    struct rl_error err;
    ck_assert_msg(rl_store_transaction(store, fn, NULL, &err) == RL_OK, "%s", err.message);
}

static rl_code echo_all(struct rl_db *db, void *context, struct rl_error *err)
{
    (void)context;
    static const char *const texts[] = {"", "a,b", "{\"}", "Zürich", "it's; DROP TABLE x"};
    static const uint8_t bytes[] = {0, 1, 0xFF, '\\', '\'', 0};
    const char *const *items;
    struct rl_rows *rows;
    rl_code rc = rl_query(
        db, &rows, err,
        "SELECT $1::text, $2, $3, $4, $5, $6, $7::text, $8::uuid, $9::jsonb, $10::bytea",
        rl_param_text("it's \"x\" \\ $1 €"), rl_param_int(INT64_MIN), rl_param_bool(true),
        rl_param_bytes(RL_SPAN(bytes, sizeof bytes)), rl_param_time(INT64_C(1700000000123456789)),
        rl_param_texts(texts, RL_COUNT(texts)), rl_param_text(NULL),
        rl_param_text("0190a5d2-8c3e-7b1f-9a4d-0123456789ab"), rl_param_text("{\"a\": [1]}"),
        rl_param_bytes(RL_SPAN(NULL, 0)));
    if (rc != RL_OK)
        return rc;
    ck_assert_uint_eq(rl_rows_count(rows), 1);
    ck_assert_str_eq(rl_row_text(rows, 0, 0), "it's \"x\" \\ $1 €");
    ck_assert_int_eq(rl_row_int(rows, 0, 1), INT64_MIN);
    ck_assert(rl_row_bool(rows, 0, 2));
    ck_assert(rl_span_equal(rl_row_bytes(rows, 0, 3), RL_SPAN(bytes, sizeof bytes)));
    ck_assert_int_eq(rl_row_time(rows, 0, 4), INT64_C(1700000000123456000));
    ck_assert_uint_eq(rl_row_texts(rows, 0, 5, &items), RL_COUNT(texts));
    for (size_t i = 0; i < RL_COUNT(texts); i++)
        ck_assert_str_eq(items[i], texts[i]);
    ck_assert_ptr_null(rl_row_text(rows, 0, 6));
    ck_assert(rl_row_is_null(rows, 0, 6));
    ck_assert_str_eq(rl_row_text(rows, 0, 7), "0190a5d2-8c3e-7b1f-9a4d-0123456789ab");
    ck_assert_str_eq(rl_row_text(rows, 0, 8), "{\"a\": [1]}");
    ck_assert_uint_eq(rl_row_bytes(rows, 0, 9).n, 0);
    ck_assert(!rl_row_is_null(rows, 0, 9));
    rc = rl_rows_check(rows, err);
    rl_rows_free(&rows);
    return rc;
}

START_TEST(what_goes_in_comes_out)
{
    in_transaction(echo_all);
}
END_TEST

static rl_code read_odd(struct rl_db *db, void *context, struct rl_error *err)
{
    (void)context;
    const char *const *items;
    struct rl_rows *rows;
    rl_code rc = rl_query(db, &rows, err,
                          "SELECT 7::smallint, -7::integer, 'x'::varchar(9), 'y'::name,"
                          " '{}'::text[], ARRAY['a', NULL], 'infinity'::timestamptz,"
                          " '-infinity'::timestamptz, $1, $2::bigint[], $3::bytea[], NULL::bigint,"
                          " '{\"a\": 1}'::json",
                          rl_param_time(-1), rl_param_ints((const int64_t[]){1, -2}, 2),
                          rl_param_bytes_list((const struct rl_span[]){{NULL, 0}}, 1));
    if (rc != RL_OK)
        return rc;
    ck_assert_int_eq(rl_row_int(rows, 0, 0), 7);
    ck_assert_int_eq(rl_row_int(rows, 0, 1), -7);
    ck_assert_str_eq(rl_row_text(rows, 0, 2), "x");
    ck_assert_str_eq(rl_row_text(rows, 0, 3), "y");
    ck_assert_uint_eq(rl_row_texts(rows, 0, 4, &items), 0);
    ck_assert_uint_eq(rl_row_texts(rows, 0, 5, &items), 2);
    ck_assert_str_eq(items[1], "");
    ck_assert_int_eq(rl_row_time(rows, 0, 6), INT64_MAX);
    ck_assert_int_eq(rl_row_time(rows, 0, 7), INT64_MIN);
    ck_assert_int_eq(rl_row_time(rows, 0, 8), -1000); /* down to the microsecond before */
    ck_assert_int_eq(rl_row_int(rows, 0, 11), 0);
    ck_assert_str_eq(rl_row_text(rows, 0, 12), "{\"a\": 1}");
    rc = rl_rows_check(rows, err);
    rl_rows_free(&rows);
    return rc;
}

START_TEST(reads_the_kin_of_each_type)
{
    in_transaction(read_odd);
}
END_TEST

static rl_code unfold(struct rl_db *db, void *context, struct rl_error *err)
{
    (void)context;
    static const char *const names[] = {"a", "b", "c"};
    static const int64_t numbers[] = {1, 2, 3};
    struct rl_rows *rows;
    size_t affected = 0;
    rl_code rc = rl_exec(db, NULL, err, "CREATE TEMP TABLE t (name text, n int)");
    if (rc == RL_OK)
        rc = rl_exec(db, &affected, err,
                     "INSERT INTO t SELECT * FROM unnest($1::text[], $2::bigint[])",
                     rl_param_texts(names, 3), rl_param_ints(numbers, 3));
    ck_assert_uint_eq(affected, 3);
    if (rc == RL_OK)
        rc = rl_query(db, &rows, err, "SELECT name, n FROM t WHERE name = ANY($1) ORDER BY n DESC",
                      rl_param_texts(names + 1, 2));
    if (rc != RL_OK)
        return rc;
    ck_assert_uint_eq(rl_rows_count(rows), 2);
    ck_assert_str_eq(rl_row_text(rows, 0, 0), "c");
    ck_assert_int_eq(rl_row_int(rows, 1, 1), 2);
    rl_rows_free(&rows);
    return RL_OK;
}

START_TEST(sends_many_rows_as_arrays)
{
    in_transaction(unfold);
}
END_TEST

/* Reads by one reader and tells whether that was noticed. */
static bool is_refused(struct rl_db *db, const char *sql, char reader)
{
    struct rl_rows *rows;
    struct rl_error err = {0};
    const char *const *items;
    ck_assert_int_eq(rl_query(db, &rows, &err, sql), RL_OK);
    switch (reader) {
    case 't':
        ck_assert_ptr_null(rl_row_text(rows, 0, 0));
        break;
    case 'i':
        ck_assert_int_eq(rl_row_int(rows, 0, 0), 0);
        break;
    case 'b':
        ck_assert(!rl_row_bool(rows, 0, 0));
        break;
    case 'y':
        ck_assert_uint_eq(rl_row_bytes(rows, 0, 0).n, 0);
        break;
    case 'w':
        ck_assert_int_eq(rl_row_time(rows, 0, 0), 0);
        break;
    case 'l':
        ck_assert_uint_eq(rl_row_texts(rows, 0, 0, &items), 0);
        break;
    default:
        rl_row_int(rows, 0, 5);
    }
    rl_code rc = rl_rows_check(rows, &err);
    rl_rows_free(&rows);
    return rc == RL_E_INTERNAL && strstr(err.message, "column ") != NULL;
}

static rl_code read_wrongly(struct rl_db *db, void *context, struct rl_error *err)
{
    (void)context;
    (void)err;
    ck_assert(is_refused(db, "SELECT 1", 't'));
    ck_assert(is_refused(db, "SELECT 1.5", 'i'));
    ck_assert(is_refused(db, "SELECT 'x'::text", 'i'));
    ck_assert(is_refused(db, "SELECT 1", 'b'));
    ck_assert(is_refused(db, "SELECT 'x'::text", 'y'));
    ck_assert(is_refused(db, "SELECT now()::timestamp", 'w'));
    ck_assert(is_refused(db, "SELECT 'x'::text", 'l'));
    ck_assert(is_refused(db, "SELECT ARRAY[1,2]", 'l'));
    ck_assert(is_refused(db, "SELECT ARRAY[['a'],['b']]", 'l'));
    ck_assert(is_refused(db, "SELECT 1 WHERE false", 'i'));
    ck_assert(is_refused(db, "SELECT 1", '?'));
    return RL_OK;
}

START_TEST(notices_what_is_read_as_something_else)
{
    in_transaction(read_wrongly);
}
END_TEST

static rl_code send_bad_text(struct rl_db *db, void *context, struct rl_error *err)
{
    (void)context;
    return rl_exec(db, NULL, err, "SELECT $1::text", rl_param_text("\xFF"));
}

START_TEST(refuses_text_that_is_not_utf8)
{
    struct rl_error err;
    ck_assert_int_eq(rl_store_transaction(store, send_bad_text, NULL, &err), RL_E_INVAL);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("rows");
    tcase_add_unchecked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, what_goes_in_comes_out);
    tcase_add_test(t, reads_the_kin_of_each_type);
    tcase_add_test(t, sends_many_rows_as_arrays);
    tcase_add_test(t, notices_what_is_read_as_something_else);
    tcase_add_test(t, refuses_text_that_is_not_utf8);
    Suite *s = suite_create("rows");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_set_fork_status(r, CK_NOFORK); /* the pool's connections are this process's */
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
