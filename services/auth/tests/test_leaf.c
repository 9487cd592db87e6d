/* A leaf as its root knows it: where its brokers are attached, who sees it, and when it is over. */
#include "admin/admin.h"
#include "authority/issue.h"
#include "clock/clock.h"
#include "clusters/leaf.h"
#include "credential/token.h"
#include "pair.h"
#include "people/session.h"
#include "services/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- attachments ---- */

static struct party root_broker, leaf_broker;
static struct rl_buf leaf_certificate;

static void join_brokers(void)
{
    struct side *sides[] = {&root, &leaf};
    struct party *parties[] = {&root_broker, &leaf_broker};
    for (size_t i = 0; i < 2; i++) {
        INIT_REPLY(reply, JoinResponse, join_response);
        pair_use(sides[i]);
        char *token = fixture_token("broker", 1);
        party_init(parties[i]);
        ok(fixture_join(parties[i], "broker", "", token, &reply));
        fixture_heartbeat(parties[i]);
        if (i == 1) {
            rl_buf_init(&leaf_certificate, 16384);
            rl_buf_put_span(&leaf_certificate, RL_BINARY(reply.tls_chain[0]));
        }
        fixture_clear(&reply.base);
        rl_token_free(&token);
    }
}

static void brokers_fini(void)
{
    party_fini(&root_broker);
    party_fini(&leaf_broker);
    rl_buf_fini(&leaf_certificate);
}

static rl_code next_epoch(const char *id, uint64_t *epoch)
{
    INIT_REPLY(request, NextEpochRequest, next_epoch_request);
    INIT_REPLY(reply, NextEpochResponse, next_epoch_response);
    request.agent_id = rl_strdup(id);
    request.broker_id = root_broker.identity->name;
    rl_code rc = rl_control_next_epoch(root.auth, &root_broker.peer, &request, &reply, &err);
    free(request.agent_id);
    *epoch = reply.epoch;
    return rc;
}

/* The verdict of the root's auth on a hello that `signer` signed, with this certificate. */
static unsigned report(const char *id, uint64_t epoch, bool is_attached, EVP_PKEY *signer,
                       struct rl_span certificate)
{
    char *name = rl_strdup(id), version[] = "0.1.0";
    struct rl_buf packed, signature;
    Pb__Hello hello = PB__HELLO__INIT;
    Pb__SignedHello signed_hello = PB__SIGNED_HELLO__INIT;
    Pb__AttachmentReport attachment = PB__ATTACHMENT_REPORT__INIT, *reports[] = {&attachment};
    INIT_REPLY(request, ReportAttachmentsRequest, report_attachments_request);
    INIT_REPLY(reply, ReportAttachmentsResponse, report_attachments_response);
    rl_buf_init(&packed, 4096);
    rl_buf_init(&signature, 256);
    hello.agent_id = name;
    hello.broker_id = root_broker.identity->name;
    hello.epoch = epoch;
    hello.version = version;
    rl_message_pack(&hello.base, &packed);
    ok(rl_key_sign(signer, RL_HELLO_CONTEXT, rl_buf_span(&packed), &signature, &err));
    signed_hello.hello = (ProtobufCBinaryData){packed.n, packed.p};
    signed_hello.signature = (ProtobufCBinaryData){signature.n, signature.p};
    signed_hello.certificate =
        (ProtobufCBinaryData){certificate.n, (uint8_t *)(uintptr_t)certificate.p};
    attachment.agent_id = name;
    attachment.epoch = epoch;
    attachment.attached = is_attached;
    attachment.hello = is_attached ? &signed_hello : NULL;
    request.broker_id = root_broker.identity->name;
    request.reports = reports;
    request.n_reports = 1;
    ok(rl_control_report(root.auth, &root_broker.peer, &request, &reply, &err));
    unsigned code = reply.verdicts[0]->code;
    fixture_clear(&reply.base);
    rl_buf_fini(&packed);
    rl_buf_fini(&signature);
    free(name);
    return code;
}

