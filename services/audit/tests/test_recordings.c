#include "world.h"

#include "clock/clock.h"
#include "db/recordings.h"
#include "recording/recording.h"

#include <stdlib.h>
#include <string.h>

#define SESSION "0190c0de-0000-4000-8000-0000000000c1"
#define SESSION_2 "0190c0de-0000-4000-8000-0000000000c2"
#define SECOND_NS INT64_C(1000000000)

static struct world *w;
static struct rl_rpc_channel *agent, *other, *alice;
static struct rl_error err;
static char message[RL_ERROR_MESSAGE_BYTES];

static void start(void)
{
    w = world_create();
    agent = world_channel(w, OVER_H2, RL_IDENTITY_AGENT, AGENT_ID, NULL);
    other = world_channel(w, OVER_H2, RL_IDENTITY_AGENT, OTHER_ID, NULL);
    alice = world_channel(w, OVER_H2, RL_IDENTITY_USER, "alice", NULL);
}

static void stop(void)
{
    rl_rpc_channel_free(&agent);
    rl_rpc_channel_free(&other);
    rl_rpc_channel_free(&alice);
    world_free(&w);
}

static void reset(void)
{
    world_reset(w);
}

/* ---- parts ---- */

static char session_1[] = SESSION, cluster[] = CLUSTER, agent_id[] = AGENT_ID, user[] = "alice";
static char best_effort[] = "best_effort", node_name[] = "node-a", root_login[] = "root";

static Pb__RecordingStart a_start(void)
{
    Pb__RecordingStart s = PB__RECORDING_START__INIT;
    s.mode = best_effort;
    s.interactive = true;
    s.started_ns = rl_clock_wall_ns();
    s.user = user;
    s.user_cluster = cluster;
    s.cluster = cluster;
    s.login = root_login;
    s.node_id = agent_id;
    s.node_name = node_name;
    return s;
}

/* A part that shows `text`; its frame is in `frame`. */
static Pb__RecordingPart a_part(uint32_t number, const char *text, struct rl_buf *frame)
{
    Pb__RecordingPart p = PB__RECORDING_PART__INIT;
    p.session_id = session_1;
    p.part = number;
    rl_buf_init(frame, RL_RECORDING_PART_BYTES_MAX);
    if (text) {
        struct rl_recording_encoder *e = rl_recording_encoder_create();
        rl_recording_add_output(e, number, rl_span_of(text));
        rl_recording_encoder_finish(e, frame);
        rl_recording_encoder_free(&e);
        p.data.data = frame->p;
        p.data.len = frame->n;
    }
    return p;
}

struct written {
    rl_code code;
    uint32_t accepted, repeated;
};

static struct written write_request(struct rl_rpc_channel *channel,
                                    const Pb__WriteRecordingRequest *request)
{
    ProtobufCMessage *reply = NULL;
    struct written out = {0};
    out.code = rl_rpc_unary_wait(channel, &pb__audit__descriptor, "WriteRecording", &request->base,
                                 20000, &reply, &err);
    snprintf(message, sizeof message, "%s", out.code == RL_OK ? "" : err.message);
    if (out.code == RL_OK) {
        out.accepted = ((Pb__WriteRecordingResponse *)reply)->accepted;
        out.repeated = ((Pb__WriteRecordingResponse *)reply)->repeated_parts;
        protobuf_c_message_free_unpacked(reply, NULL);
    }
    return out;
}

static struct written write_parts(struct rl_rpc_channel *channel, Pb__RecordingPart *parts,
                                  size_t n)
{
    Pb__RecordingPart *list[RL_AUDIT_RECORDING_PARTS_MAX + 1];
    Pb__WriteRecordingRequest request = PB__WRITE_RECORDING_REQUEST__INIT;
    for (size_t i = 0; i < n; i++)
        list[i] = &parts[i];
    request.parts = list;
    request.n_parts = n;
    return write_request(channel, &request);
}

static rl_code write_one(struct rl_rpc_channel *channel, Pb__RecordingPart part)
{
    return write_parts(channel, &part, 1).code;
}

