/* roots: SQL about the clusters whose users may come here. */
#include "db/peers.h"

#include "db/labels.h"
#include "message.h"

#include <stdlib.h>

#define HASH_BYTES_MAX 64
#define POLICY_BYTES_MAX (16u << 20)

struct rl_root_row *rl_root_row_create(void)
{
    struct rl_root_row *row = rl_alloc(sizeof *row);
    struct rl_buf *const small[] = {&row->trust_id, &row->token_hash, &row->told_sha256,
                                    &row->policy_sha256, &row->policy_nonce};
    for (size_t i = 0; i < RL_COUNT(small); i++)
        rl_buf_init(small[i], HASH_BYTES_MAX);
    rl_buf_init(&row->policy, POLICY_BYTES_MAX);
    return row;
}

void rl_root_row_free(struct rl_root_row **row)
{
    struct rl_root_row *r = *row;
    *row = NULL;
    if (!r)
        return;
    struct rl_buf *const buffers[] = {&r->trust_id, &r->token_hash,    &r->told_sha256,
                                      &r->policy,   &r->policy_sha256, &r->policy_nonce};
    for (size_t i = 0; i < RL_COUNT(buffers); i++)
        rl_buf_fini(buffers[i]);
    if (r->document)
        pb__trusted_cluster__free_unpacked(r->document, NULL);
    if (r->trust)
        pb__trust_bundle__free_unpacked(r->trust, NULL);
    free(r);
}

void rl_root_rows_free(struct rl_root_row ***rows, size_t count)
{
    for (size_t i = 0; *rows && i < count; i++)
        rl_root_row_free(&(*rows)[i]);
    free(*rows);
    *rows = NULL;
}

/* A root is online while a living broker of ours is attached to it. */
#define ATTACHED                                                                                   \
    "(c.enabled AND EXISTS (SELECT FROM root_attachments a JOIN leases l ON l.id = a.broker_id"    \
    " AND l.expires > now() WHERE a.root = c.name AND a.is_attached))"
#define SEEN                                                                                       \
    "(SELECT max(CASE WHEN a.is_attached THEN greatest(a.seen, l.last_seen) ELSE a.seen END)"      \
    " FROM root_attachments a LEFT JOIN leases l ON l.id = a.broker_id WHERE a.root = c.name)"
#define ROOTS                                                                                      \
    "SELECT c.name, c.proxy, c.enabled, c.role_map, c.label_keys, c.label_values, c.revision,"     \
    " c.created, " ATTACHED ", CASE WHEN " ATTACHED " THEN now() ELSE " SEEN " END, c.trust,"      \
    " c.trust_id, c.token_hash, c.told_sha256, c.policy, c.policy_sha256, c.policy_nonce,"         \
    " c.policy_version FROM trusted_clusters c"

static Pb__TrustedCluster *document_of(struct rl_rows *rows, size_t row,
                                       Pb__TrustedClusterSpec *spec)
{
    Pb__TrustedCluster *document = rl_message_create(&pb__trusted_cluster__descriptor);
    document->metadata = rl_message_create(&pb__metadata__descriptor);
    document->spec = spec;
    rl_message_text(&document->metadata->name, rl_row_text(rows, row, 0));
    rl_message_text(&spec->proxy, rl_row_text(rows, row, 1));
    spec->enabled = rl_row_bool(rows, row, 2);
    rl_labels_of_row(rows, row, 4, &document->metadata->labels, &document->metadata->n_labels);
    document->metadata->revision = (uint64_t)rl_row_int(rows, row, 6);
    document->metadata->created_ns = rl_row_time(rows, row, 7);
    rl_message_text(&spec->status, rl_row_bool(rows, row, 8) ? "online" : "offline");
    spec->last_seen_ns = rl_row_is_null(rows, row, 9) ? 0 : rl_row_time(rows, row, 9);
    return document;
}

