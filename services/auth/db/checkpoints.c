/* checkpoints: rows of signed bytes. */
#include "db/checkpoints.h"

#include "message.h"

#include <stdlib.h>

rl_code rl_checkpoints_lock(struct rl_db *db, struct rl_error *err)
{
    return rl_exec(db, NULL, err,
                   "SELECT pg_advisory_xact_lock(hashtextextended('audit checkpoint', 0))");
}

static Pb__SignedCheckpoint *signed_of(struct rl_rows *rows, size_t row)
{
    Pb__SignedCheckpoint *made = rl_message_create(&pb__signed_checkpoint__descriptor);
    rl_message_bytes(&made->checkpoint, rl_row_bytes(rows, row, 0));
    rl_message_bytes(&made->signature, rl_row_bytes(rows, row, 1));
    rl_message_text(&made->key_id, rl_row_text(rows, row, 2));
    return made;
}

rl_code rl_checkpoints_last(struct rl_db *db, Pb__SignedCheckpoint **out, int64_t *age_ms,
                            struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err,
                          "SELECT checkpoint, signature, key_id,"
                          " (extract(epoch FROM clock_timestamp() - made) * 1000)::bigint"
                          " FROM checkpoints ORDER BY number DESC LIMIT 1");
    if (rc != RL_OK)
        return rc;
    *out = NULL;
    if (rl_rows_count(rows) == 1) {
        *out = signed_of(rows, 0);
        *age_ms = rl_row_int(rows, 0, 3);
    }
    rc = rl_rows_check(rows, err);
    rl_rows_free(&rows);
    return rc;
}

rl_code rl_checkpoints_add(struct rl_db *db, uint64_t number, const Pb__SignedCheckpoint *made,
                           struct rl_error *err)
{
    rl_code rc = rl_exec(db, NULL, err,
                         "INSERT INTO checkpoints (number, checkpoint, signature, key_id)"
                         " VALUES ($1, $2, $3, $4)",
                         rl_param_int((int64_t)number), rl_param_bytes(RL_BINARY(made->checkpoint)),
                         rl_param_bytes(RL_BINARY(made->signature)), rl_param_text(made->key_id));
    if (rc == RL_OK)
        rc = rl_exec(db, NULL, err,
                     "DELETE FROM checkpoints WHERE made < now() - make_interval(days => $1::int)",
                     rl_param_int(RL_CHECKPOINTS_KEPT_DAYS));
    return rc;
}

rl_code rl_checkpoints_list(struct rl_db *db, uint64_t after, Pb__SignedCheckpoint ***out,
                            size_t *count, struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err,
                          "SELECT checkpoint, signature, key_id FROM checkpoints"
                          " WHERE number > $1 ORDER BY number LIMIT $2",
                          rl_param_int(after > INT64_MAX ? INT64_MAX : (int64_t)after),
                          rl_param_int(RL_CHECKPOINTS_PAGE));
    if (rc != RL_OK)
        return rc;
    *count = 0;
    for (size_t i = 0; i < rl_rows_count(rows); i++)
        rl_message_append(out, count, signed_of(rows, i));
    rc = rl_rows_check(rows, err);
    rl_rows_free(&rows);
    return rc;
}