static void begin_session(void)
{
    struct rl_buf frame;
    Pb__RecordingStart s = a_start();
    Pb__RecordingPart p = a_part(0, NULL, &frame);
    p.start = &s;
    ck_assert_msg(write_one(agent, p) == RL_OK, "%s", message);
}

static void show(uint32_t number, const char *text)
{
    struct rl_buf frame;
    Pb__RecordingPart p = a_part(number, text, &frame);
    ck_assert_msg(write_one(agent, p) == RL_OK, "%s", message);
    rl_buf_fini(&frame);
}

static void end_session(uint32_t number)
{
    struct rl_buf frame;
    Pb__RecordingEnd e = PB__RECORDING_END__INIT;
    Pb__RecordingPart p = a_part(number, NULL, &frame);
    e.ended_ns = rl_clock_wall_ns();
    e.has_exit_code = true;
    p.end = &e;
    ck_assert_msg(write_one(agent, p) == RL_OK, "%s", message);
}

/* ---- reading ---- */

struct played {
    struct rl_rpc_call *call;
    bool is_over, is_announced;
    rl_code code;
    char message[RL_ERROR_MESSAGE_BYTES], status[16];
    uint32_t parts[4096];
    size_t count, bytes;
};

static void on_play(struct rl_rpc_call *call, const ProtobufCMessage *said, void *context)
{
    (void)call;
    struct played *p = context;
    const Pb__PlayResponse *r = (const Pb__PlayResponse *)said;
    if (r->recording) {
        p->is_announced = true;
        snprintf(p->status, sizeof p->status, "%s", r->recording->status);
        return;
    }
    Pb__RecordingPart *part = pb__recording_part__unpack(NULL, r->part.len, r->part.data);
    ck_assert_ptr_nonnull(part);
    ck_assert_uint_lt(p->count, RL_COUNT(p->parts));
    p->parts[p->count++] = part->part;
    p->bytes += part->data.len;
    pb__recording_part__free_unpacked(part, NULL);
}

static void on_closed(struct rl_rpc_call *call, rl_code code, const char *text, void *context)
{
    (void)call;
    struct played *p = context;
    p->is_over = true;
    p->code = code;
    snprintf(p->message, sizeof p->message, "%s", text);
}

static struct played played;

static void play_start(struct rl_rpc_channel *channel, const char *session, bool follow)
{
    static const struct rl_rpc_stream_ops ops = {.message = on_play, .closed = on_closed};
    Pb__PlayRequest request = PB__PLAY_REQUEST__INIT;
    memset(&played, 0, sizeof played);
    request.session_id = (char *)(uintptr_t)session;
    request.follow = follow;
    played.call = rl_rpc_stream(channel, &pb__audit__descriptor, "Play", 0, &ops, &played);
    ck_assert_int_eq(rl_rpc_send(played.call, &request.base, &err), RL_OK);
    rl_rpc_end(played.call, RL_OK, NULL);
}

static void play(struct rl_rpc_channel *channel, const char *session)
{
    play_start(channel, session, false);
    TURN_UNTIL(w, played.is_over);
}

static int64_t count_of(const char *sql)
{
    return number_of(w->owner, sql);
}

static void expect_parts(size_t n, const uint32_t *parts)
{
    play(alice, SESSION);
    ck_assert_msg(played.code == RL_OK, "%s", played.message);
    ck_assert_uint_eq(played.count, n);
    for (size_t i = 0; i < n; i++)
        ck_assert_uint_eq(played.parts[i], parts[i]);
}

/* ---- what good nodes do ---- */

START_TEST(parts_are_played_as_they_came)
{
    begin_session();
    show(1, "hello");
    end_session(2);
    expect_parts(3, (uint32_t[]){0, 1, 2});
    ck_assert_str_eq(played.status, "complete");
    ck_assert_int_eq(count_of("SELECT count(*) FROM events WHERE type = 'session.playback'"), 1);
}
END_TEST

