/* rows: typed reading of a result in binary format. Whatever the database holds, a reader returns;
 * what did not fit is remembered for rl_rows_check().
 */
#include "store/internal.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Source: PostgreSQL, src/include/catalog/pg_type.dat. */
enum oid {
    OID_BOOL = 16,
    OID_BYTEA = 17,
    OID_NAME = 19,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_TEXT = 25,
    OID_JSON = 114,
    OID_TEXT_ARRAY = 1009,
    OID_BPCHAR = 1042,
    OID_VARCHAR = 1043,
    OID_TIMESTAMPTZ = 1184,
    OID_UUID = 2950,
    OID_JSONB = 3802,
};

#define UNIX_SECONDS_OF_2000 INT64_C(946684800)
#define UUID_BYTES 16

/* What a reader had to make, until the rows are freed. */
struct made {
    struct made *next;
    void *bytes;
};

struct rl_rows {
    PGresult *result;
    struct made *made;
    char problem[160]; /* "": none yet */
};

struct rl_rows *rl_rows_create(PGresult *result)
{
    struct rl_rows *rows = rl_alloc(sizeof *rows);
    rows->result = result;
    return rows;
}

void rl_rows_free(struct rl_rows **rows)
{
    if (!rows || !*rows)
        return;
    while ((*rows)->made) {
        struct made *made = (*rows)->made;
        (*rows)->made = made->next;
        free(made->bytes);
        free(made);
    }
    PQclear((*rows)->result);
    free(*rows);
    *rows = NULL;
}

static void *keep(struct rl_rows *rows, void *bytes)
{
    struct made *made = rl_alloc(sizeof *made);
    *made = (struct made){rows->made, bytes};
    rows->made = made;
    return bytes;
}

size_t rl_rows_count(const struct rl_rows *rows)
{
    return (size_t)PQntuples(rows->result);
}

rl_code rl_rows_check(const struct rl_rows *rows, struct rl_error *err)
{
    if (!rows->problem[0])
        return RL_OK;
    return rl_fail(err, RL_E_INTERNAL, "the database answered with what was not asked for: %s",
                   rows->problem);
}

static void note(struct rl_rows *rows, size_t column, const char *what)
{
    if (rows->problem[0])
        return;
    const char *name = column < INT_MAX ? PQfname(rows->result, (int)column) : NULL;
    snprintf(rows->problem, sizeof rows->problem, "column %zu (%.63s) %s", column,
             name ? name : "there is none", what);
}

/* ---- a field ---- */

struct field {
    struct rl_cursor bytes;
    unsigned type;
    bool is_null; /* also when it is not there */
};

static struct field field_of(struct rl_rows *rows, size_t row, size_t column)
{
    struct field field = {.is_null = true};
    if (row >= (size_t)PQntuples(rows->result) || column >= (size_t)PQnfields(rows->result)) {
        note(rows, column, "is not in the answer");
        return field;
    }
    int r = (int)row, c = (int)column;
    field.type = PQftype(rows->result, c);
    field.is_null = PQgetisnull(rows->result, r, c) != 0;
    if (!field.is_null)
        field.bytes = rl_cursor_of(
            RL_SPAN(PQgetvalue(rows->result, r, c), (size_t)PQgetlength(rows->result, r, c)));
    return field;
}

bool rl_row_is_null(struct rl_rows *rows, size_t row, size_t column)
{
    return field_of(rows, row, column).is_null;
}

static const char *format_uuid(struct rl_rows *rows, struct field *field, size_t column)
{
    if (field->bytes.n != UUID_BYTES) {
        note(rows, column, "is not a uuid");
        return NULL;
    }
    const uint8_t *b = field->bytes.p;
    return keep(rows, rl_sprintf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
                                 "%02x%02x%02x%02x%02x%02x",
                                 b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10],
                                 b[11], b[12], b[13], b[14], b[15]));
}

const char *rl_row_text(struct rl_rows *rows, size_t row, size_t column)
{
    struct field field = field_of(rows, row, column);
    if (field.is_null)
        return NULL;
    switch (field.type) {
    case OID_TEXT:
    case OID_VARCHAR:
    case OID_BPCHAR:
    case OID_NAME:
    case OID_JSON:
        return (const char *)field.bytes.p; /* libpq puts a NUL behind every value */
    case OID_JSONB:                         /* a byte of version before the text */
        return field.bytes.n ? (const char *)field.bytes.p + 1 : NULL;
    case OID_UUID:
        return format_uuid(rows, &field, column);
    default:
        note(rows, column, "is not text");
        return NULL;
    }
}

