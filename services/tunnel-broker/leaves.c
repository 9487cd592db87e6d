/* leaves: the brokers of leaf clusters attach here as agents do, each as "cluster/LEAF/REPLICA".
 * Who dials names "cluster/LEAF", and gets whichever of them is there, in turn. A leaf is believed
 * while auth lists it, and by the authorities that auth lists for it: when that ends, so does all
 * of it.
 */
#include "internal.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "cluster/"

bool leaves_is_id(const char *agent_id)
{
    return strncmp(agent_id, PREFIX, strlen(PREFIX)) == 0;
}

char *leaves_id_of(const struct rl_identity *caller)
{
    return rl_sprintf(PREFIX "%s/%s", caller->cluster, caller->name);
}

char *leaves_name_of(const struct rl_identity *caller)
{
    return rl_sprintf(PREFIX "%s", caller->cluster);
}

const char *attachment_kind(const struct attachment *attachment)
{
    return attachment->leaf ? "cluster" : "node";
}

const char *attachment_name(const struct attachment *attachment)
{
    return attachment->leaf ? attachment->leaf + strlen(PREFIX) : attachment->agent_id;
}

/* ---- who is believed ---- */

static const Pb__PeerCluster *listed(const struct broker *broker, const char *name)
{
    const Pb__ControlUpdate *state = rl_control_state(broker->control);
    for (size_t i = 0; i < state->n_clusters; i++)
        if (!state->clusters[i]->is_root && strcmp(state->clusters[i]->name, name) == 0)
            return state->clusters[i];
    return NULL;
}

static bool is_authority_of(const Pb__PeerCluster *leaf, const uint8_t sha256[32])
{
    for (size_t i = 0; leaf->trust && i < leaf->trust->n_service_cas; i++) {
        const ProtobufCBinaryData *ca = &leaf->trust->service_cas[i];
        uint8_t hash[32];
        if (EVP_Digest(ca->data, ca->len, hash, NULL, EVP_sha256(), NULL) == 1 &&
            memcmp(hash, sha256, sizeof hash) == 0)
            return true;
    }
    return false;
}

rl_code leaves_check(const struct broker *broker, const struct rl_identity *caller,
                     struct rl_error *err)
{
    const Pb__PeerCluster *leaf = broker->control ? listed(broker, caller->cluster) : NULL;
    if (!leaf)
        return rl_fail(err, RL_E_DENIED, "cluster %s is not a leaf of cluster %s", caller->cluster,
                       broker->config.cluster);
    if (!is_authority_of(leaf, caller->authority_sha256))
        return rl_fail(err, RL_E_DENIED,
                       "cluster %s has other authorities than that of this certificate",
                       caller->cluster);
    return RL_OK;
}

/* ---- by the leaf's name ---- */

static struct attachment **bucket_of(struct broker *broker, const char *leaf)
{
    uint64_t hash = 14695981039346656037ull;
    for (const char *c = leaf; *c; c++)
        hash = (hash ^ (uint8_t)*c) * 1099511628211ull;
    return &broker->leaves[hash % RL_COUNT(broker->leaves)];
}

rl_code leaves_put(struct broker *broker, struct attachment *attachment, struct rl_error *err)
{
    size_t count = 0;
    struct attachment **at = bucket_of(broker, attachment->leaf);
    for (; *at; at = &(*at)->in_leaves)
        count += strcmp((*at)->leaf, attachment->leaf) == 0;
    if (count >= BROKER_LEAF_ATTACHMENTS_MAX)
        return rl_fail(err, RL_E_EXHAUSTED, "%d brokers of cluster %s are attached here already",
                       BROKER_LEAF_ATTACHMENTS_MAX, attachment_name(attachment));
    attachment->in_leaves = NULL;
    *at = attachment;
    broker->leaf_count++;
    rl_metric_set(broker->leaves_gauge, (int64_t)broker->leaf_count);
    return RL_OK;
}

void leaves_remove(struct broker *broker, struct attachment *attachment)
{
    struct attachment **at = bucket_of(broker, attachment->leaf);
    while (*at && *at != attachment)
        at = &(*at)->in_leaves;
    if (!*at)
        return;
    *at = attachment->in_leaves;
    broker->leaf_count--;
    rl_metric_set(broker->leaves_gauge, (int64_t)broker->leaf_count);
}

/* The one that was taken goes to the end: they share what comes. */
struct attachment *leaves_pick(struct broker *broker, const char *leaf)
{
    struct attachment **at = bucket_of(broker, leaf), *found;
    while (*at && strcmp((*at)->leaf, leaf) != 0)
        at = &(*at)->in_leaves;
    found = *at;
    if (!found)
        return NULL;
    *at = found->in_leaves;
    while (*at)
        at = &(*at)->in_leaves;
    *at = found;
    found->in_leaves = NULL;
    return found;
}

/* ---- auth has said something ---- */

void leaves_changed(struct broker *broker)
{
    struct rl_error err;
    relay_cut_leaves(broker);
    for (struct attachment *a = broker->attachments, *next; a; a = next) {
        next = a->next;
        if (a->leaf && a->call &&
            leaves_check(broker, rl_rpc_peer(a->call)->identity, &err) != RL_OK)
            attachment_end(a, err.code, err.message);
    }
}

void leaves_brokers_changed(struct broker *broker)
{
    for (struct attachment *a = broker->attachments; a; a = a->next)
        if (a->leaf && a->state == ATTACHMENT_HERE)
            attachment_welcome(a);
}
