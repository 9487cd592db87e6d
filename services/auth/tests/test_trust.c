/* Two clusters: trust is exchanged, kept up, cut and ended; what stops a user in the root stops it
 * in the leaf. */
#include "admin.h"
#include "caller.h"
#include "clock/clock.h"
#include "control.h"
#include "credential/token.h"
#include "db/peers.h"
#include "errands.h"
#include "issue.h"
#include "leaf.h"
#include "pair.h"
#include "peer_trust.h"
#include "policy/policy.h"
#include "protocol/protocol.h"
#include "resource/resource.h"
#include "rotate.h"
#include "session.h"

#include <stdlib.h>
#include <string.h>

static bool has_error(const char *part)
{
    return strstr(err.message, part) != NULL;
}

#define refused_with(call, want, part)                                                             \
    do {                                                                                           \
        refused(call, want);                                                                       \
        ck_assert_msg(has_error(part), "%s", err.message);                                         \
    } while (0)

/* ---- establishing ---- */

static Pb__GetResourcesResponse *get(struct side *side, const char *kind)
{
    Pb__GetResourcesResponse *reply = rl_message_create(&pb__get_resources_response__descriptor);
    INIT_REPLY(request, GetResourcesRequest, get_resources_request);
    request.kind = rl_strdup(kind);
    ok(rl_admin_get(side->auth, &side->admin.peer, &request, reply, &err));
    free(request.kind);
    return reply;
}

static void free_list(Pb__GetResourcesResponse *list)
{
    pb__get_resources_response__free_unpacked(list, NULL);
}

static void check_event(struct side *side, const char *type, const char *kind, const char *name)
{
    pair_use(side);
    Pb__Event *event = fixture_event(type);
    ck_assert_str_eq(event->outcome, "success");
    ck_assert_str_eq(event->resource_kind, kind);
    ck_assert_str_eq(event->resource_name, name);
    rl_event_free(&event);
}

START_TEST(a_token_of_the_root_establishes_trust)
{
    pair_establish();
    Pb__GetResourcesResponse *roots = get(&leaf, "trusted_cluster");
    Pb__GetResourcesResponse *leaves = get(&root, "remote_cluster");
    ck_assert_uint_eq(roots->n_resources, 1);
    ck_assert_uint_eq(leaves->n_resources, 1);
    const Pb__TrustedCluster *there = roots->resources[0]->trusted_cluster;
    ck_assert_str_eq(there->metadata->name, ROOT);
    ck_assert_str_eq(there->spec->token, RL_RESOURCE_REDACTED);
    ck_assert_str_eq(there->spec->proxy, root_address);
    ck_assert_str_eq(there->spec->status, "offline");
    ck_assert_str_eq(there->spec->role_map[0]->remote, "access");
    const Pb__RemoteCluster *came = leaves->resources[0]->remote_cluster;
    ck_assert_str_eq(came->metadata->name, LEAF);
    ck_assert_str_eq(came->spec->version, RL_VERSION);
    ck_assert_int_eq(pair_count(&root, "SELECT count(*) FROM tokens WHERE uses_left > 0"), 0);
    free_list(roots);
    free_list(leaves);
    check_event(&leaf, "trusted_cluster.create", "trusted_cluster", ROOT);
}
END_TEST

/* Each has the public keys of the other that it needs, and services are told of them. */
START_TEST(each_has_the_others_public_keys_and_no_more)
{
    pair_establish();
    struct rl_snapshot *at_leaf = pair_snapshot(&leaf), *at_root = pair_snapshot(&root);
    ck_assert_uint_eq(at_leaf->cluster_count, 1);
    ck_assert_uint_eq(at_root->cluster_count, 1);
    const Pb__PeerCluster *up = at_leaf->clusters[0], *down = at_root->clusters[0];
    ck_assert(up->is_root && !down->is_root);
    ck_assert_uint_eq(up->trust->n_user_cas, 1);
    ck_assert_uint_eq(up->trust->n_user_ssh_cas, 1);
    ck_assert_uint_eq(up->trust->n_service_cas, 1);
    ck_assert_uint_eq(up->trust->n_policy_keys, 1);
    ck_assert_uint_eq(up->trust->n_host_cas, 0);
    ck_assert_uint_eq(up->trust->policy_keys[0]->private_key.len, 0);
    ck_assert_uint_eq(up->policy_nonce.len, 16);
    ck_assert_uint_eq(down->trust->n_user_cas, 0);
    ck_assert_uint_eq(down->trust->n_policy_keys, 0);
    ck_assert_uint_eq(down->trust->n_service_cas, 1);
    ck_assert_uint_eq(down->trust->n_host_ssh_cas, 1);
    /* Nobody comes before the root has said who is stopped. */
    ck_assert_ptr_null(rl_snapshot_root(at_leaf, ROOT));
    rl_snapshot_unref(&at_leaf);
    rl_snapshot_unref(&at_root);
}
END_TEST

