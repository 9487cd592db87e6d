#include "db/errands.h"

#include "message.h"

#include <stdlib.h>

void rl_errand_free(struct rl_errand **errand)
{
    struct rl_errand *e = *errand;
    *errand = NULL;
    if (!e)
        return;
    free(e->kind);
    free(e->root);
    free(e->proxy);
    if (e->trust)
        pb__trust_bundle__free_unpacked(e->trust, NULL);
    rl_buf_fini(&e->trust_id);
    free(e);
}

rl_code rl_errands_add(struct rl_db *db, const char *kind, const char *root, struct rl_error *err)
{
    return rl_exec(db, NULL, err,
                   "INSERT INTO errands (kind, trust_id, root, proxy, trust)"
                   " SELECT $1, trust_id, name, proxy, trust FROM trusted_clusters WHERE name = $2"
                   " ON CONFLICT (kind, trust_id) DO NOTHING",
                   rl_param_text(kind), rl_param_text(root));
}

rl_code rl_errands_add_updates(struct rl_db *db, struct rl_span own_sha256, struct rl_error *err)
{
    return rl_exec(db, NULL, err,
                   "INSERT INTO errands (kind, trust_id, root, proxy, trust)"
                   " SELECT 'update', trust_id, name, proxy, trust FROM trusted_clusters"
                   " WHERE enabled AND told_sha256 <> $1 ON CONFLICT (kind, trust_id) DO NOTHING",
                   rl_param_bytes(own_sha256));
}

static rl_code errand_of(struct rl_rows *rows, struct rl_errand **out, struct rl_error *err)
{
    struct rl_span trust = rl_row_bytes(rows, 0, 3);
    struct rl_errand *e = rl_alloc(sizeof *e);
    e->kind = rl_strdup(rl_row_text(rows, 0, 0));
    e->root = rl_strdup(rl_row_text(rows, 0, 1));
    e->proxy = rl_strdup(rl_row_text(rows, 0, 2));
    e->trust = pb__trust_bundle__unpack(NULL, trust.n, trust.p);
    rl_buf_init(&e->trust_id, RL_TRUST_ID_BYTES);
    rl_buf_put_span(&e->trust_id, rl_row_bytes(rows, 0, 4));
    if (e->trust) {
        *out = e;
        return RL_OK;
    }
    rl_fail(err, RL_E_DATA_LOSS, "the authorities of %s can not be read", e->root);
    rl_errand_free(&e);
    return RL_E_DATA_LOSS;
}

/* The address and the authorities are those of now, where the trust is still there. */
rl_code rl_errands_take(struct rl_db *db, struct rl_errand **out, struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_exec(db, NULL, err,
                         "DELETE FROM errands WHERE kind = 'leave'"
                         " AND created < now() - make_interval(days => $1::integer)",
                         rl_param_int(RL_ERRAND_LEAVE_DAYS));
    if (rc == RL_OK)
        rc = rl_query(
            db, &rows, err,
            "UPDATE errands e SET tries = tries + 1,"
            " next = now() + make_interval(secs => least(2 ^ least(tries, 10), $1::bigint))"
            " FROM (SELECT kind, trust_id FROM errands WHERE next <= now() ORDER BY next LIMIT 1"
            "  FOR UPDATE SKIP LOCKED) d LEFT JOIN trusted_clusters c ON c.trust_id = d.trust_id"
            " WHERE e.kind = d.kind AND e.trust_id = d.trust_id"
            " RETURNING e.kind, e.root, coalesce(c.proxy, e.proxy), coalesce(c.trust, e.trust),"
            " e.trust_id",
            rl_param_int(RL_ERRAND_RETRY_S_MAX));
    if (rc == RL_OK && rl_rows_count(rows))
        rc = errand_of(rows, out, err);
    rl_rows_free(&rows);
    return rc;
}

rl_code rl_errands_done(struct rl_db *db, const char *kind, struct rl_span trust_id,
                        struct rl_error *err)
{
    return rl_exec(db, NULL, err, "DELETE FROM errands WHERE kind = $1 AND trust_id = $2",
                   rl_param_text(kind), rl_param_bytes(trust_id));
}

rl_code rl_errands_drop(struct rl_db *db, struct rl_span trust_id, struct rl_error *err)
{
    return rl_exec(db, NULL, err, "DELETE FROM errands WHERE trust_id = $1 AND kind <> 'leave'",
                   rl_param_bytes(trust_id));
}
