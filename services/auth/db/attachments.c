/* attachments: SQL about where agents are, and who is alive. An agent is online while a holder of
 * it has a lease: a million idle agents write nothing. */
#include "db/instances.h"

#include "db/labels.h"
#include "message.h"
#include "names/names.h"

#include <stdlib.h>
#include <string.h>

/* In one order, by whoever does it: rows are locked. */
rl_code rl_attachments_offer(struct rl_db *db, const char *holder_id, const char *const *agent_ids,
                             size_t count, struct rl_offered **out, size_t *offered_count,
                             struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err,
                          "WITH offered AS (INSERT INTO attachments"
                          "  (agent_id, holder_id, offered_epoch)"
                          "  SELECT id, $1, nextval('attachment_epoch') FROM instances"
                          "  WHERE id = ANY ($2::uuid[]) AND kind = 'agent' ORDER BY id"
                          "  ON CONFLICT (agent_id, holder_id) DO UPDATE"
                          "  SET offered_epoch = excluded.offered_epoch"
                          "  RETURNING agent_id, offered_epoch)"
                          " SELECT o.agent_id, i.name, o.offered_epoch FROM offered o"
                          " JOIN instances i ON i.id = o.agent_id",
                          rl_param_text(holder_id), rl_param_texts(agent_ids, count));
    if (rc != RL_OK)
        return rc;
    size_t n = rl_rows_count(rows);
    struct rl_offered *list = rl_alloc_array(n, sizeof *list);
    for (size_t i = 0; i < n; i++) {
        const char *name = rl_row_text(rows, i, 1);
        list[i].agent_id = rl_strdup(rl_row_text(rows, i, 0));
        list[i].name = rl_strdup(name ? name : "");
        list[i].epoch = (uint64_t)rl_row_int(rows, i, 2);
    }
    rl_rows_free(&rows);
    *out = list;
    *offered_count = n;
    return RL_OK;
}

void rl_offered_free(struct rl_offered **offered, size_t count)
{
    for (size_t i = 0; *offered && i < count; i++) {
        free((*offered)[i].agent_id);
        free((*offered)[i].name);
    }
    free(*offered);
    *offered = NULL;
}

rl_code rl_attachments_attach(struct rl_db *db, const char *holder_id,
                              const struct rl_arrived *arrived, size_t count, char ***attached,
                              size_t *attached_count, struct rl_error *err)
{
    const char **ids = rl_alloc_array(count, sizeof *ids);
    const char **addresses = rl_alloc_array(count, sizeof *addresses);
    int64_t *epochs = rl_alloc_array(count, sizeof *epochs);
    for (size_t i = 0; i < count; i++) {
        ids[i] = arrived[i].agent_id;
        addresses[i] = arrived[i].peer_address;
        epochs[i] = (int64_t)arrived[i].epoch;
    }
    struct rl_rows *rows = NULL;
    rl_code rc =
        rl_query(db, &rows, err,
                 "WITH came AS (UPDATE attachments a SET epoch = c.epoch, is_attached = true,"
                 "  peer_address = c.address, changed = now()"
                 "  FROM unnest($2::uuid[], $3, $4) c (id, epoch, address) WHERE a.agent_id = c.id"
                 "  AND a.holder_id = $1 AND a.offered_epoch = c.epoch AND a.epoch <= c.epoch"
                 "  RETURNING a.agent_id, a.peer_address)"
                 " UPDATE instances i SET last_seen = now(), peer_address = came.peer_address"
                 " FROM came WHERE i.id = came.agent_id RETURNING i.id",
                 rl_param_text(holder_id), rl_param_texts(ids, count), rl_param_ints(epochs, count),
                 rl_param_texts(addresses, count));
    for (size_t i = 0; rc == RL_OK && i < rl_rows_count(rows); i++)
        rl_message_append(attached, attached_count, rl_strdup(rl_row_text(rows, i, 0)));
    rl_rows_free(&rows);
    free(ids);
    free(addresses);
    free(epochs);
    return rc;
}

rl_code rl_attachments_detach(struct rl_db *db, const char *agent_id, const char *holder_id,
                              uint64_t epoch, bool *was_attached, struct rl_error *err)
{
    size_t n = 0;
    rl_code rc =
        rl_exec(db, &n, err,
                "UPDATE attachments SET is_attached = false, changed = now()"
                " WHERE agent_id = $1 AND holder_id = $2 AND epoch = $3 AND is_attached",
                rl_param_text(agent_id), rl_param_text(holder_id), rl_param_int((int64_t)epoch));
    if (rc != RL_OK)
        return rc;
    *was_attached = n > 0;
    return n == 0 ? RL_OK
                  : rl_exec(db, NULL, err, "UPDATE instances SET last_seen = now() WHERE id = $1",
                            rl_param_text(agent_id));
}