static rl_code trust_with(char *token)
{
    rl_code rc = pair_trust(ROOT, token, true, false, "access", "access");
    free(token);
    return rc;
}

START_TEST(a_token_that_is_not_good_establishes_nothing)
{
    char *token = pair_token("trusted_cluster");
    pair_sql(&root, "UPDATE tokens SET expires = now() - interval '3 minutes'");
    refused_with(trust_with(token), RL_E_PRECONDITION, "expired 3 min ago");
    token = pair_token("trusted_cluster");
    pair_sql(&root, "UPDATE tokens SET uses_left = 0");
    refused_with(trust_with(token), RL_E_PRECONDITION, "used up");
    refused_with(trust_with(pair_token("node")), RL_E_PRECONDITION,
                 "this join token is for node, not for trusted_cluster");
    token = pair_token("trusted_cluster");
    pair_sql(&root, "DELETE FROM tokens");
    refused_with(trust_with(token), RL_E_PRECONDITION, "join token unknown");
    token = pair_token("trusted_cluster");
    pair_sql(&root, "UPDATE tokens SET names = '{other.*}'");
    refused_with(trust_with(token), RL_E_PRECONDITION, "does not allow the name " LEAF);
    *strchr(token = pair_token("trusted_cluster"), '@') = '\0';
    refused_with(trust_with(token), RL_E_INVAL, "SECRET@PIN");
    refused_with(trust_with(rl_strdup("x@sha256:12")), RL_E_INVAL, "spec.token");
    refused_with(trust_with(NULL), RL_E_INVAL, "spec.token");
    ck_assert_int_eq(pair_count(&leaf, "SELECT count(*) FROM trusted_clusters"), 0);
    ck_assert_int_eq(pair_count(&root, "SELECT count(*) FROM remote_clusters"), 0);
}
END_TEST

/* Somebody else answers at that address: the secret stays here. */
START_TEST(the_secret_is_sent_to_nobody_but_the_one_with_the_pin)
{
    char *token = pair_token("trusted_cluster");
    struct rl_snapshot *snapshot = pair_snapshot(&leaf);
    char *other = rl_sprintf("%.*s@%s", (int)(strchr(token, '@') - token), token,
                             snapshot->authorities->ca_pin);
    rl_snapshot_unref(&snapshot);
    refused(trust_with(other), RL_E_PRECONDITION);
    ck_assert_msg(has_error(ROOT) && has_error(root_address), "%s", err.message);
    ck_assert_int_eq(pair_count(&root, "SELECT count(*) FROM tokens WHERE uses_left > 0"), 1);
    refused(pair_trust("not-the-root.example", token, true, false, "a", "b"), RL_E_PRECONDITION);
    ck_assert_int_eq(pair_count(&root, "SELECT count(*) FROM tokens WHERE uses_left > 0"), 1);
    free(token);
}
END_TEST

START_TEST(nobody_trusts_itself_and_trust_goes_one_way)
{
    char *token = pair_token("trusted_cluster");
    refused_with(pair_trust(LEAF, token, true, false, "a", "b"), RL_E_INVAL, "own name");
    ok(pair_trust(ROOT, token, true, false, "access", "access"));
    free(token);
    /* The root can not become a leaf of its leaf. */
    struct side there = root;
    root = leaf;
    leaf = there;
    refused_with(trust_with(pair_token("trusted_cluster")), RL_E_INVAL, "own name");
    token = pair_token("trusted_cluster");
    refused_with(pair_trust(LEAF, token, true, false, "a", "b"), RL_E_PRECONDITION,
                 "it can not be its root as well");
    free(token);
    leaf = root;
    root = there;
}
END_TEST

/* ---- what a leaf may say of itself ---- */

static Pb__TrustBundle *own_bundle(struct side *side)
{
    struct rl_snapshot *snapshot = pair_snapshot(side);
    Pb__TrustBundle *bundle = rl_peer_trust_own(snapshot, RL_PEER_LEAF);
    rl_snapshot_unref(&snapshot);
    return bundle;
}

