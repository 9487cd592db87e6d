/* policy: roles, locks and cuts: what agents are sent. Whoever changes one calls
 * rl_revision_bump() in the same transaction, first.
 */
#ifndef RL_AUTH_DB_POLICY_H
#define RL_AUTH_DB_POLICY_H

#include "remoteler/v1/resource.pb-c.h"
#include "store/store.h"

/** By name. Owns: each by its free_unpacked and the array; so for all lists here. */
rl_code rl_roles_list(struct rl_db *db, Pb__Role ***out, size_t *count, struct rl_error *err);
/** Inserts, or replaces when `replace`. Errors: RL_E_EXISTS. */
rl_code rl_roles_put(struct rl_db *db, const Pb__Role *role, uint64_t revision, bool replace,
                     bool *created, struct rl_error *err);
rl_code rl_roles_delete(struct rl_db *db, const char *name, struct rl_error *err);

/** Those in force. */
rl_code rl_locks_list(struct rl_db *db, Pb__Lock ***out, size_t *count, struct rl_error *err);
rl_code rl_locks_put(struct rl_db *db, const Pb__Lock *lock, uint64_t revision, bool replace,
                     bool *created, struct rl_error *err);
rl_code rl_locks_delete(struct rl_db *db, const char *name, struct rl_error *err);

/** Those that may still void a certificate. */
rl_code rl_cuts_list(struct rl_db *db, Pb__Cut ***out, size_t *count, struct rl_error *err);
/** Voids what was issued to a user of this cluster until now; kept until `until_ns`. */
rl_code rl_cuts_add(struct rl_db *db, const char *user, const char *cluster, const char *reason,
                    int64_t until_ns, struct rl_error *err);
/** Forgets locks and cuts that have ended; `removed` says how many. */
rl_code rl_policy_prune(struct rl_db *db, size_t *removed, struct rl_error *err);

#endif
