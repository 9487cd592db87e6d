#include "credential/token.h"
#include "fixture.h"
#include "fleet/join.h"
#include "public.h"
#include "sshcert/sshcert.h"

#include <stdlib.h>
#include <string.h>

static struct party node, other;

static void set_up(void)
{
    fixture_set_up();
    party_init(&node);
    party_init(&other);
}

static void tear_down(void)
{
    party_fini(&node);
    party_fini(&other);
    fixture_tear_down();
}

static rl_code join_as(struct party *party, const char *kind, const char *name, const char *token)
{
    INIT_REPLY(reply, JoinResponse, join_response);
    rl_code rc = fixture_join(party, kind, name, token, &reply);
    fixture_clear(&reply.base);
    return rc;
}

static void join_ok(struct party *party, const char *name)
{
    char *token = fixture_token("node", 1);
    ok(join_as(party, "agent", name, token));
    rl_token_free(&token);
}

START_TEST(a_token_makes_a_node_with_its_certificates)
{
    char *token = fixture_token("node", 1);
    INIT_REPLY(reply, JoinResponse, join_response);
    ok(fixture_join(&node, "agent", "node-a", token, &reply));
    ck_assert_int_eq(node.identity->kind, RL_IDENTITY_AGENT);
    ck_assert_str_eq(node.identity->name, reply.id);
    ck_assert_str_eq(reply.name, "node-a");
    ck_assert_str_eq(reply.message, "");
    ck_assert_uint_eq(reply.generation, 1);
    ck_assert_uint_eq(node.identity->claims->generation, 1);
    ck_assert_str_eq(node.identity->claims->agent_kinds[0], "node");
    struct rl_sshcert certificate;
    ok(rl_sshcert_parse(RL_BINARY(reply.ssh_certificate), &certificate, &err));
    struct rl_span authority = RL_BINARY(reply.trust->host_ssh_cas[0]);
    ok(rl_sshcert_verify(&certificate, &authority, 1, &err));
    char *by_id = rl_sprintf("%s." CLUSTER, reply.id);
    const char *const good[] = {"node-a", "node-a." CLUSTER, reply.id, by_id};
    for (size_t i = 0; i < RL_COUNT(good); i++)
        ok(rl_sshcert_check_host(&certificate, good[i], reply.time_ns / 1000000000, &err));
    refused(rl_sshcert_check_host(&certificate, "node-b", reply.time_ns / 1000000000, &err),
            RL_E_DENIED);
    free(by_id);
    fixture_clear(&reply.base);
    rl_token_free(&token);
    Pb__Event *event = fixture_event("instance.join");
    ck_assert_str_eq(event->resource_name, "node-a");
    rl_event_free(&event);
}
END_TEST

START_TEST(a_used_token_is_said)
{
    char *token = fixture_token("node", 2);
    ok(join_as(&node, "agent", "node-a", token));
    ok(join_as(&other, "agent", "node-b", token));
    struct party third;
    party_init(&third);
    refused(join_as(&third, "agent", "node-c", token), RL_E_DENIED);
    ck_assert_str_eq(err.message, "join token used up; ask for a new one with `tctl tokens add`");
    party_fini(&third);
    rl_token_free(&token);
}
END_TEST

/* The answer was lost on its way: the token is spent, and the node does not know its id. */
START_TEST(a_lost_answer_is_given_again_to_the_same_key_and_to_nobody_else)
{
    char *token = fixture_token("node", 1);
    INIT_REPLY(first, JoinResponse, join_response);
    INIT_REPLY(second, JoinResponse, join_response);
    ok(fixture_join(&node, "agent", "node-a", token, &first));
    party_forget_identity(&node);
    refused(join_as(&other, "agent", "node-a", token), RL_E_DENIED);
    ok(fixture_join(&node, "agent", "node-a", token, &second));
    ck_assert_str_eq(second.id, first.id);
    ck_assert_str_eq(second.name, "node-a");
    ck_assert_uint_eq(second.generation, 2); /* the first one's certificate has no holder */
    fixture_clear(&first.base);
    fixture_clear(&second.base);
    fixture_sql("UPDATE instances SET created = now() - interval '11 minutes'");
    party_forget_identity(&node);
    refused(join_as(&node, "agent", "node-a", token), RL_E_DENIED);
    ck_assert_str_eq(err.message, "join token used up; ask for a new one with `tctl tokens add`");
    rl_token_free(&token);
}
END_TEST

