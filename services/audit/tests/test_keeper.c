#include "world.h"

#include "clock/clock.h"
#include "keeper.h"
#include "names/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_S 86400

static struct world *w;
static struct rl_error err;
static int64_t now_ns;
static struct rl_voted_clock voted;
static int ready;

static void start(void)
{
    w = world_create();
}

static void stop(void)
{
    world_free(&w);
}

static void reset(void)
{
    world_reset(w);
    now_ns = rl_clock_wall_ns();
    ready = 0;
}

static int64_t partitions(const char *table)
{
    char sql[256];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM pg_inherits WHERE inhparent = '%s'::regclass",
             table);
    return number_of(w->owner, sql);
}

/* An event received so many days from now. */
static void insert_at(int day, const char *uid)
{
    Pb__Event *event = agent_event("session.start");
    if (uid)
        rl_event_set(&event->uid, uid);
    struct rl_audit_entry entry = {.event = event, .sender_kind = "agent", .sender_id = AGENT_ID};
    ck_assert_msg(rl_audit_insert(w->writer, REPLICA, now_ns + day * RL_AUDIT_DAY_NS, &entry, 1,
                                  &err) == RL_OK,
                  "%s", err.message);
    rl_event_free(&event);
}

/* A UUIDv7 of a clock that is so many days off. */
static void uid_of_day(int day, char uid[64])
{
    int64_t ms = now_ns / 1000000 + day * INT64_C(86400000);
    snprintf(uid, 64, "%08llx-%04llx-7000-8000-000000000001", (unsigned long long)(ms >> 16),
             (unsigned long long)(ms & 0xFFFF));
}

/* As auth and the service would. */
static void sign_tombstones(void)
{
    ck_assert_int_eq(run_sql(w->writer,
                             "INSERT INTO tombstone_signatures SELECT day, replica, '\\x00'"
                             " FROM tombstones WHERE replica IS NOT NULL ON CONFLICT DO NOTHING",
                             &err),
                     RL_OK);
}

static struct rl_audit_retained retain_once(int day, uint64_t retention_days)
{
    struct rl_audit_retained done;
    ck_assert_msg(rl_audit_retain(w->owner, now_ns + day * RL_AUDIT_DAY_NS, retention_days * DAY_S,
                                  &done, &err) == RL_OK,
                  "%s", err.message);
    return done;
}

static void retain_at(int day, uint64_t retention_days, size_t expected)
{
    size_t dropped = retain_once(day, retention_days).dropped;
    sign_tombstones();
    dropped += retain_once(day, retention_days).dropped;
    ck_assert_uint_eq(dropped, expected);
}

START_TEST(partitions_are_made_a_week_ahead_and_once)
{
    ck_assert_int_eq(partitions("events"), 1 + RL_AUDIT_DAYS_AHEAD);
    ck_assert_int_eq(partitions("uids"), 2 + RL_AUDIT_DAYS_AHEAD); /* and uids_other */
    ck_assert_int_eq(rl_audit_make_partitions(w->owner, now_ns, &err), RL_OK);
    ck_assert_int_eq(partitions("events"), 1 + RL_AUDIT_DAYS_AHEAD);
    ck_assert_int_eq(rl_audit_make_partitions(w->owner, now_ns + RL_AUDIT_DAY_NS, &err), RL_OK);
    ck_assert_int_eq(partitions("events"), 2 + RL_AUDIT_DAYS_AHEAD);
    insert_at(RL_AUDIT_DAYS_AHEAD, NULL);
    ck_assert_int_eq(rl_audit_check_partition(w->writer, now_ns + 8 * RL_AUDIT_DAY_NS, &err),
                     RL_OK);
    ck_assert_int_eq(rl_audit_check_partition(w->writer, now_ns + 9 * RL_AUDIT_DAY_NS, &err),
                     RL_E_PRECONDITION);
}
END_TEST

START_TEST(the_writer_makes_no_partitions)
{
    ck_assert_int_eq(rl_audit_make_partitions(w->writer, now_ns + 30 * RL_AUDIT_DAY_NS, &err),
                     RL_E_DENIED);
}
END_TEST

/* A clock ahead of ours puts uids where no day is yet; making that day later must not fail. */
START_TEST(uids_from_the_future_move_to_their_day)
{
    char uid[64];
    uid_of_day(20, uid);
    insert_at(0, uid);
    ck_assert_int_eq(number_of(w->owner, "SELECT count(*) FROM uids_other"), 1);
    ck_assert_msg(rl_audit_make_partitions(w->owner, now_ns + 20 * RL_AUDIT_DAY_NS, &err) == RL_OK,
                  "%s", err.message);
    ck_assert_int_eq(number_of(w->owner, "SELECT count(*) FROM uids_other"), 0);
    insert_at(1, uid); /* still the same event */
    ck_assert_int_eq(number_of(w->owner, "SELECT count(*) FROM events"), 1);
}
END_TEST

