/* proof: password and code, checked so that nothing is learned but that they were right. The
 * password is hashed first, whoever asks; then the attempts on one name take turns, so that no two
 * replicas take one code, and no more than RL_LOGIN_FAILURES_MAX guesses count in a window. */
#include "people/login.h"

#include "credential/password.h"
#include "credential/totp.h"
#include "db/cluster.h"
#include "names/names.h"

#include <stdlib.h>
#include <string.h>

enum outcome { RIGHT, WRONG, USED, LOCKED };

struct checking {
    struct rl_auth *auth;
    struct rl_proof *proof;
    bool is_name; /* the name can be a user's at all */
    char *hash;   /* that the password was held against; NULL: there was none */
    bool password_is_right, hash_is_weak;
    char *new_hash;
    rl_code (*then)(struct rl_db *, struct rl_proof *, void *, struct rl_error *);
    void *context;
    enum outcome outcome;
    const char *reason;
    uint64_t wait_s;
};

/* ---- the password, before ---- */

static rl_code read_hash(struct rl_db *db, void *context, struct rl_error *err)
{
    struct checking *c = context;
    struct rl_user_record *record = NULL;
    free(c->hash);
    c->hash = NULL;
    rl_code rc = rl_users_find(db, c->proof->user, false, &record, err);
    if (rc == RL_E_NOT_FOUND)
        return RL_OK;
    if (rc == RL_OK && record->password_hash)
        c->hash = rl_strdup(record->password_hash);
    rl_user_record_free(&record);
    return rc;
}

static rl_code check_password(struct checking *c, struct rl_error *err)
{
    if (c->is_name) {
        rl_code rc = rl_store_transaction(c->auth->store, read_hash, c, err);
        if (rc != RL_OK)
            return rc;
    }
    struct rl_span password = rl_span_of(c->proof->password);
    rl_code rc = rl_password_verify(c->hash, password, &c->hash_is_weak, err);
    if (rc == RL_E_DENIED)
        return RL_OK;
    if (rc == RL_OK && c->hash_is_weak)
        rc = rl_password_hash(password, &c->new_hash, err);
    c->password_is_right = rc == RL_OK;
    return rc;
}

/* ---- the code, in the transaction ---- */

static rl_code check_code(struct checking *c, int64_t *step, struct rl_error *err)
{
    const struct rl_user_record *record = c->proof->record;
    struct rl_wrap_binding binding = {c->auth->cluster, "totp", c->proof->user};
    struct rl_buf secret;
    rl_buf_init(&secret, RL_TOTP_SECRET_BYTES_MAX);
    rl_code rc =
        rl_unwrap(c->auth->wrap, &binding, rl_buf_span(&record->totp_secret), &secret, err);
    if (rc != RL_OK)
        rc = RL_E_DATA_LOSS; /* RL_E_DENIED would look like a wrong code */
    else
        rc = rl_totp_check(rl_buf_span(&secret), c->proof->otp, c->proof->now_ns / 1000000000,
                           record->totp_last_step, step, &c->wait_s, err);
    rl_buf_fini(&secret);
    return rc;
}

/* Wrong is counted. The transaction has to commit, so it is no error here. */
static rl_code count_wrong(struct rl_db *db, struct checking *c, const char *reason,
                           struct rl_error *err)
{
    bool is_locked = false;
    c->outcome = WRONG;
    c->reason = reason;
    return rl_failures_add(db, c->proof->user, RL_LOGIN_FAILURES_MAX, RL_LOGIN_WINDOW_S,
                           RL_LOGIN_LOCK_S, &is_locked, err);
}

static bool is_same_hash(const struct checking *c)
{
    const char *now = c->proof->record->password_hash;
    return now && c->hash && strcmp(now, c->hash) == 0;
}

