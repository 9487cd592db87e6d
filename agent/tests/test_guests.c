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

static rl_code enter_from(const char *cluster, const char *key, const char *user,
                          uint32_t max_sessions, struct guest **out)
{
    char login[] = "root", address[] = "192.0.2.7", role[] = "access", *roles[] = {role};
    Pb__IdentityClaims claims = PB__IDENTITY_CLAIMS__INIT;
    Pb__Guest who = PB__GUEST__INIT;
    claims.user = (char *)(uintptr_t)user;
    claims.cluster = (char *)(uintptr_t)cluster;
    claims.roles = roles;
    claims.n_roles = 1;
    who.claims = &claims;
    who.authority.data = (uint8_t *)(uintptr_t)key;
    who.authority.len = strlen(key);
    who.login = login;
    who.client_address = address;
    who.max_sessions = max_sessions;
    *out = NULL;
    return guest_enter(&w.agent, &who, out, &err);
}

static rl_code enter(const char *user, uint32_t max_sessions, struct guest **out)
{
    return enter_from(CLUSTER, "", user, max_sessions, out);
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

START_TEST(a_roots_user_stays_while_the_root_is_trusted_and_maps_him)
{
    static const char *const maps[] = {NULL, "other", "guest"};
    struct guest *alice, *ours;
    w.root = "root.example";
    w.root_maps_to = "guest";
    hold_policy(7, NULL, NULL);
    ck_assert_int_eq(enter_from("root.example", WORLD_ROOT_KEY, "alice", 0, &alice), RL_OK);
    ck_assert_int_eq(enter("alice", 0, &ours), RL_OK);
    ck_assert_int_eq(guest_check(alice, &err), RL_OK);
    w.root = maps[_i] ? w.root : NULL; /* enabled: false */
    w.root_maps_to = maps[_i];
    hold_policy(8, NULL, NULL);
    ck_assert_int_eq(guest_check(alice, &err), _i == 2 ? RL_OK : RL_E_DENIED);
    if (_i < 2)
        ck_assert_msg(strstr(err.message, _i ? "stands for a role here" : "no longer, trusted"),
                      "%s", err.message);
    ck_assert_int_eq(guest_check(ours, &err), RL_OK);
    guest_leave(&alice);
    guest_leave(&ours);
}
END_TEST

START_TEST(nobody_comes_by_a_root_that_does_not_speak_for_him)
{
    struct guest *guest;
    w.root = "root.example";
    w.root_maps_to = "guest";
    hold_policy(7, NULL, NULL);
    ck_assert_int_eq(enter_from("root.example", "another key", "alice", 0, &guest), RL_E_DENIED);
    ck_assert_int_eq(enter_from("other.example", WORLD_ROOT_KEY, "alice", 0, &guest), RL_E_DENIED);
    ck_assert_ptr_null(guest);
}
END_TEST

START_TEST(sessions_of_a_namesake_from_a_root_are_counted_apart)
{
    struct guest *theirs, *ours;
    w.root = "root.example";
    w.root_maps_to = "guest";
    hold_policy(7, NULL, NULL);
    ck_assert_int_eq(enter_from("root.example", WORLD_ROOT_KEY, "alice", 1, &theirs), RL_OK);
    ck_assert_int_eq(enter("alice", 1, &ours), RL_OK);
    ck_assert_int_eq(guest_begin_session(theirs, &err), RL_OK);
    ck_assert_int_eq(guest_begin_session(ours, &err), RL_OK);
    ck_assert_int_eq(guest_begin_session(ours, &err), RL_E_DENIED);
    guest_leave(&theirs);
    guest_leave(&ours);
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
    tcase_add_loop_test(t, a_roots_user_stays_while_the_root_is_trusted_and_maps_him, 0, 3);
    tcase_add_test(t, nobody_comes_by_a_root_that_does_not_speak_for_him);
    tcase_add_test(t, sessions_of_a_namesake_from_a_root_are_counted_apart);
    return run_suite(t, "guests");
}
