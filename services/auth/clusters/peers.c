/* peers: other clusters, as a snapshot has them. */
#include "db/peers.h"

#include "clusters/peer_trust.h"
#include "clusters/root.h"
#include "log/log.h"
#include "message.h"

#include <stdlib.h>

static Pb__PeerCluster *peer_of_root(const struct rl_root_row *row)
{
    Pb__PeerCluster *peer = rl_message_create(&pb__peer_cluster__descriptor);
    rl_message_text(&peer->name, row->document->metadata->name);
    rl_message_text(&peer->proxy, row->document->spec->proxy);
    peer->is_root = true;
    peer->trust = rl_message_copy(&row->trust->base);
    peer->policy_version = row->policy_version;
    rl_message_bytes(&peer->policy_sha256, rl_buf_span(&row->policy_sha256));
    if (row->policy_version == 0)
        rl_message_bytes(&peer->policy_nonce, rl_buf_span(&row->policy_nonce));
    return peer;
}

/* Before its auth has said which of its users are stopped, none of them is believed; the same when
 * that can not be read any more. */
static void take_root(struct rl_snapshot *s, const struct rl_root_row *row, const char *own_cluster)
{
    struct rl_policy *policy = NULL;
    struct rl_error err;
    if (!row->document->spec->enabled)
        return;
    if (rl_root_policy_load(row, own_cluster, &policy, &err) != RL_OK) {
        rl_log_error("a root's users are not believed", RL_TEXT("error", err.message));
        return;
    }
    rl_message_append(&s->clusters, &s->cluster_count, peer_of_root(row));
    if (!policy)
        return;
    rl_message_append(&s->roots, &s->root_count, rl_peer_root_trust(row->document, row->trust));
    rl_root_policy_stops(policy, row->document->metadata->name, &s->locks, &s->lock_count, &s->cuts,
                         &s->cut_count);
    rl_policy_unref(&policy);
}

static rl_code read_roots(struct rl_db *db, const char *own_cluster, struct rl_snapshot *s,
                          struct rl_error *err)
{
    struct rl_root_row **rows = NULL;
    size_t count = 0;
    rl_code rc = rl_roots_list(db, &rows, &count, err);
    for (size_t i = 0; rc == RL_OK && i < count; i++)
        take_root(s, rows[i], own_cluster);
    rl_root_rows_free(&rows, count);
    return rc;
}

static rl_code read_leaves(struct rl_db *db, struct rl_snapshot *s, struct rl_error *err)
{
    struct rl_leaf_row **rows = NULL;
    size_t count = 0;
    rl_code rc = rl_leaves_list(db, &rows, &count, err);
    for (size_t i = 0; rc == RL_OK && i < count; i++) {
        Pb__PeerCluster *peer = rl_message_create(&pb__peer_cluster__descriptor);
        rl_message_text(&peer->name, rows[i]->document->metadata->name);
        peer->trust = rows[i]->trust;
        rows[i]->trust = NULL;
        rl_message_append(&s->clusters, &s->cluster_count, peer);
    }
    rl_leaf_rows_free(&rows, count);
    return rc;
}

rl_code rl_snapshot_read_peers(struct rl_db *db, const char *own_cluster, struct rl_snapshot *s,
                               struct rl_error *err)
{
    rl_code rc = read_roots(db, own_cluster, s, err);
    return rc == RL_OK ? read_leaves(db, s, err) : rc;
}