static char *own_id(void)
{
    return rl_sprintf("cluster/" LEAF "/%s", leaf_broker.identity->name);
}

static const char *status_at_root(void)
{
    static char status[16];
    Pb__GetResourcesResponse *list = pair_get(&root, "remote_cluster");
    snprintf(status, sizeof status, "%s", list->resources[0]->remote_cluster->spec->status);
    pair_free(list);
    return status;
}

START_TEST(a_leaf_is_online_while_a_broker_of_its_own_is_attached)
{
    uint64_t epoch = 0, later = 0;
    pair_establish();
    join_brokers();
    char *id = own_id();
    struct rl_span certificate = rl_buf_span(&leaf_certificate);
    ck_assert_str_eq(status_at_root(), "offline");
    ok(next_epoch(id, &epoch));
    ck_assert_uint_eq(report(id, epoch, true, leaf_broker.tls_key, certificate), RL_OK);
    ck_assert_str_eq(status_at_root(), "online");
    ok(next_epoch(id, &later));
    ck_assert_uint_gt(later, epoch);
    ck_assert_uint_eq(report(id, later, true, leaf_broker.tls_key, certificate), RL_OK);
    ck_assert_uint_eq(report(id, epoch, true, leaf_broker.tls_key, certificate), RL_E_ABORTED);
    ck_assert_uint_eq(report(id, epoch, false, leaf_broker.tls_key, certificate), RL_OK);
    ck_assert_str_eq(status_at_root(), "online");
    ck_assert_uint_eq(report(id, later, false, leaf_broker.tls_key, certificate), RL_OK);
    ck_assert_str_eq(status_at_root(), "offline");
    free(id);
    brokers_fini();
}
END_TEST

START_TEST(no_broker_of_the_root_can_claim_a_leaf_that_did_not_come)
{
    uint64_t epoch = 0;
    pair_establish();
    join_brokers();
    char *id = own_id();
    struct rl_span certificate = rl_buf_span(&leaf_certificate);
    ok(next_epoch(id, &epoch));
    ck_assert_uint_eq(report(id, epoch, true, root_broker.tls_key, certificate), RL_E_DENIED);
    ck_assert_uint_eq(report(id, epoch, true, leaf_broker.tls_key, RL_SPAN(NULL, 0)), RL_E_INVAL);
    /* A certificate of another cluster, of another kind, of another replica. */
    struct rl_tls_identity *others[2] = {NULL, NULL};
    struct side *sides[] = {&root, &leaf};
    for (size_t i = 0; i < 2; i++) {
        struct rl_buf der;
        struct rl_snapshot *s = pair_snapshot(sides[i]);
        rl_buf_init(&der, 16384);
        ok(rl_issue_own(s, sides[i]->auth->cluster, leaf_broker.identity->name, NULL, 0,
                        rl_clock_wall_ns(), &others[i], &err));
        ok(rl_x509_to_der(rl_tls_identity_certificate(others[i]), &der, &err));
        ck_assert_uint_eq(
            report(id, epoch, true, rl_tls_identity_key(others[i]), rl_buf_span(&der)),
            RL_E_DENIED);
        rl_buf_fini(&der);
        rl_tls_identity_unref(&others[i]);
        rl_snapshot_unref(&s);
    }
    static const char other[] = "cluster/" LEAF "/0192f0c1-0000-7000-8000-000000000000";
    ok(next_epoch(other, &epoch));
    ck_assert_uint_eq(report(other, epoch, true, leaf_broker.tls_key, certificate), RL_E_DENIED);
    ck_assert_str_eq(status_at_root(), "offline");
    refused(next_epoch("cluster/stranger.example/0192f0c1-0000-7000-8000-000000000000", &epoch),
            RL_E_DENIED);
    refused(next_epoch("cluster/" LEAF, &epoch), RL_E_INVAL);
    refused(next_epoch("cluster/../x", &epoch), RL_E_INVAL);
    free(id);
    brokers_fini();
}
END_TEST

