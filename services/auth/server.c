/* server: handlers by method, listeners, and the certificate. */
#include "server.h"

#include "access/access.h"
#include "admin/admin.h"
#include "authority/issue.h"
#include "clock/clock.h"
#include "clusters/leaf.h"
#include "clusters/peer_trust.h"
#include "fleet/join.h"
#include "log/log.h"
#include "people/invite.h"
#include "people/listing.h"
#include "people/login.h"
#include "people/session.h"
#include "public.h"
#include "record/checkpoints.h"
#include "services/control.h"
#include "services/hub.h"
#include "services/view.h"

#include <openssl/err.h>
#include <stdlib.h>

#define RENEW_MS (6ull * 3600 * 1000) /* far below a third of its life */
#define RENEW_RETRY_MS 60000
#define RENEW_RETRY_SOON_MS 100
#define TICKETS_LOOK_MS 30000 /* whether another hour has begun */

struct rl_auth_server {
    struct rl_auth_server_config config;
    struct rl_tls_identity *identity;
    struct rl_trust *trust;  /* this cluster's own */
    struct rl_trust *public; /* with the users of its roots and the services of its leaves */
    struct rl_tls_server *tls;
    struct rl_rpc_server *h2, *grpc;
    struct rl_timer *renewal, *tickets;
    uint64_t issued_ms;   /* when its certificate was */
    int64_t tickets_hour; /* whose keys are used */
    uint16_t port, proxied_port, control_port;
    unsigned draining;
    bool is_renewing; /* a worker has it */
    void (*drained)(void *context);
    void *drained_context;
};

/* ---- who answers what ---- */

RL_ANSWER(ping, rl_auth_ping, Pb__PingRequest, Pb__PingResponse, pb__ping_response__descriptor)
RL_ANSWER(tell_time, rl_auth_time, Pb__TimeRequest, Pb__TimeResponse, pb__time_response__descriptor)
RL_ANSWER(join, rl_auth_join, Pb__JoinRequest, Pb__JoinResponse, pb__join_response__descriptor)
RL_ANSWER_SLOWLY(login, rl_auth_login, Pb__LoginRequest, Pb__LoginResponse,
                 pb__login_response__descriptor)
RL_ANSWER(invitation, rl_auth_invitation, Pb__InvitationRequest, Pb__InvitationResponse,
          pb__invitation_response__descriptor)
RL_ANSWER_SLOWLY(signup, rl_auth_signup, Pb__SignupRequest, Pb__SignupResponse,
                 pb__signup_response__descriptor)

static const struct rl_rpc_handler auth_handlers[] = {
    {.method = "Ping", .unary = ping},
    {.method = "Time", .unary = tell_time},
    {.method = "Join", .unary = join},
    {.method = "Login", .unary = login},
    {.method = "Invitation", .unary = invitation},
    {.method = "Signup", .unary = signup},
};

RL_ANSWER(establish, rl_leaf_establish, Pb__EstablishRequest, Pb__EstablishResponse,
          pb__establish_response__descriptor)
RL_ANSWER(trust_state, rl_leaf_state, Pb__TrustStateRequest, Pb__TrustStateResponse,
          pb__trust_state_response__descriptor)
RL_ANSWER(trust_update, rl_leaf_update, Pb__TrustUpdateRequest, Pb__TrustUpdateResponse,
          pb__trust_update_response__descriptor)
RL_ANSWER(trust_leave, rl_leaf_leave, Pb__TrustLeaveRequest, Pb__TrustLeaveResponse,
          pb__trust_leave_response__descriptor)

static const struct rl_rpc_handler trust_handlers[] = {
    {.method = "Establish", .unary = establish},
    {.method = "State", .unary = trust_state},
    {.method = "Update", .unary = trust_update},
    {.method = "Leave", .unary = trust_leave},
};

RL_ANSWER(logout, rl_session_logout, Pb__LogoutRequest, Pb__LogoutResponse,
          pb__logout_response__descriptor)
RL_ANSWER_SLOWLY(change_password, rl_session_change_password, Pb__ChangePasswordRequest,
                 Pb__ChangePasswordResponse, pb__change_password_response__descriptor)
