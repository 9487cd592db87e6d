#include "world.h"

#include "clock/clock.h"
#include "names/names.h"
#include "remoteler/v1/control.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(call)                                                                                 \
    do {                                                                                           \
        struct rl_error must_;                                                                     \
        must_.message[0] = '\0';                                                                   \
        ck_assert_msg((call) == RL_OK, "%s: %s", #call, must_.message);                            \
    } while (0)
#define ERR (&must_)

/* ---- certificates ---- */

static void make_authorities(struct world *w)
{
    w->trust = rl_trust_create(CLUSTER);
    for (int kind = RL_IDENTITY_SERVICE; kind <= RL_IDENTITY_USER; kind++) {
        struct rl_buf der;
        rl_buf_init(&der, 65536);
        MUST(rl_identity_create_ca((enum rl_identity_kind)kind, CLUSTER, rl_clock_wall_s(), 86400,
                                   &w->ca[kind], &w->ca_key[kind], ERR));
        MUST(rl_x509_to_der(w->ca[kind], &der, ERR));
        MUST(rl_trust_add(w->trust, (enum rl_identity_kind)kind, CLUSTER, rl_buf_span(&der), ERR));
        rl_buf_fini(&der);
    }
    struct rl_buf der;
    rl_buf_init(&der, 65536);
    MUST(rl_identity_create_ca(RL_IDENTITY_USER, ROOT, rl_clock_wall_s(), 86400, &w->root_ca,
                               &w->root_ca_key, ERR));
    MUST(rl_x509_to_der(w->root_ca, &der, ERR));
    MUST(rl_trust_add(w->trust, RL_IDENTITY_USER, ROOT, rl_buf_span(&der), ERR));
    rl_buf_fini(&der);
}

static struct rl_tls_identity *identity_in(struct world *w, const char *cluster,
                                           enum rl_identity_kind kind, const char *name,
                                           const char *service)
{
    bool is_own = strcmp(cluster, CLUSTER) == 0;
    EVP_PKEY *key = NULL;
    X509 *certificate = NULL;
    struct rl_tls_identity *identity = NULL;
    struct rl_buf der;
    Pb__IdentityClaims claims = PB__IDENTITY_CLAIMS__INIT;
    claims.format = 1;
    claims.cluster = (char *)(uintptr_t)cluster;
    if (kind == RL_IDENTITY_USER)
        claims.user = (char *)(uintptr_t)name;
    char *host = rl_sprintf("%s." CLUSTER RL_TLS_SNI_SUFFIX, service ? service : "nobody");
    const char *const addresses[] = {host};
    rl_buf_init(&der, 65536);
    MUST(rl_key_generate_p256(&key, ERR));
    struct rl_identity_request request = {.kind = kind,
                                          .cluster = cluster,
                                          .name = name,
                                          .service = service,
                                          .subject = key,
                                          .claims = &claims,
                                          .now_s = rl_clock_wall_s(),
                                          .ttl_s = 3600,
                                          .addresses = addresses,
                                          .address_count = service ? 1 : 0};
    MUST(rl_identity_issue(&request, is_own ? w->ca[kind] : w->root_ca,
                           is_own ? w->ca_key[kind] : w->root_ca_key, &certificate, ERR));
    MUST(rl_x509_to_der(certificate, &der, ERR));
    struct rl_span chain = rl_buf_span(&der);
    MUST(rl_tls_identity_create(&chain, 1, key, &identity, ERR));
    rl_buf_fini(&der);
    X509_free(certificate);
    EVP_PKEY_free(key);
    free(host);
    return identity;
}

static struct rl_tls_identity *identity_of(struct world *w, enum rl_identity_kind kind,
                                           const char *name, const char *service)
{
    return identity_in(w, CLUSTER, kind, name, service);
}

static struct rl_tls_server *tls_server(struct world *w, const char *service)
{
    static const char *const alpn[] = {"h2", NULL};
    struct rl_tls_identity *identity = identity_of(w, RL_IDENTITY_SERVICE, REPLICA, service);
    struct rl_tls_server_config config = {.route = service,
                                          .identity = identity,
                                          .trust = w->trust,
                                          .client = RL_TLS_CLIENT_REQUIRED,
                                          .alpn = alpn};
    struct rl_tls_server *server = NULL;
    MUST(rl_tls_server_create(&config, &server, ERR));
    rl_tls_identity_unref(&identity);
    return server;
}

static struct rl_rpc_channel *h2_channel(struct world *w, uint16_t port,
                                         struct rl_tls_identity *identity, const char *service)
{
    struct rl_tls_client_config tls = {.identity = identity,
                                       .trust = w->trust,
                                       .alpn = "h2",
                                       .peer_kind = RL_IDENTITY_SERVICE,
                                       .peer_service = service};
    struct rl_tls_client *client = NULL;
    struct rl_rpc_channel *channel = NULL;
    MUST(rl_tls_client_create(&tls, &client, ERR));
    char *address = rl_sprintf("127.0.0.1:%u", port);
    struct rl_rpc_channel_config config = {.loop = w->loop, .address = address, .tls = client};
    MUST(rl_rpc_channel_create_h2(&config, &channel, ERR));
    rl_tls_client_unref(&client);
    free(address);
    return channel;
}

static struct rl_rpc_channel *grpc_channel(struct world *w, uint16_t port,
                                           struct rl_tls_identity *identity, const char *service)
{
    struct rl_rpc_channel *channel = NULL;
    char *address = rl_sprintf("127.0.0.1:%u", port);
    struct rl_rpc_channel_config config = {.loop = w->loop,
                                           .address = address,
                                           .identity = identity,
                                           .trust = w->trust,
                                           .peer_service = service};
    MUST(rl_rpc_channel_create_grpc(&config, &channel, ERR));
    free(address);
    return channel;
}

struct rl_rpc_channel *world_channel(struct world *w, enum over over, enum rl_identity_kind kind,
                                     const char *name, const char *service)
{
    struct rl_tls_identity *identity = identity_of(w, kind, name, service);
    struct rl_rpc_channel *channel = over == OVER_H2
                                         ? h2_channel(w, w->h2_port, identity, "audit")
                                         : grpc_channel(w, w->grpc_port, identity, "audit");
    rl_tls_identity_unref(&identity);
    return channel;
}

struct rl_rpc_channel *world_root_channel(struct world *w, const char *name)
{
    struct rl_tls_identity *identity = identity_in(w, ROOT, RL_IDENTITY_USER, name, NULL);
    struct rl_rpc_channel *channel = h2_channel(w, w->h2_port, identity, "audit");
    rl_tls_identity_unref(&identity);
    return channel;
}

/* ---- auth ---- */

static rl_code allow_all(void *context, const char *service, const char *method,
                         const struct rl_rpc_peer *peer, struct rl_error *err)
{
    (void)context, (void)service, (void)method, (void)peer, (void)err;
    return RL_OK;
}

static void fail_call(struct rl_rpc_call *call, const ProtobufCMessage *request, void *context)
{
    (void)request, (void)context;
    struct rl_error err;
    rl_fail(&err, RL_E_UNIMPLEMENTED, "not here");
    rl_rpc_fail(call, &err);
}

static void decide(struct rl_rpc_call *call, const ProtobufCMessage *request, void *context)
{
    struct world *w = context;
    const Pb__DecideRequest *asked = (const Pb__DecideRequest *)request;
    w->decision.asked++;
    snprintf(w->decision.user, sizeof w->decision.user, "%s", asked->caller->user);
    snprintf(w->decision.cluster, sizeof w->decision.cluster, "%s", asked->caller->cluster);
    snprintf(w->decision.kind, sizeof w->decision.kind, "%s", asked->resource_kind);
    snprintf(w->decision.verb, sizeof w->decision.verb, "%s", asked->verb);
    Pb__DecideResponse reply = PB__DECIDE_RESPONSE__INIT;
    reply.is_allowed = w->decision.is_allowed;
    reply.own_only = w->decision.own_only;
    reply.reason = (char *)(uintptr_t) "no role of yours allows it";
    if (w->decision.is_broken)
        fail_call(call, request, NULL);
    else
        rl_rpc_reply(call, &reply.base);
}

static void sign_tombstones(struct rl_rpc_call *call, const ProtobufCMessage *request,
                            void *context)
{
    struct world *w = context;
    const Pb__SignTombstonesRequest *asked = (const Pb__SignTombstonesRequest *)request;
    Pb__SignTombstonesResponse *reply = rl_alloc(sizeof *reply);
    pb__sign_tombstones_response__init(reply);
    reply->tombstones = rl_alloc_array(asked->n_tombstones + 1, sizeof *reply->tombstones);
    for (size_t i = 0; i < asked->n_tombstones; i++)
        MUST(rl_tombstone_sign(asked->tombstones[i], w->policy_key, POLICY_KEY_ID,
                               &reply->tombstones[reply->n_tombstones++], ERR));
    rl_rpc_reply(call, &reply->base);
    pb__sign_tombstones_response__free_unpacked(reply, NULL);
}

static void on_watch(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)call, (void)message, (void)context;
}

