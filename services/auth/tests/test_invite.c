#include "admin/admin.h"
#include "fixture.h"
#include "people/invite.h"
#include "people/login.h"
#include "people/session.h"

#include <stdlib.h>
#include <string.h>

static struct party admin, stranger;

static void set_up(void)
{
    fixture_set_up();
    party_admin(&admin);
    party_init(&stranger);
}

static void tear_down(void)
{
    party_fini(&admin);
    party_fini(&stranger);
    fixture_tear_down();
}

static rl_code add(const char *name, const char *role, Pb__InvitationIssued *reply)
{
    INIT_REPLY(request, AddUserRequest, add_user_request);
    char *roles[] = {rl_strdup(role)};
    request.name = rl_strdup(name);
    request.roles = roles;
    request.n_roles = 1;
    rl_code rc = rl_admin_add_user(auth, &admin.peer, &request, reply, &err);
    free(request.name);
    free(roles[0]);
    return rc;
}

static rl_code look(const char *token, Pb__InvitationResponse *reply)
{
    INIT_REPLY(request, InvitationRequest, invitation_request);
    request.token = rl_strdup(token);
    rl_code rc = rl_auth_invitation(auth, &stranger.peer, &request, reply, &err);
    free(request.token);
    return rc;
}

static rl_code sign_up(const char *token, const char *password, const char *code)
{
    INIT_REPLY(request, SignupRequest, signup_request);
    INIT_REPLY(reply, SignupResponse, signup_response);
    request.token = rl_strdup(token);
    request.password = rl_strdup(password);
    request.otp = rl_strdup(code);
    rl_code rc = rl_auth_signup(auth, &stranger.peer, &request, &reply, &err);
    free(request.token);
    free(request.password);
    free(request.otp);
    fixture_clear(&reply.base);
    return rc;
}

START_TEST(an_invitation_shows_its_user_and_secret)
{
    INIT_REPLY(issued, InvitationIssued, invitation_issued);
    INIT_REPLY(shown, InvitationResponse, invitation_response);
    ok(add("alice", "access", &issued));
    ck_assert_str_eq(issued.user->status->state, "invited");
    char *begin = rl_sprintf("https://127.0.0.1:8443/invite/%s#sha256:", issued.invite_token);
    ck_assert_int_eq(strncmp(issued.invite_url, begin, strlen(begin)), 0);
    ok(look(issued.invite_token, &shown));
    ck_assert_str_eq(shown.user, "alice");
    ck_assert_uint_eq(shown.totp_secret.len, 20);
    ck_assert_int_eq(strncmp(shown.otpauth_url, "otpauth://totp/dev.example:alice?secret=", 40), 0);
    ck_assert(!shown.is_reset);
    /* Neither the token nor the secret can be read in the database. */
    char *sql = rl_sprintf("SELECT count(*) FROM invitations WHERE position('%s'::bytea IN"
                           " token_hash) > 0 OR length(totp_secret) <= 20",
                           issued.invite_token);
    ck_assert_int_eq(fixture_count(sql), 0);
    free(sql);
    free(begin);
    fixture_clear(&shown.base);
    fixture_clear(&issued.base);
}
END_TEST

START_TEST(an_invitation_is_good_once_and_proves_the_secret)
{
    char code[7];
    struct rl_buf secret;
    rl_buf_init(&secret, 64);
    INIT_REPLY(issued, InvitationIssued, invitation_issued);
    INIT_REPLY(shown, InvitationResponse, invitation_response);
    ok(add("alice", "access", &issued));
    ok(look(issued.invite_token, &shown));
    rl_buf_put_span(&secret, RL_BINARY(shown.totp_secret));
    refused(sign_up(issued.invite_token, "short", "000000"), RL_E_INVAL);
    refused(sign_up(issued.invite_token, fixture_password, "000000"), RL_E_INVAL);
    fixture_code(&secret, 0, code);
    ok(sign_up(issued.invite_token, fixture_password, code));
    refused(sign_up(issued.invite_token, "another password", code), RL_E_DENIED);
    /* The code that proved the secret is used up. */
    INIT_REPLY(reply, LoginResponse, login_response);
    refused(fixture_login(&stranger, "alice", fixture_password, code, &reply), RL_E_DENIED);
    ck_assert_ptr_nonnull(strstr(err.message, "already used"));
    fixture_code(&secret, 1, code);
    ok(fixture_login(&stranger, "alice", fixture_password, code, &reply));
    fixture_clear(&reply.base);
    fixture_clear(&shown.base);
    fixture_clear(&issued.base);
    rl_buf_fini(&secret);
}
END_TEST

