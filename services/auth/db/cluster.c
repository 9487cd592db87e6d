/* cluster: SQL about the cluster, its revision and its authorities. */
#include "db/cluster.h"

#include "message.h"

#include <stdlib.h>
#include <string.h>

rl_code rl_cluster_name(struct rl_db *db, char **name, struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err, "SELECT name FROM cluster");
    if (rc != RL_OK)
        return rc;
    if (rl_rows_count(rows) == 0)
        rc = rl_fail(err, RL_E_NOT_FOUND,
                     "the cluster was not made yet: run remoteler-auth bootstrap");
    else
        *name = rl_strdup(rl_row_text(rows, 0, 0));
    rl_rows_free(&rows);
    return rc;
}

static rl_code pack(const ProtobufCMessage *message, struct rl_buf *out, struct rl_error *err)
{
    rl_buf_init(out, 1u << 20);
    rl_message_pack(message, out);
    if (!out->failed)
        return RL_OK;
    rl_buf_fini(out);
    return rl_fail(err, RL_E_INVAL, "the document is larger than 1 MiB");
}

rl_code rl_cluster_create(struct rl_db *db, const char *name, const Pb__ClusterConfigSpec *config,
                          struct rl_error *err)
{
    struct rl_buf packed;
    rl_code rc = pack(&config->base, &packed, err);
    if (rc != RL_OK)
        return rc;
    rc = rl_exec(db, NULL, err, "INSERT INTO cluster (name, config) VALUES ($1, $2)",
                 rl_param_text(name), rl_param_bytes(rl_buf_span(&packed)));
    rl_buf_fini(&packed);
    return rc;
}

rl_code rl_cluster_config(struct rl_db *db, Pb__ClusterConfig **out, struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err, "SELECT config, config_revision, created FROM cluster");
    if (rc != RL_OK)
        return rc;
    struct rl_span packed = rl_row_bytes(rows, 0, 0);
    Pb__ClusterConfigSpec *spec = pb__cluster_config_spec__unpack(NULL, packed.n, packed.p);
    if (!spec) {
        rc = rl_fail(err, RL_E_DATA_LOSS, "the cluster's settings can not be read");
    } else {
        Pb__ClusterConfig *config = rl_message_create(&pb__cluster_config__descriptor);
        config->spec = spec;
        config->metadata = rl_message_create(&pb__metadata__descriptor);
        rl_message_text(&config->metadata->name, "cluster");
        config->metadata->revision = (uint64_t)rl_row_int(rows, 0, 1);
        config->metadata->created_ns = rl_row_time(rows, 0, 2);
        *out = config;
    }
    rl_rows_free(&rows);
    return rc;
}

rl_code rl_cluster_set_config(struct rl_db *db, const Pb__ClusterConfigSpec *config,
                              struct rl_error *err)
{
    struct rl_buf packed;
    rl_code rc = pack(&config->base, &packed, err);
    if (rc != RL_OK)
        return rc;
    rc = rl_exec(db, NULL, err,
                 "UPDATE cluster SET config = $1, config_revision = config_revision + 1",
                 rl_param_bytes(rl_buf_span(&packed)));
    rl_buf_fini(&packed);
    return rc;
}

rl_code rl_db_now(struct rl_db *db, int64_t *now_ns, struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err, "SELECT clock_timestamp()");
    if (rc == RL_OK)
        *now_ns = rl_row_time(rows, 0, 0);
    rl_rows_free(&rows);
    return rc;
}

rl_code rl_revision_read(struct rl_db *db, uint64_t *number, struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err, "SELECT number FROM revision");
    if (rc == RL_OK)
        *number = (uint64_t)rl_row_int(rows, 0, 0);
    rl_rows_free(&rows);
    return rc;
}

