/* Several replicas at once: what may happen once happens once. */
#include "credential/token.h"
#include "fixture.h"
#include "fleet/join.h"
#include "people/login.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define RACERS 8

struct racer {
    pthread_t thread;
    struct party party;
    const char *user, *password, *code; /* login */
    const char *token, *name;           /* join */
    rl_code rc;
    struct rl_error why;
    bool got_name;
};

static struct racer racers[RACERS];
static pthread_barrier_t start;

static void set_up(void)
{
    fixture_set_up();
    ck_assert_int_eq(pthread_barrier_init(&start, NULL, RACERS), 0);
    for (size_t i = 0; i < RACERS; i++)
        party_init(&racers[i].party);
}

static void tear_down(void)
{
    for (size_t i = 0; i < RACERS; i++)
        party_fini(&racers[i].party);
    pthread_barrier_destroy(&start);
    fixture_tear_down();
}

static void run(void *(*fn)(void *))
{
    for (size_t i = 0; i < RACERS; i++)
        ck_assert_int_eq(pthread_create(&racers[i].thread, NULL, fn, &racers[i]), 0);
    for (size_t i = 0; i < RACERS; i++)
        pthread_join(racers[i].thread, NULL);
}

static size_t count_of(rl_code rc, const char *text)
{
    size_t count = 0;
    for (size_t i = 0; i < RACERS; i++)
        count += racers[i].rc == rc && (rc == RL_OK || strstr(racers[i].why.message, text));
    return count;
}

static void *log_in(void *context)
{
    struct racer *r = context;
    INIT_REPLY(request, LoginRequest, login_request);
    INIT_REPLY(reply, LoginResponse, login_response);
    request.user = rl_strdup(r->user);
    request.password = rl_strdup(r->password);
    request.otp = rl_strdup(r->code);
    request.tls_public_key = (ProtobufCBinaryData){r->party.tls_spki.n, r->party.tls_spki.p};
    pthread_barrier_wait(&start);
    r->rc = rl_auth_login(auth, &r->party.peer, &request, &reply, &r->why);
    fixture_clear(&reply.base);
    free(request.user);
    free(request.password);
    free(request.otp);
    return NULL;
}

START_TEST(one_code_is_taken_once)
{
    struct rl_buf secret;
    char code[7];
    fixture_add_user("alice", "access", "root", &secret);
    fixture_code(&secret, 0, code);
    for (size_t i = 0; i < RACERS; i++) {
        racers[i].user = "alice";
        racers[i].password = fixture_password;
        racers[i].code = code;
    }
    run(log_in);
    ck_assert_uint_eq(count_of(RL_OK, ""), 1);
    ck_assert_uint_eq(count_of(RL_E_DENIED, "already used"), RACERS - 1);
    rl_buf_fini(&secret);
}
END_TEST

START_TEST(five_guesses_count_however_many_come_at_once)
{
    struct rl_buf secret;
    fixture_add_user("alice", "access", "root", &secret);
    for (size_t i = 0; i < RACERS; i++) {
        racers[i].user = "alice";
        racers[i].password = "a wrong password";
        racers[i].code = "000000";
    }
    run(log_in);
    ck_assert_uint_eq(count_of(RL_E_DENIED, RL_LOGIN_WRONG), RL_LOGIN_FAILURES_MAX);
    ck_assert_uint_eq(count_of(RL_E_DENIED, "try again in"), RACERS - RL_LOGIN_FAILURES_MAX);
    rl_buf_fini(&secret);
}
END_TEST

static void *join_in(void *context)
{
    struct racer *r = context;
    INIT_REPLY(request, JoinRequest, join_request);
    INIT_REPLY(reply, JoinResponse, join_response);
    char node[] = "node";
    char *kinds[] = {node};
    struct rl_buf body, proof;
    rl_buf_init(&body, 256);
    rl_buf_init(&proof, 256);
    rl_buf_put_string(&body, rl_span_of(r->token));
    r->rc = rl_key_sign(r->party.tls_key, RL_JOIN_CONTEXT, rl_buf_span(&body), &proof, &r->why);
    char kind[] = "agent";
    request.kind = kind;
    request.token = rl_strdup(r->token);
    request.node_name = rl_strdup(r->name);
    request.agent_kinds = kinds;
    request.n_agent_kinds = 1;
    request.tls_public_key = (ProtobufCBinaryData){r->party.tls_spki.n, r->party.tls_spki.p};
    request.ssh_public_key = (ProtobufCBinaryData){r->party.ssh_blob.n, r->party.ssh_blob.p};
    request.proof = (ProtobufCBinaryData){proof.n, proof.p};
    pthread_barrier_wait(&start);
    if (r->rc == RL_OK)
        r->rc = rl_auth_join(auth, &r->party.peer, &request, &reply, &r->why);
    r->got_name = *reply.name != '\0';
    fixture_clear(&reply.base);
    free(request.token);
    free(request.node_name);
    rl_buf_fini(&body);
    rl_buf_fini(&proof);
    return NULL;
}

static void race_for(const char *token)
{
    for (size_t i = 0; i < RACERS; i++) {
        racers[i].token = token;
        racers[i].name = "node-a";
    }
    run(join_in);
}

START_TEST(a_token_is_used_no_more_often_than_it_may)
{
    char *token = fixture_token("node", 3);
    race_for(token);
    ck_assert_uint_eq(count_of(RL_OK, ""), 3);
    ck_assert_uint_eq(count_of(RL_E_DENIED, "used up"), RACERS - 3);
    rl_token_free(&token);
}
END_TEST

START_TEST(a_name_has_one_holder)
{
    char *token = fixture_token("node", RACERS);
    size_t holders = 0;
    race_for(token);
    ck_assert_uint_eq(count_of(RL_OK, ""), RACERS);
    for (size_t i = 0; i < RACERS; i++)
        holders += racers[i].got_name;
    ck_assert_uint_eq(holders, 1);
    rl_token_free(&token);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("race");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, one_code_is_taken_once);
    tcase_add_test(t, five_guesses_count_however_many_come_at_once);
    tcase_add_test(t, a_token_is_used_no_more_often_than_it_may);
    tcase_add_test(t, a_name_has_one_holder);
    return fixture_main("race", t);
}
