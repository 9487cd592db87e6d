#include "recording/text.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct rl_buf seen;

static void on_line(void *context, struct rl_span line)
{
    (void)context;
    rl_buf_put_span(&seen, line);
    rl_buf_put_u8(&seen, '\n');
}

/* Whole, and byte by byte: where output is cut makes no difference. */
static void expect(const char *output, const char *plain)
{
    for (size_t step = strlen(output); step; step = step > 1 ? 1 : 0) {
        struct rl_recording_text *text = rl_recording_text_create(on_line, NULL);
        rl_buf_clear(&seen);
        for (size_t at = 0; at < strlen(output); at += step)
            rl_recording_text_add(text, RL_SPAN(output + at, step));
        rl_recording_text_end(text);
        rl_recording_text_free(&text);
        ck_assert_str_eq(rl_buf_text(&seen), plain);
    }
}

static void start(void)
{
    rl_buf_init(&seen, 1 << 20);
}

static void stop(void)
{
    rl_buf_fini(&seen);
}

START_TEST(lines_are_lines)
{
    expect("one\r\ntwo\r\n\r\nthree", "one\ntwo\n\nthree\n");
}
END_TEST

START_TEST(colours_titles_and_character_sets_are_left_out)
{
    expect("\033[1;31mred\033[0m\033]0;a title\007 x\033]8;;http://h/\033\\link\033(B\033=!\r\n",
           "red xlink!\n");
}
END_TEST

START_TEST(what_was_typed_wrong_and_corrected_is_not_shown)
{
    expect("$ lx\b \bs\r\n", "$ ls\n");
    expect("$ lx\b\033[Ks\r\n", "$ ls\n");
    expect("abc\033[2Dx\033[P\r\n", "ax\n");
}
END_TEST

START_TEST(a_line_that_is_drawn_again_is_its_last)
{
    expect(" 10%\r 50%\r100%\r\n", "100%\n");
    expect("a\tb\r\n", "a       b\n");
}
END_TEST

START_TEST(a_full_screen_program_is_pieces_of_lines)
{
    expect("\033[?1049h\033[H\033[2Jtop\033[5;1Hbelow\033[?1049l\r\n", "top\nbelow\n");
}
END_TEST

START_TEST(no_control_character_gets_through)
{
    expect("a\001\016\177b\033[31\030c\xC2\x9B"
           "31m\r\n",
           "abc\xEF\xBF\xBD"
           "31m\n");
    expect("\xE2\x80\xAE"
           "evil\n",
           "\xEF\xBF\xBD"
           "evil\n");
}
END_TEST

START_TEST(what_is_not_utf8_is_marked)
{
    expect("caf\xC3\xA9 \xC3 \xFFx\n", "caf\xC3\xA9 \xEF\xBF\xBD \xEF\xBF\xBDx\n");
}
END_TEST

START_TEST(an_endless_line_is_told_in_pieces)
{
    struct rl_recording_text *text = rl_recording_text_create(on_line, NULL);
    rl_buf_clear(&seen);
    for (size_t i = 0; i < RL_RECORDING_COLUMNS_MAX + 1; i++)
        rl_recording_text_add(text, rl_span_of("x"));
    rl_recording_text_end(text);
    rl_recording_text_free(&text);
    ck_assert_uint_eq(seen.n, RL_RECORDING_COLUMNS_MAX + 1 + 2);
    ck_assert_int_eq(seen.p[RL_RECORDING_COLUMNS_MAX], '\n');
}
END_TEST

int main(void)
{
    Suite *s = suite_create("text");
    TCase *t = tcase_create("plain");
    tcase_add_checked_fixture(t, start, stop);
    tcase_add_test(t, lines_are_lines);
    tcase_add_test(t, colours_titles_and_character_sets_are_left_out);
    tcase_add_test(t, what_was_typed_wrong_and_corrected_is_not_shown);
    tcase_add_test(t, a_line_that_is_drawn_again_is_its_last);
    tcase_add_test(t, a_full_screen_program_is_pieces_of_lines);
    tcase_add_test(t, no_control_character_gets_through);
    tcase_add_test(t, what_is_not_utf8_is_marked);
    tcase_add_test(t, an_endless_line_is_told_in_pieces);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
