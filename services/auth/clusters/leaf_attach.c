/* leaf_attach: hellos of leaves' brokers verified, epochs compared. */
#include "clusters/leaf.h"

#include "clock/clock.h"
#include "clusters/peer_trust.h"
#include "names/names.h"
#include "protocol/protocol.h"
#include "record/events.h"

#include <string.h>

bool rl_leaf_is_named(const char *agent_id)
{
    return strncmp(agent_id, RL_LEAF_PREFIX, strlen(RL_LEAF_PREFIX)) == 0;
}

static rl_code refuse_name(struct rl_error *err)
{
    return rl_fail(err, RL_E_INVAL, "a leaf is called cluster/NAME or cluster/NAME/REPLICA");
}

rl_code rl_leaf_name_parse(const char *agent_id, struct rl_leaf_name *out, struct rl_error *err)
{
    if (!rl_leaf_is_named(agent_id))
        return refuse_name(err);
    struct rl_leaf_name name = {"", ""};
    const char *cluster = agent_id + strlen(RL_LEAF_PREFIX);
    const char *slash = strchr(cluster, '/');
    size_t n = slash ? (size_t)(slash - cluster) : strlen(cluster);
    if (n >= sizeof name.cluster || (slash && !rl_name_is_uuid(slash + 1)))
        return refuse_name(err);
    memcpy(name.cluster, cluster, n);
    if (slash)
        memcpy(name.replica, slash + 1, sizeof name.replica);
    if (rl_name_check_cluster(name.cluster, NULL) != RL_OK)
        return refuse_name(err);
    *out = name;
    return RL_OK;
}

static rl_code parse_replica(const char *agent_id, struct rl_leaf_name *name, struct rl_error *err)
{
    rl_code rc = rl_leaf_name_parse(agent_id, name, err);
    if (rc == RL_OK && !*name->replica)
        rc = rl_fail(err, RL_E_INVAL, "which replica? a leaf's broker is cluster/NAME/REPLICA");
    return rc;
}

/* ---- an epoch ---- */

struct offering {
    const struct rl_leaf_name *name;
    const char *holder_id;
    uint64_t epoch;
};

static rl_code offer(struct rl_db *db, void *context, struct rl_error *err)
{
    struct offering *o = context;
    return rl_leaf_attachments_offer(db, o->name->cluster, o->name->replica, o->holder_id,
                                     &o->epoch, err);
}

rl_code rl_leaf_attach_offer(struct rl_auth *auth, const char *agent_id, const char *holder_id,
                             uint64_t *epoch, struct rl_error *err)
{
    struct rl_leaf_name name;
    rl_code rc = parse_replica(agent_id, &name, err);
    struct offering o = {&name, holder_id, 0};
    if (rc == RL_OK)
        rc = rl_store_transaction(auth->store, offer, &o, err);
    if (rc == RL_OK)
        *epoch = o.epoch;
    return rc;
}

/* ---- the hello ---- */

struct recording {
    const struct rl_attachment *attachment;
    const struct rl_leaf_name *name;
    const char *version;
};

static rl_code record(struct rl_db *db, void *context, struct rl_error *err)
{
    struct recording *r = context;
    return rl_leaf_attachments_attach(db, r->name->cluster, r->name->replica,
                                      r->attachment->holder_id, r->attachment->epoch,
                                      r->attachment->peer_address, r->version, err);
}

/* The certificate is that of the broker it names, by the leaf's authorities as we have them. */
static rl_code identify(const Pb__PeerCluster *leaf, X509 *certificate,
                        const struct rl_leaf_name *name, struct rl_error *err)
{
    struct rl_trust *trust = NULL;
    struct rl_identity *who = NULL;
    STACK_OF(X509) *chain = sk_X509_new_null();
    rl_code rc = chain && sk_X509_push(chain, certificate) > 0
                     ? rl_peer_services_trust(leaf->trust, &trust, err)
                     : rl_fail(err, RL_E_INTERNAL, "no memory for a chain");
    if (rc == RL_OK)
        rc = rl_identity_check(trust, chain, false, rl_clock_wall_s(), &who, err);
    if (rc == RL_OK &&
        (!rl_identity_is_service(who, "broker") || strcmp(who->name, name->replica) != 0))
        rc = rl_fail(err, RL_E_DENIED, "the hello is not signed by that broker of %s",
                     name->cluster);
    rl_identity_unref(&who);
    rl_trust_unref(&trust);
    sk_X509_free(chain);
    return rc == RL_E_UNAUTHENTICATED ? rl_fail(err, RL_E_DENIED, "%s", err->message) : rc;
}

