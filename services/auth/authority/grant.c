/* grant: tokens and certificates by an administrator. */
#include "authority/grant.h"

#include "authority/issue.h"
#include "authz/authz.h"
#include "credential/token.h"
#include "db/cluster.h"
#include "db/labels.h"
#include "db/tokens.h"
#include "db/users.h"
#include "fleet/join.h"

#include <stdlib.h>
#include <string.h>

/* ---- tokens ---- */

static const char *const token_types[] = {
    "node", "app", "kube", "proxy", "broker", "audit", "trusted_cluster", NULL};

static bool is_token_type(const char *type)
{
    for (size_t i = 0; token_types[i]; i++)
        if (strcmp(token_types[i], type) == 0)
            return true;
    return false;
}

static rl_code check_token(const Pb__AddTokenRequest *r, struct rl_error *err)
{
    if (r->n_types == 0 || r->n_types >= RL_COUNT(token_types))
        return rl_fail(err, RL_E_INVAL,
                       "a token has a type: node, app, kube, proxy, broker, audit or "
                       "trusted_cluster");
    for (size_t i = 0; i < r->n_types; i++)
        if (!is_token_type(r->types[i]))
            return rl_fail(err, RL_E_INVAL,
                           "no token has the type \"%.32s\"; there are node, app, kube, proxy, "
                           "broker, audit and trusted_cluster",
                           r->types[i]);
    if (r->uses > RL_TOKEN_USES_MAX)
        return rl_fail(err, RL_E_INVAL, "a token is good for at most %d uses", RL_TOKEN_USES_MAX);
    if (r->ttl_s > RL_TOKEN_TTL_S_MAX)
        return rl_fail(err, RL_E_INVAL, "a token is good for at most 366 days");
    if (r->n_names > RL_TOKEN_NAMES_MAX)
        return rl_fail(err, RL_E_INVAL, "a token names at most %d patterns", RL_TOKEN_NAMES_MAX);
    rl_code rc = rl_join_check_labels(r->labels, r->n_labels, err);
    for (size_t i = 0; rc == RL_OK && i < r->n_names; i++)
        rc = rl_pattern_check(r->names[i], err);
    return rc;
}

struct granting_token {
    const Pb__AddTokenRequest *request;
    const char *created_by;
    char *secret;
    Pb__Token *token;
};

static Pb__Token *token_of(const Pb__AddTokenRequest *r, int64_t now_ns)
{
    Pb__Token *token = rl_message_create(&pb__token__descriptor);
    Pb__TokenSpec *spec = rl_message_create(&pb__token_spec__descriptor);
    char id[RL_UUID_TEXT_BYTES];
    rl_uuid7(id);
    token->spec = spec;
    token->metadata = rl_message_create(&pb__metadata__descriptor);
    rl_message_text(&token->metadata->name, id);
    token->metadata->created_ns = now_ns;
    token->metadata->expires_ns =
        now_ns + (int64_t)(r->ttl_s ? r->ttl_s : RL_TOKEN_TTL_S) * 1000000000;
    spec->uses_left = r->uses ? r->uses : 1;
    for (size_t i = 0; i < r->n_types; i++)
        rl_message_append(&spec->types, &spec->n_types, rl_strdup(r->types[i]));
    for (size_t i = 0; i < r->n_names; i++)
        rl_message_append(&spec->names, &spec->n_names, rl_strdup(r->names[i]));
    for (size_t i = 0; i < r->n_labels; i++)
        rl_labels_set(&spec->labels, &spec->n_labels, r->labels[i]->key, r->labels[i]->value);
    return token;
}

static rl_code add_token(struct rl_db *db, void *context, struct rl_error *err)
{
    struct granting_token *g = context;
    uint8_t hash[RL_TOKEN_HASH_BYTES];
    int64_t now_ns = 0;
    if (g->token)
        pb__token__free_unpacked(g->token, NULL);
    g->token = NULL;
    rl_code rc = rl_db_now(db, &now_ns, err);
    if (rc == RL_OK)
        rc = rl_token_hash(g->secret, hash, err);
    if (rc != RL_OK)
        return rc;
    g->token = token_of(g->request, now_ns);
    return rl_tokens_add(db, g->token, RL_SPAN(hash, sizeof hash), g->created_by, err);
}

rl_code rl_grant_token(struct rl_auth *auth, const Pb__AddTokenRequest *request,
                       const char *created_by, Pb__Token **token, char **secret,
                       struct rl_error *err)
{
    rl_code rc = check_token(request, err);
    if (rc != RL_OK)
        return rc;
    struct granting_token g = {request, created_by, rl_token_create(), NULL};
    rc = rl_store_transaction(auth->store, add_token, &g, err);
    if (rc == RL_OK) {
        *token = g.token;
        *secret = g.secret;
        return RL_OK;
    }
    if (g.token)
        pb__token__free_unpacked(g.token, NULL);
    rl_token_free(&g.secret);
    return rc;
}

/* ---- certificates ---- */

struct granting_user {
    struct rl_auth *auth;
    const Pb__SignUserRequest *request;
    uint64_t ttl_max_s;
    const struct rl_snapshot *snapshot;
    Pb__LoginResponse *reply;
};

static rl_code sign_user(struct rl_db *db, void *context, struct rl_error *err)
{
    struct granting_user *g = context;
    struct rl_user_record *record = NULL;
    int64_t now_ns = 0;
    if (g->reply)
        pb__login_response__free_unpacked(g->reply, NULL);
    g->reply = rl_message_create(&pb__login_response__descriptor);
    rl_code rc = rl_users_find(db, g->request->user, true, &record, err);
    if (rc == RL_OK)
        rc = rl_db_now(db, &now_ns, err);
    if (rc == RL_OK) {
        struct rl_user_grant grant = {
            .user = record->user,
            .ttl_s = g->request->ttl_s ? g->request->ttl_s : RL_USER_TTL_S,
            .ttl_max_s = g->ttl_max_s,
            .mfa = "",
            .no_reissue = g->request->no_reissue,
            .tls_public_key = RL_BINARY(g->request->tls_public_key),
            .ssh_public_key = RL_BINARY(g->request->ssh_public_key),
            .now_ns = now_ns,
        };
        rc = rl_issue_user(g->snapshot, g->auth->cluster, &grant, g->reply, err);
    }
    if (rc == RL_OK)
        rc = rl_users_note_certificate(db, g->request->user, g->reply->valid_until_ns, err);
    rl_user_record_free(&record);
    return rc;
}

rl_code rl_grant_user(struct rl_auth *auth, const Pb__SignUserRequest *request, uint64_t ttl_max_s,
                      Pb__LoginResponse *reply, struct rl_error *err)
{
    struct rl_snapshot *snapshot = NULL;
    rl_code rc = rl_issue_check_keys(RL_BINARY(request->tls_public_key),
                                     RL_BINARY(request->ssh_public_key), err);
    if (rc == RL_OK)
        rc = rl_snapshots_current(auth->snapshots, &snapshot, err);
    if (rc != RL_OK)
        return rc;
    struct granting_user g = {auth, request, ttl_max_s, snapshot, NULL};
    rc = rl_store_transaction(auth->store, sign_user, &g, err);
    if (rc == RL_OK) {
        Pb__LoginResponse empty = *reply;
        *reply = *g.reply;
        *g.reply = empty;
    }
    if (g.reply)
        pb__login_response__free_unpacked(g.reply, NULL);
    rl_snapshot_unref(&snapshot);
    return rc;
}
