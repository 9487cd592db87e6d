/* leaf_policy: what a leaf has to know of its root: by which authorities its users, services and
 * policies are known, and which of its users are stopped. The same for all leaves; sealed for each.
 */
#include "clusters/leaf.h"

#include "message.h"

#include <stdlib.h>
#include <string.h>

#define VALUE_BYTES_MAX (1u << 20)

const Pb__PeerCluster *rl_snapshot_leaf(const struct rl_snapshot *snapshot, const char *cluster)
{
    for (size_t i = 0; i < snapshot->cluster_count; i++)
        if (!snapshot->clusters[i]->is_root && strcmp(snapshot->clusters[i]->name, cluster) == 0)
            return snapshot->clusters[i];
    return NULL;
}

/* Takes the key. */
static rl_code set_entry(struct rl_policy *policy, char *key, const ProtobufCMessage *value,
                         struct rl_error *err)
{
    struct rl_buf packed;
    rl_buf_init(&packed, VALUE_BYTES_MAX);
    rl_message_pack(value, &packed);
    rl_code rc = packed.failed ? rl_fail(err, RL_E_EXHAUSTED, "%s is too long for a policy", key)
                               : rl_policy_set(policy, key, rl_buf_span(&packed), err);
    rl_buf_fini(&packed);
    free(key);
    return rc;
}

static bool is_told(const Pb__CertificateAuthoritySpec *spec)
{
    static const char *const kinds[] = {"user", "service", "policy"};
    for (size_t i = 0; i < RL_COUNT(kinds); i++)
        if (strcmp(spec->kind, kinds[i]) == 0)
            return true;
    return false;
}

static rl_code set_authorities(struct rl_policy *policy, const struct rl_authorities *a,
                               struct rl_error *err)
{
    rl_code rc = RL_OK;
    for (size_t i = 0; rc == RL_OK && i < a->count; i++) {
        const Pb__CertificateAuthoritySpec *spec = a->list[i]->spec;
        for (size_t k = 0; rc == RL_OK && is_told(spec) && k < spec->n_keys; k++)
            if (rl_ca_key_is_trusted(spec->keys[k]))
                rc = set_entry(
                    policy, rl_sprintf("ca/%s-%s/%s", spec->kind, spec->format, spec->keys[k]->id),
                    &spec->keys[k]->base, err);
    }
    return rc;
}

static bool is_own(const char *cluster, const char *own)
{
    return !*cluster || strcmp(cluster, own) == 0;
}

bool rl_lock_is_of_users(const Pb__Lock *lock)
{
    static const char *const kinds[] = {"user", "role", "mfa_device"};
    for (size_t i = 0; lock->spec && i < RL_COUNT(kinds); i++)
        if (strcmp(lock->spec->target_kind, kinds[i]) == 0)
            return true;
    return false;
}

/* Of our own users only: what stops a user of a root of ours is not ours to say. */
static rl_code set_stops(struct rl_policy *policy, const struct rl_snapshot *s,
                         struct rl_error *err)
{
    const char *own = s->authorities->bundle->cluster;
    rl_code rc = RL_OK;
    for (size_t i = 0; rc == RL_OK && i < s->lock_count; i++)
        if (rl_lock_is_of_users(s->locks[i]) && is_own(s->locks[i]->spec->target_cluster, own))
            rc = set_entry(policy, rl_sprintf("lock/%s", s->locks[i]->metadata->name),
                           &s->locks[i]->base, err);
    for (size_t i = 0; rc == RL_OK && i < s->cut_count; i++)
        if (is_own(s->cuts[i]->cluster, own))
            rc = set_entry(policy, rl_sprintf("cut/%s/%s", own, s->cuts[i]->user),
                           &s->cuts[i]->base, err);
    return rc;
}

rl_code rl_leaf_policy_build(const struct rl_snapshot *snapshot, const char *public_address,
                             struct rl_policy **out, struct rl_error *err)
{
    struct rl_policy *policy = rl_policy_create();
    Pb__RootSettings settings = PB__ROOT_SETTINGS__INIT;
    char *address = rl_strdup(public_address ? public_address : "");
    settings.cluster = snapshot->authorities->bundle->cluster;
    settings.public_address = address;
    rl_code rc = set_entry(policy, rl_strdup("setting/root"), &settings.base, err);
    if (rc == RL_OK)
        rc = set_authorities(policy, snapshot->authorities, err);
    if (rc == RL_OK)
        rc = set_stops(policy, snapshot, err);
    free(address);
    if (rc == RL_OK)
        *out = policy;
    else
        rl_policy_unref(&policy);
    return rc;
}
