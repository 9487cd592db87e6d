#include "agent.h"
#include "protocol/protocol.h"

static struct cluster *c;
static struct test_agent a;

static void set_up(void)
{
    c = cluster_make();
    agent_init(&a, c, UUID_A, "node");
}

static void tear_down(void)
{
    agent_fini(&a);
    cluster_free(c);
}

START_TEST(an_agent_attaches_and_auth_hears_of_it_with_its_hello)
{
    agent_attach(&a);
    TURN_UNTIL(c, a.welcomed && a.policies && c->auth.attached);
    ck_assert_int_eq(a.challenged, 1);
    ck_assert_uint_eq(broker_agents(c->broker), 1);
    ck_assert(c->auth.had_hello);
    ck_assert_uint_eq(c->auth.policy_nonce, 7);
    rl_rpc_channel_free(&a.channel);
    TURN_UNTIL(c, c->auth.detached);
    ck_assert_str_eq(c->auth.last_detached, UUID_A);
    ck_assert_uint_eq(broker_agents(c->broker), 0);
}
END_TEST

START_TEST(a_hello_that_is_not_an_answer_to_this_challenge_is_refused)
{
    static const struct {
        enum lie lie;
        rl_code code;
        const char *words;
    } rows[] = {
        {OTHER_AGENT, RL_E_DENIED, "another agent"},
        {OTHER_BROKER, RL_E_DENIED, "another broker"},
        {OTHER_EPOCH, RL_E_DENIED, "another challenge"},
        {OTHER_NONCE, RL_E_DENIED, "another challenge"},
        {NO_SIGNATURE, RL_E_INVAL, "signature of 0 bytes"},
        {TOO_NEW, RL_E_PRECONDITION, "upgrade this program"},
    };
    a.protocol = RL_PROTOCOL + 1;
    a.lie = rows[_i].lie;
    agent_attach(&a);
    TURN_UNTIL(c, a.closed);
    ck_assert_int_eq(a.code, rows[_i].code);
    ck_assert_msg(strstr(a.message, rows[_i].words), "%s", a.message);
    ck_assert_int_eq(a.welcomed, 0);
    turn_for(c, 300);
    ck_assert_int_eq(c->auth.attached + c->auth.detached, 0);
}
END_TEST

START_TEST(an_agent_of_the_next_protocol_that_still_speaks_this_one_attaches)
{
    a.protocol = RL_PROTOCOL + 1;
    agent_attach(&a);
    TURN_UNTIL(c, a.welcomed);
    ck_assert_uint_eq(broker_agents(c->broker), 1);
}
END_TEST

START_TEST(a_verdict_of_auth_ends_the_attachment)
{
    c->auth.verdict = RL_E_UNAUTHENTICATED;
    agent_attach(&a);
    TURN_UNTIL(c, a.closed);
    ck_assert_int_eq(a.code, RL_E_UNAUTHENTICATED);
    ck_assert(strstr(a.message, "not signed"));
    ck_assert_uint_eq(broker_agents(c->broker), 0);
}
END_TEST

START_TEST(an_agent_that_auth_refuses_gets_no_challenge)
{
    c->auth.refuses_epochs = true;
    agent_attach(&a);
    TURN_UNTIL(c, a.closed);
    ck_assert_int_eq(a.code, RL_E_DENIED);
    ck_assert(strstr(a.message, "stopped"));
    ck_assert_int_eq(a.challenged, 0);
}
END_TEST

START_TEST(a_newer_epoch_takes_the_place_of_the_older)
{
    agent_attach(&a);
    TURN_UNTIL(c, a.welcomed);
    struct test_agent again;
    agent_init(&again, c, UUID_A, "node");
    agent_attach(&again);
    TURN_UNTIL(c, again.welcomed && a.closed);
    ck_assert_int_eq(a.code, RL_E_ABORTED);
    ck_assert_uint_eq(broker_agents(c->broker), 1);
    ck_assert_uint_gt(again.epoch, a.epoch);
    agent_fini(&again);
}
END_TEST

START_TEST(whoever_is_no_agent_may_not_attach)
{
    struct rl_tls_client *tls = tls_client(c, c->proxy_id, "broker");
    struct rl_rpc_channel *old = a.channel;
    a.channel = channel(c, c->attach_address, tls);
    agent_attach(&a);
    TURN_UNTIL(c, a.closed);
    ck_assert_int_eq(a.code, RL_E_DENIED);
    rl_rpc_channel_free(&old);
    rl_tls_client_unref(&tls);
}
END_TEST

