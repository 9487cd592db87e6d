/* snapshot: the cache, newest first. */
#include "snapshot.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct rl_snapshots {
    struct rl_store *store;
    char *cluster;
    const struct rl_wrap_key *wrap;
    pthread_mutex_t lock;
    struct rl_snapshot *kept[RL_SNAPSHOTS_KEPT];
};

static struct rl_snapshot *ref(struct rl_snapshot *snapshot)
{
    __atomic_add_fetch(&snapshot->refs, 1, __ATOMIC_RELAXED);
    return snapshot;
}

void rl_snapshot_unref(struct rl_snapshot **snapshot)
{
    struct rl_snapshot *s = *snapshot;
    *snapshot = NULL;
    if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    rl_authorities_close(&s->authorities);
    if (s->config)
        pb__cluster_config__free_unpacked(s->config, NULL);
    for (size_t i = 0; i < s->role_count; i++)
        pb__role__free_unpacked(s->roles[i], NULL);
    for (size_t i = 0; i < s->lock_count; i++)
        pb__lock__free_unpacked(s->locks[i], NULL);
    for (size_t i = 0; i < s->cut_count; i++)
        pb__cut__free_unpacked(s->cuts[i], NULL);
    for (size_t i = 0; i < s->cluster_count; i++)
        pb__peer_cluster__free_unpacked(s->clusters[i], NULL);
    for (size_t i = 0; i < s->root_count; i++)
        pb__root_trust__free_unpacked(s->roots[i], NULL);
    rl_rotations_free(&s->rotations, s->rotation_count);
    free(s->clusters);
    free(s->roots);
    free(s->roles);
    free(s->locks);
    free(s->cuts);
    free(s);
}

const Pb__Role *rl_snapshot_role(const struct rl_snapshot *snapshot, const char *name)
{
    for (size_t i = 0; i < snapshot->role_count; i++)
        if (strcmp(snapshot->roles[i]->metadata->name, name) == 0)
            return snapshot->roles[i];
    return NULL;
}

const Pb__RootTrust *rl_snapshot_root(const struct rl_snapshot *snapshot, const char *cluster)
{
    for (size_t i = 0; i < snapshot->root_count; i++)
        if (strcmp(snapshot->roots[i]->cluster, cluster) == 0)
            return snapshot->roots[i];
    return NULL;
}

struct rl_snapshots *rl_snapshots_create(struct rl_store *store, const char *cluster,
                                         const struct rl_wrap_key *wrap)
{
    struct rl_snapshots *s = rl_alloc(sizeof *s);
    s->store = store;
    s->cluster = rl_strdup(cluster);
    s->wrap = wrap;
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

void rl_snapshots_free(struct rl_snapshots **snapshots)
{
    struct rl_snapshots *s = *snapshots;
    if (!s)
        return;
    for (size_t i = 0; i < RL_SNAPSHOTS_KEPT; i++)
        rl_snapshot_unref(&s->kept[i]);
    pthread_mutex_destroy(&s->lock);
    free(s->cluster);
    free(s);
    *snapshots = NULL;
}

struct rl_snapshot *rl_snapshots_at(struct rl_snapshots *s, uint64_t revision)
{
    struct rl_snapshot *found = NULL;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < RL_SNAPSHOTS_KEPT && !found; i++)
        if (s->kept[i] && s->kept[i]->revision == revision)
            found = ref(s->kept[i]);
    pthread_mutex_unlock(&s->lock);
    return found;
}

/* Two threads may have read the same revision: the first one's stays. */
static struct rl_snapshot *keep(struct rl_snapshots *s, struct rl_snapshot *fresh)
{
    struct rl_snapshot *have = rl_snapshots_at(s, fresh->revision);
    if (have) {
        rl_snapshot_unref(&fresh);
        return have;
    }
    pthread_mutex_lock(&s->lock);
    struct rl_snapshot *last = s->kept[RL_SNAPSHOTS_KEPT - 1];
    memmove(s->kept + 1, s->kept, (RL_SNAPSHOTS_KEPT - 1) * sizeof *s->kept);
    s->kept[0] = ref(fresh);
    pthread_mutex_unlock(&s->lock);
    rl_snapshot_unref(&last);
    return fresh;
}

struct loading {
    struct rl_snapshots *snapshots;
    struct rl_snapshot *result;
    uint64_t revision;
};

static rl_code read_revision(struct rl_db *db, void *context, struct rl_error *err)
{
    struct loading *loading = context;
    return rl_revision_read(db, &loading->revision, err);
}

/* In one serializable transaction: all of it is of the same revision. */
static rl_code read_all(struct rl_db *db, void *context, struct rl_error *err)
{
    struct loading *loading = context;
    rl_snapshot_unref(&loading->result); /* of an attempt that lost its race */
    struct rl_snapshot *s = rl_alloc(sizeof *s);
    s->refs = 1;
    loading->result = s;
    rl_code rc = rl_revision_read(db, &s->revision, err);
    if (rc == RL_OK)
        rc = rl_cluster_config(db, &s->config, err);
    if (rc == RL_OK)
        rc = rl_roles_list(db, &s->roles, &s->role_count, err);
    if (rc == RL_OK)
        rc = rl_locks_list(db, &s->locks, &s->lock_count, err);
    if (rc == RL_OK)
        rc = rl_cuts_list(db, &s->cuts, &s->cut_count, err);
    if (rc == RL_OK)
        rc = rl_snapshot_read_peers(db, loading->snapshots->cluster, s, err);
    if (rc == RL_OK)
        rc = rl_rotations_list(db, &s->rotations, &s->rotation_count, err);
    if (rc == RL_OK)
        rc = rl_authorities_load(db, loading->snapshots->cluster, loading->snapshots->wrap,
                                 &s->authorities, err);
    return rc;
}

rl_code rl_snapshots_current(struct rl_snapshots *s, struct rl_snapshot **out, struct rl_error *err)
{
    struct loading loading = {.snapshots = s};
    rl_code rc = rl_store_transaction(s->store, read_revision, &loading, err);
    if (rc != RL_OK)
        return rc;
    struct rl_snapshot *have = rl_snapshots_at(s, loading.revision);
    if (have) {
        *out = have;
        return RL_OK;
    }
    rc = rl_store_serializable(s->store, read_all, &loading, err);
    if (rc == RL_OK)
        *out = keep(s, loading.result);
    else
        rl_snapshot_unref(&loading.result);
    return rc;
}
