#include "fixture.h"

#include "admin/admin.h"
#include "authority/grant.h"
#include "bootstrap.h"
#include "bytes/secret.h"
#include "clock/clock.h"
#include "credential/token.h"
#include "credential/totp.h"
#include "fleet/join.h"
#include "identity/identity.h"
#include "people/invite.h"
#include "people/listing.h"
#include "people/login.h"
#include "services/control.h"
#include "sshcert/sshkey.h"
#include "testpg.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct rl_auth *auth;
struct rl_error err;
char fixture_directory[64];
const char *fixture_other_cluster;
const char fixture_password[] = "correct horse battery";

static struct rl_testpg *pg;
static struct rl_auth_settings settings;
static char conninfo[256];
static unsigned databases;

/* ---- the database ---- */

static void run_sql(const char *where, const char *sql, long *number)
{
    PGconn *c = PQconnectdb(where);
    ck_assert_msg(PQstatus(c) == CONNECTION_OK, "%s", PQerrorMessage(c));
    PGresult *r = PQexec(c, sql);
    ExecStatusType status = PQresultStatus(r);
    ck_assert_msg(status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK, "%s", PQerrorMessage(c));
    if (number)
        *number = PQntuples(r) ? strtol(PQgetvalue(r, 0, 0), NULL, 10) : 0;
    PQclear(r);
    PQfinish(c);
}

static const char *create_database(const char *template)
{
    char sql[192];
    char name[64];
    snprintf(name, sizeof name, "t_%d_%u", (int)getpid(), databases++);
    snprintf(sql, sizeof sql, "CREATE DATABASE %s TEMPLATE %s", name, template);
    run_sql(rl_testpg_conninfo(pg), sql, NULL);
    const char *base = rl_testpg_conninfo(pg); /* ends with dbname=postgres */
    const char *at = strstr(base, "dbname=");
    ck_assert_ptr_nonnull(at);
    snprintf(conninfo, sizeof conninfo, "%.*sdbname=%s", (int)(at - base), base, name);
    return conninfo;
}

const char *fixture_new_database(void)
{
    return create_database("template1");
}

void fixture_stop_database(void)
{
    rl_testpg_stop(pg);
}

void fixture_start_database(void)
{
    rl_testpg_start(pg);
}

void fixture_sql(const char *sql)
{
    char *with_path = rl_sprintf("SET search_path TO auth; %s", sql);
    run_sql(conninfo, with_path, NULL);
    free(with_path);
}

long fixture_count(const char *sql)
{
    long number = 0;
    char *with_path = rl_sprintf("SET search_path TO auth; %s", sql);
    run_sql(conninfo, with_path, &number);
    free(with_path);
    return number;
}

/* ---- the cluster ---- */

static char cluster[] = CLUSTER, admin[] = "admin", public_address[] = "127.0.0.1:8443";
static char key_file[128];

struct rl_auth_settings *fixture_settings(void)
{
    return &settings;
}

/* A cluster is made once for a test program; each test gets a copy. */
static struct made {
    char cluster[64], database[64], key_file[128];
} made[2];
static size_t made_count;
static char made_directory[64];

static void make_cluster(const char *name)
{
    struct rl_bootstrap_result result;
    struct made *m = &made[made_count++];
    ck_assert_uint_le(made_count, RL_COUNT(made));
    snprintf(m->cluster, sizeof m->cluster, "%s", name);
    snprintf(m->key_file, sizeof m->key_file, "%s/%s.key", made_directory, name);
    const char *where = fixture_new_database();
    snprintf(m->database, sizeof m->database, "%s", strstr(where, "dbname=") + strlen("dbname="));
    struct rl_auth_settings its = {
        .cluster = m->cluster,
        .database = conninfo,
        .key_file = m->key_file,
        .public_address = public_address,
        .admin = admin,
        .workers = 1,
        .identity_ttl_s = 86400,
        .service_token_ttl_s = 3600,
        .service_token_uses = 4,
    };
    struct rl_auth *maker = NULL;
    ok(rl_auth_open(&its, &maker, &err));
    ok(rl_bootstrap(maker, &result, &err));
    ck_assert(result.created);
    rl_auth_close(&maker);
}

