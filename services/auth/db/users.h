/* users: users, what they log in with, invitations, failures. */
#ifndef RL_AUTH_DB_USERS_H
#define RL_AUTH_DB_USERS_H

#include "remoteler/v1/resource.pb-c.h"
#include "store/store.h"

/** A user with what is never shown. */
struct rl_user_record {
    Pb__User *user;
    char *password_hash;       /* NULL: has none */
    struct rl_buf totp_secret; /* wrapped; n 0: has none */
    int64_t totp_last_step;
    int64_t certificates_until_ns; /* INT64_MIN: none was issued */
};
void rl_user_record_free(struct rl_user_record **record);

/** With `lock` the row stays as it is until the transaction ends. Errors: RL_E_NOT_FOUND. */
rl_code rl_users_find(struct rl_db *db, const char *name, bool lock, struct rl_user_record **out,
                      struct rl_error *err);
/** By name. Owns: each by pb__user__free_unpacked() and the array. */
rl_code rl_users_list(struct rl_db *db, Pb__User ***out, size_t *count, struct rl_error *err);
rl_code rl_users_insert(struct rl_db *db, const Pb__User *user, struct rl_error *err);
/** Roles, traits and labels. */
rl_code rl_users_update(struct rl_db *db, const Pb__User *user, struct rl_error *err);
rl_code rl_users_delete(struct rl_db *db, const char *name, struct rl_error *err);
/** The names of those that hold a role. Owns: each and the array. */
rl_code rl_users_with_role(struct rl_db *db, const char *role, char ***names, size_t *count,
                           struct rl_error *err);

/** Sets what a user logs in with; `hash` NULL takes it away, and the secret with it. */
rl_code rl_users_set_credentials(struct rl_db *db, const char *name, const char *hash,
                                 struct rl_span totp_wrapped, int64_t last_step,
                                 struct rl_error *err);
rl_code rl_users_set_password(struct rl_db *db, const char *name, const char *hash,
                              struct rl_error *err);
rl_code rl_users_set_last_step(struct rl_db *db, const char *name, int64_t step,
                               struct rl_error *err);
/** A certificate that ends then was issued: a later cut has to be kept that long. */
rl_code rl_users_note_certificate(struct rl_db *db, const char *name, int64_t until_ns,
                                  struct rl_error *err);

/* ---- failures: the attempts on one name take turns, on every replica ---- */

/** Waits for its turn, which ends with the transaction; tells the lock-out (0: none). */
rl_code rl_failures_enter(struct rl_db *db, const char *user, int64_t now_ns,
                          int64_t *locked_until_ns, struct rl_error *err);
/** Counts one; after `max` within `window_s` the name is locked for `lock_s`. */
rl_code rl_failures_add(struct rl_db *db, const char *user, uint32_t max, uint64_t window_s,
                        uint64_t lock_s, bool *is_locked, struct rl_error *err);
rl_code rl_failures_clear(struct rl_db *db, const char *user, struct rl_error *err);
/** Forgets what no longer counts. */
rl_code rl_failures_prune(struct rl_db *db, uint64_t window_s, struct rl_error *err);

/* ---- invitations ---- */

struct rl_invitation {
    char *user;
    struct rl_buf totp_secret; /* wrapped */
    bool is_reset;
    int64_t failures;
    int64_t expires_ns;
};
void rl_invitation_fini(struct rl_invitation *invitation);
/** Replaces the user's earlier ones. */
rl_code rl_invitations_add(struct rl_db *db, struct rl_span token_hash, const char *user,
                           struct rl_span totp_wrapped, bool is_reset, int64_t expires_ns,
                           struct rl_error *err);
/** Locks the row. Errors: RL_E_NOT_FOUND. */
rl_code rl_invitations_find(struct rl_db *db, struct rl_span token_hash, struct rl_invitation *out,
                            struct rl_error *err);
rl_code rl_invitations_count_failure(struct rl_db *db, struct rl_span token_hash,
                                     struct rl_error *err);
rl_code rl_invitations_remove(struct rl_db *db, const char *user, struct rl_error *err);

#endif
