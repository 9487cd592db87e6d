#include "clock/clock.h"
#include "credential/token.h"
#include "fixture.h"
#include "policy/policy.h"
#include "services/control.h"

#include <stdlib.h>
#include <string.h>

static struct rl_buf secret;
static struct party alice, node, broker, proxy;

static void join_ok(struct party *party, const char *kind, const char *type, const char *name)
{
    char *token = fixture_token(type, 1);
    INIT_REPLY(reply, JoinResponse, join_response);
    party_init(party);
    ok(fixture_join(party, kind, name, token, &reply));
    fixture_clear(&reply.base);
    rl_token_free(&token);
}

static void set_up(void)
{
    char code[7];
    INIT_REPLY(login, LoginResponse, login_response);
    fixture_set_up();
    join_ok(&node, "agent", "node", "node-a");
    join_ok(&broker, "broker", "broker", "");
    join_ok(&proxy, "proxy", "proxy", "");
    fixture_add_user("alice", "access", "root", &secret);
    fixture_code(&secret, 0, code);
    party_init(&alice);
    ok(fixture_login(&alice, "alice", fixture_password, code, &login));
    fixture_clear(&login.base);
}

static void tear_down(void)
{
    party_fini(&alice);
    party_fini(&node);
    party_fini(&broker);
    party_fini(&proxy);
    rl_buf_fini(&secret);
    fixture_tear_down();
}

static unsigned attach(struct party *which, uint64_t epoch)
{
    INIT_REPLY(reply, ReportAttachmentsResponse, report_attachments_response);
    fixture_attach(which, &broker, epoch, &reply);
    ck_assert_uint_eq(reply.n_verdicts, 1);
    unsigned code = reply.verdicts[0]->code;
    fixture_clear(&reply.base);
    return code;
}

static rl_code resolve(const char *target, Pb__ResolveTargetResponse *reply)
{
    Pb__Caller caller = PB__CALLER__INIT;
    INIT_REPLY(request, ResolveTargetRequest, resolve_target_request);
    char kind[] = "ssh", address[] = "192.0.2.7:1";
    caller.user = alice.identity->name;
    caller.cluster = alice.identity->cluster;
    caller.claims = alice.identity->claims;
    caller.client_address = address;
    request.caller = &caller;
    request.kind = kind;
    request.target = rl_strdup(target);
    rl_code rc = rl_control_resolve(auth, &proxy.peer, &request, reply, &err);
    free(request.target);
    return rc;
}

START_TEST(an_attached_node_is_online_while_its_broker_is)
{
    INIT_REPLY(where, ResolveTargetResponse, resolve_target_response);
    fixture_heartbeat(&broker);
    ok(resolve("node-a", &where));
    ck_assert(!where.is_online);
    fixture_clear(&where.base);
    ck_assert_uint_eq(attach(&node, fixture_next_epoch(&broker, node.identity->name)), RL_OK);
    ok(resolve("node-a", &where));
    ck_assert(where.is_online);
    ck_assert_str_eq(where.agent_id, node.identity->name);
    ck_assert_str_eq(where.mode, "tunnel");
    ck_assert_uint_eq(where.n_broker_ids, 1);
    ck_assert_str_eq(where.broker_ids[0], broker.identity->name);
    fixture_clear(&where.base);
    fixture_sql("UPDATE leases SET expires = now() - interval '1 s', last_seen = now() - interval"
                " '11 s'; UPDATE instances SET last_seen = now() - interval '1 hour'");
    ok(resolve("node-a", &where));
    ck_assert(!where.is_online);
    ck_assert_uint_eq(where.n_broker_ids, 0);
    int64_t age_s = rl_clock_wall_s() - where.last_seen_ns / 1000000000;
    ck_assert_int_ge(age_s, 10);
    ck_assert_int_le(age_s, 15);
    fixture_clear(&where.base);
}
END_TEST

