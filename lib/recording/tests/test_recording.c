#include "recording/recording.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

static struct rl_recording_encoder *encoder;
static struct rl_recording_decoder *decoder;
static struct rl_buf frame;
static struct rl_error err;

static void start(void)
{
    encoder = rl_recording_encoder_create();
    decoder = rl_recording_decoder_create();
    rl_buf_init(&frame, RL_RECORDING_PART_BYTES_MAX);
}

static void stop(void)
{
    rl_recording_encoder_free(&encoder);
    rl_recording_decoder_free(&decoder);
    rl_buf_fini(&frame);
}

static void finish(void)
{
    rl_buf_clear(&frame);
    rl_recording_encoder_finish(encoder, &frame);
}

static void expect_output(uint64_t time_us, const char *text)
{
    struct rl_recording_record r;
    ck_assert(rl_recording_next(decoder, &r));
    ck_assert_int_eq(r.type, RL_RECORDING_OUTPUT);
    ck_assert_uint_eq(r.time_us, time_us);
    ck_assert(rl_span_is(r.output, text));
}

START_TEST(what_was_shown_is_read_again_with_its_times)
{
    struct rl_recording_record r;
    rl_recording_add_resize(encoder, 0, 80, 24);
    rl_recording_add_output(encoder, 1000, rl_span_of("$ "));
    rl_recording_add_output(encoder, 2000000, rl_span_of("ls\r\n"));
    rl_recording_add_resize(encoder, 2000001, 65535, 1);
    finish();
    ck_assert(rl_recording_is_empty(encoder));
    ck_assert_int_eq(rl_recording_check_frame(rl_buf_span(&frame), &err), RL_OK);
    ck_assert_int_eq(rl_recording_decode(decoder, rl_buf_span(&frame), &err), RL_OK);
    ck_assert(rl_recording_next(decoder, &r));
    ck_assert_int_eq(r.type, RL_RECORDING_RESIZE);
    ck_assert_uint_eq(r.columns, 80);
    ck_assert_uint_eq(r.rows, 24);
    expect_output(1000, "$ ");
    expect_output(2000000, "ls\r\n");
    ck_assert(rl_recording_next(decoder, &r));
    ck_assert_uint_eq(r.columns, 65535);
    ck_assert(!rl_recording_next(decoder, &r));
}
END_TEST

START_TEST(outputs_close_to_each_other_are_one_record)
{
    rl_recording_add_output(encoder, 100, rl_span_of("a"));
    rl_recording_add_output(encoder, 100 + RL_RECORDING_MERGE_US - 1, rl_span_of("b"));
    rl_recording_add_output(encoder, 100 + RL_RECORDING_MERGE_US, rl_span_of("c"));
    finish();
    ck_assert_int_eq(rl_recording_decode(decoder, rl_buf_span(&frame), &err), RL_OK);
    expect_output(100, "ab");
    expect_output(100 + RL_RECORDING_MERGE_US, "c");
}
END_TEST

START_TEST(a_resize_between_two_outputs_keeps_its_place)
{
    struct rl_recording_record r;
    rl_recording_add_output(encoder, 100, rl_span_of("a"));
    rl_recording_add_resize(encoder, 101, 10, 10);
    rl_recording_add_output(encoder, 102, rl_span_of("b"));
    finish();
    ck_assert_int_eq(rl_recording_decode(decoder, rl_buf_span(&frame), &err), RL_OK);
    expect_output(100, "a");
    ck_assert(rl_recording_next(decoder, &r) && r.type == RL_RECORDING_RESIZE);
    expect_output(102, "b");
}
END_TEST

START_TEST(time_never_goes_back)
{
    rl_recording_add_output(encoder, 900000, rl_span_of("a"));
    rl_recording_add_resize(encoder, 5, 10, 10);
    finish();
    ck_assert_int_eq(rl_recording_decode(decoder, rl_buf_span(&frame), &err), RL_OK);
}
END_TEST

START_TEST(a_full_part_of_what_does_not_compress_fits)
{
    size_t n = rl_recording_room(encoder);
    uint8_t *noise = rl_alloc(n);
    uint32_t x = 1;
    for (size_t i = 0; i < n; i++) {
        x = x * 1664525u + 1013904223u;
        noise[i] = (uint8_t)(x >> 24);
    }
    rl_recording_add_output(encoder, 0, RL_SPAN(noise, n));
    ck_assert_uint_eq(rl_recording_room(encoder), 0);
    rl_recording_add_resize(encoder, 0, 1, 1);
    finish();
    ck_assert_int_eq(rl_recording_check_frame(rl_buf_span(&frame), &err), RL_OK);
    ck_assert_int_eq(rl_recording_decode(decoder, rl_buf_span(&frame), &err), RL_OK);
    struct rl_recording_record r;
    ck_assert(rl_recording_next(decoder, &r));
    ck_assert(rl_span_equal(r.output, RL_SPAN(noise, n)));
    free(noise);
}
END_TEST

