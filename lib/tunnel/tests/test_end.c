#include "clock/clock.h"
#include "tls/tests/pair.h"
#include "tunnel/tests/fake_link.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

/* One side as its owner sees it: the end, and the far end of its socket, which the test plays. */
struct owner {
    struct rl_loop *loop;
    struct rl_tunnel_end *end;
    int fd;    /* the test's end of the socket pair; -1 when closed */
    int inner; /* to be attached */
    SSL *ssl;  /* with it; NULL: plain */
    bool refuses;
    unsigned opened, dialled, closed;
    rl_code opened_code;
    char opened_message[128];
    rl_code code;
    char message[256];
    bool by_far_end;
    uint64_t from_socket, to_socket;
};

static struct rl_loop *loop;
static struct link link_;
static struct owner dialler, answerer;

static void attach(struct owner *owner, const char *preface)
{
    struct rl_socket *socket = NULL;
    ck_assert_int_eq(rl_socket_create(loop, owner->inner, owner->ssl, NULL, NULL, &socket, NULL),
                     RL_OK);
    owner->inner = -1;
    rl_tunnel_end_attach(owner->end, &socket, rl_span_of(preface));
    ck_assert_ptr_null(socket);
}

static void on_opened(void *context, rl_code code, const char *message)
{
    struct owner *owner = context;
    owner->opened++;
    owner->opened_code = code;
    snprintf(owner->opened_message, sizeof owner->opened_message, "%s", message);
    if (code == RL_OK)
        attach(owner, "PREFACE");
}

static void on_dialled(void *context, const Pb__DialOpen *dial)
{
    struct owner *owner = context;
    owner->dialled++;
    ck_assert_str_eq(dial->agent_id, "the-agent");
    if (owner->refuses)
        rl_tunnel_end_refuse(owner->end, RL_E_NOT_FOUND, "no such app");
    else
        attach(owner, "");
}

static void on_closed(void *context, const struct rl_tunnel_summary *summary)
{
    struct owner *owner = context;
    owner->closed++;
    owner->code = summary->code;
    snprintf(owner->message, sizeof owner->message, "%s", summary->message);
    owner->by_far_end = summary->by_far_end;
    owner->from_socket = summary->bytes_from_socket;
    owner->to_socket = summary->bytes_to_socket;
    owner->end = NULL;
    for (int i = 0; i < 2; i++)
        if (link_.side[i].is_closed)
            link_.side[i].end = NULL;
}

static void make(struct owner *owner, enum rl_tunnel_role role, struct side *side)
{
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    *owner = (struct owner){.loop = loop, .fd = pair[0], .inner = pair[1]};
    struct rl_tunnel_end_config config = {
        .loop = loop,
        .role = role,
        .transport = &fake_transport,
        .window_bytes = WINDOW,
        .open_timeout_ms = 50,
        .opened = on_opened,
        .dialled = on_dialled,
        .closed = on_closed,
        .context = owner,
    };
    Pb__DialOpen dial = PB__DIAL_OPEN__INIT;
    dial.agent_id = (char *)(uintptr_t) "the-agent";
    Pb__Frame first = PB__FRAME__INIT;
    first.dial = &dial;
    ck_assert_int_eq(
        rl_tunnel_end_create(&config, role == RL_TUNNEL_DIALS ? &first : NULL, &owner->end, NULL),
        RL_OK);
    side->end = owner->end;
    rl_tunnel_end_start(owner->end, side);
}

static void set_up(void)
{
    ck_assert_int_eq(rl_loop_create(&loop, NULL), RL_OK);
    link_init(&link_, 1);
    make(&dialler, RL_TUNNEL_DIALS, &link_.side[0]);
    make(&answerer, RL_TUNNEL_ANSWERS, &link_.side[1]);
}

static void finish(struct owner *owner, struct side *side)
{
    if (owner->end && !side->is_closed) {
        rl_tunnel_end_abort(owner->end, RL_E_CANCELLED, "the test is over");
        side_close(side, RL_E_CANCELLED, "the test is over");
    }
    if (owner->fd >= 0)
        close(owner->fd);
    if (owner->inner >= 0)
        close(owner->inner);
}

static void tear_down(void)
{
    finish(&dialler, &link_.side[0]);
    finish(&answerer, &link_.side[1]);
    link_fini(&link_);
    rl_loop_free(&loop);
}

