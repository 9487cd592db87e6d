/* The log in a real database, proven by what comes out of it, and everything that the database's
 * owner could do to it. */
#include "world.h"

#include "clock/clock.h"
#include "db/ledger.h"
#include "graves.h"
#include "remoteler/v1/audit.pb-c.h"

#include <stdlib.h>
#include <string.h>

#define EVENTS 12

static struct world *w;
static struct rl_error err;
static struct rl_rpc_channel *auditor;
static struct rl_buf spki;
static Pb__CaKey key, *keys[] = {&key};
static char uids[EVENTS][RL_AUDIT_UUID_BYTES];
static Pb__SignedCheckpoint *checkpoints[2];
static uint8_t seen_sha256[RL_LEDGER_HASH_BYTES];
static struct rl_ledger_result result;

static void start(void)
{
    w = world_create();
    auditor = world_channel(w, OVER_H2, RL_IDENTITY_USER, "auditor", NULL);
    rl_buf_init(&spki, 1024);
    ck_assert_int_eq(rl_key_to_spki(w->policy_key, &spki, &err), RL_OK);
    pb__ca_key__init(&key);
    key.id = (char *)(uintptr_t)POLICY_KEY_ID;
    key.public_key = (ProtobufCBinaryData){spki.n, spki.p};
}

static void stop(void)
{
    rl_rpc_channel_free(&auditor);
    rl_buf_fini(&spki);
    world_free(&w);
}

/* ---- as auth makes checkpoints ---- */

static Pb__SignedCheckpoint *make_checkpoint(const Pb__SignedCheckpoint *before)
{
    uint8_t previous[RL_LEDGER_HASH_BYTES];
    Pb__HeadsResponse *heads = rl_alloc(sizeof *heads);
    Pb__Checkpoint *last = NULL, next = PB__CHECKPOINT__INIT;
    Pb__SignedCheckpoint *made = NULL;
    struct rl_ledger_keys pinned = {1, keys};
    pb__heads_response__init(heads);
    if (before)
        ck_assert_int_eq(rl_checkpoint_open(before, CLUSTER, pinned, &last, &err), RL_OK);
    ck_assert_msg(rl_audit_heads_of(w->writer, last ? last->heads : NULL, last ? last->n_heads : 0,
                                    last ? last->time_ns : 0, heads, &err) == RL_OK,
                  "%s", err.message);
    if (rl_checkpoint_check_extends(last, heads->known, heads->n_known, heads->heads,
                                    heads->n_heads, &err) == RL_OK) {
        next.cluster = (char *)(uintptr_t)CLUSTER;
        next.number = last ? last->number + 1 : 1;
        next.time_ns = rl_clock_wall_ns();
        next.heads = heads->heads;
        next.n_heads = heads->n_heads;
        if (before) {
            rl_ledger_sha256(RL_SPAN(before->checkpoint.data, before->checkpoint.len), previous);
            next.previous_sha256 = (ProtobufCBinaryData){sizeof previous, previous};
        }
        ck_assert_int_eq(rl_checkpoint_sign(&next, w->policy_key, POLICY_KEY_ID, &made, &err),
                         RL_OK);
    }
    pb__heads_response__free_unpacked(heads, NULL);
    if (last)
        pb__checkpoint__free_unpacked(last, NULL);
    return made;
}

static void insert(size_t from, size_t to, const char *replica)
{
    for (size_t i = from; i < to; i++) {
        Pb__Event *event = agent_event("session.start");
        struct rl_audit_entry entry = {
            .event = event, .sender_kind = "agent", .sender_id = AGENT_ID};
        snprintf(uids[i], sizeof uids[i], "%s", event->uid);
        ck_assert_msg(rl_audit_insert(w->writer, replica, rl_clock_wall_ns(), &entry, 1, &err) ==
                          RL_OK,
                      "%s", err.message);
        rl_event_free(&event);
    }
}

/* Five events, a checkpoint, three and a checkpoint, one that is not proven yet; and three in
 * another chain. */