START_TEST(a_part_again_is_the_same_part)
{
    begin_session();
    struct rl_buf frame;
    Pb__RecordingPart twice[2];
    twice[0] = twice[1] = a_part(1, "once", &frame);
    struct written out = write_parts(agent, twice, 2);
    ck_assert_int_eq(out.code, RL_OK);
    ck_assert_uint_eq(out.accepted, 1);
    ck_assert_uint_eq(out.repeated, 1);
    ck_assert_uint_eq(write_parts(agent, twice, 1).repeated, 1);
    ck_assert_int_eq(count_of("SELECT count(*) FROM recording_parts"), 2);
    rl_buf_fini(&frame);
}
END_TEST

START_TEST(another_part_under_the_same_number_is_refused_and_the_first_stays)
{
    struct rl_buf frame;
    begin_session();
    show(1, "first");
    Pb__RecordingPart p = a_part(1, "second", &frame);
    ck_assert_int_eq(write_one(agent, p), RL_E_EXISTS);
    rl_buf_fini(&frame);
    /* nor can a session be recorded over by beginning it again */
    Pb__RecordingStart s = a_start();
    p = a_part(0, NULL, &frame);
    s.started_ns += SECOND_NS;
    p.start = &s;
    ck_assert_int_eq(write_one(agent, p), RL_E_EXISTS);
    ck_assert_int_eq(count_of("SELECT count(*) FROM recording_parts"), 2);
}
END_TEST

START_TEST(parts_in_another_order_are_played_in_theirs)
{
    begin_session();
    end_session(3);
    show(2, "c");
    show(1, "b");
    expect_parts(4, (uint32_t[]){0, 1, 2, 3});
    ck_assert_str_eq(played.status, "complete");
}
END_TEST

START_TEST(a_missing_part_makes_it_partial_and_the_rest_is_played)
{
    begin_session();
    show(1, "b");
    end_session(3);
    expect_parts(3, (uint32_t[]){0, 1, 3});
    ck_assert_str_eq(played.status, "partial");
}
END_TEST

START_TEST(a_recording_is_live_until_its_node_is_not_heard_of)
{
    begin_session();
    show(1, "b");
    play(alice, SESSION);
    ck_assert_str_eq(played.status, "live");
    size_t closed = 7;
    ck_assert_int_eq(
        rl_audit_close_recordings(w->writer, REPLICA, CLUSTER, rl_clock_wall_ns(), &closed, &err),
        RL_OK);
    ck_assert_uint_eq(closed, 0);
    int64_t later_ns = rl_clock_wall_ns() + RL_AUDIT_RECORDING_LEASE_NS + SECOND_NS;
    ck_assert_int_eq(
        rl_audit_close_recordings(w->writer, REPLICA, CLUSTER, later_ns, &closed, &err), RL_OK);
    ck_assert_uint_eq(closed, 1);
    play(alice, SESSION);
    ck_assert_str_eq(played.status, "partial");
    ck_assert_int_eq(count_of("SELECT count(*) FROM events WHERE type = 'session.upload'"), 1);
    /* what its node had kept is taken all the same, and closes it anew */
    show(2, "late");
    end_session(3);
    ck_assert_int_eq(
        rl_audit_close_recordings(w->writer, REPLICA, CLUSTER, later_ns, &closed, &err), RL_OK);
    ck_assert_uint_eq(closed, 1);
    expect_parts(4, (uint32_t[]){0, 1, 2, 3});
    ck_assert_str_eq(played.status, "complete");
}
END_TEST

static void say_live(struct rl_rpc_channel *channel)
{
    Pb__WriteRecordingRequest request = PB__WRITE_RECORDING_REQUEST__INIT;
    Pb__RecordingId id = PB__RECORDING_ID__INIT, *ids[] = {&id};
    id.session_id = session_1;
    request.live = ids;
    request.n_live = 1;
    ck_assert_int_eq(write_request(channel, &request).code, RL_OK);
}

