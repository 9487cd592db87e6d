#include "admin/admin.h"
#include "authority/issue.h"
#include "authority/rotate.h"
#include "clock/clock.h"
#include "credential/token.h"
#include "fixture.h"
#include "policy/policy.h"
#include "services/control.h"
#include "sshcert/sshcert.h"

#include <stdlib.h>
#include <string.h>

static struct party admin, node;

static void set_up(void)
{
    fixture_set_up();
    party_admin(&admin);
    party_init(&node);
}

static void tear_down(void)
{
    party_fini(&node);
    party_fini(&admin);
    fixture_tear_down();
}

/* ---- asking ---- */

/* `kind` NULL: both. Phase "" begins by itself. */
static rl_code rotate_with(const char *kind, const char *phase, uint64_t grace_s)
{
    char *kinds[] = {rl_strdup(kind ? kind : "")}, *its_phase = rl_strdup(phase);
    INIT_REPLY(request, RotateAuthoritiesRequest, rotate_authorities_request);
    INIT_REPLY(reply, RotateAuthoritiesResponse, rotate_authorities_response);
    request.kinds = kinds;
    request.n_kinds = kind ? 1 : 0;
    request.phase = its_phase;
    request.grace_s = grace_s;
    rl_code rc = rl_admin_rotate(auth, &admin.peer, &request, &reply, &err);
    fixture_clear(&reply.base);
    free(kinds[0]);
    free(its_phase);
    return rc;
}

static rl_code rotate(const char *kind, const char *phase)
{
    return rotate_with(kind, phase, 0);
}

static struct rl_snapshot *now(void)
{
    struct rl_snapshot *snapshot = NULL;
    ok(rl_snapshots_current(auth->snapshots, &snapshot, &err));
    return snapshot;
}

/* "active standby" of user-ssh, the active one first; heap text. */
static char *phases(const char *name)
{
    struct rl_snapshot *s = now();
    char *text = rl_strdup("");
    for (size_t i = 0; i < s->authorities->count; i++) {
        const Pb__CertificateAuthority *ca = s->authorities->list[i];
        for (size_t k = 0; strcmp(ca->metadata->name, name) == 0 && k < ca->spec->n_keys; k++) {
            char *longer = rl_sprintf("%s%s%s", text, k ? " " : "", ca->spec->keys[k]->phase);
            free(text);
            text = longer;
        }
    }
    rl_snapshot_unref(&s);
    return text;
}

static void expect_phases(const char *name, const char *want)
{
    char *is = phases(name);
    ck_assert_msg(strcmp(is, want) == 0, "%s: \"%s\" instead of \"%s\"", name, is, want);
    free(is);
}

/* How many authorities everybody trusts, and the id of the one that signs; heap text. */
static size_t trusted(const char *kind)
{
    struct rl_snapshot *s = now();
    const Pb__TrustBundle *b = s->authorities->bundle;
    size_t n = strcmp(kind, "user") == 0 ? b->n_user_cas : b->n_host_cas;
    ck_assert_uint_eq(n, strcmp(kind, "user") == 0 ? b->n_user_ssh_cas : b->n_host_ssh_cas);
    rl_snapshot_unref(&s);
    return n;
}

static char *signer(const char *kind)
{
    struct rl_snapshot *s = now();
    char *id = rl_strdup(strcmp(kind, "user") == 0 ? s->authorities->user_ssh.key_id
                                                   : s->authorities->host_ssh.key_id);
    rl_snapshot_unref(&s);
    return id;
}

static bool same_and_free(char *a, char *b)
{
    bool is = strcmp(a, b) == 0;
    free(a);
    free(b);
    return is;
}

static void join(struct party *party, const char *name)
{
    INIT_REPLY(reply, JoinResponse, join_response);
    char *token = fixture_token("node", 1);
    ok(fixture_join(party, "agent", name, token, &reply));
    rl_token_free(&token);
    fixture_clear(&reply.base);
}

static void renew_ok(struct party *party, EVP_PKEY *fresh, uint64_t generation)
{
    INIT_REPLY(reply, JoinResponse, join_response);
    ok(fixture_renew(party, fresh, generation, &reply));
    party_become(party, reply.tls_chain, reply.n_tls_chain);
    fixture_clear(&reply.base);
}