static void reset(void)
{
    world_reset(w);
    rl_audit_register_replica(w->writer, REPLICA, 1, &err);
    rl_audit_register_replica(w->writer, REPLICA_2, 1, &err);
    insert(0, 5, REPLICA);
    insert(9, 12, REPLICA_2);
    checkpoints[0] = make_checkpoint(NULL);
    insert(5, 8, REPLICA);
    checkpoints[1] = make_checkpoint(checkpoints[0]);
    insert(8, 9, REPLICA);
    rl_ledger_sha256(RL_SPAN(checkpoints[1]->checkpoint.data, checkpoints[1]->checkpoint.len),
                     seen_sha256);
}

static void clear(void)
{
    for (size_t i = 0; i < RL_COUNT(checkpoints); i++)
        pb__signed_checkpoint__free_unpacked(checkpoints[i], NULL);
}

/* ---- as tctl verifies ---- */

struct reading {
    struct rl_ledger_verifier *verifier;
    uint32_t partitions;
    rl_code code;
    bool is_over;
};

static void on_message(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)call;
    struct reading *reading = context;
    const Pb__LedgerResponse *part = (const Pb__LedgerResponse *)message;
    reading->partitions += part->partitions;
    for (size_t i = 0; i < part->n_tombstones; i++)
        rl_ledger_add_tombstone(reading->verifier, part->tombstones[i]);
    for (size_t i = 0; i < part->n_records; i++)
        rl_ledger_add_record(reading->verifier, part->records[i]);
}

static void on_closed(struct rl_rpc_call *call, rl_code code, const char *message, void *context)
{
    (void)call;
    (void)message;
    struct reading *reading = context;
    reading->code = code;
    reading->is_over = true;
}

static rl_code read_log(struct rl_rpc_channel *channel, struct reading *reading)
{
    static const struct rl_rpc_stream_ops ops = {.message = on_message, .closed = on_closed};
    Pb__LedgerRequest request = PB__LEDGER_REQUEST__INIT;
    reading->is_over = false;
    struct rl_rpc_call *call =
        rl_rpc_stream(channel, &pb__audit__descriptor, "Ledger", PATIENCE_MS, &ops, reading);
    ck_assert_int_eq(rl_rpc_send(call, &request.base, &err), RL_OK);
    rl_rpc_end(call, RL_OK, NULL);
    TURN_UNTIL(w, reading->is_over);
    return reading->code;
}

static void verify(size_t checkpoint_count)
{
    struct rl_ledger_keys pinned = {1, keys};
    struct reading reading = {.verifier = rl_ledger_verifier_create(CLUSTER, pinned)};
    for (size_t i = 0; i < checkpoint_count; i++)
        rl_ledger_add_checkpoint(reading.verifier, checkpoints[i]);
    rl_ledger_add_seen(reading.verifier, 2, seen_sha256, "a memory");
    ck_assert_int_eq(read_log(auditor, &reading), RL_OK);
    rl_ledger_finish(reading.verifier, &result);
    rl_ledger_verifier_free(&reading.verifier);
    ck_assert_uint_ge(reading.partitions, 7);
}

static void expect_bad(const char *uid, const char *part)
{
    verify(2);
    ck_assert(!result.is_good);
    ck_assert_msg(strcmp(result.bad_uid, uid) == 0, "%s, not %s: %s", result.bad_uid, uid,
                  result.bad_reason);
    ck_assert_msg(strstr(result.bad_reason, part) != NULL, "%s", result.bad_reason);
}

static void owner(const char *sql)
{
    ck_assert_msg(run_sql(w->owner, sql, &err) == RL_OK, "%s", err.message);
}

START_TEST(what_the_database_holds_is_proven)
{
    verify(2);
    ck_assert_msg(result.is_good, "%s", result.bad_reason);
    ck_assert_uint_eq(result.events, EVENTS);
    ck_assert_uint_eq(result.unproven, 1);
}
END_TEST

