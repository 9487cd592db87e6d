#include "world.h"

#include "clock/clock.h"
#include "ledger/ledger.h"

#include <stdlib.h>
#include <string.h>

#define SECOND_NS INT64_C(1000000000)

static struct world *w;
static struct rl_rpc_channel *agent, *alice;
static struct found *found;
static struct rl_error err;
static int64_t base_ns;

static void start(void)
{
    w = world_create();
    agent = world_channel(w, OVER_H2, RL_IDENTITY_AGENT, AGENT_ID, NULL);
    alice = world_channel(w, OVER_H2, RL_IDENTITY_USER, "alice", NULL);
    found = rl_alloc(sizeof *found);
}

static void stop(void)
{
    free(found);
    rl_rpc_channel_free(&agent);
    rl_rpc_channel_free(&alice);
    world_free(&w);
}

static void reset(void)
{
    world_reset(w);
    base_ns = rl_clock_wall_ns() - 1000 * SECOND_NS;
}

/* After a test that failed in its middle, too. */
static void clear(void)
{
    if (found->call)
        rl_rpc_cancel(found->call);
    while (found->call)
        rl_loop_turn(w->loop, 20);
    found_clear(found);
}

/* `at_s` after base; `command` tells them apart. */
static Pb__Event *event_at(int at_s, const char *type, const char *user, const char *session)
{
    Pb__Event *event = agent_event(type);
    char command[16];
    snprintf(command, sizeof command, "%d", at_s);
    event->time_ns = base_ns + at_s * SECOND_NS;
    rl_event_set(&event->user, user);
    rl_event_set(&event->session_id, session);
    rl_event_set(&event->command, command);
    return event;
}

static void put(int at_s, const char *type, const char *user, const char *session)
{
    struct appended a = append_one(agent, event_at(at_s, type, user, session));
    ck_assert_msg(a.code == RL_OK, "%s", a.message);
}

static void put_many(int count)
{
    Pb__Event *events[RL_AUDIT_BATCH_MAX];
    for (int at = 0; at < count;) {
        size_t n = 0;
        while (n < RL_AUDIT_BATCH_MAX && at < count)
            events[n++] = event_at(at++, "session.resize", "alice", "many");
        ck_assert_int_eq(append(agent, events, n).code, RL_OK);
        while (n > 0)
            rl_event_free(&events[--n]);
    }
}

/* Their commands, joined. */
static const char *commands(void)
{
    static char text[1024];
    text[0] = '\0';
    for (size_t i = 0; i < found->count; i++) {
        strncat(text, i ? " " : "", sizeof text - strlen(text) - 1);
        strncat(text, found->events[i]->command, sizeof text - strlen(text) - 1);
    }
    return text;
}

static const char *look(const Pb__SearchRequest *request)
{
    found_clear(found);
    search(w, alice, request, found);
    ck_assert_msg(found->code == RL_OK, "%s", found->message);
    return commands();
}

START_TEST(finds_what_was_written_with_its_sender)
{
    put(1, "session.start", "alice", "s1");
    Pb__SearchRequest request = PB__SEARCH_REQUEST__INIT;
    ck_assert_str_eq(look(&request), "1");
    const Pb__Event *event = found->events[0];
    ck_assert_str_eq(event->type, "session.start");
    ck_assert_str_eq(event->sender_kind, "agent");
    ck_assert_str_eq(event->sender_id, AGENT_ID);
    ck_assert_int_gt(event->received_ns, event->time_ns);
    ck_assert(!event->clock_is_wrong);
    ck_assert_str_eq(w->decision.user, "alice");
    ck_assert_str_eq(w->decision.kind, "event");
    ck_assert_str_eq(w->decision.verb, "list");
}
END_TEST