START_TEST(the_flood_after_a_restart_is_told_when_to_come_back)
{
    /* attach_rate 5 with a burst of 10, agents_max 10: of 15 at once some are turned away. */
    struct test_agent many[15];
    for (int i = 0; i < 15; i++) {
        static char ids[15][37];
        snprintf(ids[i], sizeof ids[i], "0190c0de-0000-7000-8000-0000000001%02d", i);
        agent_init(&many[i], c, ids[i], "node");
        agent_attach(&many[i]);
    }
    int welcomed = 0, turned_away = 0;
    for (uint64_t until = rl_clock_boot_ms() + PATIENCE_MS;
         welcomed + turned_away < 15 && rl_clock_boot_ms() < until;) {
        rl_loop_turn(c->loop, 20);
        welcomed = turned_away = 0;
        for (int i = 0; i < 15; i++) {
            welcomed += many[i].welcomed;
            turned_away += many[i].closed && many[i].drains && many[i].come_back_ms >= 1000;
        }
    }
    ck_assert_int_eq(welcomed + turned_away, 15);
    ck_assert_int_ge(turned_away, 5);
    ck_assert_int_ge(welcomed, 5);
    for (int i = 0; i < 15; i++)
        agent_fini(&many[i]);
}
END_TEST

#define MANY 9

static void attach_many(struct test_agent *many)
{
    static char ids[MANY][37];
    for (int i = 0; i < MANY; i++) {
        snprintf(ids[i], sizeof ids[i], "0190c0de-0000-7000-8000-00000000020%d", i);
        agent_init(&many[i], c, ids[i], "node");
        agent_attach(&many[i]);
    }
    TURN_UNTIL(c, broker_agents(c->broker) == MANY);
    for (int i = 0; i < MANY; i++)
        for (int k = 0; k < i; k++)
            ck_assert_uint_ne(many[i].epoch, many[k].epoch);
    for (int i = 0; i < MANY; i++)
        agent_fini(&many[i]);
}

START_TEST(agents_that_come_together_are_one_question_to_auth)
{
    struct test_agent many[MANY];
    attach_many(many);
    ck_assert_uint_gt(c->auth.epochs_at_once, 1);
}
END_TEST

START_TEST(an_auth_of_the_release_before_is_asked_for_one_after_the_other)
{
    struct test_agent many[MANY];
    c->auth.is_older = true;
    attach_many(many);
}
END_TEST

START_TEST(whoever_leaves_before_its_epoch_comes_leaves_nothing_behind)
{
    struct test_agent leaver;
    agent_init(&leaver, c, UUID_B, "node");
    agent_attach(&a);
    agent_attach(&leaver);
    TURN_UNTIL(c, c->auth.last_epoch_for[0]); /* asked for one, perhaps not for the other */
    rl_rpc_channel_free(&leaver.channel);
    TURN_UNTIL(c, a.welcomed);
    turn_for(c, 200);
    ck_assert_uint_eq(broker_agents(c->broker), 1);
    agent_fini(&leaver);
}
END_TEST

START_TEST(an_agent_that_holds_what_there_is_is_sent_nothing)
{
    a.holds = 1;
    c->auth.calls_current = true;
    agent_attach(&a);
    TURN_UNTIL(c, a.welcomed && c->auth.attached);
    turn_for(c, 300);
    ck_assert_int_eq(c->auth.policies, 0);
}
END_TEST

START_TEST(an_agent_whose_policy_auth_does_not_know_is_sent_one)
{
    a.holds = 1;
    agent_attach(&a);
    TURN_UNTIL(c, a.policies);
    ck_assert_int_eq(c->auth.attached, 1);
    ck_assert_uint_eq(c->auth.policy_held, 1);
}
END_TEST

START_TEST(policy_goes_out_again_when_the_revision_moves)
{
    agent_attach(&a);
    TURN_UNTIL(c, a.policies == 1);
    struct test_dial d;
    dial(&d, c, UUID_A); /* with a live connection: at once */
    TURN_UNTIL(c, d.opened);
    ck_assert_int_eq(a.policies, 1);
    Pb__ControlUpdate update = PB__CONTROL_UPDATE__INIT;
    update.revision = 2;
    auth_say(c, &update);
    TURN_UNTIL(c, a.policies == 2);
    dial_fini(&d);
}
END_TEST

START_TEST(an_agent_that_is_behind_gets_its_policy_before_it_is_asked_to_come)
{
    agent_attach(&a);
    TURN_UNTIL(c, a.policies == 1);
    Pb__ControlUpdate update = PB__CONTROL_UPDATE__INIT;
    update.revision = 2;
    auth_say(c, &update);
    TURN_UNTIL(c, rl_control_state(c->control)->revision == 2);
    ck_assert_int_eq(a.policies, 1); /* idle: its turn comes within half a minute */
    struct test_dial d;
    dial(&d, c, UUID_A);
    TURN_UNTIL(c, d.opened);
    ck_assert_int_eq(a.policies, 2);
    ck_assert_int_eq(a.policies_at_open, 2);
    dial_fini(&d);
}
END_TEST