START_TEST(an_edit_by_the_owner_is_found)
{
    owner("UPDATE events SET packed = set_byte(packed, 60, get_byte(packed, 60) # 1)"
          " WHERE replica = '" REPLICA "' AND sequence = 3");
    expect_bad(uids[2], "it was changed");
}
END_TEST

START_TEST(a_column_that_hides_an_event_is_found)
{
    owner("UPDATE events SET user_name = 'nobody' WHERE replica = '" REPLICA "' AND sequence = 7");
    expect_bad(uids[6], "column \"user\"");
}
END_TEST

START_TEST(a_deletion_is_found)
{
    owner("DELETE FROM events WHERE replica = '" REPLICA "' AND sequence = 4");
    expect_bad(uids[4], "are missing, from number 4");
}
END_TEST

START_TEST(events_that_changed_places_are_found)
{
    owner("UPDATE events SET sequence = 5 - sequence WHERE replica = '" REPLICA
          "' AND sequence IN (2, 3)");
    verify(2);
    ck_assert(!result.is_good);
    ck_assert(strcmp(result.bad_uid, uids[1]) == 0 || strcmp(result.bad_uid, uids[2]) == 0);
}
END_TEST

START_TEST(a_truncated_log_is_found)
{
    owner("DELETE FROM events WHERE replica = '" REPLICA "' AND sequence > 6");
    expect_bad("", "the end of chain " REPLICA " is missing, from number 7");
}
END_TEST

START_TEST(a_log_without_its_tables_rows_is_found)
{
    owner("TRUNCATE events, replicas");
    expect_bad("", "is missing, from number 1");
}
END_TEST

START_TEST(a_dropped_partition_without_a_tombstone_is_found)
{
    owner("DO $$ BEGIN EXECUTE 'DROP TABLE events_' || to_char(now() AT TIME ZONE 'UTC',"
          " 'YYYYMMDD'); END $$");
    expect_bad("", "is missing, from number 1");
}
END_TEST

/* The chain of the other replica, made anew by the service's own code: whole in itself. */
START_TEST(a_chain_that_was_made_anew_is_found)
{
    owner("DELETE FROM events WHERE replica = '" REPLICA_2 "'");
    owner("TRUNCATE uids");
    insert(9, 12, REPLICA_2);
    expect_bad(uids[9], "checkpoint 1 says otherwise");
}
END_TEST

START_TEST(yesterdays_backup_is_found_by_who_saw_more)
{
    owner("DELETE FROM events WHERE replica = '" REPLICA "' AND sequence > 5");
    verify(1); /* auth's tables were set back with it */
    ck_assert(!result.is_good);
    ck_assert_msg(strstr(result.bad_reason, "checkpoint 2, which is in a memory, is not there"),
                  "%s", result.bad_reason);
}
END_TEST

START_TEST(auth_signs_nothing_over_a_log_that_was_changed)
{
    owner("DELETE FROM events WHERE replica = '" REPLICA "' AND sequence = 8");
    ck_assert_ptr_null(make_checkpoint(checkpoints[1]));
    ck_assert_msg(strstr(err.message, "is not what checkpoint 2 says") != NULL, "%s", err.message);
}
END_TEST

START_TEST(a_chain_that_is_silent_stays_in_the_next_checkpoint)
{
    Pb__SignedCheckpoint *next = make_checkpoint(checkpoints[1]);
    Pb__Checkpoint *opened = NULL;
    struct rl_ledger_keys pinned = {1, keys};
    ck_assert_ptr_nonnull(next);
    ck_assert_int_eq(rl_checkpoint_open(next, CLUSTER, pinned, &opened, &err), RL_OK);
    ck_assert_uint_eq(opened->n_heads, 2);
    ck_assert_uint_eq(opened->heads[0]->sequence, 9);
    ck_assert_uint_eq(opened->heads[1]->sequence, 3);
    pb__checkpoint__free_unpacked(opened, NULL);
    pb__signed_checkpoint__free_unpacked(next, NULL);
}
END_TEST

