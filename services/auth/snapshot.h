/* snapshot: roles, locks, cuts, settings, authorities and other clusters as of one revision, read
 * once and shared.
 * Each use asks the database for the revision first, so a decision is never older than its call.
 */
#ifndef RL_AUTH_SNAPSHOT_H
#define RL_AUTH_SNAPSHOT_H

#include "authority/authorities.h"
#include "db/policy.h"
#include "db/rotations.h"
#include "policy/policy.h"
#include "remoteler/v1/control.pb-c.h"

/** Revisions that are kept, so that agents which hold one are sent a delta. */
#define RL_SNAPSHOTS_KEPT 16

struct rl_snapshot {
    uint64_t revision;
    struct rl_authorities *authorities;
    Pb__ClusterConfig *config;
    Pb__Role **roles;
    Pb__Lock **locks; /* those of roots on their users too, with names ROOT/NAME; and their cuts */
    Pb__Cut **cuts;
    Pb__Rotation **rotations;
    Pb__PeerCluster **clusters; /* as services are told: leaves, and roots that are enabled */
    Pb__RootTrust **roots;      /* as nodes are told: the same roots, with their role_map */
    size_t role_count, lock_count, cut_count, rotation_count, cluster_count, root_count;
    unsigned refs; /* atomic */
};
void rl_snapshot_unref(struct rl_snapshot **snapshot);
const Pb__Role *rl_snapshot_role(const struct rl_snapshot *snapshot, const char *name);
/** NULL: no such root, or it is not enabled, or its auth has not said yet who is stopped: nobody of
 * it has anything here. */
const Pb__RootTrust *rl_snapshot_root(const struct rl_snapshot *snapshot, const char *cluster);

/** peers.c: the clusters, the roots, and what stops their users. */
rl_code rl_snapshot_read_peers(struct rl_db *db, const char *own_cluster, struct rl_snapshot *s,
                               struct rl_error *err);

struct rl_snapshots;
/** All borrowed, and live longer. */
struct rl_snapshots *rl_snapshots_create(struct rl_store *store, const char *cluster,
                                         const struct rl_wrap_key *wrap);
void rl_snapshots_free(struct rl_snapshots **snapshots);
/** As of now. Blocks for the database. Owns: *out by rl_snapshot_unref(). Threads: any. */
rl_code rl_snapshots_current(struct rl_snapshots *snapshots, struct rl_snapshot **out,
                             struct rl_error *err);
/** One that is kept, or NULL. */
struct rl_snapshot *rl_snapshots_at(struct rl_snapshots *snapshots, uint64_t revision);

#endif
