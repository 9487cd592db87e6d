/* peers: other clusters: roots that this one trusts, leaves that trust this one, and where the
 * brokers of either are attached. Whoever changes a cluster calls rl_revision_bump() in the same
 * transaction; attachments change nobody's policy.
 */
#ifndef RL_AUTH_DB_PEERS_H
#define RL_AUTH_DB_PEERS_H

#include "remoteler/v1/auth.pb-c.h"
#include "remoteler/v1/resource.pb-c.h"
#include "store/store.h"

#define RL_TRUST_ID_BYTES 16
/* A TrustBundle, packed: eight certificates of each kind, and no more. Services are told those of
 * all clusters in one message: a few that are padded must not fill it. */
#define RL_PEER_TRUST_BYTES_MAX (32u << 10)

/* ---- roots ---- */

struct rl_root_row {
    Pb__TrustedCluster *document; /* without a token */
    Pb__TrustBundle *trust;
    struct rl_buf trust_id, token_hash, told_sha256;
    struct rl_buf policy, policy_sha256, policy_nonce; /* as rl_policy_pack() wrote it; or empty */
    uint64_t policy_version;
};
/** Empty buffers, and no messages yet. */
struct rl_root_row *rl_root_row_create(void);
void rl_root_row_free(struct rl_root_row **row);
void rl_root_rows_free(struct rl_root_row ***rows, size_t count);
/** By name. Owns: by rl_root_rows_free(). */
rl_code rl_roots_list(struct rl_db *db, struct rl_root_row ***out, size_t *count,
                      struct rl_error *err);
/** Errors: RL_E_NOT_FOUND. With `lock` until the transaction ends. */
rl_code rl_roots_find(struct rl_db *db, const char *name, bool lock, struct rl_root_row **out,
                      struct rl_error *err);
rl_code rl_roots_count(struct rl_db *db, size_t *count, struct rl_error *err);
/** Inserts, or replaces all of it. */
rl_code rl_roots_put(struct rl_db *db, const struct rl_root_row *row, uint64_t revision,
                     struct rl_error *err);
/** The root has heard of authorities with this hash. */
rl_code rl_roots_note_told(struct rl_db *db, struct rl_span trust_id, struct rl_span sha256,
                           struct rl_error *err);
rl_code rl_roots_delete(struct rl_db *db, const char *name, struct rl_error *err);
/** One of our brokers is attached there, or why not. */
rl_code rl_roots_note_attachment(struct rl_db *db, const char *name, const char *broker_id,
                                 bool is_attached, uint32_t code, const char *message,
                                 struct rl_error *err);

/* ---- leaves ---- */

struct rl_leaf_row {
    Pb__RemoteCluster *document;
    Pb__TrustBundle *trust;
    struct rl_buf trust_id;
    char *token_id;
    bool is_fresh; /* established within the time that a lost answer may be asked for again */
};
struct rl_leaf_row *rl_leaf_row_create(void);
void rl_leaf_row_free(struct rl_leaf_row **row);
/** Replaces them. */
void rl_leaf_row_set_labels(struct rl_leaf_row *row, Pb__Label *const *labels, size_t count);
void rl_leaf_rows_free(struct rl_leaf_row ***rows, size_t count);
rl_code rl_leaves_list(struct rl_db *db, struct rl_leaf_row ***out, size_t *count,
                       struct rl_error *err);
rl_code rl_leaves_find(struct rl_db *db, const char *name, bool lock, struct rl_leaf_row **out,
                       struct rl_error *err);
rl_code rl_leaves_put(struct rl_db *db, const struct rl_leaf_row *row, uint64_t revision,
                      struct rl_error *err);
rl_code rl_leaves_count(struct rl_db *db, size_t *count, struct rl_error *err);
rl_code rl_leaves_have_trust(struct rl_db *db, struct rl_span trust_id, bool *is_there,
                             struct rl_error *err);
rl_code rl_leaves_delete(struct rl_db *db, const char *name, struct rl_error *err);

/* ---- where the brokers of leaves are attached: as for agents (db/instances.h) ---- */

rl_code rl_leaf_attachments_offer(struct rl_db *db, const char *leaf, const char *replica,
                                  const char *holder_id, uint64_t *epoch, struct rl_error *err);
rl_code rl_leaf_attachments_attach(struct rl_db *db, const char *leaf, const char *replica,
                                   const char *holder_id, uint64_t epoch, const char *peer_address,
                                   const char *version, struct rl_error *err);
rl_code rl_leaf_attachments_detach(struct rl_db *db, const char *leaf, const char *replica,
                                   const char *holder_id, uint64_t epoch, bool *was_attached,
                                   struct rl_error *err);
rl_code rl_leaf_attachments_keep(struct rl_db *db, const char *holder_id, const char *const *ids,
                                 size_t count, struct rl_error *err);
/** Our brokers that hold one of the leaf's, the newest first. Owns: each and the array. */
rl_code rl_leaf_attachments_holders(struct rl_db *db, const char *leaf, char ***holders,
                                    size_t *count, struct rl_error *err);
/** Of holders that are long gone. */
rl_code rl_leaf_attachments_prune(struct rl_db *db, struct rl_error *err);
/** Appends an item of the kind "cluster" for each leaf. */
rl_code rl_leaves_inventory(struct rl_db *db, Pb__InventoryItem ***items, size_t *count,
                            struct rl_error *err);

#endif