static rl_code resolve(struct party *user, const char *cluster, Pb__ResolveTargetResponse *reply)
{
    Pb__Caller caller = PB__CALLER__INIT;
    struct party proxy;
    INIT_REPLY(joined, JoinResponse, join_response);
    INIT_REPLY(request, ResolveTargetRequest, resolve_target_request);
    char kind[] = "ssh", target[] = "node-b", address[] = "192.0.2.7:1";
    pair_use(&root);
    char *token = fixture_token("proxy", 1);
    party_init(&proxy);
    ok(fixture_join(&proxy, "proxy", "", token, &joined));
    caller.user = user->identity->name;
    caller.cluster = user->identity->cluster;
    caller.claims = user->identity->claims;
    caller.client_address = address;
    request.caller = &caller;
    request.kind = kind;
    request.target = target;
    request.cluster = rl_strdup(cluster);
    rl_code rc = rl_control_resolve(root.auth, &proxy.peer, &request, reply, &err);
    fixture_clear(&joined.base);
    rl_token_free(&token);
    party_fini(&proxy);
    free(request.cluster);
    return rc;
}

static size_t clusters_of(struct party *user)
{
    INIT_REPLY(request, ListClustersRequest, list_clusters_request);
    INIT_REPLY(reply, ListClustersResponse, list_clusters_response);
    ok(rl_session_list_clusters(root.auth, &user->peer, &request, &reply, &err));
    size_t n = reply.n_clusters;
    if (n > 1) {
        ck_assert_str_eq(reply.clusters[1]->name, LEAF);
        ck_assert_str_eq(reply.clusters[1]->type, "leaf");
        ck_assert_uint_eq(reply.clusters[1]->trust->n_host_ssh_cas, 1);
    }
    fixture_clear(&reply.base);
    return n;
}

static void alice_logs_in(struct party *alice, struct rl_buf *secret)
{
    char code[7];
    INIT_REPLY(login, LoginResponse, login_response);
    pair_use(&root);
    party_init(alice);
    rl_buf_init(secret, 64);
    INIT_REPLY(request, SignUserRequest, sign_user_request);
    (void)code;
    pair_sql(&root, "INSERT INTO users (name, roles, traits) VALUES ('alice', '{access}', '')");
    char name[] = "alice";
    request.user = name;
    request.tls_public_key = (ProtobufCBinaryData){alice->tls_spki.n, alice->tls_spki.p};
    ok(rl_admin_sign_user(root.auth, &root.admin.peer, &request, &login, &err));
    party_become(alice, login.tls_chain, login.n_tls_chain);
    fixture_clear(&login.base);
}

START_TEST(a_leaf_is_found_where_its_brokers_are)
{
    struct party alice;
    struct rl_buf secret;
    uint64_t epoch = 0;
    INIT_REPLY(where, ResolveTargetResponse, resolve_target_response);
    pair_establish();
    join_brokers();
    alice_logs_in(&alice, &secret);
    char *id = own_id();
    ok(resolve(&alice, LEAF, &where));
    ck_assert(!where.is_online);
    ck_assert_int_gt(where.last_seen_ns, 0);
    fixture_clear(&where.base);
    ok(next_epoch(id, &epoch));
    ck_assert_uint_eq(report(id, epoch, true, leaf_broker.tls_key, rl_buf_span(&leaf_certificate)),
                      RL_OK);
    ok(resolve(&alice, LEAF, &where));
    ck_assert(where.is_online);
    ck_assert_str_eq(where.agent_id, "cluster/" LEAF);
    ck_assert_uint_eq(where.n_broker_ids, 1);
    ck_assert_str_eq(where.broker_ids[0], root_broker.identity->name);
    fixture_clear(&where.base);
    free(id);
    brokers_fini();
    rl_buf_fini(&secret);
    party_fini(&alice);
}
END_TEST

