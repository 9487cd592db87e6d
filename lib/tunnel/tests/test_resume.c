#include "clock/clock.h"
#include "tunnel/tests/fake_link.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define RING_BYTES 1000
#define WAIT_MS 40

/* A dialler with a user behind it; the test plays the far end, on the other side of the link. */
static struct rl_loop *loop;
static struct link link_;
static struct rl_tunnel_end *end;
static int user_fd, inner_fd;
static unsigned parked, resumed, closed;
static rl_code closed_code;
static char closed_message[128];

static void on_opened(void *context, rl_code code, const char *message)
{
    (void)context;
    (void)message;
    struct rl_socket *socket = NULL;
    ck_assert_int_eq(code, RL_OK);
    ck_assert_int_eq(rl_socket_create(loop, inner_fd, NULL, NULL, NULL, &socket, NULL), RL_OK);
    rl_tunnel_end_attach(end, &socket, RL_SPAN(NULL, 0));
}

static void on_parked(void *context, rl_code code, const char *message)
{
    (void)context;
    (void)message;
    ck_assert_int_ne(code, RL_OK);
    parked++;
}

static void on_resumed(void *context)
{
    (void)context;
    resumed++;
}

static void on_closed(void *context, const struct rl_tunnel_summary *summary)
{
    (void)context;
    closed++;
    closed_code = summary->code;
    snprintf(closed_message, sizeof closed_message, "%s", summary->message);
    end = NULL;
}

static Pb__Frame dial_frame(void)
{
    static Pb__DialOpen dial;
    pb__dial_open__init(&dial);
    dial.agent_id = (char *)(uintptr_t) "the-agent";
    dial.features = RL_TUNNEL_FEATURE_RESUME;
    Pb__Frame frame = PB__FRAME__INIT;
    frame.dial = &dial;
    return frame;
}

static void set_up(void)
{
    int pair[2];
    ck_assert_int_eq(rl_loop_create(&loop, NULL), RL_OK);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    user_fd = pair[0];
    inner_fd = pair[1];
    parked = resumed = closed = 0;
    const struct rl_tunnel_end_config config = {
        .loop = loop,
        .role = RL_TUNNEL_DIALS,
        .transport = &fake_transport,
        .window_bytes = WINDOW,
        .resume = {.session_id = "s",
                   .ring_bytes_max = RING_BYTES,
                   .wait_ms = WAIT_MS,
                   .parked = on_parked,
                   .resumed = on_resumed},
        .opened = on_opened,
        .closed = on_closed,
    };
    Pb__Frame first = dial_frame();
    ck_assert_int_eq(rl_tunnel_end_create(&config, &first, &end, NULL), RL_OK);
    link_init(&link_, 1);
    link_.side[0].end = end;
    rl_tunnel_end_start(end, &link_.side[0]);
}

static void lose(rl_code code)
{
    side_close(&link_.side[0], code, "lost");
    link_fini(&link_);
    link_init(&link_, 2);
}

static void tear_down(void)
{
    if (end)
        rl_tunnel_end_abort(end, RL_E_CANCELLED, "the test is over");
    lose(RL_E_CANCELLED);
    ck_assert_uint_eq(closed, 1);
    close(user_fd);
    rl_loop_free(&loop);
}

static void again(void)
{
    Pb__Frame first = dial_frame();
    ck_assert_int_eq(rl_tunnel_end_resume(end, &first, NULL), RL_OK);
    link_.side[0].end = end;
    rl_tunnel_end_start(end, &link_.side[0]);
}

static void turn(void)
{
    link_.side[1].is_closed = true; /* the test reads its wire by itself */
    for (int i = 0; i < 3; i++) {
        while (link_turn(&link_))
            ;
        rl_loop_turn(loop, 0);
    }
}

/* ---- the far end ---- */

static void say(const Pb__Frame *frame)
{
    ck_assert_int_eq(rl_frame_write(frame, &link_.side[0].wire, NULL), RL_OK);
}

static void say_opened(uint32_t features)
{
    Pb__Opened opened = PB__OPENED__INIT;
    opened.features = features;
    Pb__Frame frame = PB__FRAME__INIT;
    frame.opened = &opened;
    say(&frame);
}

static void say_resume(const char *session_id, uint64_t received)
{
    Pb__Resume resume = PB__RESUME__INIT;
    resume.session_id = (char *)(uintptr_t)session_id;
    resume.received = received;
    Pb__Frame frame = PB__FRAME__INIT;
    frame.resume = &resume;
    say(&frame);
}

static void say_ack(uint64_t ack)
{
    Pb__Frame frame = PB__FRAME__INIT;
    frame.ack = ack;
    say(&frame);
}