/* ---- retention ---- */

static struct rl_rpc_channel *auth_of(void *context)
{
    (void)context;
    return w->auth_channel;
}

static void on_signed(void *context)
{
    *(bool *)context = true;
}

START_TEST(what_retention_drops_is_vouched_for)
{
    bool is_signed = false;
    struct rl_audit_retained done;
    int64_t later_ns = rl_clock_wall_ns() + 2 * RL_AUDIT_DAY_NS;
    struct rl_audit_graves_config config = {.loop = w->loop,
                                            .cluster = CLUSTER,
                                            .writer = w->writer,
                                            .workers = w->searchers,
                                            .auth = auth_of,
                                            .is_signed = on_signed,
                                            .context = &is_signed};
    ck_assert_int_eq(rl_audit_retain(w->owner, later_ns, 86400, &done, &err), RL_OK);
    ck_assert_uint_eq(done.dropped, 0);
    struct rl_audit_graves *graves = rl_audit_graves_start(&config);
    TURN_UNTIL(w, is_signed);
    rl_audit_graves_stop(&graves);
    ck_assert_int_eq(rl_audit_retain(w->owner, later_ns, 86400, &done, &err), RL_OK);
    ck_assert_uint_eq(done.dropped, 1);
    struct rl_ledger_keys pinned = {1, keys};
    struct reading reading = {.verifier = rl_ledger_verifier_create(CLUSTER, pinned)};
    rl_ledger_add_checkpoint(reading.verifier, checkpoints[0]);
    rl_ledger_add_checkpoint(reading.verifier, checkpoints[1]);
    ck_assert_int_eq(read_log(auditor, &reading), RL_OK);
    rl_ledger_finish(reading.verifier, &result);
    rl_ledger_verifier_free(&reading.verifier);
    ck_assert_msg(result.is_good, "%s", result.bad_reason);
    ck_assert_uint_eq(result.events, 0);
}
END_TEST

START_TEST(who_may_not_read_all_proves_nothing)
{
    struct rl_ledger_keys pinned = {1, keys};
    struct reading reading = {.verifier = rl_ledger_verifier_create(CLUSTER, pinned)};
    w->decision.own_only = true;
    ck_assert_int_eq(read_log(auditor, &reading), RL_E_DENIED);
    w->decision.own_only = false;
    w->decision.is_allowed = false;
    ck_assert_int_eq(read_log(auditor, &reading), RL_E_DENIED);
    rl_ledger_verifier_free(&reading.verifier);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ledger");
    TCase *tcase = tcase_create("ledger");
    tcase_set_timeout(tcase, 120);
    tcase_add_unchecked_fixture(tcase, start, stop);
    tcase_add_checked_fixture(tcase, reset, clear);
    tcase_add_test(tcase, what_the_database_holds_is_proven);
    tcase_add_test(tcase, an_edit_by_the_owner_is_found);
    tcase_add_test(tcase, a_column_that_hides_an_event_is_found);
    tcase_add_test(tcase, a_deletion_is_found);
    tcase_add_test(tcase, events_that_changed_places_are_found);
    tcase_add_test(tcase, a_truncated_log_is_found);
    tcase_add_test(tcase, a_log_without_its_tables_rows_is_found);
    tcase_add_test(tcase, a_dropped_partition_without_a_tombstone_is_found);
    tcase_add_test(tcase, a_chain_that_was_made_anew_is_found);
    tcase_add_test(tcase, yesterdays_backup_is_found_by_who_saw_more);
    tcase_add_test(tcase, auth_signs_nothing_over_a_log_that_was_changed);
    tcase_add_test(tcase, a_chain_that_is_silent_stays_in_the_next_checkpoint);
    tcase_add_test(tcase, what_retention_drops_is_vouched_for);
    tcase_add_test(tcase, who_may_not_read_all_proves_nothing);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