START_TEST(a_sender_can_not_name_another)
{
    Pb__Event *event = event_at(1, "session.start", "alice", "s1");
    rl_event_set(&event->sender_kind, "auth");
    rl_event_set(&event->sender_id, OTHER_ID);
    event->received_ns = 1;
    ck_assert_int_eq(append_one(agent, event).code, RL_OK);
    Pb__SearchRequest request = PB__SEARCH_REQUEST__INIT;
    look(&request);
    ck_assert_str_eq(found->events[0]->sender_kind, "agent");
    ck_assert_str_eq(found->events[0]->sender_id, AGENT_ID);
    ck_assert_int_gt(found->events[0]->received_ns, base_ns);
}
END_TEST

START_TEST(orders_by_time_and_not_by_arrival)
{
    put(3, "session.end", "alice", "s1");
    put(1, "session.start", "alice", "s1");
    put(2, "session.command", "alice", "s1");
    Pb__SearchRequest request = PB__SEARCH_REQUEST__INIT;
    ck_assert_str_eq(look(&request), "1 2 3");
}
END_TEST

START_TEST(filters_by_time_type_user_and_session)
{
    put(1, "session.start", "alice", "s1");
    put(2, "session.start", "bob", "s2");
    put(3, "sftp", "alice", "s1");
    put(4, "session.end", "alice", "s1");
    put(5, "app.request", "bob", "s3");
    Pb__SearchRequest request = PB__SEARCH_REQUEST__INIT;
    request.user = (char *)(uintptr_t) "alice";
    ck_assert_str_eq(look(&request), "1 3 4");
    request.session_id = (char *)(uintptr_t) "s2";
    ck_assert_str_eq(look(&request), "");
    pb__search_request__init(&request);
    request.session_id = (char *)(uintptr_t) "s1";
    ck_assert_str_eq(look(&request), "1 3 4");
    pb__search_request__init(&request);
    request.from_ns = base_ns + 2 * SECOND_NS;
    request.to_ns = base_ns + 4 * SECOND_NS;
    ck_assert_str_eq(look(&request), "2 3 4");
    pb__search_request__init(&request);
    char *types[] = {(char *)(uintptr_t) "session.*", (char *)(uintptr_t) "sftp"};
    request.types = types;
    request.n_types = 1;
    ck_assert_str_eq(look(&request), "1 2 4");
    request.n_types = 2;
    ck_assert_str_eq(look(&request), "1 2 3 4");
    types[0] = (char *)(uintptr_t) "session.end";
    request.n_types = 1;
    ck_assert_str_eq(look(&request), "4");
}
END_TEST

START_TEST(gives_the_newest_oldest_first_and_says_that_there_are_more)
{
    put_many(5);
    Pb__SearchRequest request = PB__SEARCH_REQUEST__INIT;
    request.limit = 3;
    ck_assert_str_eq(look(&request), "2 3 4");
    ck_assert(found->more);
    request.limit = 5;
    ck_assert_str_eq(look(&request), "0 1 2 3 4");
    ck_assert(!found->more);
    request.limit = 6;
    ck_assert_str_eq(look(&request), "0 1 2 3 4");
    ck_assert(!found->more);
}
END_TEST

START_TEST(gives_a_thousand_unless_told_and_all_in_order)
{
    put_many(1001);
    Pb__SearchRequest request = PB__SEARCH_REQUEST__INIT;
    look(&request);
    ck_assert_uint_eq(found->count, 1000);
    ck_assert(found->more);
    ck_assert_str_eq(found->events[0]->command, "1");
    for (size_t i = 1; i < found->count; i++)
        ck_assert_int_lt(found->events[i - 1]->time_ns, found->events[i]->time_ns);
}
END_TEST

START_TEST(an_event_of_a_wrong_clock_is_found_at_its_receipt_and_marked)
{
    Pb__Event *event = event_at(1, "session.start", "alice", "s1");
    event->time_ns = 5;
    ck_assert_int_eq(append_one(agent, event).code, RL_OK);
    Pb__SearchRequest request = PB__SEARCH_REQUEST__INIT;
    request.from_ns = base_ns;
    look(&request);
    ck_assert_uint_eq(found->count, 1);
    ck_assert(found->events[0]->clock_is_wrong);
    ck_assert_int_eq(found->events[0]->time_ns, 5);
}
END_TEST