static rl_code establish(const char *secret, const Pb__TrustBundle *bundle, uint32_t newest,
                         uint32_t oldest, uint8_t trust_id[RL_TRUST_ID_BYTES])
{
    struct rl_rpc_peer peer = {.address = "192.0.2.9:1"};
    INIT_REPLY(request, EstablishRequest, establish_request);
    INIT_REPLY(reply, EstablishResponse, establish_response);
    request.token = rl_strdup(secret);
    request.trust = (Pb__TrustBundle *)(uintptr_t)bundle;
    request.protocol = newest;
    request.protocol_min = oldest;
    rl_code rc = rl_leaf_establish(root.auth, &peer, &request, &reply, &err);
    if (rc == RL_OK && trust_id)
        memcpy(trust_id, reply.trust_id.data, RL_TRUST_ID_BYTES);
    fixture_clear(&reply.base);
    free(request.token);
    return rc;
}

static rl_code establish_fresh(const Pb__TrustBundle *bundle, uint32_t newest, uint32_t oldest)
{
    pair_use(&root);
    char *secret = fixture_token("trusted_cluster", 1);
    rl_code rc = establish(secret, bundle, newest, oldest, NULL);
    rl_token_free(&secret);
    return rc;
}

START_TEST(a_leaf_has_a_name_of_its_own)
{
    Pb__TrustBundle *bundle = own_bundle(&leaf);
    rl_message_text(&bundle->cluster, ROOT);
    refused_with(establish_fresh(bundle, 1, 1), RL_E_INVAL, "own name");
    rl_message_text(&bundle->cluster, "other.example"); /* its certificates say otherwise */
    refused(establish_fresh(bundle, 1, 1), RL_E_INVAL);
    rl_message_text(&bundle->cluster, LEAF);
    ok(establish_fresh(bundle, 1, 1));
    /* Another one of that name, with authorities of its own. */
    X509 *ca = NULL;
    EVP_PKEY *key = NULL;
    struct rl_buf der;
    rl_buf_init(&der, 8192);
    ok(rl_identity_create_ca(RL_IDENTITY_SERVICE, LEAF, rl_clock_wall_s(), 86400, &ca, &key, &err));
    ok(rl_x509_to_der(ca, &der, &err));
    rl_message_append_bytes(&bundle->service_cas, &bundle->n_service_cas, rl_buf_span(&der));
    refused_with(establish_fresh(bundle, 1, 1), RL_E_EXISTS, "another leaf's");
    ck_assert_int_eq(pair_count(&root, "SELECT count(*) FROM tokens WHERE uses_left > 0"), 3);
    X509_free(ca);
    EVP_PKEY_free(key);
    rl_buf_fini(&der);
    pb__trust_bundle__free_unpacked(bundle, NULL);
}
END_TEST

START_TEST(versions_that_are_one_apart_come_together)
{
    Pb__TrustBundle *bundle = own_bundle(&leaf);
    ok(establish_fresh(bundle, RL_PROTOCOL + 1, RL_PROTOCOL));
    ok(establish_fresh(bundle, RL_PROTOCOL_MIN, RL_PROTOCOL_MIN));
    refused_with(establish_fresh(bundle, RL_PROTOCOL + 2, RL_PROTOCOL + 1), RL_E_PRECONDITION,
                 "the leaf");
    pb__trust_bundle__free_unpacked(bundle, NULL);
}
END_TEST

START_TEST(an_answer_that_was_lost_can_be_asked_for_again)
{
    uint8_t first[RL_TRUST_ID_BYTES], second[RL_TRUST_ID_BYTES];
    Pb__TrustBundle *bundle = own_bundle(&leaf);
    pair_use(&root);
    char *secret = fixture_token("trusted_cluster", 1);
    ok(establish(secret, bundle, 1, 1, first));
    ok(establish(secret, bundle, 1, 1, second));
    ck_assert_mem_eq(first, second, sizeof first);
    pair_sql(&root, "UPDATE remote_clusters SET established = now() - interval '1 hour'");
    refused_with(establish(secret, bundle, 1, 1, second), RL_E_DENIED, "used up");
    rl_token_free(&secret);
    pb__trust_bundle__free_unpacked(bundle, NULL);
}
END_TEST

/* ---- the root's word, brought by brokers ---- */