static void on_watch_closed(struct rl_rpc_call *call, rl_code code, const char *message,
                            void *context)
{
    (void)call, (void)code, (void)message, (void)context;
}

static void start_auth(struct world *w)
{
    static const struct rl_rpc_stream_ops watch = {.message = on_watch, .closed = on_watch_closed};
    static const struct rl_rpc_handler handlers[] = {
        {.method = "Watch", .stream = &watch},
        {.method = "Heartbeat", .unary = fail_call},
        {.method = "NextEpoch", .unary = fail_call},
        {.method = "ReportAttachments", .unary = fail_call},
        {.method = "PolicyFor", .unary = fail_call},
        {.method = "ResolveTarget", .unary = fail_call},
        {.method = "Decide", .unary = decide},
        {.method = "TakeRootPolicy", .unary = fail_call},
        {.method = "ReportRoot", .unary = fail_call},
        {.method = "SignTombstones", .unary = sign_tombstones},
    };
    struct rl_rpc_server_config config = {.loop = w->loop, .authorize = allow_all};
    struct rl_rpc_listen listen = {.address = "127.0.0.1:0", .tls = w->auth_tls};
    MUST(rl_rpc_server_create_h2(&config, &w->auth, ERR));
    rl_rpc_server_add(w->auth, &pb__control__descriptor, handlers, RL_COUNT(handlers), w);
    MUST(rl_rpc_server_listen(w->auth, &listen, &w->auth_port, ERR));
    struct rl_tls_identity *identity = identity_of(w, RL_IDENTITY_SERVICE, REPLICA, "audit");
    w->auth_channel = h2_channel(w, w->auth_port, identity, "auth");
    rl_tls_identity_unref(&identity);
}

