/* leaves: SQL about the clusters that our users may reach. */
#include "db/peers.h"

#include "db/labels.h"
#include "message.h"

#include <stdlib.h>

#define AGAIN_S "600" /* that a lost answer can be asked for again with the same token */

struct rl_leaf_row *rl_leaf_row_create(void)
{
    struct rl_leaf_row *row = rl_alloc(sizeof *row);
    rl_buf_init(&row->trust_id, RL_TRUST_ID_BYTES);
    return row;
}

void rl_leaf_row_free(struct rl_leaf_row **row)
{
    struct rl_leaf_row *r = *row;
    *row = NULL;
    if (!r)
        return;
    rl_buf_fini(&r->trust_id);
    free(r->token_id);
    if (r->document)
        pb__remote_cluster__free_unpacked(r->document, NULL);
    if (r->trust)
        pb__trust_bundle__free_unpacked(r->trust, NULL);
    free(r);
}

void rl_leaf_row_set_labels(struct rl_leaf_row *row, Pb__Label *const *labels, size_t count)
{
    Pb__Metadata *metadata = row->document->metadata;
    rl_labels_free(&metadata->labels, &metadata->n_labels);
    for (size_t i = 0; i < count; i++)
        rl_labels_set(&metadata->labels, &metadata->n_labels, labels[i]->key, labels[i]->value);
}

void rl_leaf_rows_free(struct rl_leaf_row ***rows, size_t count)
{
    for (size_t i = 0; *rows && i < count; i++)
        rl_leaf_row_free(&(*rows)[i]);
    free(*rows);
    *rows = NULL;
}

#define LEAVES                                                                                     \
    "SELECT c.name, c.version, c.token_id, c.trust, c.trust_id, c.label_keys, c.label_values,"     \
    " c.revision, c.created, p.brokers, CASE WHEN p.brokers IS NULL"                               \
    "  THEN greatest(c.last_seen, s.at) ELSE now() END,"                                           \
    " c.established > now() - interval '" AGAIN_S " s' FROM remote_clusters c"                     \
    " LEFT JOIN LATERAL (SELECT array_agg(DISTINCT a.holder_id::text) AS brokers"                  \
    "  FROM leaf_attachments a JOIN leases l ON l.id = a.holder_id AND l.expires > now()"          \
    "  WHERE a.leaf = c.name AND a.is_attached) p ON true"                                         \
    " LEFT JOIN LATERAL (SELECT max(l.last_seen) AS at FROM leaf_attachments a"                    \
    "  JOIN leases l ON l.id = a.holder_id WHERE a.leaf = c.name AND a.is_attached) s ON true"

static Pb__RemoteCluster *document_of(struct rl_rows *rows, size_t row)
{
    Pb__RemoteCluster *document = rl_message_create(&pb__remote_cluster__descriptor);
    Pb__RemoteClusterSpec *spec = rl_message_create(&pb__remote_cluster_spec__descriptor);
    document->metadata = rl_message_create(&pb__metadata__descriptor);
    document->spec = spec;
    rl_message_text(&document->metadata->name, rl_row_text(rows, row, 0));
    rl_message_text(&spec->version, rl_row_text(rows, row, 1));
    rl_labels_of_row(rows, row, 5, &document->metadata->labels, &document->metadata->n_labels);
    document->metadata->revision = (uint64_t)rl_row_int(rows, row, 7);
    document->metadata->created_ns = rl_row_time(rows, row, 8);
    rl_message_text(&spec->status, rl_row_is_null(rows, row, 9) ? "offline" : "online");
    rl_texts_of_row(rows, row, 9, &spec->brokers, &spec->n_brokers);
    spec->last_seen_ns = rl_row_time(rows, row, 10);
    return document;
}

static rl_code leaf_of(struct rl_rows *rows, size_t row, struct rl_leaf_row **out,
                       struct rl_error *err)
{
    struct rl_span trust = rl_row_bytes(rows, row, 3);
    Pb__TrustBundle *bundle = pb__trust_bundle__unpack(NULL, trust.n, trust.p);
    if (!bundle)
        return rl_fail(err, RL_E_DATA_LOSS, "the authorities of the leaf %s can not be read",
                       rl_row_text(rows, row, 0));
    struct rl_leaf_row *r = rl_leaf_row_create();
    r->trust = bundle;
    r->document = document_of(rows, row);
    r->token_id = rl_strdup(rl_row_text(rows, row, 2));
    rl_buf_put_span(&r->trust_id, rl_row_bytes(rows, row, 4));
    r->is_fresh = rl_row_bool(rows, row, 11);
    *out = r;
    return RL_OK;
}

rl_code rl_leaves_list(struct rl_db *db, struct rl_leaf_row ***out, size_t *count,
                       struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    struct rl_leaf_row **list = NULL;
    size_t n = 0;
    rl_code rc = rl_query(db, &rows, err, LEAVES " ORDER BY c.name COLLATE \"C\"");
    for (size_t i = 0; rc == RL_OK && i < rl_rows_count(rows); i++) {
        struct rl_leaf_row *row = NULL;
        rc = leaf_of(rows, i, &row, err);
        if (rc == RL_OK)
            rl_message_append(&list, &n, row);
    }
    if (rc == RL_OK)
        rc = rl_rows_check(rows, err);
    rl_rows_free(&rows);
    if (rc == RL_OK) {
        *out = list;
        *count = n;
    } else {
        rl_leaf_rows_free(&list, n);
    }
    return rc;
}

