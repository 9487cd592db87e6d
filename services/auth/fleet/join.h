/* join: agents and services come by token, and renew. */
#ifndef RL_AUTH_JOIN_H
#define RL_AUTH_JOIN_H

#include "auth.h"

#define RL_JOIN_CONTEXT "remoteler-join-v1"
#define RL_RENEW_CONTEXT "remoteler-renew-v1"
#define RL_JOIN_AGAIN_S 600 /* that a lost answer can be asked for again with the same key */
#define RL_JOIN_LABELS_MAX 64
#define RL_JOIN_TEXT_BYTES_MAX 256 /* host name, version, address */

rl_code rl_auth_join(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                     const Pb__JoinRequest *request, Pb__JoinResponse *reply, struct rl_error *err);
/** Errors: RL_E_DENIED: two hold this generation, and both are stopped from now on. */
rl_code rl_auth_renew(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                      const Pb__RenewRequest *request, Pb__JoinResponse *reply,
                      struct rl_error *err);

/** What can be said of a request before anything is looked up: its form, its limits, and that
 * whoever sends it holds the key that it names. Pure. */
rl_code rl_join_check_request(const Pb__JoinRequest *request, struct rl_error *err);
/** Does whoever asks hold the key? `proof` is over context and body. */
rl_code rl_join_check_proof(struct rl_span spki, const char *context, struct rl_span body,
                            struct rl_span proof, struct rl_error *err);
rl_code rl_join_check_labels(Pb__Label *const *labels, size_t count, struct rl_error *err);
/** A lock on an agent itself stops it. Errors: RL_E_DENIED with the lock's message. */
rl_code rl_instance_check_locks(const struct rl_snapshot *snapshot, const char *id,
                                const char *name, int64_t now_ns, struct rl_error *err);

#endif