START_TEST(who_may_see_only_the_own_sees_only_the_own)
{
    put(1, "session.start", "alice", "s1");
    put(2, "session.start", "bob", "s2");
    Pb__Event *namesake = event_at(3, "session.start", "alice", "s3");
    rl_event_set(&namesake->user_cluster, "other.example.com");
    ck_assert_int_eq(append_one(agent, namesake).code, RL_OK);
    w->decision.own_only = true;
    Pb__SearchRequest request = PB__SEARCH_REQUEST__INIT;
    ck_assert_str_eq(look(&request), "1");
    request.user = (char *)(uintptr_t) "bob";
    ck_assert_str_eq(look(&request), "");
}
END_TEST

START_TEST(a_roots_user_sees_what_auth_says_and_of_the_own_that_of_the_own_cluster)
{
    struct rl_rpc_channel *theirs = world_root_channel(w, "alice");
    put(1, "session.start", "alice", "s1"); /* ours */
    Pb__Event *event = event_at(2, "session.start", "alice", "s2");
    rl_event_set(&event->user_cluster, ROOT);
    ck_assert_int_eq(append_one(agent, event).code, RL_OK);
    Pb__SearchRequest request = PB__SEARCH_REQUEST__INIT;
    w->decision.own_only = true;
    search(w, theirs, &request, found);
    ck_assert_msg(found->code == RL_OK, "%s", found->message);
    ck_assert_str_eq(w->decision.cluster, ROOT);
    ck_assert_uint_eq(found->count, 1);
    ck_assert_str_eq(found->events[0]->session_id, "s2");
    found_clear(found);
    w->decision.own_only = false;
    search(w, theirs, &request, found);
    ck_assert_uint_eq(found->count, 2);
    found_clear(found);
    w->decision.is_allowed = false;
    search(w, theirs, &request, found);
    ck_assert_int_eq(found->code, RL_E_DENIED);
    rl_rpc_channel_free(&theirs);
}
END_TEST

START_TEST(a_search_that_follows_ends_when_the_root_is_trusted_no_more)
{
    struct rl_rpc_channel *theirs = world_root_channel(w, "alice");
    struct rl_trust *without = rl_trust_create(CLUSTER);
    Pb__SearchRequest request = PB__SEARCH_REQUEST__INIT;
    request.follow = true;
    put(1, "session.start", "alice", "s1");
    search_start(theirs, &request, found);
    TURN_UNTIL(w, found->count == 1);
    ck_assert_uint_eq(rl_rpc_server_end_strangers(w->h2, w->trust, "gone"), 0);
    ck_assert_uint_eq(rl_rpc_server_end_strangers(w->h2, without, "gone"), 1);
    TURN_UNTIL(w, found->is_over);
    ck_assert_int_ne(found->code, RL_OK);
    rl_trust_unref(&without);
    rl_rpc_channel_free(&theirs);
}
END_TEST

START_TEST(a_roots_user_writes_nothing)
{
    struct rl_rpc_channel *theirs = world_root_channel(w, "alice");
    struct appended appended = append_one(theirs, agent_event("session.start"));
    ck_assert_int_eq(appended.code, RL_E_DENIED);
    rl_rpc_channel_free(&theirs);
}
END_TEST

START_TEST(who_may_not_see_is_told_why)
{
    w->decision.is_allowed = false;
    Pb__SearchRequest request = PB__SEARCH_REQUEST__INIT;
    search(w, alice, &request, found);
    ck_assert_int_eq(found->code, RL_E_DENIED);
    ck_assert_str_eq(found->message, "no role of yours allows it");
}
END_TEST

