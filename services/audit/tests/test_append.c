#include "world.h"

#include "clock/clock.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static struct world *w;
static struct rl_rpc_channel *agent;
static struct rl_error err;

static void start(void)
{
    w = world_create();
    agent = world_channel(w, OVER_H2, RL_IDENTITY_AGENT, AGENT_ID, NULL);
}

static void stop(void)
{
    rl_rpc_channel_free(&agent);
    world_free(&w);
}

static void reset(void)
{
    world_reset(w);
}

START_TEST(an_agent_writes_about_its_own_session)
{
    struct appended a = append_one(agent, agent_event("session.start"));
    ck_assert_msg(a.code == RL_OK, "%s", a.message);
    ck_assert_uint_eq(a.accepted, 1);
    ck_assert_int_eq(number_of(w->owner, "SELECT count(*) FROM events"), 1);
}
END_TEST

START_TEST(services_write_over_grpc)
{
    struct rl_rpc_channel *auth =
        world_channel(w, OVER_GRPC, RL_IDENTITY_SERVICE, OTHER_ID, "auth");
    Pb__Event *event = rl_event_create("user.login", "denied", rl_clock_wall_ns());
    rl_event_set(&event->cluster, CLUSTER);
    struct appended a = append_one(auth, event);
    ck_assert_msg(a.code == RL_OK, "%s", a.message);
    rl_rpc_channel_free(&auth);
}
END_TEST

START_TEST(the_same_uid_again_is_the_same_event)
{
    Pb__Event *event = agent_event("session.start");
    Pb__Event *twice[] = {event, event};
    struct appended a = append(agent, twice, 2);
    ck_assert_uint_eq(a.accepted, 1);
    ck_assert_uint_eq(a.repeated, 1);
    a = append(agent, twice, 1);
    ck_assert_uint_eq(a.accepted, 0);
    ck_assert_uint_eq(a.repeated, 1);
    ck_assert_int_eq(number_of(w->owner, "SELECT count(*) FROM events"), 1);
    rl_event_free(&event);
}
END_TEST

START_TEST(the_same_uid_another_day_is_the_same_event)
{
    Pb__Event *event = agent_event("session.start");
    struct rl_audit_entry entry = {.event = event, .sender_kind = "agent", .sender_id = AGENT_ID};
    int64_t now_ns = rl_clock_wall_ns();
    ck_assert_int_eq(rl_audit_insert(w->writer, REPLICA, now_ns, &entry, 1, &err), RL_OK);
    ck_assert(!entry.is_repeated);
    ck_assert_int_eq(
        rl_audit_insert(w->writer, REPLICA_2, now_ns + 2 * RL_AUDIT_DAY_NS, &entry, 1, &err),
        RL_OK);
    ck_assert(entry.is_repeated);
    rl_event_free(&event);
}
END_TEST

START_TEST(a_batch_has_a_limit)
{
    Pb__Event *events[RL_AUDIT_BATCH_MAX + 1];
    for (size_t i = 0; i < RL_COUNT(events); i++)
        events[i] = agent_event("session.resize");
    struct appended a = append(agent, events, RL_COUNT(events));
    ck_assert_int_eq(a.code, RL_E_INVAL);
    ck_assert_int_eq(number_of(w->owner, "SELECT count(*) FROM events"), 0);
    a = append(agent, events, RL_AUDIT_BATCH_MAX);
    ck_assert_int_eq(a.code, RL_OK);
    ck_assert_uint_eq(a.accepted, RL_AUDIT_BATCH_MAX);
    a = append(agent, events, 0);
    ck_assert_int_eq(a.code, RL_OK);
    for (size_t i = 0; i < RL_COUNT(events); i++)
        rl_event_free(&events[i]);
}
END_TEST

START_TEST(a_batch_is_taken_whole_or_not_at_all)
{
    Pb__Event *events[] = {agent_event("session.start"), agent_event("session.end")};
    rl_event_set(&events[1]->resource_id, OTHER_ID);
    struct appended a = append(agent, events, 2);
    ck_assert_int_eq(a.code, RL_E_DENIED);
    ck_assert_ptr_nonnull(strstr(a.message, OTHER_ID));
    ck_assert_int_eq(number_of(w->owner, "SELECT count(*) FROM events"), 0);
    rl_event_free(&events[0]);
    rl_event_free(&events[1]);
}
END_TEST

START_TEST(users_do_not_write)
{
    struct rl_rpc_channel *user = world_channel(w, OVER_H2, RL_IDENTITY_USER, "alice", NULL);
    ck_assert_int_eq(append_one(user, agent_event("session.start")).code, RL_E_DENIED);
    rl_rpc_channel_free(&user);
}
END_TEST

START_TEST(agents_do_not_read)
{
    struct found *found = rl_alloc(sizeof *found);
    Pb__SearchRequest request = PB__SEARCH_REQUEST__INIT;
    search(w, agent, &request, found);
    ck_assert_int_eq(found->code, RL_E_DENIED);
    free(found);
}
END_TEST

