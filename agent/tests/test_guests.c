#include "world.h"

#include "guests.h"
#include "node.h"

static struct rl_error err;

rl_code node_serve(struct node *node, const Pb__Ticket *ticket, int *fd, struct rl_error *why)
{
    (void)node;
    (void)ticket;
    (void)fd;
    return rl_fail(why, RL_E_UNAVAILABLE, "no node here");
}

static void hold_policy(uint64_t version, const char *lock_kind, const char *lock_name)
{
    w.lock_kind = lock_kind;
    w.lock_name = lock_name;
    ck_assert_msg(world_update(version, world_nonce(), &err) == RL_OK, "%s", err.message);
}

static rl_code enter(const char *user, uint32_t max_sessions, struct guest **out)
{
    char login[] = "root", address[] = "192.0.2.7", cluster[] = CLUSTER;
    Pb__IdentityClaims claims = PB__IDENTITY_CLAIMS__INIT;
    Pb__Guest who = PB__GUEST__INIT;
    claims.user = (char *)(uintptr_t)user;
    claims.cluster = cluster;
    who.claims = &claims;
    who.login = login;
    who.client_address = address;
    who.max_sessions = max_sessions;
    *out = NULL;
    return guest_enter(&w.agent, &who, out, &err);
}

START_TEST(a_lock_that_came_meanwhile_refuses_who_comes)
{
    struct guest *guest;
    hold_policy(7, "user", "alice");
    ck_assert_int_eq(enter("alice", 0, &guest), RL_E_DENIED);
    ck_assert_str_eq(err.message, "locked: lost laptop");
    ck_assert_ptr_null(guest);
    ck_assert_int_eq(enter("bob", 0, &guest), RL_OK);
    guest_leave(&guest);
}
END_TEST

START_TEST(nobody_comes_in_without_a_policy_or_a_name)
{
    struct guest *guest;
    ck_assert_int_eq(enter("alice", 0, &guest), RL_E_UNAVAILABLE);
    hold_policy(7, NULL, NULL);
    ck_assert_int_eq(enter("", 0, &guest), RL_E_INVAL);
}
END_TEST

START_TEST(a_guest_is_stopped_by_the_lock_that_comes)
{
    static const char *const locks[][2] = {{"user", "alice"}, {"login", "root"}, {"node", NULL}};
    struct guest *alice, *bob;
    hold_policy(7, NULL, NULL);
    ck_assert_int_eq(enter("alice", 0, &alice), RL_OK);
    ck_assert_int_eq(enter("bob", 0, &bob), RL_OK);
    ck_assert_int_eq(guest_check(alice, &err), RL_OK);
    const char *name = locks[_i][1] ? locks[_i][1] : rl_enrol_id(w.agent.enrol);
    hold_policy(8, locks[_i][0], name);
    ck_assert_int_eq(guest_check(alice, &err), RL_E_DENIED);
    ck_assert_str_eq(err.message, "locked: lost laptop");
    ck_assert_int_eq(guest_check(bob, &err), _i == 0 ? RL_OK : RL_E_DENIED);
    guest_leave(&bob);
    guest_leave(&alice);
}
END_TEST

START_TEST(sessions_are_counted_for_a_user_over_all_connections)
{
    struct guest *first, *second, *bob;
    hold_policy(7, NULL, NULL);
    ck_assert_int_eq(enter("alice", 2, &first), RL_OK);
    ck_assert_int_eq(enter("alice", 2, &second), RL_OK);
    ck_assert_int_eq(enter("bob", 2, &bob), RL_OK);
    ck_assert_int_eq(guest_begin_session(first, &err), RL_OK);
    ck_assert_int_eq(guest_begin_session(second, &err), RL_OK);
    ck_assert_int_eq(guest_begin_session(second, &err), RL_E_DENIED);
    ck_assert_msg(strstr(err.message, "2 sessions at once") != NULL, "%s", err.message);
    ck_assert_int_eq(guest_begin_session(bob, &err), RL_OK); /* his own */
    guest_ended_session(second);
    ck_assert_int_eq(guest_begin_session(first, &err), RL_OK);
    ck_assert_int_eq(guest_begin_session(second, &err), RL_E_DENIED);
    guest_leave(&first); /* a connection takes its sessions along */
    ck_assert_int_eq(guest_begin_session(second, &err), RL_OK);
    guest_leave(&second);
    guest_leave(&bob);
    ck_assert_ptr_null(w.agent.guests);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("guests");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, world_make, world_destroy);
    tcase_add_test(t, a_lock_that_came_meanwhile_refuses_who_comes);
    tcase_add_test(t, nobody_comes_in_without_a_policy_or_a_name);
    tcase_add_loop_test(t, a_guest_is_stopped_by_the_lock_that_comes, 0, 3);
    tcase_add_test(t, sessions_are_counted_for_a_user_over_all_connections);
    return run_suite(t, "guests");
}
