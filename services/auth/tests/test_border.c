/* What auth lets a user of a root cluster do: list and reach what a mapped role shows, never more.
 */
#include "credential/token.h"
#include "fixture.h"
#include "people/caller.h"
#include "people/session.h"
#include "services/control.h"

#include <stdlib.h>
#include <string.h>

#define ROOT "root.example"

static struct party node, broker;
static struct rl_snapshot *snapshot;
static Pb__IdentityClaims *claims;
static struct rl_identity identity;
static struct rl_rpc_peer peer;

static void join_ok(struct party *party, const char *kind, const char *type, const char *name)
{
    char *token = fixture_token(type, 1);
    INIT_REPLY(reply, JoinResponse, join_response);
    party_init(party);
    ok(fixture_join(party, kind, name, token, &reply));
    fixture_clear(&reply.base);
    rl_token_free(&token);
}

/* The snapshot of now is the one that auth keeps: what is put into it, auth sees. */
static void set_root(const char *cluster, const char *remote, const char *local)
{
    rl_snapshot_unref(&snapshot);
    ok(rl_snapshots_current(auth->snapshots, &snapshot, &err));
    for (size_t i = 0; i < snapshot->root_count; i++)
        pb__root_trust__free_unpacked(snapshot->roots[i], NULL);
    free(snapshot->roots);
    snapshot->roots = NULL;
    snapshot->root_count = 0;
    if (!cluster)
        return;
    Pb__RootTrust *root = rl_message_create(&pb__root_trust__descriptor);
    Pb__RoleMapping *mapping = rl_message_create(&pb__role_mapping__descriptor);
    rl_message_text(&root->cluster, cluster);
    rl_message_text(&mapping->remote, remote);
    rl_message_append(&mapping->local, &mapping->n_local, rl_strdup(local));
    rl_message_append(&root->role_map, &root->n_role_map, mapping);
    rl_message_append(&snapshot->roots, &snapshot->root_count, root);
}

/* alice of the root, there with the role "access" and the trait logins: root. */
static void be_alice(void)
{
    claims = rl_message_create(&pb__identity_claims__descriptor);
    rl_message_text(&claims->cluster, ROOT);
    rl_message_text(&claims->user, "alice");
    rl_message_append(&claims->roles, &claims->n_roles, rl_strdup("access"));
    Pb__Trait *trait = rl_message_create(&pb__trait__descriptor);
    rl_message_text(&trait->key, "logins");
    rl_message_append(&trait->values, &trait->n_values, rl_strdup("root"));
    rl_message_append(&claims->traits, &claims->n_traits, trait);
    claims->issued_at_ns = rl_clock_wall_ns();
    static char cluster[] = ROOT, name[] = "alice";
    identity = (struct rl_identity){
        .kind = RL_IDENTITY_USER, .cluster = cluster, .name = name, .claims = claims, .refs = 1};
    peer = (struct rl_rpc_peer){.identity = &identity, .address = "192.0.2.7:1"};
}

static void set_up(void)
{
    fixture_set_up();
    join_ok(&node, "agent", "node", "node-a");
    join_ok(&broker, "broker", "broker", "");
    be_alice();
    set_root(ROOT, "access", "access");
}

static void tear_down(void)
{
    rl_snapshot_unref(&snapshot);
    pb__identity_claims__free_unpacked(claims, NULL);
    party_fini(&node);
    party_fini(&broker);
    fixture_tear_down();
}

/* How many nodes are listed; with which logins, in `logins`. */
static size_t listed(rl_code want, char *logins, size_t room)
{
    INIT_REPLY(request, ListNodesRequest, list_nodes_request);
    INIT_REPLY(reply, ListNodesResponse, list_nodes_response);
    refused(fixture_list_nodes(&peer, &request, &reply), want);
    size_t n = want == RL_OK ? reply.n_nodes : 0;
    if (logins)
        snprintf(logins, room, "%s",
                 n && reply.nodes[0]->n_logins ? reply.nodes[0]->logins[0] : "");
    fixture_clear(&reply.base);
    return n;
}

