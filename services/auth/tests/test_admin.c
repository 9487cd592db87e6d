#include "admin/admin.h"
#include "clock/clock.h"
#include "credential/token.h"
#include "fixture.h"
#include "people/session.h"
#include "resource/resource.h"

#include <stdlib.h>
#include <string.h>

static struct rl_buf secret;
static struct party admin, alice;

static void set_up(void)
{
    char code[7];
    INIT_REPLY(login, LoginResponse, login_response);
    fixture_set_up();
    party_admin(&admin);
    party_init(&alice);
    fixture_add_user("alice", "access", "root", &secret);
    fixture_code(&secret, 0, code);
    ok(fixture_login(&alice, "alice", fixture_password, code, &login));
    fixture_clear(&login.base);
}

static void tear_down(void)
{
    party_fini(&admin);
    party_fini(&alice);
    rl_buf_fini(&secret);
    fixture_tear_down();
}

static rl_code put(const char *yaml, bool replace, Pb__PutResourceResponse *reply)
{
    Pb__Resource **documents = NULL;
    size_t count = 0;
    ok(rl_resources_parse(rl_span_of(yaml), &documents, &count, &err));
    ck_assert_uint_eq(count, 1);
    INIT_REPLY(request, PutResourceRequest, put_resource_request);
    request.resource = documents[0];
    request.replace = replace;
    rl_code rc = rl_admin_put(auth, &admin.peer, &request, reply, &err);
    rl_resources_free(&documents, count);
    return rc;
}

static rl_code put_quietly(const char *yaml, bool replace)
{
    INIT_REPLY(reply, PutResourceResponse, put_resource_response);
    rl_code rc = put(yaml, replace, &reply);
    fixture_clear(&reply.base);
    return rc;
}

static rl_code get(const struct party *party, const char *kind, const char *name,
                   Pb__GetResourcesResponse *reply)
{
    INIT_REPLY(request, GetResourcesRequest, get_resources_request);
    request.kind = rl_strdup(kind);
    request.name = rl_strdup(name);
    rl_code rc = rl_admin_get(auth, &party->peer, &request, reply, &err);
    free(request.kind);
    free(request.name);
    return rc;
}

static rl_code drop(const char *kind, const char *name)
{
    INIT_REPLY(request, DeleteResourceRequest, delete_resource_request);
    INIT_REPLY(reply, DeleteResourceResponse, delete_resource_response);
    request.kind = rl_strdup(kind);
    request.name = rl_strdup(name);
    rl_code rc = rl_admin_delete(auth, &admin.peer, &request, &reply, &err);
    free(request.kind);
    free(request.name);
    return rc;
}

static size_t nodes_of(const struct party *party, rl_code want)
{
    INIT_REPLY(request, ListNodesRequest, list_nodes_request);
    INIT_REPLY(reply, ListNodesResponse, list_nodes_response);
    refused(fixture_list_nodes(&party->peer, &request, &reply), want);
    size_t count = reply.n_nodes;
    fixture_clear(&reply.base);
    return count;
}

static const char developer[] = "kind: role\n"
                                "version: v1\n"
                                "metadata: {name: developer}\n"
                                "spec:\n"
                                "  allow:\n"
                                "    logins: [deploy]\n"
                                "    node_labels: {env: dev}\n"
                                "  options: {max_session_ttl: 1h, port_forwarding: true}\n";

START_TEST(a_role_comes_back_as_it_was_put)
{
    INIT_REPLY(done, PutResourceResponse, put_resource_response);
    INIT_REPLY(shown, GetResourcesResponse, get_resources_response);
    ok(put(developer, false, &done));
    ck_assert(done.created);
    ok(get(&admin, "role", "developer", &shown));
    ck_assert_uint_eq(shown.n_resources, 1);
    const Pb__Role *role = shown.resources[0]->role;
    ck_assert_str_eq(role->spec->allow->logins[0], "deploy");
    ck_assert_uint_eq(role->spec->options->max_session_ttl_s, 3600);
    ck_assert_uint_gt(role->metadata->revision, 1);
    refused(put_quietly(developer, false), RL_E_EXISTS);
    fixture_clear(&done.base);
    ok(put(developer, true, &done));
    ck_assert(!done.created);
    Pb__Event *event = fixture_event("role.create");
    ck_assert_str_eq(event->resource_name, "developer");
    rl_event_free(&event);
    fixture_clear(&done.base);
    fixture_clear(&shown.base);
}
END_TEST

