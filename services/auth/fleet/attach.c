/* attach: hellos verified, epochs compared; many in one transaction, because a fleet comes back at
 * once. */
#include "fleet/attach.h"

#include "clock/clock.h"
#include "db/labels.h"
#include "fleet/join.h"
#include "names/names.h"
#include "protocol/protocol.h"
#include "record/events.h"
#include "services/control.h"

#include <stdlib.h>
#include <string.h>

/* ---- an epoch ---- */

struct offering {
    const char *holder_id;
    const struct rl_snapshot *snapshot;
    struct rl_attach_offer **sorted; /* by id; each once */
    const char **ids;
    size_t count;
};

static int by_agent(const void *left, const void *right)
{
    const struct rl_attach_offer *a = *(struct rl_attach_offer *const *)left;
    const struct rl_attach_offer *b = *(struct rl_attach_offer *const *)right;
    int order = strcmp(a->agent_id, b->agent_id);
    return order ? order : (a > b) - (a < b);
}

static int compare_agent(const void *agent_id, const void *offer)
{
    return strcmp(agent_id, (*(struct rl_attach_offer *const *)offer)->agent_id);
}

/* Of one that asks twice the later is the living one. */
static void sort_offers(struct offering *o, struct rl_attach_offer *offers, size_t count)
{
    o->sorted = rl_alloc_array(count, sizeof *o->sorted);
    o->ids = rl_alloc_array(count, sizeof *o->ids);
    for (size_t i = 0; i < count; i++) {
        offers[i].epoch = 0;
        if (rl_name_is_uuid(offers[i].agent_id))
            o->sorted[o->count++] = &offers[i];
        else
            rl_fail(&offers[i].err, RL_E_NOT_FOUND, "no such agent");
    }
    qsort(o->sorted, o->count, sizeof(struct rl_attach_offer *), by_agent);
    size_t kept = 0;
    for (size_t i = 0; i < o->count; i++) {
        bool comes_again =
            i + 1 < o->count && strcmp(o->sorted[i]->agent_id, o->sorted[i + 1]->agent_id) == 0;
        if (comes_again) {
            rl_fail(&o->sorted[i]->err, RL_E_ABORTED, "the agent has come again");
            continue;
        }
        o->ids[kept] = o->sorted[i]->agent_id;
        o->sorted[kept++] = o->sorted[i];
    }
    o->count = kept;
}

static rl_code offer(struct rl_db *db, void *context, struct rl_error *err)
{
    struct offering *o = context;
    struct rl_offered *offered = NULL;
    size_t n = 0;
    for (size_t i = 0; i < o->count; i++)
        rl_fail(&o->sorted[i]->err, RL_E_NOT_FOUND, "no such agent %s", o->ids[i]);
    rl_code rc = rl_attachments_offer(db, o->holder_id, o->ids, o->count, &offered, &n, err);
    int64_t now_ns = rl_clock_wall_ns();
    for (size_t i = 0; rc == RL_OK && i < n; i++) {
        struct rl_attach_offer **at = bsearch(offered[i].agent_id, o->sorted, o->count,
                                              sizeof(struct rl_attach_offer *), compare_agent);
        if (!at)
            continue;
        (*at)->err.code = rl_instance_check_locks(o->snapshot, offered[i].agent_id, offered[i].name,
                                                  now_ns, &(*at)->err);
        (*at)->epoch = (*at)->err.code == RL_OK ? offered[i].epoch : 0;
    }
    rl_offered_free(&offered, n);
    return rc;
}

rl_code rl_attach_offer(struct rl_auth *auth, const char *holder_id, struct rl_attach_offer *offers,
                        size_t count, struct rl_error *err)
{
    struct rl_snapshot *snapshot = NULL;
    rl_code rc = rl_snapshots_current(auth->snapshots, &snapshot, err);
    if (rc != RL_OK)
        return rc;
    struct offering o = {.holder_id = holder_id, .snapshot = snapshot};
    sort_offers(&o, offers, count);
    rc = o.count ? rl_store_transaction(auth->store, offer, &o, err) : RL_OK;
    free(o.sorted);
    free(o.ids);
    rl_snapshot_unref(&snapshot);
    return rc;
}

/* ---- the hello ---- */

/* One that came: what it says, and what auth knows of it. */
struct arrival {
    struct rl_attachment *attachment;
    Pb__Hello *hello; /* NULL: it can not be read, or its form is wrong */
    struct rl_error form;
    struct rl_instance *instance; /* borrowed from the recording; NULL: there is none */
};