static rl_code resolve(const char *target)
{
    Pb__Caller caller = PB__CALLER__INIT;
    INIT_REPLY(request, ResolveTargetRequest, resolve_target_request);
    INIT_REPLY(reply, ResolveTargetResponse, resolve_target_response);
    char kind[] = "ssh";
    caller.user = identity.name;
    caller.cluster = identity.cluster;
    caller.claims = claims;
    request.caller = &caller;
    request.kind = kind;
    request.target = (char *)(uintptr_t)target;
    rl_code rc = rl_control_resolve(auth, &broker.peer, &request, &reply, &err);
    fixture_clear(&reply.base);
    return rc;
}

static bool decides(const char *kind, const char *verb, bool *own_only)
{
    Pb__Caller caller = PB__CALLER__INIT;
    INIT_REPLY(request, DecideRequest, decide_request);
    INIT_REPLY(reply, DecideResponse, decide_response);
    caller.user = identity.name;
    caller.cluster = identity.cluster;
    caller.claims = claims;
    request.caller = &caller;
    request.resource_kind = (char *)(uintptr_t)kind;
    request.verb = (char *)(uintptr_t)verb;
    ok(rl_control_decide(auth, &broker.peer, &request, &reply, &err));
    bool is_allowed = reply.is_allowed;
    *own_only = reply.own_only;
    fixture_clear(&reply.base);
    return is_allowed;
}

START_TEST(lists_and_resolves_what_a_mapped_role_shows)
{
    char login[64];
    ck_assert_uint_eq(listed(RL_OK, login, sizeof login), 1);
    ck_assert_str_eq(login, ""); /* {{internal.logins}}: the root's trait is none of ours */
    ok(resolve("node-a"));
    refused(resolve("node-b"), RL_E_NOT_FOUND);
    set_root(ROOT, "access", "auditor"); /* a role without labels */
    ck_assert_uint_eq(listed(RL_OK, NULL, 0), 0);
    refused(resolve("node-a"), RL_E_NOT_FOUND);
}
END_TEST

START_TEST(a_broker_learns_nothing_of_what_our_own_users_see)
{
    static char own[] = CLUSTER;
    rl_message_text(&claims->cluster, own);
    identity.cluster = own;
    refused(resolve("node-a"), RL_E_DENIED);
    ck_assert_str_eq(err.message, "a broker asks for users of other clusters only");
}
END_TEST

START_TEST(a_trait_of_the_root_is_external)
{
    char login[64];
    for (size_t i = 0; i < snapshot->role_count; i++)
        if (strcmp(snapshot->roles[i]->metadata->name, "access") == 0)
            rl_message_text(&snapshot->roles[i]->spec->allow->logins[0], "{{external.logins}}");
    ck_assert_uint_eq(listed(RL_OK, login, sizeof login), 1);
    ck_assert_str_eq(login, "root");
}
END_TEST

START_TEST(who_is_not_mapped_has_nothing)
{
    set_root(ROOT, "admin", "access");
    listed(RL_E_DENIED, NULL, 0);
    ck_assert_ptr_nonnull(strstr(err.message, "stands for a role here"));
    refused(resolve("node-a"), RL_E_DENIED);
    set_root(ROOT, "^(.*)$", "$1"); /* a captured name that does not list the root */
    listed(RL_E_DENIED, NULL, 0);
}
END_TEST

START_TEST(a_root_that_is_not_trusted_now_has_no_users_here)
{
    set_root(NULL, NULL, NULL);
    listed(RL_E_DENIED, NULL, 0);
    ck_assert_str_eq(err.message,
                     "cluster " ROOT " is not, or no longer, trusted by cluster " CLUSTER);
    refused(resolve("node-a"), RL_E_DENIED);
    set_root("other.example", "access", "access");
    listed(RL_E_DENIED, NULL, 0);
}
END_TEST

START_TEST(our_own_user_of_that_name_is_another)
{
    struct rl_buf secret;
    fixture_add_user("alice", "admin", "root", &secret);
    rl_buf_fini(&secret);
    set_root(ROOT, "access", "auditor");
    bool own_only;
    ck_assert(decides("event", "list", &own_only));
    ck_assert(!own_only);
    ck_assert(!decides("user", "list", &own_only)); /* as our alice could */
}
END_TEST

START_TEST(a_certificate_that_names_us_is_read_as_it_says)
{
    rl_message_text(&claims->cluster, CLUSTER); /* whoever let that pass */
    listed(RL_E_DENIED, NULL, 0);
    ck_assert_str_eq(err.message, "the certificate's claims are of another user");
    rl_message_text(&claims->cluster, ROOT);
    rl_message_text(&claims->user, "bob");
    listed(RL_E_DENIED, NULL, 0);
}
END_TEST