START_TEST(a_role_that_is_not_fit_is_refused)
{
    static const char bad_pattern[] = "kind: role\nversion: v1\nmetadata: {name: bad}\n"
                                      "spec: {allow: {node_labels: {env: \"^(a$\"}}}\n";
    static const char bad_verb[] = "kind: role\nversion: v1\nmetadata: {name: bad}\n"
                                   "spec: {allow: {rules: [{resources: [user], verbs: [eat]}]}}\n";
    refused(put_quietly(bad_pattern, false), RL_E_INVAL);
    refused(put_quietly(bad_verb, false), RL_E_INVAL);
}
END_TEST

START_TEST(a_role_in_use_is_not_removed)
{
    refused(drop("role", "access"), RL_E_PRECONDITION);
    ck_assert_ptr_nonnull(strstr(err.message, "held by alice"));
    ok(drop("role", "auditor"));
    refused(drop("role", "auditor"), RL_E_NOT_FOUND);
}
END_TEST

static rl_code set_role(const char *user, const char *role)
{
    INIT_REPLY(request, UpdateUserRequest, update_user_request);
    INIT_REPLY(reply, User, user);
    char *roles[] = {rl_strdup(role)};
    request.name = rl_strdup(user);
    request.set_roles = true;
    request.roles = roles;
    request.n_roles = 1;
    rl_code rc = rl_admin_update_user(auth, &admin.peer, &request, &reply, &err);
    free(request.name);
    free(roles[0]);
    fixture_clear(&reply.base);
    return rc;
}

START_TEST(taking_a_role_away_voids_what_was_issued)
{
    char code[7];
    INIT_REPLY(login, LoginResponse, login_response);
    nodes_of(&alice, RL_OK);
    ok(set_role("alice", "auditor"));
    ck_assert_int_eq(fixture_count("SELECT count(*) FROM cuts WHERE user_name = 'alice'"), 1);
    nodes_of(&alice, RL_E_DENIED);
    ck_assert_ptr_nonnull(strstr(err.message, "a role was taken away; run tsh login"));
    fixture_code(&secret, 1, code);
    ok(fixture_login(&alice, "alice", fixture_password, code, &login));
    nodes_of(&alice, RL_OK);
    fixture_clear(&login.base);
}
END_TEST

START_TEST(giving_a_role_voids_nothing_and_counts_from_the_next_login)
{
    INIT_REPLY(request, UpdateUserRequest, update_user_request);
    INIT_REPLY(reply, User, user);
    INIT_REPLY(shown, GetResourcesResponse, get_resources_response);
    char name[] = "alice", access[] = "access", more[] = "admin";
    char *roles[] = {access, more};
    request.name = name;
    request.set_roles = true;
    request.roles = roles;
    request.n_roles = 2;
    ok(rl_admin_update_user(auth, &admin.peer, &request, &reply, &err));
    nodes_of(&alice, RL_OK);
    refused(get(&alice, "user", "", &shown), RL_E_DENIED);
    fixture_clear(&reply.base);
}
END_TEST

START_TEST(taking_a_login_away_voids_what_was_issued)
{
    INIT_REPLY(request, UpdateUserRequest, update_user_request);
    INIT_REPLY(reply, User, user);
    Pb__Trait trait = PB__TRAIT__INIT;
    Pb__Trait *traits[] = {&trait};
    char name[] = "alice", key[] = "logins", value[] = "deploy";
    char *values[] = {value};
    trait.key = key;
    trait.values = values;
    trait.n_values = 1;
    request.name = name;
    request.set_traits = traits;
    request.n_set_traits = 1;
    ok(rl_admin_update_user(auth, &admin.peer, &request, &reply, &err));
    ck_assert_uint_eq(reply.spec->n_traits, 1);
    ck_assert_str_eq(reply.spec->traits[0]->values[0], "deploy");
    nodes_of(&alice, RL_E_DENIED);
    fixture_clear(&reply.base);
}
END_TEST

