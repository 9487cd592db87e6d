/* policy_for: what one agent is to hold: everyone's roles, locks, cuts and authorities, and its own
 * name and labels; sealed for it, as a delta when what it holds is still known. */
#include "services/control.h"

#include "authority/rotate.h"
#include "clock/clock.h"
#include "clusters/leaf.h"
#include "db/instances.h"
#include "db/labels.h"
#include "names/names.h"
#include "people/invite.h"

#include <stdlib.h>

#define VALUE_BYTES_MAX (1u << 20)
#define RENEW_WITHIN_S 10 /* when the rotation is over: its authority is gone already */

static rl_code set_entry(struct rl_policy *policy, const char *prefix, const char *name,
                         const ProtobufCMessage *value, struct rl_error *err)
{
    struct rl_buf packed;
    rl_buf_init(&packed, VALUE_BYTES_MAX);
    rl_message_pack(value, &packed);
    char *key = rl_sprintf("%s%s", prefix, name);
    rl_code rc = packed.failed ? rl_fail(err, RL_E_EXHAUSTED, "%s is too long for a policy", key)
                               : rl_policy_set(policy, key, rl_buf_span(&packed), err);
    free(key);
    rl_buf_fini(&packed);
    return rc;
}

static rl_code set_common(struct rl_policy *policy, const struct rl_snapshot *s,
                          struct rl_error *err)
{
    rl_code rc = RL_OK;
    for (size_t i = 0; rc == RL_OK && i < s->role_count; i++)
        rc = set_entry(policy, "role/", s->roles[i]->metadata->name, &s->roles[i]->base, err);
    for (size_t i = 0; rc == RL_OK && i < s->lock_count; i++)
        rc = set_entry(policy, "lock/", s->locks[i]->metadata->name, &s->locks[i]->base, err);
    for (size_t i = 0; rc == RL_OK && i < s->cut_count; i++) {
        char *name = rl_sprintf("%s/%s", s->cuts[i]->cluster, s->cuts[i]->user);
        rc = set_entry(policy, "cut/", name, &s->cuts[i]->base, err);
        free(name);
    }
    for (size_t i = 0; rc == RL_OK && i < s->root_count; i++)
        rc = set_entry(policy, "root/", s->roots[i]->cluster, &s->roots[i]->base, err);
    const struct rl_authorities *a = s->authorities;
    for (size_t i = 0; rc == RL_OK && i < a->count; i++) {
        const Pb__CertificateAuthoritySpec *spec = a->list[i]->spec;
        if (!rl_span_is(rl_span_of(spec->kind), "user") ||
            !rl_span_is(rl_span_of(spec->format), "ssh"))
            continue;
        for (size_t k = 0; rc == RL_OK && k < spec->n_keys; k++)
            if (rl_ca_key_is_trusted(spec->keys[k]))
                rc =
                    set_entry(policy, "ca/user-ssh/", spec->keys[k]->id, &spec->keys[k]->base, err);
    }
    return rc;
}

/* An agent sees by this that another authority signs agents now. */
static rl_code ask_to_renew(const struct rl_snapshot *s, uint8_t hash[32],
                            Pb__AgentSettings *settings, struct rl_error *err)
{
    if (X509_digest(s->authorities->host_x509.certificate, EVP_sha256(), hash, NULL) != 1)
        return rl_fail(err, RL_E_INTERNAL, "hashing an authority");
    settings->host_ca_sha256 = (ProtobufCBinaryData){32, hash};
    settings->renew_within_s = RENEW_WITHIN_S;
    for (size_t i = 0; i < s->rotation_count; i++)
        if (rl_span_is(rl_span_of(s->rotations[i]->kind), "host"))
            settings->renew_within_s = rl_rotation_spread_s(s->rotations[i]);
    return RL_OK;
}

static rl_code set_own(struct rl_policy *policy, const struct rl_snapshot *s,
                       const struct rl_instance *instance, struct rl_error *err)
{
    const Pb__ClusterConfigSpec *config = s->config->spec;
    Pb__AgentSettings settings = PB__AGENT_SETTINGS__INIT;
    settings.policy_max_age_s = config->policy_max_age_s;
    settings.node_name = instance->name;
    settings.cluster = s->authorities->bundle->cluster;
    settings.message_of_the_day = config->message_of_the_day;
    uint8_t hash[32];
    rl_code rc = ask_to_renew(s, hash, &settings, err);
    if (rc == RL_OK)
        rc = set_entry(policy, "setting/", "agent", &settings.base, err);
    Pb__Label **labels = NULL;
    size_t count = 0;
    rl_instance_labels(instance, &labels, &count);
    for (size_t i = 0; rc == RL_OK && i < count; i++)
        rc = set_entry(policy, "label/", labels[i]->key, &labels[i]->base, err);
    rl_labels_free(&labels, &count);
    return rc;
}

/* Whom a policy is for: an agent, or a leaf. */
struct holder {
    const char *id; /* that the seal names */
    struct rl_instance *instance;
    const char *public_address; /* a leaf is told of it */
};

static rl_code build(const struct rl_snapshot *s, const struct holder *holder,
                     struct rl_policy **out, struct rl_error *err)
{
    if (!holder->instance)
        return rl_leaf_policy_build(s, holder->public_address, out, err);
    struct rl_policy *policy = rl_policy_create();
    rl_code rc = set_common(policy, s, err);
    if (rc == RL_OK)
        rc = set_own(policy, s, holder->instance, err);
    if (rc == RL_OK)
        *out = policy;
    else
        rl_policy_unref(&policy);
    return rc;
}

