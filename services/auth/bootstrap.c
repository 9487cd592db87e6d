/* bootstrap: key file, tables, authorities, roles, the administrator and the first tokens. Each is
 * made only when it is not there. */
#include "bootstrap.h"

#include "authority/grant.h"
#include "authority/issue.h"
#include "bundle/bundle.h"
#include "credential/token.h"
#include "db/cluster.h"
#include "db/schema.h"
#include "db/users.h"
#include "file/file.h"
#include "log/log.h"
#include "people/roles.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PIN_FILE "ca.pin"
#define SAY_EVERY_S 10
#define POLICY_MAX_AGE_S (7ull * 86400)
#define AUDIT_RETENTION_S (365ull * 86400)

/* ---- the cluster ---- */

struct founding {
    struct rl_auth *auth;
    char *name; /* of the cluster that is there; NULL: none */
    bool created;
};

static rl_code read_name(struct rl_db *db, void *context, struct rl_error *err)
{
    struct founding *f = context;
    free(f->name);
    f->name = NULL;
    rl_code rc = rl_cluster_name(db, &f->name, err);
    return rc == RL_E_NOT_FOUND ? RL_OK : rc;
}

/* Without its key file a cluster's keys are lost: a new file would only hide that. */
static rl_code ready_key_file(struct rl_auth *auth, bool cluster_is_there, bool *created,
                              struct rl_error *err)
{
    const char *path = auth->settings->key_file;
    if (auth->wrap)
        return RL_OK;
    rl_code rc = rl_wrap_key_load(path, &auth->wrap, err);
    if (rc != RL_E_NOT_FOUND)
        return rc;
    if (cluster_is_there)
        return rl_fail(err, RL_E_PRECONDITION,
                       "the cluster is there but its key file %s is not: restore it", path);
    rc = rl_wrap_key_create_file(path, err);
    if (rc != RL_OK)
        return rc;
    *created = true;
    return rl_wrap_key_load(path, &auth->wrap, err);
}

static rl_code add_admin(struct rl_db *db, const char *name, struct rl_error *err)
{
    Pb__User *user = rl_message_create(&pb__user__descriptor);
    user->metadata = rl_message_create(&pb__metadata__descriptor);
    user->spec = rl_message_create(&pb__user_spec__descriptor);
    rl_message_text(&user->metadata->name, name);
    rl_message_append(&user->spec->roles, &user->spec->n_roles, rl_strdup(RL_ROLE_ADMIN));
    rl_code rc = rl_users_insert(db, user, err);
    pb__user__free_unpacked(user, NULL);
    return rc;
}

static rl_code create_cluster(struct rl_db *db, const struct rl_auth *auth, struct rl_error *err)
{
    const struct rl_auth_settings *s = auth->settings;
    char empty[] = "";
    Pb__ClusterConfigSpec config = PB__CLUSTER_CONFIG_SPEC__INIT;
    config.policy_max_age_s = POLICY_MAX_AGE_S;
    config.audit_retention_s = AUDIT_RETENTION_S;
    config.public_address = s->public_address ? s->public_address : empty;
    rl_code rc = rl_cluster_create(db, s->cluster, &config, err);
    return rc == RL_OK ? add_admin(db, s->admin, err) : rc;
}

static rl_code found(struct rl_db *db, void *context, struct rl_error *err)
{
    struct founding *f = context;
    uint64_t revision = 0;
    int64_t now_ns = 0;
    f->created = false;
    rl_code rc = rl_revision_bump(db, &revision, err); /* also: one bootstrap at a time */
    if (rc == RL_OK)
        rc = read_name(db, f, err);
    if (rc == RL_OK && f->name)
        return RL_OK; /* another made it just now */
    if (rc == RL_OK)
        rc = rl_db_now(db, &now_ns, err);
    if (rc == RL_OK)
        rc = create_cluster(db, f->auth, err);
    if (rc == RL_OK)
        rc = rl_roles_add_builtin(db, revision, err);
    if (rc == RL_OK)
        rc = rl_authorities_create(db, f->auth->settings->cluster, f->auth->wrap, now_ns, err);
    f->created = rc == RL_OK;
    return rc;
}

static rl_code make_cluster(struct rl_auth *auth, struct rl_bootstrap_result *result,
                            struct rl_error *err)
{
    struct founding f = {.auth = auth};
    rl_code rc = rl_store_migrate(auth->store, rl_auth_migrations, rl_auth_migration_count, err);
    if (rc == RL_OK)
        rc = rl_store_transaction(auth->store, read_name, &f, err);
    if (rc == RL_OK)
        rc = ready_key_file(auth, f.name != NULL, &result->key_created, err);
    if (rc == RL_OK && !f.name)
        rc = rl_store_transaction(auth->store, found, &f, err);
    result->created = f.created;
    free(f.name);
    return rc;
}

/* ---- the administrator's identity ---- */

static rl_code sign_admin(struct rl_auth *auth, EVP_PKEY *key, Pb__LoginResponse *reply,
                          struct rl_error *err)
{
    struct rl_buf spki;
    rl_buf_init(&spki, 1024);
    rl_code rc = rl_key_to_spki(key, &spki, err);
    if (rc == RL_OK) {
        Pb__SignUserRequest request = PB__SIGN_USER_REQUEST__INIT;
        request.user = auth->settings->admin;
        request.ttl_s = auth->settings->identity_ttl_s;
        request.tls_public_key = (ProtobufCBinaryData){spki.n, spki.p};
        rc = rl_grant_user(auth, &request, RL_SIGNED_TTL_S_MAX, reply, err);
    }
    rl_buf_fini(&spki);
    return rc;
}