static void ask_policy(const char *id, uint64_t version, struct rl_span sha256,
                       struct rl_span nonce, Pb__PolicyUpdate *update)
{
    struct rl_rpc_peer peer = {.address = "192.0.2.9:1"};
    INIT_REPLY(request, PolicyForRequest, policy_for_request);
    request.agent_id = rl_strdup(id);
    request.held_version = version;
    rl_message_bytes(&request.held_sha256, sha256);
    rl_message_bytes(&request.nonce, nonce);
    ok(rl_control_policy_for(root.auth, &peer, &request, update, &err));
    free(request.agent_id);
    free(request.held_sha256.data);
    free(request.nonce.data);
}

static rl_code take_policy(Pb__PolicyUpdate *update, Pb__TakeRootPolicyResponse *reply)
{
    static char name[] = ROOT;
    struct rl_rpc_peer peer = {.address = "192.0.2.9:1"};
    INIT_REPLY(request, TakeRootPolicyRequest, take_root_policy_request);
    request.root = name;
    request.update = update;
    return rl_control_take_root_policy(leaf.auth, &peer, &request, reply, &err);
}

/* As the brokers of both do. */
static void bring_policy(void)
{
    struct rl_snapshot *snapshot = pair_snapshot(&leaf);
    const Pb__PeerCluster *peer = snapshot->clusters[0];
    INIT_REPLY(update, PolicyUpdate, policy_update);
    INIT_REPLY(reply, TakeRootPolicyResponse, take_root_policy_response);
    ask_policy("cluster/" LEAF, peer->policy_version, RL_BINARY(peer->policy_sha256),
               RL_BINARY(peer->policy_nonce), &update);
    ok(take_policy(&update, &reply));
    ck_assert_uint_gt(reply.version, 0);
    ck_assert_uint_eq(reply.sha256.len, 32);
    fixture_clear(&update.base);
    fixture_clear(&reply.base);
    rl_snapshot_unref(&snapshot);
}

static void lock_user(const char *name, const char *user, const char *cluster)
{
    char *sql = rl_sprintf("INSERT INTO locks VALUES ('%s', 'user', '%s', '%s', 'lost laptop',"
                           " 'admin', now(), NULL, 9)",
                           name, user, cluster);
    pair_sql(&root, sql);
    pair_sql(&root, "UPDATE revision SET number = number + 1");
    free(sql);
}

START_TEST(what_stops_a_user_in_the_root_stops_it_in_the_leaf)
{
    pair_establish();
    bring_policy();
    struct rl_snapshot *s = pair_snapshot(&leaf);
    ck_assert_ptr_nonnull(rl_snapshot_root(s, ROOT));
    ck_assert_uint_eq(s->lock_count, 0);
    rl_snapshot_unref(&s);
    lock_user("l1", "alice", "");
    lock_user("l2", "eve", "elsewhere.example"); /* not the root's to say */
    pair_sql(&root, "INSERT INTO cuts VALUES ('bob', '" ROOT "', now(), 'reset', now() +"
                    " interval '1 hour')");
    pair_sql(&root, "UPDATE revision SET number = number + 1");
    bring_policy();
    s = pair_snapshot(&leaf);
    ck_assert_uint_eq(s->lock_count, 1);
    ck_assert_str_eq(s->locks[0]->metadata->name, ROOT "/l1");
    ck_assert_str_eq(s->locks[0]->spec->target_name, "alice");
    ck_assert_str_eq(s->locks[0]->spec->target_cluster, ROOT);
    ck_assert_str_eq(s->locks[0]->spec->message, "lost laptop");
    ck_assert_uint_eq(s->cut_count, 1);
    ck_assert_str_eq(s->cuts[0]->user, "bob");
    ck_assert_str_eq(s->cuts[0]->cluster, ROOT);
    rl_snapshot_unref(&s);
    pair_sql(&root, "DELETE FROM locks");
    pair_sql(&root, "UPDATE revision SET number = number + 1");
    bring_policy();
    s = pair_snapshot(&leaf);
    ck_assert_uint_eq(s->lock_count, 0);
    rl_snapshot_unref(&s);
}
END_TEST