int64_t rl_row_int(struct rl_rows *rows, size_t row, size_t column)
{
    struct field field = field_of(rows, row, column);
    if (field.is_null)
        return 0;
    int64_t value = 0;
    if (field.type == OID_INT8)
        value = (int64_t)rl_cursor_u64(&field.bytes);
    else if (field.type == OID_INT4)
        value = (int32_t)rl_cursor_u32(&field.bytes);
    else if (field.type == OID_INT2)
        value = (int16_t)rl_cursor_u16(&field.bytes);
    else
        field.bytes.failed = true;
    if (rl_cursor_done(&field.bytes))
        return value;
    note(rows, column, "is not an integer");
    return 0;
}

bool rl_row_bool(struct rl_rows *rows, size_t row, size_t column)
{
    struct field field = field_of(rows, row, column);
    if (field.is_null)
        return false;
    bool value = rl_cursor_u8(&field.bytes) != 0;
    if (field.type == OID_BOOL && rl_cursor_done(&field.bytes))
        return value;
    note(rows, column, "is not a boolean");
    return false;
}

struct rl_span rl_row_bytes(struct rl_rows *rows, size_t row, size_t column)
{
    struct field field = field_of(rows, row, column);
    if (!field.is_null && field.type == OID_BYTEA)
        return RL_SPAN(field.bytes.p, field.bytes.n);
    if (!field.is_null)
        note(rows, column, "is not bytes");
    return RL_SPAN(NULL, 0);
}

/* Beyond what nanoseconds reach ("infinity" is), the nearest that they do. */
static int64_t from_postgres_time(int64_t us)
{
    int64_t unix_us, ns;
    if (__builtin_add_overflow(us, UNIX_SECONDS_OF_2000 * 1000000, &unix_us) ||
        __builtin_mul_overflow(unix_us, 1000, &ns))
        return us < 0 ? INT64_MIN : INT64_MAX;
    return ns;
}

int64_t rl_row_time(struct rl_rows *rows, size_t row, size_t column)
{
    struct field field = field_of(rows, row, column);
    if (field.is_null)
        return 0;
    int64_t us = (int64_t)rl_cursor_u64(&field.bytes);
    if (field.type == OID_TIMESTAMPTZ && rl_cursor_done(&field.bytes))
        return from_postgres_time(us);
    note(rows, column, "is not a timestamptz");
    return 0;
}

/* ---- text[] ---- */

/* An item in the array's own memory has no NUL behind it. */
static const char *copy_item(struct rl_rows *rows, struct rl_cursor *from)
{
    uint32_t n = rl_cursor_u32(from);
    if (n == UINT32_MAX) /* NULL */
        return "";
    struct rl_span item = rl_cursor_bytes(from, n);
    return keep(rows, rl_sprintf("%.*s", (int)item.n, item.p ? (const char *)item.p : ""));
}

size_t rl_row_texts(struct rl_rows *rows, size_t row, size_t column, const char *const **items)
{
    static const char *const none[] = {NULL};
    struct field field = field_of(rows, row, column);
    *items = none;
    if (field.is_null)
        return 0;
    struct rl_cursor *from = &field.bytes;
    uint32_t dimensions = rl_cursor_u32(from);
    rl_cursor_u32(from); /* whether there are NULLs: each item says so itself */
    rl_cursor_u32(from); /* the element's type is that of the array */
    uint32_t count = dimensions == 1 ? rl_cursor_u32(from) : 0;
    if (dimensions == 1)
        rl_cursor_u32(from);
    bool is_good = field.type == OID_TEXT_ARRAY && dimensions <= 1 && !from->failed &&
                   count <= from->n / sizeof(uint32_t);
    const char **made = is_good ? keep(rows, rl_alloc_array(count, sizeof *made)) : NULL;
    for (uint32_t i = 0; is_good && i < count; i++)
        made[i] = copy_item(rows, from);
    if (!is_good || !rl_cursor_done(from)) {
        note(rows, column, "is not a list of text");
        return 0;
    }
    *items = made;
    return count;
}
