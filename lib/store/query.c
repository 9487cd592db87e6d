/* query: statements with parameters, both ways in PostgreSQL's binary format: nothing is quoted, so
 * nothing can be quoted wrongly.
 */
#include "store/internal.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Source: PostgreSQL, src/include/catalog/pg_type.dat. */
#define OID_ANY 0
#define OID_BOOL 16
#define OID_BYTEA 17
#define OID_INT8 20
#define OID_TEXT 25
#define OID_BYTEA_ARRAY 1001
#define OID_TEXT_ARRAY 1009
#define OID_INT8_ARRAY 1016
#define OID_TIMESTAMPTZ 1184

#define UNIX_SECONDS_OF_2000 INT64_C(946684800)
#define ARRAY_ITEMS_MAX (1024 * 1024)
/* Of all arrays of a statement. */
#define ARRAY_BYTES_MAX ((size_t)256 * 1024 * 1024)

/* ---- parameters ---- */

struct rl_param rl_param_null(void)
{
    return (struct rl_param){.type = RL_PARAM_NULL};
}

struct rl_param rl_param_text(const char *text)
{
    if (!text)
        return rl_param_null();
    return (struct rl_param){.type = RL_PARAM_TEXT, .value.text = text};
}

struct rl_param rl_param_int(int64_t number)
{
    return (struct rl_param){.type = RL_PARAM_INT, .value.number = number};
}

struct rl_param rl_param_bool(bool flag)
{
    return (struct rl_param){.type = RL_PARAM_BOOL, .value.number = flag};
}

struct rl_param rl_param_bytes(struct rl_span bytes)
{
    return (struct rl_param){.type = RL_PARAM_BYTES, .value.bytes = bytes};
}

struct rl_param rl_param_time(int64_t time_ns)
{
    return (struct rl_param){.type = RL_PARAM_TIME, .value.number = time_ns};
}

static struct rl_param list_of(enum rl_param_type type, const void *items, size_t count)
{
    return (struct rl_param){.type = type, .value.list = {items, count}};
}

struct rl_param rl_param_texts(const char *const *items, size_t count)
{
    return list_of(RL_PARAM_TEXTS, items, count);
}

struct rl_param rl_param_ints(const int64_t *items, size_t count)
{
    return list_of(RL_PARAM_INTS, items, count);
}

struct rl_param rl_param_bytes_list(const struct rl_span *items, size_t count)
{
    return list_of(RL_PARAM_BYTES_LIST, items, count);
}

/* ---- on the wire ---- */

/* The parameters as libpq takes them. What had to be encoded lies in `encoded`; its places are
 * known only when it has stopped growing. */
struct wire {
    Oid types[RL_PARAMS_MAX];
    const char *values[RL_PARAMS_MAX];
    int lengths[RL_PARAMS_MAX], formats[RL_PARAMS_MAX];
    bool is_encoded[RL_PARAMS_MAX];
    size_t offsets[RL_PARAMS_MAX];
    struct rl_buf encoded;
};

static int64_t to_postgres_time(int64_t time_ns)
{
    int64_t us = time_ns / 1000 - (time_ns % 1000 < 0 ? 1 : 0); /* down, before 1970 too */
    return us - UNIX_SECONDS_OF_2000 * 1000000;
}

static void put_item(struct rl_buf *to, const struct rl_param *param, size_t i)
{
    if (param->type == RL_PARAM_TEXTS) {
        rl_buf_put_string(to, rl_span_of(((const char *const *)param->value.list.items)[i]));
    } else if (param->type == RL_PARAM_BYTES_LIST) {
        rl_buf_put_string(to, ((const struct rl_span *)param->value.list.items)[i]);
    } else {
        rl_buf_put_u32(to, 8);
        rl_buf_put_u64(to, (uint64_t)((const int64_t *)param->value.list.items)[i]);
    }
}

/* Dimensions, has-NULLs, element type, then for the one dimension its size and lower bound. */
static void put_array(struct rl_buf *to, const struct rl_param *param, Oid element)
{
    size_t count = param->value.list.count;
    rl_buf_put_u32(to, count ? 1 : 0);
    rl_buf_put_u32(to, 0);
    rl_buf_put_u32(to, element);
    if (!count)
        return;
    rl_buf_put_u32(to, (uint32_t)count);
    rl_buf_put_u32(to, 1);
    for (size_t i = 0; i < count && !to->failed; i++)
        put_item(to, param, i);
}

static Oid encode(struct rl_buf *to, const struct rl_param *param)
{
    switch (param->type) {
    case RL_PARAM_INT:
        rl_buf_put_u64(to, (uint64_t)param->value.number);
        return OID_INT8;
    case RL_PARAM_BOOL:
        rl_buf_put_u8(to, param->value.number != 0);
        return OID_BOOL;
    case RL_PARAM_TIME:
        rl_buf_put_u64(to, (uint64_t)to_postgres_time(param->value.number));
        return OID_TIMESTAMPTZ;
    case RL_PARAM_TEXTS:
        put_array(to, param, OID_TEXT);
        return OID_TEXT_ARRAY;
    case RL_PARAM_INTS:
        put_array(to, param, OID_INT8);
        return OID_INT8_ARRAY;
    case RL_PARAM_BYTES_LIST:
        put_array(to, param, OID_BYTEA);
        return OID_BYTEA_ARRAY;
    case RL_PARAM_NULL:
    case RL_PARAM_TEXT:
    case RL_PARAM_BYTES:
        break;
    }
    return OID_ANY;
}