/* Who holds what the party was given, as auth sees it now. */
static rl_code look_again(struct party *party, const Pb__JoinResponse *held)
{
    struct rl_snapshot *s = now();
    struct rl_trust *trust = NULL;
    STACK_OF(X509) *chain = sk_X509_new_null();
    X509 *leaf = NULL;
    ok(rl_authorities_trust(s->authorities, &trust, &err));
    ok(rl_x509_from_der(RL_BINARY(held->tls_chain[0]), &leaf, &err));
    sk_X509_push(chain, leaf);
    rl_identity_unref(&party->identity);
    rl_code rc = rl_identity_check(trust, chain, false, rl_clock_wall_s(), &party->identity, &err);
    party->peer.identity = party->identity;
    sk_X509_pop_free(chain, X509_free);
    rl_trust_unref(&trust);
    rl_snapshot_unref(&s);
    return rc;
}

/* The administrator, by the authority that signs now. */
static void sign_anew(void)
{
    party_fini(&admin);
    party_admin(&admin);
}

/* ---- the phases ---- */

START_TEST(the_authorities_of_users_are_replaced_phase_by_phase)
{
    char *old = signer("user");
    ok(rotate("user", "init"));
    expect_phases("user-ssh", "active standby");
    expect_phases("user-x509", "active standby");
    expect_phases("host-ssh", "active");
    ck_assert_uint_eq(trusted("user"), 2);
    ck_assert(same_and_free(rl_strdup(old), signer("user"))); /* trusted first; it signs nothing */
    ok(rotate("user", "update_clients"));
    expect_phases("user-ssh", "active retiring");
    ck_assert(!same_and_free(rl_strdup(old), signer("user")));
    ck_assert_uint_eq(trusted("user"), 2);
    ok(rotate("user", "update_servers"));
    expect_phases("user-ssh", "active retiring");
    refused(rotate("user", "standby"), RL_E_PRECONDITION); /* the administrator's own would go */
    ck_assert_ptr_nonnull(strstr(err.message, "your own identity"));
    sign_anew();
    ok(rotate("user", "standby"));
    expect_phases("user-ssh", "active");
    ck_assert_uint_eq(trusted("user"), 1);
    ck_assert(!same_and_free(old, signer("user")));
    Pb__Event *event = fixture_event("auth.rotate");
    rl_event_free(&event);
}
END_TEST

START_TEST(a_certificate_of_the_old_authority_counts_until_the_end)
{
    struct party second;
    party_admin(&second); /* by the old one */
    INIT_REPLY(request, StatusRequest, status_request);
    INIT_REPLY(reply, StatusResponse, status_response);
    ok(rotate("user", "init"));
    ok(rotate("user", "update_clients"));
    struct party third;
    party_admin(&third); /* by the new one */
    ok(rl_admin_status(auth, &second.peer, &request, &reply, &err));
    ck_assert_uint_eq(reply.n_rotations, 1);
    ck_assert_str_eq(reply.rotations[0]->phase, "update_clients");
    fixture_clear(&reply.base);
    struct rl_snapshot *s = now();
    ck_assert_uint_eq(s->authorities->bundle->n_user_cas, 2);
    rl_snapshot_unref(&s);
    party_fini(&second);
    party_fini(&third);
}
END_TEST

START_TEST(agents_are_told_which_authority_signs_and_how_soon_to_renew)
{
    join(&node, "node-a");
    INIT_REPLY(ask, PolicyForRequest, policy_for_request);
    ask.agent_id = node.identity->name;
    uint8_t before[32];
    for (int round = 0; round < 2; round++) {
        Pb__PolicyUpdate *update = NULL;
        ok(rl_policy_for_agent(auth, &ask, &update, &err));
        for (size_t i = 0; i < update->n_set; i++) {
            const Pb__PolicyEntry *entry = update->set[i];
            if (strcmp(entry->key, "setting/agent") != 0)
                continue;
            Pb__AgentSettings *settings =
                pb__agent_settings__unpack(NULL, entry->value.len, entry->value.data);
            ck_assert_uint_eq(settings->host_ca_sha256.len, 32);
            if (round == 0)
                memcpy(before, settings->host_ca_sha256.data, 32);
            else
                ck_assert(memcmp(before, settings->host_ca_sha256.data, 32) != 0);
            if (round == 1)
                ck_assert_uint_eq(settings->renew_within_s, 10);
            pb__agent_settings__free_unpacked(settings, NULL);
        }
        pb__policy_update__free_unpacked(update, NULL);
        if (round == 0) {
            ok(rotate_with("host", "init", 60));
            ok(rotate("host", "update_clients"));
            ok(rotate("host", "update_servers"));
        }
    }
}
END_TEST

