/* instances: SQL about what joined. */
#include "db/instances.h"

#include "db/labels.h"
#include "message.h"
#include "names/names.h"

#include <stdlib.h>
#include <string.h>

#define KEY_BYTES_MAX 4096

struct rl_instance *rl_instance_create(void)
{
    struct rl_instance *i = rl_alloc(sizeof *i);
    char **const texts[] = {&i->id,      &i->kind,    &i->name,         &i->hostname, &i->mode,
                            &i->address, &i->version, &i->peer_address, &i->token_id};
    for (size_t k = 0; k < RL_COUNT(texts); k++)
        *texts[k] = rl_strdup("");
    rl_buf_init(&i->tls_key, KEY_BYTES_MAX);
    rl_buf_init(&i->previous_tls_key, KEY_BYTES_MAX);
    rl_buf_init(&i->ssh_key, KEY_BYTES_MAX);
    return i;
}

void rl_instance_free(struct rl_instance **instance)
{
    struct rl_instance *i = *instance;
    if (!i)
        return;
    char *const texts[] = {i->id,      i->kind,    i->name,         i->hostname, i->mode,
                           i->address, i->version, i->peer_address, i->token_id};
    for (size_t k = 0; k < RL_COUNT(texts); k++)
        free(texts[k]);
    for (size_t k = 0; k < i->agent_kind_count; k++)
        free(i->agent_kinds[k]);
    free(i->agent_kinds);
    rl_buf_fini(&i->tls_key);
    rl_buf_fini(&i->previous_tls_key);
    rl_buf_fini(&i->ssh_key);
    rl_labels_free(&i->own_labels, &i->own_label_count);
    rl_labels_free(&i->token_labels, &i->token_label_count);
    free(i);
    *instance = NULL;
}

void rl_instance_labels(const struct rl_instance *instance, Pb__Label ***labels, size_t *count)
{
    for (size_t i = 0; i < instance->own_label_count; i++)
        rl_labels_set(labels, count, instance->own_labels[i]->key, instance->own_labels[i]->value);
    for (size_t i = 0; i < instance->token_label_count; i++)
        rl_labels_set(labels, count, instance->token_labels[i]->key,
                      instance->token_labels[i]->value);
}

static void take_text(char **field, const char *text)
{
    free(*field);
    *field = rl_strdup(text ? text : "");
}

static struct rl_instance *instance_of(struct rl_rows *rows, size_t row)
{
    struct rl_instance *i = rl_instance_create();
    char **const texts[] = {&i->id,      &i->kind,    &i->name,         &i->hostname, &i->mode,
                            &i->address, &i->version, &i->peer_address, &i->token_id};
    for (size_t k = 0; k < RL_COUNT(texts); k++)
        take_text(texts[k], rl_row_text(rows, row, k));
    rl_texts_of_row(rows, row, 9, &i->agent_kinds, &i->agent_kind_count);
    rl_buf_put_span(&i->tls_key, rl_row_bytes(rows, row, 10));
    rl_buf_put_span(&i->previous_tls_key, rl_row_bytes(rows, row, 11));
    rl_buf_put_span(&i->ssh_key, rl_row_bytes(rows, row, 12));
    i->generation = (uint64_t)rl_row_int(rows, row, 13);
    i->unprivileged = rl_row_bool(rows, row, 14);
    rl_labels_of_row(rows, row, 15, &i->own_labels, &i->own_label_count);
    rl_labels_of_row(rows, row, 17, &i->token_labels, &i->token_label_count);
    return i;
}

#define INSTANCE_COLUMNS                                                                           \
    "id, kind, name, hostname, mode, address, version, peer_address, token_id, agent_kinds,"       \
    " tls_key, previous_tls_key, ssh_key, generation, unprivileged, own_label_keys,"               \
    " own_label_values, token_label_keys, token_label_values"

/* Takes the rows. */
static rl_code first_of(struct rl_rows *rows, struct rl_instance **out, struct rl_error *err)
{
    struct rl_instance *instance = NULL;
    rl_code rc = RL_OK;
    if (rl_rows_count(rows) == 0)
        rc = rl_fail(err, RL_E_NOT_FOUND, "no such instance");
    else
        instance = instance_of(rows, 0);
    if (rc == RL_OK)
        rc = rl_rows_check(rows, err);
    rl_rows_free(&rows);
    if (rc == RL_OK)
        *out = instance;
    else
        rl_instance_free(&instance);
    return rc;
}

rl_code rl_instances_find(struct rl_db *db, const char *id, bool lock, struct rl_instance **out,
                          struct rl_error *err)
{
    static const char select[] = "SELECT " INSTANCE_COLUMNS " FROM instances WHERE id = $1";
    static const char select_locked[] =
        "SELECT " INSTANCE_COLUMNS " FROM instances WHERE id = $1 FOR UPDATE";
    if (!rl_name_is_uuid(id))
        return rl_fail(err, RL_E_NOT_FOUND, "no such instance");
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err, lock ? select_locked : select, rl_param_text(id));
    return rc == RL_OK ? first_of(rows, out, err) : rc;
}

rl_code rl_instances_find_all(struct rl_db *db, const char *const *ids, size_t count,
                              struct rl_instance ***out, size_t *found, struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err,
                          "SELECT " INSTANCE_COLUMNS " FROM instances WHERE id = ANY ($1::uuid[])"
                          " ORDER BY id FOR UPDATE",
                          rl_param_texts(ids, count));
    if (rc != RL_OK)
        return rc;
    size_t n = rl_rows_count(rows);
    struct rl_instance **list = rl_alloc_array(n, sizeof *list);
    for (size_t i = 0; i < n; i++)
        list[i] = instance_of(rows, i);
    rc = rl_rows_check(rows, err);
    rl_rows_free(&rows);
    for (size_t i = 0; rc != RL_OK && i < n; i++)
        rl_instance_free(&list[i]);
    if (rc != RL_OK) {
        free(list);
        return rc;
    }
    *out = list;
    *found = n;
    return RL_OK;
}