START_TEST(a_target_is_a_name_an_id_or_a_label)
{
    INIT_REPLY(where, ResolveTargetResponse, resolve_target_response);
    struct party second;
    fixture_sql("UPDATE instances SET own_label_keys = '{env}', own_label_values = '{dev}'"
                " WHERE name = 'node-a'");
    ok(resolve(node.identity->name, &where));
    fixture_clear(&where.base);
    ok(resolve("env=dev", &where));
    ck_assert_str_eq(where.name, "node-a");
    fixture_clear(&where.base);
    refused(resolve("env=prod", &where), RL_E_NOT_FOUND);
    join_ok(&second, "agent", "node", "node-b");
    fixture_sql("UPDATE instances SET own_label_keys = '{env}', own_label_values = '{dev}'"
                " WHERE name = 'node-b'");
    refused(resolve("env=dev", &where), RL_E_INVAL);
    ck_assert_str_eq(err.message, "2 nodes match env=dev: node-a, node-b; name one of them");
    party_fini(&second);
}
END_TEST

START_TEST(what_the_roles_hide_is_as_if_it_were_not_there)
{
    INIT_REPLY(where, ResolveTargetResponse, resolve_target_response);
    refused(resolve("node-z", &where), RL_E_NOT_FOUND);
    ck_assert_str_eq(err.message, "no such node \"node-z\"");
    fixture_sql("DELETE FROM roles WHERE name = 'access'; UPDATE revision SET number = number + 1");
    refused(resolve("node-a", &where), RL_E_NOT_FOUND);
    ck_assert_str_eq(err.message, "no such node \"node-a\"");
    refused(resolve(node.identity->name, &where), RL_E_NOT_FOUND);
    refused(resolve("\033[31m", &where), RL_E_NOT_FOUND);
    ck_assert_ptr_null(strchr(err.message, '\033'));
}
END_TEST

START_TEST(an_older_epoch_loses)
{
    uint64_t first = fixture_next_epoch(&broker, node.identity->name);
    uint64_t second = fixture_next_epoch(&broker, node.identity->name);
    ck_assert_uint_gt(second, first);
    ck_assert_uint_eq(attach(&node, second), RL_OK);
    ck_assert_uint_eq(attach(&node, first), RL_E_ABORTED);
    ck_assert_uint_eq(attach(&node, second + 1000), RL_E_ABORTED); /* never handed out */
}
END_TEST

START_TEST(many_are_offered_epochs_at_once_and_each_has_its_answer)
{
    struct party second, stopped;
    char nobody[] = "0190c0de-0000-7000-8000-00000000dead", crooked[] = "\xff'--";
    INIT_REPLY(request, NextEpochRequest, next_epoch_request);
    INIT_REPLY(reply, NextEpochResponse, next_epoch_response);
    join_ok(&second, "agent", "node", "node-b");
    join_ok(&stopped, "agent", "node", "node-c");
    fixture_sql("INSERT INTO locks VALUES ('l', 'node', 'node-c', '', 'stolen', 'admin', now(),"
                " NULL, 2); UPDATE revision SET number = number + 1");
    char *ids[] = {node.identity->name,    nobody,
                   second.identity->name,  crooked,
                   stopped.identity->name, broker.identity->name,
                   node.identity->name};
    static const rl_code codes[] = {RL_E_ABORTED, RL_E_NOT_FOUND, RL_OK, RL_E_NOT_FOUND,
                                    RL_E_DENIED,  RL_E_NOT_FOUND, RL_OK};
    request.broker_id = broker.identity->name;
    request.agent_id = ids[0];
    request.agent_ids = ids;
    request.n_agent_ids = RL_COUNT(ids);
    ok(rl_control_next_epoch(auth, &broker.peer, &request, &reply, &err));
    ck_assert_uint_eq(reply.n_offers, RL_COUNT(ids));
    for (size_t i = 0; i < RL_COUNT(ids); i++) {
        ck_assert_msg(reply.offers[i]->code == codes[i], "%zu: %s", i, reply.offers[i]->message);
        ck_assert_int_eq(reply.offers[i]->epoch != 0, codes[i] == RL_OK);
    }
    ck_assert_uint_eq(attach(&second, reply.offers[2]->epoch), RL_OK);
    ck_assert_uint_eq(attach(&node, reply.offers[6]->epoch), RL_OK);
    ck_assert_uint_eq(attach(&second, reply.offers[6]->epoch), RL_E_ABORTED); /* another's */
    fixture_clear(&reply.base);
    party_fini(&second);
    party_fini(&stopped);
}
END_TEST

