#include "recordings.h"

#include "node.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SESSION "0190c0de-0000-4000-8000-0000000000c1"
#define OTHER "0190c0de-0000-4000-8000-0000000000c2"
#define SPOOL_BYTES 262144
#define PART_BYTES 60000
#define PATIENCE_MS 10000

static struct agent agent;
static struct recordings *recordings;

/* ---- doubles: the node, the clock, the way to audit ---- */

static int ended, resumed;
static char ended_session[64], ended_message[256];

void node_end_session(struct node *node, const char *session_id, const char *message)
{
    (void)node;
    ended++;
    snprintf(ended_session, sizeof ended_session, "%s", session_id);
    snprintf(ended_message, sizeof ended_message, "%s", message);
}

void node_read_recordings(struct node *node)
{
    (void)node;
    resumed++;
}

int64_t agent_now_ns(const struct agent *a)
{
    (void)a;
    return 1234;
}

static struct {
    rl_rpc_done_fn done; /* NULL: no call is under way */
    void *context;
    Pb__WriteRecordingRequest *request;
    int calls;
} audit;
static uint8_t a_call;

void rl_rpc_unary(struct rl_rpc_channel *channel, const ProtobufCServiceDescriptor *service,
                  const char *method, const ProtobufCMessage *request, uint32_t deadline_ms,
                  rl_rpc_done_fn done, void *context, struct rl_rpc_call **out)
{
    (void)channel, (void)service, (void)deadline_ms;
    ck_assert(!audit.done);
    ck_assert_str_eq(method, "WriteRecording");
    size_t n = protobuf_c_message_get_packed_size(request);
    uint8_t *packed = rl_alloc(n + 1);
    protobuf_c_message_pack(request, packed);
    if (audit.request)
        pb__write_recording_request__free_unpacked(audit.request, NULL);
    audit.request = pb__write_recording_request__unpack(NULL, n, packed);
    free(packed);
    audit.done = done;
    audit.context = context;
    audit.calls++;
    *out = (struct rl_rpc_call *)&a_call;
}

static void answer(rl_code code)
{
    rl_rpc_done_fn done = audit.done;
    audit.done = NULL;
    done(audit.context, code, code == RL_OK ? "" : "audit says no", NULL);
}

void rl_rpc_cancel(struct rl_rpc_call *call)
{
    (void)call;
    answer(RL_E_CANCELLED);
}

