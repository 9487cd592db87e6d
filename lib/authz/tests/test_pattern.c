#include "authz/authz.h"

#include <check.h>
#include <string.h>

static void expect(const char *pattern, const char *text, rl_code want)
{
    struct rl_error err = {0};
    rl_code got = rl_pattern_match(pattern, text, &err);
    ck_assert_msg(got == want, "%s on %s: %s (%s)", pattern, text, rl_code_name(got), err.message);
}

START_TEST(matches_the_table)
{
    static const struct {
        const char *pattern, *text;
        bool matches;
    } rows[] = {
        {"dev", "dev", true},
        {"dev", "Dev", false},
        {"dev", "devel", false},
        {"", "", true},
        {"", "x", false},
        {"*", "", true},
        {"*", "anything at all", true},
        {"eu-*", "eu-", true},
        {"eu-*", "eu-west", true},
        {"eu-*", "us-eu-west", false},
        {"*-west", "eu-west", true},
        {"*-west", "eu-west-1", false},
        {"a*b*c", "aXbXc", true},
        {"a*b*c", "abbbbc", true},
        {"a*b*c", "acb", false},
        {"a**c", "ac", true},
        {"?", "x", true},
        {"?", "\xc3\xa9", true}, /* one character, two bytes */
        {"?", "", false},
        {"??", "\xc3\xa9", false},
        {"*\xc3\xa9?", "caf\xc3\xa9s", true},
        {"[ab]", "a", false}, /* no sets in a glob */
        {"[ab]", "[ab]", true},
        {"a.c", "abc", false}, /* a dot is a dot */
        {"^eu-.*$", "eu-west", true},
        {"^eu-.*$", "us-eu-west", false},
        {"^a|b$", "a", true},
        {"^a|b$", "b", true},
        {"^a|b$", "ab", false}, /* whole string, whatever the alternation says */
        {"^(a|b)+$", "abba", true},
        {"^dev$", "dev\n", false},
        {"^\\d{3}$", "123", true},
        {"^.$", "\xc3\xa9", true},
        {"^$", "", true},
        {"^(?i)dev$", "DEV", true},
        {"x$", "x$", true}, /* a login of a machine account, not an expression */
    };
    for (size_t i = 0; i < RL_COUNT(rows); i++)
        expect(rows[i].pattern, rows[i].text, rows[i].matches ? RL_OK : RL_E_NOT_FOUND);
}
END_TEST

START_TEST(refuses_what_is_not_a_pattern)
{
    static const char *const bad[] = {"^",         "^abc",      "^(a$",    "^a{2,1}$",
                                      "^[z-a]$",   "^\\C$",     "^*$",     "^(?<n>a)(?<n>b)$",
                                      "^\\p{Xx}$", "^(*UTF)a$", "^\xff.$", "^(?:$"};
    for (size_t i = 0; i < RL_COUNT(bad); i++) {
        struct rl_error err;
        ck_assert_msg(rl_pattern_check(bad[i], &err) == RL_E_INVAL, "took %s", bad[i]);
        ck_assert_ptr_nonnull(strstr(err.message, "pattern"));
        expect(bad[i], "a", RL_E_INVAL);
    }
}
END_TEST

START_TEST(bounds_the_length_of_a_pattern)
{
    char pattern[RL_AUTHZ_PATTERN_BYTES_MAX + 2];
    memset(pattern, 'a', sizeof pattern);
    pattern[RL_AUTHZ_PATTERN_BYTES_MAX - 1] = '\0';
    ck_assert_int_eq(rl_pattern_check(pattern, NULL), RL_OK);
    pattern[RL_AUTHZ_PATTERN_BYTES_MAX - 1] = 'a';
    pattern[RL_AUTHZ_PATTERN_BYTES_MAX] = '\0';
    ck_assert_int_eq(rl_pattern_check(pattern, NULL), RL_OK);
    expect(pattern, pattern, RL_OK);
    pattern[RL_AUTHZ_PATTERN_BYTES_MAX] = 'a';
    pattern[RL_AUTHZ_PATTERN_BYTES_MAX + 1] = '\0';
    ck_assert_int_eq(rl_pattern_check(pattern, NULL), RL_E_INVAL);
    expect(pattern, pattern, RL_E_INVAL);
}
END_TEST

START_TEST(ends_a_match_that_would_take_for_ever)
{
    char text[200];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    text[sizeof text - 2] = '!';
    static const char *const evil[] = {"^(a+)+b$", "^(a|a)*b$", "^(a*)*b$", "^(.*)*(.*)*(.*)*x$",
                                       "^(?:a?){60}a{60}$"};
    for (size_t i = 0; i < RL_COUNT(evil); i++) {
        ck_assert_int_eq(rl_pattern_check(evil[i], NULL), RL_OK);
        rl_code code = rl_pattern_match(evil[i], text, NULL);
        ck_assert_msg(code == RL_E_INVAL || code == RL_E_NOT_FOUND, "%s: %s", evil[i],
                      rl_code_name(code));
    }
    expect("^(a|aa)+[b-d]$", text, RL_E_INVAL);
    expect("^(a(a(a(a(a(a(a(a(a(a(a(a(a(a(a(a(a(a(a(a(a(a(a(a(a(a(a(a(a(a(a(a(a(a(a(a(a(a(a(a(a"
           ")))))))))))))))))))))))))))))))))))))))))$",
           "a", RL_E_INVAL);
}
END_TEST

START_TEST(does_not_let_a_long_text_make_work)
{
    static char text[5000];
    memset(text, 'a', sizeof text - 1);
    expect("*b", text, RL_E_INVAL);
}
END_TEST

START_TEST(takes_bad_utf8_for_an_error_in_an_expression)
{
    expect("^.*$", "\xff", RL_E_INVAL);
    expect("*", "\xff", RL_OK);
    expect("?", "\xff", RL_OK);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("pattern");
    tcase_add_test(t, matches_the_table);
    tcase_add_test(t, refuses_what_is_not_a_pattern);
    tcase_add_test(t, bounds_the_length_of_a_pattern);
    tcase_add_test(t, ends_a_match_that_would_take_for_ever);
    tcase_add_test(t, does_not_let_a_long_text_make_work);
    tcase_add_test(t, takes_bad_utf8_for_an_error_in_an_expression);
    Suite *s = suite_create("pattern");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