START_TEST(of_those_that_are_reported_together_each_has_its_verdict)
{
    struct party second, third;
    struct fixture_report of[4];
    Pb__Inventory inventory = PB__INVENTORY__INIT;
    Pb__AttachmentReport *reports[] = {&of[0].report, &of[1].report, &of[2].report, &of[3].report};
    INIT_REPLY(request, ReportAttachmentsRequest, report_attachments_request);
    INIT_REPLY(reply, ReportAttachmentsResponse, report_attachments_response);
    join_ok(&second, "agent", "node", "node-b");
    join_ok(&third, "agent", "node", "node-c");
    uint64_t old = fixture_next_epoch(&broker, second.identity->name);
    fixture_next_epoch(&broker, second.identity->name);
    EVP_PKEY *own = third.tls_key;
    fixture_report_make(&of[0], &node, &broker, fixture_next_epoch(&broker, node.identity->name),
                        &inventory);
    fixture_report_make(&of[1], &second, &broker, old, &inventory);
    third.tls_key = node.tls_key;
    fixture_report_make(&of[2], &third, &broker, fixture_next_epoch(&broker, third.identity->name),
                        &inventory);
    third.tls_key = own;
    fixture_report_make(&of[3], &node, &broker, fixture_next_epoch(&broker, node.identity->name),
                        &inventory); /* again: its first epoch is not the latest any more */
    request.broker_id = broker.identity->name;
    request.reports = reports;
    request.n_reports = 4;
    ok(rl_control_report(auth, &broker.peer, &request, &reply, &err));
    static const rl_code codes[] = {RL_E_ABORTED, RL_E_ABORTED, RL_E_DENIED, RL_OK};
    ck_assert_uint_eq(reply.n_verdicts, 4);
    for (size_t i = 0; i < 4; i++) {
        ck_assert_str_eq(reply.verdicts[i]->agent_id, reports[i]->agent_id);
        ck_assert_uint_eq(reply.verdicts[i]->code, codes[i]);
        fixture_report_fini(&of[i]);
    }
    fixture_clear(&reply.base);
    party_fini(&second);
    party_fini(&third);
}
END_TEST

START_TEST(no_broker_can_claim_an_agent_that_did_not_come)
{
    uint64_t epoch = fixture_next_epoch(&broker, node.identity->name);
    EVP_PKEY *own = node.tls_key;
    node.tls_key = broker.tls_key;
    ck_assert_uint_eq(attach(&node, epoch), RL_E_DENIED);
    node.tls_key = own;
    /* Nor can a service speak for another. */
    struct party second;
    join_ok(&second, "broker", "broker", "");
    INIT_REPLY(request, HeartbeatRequest, heartbeat_request);
    INIT_REPLY(beat, HeartbeatResponse, heartbeat_response);
    char kind[] = "broker";
    request.kind = kind;
    request.id = broker.identity->name;
    refused(rl_control_heartbeat(auth, &second.peer, &request, &beat, &err), RL_E_DENIED);
    party_fini(&second);
}
END_TEST

/* What of an agent's word is no text, or may not be said. */
static void spoil(Pb__Inventory *inventory, Pb__Label *label, int how)
{
    static char bad[] = "\xff\xfe", overlong[] = "\xc0\x80", escape[] = "\x1b]0;owned\x07",
                key[] = "env", bad_key[] = "a b", value[] = "dev";
    static char longest[4096];
    memset(longest, 'a', sizeof longest - 1);
    label->key = how == 3 ? bad_key : key;
    label->value = how == 4 ? escape : how == 5 ? bad : how == 6 ? longest : value;
    inventory->hostname = how == 0 ? bad : how == 1 ? overlong : how == 2 ? longest : value;
}

#define SPOILS 7