static rl_code check_signature(const Pb__PeerCluster *leaf, const struct rl_leaf_name *name,
                               const Pb__SignedHello *hello, struct rl_error *err)
{
    X509 *certificate = NULL;
    rl_code rc = rl_x509_from_der(RL_BINARY(hello->certificate), &certificate, err);
    if (rc != RL_OK)
        return rl_fail(err, RL_E_INVAL, "the hello of a leaf comes with its broker's certificate");
    rc = identify(leaf, certificate, name, err);
    if (rc == RL_OK &&
        rl_key_verify(X509_get0_pubkey(certificate), RL_HELLO_CONTEXT, RL_BINARY(hello->hello),
                      RL_BINARY(hello->signature), err) != RL_OK)
        rc = rl_fail(err, RL_E_DENIED, "the hello is not signed by the broker whose it is");
    X509_free(certificate);
    return rc;
}

static rl_code check_hello(const struct rl_attachment *a, const Pb__Hello *hello,
                           struct rl_error *err)
{
    if (strcmp(hello->agent_id, a->agent_id) != 0 || strcmp(hello->broker_id, a->holder_id) != 0 ||
        hello->epoch != a->epoch)
        return rl_fail(err, RL_E_DENIED, "the hello is for another leaf, broker or epoch");
    if (strlen(hello->version) > RL_LEAF_VERSION_BYTES_MAX)
        return rl_fail(err, RL_E_INVAL, "a version of more than %d bytes",
                       RL_LEAF_VERSION_BYTES_MAX);
    return rl_protocol_check(hello->protocol, hello->protocol_min, "the leaf", err);
}

static void tell(struct rl_auth *auth, const char *type, const char *agent_id,
                 const struct rl_leaf_name *name, const char *holder_id, const char *peer_address,
                 const char *reason)
{
    Pb__Event *event = rl_auth_event(auth, type, "success", NULL);
    rl_auth_event_resource(event, "cluster", agent_id, name->cluster);
    rl_event_set(&event->peer_address, peer_address);
    rl_event_set(&event->reason, reason);
    rl_event_detail(event, "holder", holder_id);
    rl_auth_tell(auth, &event);
}

static rl_code verify(struct rl_auth *auth, const struct rl_attachment *a,
                      const struct rl_leaf_name *name, const Pb__Hello *hello, struct rl_error *err)
{
    struct rl_snapshot *snapshot = NULL;
    rl_code rc = check_hello(a, hello, err);
    if (rc == RL_OK)
        rc = rl_snapshots_current(auth->snapshots, &snapshot, err);
    const Pb__PeerCluster *leaf = rc == RL_OK ? rl_snapshot_leaf(snapshot, name->cluster) : NULL;
    if (rc == RL_OK)
        rc = leaf ? check_signature(leaf, name, a->hello, err)
                  : rl_fail(err, RL_E_DENIED, "%s is no leaf of this cluster", name->cluster);
    rl_snapshot_unref(&snapshot);
    return rc;
}

rl_code rl_leaf_attach_record(struct rl_auth *auth, const struct rl_attachment *a,
                              struct rl_error *err)
{
    struct rl_leaf_name name;
    rl_code rc = parse_replica(a->agent_id, &name, err);
    if (rc == RL_OK && !a->hello)
        rc = rl_fail(err, RL_E_INVAL, "no hello");
    if (rc != RL_OK)
        return rc;
    Pb__Hello *hello = pb__hello__unpack(NULL, a->hello->hello.len, a->hello->hello.data);
    if (!hello)
        return rl_fail(err, RL_E_INVAL, "the hello can not be read");
    struct recording r = {a, &name, hello->version};
    rc = verify(auth, a, &name, hello, err);
    if (rc == RL_OK)
        rc = rl_store_transaction(auth->store, record, &r, err);
    if (rc == RL_OK)
        tell(auth, "instance.attach", a->agent_id, &name, a->holder_id, a->peer_address, "");
    pb__hello__free_unpacked(hello, NULL);
    return rc;
}

/* ---- the end ---- */

struct ending {
    const struct rl_leaf_name *name;
    const char *holder_id;
    uint64_t epoch;
    bool was_attached;
};

static rl_code end(struct rl_db *db, void *context, struct rl_error *err)
{
    struct ending *e = context;
    return rl_leaf_attachments_detach(db, e->name->cluster, e->name->replica, e->holder_id,
                                      e->epoch, &e->was_attached, err);
}

rl_code rl_leaf_attach_end(struct rl_auth *auth, const char *agent_id, const char *holder_id,
                           uint64_t epoch, const char *reason, struct rl_error *err)
{
    struct rl_leaf_name name;
    rl_code rc = parse_replica(agent_id, &name, err);
    struct ending e = {&name, holder_id, epoch, false};
    if (rc == RL_OK)
        rc = rl_store_transaction(auth->store, end, &e, err);
    if (rc == RL_OK && e.was_attached)
        tell(auth, "instance.detach", agent_id, &name, holder_id, "", reason);
    return rc;
}