static void make_clusters(void)
{
    snprintf(made_directory, sizeof made_directory, "/tmp/rl_auth_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(made_directory));
    make_cluster(CLUSTER);
    if (fixture_other_cluster)
        make_cluster(fixture_other_cluster);
}

static void forget_clusters(void)
{
    char *command = rl_sprintf("rm -rf %s", made_directory);
    ck_assert_int_eq(system(command), 0);
    free(command);
}

const char *fixture_copy_cluster(const char *name, const char *its_key_file)
{
    for (size_t i = 0; i < made_count; i++)
        if (strcmp(made[i].cluster, name) == 0) {
            char *command = rl_sprintf("cp -p %s %s", made[i].key_file, its_key_file);
            ck_assert_int_eq(system(command), 0);
            free(command);
            return create_database(made[i].database);
        }
    ck_abort_msg("no cluster %s was made", name);
}

void fixture_set_up(void)
{
    snprintf(fixture_directory, sizeof fixture_directory, "/tmp/rl_auth_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(fixture_directory));
    snprintf(key_file, sizeof key_file, "%s/key", fixture_directory);
    fixture_copy_cluster(CLUSTER, key_file);
    settings = (struct rl_auth_settings){
        .cluster = cluster,
        .database = conninfo,
        .key_file = key_file,
        .public_address = public_address,
        .admin = admin,
        .workers = 2,
        .invitation_ttl_s = 3600,
        .identity_ttl_s = 86400,
        .service_token_ttl_s = 3600,
        .service_token_uses = 4,
    };
    ok(rl_auth_open(&settings, &auth, &err));
    ok(rl_auth_start(auth, &err));
    auth->events = rl_auth_events_create(NULL, NULL);
}

void fixture_tear_down(void)
{
    if (auth)
        rl_auth_events_free(&auth->events, 0);
    rl_auth_close(&auth);
    char *command = rl_sprintf("rm -rf %s", fixture_directory);
    ck_assert_int_eq(system(command), 0);
    free(command);
}

int fixture_main(const char *name, TCase *tcase)
{
    pg = rl_testpg_create();
    tcase_add_unchecked_fixture(tcase, make_clusters, forget_clusters);
    tcase_set_timeout(tcase, 60);
    Suite *s = suite_create(name);
    suite_add_tcase(s, tcase);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    rl_testpg_free(&pg);
    return failed != 0;
}

void fixture_clear(ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *descriptor = message->descriptor;
    void *heap = rl_alloc(descriptor->sizeof_message);
    memcpy(heap, message, descriptor->sizeof_message);
    protobuf_c_message_free_unpacked(heap, NULL);
    protobuf_c_message_init(descriptor, message);
}

/* ---- parties ---- */

void party_init(struct party *party)
{
    *party = (struct party){.peer = {.address = "192.0.2.7:1234", .connection = 1}};
    rl_buf_init(&party->tls_spki, 1024);
    rl_buf_init(&party->ssh_blob, 1024);
    ok(rl_key_generate_p256(&party->tls_key, &err));
    ok(rl_sshkey_generate(&party->ssh_key, &err));
    ok(rl_key_to_spki(party->tls_key, &party->tls_spki, &err));
    ok(rl_sshkey_public_blob(party->ssh_key, &party->ssh_blob, &err));
}

void party_fini(struct party *party)
{
    rl_identity_unref(&party->identity);
    EVP_PKEY_free(party->tls_key);
    EVP_PKEY_free(party->ssh_key);
    rl_buf_fini(&party->tls_spki);
    rl_buf_fini(&party->ssh_blob);
}

void party_forget_identity(struct party *party)
{
    rl_identity_unref(&party->identity);
    party->peer.identity = NULL;
}

void party_become(struct party *party, const ProtobufCBinaryData *chain, size_t count)
{
    struct rl_snapshot *snapshot = NULL;
    struct rl_trust *trust = NULL;
    STACK_OF(X509) *stack = sk_X509_new_null();
    ok(rl_snapshots_current(auth->snapshots, &snapshot, &err));
    ok(rl_authorities_trust(snapshot->authorities, &trust, &err));
    for (size_t i = 0; i < count; i++) {
        X509 *certificate = NULL;
        ok(rl_x509_from_der(RL_BINARY(chain[i]), &certificate, &err));
        sk_X509_push(stack, certificate);
    }
    rl_identity_unref(&party->identity);
    ok(rl_identity_check(trust, stack, false, rl_clock_wall_s(), &party->identity, &err));
    party->peer.identity = party->identity;
    sk_X509_pop_free(stack, X509_free);
    rl_trust_unref(&trust);
    rl_snapshot_unref(&snapshot);
}

static ProtobufCBinaryData binary(const struct rl_buf *b)
{
    return (ProtobufCBinaryData){b->n, b->p};
}

void party_admin(struct party *party)
{
    party_init(party);
    INIT_REPLY(request, SignUserRequest, sign_user_request);
    INIT_REPLY(reply, LoginResponse, login_response);
    request.user = admin;
    request.tls_public_key = binary(&party->tls_spki);
    ok(rl_grant_user(auth, &request, 86400, &reply, &err));
    party_become(party, reply.tls_chain, reply.n_tls_chain);
    fixture_clear(&reply.base);
}

/* ---- users ---- */

void fixture_code(const struct rl_buf *secret, int steps, char code[7])
{
    ok(rl_totp_generate(rl_buf_span(secret), rl_clock_wall_s() + steps * RL_TOTP_STEP_S, code,
                        &err));
}

static void sign_up(char *token, const struct rl_buf *secret)
{
    char code[7];
    char *password = rl_strdup(fixture_password);
    INIT_REPLY(request, SignupRequest, signup_request);
    INIT_REPLY(reply, SignupResponse, signup_response);
    struct rl_rpc_peer peer = {.address = "192.0.2.9:1"};
    fixture_code(secret, 0, code);
    request.token = token;
    request.password = password;
    request.otp = code;
    ok(rl_auth_signup(auth, &peer, &request, &reply, &err));
    fixture_clear(&reply.base);
    free(password);
}

void fixture_add_user(const char *name, const char *role, const char *login, struct rl_buf *secret)
{
    struct party by;
    party_admin(&by);
    INIT_REPLY(request, AddUserRequest, add_user_request);
    INIT_REPLY(invited, InvitationIssued, invitation_issued);
    char *role_name = rl_strdup(role);
    char *login_name = rl_strdup(login);
    char key[] = "logins";
    Pb__Trait trait = PB__TRAIT__INIT;
    Pb__Trait *traits[] = {&trait};
    trait.key = key;
    trait.values = &login_name;
    trait.n_values = 1;
    request.name = rl_strdup(name);
    request.roles = &role_name;
    request.n_roles = 1;
    request.traits = traits;
    request.n_traits = 1;
    ok(rl_admin_add_user(auth, &by.peer, &request, &invited, &err));
    INIT_REPLY(ask, InvitationRequest, invitation_request);
    INIT_REPLY(invitation, InvitationResponse, invitation_response);
    ask.token = invited.invite_token;
    ok(rl_auth_invitation(auth, &by.peer, &ask, &invitation, &err));
    rl_buf_init(secret, 64);
    rl_buf_put_span(secret, RL_BINARY(invitation.totp_secret));
    sign_up(invited.invite_token, secret);
    fixture_sql("UPDATE users SET totp_last_step = -1"); /* this step's code is for a login */
    fixture_clear(&invitation.base);
    fixture_clear(&invited.base);
    free(request.name);
    free(role_name);
    free(login_name);
    party_fini(&by);
}

rl_code fixture_login(struct party *party, const char *user, const char *password, const char *code,
                      Pb__LoginResponse *reply)
{
    INIT_REPLY(request, LoginRequest, login_request);
    request.user = rl_strdup(user);
    request.password = rl_strdup(password);
    request.otp = rl_strdup(code);
    request.tls_public_key = binary(&party->tls_spki);
    request.ssh_public_key = binary(&party->ssh_blob);
    party->peer.identity = NULL;
    rl_code rc = rl_auth_login(auth, &party->peer, &request, reply, &err);
    if (rc == RL_OK)
        party_become(party, reply->tls_chain, reply->n_tls_chain);
    free(request.user);
    free(request.password);
    free(request.otp);
    return rc;
}

/* ---- instances ---- */

char *fixture_token(const char *type, uint32_t uses)
{
    INIT_REPLY(request, AddTokenRequest, add_token_request);
    char *types[] = {rl_strdup(type)};
    Pb__Token *token = NULL;
    char *secret = NULL;
    request.types = types;
    request.n_types = 1;
    request.uses = uses;
    ok(rl_grant_token(auth, &request, "admin", &token, &secret, &err));
    pb__token__free_unpacked(token, NULL);
    free(types[0]);
    return secret;
}

rl_code fixture_join(struct party *party, const char *kind, const char *name, const char *token,
                     Pb__JoinResponse *reply)
{
    INIT_REPLY(request, JoinRequest, join_request);
    char node[] = "node";
    char *kinds[] = {node};
    struct rl_buf body, proof;
    rl_buf_init(&body, 256);
    rl_buf_init(&proof, 256);
    rl_buf_put_string(&body, rl_span_of(token));
    ok(rl_key_sign(party->tls_key, RL_JOIN_CONTEXT, rl_buf_span(&body), &proof, &err));
    request.token = rl_strdup(token);
    request.kind = rl_strdup(kind);
    request.node_name = rl_strdup(name);
    bool is_agent = strcmp(kind, "agent") == 0;
    request.agent_kinds = kinds;
    request.n_agent_kinds = is_agent;
    request.tls_public_key = binary(&party->tls_spki);
    request.proof = binary(&proof);
    request.ssh_public_key = is_agent ? binary(&party->ssh_blob) : (ProtobufCBinaryData){0, NULL};
    request.agent_id = rl_strdup(party->identity ? party->identity->name : "");
    rl_code rc = rl_auth_join(auth, &party->peer, &request, reply, &err);
    if (rc == RL_OK)
        party_become(party, reply->tls_chain, reply->n_tls_chain);
    free(request.token);
    free(request.kind);
    free(request.node_name);
    free(request.agent_id);
    rl_buf_fini(&body);
    rl_buf_fini(&proof);
    return rc;
}

void fixture_heartbeat(struct party *service)
{
    INIT_REPLY(request, HeartbeatRequest, heartbeat_request);
    INIT_REPLY(reply, HeartbeatResponse, heartbeat_response);
    request.kind = service->identity->service;
    request.id = service->identity->name;
    ok(rl_control_heartbeat(auth, &service->peer, &request, &reply, &err));
    ck_assert_int_gt(reply.time_ns, 0);
}

uint64_t fixture_next_epoch(struct party *broker, const char *agent_id)
{
    INIT_REPLY(request, NextEpochRequest, next_epoch_request);
    INIT_REPLY(reply, NextEpochResponse, next_epoch_response);
    request.agent_id = rl_strdup(agent_id);
    request.broker_id = broker->identity->name;
    ok(rl_control_next_epoch(auth, &broker->peer, &request, &reply, &err));
    free(request.agent_id);
    return reply.epoch;
}

void fixture_report_make(struct fixture_report *out, struct party *node, struct party *broker,
                         uint64_t epoch, Pb__Inventory *inventory)
{
    fixture_report_holding(out, node, broker, epoch, inventory, 0, RL_SPAN(NULL, 0));
}

void fixture_report_holding(struct fixture_report *out, struct party *node, struct party *broker,
                            uint64_t epoch, Pb__Inventory *inventory, uint64_t policy_version,
                            struct rl_span policy_sha256)
{
    Pb__Hello hello = PB__HELLO__INIT;
    char version[] = "0.1.0";
    rl_buf_init(&out->packed, 65536);
    rl_buf_init(&out->signature, 256);
    hello.agent_id = node->identity->name;
    hello.broker_id = broker->identity->name;
    hello.epoch = epoch;
    hello.version = version;
    hello.inventory = inventory;
    hello.policy_version = policy_version;
    hello.policy_sha256 =
        (ProtobufCBinaryData){policy_sha256.n, (uint8_t *)(uintptr_t)policy_sha256.p};
    rl_message_pack(&hello.base, &out->packed);
    ok(rl_key_sign(node->tls_key, "remoteler-hello-v1", rl_buf_span(&out->packed), &out->signature,
                   &err));
    pb__signed_hello__init(&out->hello);
    out->hello.hello = binary(&out->packed);
    out->hello.signature = binary(&out->signature);
    pb__attachment_report__init(&out->report);
    out->report.agent_id = node->identity->name;
    out->report.epoch = epoch;
    out->report.attached = true;
    out->report.hello = &out->hello;
}

void fixture_report_fini(struct fixture_report *report)
{
    rl_buf_fini(&report->packed);
    rl_buf_fini(&report->signature);
}

void fixture_attach(struct party *node, struct party *broker, uint64_t epoch,
                    Pb__ReportAttachmentsResponse *reply)
{
    struct fixture_report report;
    Pb__Inventory inventory = PB__INVENTORY__INIT;
    Pb__AttachmentReport *reports[] = {&report.report};
    INIT_REPLY(request, ReportAttachmentsRequest, report_attachments_request);
    fixture_report_make(&report, node, broker, epoch, &inventory);
    request.broker_id = broker->identity->name;
    request.reports = reports;
    request.n_reports = 1;
    ok(rl_control_report(auth, &broker->peer, &request, reply, &err));
    fixture_report_fini(&report);
}

Pb__Event *fixture_event(const char *type)
{
    for (Pb__Event *event; (event = rl_auth_events_next(auth->events));) {
        if (strcmp(event->type, type) == 0)
            return event;
        rl_event_free(&event);
    }
    ck_abort_msg("there is no event %s", type);
}

rl_code fixture_renew(struct party *party, EVP_PKEY *fresh, uint64_t generation,
                      Pb__JoinResponse *reply)
{
    struct rl_buf spki, proof;
    rl_buf_init(&spki, 1024);
    rl_buf_init(&proof, 256);
    INIT_REPLY(request, RenewRequest, renew_request);
    ok(rl_key_to_spki(fresh, &spki, &err));
    ok(rl_key_sign(fresh, RL_RENEW_CONTEXT, RL_SPAN(party->identity->fingerprint, 32), &proof,
                   &err));
    request.tls_public_key = (ProtobufCBinaryData){spki.n, spki.p};
    request.proof = (ProtobufCBinaryData){proof.n, proof.p};
    request.generation = generation;
    rl_code rc = rl_auth_renew(auth, &party->peer, &request, reply, &err);
    rl_buf_fini(&spki);
    rl_buf_fini(&proof);
    return rc;
}

rl_code fixture_list_nodes(const struct rl_rpc_peer *peer, Pb__ListNodesRequest *request,
                           Pb__ListNodesResponse *reply)
{
    struct rl_buf packed;
    rl_buf_init(&packed, RL_RPC_MESSAGE_BYTES_MAX);
    rl_code rc = rl_listing_pack(auth, peer, request, &packed, &err);
    if (rc == RL_OK) {
        Pb__ListNodesResponse *said = pb__list_nodes_response__unpack(NULL, packed.n, packed.p);
        ck_assert_ptr_nonnull(said);
        *reply = *said;
        free(said);
    }
    rl_buf_fini(&packed);
    return rc;
}
