/* A log of ten events with checkpoints after the fourth and the eighth, and everything that the
 * owner of a database could do to it. */
#include "ledger.h"

static struct signer signer, stranger;
static struct stored events[EVENTS];
static Pb__SignedCheckpoint *checkpoints[2];
static struct rl_ledger_verifier *verifier;
static struct rl_ledger_result result;

static void chain_from(size_t first)
{
    static const uint8_t zeros[RL_LEDGER_HASH_BYTES];
    for (size_t i = first; i < EVENTS; i++)
        stored_seal(&events[i], i ? events[i - 1].hash : zeros);
}

static void set_up(void)
{
    static const uint8_t zeros[RL_LEDGER_HASH_BYTES];
    signer_make(&signer, "policy-1");
    signer_make(&stranger, "policy-1");
    for (size_t i = 0; i < EVENTS; i++)
        stored_make(&events[i], i + 1, i ? events[i - 1].hash : zeros);
    checkpoints[0] = checkpoint_make(&signer, 1, NULL, &events[3]);
    checkpoints[1] = checkpoint_make(&signer, 2, checkpoints[0], &events[7]);
    verifier = rl_ledger_verifier_create(CLUSTER, signer_keys(&signer));
}

static void tear_down(void)
{
    rl_ledger_verifier_free(&verifier);
    for (size_t i = 0; i < RL_COUNT(checkpoints); i++)
        pb__signed_checkpoint__free_unpacked(checkpoints[i], NULL);
    signer_fini(&signer);
    signer_fini(&stranger);
}

static void add_checkpoints(size_t count)
{
    for (size_t i = 0; i < count; i++)
        rl_ledger_add_checkpoint(verifier, checkpoints[i]);
}

static void add_events(size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        rl_ledger_add_record(verifier, &events[i].record);
}

static void finish(void)
{
    rl_ledger_finish(verifier, &result);
}

static void expect_bad(const char *uid, const char *part)
{
    finish();
    ck_assert(!result.is_good);
    ck_assert_msg(strcmp(result.bad_uid, uid) == 0, "%s, not %s: %s", result.bad_uid, uid,
                  result.bad_reason);
    ck_assert_msg(strstr(result.bad_reason, part) != NULL, "%s", result.bad_reason);
}

static void verify_all(void)
{
    add_checkpoints(2);
    add_events(0, EVENTS);
}

START_TEST(a_log_that_nobody_touched_is_good)
{
    verify_all();
    finish();
    ck_assert_msg(result.is_good, "%s", result.bad_reason);
    ck_assert_uint_eq(result.events, EVENTS);
    ck_assert_uint_eq(result.unproven, 2);
    ck_assert_uint_eq(result.last_number, 2);
    ck_assert_uint_eq(result.checkpoints, 2);
}
END_TEST

START_TEST(an_edited_event_is_named)
{
    events[4].packed[events[4].record.packed.len - 1] ^= 1;
    verify_all();
    expect_bad(events[4].uid, "it was changed");
}
END_TEST

START_TEST(an_edited_column_is_named)
{
    snprintf(events[2].user, sizeof events[2].user, "bob"); /* searches for alice miss it */
    verify_all();
    expect_bad(events[2].uid, "column \"user\"");
}
END_TEST

START_TEST(a_deleted_event_is_missed_before_the_next)
{
    add_checkpoints(2);
    add_events(0, 5);
    add_events(6, EVENTS);
    expect_bad(events[6].uid, "1 event(s) of chain " ME " are missing, from number 6");
}
END_TEST

START_TEST(two_events_that_changed_places_are_named)
{
    add_checkpoints(2);
    add_events(0, 5);
    add_events(6, 7);
    add_events(5, 6);
    add_events(7, EVENTS);
    finish();
    ck_assert(!result.is_good);
    ck_assert_str_eq(result.bad_uid, events[5].uid); /* the earlier of the two */
}
END_TEST

START_TEST(a_chain_that_was_made_anew_contradicts_the_checkpoint)
{
    snprintf(events[5].user, sizeof events[5].user, "bob");
    chain_from(5);
    verify_all();
    expect_bad(events[4].uid, "checkpoint 2 says otherwise"); /* the first after checkpoint 1 */
    ck_assert_msg(strstr(result.bad_reason, events[7].uid) != NULL, "%s", result.bad_reason);
}
END_TEST

START_TEST(a_truncated_log_lacks_what_the_checkpoint_has)
{
    add_checkpoints(2);
    add_events(0, 6);
    expect_bad("", "the end of chain " ME " is missing, from number 7");
    ck_assert_uint_eq(result.events, 6);
}
END_TEST

START_TEST(an_empty_log_lacks_what_the_checkpoint_has)
{
    add_checkpoints(2);
    expect_bad("", "from number 1");
}
END_TEST

START_TEST(another_key_proves_nothing)
{
    pb__signed_checkpoint__free_unpacked(checkpoints[1], NULL);
    checkpoints[1] = checkpoint_make(&stranger, 2, checkpoints[0], &events[7]);
    verify_all();
    expect_bad("", "the signature is not good");
}
END_TEST