static rl_code check_size(const struct rl_param *param, struct rl_error *err)
{
    bool is_list = param->type == RL_PARAM_TEXTS || param->type == RL_PARAM_INTS ||
                   param->type == RL_PARAM_BYTES_LIST;
    if (is_list && param->value.list.count > ARRAY_ITEMS_MAX)
        return rl_fail(err, RL_E_INVAL, "a list of %zu items is more than the database is sent",
                       param->value.list.count);
    if (param->type == RL_PARAM_BYTES && param->value.bytes.n > INT_MAX)
        return rl_fail(err, RL_E_INVAL, "%zu bytes are more than the database is sent",
                       param->value.bytes.n);
    return RL_OK;
}

static void put_param(struct wire *wire, size_t i, const struct rl_param *param)
{
    wire->formats[i] = param->type != RL_PARAM_TEXT;
    if (param->type == RL_PARAM_TEXT) {
        wire->values[i] = param->value.text;
    } else if (param->type == RL_PARAM_BYTES) {
        wire->types[i] = OID_BYTEA;
        wire->values[i] = param->value.bytes.p ? (const char *)param->value.bytes.p : "";
        wire->lengths[i] = (int)param->value.bytes.n;
    } else if (param->type != RL_PARAM_NULL) {
        wire->is_encoded[i] = true;
        wire->offsets[i] = wire->encoded.n;
        wire->types[i] = encode(&wire->encoded, param);
        wire->lengths[i] = (int)(wire->encoded.n - wire->offsets[i]);
    }
}

static rl_code wire_init(struct wire *wire, const struct rl_param *params, size_t count,
                         struct rl_error *err)
{
    RL_ASSERT(count <= RL_PARAMS_MAX);
    *wire = (struct wire){0};
    rl_buf_init(&wire->encoded, ARRAY_BYTES_MAX);
    for (size_t i = 0; i < count; i++) {
        rl_code rc = check_size(&params[i], err);
        if (rc != RL_OK)
            return rc;
        put_param(wire, i, &params[i]);
    }
    if (wire->encoded.failed)
        return rl_fail(err, RL_E_INVAL, "the lists are larger than the database is sent");
    for (size_t i = 0; i < count; i++)
        if (wire->is_encoded[i])
            wire->values[i] = (const char *)wire->encoded.p + wire->offsets[i];
    return RL_OK;
}

/* ---- statements ---- */

typedef PGresult *(*call_fn)(struct rl_db *db, const struct rl_call *call);

static rl_code send(struct rl_db *db, call_fn fn, const char *sql, const struct rl_param *params,
                    size_t count, PGresult **out, struct rl_error *err)
{
    struct wire wire;
    rl_code rc = wire_init(&wire, params, count, err);
    if (rc == RL_OK) {
        const struct rl_call call = {sql,         count,        wire.types,
                                     wire.values, wire.lengths, wire.formats};
        PGresult *result = fn(db, &call);
        ExecStatusType status = PQresultStatus(result);
        if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
            *out = result;
        } else {
            rc = rl_db_fail(db, result, err);
            PQclear(result);
        }
    }
    rl_buf_fini(&wire.encoded);
    return rc;
}

rl_code rl_query_params(struct rl_db *db, const char *sql, const struct rl_param *params,
                        size_t count, struct rl_rows **rows, struct rl_error *err)
{
    PGresult *result = NULL;
    rl_code rc = send(db, rl_db_call, sql, params, count, &result, err);
    if (rc == RL_OK)
        *rows = rl_rows_create(result);
    return rc;
}

rl_code rl_query_planned(struct rl_db *db, const char *sql, const struct rl_param *params,
                         size_t count, struct rl_rows **rows, struct rl_error *err)
{
    PGresult *result = NULL;
    rl_code rc = send(db, rl_db_call_once, sql, params, count, &result, err);
    if (rc == RL_OK)
        *rows = rl_rows_create(result);
    return rc;
}

rl_code rl_exec_params(struct rl_db *db, const char *sql, const struct rl_param *params,
                       size_t count, size_t *affected, struct rl_error *err)
{
    PGresult *result = NULL;
    rl_code rc = send(db, rl_db_call, sql, params, count, &result, err);
    if (rc != RL_OK)
        return rc;
    if (affected)
        *affected = strtoul(PQcmdTuples(result), NULL, 10);
    PQclear(result);
    return RL_OK;
}

rl_code rl_db_script(struct rl_db *db, const char *sql, struct rl_error *err)
{
    PGresult *result = PQexec(db->pg, sql);
    ExecStatusType status = PQresultStatus(result);
    rl_code rc = RL_OK;
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY)
        rc = rl_db_fail(db, result, err);
    PQclear(result);
    return rc;
}

const char *rl_db_constraint(const struct rl_db *db)
{
    return db->constraint;
}