START_TEST(a_silent_session_lives_while_its_own_node_says_so)
{
    begin_session();
    static const char forget[] = "DELETE FROM recording_leases";
    ck_assert_int_eq(run_sql(w->owner, forget, &err), RL_OK);
    say_live(other);
    ck_assert_int_eq(count_of("SELECT count(*) FROM recording_leases"), 0);
    say_live(agent);
    ck_assert_int_eq(count_of("SELECT count(*) FROM recording_leases"), 1);
    end_session(1);
    ck_assert_int_eq(run_sql(w->owner, forget, &err), RL_OK);
    say_live(agent); /* too late */
    ck_assert_int_eq(count_of("SELECT count(*) FROM recording_leases"), 0);
}
END_TEST

START_TEST(closing_hashes_what_is_there)
{
    size_t closed = 0;
    begin_session();
    end_session(1);
    ck_assert_int_eq(
        rl_audit_close_recordings(w->writer, REPLICA, CLUSTER, rl_clock_wall_ns(), &closed, &err),
        RL_OK);
    ck_assert_uint_eq(closed, 1);
    ck_assert_int_eq(
        count_of("SELECT count(*) FROM events e, (SELECT encode(sha256(string_agg(sha256(packed),"
                 " ''::bytea ORDER BY part)), 'hex') AS h FROM recording_parts) p"
                 " WHERE e.type = 'session.upload'"
                 " AND position(convert_to(p.h, 'UTF8') IN e.packed) > 0"),
        1);
}
END_TEST

START_TEST(many_parts_are_played_without_being_held)
{
    Pb__RecordingPart parts[RL_AUDIT_RECORDING_PARTS_MAX];
    struct rl_buf frame;
    static char text[60000];
    uint32_t x = 1;
    for (size_t i = 0; i < sizeof text - 1; i++) {
        x = x * 1664525u + 1013904223u;
        text[i] = (char)('!' + (x >> 24) % 90);
    }
    begin_session();
    Pb__RecordingPart p = a_part(1, text, &frame);
    for (uint32_t number = 1; number < 640;) {
        size_t n = 0;
        for (; n < RL_COUNT(parts) / 2; n++) {
            parts[n] = p;
            parts[n].part = number++;
        }
        ck_assert_int_eq(write_parts(agent, parts, n).code, RL_OK);
    }
    end_session(641);
    play(alice, SESSION);
    ck_assert_uint_eq(played.count, 642);
    ck_assert_uint_eq(played.bytes, 640 * frame.n);
    rl_buf_fini(&frame);
}
END_TEST

/* ---- what bad ones try ---- */

START_TEST(another_nodes_session_is_not_written_to)
{
    struct rl_buf frame;
    begin_session();
    Pb__RecordingPart p = a_part(1, "forged", &frame);
    ck_assert_int_eq(write_one(other, p), RL_E_DENIED);
    rl_buf_fini(&frame);
    /* nor one of its other channels, as the own node's */
    Pb__RecordingStart s = a_start();
    static char other_id[] = OTHER_ID;
    s.node_id = other_id;
    Pb__RecordingPart first = a_part(0, NULL, &frame);
    first.channel = 1;
    first.start = &s;
    ck_assert_int_eq(write_one(other, first), RL_E_DENIED);
    /* nor in another's name */
    s.node_id = agent_id;
    static char session_2[] = SESSION_2;
    first.session_id = session_2;
    ck_assert_int_eq(write_one(other, first), RL_E_DENIED);
    ck_assert_int_eq(count_of("SELECT count(*) FROM recording_parts"), 1);
}
END_TEST

START_TEST(a_part_before_the_first_is_refused)
{
    struct rl_buf frame;
    Pb__RecordingPart p = a_part(4, "lost", &frame);
    ck_assert_int_eq(write_one(agent, p), RL_E_PRECONDITION);
    rl_buf_fini(&frame);
}
END_TEST

