/* prepared: a statement that comes to a connection for the second time is prepared there, and from
 * then on is neither parsed nor, mostly, planned again. A statement is its text and the types of
 * its parameters: NULL has none, so the same text with NULL in a place is another. What comes once
 * costs the server nothing beyond the call.
 */
#include "store/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES 24

struct rl_statement {
    uint64_t hash;
    uint64_t used;   /* by the connection's count of uses: the one used longest ago goes first */
    uint64_t number; /* of its name; 0: came once, is not prepared */
    char *sql;
    size_t count;
    Oid types[RL_PARAMS_MAX];
};

/* FNV-1a: whoever writes the statements is us. */
static uint64_t hash_of(const char *sql, const Oid *types, size_t count)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (const char *p = sql; *p; p++)
        hash = (hash ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ types[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static bool is_same(const struct rl_statement *s, uint64_t hash, const struct rl_call *call)
{
    return s->hash == hash && s->count == call->count && strcmp(s->sql, call->sql) == 0 &&
           memcmp(s->types, call->types, call->count * sizeof *call->types) == 0;
}

static void name_of(const struct rl_statement *s, char name[NAME_BYTES])
{
    snprintf(name, NAME_BYTES, "s%llu", (unsigned long long)s->number);
}

void rl_db_forget_statements(struct rl_db *db)
{
    for (size_t i = 0; i < db->statement_count; i++) {
        free(db->statements[i]->sql);
        free(db->statements[i]);
    }
    db->statement_count = 0;
}

/* ---- keeping ---- */

static struct rl_statement *find(struct rl_db *db, uint64_t hash, const struct rl_call *call)
{
    for (size_t i = 0; i < db->statement_count; i++)
        if (is_same(db->statements[i], hash, call))
            return db->statements[i];
    return NULL;
}

/* Takes the one away that was used longest ago; false: the server did not let go of it. */
static bool drop_oldest(struct rl_db *db, PGresult **result)
{
    size_t oldest = 0;
    for (size_t i = 1; i < db->statement_count; i++)
        if (db->statements[i]->used < db->statements[oldest]->used)
            oldest = i;
    struct rl_statement *s = db->statements[oldest];
    if (s->number) {
        char name[NAME_BYTES], sql[NAME_BYTES + 16];
        name_of(s, name);
        snprintf(sql, sizeof sql, "DEALLOCATE %s", name);
        *result = PQexec(db->pg, sql);
        if (PQresultStatus(*result) != PGRES_COMMAND_OK)
            return false;
        PQclear(*result);
    }
    free(s->sql);
    free(s);
    db->statements[oldest] = db->statements[--db->statement_count];
    return true;
}

static bool remember(struct rl_db *db, uint64_t hash, const struct rl_call *call, PGresult **result)
{
    if (db->statement_count == RL_STATEMENTS_MAX && !drop_oldest(db, result))
        return false;
    struct rl_statement *s = rl_alloc(sizeof *s);
    s->hash = hash;
    s->used = ++db->uses;
    s->sql = rl_strdup(call->sql);
    s->count = call->count;
    memcpy(s->types, call->types, call->count * sizeof *call->types);
    db->statements[db->statement_count++] = s;
    return true;
}

/* ---- running ---- */

static bool prepare(struct rl_db *db, struct rl_statement *s, PGresult **result)
{
    char name[NAME_BYTES];
    if (s->number)
        return true;
    s->number = ++db->last_number;
    name_of(s, name);
    *result = PQprepare(db->pg, name, s->sql, (int)s->count, s->types);
    if (PQresultStatus(*result) != PGRES_COMMAND_OK) {
        s->number = 0;
        return false;
    }
    PQclear(*result);
    return true;
}

PGresult *rl_db_call_once(struct rl_db *db, const struct rl_call *call)
{
    return PQexecParams(db->pg, call->sql, (int)call->count, call->types, call->values,
                        call->lengths, call->formats, 1);
}

PGresult *rl_db_call(struct rl_db *db, const struct rl_call *call)
{
    uint64_t hash = hash_of(call->sql, call->types, call->count);
    struct rl_statement *s = find(db, hash, call);
    PGresult *result = NULL;
    if (!s) {
        if (!remember(db, hash, call, &result))
            return result;
        return rl_db_call_once(db, call);
    }
    s->used = ++db->uses;
    if (!prepare(db, s, &result))
        return result;
    char name[NAME_BYTES];
    name_of(s, name);
    return PQexecPrepared(db->pg, name, (int)call->count, call->values, call->lengths,
                          call->formats, 1);
}
