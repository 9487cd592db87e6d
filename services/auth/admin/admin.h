/* admin: what administrators ask. Each call is decided by the rules of the caller's roles. */
#ifndef RL_AUTH_ADMIN_H
#define RL_AUTH_ADMIN_H

#include "auth.h"
#include "db/users.h"
#include "people/caller.h"

#define RL_USER_ROLES_MAX 64
#define RL_USER_TRAITS_MAX 64
#define RL_TRAIT_VALUES_MAX 64
#define RL_TRAIT_BYTES_MAX 256

/* admin_status.c */
rl_code rl_admin_status(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                        const Pb__StatusRequest *request, Pb__StatusResponse *reply,
                        struct rl_error *err);
rl_code rl_admin_inventory(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                           const Pb__ListInventoryRequest *request,
                           Pb__ListInventoryResponse *reply, struct rl_error *err);

/* admin_users.c */
rl_code rl_admin_add_user(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                          const Pb__AddUserRequest *request, Pb__InvitationIssued *reply,
                          struct rl_error *err);
rl_code rl_admin_reset_user(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                            const Pb__ResetUserRequest *request, Pb__InvitationIssued *reply,
                            struct rl_error *err);
rl_code rl_admin_update_user(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                             const Pb__UpdateUserRequest *request, Pb__User *reply,
                             struct rl_error *err);

/* admin_grants.c */
rl_code rl_admin_add_token(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                           const Pb__AddTokenRequest *request, Pb__AddTokenResponse *reply,
                           struct rl_error *err);
rl_code rl_admin_sign_user(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                           const Pb__SignUserRequest *request, Pb__LoginResponse *reply,
                           struct rl_error *err);
rl_code rl_admin_rotate(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                        const Pb__RotateAuthoritiesRequest *request,
                        Pb__RotateAuthoritiesResponse *reply, struct rl_error *err);

/* admin_resources.c */
rl_code rl_admin_get(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                     const Pb__GetResourcesRequest *request, Pb__GetResourcesResponse *reply,
                     struct rl_error *err);
rl_code rl_admin_put(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                     const Pb__PutResourceRequest *request, Pb__PutResourceResponse *reply,
                     struct rl_error *err);
rl_code rl_admin_delete(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                        const Pb__DeleteResourceRequest *request, Pb__DeleteResourceResponse *reply,
                        struct rl_error *err);

/* ---- users.c: what changes of users have in common ---- */

/** Is the document fit to be saved: name, roles that exist, traits? */
rl_code rl_user_check(const struct rl_snapshot *snapshot, const Pb__User *user,
                      struct rl_error *err);
/** Replaces roles, traits and labels; what was taken away writes a cut. */
rl_code rl_user_replace(struct rl_auth *auth, struct rl_db *db, const Pb__User *user,
                        struct rl_error *err);
/** Voids every certificate of the user in the transaction. The revision is bumped. */
rl_code rl_user_cut(struct rl_auth *auth, struct rl_db *db, const struct rl_user_record *record,
                    const char *reason, struct rl_error *err);
rl_code rl_user_delete(struct rl_auth *auth, struct rl_db *db, const char *name,
                       struct rl_error *err);

#endif
