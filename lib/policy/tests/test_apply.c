#include "sealed.h"

static struct signer signer;
static struct rl_policy *policy; /* auth's */
static struct rl_policy *held;   /* the agent's, at version 1 */
static struct rl_policy_expect expected;

static void setup(void)
{
    make_signer(&signer, "policy-1");
    policy = rl_policy_create();
    set_text(policy, "unknown/a", "1");
    set_text(policy, "unknown/b", "2");
    set_text(policy, "unknown/c", "3");
    expected = expect_of(&signer);
    Pb__PolicyUpdate *update = seal(policy, NULL, 1, &signer);
    ck_assert_int_eq(rl_policy_apply(NULL, update, &expected, &held, NULL), RL_OK);
    free_update(update);
}

static void teardown(void)
{
    rl_policy_unref(&policy);
    rl_policy_unref(&held);
    free_signer(&signer);
}

static void expect_same(const struct rl_policy *a, const struct rl_policy *b)
{
    uint8_t first[32], second[32];
    rl_policy_hash(a, first);
    rl_policy_hash(b, second);
    ck_assert_mem_eq(first, second, 32);
    ck_assert_uint_eq(rl_policy_version(a), rl_policy_version(b));
}

static void expect_code(const Pb__PolicyUpdate *update, rl_code want, const char *part)
{
    struct rl_policy *result = NULL;
    struct rl_error err = {0};
    rl_code code = rl_policy_apply(held, update, &expected, &result, &err);
    ck_assert_msg(code == want, "%s: %s", rl_code_name(code), err.message);
    if (want == RL_OK)
        rl_policy_unref(&result);
    else
        ck_assert_msg(strstr(err.message, part) != NULL, "%s: lacks %s", err.message, part);
    ck_assert_ptr_null(result);
}

START_TEST(brings_a_snapshot)
{
    expect_same(policy, held);
    ck_assert_uint_eq(rl_policy_version(held), 1);
    ck_assert_int_eq(rl_policy_time_ns(held), NOW);
    ck_assert_uint_eq(rl_policy_entry_count(held), 3);
}
END_TEST

/* Auth's next version: b changes, c goes, d comes. */
static struct rl_policy *next_policy(void)
{
    struct rl_policy *next = rl_policy_create();
    set_text(next, "unknown/a", "1");
    set_text(next, "unknown/b", "two");
    set_text(next, "unknown/d", "4");
    return next;
}

START_TEST(brings_a_delta_of_what_changed_only)
{
    struct rl_policy *next = next_policy(), *result = NULL;
    Pb__PolicyUpdate *update = seal(next, policy, 2, &signer);
    ck_assert(!update->is_snapshot);
    ck_assert_uint_eq(update->base_version, 1);
    ck_assert_uint_eq(update->n_set, 2);
    ck_assert_uint_eq(update->n_removed, 1);
    ck_assert_str_eq(update->removed[0], "unknown/c");
    struct rl_error err;
    ck_assert_msg(rl_policy_apply(held, update, &expected, &result, &err) == RL_OK, "%s",
                  err.message);
    expect_same(next, result);
    ck_assert_uint_eq(rl_policy_version(held), 1); /* as it was */
    free_update(update);
    rl_policy_unref(&next);
    rl_policy_unref(&result);
}
END_TEST

START_TEST(finds_every_tampering_with_the_entries)
{
    struct rl_policy *next = next_policy();
    for (int how = 0; how < 7; how++) {
        Pb__PolicyUpdate *update = seal(next, how < 4 ? NULL : policy, 2, &signer);
        Pb__PolicyEntry *first = update->set[0];
        switch (how) {
        case 0: /* a value */
            first->value.data[0] ^= 1;
            break;
        case 1: /* a key */
            first->key[0] = 'a';
            break;
        case 2: /* one left out */
            pb__policy_entry__free_unpacked(update->set[--update->n_set], NULL);
            break;
        case 3: /* a shorter value */
            first->value.len = 0;
            free(first->value.data);
            first->value.data = NULL;
            break;
        case 4: /* a change left out */
            pb__policy_entry__free_unpacked(update->set[--update->n_set], NULL);
            break;
        case 5: /* a removal left out */
            free(update->removed[--update->n_removed]);
            break;
        default: /* another removal */
            update->removed[0][8] = 'a';
        }
        expect_code(update, RL_E_UNAUTHENTICATED, "not what was sealed");
        free_update(update);
    }
    rl_policy_unref(&next);
}
END_TEST