struct recording {
    const char *holder_id;
    const struct rl_snapshot *snapshot;
    struct arrival *arrivals;
    size_t count;
    struct rl_instance **instances; /* by id */
    size_t instance_count;
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
    if (!rl_name_is_uuid(a->agent_id))
        return rl_fail(err, RL_E_INVAL, "an agent's id is a UUID");
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

static bool has_labels(const struct rl_instance *instance, const Pb__Inventory *i)
{
    if (instance->own_label_count != i->n_labels)
        return false;
    for (size_t k = 0; k < i->n_labels; k++)
        if (strcmp(instance->own_labels[k]->key, i->labels[k]->key) != 0 ||
            strcmp(instance->own_labels[k]->value, i->labels[k]->value) != 0)
            return false;
    return true;
}

/* Its own word counts for what is its own: never for name, kinds or the token's labels. False: auth
 * knew all of that. */
static bool take_inventory(struct rl_instance *instance, const struct rl_attachment *a,
                           const Pb__Hello *hello)
{
    const Pb__Inventory *i = hello->inventory;
    const char *mode = a->is_direct ? "direct" : "tunnel",
               *address = a->is_direct ? i->address : "";
    if (strcmp(instance->hostname, i->hostname) == 0 &&
        strcmp(instance->version, hello->version) == 0 && strcmp(instance->mode, mode) == 0 &&
        strcmp(instance->address, address) == 0 && has_labels(instance, i))
        return false;
    replace(&instance->hostname, i->hostname);
    replace(&instance->version, hello->version);
    replace(&instance->mode, mode);
    replace(&instance->address, address);
    rl_labels_free(&instance->own_labels, &instance->own_label_count);
    for (size_t k = 0; k < i->n_labels; k++)
        rl_labels_set(&instance->own_labels, &instance->own_label_count, i->labels[k]->key,
                      i->labels[k]->value);
    return true;
}

static int compare_instance(const void *id, const void *instance)
{
    return strcmp(id, (*(struct rl_instance *const *)instance)->id);
}

static void free_instances(struct recording *r)
{
    for (size_t i = 0; i < r->instance_count; i++)
        rl_instance_free(&r->instances[i]);
    free(r->instances);
    r->instances = NULL;
    r->instance_count = 0;
}

static rl_code find_instances(struct rl_db *db, struct recording *r, struct rl_error *err)
{
    const char **ids = rl_alloc_array(r->count, sizeof *ids);
    size_t n = 0;
    for (size_t i = 0; i < r->count; i++)
        if (r->arrivals[i].hello)
            ids[n++] = r->arrivals[i].attachment->agent_id;
    free_instances(r);
    rl_code rc = rl_instances_find_all(db, ids, n, &r->instances, &r->instance_count, err);
    free(ids);
    return rc;
}

/* Says in its attachment what is wrong with it; fails when the database does. */
static rl_code examine(struct rl_db *db, struct recording *r, struct arrival *arrival,
                       struct rl_error *err)
{
    struct rl_attachment *a = arrival->attachment;
    arrival->instance = NULL;
    a->err = arrival->form;
    if (!arrival->hello)
        return RL_OK;
    struct rl_instance **found = bsearch(a->agent_id, r->instances, r->instance_count,
                                         sizeof(struct rl_instance *), compare_instance);
    if (!found) {
        rl_fail(&a->err, RL_E_NOT_FOUND, "no such instance");
        return RL_OK;
    }
    struct rl_instance *instance = *found;
    bool had_previous_key = instance->previous_tls_key.n > 0, got_name;
    a->err.code = rl_instance_check_locks(r->snapshot, instance->id, instance->name,
                                          rl_clock_wall_ns(), &a->err);
    if (a->err.code == RL_OK)
        a->err.code = check_signature(instance, a->hello, &a->err);
    if (a->err.code != RL_OK)
        return RL_OK;
    arrival->instance = instance;
    bool is_key_settled = had_previous_key && !instance->previous_tls_key.n;
    if (!take_inventory(instance, a, arrival->hello) && !is_key_settled)
        return RL_OK;
    return rl_instances_update(db, instance, &got_name, err);
}

static int compare_text(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* Whose epoch counts is attached; the others have been overtaken. */
static rl_code attach(struct rl_db *db, struct recording *r, struct rl_error *err)
{
    struct rl_arrived *arrived = rl_alloc_array(r->count, sizeof *arrived);
    char **attached = NULL;
    size_t n = 0, attached_count = 0;
    for (size_t i = 0; i < r->count; i++) {
        const struct rl_attachment *a = r->arrivals[i].attachment;
        if (r->arrivals[i].instance)
            arrived[n++] = (struct rl_arrived){a->agent_id, a->peer_address, a->epoch};
    }
    rl_code rc =
        n ? rl_attachments_attach(db, r->holder_id, arrived, n, &attached, &attached_count, err)
          : RL_OK;
    if (attached_count)
        qsort(attached, attached_count, sizeof *attached, compare_text);
    for (size_t i = 0; rc == RL_OK && i < r->count; i++) {
        struct rl_attachment *a = r->arrivals[i].attachment;
        if (r->arrivals[i].instance &&
            (!attached_count ||
             !bsearch(&a->agent_id, attached, attached_count, sizeof *attached, compare_text)))
            rl_fail(&a->err, RL_E_ABORTED, "a later attachment took the place of epoch %llu",
                    (unsigned long long)a->epoch);
    }
    for (size_t i = 0; i < attached_count; i++)
        free(attached[i]);
    free(attached);
    free(arrived);
    return rc;
}

static rl_code record(struct rl_db *db, void *context, struct rl_error *err)
{
    struct recording *r = context;
    rl_code rc = find_instances(db, r, err);
    for (size_t i = 0; rc == RL_OK && i < r->count; i++)
        rc = examine(db, r, &r->arrivals[i], err);
    return rc == RL_OK ? attach(db, r, err) : rc;
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

static void read_hello(struct arrival *arrival)
{
    const struct rl_attachment *a = arrival->attachment;
    if (a->hello)
        arrival->hello = pb__hello__unpack(NULL, a->hello->hello.len, a->hello->hello.data);
    if (!arrival->hello)
        rl_fail(&arrival->form, RL_E_INVAL, "the hello can not be read");
    else if (check_hello(a, arrival->hello, &arrival->form) == RL_OK)
        return;
    pb__hello__free_unpacked(arrival->hello, NULL);
    arrival->hello = NULL;
}

static void tell_attached(struct rl_auth *auth, const struct recording *r, struct arrival *arrival)
{
    struct rl_attachment *a = arrival->attachment;
    a->policy_is_current = rl_policy_is_current(r->snapshot, arrival->instance, arrival->hello);
    rl_metric_add(auth->metrics.attachments, 1);
    tell(auth, "instance.attach", a->agent_id, arrival->instance->name, r->holder_id,
         a->peer_address, "");
}

static rl_code record_all(struct rl_auth *auth, struct recording *r, struct rl_error *err)
{
    rl_code rc = rl_store_transaction(auth->store, record, r, err);
    for (size_t i = 0; rc == RL_OK && i < r->count; i++)
        if (r->arrivals[i].attachment->err.code == RL_OK)
            tell_attached(auth, r, &r->arrivals[i]);
    free_instances(r);
    return rc;
}

/* What the database does not take of one: that one is not attached. */
static rl_code record_each(struct rl_auth *auth, struct recording *r, struct rl_error *err)
{
    struct arrival *arrivals = r->arrivals;
    size_t count = r->count;
    rl_code rc = RL_OK;
    r->count = 1;
    for (size_t i = 0; rc == RL_OK && i < count; i++) {
        r->arrivals = &arrivals[i];
        rc = record_all(auth, r, err);
        if (rc == RL_E_INVAL) {
            arrivals[i].attachment->err = *err;
            rc = RL_OK;
        }
    }
    r->arrivals = arrivals;
    r->count = count;
    return rc;
}

rl_code rl_attach_record(struct rl_auth *auth, struct rl_attachment *attachments, size_t count,
                         struct rl_error *err)
{
    struct rl_snapshot *snapshot = NULL;
    rl_code rc = rl_snapshots_current(auth->snapshots, &snapshot, err);
    if (rc != RL_OK)
        return rc;
    struct recording r = {.holder_id = attachments[0].holder_id,
                          .snapshot = snapshot,
                          .arrivals = rl_alloc_array(count, sizeof *r.arrivals),
                          .count = count};
    for (size_t i = 0; i < count; i++) {
        r.arrivals[i].attachment = &attachments[i];
        read_hello(&r.arrivals[i]);
    }
    rc = record_all(auth, &r, err);
    if (rc == RL_E_INVAL)
        rc = record_each(auth, &r, err);
    for (size_t i = 0; i < count; i++)
        if (r.arrivals[i].hello)
            pb__hello__free_unpacked(r.arrivals[i].hello, NULL);
    free(r.arrivals);
    rl_snapshot_unref(&snapshot);
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