START_TEST(a_hello_that_is_no_text_is_its_agents_trouble_alone)
{
    struct party second;
    struct fixture_report of[2];
    Pb__Label label = PB__LABEL__INIT, *labels[] = {&label};
    Pb__Inventory spoiled = PB__INVENTORY__INIT, good = PB__INVENTORY__INIT;
    Pb__AttachmentReport *reports[] = {&of[0].report, &of[1].report};
    INIT_REPLY(request, ReportAttachmentsRequest, report_attachments_request);
    INIT_REPLY(reply, ReportAttachmentsResponse, report_attachments_response);
    join_ok(&second, "agent", "node", "node-b");
    spoiled.labels = labels;
    spoiled.n_labels = 1;
    spoil(&spoiled, &label, _i);
    fixture_report_make(&of[0], &node, &broker, fixture_next_epoch(&broker, node.identity->name),
                        &spoiled);
    fixture_report_make(&of[1], &second, &broker,
                        fixture_next_epoch(&broker, second.identity->name), &good);
    request.broker_id = broker.identity->name;
    request.reports = reports;
    request.n_reports = 2;
    ok(rl_control_report(auth, &broker.peer, &request, &reply, &err));
    ck_assert_uint_eq(reply.n_verdicts, 2);
    ck_assert_uint_eq(reply.verdicts[0]->code, RL_E_INVAL);
    ck_assert_uint_eq(reply.verdicts[1]->code, RL_OK);
    fixture_clear(&reply.base);
    fixture_report_fini(&of[0]);
    fixture_report_fini(&of[1]);
    party_fini(&second);
}
END_TEST

START_TEST(a_locked_node_does_not_attach)
{
    uint64_t epoch = fixture_next_epoch(&broker, node.identity->name);
    fixture_sql("INSERT INTO locks VALUES ('l', 'node', 'node-a', '', 'stolen', 'admin', now(),"
                " NULL, 2); UPDATE revision SET number = number + 1");
    ck_assert_uint_eq(attach(&node, epoch), RL_E_DENIED);
}
END_TEST

START_TEST(after_a_reconnect_only_what_is_there_stays)
{
    INIT_REPLY(where, ResolveTargetResponse, resolve_target_response);
    fixture_heartbeat(&broker);
    ck_assert_uint_eq(attach(&node, fixture_next_epoch(&broker, node.identity->name)), RL_OK);
    INIT_REPLY(request, ReportAttachmentsRequest, report_attachments_request);
    INIT_REPLY(reply, ReportAttachmentsResponse, report_attachments_response);
    request.broker_id = broker.identity->name;
    request.is_complete = true;
    ok(rl_control_report(auth, &broker.peer, &request, &reply, &err));
    ok(resolve("node-a", &where));
    ck_assert(!where.is_online);
    fixture_clear(&where.base);
    char *all[] = {node.identity->name};
    request.all_agents = all;
    request.n_all_agents = 1;
    ok(rl_control_report(auth, &broker.peer, &request, &reply, &err));
    ok(resolve("node-a", &where));
    ck_assert(where.is_online);
    fixture_clear(&where.base);
    fixture_clear(&reply.base);
}
END_TEST

START_TEST(a_detachment_of_an_older_epoch_changes_nothing)
{
    INIT_REPLY(where, ResolveTargetResponse, resolve_target_response);
    INIT_REPLY(request, ReportAttachmentsRequest, report_attachments_request);
    INIT_REPLY(reply, ReportAttachmentsResponse, report_attachments_response);
    Pb__AttachmentReport report = PB__ATTACHMENT_REPORT__INIT;
    Pb__AttachmentReport *reports[] = {&report};
    fixture_heartbeat(&broker);
    uint64_t first = fixture_next_epoch(&broker, node.identity->name);
    ck_assert_uint_eq(attach(&node, first), RL_OK);
    uint64_t second = fixture_next_epoch(&broker, node.identity->name);
    ck_assert_uint_eq(attach(&node, second), RL_OK);
    report.agent_id = node.identity->name;
    request.broker_id = broker.identity->name;
    request.reports = reports;
    request.n_reports = 1;
    static const bool online[] = {true, false};
    const uint64_t epochs[] = {first, second};
    for (size_t i = 0; i < 2; i++) {
        report.epoch = epochs[i];
        ok(rl_control_report(auth, &broker.peer, &request, &reply, &err));
        ok(resolve("node-a", &where));
        ck_assert(where.is_online == online[i]);
        fixture_clear(&where.base);
        fixture_clear(&reply.base);
    }
}
END_TEST

/* ---- policy ---- */