rl_code rl_attachments_keep(struct rl_db *db, const char *holder_id, const char *const *agent_ids,
                            size_t count, struct rl_error *err)
{
    rl_code rc =
        rl_exec(db, NULL, err,
                "WITH gone AS (UPDATE attachments SET is_attached = false, changed = now()"
                "  WHERE holder_id = $1 AND is_attached AND NOT agent_id::text = ANY ($2)"
                "  RETURNING agent_id)"
                " UPDATE instances SET last_seen = now() WHERE id IN (SELECT agent_id FROM gone)",
                rl_param_text(holder_id), rl_param_texts(agent_ids, count));
    /* The others are again, if their holder was given up for dead: their epoch was verified. */
    if (rc == RL_OK)
        rc = rl_exec(db, NULL, err,
                     "UPDATE attachments SET is_attached = true, changed = now()"
                     " WHERE holder_id = $1 AND NOT is_attached AND agent_id::text = ANY ($2)"
                     " AND epoch = offered_epoch AND epoch > 0",
                     rl_param_text(holder_id), rl_param_texts(agent_ids, count));
    return rc;
}

/* ---- the inventory ---- */

/* For one instance i: is a living holder there, which is the newest, when was it last seen. */
#define PRESENCE                                                                                   \
    " LEFT JOIN LATERAL (SELECT a.holder_id, a.peer_address FROM attachments a"                    \
    "   JOIN leases l ON l.id = a.holder_id AND l.expires > now()"                                 \
    "   WHERE a.agent_id = i.id AND a.is_attached ORDER BY a.epoch DESC LIMIT 1) p ON true"        \
    " LEFT JOIN LATERAL (SELECT max(l.last_seen) AS at FROM attachments a"                         \
    "   JOIN leases l ON l.id = a.holder_id WHERE a.agent_id = i.id AND a.is_attached) s ON true"
#define LAST_SEEN "CASE WHEN p.holder_id IS NULL THEN greatest(i.last_seen, s.at) ELSE now() END"

static Pb__Node *node_of(struct rl_rows *rows, size_t row)
{
    Pb__Node *node = rl_message_create(&pb__node__descriptor);
    Pb__NodeSpec *spec = rl_message_create(&pb__node_spec__descriptor);
    node->spec = spec;
    node->metadata = rl_message_create(&pb__metadata__descriptor);
    rl_message_text(&node->metadata->name, rl_row_text(rows, row, 0));
    char **const texts[] = {&spec->name,    &spec->hostname,     &spec->mode,  &spec->address,
                            &spec->version, &spec->peer_address, &spec->broker};
    for (size_t k = 0; k < RL_COUNT(texts); k++)
        rl_message_text(texts[k], rl_row_text(rows, row, k + 1));
    rl_message_text(&spec->status, rl_row_is_null(rows, row, 7) ? "offline" : "online");
    spec->last_seen_ns = rl_row_time(rows, row, 8);
    rl_texts_of_row(rows, row, 9, &spec->kinds, &spec->n_kinds);
    rl_labels_of_row(rows, row, 10, &node->metadata->labels, &node->metadata->n_labels);
    rl_labels_of_row(rows, row, 12, &node->metadata->labels, &node->metadata->n_labels);
    node->metadata->created_ns = rl_row_time(rows, row, 14);
    return node;
}

/* The same for all instances at once: to look for each by itself is dear when there are thousands.
 */
#define PRESENCE_OF_ALL                                                                            \
    " LEFT JOIN (SELECT DISTINCT ON (a.agent_id) a.agent_id, a.holder_id, a.peer_address"          \
    "   FROM attachments a JOIN leases l ON l.id = a.holder_id AND l.expires > now()"              \
    "   WHERE a.is_attached ORDER BY a.agent_id, a.epoch DESC) p ON p.agent_id = i.id"             \
    " LEFT JOIN (SELECT a.agent_id, max(l.last_seen) AS at FROM attachments a"                     \
    "   JOIN leases l ON l.id = a.holder_id WHERE a.is_attached GROUP BY a.agent_id) s"            \
    "   ON s.agent_id = i.id"