START_TEST(postgresql_lets_nobody_rewrite_as_the_writer)
{
    static const char *const statements[] = {
        "UPDATE events SET type = 'x'",
        "DELETE FROM events",
        "TRUNCATE events",
        "DROP TABLE events",
        "UPDATE uids SET received_ns = 0",
        "DELETE FROM uids",
        "TRUNCATE uids",
        "DELETE FROM replicas",
        "UPDATE replicas SET first_ns = 0",
        "DELETE FROM tombstones",
        "INSERT INTO tombstones (day, events) VALUES ('2026-01-01', 0)",
        "ALTER TABLE events ADD COLUMN x int",
        "CREATE TABLE mine (x int)",
        "SELECT admit_writer('audit_writer')",
    };
    ck_assert_int_eq(append_one(agent, agent_event("session.start")).code, RL_OK);
    for (size_t i = 0; i < RL_COUNT(statements); i++)
        ck_assert_msg(run_sql(w->writer, statements[i], &err) == RL_E_DENIED, "%s: %s",
                      statements[i], err.message);
    ck_assert_int_eq(number_of(w->writer, "SELECT count(*) FROM events"), 1);
}
END_TEST

static void refused_for_today(const char *verb, const char *table, const char *rest)
{
    int64_t day = number_of(w->owner, "SELECT to_char(now(), 'YYYYMMDD')::bigint");
    char *sql = rl_sprintf("%s %s_%lld %s", verb, table, (long long)day, rest);
    ck_assert_msg(run_sql(w->writer, sql, &err) == RL_E_DENIED, "%s: %s", sql, err.message);
    free(sql);
}

START_TEST(postgresql_lets_nobody_rewrite_a_partition)
{
    ck_assert_int_eq(append_one(agent, agent_event("session.start")).code, RL_OK);
    refused_for_today("DELETE FROM", "events", "");
    refused_for_today("TRUNCATE", "events", "");
    refused_for_today("UPDATE", "events", "SET type = ''");
    refused_for_today("DELETE FROM", "uids", "");
}
END_TEST

START_TEST(a_role_that_could_rewrite_is_not_admitted)
{
    ck_assert_int_eq(rl_audit_admit_writer(w->owner, w->owner, &err), RL_E_PRECONDITION);
    ck_assert_ptr_nonnull(strstr(err.message, "audit_owner"));
    ck_assert_int_eq(run_sql(w->owner, "SELECT 1", &err), RL_OK);
}
END_TEST

static int64_t wrong_clocks(void)
{
    return number_of(w->owner, "SELECT count(*) FROM events WHERE at_ns = received_ns");
}

START_TEST(a_wrong_clock_is_filed_under_the_receipt)
{
    int64_t now_ns = rl_clock_wall_ns();
    const struct {
        int64_t off_ns;
        bool is_wrong;
    } cases[] = {
        {-RL_AUDIT_DAY_NS, true},
        {-3500 * INT64_C(1000000000), false},
        {0, false},
        {290 * INT64_C(1000000000), false},
        {400 * INT64_C(1000000000), true},
        {INT64_MAX - now_ns, true},
        {INT64_MIN, true},
    };
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        int64_t before = wrong_clocks();
        Pb__Event *event = agent_event("session.start");
        event->time_ns = cases[i].off_ns == INT64_MIN ? INT64_MIN : now_ns + cases[i].off_ns;
        ck_assert_int_eq(append_one(agent, event).code, RL_OK);
        ck_assert_msg((wrong_clocks() > before) == cases[i].is_wrong, "case %zu", i);
    }
}
END_TEST

START_TEST(the_database_may_go_and_come_back)
{
    rl_testpg_stop(w->pg);
    struct appended a = append_one(agent, agent_event("session.start"));
    ck_assert_int_eq(a.code, RL_E_UNAVAILABLE);
    ck_assert_ptr_null(strstr(a.message, "PostgreSQL")); /* not the writer's business */
    rl_testpg_start(w->pg);
    ck_assert_int_eq(append_one(agent, agent_event("session.start")).code, RL_OK);
}
END_TEST

START_TEST(a_missing_partition_loses_nothing)
{
    char *sql =
        rl_sprintf("DROP TABLE events_%lld",
                   (long long)number_of(w->owner, "SELECT to_char(now(), 'YYYYMMDD')::bigint"));
    ck_assert_int_eq(run_sql(w->owner, sql, &err), RL_OK);
    free(sql);
    ck_assert_int_eq(rl_audit_check_partition(w->writer, rl_clock_wall_ns(), &err),
                     RL_E_PRECONDITION);
    Pb__Event *event = agent_event("session.start");
    ck_assert_int_eq(append(agent, &event, 1).code, RL_E_UNAVAILABLE);
    ck_assert_int_eq(rl_audit_make_partitions(w->owner, rl_clock_wall_ns(), &err), RL_OK);
    struct appended a = append(agent, &event, 1);
    ck_assert_int_eq(a.code, RL_OK);
    ck_assert_uint_eq(a.accepted, 1);
    rl_event_free(&event);
}
END_TEST

/* ---- many at once ---- */

#define CROWD 300

