/* cluster: the cluster's name and settings, its authorities, and the revision of its policy. */
#ifndef RL_AUTH_DB_CLUSTER_H
#define RL_AUTH_DB_CLUSTER_H

#include "remoteler/v1/resource.pb-c.h"
#include "store/store.h"

/** The channel on which every new revision is told. */
#define RL_AUTH_NOTIFY_CHANNEL "remoteler_auth"

/** Errors: RL_E_NOT_FOUND: not bootstrapped. Owns: *name is heap text. */
rl_code rl_cluster_name(struct rl_db *db, char **name, struct rl_error *err);
rl_code rl_cluster_create(struct rl_db *db, const char *name, const Pb__ClusterConfigSpec *config,
                          struct rl_error *err);
/** Owns: *out by pb__cluster_config__free_unpacked(). */
rl_code rl_cluster_config(struct rl_db *db, Pb__ClusterConfig **out, struct rl_error *err);
rl_code rl_cluster_set_config(struct rl_db *db, const Pb__ClusterConfigSpec *config,
                              struct rl_error *err);

/** The database's clock: one for all replicas. It moves within a transaction. */
rl_code rl_db_now(struct rl_db *db, int64_t *now_ns, struct rl_error *err);
rl_code rl_revision_read(struct rl_db *db, uint64_t *number, struct rl_error *err);
/** Policy changes in this transaction: locks the counter, counts, tells everyone at commit. */
rl_code rl_revision_bump(struct rl_db *db, uint64_t *number, struct rl_error *err);

/** Every authority, the active key first. private_key is wrapped. Owns: by rl_authorities_free().
 */
rl_code rl_authorities_list(struct rl_db *db, Pb__CertificateAuthority ***out, size_t *count,
                            struct rl_error *err);
void rl_authorities_free(Pb__CertificateAuthority ***authorities, size_t count);
rl_code rl_authorities_add(struct rl_db *db, const char *kind, const char *format,
                           const Pb__CaKey *key, struct rl_error *err);

#endif
