/* policy: SQL about roles, locks and cuts. */
#include "db/policy.h"

#include "db/labels.h"
#include "message.h"

#include <stdlib.h>

/* ---- roles ---- */

static rl_code role_of(struct rl_rows *rows, size_t row, Pb__Role **out, struct rl_error *err)
{
    struct rl_span packed = rl_row_bytes(rows, row, 1);
    Pb__RoleSpec *spec = pb__role_spec__unpack(NULL, packed.n, packed.p);
    if (!spec)
        return rl_fail(err, RL_E_DATA_LOSS, "the role %s can not be read",
                       rl_row_text(rows, row, 0));
    Pb__Role *role = rl_message_create(&pb__role__descriptor);
    role->spec = spec;
    role->metadata = rl_message_create(&pb__metadata__descriptor);
    rl_message_text(&role->metadata->name, rl_row_text(rows, row, 0));
    rl_labels_of_row(rows, row, 2, &role->metadata->labels, &role->metadata->n_labels);
    role->metadata->revision = (uint64_t)rl_row_int(rows, row, 4);
    role->metadata->created_ns = rl_row_time(rows, row, 5);
    *out = role;
    return RL_OK;
}

rl_code rl_roles_list(struct rl_db *db, Pb__Role ***out, size_t *count, struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err,
                          "SELECT name, spec, label_keys, label_values, revision, created"
                          " FROM roles ORDER BY name COLLATE \"C\"");
    Pb__Role **list = NULL;
    size_t n = 0;
    for (size_t i = 0; rc == RL_OK && i < rl_rows_count(rows); i++) {
        Pb__Role *role = NULL;
        rc = role_of(rows, i, &role, err);
        if (rc == RL_OK)
            rl_message_append(&list, &n, role);
    }
    rl_rows_free(&rows);
    if (rc == RL_OK) {
        *out = list;
        *count = n;
        return RL_OK;
    }
    while (n)
        pb__role__free_unpacked(list[--n], NULL);
    free(list);
    return rc;
}

rl_code rl_roles_put(struct rl_db *db, const Pb__Role *role, uint64_t revision, bool replace,
                     bool *created, struct rl_error *err)
{
    static const char insert[] =
        "INSERT INTO roles (name, spec, label_keys, label_values, revision)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (name) DO NOTHING RETURNING true";
    static const char upsert[] =
        "INSERT INTO roles (name, spec, label_keys, label_values, revision)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (name) DO UPDATE SET spec = $2, label_keys = $3,"
        " label_values = $4, revision = $5 RETURNING xmax = 0";
    struct rl_buf spec;
    struct rl_label_arrays labels;
    rl_buf_init(&spec, 1u << 20);
    if (role->spec)
        rl_message_pack(&role->spec->base, &spec);
    rl_label_arrays_init(&labels, role->metadata->labels, role->metadata->n_labels);
    struct rl_rows *rows = NULL;
    rl_code rc =
        rl_query(db, &rows, err, replace ? upsert : insert, rl_param_text(role->metadata->name),
                 rl_param_bytes(rl_buf_span(&spec)), rl_param_texts(labels.keys, labels.count),
                 rl_param_texts(labels.values, labels.count), rl_param_int((int64_t)revision));
    if (rc == RL_OK && rl_rows_count(rows) == 0)
        rc = rl_fail(err, RL_E_EXISTS, "role \"%s\" is there already; `tctl create -f` replaces it",
                     role->metadata->name);
    if (rc == RL_OK)
        *created = rl_row_bool(rows, 0, 0);
    rl_rows_free(&rows);
    rl_label_arrays_fini(&labels);
    rl_buf_fini(&spec);
    return rc;
}

rl_code rl_roles_delete(struct rl_db *db, const char *name, struct rl_error *err)
{
    size_t n = 0;
    rl_code rc = rl_exec(db, &n, err, "DELETE FROM roles WHERE name = $1", rl_param_text(name));
    if (rc == RL_OK && n == 0)
        rc = rl_fail(err, RL_E_NOT_FOUND, "no such role \"%s\"", name);
    return rc;
}

/* ---- locks ---- */

rl_code rl_locks_list(struct rl_db *db, Pb__Lock ***out, size_t *count, struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err,
                          "SELECT name, target_kind, target_name, target_cluster, message,"
                          " created_by, created, expires, revision FROM locks"
                          " WHERE expires IS NULL OR expires > now() ORDER BY name COLLATE \"C\"");
    if (rc != RL_OK)
        return rc;
    Pb__Lock **list = NULL;
    size_t n = 0;
    for (size_t i = 0; i < rl_rows_count(rows); i++) {
        Pb__Lock *lock = rl_message_create(&pb__lock__descriptor);
        lock->metadata = rl_message_create(&pb__metadata__descriptor);
        lock->spec = rl_message_create(&pb__lock_spec__descriptor);
        rl_message_text(&lock->metadata->name, rl_row_text(rows, i, 0));
        rl_message_text(&lock->spec->target_kind, rl_row_text(rows, i, 1));
        rl_message_text(&lock->spec->target_name, rl_row_text(rows, i, 2));
        rl_message_text(&lock->spec->target_cluster, rl_row_text(rows, i, 3));
        rl_message_text(&lock->spec->message, rl_row_text(rows, i, 4));
        rl_message_text(&lock->spec->created_by, rl_row_text(rows, i, 5));
        lock->metadata->created_ns = rl_row_time(rows, i, 6);
        lock->metadata->expires_ns = rl_row_is_null(rows, i, 7) ? 0 : rl_row_time(rows, i, 7);
        lock->metadata->revision = (uint64_t)rl_row_int(rows, i, 8);
        rl_message_append(&list, &n, lock);
    }
    rl_rows_free(&rows);
    *out = list;
    *count = n;
    return RL_OK;
}