START_TEST(a_policy_counts_only_as_the_root_signed_it)
{
    pair_establish();
    struct rl_snapshot *s = pair_snapshot(&leaf);
    struct rl_span nonce = RL_BINARY(s->clusters[0]->policy_nonce), none = RL_SPAN(NULL, 0);
    INIT_REPLY(update, PolicyUpdate, policy_update);
    INIT_REPLY(reply, TakeRootPolicyResponse, take_root_policy_response);
    ask_policy("cluster/" LEAF, 0, none, none, &update); /* an older one, perhaps */
    refused(take_policy(&update, &reply), RL_E_DENIED);
    fixture_clear(&update.base);
    ask_policy("cluster/" LEAF "/0192f0c1-0000-7000-8000-000000000000", 0, none, nonce, &update);
    update.seal->signature.data[8] ^= 1;
    refused(take_policy(&update, &reply), RL_E_UNAUTHENTICATED);
    update.seal->signature.data[8] ^= 1;
    Pb__PolicyEntry *last = update.set[--update.n_set]; /* an entry is left out */
    refused(take_policy(&update, &reply), RL_E_UNAUTHENTICATED);
    update.set[update.n_set++] = last;
    ok(take_policy(&update, &reply));
    ck_assert_uint_eq(reply.version, (uint64_t)pair_count(&root, "SELECT number FROM revision"));
    fixture_clear(&reply.base);
    /* The same again, from another broker, changes nothing and is no error. */
    long revision = pair_count(&leaf, "SELECT number FROM revision");
    ok(take_policy(&update, &reply));
    ck_assert_int_eq(pair_count(&leaf, "SELECT number FROM revision"), revision);
    fixture_clear(&reply.base);
    fixture_clear(&update.base);
    rl_snapshot_unref(&s);
}
END_TEST

/* A database that was tampered with, or a key that is not the root's: nobody is believed. */
START_TEST(a_policy_that_can_not_be_read_lets_nobody_in)
{
    pair_establish();
    bring_policy();
    pair_sql(&leaf, "UPDATE trusted_clusters SET policy = set_byte(policy, 40,"
                    " (get_byte(policy, 40) + 1) % 256)");
    pair_sql(&leaf, "UPDATE revision SET number = number + 1");
    struct rl_snapshot *s = pair_snapshot(&leaf);
    ck_assert_uint_eq(s->cluster_count, 0);
    ck_assert_uint_eq(s->root_count, 0);
    rl_snapshot_unref(&s);
}
END_TEST

static const Pb__PolicyEntry *entry_of(const Pb__PolicyUpdate *update, const char *key)
{
    for (size_t i = 0; i < update->n_set; i++)
        if (strcmp(update->set[i]->key, key) == 0)
            return update->set[i];
    return NULL;
}

START_TEST(nodes_are_told_of_the_root_and_of_whom_it_stops)
{
    struct party node;
    INIT_REPLY(joined, JoinResponse, join_response);
    INIT_REPLY(update, PolicyUpdate, policy_update);
    INIT_REPLY(request, PolicyForRequest, policy_for_request);
    pair_establish();
    lock_user("l1", "alice", "");
    bring_policy();
    pair_use(&leaf);
    char *token = fixture_token("node", 1);
    party_init(&node);
    ok(fixture_join(&node, "agent", "node-a", token, &joined));
    request.agent_id = joined.id;
    ok(rl_control_policy_for(leaf.auth, &node.peer, &request, &update, &err));
    const Pb__PolicyEntry *entry = entry_of(&update, "root/" ROOT);
    ck_assert_ptr_nonnull(entry);
    Pb__RootTrust *trust = pb__root_trust__unpack(NULL, entry->value.len, entry->value.data);
    ck_assert_str_eq(trust->cluster, ROOT);
    ck_assert_uint_eq(trust->n_user_ssh_keys, 1);
    ck_assert_uint_eq(trust->user_ssh_keys[0]->private_key.len, 0);
    ck_assert_str_eq(trust->role_map[0]->local[0], "access");
    ck_assert_ptr_nonnull(entry_of(&update, "lock/" ROOT "/l1"));
    pb__root_trust__free_unpacked(trust, NULL);
    fixture_clear(&update.base);
    fixture_clear(&joined.base);
    rl_token_free(&token);
    party_fini(&node);
}
END_TEST

/* ---- off, on, another map ---- */

