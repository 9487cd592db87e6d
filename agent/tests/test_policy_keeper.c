#include "world.h"

#include "file/file.h"
#include "remoteler/v1/ledger.pb-c.h"

static struct rl_error err;
static const struct rl_span no_nonce = {NULL, 0};

START_TEST(without_a_floor_only_a_policy_with_its_nonce_is_taken)
{
    uint8_t other[16] = {1};
    ck_assert_uint_eq(world_nonce().n, 16);
    ck_assert_ptr_null(policy_keeper_policy(w.agent.policy));
    ck_assert(policy_keeper_is_behind(w.agent.policy));
    ck_assert_int_eq(world_update(7, no_nonce, &err), RL_E_DENIED);
    ck_assert_int_eq(world_update(7, RL_SPAN(other, sizeof other), &err), RL_E_DENIED);
    ck_assert_ptr_null(policy_keeper_policy(w.agent.policy));
    ck_assert_int_eq(world_update(7, world_nonce(), &err), RL_OK);
    ck_assert_uint_eq(rl_policy_version(policy_keeper_policy(w.agent.policy)), 7);
    ck_assert(!policy_keeper_is_behind(w.agent.policy));
    ck_assert_uint_eq(world_nonce().n, 0); /* now there is a floor */
}
END_TEST

START_TEST(a_policy_below_the_floor_is_refused)
{
    ck_assert_int_eq(world_update(7, world_nonce(), &err), RL_OK);
    ck_assert_int_eq(world_update(6, no_nonce, &err), RL_E_DENIED);
    ck_assert_uint_eq(rl_policy_version(policy_keeper_policy(w.agent.policy)), 7);
    ck_assert_int_eq(world_update(8, no_nonce, &err), RL_OK);
    ck_assert_uint_eq(rl_policy_version(policy_keeper_policy(w.agent.policy)), 8);
}
END_TEST

START_TEST(policy_and_floor_survive_a_restart)
{
    Pb__PolicyHeld held = PB__POLICY_HELD__INIT;
    uint8_t before[32], after[32];
    ck_assert_int_eq(world_update(7, world_nonce(), &err), RL_OK);
    policy_keeper_held(w.agent.policy, &held, before);
    world_restart();
    ck_assert_uint_eq(rl_policy_version(policy_keeper_policy(w.agent.policy)), 7);
    policy_keeper_held(w.agent.policy, &held, after);
    ck_assert_uint_eq(held.version, 7);
    ck_assert_mem_eq(before, after, sizeof before);
    ck_assert_int_eq(world_update(6, no_nonce, &err), RL_E_DENIED);
}
END_TEST

START_TEST(a_policy_on_disk_says_how_late_it_was_and_not_how_late_it_is)
{
    ck_assert_int_eq(world_update(7, world_nonce(), &err), RL_OK);
    ck_assert_int_ge(rl_trusted_clock_age_s(&w.agent.clock), 0);
    world_restart();
    ck_assert_uint_eq(rl_policy_version(policy_keeper_policy(w.agent.policy)), 7);
    ck_assert_int_eq(rl_trusted_clock_age_s(&w.agent.clock), -1);
    ck_assert_int_ge(agent_now_ns(&w.agent), NOW_NS);
    ck_assert_int_ge(agent_now_ns(&w.agent), rl_clock_wall_ns() - 5000000000);
}
END_TEST

START_TEST(a_damaged_file_is_as_none_and_asks_for_a_nonce)
{
    char path[96];
    struct rl_buf text;
    ck_assert_int_eq(world_update(7, world_nonce(), &err), RL_OK);
    snprintf(path, sizeof path, "%s/" RL_AGENT_POLICY_FILE, w.dir);
    rl_buf_init(&text, RL_POLICY_BYTES_MAX);
    ck_assert_int_eq(rl_file_read(path, &text, NULL), RL_OK);
    text.p[text.n / 2] ^= 1;
    ck_assert_int_eq(rl_file_write(path, rl_buf_span(&text), NULL), RL_OK);
    world_restart();
    ck_assert_ptr_null(policy_keeper_policy(w.agent.policy));
    ck_assert_uint_eq(world_nonce().n, 16);
    ck_assert_int_eq(world_update(7, no_nonce, &err), RL_E_DENIED);
    ck_assert_int_eq(rl_file_write(path, rl_span_of("not a policy"), NULL), RL_OK);
    world_restart();
    ck_assert_ptr_null(policy_keeper_policy(w.agent.policy));
    rl_buf_fini(&text);
}
END_TEST

START_TEST(another_agents_policy_is_refused_from_the_disk_too)
{
    Pb__PolicyUpdate *update = NULL;
    struct rl_buf packed;
    struct rl_policy *policy = rl_policy_create();
    ck_assert_int_eq(rl_policy_seal(policy, NULL, CLUSTER, UUID_B, 9, NOW_NS, world_nonce(),
                                    w.policy_key, w.ca_key.id, &update, &err),
                     RL_OK);
    ck_assert_int_eq(policy_keeper_update(w.agent.policy, update, &err), RL_E_DENIED);
    rl_buf_init(&packed, RL_POLICY_BYTES_MAX);
    ck_assert_int_eq(rl_policy_pack(policy, &packed, &err), RL_OK);
    ck_assert_int_eq(rl_enrol_save(w.agent.enrol, RL_AGENT_POLICY_FILE, rl_buf_span(&packed), &err),
                     RL_OK);
    world_restart();
    ck_assert_ptr_null(policy_keeper_policy(w.agent.policy));
    rl_buf_fini(&packed);
    pb__policy_update__free_unpacked(update, NULL);
    rl_policy_unref(&policy);
}
END_TEST