START_TEST(what_is_no_part_is_refused)
{
    struct rl_buf frame;
    Pb__RecordingStart s = a_start();
    Pb__RecordingPart good = a_part(1, "good", &frame);
    static char nonsense[] = "nonsense", always[] = "always", foreign[] = "other.example.com";
    begin_session();
    Pb__RecordingPart p = good;
    p.session_id = nonsense;
    ck_assert_int_eq(write_one(agent, p), RL_E_INVAL);
    p = good;
    p.part = RL_RECORDING_PARTS_MAX;
    ck_assert_int_eq(write_one(agent, p), RL_E_INVAL);
    p = good;
    p.start = &s; /* but it is not the first */
    ck_assert_int_eq(write_one(agent, p), RL_E_INVAL);
    p = good;
    p.part = 0; /* but it has no start */
    ck_assert_int_eq(write_one(agent, p), RL_E_INVAL);
    p = good;
    p.data.len--; /* corrupt: half a frame */
    ck_assert_int_eq(write_one(agent, p), RL_E_INVAL);
    uint8_t *big = rl_alloc(RL_RECORDING_PART_BYTES_MAX + 1);
    p.data.data = big;
    p.data.len = RL_RECORDING_PART_BYTES_MAX + 1;
    ck_assert_int_eq(write_one(agent, p), RL_E_INVAL);
    free(big);
    p = good;
    p.part = 0;
    p.start = &s;
    s.mode = always;
    ck_assert_int_eq(write_one(agent, p), RL_E_INVAL);
    s = a_start();
    s.cluster = foreign;
    ck_assert_int_eq(write_one(agent, p), RL_E_DENIED);
    ck_assert_int_eq(count_of("SELECT count(*) FROM recording_parts"), 1);
    rl_buf_fini(&frame);
}
END_TEST

START_TEST(too_many_at_once_are_refused)
{
    Pb__RecordingPart parts[RL_AUDIT_RECORDING_PARTS_MAX + 1];
    struct rl_buf frame;
    begin_session();
    for (uint32_t i = 0; i < RL_COUNT(parts); i++) {
        parts[i] = a_part(i + 1, NULL, &frame);
        rl_buf_fini(&frame);
    }
    ck_assert_int_eq(write_parts(agent, parts, RL_COUNT(parts)).code, RL_E_INVAL);
    ck_assert_int_eq(write_parts(agent, parts, RL_COUNT(parts) - 1).code, RL_OK);
}
END_TEST

START_TEST(a_batch_with_one_bad_part_is_not_written_at_all)
{
    struct rl_buf frame;
    begin_session();
    Pb__RecordingPart parts[] = {a_part(1, NULL, &frame), a_part(2, NULL, &frame)};
    static char session_2[] = SESSION_2;
    parts[1].session_id = session_2; /* has no start */
    ck_assert_int_eq(write_parts(agent, parts, 2).code, RL_E_PRECONDITION);
    ck_assert_int_eq(count_of("SELECT count(*) FROM recording_parts"), 1);
}
END_TEST

/* ---- who reads ---- */

START_TEST(nobody_plays_what_auth_does_not_allow_and_it_is_written_down)
{
    begin_session();
    w->decision.is_allowed = false;
    play(alice, SESSION);
    ck_assert_int_eq(played.code, RL_E_DENIED);
    ck_assert(!played.is_announced);
    ck_assert_str_eq(w->decision.kind, "session");
    ck_assert_str_eq(w->decision.verb, "read");
    ck_assert_int_eq(count_of("SELECT count(*) FROM events WHERE type = 'session.playback'"), 1);
}
END_TEST

START_TEST(a_user_who_sees_the_own_finds_no_other)
{
    static char bob[] = "bob";
    struct rl_buf frame;
    Pb__RecordingStart s = a_start();
    s.user = bob;
    Pb__RecordingPart p = a_part(0, NULL, &frame);
    p.start = &s;
    ck_assert_int_eq(write_one(agent, p), RL_OK);
    w->decision.own_only = true;
    play(alice, SESSION);
    ck_assert_int_eq(played.code, RL_E_NOT_FOUND);
    w->decision.own_only = false;
    play(alice, SESSION);
    ck_assert_int_eq(played.code, RL_OK);
}
END_TEST

