/* root: clusters that this one trusts, whose users may come here: trust is exchanged once, with a
 * token; from then on the root's auth says by its policy who is stopped and how its authorities are
 * known, and our brokers bring it. None of it counts before the root's own signature was checked.
 */
#ifndef RL_AUTH_ROOT_H
#define RL_AUTH_ROOT_H

#include "db/peers.h"
#include "services/control.h"

/** Each has a part of every node's policy. */
#define RL_ROOTS_MAX 32
/** Of a root's own users, at most: beyond that its policy is refused. */
#define RL_ROOT_STOPS_MAX 4000

/* ---- root_line.c: calls to a root's auth, through its proxy ---- */

struct rl_root_line {
    const char *cluster, *proxy;
    const char *pin;              /* before it is known; then NULL: */
    const Pb__TrustBundle *trust; /* its authorities */
    bool as_auth;                 /* shows auth's own certificate */
};
/** Blocks, on a thread that may. Owns: *reply by protobuf_c_message_free_unpacked(). Errors: the
 * root's own, and why it can not be reached, with the root's name before it. */
rl_code rl_root_call(struct rl_auth *auth, const struct rl_root_line *line, const char *method,
                     const ProtobufCMessage *request, ProtobufCMessage **reply,
                     struct rl_error *err);

/* ---- root_exchange.c ---- */

/** With the token of the document (SECRET@PIN): fills the row with what the root answered. Errors:
 * RL_E_INVAL the token's form; RL_E_PRECONDITION the root refused, can not be reached, or is not
 * the one that the token is of. */
rl_code rl_root_exchange(struct rl_auth *auth, const Pb__TrustedCluster *document,
                         struct rl_root_row *row, struct rl_error *err);
rl_code rl_root_token_hash(const char *token, uint8_t hash[32], struct rl_error *err);

/* ---- root_policy.c ---- */

/** What the root seals for this cluster, as it is kept; NULL: nothing yet. Errors: RL_E_DATA_LOSS.
 * Owns: *out by rl_policy_unref(). */
rl_code rl_root_policy_load(const struct rl_root_row *row, const char *own_cluster,
                            struct rl_policy **out, struct rl_error *err);
/** Appends the root's locks and cuts, as they stop its users here. */
void rl_root_policy_stops(const struct rl_policy *policy, const char *root, Pb__Lock ***locks,
                          size_t *lock_count, Pb__Cut ***cuts, size_t *cut_count);

/* root.c: what our brokers say; declared in control.h. */

/** The trust is over: nothing of the root is kept, in the transaction. The revision is bumped. */
rl_code rl_root_purge(struct rl_db *db, const char *name, struct rl_error *err);

#endif