START_TEST(an_answer_that_is_asked_for_again_takes_no_second_use)
{
    char *token = fixture_token("node", 2);
    ok(join_as(&node, "agent", "node-a", token));
    party_forget_identity(&node);
    ok(join_as(&node, "agent", "node-a", token));
    ok(join_as(&other, "agent", "node-b", token));
    rl_token_free(&token);
}
END_TEST

START_TEST(an_expired_token_says_since_when)
{
    char *token = fixture_token("node", 1);
    fixture_sql("UPDATE tokens SET expires = now() - interval '3 minutes'");
    refused(join_as(&node, "agent", "node-a", token), RL_E_DENIED);
    ck_assert_str_eq(err.message,
                     "join token expired 3 min ago; ask for a new one with `tctl tokens add`");
    rl_token_free(&token);
}
END_TEST

START_TEST(a_token_is_for_its_kinds)
{
    char *for_node = fixture_token("node", 1);
    char *for_proxy = fixture_token("proxy", 1);
    refused(join_as(&node, "proxy", "", for_node), RL_E_DENIED);
    ck_assert_str_eq(err.message, "this join token is for node, not for proxy");
    refused(join_as(&node, "agent", "node-a", for_proxy), RL_E_DENIED);
    refused(join_as(&node, "auth", "", for_proxy), RL_E_INVAL);
    /* Nothing of that has used them up. */
    ok(join_as(&node, "agent", "node-a", for_node));
    ok(join_as(&other, "proxy", "", for_proxy));
    ck_assert(rl_identity_is_service(other.identity, "proxy"));
    rl_token_free(&for_node);
    rl_token_free(&for_proxy);
}
END_TEST

START_TEST(an_unknown_token_is_refused)
{
    char *unknown = rl_token_create();
    refused(join_as(&node, "agent", "node-a", unknown), RL_E_DENIED);
    refused(join_as(&node, "agent", "node-a", "short"), RL_E_DENIED);
    rl_token_free(&unknown);
    Pb__Event *event = fixture_event("instance.join");
    ck_assert_str_eq(event->outcome, "denied");
    rl_event_free(&event);
}
END_TEST

START_TEST(a_token_allows_its_names_only)
{
    char *token = fixture_token("node", 1);
    fixture_sql("UPDATE tokens SET names = '{edge-*,^web[0-9]+$}'");
    refused(join_as(&node, "agent", "node-a", token), RL_E_DENIED);
    ck_assert_ptr_nonnull(strstr(err.message, "does not allow the name node-a"));
    ok(join_as(&node, "agent", "web12", token));
    rl_token_free(&token);
}
END_TEST

START_TEST(a_name_that_can_not_be_a_nodes_is_refused)
{
    static const char *const bad[] = {"UPPER", "a.b", "-a", "a_b",
                                      "01a20437-a7cf-7f47-9df2-0245f96b8e49"};
    char *token = fixture_token("node", 1);
    for (size_t i = 0; i < RL_COUNT(bad); i++)
        refused(join_as(&node, "agent", bad[i], token), RL_E_INVAL);
    ok(join_as(&node, "agent", "node-a", token));
    rl_token_free(&token);
}
END_TEST

START_TEST(a_taken_name_stays_with_its_first_holder)
{
    join_ok(&node, "node-a");
    char *token = fixture_token("node", 1);
    INIT_REPLY(reply, JoinResponse, join_response);
    ok(fixture_join(&other, "agent", "node-a", token, &reply));
    ck_assert_str_eq(reply.name, "");
    char *message = rl_sprintf("the name node-a is taken; joined as %s", reply.id);
    ck_assert_str_eq(reply.message, message);
    ck_assert_str_eq(other.identity->claims->node_name, "");
    free(message);
    fixture_clear(&reply.base);
    rl_token_free(&token);
}
END_TEST

START_TEST(the_labels_of_the_token_win)
{
    char *token = fixture_token("node", 1);
    fixture_sql("UPDATE tokens SET label_keys = '{env,team}', label_values = '{dev,red}'");
    INIT_REPLY(reply, JoinResponse, join_response);
    ok(fixture_join(&node, "agent", "node-a", token, &reply));
    ck_assert_uint_eq(reply.n_labels, 2);
    ck_assert_str_eq(reply.labels[0]->key, "env");
    ck_assert_str_eq(reply.labels[0]->value, "dev");
    fixture_clear(&reply.base);
    rl_token_free(&token);
}
END_TEST