static struct rl_rpc_channel *auth_of(void *context)
{
    struct world *w = context;
    return w->auth_is_unknown ? NULL : w->auth_channel;
}

/* ---- audit ---- */

static void start_audit(struct world *w)
{
    struct rl_audit_config config = {.loop = w->loop,
                                     .cluster = CLUSTER,
                                     .replica = REPLICA,
                                     .store = w->writer,
                                     .searchers = w->searchers,
                                     .recorders = w->recorders,
                                     .decide_again_ms = DECIDE_AGAIN_MS,
                                     .auth = auth_of,
                                     .context = w};
    w->audit = rl_audit_create(&config);
    struct rl_rpc_server_config server = {.loop = w->loop,
                                          .workers = w->workers,
                                          .authorize = rl_audit_authorize,
                                          .authorize_context = w->audit};
    MUST(rl_rpc_server_create_h2(&server, &w->h2, ERR));
    MUST(rl_rpc_server_create_grpc(&server, &w->grpc, ERR));
    rl_audit_serve(w->audit, w->h2);
    rl_audit_serve(w->audit, w->grpc);
    struct rl_tls_identity *identity = identity_of(w, RL_IDENTITY_SERVICE, REPLICA, "audit");
    struct rl_rpc_listen listen = {.address = "127.0.0.1:0", .tls = w->audit_tls};
    struct rl_rpc_listen control = {
        .address = "127.0.0.1:0", .identity = identity, .trust = w->trust};
    MUST(rl_rpc_server_listen(w->h2, &listen, &w->h2_port, ERR));
    MUST(rl_rpc_server_listen(w->grpc, &control, &w->grpc_port, ERR));
    rl_tls_identity_unref(&identity);
}

