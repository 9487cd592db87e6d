#include "bytes/encoding.h"
#include "tunnel/tunnel.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Writes down what a reader hands on, in the words of the vectors. */
struct seen {
    char text[256];
    struct rl_buf data;
    uint64_t offset;
    unsigned frames;
};

static rl_code on_data(void *context, uint64_t offset, const uint8_t *bytes, size_t n,
                       struct rl_error *err)
{
    (void)err;
    struct seen *seen = context;
    ck_assert_uint_ge(n, 1);
    if (seen->frames || seen->data.n == 0) {
        rl_buf_clear(&seen->data);
        seen->offset = offset;
        seen->frames = 0;
    }
    ck_assert_uint_eq(offset, seen->offset + seen->data.n);
    ck_assert(rl_buf_put(&seen->data, bytes, n));
    snprintf(seen->text, sizeof seen->text, "offset=%llu data=%.100s",
             (unsigned long long)seen->offset, rl_buf_text(&seen->data));
    return RL_OK;
}

static rl_code on_control(void *context, const Pb__Frame *f, struct rl_error *err)
{
    (void)err;
    struct seen *seen = context;
    seen->frames++;
    char *text = seen->text;
    size_t n = sizeof seen->text;
    if (f->ack)
        snprintf(text, n, "ack=%llu", (unsigned long long)f->ack);
    else if (f->eof)
        snprintf(text, n, "offset=%llu eof", (unsigned long long)f->offset);
    else if (f->reset)
        snprintf(text, n, "reset=%u:%.100s", f->reset->code, f->reset->message);
    else if (f->opened)
        snprintf(text, n, "opened=%u:%.100s", f->opened->code, f->opened->message);
    else if (f->join)
        snprintf(text, n, "join=%llu", (unsigned long long)f->join->epoch);
    else if (f->resume)
        snprintf(text, n, "resume=%llu", (unsigned long long)f->resume->received);
    return RL_OK;
}

static const struct rl_frame_reader_ops ops = {.data = on_data, .control = on_control};

/* Reads `wire` in pieces of `step` bytes. */
static rl_code read_in_steps(struct rl_span wire, size_t step, struct seen *seen,
                             struct rl_error *err)
{
    *seen = (struct seen){.frames = 0};
    rl_buf_init(&seen->data, 1 << 20);
    struct rl_frame_reader *reader = rl_frame_reader_create(&ops, seen);
    rl_code rc = RL_OK;
    for (size_t at = 0; at < wire.n && rc == RL_OK; at += step) {
        size_t n = wire.n - at < step ? wire.n - at : step;
        rc = rl_frame_reader_feed(reader, RL_SPAN(wire.p + at, n), err);
    }
    if (rc == RL_OK)
        ck_assert(rl_frame_reader_is_between(reader));
    rl_frame_reader_free(&reader);
    rl_buf_fini(&seen->data);
    return rc;
}

static void strip_spaces(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++)
        if (*from != ' ')
            *to++ = *from;
    *to = '\0';
}

static void check_vector(const char *name, char *hex, const char *says)
{
    struct rl_buf wire;
    rl_buf_init(&wire, 1 << 17);
    strip_spaces(hex);
    ck_assert_msg(rl_hex_decode(hex, &wire, NULL) == RL_OK, "%s is not hex", name);
    for (size_t step = 1; step <= wire.n; step++) {
        struct seen seen;
        struct rl_error err = {0};
        rl_code rc = read_in_steps(rl_buf_span(&wire), step, &seen, &err);
        if (name[0] == '!')
            ck_assert_msg(rc == RL_E_INVAL && strstr(err.message, says), "%s, by %zu: %d %s", name,
                          step, rc, err.message);
        else
            ck_assert_msg(rc == RL_OK && strcmp(seen.text, says) == 0, "%s, by %zu: %s%s", name,
                          step, seen.text, err.message);
    }
    rl_buf_fini(&wire);
}

START_TEST(reads_the_vectors_in_pieces_of_any_size)
{
    FILE *file = fopen("tests/vectors", "r");
    ck_assert_ptr_nonnull(file);
    char line[512];
    unsigned count = 0;
    while (fgets(line, sizeof line, file)) {
        char name[64], hex[256], says[128];
        if (line[0] == '#')
            continue;
        ck_assert_int_eq(sscanf(line, "%63s | %255[0-9a-f ]| %127[^\n]", name, hex, says), 3);
        check_vector(name, hex, says);
        count++;
    }
    fclose(file);
    ck_assert_uint_ge(count, 20);
}
END_TEST

START_TEST(writes_a_data_header_that_is_as_long_as_it_said)
{
    static const uint64_t offsets[] = {0, 1, 127, 128, 1u << 20, UINT64_MAX - 16384};
    static const size_t sizes[] = {1, 127, 128, 16383, 16384};
    for (size_t i = 0; i < RL_COUNT(offsets); i++) {
        for (size_t k = 0; k < RL_COUNT(sizes); k++) {
            uint8_t wire[RL_TUNNEL_DATA_HEADER_BYTES_MAX + 16384] = {0};
            size_t header = rl_frame_data_header_write(wire, offsets[i], sizes[k]);
            ck_assert_uint_eq(header, rl_frame_data_header_bytes(offsets[i]));
            ck_assert_uint_le(header, RL_TUNNEL_DATA_HEADER_BYTES_MAX);
            Pb__Frame *frame = pb__frame__unpack(NULL, header + sizes[k] - RL_TUNNEL_PREFIX_BYTES,
                                                 wire + RL_TUNNEL_PREFIX_BYTES);
            ck_assert_ptr_nonnull(frame);
            ck_assert_uint_eq(frame->offset, offsets[i]);
            ck_assert_uint_eq(frame->data.len, sizes[k]);
            pb__frame__free_unpacked(frame, NULL);
        }
    }
}
END_TEST