START_TEST(statements_go_to_agents_with_live_connections_and_with_each_open)
{
    agent_attach(&a);
    TURN_UNTIL(c, a.welcomed);
    Pb__SignedStatement statement = PB__SIGNED_STATEMENT__INIT;
    statement.key_id = (char *)(uintptr_t) "second";
    Pb__ControlUpdate update = PB__CONTROL_UPDATE__INIT;
    update.statement = &statement;
    auth_say(c, &update);
    turn_for(c, 200);
    ck_assert_int_eq(a.statements, 0);
    struct test_dial d;
    dial(&d, c, UUID_A);
    TURN_UNTIL(c, d.opened);
    ck_assert_str_eq(a.statement, "second");
    auth_say(c, &update);
    TURN_UNTIL(c, a.statements == 1);
    dial_fini(&d);
}
END_TEST

START_TEST(after_auth_was_away_it_is_told_everything_and_nobody_was_cut_off)
{
    agent_attach(&a);
    TURN_UNTIL(c, a.welcomed && c->auth.attached == 1);
    TURN_UNTIL(c, c->auth.completes == 1); /* the first time too */
    rl_rpc_server_free(&c->auth.server);
    turn_for(c, 500);
    struct test_dial d;
    dial(&d, c, UUID_A);
    TURN_UNTIL(c, d.opened);
    auth_start(c);
    TURN_UNTIL(c, c->auth.completes == 2);
    ck_assert_uint_eq(c->auth.all_count, 1);
    ck_assert_int_eq(a.closed, 0);
    dial_fini(&d);
}
END_TEST

static void on_drained(void *context)
{
    ((struct cluster *)context)->is_drained = true;
}

START_TEST(a_broker_that_goes_says_so_and_waits_for_connections)
{
    agent_attach(&a);
    TURN_UNTIL(c, a.welcomed);
    struct test_dial d;
    dial(&d, c, UUID_A);
    TURN_UNTIL(c, d.opened);
    broker_drain(c->broker, 60000, on_drained, c);
    TURN_UNTIL(c, a.drains == 1);
    turn_for(c, 100);
    ck_assert(!c->is_drained);
    ck_assert_int_eq(d.closed, 0);
    ck_assert_int_eq(write(d.fd, "x", 1), 1);
    char byte = 0;
    TURN_UNTIL(c, read(a.fd, &byte, 1) == 1);
    dial_fini(&d);
    rl_rpc_channel_free(&a.channel);
    TURN_UNTIL(c, c->is_drained);
}
END_TEST

START_TEST(a_broker_that_goes_keeps_nobody_who_can_go_on_elsewhere)
{
    struct test_dial d;
    agent_attach(&a);
    TURN_UNTIL(c, a.welcomed);
    dial_features = RL_TUNNEL_FEATURE_RESUME;
    dial(&d, c, UUID_A);
    dial_features = 0;
    TURN_UNTIL(c, d.opened);
    broker_drain(c->broker, 60000, on_drained, c);
    TURN_UNTIL(c, d.closed);
    ck_assert_int_eq(d.code, RL_E_UNAVAILABLE);
    ck_assert_msg(strstr(d.message, "going away"), "%s", d.message);
    dial_fini(&d);
    rl_rpc_channel_free(&a.channel);
    TURN_UNTIL(c, c->is_drained);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("attach");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, an_agent_attaches_and_auth_hears_of_it_with_its_hello);
    tcase_add_loop_test(tests, a_hello_that_is_not_an_answer_to_this_challenge_is_refused, 0, 6);
    tcase_add_test(tests, an_agent_of_the_next_protocol_that_still_speaks_this_one_attaches);
    tcase_add_test(tests, a_verdict_of_auth_ends_the_attachment);
    tcase_add_test(tests, an_agent_that_auth_refuses_gets_no_challenge);
    tcase_add_test(tests, a_newer_epoch_takes_the_place_of_the_older);
    tcase_add_test(tests, whoever_is_no_agent_may_not_attach);
    tcase_add_test(tests, the_flood_after_a_restart_is_told_when_to_come_back);
    tcase_add_test(tests, agents_that_come_together_are_one_question_to_auth);
    tcase_add_test(tests, an_auth_of_the_release_before_is_asked_for_one_after_the_other);
    tcase_add_test(tests, whoever_leaves_before_its_epoch_comes_leaves_nothing_behind);
    tcase_add_test(tests, an_agent_that_holds_what_there_is_is_sent_nothing);
    tcase_add_test(tests, an_agent_whose_policy_auth_does_not_know_is_sent_one);
    tcase_add_test(tests, policy_goes_out_again_when_the_revision_moves);
    tcase_add_test(tests, an_agent_that_is_behind_gets_its_policy_before_it_is_asked_to_come);
    tcase_add_test(tests, statements_go_to_agents_with_live_connections_and_with_each_open);
    tcase_add_test(tests, after_auth_was_away_it_is_told_everything_and_nobody_was_cut_off);
    tcase_add_test(tests, a_broker_that_goes_says_so_and_waits_for_connections);
    tcase_add_test(tests, a_broker_that_goes_keeps_nobody_who_can_go_on_elsewhere);
    Suite *suite = suite_create("attach");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
