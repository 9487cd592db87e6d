/* The whole service: sockets, both transports, the database coming and going. */
#include "authority/grant.h"
#include "clock/clock.h"
#include "credential/token.h"
#include "fixture.h"
#include "fleet/join.h"
#include "process.h"
#include "protocol/protocol.h"
#include "remoteler/v1/control.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct process service;
static struct rl_loop *loop;
static char address[64], control_address[64];

static void set_up(void)
{
    fixture_set_up();
    process_start(&service, fixture_settings()->database, fixture_settings()->key_file,
                  process_free_port());
    process_wait_serving(&service);
    snprintf(address, sizeof address, "127.0.0.1:%u", service.port);
    snprintf(control_address, sizeof control_address, "127.0.0.1:%u", service.control_port);
    ok(rl_loop_create(&loop, &err));
}

static void tear_down(void)
{
    rl_loop_free(&loop);
    ck_assert_int_eq(process_end(&service), 0);
    fixture_tear_down();
}

/* ---- channels ---- */

struct line {
    struct rl_tls_client *tls;
    struct rl_rpc_channel *channel;
    struct rl_trust *trust;
    struct rl_tls_identity *identity;
};

static struct rl_trust *trust_all(void)
{
    struct rl_snapshot *snapshot = NULL;
    struct rl_trust *trust = NULL;
    ok(rl_snapshots_current(auth->snapshots, &snapshot, &err));
    ok(rl_authorities_trust(snapshot->authorities, &trust, &err));
    rl_snapshot_unref(&snapshot);
    return trust;
}

static void line_open(struct line *line, struct rl_tls_identity *identity, const char *pin)
{
    *line = (struct line){.trust = pin ? NULL : trust_all(), .identity = identity};
    struct rl_tls_client_config tls = {
        .identity = identity,
        .trust = line->trust,
        .alpn = "h2",
        .sni = "auth.remoteler.internal",
        .peer_kind = RL_IDENTITY_SERVICE,
        .peer_service = "auth",
        .pin = pin,
    };
    ok(rl_tls_client_create(&tls, &line->tls, &err));
    struct rl_rpc_channel_config config = {.loop = loop, .address = address, .tls = line->tls};
    ok(rl_rpc_channel_create_h2(&config, &line->channel, &err));
}

static void line_open_control(struct line *line, struct rl_tls_identity *identity)
{
    *line = (struct line){.trust = trust_all(), .identity = identity};
    struct rl_rpc_channel_config config = {
        .loop = loop,
        .address = control_address,
        .identity = identity,
        .trust = line->trust,
        .peer_service = "auth",
    };
    ok(rl_rpc_channel_create_grpc(&config, &line->channel, &err));
}

static void line_close(struct line *line)
{
    rl_rpc_channel_free(&line->channel);
    rl_tls_client_unref(&line->tls);
    rl_trust_unref(&line->trust);
    rl_tls_identity_unref(&line->identity);
}

static rl_code ask(struct line *line, const ProtobufCServiceDescriptor *of, const char *method,
                   const ProtobufCMessage *request, ProtobufCMessage **reply)
{
    *reply = NULL;
    return rl_rpc_unary_wait(line->channel, of, method, request, 10000, reply, &err);
}

static struct rl_tls_identity *identity_of(const ProtobufCBinaryData *chain, size_t count,
                                           EVP_PKEY *key)
{
    struct rl_span spans[4];
    struct rl_tls_identity *identity = NULL;
    for (size_t i = 0; i < count; i++)
        spans[i] = RL_BINARY(chain[i]);
    ok(rl_tls_identity_create(spans, count, key, &identity, &err));
    return identity;
}

static struct rl_tls_identity *admin_identity(void)
{
    struct party party;
    party_init(&party);
    char user[] = "admin";
    INIT_REPLY(request, SignUserRequest, sign_user_request);
    INIT_REPLY(reply, LoginResponse, login_response);
    request.user = user;
    request.tls_public_key = (ProtobufCBinaryData){party.tls_spki.n, party.tls_spki.p};
    ok(rl_grant_user(auth, &request, 86400, &reply, &err));
    struct rl_tls_identity *identity =
        identity_of(reply.tls_chain, reply.n_tls_chain, party.tls_key);
    fixture_clear(&reply.base);
    party_fini(&party);
    return identity;
}