START_TEST(retention_drops_whole_days_and_leaves_tombstones)
{
    insert_at(0, NULL);
    insert_at(0, NULL);
    insert_at(1, NULL);
    retain_at(0, 1, 0);
    retain_at(1, 1, 0); /* the first day is over, but no day long */
    retain_at(2, 1, 1);
    ck_assert_int_eq(number_of(w->owner, "SELECT count(*) FROM events"), 1);
    ck_assert_int_eq(number_of(w->owner, "SELECT count(*) FROM uids"), 3); /* made today, all */
    ck_assert_int_eq(number_of(w->owner, "SELECT count(*) FROM tombstones WHERE events = 2"
                                         " AND first_sequence = 1 AND last_sequence = 2"
                                         " AND replica = '" REPLICA "'"),
                     1);
    /* what is left goes on where the tombstone ends */
    ck_assert_int_eq(number_of(w->owner, "SELECT count(*) FROM events e, tombstones t"
                                         " WHERE e.prev_hash = t.hash"),
                     1);
    retain_at(9, 1, 7);
    ck_assert_int_eq(partitions("events"), 0);
    ck_assert_int_eq(partitions("uids"), 1);
    ck_assert_int_eq(number_of(w->owner, "SELECT count(*) FROM tombstones WHERE events = 0"), 6);
    retain_at(9, 1, 0);
}
END_TEST

START_TEST(a_day_is_dropped_only_when_auth_has_signed_for_it)
{
    insert_at(0, NULL);
    ck_assert_uint_eq(retain_once(2, 1).dropped, 0);
    ck_assert_uint_eq(retain_once(2, 1).dropped, 0);
    ck_assert_int_eq(number_of(w->owner, "SELECT count(*) FROM tombstones WHERE events = 1"), 1);
    ck_assert_int_eq(number_of(w->owner, "SELECT count(*) FROM events"), 1);
    ck_assert_int_eq(number_of(w->owner, "SELECT count(*) FROM uids"), 1);
    sign_tombstones();
    ck_assert_uint_eq(retain_once(2, 1).dropped, 1);
    ck_assert_int_eq(number_of(w->owner, "SELECT count(*) FROM events"), 0);
}
END_TEST

START_TEST(a_day_with_a_gap_is_kept_as_evidence)
{
    insert_at(0, NULL);
    insert_at(0, NULL);
    insert_at(0, NULL);
    ck_assert_int_eq(run_sql(w->owner, "DELETE FROM events WHERE sequence = 2", &err), RL_OK);
    retain_at(2, 1, 0);
    ck_assert_uint_eq(retain_once(2, 1).with_gaps, 1);
    ck_assert_int_eq(number_of(w->owner, "SELECT count(*) FROM events"), 2);
}
END_TEST

START_TEST(a_chain_goes_on_after_everything_was_dropped)
{
    insert_at(0, NULL);
    insert_at(0, NULL);
    retain_at(20, 1, 8);
    ck_assert_int_eq(rl_audit_make_partitions(w->owner, now_ns + 20 * RL_AUDIT_DAY_NS, &err),
                     RL_OK);
    insert_at(20, NULL);
    ck_assert_int_eq(number_of(w->owner, "SELECT sequence FROM events"), 3);
    ck_assert_int_eq(number_of(w->owner, "SELECT count(*) FROM events e, tombstones t"
                                         " WHERE e.prev_hash = t.hash"),
                     1);
}
END_TEST

START_TEST(a_uid_is_kept_as_long_as_its_event)
{
    /* of a clock that is 30 days behind */
    char uid[64];
    uid_of_day(-30, uid);
    insert_at(0, uid);
    retain_at(2, 3, 0);
    ck_assert_int_eq(number_of(w->owner, "SELECT count(*) FROM uids_other"), 1);
    struct rl_audit_retained done;
    int64_t day_ends_ns = (now_ns / RL_AUDIT_DAY_NS + 1) * RL_AUDIT_DAY_NS;
    ck_assert_int_eq(
        rl_audit_retain(w->owner, day_ends_ns + 3 * RL_AUDIT_DAY_NS - 1, 3 * DAY_S, &done, &err),
        RL_OK);
    ck_assert_uint_eq(done.dropped, 0);
    ck_assert_int_eq(number_of(w->owner, "SELECT count(*) FROM uids_other"), 1);
    retain_at(4, 3, 1);
    ck_assert_int_eq(number_of(w->owner, "SELECT count(*) FROM uids_other"), 0);
}
END_TEST

/* ---- rounds ---- */

static void on_ready(void *context)
{
    (void)context;
    ready++;
}

static struct rl_audit_keeper *start_keeper(struct rl_store *owner)
{
    struct rl_audit_keeper_config config = {
        .loop = w->loop,
        .writer = w->writer,
        .owner = owner,
        .replica = REPLICA,
        .clock = &voted,
        .retention_s = 365 * DAY_S,
        .ready = on_ready,
    };
    struct rl_audit_keeper *keeper = NULL;
    ck_assert_int_eq(rl_audit_keeper_start(&config, &keeper, &err), RL_OK);
    return keeper;
}