static void turn(void)
{
    while (link_turn(&link_))
        ;
    rl_loop_turn(loop, 0);
}

static void turn_until(const unsigned *flag)
{
    for (uint64_t end = rl_clock_boot_ms() + 5000; !*flag && rl_clock_boot_ms() < end;) {
        turn();
        if (!*flag)
            rl_loop_turn(loop, 1);
    }
    ck_assert_uint_eq(*flag, 1);
}

static uint8_t pattern(size_t i, unsigned salt)
{
    return (uint8_t)(i * 31 + i / 251 + salt);
}

/* Moves some of the test's own bytes; both directions at their own pace. */
struct flow {
    struct owner *from, *to;
    size_t total, written, read;
    unsigned salt;
    bool is_shut, got_end;
    size_t preface;
};

static void flow_step(struct flow *f, unsigned *seed)
{
    uint8_t bytes[30000];
    size_t n = 1 + (size_t)rand_r(seed) % sizeof bytes;
    if (n > f->total - f->written)
        n = f->total - f->written;
    for (size_t i = 0; i < n; i++)
        bytes[i] = pattern(f->written + i, f->salt);
    ssize_t done = n ? send(f->from->fd, bytes, n, MSG_NOSIGNAL) : 0;
    if (done > 0)
        f->written += (size_t)done;
    if (f->written == f->total && !f->is_shut) {
        shutdown(f->from->fd, SHUT_WR);
        f->is_shut = true;
    }
    done = recv(f->to->fd, bytes, 1 + (size_t)rand_r(seed) % sizeof bytes, 0);
    f->got_end = f->got_end || done == 0;
    size_t wrong = 0; /* an assertion for each byte would be most of the test's time */
    for (ssize_t i = 0; i < done; i++, f->read++)
        wrong += bytes[i] != (f->read < f->preface ? (uint8_t) "PREFACE"[f->read]
                                                   : pattern(f->read - f->preface, f->salt));
    ck_assert_uint_eq(wrong, 0);
}

static void run_flows(unsigned seed)
{
    struct flow up = {.from = &dialler, .to = &answerer, .total = 400001, .salt = 3};
    struct flow down = {
        .from = &answerer, .to = &dialler, .total = 300003, .salt = 5, .preface = 7};
    for (int i = 0; i < 1000000 && !(dialler.closed && answerer.closed); i++) {
        flow_step(&up, &seed);
        flow_step(&down, &seed);
        turn();
    }
    for (int i = 0; i < 100 && !(up.got_end && down.got_end); i++) { /* what the kernel still has */
        flow_step(&up, &seed);
        flow_step(&down, &seed);
    }
    ck_assert_msg(dialler.closed == 1 && dialler.code == RL_OK, "%s", dialler.message);
    ck_assert_msg(answerer.closed == 1 && answerer.code == RL_OK, "%s", answerer.message);
    ck_assert(up.got_end);
    ck_assert_uint_eq(up.read, up.total);
    ck_assert_uint_eq(down.read, down.total + 7);
    ck_assert_uint_eq(dialler.from_socket, up.total);
    ck_assert_uint_eq(dialler.to_socket, down.total);
    ck_assert_uint_le(link_.side[0].held_max, WINDOW);
    ck_assert_uint_le(link_.side[1].held_max, WINDOW);
}

START_TEST(carries_every_byte_both_ways_whatever_the_pieces)
{
    link_.seed = (unsigned)_i + 1;
    run_flows((unsigned)_i + 100);
}
END_TEST

/* What one side puts on the wire by hand, in place of an end. */
static void say(struct side *to, const Pb__Frame *frame)
{
    ck_assert_int_eq(rl_frame_write(frame, &to->wire, NULL), RL_OK);
}

static void say_data(struct side *to, uint64_t offset, size_t n)
{
    uint8_t *at = rl_buf_reserve(&to->wire, RL_TUNNEL_DATA_HEADER_BYTES_MAX + n);
    size_t header = rl_frame_data_header_write(at, offset, n);
    memset(at + header, 'd', n);
    to->wire.n += header + n;
}

static void say_opened(struct side *to, rl_code code, const char *message)
{
    Pb__Opened opened = PB__OPENED__INIT;
    opened.code = (uint32_t)code;
    opened.message = (char *)(uintptr_t)message;
    Pb__Frame frame = PB__FRAME__INIT;
    frame.opened = &opened;
    say(to, &frame);
}

