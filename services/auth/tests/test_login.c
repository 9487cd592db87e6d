#include "admin/admin.h"
#include "db/users.h"
#include "fixture.h"
#include "people/login.h"
#include "people/session.h"
#include "sshcert/sshcert.h"

#include <stdlib.h>
#include <string.h>

static struct rl_buf secret;
static struct party alice;

static void set_up(void)
{
    fixture_set_up();
    fixture_add_user("alice", "access", "root", &secret);
    party_init(&alice);
}

static void tear_down(void)
{
    rl_buf_fini(&secret);
    party_fini(&alice);
    fixture_tear_down();
}

static rl_code try_login(const char *user, const char *password, const char *code)
{
    INIT_REPLY(reply, LoginResponse, login_response);
    rl_code rc = fixture_login(&alice, user, password, code, &reply);
    fixture_clear(&reply.base);
    return rc;
}

START_TEST(a_password_and_a_code_give_certificates)
{
    char code[7];
    INIT_REPLY(reply, LoginResponse, login_response);
    fixture_code(&secret, 0, code);
    ok(fixture_login(&alice, "alice", fixture_password, code, &reply));
    ck_assert_str_eq(alice.identity->name, "alice");
    ck_assert_int_eq(alice.identity->kind, RL_IDENTITY_USER);
    ck_assert_str_eq(alice.identity->claims->mfa, "otp");
    ck_assert_str_eq(alice.identity->claims->roles[0], "access");
    ck_assert_str_eq(reply.logins[0], "root");
    ck_assert_int_eq(reply.valid_until_ns / 1000000000, alice.identity->not_after_s);

    struct rl_sshcert certificate;
    ok(rl_sshcert_parse(RL_BINARY(reply.ssh_certificate), &certificate, &err));
    struct rl_span authority = RL_BINARY(reply.trust->user_ssh_cas[0]);
    ok(rl_sshcert_verify(&certificate, &authority, 1, &err));
    int64_t now_s = alice.identity->claims->issued_at_ns / 1000000000;
    ok(rl_sshcert_check_user(&certificate, "root", now_s, NULL, &err));
    refused(rl_sshcert_check_user(&certificate, "nobody", now_s, NULL, &err), RL_E_DENIED);
    ck_assert(rl_span_is(certificate.key_id, "alice"));
    ck_assert(certificate.permit_pty);
    ck_assert(certificate.permit_port_forwarding);
    ck_assert(!certificate.permit_agent_forwarding);
    ck_assert_uint_eq(certificate.valid_before_s - certificate.valid_after_s,
                      RL_IDENTITY_BACKDATE_S + 12 * 3600);
    Pb__IdentityClaims *claims =
        pb__identity_claims__unpack(NULL, certificate.identity.n, certificate.identity.p);
    ck_assert_ptr_nonnull(claims);
    ck_assert_str_eq(claims->session_id, alice.identity->claims->session_id);
    pb__identity_claims__free_unpacked(claims, NULL);
    fixture_clear(&reply.base);

    Pb__Event *event = fixture_event("user.login");
    ck_assert_str_eq(event->outcome, "success");
    rl_event_free(&event);
}
END_TEST

START_TEST(whatever_is_wrong_the_words_are_the_same)
{
    char code[7];
    fixture_code(&secret, 0, code);
    static const char wrong[] = "not the password";
    refused(try_login("alice", wrong, code), RL_E_DENIED);
    ck_assert_str_eq(err.message, RL_LOGIN_WRONG);
    refused(try_login("alice", fixture_password, "000000"), RL_E_DENIED);
    ck_assert_str_eq(err.message, RL_LOGIN_WRONG);
    refused(try_login("mallory", fixture_password, code), RL_E_DENIED);
    ck_assert_str_eq(err.message, RL_LOGIN_WRONG);
    refused(try_login("admin", fixture_password, code), RL_E_DENIED); /* has no password */
    ck_assert_str_eq(err.message, RL_LOGIN_WRONG);
    refused(try_login("../etc", fixture_password, code), RL_E_DENIED);
    ck_assert_str_eq(err.message, RL_LOGIN_WRONG);
    refused(try_login("", "", ""), RL_E_DENIED);
    ck_assert_str_eq(err.message, RL_LOGIN_WRONG);
    Pb__Event *event = fixture_event("user.login");
    ck_assert_str_eq(event->outcome, "failure");
    ck_assert_str_eq(event->reason, "wrong password");
    rl_event_free(&event);
}
END_TEST