/* ---- the database ---- */

static rl_code run_one(struct rl_db *db, void *sql, struct rl_error *err)
{
    return rl_exec(db, NULL, err, (const char *)sql);
}

rl_code run_sql(struct rl_store *store, const char *sql, struct rl_error *err)
{
    return rl_store_transaction(store, run_one, (void *)(uintptr_t)sql, err);
}

struct number {
    const char *sql;
    int64_t value;
};

static rl_code read_number(struct rl_db *db, void *context, struct rl_error *err)
{
    struct number *number = context;
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err, number->sql);
    if (rc != RL_OK)
        return rc;
    number->value = rl_row_int(rows, 0, 0);
    rc = rl_rows_check(rows, err);
    rl_rows_free(&rows);
    return rc;
}

int64_t number_of(struct rl_store *store, const char *sql)
{
    struct number number = {.sql = sql};
    MUST(rl_store_transaction(store, read_number, &number, ERR));
    return number.value;
}

static struct rl_store *open_store(const char *conninfo)
{
    struct rl_store_options options = {
        .conninfo = conninfo, .schema = RL_AUDIT_SCHEMA, .connections = 8, .wait_ms = 2000};
    struct rl_store *store = NULL;
    MUST(rl_store_open(&options, &store, ERR));
    return store;
}

static void make_roles(struct world *w)
{
    const char *admin = rl_testpg_conninfo(w->pg);
    w->writer_conninfo = rl_sprintf("%s user=audit_writer", admin);
    w->owner_conninfo = rl_sprintf("%s user=audit_owner", admin);
    struct rl_store *store = open_store(admin);
    MUST(run_sql(store, "CREATE ROLE audit_writer LOGIN", ERR));
    MUST(run_sql(store, "CREATE ROLE audit_owner LOGIN", ERR));
    MUST(run_sql(store, "GRANT CREATE ON DATABASE postgres TO audit_owner", ERR));
    rl_store_close(&store);
}

void world_reset(struct world *w)
{
    MUST(run_sql(w->owner, "DROP SCHEMA IF EXISTS audit CASCADE", ERR));
    MUST(rl_store_migrate(w->owner, rl_audit_migrations, rl_audit_migration_count, ERR));
    MUST(rl_audit_admit_writer(w->owner, w->writer, ERR));
    MUST(rl_audit_make_partitions(w->owner, rl_clock_wall_ns(), ERR));
    MUST(rl_audit_register_replica(w->writer, REPLICA, rl_clock_wall_ns(), ERR));
    memset(&w->decision, 0, sizeof w->decision);
    w->decision.is_allowed = true;
    w->auth_is_unknown = false;
}

struct world *world_create(void)
{
    struct world *w = rl_alloc(sizeof *w);
    w->pg = rl_testpg_create();
    make_roles(w);
    w->writer = open_store(w->writer_conninfo);
    w->owner = open_store(w->owner_conninfo);
    MUST(rl_loop_create(&w->loop, ERR));
    MUST(rl_workers_create(2, 1000, &w->workers, ERR));
    MUST(rl_workers_create(2, 1000, &w->searchers, ERR));
    MUST(rl_workers_create(2, 1000, &w->recorders, ERR));
    make_authorities(w);
    MUST(rl_key_generate_p256(&w->policy_key, ERR));
    w->audit_tls = tls_server(w, "audit");
    w->auth_tls = tls_server(w, "auth");
    start_auth(w);
    start_audit(w);
    return w;
}