START_TEST(a_checkpoint_that_was_left_out_is_missed)
{
    rl_ledger_add_checkpoint(verifier, checkpoints[0]);
    pb__signed_checkpoint__free_unpacked(checkpoints[1], NULL);
    checkpoints[1] = checkpoint_make(&signer, 3, checkpoints[0], &events[7]);
    rl_ledger_add_checkpoint(verifier, checkpoints[1]);
    add_events(0, EVENTS);
    expect_bad("", "checkpoint 3 does not follow 1");
}
END_TEST

/* All of it is set back: tables, checkpoints and all. Only who has seen more can tell. */
START_TEST(yesterdays_backup_is_told_by_who_saw_more)
{
    uint8_t sha256[RL_LEDGER_HASH_BYTES];
    rl_ledger_sha256(RL_SPAN(checkpoints[1]->checkpoint.data, checkpoints[1]->checkpoint.len),
                     sha256);
    add_checkpoints(1);
    rl_ledger_add_seen(verifier, 2, sha256, "the memory");
    add_events(0, 4);
    expect_bad("", "checkpoint 2, which is in the memory, is not there");
}
END_TEST

START_TEST(another_history_is_told_by_who_saw_the_first)
{
    uint8_t sha256[RL_LEDGER_HASH_BYTES];
    rl_ledger_sha256(RL_SPAN(checkpoints[1]->checkpoint.data, checkpoints[1]->checkpoint.len),
                     sha256);
    pb__signed_checkpoint__free_unpacked(checkpoints[1], NULL);
    checkpoints[1] = checkpoint_make(&signer, 2, checkpoints[0], &events[6]);
    add_checkpoints(2);
    rl_ledger_add_seen(verifier, 2, sha256, "the memory");
    add_events(0, EVENTS);
    expect_bad("", "is another one than that in the memory");
}
END_TEST

static Pb__SignedTombstone *bury(size_t from, size_t to)
{
    char cluster[] = CLUSTER;
    Pb__Tombstone t = PB__TOMBSTONE__INIT;
    Pb__SignedTombstone *made = NULL;
    t.cluster = cluster;
    t.day = T0 / (INT64_C(86400) * 1000000000);
    t.replica = events[from].record.replica;
    t.events = to - from;
    t.first_sequence = from + 1;
    t.last_sequence = to;
    t.prev_hash = events[from].record.prev_hash;
    t.hash = events[to - 1].record.hash;
    MUST(rl_tombstone_sign(&t, signer.key, signer.id, &made, &err));
    return made;
}

START_TEST(what_retention_dropped_is_vouched_for_by_its_tombstone)
{
    Pb__SignedTombstone *first = bury(0, 3), *second = bury(3, 5);
    add_checkpoints(2);
    rl_ledger_add_tombstone(verifier, first);
    rl_ledger_add_tombstone(verifier, second);
    add_events(5, EVENTS);
    finish();
    ck_assert_msg(result.is_good, "%s", result.bad_reason);
    ck_assert_uint_eq(result.events, 5);
    pb__signed_tombstone__free_unpacked(first, NULL);
    pb__signed_tombstone__free_unpacked(second, NULL);
}
END_TEST

START_TEST(what_is_gone_without_a_signed_tombstone_is_missed)
{
    Pb__SignedTombstone *first = bury(0, 3);
    first->signature.data[8] ^= 1;
    add_checkpoints(2);
    rl_ledger_add_tombstone(verifier, first);
    add_events(3, EVENTS);
    finish();
    ck_assert(!result.is_good);
    pb__signed_tombstone__free_unpacked(first, NULL);
}
END_TEST

START_TEST(a_record_that_is_malformed_is_bad_and_no_more)
{
    add_checkpoints(2);
    add_events(0, 3);
    events[3].record.hash.len = 3;
    events[4].record.packed = (ProtobufCBinaryData){1, events[4].packed + 1};
    add_events(3, EVENTS);
    expect_bad(events[3].uid, "malformed");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("verify");
    TCase *tcase = tcase_create("verify");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_log_that_nobody_touched_is_good);
    tcase_add_test(tcase, an_edited_event_is_named);
    tcase_add_test(tcase, an_edited_column_is_named);
    tcase_add_test(tcase, a_deleted_event_is_missed_before_the_next);
    tcase_add_test(tcase, two_events_that_changed_places_are_named);
    tcase_add_test(tcase, a_chain_that_was_made_anew_contradicts_the_checkpoint);
    tcase_add_test(tcase, a_truncated_log_lacks_what_the_checkpoint_has);
    tcase_add_test(tcase, an_empty_log_lacks_what_the_checkpoint_has);
    tcase_add_test(tcase, another_key_proves_nothing);
    tcase_add_test(tcase, a_checkpoint_that_was_left_out_is_missed);
    tcase_add_test(tcase, yesterdays_backup_is_told_by_who_saw_more);
    tcase_add_test(tcase, another_history_is_told_by_who_saw_the_first);
    tcase_add_test(tcase, what_retention_dropped_is_vouched_for_by_its_tombstone);
    tcase_add_test(tcase, what_is_gone_without_a_signed_tombstone_is_missed);
    tcase_add_test(tcase, a_record_that_is_malformed_is_bad_and_no_more);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