START_TEST(off_is_off_and_on_is_on_again)
{
    pair_establish();
    bring_policy();
    ok(pair_trust(ROOT, RL_RESOURCE_REDACTED, false, true, "access", "access"));
    struct rl_snapshot *s = pair_snapshot(&leaf);
    ck_assert_uint_eq(s->cluster_count, 0);
    ck_assert_ptr_null(rl_snapshot_root(s, ROOT));
    rl_snapshot_unref(&s);
    INIT_REPLY(update, PolicyUpdate, policy_update);
    INIT_REPLY(reply, TakeRootPolicyResponse, take_root_policy_response);
    ask_policy("cluster/" LEAF, 0, RL_SPAN(NULL, 0), RL_SPAN(NULL, 0), &update);
    refused(take_policy(&update, &reply), RL_E_NOT_FOUND);
    fixture_clear(&update.base);
    ok(pair_trust(ROOT, NULL, true, true, "access", "access"));
    s = pair_snapshot(&leaf);
    ck_assert_uint_eq(s->cluster_count, 1);
    ck_assert_ptr_nonnull(rl_snapshot_root(s, ROOT));
    rl_snapshot_unref(&s);
    check_event(&leaf, "trusted_cluster.update", "trusted_cluster", ROOT);
}
END_TEST

START_TEST(a_role_map_is_changed_in_place)
{
    pair_establish();
    bring_policy();
    char *token = pair_token("trusted_cluster");
    refused(pair_trust(ROOT, NULL, true, false, "dev", "guest"), RL_E_EXISTS);
    ok(pair_trust(ROOT, NULL, true, true, "^dev-(.*)$", "leaf-$1"));
    struct rl_snapshot *s = pair_snapshot(&leaf);
    const Pb__RootTrust *there = rl_snapshot_root(s, ROOT);
    ck_assert_ptr_nonnull(there);
    ck_assert_str_eq(there->role_map[0]->remote, "^dev-(.*)$");
    rl_snapshot_unref(&s);
    refused(pair_trust(ROOT, NULL, true, true, "^(((", "x"), RL_E_INVAL);
    refused(pair_trust(ROOT, NULL, true, true, "dev", "leaf-$1"), RL_E_INVAL);
    /* With a new token trust is established anew. */
    long before = pair_count(&root, "SELECT count(*) FROM remote_clusters WHERE revision > 0");
    ok(pair_trust(ROOT, token, true, true, "access", "access"));
    ck_assert_int_eq(pair_count(&root, "SELECT count(*) FROM remote_clusters"), before);
    ck_assert_int_eq(pair_count(&leaf, "SELECT policy_version FROM trusted_clusters"), 0);
    free(token);
}
END_TEST

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
    Pb__GetResourcesResponse *list = get(&root, "remote_cluster");
    snprintf(status, sizeof status, "%s", list->resources[0]->remote_cluster->spec->status);
    free_list(list);
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

/* ---- errands ---- */

static long errands(void)
{
    return pair_count(&leaf, "SELECT count(*) FROM errands");
}

/* The root's listener believes a new leaf a moment after it has come. */
static void run_errands(void)
{
    int64_t until_s = rl_clock_wall_s() + 20;
    do {
        pair_sql(&leaf, "UPDATE errands SET next = now()");
        ok(rl_errands_run(leaf.auth, &err));
    } while (errands() && rl_clock_wall_s() < until_s);
    ck_assert_int_eq(errands(), 0);
}

/* ---- rotation ---- */

static rl_code rotate(struct side *side, const char *kind, const char *phase)
{
    char *kinds[] = {rl_strdup(kind)}, *its_phase = rl_strdup(phase);
    INIT_REPLY(request, RotateAuthoritiesRequest, rotate_authorities_request);
    INIT_REPLY(reply, RotateAuthoritiesResponse, rotate_authorities_response);
    request.kinds = kinds;
    request.n_kinds = 1;
    request.phase = its_phase;
    rl_code rc = rl_admin_rotate(side->auth, &side->admin.peer, &request, &reply, &err);
    fixture_clear(&reply.base);
    free(kinds[0]);
    free(its_phase);
    return rc;
}