/* Takes the answerer out of the link: the test plays it. */
static struct side *play_the_answerer(void)
{
    finish(&answerer, &link_.side[1]);
    answerer.fd = answerer.inner = -1;
    link_.side[1] = (struct side){.window = WINDOW, .is_closed = true};
    rl_buf_init(&link_.side[1].wire, WIRE_MAX);
    return &link_.side[0];
}

enum wrong {
    GAP,
    REPEAT,
    AFTER_EOF,
    EOF_GAP,
    EOF_TWICE,
    ACK_AHEAD,
    ACK_BACK,
    JOIN,
    DIAL,
    OPENED,
    RESUME,
    NOTHING,
    TWO_THINGS,
    MALFORMED,
    WRONGS
};

static void say_wrong(struct side *to, enum wrong wrong)
{
    Pb__Frame f = PB__FRAME__INIT;
    Pb__DialOpen dial = PB__DIAL_OPEN__INIT;
    Pb__CarryJoin join = PB__CARRY_JOIN__INIT;
    Pb__Resume resume = PB__RESUME__INIT;
    switch (wrong) {
    case GAP:
        say_data(to, 1, 10);
        return;
    case REPEAT:
        say_data(to, 0, 10);
        say_data(to, 0, 10);
        return;
    case AFTER_EOF:
        f.eof = true;
        say(to, &f);
        say_data(to, 0, 10);
        return;
    case EOF_TWICE:
        f.eof = true;
        say(to, &f);
        break;
    case EOF_GAP:
        f.eof = true;
        f.offset = 1;
        break;
    case ACK_AHEAD:
        f.ack = 6; /* of 5 that were sent */
        break;
    case ACK_BACK:
        f.ack = 5;
        say(to, &f);
        f.ack = 4;
        break;
    case JOIN:
        f.join = &join;
        break;
    case DIAL:
        f.dial = &dial;
        break;
    case OPENED:
        say_opened(to, RL_OK, "");
        return;
    case RESUME:
        f.resume = &resume;
        break;
    case NOTHING:
        f.offset = 9;
        break;
    case TWO_THINGS:
        f.ack = 5;
        f.eof = true;
        break;
    case MALFORMED:
    case WRONGS:
        ck_assert(rl_buf_put(&to->wire, "\1\0\0\0\1x", 6));
        return;
    }
    say(to, &f);
}

static const char *const wrong_words[WRONGS] = {
    [GAP] = "offset 1 where 0",
    [REPEAT] = "offset 0 where 10",
    [AFTER_EOF] = "after the end",
    [EOF_GAP] = "an end at offset 1",
    [EOF_TWICE] = "a second end",
    [ACK_AHEAD] = "acknowledgement of 6 bytes; 0 to 5",
    [ACK_BACK] = "acknowledgement of 4 bytes; 5 to 5",
    [JOIN] = "only come first",
    [DIAL] = "only come first",
    [OPENED] = "only come first",
    [RESUME] = "not agreed",
    [NOTHING] = "says nothing",
    [TWO_THINGS] = "more than one",
    [MALFORMED] = "compressed",
};

struct heard {
    Pb__Frame *last;
    unsigned resets, acks, eofs;
    uint64_t ack;
    rl_code reset_code;
    char reset_message[256];
    size_t data;
};

static rl_code hear_data(void *context, uint64_t offset, const uint8_t *bytes, size_t n,
                         struct rl_error *err)
{
    (void)bytes;
    (void)err;
    struct heard *heard = context;
    ck_assert_uint_eq(offset, heard->data);
    heard->data += n;
    return RL_OK;
}

static rl_code hear_control(void *context, const Pb__Frame *f, struct rl_error *err)
{
    (void)err;
    struct heard *heard = context;
    heard->eofs += f->eof != 0;
    if (f->ack) {
        heard->acks++;
        heard->ack = f->ack;
    }
    if (f->reset) {
        heard->resets++;
        heard->reset_code = (rl_code)f->reset->code;
        snprintf(heard->reset_message, sizeof heard->reset_message, "%s", f->reset->message);
    }
    return RL_OK;
}