rl_code rl_revision_bump(struct rl_db *db, uint64_t *number, struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc =
        rl_query(db, &rows, err, "UPDATE revision SET number = number + 1 RETURNING number");
    if (rc != RL_OK)
        return rc;
    int64_t now = rl_row_int(rows, 0, 0);
    rl_rows_free(&rows);
    rc =
        rl_query(db, &rows, err, "SELECT pg_notify('" RL_AUTH_NOTIFY_CHANNEL "', $1::bigint::text)",
                 rl_param_int(now));
    rl_rows_free(&rows);
    if (rc == RL_OK && number)
        *number = (uint64_t)now;
    return rc;
}

/* ---- authorities ---- */

void rl_authorities_free(Pb__CertificateAuthority ***authorities, size_t count)
{
    for (size_t i = 0; *authorities && i < count; i++)
        pb__certificate_authority__free_unpacked((*authorities)[i], NULL);
    free(*authorities);
    *authorities = NULL;
}

static Pb__CertificateAuthority *authority_of(struct rl_rows *rows, size_t row)
{
    Pb__CertificateAuthority *ca = rl_message_create(&pb__certificate_authority__descriptor);
    ca->spec = rl_message_create(&pb__certificate_authority_spec__descriptor);
    ca->metadata = rl_message_create(&pb__metadata__descriptor);
    rl_message_text(&ca->spec->kind, rl_row_text(rows, row, 0));
    rl_message_text(&ca->spec->format, rl_row_text(rows, row, 1));
    char *name = rl_sprintf("%s-%s", ca->spec->kind, ca->spec->format);
    rl_message_text(&ca->metadata->name, name);
    free(name);
    ca->metadata->created_ns = rl_row_time(rows, row, 6);
    return ca;
}

static bool is_same(const Pb__CertificateAuthority *ca, struct rl_rows *rows, size_t row)
{
    return strcmp(ca->spec->kind, rl_row_text(rows, row, 0)) == 0 &&
           strcmp(ca->spec->format, rl_row_text(rows, row, 1)) == 0;
}

rl_code rl_authorities_list(struct rl_db *db, Pb__CertificateAuthority ***out, size_t *count,
                            struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err,
                          "SELECT kind, format, id, public_key, private_key, phase, created"
                          " FROM authorities ORDER BY kind, format, phase <> 'active', created");
    if (rc != RL_OK)
        return rc;
    Pb__CertificateAuthority **list = NULL;
    size_t n = 0;
    for (size_t i = 0; i < rl_rows_count(rows); i++) {
        if (n == 0 || !is_same(list[n - 1], rows, i))
            rl_message_append(&list, &n, authority_of(rows, i));
        Pb__CaKey *key = rl_message_create(&pb__ca_key__descriptor);
        rl_message_text(&key->id, rl_row_text(rows, i, 2));
        rl_message_bytes(&key->public_key, rl_row_bytes(rows, i, 3));
        rl_message_bytes(&key->private_key, rl_row_bytes(rows, i, 4));
        rl_message_text(&key->phase, rl_row_text(rows, i, 5));
        rl_message_append(&list[n - 1]->spec->keys, &list[n - 1]->spec->n_keys, key);
    }
    rc = rl_rows_check(rows, err);
    rl_rows_free(&rows);
    if (rc != RL_OK) {
        rl_authorities_free(&list, n);
        return rc;
    }
    *out = list;
    *count = n;
    return RL_OK;
}

rl_code rl_authorities_add(struct rl_db *db, const char *kind, const char *format,
                           const Pb__CaKey *key, struct rl_error *err)
{
    return rl_exec(db, NULL, err,
                   "INSERT INTO authorities (id, kind, format, public_key, private_key, phase)"
                   " VALUES ($1, $2, $3, $4, $5, $6)",
                   rl_param_text(key->id), rl_param_text(kind), rl_param_text(format),
                   rl_param_bytes(RL_BINARY(key->public_key)),
                   rl_param_bytes(RL_BINARY(key->private_key)), rl_param_text(key->phase));
}