static rl_code use_code(struct rl_db *db, struct checking *c, int64_t step, struct rl_error *err)
{
    rl_code rc = rl_users_set_last_step(db, c->proof->user, step, err);
    if (rc == RL_OK && c->new_hash)
        rc = rl_users_set_password(db, c->proof->user, c->new_hash, err);
    if (rc == RL_OK)
        rc = rl_failures_clear(db, c->proof->user, err);
    if (rc == RL_OK)
        rc = c->then(db, c->proof, c->context, err);
    return rc;
}

static rl_code judge(struct rl_db *db, struct checking *c, struct rl_error *err)
{
    rl_code rc = rl_users_find(db, c->proof->user, true, &c->proof->record, err);
    if (rc == RL_E_NOT_FOUND)
        return count_wrong(db, c, "unknown user", err);
    if (rc != RL_OK)
        return rc;
    if (!c->proof->record->password_hash)
        return count_wrong(db, c, "the user has no password", err);
    if (!c->password_is_right || !is_same_hash(c))
        return count_wrong(db, c, "wrong password", err);
    rc = rl_db_now(db, &c->proof->now_ns, err);
    int64_t step = 0;
    if (rc == RL_OK)
        rc = check_code(c, &step, err);
    if (rc == RL_E_DENIED)
        return count_wrong(db, c, "wrong code", err);
    if (rc == RL_E_PRECONDITION) {
        c->outcome = USED;
        c->reason = "code already used";
        return RL_OK;
    }
    if (rc != RL_OK)
        return rc;
    c->outcome = RIGHT;
    return use_code(db, c, step, err);
}

static rl_code decide(struct rl_db *db, void *context, struct rl_error *err)
{
    struct checking *c = context;
    rl_user_record_free(&c->proof->record); /* of an attempt that lost its race */
    c->outcome = WRONG;
    c->reason = NULL;
    int64_t locked_until_ns = 0;
    rl_code rc = rl_db_now(db, &c->proof->now_ns, err);
    if (rc == RL_OK)
        rc = rl_failures_enter(db, c->proof->user, c->proof->now_ns, &locked_until_ns, err);
    if (rc != RL_OK)
        return rc;
    if (locked_until_ns) {
        c->outcome = LOCKED;
        c->reason = "locked out after too many failures";
        c->wait_s = (uint64_t)((locked_until_ns - c->proof->now_ns) / 1000000000 + 1);
        return RL_OK;
    }
    return judge(db, c, err);
}

/* ---- both ---- */

static rl_code say(const struct checking *c, struct rl_error *err)
{
    switch (c->outcome) {
    case RIGHT:
        return RL_OK;
    case USED:
        return rl_fail(err, RL_E_DENIED, "this code was already used; the next is valid in %llu s",
                       (unsigned long long)c->wait_s);
    case LOCKED:
        return rl_fail(err, RL_E_DENIED, "too many failed logins; try again in %llu s",
                       (unsigned long long)c->wait_s);
    case WRONG:
        break;
    }
    return rl_fail(err, RL_E_DENIED, RL_LOGIN_WRONG);
}

rl_code rl_prove(struct rl_auth *auth, struct rl_proof *proof,
                 rl_code (*then)(struct rl_db *db, struct rl_proof *proof, void *context,
                                 struct rl_error *err),
                 void *context, const char **reason, struct rl_error *err)
{
    struct checking c = {
        .auth = auth,
        .proof = proof,
        .is_name = rl_name_check_user(proof->user, NULL) == RL_OK,
        .then = then,
        .context = context,
        .outcome = WRONG,
        .reason = "no user can have this name",
    };
    rl_code rc = check_password(&c, err);
    if (rc == RL_OK && c.is_name)
        rc = rl_store_transaction(auth->store, decide, &c, err);
    if (rc == RL_OK)
        rc = say(&c, err);
    *reason = c.reason;
    free(c.hash);
    free(c.new_hash);
    if (rc != RL_OK)
        rl_user_record_free(&proof->record);
    return rc;
}