#define NODE_COLUMNS                                                                               \
    "SELECT i.id, i.name, i.hostname, i.mode, i.address, i.version,"                               \
    " coalesce(p.peer_address, i.peer_address), p.holder_id, " LAST_SEEN ","                       \
    " i.agent_kinds, i.own_label_keys, i.own_label_values, i.token_label_keys,"                    \
    " i.token_label_values, i.created FROM instances i"

static rl_code query_nodes(struct rl_db *db, const char *wanted, struct rl_rows **rows,
                           struct rl_error *err)
{
    if (!wanted)
        return rl_query(db, rows, err,
                        NODE_COLUMNS PRESENCE_OF_ALL " WHERE 'node' = ANY (i.agent_kinds)"
                                                     " ORDER BY i.name COLLATE \"C\" NULLS LAST,"
                                                     " i.id");
    return rl_query(db, rows, err,
                    NODE_COLUMNS PRESENCE " WHERE 'node' = ANY (i.agent_kinds)"
                                          " AND (i.name = $1 OR i.id = $2::uuid)"
                                          " ORDER BY i.name COLLATE \"C\" NULLS LAST, i.id",
                    rl_param_text(wanted), rl_param_text(rl_name_is_uuid(wanted) ? wanted : NULL));
}

rl_code rl_nodes_list(struct rl_db *db, const char *wanted, Pb__Node ***out, size_t *count,
                      struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = query_nodes(db, wanted, &rows, err);
    if (rc != RL_OK)
        return rc;
    Pb__Node **list = rl_alloc_array(rl_rows_count(rows), sizeof *list);
    size_t n = 0;
    for (; n < rl_rows_count(rows); n++)
        list[n] = node_of(rows, n);
    rc = rl_rows_check(rows, err);
    rl_rows_free(&rows);
    if (rc == RL_OK) {
        *out = list;
        *count = n;
        return RL_OK;
    }
    while (n)
        pb__node__free_unpacked(list[--n], NULL);
    free(list);
    return rc;
}

rl_code rl_attachments_holders(struct rl_db *db, const char *agent_id, char ***holders,
                               size_t *count, struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err,
                          "SELECT a.holder_id FROM attachments a JOIN leases l"
                          " ON l.id = a.holder_id AND l.expires > now() AND l.kind = 'broker'"
                          " WHERE a.agent_id = $1 AND a.is_attached ORDER BY a.epoch DESC",
                          rl_param_text(agent_id));
    for (size_t i = 0; rc == RL_OK && i < rl_rows_count(rows); i++)
        rl_message_append(holders, count, rl_strdup(rl_row_text(rows, i, 0)));
    rl_rows_free(&rows);
    return rc;
}

rl_code rl_inventory_list(struct rl_db *db, Pb__InventoryItem ***out, size_t *count,
                          struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(
        db, &rows, err,
        "SELECT i.id, coalesce(i.name, ''), i.kind, i.version, p.holder_id IS NOT NULL,"
        " " LAST_SEEN ", coalesce(p.peer_address, i.peer_address),"
        " coalesce(p.holder_id::text, '') FROM instances i" PRESENCE " WHERE i.kind = 'agent'"
        " UNION ALL SELECT l.id, '', l.kind, l.version, l.expires > now(), l.last_seen,"
        " l.peer_address, '' FROM leases l ORDER BY 3, 2, 1");
    if (rc != RL_OK)
        return rc;
    Pb__InventoryItem **list = NULL;
    size_t n = 0;
    for (size_t i = 0; i < rl_rows_count(rows); i++) {
        Pb__InventoryItem *item = rl_message_create(&pb__inventory_item__descriptor);
        rl_message_text(&item->id, rl_row_text(rows, i, 0));
        rl_message_text(&item->name, rl_row_text(rows, i, 1));
        rl_message_text(&item->kind, rl_row_text(rows, i, 2));
        rl_message_text(&item->version, rl_row_text(rows, i, 3));
        rl_message_text(&item->status, rl_row_bool(rows, i, 4) ? "online" : "offline");
        item->last_seen_ns = rl_row_time(rows, i, 5);
        rl_message_text(&item->peer_address, rl_row_text(rows, i, 6));
        rl_message_text(&item->broker, rl_row_text(rows, i, 7));
        rl_message_append(&list, &n, item);
    }
    rl_rows_free(&rows);
    *out = list;
    *count = n;
    return RL_OK;
}

