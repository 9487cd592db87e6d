/* cluster: a proxy between a fake auth, a fake broker and users, all on one loop, over real TLS on
 * loopback. The fake broker answers a Dial itself, as a node would. */
#ifndef PROXY_TESTS_CLUSTER_H
#define PROXY_TESTS_CLUSTER_H

#include "../proxy.h"

#include "clock/clock.h"
#include "identity/tests/authority.h"
#include "log/log.h"
#include "tunnel/tunnel.h"
#include "tunnel_rpc/tunnel_rpc.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define NODE_ID "0190c0de-0000-7000-8000-000000000001"
#define BROKER_ID "0190c0de-0000-7000-8000-0000000000b0"
#define OTHER_BROKER_ID "0190c0de-0000-7000-8000-0000000000b1"
#define ROOT "root.example"
#define PATIENCE_MS 20000

#define TURN_UNTIL(c, claim)                                                                       \
    do {                                                                                           \
        uint64_t until_ = rl_clock_boot_ms() + PATIENCE_MS;                                        \
        while (!(claim)) {                                                                         \
            ck_assert_msg(rl_clock_boot_ms() < until_, "waited in vain for: %s", #claim);          \
            rl_loop_turn((c)->loop, 20);                                                           \
        }                                                                                          \
    } while (0)

struct cluster;

/* A broker, or a direct node: a Dial is answered at once, or refused. */
struct fake_far {
    struct cluster *cluster;
    struct rl_rpc_server *server;
    struct rl_tls_server *tls;
    struct rl_tls_identity *identity;
    char address[64];
    bool has_node, is_mute;
    int dials, closed;
    char ticket_client[64], ticket_session[64], ticket_agent[64];
    char ticket_kind[16], ticket_target[64];
    size_t ticket_fingerprint;
    bool has_certificate; /* the user's, in the ticket, with that fingerprint */
    rl_code refusal;      /* what a leaf says, instead of coming */
    struct rl_tunnel_end *end;
    int fd; /* the node's program */
    rl_code code;
    char message[256];
};

struct cluster {
    struct rl_loop *loop;
    struct authority services, agents, users, root_users;
    struct rl_trust *trust;
    struct rl_trust *users_trust; /* and the users of ROOT */
    struct rl_tls_identity *auth_id, *proxy_id;
    struct rl_tls_server *auth_tls;
    struct rl_tls_client *to_auth;
    struct rl_rpc_server *auth, *proxied_auth;
    char auth_address[64], proxied_address[64], address[64];
    uint16_t port;
    struct rl_rpc_call *watch;
    struct rl_rpc_channel *control_channel;
    struct rl_control *control;
    struct proxy *proxy;
    struct fake_far broker, other, node;
    bool is_drained;
    struct rl_text_list balancers;
    /* what auth answers */
    const char *mode;
    bool is_online, knows_holder, is_away;
    int64_t last_seen_ns;
    int resolved;
    char resolved_client[64], resolved_cluster[64], seen_address[64];
};

static int64_t cluster_skew_s;

static inline int64_t cluster_now_s(void *context)
{
    (void)context;
    return NOW_S + cluster_skew_s;
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

static inline struct rl_tls_identity *issue(const struct authority *a, const char *name,
                                            const char *service)
{
    EVP_PKEY *key = fresh_key();
    return identity_of(authority_issue(a, name, service, key), key);
}

static inline struct rl_tls_identity *user_identity_by(const struct authority *by, const char *name,
                                                       const char *role, const char *target)
{
    EVP_PKEY *key = fresh_key();
    char *roles[1] = {(char *)(uintptr_t)role};
    Pb__IdentityClaims claims = PB__IDENTITY_CLAIMS__INIT;
    claims.format = 1;
    claims.cluster = (char *)(uintptr_t)by->cluster;
    claims.user = (char *)(uintptr_t)name;
    claims.roles = roles;
    claims.n_roles = 1;
    claims.target = (char *)(uintptr_t)target;
    claims.issued_at_ns = NOW_S * 1000000000ll;
    struct rl_identity_request request = {.kind = RL_IDENTITY_USER,
                                          .cluster = by->cluster,
                                          .name = name,
                                          .subject = key,
                                          .claims = &claims,
                                          .now_s = NOW_S,
                                          .ttl_s = 600};
    X509 *leaf = NULL;
    ck_assert_int_eq(rl_identity_issue(&request, by->ca, by->key, &leaf, NULL), RL_OK);
    return identity_of(leaf, key);
}

static inline struct rl_tls_identity *user_identity(struct cluster *c, const char *name,
                                                    const char *role, const char *target)
{
    return user_identity_by(&c->users, name, role, target);
}

static inline struct rl_tls_server *tls_server(struct cluster *c, struct rl_tls_identity *identity)
{
    static const char *const alpn[] = {"h2", NULL};
    struct rl_tls_server_config config = {.route = "test",
                                          .identity = identity,
                                          .trust = c->trust,
                                          .client = RL_TLS_CLIENT_REQUIRED,
                                          .alpn = alpn,
                                          .now_s = cluster_now_s};
    struct rl_tls_server *server = NULL;
    ck_assert_int_eq(rl_tls_server_create(&config, &server, NULL), RL_OK);
    return server;
}

static inline struct rl_tls_client *tls_client(struct cluster *c, struct rl_tls_identity *identity,
                                               const char *alpn, const char *sni, const char *peer)
{
    struct rl_tls_client_config config = {.identity = identity,
                                          .trust = c->trust,
                                          .alpn = alpn,
                                          .sni = sni,
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

/* ---- the fake auth ---- */

static inline rl_code anyone(void *context, const char *service, const char *method,
                             const struct rl_rpc_peer *peer, struct rl_error *err)
{
    (void)context;
    (void)service;
    (void)method;
    return peer->identity ? RL_OK : rl_fail(err, RL_E_UNAUTHENTICATED, "who is this?");
}

static inline void auth_say(struct cluster *c, const Pb__ControlUpdate *update)
{
    ck_assert_int_eq(rl_rpc_send(c->watch, &update->base, NULL), RL_OK);
}

static inline void auth_on_watch(struct rl_rpc_call *call, const ProtobufCMessage *message,
                                 void *context)
{
    (void)message;
    struct cluster *c = context;
    c->watch = call;
    Pb__BrokerAddress one = PB__BROKER_ADDRESS__INIT, two = PB__BROKER_ADDRESS__INIT;
    one.id = (char *)(uintptr_t)BROKER_ID;
    one.dial_address = c->broker.address;
    two.id = (char *)(uintptr_t)OTHER_BROKER_ID;
    two.dial_address = c->other.address;
    Pb__BrokerAddress *brokers[] = {&two, &one};
    Pb__ControlUpdate update = PB__CONTROL_UPDATE__INIT;
    update.revision = 1;
    update.brokers = brokers;
    update.n_brokers = 2;
    update.brokers_changed = true;
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
    (void)call;
    (void)code;
    (void)message;
    ((struct cluster *)context)->watch = NULL;
}

static inline void auth_heartbeat(struct rl_rpc_call *call, const ProtobufCMessage *request,
                                  void *context)
{
    (void)request;
    struct cluster *c = context;
    snprintf(c->seen_address, sizeof c->seen_address, "%s", rl_rpc_peer(call)->address);
    Pb__HeartbeatResponse reply = PB__HEARTBEAT_RESPONSE__INIT;
    rl_rpc_reply(call, &reply.base);
}

static inline void auth_resolve(struct rl_rpc_call *call, const ProtobufCMessage *request,
                                void *context)
{
    struct cluster *c = context;
    const Pb__ResolveTargetRequest *r = (const Pb__ResolveTargetRequest *)request;
    struct rl_error err;
    c->resolved++;
    ck_assert_str_eq(r->caller->user, "alice");
    ck_assert_uint_eq(r->caller->certificate_sha256.len, 32);
    snprintf(c->resolved_client, sizeof c->resolved_client, "%s", r->caller->client_address);
    snprintf(c->resolved_cluster, sizeof c->resolved_cluster, "%s", r->cluster);
    if (r->cluster[0]) /* what there is in it is not auth's business here */
        ck_assert_int_eq(r->kind[0] + r->target[0], 0);
    bool is_leaf = strcmp(r->cluster, "leaf") == 0;
    if (c->is_away || (!is_leaf && strcmp(r->target, "node-a") != 0)) {
        rl_fail(&err, c->is_away ? RL_E_UNAVAILABLE : RL_E_NOT_FOUND, "no such node \"%s\"",
                r->target);
        rl_rpc_fail(call, &err);
        return;
    }
    char *holders[] = {(char *)(uintptr_t)BROKER_ID};
    Pb__ResolveTargetResponse reply = PB__RESOLVE_TARGET_RESPONSE__INIT;
    reply.agent_id = (char *)(uintptr_t)(is_leaf ? "cluster/leaf" : NODE_ID);
    reply.name = (char *)(uintptr_t)(is_leaf ? "leaf" : "node-a");
    reply.mode = (char *)(uintptr_t)(is_leaf ? "tunnel" : c->mode);
    reply.address = c->node.address;
    reply.is_online = c->is_online;
    reply.last_seen_ns = c->last_seen_ns;
    reply.broker_ids = holders;
    reply.n_broker_ids = c->knows_holder ? 1 : 0;
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

static inline struct rl_rpc_server *serve_control(struct cluster *c, struct rl_trust *proxied_by,
                                                  char address[64])
{
    static const struct rl_rpc_stream_ops watch = {
        .message = auth_on_watch, .half_closed = auth_keep_open, .closed = auth_watch_closed};
    static const struct rl_rpc_handler handlers[] = {
        {.method = "Watch", .stream = &watch},
        {.method = "Heartbeat", .unary = auth_heartbeat},
        {.method = "NextEpoch", .unary = auth_nothing},
        {.method = "ReportAttachments", .unary = auth_nothing},
        {.method = "PolicyFor", .unary = auth_nothing},
        {.method = "ResolveTarget", .unary = auth_resolve},
        {.method = "Decide", .unary = auth_nothing},
        {.method = "TakeRootPolicy", .unary = auth_nothing},
        {.method = "ReportRoot", .unary = auth_nothing},
        {.method = "SignTombstones", .unary = auth_nothing},
    };
    struct rl_rpc_server *server = NULL;
    struct rl_rpc_server_config config = {
        .loop = c->loop, .authorize = anyone, .now_s = cluster_now_s};
    ck_assert_int_eq(rl_rpc_server_create_h2(&config, &server, NULL), RL_OK);
    rl_rpc_server_add(server, &pb__control__descriptor, handlers, RL_COUNT(handlers), c);
    uint16_t port = 0;
    struct rl_rpc_listen listen = {
        .address = "127.0.0.1:0", .tls = c->auth_tls, .proxied_by = proxied_by};
    ck_assert_int_eq(rl_rpc_server_listen(server, &listen, &port, NULL), RL_OK);
    snprintf(address, 64, "127.0.0.1:%u", port);
    return server;
}

/* ---- the far side ---- */

static inline void far_dialled(void *context, const Pb__DialOpen *dial)
{
    struct fake_far *far = context;
    far->dials++;
    Pb__Ticket *ticket =
        pb__ticket__unpack(NULL, dial->ticket->ticket.len, dial->ticket->ticket.data);
    snprintf(far->ticket_client, sizeof far->ticket_client, "%s", ticket->client_address);
    snprintf(far->ticket_session, sizeof far->ticket_session, "%s", ticket->session_id);
    snprintf(far->ticket_agent, sizeof far->ticket_agent, "%s", ticket->agent_id);
    snprintf(far->ticket_kind, sizeof far->ticket_kind, "%s", ticket->target_kind);
    snprintf(far->ticket_target, sizeof far->ticket_target, "%s", ticket->target_name);
    far->ticket_fingerprint = ticket->user_certificate_sha256.len;
    uint8_t hash[32];
    EVP_Digest(ticket->user_certificate.data, ticket->user_certificate.len, hash, NULL,
               EVP_sha256(), NULL);
    far->has_certificate = ticket->user_certificate.len &&
                           memcmp(hash, ticket->user_certificate_sha256.data, sizeof hash) == 0;
    pb__ticket__free_unpacked(ticket, NULL);
    struct rl_ticket_check check = {
        .trust = far->cluster->trust,
        .agent_id = strcmp(far->ticket_agent, "cluster/leaf") == 0 ? "cluster/leaf" : NODE_ID,
        .now_ns = cluster_now_s(NULL) * 1000000000ll};
    Pb__Ticket *verified = NULL;
    ck_assert_int_eq(rl_ticket_verify(dial->ticket, &check, &verified, NULL), RL_OK);
    pb__ticket__free_unpacked(verified, NULL);
    if (far->is_mute)
        return;
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    if (far->fd >= 0)
        close(far->fd);
    far->fd = pair[0];
    struct rl_socket *socket = NULL;
    ck_assert_int_eq(rl_socket_create(far->cluster->loop, pair[1], NULL, NULL, NULL, &socket, NULL),
                     RL_OK);
    rl_tunnel_end_attach(far->end, &socket, RL_SPAN(NULL, 0));
}

static inline void far_closed(void *context, const struct rl_tunnel_summary *summary)
{
    struct fake_far *far = context;
    far->end = NULL;
    far->closed++;
    far->code = summary->code;
    snprintf(far->message, sizeof far->message, "%s", summary->message);
}

static inline void far_opened(struct rl_rpc_call *call, void *context)
{
    struct fake_far *far = context;
    if (far->refusal != RL_OK) {
        far->dials++;
        rl_rpc_raw_finish(call, far->refusal, "cluster leaf: node node-b is offline");
        return;
    }
    if (!far->has_node) {
        far->dials++;
        rl_rpc_raw_finish(call, RL_E_UNAVAILABLE, "node is not attached to this broker");
        return;
    }
    struct rl_tunnel_end_config config = {.loop = far->cluster->loop,
                                          .role = RL_TUNNEL_ANSWERS,
                                          .dialled = far_dialled,
                                          .closed = far_closed,
                                          .context = far};
    ck_assert_int_eq(rl_tunnel_rpc_answer(call, &config, &far->end, NULL), RL_OK);
}

static inline void far_start(struct fake_far *far, struct cluster *c,
                             struct rl_tls_identity *identity)
{
    static const struct rl_rpc_raw_ops ops = {.opened = far_opened,
                                              .data = rl_tunnel_rpc_data,
                                              .produce = rl_tunnel_rpc_produce,
                                              .half_closed = rl_tunnel_rpc_half_closed,
                                              .closed = rl_tunnel_rpc_closed};
    static const struct rl_rpc_handler handlers[] = {{.method = "Dial", .raw = &ops}};
    *far = (struct fake_far){.cluster = c, .identity = identity, .fd = -1};
    far->tls = tls_server(c, identity);
    struct rl_rpc_server_config config = {
        .loop = c->loop, .authorize = anyone, .now_s = cluster_now_s};
    ck_assert_int_eq(rl_rpc_server_create_h2(&config, &far->server, NULL), RL_OK);
    rl_rpc_server_add(far->server, &pb__dialer__descriptor, handlers, 1, far);
    uint16_t port = 0;
    struct rl_rpc_listen listen = {.address = "127.0.0.1:0", .tls = far->tls};
    ck_assert_int_eq(rl_rpc_server_listen(far->server, &listen, &port, NULL), RL_OK);
    snprintf(far->address, sizeof far->address, "127.0.0.1:%u", port);
}

static inline void far_stop(struct fake_far *far)
{
    rl_rpc_server_free(&far->server);
    while (far->end)
        rl_loop_turn(far->cluster->loop, 10);
    rl_tls_server_unref(&far->tls);
    rl_tls_identity_unref(&far->identity);
    if (far->fd >= 0)
        close(far->fd);
}

/* ---- the whole ---- */

static inline void on_control_changed(void *context, unsigned what)
{
    proxy_control_changed(((struct cluster *)context)->proxy, what);
}

static inline struct rl_trust *trust_of(struct cluster *c)
{
    struct rl_trust *trust = rl_trust_create("main");
    authority_trust(trust, RL_IDENTITY_SERVICE, "main", c->services.ca, NULL);
    authority_trust(trust, RL_IDENTITY_AGENT, "main", c->agents.ca, NULL);
    authority_trust(trust, RL_IDENTITY_USER, "main", c->users.ca, NULL);
    return trust;
}

static inline void cluster_make_tls(struct cluster *c)
{
    c->services = authority_make(RL_IDENTITY_SERVICE, "main");
    c->agents = authority_make(RL_IDENTITY_AGENT, "main");
    c->users = authority_make(RL_IDENTITY_USER, "main");
    c->root_users = authority_make(RL_IDENTITY_USER, ROOT);
    c->trust = trust_of(c);
    c->users_trust = trust_of(c);
    authority_trust(c->users_trust, RL_IDENTITY_USER, ROOT, c->root_users.ca, NULL);
    c->auth_id = issue(&c->services, UUID_A, "auth");
    c->proxy_id = issue(&c->services, UUID_B, "proxy");
    c->auth_tls = tls_server(c, c->auth_id);
    c->to_auth = tls_client(c, c->proxy_id, "h2", NULL, "auth");
}

static inline void cluster_make_proxy(struct cluster *c)
{
    struct rl_buf der;
    rl_buf_init(&der, 65536);
    ck_assert_int_eq(rl_x509_to_der(c->services.ca, &der, NULL), RL_OK);
    ProtobufCBinaryData ca = {der.n, der.p};
    Pb__TrustBundle bundle = PB__TRUST_BUNDLE__INIT;
    bundle.ca_pin = (char *)(uintptr_t) "sha256:00ff";
    bundle.service_cas = &ca;
    bundle.n_service_cas = 1;
    struct proxy_identity identity = {
        .own = c->proxy_id, .trust = c->trust, .users = c->users_trust, .bundle = &bundle};
    struct proxy_config config = {.loop = c->loop,
                                  .cluster = "main",
                                  .id = UUID_B,
                                  .public_address = "example.com:443",
                                  .auth_proxied_address = c->proxied_address,
                                  .balancers = &c->balancers,
                                  .connections_max = 20,
                                  .half_open_max = 10,
                                  .stream_window_bytes = 262144,
                                  .now_s = cluster_now_s};
    struct rl_error err;
    ck_assert_msg(proxy_create(&config, &identity, &c->proxy, &err) == RL_OK, "%s", err.message);
    ck_assert_int_eq(proxy_listen(c->proxy, "127.0.0.1:0", &c->port, NULL), RL_OK);
    snprintf(c->address, sizeof c->address, "127.0.0.1:%u", c->port);
    rl_buf_fini(&der);
}

static inline struct cluster *cluster_make(void)
{
    rl_log_setup("test", RL_LOG_ERROR, true);
    cluster_skew_s = 0;
    struct cluster *c = rl_alloc(sizeof *c);
    c->mode = "tunnel";
    c->is_online = c->knows_holder = true;
    ck_assert_int_eq(rl_loop_create(&c->loop, NULL), RL_OK);
    cluster_make_tls(c);
    far_start(&c->broker, c, issue(&c->services, BROKER_ID, "broker"));
    far_start(&c->other, c, issue(&c->services, OTHER_BROKER_ID, "broker"));
    far_start(&c->node, c, issue(&c->agents, NODE_ID, NULL));
    c->broker.has_node = c->node.has_node = true;
    c->auth = serve_control(c, NULL, c->auth_address);
    c->proxied_auth = serve_control(c, c->trust, c->proxied_address);
    c->control_channel = channel(c, c->auth_address, c->to_auth);
    cluster_make_proxy(c);
    struct rl_control_config control = {.loop = c->loop,
                                        .channel = c->control_channel,
                                        .kind = "proxy",
                                        .id = UUID_B,
                                        .changed = on_control_changed,
                                        .context = c};
    c->control = rl_control_create(&control);
    proxy_set_control(c->proxy, c->control);
    TURN_UNTIL(c, rl_control_is_up(c->control));
    return c;
}

static inline void cluster_free(struct cluster *c)
{
    proxy_free(&c->proxy);
    rl_control_free(&c->control);
    rl_rpc_channel_free(&c->control_channel);
    rl_rpc_server_free(&c->auth);
    rl_rpc_server_free(&c->proxied_auth);
    far_stop(&c->broker);
    far_stop(&c->other);
    far_stop(&c->node);
    rl_tls_client_unref(&c->to_auth);
    rl_tls_server_unref(&c->auth_tls);
    rl_tls_identity_unref(&c->auth_id);
    rl_tls_identity_unref(&c->proxy_id);
    rl_trust_unref(&c->trust);
    rl_trust_unref(&c->users_trust);
    authority_free(&c->services);
    authority_free(&c->agents);
    authority_free(&c->users);
    authority_free(&c->root_users);
    rl_loop_free(&c->loop);
    free(c);
}

/* ---- other programs: the loop goes on while they run ---- */

static inline void run(struct cluster *c, const char *command, char *out, size_t room)
{
    FILE *pipe = popen(command, "r");
    ck_assert_ptr_nonnull(pipe);
    int fd = fileno(pipe);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    size_t n = 0;
    for (uint64_t until = rl_clock_boot_ms() + PATIENCE_MS; rl_clock_boot_ms() < until;) {
        ssize_t got = read(fd, out + n, room - 1 - n);
        if (got == 0)
            break;
        n += got > 0 ? (size_t)got : 0;
        rl_loop_turn(c->loop, 5);
    }
    out[n] = '\0';
    pclose(pipe);
}

#endif
