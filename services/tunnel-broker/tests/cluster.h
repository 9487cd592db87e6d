/* cluster: a broker between a fake auth, agents and a proxy, all on one loop, over real TLS on
 * loopback. */
#ifndef BROKER_TESTS_CLUSTER_H
#define BROKER_TESTS_CLUSTER_H

#include "../broker.h"

#include "clock/clock.h"
#include "dial/dial.h"
#include "identity/tests/authority.h"
#include "log/log.h"
#include "names/names.h"
#include "tunnel/tunnel.h"
#include "tunnel_rpc/tunnel_rpc.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BROKER_ID "0190c0de-0000-7000-8000-0000000000b0"
#define PATIENCE_MS 20000

struct fake_auth {
    struct rl_rpc_server *server;
    char address[64];
    struct rl_rpc_call *watch;
    uint64_t epoch;
    bool refuses_epochs, is_older; /* older: it answers for one agent at a time */
    size_t epochs_at_once;         /* the most */
    int attached, detached, completes, policies;
    size_t all_count;
    bool had_hello;
    char last_detached[64], last_reason[256];
    rl_code verdict;    /* for every report of an attachment */
    bool calls_current; /* the policies that agents hold */
    uint64_t policy_held;
    uint8_t policy_nonce;
    char last_epoch_for[320], last_policy_for[320];
    /* as the auth of a leaf: */
    int resolved, taken, reports;
    bool is_resolve_away;
    char resolved_kind[16], resolved_target[64], resolved_user[128];
    const char *mode; /* of the node; and where it is said to be: */
    char node_address[64], holder[64];
    bool is_online;
    rl_code take_code;
    uint64_t takes_version;
    bool is_root_attached; /* as was reported last */
    rl_code root_code;
    char root_message[256];
    bool holds_reports; /* the last one waits for its answer */
    struct rl_rpc_call *held_report;
};

struct cluster {
    struct rl_loop *loop;
    struct authority services, agents;
    struct authority leaf_services, root_services, root_users; /* of other clusters */
    struct rl_trust *trust, *listener_trust;
    struct rl_tls_identity *auth_id, *broker_id, *proxy_id;
    struct rl_tls_server *auth_tls, *broker_tls;
    struct rl_tls_client *to_auth, *to_broker;
    struct fake_auth auth;
    struct rl_rpc_channel *control_channel;
    struct rl_control *control;
    struct broker *broker;
    char dial_address[64], attach_address[64];
    struct rl_rpc_channel *proxy; /* dials at the broker */
    bool is_drained;
};