START_TEST(a_removed_user_is_out_even_when_made_anew)
{
    ok(drop("user", "alice"));
    nodes_of(&alice, RL_E_DENIED);
    struct rl_buf again;
    fixture_add_user("alice", "access", "root", &again);
    nodes_of(&alice, RL_E_DENIED);
    ck_assert_ptr_nonnull(strstr(err.message, "the user was removed"));
    rl_buf_fini(&again);
}
END_TEST

START_TEST(a_lock_counts_at_once_and_ends_with_its_removal)
{
    static const char lock[] = "kind: lock\nversion: v1\nmetadata: {name: l1}\n"
                               "spec: {target: {kind: user, name: alice}, message: lost laptop}\n";
    static const char flat[] = "kind: lock\nversion: v1\nmetadata: {name: l1}\n"
                               "spec: {target_kind: user, target_name: alice, message: lost "
                               "laptop}\n";
    Pb__Resource **documents = NULL;
    size_t count = 0;
    bool is_flat = rl_resources_parse(rl_span_of(lock), &documents, &count, &err) != RL_OK;
    rl_resources_free(&documents, count);
    ok(put_quietly(is_flat ? flat : lock, false));
    nodes_of(&alice, RL_E_DENIED);
    ck_assert_str_eq(err.message, "locked: lost laptop");
    INIT_REPLY(shown, GetResourcesResponse, get_resources_response);
    ok(get(&admin, "lock", "l1", &shown));
    ck_assert_str_eq(shown.resources[0]->lock->spec->created_by, "admin");
    fixture_clear(&shown.base);
    ok(drop("lock", "l1"));
    nodes_of(&alice, RL_OK);
}
END_TEST

START_TEST(lists_show_what_the_roles_show)
{
    struct party dev, prod;
    char *token = fixture_token("node", 2);
    INIT_REPLY(joined, JoinResponse, join_response);
    party_init(&dev);
    party_init(&prod);
    ok(fixture_join(&dev, "agent", "node-dev", token, &joined));
    fixture_clear(&joined.base);
    ok(fixture_join(&prod, "agent", "node-prod", token, &joined));
    fixture_clear(&joined.base);
    fixture_sql("UPDATE instances SET own_label_keys = '{env}', own_label_values ="
                " ARRAY[substr(name, 6)] WHERE name IS NOT NULL");
    ck_assert_uint_eq(nodes_of(&alice, RL_OK), 2);
    ok(put_quietly("kind: role\nversion: v1\nmetadata: {name: access}\nspec:\n"
                   "  allow: {logins: [\"{{internal.logins}}\"], node_labels: {\"*\": \"*\"}}\n"
                   "  deny: {node_labels: {env: prod}}\n",
                   true));
    INIT_REPLY(request, ListNodesRequest, list_nodes_request);
    INIT_REPLY(reply, ListNodesResponse, list_nodes_response);
    ok(fixture_list_nodes(&alice.peer, &request, &reply));
    ck_assert_uint_eq(reply.n_nodes, 1);
    ck_assert_str_eq(reply.nodes[0]->node->spec->name, "node-dev");
    ck_assert_uint_eq(reply.nodes[0]->n_logins, 1);
    ck_assert_str_eq(reply.nodes[0]->logins[0], "root");
    ck_assert_str_eq(reply.nodes[0]->node->spec->peer_address, "");
    fixture_clear(&reply.base);
    ck_assert_uint_eq(nodes_of(&admin, RL_OK), 0); /* the rules of admin are not labels */
    INIT_REPLY(shown, GetResourcesResponse, get_resources_response);
    ok(get(&admin, "node", "", &shown));
    ck_assert_uint_eq(shown.n_resources, 2);
    fixture_clear(&shown.base);
    party_fini(&dev);
    party_fini(&prod);
    rl_token_free(&token);
}
END_TEST