START_TEST(a_code_is_good_once)
{
    char code[7];
    fixture_code(&secret, 0, code);
    ok(try_login("alice", fixture_password, code));
    refused(try_login("alice", fixture_password, code), RL_E_DENIED);
    ck_assert_ptr_nonnull(strstr(err.message, "already used; the next is valid in"));
    fixture_code(&secret, 1, code);
    ok(try_login("alice", fixture_password, code));
}
END_TEST

static void fail_times(const char *user, int times)
{
    for (int i = 0; i < times; i++) {
        refused(try_login(user, "wrong password", "000000"), RL_E_DENIED);
        ck_assert_str_eq(err.message, RL_LOGIN_WRONG);
    }
}

static void unlock(const char *name)
{
    struct party admin;
    party_admin(&admin);
    INIT_REPLY(request, UpdateUserRequest, update_user_request);
    INIT_REPLY(reply, User, user);
    request.name = rl_strdup(name);
    request.unlock = true;
    ok(rl_admin_update_user(auth, &admin.peer, &request, &reply, &err));
    ck_assert_str_eq(reply.status->state, "active");
    free(request.name);
    fixture_clear(&reply.base);
    party_fini(&admin);
}

START_TEST(five_failures_lock_and_an_administrator_unlocks)
{
    char code[7];
    fail_times("alice", 4);
    fixture_code(&secret, 0, code);
    ok(try_login("alice", fixture_password, code)); /* and forgets the four */
    fail_times("alice", 5);
    fixture_code(&secret, 1, code);
    refused(try_login("alice", fixture_password, code), RL_E_DENIED);
    ck_assert_ptr_nonnull(strstr(err.message, "try again in"));
    unlock("alice");
    ok(try_login("alice", fixture_password, code));
}
END_TEST

START_TEST(an_unknown_name_is_locked_out_like_a_known_one)
{
    fail_times("mallory", 5);
    refused(try_login("mallory", "wrong password", "000000"), RL_E_DENIED);
    ck_assert_ptr_nonnull(strstr(err.message, "try again in"));
}
END_TEST

START_TEST(a_lock_out_ends)
{
    char code[7];
    fail_times("alice", 5);
    fixture_sql("UPDATE login_failures SET locked_until = now() - interval '1 second'");
    fixture_code(&secret, 0, code);
    ok(try_login("alice", fixture_password, code));
}
END_TEST

START_TEST(old_failures_do_not_count)
{
    fail_times("alice", 4);
    fixture_sql("UPDATE login_failures SET failed_at = ARRAY(SELECT t - interval '11 minutes'"
                " FROM unnest(failed_at) t)");
    fail_times("alice", 4);
    char code[7];
    fixture_code(&secret, 0, code);
    ok(try_login("alice", fixture_password, code));
}
END_TEST

START_TEST(a_lock_refuses_with_its_message)
{
    char code[7];
    fixture_sql("INSERT INTO locks VALUES ('l', 'user', 'alice', '', 'lost laptop', 'admin', now(),"
                " NULL, 2); UPDATE revision SET number = number + 1");
    fixture_code(&secret, 0, code);
    refused(try_login("alice", fixture_password, code), RL_E_DENIED);
    ck_assert_str_eq(err.message, "locked: lost laptop");
    Pb__Event *event = fixture_event("user.login");
    ck_assert_str_eq(event->outcome, "denied");
    rl_event_free(&event);
}
END_TEST

START_TEST(a_shorter_life_can_be_asked_for_and_no_longer_one)
{
    static const struct {
        uint64_t asked_s, want_s;
    } cases[] = {{600, 600}, {1, 60}, {86400, 12 * 3600}, {0, 12 * 3600}};
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        char code[7];
        fixture_sql("UPDATE users SET totp_last_step = -1");
        fixture_code(&secret, 0, code);
        INIT_REPLY(request, LoginRequest, login_request);
        INIT_REPLY(reply, LoginResponse, login_response);
        char user[] = "alice";
        char *password = rl_strdup(fixture_password);
        request.user = user;
        request.password = password;
        request.otp = code;
        request.ttl_s = cases[i].asked_s;
        request.tls_public_key = (ProtobufCBinaryData){alice.tls_spki.n, alice.tls_spki.p};
        struct rl_rpc_peer peer = {.address = "192.0.2.1:1"};
        ok(rl_auth_login(auth, &peer, &request, &reply, &err));
        party_become(&alice, reply.tls_chain, reply.n_tls_chain);
        ck_assert_int_eq(alice.identity->not_after_s - alice.identity->not_before_s,
                         (int64_t)cases[i].want_s + RL_IDENTITY_BACKDATE_S);
        ck_assert_uint_eq(reply.ssh_certificate.len, 0); /* no key, no certificate */
        fixture_clear(&reply.base);
        free(password);
    }
}
END_TEST