RL_ANSWER_PACKED(list_nodes, rl_listing_pack, Pb__ListNodesRequest)
RL_ANSWER(list_clusters, rl_session_list_clusters, Pb__ListClustersRequest,
          Pb__ListClustersResponse, pb__list_clusters_response__descriptor)
RL_ANSWER(authorities, rl_session_authorities, Pb__AuthoritiesRequest, Pb__TrustBundle,
          pb__trust_bundle__descriptor)

static const struct rl_rpc_handler session_handlers[] = {
    {.method = "Logout", .unary = logout},
    {.method = "ChangePassword", .unary = change_password},
    {.method = "ListNodes", .unary = list_nodes},
    {.method = "ListClusters", .unary = list_clusters},
    {.method = "Authorities", .unary = authorities},
};

RL_ANSWER(status, rl_admin_status, Pb__StatusRequest, Pb__StatusResponse,
          pb__status_response__descriptor)
RL_ANSWER(get_resources, rl_admin_get, Pb__GetResourcesRequest, Pb__GetResourcesResponse,
          pb__get_resources_response__descriptor)
RL_ANSWER(put_resource, rl_admin_put, Pb__PutResourceRequest, Pb__PutResourceResponse,
          pb__put_resource_response__descriptor)
RL_ANSWER(delete_resource, rl_admin_delete, Pb__DeleteResourceRequest, Pb__DeleteResourceResponse,
          pb__delete_resource_response__descriptor)
RL_ANSWER(add_user, rl_admin_add_user, Pb__AddUserRequest, Pb__InvitationIssued,
          pb__invitation_issued__descriptor)
RL_ANSWER(reset_user, rl_admin_reset_user, Pb__ResetUserRequest, Pb__InvitationIssued,
          pb__invitation_issued__descriptor)
RL_ANSWER(update_user, rl_admin_update_user, Pb__UpdateUserRequest, Pb__User, pb__user__descriptor)
RL_ANSWER(add_token, rl_admin_add_token, Pb__AddTokenRequest, Pb__AddTokenResponse,
          pb__add_token_response__descriptor)
RL_ANSWER(list_inventory, rl_admin_inventory, Pb__ListInventoryRequest, Pb__ListInventoryResponse,
          pb__list_inventory_response__descriptor)
RL_ANSWER(sign_user, rl_admin_sign_user, Pb__SignUserRequest, Pb__LoginResponse,
          pb__login_response__descriptor)
RL_ANSWER(rotate, rl_admin_rotate, Pb__RotateAuthoritiesRequest, Pb__RotateAuthoritiesResponse,
          pb__rotate_authorities_response__descriptor)

RL_ANSWER(list_checkpoints, rl_admin_list_checkpoints, Pb__ListCheckpointsRequest,
          Pb__ListCheckpointsResponse, pb__list_checkpoints_response__descriptor)

static const struct rl_rpc_handler admin_handlers[] = {
    {.method = "Status", .unary = status},
    {.method = "GetResources", .unary = get_resources},
    {.method = "PutResource", .unary = put_resource},
    {.method = "DeleteResource", .unary = delete_resource},
    {.method = "AddUser", .unary = add_user},
    {.method = "ResetUser", .unary = reset_user},
    {.method = "UpdateUser", .unary = update_user},
    {.method = "AddToken", .unary = add_token},
    {.method = "ListInventory", .unary = list_inventory},
    {.method = "SignUser", .unary = sign_user},
    {.method = "ListCheckpoints", .unary = list_checkpoints},
    {.method = "RotateAuthorities", .unary = rotate},
};

RL_ANSWER(heartbeat, rl_control_heartbeat, Pb__HeartbeatRequest, Pb__HeartbeatResponse,
          pb__heartbeat_response__descriptor)
RL_ANSWER(next_epoch, rl_control_next_epoch, Pb__NextEpochRequest, Pb__NextEpochResponse,
          pb__next_epoch_response__descriptor)
RL_ANSWER(report, rl_control_report, Pb__ReportAttachmentsRequest, Pb__ReportAttachmentsResponse,
          pb__report_attachments_response__descriptor)
