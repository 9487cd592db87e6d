/* Two clusters: trust is exchanged, kept up, cut and ended; what stops a user in the root stops it
 * in the leaf. */
#include "admin/admin.h"
#include "authority/issue.h"
#include "authority/rotate.h"
#include "clock/clock.h"
#include "clusters/errands.h"
#include "clusters/leaf.h"
#include "clusters/peer_trust.h"
#include "clusters/root.h"
#include "credential/token.h"
#include "db/peers.h"
#include "pair.h"
#include "people/caller.h"
#include "people/session.h"
#include "policy/policy.h"
#include "protocol/protocol.h"
#include "resource/resource.h"
#include "services/control.h"

#include <stdlib.h>
#include <string.h>

/* ---- establishing ---- */

START_TEST(a_token_of_the_root_establishes_trust)
{
    pair_establish();
    Pb__GetResourcesResponse *roots = pair_get(&leaf, "trusted_cluster");
    Pb__GetResourcesResponse *leaves = pair_get(&root, "remote_cluster");
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
    pair_free(roots);
    pair_free(leaves);
    pair_check_event(&leaf, "trusted_cluster.create", "trusted_cluster", ROOT);
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
    ck_assert_msg(strstr(err.message, ROOT) && strstr(err.message, root_address), "%s",
                  err.message);
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

START_TEST(a_leaf_has_room_for_so_many_roots)
{
    char *sql = rl_sprintf(
        "INSERT INTO trusted_clusters SELECT 'root-' || i, '{}', '{}', false, '', '', '', '', '',"
        " '', '', 0, '', '', 1 FROM generate_series(1, %d) i",
        RL_ROOTS_MAX);
    pair_sql(&leaf, sql);
    char *token = pair_token("trusted_cluster");
    refused_with(pair_trust(ROOT, token, true, false, "access", "access"), RL_E_EXHAUSTED,
                 "trusted already");
    pair_sql(&leaf, "DELETE FROM trusted_clusters WHERE name = 'root-1'");
    ok(pair_trust(ROOT, token, true, false, "access", "access"));
    free(token);
    free(sql);
}
END_TEST

START_TEST(a_root_has_room_for_so_many_leaves)
{
    Pb__TrustBundle *bundle = own_bundle(&leaf);
    char *sql = rl_sprintf(
        "INSERT INTO remote_clusters (name, label_keys, label_values, trust, trust_id, version,"
        " token_id, revision) SELECT 'leaf-' || i, '{}', '{}', '', int4send(i), '', '', 1"
        " FROM generate_series(2, %d) i",
        RL_LEAVES_MAX);
    pair_sql(&root, sql);
    ok(establish_fresh(bundle, 1, 1));
    pair_sql(&root, "UPDATE remote_clusters SET name = 'leaf-1' WHERE name = '" LEAF "'");
    refused_with(establish_fresh(bundle, 1, 1), RL_E_EXHAUSTED, "leaves");
    free(sql);
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
    /* A goodbye to the first that is still on its way does not end the second. */
    struct rl_identity who = {.kind = RL_IDENTITY_SERVICE, .cluster = (char[]){LEAF}};
    struct rl_rpc_peer peer = {.address = "192.0.2.9:1", .identity = &who};
    INIT_REPLY(leave, TrustLeaveRequest, trust_leave_request);
    INIT_REPLY(left, TrustLeaveResponse, trust_leave_response);
    leave.trust_id = (ProtobufCBinaryData){sizeof first, first};
    ok(rl_leaf_leave(root.auth, &peer, &leave, &left, &err));
    ck_assert_int_eq(pair_count(&root, "SELECT count(*) FROM remote_clusters"), 1);
    pair_sql(&root, "UPDATE remote_clusters SET established = now() - interval '1 hour'");
    refused_with(establish(secret, bundle, 1, 1, second), RL_E_DENIED, "used up");
    rl_token_free(&secret);
    pb__trust_bundle__free_unpacked(bundle, NULL);
}
END_TEST

/* ---- the root's word, brought by brokers ---- */

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
    pair_bring_policy();
    struct rl_snapshot *s = pair_snapshot(&leaf);
    ck_assert_ptr_nonnull(rl_snapshot_root(s, ROOT));
    ck_assert_uint_eq(s->lock_count, 0);
    rl_snapshot_unref(&s);
    lock_user("l1", "alice", "");
    lock_user("l2", "eve", "elsewhere.example"); /* not the root's to say */
    pair_sql(&root, "INSERT INTO cuts VALUES ('bob', '" ROOT "', now(), 'reset', now() +"
                    " interval '1 hour')");
    pair_sql(&root, "UPDATE revision SET number = number + 1");
    pair_bring_policy();
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
    pair_bring_policy();
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
    pair_ask_policy("cluster/" LEAF, 0, none, none, &update); /* an older one, perhaps */
    refused(pair_take_policy(&update, &reply), RL_E_DENIED);
    fixture_clear(&update.base);
    pair_ask_policy("cluster/" LEAF "/0192f0c1-0000-7000-8000-000000000000", 0, none, nonce,
                    &update);
    update.seal->signature.data[8] ^= 1;
    refused(pair_take_policy(&update, &reply), RL_E_UNAUTHENTICATED);
    update.seal->signature.data[8] ^= 1;
    Pb__PolicyEntry *last = update.set[--update.n_set]; /* an entry is left out */
    refused(pair_take_policy(&update, &reply), RL_E_UNAUTHENTICATED);
    update.set[update.n_set++] = last;
    ok(pair_take_policy(&update, &reply));
    ck_assert_uint_eq(reply.version, (uint64_t)pair_count(&root, "SELECT number FROM revision"));
    fixture_clear(&reply.base);
    /* The same again, from another broker, changes nothing and is no error. */
    long revision = pair_count(&leaf, "SELECT number FROM revision");
    ok(pair_take_policy(&update, &reply));
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
    pair_bring_policy();
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
    pair_bring_policy();
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
    pair_bring_policy();
    ok(pair_trust(ROOT, RL_RESOURCE_REDACTED, false, true, "access", "access"));
    struct rl_snapshot *s = pair_snapshot(&leaf);
    ck_assert_uint_eq(s->cluster_count, 0);
    ck_assert_ptr_null(rl_snapshot_root(s, ROOT));
    rl_snapshot_unref(&s);
    INIT_REPLY(update, PolicyUpdate, policy_update);
    INIT_REPLY(reply, TakeRootPolicyResponse, take_root_policy_response);
    pair_ask_policy("cluster/" LEAF, 0, RL_SPAN(NULL, 0), RL_SPAN(NULL, 0), &update);
    refused(pair_take_policy(&update, &reply), RL_E_NOT_FOUND);
    fixture_clear(&update.base);
    ok(pair_trust(ROOT, NULL, true, true, "access", "access"));
    s = pair_snapshot(&leaf);
    ck_assert_uint_eq(s->cluster_count, 1);
    ck_assert_ptr_nonnull(rl_snapshot_root(s, ROOT));
    rl_snapshot_unref(&s);
    pair_check_event(&leaf, "trusted_cluster.update", "trusted_cluster", ROOT);
}
END_TEST

