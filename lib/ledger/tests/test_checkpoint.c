#include "ledger.h"

static struct signer signer, stranger;
static struct stored event;
static Pb__SignedCheckpoint *checkpoint;

static void set_up(void)
{
    static const uint8_t zeros[RL_LEDGER_HASH_BYTES];
    signer_make(&signer, "policy-1");
    signer_make(&stranger, "policy-1");
    stored_make(&event, 1, zeros);
    checkpoint = checkpoint_make(&signer, 1, NULL, &event);
}

static void tear_down(void)
{
    pb__signed_checkpoint__free_unpacked(checkpoint, NULL);
    signer_fini(&signer);
    signer_fini(&stranger);
}

/* Worked out apart, by the contract's words: what was chained once has to be verified for ever. */
START_TEST(the_hash_is_the_documented_one)
{
    static const uint8_t expected[] = {0xee, 0x7f, 0x46, 0x9d, 0x6f, 0x3c, 0xdd, 0xcc,
                                       0x08, 0x66, 0xe2, 0xd3, 0x5f, 0x68, 0x3f, 0xb6,
                                       0x5b, 0x8b, 0xe1, 0xb6, 0xa5, 0x4a, 0x22, 0xa0,
                                       0xce, 0x29, 0xf0, 0x17, 0x7f, 0xc5, 0xc4, 0x79};
    uint8_t before[RL_LEDGER_HASH_BYTES] = {0}, out[RL_LEDGER_HASH_BYTES],
            other[RL_LEDGER_HASH_BYTES];
    rl_ledger_hash(before, ME, 1, rl_span_of("event"), out);
    ck_assert_mem_eq(out, expected, sizeof expected);
    before[31] = 1;
    rl_ledger_hash(before, ME, 1, rl_span_of("event"), other);
    ck_assert_mem_ne(out, other, sizeof other);
    before[31] = 0;
    rl_ledger_hash(before, OTHER, 1, rl_span_of("event"), other);
    ck_assert_mem_ne(out, other, sizeof other);
    rl_ledger_hash(before, ME, 2, rl_span_of("event"), other);
    ck_assert_mem_ne(out, other, sizeof other);
    rl_ledger_hash(before, ME, 1, rl_span_of("Event"), other);
    ck_assert_mem_ne(out, other, sizeof other);
}
END_TEST

static rl_code open_with(const char *cluster, const struct signer *by)
{
    Pb__Checkpoint *out = NULL;
    rl_code rc = rl_checkpoint_open(checkpoint, cluster, signer_keys(by), &out, &err);
    if (out)
        pb__checkpoint__free_unpacked(out, NULL);
    return rc;
}

START_TEST(a_checkpoint_is_taken_by_the_pinned_key_only)
{
    ck_assert_int_eq(open_with(CLUSTER, &signer), RL_OK);
    ck_assert_int_eq(open_with("other", &signer), RL_E_UNAUTHENTICATED);
    ck_assert_int_eq(open_with(CLUSTER, &stranger), RL_E_UNAUTHENTICATED); /* of the same id */
    snprintf(stranger.id, sizeof stranger.id, "policy-2");
    ck_assert_int_eq(open_with(CLUSTER, &stranger), RL_E_UNAUTHENTICATED);
    checkpoint->checkpoint.data[checkpoint->checkpoint.len - 1] ^= 1;
    ck_assert_int_eq(open_with(CLUSTER, &signer), RL_E_UNAUTHENTICATED);
}
END_TEST

START_TEST(a_tombstone_is_no_checkpoint)
{
    char cluster[] = CLUSTER, replica[] = ME;
    Pb__Tombstone t = PB__TOMBSTONE__INIT, *opened = NULL;
    Pb__SignedTombstone *made = NULL;
    t.cluster = cluster;
    t.replica = replica;
    t.first_sequence = t.last_sequence = 1;
    t.prev_hash = event.record.prev_hash;
    t.hash = event.record.hash;
    MUST(rl_tombstone_sign(&t, signer.key, signer.id, &made, &err));
    MUST(rl_tombstone_open(made, CLUSTER, signer_keys(&signer), &opened, &err));
    pb__tombstone__free_unpacked(opened, NULL);
    Pb__SignedTombstone lie = *made;
    lie.tombstone = checkpoint->checkpoint;
    lie.signature = checkpoint->signature;
    ck_assert_int_eq(rl_tombstone_open(&lie, CLUSTER, signer_keys(&signer), &opened, &err),
                     RL_E_UNAUTHENTICATED);
    pb__signed_tombstone__free_unpacked(made, NULL);
}
END_TEST