START_TEST(reads_a_run_of_frames_written_by_itself)
{
    struct rl_buf wire;
    rl_buf_init(&wire, 1 << 20);
    uint64_t offset = 0;
    for (size_t n = 1; n <= 16384; n = n * 3 + 1) {
        uint8_t *to = rl_buf_reserve(&wire, RL_TUNNEL_DATA_HEADER_BYTES_MAX + n);
        size_t header = rl_frame_data_header_write(to, offset, n);
        memset(to + header, 'x', n);
        wire.n += header + n;
        offset += n;
        Pb__Frame ack = PB__FRAME__INIT;
        ack.ack = offset;
        ck_assert_int_eq(rl_frame_write(&ack, &wire, NULL), RL_OK);
    }
    for (size_t step = 1; step < 20000; step = step * 2 + 1) {
        struct seen seen;
        ck_assert_int_eq(read_in_steps(rl_buf_span(&wire), step, &seen, NULL), RL_OK);
        char last[64];
        snprintf(last, sizeof last, "ack=%llu", (unsigned long long)offset);
        ck_assert_str_eq(seen.text, last);
    }
    rl_buf_fini(&wire);
}
END_TEST

START_TEST(takes_a_control_frame_of_the_maximum_and_no_larger)
{
    char *text = rl_alloc(RL_TUNNEL_CONTROL_BYTES_MAX + 1);
    Pb__Reset reset = PB__RESET__INIT;
    Pb__Frame frame = PB__FRAME__INIT;
    frame.reset = &reset;
    reset.message = text;
    struct rl_buf wire;
    rl_buf_init(&wire, 1 << 20);
    struct seen seen;
    memset(text, 'm', RL_TUNNEL_CONTROL_BYTES_MAX - 8); /* two headers of 4 bytes */
    ck_assert_uint_eq(pb__frame__get_packed_size(&frame), RL_TUNNEL_CONTROL_BYTES_MAX);
    ck_assert_int_eq(rl_frame_write(&frame, &wire, NULL), RL_OK);
    ck_assert_int_eq(read_in_steps(rl_buf_span(&wire), 1000, &seen, NULL), RL_OK);
    ck_assert_uint_eq(seen.frames, 1);
    text[RL_TUNNEL_CONTROL_BYTES_MAX - 8] = 'm';
    ck_assert_int_eq(rl_frame_write(&frame, &wire, NULL), RL_E_INVAL);
    rl_buf_fini(&wire);
    free(text);
}
END_TEST

START_TEST(stops_after_one_frame_for_who_relays_the_rest)
{
    static const uint8_t wire[] = {0, 0, 0, 0, 2, 0x4a, 0, 0, 0, 0, 0, 4, 0x12, 2, 'h', 'i'};
    struct seen seen = {.frames = 0};
    rl_buf_init(&seen.data, 100);
    struct rl_frame_reader *reader = rl_frame_reader_create(&ops, &seen);
    size_t taken = 0;
    ck_assert_int_eq(rl_frame_reader_feed_one(reader, RL_SPAN(wire, 3), &taken, NULL), RL_OK);
    ck_assert_uint_eq(taken, 3);
    ck_assert(!rl_frame_reader_is_between(reader));
    struct rl_span rest = RL_SPAN(wire + 3, sizeof wire - 3);
    ck_assert_int_eq(rl_frame_reader_feed_one(reader, rest, &taken, NULL), RL_OK);
    ck_assert_uint_eq(taken, 4);
    ck_assert(rl_frame_reader_is_between(reader));
    ck_assert_uint_eq(seen.data.n, 0);
    ck_assert_str_eq(seen.text, "opened=0:");
    rl_frame_reader_free(&reader);
    rl_buf_fini(&seen.data);
}
END_TEST

START_TEST(reads_nothing_after_a_malformed_frame)
{
    static const uint8_t bad[] = {1, 0, 0, 0, 1};
    static const uint8_t good[] = {0, 0, 0, 0, 2, 0x4a, 0};
    struct seen seen = {.frames = 0};
    struct rl_frame_reader *reader = rl_frame_reader_create(&ops, &seen);
    ck_assert_int_eq(rl_frame_reader_feed(reader, RL_SPAN(bad, sizeof bad), NULL), RL_E_INVAL);
    ck_assert_int_eq(rl_frame_reader_feed(reader, RL_SPAN(good, sizeof good), NULL), RL_E_INVAL);
    ck_assert_uint_eq(seen.frames, 0);
    rl_frame_reader_free(&reader);
    ck_assert_ptr_null(reader);
    rl_frame_reader_free(&reader);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("frame");
    tcase_add_test(tests, reads_the_vectors_in_pieces_of_any_size);
    tcase_add_test(tests, writes_a_data_header_that_is_as_long_as_it_said);
    tcase_add_test(tests, reads_a_run_of_frames_written_by_itself);
    tcase_add_test(tests, takes_a_control_frame_of_the_maximum_and_no_larger);
    tcase_add_test(tests, stops_after_one_frame_for_who_relays_the_rest);
    tcase_add_test(tests, reads_nothing_after_a_malformed_frame);
    Suite *suite = suite_create("frame");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