RL_ANSWER(policy_for, rl_control_policy_for, Pb__PolicyForRequest, Pb__PolicyUpdate,
          pb__policy_update__descriptor)
RL_ANSWER(resolve, rl_control_resolve, Pb__ResolveTargetRequest, Pb__ResolveTargetResponse,
          pb__resolve_target_response__descriptor)
RL_ANSWER(decide, rl_control_decide, Pb__DecideRequest, Pb__DecideResponse,
          pb__decide_response__descriptor)

RL_ANSWER(sign_tombstones, rl_control_sign_tombstones, Pb__SignTombstonesRequest,
          Pb__SignTombstonesResponse, pb__sign_tombstones_response__descriptor)
RL_ANSWER(take_root_policy, rl_control_take_root_policy, Pb__TakeRootPolicyRequest,
          Pb__TakeRootPolicyResponse, pb__take_root_policy_response__descriptor)
RL_ANSWER(report_root, rl_control_report_root, Pb__ReportRootRequest, Pb__ReportRootResponse,
          pb__report_root_response__descriptor)

static const struct rl_rpc_handler control_handlers[] = {
    {.method = "Watch", .stream = &rl_hub_watch_ops},
    {.method = "Heartbeat", .unary = heartbeat},
    {.method = "NextEpoch", .unary = next_epoch},
    {.method = "ReportAttachments", .unary = report},
    {.method = "PolicyFor", .unary = policy_for},
    {.method = "ResolveTarget", .unary = resolve},
    {.method = "Decide", .unary = decide},
    {.method = "SignTombstones", .unary = sign_tombstones},
    {.method = "TakeRootPolicy", .unary = take_root_policy},
    {.method = "ReportRoot", .unary = report_root},
};

/* Fleet's context is the server: Renew wants auth, Follow the followers. */
static rl_code renew_typed(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                           const ProtobufCMessage *request, ProtobufCMessage *reply,
                           struct rl_error *err)
{
    return rl_auth_renew(auth, peer, (const Pb__RenewRequest *)request, (Pb__JoinResponse *)reply,
                         err);
}

static void renew(struct rl_rpc_call *call, const ProtobufCMessage *request, void *context)
{
    struct rl_auth_server *server = context;
    rl_answer(call, request, server->config.auth, &pb__join_response__descriptor, renew_typed);
}

static void follow_opened(struct rl_rpc_call *call, void *context)
{
    struct rl_auth_server *server = context;
    rl_follow_opened(server->config.follow, call);
}

static void follow_message(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    struct rl_auth_server *server = context;
    rl_follow_message(server->config.follow, call, (const Pb__AgentMessage *)message);
}

static void follow_closed(struct rl_rpc_call *call, rl_code code, const char *message,
                          void *context)
{
    (void)code;
    struct rl_auth_server *server = context;
    rl_follow_closed(server->config.follow, call, message);
}

static const struct rl_rpc_stream_ops follow_ops = {
    .message = follow_message,
    .closed = follow_closed,
};

static const struct rl_rpc_handler fleet_handlers[] = {
    {.method = "Renew", .unary = renew},
    {.method = "Follow", .stream = &follow_ops, .opened = follow_opened},
};

/* ---- listening ---- */

static rl_code authorize(void *context, const char *service, const char *method,
                         const struct rl_rpc_peer *peer, struct rl_error *err)
{
    const struct rl_auth *auth = context;
    return rl_access_check(auth->cluster, service, method, peer->identity, err);
}