START_TEST(whoever_was_off_renews_with_the_key_that_auth_knows)
{
    struct party thief;
    INIT_REPLY(held, JoinResponse, join_response);
    INIT_REPLY(none, JoinResponse, join_response);
    EVP_PKEY *fresh = NULL;
    char *token = fixture_token("node", 1);
    ok(fixture_join(&node, "agent", "node-a", token, &held));
    ok(rl_key_generate_p256(&fresh, &err));
    static const char *const order[] = {"init", "update_clients", "update_servers", "standby"};
    for (size_t i = 0; i < RL_COUNT(order); i++)
        ok(rotate("host", order[i]));
    expect_phases("host-ssh", "active retired");
    ck_assert_uint_eq(trusted("host"), 1);
    ck_assert_int_eq(fixture_count("SELECT count(*) FROM authorities WHERE phase = 'retired'"
                                   " AND private_key <> ''"),
                     0);
    ok(look_again(&node, &held));
    ck_assert(node.identity->is_retired);
    /* The stolen authority's own certificate for this name, with another key. */
    party_init(&thief);
    struct rl_identity *forged = rl_alloc(sizeof *forged);
    *forged = *node.identity;
    memset(forged->key_sha256, 0x5a, sizeof forged->key_sha256);
    struct rl_identity *real = node.identity;
    node.peer.identity = node.identity = forged;
    refused(fixture_renew(&node, fresh, 1, &none), RL_E_DENIED);
    ck_assert_ptr_nonnull(strstr(err.message, "key is not the one"));
    node.peer.identity = node.identity = real;
    free(forged);
    renew_ok(&node, fresh, 1);
    ck_assert(!node.identity->is_retired);
    EVP_PKEY_free(fresh);
    rl_token_free(&token);
    fixture_clear(&held.base);
    fixture_clear(&none.base);
    party_fini(&thief);
}
END_TEST

START_TEST(from_each_phase_there_is_a_way_back)
{
    static const char *const order[] = {"init", "update_clients", "update_servers"};
    static const char *const kinds[] = {"user", "host"};
    for (size_t k = 0; k < RL_COUNT(kinds); k++)
        for (size_t last = 0; last < RL_COUNT(order); last++) {
            char *old = signer(kinds[k]);
            for (size_t i = 0; i <= last; i++)
                ok(rotate(kinds[k], order[i]));
            bool has_signed = !same_and_free(rl_strdup(old), signer(kinds[k]));
            ok(rotate(kinds[k], "rollback"));
            ck_assert(same_and_free(rl_strdup(old), signer(kinds[k])));
            ck_assert_uint_eq(trusted(kinds[k]), has_signed ? 2 : 1);
            refused(rotate(kinds[k], "update_clients"), RL_E_PRECONDITION);
            ok(rotate(kinds[k], "standby"));
            ck_assert(same_and_free(old, signer(kinds[k])));
            ck_assert_uint_eq(trusted(kinds[k]), 1);
        }
}
END_TEST

START_TEST(a_phase_that_does_not_follow_is_refused_and_changes_nothing)
{
    refused(rotate(NULL, "standby"), RL_E_PRECONDITION);
    ck_assert_ptr_nonnull(strstr(err.message, "no rotation is under way"));
    refused(rotate("user", "update_clients"), RL_E_PRECONDITION);
    ck_assert_str_eq(err.message, "the user authorities are in phase standby: init may follow, "
                                  "not update_clients");
    refused(rotate("user", "rollback"), RL_E_PRECONDITION);
    ok(rotate("user", "init"));
    refused(rotate("user", "init"), RL_E_PRECONDITION);
    refused(rotate("user", "standby"), RL_E_PRECONDITION);
    ck_assert_str_eq(err.message, "the user authorities are in phase init: update_clients or "
                                  "rollback may follow, not standby");
    /* All kinds or none: the host authorities would go, the user ones can not. */
    refused(rotate_with(NULL, "init", 0), RL_E_PRECONDITION);
    expect_phases("host-ssh", "active");
    refused(rotate("service", "init"), RL_E_INVAL);
    refused(rotate("user", "sideways"), RL_E_INVAL);
    refused(rotate_with("host", "init", 1), RL_E_INVAL);
    expect_phases("user-ssh", "active standby");
}
END_TEST