static rl_code root_of(struct rl_rows *rows, size_t row, struct rl_root_row **out,
                       struct rl_error *err)
{
    struct rl_span map = rl_row_bytes(rows, row, 3), trust = rl_row_bytes(rows, row, 10);
    Pb__TrustedClusterSpec *spec = pb__trusted_cluster_spec__unpack(NULL, map.n, map.p);
    if (!spec)
        return rl_fail(err, RL_E_DATA_LOSS, "the trusted cluster %s can not be read",
                       rl_row_text(rows, row, 0));
    struct rl_root_row *r = rl_root_row_create();
    r->document = document_of(rows, row, spec);
    r->trust = pb__trust_bundle__unpack(NULL, trust.n, trust.p);
    struct rl_buf *const buffers[] = {&r->trust_id, &r->token_hash,    &r->told_sha256,
                                      &r->policy,   &r->policy_sha256, &r->policy_nonce};
    for (size_t i = 0; i < RL_COUNT(buffers); i++)
        rl_buf_put_span(buffers[i], rl_row_bytes(rows, row, 11 + i));
    r->policy_version = (uint64_t)rl_row_int(rows, row, 17);
    if (r->trust) {
        *out = r;
        return RL_OK;
    }
    rl_root_row_free(&r);
    return rl_fail(err, RL_E_DATA_LOSS, "the authorities of the trusted cluster %s can not be read",
                   rl_row_text(rows, row, 0));
}

rl_code rl_roots_list(struct rl_db *db, struct rl_root_row ***out, size_t *count,
                      struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    struct rl_root_row **list = NULL;
    size_t n = 0;
    rl_code rc = rl_query(db, &rows, err, ROOTS " ORDER BY c.name COLLATE \"C\"");
    for (size_t i = 0; rc == RL_OK && i < rl_rows_count(rows); i++) {
        struct rl_root_row *row = NULL;
        rc = root_of(rows, i, &row, err);
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
        rl_root_rows_free(&list, n);
    }
    return rc;
}

rl_code rl_roots_find(struct rl_db *db, const char *name, bool lock, struct rl_root_row **out,
                      struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc =
        rl_query(db, &rows, err,
                 lock ? ROOTS " WHERE c.name = $1 FOR UPDATE OF c" : ROOTS " WHERE c.name = $1",
                 rl_param_text(name));
    if (rc == RL_OK && rl_rows_count(rows) == 0)
        rc = rl_fail(err, RL_E_NOT_FOUND, "no such trusted cluster \"%.253s\"", name);
    if (rc == RL_OK)
        rc = root_of(rows, 0, out, err);
    rl_rows_free(&rows);
    return rc;
}

rl_code rl_roots_count(struct rl_db *db, size_t *count, struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err, "SELECT count(*) FROM trusted_clusters");
    if (rc == RL_OK)
        *count = (size_t)rl_row_int(rows, 0, 0);
    rl_rows_free(&rows);
    return rc;
}

/* Only the map: what else the spec has lies in columns of its own. */
static rl_code pack_map(const Pb__TrustedClusterSpec *spec, struct rl_buf *out,
                        struct rl_error *err)
{
    Pb__TrustedClusterSpec map = PB__TRUSTED_CLUSTER_SPEC__INIT;
    map.role_map = spec->role_map;
    map.n_role_map = spec->n_role_map;
    rl_message_pack(&map.base, out);
    return out->failed ? rl_fail(err, RL_E_INVAL, "the role_map is larger than 1 MiB") : RL_OK;
}

static rl_code pack_trust(const Pb__TrustBundle *trust, struct rl_buf *out, struct rl_error *err)
{
    rl_message_pack(&trust->base, out);
    return out->failed ? rl_fail(err, RL_E_INVAL, "too many authorities") : RL_OK;
}

