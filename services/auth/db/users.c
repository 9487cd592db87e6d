/* users: SQL about users and invitations. */
#include "db/users.h"

#include "db/labels.h"
#include "message.h"

#include <stdlib.h>

#define TOTP_WRAPPED_BYTES_MAX 512

/* The columns that user_of() and record_of() read, in their order. */
#define USER_COLUMNS                                                                               \
    "u.name, u.roles, u.traits, u.label_keys, u.label_values, u.revision, u.created,"              \
    " u.password_hash IS NULL AND EXISTS"                                                          \
    "   (SELECT FROM invitations i WHERE i.user_name = u.name),"                                   \
    " (SELECT f.locked_until FROM login_failures f"                                                \
    "   WHERE f.user_name = u.name AND f.locked_until > now())"

void rl_user_record_free(struct rl_user_record **record)
{
    if (!*record)
        return;
    pb__user__free_unpacked((*record)->user, NULL);
    free((*record)->password_hash);
    rl_buf_fini(&(*record)->totp_secret);
    free(*record);
    *record = NULL;
}

static rl_code user_of(struct rl_rows *rows, size_t row, Pb__User **out, struct rl_error *err)
{
    struct rl_span packed = rl_row_bytes(rows, row, 2);
    Pb__UserSpec *spec = pb__user_spec__unpack(NULL, packed.n, packed.p);
    if (!spec)
        return rl_fail(err, RL_E_DATA_LOSS, "the traits of user %s can not be read",
                       rl_row_text(rows, row, 0));
    Pb__User *user = rl_message_create(&pb__user__descriptor);
    user->spec = spec;
    user->metadata = rl_message_create(&pb__metadata__descriptor);
    user->status = rl_message_create(&pb__user_status__descriptor);
    rl_message_text(&user->metadata->name, rl_row_text(rows, row, 0));
    rl_texts_of_row(rows, row, 1, &spec->roles, &spec->n_roles);
    rl_labels_of_row(rows, row, 3, &user->metadata->labels, &user->metadata->n_labels);
    user->metadata->revision = (uint64_t)rl_row_int(rows, row, 5);
    user->metadata->created_ns = rl_row_time(rows, row, 6);
    bool is_locked = !rl_row_is_null(rows, row, 8);
    if (is_locked)
        user->status->locked_until_ns = rl_row_time(rows, row, 8);
    rl_message_text(&user->status->state, is_locked                   ? "locked_out"
                                          : rl_row_bool(rows, row, 7) ? "invited"
                                                                      : "active");
    *out = user;
    return RL_OK;
}

rl_code rl_users_find(struct rl_db *db, const char *name, bool lock, struct rl_user_record **out,
                      struct rl_error *err)
{
    static const char select[] =
        "SELECT " USER_COLUMNS ", u.password_hash, u.totp_secret, u.totp_last_step,"
        " nullif(u.certificates_until, '-infinity') FROM users u WHERE u.name = $1";
    static const char select_locked[] =
        "SELECT " USER_COLUMNS ", u.password_hash, u.totp_secret, u.totp_last_step,"
        " nullif(u.certificates_until, '-infinity') FROM users u WHERE u.name = $1 FOR UPDATE OF u";
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err, lock ? select_locked : select, rl_param_text(name));
    if (rc != RL_OK)
        return rc;
    Pb__User *user = NULL;
    if (rl_rows_count(rows) == 0)
        rc = rl_fail(err, RL_E_NOT_FOUND, "no such user \"%s\"", name);
    if (rc == RL_OK)
        rc = user_of(rows, 0, &user, err);
    if (rc == RL_OK)
        rc = rl_rows_check(rows, err);
    if (rc == RL_OK) {
        struct rl_user_record *record = rl_alloc(sizeof *record);
        record->user = user;
        user = NULL;
        if (!rl_row_is_null(rows, 0, 9))
            record->password_hash = rl_strdup(rl_row_text(rows, 0, 9));
        rl_buf_init(&record->totp_secret, TOTP_WRAPPED_BYTES_MAX);
        rl_buf_put_span(&record->totp_secret, rl_row_bytes(rows, 0, 10));
        record->totp_last_step = rl_row_int(rows, 0, 11);
        record->certificates_until_ns =
            rl_row_is_null(rows, 0, 12) ? INT64_MIN : rl_row_time(rows, 0, 12);
        *out = record;
    }
    if (user)
        pb__user__free_unpacked(user, NULL);
    rl_rows_free(&rows);
    return rc;
}