#define TURN_UNTIL(claim)                                                                          \
    do {                                                                                           \
        uint64_t until_ = rl_clock_boot_ms() + PATIENCE_MS;                                        \
        while (!(claim)) {                                                                         \
            ck_assert_msg(rl_clock_boot_ms() < until_, "waited in vain for: %s", #claim);          \
            rl_loop_turn(agent.loop, 10);                                                          \
        }                                                                                          \
    } while (0)

/* What came, answered with this; the parts stay to be looked at. */
static void take(rl_code code)
{
    TURN_UNTIL(audit.done);
    answer(code);
}

/* ---- sessions ---- */

static void start(void)
{
    struct rl_error err;
    memset(&agent, 0, sizeof agent);
    memset(&audit, 0, sizeof audit);
    ended = resumed = 0;
    agent.settings.recording_spool_bytes = SPOOL_BYTES;
    agent.settings.recording_grace_s = 1;
    ck_assert_int_eq(rl_loop_create(&agent.loop, &err), RL_OK);
    recordings = recordings_create(&agent);
}

static void stop(void)
{
    recordings_free(&recordings, 0);
    if (audit.request)
        pb__write_recording_request__free_unpacked(audit.request, NULL);
    rl_loop_free(&agent.loop);
}

static void see(const char *type, const char *session, const char *mode)
{
    Pb__Event *event = rl_event_create(type, "success", 99);
    rl_event_set(&event->session_id, session);
    rl_event_set(&event->user, "alice");
    rl_event_set(&event->resource_id, "node");
    rl_event_detail(event, "kind", "shell");
    rl_event_detail(event, "channel", "0");
    if (mode) {
        rl_event_detail(event, "recording", mode);
        rl_event_detail(event, "interactive", "true");
        rl_event_detail(event, "columns", "80");
    } else {
        event->has_exit_code = true;
        event->exit_code = 7;
    }
    recordings_see(recordings, event);
    rl_event_free(&event);
}

static void begin_session(const char *session, const char *mode)
{
    see("session.start", session, mode);
}

static void show(const char *session, char what, size_t n)
{
    uint8_t *message = rl_alloc(n + 4); /* channel 0 */
    memset(message + 4, what, n);
    recordings_take(recordings, session, RL_SPAN(message, n + 4));
    free(message);
}

static const Pb__RecordingPart *part(size_t i)
{
    ck_assert_uint_lt(i, audit.request->n_parts);
    return audit.request->parts[i];
}

START_TEST(a_session_is_numbered_parts_from_its_beginning_to_its_end)
{
    begin_session(SESSION, "best_effort");
    show(SESSION, 'a', 10);
    see("session.end", SESSION, NULL);
    take(RL_OK);
    ck_assert_uint_eq(audit.request->n_parts, 3);
    for (uint32_t i = 0; i < 3; i++)
        ck_assert_uint_eq(part(i)->part, i);
    ck_assert_str_eq(part(0)->start->user, "alice");
    ck_assert_str_eq(part(0)->start->mode, "best_effort");
    ck_assert(part(0)->start->interactive && part(0)->start->columns == 80);
    ck_assert_uint_eq(part(1)->data.len, 10);
    ck_assert(part(2)->end->has_exit_code && part(2)->end->exit_code == 7);
    ck_assert_uint_eq(part(2)->end->lost_parts, 0);
}
END_TEST

START_TEST(what_audit_did_not_take_comes_again_in_order)
{
    begin_session(SESSION, "best_effort");
    show(SESSION, 'a', 10);
    take(RL_E_UNAVAILABLE);
    show(SESSION, 'b', 10);
    take(RL_E_DEADLINE);
    take(RL_OK);
    ck_assert_uint_eq(audit.request->n_parts, 3);
    ck_assert_uint_eq(part(1)->data.data[0], 'a');
    ck_assert_uint_eq(part(2)->data.data[0], 'b');
    ck_assert_uint_eq(part(2)->part, 2);
}
END_TEST

START_TEST(best_effort_goes_on_without_room_and_says_how_much_is_missing)
{
    begin_session(SESSION, "best_effort");
    for (int i = 0; i < 6; i++)
        show(SESSION, 'x', PART_BYTES);
    see("session.end", SESSION, NULL); /* there is room for that */
    take(RL_OK);
    if (audit.request->n_parts < 6)
        take(RL_OK);
    const Pb__RecordingPart *last = part(audit.request->n_parts - 1);
    ck_assert_uint_eq(last->end->lost_parts, 2);
    ck_assert_uint_eq(last->part, 7); /* the numbers of those two are missing */
    ck_assert_int_eq(ended, 0);
}
END_TEST

START_TEST(strict_ends_the_session_when_there_is_no_room)
{
    begin_session(SESSION, "strict");
    for (int i = 0; i < 4; i++)
        show(SESSION, 'x', PART_BYTES);
    ck_assert_int_eq(ended, 0);
    show(SESSION, 'x', PART_BYTES);
    ck_assert_int_eq(ended, 1);
    ck_assert_str_eq(ended_session, SESSION);
    ck_assert_ptr_nonnull(strstr(ended_message, "must be recorded"));
}
END_TEST

START_TEST(strict_ends_after_the_grace_without_audit_and_best_effort_does_not)
{
    struct rl_error err;
    begin_session(SESSION, "strict");
    begin_session(OTHER, "best_effort");
    take(RL_OK);
    ck_assert_int_eq(recordings_check_strict(recordings, &err), RL_OK);
    /* nobody shows anything: that the session lives could not be said either */
    while (!ended)
        take(RL_E_UNAVAILABLE);
    ck_assert_str_eq(ended_session, SESSION);
    ck_assert_ptr_nonnull(strstr(ended_message, "audit could not be reached for 1 s"));
    ck_assert_int_eq(recordings_check_strict(recordings, &err), RL_E_UNAVAILABLE);
    take(RL_OK);
    ck_assert_int_eq(recordings_check_strict(recordings, &err), RL_OK);
}
END_TEST

START_TEST(one_refused_part_does_not_take_the_others_along)
{
    begin_session(SESSION, "best_effort");
    begin_session(OTHER, "strict");
    show(SESSION, 'a', 10);
    take(RL_E_EXISTS); /* which one? */
    take(RL_OK);
    ck_assert_uint_eq(audit.request->n_parts, 1);
    for (int i = 0; i < 2; i++) { /* the beginning of the strict one, alone at last */
        ck_assert_int_eq(ended, 0);
        take(RL_E_EXISTS);
        ck_assert_str_eq(part(0)->session_id, OTHER);
    }
    ck_assert_uint_eq(audit.request->n_parts, 1);
    ck_assert_int_eq(ended, 1);
    ck_assert_str_eq(ended_session, OTHER);
    take(RL_OK);
    ck_assert_str_eq(part(0)->session_id, SESSION);
    ck_assert_uint_eq(part(0)->part, 1);
}
END_TEST

START_TEST(terminals_wait_while_audit_answers_and_go_on_when_it_has_taken)
{
    begin_session(SESSION, "best_effort");
    take(RL_OK);
    for (int i = 0; i < 3; i++)
        show(SESSION, 'x', PART_BYTES);
    ck_assert(recordings_is_full(recordings));
    resumed = 0;
    take(RL_OK);
    ck_assert_int_ge(resumed, 1);
    ck_assert(!recordings_is_full(recordings));
}
END_TEST

START_TEST(parts_of_a_busy_node_go_together)
{
    begin_session(SESSION, "best_effort");
    uint64_t before_ms = rl_clock_boot_ms();
    take(RL_OK);
    for (int i = 0; i < 3; i++) {
        show(SESSION, 'x', 10);
        rl_loop_turn(agent.loop, 0);
    }
    take(RL_OK);
    ck_assert_uint_ge(rl_clock_boot_ms() - before_ms, RECORDINGS_PACE_MS);
    ck_assert_int_eq(audit.calls, 2);
    ck_assert_uint_eq(audit.request->n_parts, 3);
}
END_TEST

START_TEST(a_part_that_comes_alone_and_a_batch_that_is_full_go_at_once)
{
    begin_session(SESSION, "best_effort");
    take(RL_OK);
    uint64_t until = rl_clock_boot_ms() + RECORDINGS_PACE_MS;
    while (rl_clock_boot_ms() <= until)
        rl_loop_turn(agent.loop, 10);
    show(SESSION, 'x', 10);
    rl_loop_turn(agent.loop, 0);
    ck_assert_int_eq(audit.calls, 2);
    take(RL_OK);
    for (int i = 0; i < 2; i++)
        show(SESSION, 'x', PART_BYTES); /* a quarter of the spool */
    rl_loop_turn(agent.loop, 0);
    ck_assert_int_eq(audit.calls, 3);
    take(RL_OK);
}
END_TEST

START_TEST(what_comes_while_audit_is_away_does_not_hasten_the_next_attempt)
{
    begin_session(SESSION, "best_effort");
    take(RL_OK);
    show(SESSION, 'x', 10);
    take(RL_E_UNAVAILABLE);
    uint64_t failed_ms = rl_clock_boot_ms();
    for (int i = 0; i < 2; i++)
        show(SESSION, 'x', PART_BYTES);
    take(RL_OK);
    ck_assert_uint_ge(rl_clock_boot_ms() - failed_ms, 150);
    ck_assert_uint_eq(audit.request->n_parts, 3);
}
END_TEST

START_TEST(nobody_waits_for_an_audit_that_does_not_answer)
{
    begin_session(SESSION, "best_effort");
    take(RL_OK);
    for (int i = 0; i < 3; i++)
        show(SESSION, 'x', PART_BYTES);
    resumed = 0;
    TURN_UNTIL(!recordings_is_full(recordings)); /* after RECORDINGS_STALL_MS */
    TURN_UNTIL(resumed);
}
END_TEST

START_TEST(a_session_whose_process_was_killed_has_an_end)
{
    begin_session(SESSION, "best_effort");
    begin_session(OTHER, "best_effort");
    recordings_session_gone(recordings, SESSION);
    take(RL_OK);
    ck_assert_uint_eq(audit.request->n_parts, 3);
    ck_assert_str_eq(part(2)->session_id, SESSION);
    ck_assert(!part(2)->end->has_exit_code && part(2)->end->reason[0]);
}
END_TEST

START_TEST(a_part_of_no_session_is_left_alone)
{
    static const uint8_t message[] = {0, 0, 0, 9, 'x'};
    ck_assert(!recordings_expects(recordings, SESSION, RL_SPAN(message, sizeof message)));
    recordings_take(recordings, SESSION, RL_SPAN(message, sizeof message));
    begin_session(SESSION, "best_effort");
    ck_assert(!recordings_expects(recordings, SESSION, RL_SPAN(message, sizeof message)));
    ck_assert(!recordings_expects(recordings, SESSION, RL_SPAN(message, 2)));
    recordings_take(recordings, SESSION, RL_SPAN(message, 2));
    take(RL_OK);
    ck_assert_uint_eq(audit.request->n_parts, 1);
}
END_TEST

START_TEST(a_node_without_sessions_says_nothing)
{
    uint64_t until = rl_clock_boot_ms() + 500;
    while (rl_clock_boot_ms() < until)
        rl_loop_turn(agent.loop, 50);
    ck_assert_int_eq(audit.calls, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("recordings");
    TCase *t = tcase_create("recordings");
    tcase_add_checked_fixture(t, start, stop);
    tcase_set_timeout(t, 30);
    tcase_add_test(t, a_session_is_numbered_parts_from_its_beginning_to_its_end);
    tcase_add_test(t, what_audit_did_not_take_comes_again_in_order);
    tcase_add_test(t, best_effort_goes_on_without_room_and_says_how_much_is_missing);
    tcase_add_test(t, strict_ends_the_session_when_there_is_no_room);
    tcase_add_test(t, strict_ends_after_the_grace_without_audit_and_best_effort_does_not);
    tcase_add_test(t, one_refused_part_does_not_take_the_others_along);
    tcase_add_test(t, terminals_wait_while_audit_answers_and_go_on_when_it_has_taken);
    tcase_add_test(t, parts_of_a_busy_node_go_together);
    tcase_add_test(t, a_part_that_comes_alone_and_a_batch_that_is_full_go_at_once);
    tcase_add_test(t, what_comes_while_audit_is_away_does_not_hasten_the_next_attempt);
    tcase_add_test(t, nobody_waits_for_an_audit_that_does_not_answer);
    tcase_add_test(t, a_session_whose_process_was_killed_has_an_end);
    tcase_add_test(t, a_part_of_no_session_is_left_alone);
    tcase_add_test(t, a_node_without_sessions_says_nothing);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