static rl_code write_root(struct rl_db *db, const struct rl_root_row *r, uint64_t revision,
                          struct rl_span map, struct rl_span trust, struct rl_error *err)
{
    static const char sql[] =
        "INSERT INTO trusted_clusters (name, label_keys, label_values, enabled, proxy, role_map,"
        " token_hash, trust, trust_id, told_sha256, policy, policy_version, policy_sha256,"
        " policy_nonce, revision)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
        " ON CONFLICT (name) DO UPDATE SET label_keys = $2, label_values = $3, enabled = $4,"
        " proxy = $5, role_map = $6, token_hash = $7, trust = $8, trust_id = $9,"
        " told_sha256 = $10, policy = $11, policy_version = $12, policy_sha256 = $13,"
        " policy_nonce = $14, revision = $15";
    const Pb__Metadata *metadata = r->document->metadata;
    struct rl_label_arrays labels;
    rl_label_arrays_init(&labels, metadata->labels, metadata->n_labels);
    rl_code rc = rl_exec(
        db, NULL, err, sql, rl_param_text(metadata->name),
        rl_param_texts(labels.keys, labels.count), rl_param_texts(labels.values, labels.count),
        rl_param_bool(r->document->spec->enabled), rl_param_text(r->document->spec->proxy),
        rl_param_bytes(map), rl_param_bytes(rl_buf_span(&r->token_hash)), rl_param_bytes(trust),
        rl_param_bytes(rl_buf_span(&r->trust_id)), rl_param_bytes(rl_buf_span(&r->told_sha256)),
        rl_param_bytes(rl_buf_span(&r->policy)), rl_param_int((int64_t)r->policy_version),
        rl_param_bytes(rl_buf_span(&r->policy_sha256)),
        rl_param_bytes(rl_buf_span(&r->policy_nonce)), rl_param_int((int64_t)revision));
    rl_label_arrays_fini(&labels);
    return rc;
}

rl_code rl_roots_put(struct rl_db *db, const struct rl_root_row *row, uint64_t revision,
                     struct rl_error *err)
{
    struct rl_buf map, trust;
    rl_buf_init(&map, 1u << 20);
    rl_buf_init(&trust, RL_PEER_TRUST_BYTES_MAX);
    rl_code rc = pack_map(row->document->spec, &map, err);
    if (rc == RL_OK)
        rc = pack_trust(row->trust, &trust, err);
    if (rc == RL_OK)
        rc = write_root(db, row, revision, rl_buf_span(&map), rl_buf_span(&trust), err);
    rl_buf_fini(&map);
    rl_buf_fini(&trust);
    return rc;
}

rl_code rl_roots_note_told(struct rl_db *db, struct rl_span trust_id, struct rl_span sha256,
                           struct rl_error *err)
{
    return rl_exec(db, NULL, err,
                   "UPDATE trusted_clusters SET told_sha256 = $2 WHERE trust_id = $1",
                   rl_param_bytes(trust_id), rl_param_bytes(sha256));
}

rl_code rl_roots_delete(struct rl_db *db, const char *name, struct rl_error *err)
{
    size_t n = 0;
    rl_code rc =
        rl_exec(db, &n, err, "DELETE FROM trusted_clusters WHERE name = $1", rl_param_text(name));
    if (rc == RL_OK && n == 0)
        rc = rl_fail(err, RL_E_NOT_FOUND, "no such trusted cluster \"%.253s\"", name);
    return rc;
}

rl_code rl_roots_note_attachment(struct rl_db *db, const char *name, const char *broker_id,
                                 bool is_attached, uint32_t code, const char *message,
                                 struct rl_error *err)
{
    return rl_exec(
        db, NULL, err,
        "INSERT INTO root_attachments AS a (root, broker_id, is_attached, code, message, seen)"
        " SELECT name, $2::uuid, $3, $4, $5, CASE WHEN $3 THEN now() END FROM trusted_clusters"
        " WHERE name = $1 ON CONFLICT (root, broker_id) DO UPDATE SET"
        " seen = CASE WHEN $3 OR a.is_attached THEN now() ELSE a.seen END,"
        " is_attached = $3, code = $4, message = $5",
        rl_param_text(name), rl_param_text(broker_id), rl_param_bool(is_attached),
        rl_param_int(code), rl_param_text(message));
}
