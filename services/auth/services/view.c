/* view: read by a worker, turned into messages on the loop. */
#include "services/view.h"

#include "clock/clock.h"
#include "services/hub.h"

#include <stdlib.h>
#include <string.h>

static rl_code read_leases(struct rl_db *db, void *context, struct rl_error *err)
{
    struct rl_view *view = context;
    rl_leases_free(&view->leases, view->lease_count);
    view->lease_count = 0;
    return rl_leases_list(db, &view->leases, &view->lease_count, err);
}

rl_code rl_view_read(struct rl_auth *auth, struct rl_view **out, struct rl_error *err)
{
    struct rl_view *view = rl_alloc(sizeof *view);
    rl_code rc = rl_snapshots_current(auth->snapshots, &view->snapshot, err);
    if (rc == RL_OK)
        rc = rl_store_transaction(auth->store, read_leases, view, err);
    if (rc == RL_OK)
        *out = view;
    else
        rl_view_free(&view);
    return rc;
}

void rl_view_free(struct rl_view **view)
{
    struct rl_view *v = *view;
    if (!v)
        return;
    rl_snapshot_unref(&v->snapshot);
    rl_leases_free(&v->leases, v->lease_count);
    free(v);
    *view = NULL;
}

static bool is_living(const struct rl_lease_row *lease, const char *kind)
{
    return lease->is_online && strcmp(lease->kind, kind) == 0;
}

static void fill_locks(const struct rl_view *view, Pb__ControlUpdate *update)
{
    const struct rl_snapshot *s = view->snapshot;
    int64_t now_ns = rl_clock_wall_ns();
    update->locks_changed = true;
    for (size_t i = 0; i < s->lock_count; i++) {
        int64_t expires_ns = s->locks[i]->metadata->expires_ns;
        if (expires_ns == 0 || expires_ns > now_ns)
            rl_message_append(&update->locks, &update->n_locks,
                              rl_message_copy(&s->locks[i]->base));
    }
}

static void fill_cuts(const struct rl_view *view, Pb__ControlUpdate *update)
{
    const struct rl_snapshot *s = view->snapshot;
    update->cuts_changed = true;
    for (size_t i = 0; i < s->cut_count; i++)
        rl_message_append(&update->cuts, &update->n_cuts, rl_message_copy(&s->cuts[i]->base));
}

static void fill_brokers(const struct rl_view *view, Pb__ControlUpdate *update)
{
    update->brokers_changed = true;
    for (size_t i = 0; i < view->lease_count; i++) {
        const struct rl_lease_row *lease = &view->leases[i];
        if (!is_living(lease, "broker"))
            continue;
        Pb__BrokerAddress *broker = rl_message_create(&pb__broker_address__descriptor);
        rl_message_text(&broker->id, lease->id);
        rl_message_text(&broker->dial_address, lease->dial_address);
        rl_message_text(&broker->attach_address, lease->draining ? "" : lease->attach_address);
        rl_message_append(&update->brokers, &update->n_brokers, broker);
    }
}

static void append_address(char ***items, size_t *count, const char *address)
{
    if (*address)
        rl_message_append(items, count, rl_strdup(address));
}

static void fill_services(const struct rl_view *view, Pb__ControlUpdate *update)
{
    update->services = rl_message_create(&pb__service_addresses__descriptor);
    for (size_t i = 0; i < view->lease_count; i++) {
        const struct rl_lease_row *lease = &view->leases[i];
        if (is_living(lease, "auth"))
            append_address(&update->services->auth, &update->services->n_auth,
                           lease->attach_address);
        if (!is_living(lease, "audit"))
            continue;
        append_address(&update->services->audit, &update->services->n_audit, lease->attach_address);
        append_address(&update->services->audit_control, &update->services->n_audit_control,
                       lease->control_address);
    }
}

static void fill_clusters(const struct rl_view *view, Pb__ControlUpdate *update)
{
    const struct rl_snapshot *s = view->snapshot;
    update->clusters_changed = true;
    for (size_t i = 0; i < s->cluster_count; i++)
        rl_message_append(&update->clusters, &update->n_clusters,
                          rl_message_copy(&s->clusters[i]->base));
}

void rl_view_fill(const struct rl_view *view, enum rl_section section, Pb__ControlUpdate *update)
{
    switch (section) {
    case RL_SECTION_LOCKS:
        fill_locks(view, update);
        break;
    case RL_SECTION_CUTS:
        fill_cuts(view, update);
        break;
    case RL_SECTION_BROKERS:
        fill_brokers(view, update);
        break;
    case RL_SECTION_SERVICES:
        fill_services(view, update);
        break;
    case RL_SECTION_CONFIG:
        update->config = rl_message_copy(&view->snapshot->config->base);
        break;
    case RL_SECTION_TRUST:
        update->trust = rl_message_copy(&view->snapshot->authorities->bundle->base);
        break;
    case RL_SECTION_CLUSTERS:
        fill_clusters(view, update);
        break;
    case RL_SECTION_STATEMENT:
    case RL_SECTION_COUNT:
        break;
    }
}

#define TICKET_KEY_BYTES 80

rl_code rl_view_fill_tickets(const struct rl_auth *auth, const char *kind, int64_t now_s,
                             Pb__ControlUpdate *update, struct rl_error *err)
{
    Pb__TicketKeys *keys = rl_message_create(&pb__ticket_keys__descriptor);
    update->ticket_keys = keys;
    for (int64_t i = 0; i < RL_TICKET_KEYS; i++) {
        uint8_t key[TICKET_KEY_BYTES];
        char *purpose = rl_sprintf("tickets/%s/%s/%lld", auth->cluster, kind,
                                   (long long)(now_s / RL_TICKET_PERIOD_S - i));
        rl_code rc = rl_wrap_key_derive(auth->wrap, purpose, key, sizeof key, err);
        free(purpose);
        if (rc != RL_OK)
            return rc;
        rl_message_append_bytes(&keys->keys, &keys->n_keys, RL_SPAN(key, sizeof key));
    }
    return RL_OK;
}

static const struct rl_lease_row *living_audit(const struct rl_view *view)
{
    for (size_t i = 0; i < view->lease_count; i++)
        if (is_living(&view->leases[i], "audit"))
            return &view->leases[i];
    return NULL;
}

const char *rl_view_audit_control(const struct rl_view *view)
{
    const struct rl_lease_row *audit = living_audit(view);
    return audit ? audit->control_address : "";
}

const char *rl_view_audit_direct(const struct rl_view *view)
{
    const struct rl_lease_row *audit = living_audit(view);
    return audit ? audit->dial_address : "";
}