struct crowd {
    unsigned done, bad;
};

static void on_crowd_done(void *context, rl_code code, const char *message,
                          const ProtobufCMessage *reply)
{
    (void)message;
    (void)reply;
    struct crowd *crowd = context;
    crowd->done++;
    crowd->bad += code != RL_OK;
}

/* They wait while others write, and go into few transactions. */
START_TEST(many_at_once_are_all_written_into_one_chain)
{
    struct crowd crowd = {0};
    for (unsigned i = 0; i < CROWD; i++) {
        Pb__Event *events[] = {agent_event("session.resize"), agent_event("session.resize")};
        Pb__AppendRequest request = PB__APPEND_REQUEST__INIT;
        request.events = events;
        request.n_events = 2;
        rl_rpc_unary(agent, &pb__audit__descriptor, "Append", &request.base, 20000, on_crowd_done,
                     &crowd, NULL);
        rl_event_free(&events[0]);
        rl_event_free(&events[1]);
    }
    TURN_UNTIL(w, crowd.done == CROWD);
    ck_assert_uint_eq(crowd.bad, 0);
    ck_assert_int_eq(number_of(w->owner, "SELECT count(*) FROM events"), 2 * CROWD);
    ck_assert_int_eq(number_of(w->owner, "SELECT max(sequence) FROM events"), 2 * CROWD);
    ck_assert_int_eq(number_of(w->owner, "SELECT count(DISTINCT sequence) FROM events"), 2 * CROWD);
    ck_assert_int_eq(number_of(w->owner, "SELECT count(*) FROM events a JOIN events b"
                                         " ON b.sequence = a.sequence + 1"
                                         " AND b.prev_hash = a.hash"),
                     2 * CROWD - 1);
    ck_assert_int_lt(number_of(w->owner, "SELECT count(DISTINCT xmin::text) FROM events"), CROWD);
}
END_TEST

struct rival {
    const char *replica;
    struct rl_audit_entry entries[200];
    rl_code rc;
};

static void *insert_as_rival(void *context)
{
    struct rival *rival = context;
    rival->rc = rl_audit_insert(w->writer, rival->replica, rl_clock_wall_ns(), rival->entries,
                                RL_COUNT(rival->entries), NULL);
    return NULL;
}

/* A writer whose answer was lost sends again, to the other replica. */
START_TEST(two_replicas_with_the_same_events_take_each_once)
{
    static struct rival rivals[2] = {{.replica = REPLICA}, {.replica = REPLICA_2}};
    size_t count = RL_COUNT(rivals[0].entries), taken = 0;
    pthread_t threads[2];
    for (size_t i = 0; i < count; i++) {
        struct rl_audit_entry entry = {
            .event = agent_event("session.resize"), .sender_kind = "agent", .sender_id = AGENT_ID};
        rivals[0].entries[i] = entry;
        rivals[1].entries[count - 1 - i] = entry;
    }
    for (size_t i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, insert_as_rival, &rivals[i]), 0);
    for (size_t i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_int_eq(rivals[0].rc, RL_OK);
    ck_assert_int_eq(rivals[1].rc, RL_OK);
    for (size_t i = 0; i < count; i++)
        taken +=
            (size_t)!rivals[0].entries[i].is_repeated + (size_t)!rivals[1].entries[i].is_repeated;
    ck_assert_uint_eq(taken, count);
    ck_assert_int_eq(number_of(w->owner, "SELECT count(*) FROM events"), (int64_t)count);
    for (size_t i = 0; i < count; i++) {
        Pb__Event *event = (Pb__Event *)(uintptr_t)rivals[0].entries[i].event;
        rl_event_free(&event);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("append");
    TCase *tcase = tcase_create("append");
    tcase_add_unchecked_fixture(tcase, start, stop);
    tcase_add_checked_fixture(tcase, reset, NULL);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, an_agent_writes_about_its_own_session);
    tcase_add_test(tcase, services_write_over_grpc);
    tcase_add_test(tcase, the_same_uid_again_is_the_same_event);
    tcase_add_test(tcase, the_same_uid_another_day_is_the_same_event);
    tcase_add_test(tcase, a_batch_has_a_limit);
    tcase_add_test(tcase, a_batch_is_taken_whole_or_not_at_all);
    tcase_add_test(tcase, many_at_once_are_all_written_into_one_chain);
    tcase_add_test(tcase, two_replicas_with_the_same_events_take_each_once);
    tcase_add_test(tcase, users_do_not_write);
    tcase_add_test(tcase, agents_do_not_read);
    tcase_add_test(tcase, postgresql_lets_nobody_rewrite_as_the_writer);
    tcase_add_test(tcase, postgresql_lets_nobody_rewrite_a_partition);
    tcase_add_test(tcase, a_role_that_could_rewrite_is_not_admitted);
    tcase_add_test(tcase, a_wrong_clock_is_filed_under_the_receipt);
    tcase_add_test(tcase, the_database_may_go_and_come_back);
    tcase_add_test(tcase, a_missing_partition_loses_nothing);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK); /* gRPC core does not survive fork() */
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