START_TEST(a_namesake_of_a_root_finds_his_own_and_not_ours)
{
    static char root[] = ROOT;
    struct rl_rpc_channel *theirs = world_root_channel(w, "alice");
    struct rl_buf frame;
    begin_session(); /* of our alice */
    w->decision.own_only = true;
    play(theirs, SESSION);
    ck_assert_int_eq(played.code, RL_E_NOT_FOUND);
    Pb__RecordingStart s = a_start();
    static char session_2[] = SESSION_2;
    s.user_cluster = root;
    Pb__RecordingPart p = a_part(0, NULL, &frame);
    p.session_id = session_2;
    p.start = &s;
    ck_assert_int_eq(write_one(agent, p), RL_OK);
    play(theirs, SESSION_2);
    ck_assert_int_eq(played.code, RL_OK);
    ck_assert_int_eq(count_of("SELECT count(*) FROM events WHERE type = 'session.playback'"
                              " AND user_cluster = '" ROOT "'"),
                     1);
    play(alice, SESSION_2);
    ck_assert_int_eq(played.code, RL_E_NOT_FOUND);
    rl_rpc_channel_free(&theirs);
}
END_TEST

START_TEST(a_node_reads_no_recording_not_even_its_own)
{
    begin_session();
    play(agent, SESSION);
    ck_assert_int_eq(played.code, RL_E_DENIED);
    play(other, SESSION);
    ck_assert_int_eq(played.code, RL_E_DENIED);
    ck_assert_uint_eq(w->decision.asked, 0);
}
END_TEST

START_TEST(whoever_joins_sees_what_comes_and_not_what_was)
{
    begin_session();
    show(1, "before");
    play_start(alice, SESSION, true);
    TURN_UNTIL(w, played.is_announced);
    ck_assert_str_eq(w->decision.verb, "join");
    show(2, "after");
    TURN_UNTIL(w, played.count == 1);
    ck_assert_uint_eq(played.parts[0], 2);
    end_session(3);
    TURN_UNTIL(w, played.is_over);
    ck_assert_int_eq(played.code, RL_OK);
    ck_assert_uint_eq(played.count, 2);
    TURN_UNTIL(w, count_of("SELECT count(*) FROM events WHERE type = 'session.leave'") == 1);
    play_start(alice, SESSION, true);
    TURN_UNTIL(w, played.is_over);
    ck_assert_int_eq(played.code, RL_E_PRECONDITION);
}
END_TEST

START_TEST(whoever_may_not_join_any_more_is_sent_away)
{
    begin_session();
    play_start(alice, SESSION, true);
    TURN_UNTIL(w, played.is_announced);
    w->decision.is_allowed = false;
    TURN_UNTIL(w, played.is_over);
    ck_assert_int_eq(played.code, RL_E_DENIED);
}
END_TEST

/* ---- what the database keeps ---- */

START_TEST(the_writer_can_neither_change_nor_remove_a_part)
{
    static const char *const statements[] = {
        "UPDATE recording_parts SET packed = ''",
        "DELETE FROM recording_parts",
        "TRUNCATE recording_parts",
        "UPDATE recordings SET user_name = 'bob'",
        "DELETE FROM recordings",
        "DROP TABLE recording_parts",
    };
    begin_session();
    for (size_t i = 0; i < RL_COUNT(statements); i++)
        ck_assert_msg(run_sql(w->writer, statements[i], &err) == RL_E_DENIED, "%s: %s",
                      statements[i], err.message);
}
END_TEST

START_TEST(retention_drops_whole_days_but_not_what_is_open)
{
    int64_t later_ns = rl_clock_wall_ns() + 400 * RL_AUDIT_DAY_NS;
    struct rl_audit_retained dropped;
    begin_session();
    ck_assert_int_eq(rl_audit_retain(w->owner, later_ns, 86400, &dropped, &err), RL_OK);
    ck_assert_int_eq(count_of("SELECT count(*) FROM recordings"), 1);
    ck_assert_int_eq(run_sql(w->owner, "DELETE FROM recording_leases", &err), RL_OK);
    ck_assert_int_eq(rl_audit_retain(w->owner, later_ns, 86400, &dropped, &err), RL_OK);
    ck_assert_int_eq(count_of("SELECT count(*) FROM recordings"), 0);
    ck_assert_int_eq(count_of("SELECT count(*) FROM recording_parts"), 0);
}
END_TEST