rl_code rl_users_list(struct rl_db *db, Pb__User ***out, size_t *count, struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err,
                          "SELECT " USER_COLUMNS " FROM users u ORDER BY u.name COLLATE \"C\"");
    if (rc != RL_OK)
        return rc;
    Pb__User **list = NULL;
    size_t n = 0;
    for (size_t i = 0; rc == RL_OK && i < rl_rows_count(rows); i++) {
        Pb__User *user = NULL;
        rc = user_of(rows, i, &user, err);
        if (rc == RL_OK)
            rl_message_append(&list, &n, user);
    }
    if (rc == RL_OK)
        rc = rl_rows_check(rows, err);
    rl_rows_free(&rows);
    if (rc == RL_OK) {
        *out = list;
        *count = n;
        return RL_OK;
    }
    while (n)
        pb__user__free_unpacked(list[--n], NULL);
    free(list);
    return rc;
}

/* The traits alone, packed: roles lie in a column of their own. */
static void pack_traits(const Pb__User *user, struct rl_buf *out)
{
    Pb__UserSpec traits = PB__USER_SPEC__INIT;
    traits.n_traits = user->spec->n_traits;
    traits.traits = user->spec->traits;
    rl_buf_init(out, 1u << 16);
    rl_message_pack(&traits.base, out);
}

static rl_code write_user(struct rl_db *db, const char *sql, const Pb__User *user, size_t *affected,
                          struct rl_error *err)
{
    struct rl_buf traits;
    struct rl_label_arrays labels;
    pack_traits(user, &traits);
    rl_label_arrays_init(&labels, user->metadata->labels, user->metadata->n_labels);
    rl_code rc = RL_OK;
    if (traits.failed)
        rc = rl_fail(err, RL_E_INVAL, "the traits of a user take at most 64 KiB");
    else
        rc =
            rl_exec(db, affected, err, sql, rl_param_text(user->metadata->name),
                    rl_param_texts((const char *const *)user->spec->roles, user->spec->n_roles),
                    rl_param_bytes(rl_buf_span(&traits)), rl_param_texts(labels.keys, labels.count),
                    rl_param_texts(labels.values, labels.count));
    rl_label_arrays_fini(&labels);
    rl_buf_fini(&traits);
    return rc;
}

rl_code rl_users_insert(struct rl_db *db, const Pb__User *user, struct rl_error *err)
{
    size_t n = 0;
    rl_code rc = write_user(db,
                            "INSERT INTO users (name, roles, traits, label_keys, label_values)"
                            " VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
                            user, &n, err);
    if (rc == RL_OK && n == 0)
        rc = rl_fail(err, RL_E_EXISTS, "user \"%s\" is there already", user->metadata->name);
    return rc;
}

rl_code rl_users_update(struct rl_db *db, const Pb__User *user, struct rl_error *err)
{
    size_t n = 0;
    rl_code rc = write_user(db,
                            "UPDATE users SET roles = $2, traits = $3, label_keys = $4,"
                            " label_values = $5, revision = revision + 1 WHERE name = $1",
                            user, &n, err);
    if (rc == RL_OK && n == 0)
        rc = rl_fail(err, RL_E_NOT_FOUND, "no such user \"%s\"", user->metadata->name);
    return rc;
}