START_TEST(a_token_is_listed_without_its_secret)
{
    char *token = fixture_token("node", 3);
    INIT_REPLY(shown, GetResourcesResponse, get_resources_response);
    ok(get(&admin, "token", "", &shown));
    ck_assert_uint_eq(shown.n_resources, 1);
    ck_assert_str_eq(shown.resources[0]->token->spec->secret, RL_RESOURCE_REDACTED);
    ck_assert_uint_eq(shown.resources[0]->token->spec->uses_left, 3);
    char *id = rl_strdup(shown.resources[0]->token->metadata->name);
    ok(drop("token", id));
    refused(drop("token", id), RL_E_NOT_FOUND);
    free(id);
    fixture_clear(&shown.base);
    rl_token_free(&token);
}
END_TEST

START_TEST(no_private_key_leaves_auth)
{
    INIT_REPLY(shown, GetResourcesResponse, get_resources_response);
    ok(get(&admin, "ca", "", &shown));
    ck_assert_uint_eq(shown.n_resources, 6);
    for (size_t i = 0; i < shown.n_resources; i++)
        ck_assert_uint_eq(shown.resources[i]->ca->spec->keys[0]->private_key.len, 0);
    fixture_clear(&shown.base);
}
END_TEST

START_TEST(every_call_of_an_administrator_needs_its_rule)
{
    INIT_REPLY(shown, GetResourcesResponse, get_resources_response);
    INIT_REPLY(status, StatusRequest, status_request);
    INIT_REPLY(status_reply, StatusResponse, status_response);
    INIT_REPLY(list, ListInventoryRequest, list_inventory_request);
    INIT_REPLY(list_reply, ListInventoryResponse, list_inventory_response);
    INIT_REPLY(token, AddTokenRequest, add_token_request);
    INIT_REPLY(token_reply, AddTokenResponse, add_token_response);
    INIT_REPLY(sign, SignUserRequest, sign_user_request);
    INIT_REPLY(sign_reply, LoginResponse, login_response);
    static const char *const kinds[] = {"role", "user", "lock",          "token",
                                        "node", "ca",   "cluster_config"};
    for (size_t i = 0; i < RL_COUNT(kinds); i++)
        refused(get(&alice, kinds[i], "", &shown), RL_E_DENIED);
    refused(rl_admin_status(auth, &alice.peer, &status, &status_reply, &err), RL_E_DENIED);
    refused(rl_admin_inventory(auth, &alice.peer, &list, &list_reply, &err), RL_E_DENIED);
    refused(rl_admin_add_token(auth, &alice.peer, &token, &token_reply, &err), RL_E_DENIED);
    refused(rl_admin_sign_user(auth, &alice.peer, &sign, &sign_reply, &err), RL_E_DENIED);
    refused(get(&admin, "session", "", &shown), RL_E_UNIMPLEMENTED);
}
END_TEST

START_TEST(the_clusters_settings_reach_the_policy)
{
    INIT_REPLY(shown, GetResourcesResponse, get_resources_response);
    long before = fixture_count("SELECT number FROM revision");
    ok(put_quietly("kind: cluster_config\nversion: v1\nmetadata: {name: cluster}\n"
                   "spec: {policy_max_age: 1d, message_of_the_day: hello}\n",
                   true));
    ok(get(&admin, "cluster_config", "cluster", &shown));
    ck_assert_str_eq(shown.resources[0]->cluster_config->spec->message_of_the_day, "hello");
    ck_assert_int_eq(fixture_count("SELECT number FROM revision"), before + 1);
    refused(put_quietly("kind: cluster_config\nversion: v1\nmetadata: {name: cluster}\n"
                        "spec: {policy_max_age: 1m}\n",
                        true),
            RL_E_INVAL);
    fixture_clear(&shown.base);
}
END_TEST

