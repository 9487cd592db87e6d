#include "event/event.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static Pb__Event *an_event(void)
{
    return rl_event_create("session.start", "success", 1763800000000000000);
}

START_TEST(an_event_has_uid_code_and_time)
{
    Pb__Event *event = an_event();
    ck_assert_str_eq(event->code, "RL3000I");
    ck_assert_uint_eq(strlen(event->uid), 36);
    ck_assert_int_eq(event->uid[14], '7');
    ck_assert_int_eq(event->time_ns, 1763800000000000000);
    ck_assert_int_eq(rl_event_check(event, NULL), RL_OK);
    rl_event_free(&event);
    ck_assert_ptr_null(event);
    rl_event_free(&event);
}
END_TEST

START_TEST(the_code_says_the_outcome)
{
    char code[RL_EVENT_CODE_BYTES];
    ck_assert_int_eq(rl_event_code("user.login", "denied", code, NULL), RL_OK);
    ck_assert_str_eq(code, "RL1000W");
    ck_assert_int_eq(rl_event_code("user.login", "failure", code, NULL), RL_OK);
    ck_assert_str_eq(code, "RL1000E");
    ck_assert_int_eq(rl_event_code("user.login", "maybe", code, NULL), RL_E_INVAL);
    ck_assert_int_eq(rl_event_code("user.logon", "success", code, NULL), RL_E_INVAL);
}
END_TEST

START_TEST(a_long_text_is_cut_at_a_character_and_marked)
{
    Pb__Event *event = an_event();
    char *text = malloc(3 * RL_EVENT_TEXT_BYTES_MAX + 1);
    for (size_t i = 0; i < RL_EVENT_TEXT_BYTES_MAX; i++)
        memcpy(text + 3 * i, "\xE2\x82\xAC", 4);
    rl_event_set(&event->command, text);
    ck_assert_uint_le(strlen(event->command), RL_EVENT_TEXT_BYTES_MAX);
    ck_assert_ptr_nonnull(strstr(event->command, "...(cut)"));
    ck_assert_int_eq(rl_event_check(event, NULL), RL_OK);
    free(text);
    rl_event_free(&event);
}
END_TEST

START_TEST(a_command_of_any_bytes_makes_an_event_that_audit_takes)
{
    Pb__Event *event = an_event();
    rl_event_set(&event->command, "rm -rf / # \xFF\xC0\x80");
    ck_assert_int_eq(rl_event_check(event, NULL), RL_OK);
    ck_assert_int_eq(strncmp(event->command, "rm -rf / # ", 11), 0);
    char *text = malloc(RL_EVENT_TEXT_BYTES_MAX + 1);
    memset(text, 0xFF, RL_EVENT_TEXT_BYTES_MAX);
    text[RL_EVENT_TEXT_BYTES_MAX] = '\0';
    rl_event_set(&event->command, text);
    ck_assert_int_eq(rl_event_check(event, NULL), RL_OK);
    free(text);
    rl_event_free(&event);
}
END_TEST

START_TEST(text_at_the_limit_is_whole)
{
    Pb__Event *event = an_event();
    char text[RL_EVENT_TEXT_BYTES_MAX + 1];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    rl_event_set(&event->command, text);
    ck_assert_str_eq(event->command, text);
    rl_event_free(&event);
}
END_TEST

START_TEST(details_are_an_object_whatever_the_value_says)
{
    Pb__Event *event = an_event();
    rl_event_detail(event, "host", "a\"b\\c");
    rl_event_detail(event, "empty", "");
    rl_event_detail(event, "host", "again");
    rl_event_detail(event, "other", "x");
    ck_assert_str_eq(event->details_json, "{\"host\":\"again\",\"other\":\"x\"}");
    rl_event_free(&event);
}
END_TEST

START_TEST(one_detail_too_many_is_left_out)
{
    Pb__Event *event = an_event();
    char value[4000];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    rl_event_detail(event, "a", value);
    rl_event_detail(event, "b", value);
    rl_event_detail(event, "c", value);
    rl_event_detail(event, "d", "small");
    ck_assert_ptr_nonnull(strstr(event->details_json, "\"b\""));
    ck_assert_ptr_null(strstr(event->details_json, "\"c\""));
    ck_assert_ptr_nonnull(strstr(event->details_json, "\"d\":\"small\""));
    ck_assert_int_eq(rl_event_check(event, NULL), RL_OK);
    rl_event_free(&event);
}
END_TEST

static void check_refused(void (*spoil)(Pb__Event *event))
{
    Pb__Event *event = an_event();
    spoil(event);
    ck_assert_int_eq(rl_event_check(event, NULL), RL_E_INVAL);
    rl_event_free(&event);
}

static void spoil_type(Pb__Event *event)
{
    rl_event_set(&event->type, "session.begin");
}
static void spoil_code(Pb__Event *event)
{
    rl_event_set(&event->code, "RL3000W");
}
static void spoil_uid(Pb__Event *event)
{
    rl_event_set(&event->uid, "0190b5e2-0000-4000-8000-000000000000");
}
static void spoil_utf8(Pb__Event *event)
{
    free(event->command);
    event->command = strdup("\xFF");
}
static void spoil_length(Pb__Event *event)
{
    free(event->command);
    event->command = calloc(1, RL_EVENT_TEXT_BYTES_MAX + 2);
    memset(event->command, 'a', RL_EVENT_TEXT_BYTES_MAX + 1);
}

START_TEST(an_event_from_a_peer_must_be_right_in_each_field)
{
    check_refused(spoil_type);
    check_refused(spoil_code);
    check_refused(spoil_uid);
    check_refused(spoil_utf8);
    check_refused(spoil_length);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("event");
    tcase_add_test(t, an_event_has_uid_code_and_time);
    tcase_add_test(t, the_code_says_the_outcome);
    tcase_add_test(t, a_long_text_is_cut_at_a_character_and_marked);
    tcase_add_test(t, a_command_of_any_bytes_makes_an_event_that_audit_takes);
    tcase_add_test(t, text_at_the_limit_is_whole);
    tcase_add_test(t, details_are_an_object_whatever_the_value_says);
    tcase_add_test(t, one_detail_too_many_is_left_out);
    tcase_add_test(t, an_event_from_a_peer_must_be_right_in_each_field);
    Suite *s = suite_create("event");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