START_TEST(cluster_labels_hide_a_leaf_as_if_it_were_not_there)
{
    struct party alice;
    struct rl_buf secret;
    INIT_REPLY(where, ResolveTargetResponse, resolve_target_response);
    pair_establish();
    alice_logs_in(&alice, &secret);
    ck_assert_uint_eq(clusters_of(&alice), 2);
    refused_with(resolve(&alice, "nowhere.example", &where), RL_E_NOT_FOUND,
                 "no such cluster \"nowhere.example\"");
    refused_with(resolve(&alice, "\033[31m", &where), RL_E_NOT_FOUND, "no such cluster");
    /* roles that know nothing of it */
    pair_sql(&root, "UPDATE roles SET spec = '' WHERE name = 'access'");
    pair_sql(&root, "UPDATE revision SET number = number + 1");
    ck_assert_uint_eq(clusters_of(&alice), 1);
    refused_with(resolve(&alice, LEAF, &where), RL_E_NOT_FOUND, "no such cluster \"" LEAF "\"");
    rl_buf_fini(&secret);
    party_fini(&alice);
}
END_TEST

static void report_root(bool is_attached, rl_code code)
{
    static char name[] = ROOT, message[] = "no leaf of this cluster";
    INIT_REPLY(request, ReportRootRequest, report_root_request);
    INIT_REPLY(reply, ReportRootResponse, report_root_response);
    request.root = name;
    request.is_attached = is_attached;
    request.code = (uint32_t)code;
    request.message = message;
    ok(rl_control_report_root(leaf.auth, &leaf_broker.peer, &request, &reply, &err));
}

static const char *status_at_leaf(void)
{
    static char status[16];
    Pb__GetResourcesResponse *list = pair_get(&leaf, "trusted_cluster");
    snprintf(status, sizeof status, "%s", list->resources[0]->trusted_cluster->spec->status);
    pair_free(list);
    return status;
}

START_TEST(a_leaf_knows_whether_it_reaches_its_root)
{
    pair_establish();
    join_brokers();
    report_root(true, RL_OK);
    ck_assert_str_eq(status_at_leaf(), "online");
    report_root(false, RL_E_UNAVAILABLE);
    ck_assert_str_eq(status_at_leaf(), "offline");
    ck_assert_int_eq(pair_errands(), 0);
    brokers_fini();
}
END_TEST

/* What brokers say is not enough: the root's auth says whether it is over. */
START_TEST(a_trust_that_the_root_ended_is_forgotten_when_its_auth_says_so)
{
    pair_establish();
    pair_bring_policy();
    join_brokers();
    report_root(false, RL_E_DENIED);
    pair_run_errands();
    ck_assert_int_eq(pair_count(&leaf, "SELECT count(*) FROM trusted_clusters"), 1);
    ok(pair_remove(&root, "remote_cluster", LEAF));
    report_root(false, RL_E_UNAUTHENTICATED);
    pair_run_errands();
    ck_assert_int_eq(pair_count(&leaf, "SELECT count(*) FROM trusted_clusters"), 0);
    pair_check_event(&leaf, "trusted_cluster.delete", "trusted_cluster", ROOT);
    pair_check_event(&root, "trusted_cluster.delete", "remote_cluster", LEAF);
    pair_establish();
    brokers_fini();
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("leaf");
    tcase_add_checked_fixture(t, pair_set_up, pair_tear_down);
    tcase_add_test(t, a_leaf_is_online_while_a_broker_of_its_own_is_attached);
    tcase_add_test(t, no_broker_of_the_root_can_claim_a_leaf_that_did_not_come);
    tcase_add_test(t, a_leaf_is_found_where_its_brokers_are);
    tcase_add_test(t, cluster_labels_hide_a_leaf_as_if_it_were_not_there);
    tcase_add_test(t, a_leaf_knows_whether_it_reaches_its_root);
    tcase_add_test(t, a_trust_that_the_root_ended_is_forgotten_when_its_auth_says_so);
    return pair_main("leaf", t);
}