static struct rl_tls_identity *service_identity(const char *kind, char id[RL_UUID_TEXT_BYTES])
{
    struct party party;
    char *token = fixture_token(kind, 1);
    INIT_REPLY(reply, JoinResponse, join_response);
    party_init(&party);
    ok(fixture_join(&party, kind, "", token, &reply));
    snprintf(id, RL_UUID_TEXT_BYTES, "%s", reply.id);
    struct rl_tls_identity *identity =
        identity_of(reply.tls_chain, reply.n_tls_chain, party.tls_key);
    fixture_clear(&reply.base);
    party_fini(&party);
    rl_token_free(&token);
    return identity;
}

/* ---- tests ---- */

static char *pin(void)
{
    struct rl_snapshot *snapshot = NULL;
    ok(rl_snapshots_current(auth->snapshots, &snapshot, &err));
    char *text = rl_strdup(snapshot->authorities->ca_pin);
    rl_snapshot_unref(&snapshot);
    return text;
}

START_TEST(a_stranger_with_the_pin_may_ping_and_no_more)
{
    struct line line;
    char *good = pin();
    INIT_REPLY(ping, PingRequest, ping_request);
    INIT_REPLY(list, ListNodesRequest, list_nodes_request);
    ProtobufCMessage *reply = NULL;
    line_open(&line, NULL, good);
    ok(ask(&line, &pb__auth__descriptor, "Ping", &ping.base, &reply));
    ck_assert_str_eq(((Pb__PingResponse *)reply)->cluster, CLUSTER);
    ck_assert_str_eq(((Pb__PingResponse *)reply)->ca_pin, good);
    protobuf_c_message_free_unpacked(reply, NULL);
    refused(ask(&line, &pb__session__descriptor, "ListNodes", &list.base, &reply),
            RL_E_UNAUTHENTICATED);
    line_close(&line);
    good[10] = good[10] == '0' ? '1' : '0';
    line_open(&line, NULL, good);
    ck_assert_int_ne(ask(&line, &pb__auth__descriptor, "Ping", &ping.base, &reply), RL_OK);
    ck_assert_ptr_nonnull(strstr(err.message, "pin"));
    line_close(&line);
    free(good);
}
END_TEST

struct watching {
    bool has_statement, has_locks, has_cuts, has_brokers, has_services, has_config, has_tickets;
    size_t locks, brokers;
    bool is_closed;
    rl_code code;
};

static void on_update(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)call;
    struct watching *w = context;
    const Pb__ControlUpdate *u = (const Pb__ControlUpdate *)message;
    w->has_statement |= u->statement != NULL;
    w->has_cuts |= u->cuts_changed;
    w->has_services |= u->services != NULL;
    w->has_config |= u->config != NULL;
    w->has_tickets |= u->ticket_keys && u->ticket_keys->n_keys && u->ticket_keys->keys[0].len == 80;
    if (u->locks_changed) {
        w->has_locks = true;
        w->locks = u->n_locks;
    }
    if (u->brokers_changed) {
        w->has_brokers = true;
        w->brokers = u->n_brokers;
    }
}

static void on_watch_closed(struct rl_rpc_call *call, rl_code code, const char *message,
                            void *context)
{
    (void)call;
    (void)message;
    struct watching *w = context;
    w->is_closed = true;
    w->code = code;
}

static bool is_whole(const struct watching *w)
{
    return w->has_statement && w->has_locks && w->has_cuts && w->has_brokers && w->has_services &&
           w->has_config && w->has_tickets;
}

/* How long until it holds; 10 s at most. */
#define TURN_UNTIL(condition)                                                                      \
    do {                                                                                           \
        uint64_t begin_ms_ = rl_clock_boot_ms();                                                   \
        while (!(condition) && rl_clock_boot_ms() - begin_ms_ < 10000)                             \
            rl_loop_turn(loop, 100);                                                               \
        ck_assert(condition);                                                                      \
        took_ms = rl_clock_boot_ms() - begin_ms_;                                                  \
    } while (0)