START_TEST(a_flipped_bit_anywhere_is_found)
{
    rl_recording_add_output(encoder, 0, rl_span_of("some output of a session, some output"));
    finish();
    for (size_t i = 0; i < frame.n * 8; i++) {
        frame.p[i / 8] ^= (uint8_t)(1u << (i % 8));
        rl_code rc = rl_recording_decode(decoder, rl_buf_span(&frame), &err);
        struct rl_recording_record r;
        /* Bits of a frame's header that nobody reads change nothing. */
        if (rc == RL_OK)
            ck_assert(rl_recording_next(decoder, &r) &&
                      rl_span_is(r.output, "some output of a session, some output"));
        else
            ck_assert(rc == RL_E_DATA_LOSS && !rl_recording_next(decoder, &r));
        frame.p[i / 8] ^= (uint8_t)(1u << (i % 8));
    }
}
END_TEST

START_TEST(a_frame_that_is_cut_or_longer_is_none)
{
    rl_recording_add_output(encoder, 0, rl_span_of("some output"));
    finish();
    for (size_t n = 0; n < frame.n; n++)
        ck_assert_int_eq(rl_recording_check_frame(RL_SPAN(frame.p, n), &err), RL_E_INVAL);
    rl_buf_put_u8(&frame, 0);
    ck_assert_int_eq(rl_recording_check_frame(rl_buf_span(&frame), &err), RL_E_INVAL);
}
END_TEST

/* As whatever wrote it: zstd over bytes of ours. */
static rl_code check_raw(const void *raw, size_t n)
{
    static uint8_t out[4 * RL_RECORDING_RAW_BYTES_MAX];
    size_t made = ZSTD_compress(out, sizeof out, raw, n, 1);
    ck_assert(!ZSTD_isError(made));
    return rl_recording_check_frame(RL_SPAN(out, made), &err);
}

START_TEST(a_small_frame_of_much_content_is_refused_before_it_is_unpacked)
{
    uint8_t *zeros = rl_alloc(RL_RECORDING_RAW_BYTES_MAX + 1);
    ck_assert_int_eq(check_raw(zeros, RL_RECORDING_RAW_BYTES_MAX), RL_OK);
    ck_assert_int_eq(check_raw(zeros, RL_RECORDING_RAW_BYTES_MAX + 1), RL_E_INVAL);
    free(zeros);
}
END_TEST

START_TEST(records_that_are_none_are_not_half_read)
{
    static const struct {
        const char *raw;
        size_t n;
    } bad[] = {
        {"o\0\0\0\0\0\0\0\1\0\0\0\5abcd", 17},                        /* cut */
        {"i\0\0\0\0\0\0\0\1\0\0\0\1a", 14},                           /* no such record */
        {"r\0\0\0\0\0\0\0\1\0\0\0\3abc", 16},                         /* half a size */
        {"o\0\0\0\0\0\0\0\2\0\0\0\1ao\0\0\0\0\0\0\0\1\0\0\0\1b", 28}, /* back in time */
        {"o\0\0\0\0\0\0\0\2\xFF\xFF\xFF\xFF"
         "a",
         14},
    };
    for (size_t i = 0; i < RL_COUNT(bad); i++) {
        uint8_t out[256];
        size_t n = ZSTD_compress(out, sizeof out, bad[i].raw, bad[i].n, 1);
        struct rl_recording_record r;
        ck_assert_int_eq(rl_recording_decode(decoder, RL_SPAN(out, n), &err), RL_E_DATA_LOSS);
        ck_assert(!rl_recording_next(decoder, &r));
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("recording");
    TCase *t = tcase_create("parts");
    tcase_add_checked_fixture(t, start, stop);
    tcase_add_test(t, what_was_shown_is_read_again_with_its_times);
    tcase_add_test(t, outputs_close_to_each_other_are_one_record);
    tcase_add_test(t, a_resize_between_two_outputs_keeps_its_place);
    tcase_add_test(t, time_never_goes_back);
    tcase_add_test(t, a_full_part_of_what_does_not_compress_fits);
    tcase_add_test(t, a_flipped_bit_anywhere_is_found);
    tcase_add_test(t, a_frame_that_is_cut_or_longer_is_none);
    tcase_add_test(t, a_small_frame_of_much_content_is_refused_before_it_is_unpacked);
    tcase_add_test(t, records_that_are_none_are_not_half_read);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