START_TEST(a_token_is_checked_before_it_is_made)
{
    INIT_REPLY(request, AddTokenRequest, add_token_request);
    INIT_REPLY(reply, AddTokenResponse, add_token_response);
    char node[] = "node", auth_kind[] = "auth";
    char *types[] = {auth_kind};
    refused(rl_admin_add_token(auth, &admin.peer, &request, &reply, &err), RL_E_INVAL);
    request.types = types;
    request.n_types = 1;
    refused(rl_admin_add_token(auth, &admin.peer, &request, &reply, &err), RL_E_INVAL);
    types[0] = node;
    request.ttl_s = 7200;
    ok(rl_admin_add_token(auth, &admin.peer, &request, &reply, &err));
    ck_assert_uint_eq(strlen(reply.secret), RL_TOKEN_TEXT_BYTES);
    ck_assert_str_eq(reply.public_address, "127.0.0.1:8443");
    ck_assert_int_eq(strncmp(reply.ca_pin, "sha256:", 7), 0);
    int64_t left_s = reply.token->metadata->expires_ns / 1000000000 - rl_clock_wall_s();
    ck_assert_int_ge(left_s, 7190);
    ck_assert_int_le(left_s, 7210);
    fixture_clear(&reply.base);
}
END_TEST

static rl_code put_node_settings(const char *settings)
{
    INIT_REPLY(done, PutResourceResponse, put_resource_response);
    char *yaml = rl_sprintf("{kind: cluster_config, version: v1, metadata: {name: cluster}, "
                            "spec: {policy_max_age: 7d, %s}}",
                            settings);
    rl_code rc = put(yaml, true, &done);
    free(yaml);
    fixture_clear(&done.base);
    return rc;
}

static int64_t life_of_a_new(const char *kind, const char *type)
{
    struct party party;
    INIT_REPLY(reply, JoinResponse, join_response);
    char *token = fixture_token(type, 1);
    party_init(&party);
    ok(fixture_join(&party, kind, "", token, &reply));
    int64_t life_s = party.identity->not_after_s - party.identity->not_before_s;
    rl_token_free(&token);
    fixture_clear(&reply.base);
    party_fini(&party);
    return life_s - RL_IDENTITY_BACKDATE_S;
}

START_TEST(the_cluster_says_how_long_a_nodes_certificate_lives)
{
    ck_assert_int_eq(life_of_a_new("agent", "node"), 30 * 86400);
    refused(put_node_settings("node_certificate_ttl: 9s"), RL_E_INVAL);
    refused(put_node_settings("node_certificate_ttl: 367d"), RL_E_INVAL);
    ok(put_node_settings("node_certificate_ttl: 10m, node_return_grace: 1h"));
    ck_assert_int_eq(life_of_a_new("agent", "node"), 600);
    ck_assert_int_eq(life_of_a_new("proxy", "proxy"), 30 * 86400); /* a service's is not meant */
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("admin");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_role_comes_back_as_it_was_put);
    tcase_add_test(t, a_role_that_is_not_fit_is_refused);
    tcase_add_test(t, a_role_in_use_is_not_removed);
    tcase_add_test(t, taking_a_role_away_voids_what_was_issued);
    tcase_add_test(t, giving_a_role_voids_nothing_and_counts_from_the_next_login);
    tcase_add_test(t, taking_a_login_away_voids_what_was_issued);
    tcase_add_test(t, a_removed_user_is_out_even_when_made_anew);
    tcase_add_test(t, a_lock_counts_at_once_and_ends_with_its_removal);
    tcase_add_test(t, lists_show_what_the_roles_show);
    tcase_add_test(t, a_token_is_listed_without_its_secret);
    tcase_add_test(t, no_private_key_leaves_auth);
    tcase_add_test(t, every_call_of_an_administrator_needs_its_rule);
    tcase_add_test(t, the_clusters_settings_reach_the_policy);
    tcase_add_test(t, a_token_is_checked_before_it_is_made);
    tcase_add_test(t, the_cluster_says_how_long_a_nodes_certificate_lives);
    return fixture_main("admin", t);
}
