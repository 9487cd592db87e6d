/* attach: hellos verified, epochs compared. */
#include "fleet/attach.h"

#include "clock/clock.h"
#include "db/labels.h"
#include "fleet/join.h"
#include "names/names.h"
#include "protocol/protocol.h"
#include "record/events.h"

#include <stdlib.h>
#include <string.h>

struct offering {
    const char *agent_id, *holder_id;
    const struct rl_snapshot *snapshot;
    uint64_t epoch;
};

static rl_code offer(struct rl_db *db, void *context, struct rl_error *err)
{
    struct offering *o = context;
    struct rl_instance *instance = NULL;
    rl_code rc = rl_instances_find(db, o->agent_id, false, &instance, err);
    if (rc == RL_OK && strcmp(instance->kind, "agent") != 0)
        rc = rl_fail(err, RL_E_NOT_FOUND, "no such agent %s", o->agent_id);
    if (rc == RL_OK)
        rc = rl_instance_check_locks(o->snapshot, instance->id, instance->name, rl_clock_wall_ns(),
                                     err);
    if (rc == RL_OK)
        rc = rl_attachments_offer(db, o->agent_id, o->holder_id, &o->epoch, err);
    rl_instance_free(&instance);
    return rc;
}

rl_code rl_attach_offer(struct rl_auth *auth, const char *agent_id, const char *holder_id,
                        uint64_t *epoch, struct rl_error *err)
{
    struct rl_snapshot *snapshot = NULL;
    rl_code rc = rl_snapshots_current(auth->snapshots, &snapshot, err);
    if (rc != RL_OK)
        return rc;
    struct offering o = {agent_id, holder_id, snapshot, 0};
    rc = rl_store_transaction(auth->store, offer, &o, err);
    if (rc == RL_OK)
        *epoch = o.epoch;
    rl_snapshot_unref(&snapshot);
    return rc;
}

/* ---- the hello ---- */

struct recording {
    const struct rl_attachment *attachment;
    const struct rl_snapshot *snapshot;
    const Pb__Hello *hello;
    struct rl_instance *instance;
};

static bool is_signed_by(struct rl_span spki, const Pb__SignedHello *hello)
{
    EVP_PKEY *key = NULL;
    bool is_signed = spki.n && rl_key_from_spki(spki, &key, NULL) == RL_OK &&
                     rl_key_verify(key, RL_HELLO_CONTEXT, RL_BINARY(hello->hello),
                                   RL_BINARY(hello->signature), NULL) == RL_OK;
    EVP_PKEY_free(key);
    return is_signed;
}

/* With its new key an agent has shown that it has it: the old one is nobody's any more. */
static rl_code check_signature(struct rl_instance *instance, const Pb__SignedHello *hello,
                               struct rl_error *err)
{
    if (is_signed_by(rl_buf_span(&instance->tls_key), hello)) {
        rl_buf_clear(&instance->previous_tls_key);
        return RL_OK;
    }
    if (is_signed_by(rl_buf_span(&instance->previous_tls_key), hello))
        return RL_OK;
    return rl_fail(err, RL_E_DENIED, "the hello is not signed by agent %s", instance->id);
}

static rl_code check_hello(const struct rl_attachment *a, const Pb__Hello *hello,
                           struct rl_error *err)
{
    if (strcmp(hello->agent_id, a->agent_id) != 0 || strcmp(hello->broker_id, a->holder_id) != 0 ||
        hello->epoch != a->epoch)
        return rl_fail(err, RL_E_DENIED, "the hello is for another agent, broker or epoch");
    if (rl_protocol_check(hello->protocol, hello->protocol_min, "the agent", err) != RL_OK)
        return err->code;
    if (!hello->inventory)
        return rl_fail(err, RL_E_INVAL, "the hello has no inventory");
    const Pb__Inventory *i = hello->inventory;
    if (strlen(i->hostname) > RL_JOIN_TEXT_BYTES_MAX ||
        strlen(i->address) > RL_JOIN_TEXT_BYTES_MAX ||
        strlen(hello->version) > RL_JOIN_TEXT_BYTES_MAX)
        return rl_fail(err, RL_E_INVAL, "a name in the hello is longer than %d bytes",
                       RL_JOIN_TEXT_BYTES_MAX);
    return rl_join_check_labels(i->labels, i->n_labels, err);
}

static void replace(char **field, const char *text)
{
    free(*field);
    *field = rl_strdup(text);
}

