/* renew: a new certificate for an old one, counted: a generation has one holder. */
#include "fleet/join.h"

#include "authority/issue.h"
#include "db/instances.h"
#include "names/names.h"
#include "record/events.h"

#include <stdlib.h>
#include <string.h>

rl_code rl_instance_check_locks(const struct rl_snapshot *snapshot, const char *id,
                                const char *name, int64_t now_ns, struct rl_error *err)
{
    for (size_t i = 0; i < snapshot->lock_count; i++) {
        const Pb__Lock *lock = snapshot->locks[i];
        bool is_over = lock->metadata->expires_ns && lock->metadata->expires_ns <= now_ns;
        if (is_over || strcmp(lock->spec->target_kind, "node") != 0)
            continue;
        const char *target = lock->spec->target_name;
        if (strcmp(target, id) == 0 || (*name && strcmp(target, name) == 0)) {
            char *shown = rl_name_printable(lock->spec->message);
            rl_fail(err, RL_E_DENIED, "locked: %s", shown);
            free(shown);
            return RL_E_DENIED;
        }
    }
    return RL_OK;
}

struct renewing {
    struct rl_auth *auth;
    const struct rl_identity *identity;
    const Pb__RenewRequest *request;
    const struct rl_snapshot *snapshot;
    struct rl_instance *instance;
    int64_t now_ns;
    bool is_cloned;
};

/* Two hold one identity: which is the right one can not be known, so neither is. The lock has to be
 * kept, so it is no error here. */
static rl_code stop_both(struct rl_db *db, struct renewing *r, struct rl_error *err)
{
    uint64_t revision = 0;
    bool created = false;
    rl_code rc = rl_revision_bump(db, &revision, err);
    if (rc != RL_OK)
        return rc;
    char *name = rl_sprintf("cloned-%s", r->instance->id);
    char *message = rl_sprintf("two hold generation %llu of the identity %s: was the machine "
                               "cloned? Remove the lock and join one of them anew",
                               (unsigned long long)r->request->generation, r->instance->id);
    Pb__Metadata metadata = PB__METADATA__INIT;
    Pb__LockSpec spec = PB__LOCK_SPEC__INIT;
    Pb__Lock lock = PB__LOCK__INIT;
    char kind[] = "node";
    char creator[] = "auth";
    metadata.name = name;
    spec.target_kind = kind;
    spec.target_name = r->instance->id;
    spec.message = message;
    spec.created_by = creator;
    lock.metadata = &metadata;
    lock.spec = &spec;
    rc = rl_locks_put(db, &lock, revision, true, &created, err);
    r->is_cloned = rc == RL_OK;
    free(name);
    free(message);
    return rc;
}

static void replace(char **field, const char *text)
{
    free(*field);
    *field = rl_strdup(text);
}

static rl_code write_renewal(struct rl_db *db, struct renewing *r, struct rl_error *err)
{
    struct rl_instance *i = r->instance;
    const Pb__RenewRequest *q = r->request;
    bool got_name;
    rl_buf_clear(&i->previous_tls_key);
    rl_buf_put_span(&i->previous_tls_key, rl_buf_span(&i->tls_key));
    rl_buf_clear(&i->tls_key);
    rl_buf_put_span(&i->tls_key, RL_BINARY(q->tls_public_key));
    if (q->ssh_public_key.len) {
        rl_buf_clear(&i->ssh_key);
        rl_buf_put_span(&i->ssh_key, RL_BINARY(q->ssh_public_key));
    }
    if (*q->version)
        replace(&i->version, q->version);
    if (*q->advertise_address)
        replace(&i->address, q->advertise_address);
    i->generation++;
    return rl_instances_update(db, i, &got_name, err);
}

static bool is_key(const struct rl_identity *identity, const struct rl_buf *spki)
{
    uint8_t hash[32];
    return EVP_Digest(spki->p, spki->n, hash, NULL, EVP_sha256(), NULL) == 1 &&
           memcmp(hash, identity->key_sha256, sizeof hash) == 0;
}