rl_code rl_agents_count(struct rl_db *db, uint32_t *online, uint32_t *total, struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err,
                          "SELECT count(DISTINCT a.agent_id),"
                          " (SELECT count(*) FROM instances WHERE kind = 'agent')"
                          " FROM attachments a JOIN leases l ON l.id = a.holder_id"
                          " WHERE a.is_attached AND l.expires > now()");
    if (rc == RL_OK) {
        *online = (uint32_t)rl_row_int(rows, 0, 0);
        *total = (uint32_t)rl_row_int(rows, 0, 1);
    }
    rl_rows_free(&rows);
    return rc;
}

/* ---- leases ---- */

rl_code rl_leases_renew(struct rl_db *db, const struct rl_lease *lease, uint64_t ttl_s,
                        struct rl_error *err)
{
    return rl_exec(
        db, NULL, err,
        "INSERT INTO leases (id, kind, version, dial_address, attach_address, control_address,"
        " peer_address, draining, last_seen, expires) VALUES ($1, $2, $3, $4, $5, $6, $7, $8,"
        " now(), now() + make_interval(secs => $9)) ON CONFLICT (id) DO UPDATE SET version = $3,"
        " dial_address = $4, attach_address = $5, control_address = $6, peer_address = $7,"
        " draining = $8, last_seen = now(), expires = now() + make_interval(secs => $9)",
        rl_param_text(lease->id), rl_param_text(lease->kind), rl_param_text(lease->version),
        rl_param_text(lease->dial_address), rl_param_text(lease->attach_address),
        rl_param_text(lease->control_address), rl_param_text(lease->peer_address),
        rl_param_bool(lease->draining), rl_param_int((int64_t)ttl_s));
}

rl_code rl_leases_end(struct rl_db *db, const char *id, struct rl_error *err)
{
    rl_code rc = rl_attachments_keep(db, id, NULL, 0, err);
    return rc == RL_OK
               ? rl_exec(db, NULL, err, "DELETE FROM leases WHERE id = $1", rl_param_text(id))
               : rc;
}

void rl_leases_free(struct rl_lease_row **rows, size_t count)
{
    for (size_t i = 0; *rows && i < count; i++) {
        struct rl_lease_row *r = &(*rows)[i];
        char *const texts[] = {r->id,           r->kind,           r->version,
                               r->dial_address, r->attach_address, r->control_address,
                               r->peer_address};
        for (size_t k = 0; k < RL_COUNT(texts); k++)
            free(texts[k]);
    }
    free(*rows);
    *rows = NULL;
}

rl_code rl_leases_list(struct rl_db *db, struct rl_lease_row **out, size_t *count,
                       struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err,
                          "SELECT id, kind, version, dial_address, attach_address,"
                          " control_address, peer_address, expires > now(), draining, last_seen"
                          " FROM leases ORDER BY kind, id");
    if (rc != RL_OK)
        return rc;
    size_t n = rl_rows_count(rows);
    struct rl_lease_row *list = rl_alloc_array(n, sizeof *list);
    for (size_t i = 0; i < n; i++) {
        struct rl_lease_row *r = &list[i];
        char **const texts[] = {&r->id,           &r->kind,           &r->version,
                                &r->dial_address, &r->attach_address, &r->control_address,
                                &r->peer_address};
        for (size_t k = 0; k < RL_COUNT(texts); k++)
            *texts[k] = rl_strdup(rl_row_text(rows, i, k));
        r->is_online = rl_row_bool(rows, i, 7);
        r->draining = rl_row_bool(rows, i, 8);
        r->last_seen_ns = rl_row_time(rows, i, 9);
    }
    rl_rows_free(&rows);
    *out = list;
    *count = n;
    return RL_OK;
}

rl_code rl_leases_prune(struct rl_db *db, struct rl_error *err)
{
    rl_code rc =
        rl_exec(db, NULL, err,
                "WITH gone AS (UPDATE attachments a SET is_attached = false, changed = now()"
                "  WHERE is_attached AND NOT EXISTS (SELECT FROM leases l WHERE l.id = a.holder_id"
                "   AND l.expires > now() - CASE l.kind WHEN 'auth' THEN interval '1 minute'"
                "   ELSE interval '1 hour' END) RETURNING a.agent_id, a.holder_id)"
                " UPDATE instances i SET last_seen = greatest(i.last_seen, l.last_seen)"
                " FROM gone g JOIN leases l ON l.id = g.holder_id WHERE i.id = g.agent_id");
    /* An auth replica has a new id each time it starts. */
    if (rc == RL_OK)
        rc = rl_exec(db, NULL, err,
                     "DELETE FROM leases WHERE expires < now() -"
                     " CASE kind WHEN 'auth' THEN interval '2 minutes' ELSE interval '1 day' END");
    return rc;
}
