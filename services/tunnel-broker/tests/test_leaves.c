/* A root: brokers of a leaf attach here, and are believed as long as auth lists the leaf. */
#include "agent.h"

#define LEAF_A "cluster/leaf/" UUID_A
#define LEAF_B "cluster/leaf/" UUID_B

static struct cluster *c;
static struct test_agent a, b;

static void set_up(void)
{
    c = cluster_make();
    leaf_init(&a, c, LEAF_A);
    leaf_init(&b, c, LEAF_B);
    auth_say_clusters(c, &c->leaf_services, NULL);
    TURN_UNTIL(c, rl_control_state(c->control)->n_clusters == 1);
}

static void tear_down(void)
{
    agent_fini(&a);
    agent_fini(&b);
    cluster_free(c);
}

static void attach(struct test_agent *agent)
{
    int before = agent->welcomed;
    agent_attach(agent);
    TURN_UNTIL(c, agent->welcomed > before);
}

START_TEST(a_leafs_broker_attaches_under_its_clusters_name_and_gets_its_clusters_policy)
{
    attach(&a);
    ck_assert_str_eq(c->auth.last_epoch_for, LEAF_A);
    TURN_UNTIL(c, a.policies == 1 && c->auth.attached == 1);
    ck_assert_str_eq(c->auth.last_policy_for, "cluster/leaf");
    ck_assert(c->auth.had_hello);
    ck_assert_uint_eq(broker_agents(c->broker), 1);
}
END_TEST

START_TEST(a_dial_to_a_cluster_reaches_its_brokers_in_turn)
{
    attach(&a);
    attach(&b);
    struct test_dial d[4];
    static const char *const kinds[] = {"ssh", "auth", "audit", "ssh"};
    for (size_t i = 0; i < RL_COUNT(d); i++) {
        dial_as(&d[i], c, c->proxy, "cluster/leaf", kinds[i]);
        TURN_UNTIL(c, d[i].opened == 1);
        ck_assert_int_eq(a.opens + b.opens, (int)i + 1);
    }
    ck_assert_int_eq(a.opens, 2);
    ck_assert_int_eq(b.opens, 2);
    for (size_t i = 0; i < RL_COUNT(d); i++)
        dial_fini(&d[i]);
}
END_TEST

START_TEST(when_one_broker_of_a_leaf_is_gone_the_other_is_dialled)
{
    attach(&a);
    attach(&b);
    rl_rpc_cancel(a.attach);
    TURN_UNTIL(c, broker_agents(c->broker) == 1);
    for (int i = 0; i < 3; i++) {
        struct test_dial d;
        dial(&d, c, "cluster/leaf");
        TURN_UNTIL(c, d.opened == 1);
        dial_fini(&d);
    }
    ck_assert_int_eq(b.opens, 3);
}
END_TEST

static void expect_failure(struct rl_rpc_channel *by, const char *to, const char *kind,
                           rl_code code, const char *words)
{
    struct test_dial d;
    dial_as(&d, c, by, to, kind);
    TURN_UNTIL(c, d.closed);
    ck_assert_int_eq(d.code, code);
    ck_assert_msg(strstr(d.message, words), "%s", d.message);
    ck_assert_int_eq(a.opens, 0);
    dial_fini(&d);
}

START_TEST(what_is_no_leaf_or_not_offered_is_not_dialled)
{
    attach(&a);
    expect_failure(c->proxy, "cluster/other", "ssh", RL_E_UNAVAILABLE, "cluster/other is not att");
    expect_failure(c->proxy, LEAF_A, "ssh", RL_E_UNAVAILABLE, "is not attached");
    expect_failure(c->proxy, "cluster/leaf", "app", RL_E_NOT_FOUND, "cluster leaf serves no app");
    struct rl_tls_client *tls = tls_client(c, c->broker_id, "broker");
    struct rl_rpc_channel *as_broker = channel(c, c->dial_address, tls);
    expect_failure(as_broker, "cluster/leaf", "ssh", RL_E_DENIED, "only a proxy dials a cluster");
    rl_rpc_channel_free(&as_broker);
    rl_tls_client_unref(&tls);
}
END_TEST

START_TEST(a_cluster_that_auth_does_not_list_may_not_attach)
{
    auth_say_clusters(c, NULL, NULL);
    TURN_UNTIL(c, rl_control_state(c->control)->n_clusters == 0);
    agent_attach(&a);
    TURN_UNTIL(c, a.closed == 1);
    ck_assert_int_eq(a.code, RL_E_DENIED);
    ck_assert_str_eq(a.message, "cluster leaf is not a leaf of cluster main");
    ck_assert_int_eq(a.challenged, 0);
    ck_assert_uint_eq(c->auth.epoch, 0);
}
END_TEST

START_TEST(a_leaf_that_is_removed_is_cut_at_once_with_all_that_it_carries)
{
    attach(&a);
    struct test_dial d;
    dial(&d, c, "cluster/leaf");
    TURN_UNTIL(c, d.opened == 1);
    auth_say_clusters(c, NULL, NULL);
    TURN_UNTIL(c, a.closed == 1 && d.closed == 1 && a.carry_closed == 1);
    ck_assert_int_eq(a.code, RL_E_DENIED);
    ck_assert_str_eq(a.message, "cluster leaf is not a leaf of cluster main");
    ck_assert_int_eq(d.code, RL_E_DENIED);
    ck_assert_uint_eq(broker_agents(c->broker), 0);
    ck_assert_uint_eq(broker_streams(c->broker), 0);
    TURN_UNTIL(c, c->auth.detached == 1);
    ck_assert_str_eq(c->auth.last_detached, LEAF_A);
    dial_fini(&d);
}
END_TEST

