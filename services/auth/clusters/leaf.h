/* leaf: clusters that trust this one, which is their root: they come with a token, tell their
 * authorities, and go; their brokers attach to ours. No broker is believed: the leaf's own
 * signature over holder and epoch says that it came.
 */
#ifndef RL_AUTH_LEAF_H
#define RL_AUTH_LEAF_H

#include "db/peers.h"
#include "fleet/attach.h"

#define RL_LEAF_PREFIX "cluster/"
#define RL_LEAF_NAME_BYTES 254
#define RL_LEAF_VERSION_BYTES_MAX 64
/** What a listener can hold authorities of, and a ControlUpdate can name. */
#define RL_LEAVES_MAX 1000

/** "cluster/LEAF/REPLICA" or "cluster/LEAF". */
struct rl_leaf_name {
    char cluster[RL_LEAF_NAME_BYTES];
    char replica[RL_UUID_TEXT_BYTES]; /* "": none was named */
};
bool rl_leaf_is_named(const char *agent_id); /* does it say that it is one? */
/** Errors: RL_E_INVAL. */
rl_code rl_leaf_name_parse(const char *agent_id, struct rl_leaf_name *out, struct rl_error *err);

/* leaf.c: the service Trust */
rl_code rl_leaf_establish(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                          const Pb__EstablishRequest *request, Pb__EstablishResponse *reply,
                          struct rl_error *err);
rl_code rl_leaf_state(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                      const Pb__TrustStateRequest *request, Pb__TrustStateResponse *reply,
                      struct rl_error *err);
rl_code rl_leaf_update(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                       const Pb__TrustUpdateRequest *request, Pb__TrustUpdateResponse *reply,
                       struct rl_error *err);
rl_code rl_leaf_leave(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                      const Pb__TrustLeaveRequest *request, Pb__TrustLeaveResponse *reply,
                      struct rl_error *err);

/* leaf_attach.c: as rl_attach_offer() and its like, for "cluster/LEAF/REPLICA". RL_E_DENIED: it is
 * no leaf of this cluster. */
rl_code rl_leaf_attach_offer(struct rl_auth *auth, const char *agent_id, const char *holder_id,
                             uint64_t *epoch, struct rl_error *err);
rl_code rl_leaf_attach_record(struct rl_auth *auth, const struct rl_attachment *attachment,
                              struct rl_error *err);
rl_code rl_leaf_attach_end(struct rl_auth *auth, const char *agent_id, const char *holder_id,
                           uint64_t epoch, const char *reason, struct rl_error *err);

/* leaf_policy.c */
/** A lock on a user, a role or a device: what a root stops in its leaves too, by its own names. One
 * on a node or a login is of the cluster where it was made. */
bool rl_lock_is_of_users(const Pb__Lock *lock);
/** What the leaf needs: our authorities, and what stops our users. Owns: *out by
 * rl_policy_unref(). */
rl_code rl_leaf_policy_build(const struct rl_snapshot *snapshot, const char *public_address,
                             struct rl_policy **out, struct rl_error *err);
/** One that is there, by its name; NULL: none. */
const Pb__PeerCluster *rl_snapshot_leaf(const struct rl_snapshot *snapshot, const char *cluster);

#endif