START_TEST(a_head_that_is_malformed_is_not_signed)
{
    char replica[] = "not a uuid";
    Pb__Checkpoint c = PB__CHECKPOINT__INIT;
    Pb__ChainHead h = PB__CHAIN_HEAD__INIT, *heads[] = {&h, &h};
    Pb__SignedCheckpoint *out = NULL;
    c.heads = heads;
    c.n_heads = 1;
    h.hash = event.record.hash;
    h.sequence = 1;
    h.replica = replica;
    ck_assert_int_eq(rl_checkpoint_sign(&c, signer.key, signer.id, &out, &err), RL_E_INVAL);
    h.replica = event.record.replica;
    c.n_heads = 2; /* twice the same */
    ck_assert_int_eq(rl_checkpoint_sign(&c, signer.key, signer.id, &out, &err), RL_E_INVAL);
    c.n_heads = 1;
    h.hash.len = 31;
    ck_assert_int_eq(rl_checkpoint_sign(&c, signer.key, signer.id, &out, &err), RL_E_INVAL);
    c.n_heads = RL_LEDGER_HEADS_MAX + 1;
    ck_assert_int_eq(rl_checkpoint_sign(&c, signer.key, signer.id, &out, &err), RL_E_INVAL);
}
END_TEST

START_TEST(only_what_extends_the_last_checkpoint_is_signed)
{
    Pb__Checkpoint last = PB__CHECKPOINT__INIT;
    uint8_t other_hash[RL_LEDGER_HASH_BYTES] = {1};
    Pb__ChainHead old = PB__CHAIN_HEAD__INIT, there, now;
    Pb__ChainHead *olds[] = {&old}, *known[] = {&there}, *heads[] = {&now};
    old.replica = event.record.replica;
    old.sequence = 5;
    old.hash = event.record.hash;
    there = now = old;
    now.sequence = 6;
    last.heads = olds;
    last.n_heads = 1;
    MUST(rl_checkpoint_check_extends(NULL, NULL, 0, heads, 1, &err));
    MUST(rl_checkpoint_check_extends(&last, known, 1, heads, 1, &err));
    ck_assert_int_eq(rl_checkpoint_check_extends(&last, NULL, 0, heads, 1, &err), RL_E_DATA_LOSS);
    ck_assert_int_eq(rl_checkpoint_check_extends(&last, known, 1, NULL, 0, &err), RL_E_DATA_LOSS);
    now.sequence = 4;
    ck_assert_int_eq(rl_checkpoint_check_extends(&last, known, 1, heads, 1, &err), RL_E_DATA_LOSS);
    now.sequence = 6;
    there.hash.data = other_hash;
    ck_assert_int_eq(rl_checkpoint_check_extends(&last, known, 1, heads, 1, &err), RL_E_DATA_LOSS);
    there.hash.len = 0; /* it is not there */
    ck_assert_int_eq(rl_checkpoint_check_extends(&last, known, 1, heads, 1, &err), RL_E_DATA_LOSS);
    there.is_dropped = true; /* it was, and retention has dropped it */
    MUST(rl_checkpoint_check_extends(&last, known, 1, heads, 1, &err));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("checkpoint");
    TCase *tcase = tcase_create("checkpoint");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, the_hash_is_the_documented_one);
    tcase_add_test(tcase, a_checkpoint_is_taken_by_the_pinned_key_only);
    tcase_add_test(tcase, a_tombstone_is_no_checkpoint);
    tcase_add_test(tcase, a_head_that_is_malformed_is_not_signed);
    tcase_add_test(tcase, only_what_extends_the_last_checkpoint_is_signed);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