START_TEST(under_its_old_id_comes_only_who_has_the_key)
{
    join_ok(&node, "node-a");
    char *id = rl_strdup(node.identity->name);
    char *token = fixture_token("node", 2);
    ok(join_as(&node, "agent", "node-a", token));
    ck_assert_str_eq(node.identity->name, id);
    ck_assert_uint_eq(node.identity->claims->generation, 2);
    ck_assert_str_eq(node.identity->claims->node_name, "node-a");
    struct party thief;
    party_init(&thief);
    thief.identity = rl_identity_ref(node.identity);
    refused(join_as(&thief, "agent", "node-a", token), RL_E_DENIED);
    party_fini(&thief);
    free(id);
    rl_token_free(&token);
}
END_TEST

START_TEST(whoever_joins_proves_its_key)
{
    char *token = fixture_token("node", 1);
    EVP_PKEY *own = node.tls_key;
    node.tls_key = other.tls_key;
    refused(join_as(&node, "agent", "node-a", token), RL_E_DENIED);
    node.tls_key = own;
    ok(join_as(&node, "agent", "node-a", token));
    rl_token_free(&token);
}
END_TEST

/* ---- renewing ---- */

START_TEST(a_renewal_counts_and_may_be_asked_for_again)
{
    join_ok(&node, "node-a");
    EVP_PKEY *fresh = NULL;
    ok(rl_key_generate_p256(&fresh, &err));
    INIT_REPLY(reply, JoinResponse, join_response);
    INIT_REPLY(again, JoinResponse, join_response);
    ok(fixture_renew(&node, fresh, 1, &reply));
    ck_assert_uint_eq(reply.generation, 2);
    /* The answer was lost: the same key gets the same generation. */
    ok(fixture_renew(&node, fresh, 1, &again));
    ck_assert_uint_eq(again.generation, 2);
    party_become(&node, reply.tls_chain, reply.n_tls_chain);
    ck_assert_str_eq(node.identity->claims->node_name, "node-a");
    fixture_clear(&reply.base);
    fixture_clear(&again.base);
    EVP_PKEY_free(fresh);
}
END_TEST

START_TEST(two_holders_of_one_generation_are_both_stopped)
{
    join_ok(&node, "node-a");
    EVP_PKEY *first = NULL, *second = NULL;
    ok(rl_key_generate_p256(&first, &err));
    ok(rl_key_generate_p256(&second, &err));
    INIT_REPLY(reply, JoinResponse, join_response);
    INIT_REPLY(none, JoinResponse, join_response);
    ok(fixture_renew(&node, first, 1, &reply));
    refused(fixture_renew(&node, second, 1, &none), RL_E_DENIED);
    ck_assert_str_eq(err.message, "two hold this identity; both are stopped");
    Pb__Event *event = fixture_event("lock.create");
    ck_assert_str_eq(event->resource_id, node.identity->name);
    rl_event_free(&event);
    party_become(&node, reply.tls_chain, reply.n_tls_chain);
    refused(fixture_renew(&node, second, 2, &none), RL_E_DENIED);
    ck_assert_ptr_nonnull(strstr(err.message, "locked: two hold generation 1"));
    fixture_clear(&reply.base);
    EVP_PKEY_free(first);
    EVP_PKEY_free(second);
}
END_TEST

START_TEST(a_removed_node_does_not_renew)
{
    join_ok(&node, "node-a");
    fixture_sql("DELETE FROM instances");
    INIT_REPLY(reply, JoinResponse, join_response);
    refused(fixture_renew(&node, node.tls_key, 1, &reply), RL_E_DENIED);
    ck_assert_ptr_nonnull(strstr(err.message, "join anew"));
}
END_TEST