START_TEST(a_key_that_can_not_be_certified_costs_no_code)
{
    char code[7];
    struct party broken;
    party_init(&broken);
    INIT_REPLY(reply, LoginResponse, login_response);
    broken.tls_spki.n = 10;
    fixture_code(&secret, 0, code);
    refused(fixture_login(&broken, "alice", fixture_password, code, &reply), RL_E_INVAL);
    ok(try_login("alice", fixture_password, code));
    party_fini(&broken);
}
END_TEST

START_TEST(a_password_is_changed_with_the_old_one_and_a_code)
{
    char code[7];
    fixture_code(&secret, 0, code);
    ok(try_login("alice", fixture_password, code));
    INIT_REPLY(request, ChangePasswordRequest, change_password_request);
    INIT_REPLY(reply, ChangePasswordResponse, change_password_response);
    char *old = rl_strdup("wrong password"), *fresh = rl_strdup("a new password");
    fixture_code(&secret, 1, code);
    request.old_password = old;
    request.new_password = fresh;
    request.otp = code;
    refused(rl_session_change_password(auth, &alice.peer, &request, &reply, &err), RL_E_DENIED);
    free(old);
    request.old_password = old = rl_strdup(fixture_password);
    ok(rl_session_change_password(auth, &alice.peer, &request, &reply, &err));
    fixture_sql("UPDATE users SET totp_last_step = -1");
    refused(try_login("alice", fixture_password, code), RL_E_DENIED);
    ok(try_login("alice", "a new password", code));
    free(old);
    free(fresh);
}
END_TEST

START_TEST(a_hash_of_yesterday_is_made_anew)
{
    char code[7];
    /* of fixture_password, with m=1024,t=1 */
    fixture_sql("UPDATE users SET password_hash = "
                "'$argon2id$v=19$m=1024,t=1,p=1$c2FsdHNhbHRzYWx0$"
                "71PUuIwwe14Ve9rNjY3716O9amYbDE7eEy9qkld/Qs0' WHERE name = 'alice'");
    fixture_code(&secret, 0, code);
    ok(try_login("alice", fixture_password, code));
    ck_assert_int_eq(fixture_count("SELECT count(*) FROM users WHERE password_hash LIKE"
                                   " '$argon2id$v=19$m=19456,%'"),
                     1);
}
END_TEST

START_TEST(while_the_database_is_away_nothing_is_decided)
{
    char code[7];
    fixture_code(&secret, 0, code);
    fixture_stop_database();
    refused(try_login("alice", fixture_password, code), RL_E_UNAVAILABLE);
    fixture_start_database();
    ok(try_login("alice", fixture_password, code));
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("login");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_password_and_a_code_give_certificates);
    tcase_add_test(t, whatever_is_wrong_the_words_are_the_same);
    tcase_add_test(t, a_code_is_good_once);
    tcase_add_test(t, five_failures_lock_and_an_administrator_unlocks);
    tcase_add_test(t, an_unknown_name_is_locked_out_like_a_known_one);
    tcase_add_test(t, a_lock_out_ends);
    tcase_add_test(t, old_failures_do_not_count);
    tcase_add_test(t, a_lock_refuses_with_its_message);
    tcase_add_test(t, a_shorter_life_can_be_asked_for_and_no_longer_one);
    tcase_add_test(t, a_key_that_can_not_be_certified_costs_no_code);
    tcase_add_test(t, a_password_is_changed_with_the_old_one_and_a_code);
    tcase_add_test(t, a_hash_of_yesterday_is_made_anew);
    tcase_add_test(t, while_the_database_is_away_nothing_is_decided);
    return fixture_main("login", t);
}