START_TEST(nobody_sees_without_a_decision)
{
    Pb__SearchRequest request = PB__SEARCH_REQUEST__INIT;
    put(1, "session.start", "alice", "s1");
    w->decision.is_broken = true;
    search(w, alice, &request, found);
    ck_assert_int_eq(found->code, RL_E_UNAVAILABLE);
    ck_assert_uint_eq(found->count, 0);
    w->auth_is_unknown = true;
    search(w, alice, &request, found);
    ck_assert_int_eq(found->code, RL_E_UNAVAILABLE);
    ck_assert_uint_eq(found->count, 0);
}
END_TEST

START_TEST(auth_searches_without_being_asked)
{
    struct rl_rpc_channel *auth =
        world_channel(w, OVER_GRPC, RL_IDENTITY_SERVICE, OTHER_ID, "auth");
    put(1, "session.start", "alice", "s1");
    Pb__SearchRequest request = PB__SEARCH_REQUEST__INIT;
    search(w, auth, &request, found);
    ck_assert_msg(found->code == RL_OK, "%s", found->message);
    ck_assert_uint_eq(found->count, 1);
    ck_assert_uint_eq(w->decision.asked, 0);
    rl_rpc_channel_free(&auth);
}
END_TEST

static void refused(const Pb__SearchRequest *request)
{
    search(w, alice, request, found);
    ck_assert_int_eq(found->code, RL_E_INVAL);
}

START_TEST(refuses_what_can_not_be_searched_for)
{
    char *types[65], longer[300];
    Pb__SearchRequest request = PB__SEARCH_REQUEST__INIT;
    for (size_t i = 0; i < RL_COUNT(types); i++)
        types[i] = (char *)(uintptr_t) "sftp";
    request.types = types;
    request.n_types = 65;
    refused(&request);
    request.n_types = 64;
    look(&request);
    types[0] = (char *)(uintptr_t) "session.nonsense";
    refused(&request);
    pb__search_request__init(&request);
    request.from_ns = 10;
    request.to_ns = 9;
    refused(&request);
    pb__search_request__init(&request);
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    request.user = longer;
    refused(&request);
    request.user = (char *)(uintptr_t) "\xff";
    refused(&request);
    pb__search_request__init(&request);
    request.follow = true;
    request.to_ns = 5;
    refused(&request);
}
END_TEST

/* ---- following ---- */

static void follow(const char *user)
{
    Pb__SearchRequest request = PB__SEARCH_REQUEST__INIT;
    request.follow = true;
    request.user = (char *)(uintptr_t)user;
    search_start(alice, &request, found);
}

static void stop_following(void)
{
    rl_rpc_cancel(found->call);
    TURN_UNTIL(w, found->is_over);
}

/* As another replica would, in its own chain. */
static void insert_as(const char *replica, int at_s)
{
    Pb__Event *event = event_at(at_s, "session.start", "alice", "s1");
    struct rl_audit_entry entry = {.event = event, .sender_kind = "agent", .sender_id = AGENT_ID};
    ck_assert_int_eq(rl_audit_insert(w->writer, replica, rl_clock_wall_ns(), &entry, 1, &err),
                     RL_OK);
    rl_event_free(&event);
}

START_TEST(following_gives_what_was_and_then_what_comes_each_once)
{
    put(1, "session.start", "alice", "s1");
    put(2, "session.end", "alice", "s1");
    follow("");
    TURN_UNTIL(w, found->count == 2);
    put(5, "session.start", "alice", "s2");
    put(3, "session.start", "alice", "s3"); /* late: comes all the same */
    TURN_UNTIL(w, found->count == 4);
    put_many(300);
    TURN_UNTIL(w, found->count == 304);
    insert_as(REPLICA, 400);
    TURN_UNTIL(w, found->count == 305);
    for (size_t i = 0; i < found->count; i++)
        for (size_t j = 0; j < i; j++)
            ck_assert_str_ne(found->events[i]->uid, found->events[j]->uid);
    stop_following();
}
END_TEST