static rl_code renew(struct rl_db *db, void *context, struct rl_error *err)
{
    struct renewing *r = context;
    const Pb__RenewRequest *q = r->request;
    rl_instance_free(&r->instance);
    r->is_cloned = false;
    rl_code rc = rl_db_now(db, &r->now_ns, err);
    if (rc == RL_OK)
        rc = rl_instances_find(db, r->identity->name, true, &r->instance, err);
    if (rc == RL_E_NOT_FOUND)
        return rl_fail(err, RL_E_DENIED, "%s was removed; join anew", r->identity->name);
    if (rc == RL_OK)
        rc = rl_instance_check_locks(r->snapshot, r->instance->id, r->instance->name, r->now_ns,
                                     err);
    if (rc != RL_OK)
        return rc;
    uint64_t held = r->identity->claims->generation;
    uint64_t current = r->instance->generation;
    if (q->generation != held)
        return rl_fail(err, RL_E_INVAL, "the certificate is of generation %llu",
                       (unsigned long long)held);
    /* A host authority that was stolen renews nothing: the key must be the one that auth knows. */
    if (held == current && !is_key(r->identity, &r->instance->tls_key))
        return rl_fail(err, RL_E_DENIED, "the certificate's key is not the one of %s",
                       r->identity->name);
    if (held == current)
        return write_renewal(db, r, err);
    /* The answer to its last renewal was lost: it asks for the same again. */
    if (held + 1 == current && is_key(r->identity, &r->instance->previous_tls_key) &&
        rl_span_equal(RL_BINARY(q->tls_public_key), rl_buf_span(&r->instance->tls_key)))
        return RL_OK;
    return stop_both(db, r, err);
}

static void tell_cloned(struct renewing *r, const struct rl_rpc_peer *peer)
{
    Pb__Event *event = rl_auth_event(r->auth, "lock.create", "success", peer);
    rl_auth_event_resource(event, "node", r->instance->id, r->instance->name);
    rl_event_set(&event->reason, "two hold one generation of this identity");
    rl_auth_tell(r->auth, &event);
}

static void tell_renewed(struct renewing *r, const struct rl_rpc_peer *peer)
{
    rl_metric_add(r->auth->metrics.renewals, 1);
    Pb__Event *event = rl_auth_event(r->auth, "cert.issue", "success", peer);
    rl_auth_event_resource(event,
                           strcmp(r->instance->kind, "agent") == 0 ? "node" : r->instance->kind,
                           r->instance->id, r->instance->name);
    if (r->identity->is_retired)
        rl_event_detail(event, "returned", "true");
    rl_auth_tell(r->auth, &event);
}

static rl_code check_renewal(const struct rl_identity *identity, const Pb__RenewRequest *q,
                             struct rl_error *err)
{
    if (!identity || identity->kind == RL_IDENTITY_USER)
        return rl_fail(err, RL_E_DENIED, "only agents and services renew");
    if (strlen(q->version) > RL_JOIN_TEXT_BYTES_MAX ||
        strlen(q->advertise_address) > RL_JOIN_TEXT_BYTES_MAX)
        return rl_fail(err, RL_E_INVAL, "a name in the request is longer than %d bytes",
                       RL_JOIN_TEXT_BYTES_MAX);
    rl_code rc = rl_issue_check_addresses(q->addresses, q->n_addresses, err);
    if (rc != RL_OK)
        return rc;
    rc = rl_join_check_proof(RL_BINARY(q->tls_public_key), RL_RENEW_CONTEXT,
                             RL_SPAN(identity->fingerprint, sizeof identity->fingerprint),
                             RL_BINARY(q->proof), err);
    if (rc == RL_OK && q->ssh_public_key.len)
        rc = rl_issue_check_keys(RL_BINARY(q->tls_public_key), RL_BINARY(q->ssh_public_key), err);
    return rc;
}

rl_code rl_auth_renew(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                      const Pb__RenewRequest *request, Pb__JoinResponse *reply,
                      struct rl_error *err)
{
    struct rl_snapshot *snapshot = NULL;
    rl_code rc = check_renewal(peer->identity, request, err);
    if (rc == RL_OK)
        rc = rl_snapshots_current(auth->snapshots, &snapshot, err);
    if (rc != RL_OK)
        return rc;
    struct renewing r = {
        .auth = auth, .identity = peer->identity, .request = request, .snapshot = snapshot};
    rc = rl_store_transaction(auth->store, renew, &r, err);
    if (rc == RL_OK && r.is_cloned) {
        tell_cloned(&r, peer);
        rc = rl_fail(err, RL_E_DENIED, "two hold this identity; both are stopped");
    }
    if (rc == RL_OK)
        rc = rl_issue_instance(snapshot, auth->cluster, r.instance, r.now_ns, request->addresses,
                               request->n_addresses, reply, err);
    if (rc == RL_OK)
        tell_renewed(&r, peer);
    rl_instance_free(&r.instance);
    rl_snapshot_unref(&snapshot);
    return rc;
}