START_TEST(the_owner_makes_everything_and_then_it_is_ready)
{
    ck_assert_int_eq(run_sql(w->owner, "DROP SCHEMA audit CASCADE", &err), RL_OK);
    ck_assert_int_ne(rl_audit_check_database(w->writer, now_ns, &err), RL_OK);
    struct rl_audit_keeper *keeper = start_keeper(w->owner);
    TURN_UNTIL(w, ready == 1);
    ck_assert_int_eq(rl_audit_check_database(w->writer, now_ns, &err), RL_OK);
    ck_assert_int_eq(number_of(w->owner, "SELECT count(*) FROM replicas"), 1);
    rl_audit_keeper_stop(&keeper);
    ck_assert_ptr_null(keeper);
}
END_TEST

/* What audit's own clock says is not asked when nothing else agrees with it: here it is at 1970. */
START_TEST(the_time_of_receipt_is_postgresqls_when_nothing_else_was_heard)
{
    voted = (struct rl_voted_clock){0};
    struct rl_audit_keeper *keeper = start_keeper(NULL);
    TURN_UNTIL(w, ready == 1);
    int64_t apart_ns = rl_voted_clock_at(&voted, 0, rl_clock_boot_ms()) - rl_clock_wall_ns();
    ck_assert_int_lt(llabs(apart_ns), INT64_C(5000000000));
    rl_audit_keeper_stop(&keeper);
}
END_TEST

START_TEST(it_waits_for_postgresql)
{
    rl_testpg_stop(w->pg);
    struct rl_audit_keeper *keeper = start_keeper(NULL);
    uint64_t until_ms = rl_clock_boot_ms() + 300;
    while (rl_clock_boot_ms() < until_ms)
        rl_loop_turn(w->loop, 20);
    ck_assert_int_eq(ready, 0);
    rl_testpg_start(w->pg);
    TURN_UNTIL(w, ready == 1);
    rl_audit_keeper_stop(&keeper);
}
END_TEST

START_TEST(without_an_owner_it_waits_for_the_job)
{
    ck_assert_int_eq(run_sql(w->owner, "DROP SCHEMA audit CASCADE", &err), RL_OK);
    struct rl_audit_keeper *keeper = start_keeper(NULL);
    ck_assert_int_eq(rl_audit_maintain(w->owner, w->writer, now_ns, DAY_S, &err), RL_OK);
    TURN_UNTIL(w, ready == 1);
    rl_audit_keeper_stop(&keeper);
}
END_TEST

START_TEST(a_database_that_could_be_rewritten_is_not_fit)
{
    struct rl_store *writer = w->writer;
    ck_assert_int_eq(rl_audit_check_database(w->owner, now_ns, &err), RL_E_PRECONDITION);
    ck_assert_ptr_nonnull(strstr(err.message, "could rewrite"));
    ck_assert_int_eq(run_sql(w->owner, "GRANT DELETE ON uids TO audit_writer", &err), RL_OK);
    ck_assert_int_eq(rl_audit_check_database(writer, now_ns, &err), RL_E_PRECONDITION);
    /* and the owner takes it away again */
    ck_assert_int_eq(rl_audit_maintain(w->owner, writer, now_ns, DAY_S, &err), RL_OK);
    ck_assert_int_eq(rl_audit_check_database(writer, now_ns, &err), RL_OK);
    ck_assert_int_eq(run_sql(w->owner, "REVOKE INSERT ON events FROM audit_writer", &err), RL_OK);
    ck_assert_int_eq(rl_audit_check_database(writer, now_ns, &err), RL_E_PRECONDITION);
    ck_assert_ptr_nonnull(strstr(err.message, "may not insert"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("keeper");
    TCase *tcase = tcase_create("keeper");
    tcase_add_unchecked_fixture(tcase, start, stop);
    tcase_add_checked_fixture(tcase, reset, NULL);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, partitions_are_made_a_week_ahead_and_once);
    tcase_add_test(tcase, the_writer_makes_no_partitions);
    tcase_add_test(tcase, uids_from_the_future_move_to_their_day);
    tcase_add_test(tcase, retention_drops_whole_days_and_leaves_tombstones);
    tcase_add_test(tcase, a_day_is_dropped_only_when_auth_has_signed_for_it);
    tcase_add_test(tcase, a_day_with_a_gap_is_kept_as_evidence);
    tcase_add_test(tcase, a_chain_goes_on_after_everything_was_dropped);
    tcase_add_test(tcase, a_uid_is_kept_as_long_as_its_event);
    tcase_add_test(tcase, the_owner_makes_everything_and_then_it_is_ready);
    tcase_add_test(tcase, the_time_of_receipt_is_postgresqls_when_nothing_else_was_heard);
    tcase_add_test(tcase, it_waits_for_postgresql);
    tcase_add_test(tcase, without_an_owner_it_waits_for_the_job);
    tcase_add_test(tcase, a_database_that_could_be_rewritten_is_not_fit);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK); /* gRPC core does not survive fork() */
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