/* What it says that it holds, made again; NULL when it can not be: it gets the whole. */
static struct rl_policy *held_by(struct rl_auth *auth, const struct holder *holder,
                                 const Pb__PolicyForRequest *request)
{
    uint8_t hash[32];
    struct rl_policy *held = NULL;
    struct rl_snapshot *old = request->held_version && !request->nonce.len
                                  ? rl_snapshots_at(auth->snapshots, request->held_version)
                                  : NULL;
    if (!old)
        return NULL;
    if (build(old, holder, &held, NULL) == RL_OK) {
        rl_policy_hash(held, hash);
        if (!rl_span_equal(RL_SPAN(hash, sizeof hash), RL_BINARY(request->held_sha256)))
            rl_policy_unref(&held);
    }
    rl_snapshot_unref(&old);
    return held;
}

static rl_code seal(struct rl_auth *auth, const struct rl_snapshot *snapshot,
                    const struct holder *holder, const Pb__PolicyForRequest *request,
                    Pb__PolicyUpdate **out, struct rl_error *err)
{
    struct rl_policy *policy = NULL, *held = NULL;
    const struct rl_authority *signer = &snapshot->authorities->policy;
    rl_code rc = build(snapshot, holder, &policy, err);
    if (rc != RL_OK)
        return rc;
    held = held_by(auth, holder, request);
    rc = rl_policy_seal(policy, held, auth->cluster, holder->id, snapshot->revision,
                        rl_voted_clock_now_ns(&auth->clock), RL_BINARY(request->nonce), signer->key,
                        signer->key_id, out, err);
    if (rc == RL_OK && held)
        (*out)->base_version = request->held_version; /* made again here, so it has no seal */
    rl_policy_unref(&held);
    rl_policy_unref(&policy);
    return rc;
}

bool rl_policy_is_current(const struct rl_snapshot *snapshot, struct rl_instance *instance,
                          const Pb__Hello *hello)
{
    const struct holder holder = {instance->id, instance, NULL};
    uint8_t hash[32];
    struct rl_policy *policy = NULL;
    if (hello->policy_version != snapshot->revision || hello->policy_nonce.len ||
        build(snapshot, &holder, &policy, NULL) != RL_OK)
        return false;
    rl_policy_hash(policy, hash);
    rl_policy_unref(&policy);
    return rl_span_equal(RL_SPAN(hash, sizeof hash), RL_BINARY(hello->policy_sha256));
}

struct finding {
    const char *id;
    struct rl_instance *instance;
};

static rl_code find(struct rl_db *db, void *context, struct rl_error *err)
{
    struct finding *f = context;
    rl_instance_free(&f->instance);
    return rl_instances_find(db, f->id, false, &f->instance, err);
}

rl_code rl_policy_for_agent(struct rl_auth *auth, const Pb__PolicyForRequest *request,
                            Pb__PolicyUpdate **out, struct rl_error *err)
{
    struct finding f = {request->agent_id, NULL};
    struct rl_snapshot *snapshot = NULL;
    rl_code rc = rl_store_transaction(auth->store, find, &f, err);
    if (rc == RL_OK)
        rc = rl_snapshots_current(auth->snapshots, &snapshot, err);
    if (rc == RL_OK) {
        const struct holder holder = {f.instance->id, f.instance, NULL};
        rc = seal(auth, snapshot, &holder, request, out, err);
    }
    rl_snapshot_unref(&snapshot);
    rl_instance_free(&f.instance);
    return rc;
}

/* One for all brokers of a leaf: its auth is who checks it. */
static rl_code policy_for_leaf(struct rl_auth *auth, const Pb__PolicyForRequest *request,
                               Pb__PolicyUpdate **out, struct rl_error *err)
{
    struct rl_leaf_name name;
    struct rl_snapshot *snapshot = NULL;
    rl_code rc = rl_leaf_name_parse(request->agent_id, &name, err);
    if (rc == RL_OK)
        rc = rl_snapshots_current(auth->snapshots, &snapshot, err);
    if (rc == RL_OK && !rl_snapshot_leaf(snapshot, name.cluster))
        rc = rl_fail(err, RL_E_DENIED, "%s is no leaf of this cluster", name.cluster);
    if (rc == RL_OK) {
        char *id = rl_sprintf(RL_LEAF_PREFIX "%s", name.cluster);
        const struct holder holder = {id, NULL, rl_public_address(auth, snapshot)};
        rc = seal(auth, snapshot, &holder, request, out, err);
        free(id);
    }
    rl_snapshot_unref(&snapshot);
    return rc;
}

rl_code rl_control_policy_for(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                              const Pb__PolicyForRequest *request, Pb__PolicyUpdate *reply,
                              struct rl_error *err)
{
    (void)peer;
    Pb__PolicyUpdate *update = NULL;
    rl_code rc = rl_leaf_is_named(request->agent_id)
                     ? policy_for_leaf(auth, request, &update, err)
                     : rl_policy_for_agent(auth, request, &update, err);
    if (rc != RL_OK)
        return rc;
    Pb__PolicyUpdate empty = *reply;
    *reply = *update;
    *update = empty;
    pb__policy_update__free_unpacked(update, NULL);
    return RL_OK;
}