START_TEST(following_is_there_within_a_second)
{
    follow("");
    put(1, "session.start", "alice", "s1");
    TURN_UNTIL(w, found->count == 1);
    put(2, "session.end", "alice", "s1");
    uint64_t before_ms = rl_clock_boot_ms();
    TURN_UNTIL(w, found->count == 2);
    ck_assert_uint_lt(rl_clock_boot_ms() - before_ms, 2000);
    stop_following();
}
END_TEST

START_TEST(following_sees_every_replica_and_only_what_was_asked_for)
{
    ck_assert_int_eq(rl_audit_register_replica(w->writer, REPLICA_2, 1, &err), RL_OK);
    put(1, "session.start", "bob", "s1");
    insert_as(REPLICA_2, 2);
    follow("alice");
    TURN_UNTIL(w, found->count == 1);
    put(3, "session.start", "bob", "s1");
    insert_as(REPLICA, 4);
    insert_as(REPLICA_2, 5);
    TURN_UNTIL(w, found->count == 3);
    ck_assert_str_eq(commands(), "2 4 5");
    stop_following();
}
END_TEST

START_TEST(following_goes_on_when_the_database_was_away)
{
    put(1, "session.start", "alice", "s1");
    follow("");
    TURN_UNTIL(w, found->count == 1);
    rl_testpg_stop(w->pg);
    rl_testpg_start(w->pg);
    insert_as(REPLICA, 2);
    TURN_UNTIL(w, found->count == 2);
    ck_assert(!found->is_over);
    stop_following();
}
END_TEST

/* What is written between the look at the chains and the pages belongs to the news, not to both. */
START_TEST(pages_and_news_share_nothing)
{
    struct rl_audit_filter filter = {.from_ns = base_ns, .to_ns = INT64_MAX};
    struct rl_audit_heads heads = {0};
    struct rl_audit_place place;
    struct rl_audit_page page = {.count = 0};
    bool more = false;
    ck_assert_int_eq(rl_audit_register_replica(w->writer, REPLICA_2, 1, &err), RL_OK);
    insert_as(REPLICA, 1);
    ck_assert_int_eq(rl_audit_read_heads(w->writer, rl_clock_wall_ns(), &heads, &err), RL_OK);
    insert_as(REPLICA, 2);
    insert_as(REPLICA_2, 3); /* a chain that had not begun */
    ck_assert_int_eq(rl_audit_find_start(w->writer, &filter, 100, &place, &more, &err), RL_OK);
    ck_assert_int_eq(rl_audit_read_page(w->writer, &filter, &heads, &place, &page, &err), RL_OK);
    ck_assert_uint_eq(page.count, 1);
    ck_assert_str_eq(page.events[0]->command, "1");
    ck_assert_int_eq(
        rl_audit_read_news(w->writer, &filter, rl_clock_wall_ns(), &heads, &page, &more, &err),
        RL_OK);
    ck_assert_uint_eq(page.count, 2);
    ck_assert_str_eq(page.events[0]->command, "2");
    ck_assert_str_eq(page.events[1]->command, "3");
    ck_assert_int_eq(
        rl_audit_read_news(w->writer, &filter, rl_clock_wall_ns(), &heads, &page, &more, &err),
        RL_OK);
    ck_assert_uint_eq(page.count, 0);
    rl_audit_heads_fini(&heads);
}
END_TEST

START_TEST(a_follower_loses_its_right)
{
    put(1, "session.start", "alice", "s1");
    follow("");
    TURN_UNTIL(w, found->count == 1);
    ck_assert_uint_eq(w->decision.asked, 1);
    w->decision.is_allowed = false;
    TURN_UNTIL(w, found->is_over);
    ck_assert_int_eq(found->code, RL_E_DENIED);
    ck_assert_uint_eq(w->decision.asked, 2);
}
END_TEST

START_TEST(a_follower_is_asked_for_again_when_a_lock_comes)
{
    put(1, "session.start", "alice", "s1");
    follow("");
    TURN_UNTIL(w, found->count == 1);
    uint64_t began_ms = rl_clock_boot_ms();
    w->decision.is_allowed = false;
    rl_audit_stops_changed(w->audit);
    TURN_UNTIL(w, found->is_over);
    ck_assert_int_eq(found->code, RL_E_DENIED);
    ck_assert_uint_lt(rl_clock_boot_ms() - began_ms, DECIDE_AGAIN_MS);
}
END_TEST

