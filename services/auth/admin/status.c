/* admin_status: what is running. */
#include "admin/admin.h"

#include "db/instances.h"
#include "db/peers.h"
#include "people/invite.h"

#include <stdlib.h>
#include <string.h>

struct counting {
    struct rl_lease_row *leases;
    size_t lease_count;
    uint32_t online, total;
};

static rl_code count(struct rl_db *db, void *context, struct rl_error *err)
{
    struct counting *c = context;
    rl_leases_free(&c->leases, c->lease_count);
    c->lease_count = 0;
    rl_code rc = rl_leases_list(db, &c->leases, &c->lease_count, err);
    return rc == RL_OK ? rl_agents_count(db, &c->online, &c->total, err) : rc;
}

static const char *status_of(const struct rl_lease_row *lease)
{
    return !lease->is_online ? "offline" : lease->draining ? "draining" : "online";
}

static void append_service(const struct rl_lease_row *lease, Pb__StatusResponse *reply)
{
    Pb__ServiceInfo *service = rl_message_create(&pb__service_info__descriptor);
    rl_message_text(&service->kind, lease->kind);
    rl_message_text(&service->id, lease->id);
    const char *address = *lease->dial_address ? lease->dial_address : lease->peer_address;
    rl_message_text(&service->address, address);
    rl_message_text(&service->status, status_of(lease));
    rl_message_text(&service->version, lease->version);
    service->last_seen_ns = lease->last_seen_ns;
    rl_message_append(&reply->services, &reply->n_services, service);
    if (lease->is_online && strcmp(lease->kind, "audit") == 0)
        rl_message_text(&reply->audit_address, lease->dial_address);
}

rl_code rl_admin_status(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                        const Pb__StatusRequest *request, Pb__StatusResponse *reply,
                        struct rl_error *err)
{
    (void)request;
    struct rl_caller *caller = NULL;
    struct counting c = {0};
    rl_code rc = rl_caller_enter(auth, peer, "instance", "list", &caller, err);
    if (rc == RL_OK)
        rc = rl_store_transaction(auth->store, count, &c, err);
    if (rc == RL_OK) {
        rl_message_text(&reply->cluster, auth->cluster);
        rl_message_text(&reply->version, RL_VERSION);
        rl_message_text(&reply->ca_pin, caller->snapshot->authorities->ca_pin);
        rl_message_text(&reply->public_address, rl_public_address(auth, caller->snapshot));
        reply->agents_online = c.online;
        reply->agents_total = c.total;
        for (size_t i = 0; i < c.lease_count; i++)
            append_service(&c.leases[i], reply);
        for (size_t i = 0; i < caller->snapshot->rotation_count; i++)
            rl_message_append(&reply->rotations, &reply->n_rotations,
                              rl_message_copy(&caller->snapshot->rotations[i]->base));
    }
    rl_leases_free(&c.leases, c.lease_count);
    rl_caller_close(&caller);
    return rc;
}

static void drop_items(Pb__ListInventoryResponse *reply)
{
    while (reply->n_items)
        pb__inventory_item__free_unpacked(reply->items[--reply->n_items], NULL);
}

static rl_code list(struct rl_db *db, void *context, struct rl_error *err)
{
    Pb__ListInventoryResponse *reply = context;
    drop_items(reply); /* of an attempt that lost its race */
    free(reply->items);
    reply->items = NULL;
    rl_code rc = rl_inventory_list(db, &reply->items, &reply->n_items, err);
    return rc == RL_OK ? rl_leaves_inventory(db, &reply->items, &reply->n_items, err) : rc;
}

rl_code rl_admin_inventory(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                           const Pb__ListInventoryRequest *request,
                           Pb__ListInventoryResponse *reply, struct rl_error *err)
{
    (void)request;
    struct rl_caller *caller = NULL;
    rl_code rc = rl_caller_enter(auth, peer, "instance", "list", &caller, err);
    if (rc == RL_OK)
        rc = rl_store_transaction(auth->store, list, reply, err);
    rl_caller_close(&caller);
    return rc;
}