START_TEST(finds_every_tampering_with_the_seal)
{
    Pb__PolicyUpdate *update = seal(policy, NULL, 2, &signer);
    Pb__SignedPolicySeal *signed_seal = update->seal;
    expect_code(update, RL_OK, "");
    for (size_t i = 0; i < signed_seal->seal.len; i++) {
        signed_seal->seal.data[i] ^= 1;
        expect_code(update, RL_E_UNAUTHENTICATED, "signature");
        signed_seal->seal.data[i] ^= 1;
    }
    for (size_t i = 0; i < signed_seal->signature.len; i++) {
        signed_seal->signature.data[i] ^= 1;
        expect_code(update, RL_E_UNAUTHENTICATED, "signature");
        signed_seal->signature.data[i] ^= 1;
    }
    signed_seal->key_id[0] ^= 1;
    expect_code(update, RL_E_UNAUTHENTICATED, "not trusted");
    signed_seal->key_id[0] ^= 1;
    update->seal = NULL;
    expect_code(update, RL_E_UNAUTHENTICATED, "not signed");
    update->seal = signed_seal;
    expect_code(update, RL_OK, "");
    free_update(update);
}
END_TEST

START_TEST(refuses_another_keys_signature_under_this_keys_name)
{
    struct signer other;
    make_signer(&other, "policy-1");
    Pb__PolicyUpdate *update = seal(policy, NULL, 2, &other);
    expect_code(update, RL_E_UNAUTHENTICATED, "signature");
    free_update(update);
    free_signer(&other);
}
END_TEST

START_TEST(refuses_a_statements_signature)
{
    Pb__PolicyUpdate *update = seal(policy, NULL, 2, &signer);
    struct rl_buf signature;
    rl_buf_init(&signature, 256);
    ck_assert_int_eq(rl_key_sign(signer.key, "remoteler-statement-v1",
                                 RL_SPAN(update->seal->seal.data, update->seal->seal.len),
                                 &signature, NULL),
                     RL_OK);
    free(update->seal->signature.data);
    update->seal->signature.data = signature.p;
    update->seal->signature.len = signature.n;
    expect_code(update, RL_E_UNAUTHENTICATED, "signature");
    update->seal->signature.data = NULL;
    update->seal->signature.len = 0;
    expect_code(update, RL_E_UNAUTHENTICATED, "signature");
    rl_buf_fini(&signature);
    free_update(update);
}
END_TEST

static Pb__PolicyUpdate *seal_for(const char *cluster, const char *agent, uint64_t version,
                                  const char *nonce)
{
    Pb__PolicyUpdate *update = NULL;
    ck_assert_int_eq(rl_policy_seal(policy, NULL, cluster, agent, version, NOW, rl_span_of(nonce),
                                    signer.key, "policy-1", &update, NULL),
                     RL_OK);
    return update;
}

START_TEST(refuses_what_is_sealed_for_another)
{
    Pb__PolicyUpdate *update = seal_for("other.com", AGENT, 2, "");
    expect_code(update, RL_E_DENIED, "another cluster");
    free_update(update);
    update = seal_for(CLUSTER, "0190a1b2-0000-7000-8000-000000000002", 2, "");
    expect_code(update, RL_E_DENIED, "another agent");
    free_update(update);
}
END_TEST

START_TEST(refuses_a_version_below_the_floor)
{
    static const struct {
        uint64_t version, floor;
        rl_code want;
    } rows[] = {
        {4, 5, RL_E_DENIED}, {5, 5, RL_OK}, {6, 5, RL_OK}, {1, 0, RL_OK}, {0, 0, RL_E_DENIED}};
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        Pb__PolicyUpdate *update = seal_for(CLUSTER, AGENT, rows[i].version, "");
        expected.floor_version = rows[i].floor;
        expect_code(update, rows[i].want, "below");
        free_update(update);
    }
}
END_TEST

START_TEST(refuses_to_go_back_behind_what_it_holds)
{
    struct rl_policy *newer = NULL;
    Pb__PolicyUpdate *update = seal_for(CLUSTER, AGENT, 7, "");
    ck_assert_int_eq(rl_policy_apply(NULL, update, &expected, &newer, NULL), RL_OK);
    free_update(update);
    rl_policy_unref(&held);
    held = newer;
    update = seal_for(CLUSTER, AGENT, 6, "");
    expect_code(update, RL_E_DENIED, "below 7");
    free_update(update);
}
END_TEST

START_TEST(wants_its_nonce_when_it_has_no_floor)
{
    static const struct {
        const char *sealed, *wanted;
        rl_code want;
    } rows[] = {{"0123456789abcdef", "0123456789abcdef", RL_OK},
                {"", "0123456789abcdef", RL_E_DENIED},
                {"0123456789abcdeX", "0123456789abcdef", RL_E_DENIED},
                {"0123456789abcdef0", "0123456789abcdef", RL_E_DENIED},
                {"0123456789abcdef", "", RL_OK}};
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        Pb__PolicyUpdate *update = seal_for(CLUSTER, AGENT, 2, rows[i].sealed);
        expected.nonce = rl_span_of(rows[i].wanted);
        expect_code(update, rows[i].want, "nonce");
        free_update(update);
    }
}
END_TEST