START_TEST(nobody_is_certified_by_the_clusters_own_names)
{
    struct rl_buf body, proof;
    char *token = fixture_token("proxy", 1);
    char kind[] = "proxy", address[] = "auth." CLUSTER ".remoteler.internal";
    char *addresses[] = {address};
    INIT_REPLY(request, JoinRequest, join_request);
    INIT_REPLY(reply, JoinResponse, join_response);
    rl_buf_init(&body, 256);
    rl_buf_init(&proof, 256);
    rl_buf_put_string(&body, rl_span_of(token));
    ok(rl_key_sign(node.tls_key, RL_JOIN_CONTEXT, rl_buf_span(&body), &proof, &err));
    request.token = token;
    request.kind = kind;
    request.tls_public_key = (ProtobufCBinaryData){node.tls_spki.n, node.tls_spki.p};
    request.proof = (ProtobufCBinaryData){proof.n, proof.p};
    request.addresses = addresses;
    request.n_addresses = 1;
    refused(rl_auth_join(auth, &node.peer, &request, &reply, &err), RL_E_INVAL);
    ck_assert_int_eq(fixture_count("SELECT uses_left FROM tokens"), 1);
    rl_buf_fini(&body);
    rl_buf_fini(&proof);
    rl_token_free(&token);
}
END_TEST

START_TEST(the_time_is_told_so_that_the_pin_is_enough_to_believe_it)
{
    uint8_t nonce[32] = {7};
    Pb__TimeRequest request = PB__TIME_REQUEST__INIT;
    INIT_REPLY(reply, TimeResponse, time_response);
    request.nonce = (ProtobufCBinaryData){sizeof nonce, nonce};
    ok(rl_auth_time(auth, &node.peer, &request, &reply, &err));
    struct rl_snapshot *snapshot = NULL;
    ok(rl_snapshots_current(auth->snapshots, &snapshot, &err));
    X509 *ca = NULL;
    EVP_PKEY *key = NULL;
    ok(rl_x509_from_der(RL_BINARY(reply.service_ca), &ca, &err));
    char *pin = rl_identity_pin(ca);
    ck_assert_str_eq(pin, snapshot->authorities->ca_pin);
    ok(rl_key_verify(X509_get0_pubkey(ca), "remoteler-policy-key-v1", RL_BINARY(reply.policy_key),
                     RL_BINARY(reply.endorsement), &err));
    ok(rl_key_from_spki(RL_BINARY(reply.policy_key), &key, &err));
    ok(rl_key_verify(key, "remoteler-time-v1", RL_BINARY(reply.statement),
                     RL_BINARY(reply.signature), &err));
    Pb__SignedTime *said = pb__signed_time__unpack(NULL, reply.statement.len, reply.statement.data);
    ck_assert(rl_span_equal(RL_BINARY(said->nonce), RL_SPAN(nonce, sizeof nonce)));
    ck_assert_str_eq(said->cluster, CLUSTER);
    pb__signed_time__free_unpacked(said, NULL);
    request.nonce.len = 15;
    refused(rl_auth_time(auth, &node.peer, &request, &reply, &err), RL_E_INVAL);
    EVP_PKEY_free(key);
    X509_free(ca);
    free(pin);
    rl_snapshot_unref(&snapshot);
    fixture_clear(&reply.base);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("join");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_lost_answer_is_given_again_to_the_same_key_and_to_nobody_else);
    tcase_add_test(t, an_answer_that_is_asked_for_again_takes_no_second_use);
    tcase_add_test(t, a_token_makes_a_node_with_its_certificates);
    tcase_add_test(t, a_used_token_is_said);
    tcase_add_test(t, an_expired_token_says_since_when);
    tcase_add_test(t, a_token_is_for_its_kinds);
    tcase_add_test(t, an_unknown_token_is_refused);
    tcase_add_test(t, a_token_allows_its_names_only);
    tcase_add_test(t, a_name_that_can_not_be_a_nodes_is_refused);
    tcase_add_test(t, a_taken_name_stays_with_its_first_holder);
    tcase_add_test(t, the_labels_of_the_token_win);
    tcase_add_test(t, under_its_old_id_comes_only_who_has_the_key);
    tcase_add_test(t, whoever_joins_proves_its_key);
    tcase_add_test(t, a_renewal_counts_and_may_be_asked_for_again);
    tcase_add_test(t, two_holders_of_one_generation_are_both_stopped);
    tcase_add_test(t, a_removed_node_does_not_renew);
    tcase_add_test(t, the_time_is_told_so_that_the_pin_is_enough_to_believe_it);
    tcase_add_test(t, nobody_is_certified_by_the_clusters_own_names);
    return fixture_main("join", t);
}