START_TEST(a_policy_that_auth_did_not_sign_is_refused)
{
    EVP_PKEY *own = w.policy_key;
    w.policy_key = w.proxy_key;
    ck_assert_int_eq(world_update(7, world_nonce(), &err), RL_E_UNAUTHENTICATED);
    ck_assert_int_eq(world_hear(NOW_NS, 9, &err), RL_E_UNAUTHENTICATED);
    w.policy_key = own;
    ck_assert_int_eq(policy_keeper_statement_age_s(w.agent.policy), -1);
}
END_TEST

START_TEST(a_newer_statement_says_that_the_policy_is_old)
{
    ck_assert_int_eq(world_update(7, world_nonce(), &err), RL_OK);
    ck_assert_int_eq(policy_keeper_statement_age_s(w.agent.policy), -1);
    ck_assert_int_eq(world_hear(NOW_NS, 7, &err), RL_OK);
    ck_assert(!policy_keeper_is_behind(w.agent.policy));
    ck_assert_int_eq(world_hear(NOW_NS + SECOND, 8, &err), RL_OK);
    ck_assert(policy_keeper_is_behind(w.agent.policy));
    ck_assert_uint_eq(policy_keeper_statement_version(w.agent.policy), 8);
    ck_assert_int_eq(world_update(8, no_nonce, &err), RL_OK);
    ck_assert(!policy_keeper_is_behind(w.agent.policy));
}
END_TEST

START_TEST(an_older_statement_says_nothing_new)
{
    ck_assert_int_eq(world_hear(NOW_NS, 8, &err), RL_OK);
    ck_assert_int_lt(policy_keeper_statement_age_s(w.agent.policy), 30);
    /* Ten minutes old when it comes: neither younger nor older for it. */
    ck_assert_int_eq(world_hear(NOW_NS - 600 * SECOND, 5, &err), RL_OK);
    ck_assert_int_lt(policy_keeper_statement_age_s(w.agent.policy), 30);
    ck_assert_uint_eq(policy_keeper_statement_version(w.agent.policy), 8);
}
END_TEST

START_TEST(a_statement_that_was_held_back_is_as_old_as_its_time_says)
{
    ck_assert_int_eq(world_hear(NOW_NS - 600 * SECOND, 5, &err), RL_OK);
    ck_assert_int_ge(policy_keeper_statement_age_s(w.agent.policy), 600);
}
END_TEST

static void hear_head(int64_t time_ns, uint64_t number, uint8_t fill)
{
    uint8_t sha256[32], packed[64];
    Pb__AuditHead head = PB__AUDIT_HEAD__INIT;
    Pb__SignedStatement *statement = NULL;
    memset(sha256, fill, sizeof sha256);
    head.number = number;
    head.sha256 = (ProtobufCBinaryData){sizeof sha256, sha256};
    size_t n = pb__audit_head__pack(&head, packed);
    ck_assert_int_eq(rl_statement_sign(CLUSTER, time_ns, 5, RL_SPAN(packed, n), w.policy_key,
                                       w.ca_key.id, &statement, &err),
                     RL_OK);
    ck_assert_int_eq(policy_keeper_hear(w.agent.policy, statement, &err), RL_OK);
    pb__signed_statement__free_unpacked(statement, NULL);
}

START_TEST(the_latest_audit_checkpoint_that_was_heard_is_remembered)
{
    ck_assert_uint_eq(policy_keeper_audit_head(w.agent.policy).number, 0);
    hear_head(NOW_NS, 3, 0xaa);
    hear_head(NOW_NS + SECOND, 2, 0xbb); /* from a replica of auth that learns late */
    ck_assert_uint_eq(policy_keeper_audit_head(w.agent.policy).number, 3);
    hear_head(NOW_NS + 2 * SECOND, 3, 0xcc); /* another history: what was seen first stays */
    ck_assert_uint_eq(policy_keeper_audit_head(w.agent.policy).sha256[0], 0xaa);
    hear_head(NOW_NS + 3 * SECOND, 4, 0xdd);
    ck_assert_uint_eq(policy_keeper_audit_head(w.agent.policy).number, 4);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("policy keeper");
    tcase_add_checked_fixture(t, world_make, world_destroy);
    tcase_add_test(t, without_a_floor_only_a_policy_with_its_nonce_is_taken);
    tcase_add_test(t, a_policy_below_the_floor_is_refused);
    tcase_add_test(t, policy_and_floor_survive_a_restart);
    tcase_add_test(t, a_policy_on_disk_says_how_late_it_was_and_not_how_late_it_is);
    tcase_add_test(t, a_damaged_file_is_as_none_and_asks_for_a_nonce);
    tcase_add_test(t, another_agents_policy_is_refused_from_the_disk_too);
    tcase_add_test(t, a_policy_that_auth_did_not_sign_is_refused);
    tcase_add_test(t, a_newer_statement_says_that_the_policy_is_old);
    tcase_add_test(t, an_older_statement_says_nothing_new);
    tcase_add_test(t, the_latest_audit_checkpoint_that_was_heard_is_remembered);
    tcase_add_test(t, a_statement_that_was_held_back_is_as_old_as_its_time_says);
    return run_suite(t, "policy keeper");
}