static void put_lock(struct line *admin, const char *target_kind, const char *target_name)
{
    char *kind = rl_strdup(target_kind), *name = rl_strdup(target_name), message[] = "lost";
    Pb__LockSpec spec = PB__LOCK_SPEC__INIT;
    Pb__Lock lock = PB__LOCK__INIT;
    Pb__Resource resource = PB__RESOURCE__INIT;
    INIT_REPLY(put, PutResourceRequest, put_resource_request);
    ProtobufCMessage *reply = NULL;
    spec.target_kind = kind;
    spec.target_name = name;
    spec.message = message;
    lock.spec = &spec;
    resource.kind_case = PB__RESOURCE__KIND_LOCK;
    resource.lock = &lock;
    put.resource = &resource;
    ok(ask(admin, &pb__admin__descriptor, "PutResource", &put.base, &reply));
    ck_assert(((Pb__PutResourceResponse *)reply)->created);
    protobuf_c_message_free_unpacked(reply, NULL);
    free(kind);
    free(name);
}

START_TEST(a_proxy_watches_and_hears_of_a_lock_at_once)
{
    static const struct rl_rpc_stream_ops ops = {.message = on_update, .closed = on_watch_closed};
    struct line control, admin;
    struct watching w = {0};
    char id[RL_UUID_TEXT_BYTES], kind[] = "proxy";
    uint64_t took_ms __attribute__((unused)) = 0;
    line_open_control(&control, service_identity("proxy", id));
    INIT_REPLY(request, WatchRequest, watch_request);
    request.service_kind = kind;
    struct rl_rpc_call *call =
        rl_rpc_stream(control.channel, &pb__control__descriptor, "Watch", 0, &ops, &w);
    ok(rl_rpc_send(call, &request.base, &err));
    rl_rpc_end(call, RL_OK, NULL);
    TURN_UNTIL(is_whole(&w));
    ck_assert_uint_eq(w.locks, 0);
    line_open(&admin, admin_identity(), NULL);
    put_lock(&admin, "user", "alice");
    TURN_UNTIL(w.locks == 1);
    ck_assert_uint_lt(took_ms, 2000); /* 1 s on a machine that is not busy */
    ck_assert(!w.is_closed);
    rl_rpc_cancel(call);
    TURN_UNTIL(w.is_closed);
    line_close(&admin);
    line_close(&control);
}
END_TEST

START_TEST(a_service_that_is_two_releases_away_is_told_whom_to_upgrade)
{
    static const struct rl_rpc_stream_ops ops = {.message = on_update, .closed = on_watch_closed};
    struct line control;
    struct watching w = {0};
    char id[RL_UUID_TEXT_BYTES], kind[] = "proxy";
    uint64_t took_ms __attribute__((unused)) = 0;
    line_open_control(&control, service_identity("proxy", id));
    INIT_REPLY(request, WatchRequest, watch_request);
    request.service_kind = kind;
    request.protocol = RL_PROTOCOL + 2;
    request.protocol_min = RL_PROTOCOL + 1;
    struct rl_rpc_call *call =
        rl_rpc_stream(control.channel, &pb__control__descriptor, "Watch", 0, &ops, &w);
    ok(rl_rpc_send(call, &request.base, &err));
    TURN_UNTIL(w.is_closed);
    ck_assert_int_eq(w.code, RL_E_PRECONDITION);
    ck_assert(!is_whole(&w));
    line_close(&control);
}
END_TEST