static rl_code listen_h2(struct rl_auth_server *server, struct rl_error *err)
{
    static const char *const alpn[] = {"h2", NULL};
    const struct rl_auth_server_config *c = &server->config;
    const struct rl_tls_server_config tls = {
        .route = "auth",
        .identity = server->identity,
        .trust = server->public,
        .client = RL_TLS_CLIENT_OPTIONAL,
        .alpn = alpn,
        .allow_resumption = true,
    };
    const struct rl_rpc_server_config rpc = {
        .loop = c->loop,
        .workers = c->auth->workers,
        .authorize = authorize,
        .authorize_context = c->auth,
        .keepalive_ms = RL_RPC_HEARTBEAT_OVERDUE_MS,
        .keepalive_timeout_ms = RL_RPC_HEARTBEAT_TIMEOUT_MS,
    };
    rl_code rc = rl_tls_server_create(&tls, &server->tls, err);
    if (rc == RL_OK)
        rc = rl_rpc_server_create_h2(&rpc, &server->h2, err);
    if (rc != RL_OK)
        return rc;
    rl_rpc_server_add(server->h2, &pb__auth__descriptor, auth_handlers, RL_COUNT(auth_handlers),
                      c->auth);
    rl_rpc_server_add(server->h2, &pb__trust__descriptor, trust_handlers, RL_COUNT(trust_handlers),
                      c->auth);
    rl_rpc_server_add(server->h2, &pb__session__descriptor, session_handlers,
                      RL_COUNT(session_handlers), c->auth);
    rl_rpc_server_add(server->h2, &pb__admin__descriptor, admin_handlers, RL_COUNT(admin_handlers),
                      c->auth);
    rl_rpc_server_add(server->h2, &pb__fleet__descriptor, fleet_handlers, RL_COUNT(fleet_handlers),
                      server);
    struct rl_rpc_listen where = {.address = c->listen, .tls = server->tls};
    rc = rl_rpc_server_listen(server->h2, &where, &server->port, err);
    if (rc == RL_OK && c->proxied_listen) {
        where.address = c->proxied_listen;
        where.proxied_by = server->trust;
        rc = rl_rpc_server_listen(server->h2, &where, &server->proxied_port, err);
    }
    return rc;
}

static rl_code listen_grpc(struct rl_auth_server *server, struct rl_error *err)
{
    const struct rl_auth_server_config *c = &server->config;
    const struct rl_rpc_server_config rpc = {
        .loop = c->loop,
        .workers = c->auth->control_workers,
        .authorize = authorize,
        .authorize_context = c->auth,
    };
    rl_code rc = rl_rpc_server_create_grpc(&rpc, &server->grpc, err);
    if (rc != RL_OK)
        return rc;
    rl_rpc_server_add(server->grpc, &pb__control__descriptor, control_handlers,
                      RL_COUNT(control_handlers), c->auth);
    const struct rl_rpc_listen where = {
        .address = c->control_listen,
        .identity = server->identity,
        .trust = server->trust,
    };
    return rl_rpc_server_listen(server->grpc, &where, &server->control_port, err);
}

/* ---- session tickets: what other services are told, auth's own replicas derive ---- */

static rl_code use_tickets(struct rl_auth_server *server, int64_t now_s, struct rl_error *err)
{
    Pb__ControlUpdate *update = rl_message_create(&pb__control_update__descriptor);
    rl_code rc = rl_view_fill_tickets(server->config.auth, "auth", now_s, update, err);
    struct rl_span keys[RL_TICKET_KEYS];
    size_t n = 0;
    for (; rc == RL_OK && n < update->ticket_keys->n_keys; n++)
        keys[n] = RL_SPAN(update->ticket_keys->keys[n].data, update->ticket_keys->keys[n].len);
    if (rc == RL_OK)
        rc = rl_tls_server_set_ticket_keys(server->tls, keys, n, err);
    pb__control_update__free_unpacked(update, NULL);
    return rc;
}

static void on_tickets(void *context)
{
    struct rl_auth_server *server = context;
    int64_t now_s = rl_clock_wall_s();
    struct rl_error err;
    rl_timer_arm(server->tickets, TICKETS_LOOK_MS);
    if (now_s / RL_TICKET_PERIOD_S == server->tickets_hour)
        return;
    if (use_tickets(server, now_s, &err) == RL_OK)
        server->tickets_hour = now_s / RL_TICKET_PERIOD_S;
    else
        rl_log_error("no keys for session tickets", RL_TEXT("error", err.message));
}

/* ---- the certificate, and who is believed ---- */

struct renewal {
    struct rl_auth_server *server;
    bool is_due; /* the certificate has its age; else it is made anew for a new authority only */
    struct rl_tls_identity *held;
    struct rl_trust *believed;        /* what is used so far; NULL: nothing yet */
    struct rl_tls_identity *identity; /* NULL: the one that is held stays */
    struct rl_trust *trust, *public;
    rl_code rc;
    struct rl_error err;
};