START_TEST(a_role_map_is_changed_in_place)
{
    pair_establish();
    pair_bring_policy();
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
    ok(rl_errands_run(leaf.auth, NULL, &err));
    ck_assert_int_eq(pair_errands(), 0);
    ok(rotate(&leaf, "host", "init"));
    ok(rl_errands_run(leaf.auth, NULL, &err));
    pair_run_errands();
    struct rl_snapshot *s = pair_snapshot(&root);
    ck_assert_uint_eq(s->clusters[0]->trust->n_host_cas, 2);
    ck_assert_uint_eq(s->clusters[0]->trust->n_host_ssh_cas, 2);
    rl_snapshot_unref(&s);
    /* A root that is away hears of it when it is back. */
    pair_sql(&leaf, "UPDATE trusted_clusters SET proxy = '127.0.0.1:1'");
    ok(rotate(&leaf, "host", "rollback"));
    ok(rl_errands_run(leaf.auth, NULL, &err));
    ck_assert_int_eq(pair_count(&leaf, "SELECT tries FROM errands"), 1);
    char *sql = rl_sprintf("UPDATE trusted_clusters SET proxy = '%s'", root_address);
    pair_sql(&leaf, sql);
    pair_run_errands();
    s = pair_snapshot(&root);
    ck_assert_uint_eq(s->clusters[0]->trust->n_host_cas, 1);
    rl_snapshot_unref(&s);
    free(sql);
}
END_TEST

START_TEST(the_roots_new_authorities_reach_the_leaf_by_its_policy)
{
    pair_establish();
    pair_bring_policy();
    ok(rotate(&root, "user", "init"));
    pair_bring_policy();
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
    pair_bring_policy();
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
    pair_bring_policy();
    char *sql = rl_sprintf("UPDATE errands SET next = now(), proxy = '%s'", root_address);
    pair_sql(&leaf, "UPDATE trusted_clusters SET proxy = '127.0.0.1:1'");
    ok(pair_remove(&leaf, "trusted_cluster", ROOT));
    ck_assert_int_eq(pair_count(&leaf, "SELECT count(*) FROM trusted_clusters"), 0);
    struct rl_snapshot *s = pair_snapshot(&leaf);
    ck_assert_uint_eq(s->cluster_count + s->root_count + s->lock_count, 0);
    rl_snapshot_unref(&s);
    ok(rl_errands_run(leaf.auth, NULL, &err));
    ck_assert_int_eq(pair_count(&root, "SELECT count(*) FROM remote_clusters"), 1);
    pair_sql(&leaf, sql);
    pair_run_errands();
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
    pair_run_errands();
    ck_assert_int_eq(pair_count(&root, "SELECT count(*) FROM remote_clusters"), 1);
    pair_bring_policy();
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
    tcase_add_test(t, a_leaf_has_room_for_so_many_roots);
    tcase_add_test(t, a_root_has_room_for_so_many_leaves);
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
    tcase_add_test(t, the_leafs_new_authorities_reach_the_root);
    tcase_add_test(t, the_roots_new_authorities_reach_the_leaf_by_its_policy);
    tcase_add_test(t, only_a_leafs_auth_speaks_for_it_and_only_of_itself);
    tcase_add_test(t, a_leaf_that_ends_it_tells_its_root_until_it_has_heard);
    tcase_add_test(t, deleted_and_created_again_it_is_there);
    return pair_main("trust", t);
}