START_TEST(nobody_of_another_cluster_administrates)
{
    struct rl_caller *caller = NULL;
    bool own_only;
    set_root(ROOT, "access", "admin");
    ck_assert(decides("session", "list", &own_only)); /* the role says so */
    refused(rl_caller_enter(auth, &peer, "user", "list", &caller, &err), RL_E_DENIED);
    ck_assert_str_eq(err.message, "only users of cluster " CLUSTER " administrate it");
    ck_assert_ptr_null(caller);
}
END_TEST

START_TEST(a_password_is_changed_where_it_is)
{
    INIT_REPLY(request, ChangePasswordRequest, change_password_request);
    INIT_REPLY(reply, ChangePasswordResponse, change_password_response);
    refused(rl_session_change_password(auth, &peer, &request, &reply, &err), RL_E_PRECONDITION);
    ck_assert_str_eq(err.message, "your password is in cluster " ROOT);
}
END_TEST

START_TEST(a_lock_is_on_a_name_and_a_cluster)
{
    static const struct {
        const char *kind, *name, *cluster;
        rl_code want;
    } rows[] = {
        {"user", "alice", "", RL_OK},          {"user", "alice", CLUSTER, RL_OK},
        {"user", "alice", ROOT, RL_E_DENIED},  {"user", "bob", ROOT, RL_OK},
        {"role", "access", ROOT, RL_E_DENIED}, {"role", "auditor", ROOT, RL_OK},
        {"role", "access", "", RL_E_DENIED},   {"role", "auditor", "", RL_OK},
        {"user", "alice@" ROOT, "", RL_OK},
    };
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        Pb__Lock *lock = rl_message_create(&pb__lock__descriptor);
        lock->metadata = rl_message_create(&pb__metadata__descriptor);
        lock->spec = rl_message_create(&pb__lock_spec__descriptor);
        rl_message_text(&lock->spec->target_kind, rows[i].kind);
        rl_message_text(&lock->spec->target_name, rows[i].name);
        rl_message_text(&lock->spec->target_cluster, rows[i].cluster);
        rl_message_append(&snapshot->locks, &snapshot->lock_count, lock);
        listed(rows[i].want, NULL, 0);
        pb__lock__free_unpacked(snapshot->locks[--snapshot->lock_count], NULL);
    }
}
END_TEST

START_TEST(a_cut_is_on_a_name_and_a_cluster)
{
    Pb__Cut *cut = rl_message_create(&pb__cut__descriptor);
    rl_message_text(&cut->user, "alice");
    rl_message_text(&cut->cluster, CLUSTER);
    cut->issued_before_ns = claims->issued_at_ns + 1;
    rl_message_append(&snapshot->cuts, &snapshot->cut_count, cut);
    listed(RL_OK, NULL, 0);
    rl_message_text(&cut->cluster, ROOT);
    listed(RL_E_DENIED, NULL, 0);
    cut->issued_before_ns--;
    listed(RL_OK, NULL, 0);
}
END_TEST

START_TEST(a_certificate_for_one_purpose_is_for_nothing_here)
{
    rl_message_text(&claims->usage, "kube");
    listed(RL_E_DENIED, NULL, 0);
    rl_message_text(&claims->usage, "");
    rl_message_text(&claims->target, "node/x");
    refused(resolve("node-a"), RL_E_DENIED);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("border");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, lists_and_resolves_what_a_mapped_role_shows);
    tcase_add_test(t, a_broker_learns_nothing_of_what_our_own_users_see);
    tcase_add_test(t, a_trait_of_the_root_is_external);
    tcase_add_test(t, who_is_not_mapped_has_nothing);
    tcase_add_test(t, a_root_that_is_not_trusted_now_has_no_users_here);
    tcase_add_test(t, our_own_user_of_that_name_is_another);
    tcase_add_test(t, a_certificate_that_names_us_is_read_as_it_says);
    tcase_add_test(t, nobody_of_another_cluster_administrates);
    tcase_add_test(t, a_password_is_changed_where_it_is);
    tcase_add_test(t, a_lock_is_on_a_name_and_a_cluster);
    tcase_add_test(t, a_cut_is_on_a_name_and_a_cluster);
    tcase_add_test(t, a_certificate_for_one_purpose_is_for_nothing_here);
    return fixture_main("border", t);
}