START_TEST(a_brokers_heartbeat_is_told_and_another_service_may_not_send_it)
{
    static const struct rl_rpc_stream_ops ops = {.message = on_update, .closed = on_watch_closed};
    struct line broker, proxy;
    struct watching w = {0};
    char id[RL_UUID_TEXT_BYTES], proxy_id[RL_UUID_TEXT_BYTES], kind[] = "broker",
                                                               watcher[] = "proxy";
    char dial[] = "127.0.0.1:1";
    uint64_t took_ms __attribute__((unused)) = 0;
    ProtobufCMessage *reply = NULL;
    line_open_control(&broker, service_identity("broker", id));
    line_open_control(&proxy, service_identity("proxy", proxy_id));
    INIT_REPLY(watch, WatchRequest, watch_request);
    watch.service_kind = watcher;
    struct rl_rpc_call *call =
        rl_rpc_stream(proxy.channel, &pb__control__descriptor, "Watch", 0, &ops, &w);
    ok(rl_rpc_send(call, &watch.base, &err));
    TURN_UNTIL(is_whole(&w));
    INIT_REPLY(beat, HeartbeatRequest, heartbeat_request);
    beat.kind = kind;
    beat.id = id;
    beat.dial_address = dial;
    refused(ask(&proxy, &pb__control__descriptor, "Heartbeat", &beat.base, &reply), RL_E_DENIED);
    ok(ask(&broker, &pb__control__descriptor, "Heartbeat", &beat.base, &reply));
    protobuf_c_message_free_unpacked(reply, NULL);
    TURN_UNTIL(w.brokers == 1);
    rl_rpc_cancel(call);
    TURN_UNTIL(w.is_closed);
    line_close(&broker);
    line_close(&proxy);
}
END_TEST

/* ---- a direct node ---- */

struct following {
    struct party *node;
    uint64_t epoch;
    bool is_welcome, has_statement, is_closed;
    uint64_t policy_version;
    size_t locks;
    char audit[32]; /* where it was told that audit is */
};

static void answer_challenge(struct following *f, struct rl_rpc_call *call,
                             const Pb__Challenge *challenge)
{
    Pb__Inventory inventory = PB__INVENTORY__INIT;
    Pb__Hello hello = PB__HELLO__INIT;
    Pb__SignedHello signed_hello = PB__SIGNED_HELLO__INIT;
    Pb__AgentMessage message = PB__AGENT_MESSAGE__INIT;
    struct rl_buf packed, signature;
    char where[] = "127.0.0.1:3022";
    rl_buf_init(&packed, 4096);
    rl_buf_init(&signature, 256);
    inventory.address = where;
    hello.agent_id = f->node->identity->name;
    hello.broker_id = challenge->broker_id;
    hello.epoch = challenge->epoch;
    hello.nonce = challenge->nonce;
    hello.inventory = &inventory;
    rl_message_pack(&hello.base, &packed);
    ok(rl_key_sign(f->node->tls_key, "remoteler-hello-v1", rl_buf_span(&packed), &signature, &err));
    signed_hello.hello = (ProtobufCBinaryData){packed.n, packed.p};
    signed_hello.signature = (ProtobufCBinaryData){signature.n, signature.p};
    message.body_case = PB__AGENT_MESSAGE__BODY_HELLO;
    message.hello = &signed_hello;
    ok(rl_rpc_send(call, &message.base, &err));
    f->epoch = challenge->epoch;
    rl_buf_fini(&packed);
    rl_buf_fini(&signature);
}

static void take_policy(struct following *f, const Pb__PolicyUpdate *update)
{
    Pb__PolicySeal *seal =
        pb__policy_seal__unpack(NULL, update->seal->seal.len, update->seal->seal.data);
    f->policy_version = seal->version;
    f->locks = 0;
    for (size_t i = 0; i < update->n_set; i++)
        f->locks += strncmp(update->set[i]->key, "lock/", 5) == 0;
    pb__policy_seal__free_unpacked(seal, NULL);
}

