/* instances: agents and services that joined, and where agents are attached. */
#ifndef RL_AUTH_DB_INSTANCES_H
#define RL_AUTH_DB_INSTANCES_H

#include "remoteler/v1/auth.pb-c.h"
#include "remoteler/v1/resource.pb-c.h"
#include "store/store.h"

/** What auth knows of an instance. Strings are heap, never NULL. */
struct rl_instance {
    char *id, *kind, *name /* "" none */, *hostname, *mode, *address, *version, *peer_address;
    char *token_id;
    char **agent_kinds;
    size_t agent_kind_count;
    struct rl_buf tls_key, previous_tls_key, ssh_key;
    uint64_t generation;
    Pb__Label **own_labels, **token_labels;
    size_t own_label_count, token_label_count;
    bool unprivileged;
};
void rl_instance_free(struct rl_instance **instance);
struct rl_instance *rl_instance_create(void);
/** Those that count: its own, over which the token's win. Owns: by rl_labels_free(). */
void rl_instance_labels(const struct rl_instance *instance, Pb__Label ***labels, size_t *count);

/** Errors: RL_E_NOT_FOUND. With `lock` until the transaction ends. */
rl_code rl_instances_find(struct rl_db *db, const char *id, bool lock, struct rl_instance **out,
                          struct rl_error *err);
/** Those that there are, by id, locked until the transaction ends. Owns: each and the array. */
rl_code rl_instances_find_all(struct rl_db *db, const char *const *ids, size_t count,
                              struct rl_instance ***out, size_t *found, struct rl_error *err);
/** Who joined with this token and key, within `seconds`. Locked until the transaction ends. Errors:
 * RL_E_NOT_FOUND. */
rl_code rl_instances_find_joined(struct rl_db *db, const char *token_id, struct rl_span tls_key,
                                 int64_t seconds, struct rl_instance **out, struct rl_error *err);
/** A name that another holds is not taken: *got_name says. Clears instance->name then. */
rl_code rl_instances_insert(struct rl_db *db, struct rl_instance *instance, bool *got_name,
                            struct rl_error *err);
/** Everything but id and kind; the name as above. */
rl_code rl_instances_update(struct rl_db *db, struct rl_instance *instance, bool *got_name,
                            struct rl_error *err);
rl_code rl_instances_delete(struct rl_db *db, const char *id, struct rl_error *err);

/* ---- attachments ---- */

/** An epoch for each agent that there is, in no order; others are left out. Each id once. Owns: by
 * rl_offered_free(). */
struct rl_offered {
    char *agent_id, *name /* "" none */;
    uint64_t epoch;
};
rl_code rl_attachments_offer(struct rl_db *db, const char *holder_id, const char *const *agent_ids,
                             size_t count, struct rl_offered **out, size_t *offered_count,
                             struct rl_error *err);
void rl_offered_free(struct rl_offered **offered, size_t count);
/** Who came to a holder; each agent once. `attached` are appended: the others' epochs are not the
 * latest that were handed out for those two. */
struct rl_arrived {
    const char *agent_id, *peer_address;
    uint64_t epoch;
};
rl_code rl_attachments_attach(struct rl_db *db, const char *holder_id,
                              const struct rl_arrived *arrived, size_t count, char ***attached,
                              size_t *attached_count, struct rl_error *err);
/** `was_attached` is false when a later epoch is there or it was detached already. */
rl_code rl_attachments_detach(struct rl_db *db, const char *agent_id, const char *holder_id,
                              uint64_t epoch, bool *was_attached, struct rl_error *err);
/** After a reconnect: whoever is not among these is not attached to this holder. */
rl_code rl_attachments_keep(struct rl_db *db, const char *holder_id, const char *const *agent_ids,
                            size_t count, struct rl_error *err);

/* ---- the inventory ---- */

/** A node as it is shown. Nodes of the kind "node" only, by name. `wanted` (or NULL): only those
 * with this name or id. Owns: each by pb__node__free_unpacked() and the array. */
rl_code rl_nodes_list(struct rl_db *db, const char *wanted, Pb__Node ***out, size_t *count,
                      struct rl_error *err);
/** The brokers that hold an agent, newest attachment first. Owns: each and the array. */
rl_code rl_attachments_holders(struct rl_db *db, const char *agent_id, char ***holders,
                               size_t *count, struct rl_error *err);
rl_code rl_inventory_list(struct rl_db *db, Pb__InventoryItem ***out, size_t *count,
                          struct rl_error *err);
rl_code rl_agents_count(struct rl_db *db, uint32_t *online, uint32_t *total, struct rl_error *err);

/* ---- leases ---- */

struct rl_lease {
    const char *id, *kind, *version, *dial_address, *attach_address, *control_address;
    const char *peer_address;
    bool draining;
};
rl_code rl_leases_renew(struct rl_db *db, const struct rl_lease *lease, uint64_t ttl_s,
                        struct rl_error *err);
rl_code rl_leases_end(struct rl_db *db, const char *id, struct rl_error *err);
/** All leases, by kind and id, with a status of online, draining or offline. */
struct rl_lease_row {
    char *id, *kind, *version, *dial_address, *attach_address, *control_address, *peer_address;
    bool is_online, draining;
    int64_t last_seen_ns;
};
rl_code rl_leases_list(struct rl_db *db, struct rl_lease_row **out, size_t *count,
                       struct rl_error *err);
void rl_leases_free(struct rl_lease_row **rows, size_t count);
/** What a holder that is long gone held is detached, at the time when it was last heard. */
rl_code rl_leases_prune(struct rl_db *db, struct rl_error *err);

#endif