void world_free(struct world **holder)
{
    struct world *w = *holder;
    rl_rpc_server_free(&w->h2);
    rl_rpc_server_free(&w->grpc);
    rl_workers_free(&w->workers);
    rl_workers_free(&w->recorders);
    rl_audit_free(&w->audit);
    rl_workers_free(&w->searchers);
    rl_rpc_channel_free(&w->auth_channel);
    rl_rpc_server_free(&w->auth);
    rl_tls_server_unref(&w->audit_tls);
    rl_tls_server_unref(&w->auth_tls);
    rl_trust_unref(&w->trust);
    for (int kind = RL_IDENTITY_SERVICE; kind <= RL_IDENTITY_USER; kind++) {
        X509_free(w->ca[kind]);
        EVP_PKEY_free(w->ca_key[kind]);
    }
    X509_free(w->root_ca);
    EVP_PKEY_free(w->root_ca_key);
    EVP_PKEY_free(w->policy_key);
    rl_store_close(&w->writer);
    rl_store_close(&w->owner);
    rl_testpg_free(&w->pg);
    rl_loop_free(&w->loop);
    free(w->writer_conninfo);
    free(w->owner_conninfo);
    free(w);
    *holder = NULL;
}

/* ---- calls ---- */

Pb__Event *agent_event(const char *type)
{
    Pb__Event *event = rl_event_create(type, "success", rl_clock_wall_ns());
    rl_event_set(&event->cluster, CLUSTER);
    rl_event_set(&event->user, "alice");
    rl_event_set(&event->user_cluster, CLUSTER);
    rl_event_set(&event->session_id, "session-1");
    rl_event_set(&event->resource_kind, "node");
    rl_event_set(&event->resource_id, AGENT_ID);
    return event;
}

struct appended append(struct rl_rpc_channel *channel, Pb__Event **events, size_t count)
{
    Pb__AppendRequest request = PB__APPEND_REQUEST__INIT;
    ProtobufCMessage *reply = NULL;
    struct appended out = {0};
    struct rl_error err = {.code = RL_OK};
    request.events = events;
    request.n_events = count;
    out.code = rl_rpc_unary_wait(channel, &pb__audit__descriptor, "Append", &request.base, 20000,
                                 &reply, &err);
    if (out.code == RL_OK) {
        out.accepted = ((Pb__AppendResponse *)reply)->accepted;
        out.repeated = ((Pb__AppendResponse *)reply)->repeated_uids;
        protobuf_c_message_free_unpacked(reply, NULL);
    } else {
        snprintf(out.message, sizeof out.message, "%s", err.message);
    }
    return out;
}

struct appended append_one(struct rl_rpc_channel *channel, Pb__Event *event)
{
    struct appended out = append(channel, &event, 1);
    rl_event_free(&event);
    return out;
}

static void on_found(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)call;
    struct found *found = context;
    const Pb__SearchResponse *response = (const Pb__SearchResponse *)message;
    found->messages++;
    found->more |= response->more_matched;
    for (size_t i = 0; i < response->n_events; i++) {
        ck_assert_uint_lt(found->count, RL_COUNT(found->events));
        size_t n = pb__event__get_packed_size(response->events[i]);
        uint8_t *packed = rl_alloc(n);
        pb__event__pack(response->events[i], packed);
        found->events[found->count++] = pb__event__unpack(NULL, n, packed);
        free(packed);
    }
}

static void on_search_closed(struct rl_rpc_call *call, rl_code code, const char *message,
                             void *context)
{
    (void)call;
    struct found *found = context;
    found->call = NULL;
    found->is_over = true;
    found->code = code;
    snprintf(found->message, sizeof found->message, "%s", message);
}

void search_start(struct rl_rpc_channel *channel, const Pb__SearchRequest *request,
                  struct found *found)
{
    static const struct rl_rpc_stream_ops ops = {.message = on_found, .closed = on_search_closed};
    memset(found, 0, sizeof *found);
    found->call = rl_rpc_stream(channel, &pb__audit__descriptor, "Search", 0, &ops, found);
    MUST(rl_rpc_send(found->call, &request->base, ERR));
    rl_rpc_end(found->call, RL_OK, NULL);
}

void search(struct world *w, struct rl_rpc_channel *channel, const Pb__SearchRequest *request,
            struct found *found)
{
    search_start(channel, request, found);
    TURN_UNTIL(w, found->is_over);
}

void found_clear(struct found *found)
{
    for (size_t i = 0; i < found->count; i++)
        pb__event__free_unpacked(found->events[i], NULL);
    found->count = 0;
}