START_TEST(what_a_leaf_carries_is_cut_also_when_its_attachment_has_ended_before)
{
    attach(&a);
    struct test_dial d;
    dial(&d, c, "cluster/leaf");
    TURN_UNTIL(c, d.opened == 1);
    rl_rpc_end(a.attach, RL_OK, NULL);
    TURN_UNTIL(c, broker_agents(c->broker) == 0);
    ck_assert_int_eq(d.closed, 0);
    auth_say_clusters(c, NULL, NULL);
    TURN_UNTIL(c, d.closed == 1);
    ck_assert_int_eq(d.code, RL_E_DENIED);
    dial_fini(&d);
}
END_TEST

START_TEST(another_cluster_under_the_same_name_takes_no_place)
{
    attach(&a);
    struct authority others = authority_make(RL_IDENTITY_SERVICE, "leaf");
    auth_say_clusters(c, &others, NULL);
    TURN_UNTIL(c, a.closed == 1);
    ck_assert(strstr(a.message, "other authorities"));
    authority_free(&others);
}
END_TEST

START_TEST(a_leaf_comes_only_for_what_it_was_asked)
{
    attach(&a);
    attach(&b);
    a.is_mute = b.is_mute = true;
    struct test_dial d;
    dial(&d, c, "cluster/leaf");
    TURN_UNTIL(c, a.opens + b.opens == 1);
    struct test_agent *asked = a.opens ? &a : &b, *other = a.opens ? &b : &a;
    agent_carry(other, asked->stream_id, asked->epoch);
    TURN_UNTIL(c, other->carry_closed == 1);
    ck_assert_int_eq(other->carry_code, RL_E_NOT_FOUND);
    uint8_t guess[16];
    memcpy(guess, asked->stream_id, sizeof guess);
    guess[3] ^= 1;
    agent_carry(asked, guess, asked->epoch);
    TURN_UNTIL(c, asked->carry_closed == 1);
    ck_assert_int_eq(asked->carry_code, RL_E_NOT_FOUND);
    ck_assert_int_eq(d.closed + d.opened, 0);
    dial_fini(&d);
}
END_TEST

START_TEST(a_leaf_hears_when_there_are_other_brokers)
{
    attach(&a);
    Pb__BrokerAddress own = PB__BROKER_ADDRESS__INIT, other = PB__BROKER_ADDRESS__INIT;
    Pb__BrokerAddress *list[] = {&own, &other};
    Pb__ControlUpdate update = PB__CONTROL_UPDATE__INIT;
    own.id = (char *)(uintptr_t)BROKER_ID;
    other.id = (char *)(uintptr_t)UUID_B;
    update.brokers = list;
    update.n_brokers = 2;
    update.brokers_changed = true;
    auth_say(c, &update);
    TURN_UNTIL(c, a.welcomed == 2);
    ck_assert_uint_eq(a.other_brokers, 1);
}
END_TEST

START_TEST(a_leaf_does_not_fill_this_broker)
{
    static struct test_agent many[BROKER_LEAF_ATTACHMENTS_MAX + 1];
    static char ids[RL_COUNT(many)][64];
    for (size_t i = 0; i < RL_COUNT(many); i++) {
        snprintf(ids[i], sizeof ids[i], "cluster/leaf/0190c0de-0000-7000-8000-0000000001%02zx", i);
        leaf_init(&many[i], c, ids[i]);
    }
    size_t attached = 0;
    for (size_t i = 0; i < RL_COUNT(many); i++) {
        agent_attach(&many[i]);
        TURN_UNTIL(c, many[i].welcomed || many[i].closed);
        attached += many[i].welcomed > 0;
    }
    ck_assert_uint_eq(attached, BROKER_LEAF_ATTACHMENTS_MAX);
    ck_assert_int_eq(many[BROKER_LEAF_ATTACHMENTS_MAX].code, RL_E_EXHAUSTED);
    for (size_t i = 0; i < RL_COUNT(many); i++)
        agent_fini(&many[i]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("leaves");
    TCase *t = tcase_create("leaves");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_leafs_broker_attaches_under_its_clusters_name_and_gets_its_clusters_policy);
    tcase_add_test(t, a_dial_to_a_cluster_reaches_its_brokers_in_turn);
    tcase_add_test(t, when_one_broker_of_a_leaf_is_gone_the_other_is_dialled);
    tcase_add_test(t, what_is_no_leaf_or_not_offered_is_not_dialled);
    tcase_add_test(t, a_cluster_that_auth_does_not_list_may_not_attach);
    tcase_add_test(t, a_leaf_that_is_removed_is_cut_at_once_with_all_that_it_carries);
    tcase_add_test(t, what_a_leaf_carries_is_cut_also_when_its_attachment_has_ended_before);
    tcase_add_test(t, another_cluster_under_the_same_name_takes_no_place);
    tcase_add_test(t, a_leaf_comes_only_for_what_it_was_asked);
    tcase_add_test(t, a_leaf_hears_when_there_are_other_brokers);
    tcase_add_test(t, a_leaf_does_not_fill_this_broker);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_set_fork_status(r, CK_NOFORK);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