rl_code rl_instances_find_joined(struct rl_db *db, const char *token_id, struct rl_span tls_key,
                                 int64_t seconds, struct rl_instance **out, struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err,
                          "SELECT " INSTANCE_COLUMNS " FROM instances WHERE token_id = $1"
                          " AND tls_key = $2 AND created > now() - $3 * interval '1 second'"
                          " FOR UPDATE",
                          rl_param_text(token_id), rl_param_bytes(tls_key), rl_param_int(seconds));
    return rc == RL_OK ? first_of(rows, out, err) : rc;
}

/* Both statements take the same parameters. The name goes to its first holder: NULL when another
 * has it. */
#define NAME_IF_FREE                                                                               \
    "CASE WHEN $3 = '' OR EXISTS (SELECT FROM instances o WHERE o.name = $3 AND o.id <> $1)"       \
    " THEN NULL ELSE $3 END"

static rl_code write_instance(struct rl_db *db, const char *sql, struct rl_instance *i,
                              bool *got_name, struct rl_error *err)
{
    struct rl_label_arrays own;
    struct rl_label_arrays from_token;
    rl_label_arrays_init(&own, i->own_labels, i->own_label_count);
    rl_label_arrays_init(&from_token, i->token_labels, i->token_label_count);
    const struct rl_param params[] = {
        rl_param_text(i->id),
        rl_param_text(i->kind),
        rl_param_text(i->name),
        rl_param_text(i->hostname),
        rl_param_texts((const char *const *)i->agent_kinds, i->agent_kind_count),
        rl_param_bytes(rl_buf_span(&i->tls_key)),
        i->previous_tls_key.n ? rl_param_bytes(rl_buf_span(&i->previous_tls_key)) : rl_param_null(),
        rl_param_bytes(rl_buf_span(&i->ssh_key)),
        rl_param_int((int64_t)i->generation),
        rl_param_texts(own.keys, own.count),
        rl_param_texts(own.values, own.count),
        rl_param_texts(from_token.keys, from_token.count),
        rl_param_texts(from_token.values, from_token.count),
        rl_param_text(i->mode),
        rl_param_text(i->address),
        rl_param_text(i->version),
        rl_param_bool(i->unprivileged),
        rl_param_text(i->peer_address),
        rl_param_text(i->token_id),
    };
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query_params(db, sql, params, RL_COUNT(params), &rows, err);
    if (rc == RL_OK && rl_rows_count(rows) == 0)
        rc = rl_fail(err, RL_E_NOT_FOUND, "no such instance %s", i->id);
    if (rc == RL_OK) {
        *got_name = !rl_row_is_null(rows, 0, 0);
        if (!*got_name)
            take_text(&i->name, "");
    }
    rl_rows_free(&rows);
    rl_label_arrays_fini(&own);
    rl_label_arrays_fini(&from_token);
    return rc;
}

/* Claims of one name take turns: the unique index would end the later one's transaction. */
static rl_code enter_name(struct rl_db *db, const char *name, struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc =
        rl_query(db, &rows, err, "SELECT pg_advisory_xact_lock(hashtextextended('name:' || $1, 0))",
                 rl_param_text(name));
    rl_rows_free(&rows);
    return rc;
}

rl_code rl_instances_insert(struct rl_db *db, struct rl_instance *instance, bool *got_name,
                            struct rl_error *err)
{
    static const char sql[] =
        "INSERT INTO instances (id, kind, name, hostname, agent_kinds, tls_key, previous_tls_key,"
        " ssh_key, generation, own_label_keys, own_label_values, token_label_keys,"
        " token_label_values, mode, address, version, unprivileged, peer_address, token_id)"
        " VALUES ($1::uuid, $2, " NAME_IF_FREE ", $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,"
        " $14, $15, $16, $17, $18, $19) RETURNING name";
    rl_code rc = enter_name(db, instance->name, err);
    return rc == RL_OK ? write_instance(db, sql, instance, got_name, err) : rc;
}

rl_code rl_instances_update(struct rl_db *db, struct rl_instance *instance, bool *got_name,
                            struct rl_error *err)
{
    static const char sql[] =
        "UPDATE instances SET name = " NAME_IF_FREE ", hostname = $4, agent_kinds = $5,"
        " tls_key = $6, previous_tls_key = $7, ssh_key = $8, generation = $9,"
        " own_label_keys = $10, own_label_values = $11, token_label_keys = $12,"
        " token_label_values = $13, mode = $14, address = $15, version = $16,"
        " unprivileged = $17, peer_address = $18, token_id = $19, last_seen = now()"
        " WHERE id = $1::uuid AND kind = $2 RETURNING name";
    rl_code rc = enter_name(db, instance->name, err);
    return rc == RL_OK ? write_instance(db, sql, instance, got_name, err) : rc;
}

rl_code rl_instances_delete(struct rl_db *db, const char *id, struct rl_error *err)
{
    size_t n = 0;
    rl_code rc = RL_OK;
    if (rl_name_is_uuid(id))
        rc = rl_exec(db, &n, err, "DELETE FROM instances WHERE id = $1", rl_param_text(id));
    if (rc == RL_OK && n == 0)
        rc = rl_fail(err, RL_E_NOT_FOUND, "no such node \"%s\"", id);
    return rc;
}