START_TEST(by_itself_it_goes_on_when_the_time_has_come)
{
    static const char *const order[] = {"update_clients", "update_servers", "standby"};
    char *kind = NULL, *phase = NULL;
    ok(rotate_with("host", "", 600));
    ok(rl_rotate_due(auth, &kind, &phase, &err));
    ck_assert_ptr_null(kind);
    for (size_t i = 0; i < RL_COUNT(order); i++) {
        fixture_sql("UPDATE rotations SET next = now() - interval '1 s'");
        ok(rl_rotate_due(auth, &kind, &phase, &err));
        ck_assert_str_eq(kind, "host");
        ck_assert_str_eq(phase, order[i]);
        free(kind);
        free(phase);
        ok(rl_rotate_due(auth, &kind, &phase, &err));
        ck_assert_ptr_null(kind); /* one step at a time */
    }
    expect_phases("host-ssh", "active retired");
    /* One that waits for an administrator never does. */
    ok(rotate("host", "init"));
    ck_assert_int_eq(fixture_count("SELECT count(*) FROM rotations WHERE next IS NULL"), 1);
}
END_TEST

static rl_code prune(struct rl_db *db, void *context, struct rl_error *reason)
{
    (void)context;
    return rl_authorities_prune(db, RL_INSTANCE_TTL_S, reason);
}

START_TEST(what_retired_is_forgotten_when_no_certificate_of_it_can_live)
{
    static const char *const order[] = {"init", "update_clients", "update_servers", "standby"};
    for (size_t i = 0; i < RL_COUNT(order); i++)
        ok(rotate("host", order[i]));
    ck_assert_int_eq(fixture_count("SELECT count(*) FROM authorities WHERE phase = 'retired'"), 2);
    fixture_sql("UPDATE authorities SET retired = now() - interval '31 days'"
                " WHERE phase = 'retired'");
    ok(rl_store_transaction(auth->store, prune, NULL, &err));
    ck_assert_int_eq(fixture_count("SELECT count(*) FROM authorities WHERE phase = 'retired'"), 0);
}
END_TEST

START_TEST(an_identity_for_a_program_signs_no_other)
{
    INIT_REPLY(request, SignUserRequest, sign_user_request);
    INIT_REPLY(reply, LoginResponse, login_response);
    char name[] = "admin";
    request.user = name;
    request.no_reissue = true;
    request.tls_public_key = (ProtobufCBinaryData){admin.tls_spki.n, admin.tls_spki.p};
    ok(rl_admin_sign_user(auth, &admin.peer, &request, &reply, &err));
    party_become(&admin, reply.tls_chain, reply.n_tls_chain);
    fixture_clear(&reply.base);
    pb__login_response__init(&reply);
    ck_assert(admin.identity->claims->no_reissue);
    refused(rl_admin_sign_user(auth, &admin.peer, &request, &reply, &err), RL_E_DENIED);
    ck_assert_ptr_nonnull(strstr(err.message, "signs no others"));
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("rotate");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, the_authorities_of_users_are_replaced_phase_by_phase);
    tcase_add_test(t, a_certificate_of_the_old_authority_counts_until_the_end);
    tcase_add_test(t, agents_are_told_which_authority_signs_and_how_soon_to_renew);
    tcase_add_test(t, whoever_was_off_renews_with_the_key_that_auth_knows);
    tcase_add_test(t, from_each_phase_there_is_a_way_back);
    tcase_add_test(t, a_phase_that_does_not_follow_is_refused_and_changes_nothing);
    tcase_add_test(t, by_itself_it_goes_on_when_the_time_has_come);
    tcase_add_test(t, what_retired_is_forgotten_when_no_certificate_of_it_can_live);
    tcase_add_test(t, an_identity_for_a_program_signs_no_other);
    return fixture_main("rotate", t);
}