/* Its own word counts for what is its own: never for name, kinds or the token's labels. */
static void take_inventory(struct rl_instance *instance, const struct rl_attachment *a,
                           const Pb__Hello *hello)
{
    const Pb__Inventory *i = hello->inventory;
    replace(&instance->hostname, i->hostname);
    replace(&instance->version, hello->version);
    replace(&instance->mode, a->is_direct ? "direct" : "tunnel");
    replace(&instance->address, a->is_direct ? i->address : "");
    replace(&instance->peer_address, a->peer_address);
    rl_labels_free(&instance->own_labels, &instance->own_label_count);
    for (size_t k = 0; k < i->n_labels; k++)
        rl_labels_set(&instance->own_labels, &instance->own_label_count, i->labels[k]->key,
                      i->labels[k]->value);
}

static rl_code record(struct rl_db *db, void *context, struct rl_error *err)
{
    struct recording *r = context;
    const struct rl_attachment *a = r->attachment;
    bool got_name;
    rl_instance_free(&r->instance);
    rl_code rc = rl_instances_find(db, a->agent_id, true, &r->instance, err);
    if (rc == RL_OK)
        rc = rl_instance_check_locks(r->snapshot, r->instance->id, r->instance->name,
                                     rl_clock_wall_ns(), err);
    if (rc == RL_OK)
        rc = check_signature(r->instance, a->hello, err);
    if (rc != RL_OK)
        return rc;
    take_inventory(r->instance, a, r->hello);
    rc = rl_instances_update(db, r->instance, &got_name, err);
    if (rc == RL_OK)
        rc = rl_attachments_attach(db, a->agent_id, a->holder_id, a->epoch, a->peer_address, err);
    return rc;
}

static void tell(struct rl_auth *auth, const char *type, const char *agent_id, const char *name,
                 const char *holder_id, const char *peer_address, const char *reason)
{
    Pb__Event *event = rl_auth_event(auth, type, "success", NULL);
    rl_auth_event_resource(event, "node", agent_id, name);
    rl_event_set(&event->peer_address, peer_address);
    rl_event_set(&event->reason, reason);
    rl_event_detail(event, "holder", holder_id);
    rl_auth_tell(auth, &event);
}

rl_code rl_attach_record(struct rl_auth *auth, const struct rl_attachment *a, struct rl_error *err)
{
    if (!a->hello)
        return rl_fail(err, RL_E_INVAL, "no hello");
    Pb__Hello *hello = pb__hello__unpack(NULL, a->hello->hello.len, a->hello->hello.data);
    if (!hello)
        return rl_fail(err, RL_E_INVAL, "the hello can not be read");
    struct recording r = {.attachment = a, .hello = hello};
    struct rl_snapshot *snapshot = NULL;
    rl_code rc = check_hello(a, hello, err);
    if (rc == RL_OK)
        rc = rl_snapshots_current(auth->snapshots, &snapshot, err);
    r.snapshot = snapshot;
    if (rc == RL_OK)
        rc = rl_store_transaction(auth->store, record, &r, err);
    if (rc == RL_OK)
        rl_metric_add(auth->metrics.attachments, 1);
    if (rc == RL_OK)
        tell(auth, "instance.attach", a->agent_id, r.instance->name, a->holder_id, a->peer_address,
             "");
    rl_instance_free(&r.instance);
    rl_snapshot_unref(&snapshot);
    pb__hello__free_unpacked(hello, NULL);
    return rc;
}

/* ---- the end ---- */

struct ending {
    const char *agent_id, *holder_id;
    uint64_t epoch;
    bool was_attached;
};

static rl_code end(struct rl_db *db, void *context, struct rl_error *err)
{
    struct ending *e = context;
    return rl_attachments_detach(db, e->agent_id, e->holder_id, e->epoch, &e->was_attached, err);
}

rl_code rl_attach_end(struct rl_auth *auth, const char *agent_id, const char *holder_id,
                      uint64_t epoch, const char *reason, struct rl_error *err)
{
    if (!rl_name_is_uuid(agent_id))
        return rl_fail(err, RL_E_INVAL, "an agent's id is a UUID");
    struct ending e = {agent_id, holder_id, epoch, false};
    rl_code rc = rl_store_transaction(auth->store, end, &e, err);
    if (rc == RL_OK && e.was_attached)
        tell(auth, "instance.detach", agent_id, "", holder_id, "", reason);
    return rc;
}