START_TEST(a_follower_goes_on_while_auth_is_away_with_what_it_was_allowed)
{
    put(1, "session.start", "alice", "s1");
    w->decision.own_only = true;
    follow("");
    TURN_UNTIL(w, found->count == 1);
    w->auth_is_unknown = true;
    uint64_t until_ms = rl_clock_boot_ms() + 2 * DECIDE_AGAIN_MS;
    while (rl_clock_boot_ms() < until_ms)
        rl_loop_turn(w->loop, 20);
    put(2, "session.start", "bob", "s2");
    put(3, "session.end", "alice", "s1");
    TURN_UNTIL(w, found->count == 2);
    ck_assert_str_eq(commands(), "1 3");
    stop_following();
}
END_TEST

/* ---- much ---- */

static Pb__Event *large_event(int at_s)
{
    static char text[RL_EVENT_TEXT_BYTES_MAX + 1];
    memset(text, 'x', sizeof text - 1);
    Pb__Event *event = event_at(at_s, "session.command", "alice", "large");
    char **fields[] = {&event->reason,         &event->resource_name, &event->login,
                       &event->client_address, &event->peer_address,  &event->root_session_id,
                       &event->signal};
    for (size_t i = 0; i < RL_COUNT(fields); i++)
        rl_event_set(fields[i], text);
    return event;
}

/* More than waits to be sent at once: the rest is read when there is room. */
START_TEST(an_answer_may_be_larger_than_what_waits_to_be_sent)
{
    for (int at = 0; at < 600; at += 50) {
        Pb__Event *events[50];
        for (int i = 0; i < 50; i++)
            events[i] = large_event(at + i);
        ck_assert_int_eq(append(agent, events, 50).code, RL_OK);
        for (int i = 0; i < 50; i++)
            rl_event_free(&events[i]);
    }
    Pb__SearchRequest request = PB__SEARCH_REQUEST__INIT;
    request.session_id = (char *)(uintptr_t) "large";
    search_start(alice, &request, found);
    rl_rpc_pause(found->call);
    for (int i = 0; i < 100; i++)
        rl_loop_turn(w->loop, 5);
    rl_rpc_resume(found->call);
    TURN_UNTIL(w, found->is_over);
    ck_assert_msg(found->code == RL_OK, "%s", found->message);
    ck_assert_uint_eq(found->count, 600);
}
END_TEST

/* ---- the chain ---- */

static rl_code check_chain(struct rl_db *db, void *context, struct rl_error *e)
{
    struct rl_rows *rows = NULL;
    uint8_t before[RL_LEDGER_HASH_BYTES] = {0}, hash[RL_LEDGER_HASH_BYTES];
    rl_code rc = rl_query(db, &rows, e,
                          "SELECT sequence, prev_hash, hash, packed FROM events"
                          " WHERE replica = $1::uuid ORDER BY sequence",
                          rl_param_text(context));
    if (rc != RL_OK)
        return rc;
    ck_assert_uint_gt(rl_rows_count(rows), 0);
    for (size_t i = 0; i < rl_rows_count(rows); i++) {
        ck_assert_int_eq(rl_row_int(rows, i, 0), (int64_t)i + 1);
        ck_assert(rl_span_equal(rl_row_bytes(rows, i, 1), RL_SPAN(before, sizeof before)));
        rl_ledger_hash(before, context, (int64_t)i + 1, rl_row_bytes(rows, i, 3), hash);
        ck_assert(rl_span_equal(rl_row_bytes(rows, i, 2), RL_SPAN(hash, sizeof hash)));
        memcpy(before, hash, sizeof hash);
    }
    rl_rows_free(&rows);
    return RL_OK;
}