START_TEST(the_leafs_new_authorities_reach_the_root)
{
    pair_establish();
    ok(rl_errands_run(leaf.auth, &err));
    ck_assert_int_eq(errands(), 0);
    ok(rotate(&leaf, "host", "init"));
    ok(rl_errands_run(leaf.auth, &err));
    run_errands();
    struct rl_snapshot *s = pair_snapshot(&root);
    ck_assert_uint_eq(s->clusters[0]->trust->n_host_cas, 2);
    ck_assert_uint_eq(s->clusters[0]->trust->n_host_ssh_cas, 2);
    rl_snapshot_unref(&s);
    /* A root that is away hears of it when it is back. */
    pair_sql(&leaf, "UPDATE trusted_clusters SET proxy = '127.0.0.1:1'");
    ok(rotate(&leaf, "host", "rollback"));
    ok(rl_errands_run(leaf.auth, &err));
    ck_assert_int_eq(pair_count(&leaf, "SELECT tries FROM errands"), 1);
    char *sql = rl_sprintf("UPDATE trusted_clusters SET proxy = '%s'", root_address);
    pair_sql(&leaf, sql);
    run_errands();
    s = pair_snapshot(&root);
    ck_assert_uint_eq(s->clusters[0]->trust->n_host_cas, 1);
    rl_snapshot_unref(&s);
    free(sql);
}
END_TEST

START_TEST(the_roots_new_authorities_reach_the_leaf_by_its_policy)
{
    pair_establish();
    bring_policy();
    ok(rotate(&root, "user", "init"));
    bring_policy();
    struct rl_snapshot *s = pair_snapshot(&leaf);
    ck_assert_uint_eq(s->clusters[0]->trust->n_user_cas, 2);
    ck_assert_uint_eq(rl_snapshot_root(s, ROOT)->n_user_ssh_keys, 2);
    rl_snapshot_unref(&s);
    ok(rotate(&root, "user", "update_clients"));
    ok(rotate(&root, "user", "update_servers"));
    pair_use(&root);
    party_fini(&root.admin); /* whose identity was of the old authority */
    party_admin(&root.admin);
    ok(rotate(&root, "user", "standby"));
    bring_policy();
    s = pair_snapshot(&leaf);
    ck_assert_uint_eq(s->clusters[0]->trust->n_user_cas, 1);
    ck_assert_uint_eq(rl_snapshot_root(s, ROOT)->n_user_ssh_keys, 1);
    rl_snapshot_unref(&s);
}
END_TEST

START_TEST(only_a_leafs_auth_speaks_for_it_and_only_of_itself)
{
    pair_establish();
    struct rl_identity who = {.kind = RL_IDENTITY_SERVICE, .cluster = (char[]){LEAF}};
    struct rl_rpc_peer peer = {.address = "192.0.2.9:1", .identity = &who};
    INIT_REPLY(request, TrustUpdateRequest, trust_update_request);
    INIT_REPLY(reply, TrustUpdateResponse, trust_update_response);
    request.trust = own_bundle(&leaf);
    refused_with(rl_leaf_update(root.auth, &peer, &request, &reply, &err), RL_E_INVAL,
                 "is not among them"); /* it would shut itself out */
    who.cluster = (char[]){"other.example"};
    refused(rl_leaf_update(root.auth, &peer, &request, &reply, &err), RL_E_INVAL);
    INIT_REPLY(leave, TrustLeaveRequest, trust_leave_request);
    INIT_REPLY(left, TrustLeaveResponse, trust_leave_response);
    who.cluster = (char[]){LEAF};
    ok(rl_leaf_leave(root.auth, &peer, &leave, &left, &err)); /* of a trust that is not this one */
    ck_assert_int_eq(pair_count(&root, "SELECT count(*) FROM remote_clusters"), 1);
    pb__trust_bundle__free_unpacked(request.trust, NULL);
}
END_TEST

/* ---- the end ---- */

START_TEST(a_leaf_that_ends_it_tells_its_root_until_it_has_heard)
{
    pair_establish();
    bring_policy();
    char *sql = rl_sprintf("UPDATE errands SET next = now(), proxy = '%s'", root_address);
    pair_sql(&leaf, "UPDATE trusted_clusters SET proxy = '127.0.0.1:1'");
    ok(pair_remove(&leaf, "trusted_cluster", ROOT));
    ck_assert_int_eq(pair_count(&leaf, "SELECT count(*) FROM trusted_clusters"), 0);
    struct rl_snapshot *s = pair_snapshot(&leaf);
    ck_assert_uint_eq(s->cluster_count + s->root_count + s->lock_count, 0);
    rl_snapshot_unref(&s);
    ok(rl_errands_run(leaf.auth, &err));
    ck_assert_int_eq(pair_count(&root, "SELECT count(*) FROM remote_clusters"), 1);
    pair_sql(&leaf, sql);
    run_errands();
    ck_assert_int_eq(pair_count(&root, "SELECT count(*) FROM remote_clusters"), 0);
    pair_establish();
    ck_assert_int_eq(pair_count(&root, "SELECT count(*) FROM remote_clusters"), 1);
    refused(pair_remove(&leaf, "trusted_cluster", "nowhere.example"), RL_E_NOT_FOUND);
    free(sql);
}
END_TEST