START_TEST(asks_for_a_snapshot_when_a_delta_is_on_another_base)
{
    struct rl_policy *next = next_policy(), *result = NULL;
    Pb__PolicyUpdate *update = seal(next, policy, 2, &signer);
    update->base_version = 3;
    expect_code(update, RL_E_PRECONDITION, "held is 1");
    update->base_version = 1;
    ck_assert_int_eq(rl_policy_apply(NULL, update, &expected, &result, NULL), RL_E_PRECONDITION);
    free_update(update);
    rl_policy_unref(&next);
}
END_TEST

START_TEST(refuses_entries_that_repeat_or_are_out_of_order)
{
    Pb__PolicyUpdate *update = seal(policy, NULL, 2, &signer);
    Pb__PolicyEntry *first = update->set[0];
    update->set[0] = update->set[1];
    update->set[1] = first;
    expect_code(update, RL_E_INVAL, "out of order");
    update->set[1] = update->set[0];
    expect_code(update, RL_E_INVAL, "out of order");
    update->set[0] = first;
    free_update(update);
}
END_TEST

START_TEST(refuses_a_policy_with_an_entry_it_cannot_read)
{
    static const char *const keys[] = {"lock/a",  "role/a",        "cut/c/u",
                                       "label/a", "ca/user-ssh/1", "setting/agent"};
    for (size_t i = 0; i < RL_COUNT(keys); i++) {
        struct rl_policy *bad = rl_policy_create();
        set_text(bad, keys[i], "\xff\xff\xff");
        Pb__PolicyUpdate *update = seal(bad, NULL, 2, &signer);
        expect_code(update, RL_E_INVAL, keys[i]);
        free_update(update);
        rl_policy_unref(&bad);
    }
}
END_TEST

START_TEST(refuses_a_role_under_another_roles_key)
{
    struct rl_policy *bad = rl_policy_create();
    Pb__Role role = PB__ROLE__INIT;
    Pb__Metadata metadata = PB__METADATA__INIT;
    char name[] = "admin";
    metadata.name = name;
    role.metadata = &metadata;
    set_message(bad, "role/guest", &role.base);
    Pb__PolicyUpdate *update = seal(bad, NULL, 2, &signer);
    expect_code(update, RL_E_INVAL, "role/guest");
    free_update(update);
    rl_policy_unref(&bad);
}
END_TEST

START_TEST(comes_back_from_the_disk_with_its_seal)
{
    struct rl_buf packed;
    struct rl_policy *loaded = NULL;
    rl_buf_init(&packed, RL_POLICY_BYTES_MAX);
    ck_assert_int_eq(rl_policy_pack(held, &packed, NULL), RL_OK);
    expected.floor_version = 1;
    ck_assert_int_eq(rl_policy_load(rl_buf_span(&packed), &expected, &loaded, NULL), RL_OK);
    expect_same(held, loaded);
    rl_policy_unref(&loaded);
    expected.floor_version = 2;
    ck_assert_int_eq(rl_policy_load(rl_buf_span(&packed), &expected, &loaded, NULL), RL_E_DENIED);
    expected.floor_version = 1;
    for (size_t n = 0; n < packed.n; n++)
        ck_assert_int_ne(rl_policy_load(RL_SPAN(packed.p, n), &expected, &loaded, NULL), RL_OK);
    struct rl_policy *unsealed = rl_policy_create();
    ck_assert_int_eq(rl_policy_pack(unsealed, &packed, NULL), RL_E_PRECONDITION);
    rl_policy_unref(&unsealed);
    rl_buf_fini(&packed);
}
END_TEST

START_TEST(loses_its_seal_when_it_is_changed)
{
    ck_assert_uint_eq(rl_policy_version(policy), 1);
    set_text(policy, "unknown/z", "");
    ck_assert_uint_eq(rl_policy_version(policy), 0);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("apply");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, brings_a_snapshot);
    tcase_add_test(t, brings_a_delta_of_what_changed_only);
    tcase_add_test(t, finds_every_tampering_with_the_entries);
    tcase_add_test(t, finds_every_tampering_with_the_seal);
    tcase_add_test(t, refuses_another_keys_signature_under_this_keys_name);
    tcase_add_test(t, refuses_a_statements_signature);
    tcase_add_test(t, refuses_what_is_sealed_for_another);
    tcase_add_test(t, refuses_a_version_below_the_floor);
    tcase_add_test(t, refuses_to_go_back_behind_what_it_holds);
    tcase_add_test(t, wants_its_nonce_when_it_has_no_floor);
    tcase_add_test(t, asks_for_a_snapshot_when_a_delta_is_on_another_base);
    tcase_add_test(t, refuses_entries_that_repeat_or_are_out_of_order);
    tcase_add_test(t, refuses_a_policy_with_an_entry_it_cannot_read);
    tcase_add_test(t, refuses_a_role_under_another_roles_key);
    tcase_add_test(t, comes_back_from_the_disk_with_its_seal);
    tcase_add_test(t, loses_its_seal_when_it_is_changed);
    Suite *s = suite_create("apply");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