static struct rl_policy_expect expect_of(const Pb__TrustBundle *bundle)
{
    return (struct rl_policy_expect){
        .cluster = CLUSTER,
        .agent_id = node.identity->name,
        .keys = {bundle->n_policy_keys, bundle->policy_keys},
    };
}

static void policy_for(uint64_t version, const uint8_t *hash, struct rl_span nonce,
                       Pb__PolicyUpdate *update)
{
    INIT_REPLY(request, PolicyForRequest, policy_for_request);
    uint8_t copy[64];
    request.agent_id = node.identity->name;
    request.held_version = version;
    if (hash) {
        memcpy(copy, hash, 32);
        request.held_sha256 = (ProtobufCBinaryData){32, copy};
    } else if (nonce.n) {
        memcpy(copy, nonce.p, nonce.n);
        request.nonce = (ProtobufCBinaryData){nonce.n, copy};
    }
    ok(rl_control_policy_for(auth, &broker.peer, &request, update, &err));
}

START_TEST(an_agent_is_sent_the_whole_then_what_changed)
{
    struct rl_snapshot *snapshot = NULL;
    struct rl_policy *held = NULL, *next = NULL;
    uint8_t hash[32];
    static const uint8_t nonce[16] = "0123456789abcdef";
    ok(rl_snapshots_current(auth->snapshots, &snapshot, &err));
    struct rl_policy_expect expect = expect_of(snapshot->authorities->bundle);
    INIT_REPLY(update, PolicyUpdate, policy_update);
    policy_for(0, NULL, RL_SPAN(nonce, 16), &update);
    ck_assert(update.is_snapshot);
    expect.nonce = RL_SPAN(nonce, 16);
    ok(rl_policy_apply(NULL, &update, &expect, &held, &err));
    ck_assert_ptr_nonnull(rl_policy_role(held, "access"));
    ck_assert_str_eq(rl_policy_settings(held)->node_name, "node-a");
    fixture_clear(&update.base);

    fixture_sql(
        "INSERT INTO locks VALUES ('l', 'user', 'bob', '', 'gone', 'admin', now(), NULL, 9);"
        " UPDATE revision SET number = number + 1");
    rl_policy_hash(held, hash);
    policy_for(rl_policy_version(held), hash, RL_SPAN(NULL, 0), &update);
    ck_assert(!update.is_snapshot);
    ck_assert_uint_eq(update.n_set, 1);
    ck_assert_str_eq(update.set[0]->key, "lock/l");
    expect.nonce = RL_SPAN(NULL, 0);
    expect.floor_version = rl_policy_version(held);
    ok(rl_policy_apply(held, &update, &expect, &next, &err));
    ck_assert_uint_eq(rl_policy_version(next), rl_policy_version(held) + 1);
    fixture_clear(&update.base);

    hash[0] ^= 1; /* holds something that auth never sent */
    policy_for(rl_policy_version(held), hash, RL_SPAN(NULL, 0), &update);
    ck_assert(update.is_snapshot);
    fixture_clear(&update.base);
    rl_policy_unref(&held);
    rl_policy_unref(&next);
    rl_snapshot_unref(&snapshot);
}
END_TEST

/* Of one report of node-a, which says that it holds this. */
static bool is_current(uint64_t version, const uint8_t hash[32], Pb__Label *label)
{
    struct fixture_report of;
    Pb__Label *labels[] = {label};
    Pb__Inventory inventory = PB__INVENTORY__INIT;
    Pb__AttachmentReport *reports[] = {&of.report};
    INIT_REPLY(request, ReportAttachmentsRequest, report_attachments_request);
    INIT_REPLY(reply, ReportAttachmentsResponse, report_attachments_response);
    inventory.labels = labels;
    inventory.n_labels = label ? 1 : 0;
    fixture_report_holding(&of, &node, &broker, fixture_next_epoch(&broker, node.identity->name),
                           &inventory, version, RL_SPAN(hash, 32));
    request.broker_id = broker.identity->name;
    request.reports = reports;
    request.n_reports = 1;
    ok(rl_control_report(auth, &broker.peer, &request, &reply, &err));
    ck_assert_uint_eq(reply.n_verdicts, 1);
    ck_assert_uint_eq(reply.verdicts[0]->code, RL_OK);
    bool is = reply.verdicts[0]->policy_is_current;
    fixture_clear(&reply.base);
    fixture_report_fini(&of);
    return is;
}