#define TURN_UNTIL(c, claim)                                                                       \
    do {                                                                                           \
        uint64_t until_ = rl_clock_boot_ms() + PATIENCE_MS;                                        \
        while (!(claim)) {                                                                         \
            ck_assert_msg(rl_clock_boot_ms() < until_, "waited in vain for: %s", #claim);          \
            rl_loop_turn((c)->loop, 20);                                                           \
        }                                                                                          \
    } while (0)

static inline int64_t cluster_now_s(void *context)
{
    (void)context;
    return NOW_S;
}

static inline void turn_for(struct cluster *c, uint64_t ms)
{
    for (uint64_t until = rl_clock_boot_ms() + ms; rl_clock_boot_ms() < until;)
        rl_loop_turn(c->loop, 5);
}

/* ---- the fake auth ---- */

static inline void auth_say(struct cluster *c, const Pb__ControlUpdate *update)
{
    ck_assert_int_eq(rl_rpc_send(c->auth.watch, &update->base, NULL), RL_OK);
}

static inline ProtobufCBinaryData der_of(const struct authority *a, struct rl_buf *room)
{
    rl_buf_init(room, 65536);
    ck_assert_int_eq(rl_x509_to_der(a->ca, room, NULL), RL_OK);
    return (ProtobufCBinaryData){room->n, room->p};
}

/* Auth's list of other clusters: at most one leaf and one root. `leaf`: by these authorities; NULL:
 * none. `root_proxy`: where the root is; NULL: there is none. */
static inline void auth_say_clusters(struct cluster *c, const struct authority *leaf,
                                     const char *root_proxy)
{
    struct rl_buf room[3];
    Pb__TrustBundle theirs = PB__TRUST_BUNDLE__INIT, roots = PB__TRUST_BUNDLE__INIT;
    Pb__PeerCluster a = PB__PEER_CLUSTER__INIT, b = PB__PEER_CLUSTER__INIT, *list[2];
    Pb__ControlUpdate update = PB__CONTROL_UPDATE__INIT;
    ProtobufCBinaryData leaf_ca = der_of(leaf ? leaf : &c->leaf_services, &room[0]);
    ProtobufCBinaryData root_ca = der_of(&c->root_services, &room[1]);
    ProtobufCBinaryData user_ca = der_of(&c->root_users, &room[2]);
    uint8_t nonce[16] = {5};
    a.name = theirs.cluster = (char *)(uintptr_t) "leaf";
    a.trust = &theirs;
    theirs.service_cas = &leaf_ca;
    theirs.n_service_cas = 1;
    b.name = roots.cluster = (char *)(uintptr_t) "root";
    b.is_root = true;
    b.trust = &roots;
    b.proxy = (char *)(uintptr_t)root_proxy;
    b.policy_nonce = (ProtobufCBinaryData){sizeof nonce, nonce};
    roots.service_cas = &root_ca;
    roots.user_cas = &user_ca;
    roots.n_service_cas = roots.n_user_cas = 1;
    if (leaf)
        list[update.n_clusters++] = &a;
    if (root_proxy)
        list[update.n_clusters++] = &b;
    update.clusters = list;
    update.clusters_changed = true;
    auth_say(c, &update);
    for (size_t i = 0; i < RL_COUNT(room); i++)
        rl_buf_fini(&room[i]);
}

static inline rl_code auth_authorize(void *context, const char *service, const char *method,
                                     const struct rl_rpc_peer *peer, struct rl_error *err)
{
    (void)context;
    (void)service;
    (void)method;
    return rl_identity_is_service(peer->identity, "broker")
               ? RL_OK
               : rl_fail(err, RL_E_DENIED, "only brokers here");
}

static inline void auth_on_watch(struct rl_rpc_call *call, const ProtobufCMessage *message,
                                 void *context)
{
    (void)message;
    struct cluster *c = context;
    c->auth.watch = call;
    Pb__SignedStatement statement = PB__SIGNED_STATEMENT__INIT;
    statement.key_id = (char *)(uintptr_t) "first";
    Pb__ControlUpdate update = PB__CONTROL_UPDATE__INIT;
    update.revision = 1;
    update.statement = &statement;
    auth_say(c, &update);
}

static inline void auth_keep_open(struct rl_rpc_call *call, void *context)
{
    (void)call;
    (void)context;
}

static inline void auth_watch_closed(struct rl_rpc_call *call, rl_code code, const char *message,
                                     void *context)
{
    (void)code;
    (void)message;
    struct cluster *c = context;
    if (c->auth.watch == call)
        c->auth.watch = NULL;
}

static inline void auth_heartbeat(struct rl_rpc_call *call, const ProtobufCMessage *request,
                                  void *context)
{
    (void)request;
    (void)context;
    Pb__HeartbeatResponse reply = PB__HEARTBEAT_RESPONSE__INIT;
    rl_rpc_reply(call, &reply.base);
}

static inline void auth_next_epoch(struct rl_rpc_call *call, const ProtobufCMessage *request,
                                   void *context)
{
    struct cluster *c = context;
    const Pb__NextEpochRequest *r = (const Pb__NextEpochRequest *)request;
    ck_assert(rl_name_is_uuid(r->broker_id));
    snprintf(c->auth.last_epoch_for, sizeof c->auth.last_epoch_for, "%s", r->agent_id);
    if (c->auth.refuses_epochs) {
        struct rl_error err;
        rl_fail(&err, RL_E_DENIED, "this agent is stopped");
        rl_rpc_fail(call, &err);
        return;
    }
    Pb__NextEpochResponse reply = PB__NEXT_EPOCH_RESPONSE__INIT;
    Pb__EpochOffer offers[BROKER_EPOCHS_MAX], *list[BROKER_EPOCHS_MAX];
    ck_assert_uint_le(r->n_agent_ids, BROKER_EPOCHS_MAX);
    for (size_t i = 0; !c->auth.is_older && i < r->n_agent_ids; i++) {
        pb__epoch_offer__init(&offers[i]);
        offers[i].epoch = ++c->auth.epoch;
        list[i] = &offers[i];
        reply.n_offers++;
    }
    reply.offers = list;
    if (reply.n_offers > c->auth.epochs_at_once)
        c->auth.epochs_at_once = reply.n_offers;
    if (!reply.n_offers)
        reply.epoch = ++c->auth.epoch;
    rl_rpc_reply(call, &reply.base);
}

static inline void auth_note(struct fake_auth *auth, const Pb__AttachmentReport *report)
{
    if (report->attached) {
        auth->attached++;
        auth->had_hello = report->hello && report->hello->hello.len && report->hello->signature.len;
    } else {
        auth->detached++;
        snprintf(auth->last_detached, sizeof auth->last_detached, "%s", report->agent_id);
        snprintf(auth->last_reason, sizeof auth->last_reason, "%s", report->reason);
    }
}

static inline void auth_report(struct rl_rpc_call *call, const ProtobufCMessage *request,
                               void *context)
{
    struct cluster *c = context;
    const Pb__ReportAttachmentsRequest *r = (const Pb__ReportAttachmentsRequest *)request;
    Pb__ReportAttachmentsResponse reply = PB__REPORT_ATTACHMENTS_RESPONSE__INIT;
    Pb__AttachmentVerdict verdict = PB__ATTACHMENT_VERDICT__INIT, *verdicts[1] = {&verdict};
    ck_assert_uint_le(r->n_reports, BROKER_REPORT_MAX);
    for (size_t i = 0; i < r->n_reports; i++) {
        auth_note(&c->auth, r->reports[i]);
        if ((c->auth.verdict != RL_OK || c->auth.calls_current) && r->reports[i]->attached) {
            verdict.policy_is_current = c->auth.calls_current;
            verdict.agent_id = r->reports[i]->agent_id;
            verdict.epoch = r->reports[i]->epoch;
            verdict.code = (uint32_t)c->auth.verdict;
            verdict.message = (char *)(uintptr_t) "the hello was not signed by this agent";
            reply.verdicts = verdicts;
            reply.n_verdicts = 1;
        }
    }
    if (r->is_complete) {
        c->auth.completes++;
        c->auth.all_count = r->n_all_agents;
    }
    rl_rpc_reply(call, &reply.base);
}

static inline void auth_policy(struct rl_rpc_call *call, const ProtobufCMessage *request,
                               void *context)
{
    struct cluster *c = context;
    const Pb__PolicyForRequest *r = (const Pb__PolicyForRequest *)request;
    c->auth.policies++;
    snprintf(c->auth.last_policy_for, sizeof c->auth.last_policy_for, "%s", r->agent_id);
    c->auth.policy_held = r->held_version;
    c->auth.policy_nonce = r->nonce.len ? r->nonce.data[0] : 0;
    Pb__SignedPolicySeal seal = PB__SIGNED_POLICY_SEAL__INIT;
    Pb__PolicyUpdate reply = PB__POLICY_UPDATE__INIT;
    reply.seal = &seal;
    reply.is_snapshot = true;
    rl_rpc_reply(call, &reply.base);
}

static inline void auth_resolve(struct rl_rpc_call *call, const ProtobufCMessage *request,
                                void *context)
{
    struct fake_auth *auth = &((struct cluster *)context)->auth;
    const Pb__ResolveTargetRequest *r = (const Pb__ResolveTargetRequest *)request;
    struct rl_error err;
    auth->resolved++;
    snprintf(auth->resolved_kind, sizeof auth->resolved_kind, "%s", r->kind);
    snprintf(auth->resolved_target, sizeof auth->resolved_target, "%s", r->target);
    snprintf(auth->resolved_user, sizeof auth->resolved_user, "%s@%s", r->caller->user,
             r->caller->cluster);
    if (auth->is_resolve_away || strcmp(r->target, "node-a") != 0) {
        rl_fail(&err, auth->is_resolve_away ? RL_E_UNAVAILABLE : RL_E_NOT_FOUND, "no such node");
        rl_rpc_fail(call, &err);
        return;
    }
    char *holders[] = {auth->holder};
    Pb__ResolveTargetResponse reply = PB__RESOLVE_TARGET_RESPONSE__INIT;
    reply.agent_id = (char *)(uintptr_t)UUID_A;
    reply.name = (char *)(uintptr_t) "node-a";
    reply.mode = (char *)(uintptr_t)(auth->mode ? auth->mode : "tunnel");
    reply.address = auth->node_address;
    reply.is_online = auth->is_online;
    reply.last_seen_ns = (NOW_S - 60) * 1000000000ll;
    reply.broker_ids = holders;
    reply.n_broker_ids = auth->holder[0] != '\0';
    rl_rpc_reply(call, &reply.base);
}

static inline void auth_take_policy(struct rl_rpc_call *call, const ProtobufCMessage *request,
                                    void *context)
{
    struct fake_auth *auth = &((struct cluster *)context)->auth;
    const Pb__TakeRootPolicyRequest *r = (const Pb__TakeRootPolicyRequest *)request;
    struct rl_error err;
    auth->taken++;
    ck_assert_str_eq(r->root, "root");
    ck_assert_ptr_nonnull(r->update);
    if (auth->take_code != RL_OK) {
        rl_fail(&err, auth->take_code, "not now");
        rl_rpc_fail(call, &err);
        return;
    }
    uint8_t hash[32] = {9};
    Pb__TakeRootPolicyResponse reply = PB__TAKE_ROOT_POLICY_RESPONSE__INIT;
    reply.version = auth->takes_version;
    reply.sha256 = (ProtobufCBinaryData){sizeof hash, hash};
    rl_rpc_reply(call, &reply.base);
}

static inline void auth_report_root(struct rl_rpc_call *call, const ProtobufCMessage *request,
                                    void *context)
{
    struct fake_auth *auth = &((struct cluster *)context)->auth;
    const Pb__ReportRootRequest *r = (const Pb__ReportRootRequest *)request;
    Pb__ReportRootResponse reply = PB__REPORT_ROOT_RESPONSE__INIT;
    auth->reports++;
    auth->is_root_attached = r->is_attached;
    auth->root_code = (rl_code)r->code;
    snprintf(auth->root_message, sizeof auth->root_message, "%s", r->message);
    if (auth->holds_reports)
        auth->held_report = call;
    else
        rl_rpc_reply(call, &reply.base);
}

static inline void auth_nothing(struct rl_rpc_call *call, const ProtobufCMessage *request,
                                void *context)
{
    (void)request;
    (void)context;
    struct rl_error err;
    rl_fail(&err, RL_E_UNIMPLEMENTED, "not here");
    rl_rpc_fail(call, &err);
}

static inline void auth_start(struct cluster *c)
{
    static const struct rl_rpc_stream_ops watch = {
        .message = auth_on_watch, .half_closed = auth_keep_open, .closed = auth_watch_closed};
    static const struct rl_rpc_handler handlers[] = {
        {.method = "Watch", .stream = &watch},
        {.method = "Heartbeat", .unary = auth_heartbeat},
        {.method = "NextEpoch", .unary = auth_next_epoch},
        {.method = "ReportAttachments", .unary = auth_report},
        {.method = "PolicyFor", .unary = auth_policy},
        {.method = "ResolveTarget", .unary = auth_resolve},
        {.method = "Decide", .unary = auth_nothing},
        {.method = "TakeRootPolicy", .unary = auth_take_policy},
        {.method = "ReportRoot", .unary = auth_report_root},
        {.method = "SignTombstones", .unary = auth_nothing},
    };
    struct rl_rpc_server_config config = {
        .loop = c->loop, .authorize = auth_authorize, .now_s = cluster_now_s};
    ck_assert_int_eq(rl_rpc_server_create_h2(&config, &c->auth.server, NULL), RL_OK);
    rl_rpc_server_add(c->auth.server, &pb__control__descriptor, handlers, RL_COUNT(handlers), c);
    uint16_t port = 0;
    struct rl_rpc_listen listen = {.address = c->auth.address[0] ? c->auth.address : "127.0.0.1:0",
                                   .tls = c->auth_tls};
    struct rl_error err;
    ck_assert_msg(rl_rpc_server_listen(c->auth.server, &listen, &port, &err) == RL_OK, "%s",
                  err.message);
    snprintf(c->auth.address, sizeof c->auth.address, "127.0.0.1:%u", port);
}

/* ---- certificates ---- */

static inline struct rl_tls_identity *identity_of(X509 *leaf, EVP_PKEY *key)
{
    struct rl_buf der;
    rl_buf_init(&der, 65536);
    ck_assert_int_eq(rl_x509_to_der(leaf, &der, NULL), RL_OK);
    struct rl_tls_identity *identity = NULL;
    ck_assert_int_eq(
        rl_tls_identity_create((struct rl_span[]){rl_buf_span(&der)}, 1, key, &identity, NULL),
        RL_OK);
    rl_buf_fini(&der);
    X509_free(leaf);
    EVP_PKEY_free(key);
    return identity;
}

static inline struct rl_tls_identity *identity_by(const struct authority *a, const char *service,
                                                  const char *id)
{
    EVP_PKEY *key = fresh_key();
    return identity_of(authority_issue(a, id, service, key), key);
}

static inline struct rl_tls_identity *service_identity(struct cluster *c, const char *service,
                                                       const char *id)
{
    return identity_by(&c->services, service, id);
}

static inline struct rl_tls_identity *agent_identity(struct cluster *c, const char *id,
                                                     const char *kind)
{
    EVP_PKEY *key = fresh_key();
    char *kinds[1] = {(char *)(uintptr_t)kind};
    Pb__IdentityClaims claims = PB__IDENTITY_CLAIMS__INIT;
    claims.format = 1;
    claims.cluster = (char *)(uintptr_t) "main";
    claims.n_agent_kinds = 1;
    claims.agent_kinds = kinds;
    struct rl_identity_request request = {.kind = RL_IDENTITY_AGENT,
                                          .cluster = "main",
                                          .name = id,
                                          .subject = key,
                                          .claims = &claims,
                                          .now_s = NOW_S,
                                          .ttl_s = 3600};
    X509 *leaf = NULL;
    struct rl_error err;
    ck_assert_msg(rl_identity_issue(&request, c->agents.ca, c->agents.key, &leaf, &err) == RL_OK,
                  "%s", err.message);
    return identity_of(leaf, key);
}

static inline struct rl_tls_server *tls_server_for(struct rl_trust *trust,
                                                   struct rl_tls_identity *identity)
{
    static const char *const alpn[] = {"h2", NULL};
    struct rl_tls_server_config config = {.route = "test",
                                          .identity = identity,
                                          .trust = trust,
                                          .client = RL_TLS_CLIENT_REQUIRED,
                                          .alpn = alpn,
                                          .now_s = cluster_now_s};
    struct rl_tls_server *server = NULL;
    ck_assert_int_eq(rl_tls_server_create(&config, &server, NULL), RL_OK);
    return server;
}

static inline struct rl_tls_server *tls_server(struct cluster *c, struct rl_tls_identity *identity)
{
    return tls_server_for(c->trust, identity);
}

static inline struct rl_tls_client *tls_client(struct cluster *c, struct rl_tls_identity *identity,
                                               const char *peer)
{
    struct rl_tls_client_config config = {.identity = identity,
                                          .trust = c->trust,
                                          .alpn = "h2",
                                          .peer_kind = RL_IDENTITY_SERVICE,
                                          .peer_service = peer,
                                          .now_s = cluster_now_s};
    struct rl_tls_client *client = NULL;
    ck_assert_int_eq(rl_tls_client_create(&config, &client, NULL), RL_OK);
    return client;
}

static inline struct rl_rpc_channel *channel(struct cluster *c, const char *address,
                                             struct rl_tls_client *tls)
{
    struct rl_rpc_channel_config config = {
        .loop = c->loop, .address = address, .tls = tls, .now_s = cluster_now_s};
    struct rl_rpc_channel *out = NULL;
    ck_assert_int_eq(rl_rpc_channel_create_h2(&config, &out, NULL), RL_OK);
    return out;
}

/* ---- the whole ---- */

static inline void on_control_changed(void *context, unsigned what)
{
    broker_control_changed(((struct cluster *)context)->broker, what);
}

static inline void on_control_line(void *context, const char *message)
{
    broker_control_line(((struct cluster *)context)->broker, message);
}

static inline void cluster_make_tls(struct cluster *c)
{
    c->services = authority_make(RL_IDENTITY_SERVICE, "main");
    c->agents = authority_make(RL_IDENTITY_AGENT, "main");
    c->leaf_services = authority_make(RL_IDENTITY_SERVICE, "leaf");
    c->root_services = authority_make(RL_IDENTITY_SERVICE, "root");
    c->root_users = authority_make(RL_IDENTITY_USER, "root");
    c->trust = rl_trust_create("main");
    c->listener_trust = rl_trust_create("main");
    struct rl_trust *both[] = {c->trust, c->listener_trust};
    for (size_t i = 0; i < RL_COUNT(both); i++) {
        authority_trust(both[i], RL_IDENTITY_SERVICE, "main", c->services.ca, NULL);
        authority_trust(both[i], RL_IDENTITY_AGENT, "main", c->agents.ca, NULL);
    }
    authority_trust(c->listener_trust, RL_IDENTITY_SERVICE, "leaf", c->leaf_services.ca, NULL);
    c->auth_id = service_identity(c, "auth", UUID_A);
    c->broker_id = service_identity(c, "broker", BROKER_ID);
    c->proxy_id = service_identity(c, "proxy", UUID_B);
    c->auth_tls = tls_server(c, c->auth_id);
    c->broker_tls = tls_server_for(c->listener_trust, c->broker_id);
    c->to_auth = tls_client(c, c->broker_id, "auth");
    c->to_broker = tls_client(c, c->proxy_id, "broker");
}

static inline void cluster_make_broker(struct cluster *c)
{
    struct broker_config config = {.loop = c->loop,
                                   .cluster = "main",
                                   .id = BROKER_ID,
                                   .agents_max = 10,
                                   .attach_rate = 5,
                                   .stream_window_bytes = 262144,
                                   .now_s = cluster_now_s};
    ck_assert_int_eq(broker_create(&config, &c->broker, NULL), RL_OK);
    uint16_t port = 0;
    ck_assert_int_eq(broker_listen_dial(c->broker, "127.0.0.1:0", c->broker_tls, &port, NULL),
                     RL_OK);
    snprintf(c->dial_address, sizeof c->dial_address, "127.0.0.1:%u", port);
    ck_assert_int_eq(
        broker_listen_attach(c->broker, "127.0.0.1:0", c->broker_tls, NULL, &port, NULL), RL_OK);
    snprintf(c->attach_address, sizeof c->attach_address, "127.0.0.1:%u", port);
}

static inline struct cluster *cluster_make(void)
{
    rl_log_setup("test", RL_LOG_ERROR, true);
    struct cluster *c = rl_alloc(sizeof *c);
    ck_assert_int_eq(rl_loop_create(&c->loop, NULL), RL_OK);
    cluster_make_tls(c);
    auth_start(c);
    c->control_channel = channel(c, c->auth.address, c->to_auth);
    cluster_make_broker(c);
    struct rl_control_config control = {.loop = c->loop,
                                        .channel = c->control_channel,
                                        .kind = "broker",
                                        .id = BROKER_ID,
                                        .changed = on_control_changed,
                                        .line = on_control_line,
                                        .context = c};
    c->control = rl_control_create(&control);
    broker_set_control(c->broker, c->control);
    broker_identify(c->broker, c->broker_id, c->trust);
    c->proxy = channel(c, c->dial_address, c->to_broker);
    TURN_UNTIL(c, rl_control_is_up(c->control));
    return c;
}

static inline void cluster_free(struct cluster *c)
{
    rl_rpc_channel_free(&c->proxy);
    broker_free(&c->broker);
    rl_control_free(&c->control);
    rl_rpc_channel_free(&c->control_channel);
    rl_rpc_server_free(&c->auth.server);
    rl_tls_client_unref(&c->to_auth);
    rl_tls_client_unref(&c->to_broker);
    rl_tls_server_unref(&c->auth_tls);
    rl_tls_server_unref(&c->broker_tls);
    rl_tls_identity_unref(&c->auth_id);
    rl_tls_identity_unref(&c->broker_id);
    rl_tls_identity_unref(&c->proxy_id);
    rl_trust_unref(&c->trust);
    rl_trust_unref(&c->listener_trust);
    authority_free(&c->leaf_services);
    authority_free(&c->root_services);
    authority_free(&c->root_users);
    authority_free(&c->services);
    authority_free(&c->agents);
    rl_loop_free(&c->loop);
    free(c);
}

#endif