static void say_data(uint64_t offset, const char *text)
{
    uint8_t header[RL_TUNNEL_DATA_HEADER_BYTES_MAX];
    size_t n = rl_frame_data_header_write(header, offset, strlen(text));
    ck_assert(rl_buf_put(&link_.side[0].wire, header, n));
    ck_assert(rl_buf_put(&link_.side[0].wire, text, strlen(text)));
}

struct heard {
    bool dial, resume;
    uint64_t received, first_offset;
    char data[4096];
    size_t data_n;
};

static rl_code hear_data(void *context, uint64_t offset, const uint8_t *bytes, size_t n,
                         struct rl_error *err)
{
    (void)err;
    struct heard *heard = context;
    if (!heard->data_n)
        heard->first_offset = offset;
    ck_assert_uint_eq(offset, heard->first_offset + heard->data_n);
    ck_assert_uint_lt(heard->data_n + n, sizeof heard->data);
    memcpy(heard->data + heard->data_n, bytes, n);
    heard->data_n += n;
    return RL_OK;
}

static rl_code hear_control(void *context, const Pb__Frame *frame, struct rl_error *err)
{
    (void)err;
    struct heard *heard = context;
    if (frame->dial)
        heard->dial = true;
    if (frame->resume) {
        heard->resume = true;
        heard->received = frame->resume->received;
    }
    return RL_OK;
}

static struct heard hear(void)
{
    static const struct rl_frame_reader_ops ops = {.data = hear_data, .control = hear_control};
    struct heard heard = {.dial = false};
    struct rl_frame_reader *reader = rl_frame_reader_create(&ops, &heard);
    ck_assert_int_eq(rl_frame_reader_feed(reader, rl_buf_span(&link_.side[1].wire), NULL), RL_OK);
    rl_frame_reader_free(&reader);
    return heard;
}

/* ---- the tests ---- */

/* The user said "0123456789", of which 2 were acknowledged, and was told "abc". */
static void open_and_talk(void)
{
    say_opened(RL_TUNNEL_FEATURE_RESUME);
    turn();
    ck_assert_int_eq(send(user_fd, "0123456789", 10, 0), 10);
    turn();
    say_ack(2);
    say_data(0, "abc");
    turn();
    ck_assert_uint_eq(hear().data_n, 10);
}

START_TEST(says_again_what_the_far_end_did_not_get_and_nothing_else)
{
    open_and_talk();
    lose(RL_E_UNAVAILABLE);
    ck_assert_uint_eq(parked, 1);
    ck_assert_int_eq(send(user_fd, "XY", 2, 0), 2); /* meanwhile */
    turn();
    again();
    turn();
    struct heard heard = hear();
    ck_assert(heard.dial && heard.resume);
    ck_assert_uint_eq(heard.received, 3);
    ck_assert_uint_eq(heard.data_n, 0); /* not before the far end has said what it has */
    say_opened(RL_TUNNEL_FEATURE_RESUME);
    say_resume("s", 4);
    say_data(3, "def");
    turn();
    ck_assert_uint_eq(resumed, 1);
    heard = hear();
    ck_assert_uint_eq(heard.first_offset, 4);
    ck_assert_str_eq(heard.data, "456789XY");
    char got[16] = {0};
    ck_assert_int_eq(recv(user_fd, got, sizeof got, 0), 6);
    ck_assert_str_eq(got, "abcdef");
}
END_TEST

START_TEST(ends_on_every_breach_of_resuming)
{
    open_and_talk();
    lose(RL_E_UNAVAILABLE);
    again();
    static const char *const words[] = {"another session", "2 to 10", "2 to 10",
                                        "began anew",      "before",  "before"};
    if (_i < 3 || _i == 5)
        say_opened(RL_TUNNEL_FEATURE_RESUME);
    switch (_i) {
    case 0:
        say_resume("t", 4);
        break;
    case 1:
        say_resume("s", 11);
        break;
    case 2:
        say_resume("s", 1);
        break;
    case 3:
        say_opened(0);
        break;
    case 4:
        say_resume("s", 4); /* without a word before */
        break;
    case 5:
        say_data(3, "def");
        break;
    }
    turn();
    lose(RL_OK);
    ck_assert_uint_eq(closed, 1);
    ck_assert_uint_eq(resumed, 0);
    ck_assert_msg(strstr(closed_message, words[_i]), "%s", closed_message);
}
END_TEST

START_TEST(ends_with_its_stream_when_the_far_end_knows_no_resuming)
{
    say_opened(0);
    turn();
    lose(RL_E_UNAVAILABLE);
    ck_assert_uint_eq(parked, 0);
    ck_assert_int_eq(closed_code, RL_E_UNAVAILABLE);
}
END_TEST