rl_code rl_leaves_find(struct rl_db *db, const char *name, bool lock, struct rl_leaf_row **out,
                       struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc =
        rl_query(db, &rows, err,
                 lock ? LEAVES " WHERE c.name = $1 FOR UPDATE OF c" : LEAVES " WHERE c.name = $1",
                 rl_param_text(name));
    if (rc == RL_OK && rl_rows_count(rows) == 0)
        rc = rl_fail(err, RL_E_NOT_FOUND, "no such remote cluster \"%.253s\"", name);
    if (rc == RL_OK)
        rc = leaf_of(rows, 0, out, err);
    rl_rows_free(&rows);
    return rc;
}

rl_code rl_leaves_put(struct rl_db *db, const struct rl_leaf_row *r, uint64_t revision,
                      struct rl_error *err)
{
    static const char sql[] =
        "INSERT INTO remote_clusters AS c (name, label_keys, label_values, trust, trust_id,"
        " version, token_id, revision) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
        " ON CONFLICT (name) DO UPDATE SET label_keys = $2, label_values = $3, trust = $4,"
        " established = CASE WHEN c.trust_id = $5 THEN c.established ELSE now() END,"
        " trust_id = $5, version = $6, token_id = $7, revision = $8";
    const Pb__Metadata *metadata = r->document->metadata;
    struct rl_buf trust;
    struct rl_label_arrays labels;
    rl_buf_init(&trust, RL_PEER_TRUST_BYTES_MAX);
    rl_message_pack(&r->trust->base, &trust);
    if (trust.failed) {
        rl_buf_fini(&trust);
        return rl_fail(err, RL_E_INVAL, "too many authorities");
    }
    rl_label_arrays_init(&labels, metadata->labels, metadata->n_labels);
    rl_code rc = rl_exec(
        db, NULL, err, sql, rl_param_text(metadata->name),
        rl_param_texts(labels.keys, labels.count), rl_param_texts(labels.values, labels.count),
        rl_param_bytes(rl_buf_span(&trust)), rl_param_bytes(rl_buf_span(&r->trust_id)),
        rl_param_text(r->document->spec->version), rl_param_text(r->token_id),
        rl_param_int((int64_t)revision));
    rl_label_arrays_fini(&labels);
    rl_buf_fini(&trust);
    return rc;
}

rl_code rl_leaves_count(struct rl_db *db, size_t *count, struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err, "SELECT count(*) FROM remote_clusters");
    if (rc == RL_OK)
        *count = (size_t)rl_row_int(rows, 0, 0);
    rl_rows_free(&rows);
    return rc;
}

rl_code rl_leaves_have_trust(struct rl_db *db, struct rl_span trust_id, bool *is_there,
                             struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc =
        rl_query(db, &rows, err, "SELECT EXISTS (SELECT FROM remote_clusters WHERE trust_id = $1)",
                 rl_param_bytes(trust_id));
    if (rc == RL_OK)
        *is_there = rl_row_bool(rows, 0, 0);
    rl_rows_free(&rows);
    return rc;
}

rl_code rl_leaves_delete(struct rl_db *db, const char *name, struct rl_error *err)
{
    size_t n = 0;
    rl_code rc =
        rl_exec(db, &n, err, "DELETE FROM remote_clusters WHERE name = $1", rl_param_text(name));
    if (rc == RL_OK && n == 0)
        rc = rl_fail(err, RL_E_NOT_FOUND, "no such remote cluster \"%.253s\"", name);
    return rc;
}

rl_code rl_leaves_inventory(struct rl_db *db, Pb__InventoryItem ***items, size_t *count,
                            struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(
        db, &rows, err,
        "SELECT c.name, c.version, p.holder_id IS NOT NULL, CASE WHEN p.holder_id IS NULL THEN"
        " greatest(c.last_seen, s.at) ELSE now() END, coalesce(p.peer_address, ''),"
        " coalesce(p.holder_id::text, '') FROM remote_clusters c"
        " LEFT JOIN LATERAL (SELECT a.holder_id, a.peer_address FROM leaf_attachments a"
        "  JOIN leases l ON l.id = a.holder_id AND l.expires > now() WHERE a.leaf = c.name"
        "  AND a.is_attached ORDER BY a.epoch DESC LIMIT 1) p ON true"
        " LEFT JOIN LATERAL (SELECT max(l.last_seen) AS at FROM leaf_attachments a"
        "  JOIN leases l ON l.id = a.holder_id WHERE a.leaf = c.name AND a.is_attached) s ON true"
        " ORDER BY c.name COLLATE \"C\"");
    for (size_t i = 0; rc == RL_OK && i < rl_rows_count(rows); i++) {
        Pb__InventoryItem *item = rl_message_create(&pb__inventory_item__descriptor);
        char *id = rl_sprintf("cluster/%s", rl_row_text(rows, i, 0));
        rl_message_text(&item->id, id);
        free(id);
        rl_message_text(&item->name, rl_row_text(rows, i, 0));
        rl_message_text(&item->kind, "cluster");
        rl_message_text(&item->version, rl_row_text(rows, i, 1));
        rl_message_text(&item->status, rl_row_bool(rows, i, 2) ? "online" : "offline");
        item->last_seen_ns = rl_row_time(rows, i, 3);
        rl_message_text(&item->peer_address, rl_row_text(rows, i, 4));
        rl_message_text(&item->broker, rl_row_text(rows, i, 5));
        rl_message_append(items, count, item);
    }
    rl_rows_free(&rows);
    return rc;
}
