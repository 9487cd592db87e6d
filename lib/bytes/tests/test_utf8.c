#include "bytes/utf8.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static size_t length_of(const char *text, uint32_t *point)
{
    *point = 0;
    return rl_utf8_next(text, strlen(text), point);
}

START_TEST(reads_characters_of_every_length)
{
    uint32_t point;
    ck_assert_uint_eq(length_of("a", &point), 1);
    ck_assert_uint_eq(point, 'a');
    ck_assert_uint_eq(length_of("\xC2\x80", &point), 2);
    ck_assert_uint_eq(point, 0x80);
    ck_assert_uint_eq(length_of("\xE2\x82\xAC", &point), 3);
    ck_assert_uint_eq(point, 0x20AC);
    ck_assert_uint_eq(length_of("\xF4\x8F\xBF\xBF", &point), 4);
    ck_assert_uint_eq(point, 0x10FFFF);
}
END_TEST

START_TEST(refuses_what_is_not_utf8)
{
    static const char *const bad[] = {
        "",
        "\x80",             /* a continuation alone */
        "\xC0\x80",         /* overlong NUL */
        "\xC1\xBF",         /* overlong */
        "\xE0\x9F\xBF",     /* overlong */
        "\xF0\x8F\xBF\xBF", /* overlong */
        "\xED\xA0\x80",     /* a surrogate */
        "\xF4\x90\x80\x80", /* beyond U+10FFFF */
        "\xF5\x80\x80\x80", /* no such lead */
        "\xE2\x82",         /* cut */
        "\xE2\x28\xA1",     /* broken off */
    };
    uint32_t point;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(length_of(bad[i], &point) == 0, "number %zu was taken", i);
}
END_TEST

START_TEST(knows_what_does_not_belong_in_a_line)
{
    ck_assert(rl_utf8_is_control('\n'));
    ck_assert(rl_utf8_is_control(0x1B));
    ck_assert(rl_utf8_is_control(0x7F));
    ck_assert(rl_utf8_is_control(0x9B)); /* the one-character CSI */
    ck_assert(rl_utf8_is_control(0x202E));
    ck_assert(!rl_utf8_is_control(' '));
    ck_assert(!rl_utf8_is_control(0xA0));
    ck_assert(!rl_utf8_is_control(0x20AC));
}
END_TEST

START_TEST(a_repaired_text_keeps_all_that_was_right)
{
    static const struct {
        const char *text, *repaired;
    } cases[] = {
        {"", ""},
        {"a\tb \xE2\x82\xAC", "a\tb \xE2\x82\xAC"},
        {"\xFF", "\xEF\xBF\xBD"},
        {"a\xE2\x82", "a\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xC0\x80z", "\xEF\xBF\xBD\xEF\xBF\xBDz"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *repaired = rl_utf8_repair(cases[i].text);
        ck_assert_str_eq(repaired, cases[i].repaired);
        free(repaired);
    }
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("utf8");
    tcase_add_test(t, reads_characters_of_every_length);
    tcase_add_test(t, refuses_what_is_not_utf8);
    tcase_add_test(t, knows_what_does_not_belong_in_a_line);
    tcase_add_test(t, a_repaired_text_keeps_all_that_was_right);
    Suite *s = suite_create("utf8");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
