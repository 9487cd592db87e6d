/* tokens: SQL about join tokens. */
#include "db/tokens.h"

#include "db/labels.h"
#include "message.h"

#include <stdlib.h>

#define TOKEN_COLUMNS "id, types, names, label_keys, label_values, uses_left, expires, created"

rl_code rl_tokens_add(struct rl_db *db, const Pb__Token *token, struct rl_span secret_hash,
                      const char *created_by, struct rl_error *err)
{
    const Pb__TokenSpec *spec = token->spec;
    struct rl_label_arrays labels;
    rl_label_arrays_init(&labels, spec->labels, spec->n_labels);
    rl_code rc =
        rl_exec(db, NULL, err,
                "INSERT INTO tokens (id, secret_hash, types, names, label_keys, label_values,"
                " uses_left, created_by, expires) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                rl_param_text(token->metadata->name), rl_param_bytes(secret_hash),
                rl_param_texts((const char *const *)spec->types, spec->n_types),
                rl_param_texts((const char *const *)spec->names, spec->n_names),
                rl_param_texts(labels.keys, labels.count),
                rl_param_texts(labels.values, labels.count), rl_param_int(spec->uses_left),
                rl_param_text(created_by), rl_param_time(token->metadata->expires_ns));
    rl_label_arrays_fini(&labels);
    return rc;
}

static Pb__Token *token_of(struct rl_rows *rows, size_t row)
{
    Pb__Token *token = rl_message_create(&pb__token__descriptor);
    Pb__TokenSpec *spec = rl_message_create(&pb__token_spec__descriptor);
    token->spec = spec;
    token->metadata = rl_message_create(&pb__metadata__descriptor);
    rl_message_text(&token->metadata->name, rl_row_text(rows, row, 0));
    rl_texts_of_row(rows, row, 1, &spec->types, &spec->n_types);
    rl_texts_of_row(rows, row, 2, &spec->names, &spec->n_names);
    rl_labels_of_row(rows, row, 3, &spec->labels, &spec->n_labels);
    spec->uses_left = (uint32_t)rl_row_int(rows, row, 5);
    token->metadata->expires_ns = rl_row_time(rows, row, 6);
    token->metadata->created_ns = rl_row_time(rows, row, 7);
    return token;
}

rl_code rl_tokens_list(struct rl_db *db, Pb__Token ***out, size_t *count, struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err,
                          "SELECT " TOKEN_COLUMNS " FROM tokens"
                          " WHERE uses_left > 0 AND expires > now() ORDER BY id");
    if (rc != RL_OK)
        return rc;
    Pb__Token **list = NULL;
    size_t n = 0;
    for (size_t i = 0; i < rl_rows_count(rows); i++)
        rl_message_append(&list, &n, token_of(rows, i));
    rl_rows_free(&rows);
    *out = list;
    *count = n;
    return RL_OK;
}

rl_code rl_tokens_find(struct rl_db *db, struct rl_span secret_hash, Pb__Token **out,
                       struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err,
                          "SELECT " TOKEN_COLUMNS " FROM tokens WHERE secret_hash = $1 FOR UPDATE",
                          rl_param_bytes(secret_hash));
    if (rc != RL_OK)
        return rc;
    if (rl_rows_count(rows) == 0)
        rc = rl_fail(err, RL_E_NOT_FOUND, "no such token");
    else
        *out = token_of(rows, 0);
    rl_rows_free(&rows);
    return rc;
}

rl_code rl_tokens_use(struct rl_db *db, const char *id, struct rl_error *err)
{
    return rl_exec(db, NULL, err, "UPDATE tokens SET uses_left = uses_left - 1 WHERE id = $1",
                   rl_param_text(id));
}

rl_code rl_tokens_delete(struct rl_db *db, const char *id, struct rl_error *err)
{
    size_t n = 0;
    rl_code rc = rl_exec(db, &n, err, "DELETE FROM tokens WHERE id = $1", rl_param_text(id));
    if (rc == RL_OK && n == 0)
        rc = rl_fail(err, RL_E_NOT_FOUND, "no such token \"%s\"", id);
    return rc;
}

rl_code rl_tokens_prune(struct rl_db *db, struct rl_error *err)
{
    return rl_exec(db, NULL, err, "DELETE FROM tokens WHERE expires < now() - interval '1 day'");
}