rl_code rl_users_delete(struct rl_db *db, const char *name, struct rl_error *err)
{
    size_t n = 0;
    rl_code rc = rl_exec(db, &n, err, "DELETE FROM users WHERE name = $1", rl_param_text(name));
    if (rc == RL_OK && n == 0)
        rc = rl_fail(err, RL_E_NOT_FOUND, "no such user \"%s\"", name);
    return rc;
}

rl_code rl_users_with_role(struct rl_db *db, const char *role, char ***names, size_t *count,
                           struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc =
        rl_query(db, &rows, err, "SELECT name FROM users WHERE $1 = ANY (roles) ORDER BY name",
                 rl_param_text(role));
    if (rc != RL_OK)
        return rc;
    for (size_t i = 0; i < rl_rows_count(rows); i++)
        rl_message_append(names, count, rl_strdup(rl_row_text(rows, i, 0)));
    rl_rows_free(&rows);
    return RL_OK;
}

/* ---- what they log in with ---- */

rl_code rl_users_set_credentials(struct rl_db *db, const char *name, const char *hash,
                                 struct rl_span totp_wrapped, int64_t last_step,
                                 struct rl_error *err)
{
    return rl_exec(db, NULL, err,
                   "UPDATE users SET password_hash = $2, totp_secret = $3, totp_last_step = $4"
                   " WHERE name = $1",
                   rl_param_text(name), rl_param_text(hash),
                   hash ? rl_param_bytes(totp_wrapped) : rl_param_null(), rl_param_int(last_step));
}

rl_code rl_users_set_password(struct rl_db *db, const char *name, const char *hash,
                              struct rl_error *err)
{
    return rl_exec(db, NULL, err, "UPDATE users SET password_hash = $2 WHERE name = $1",
                   rl_param_text(name), rl_param_text(hash));
}

rl_code rl_users_set_last_step(struct rl_db *db, const char *name, int64_t step,
                               struct rl_error *err)
{
    return rl_exec(db, NULL, err,
                   "UPDATE users SET totp_last_step = greatest(totp_last_step, $2)"
                   " WHERE name = $1",
                   rl_param_text(name), rl_param_int(step));
}

rl_code rl_users_note_certificate(struct rl_db *db, const char *name, int64_t until_ns,
                                  struct rl_error *err)
{
    return rl_exec(db, NULL, err,
                   "UPDATE users SET certificates_until = greatest(certificates_until, $2)"
                   " WHERE name = $1",
                   rl_param_text(name), rl_param_time(until_ns));
}

/* ---- failures ---- */

rl_code rl_failures_enter(struct rl_db *db, const char *user, int64_t now_ns,
                          int64_t *locked_until_ns, struct rl_error *err)
{
    /* Not a row's lock: a name that nobody has takes turns as well. */
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err,
                          "SELECT pg_advisory_xact_lock(hashtextextended('login:' || $1, 0))",
                          rl_param_text(user));
    rl_rows_free(&rows);
    if (rc != RL_OK)
        return rc;
    rc = rl_query(db, &rows, err,
                  "SELECT locked_until FROM login_failures"
                  " WHERE user_name = $1 AND locked_until > $2",
                  rl_param_text(user), rl_param_time(now_ns));
    if (rc == RL_OK)
        *locked_until_ns = rl_rows_count(rows) ? rl_row_time(rows, 0, 0) : 0;
    rl_rows_free(&rows);
    return rc;
}