static bool is_of(const struct rl_tls_identity *held, const struct rl_authority *issuer)
{
    bool is = X509_verify(rl_tls_identity_certificate(held), issuer->key) == 1;
    ERR_clear_error();
    return is;
}

static rl_code read_renewal(struct renewal *r, struct rl_error *err)
{
    const struct rl_auth *auth = r->server->config.auth;
    const struct rl_text_list *addresses = &auth->settings->addresses;
    struct rl_snapshot *snapshot = NULL;
    rl_code rc = rl_snapshots_current(auth->snapshots, &snapshot, err);
    if (rc == RL_OK && (r->is_due || !is_of(r->held, &snapshot->authorities->service)))
        rc = rl_issue_own(snapshot, auth->cluster, auth->id, addresses->items, addresses->count,
                          rl_clock_wall_ns(), &r->identity, err);
    if (rc == RL_OK)
        rc = rl_authorities_trust(snapshot->authorities, &r->trust, err);
    if (rc == RL_OK)
        rc = rl_peer_listeners_trust(snapshot, r->believed, &r->public, err);
    rl_snapshot_unref(&snapshot);
    return rc;
}

static void exchange(struct rl_trust **a, struct rl_trust **b)
{
    struct rl_trust *was = *a;
    *a = *b;
    *b = was;
}

/* What was in use goes with the renewal. */
static void take_renewal(struct renewal *r)
{
    struct rl_auth_server *server = r->server;
    if (r->identity) {
        struct rl_tls_identity *old = server->identity;
        server->identity = r->identity;
        r->identity = old;
        server->issued_ms = rl_loop_now_ms(server->config.loop);
    }
    exchange(&server->trust, &r->trust);
    exchange(&server->public, &r->public);
}

/* A connection is cut, or made anew, only for what has changed: each change of a root's policy
 * comes by here. */
static rl_code use_renewal(const struct renewal *r, struct rl_error *err)
{
    const struct rl_auth_server *server = r->server;
    bool believes_others = !rl_trust_is_same(server->public, r->public);
    rl_code rc = RL_OK;
    if (r->identity || believes_others)
        rc = rl_tls_server_reload(server->tls, r->identity, r->public, err);
    if (rc == RL_OK && believes_others)
        rl_rpc_server_end_strangers(server->h2, r->public,
                                    "your cluster is not trusted here any more");
    return rc;
}

static bool has_changed_within(const struct renewal *r)
{
    return r->identity || !rl_trust_is_same(r->server->trust, r->trust);
}

static rl_code use_renewal_within(const struct renewal *r, struct rl_error *err)
{
    return rl_rpc_server_reload_grpc(
        r->server->grpc, r->identity ? r->identity : r->server->identity, r->trust, err);
}

static uint64_t until_due_ms(const struct rl_auth_server *server)
{
    uint64_t age_ms = rl_loop_now_ms(server->config.loop) - server->issued_ms;
    return age_ms < RENEW_MS ? RENEW_MS - age_ms : 0;
}

static void fini_renewal(struct renewal *r)
{
    rl_tls_identity_unref(&r->held);
    rl_tls_identity_unref(&r->identity);
    rl_trust_unref(&r->believed);
    rl_trust_unref(&r->trust);
    rl_trust_unref(&r->public);
}

static void finish_renewal(void *context)
{
    struct renewal *r = context;
    struct rl_auth_server *server = r->server;
    server->is_renewing = false;
    bool is_changed_within = r->rc == RL_OK && has_changed_within(r);
    if (r->rc == RL_OK)
        r->rc = use_renewal(r, &r->err);
    if (is_changed_within && r->rc == RL_OK)
        r->rc = use_renewal_within(r, &r->err);
    if (r->rc == RL_OK) {
        take_renewal(r);
        if (is_changed_within && server->config.renewed)
            server->config.renewed(server->config.context);
    } else {
        rl_log_error("auth's own certificate was not renewed", RL_TEXT("error", r->err.message));
    }
    if (!rl_timer_is_armed(server->renewal) || r->rc != RL_OK)
        rl_timer_arm(server->renewal, r->rc == RL_OK ? until_due_ms(server) : RENEW_RETRY_MS);
    fini_renewal(r);
    free(r);
}