static void on_broker_message(struct rl_rpc_call *call, const ProtobufCMessage *message,
                              void *context)
{
    struct following *f = context;
    const Pb__BrokerMessage *said = (const Pb__BrokerMessage *)message;
    if (said->body_case == PB__BROKER_MESSAGE__BODY_CHALLENGE)
        answer_challenge(f, call, said->challenge);
    else if (said->body_case == PB__BROKER_MESSAGE__BODY_WELCOME)
        f->is_welcome = true;
    else if (said->body_case == PB__BROKER_MESSAGE__BODY_POLICY)
        take_policy(f, said->policy);
    else if (said->body_case == PB__BROKER_MESSAGE__BODY_STATEMENT)
        f->has_statement = true;
    else if (said->body_case == PB__BROKER_MESSAGE__BODY_AUDIT_PLACE)
        snprintf(f->audit, sizeof f->audit, "%s", said->audit_place->address);
}

static void on_follow_closed(struct rl_rpc_call *call, rl_code code, const char *message,
                             void *context)
{
    (void)call;
    (void)code;
    (void)message;
    struct following *f = context;
    f->is_closed = true;
}

static char *node_status(struct line *admin)
{
    INIT_REPLY(request, GetResourcesRequest, get_resources_request);
    ProtobufCMessage *reply = NULL;
    char kind[] = "node";
    request.kind = kind;
    ok(ask(admin, &pb__admin__descriptor, "GetResources", &request.base, &reply));
    const Pb__GetResourcesResponse *list = (const Pb__GetResourcesResponse *)reply;
    ck_assert_uint_eq(list->n_resources, 1);
    const Pb__NodeSpec *spec = list->resources[0]->node->spec;
    char *text = rl_sprintf("%s %s %s", spec->mode, spec->status, spec->address);
    protobuf_c_message_free_unpacked(reply, NULL);
    return text;
}

static bool status_is(struct line *admin, const char *want)
{
    char *status = node_status(admin);
    bool is = strcmp(status, want) == 0;
    free(status);
    return is;
}

START_TEST(a_direct_node_follows_is_sent_its_policy_and_is_let_go_when_locked)
{
    static const struct rl_rpc_stream_ops ops = {.message = on_broker_message,
                                                 .closed = on_follow_closed};
    struct party node;
    struct line line, admin;
    uint64_t took_ms __attribute__((unused)) = 0;
    char *token = fixture_token("node", 1);
    INIT_REPLY(joined, JoinResponse, join_response);
    party_init(&node);
    ok(fixture_join(&node, "agent", "node-a", token, &joined));
    struct following f = {.node = &node};
    line_open(&line, identity_of(joined.tls_chain, joined.n_tls_chain, node.tls_key), NULL);
    line_open(&admin, admin_identity(), NULL);
    rl_rpc_stream(line.channel, &pb__fleet__descriptor, "Follow", 0, &ops, &f);
    TURN_UNTIL(f.is_welcome && f.policy_version && f.has_statement);
    ck_assert_uint_gt(f.epoch, 0);
    ck_assert(status_is(&admin, "direct online 127.0.0.1:3022"));
    uint64_t before = f.policy_version;
    put_lock(&admin, "user", "alice");
    TURN_UNTIL(f.policy_version > before);
    ck_assert_uint_eq(f.locks, 1);
    ck_assert_uint_lt(took_ms, 2000);
    put_lock(&admin, "node", "node-a");
    TURN_UNTIL(f.is_closed);
    TURN_UNTIL(status_is(&admin, "direct offline 127.0.0.1:3022"));
    line_close(&line);
    line_close(&admin);
    fixture_clear(&joined.base);
    party_fini(&node);
    rl_token_free(&token);
}
END_TEST

static void audit_beats(struct line *audit, char *id, char *where)
{
    char kind[] = "audit";
    ProtobufCMessage *reply = NULL;
    INIT_REPLY(beat, HeartbeatRequest, heartbeat_request);
    beat.kind = kind;
    beat.id = id;
    beat.dial_address = where;
    ok(ask(audit, &pb__control__descriptor, "Heartbeat", &beat.base, &reply));
    protobuf_c_message_free_unpacked(reply, NULL);
}

