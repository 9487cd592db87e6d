/* leaf_attachments: SQL about which of a leaf's brokers is attached to which of ours. */
#include "db/peers.h"

#include "message.h"

rl_code rl_leaf_attachments_offer(struct rl_db *db, const char *leaf, const char *replica,
                                  const char *holder_id, uint64_t *epoch, struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err,
                          "INSERT INTO leaf_attachments (leaf, replica, holder_id, offered_epoch)"
                          " SELECT name, $2::uuid, $3::uuid, nextval('attachment_epoch')"
                          " FROM remote_clusters WHERE name = $1"
                          " ON CONFLICT (leaf, replica, holder_id) DO UPDATE"
                          " SET offered_epoch = excluded.offered_epoch RETURNING offered_epoch",
                          rl_param_text(leaf), rl_param_text(replica), rl_param_text(holder_id));
    if (rc == RL_OK && rl_rows_count(rows) == 0)
        rc = rl_fail(err, RL_E_DENIED, "%.253s is no leaf of this cluster", leaf);
    if (rc == RL_OK)
        *epoch = (uint64_t)rl_row_int(rows, 0, 0);
    rl_rows_free(&rows);
    return rc;
}

rl_code rl_leaf_attachments_attach(struct rl_db *db, const char *leaf, const char *replica,
                                   const char *holder_id, uint64_t epoch, const char *peer_address,
                                   const char *version, struct rl_error *err)
{
    size_t n = 0;
    rl_code rc = rl_exec(db, &n, err,
                         "UPDATE leaf_attachments SET epoch = $4, is_attached = true,"
                         " peer_address = $5, changed = now() WHERE leaf = $1 AND replica = $2"
                         " AND holder_id = $3 AND offered_epoch = $4 AND epoch <= $4",
                         rl_param_text(leaf), rl_param_text(replica), rl_param_text(holder_id),
                         rl_param_int((int64_t)epoch), rl_param_text(peer_address));
    if (rc == RL_OK && n == 0)
        return rl_fail(err, RL_E_ABORTED, "a later attachment took the place of epoch %llu",
                       (unsigned long long)epoch);
    if (rc == RL_OK)
        rc = rl_exec(db, NULL, err,
                     "UPDATE remote_clusters SET last_seen = now(), version = $2 WHERE name = $1",
                     rl_param_text(leaf), rl_param_text(version));
    return rc;
}

rl_code rl_leaf_attachments_detach(struct rl_db *db, const char *leaf, const char *replica,
                                   const char *holder_id, uint64_t epoch, bool *was_attached,
                                   struct rl_error *err)
{
    size_t n = 0;
    rl_code rc = rl_exec(db, &n, err,
                         "UPDATE leaf_attachments SET is_attached = false, changed = now()"
                         " WHERE leaf = $1 AND replica = $2 AND holder_id = $3 AND epoch = $4"
                         " AND is_attached",
                         rl_param_text(leaf), rl_param_text(replica), rl_param_text(holder_id),
                         rl_param_int((int64_t)epoch));
    if (rc != RL_OK)
        return rc;
    *was_attached = n > 0;
    return n == 0 ? RL_OK
                  : rl_exec(db, NULL, err,
                            "UPDATE remote_clusters SET last_seen = now() WHERE name = $1",
                            rl_param_text(leaf));
}

rl_code rl_leaf_attachments_keep(struct rl_db *db, const char *holder_id, const char *const *ids,
                                 size_t count, struct rl_error *err)
{
    rl_code rc = rl_exec(
        db, NULL, err,
        "WITH gone AS (UPDATE leaf_attachments SET is_attached = false, changed = now()"
        "  WHERE holder_id = $1 AND is_attached"
        "  AND NOT 'cluster/' || leaf || '/' || replica::text = ANY ($2) RETURNING leaf)"
        " UPDATE remote_clusters SET last_seen = now() WHERE name IN (SELECT leaf FROM gone)",
        rl_param_text(holder_id), rl_param_texts(ids, count));
    if (rc == RL_OK)
        rc = rl_exec(db, NULL, err,
                     "UPDATE leaf_attachments SET is_attached = true, changed = now()"
                     " WHERE holder_id = $1 AND NOT is_attached"
                     " AND 'cluster/' || leaf || '/' || replica::text = ANY ($2)"
                     " AND epoch = offered_epoch AND epoch > 0",
                     rl_param_text(holder_id), rl_param_texts(ids, count));
    return rc;
}

rl_code rl_leaf_attachments_holders(struct rl_db *db, const char *leaf, char ***holders,
                                    size_t *count, struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err,
                          "SELECT a.holder_id FROM leaf_attachments a JOIN leases l"
                          " ON l.id = a.holder_id AND l.expires > now() AND l.kind = 'broker'"
                          " WHERE a.leaf = $1 AND a.is_attached"
                          " GROUP BY a.holder_id ORDER BY max(a.epoch) DESC",
                          rl_param_text(leaf));
    for (size_t i = 0; rc == RL_OK && i < rl_rows_count(rows); i++)
        rl_message_append(holders, count, rl_strdup(rl_row_text(rows, i, 0)));
    rl_rows_free(&rows);
    return rc;
}

rl_code rl_leaf_attachments_prune(struct rl_db *db, struct rl_error *err)
{
    return rl_exec(
        db, NULL, err,
        "WITH gone AS (UPDATE leaf_attachments a SET is_attached = false, changed = now()"
        "  WHERE is_attached AND NOT EXISTS (SELECT FROM leases l WHERE l.id = a.holder_id"
        "   AND l.expires > now() - interval '1 hour') RETURNING a.leaf, a.holder_id)"
        " UPDATE remote_clusters c SET last_seen = greatest(c.last_seen, l.last_seen)"
        " FROM gone g JOIN leases l ON l.id = g.holder_id WHERE c.name = g.leaf");
}