START_TEST(an_invitation_bears_ten_wrong_codes)
{
    char code[7];
    struct rl_buf secret;
    rl_buf_init(&secret, 64);
    INIT_REPLY(issued, InvitationIssued, invitation_issued);
    INIT_REPLY(shown, InvitationResponse, invitation_response);
    ok(add("alice", "access", &issued));
    ok(look(issued.invite_token, &shown));
    rl_buf_put_span(&secret, RL_BINARY(shown.totp_secret));
    for (int i = 0; i < RL_INVITATION_FAILURES_MAX; i++)
        refused(sign_up(issued.invite_token, fixture_password, "000000"), RL_E_INVAL);
    fixture_code(&secret, 0, code);
    refused(sign_up(issued.invite_token, fixture_password, code), RL_E_DENIED);
    fixture_clear(&shown.base);
    fixture_clear(&issued.base);
    rl_buf_fini(&secret);
}
END_TEST

START_TEST(an_invitation_ends)
{
    INIT_REPLY(issued, InvitationIssued, invitation_issued);
    INIT_REPLY(shown, InvitationResponse, invitation_response);
    ok(add("alice", "access", &issued));
    fixture_sql("UPDATE invitations SET expires = now() - interval '1 second'");
    refused(look(issued.invite_token, &shown), RL_E_DENIED);
    refused(look("", &shown), RL_E_DENIED);
    fixture_clear(&issued.base);
}
END_TEST

START_TEST(a_reset_voids_certificates_and_password_and_invites_anew)
{
    char code[7];
    struct rl_buf secret;
    fixture_add_user("alice", "access", "root", &secret);
    fixture_code(&secret, 0, code);
    INIT_REPLY(login, LoginResponse, login_response);
    ok(fixture_login(&stranger, "alice", fixture_password, code, &login));
    INIT_REPLY(list, ListNodesRequest, list_nodes_request);
    INIT_REPLY(nodes, ListNodesResponse, list_nodes_response);
    ok(fixture_list_nodes(&stranger.peer, &list, &nodes));

    INIT_REPLY(request, ResetUserRequest, reset_user_request);
    INIT_REPLY(issued, InvitationIssued, invitation_issued);
    char name[] = "alice";
    request.name = name;
    ok(rl_admin_reset_user(auth, &admin.peer, &request, &issued, &err));
    refused(fixture_list_nodes(&stranger.peer, &list, &nodes), RL_E_DENIED);
    ck_assert_ptr_nonnull(strstr(err.message, "run tsh login"));
    INIT_REPLY(again, LoginResponse, login_response);
    fixture_code(&secret, 1, code);
    refused(fixture_login(&stranger, "alice", fixture_password, code, &again), RL_E_DENIED);
    INIT_REPLY(shown, InvitationResponse, invitation_response);
    ok(look(issued.invite_token, &shown));
    ck_assert(shown.is_reset);
    fixture_clear(&shown.base);
    fixture_clear(&issued.base);
    fixture_clear(&login.base);
    rl_buf_fini(&secret);
}
END_TEST

START_TEST(a_user_needs_roles_that_exist_and_a_good_name)
{
    INIT_REPLY(issued, InvitationIssued, invitation_issued);
    refused(add("alice", "no-such-role", &issued), RL_E_INVAL);
    ck_assert_ptr_nonnull(strstr(err.message, "no-such-role"));
    refused(add("../alice", "access", &issued), RL_E_INVAL);
    refused(add("", "access", &issued), RL_E_INVAL);
    ok(add("alice", "access", &issued));
    fixture_clear(&issued.base);
    refused(add("alice", "access", &issued), RL_E_EXISTS);
}
END_TEST

START_TEST(only_who_may_adds_users)
{
    char code[7];
    struct rl_buf secret;
    fixture_add_user("alice", "access", "root", &secret);
    fixture_code(&secret, 0, code);
    INIT_REPLY(login, LoginResponse, login_response);
    ok(fixture_login(&stranger, "alice", fixture_password, code, &login));
    INIT_REPLY(request, AddUserRequest, add_user_request);
    INIT_REPLY(issued, InvitationIssued, invitation_issued);
    char name[] = "bob", role[] = "admin";
    char *roles[] = {role};
    request.name = name;
    request.roles = roles;
    request.n_roles = 1;
    refused(rl_admin_add_user(auth, &stranger.peer, &request, &issued, &err), RL_E_DENIED);
    stranger.peer.identity = NULL;
    refused(rl_admin_add_user(auth, &stranger.peer, &request, &issued, &err), RL_E_UNAUTHENTICATED);
    ck_assert_int_eq(fixture_count("SELECT count(*) FROM users WHERE name = 'bob'"), 0);
    fixture_clear(&login.base);
    rl_buf_fini(&secret);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("invite");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, an_invitation_shows_its_user_and_secret);
    tcase_add_test(t, an_invitation_is_good_once_and_proves_the_secret);
    tcase_add_test(t, an_invitation_bears_ten_wrong_codes);
    tcase_add_test(t, an_invitation_ends);
    tcase_add_test(t, a_reset_voids_certificates_and_password_and_invites_anew);
    tcase_add_test(t, a_user_needs_roles_that_exist_and_a_good_name);
    tcase_add_test(t, only_who_may_adds_users);
    return fixture_main("invite", t);
}