START_TEST(each_replica_chains_what_it_takes)
{
    put(1, "session.start", "alice", "s1");
    put_many(300);
    insert_as(REPLICA_2, 2);
    put(2, "session.end", "alice", "s1");
    insert_as(REPLICA_2, 3);
    ck_assert_int_eq(rl_store_transaction(w->writer, check_chain, (void *)(uintptr_t)REPLICA, &err),
                     RL_OK);
    ck_assert_int_eq(
        rl_store_transaction(w->writer, check_chain, (void *)(uintptr_t)REPLICA_2, &err), RL_OK);
}
END_TEST

/* Numbers and receipts go up together, whatever the wall clock does: followers rely on it. */
START_TEST(a_chain_never_goes_back_in_time)
{
    Pb__Event *event = event_at(1, "session.start", "alice", "s1");
    Pb__Event *later = event_at(2, "session.end", "alice", "s1");
    struct rl_audit_entry entry = {.event = event, .sender_kind = "agent", .sender_id = AGENT_ID};
    int64_t now_ns = rl_clock_wall_ns();
    ck_assert_int_eq(rl_audit_insert(w->writer, REPLICA, now_ns, &entry, 1, &err), RL_OK);
    entry.event = later;
    ck_assert_int_eq(rl_audit_insert(w->writer, REPLICA, now_ns - 60 * SECOND_NS, &entry, 1, &err),
                     RL_OK);
    ck_assert_int_eq(number_of(w->owner, "SELECT max(received_ns) - min(received_ns) FROM events"),
                     0);
    rl_event_free(&event);
    rl_event_free(&later);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("search");
    TCase *tcase = tcase_create("search");
    tcase_add_unchecked_fixture(tcase, start, stop);
    tcase_add_checked_fixture(tcase, reset, clear);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, finds_what_was_written_with_its_sender);
    tcase_add_test(tcase, a_sender_can_not_name_another);
    tcase_add_test(tcase, orders_by_time_and_not_by_arrival);
    tcase_add_test(tcase, filters_by_time_type_user_and_session);
    tcase_add_test(tcase, gives_the_newest_oldest_first_and_says_that_there_are_more);
    tcase_add_test(tcase, gives_a_thousand_unless_told_and_all_in_order);
    tcase_add_test(tcase, an_event_of_a_wrong_clock_is_found_at_its_receipt_and_marked);
    tcase_add_test(tcase, who_may_see_only_the_own_sees_only_the_own);
    tcase_add_test(tcase, a_roots_user_sees_what_auth_says_and_of_the_own_that_of_the_own_cluster);
    tcase_add_test(tcase, a_search_that_follows_ends_when_the_root_is_trusted_no_more);
    tcase_add_test(tcase, a_roots_user_writes_nothing);
    tcase_add_test(tcase, who_may_not_see_is_told_why);
    tcase_add_test(tcase, nobody_sees_without_a_decision);
    tcase_add_test(tcase, auth_searches_without_being_asked);
    tcase_add_test(tcase, refuses_what_can_not_be_searched_for);
    tcase_add_test(tcase, following_gives_what_was_and_then_what_comes_each_once);
    tcase_add_test(tcase, following_is_there_within_a_second);
    tcase_add_test(tcase, following_sees_every_replica_and_only_what_was_asked_for);
    tcase_add_test(tcase, following_goes_on_when_the_database_was_away);
    tcase_add_test(tcase, a_follower_loses_its_right);
    tcase_add_test(tcase, a_follower_is_asked_for_again_when_a_lock_comes);
    tcase_add_test(tcase, a_follower_goes_on_while_auth_is_away_with_what_it_was_allowed);
    tcase_add_test(tcase, pages_and_news_share_nothing);
    tcase_add_test(tcase, an_answer_may_be_larger_than_what_waits_to_be_sent);
    tcase_add_test(tcase, each_replica_chains_what_it_takes);
    tcase_add_test(tcase, a_chain_never_goes_back_in_time);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK); /* gRPC core does not survive fork() */
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