static void run_renewal(void *context)
{
    struct renewal *r = context;
    r->rc = read_renewal(r, &r->err);
    rl_loop_post(r->server->config.loop, finish_renewal, r);
}

static void on_renewal(void *context)
{
    struct rl_auth_server *server = context;
    if (server->is_renewing) {
        rl_timer_arm(server->renewal, RENEW_RETRY_SOON_MS); /* something changed since it began */
        return;
    }
    struct renewal *r = rl_alloc(sizeof *r);
    r->server = server;
    r->is_due = until_due_ms(server) == 0;
    r->held = rl_tls_identity_ref(server->identity);
    r->believed = rl_trust_ref(server->public);
    server->is_renewing = true;
    if (rl_workers_submit(server->config.auth->workers, run_renewal, r, NULL) == RL_OK)
        return;
    server->is_renewing = false;
    fini_renewal(r);
    free(r);
    rl_timer_arm(server->renewal, RENEW_RETRY_MS);
}

static rl_code begin_with_certificate(struct rl_auth_server *server, struct rl_error *err)
{
    struct renewal first = {.server = server, .is_due = true};
    rl_code rc = read_renewal(&first, err);
    if (rc == RL_OK)
        take_renewal(&first);
    fini_renewal(&first);
    return rc;
}

/* ---- life ---- */

rl_code rl_auth_server_create(const struct rl_auth_server_config *config,
                              struct rl_auth_server **out, struct rl_error *err)
{
    struct rl_auth_server *server = rl_alloc(sizeof *server);
    server->config = *config;
    server->renewal = rl_timer_create(config->loop, on_renewal, server);
    server->tickets = rl_timer_create(config->loop, on_tickets, server);
    rl_code rc = begin_with_certificate(server, err);
    if (rc == RL_OK)
        rc = listen_h2(server, err);
    if (rc == RL_OK)
        rc = listen_grpc(server, err);
    if (rc != RL_OK) {
        rl_auth_server_free(&server);
        return rc;
    }
    rl_timer_arm(server->renewal, RENEW_MS);
    on_tickets(server);
    *out = server;
    return RL_OK;
}

void rl_auth_server_renew(struct rl_auth_server *server)
{
    if (!server->draining)
        rl_timer_arm(server->renewal, 0);
}

static void on_drained(void *context)
{
    struct rl_auth_server *server = context;
    if (--server->draining == 0)
        server->drained(server->drained_context);
}

void rl_auth_server_drain(struct rl_auth_server *server, uint32_t grace_ms,
                          void (*drained)(void *context), void *context)
{
    rl_timer_disarm(server->renewal);
    server->drained = drained;
    server->drained_context = context;
    server->draining = 2;
    rl_rpc_server_drain(server->h2, grace_ms, on_drained, server);
    rl_rpc_server_drain(server->grpc, grace_ms, on_drained, server);
}

void rl_auth_server_free(struct rl_auth_server **server)
{
    struct rl_auth_server *s = *server;
    if (!s)
        return;
    while (s->is_renewing)
        rl_loop_turn(s->config.loop, 10);
    if (s->h2)
        rl_rpc_server_free(&s->h2);
    if (s->grpc)
        rl_rpc_server_free(&s->grpc);
    rl_tls_server_unref(&s->tls);
    rl_tls_identity_unref(&s->identity);
    rl_trust_unref(&s->trust);
    rl_trust_unref(&s->public);
    rl_timer_free(&s->renewal);
    rl_timer_free(&s->tickets);
    free(s);
    *server = NULL;
}

uint16_t rl_auth_server_port(const struct rl_auth_server *server)
{
    return server->port;
}

uint16_t rl_auth_server_proxied_port(const struct rl_auth_server *server)
{
    return server->proxied_port;
}

uint16_t rl_auth_server_control_port(const struct rl_auth_server *server)
{
    return server->control_port;
}

struct rl_tls_identity *rl_auth_server_identity(const struct rl_auth_server *server)
{
    return server->identity;
}

struct rl_trust *rl_auth_server_trust(const struct rl_auth_server *server)
{
    return server->trust;
}