/* The leaf comes back before its root has heard that it left: the new trust stays. */
START_TEST(deleted_and_created_again_it_is_there)
{
    pair_establish();
    ok(pair_remove(&leaf, "trusted_cluster", ROOT));
    pair_establish();
    run_errands();
    ck_assert_int_eq(pair_count(&root, "SELECT count(*) FROM remote_clusters"), 1);
    bring_policy();
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
    Pb__GetResourcesResponse *list = get(&leaf, "trusted_cluster");
    snprintf(status, sizeof status, "%s", list->resources[0]->trusted_cluster->spec->status);
    free_list(list);
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
    ck_assert_int_eq(errands(), 0);
    brokers_fini();
}
END_TEST

/* What brokers say is not enough: the root's auth says whether it is over. */
START_TEST(a_trust_that_the_root_ended_is_forgotten_when_its_auth_says_so)
{
    pair_establish();
    bring_policy();
    join_brokers();
    report_root(false, RL_E_DENIED);
    run_errands();
    ck_assert_int_eq(pair_count(&leaf, "SELECT count(*) FROM trusted_clusters"), 1);
    ok(pair_remove(&root, "remote_cluster", LEAF));
    report_root(false, RL_E_UNAUTHENTICATED);
    run_errands();
    ck_assert_int_eq(pair_count(&leaf, "SELECT count(*) FROM trusted_clusters"), 0);
    check_event(&leaf, "trusted_cluster.delete", "trusted_cluster", ROOT);
    check_event(&root, "trusted_cluster.delete", "remote_cluster", LEAF);
    pair_establish();
    brokers_fini();
}
END_TEST

static void add_establishing(TCase *t)
{
    tcase_add_test(t, a_token_of_the_root_establishes_trust);
    tcase_add_test(t, each_has_the_others_public_keys_and_no_more);
    tcase_add_test(t, a_token_that_is_not_good_establishes_nothing);
    tcase_add_test(t, the_secret_is_sent_to_nobody_but_the_one_with_the_pin);
    tcase_add_test(t, nobody_trusts_itself_and_trust_goes_one_way);
    tcase_add_test(t, a_leaf_has_a_name_of_its_own);
    tcase_add_test(t, versions_that_are_one_apart_come_together);
    tcase_add_test(t, an_answer_that_was_lost_can_be_asked_for_again);
}

int main(void)
{
    TCase *t = tcase_create("trust");
    tcase_add_checked_fixture(t, pair_set_up, pair_tear_down);
    add_establishing(t);
    tcase_add_test(t, what_stops_a_user_in_the_root_stops_it_in_the_leaf);
    tcase_add_test(t, a_policy_counts_only_as_the_root_signed_it);
    tcase_add_test(t, a_policy_that_can_not_be_read_lets_nobody_in);
    tcase_add_test(t, nodes_are_told_of_the_root_and_of_whom_it_stops);
    tcase_add_test(t, off_is_off_and_on_is_on_again);
    tcase_add_test(t, a_role_map_is_changed_in_place);
    tcase_add_test(t, a_leaf_is_online_while_a_broker_of_its_own_is_attached);
    tcase_add_test(t, no_broker_of_the_root_can_claim_a_leaf_that_did_not_come);
    tcase_add_test(t, a_leaf_is_found_where_its_brokers_are);
    tcase_add_test(t, cluster_labels_hide_a_leaf_as_if_it_were_not_there);
    tcase_add_test(t, the_leafs_new_authorities_reach_the_root);
    tcase_add_test(t, the_roots_new_authorities_reach_the_leaf_by_its_policy);
    tcase_add_test(t, only_a_leafs_auth_speaks_for_it_and_only_of_itself);
    tcase_add_test(t, a_leaf_that_ends_it_tells_its_root_until_it_has_heard);
    tcase_add_test(t, deleted_and_created_again_it_is_there);
    tcase_add_test(t, a_leaf_knows_whether_it_reaches_its_root);
    tcase_add_test(t, a_trust_that_the_root_ended_is_forgotten_when_its_auth_says_so);
    return fixture_main("trust", t);
}