START_TEST(a_direct_node_that_was_there_first_hears_where_audit_is_and_when_it_moves)
{
    static const struct rl_rpc_stream_ops ops = {.message = on_broker_message,
                                                 .closed = on_follow_closed};
    struct party node;
    struct line line, audit;
    char id[RL_UUID_TEXT_BYTES], first[] = "127.0.0.1:3", second[] = "127.0.0.1:4";
    uint64_t took_ms __attribute__((unused)) = 0;
    char *token = fixture_token("node", 1);
    INIT_REPLY(joined, JoinResponse, join_response);
    party_init(&node);
    ok(fixture_join(&node, "agent", "node-a", token, &joined));
    struct following f = {.node = &node}, late = {.node = &node};
    line_open(&line, identity_of(joined.tls_chain, joined.n_tls_chain, node.tls_key), NULL);
    line_open_control(&audit, service_identity("audit", id));
    rl_rpc_stream(line.channel, &pb__fleet__descriptor, "Follow", 0, &ops, &f);
    TURN_UNTIL(f.is_welcome);
    ck_assert_str_eq(f.audit, "");
    audit_beats(&audit, id, first);
    TURN_UNTIL(strcmp(f.audit, first) == 0);
    audit_beats(&audit, id, second);
    TURN_UNTIL(strcmp(f.audit, second) == 0);
    rl_rpc_stream(line.channel, &pb__fleet__descriptor, "Follow", 0, &ops, &late);
    TURN_UNTIL(late.is_welcome && strcmp(late.audit, second) == 0);
    line_close(&line);
    line_close(&audit);
    fixture_clear(&joined.base);
    party_fini(&node);
    rl_token_free(&token);
}
END_TEST

START_TEST(without_its_database_it_is_not_ready_and_comes_back)
{
    uint64_t took_ms __attribute__((unused)) = 0;
    TURN_UNTIL(process_http_status(service.health_port, "/readyz") == 200);
    fixture_stop_database();
    TURN_UNTIL(process_http_status(service.health_port, "/readyz") == 503);
    ck_assert_int_eq(process_http_status(service.health_port, "/healthz"), 200);
    fixture_start_database();
    TURN_UNTIL(process_http_status(service.health_port, "/readyz") == 200);
    struct line admin;
    line_open(&admin, admin_identity(), NULL);
    put_lock(&admin, "user", "alice");
    line_close(&admin);
}
END_TEST

START_TEST(it_waits_for_a_database_that_is_away_at_the_start)
{
    struct process late;
    uint64_t took_ms __attribute__((unused)) = 0;
    fixture_stop_database();
    process_start(&late, fixture_settings()->database, fixture_settings()->key_file,
                  process_free_port());
    process_wait_log(&late, "waiting for PostgreSQL");
    ck_assert_int_eq(process_http_status(late.health_port, "/readyz"), 503);
    fixture_start_database();
    process_wait_serving(&late);
    TURN_UNTIL(process_http_status(late.health_port, "/readyz") == 200);
    ck_assert_int_eq(process_end(&late), 0);
}
END_TEST

START_TEST(a_signal_ends_it_while_it_waits)
{
    struct process late;
    fixture_stop_database();
    process_start(&late, fixture_settings()->database, fixture_settings()->key_file,
                  process_free_port());
    process_wait_log(&late, "waiting for PostgreSQL");
    ck_assert_int_eq(process_end(&late), 0);
    fixture_start_database();
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("service");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_stranger_with_the_pin_may_ping_and_no_more);
    tcase_add_test(t, a_proxy_watches_and_hears_of_a_lock_at_once);
    tcase_add_test(t, a_service_that_is_two_releases_away_is_told_whom_to_upgrade);
    tcase_add_test(t, a_brokers_heartbeat_is_told_and_another_service_may_not_send_it);
    tcase_add_test(t, a_direct_node_follows_is_sent_its_policy_and_is_let_go_when_locked);
    tcase_add_test(t, a_direct_node_that_was_there_first_hears_where_audit_is_and_when_it_moves);
    tcase_add_test(t, without_its_database_it_is_not_ready_and_comes_back);
    tcase_add_test(t, it_waits_for_a_database_that_is_away_at_the_start);
    tcase_add_test(t, a_signal_ends_it_while_it_waits);
    return fixture_main("service", t);
}