rl_code rl_failures_add(struct rl_db *db, const char *user, uint32_t max, uint64_t window_s,
                        uint64_t lock_s, bool *is_locked, struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err,
                          "INSERT INTO login_failures AS f (user_name, failed_at)"
                          " VALUES ($1, ARRAY[clock_timestamp()])"
                          " ON CONFLICT (user_name) DO UPDATE SET failed_at ="
                          "  ARRAY(SELECT t FROM unnest(f.failed_at) t"
                          "   WHERE t > clock_timestamp() - make_interval(secs => $2))"
                          "  || clock_timestamp()"
                          " RETURNING cardinality(failed_at)::bigint",
                          rl_param_text(user), rl_param_int((int64_t)window_s));
    if (rc != RL_OK)
        return rc;
    *is_locked = rl_row_int(rows, 0, 0) >= max;
    rl_rows_free(&rows);
    if (!*is_locked)
        return RL_OK;
    return rl_exec(db, NULL, err,
                   "UPDATE login_failures SET failed_at = '{}',"
                   " locked_until = clock_timestamp() + make_interval(secs => $2)"
                   " WHERE user_name = $1",
                   rl_param_text(user), rl_param_int((int64_t)lock_s));
}

rl_code rl_failures_clear(struct rl_db *db, const char *user, struct rl_error *err)
{
    return rl_exec(db, NULL, err, "DELETE FROM login_failures WHERE user_name = $1",
                   rl_param_text(user));
}

rl_code rl_failures_prune(struct rl_db *db, uint64_t window_s, struct rl_error *err)
{
    return rl_exec(db, NULL, err,
                   "DELETE FROM login_failures WHERE locked_until < now() AND NOT EXISTS"
                   " (SELECT FROM unnest(failed_at) t WHERE t > now() - make_interval(secs => $1))",
                   rl_param_int((int64_t)window_s));
}

/* ---- invitations ---- */

void rl_invitation_fini(struct rl_invitation *invitation)
{
    free(invitation->user);
    rl_buf_fini(&invitation->totp_secret);
    invitation->user = NULL;
}

rl_code rl_invitations_add(struct rl_db *db, struct rl_span token_hash, const char *user,
                           struct rl_span totp_wrapped, bool is_reset, int64_t expires_ns,
                           struct rl_error *err)
{
    rl_code rc = rl_invitations_remove(db, user, err);
    if (rc != RL_OK)
        return rc;
    return rl_exec(db, NULL, err,
                   "INSERT INTO invitations (token_hash, user_name, totp_secret, is_reset, expires)"
                   " VALUES ($1, $2, $3, $4, $5)",
                   rl_param_bytes(token_hash), rl_param_text(user), rl_param_bytes(totp_wrapped),
                   rl_param_bool(is_reset), rl_param_time(expires_ns));
}

rl_code rl_invitations_find(struct rl_db *db, struct rl_span token_hash, struct rl_invitation *out,
                            struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err,
                          "SELECT user_name, totp_secret, is_reset, failures, expires"
                          " FROM invitations WHERE token_hash = $1 FOR UPDATE",
                          rl_param_bytes(token_hash));
    if (rc != RL_OK)
        return rc;
    if (rl_rows_count(rows) == 0) {
        rc = rl_fail(err, RL_E_NOT_FOUND, "no such invitation");
    } else {
        *out = (struct rl_invitation){
            .user = rl_strdup(rl_row_text(rows, 0, 0)),
            .is_reset = rl_row_bool(rows, 0, 2),
            .failures = rl_row_int(rows, 0, 3),
            .expires_ns = rl_row_time(rows, 0, 4),
        };
        rl_buf_init(&out->totp_secret, TOTP_WRAPPED_BYTES_MAX);
        rl_buf_put_span(&out->totp_secret, rl_row_bytes(rows, 0, 1));
    }
    rl_rows_free(&rows);
    return rc;
}

rl_code rl_invitations_count_failure(struct rl_db *db, struct rl_span token_hash,
                                     struct rl_error *err)
{
    return rl_exec(db, NULL, err,
                   "UPDATE invitations SET failures = failures + 1 WHERE token_hash = $1",
                   rl_param_bytes(token_hash));
}

rl_code rl_invitations_remove(struct rl_db *db, const char *user, struct rl_error *err)
{
    return rl_exec(db, NULL, err, "DELETE FROM invitations WHERE user_name = $1",
                   rl_param_text(user));
}
