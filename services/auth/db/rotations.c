#include "db/rotations.h"

#include "message.h"

#include <stdlib.h>

static Pb__Rotation *rotation_of(struct rl_rows *rows, size_t row)
{
    Pb__Rotation *r = rl_message_create(&pb__rotation__descriptor);
    rl_message_text(&r->kind, rl_row_text(rows, row, 0));
    rl_message_text(&r->phase, rl_row_text(rows, row, 1));
    r->is_manual = rl_row_bool(rows, row, 2);
    r->grace_s = (uint64_t)rl_row_int(rows, row, 3);
    r->started_ns = rl_row_time(rows, row, 4);
    if (!rl_row_is_null(rows, row, 5))
        r->next_ns = rl_row_time(rows, row, 5);
    return r;
}

void rl_rotations_free(Pb__Rotation ***rotations, size_t count)
{
    for (size_t i = 0; *rotations && i < count; i++)
        pb__rotation__free_unpacked((*rotations)[i], NULL);
    free(*rotations);
    *rotations = NULL;
}

rl_code rl_rotations_list(struct rl_db *db, Pb__Rotation ***out, size_t *count,
                          struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err,
                          "SELECT kind, phase, is_manual, grace_s, started, next"
                          " FROM rotations ORDER BY kind");
    if (rc != RL_OK)
        return rc;
    Pb__Rotation **list = NULL;
    size_t n = 0;
    for (size_t i = 0; i < rl_rows_count(rows); i++)
        rl_message_append(&list, &n, rotation_of(rows, i));
    rc = rl_rows_check(rows, err);
    rl_rows_free(&rows);
    if (rc == RL_OK) {
        *out = list;
        *count = n;
    } else {
        rl_rotations_free(&list, n);
    }
    return rc;
}

rl_code rl_rotations_put(struct rl_db *db, const Pb__Rotation *r, struct rl_error *err)
{
    return rl_exec(db, NULL, err,
                   "INSERT INTO rotations (kind, phase, is_manual, grace_s, started, next)"
                   " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (kind) DO UPDATE SET phase = $2,"
                   " is_manual = $3, grace_s = $4, started = $5, next = $6",
                   rl_param_text(r->kind), rl_param_text(r->phase), rl_param_bool(r->is_manual),
                   rl_param_int((int64_t)r->grace_s), rl_param_time(r->started_ns),
                   r->next_ns ? rl_param_time(r->next_ns) : rl_param_null());
}

rl_code rl_rotations_delete(struct rl_db *db, const char *kind, struct rl_error *err)
{
    return rl_exec(db, NULL, err, "DELETE FROM rotations WHERE kind = $1", rl_param_text(kind));
}

rl_code rl_authorities_move(struct rl_db *db, const char *kind, const char *from, const char *to,
                            struct rl_error *err)
{
    return rl_exec(db, NULL, err,
                   "UPDATE authorities SET phase = $3 WHERE kind = $1 AND phase = $2",
                   rl_param_text(kind), rl_param_text(from), rl_param_text(to));
}

rl_code rl_authorities_remove(struct rl_db *db, const char *kind, const char *phase,
                              struct rl_error *err)
{
    return rl_exec(db, NULL, err, "DELETE FROM authorities WHERE kind = $1 AND phase = $2",
                   rl_param_text(kind), rl_param_text(phase));
}

rl_code rl_authorities_retire(struct rl_db *db, const char *kind, struct rl_error *err)
{
    return rl_exec(db, NULL, err,
                   "UPDATE authorities SET phase = 'retired', private_key = '', retired = now()"
                   " WHERE kind = $1 AND phase = 'retiring'",
                   rl_param_text(kind));
}

rl_code rl_authorities_prune(struct rl_db *db, uint64_t certificate_life_s, struct rl_error *err)
{
    return rl_exec(db, NULL, err,
                   "DELETE FROM authorities WHERE phase = 'retired'"
                   " AND retired < now() - make_interval(secs => $1::double precision)",
                   rl_param_int((int64_t)certificate_life_s));
}