/* Reads all that the played side was sent. */
static void hear(struct heard *heard)
{
    static const struct rl_frame_reader_ops ops = {.data = hear_data, .control = hear_control};
    *heard = (struct heard){.resets = 0};
    struct rl_frame_reader *reader = rl_frame_reader_create(&ops, heard);
    ck_assert_int_eq(rl_frame_reader_feed(reader, rl_buf_span(&link_.side[1].wire), NULL), RL_OK);
    rl_frame_reader_free(&reader);
}

START_TEST(resets_on_every_breach_of_the_protocol)
{
    struct side *side = play_the_answerer();
    say_opened(side, RL_OK, "");
    ck_assert_int_eq(send(dialler.fd, "hello", 5, 0), 5);
    for (int i = 0; i < 3; i++)
        turn();
    ck_assert_uint_eq(dialler.opened, 1);
    say_wrong(side, (enum wrong)_i);
    turn();
    struct heard heard;
    hear(&heard);
    ck_assert_uint_eq(heard.resets, 1);
    ck_assert_msg(strstr(heard.reset_message, wrong_words[_i]), "%s", heard.reset_message);
    ck_assert_uint_eq(heard.data, 5);
    ck_assert(link_.side[0].said_end);
    side_close(side, RL_OK, "");
    ck_assert_uint_eq(dialler.closed, 1);
    ck_assert_int_ne(dialler.code, RL_OK);
    ck_assert(!dialler.by_far_end);
    ck_assert_uint_eq(link_.side[0].held, 0);
    char left[64];
    while (recv(dialler.fd, left, sizeof left, 0) > 0)
        ;
    ck_assert_int_eq(recv(dialler.fd, left, 1, 0), 0);
}
END_TEST

START_TEST(refuses_data_before_the_tunnel_is_open)
{
    struct side *side = play_the_answerer();
    say_data(side, 0, 10);
    turn();
    struct heard heard;
    hear(&heard);
    ck_assert_uint_eq(heard.resets, 1);
    ck_assert(strstr(heard.reset_message, "before the tunnel was open"));
    ck_assert_uint_eq(dialler.opened, 0);
}
END_TEST