rl_code rl_locks_put(struct rl_db *db, const Pb__Lock *lock, uint64_t revision, bool replace,
                     bool *created, struct rl_error *err)
{
    static const char insert[] =
        "INSERT INTO locks (name, target_kind, target_name, target_cluster, message, created_by,"
        " expires, revision) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
        " ON CONFLICT (name) DO NOTHING RETURNING true";
    static const char upsert[] =
        "INSERT INTO locks (name, target_kind, target_name, target_cluster, message, created_by,"
        " expires, revision) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
        " ON CONFLICT (name) DO UPDATE SET target_kind = $2, target_name = $3,"
        " target_cluster = $4, message = $5, created_by = $6, expires = $7, revision = $8"
        " RETURNING xmax = 0";
    const Pb__LockSpec *spec = lock->spec;
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err, replace ? upsert : insert,
                          rl_param_text(lock->metadata->name), rl_param_text(spec->target_kind),
                          rl_param_text(spec->target_name), rl_param_text(spec->target_cluster),
                          rl_param_text(spec->message), rl_param_text(spec->created_by),
                          lock->metadata->expires_ns ? rl_param_time(lock->metadata->expires_ns)
                                                     : rl_param_null(),
                          rl_param_int((int64_t)revision));
    if (rc == RL_OK && rl_rows_count(rows) == 0)
        rc = rl_fail(err, RL_E_EXISTS, "lock \"%s\" is there already", lock->metadata->name);
    if (rc == RL_OK)
        *created = rl_row_bool(rows, 0, 0);
    rl_rows_free(&rows);
    return rc;
}

rl_code rl_locks_delete(struct rl_db *db, const char *name, struct rl_error *err)
{
    size_t n = 0;
    rl_code rc = rl_exec(db, &n, err, "DELETE FROM locks WHERE name = $1", rl_param_text(name));
    if (rc == RL_OK && n == 0)
        rc = rl_fail(err, RL_E_NOT_FOUND, "no such lock \"%s\"", name);
    return rc;
}

/* ---- cuts ---- */

rl_code rl_cuts_list(struct rl_db *db, Pb__Cut ***out, size_t *count, struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err,
                          "SELECT user_name, cluster, issued_before, reason FROM cuts"
                          " WHERE expires > now() ORDER BY user_name COLLATE \"C\"");
    if (rc != RL_OK)
        return rc;
    Pb__Cut **list = NULL;
    size_t n = 0;
    for (size_t i = 0; i < rl_rows_count(rows); i++) {
        Pb__Cut *cut = rl_message_create(&pb__cut__descriptor);
        rl_message_text(&cut->user, rl_row_text(rows, i, 0));
        rl_message_text(&cut->cluster, rl_row_text(rows, i, 1));
        cut->issued_before_ns = rl_row_time(rows, i, 2);
        rl_message_text(&cut->reason, rl_row_text(rows, i, 3));
        rl_message_append(&list, &n, cut);
    }
    rl_rows_free(&rows);
    *out = list;
    *count = n;
    return RL_OK;
}

rl_code rl_cuts_add(struct rl_db *db, const char *user, const char *cluster, const char *reason,
                    int64_t until_ns, struct rl_error *err)
{
    return rl_exec(db, NULL, err,
                   "INSERT INTO cuts AS c (user_name, cluster, issued_before, reason, expires)"
                   " VALUES ($1, $2, clock_timestamp(), $3, $4)"
                   " ON CONFLICT (user_name, cluster) DO UPDATE SET"
                   " issued_before = clock_timestamp(), reason = $3,"
                   " expires = greatest(c.expires, $4)",
                   rl_param_text(user), rl_param_text(cluster), rl_param_text(reason),
                   rl_param_time(until_ns));
}

rl_code rl_policy_prune(struct rl_db *db, size_t *removed, struct rl_error *err)
{
    size_t locks = 0;
    size_t cuts = 0;
    rl_code rc = rl_exec(db, &locks, err, "DELETE FROM locks WHERE expires < now()");
    if (rc == RL_OK)
        rc = rl_exec(db, &cuts, err, "DELETE FROM cuts WHERE expires < now()");
    if (rc == RL_OK)
        *removed = locks + cuts;
    return rc;
}
