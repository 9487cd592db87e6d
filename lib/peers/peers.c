#include "peers/peers.h"

#include <string.h>

static const Pb__PeerCluster *find(Pb__PeerCluster *const *peers, size_t count, const char *name,
                                   bool is_root)
{
    for (size_t i = 0; i < count; i++)
        if (!peers[i]->is_root == !is_root && strcmp(peers[i]->name, name) == 0)
            return peers[i];
    return NULL;
}

const Pb__PeerCluster *rl_peers_root(Pb__PeerCluster *const *peers, size_t count, const char *name)
{
    return find(peers, count, name, true);
}

const Pb__PeerCluster *rl_peers_leaf(Pb__PeerCluster *const *peers, size_t count, const char *name)
{
    return find(peers, count, name, false);
}

static size_t add_each(struct rl_trust *trust, const struct rl_trust *before,
                       enum rl_identity_kind kind, const char *cluster,
                       const ProtobufCBinaryData *cas, size_t count)
{
    size_t left_out = 0;
    for (size_t i = 0; i < count; i++)
        left_out += rl_trust_add_again(trust, before, kind, cluster,
                                       RL_SPAN(cas[i].data, cas[i].len), NULL) != RL_OK;
    return left_out;
}

static size_t add_peer(struct rl_trust *trust, const struct rl_trust *before,
                       const Pb__PeerCluster *peer)
{
    const Pb__TrustBundle *theirs = peer->trust;
    if (!theirs)
        return 0;
    size_t count = peer->is_root ? theirs->n_user_cas : theirs->n_service_cas;
    if (strcmp(theirs->cluster, peer->name) != 0 ||
        strcmp(peer->name, rl_trust_cluster(trust)) == 0)
        return count;
    return peer->is_root
               ? add_each(trust, before, RL_IDENTITY_USER, peer->name, theirs->user_cas, count)
               : add_each(trust, before, RL_IDENTITY_SERVICE, peer->name, theirs->service_cas,
                          count);
}

size_t rl_peers_add_to_trust(struct rl_trust *trust, const struct rl_trust *before,
                             Pb__PeerCluster *const *peers, size_t count)
{
    size_t left_out = 0;
    for (size_t i = 0; i < count; i++)
        left_out += add_peer(trust, before, peers[i]);
    return left_out;
}