START_TEST(a_verdict_ends_it_and_a_broken_hop_does_not)
{
    open_and_talk();
    lose(RL_E_UNAVAILABLE);
    again();
    lose(RL_E_UNAVAILABLE);
    again();
    lose(RL_E_DEADLINE);
    ck_assert_uint_eq(parked, 3);
    again();
    lose(RL_E_NOT_FOUND);
    ck_assert_int_eq(closed_code, RL_E_NOT_FOUND);
}
END_TEST

/* Who carries, and has said so: open, with a window that is short for a lost dialler. */
static void become_who_carries(void)
{
    uint8_t id[RL_TUNNEL_STREAM_ID_BYTES] = {1};
    Pb__CarryJoin join = PB__CARRY_JOIN__INIT;
    join.stream_id = (ProtobufCBinaryData){sizeof id, id};
    Pb__Frame first = PB__FRAME__INIT;
    first.join = &join;
    rl_tunnel_end_abort(end, RL_E_CANCELLED, "it was a dialler");
    lose(RL_E_CANCELLED);
    closed = 0;
    close(user_fd);
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    user_fd = pair[0];
    const struct rl_tunnel_end_config config = {
        .loop = loop,
        .role = RL_TUNNEL_CARRIES,
        .transport = &fake_transport,
        .window_bytes = WINDOW,
        .resume = {.session_id = "s",
                   .ring_bytes_max = RING_BYTES,
                   .wait_ms = 60000,
                   .dialler_wait_ms = WAIT_MS,
                   .parked = on_parked},
        .closed = on_closed,
    };
    struct rl_socket *socket = NULL;
    ck_assert_int_eq(rl_tunnel_end_create(&config, &first, &end, NULL), RL_OK);
    link_.side[0].end = end;
    rl_tunnel_end_start(end, &link_.side[0]);
    ck_assert_int_eq(rl_socket_create(loop, pair[1], NULL, NULL, NULL, &socket, NULL), RL_OK);
    rl_tunnel_end_attach(end, &socket, RL_SPAN(NULL, 0));
    turn();
}

START_TEST(who_carries_waits_less_for_a_dialler_that_is_lost_than_for_its_own_way)
{
    become_who_carries();
    lose(_i == 0 ? RL_E_ABORTED : RL_E_UNAVAILABLE);
    ck_assert_uint_eq(parked, 1);
    uint64_t start = rl_clock_boot_ms();
    while (!closed && rl_clock_boot_ms() < start + 4 * WAIT_MS)
        rl_loop_turn(loop, 5);
    ck_assert_uint_eq(closed, _i == 0);
}
END_TEST

START_TEST(attempts_do_not_lengthen_the_wait)
{
    open_and_talk();
    lose(RL_E_UNAVAILABLE);
    uint64_t start = rl_clock_boot_ms();
    while (!closed && rl_clock_boot_ms() < start + 5000) {
        if (rl_tunnel_end_is_parked(end)) {
            again();
            lose(RL_E_UNAVAILABLE);
        }
        rl_loop_turn(loop, 5);
    }
    ck_assert_int_eq(closed_code, RL_E_DEADLINE);
    ck_assert_uint_ge(rl_clock_boot_ms() - start, WAIT_MS - 1);
}
END_TEST

START_TEST(a_full_ring_stops_reading_until_an_acknowledgement)
{
    char block[3000];
    memset(block, 'x', sizeof block);
    say_opened(RL_TUNNEL_FEATURE_RESUME);
    turn();
    ck_assert_int_eq(send(user_fd, block, sizeof block, 0), sizeof block);
    turn();
    ck_assert_uint_eq(hear().data_n, RING_BYTES);
    say_ack(1);
    turn();
    ck_assert_uint_eq(hear().data_n, RING_BYTES + 1);
    say_ack(RING_BYTES + 1);
    turn();
    ck_assert_uint_eq(hear().data_n, 2 * RING_BYTES + 1);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("resume");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, says_again_what_the_far_end_did_not_get_and_nothing_else);
    tcase_add_loop_test(tests, ends_on_every_breach_of_resuming, 0, 6);
    tcase_add_test(tests, ends_with_its_stream_when_the_far_end_knows_no_resuming);
    tcase_add_test(tests, a_verdict_ends_it_and_a_broken_hop_does_not);
    tcase_add_loop_test(
        tests, who_carries_waits_less_for_a_dialler_that_is_lost_than_for_its_own_way, 0, 2);
    tcase_add_test(tests, attempts_do_not_lengthen_the_wait);
    tcase_add_test(tests, a_full_ring_stops_reading_until_an_acknowledgement);
    Suite *suite = suite_create("resume");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