static rl_code write_identity(struct rl_auth *auth, bool *written, struct rl_error *err)
{
    const char *path = auth->settings->identity_out;
    if (!path || access(path, F_OK) == 0)
        return RL_OK;
    EVP_PKEY *key = NULL;
    Pb__LoginResponse *reply = rl_message_create(&pb__login_response__descriptor);
    rl_code rc = rl_key_generate_p256(&key, err);
    if (rc == RL_OK)
        rc = sign_admin(auth, key, reply, err);
    if (rc == RL_OK)
        rc = rl_bundle_write(path, key, reply->tls_chain, reply->n_tls_chain, reply->trust, err);
    *written = rc == RL_OK;
    pb__login_response__free_unpacked(reply, NULL);
    EVP_PKEY_free(key);
    return rc;
}

/* ---- the first tokens ---- */

static rl_code write_secret(const char *path, const char *secret, struct rl_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return rl_fail_errno(err, RL_E_INTERNAL, "writing %s", path);
    bool ok = dprintf(fd, "%s\n", secret) > 0 && fsync(fd) == 0;
    ok = close(fd) == 0 && ok;
    if (ok)
        return RL_OK;
    rl_fail_errno(err, RL_E_INTERNAL, "writing %s", path);
    unlink(path);
    return RL_E_INTERNAL;
}

static rl_code write_token(struct rl_auth *auth, const char *kind, size_t *written,
                           struct rl_error *err)
{
    char *path = rl_sprintf("%s/%s.token", auth->settings->service_tokens_out, kind);
    rl_code rc = RL_OK;
    if (access(path, F_OK) != 0) {
        char *type = rl_strdup(kind);
        char *secret = NULL;
        Pb__Token *token = NULL;
        Pb__AddTokenRequest request = PB__ADD_TOKEN_REQUEST__INIT;
        request.types = &type;
        request.n_types = 1;
        request.ttl_s = auth->settings->service_token_ttl_s;
        request.uses = (uint32_t)auth->settings->service_token_uses;
        rc = rl_grant_token(auth, &request, auth->settings->admin, &token, &secret, err);
        if (rc == RL_OK)
            rc = write_secret(path, secret, err);
        if (rc == RL_OK)
            (*written)++;
        if (token)
            pb__token__free_unpacked(token, NULL);
        rl_token_free(&secret);
        free(type);
    }
    free(path);
    return rc;
}

/* Beside the tokens: who has one needs the other. No secret. */
static rl_code write_pin(struct rl_auth *auth, struct rl_error *err)
{
    struct rl_snapshot *snapshot = NULL;
    rl_code rc = rl_snapshots_current(auth->snapshots, &snapshot, err);
    if (rc != RL_OK)
        return rc;
    char *path = rl_sprintf("%s/" PIN_FILE, auth->settings->service_tokens_out);
    char *line = rl_sprintf("%s\n", snapshot->authorities->ca_pin);
    rc = rl_file_write(path, rl_span_of(line), err);
    free(line);
    free(path);
    rl_snapshot_unref(&snapshot);
    return rc;
}

static rl_code write_tokens(struct rl_auth *auth, size_t *written, struct rl_error *err)
{
    static const char *const kinds[] = {"proxy", "broker", "audit"};
    const char *directory = auth->settings->service_tokens_out;
    if (!directory)
        return RL_OK;
    if (mkdir(directory, 0700) != 0 && errno != EEXIST)
        return rl_fail_errno(err, RL_E_INTERNAL, "making the directory %s", directory);
    rl_code rc = RL_OK;
    for (size_t i = 0; rc == RL_OK && i < RL_COUNT(kinds); i++)
        rc = write_token(auth, kinds[i], written, err);
    return rc == RL_OK ? write_pin(auth, err) : rc;
}

/* ---- all of it ---- */

static rl_code wait_for_database(struct rl_auth *auth, struct rl_error *err)
{
    static const struct timespec second = {1, 0};
    rl_code rc;
    for (uint64_t left_s = auth->settings->wait_s;; left_s--) {
        rc = rl_store_ping(auth->store, err);
        if (rc != RL_E_UNAVAILABLE || left_s == 0)
            return rc;
        if (left_s == auth->settings->wait_s || left_s % SAY_EVERY_S == 0)
            rl_log_warn("waiting for PostgreSQL", RL_TEXT("error", err->message));
        nanosleep(&second, NULL);
    }
}

rl_code rl_bootstrap(struct rl_auth *auth, struct rl_bootstrap_result *result, struct rl_error *err)
{
    *result = (struct rl_bootstrap_result){false};
    rl_code rc = rl_name_check_cluster(auth->settings->cluster, err);
    if (rc == RL_OK)
        rc = rl_name_check_user(auth->settings->admin, err);
    if (rc == RL_OK)
        rc = wait_for_database(auth, err);
    if (rc == RL_OK)
        rc = make_cluster(auth, result, err);
    if (rc == RL_OK)
        rc = rl_auth_start(auth, err); /* also: is it the cluster that was named? */
    if (rc == RL_OK)
        rc = write_identity(auth, &result->identity_written, err);
    if (rc == RL_OK)
        rc = write_tokens(auth, &result->tokens_written, err);
    return rc;
}