START_TEST(a_full_disk_refuses_no_part_for_good)
{
    struct rl_buf frame;
    begin_session();
    ck_assert_int_eq(run_sql(w->owner,
                             "CREATE FUNCTION disk_is_full() RETURNS trigger LANGUAGE plpgsql AS"
                             " 'BEGIN RAISE EXCEPTION USING ERRCODE = ''53100'',"
                             " MESSAGE = ''could not extend file''; END'",
                             &err),
                     RL_OK);
    ck_assert_int_eq(run_sql(w->owner,
                             "CREATE TRIGGER full_disk BEFORE INSERT ON recording_parts"
                             " FOR EACH ROW EXECUTE FUNCTION disk_is_full()",
                             &err),
                     RL_OK);
    Pb__RecordingPart p = a_part(1, "kept", &frame);
    ck_assert_int_eq(write_one(agent, p), RL_E_UNAVAILABLE);
    ck_assert_msg(!strstr(message, "extend"), "%s", message);
    ck_assert_int_eq(run_sql(w->owner, "DROP TRIGGER full_disk ON recording_parts", &err), RL_OK);
    ck_assert_int_eq(write_one(agent, p), RL_OK);
    rl_buf_fini(&frame);
}
END_TEST

static TCase *reading_case(void)
{
    TCase *t = tcase_create("reading");
    tcase_add_test(t, nobody_plays_what_auth_does_not_allow_and_it_is_written_down);
    tcase_add_test(t, a_user_who_sees_the_own_finds_no_other);
    tcase_add_test(t, a_namesake_of_a_root_finds_his_own_and_not_ours);
    tcase_add_test(t, a_node_reads_no_recording_not_even_its_own);
    tcase_add_test(t, whoever_joins_sees_what_comes_and_not_what_was);
    tcase_add_test(t, whoever_may_not_join_any_more_is_sent_away);
    tcase_add_test(t, many_parts_are_played_without_being_held);
    tcase_add_test(t, the_writer_can_neither_change_nor_remove_a_part);
    tcase_add_test(t, retention_drops_whole_days_but_not_what_is_open);
    return t;
}

static TCase *writing_case(void)
{
    TCase *t = tcase_create("writing");
    tcase_add_test(t, parts_are_played_as_they_came);
    tcase_add_test(t, a_part_again_is_the_same_part);
    tcase_add_test(t, another_part_under_the_same_number_is_refused_and_the_first_stays);
    tcase_add_test(t, parts_in_another_order_are_played_in_theirs);
    tcase_add_test(t, a_missing_part_makes_it_partial_and_the_rest_is_played);
    tcase_add_test(t, a_recording_is_live_until_its_node_is_not_heard_of);
    tcase_add_test(t, a_silent_session_lives_while_its_own_node_says_so);
    tcase_add_test(t, closing_hashes_what_is_there);
    tcase_add_test(t, another_nodes_session_is_not_written_to);
    tcase_add_test(t, a_part_before_the_first_is_refused);
    tcase_add_test(t, what_is_no_part_is_refused);
    tcase_add_test(t, too_many_at_once_are_refused);
    tcase_add_test(t, a_batch_with_one_bad_part_is_not_written_at_all);
    tcase_add_test(t, a_full_disk_refuses_no_part_for_good);
    return t;
}

int main(void)
{
    Suite *s = suite_create("recordings");
    TCase *cases[] = {writing_case(), reading_case()};
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        tcase_add_unchecked_fixture(cases[i], start, stop);
        tcase_add_checked_fixture(cases[i], reset, NULL);
        tcase_set_timeout(cases[i], 60);
        suite_add_tcase(s, cases[i]);
    }
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