START_TEST(resets_when_more_than_the_window_comes)
{
    struct side *side = play_the_answerer();
    say_opened(side, RL_OK, "");
    size_t sent = 0;
    int small = 4096;
    setsockopt(dialler.inner, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    for (int i = 0; i < 100 && !dialler.closed && !side->said_end; i++) {
        say_data(side, sent, 5000);
        sent += 5000;
        turn();
        ck_assert_uint_le(side->held_max, WINDOW + 16384);
    }
    struct heard heard;
    hear(&heard);
    ck_assert_uint_eq(heard.resets, 1);
    ck_assert_int_eq(heard.reset_code, RL_E_EXHAUSTED);
    ck_assert(strstr(heard.reset_message, "beyond the window"));
}
END_TEST

START_TEST(a_stalled_reader_holds_a_window_and_stops_the_writer)
{
    turn();
    turn();
    ck_assert_uint_eq(dialler.opened, 1);
    char block[4096] = {0};
    size_t sent = 0;
    for (int i = 0; i < 3000; i++) {
        ssize_t n = send(dialler.fd, block, sizeof block, MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        turn();
    }
    ck_assert_uint_lt(sent, 1000000); /* two kernel buffers and one window */
    ck_assert_uint_le(link_.side[1].held_max, WINDOW);
    ck_assert_uint_gt(link_.side[1].held_max, WINDOW - 2000);
    size_t got = 0;
    while (got < sent) {
        ssize_t n = recv(answerer.fd, block, sizeof block, 0);
        got += n > 0 ? (size_t)n : 0;
        turn();
    }
    ck_assert_uint_eq(got, sent);
}
END_TEST

/* Past the link, which would cut it into pieces. */
static void arrives_whole(struct side *side)
{
    side->held += side->wire.n;
    rl_tunnel_end_data(side->end, side->wire.p, side->wire.n);
    rl_buf_consume(&side->wire, side->wire.n);
}

static ssize_t taken_by(struct owner *owner)
{
    static uint8_t bytes[100000];
    return recv(owner->fd, bytes, sizeof bytes, 0);
}

START_TEST(full_frames_go_out_together_at_the_turns_end_and_a_keystroke_at_once)
{
    struct side *side = play_the_answerer();
    say_opened(side, RL_OK, "");
    turn();
    ck_assert_int_eq(taken_by(&dialler), 7); /* the preface */
    say_data(side, 0, 10);
    arrives_whole(side);
    ck_assert_int_eq(taken_by(&dialler), 10);
    say_data(side, 10, 16000);
    say_data(side, 16010, 16000);
    say_data(side, 32010, 10);
    arrives_whole(side);
    ck_assert_int_eq(taken_by(&dialler), -1);
    ck_assert_uint_ge(side->held, 32010); /* its window comes back when the socket took it */
    rl_loop_turn(loop, 0);
    ck_assert_int_eq(taken_by(&dialler), 32010);
    ck_assert_uint_eq(side->held, 0);
}
END_TEST

START_TEST(a_frame_takes_the_records_of_several_writes)
{
    uint8_t record[1000] = {0}, frame[16375];
    struct pair tls;
    pair_open_anonymous(&tls);
    struct side *side = play_the_answerer();
    close(dialler.inner);
    dialler.inner = tls.server_fd;
    dialler.ssl = tls.server;
    ck_assert_int_gt(rl_tunnel_end_produce(dialler.end, frame, sizeof frame), 0); /* `dial` */
    say_opened(side, RL_OK, "");
    arrives_whole(side);
    for (int i = 1; i <= 3; i++)
        ck_assert_int_eq(SSL_write(tls.client, record, i * 300), i * 300);
    ck_assert_int_eq(rl_tunnel_end_produce(dialler.end, frame, sizeof frame),
                     (ptrdiff_t)rl_frame_data_header_bytes(0) + 1800);
    ck_assert_int_eq(rl_tunnel_end_produce(dialler.end, frame, sizeof frame), RL_TUNNEL_DEFER);
    /* Told when there is more. */
    side->is_awake = false;
    ck_assert_int_eq(SSL_write(tls.client, record, 5), 5);
    rl_loop_turn(loop, 0);
    ck_assert(side->is_awake);
    ck_assert_int_eq(rl_tunnel_end_produce(dialler.end, frame, sizeof frame),
                     (ptrdiff_t)rl_frame_data_header_bytes(1800) + 5);
    SSL_free(tls.client);
    close(tls.client_fd);
}
END_TEST

START_TEST(acknowledges_after_128_kib_or_100_ms_and_at_the_end)
{
    struct side *side = play_the_answerer();
    say_opened(side, RL_OK, "");
    say_data(side, 0, 10);
    turn();
    struct heard heard;
    hear(&heard);
    ck_assert_uint_eq(heard.acks, 0);
    for (int i = 0; i < 400 && heard.acks == 0; i++) {
        rl_loop_turn(loop, 5);
        turn();
        hear(&heard);
    }
    ck_assert_uint_eq(heard.ack, 10);
    char block[32768];
    size_t sent = 10;
    for (int i = 0; i < 40; i++, sent += 10000) {
        say_data(side, sent, 10000);
        turn();
        while (recv(dialler.fd, block, sizeof block, 0) > 0)
            turn();
    }
    hear(&heard);
    ck_assert_uint_ge(heard.acks, 3);
    Pb__Frame eof = PB__FRAME__INIT;
    eof.eof = true;
    eof.offset = sent;
    say(side, &eof);
    turn();
    hear(&heard);
    ck_assert_uint_eq(heard.ack, sent);
}
END_TEST

START_TEST(one_direction_may_end_long_before_the_other)
{
    turn();
    shutdown(dialler.fd, SHUT_WR);
    char byte;
    for (int i = 0; i < 20; i++)
        turn();
    ck_assert_int_eq(recv(answerer.fd, &byte, 1, 0), 0);
    ck_assert_uint_eq(dialler.closed + answerer.closed, 0);
    ck_assert_int_eq(send(answerer.fd, "still", 5, 0), 5);
    shutdown(answerer.fd, SHUT_WR);
    turn_until(&dialler.closed);
    char text[32] = {0};
    ck_assert_int_eq(recv(dialler.fd, text, sizeof text - 1, MSG_DONTWAIT), 12);
    ck_assert_str_eq(text, "PREFACEstill");
    ck_assert_int_eq(dialler.code, RL_OK);
}
END_TEST

START_TEST(a_refusal_arrives_in_its_own_words)
{
    answerer.refuses = true;
    turn_until(&dialler.closed);
    ck_assert_int_eq(dialler.opened_code, RL_E_NOT_FOUND);
    ck_assert_str_eq(dialler.opened_message, "no such app");
    ck_assert(dialler.by_far_end);
    ck_assert_int_eq(dialler.code, RL_E_NOT_FOUND);
    turn_until(&answerer.closed);
}
END_TEST

START_TEST(an_abort_ends_both_sides_with_its_reason)
{
    turn();
    turn();
    ck_assert_int_eq(send(dialler.fd, "x", 1, 0), 1);
    turn();
    rl_tunnel_end_abort(dialler.end, RL_E_DENIED, "alice is locked");
    turn_until(&answerer.closed);
    ck_assert_int_eq(answerer.code, RL_E_DENIED);
    ck_assert_str_eq(answerer.message, "alice is locked");
    ck_assert(answerer.by_far_end);
    turn_until(&dialler.closed);
    ck_assert(!dialler.by_far_end);
}
END_TEST

START_TEST(an_abort_gets_out_though_the_window_is_closed)
{
    play_the_answerer();
    say_opened(&link_.side[0], RL_OK, "");
    turn();
    link_.side[1].window = 0;
    rl_tunnel_end_abort(dialler.end, RL_E_DENIED, "alice is locked");
    turn_until(&dialler.closed); /* RL_TUNNEL_RESET_MS later it is cancelled */
    ck_assert_int_eq(dialler.code, RL_E_DENIED);
}
END_TEST

START_TEST(a_stream_that_breaks_is_not_taken_for_an_end)
{
    turn();
    turn();
    side_close(&link_.side[0], RL_OK, "");
    ck_assert_uint_eq(dialler.closed, 1);
    ck_assert_int_eq(dialler.code, RL_E_UNAVAILABLE);
    side_close(&link_.side[1], RL_E_UNAVAILABLE, "connection lost");
    ck_assert_str_eq(answerer.message, "connection lost");
}
END_TEST

START_TEST(gives_up_on_a_far_end_that_does_not_answer)
{
    play_the_answerer();
    turn_until(&dialler.closed);
    ck_assert_int_eq(dialler.code, RL_E_DEADLINE);
    ck_assert_uint_eq(dialler.opened, 0);
}
END_TEST

START_TEST(the_user_hanging_up_resets_the_far_end)
{
    turn();
    turn();
    char block[100000] = {0};
    ck_assert_int_gt(send(answerer.fd, block, sizeof block, 0), 0);
    close(dialler.fd); /* with bytes that nobody will read */
    dialler.fd = -1;
    turn_until(&answerer.closed);
    turn_until(&dialler.closed);
    ck_assert_int_eq(answerer.code, RL_E_CANCELLED);
}
END_TEST

static TCase *cases(void)
{
    TCase *tests = tcase_create("end");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, carries_every_byte_both_ways_whatever_the_pieces, 0, 6);
    tcase_add_loop_test(tests, resets_on_every_breach_of_the_protocol, 0, WRONGS);
    tcase_add_test(tests, refuses_data_before_the_tunnel_is_open);
    tcase_add_test(tests, resets_when_more_than_the_window_comes);
    tcase_add_test(tests, a_stalled_reader_holds_a_window_and_stops_the_writer);
    tcase_add_test(tests, full_frames_go_out_together_at_the_turns_end_and_a_keystroke_at_once);
    tcase_add_test(tests, a_frame_takes_the_records_of_several_writes);
    tcase_add_test(tests, acknowledges_after_128_kib_or_100_ms_and_at_the_end);
    tcase_add_test(tests, one_direction_may_end_long_before_the_other);
    tcase_add_test(tests, a_refusal_arrives_in_its_own_words);
    tcase_add_test(tests, an_abort_ends_both_sides_with_its_reason);
    tcase_add_test(tests, an_abort_gets_out_though_the_window_is_closed);
    tcase_add_test(tests, a_stream_that_breaks_is_not_taken_for_an_end);
    tcase_add_test(tests, gives_up_on_a_far_end_that_does_not_answer);
    tcase_add_test(tests, the_user_hanging_up_resets_the_far_end);
    return tests;
}

int main(void)
{
    Suite *suite = suite_create("end");
    suite_add_tcase(suite, cases());
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