START_TEST(a_verdict_says_whether_there_is_another_policy)
{
    struct rl_snapshot *snapshot = NULL;
    struct rl_policy *held = NULL;
    uint8_t hash[32];
    static const uint8_t nonce[16] = "0123456789abcdef";
    char key[] = "env", value[] = "dev";
    Pb__Label label = PB__LABEL__INIT;
    label.key = key;
    label.value = value;
    ok(rl_snapshots_current(auth->snapshots, &snapshot, &err));
    struct rl_policy_expect expect = expect_of(snapshot->authorities->bundle);
    INIT_REPLY(update, PolicyUpdate, policy_update);
    policy_for(0, NULL, RL_SPAN(nonce, 16), &update);
    expect.nonce = RL_SPAN(nonce, 16);
    ok(rl_policy_apply(NULL, &update, &expect, &held, &err));
    uint64_t version = rl_policy_version(held);
    rl_policy_hash(held, hash);
    ck_assert(is_current(version, hash, NULL));
    ck_assert(!is_current(version + 1, hash, NULL));
    ck_assert(!is_current(version, hash, &label)); /* it has a label since */
    ck_assert(is_current(version, hash, NULL));
    fixture_sql("UPDATE revision SET number = number + 1");
    ck_assert(!is_current(version, hash, NULL));
    fixture_clear(&update.base);
    rl_policy_unref(&held);
    rl_snapshot_unref(&snapshot);
}
END_TEST

/* ---- decisions for other services ---- */

static bool decide(const char *kind, const char *verb, bool *own_only)
{
    Pb__Caller caller = PB__CALLER__INIT;
    INIT_REPLY(request, DecideRequest, decide_request);
    INIT_REPLY(reply, DecideResponse, decide_response);
    caller.user = alice.identity->name;
    caller.cluster = alice.identity->cluster;
    caller.claims = alice.identity->claims;
    request.caller = &caller;
    request.resource_kind = rl_strdup(kind);
    request.verb = rl_strdup(verb);
    ok(rl_control_decide(auth, &proxy.peer, &request, &reply, &err));
    bool is_allowed = reply.is_allowed;
    *own_only = reply.own_only;
    free(request.resource_kind);
    free(request.verb);
    fixture_clear(&reply.base);
    return is_allowed;
}

START_TEST(audit_is_told_what_a_user_may_read)
{
    bool own_only = false;
    ck_assert(decide("event", "list", &own_only));
    ck_assert(own_only);
    ck_assert(!decide("event", "delete", &own_only));
    ck_assert(!decide("user", "list", &own_only));
    fixture_sql("UPDATE users SET roles = '{auditor}' WHERE name = 'alice'");
    /* A role that the certificate does not name does not count; one that was taken away neither. */
    ck_assert(!decide("event", "list", &own_only));
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("control");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, an_attached_node_is_online_while_its_broker_is);
    tcase_add_test(t, a_target_is_a_name_an_id_or_a_label);
    tcase_add_test(t, what_the_roles_hide_is_as_if_it_were_not_there);
    tcase_add_test(t, an_older_epoch_loses);
    tcase_add_test(t, no_broker_can_claim_an_agent_that_did_not_come);
    tcase_add_loop_test(t, a_hello_that_is_no_text_is_its_agents_trouble_alone, 0, SPOILS);
    tcase_add_test(t, a_locked_node_does_not_attach);
    tcase_add_test(t, many_are_offered_epochs_at_once_and_each_has_its_answer);
    tcase_add_test(t, of_those_that_are_reported_together_each_has_its_verdict);
    tcase_add_test(t, a_verdict_says_whether_there_is_another_policy);
    tcase_add_test(t, after_a_reconnect_only_what_is_there_stays);
    tcase_add_test(t, a_detachment_of_an_older_epoch_changes_nothing);
    tcase_add_test(t, an_agent_is_sent_the_whole_then_what_changed);
    tcase_add_test(t, audit_is_told_what_a_user_may_read);
    return fixture_main("control", t);
}
