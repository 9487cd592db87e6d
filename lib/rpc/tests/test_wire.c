#include "rpc/wire.h"

#include <check.h>
#include <string.h>

static void expect_encoded(const char *message, const char *wire)
{
    struct rl_buf out;
    rl_buf_init(&out, 2048);
    ck_assert(rl_rpc_message_encode(message, &out));
    ck_assert_str_eq(rl_buf_text(&out), wire);
    rl_buf_fini(&out);
}

static void expect_decoded(const char *wire, const char *message)
{
    char text[RL_ERROR_MESSAGE_BYTES];
    rl_rpc_message_decode(rl_span_of(wire), text);
    ck_assert_str_eq(text, message);
}

START_TEST(encodes_messages_as_the_protocol_says)
{
    expect_encoded("plain text", "plain text");
    expect_encoded("100% \xC3\xBC", "100%25 %C3%BC");
    expect_encoded("a\nb~", "a%0Ab~");
    expect_encoded("", "");
}
END_TEST

START_TEST(decodes_messages)
{
    expect_decoded("100%25 %C3%BC%c3%bc", "100% \xC3\xBC\xC3\xBC");
    expect_decoded("a broken %2 and %zz stay", "a broken %2 and %zz stay");
    expect_decoded("%", "%");
}
END_TEST

START_TEST(makes_text_of_messages_that_are_none)
{
    expect_decoded("a%0Ab%00c%1B[31m", "a?b?c?[31m");
    expect_decoded("%FF%C3", "??");
    char wire[3000], text[RL_ERROR_MESSAGE_BYTES];
    memset(wire, 'x', sizeof wire);
    rl_rpc_message_decode(RL_SPAN(wire, sizeof wire), text);
    ck_assert_uint_eq(strlen(text), RL_ERROR_MESSAGE_BYTES - 1);
}
END_TEST

START_TEST(reads_statuses)
{
    ck_assert_int_eq(rl_rpc_status_parse(rl_span_of("0")), RL_OK);
    ck_assert_int_eq(rl_rpc_status_parse(rl_span_of("16")), RL_E_UNAUTHENTICATED);
    ck_assert_int_eq(rl_rpc_status_parse(rl_span_of("17")), RL_E_UNKNOWN);
    ck_assert_int_eq(rl_rpc_status_parse(rl_span_of("")), RL_E_UNKNOWN);
    ck_assert_int_eq(rl_rpc_status_parse(rl_span_of("-1")), RL_E_UNKNOWN);
    ck_assert_int_eq(rl_rpc_status_parse(rl_span_of("1x")), RL_E_UNKNOWN);
    ck_assert_int_eq(rl_rpc_status_parse(rl_span_of("100")), RL_E_UNKNOWN);
}
END_TEST

static const struct {
    const char *text;
    uint64_t ms;
} timeouts[] = {
    {"1H", 3600000},
    {"2M", 120000},
    {"10S", 10000},
    {"250m", 250},
    {"1u", 1},
    {"1001u", 2},
    {"99999999n", 100},
    {"0m", 0},
    {"1000000n", 1},
    {"0n", 0},
    {"99999999H", 359999996400000},
};

START_TEST(reads_time_outs)
{
    for (size_t i = 0; i < RL_COUNT(timeouts); i++) {
        uint64_t ms = 0;
        ck_assert_int_eq(rl_rpc_timeout_parse(rl_span_of(timeouts[i].text), &ms, NULL), RL_OK);
        ck_assert_uint_eq(ms, timeouts[i].ms);
    }
}
END_TEST

START_TEST(refuses_time_outs_that_are_none)
{
    static const char *const bad[] = {"",    "S",   "10", "123456789S", "1x",
                                      "-1S", "1 S", "1s", "1.5S"};
    uint64_t ms = 7;
    for (size_t i = 0; i < RL_COUNT(bad); i++)
        ck_assert_int_eq(rl_rpc_timeout_parse(rl_span_of(bad[i]), &ms, NULL), RL_E_INVAL);
    ck_assert_uint_eq(ms, 7);
}
END_TEST

START_TEST(writes_time_outs_that_are_never_shorter)
{
    static const uint64_t times[] = {0, 1, 999, 99999999, 100000000, 100000001, 99999999000ull};
    for (size_t i = 0; i < RL_COUNT(times); i++) {
        char text[RL_RPC_TIMEOUT_TEXT_BYTES];
        uint64_t ms = 0;
        rl_rpc_timeout_format(times[i], text);
        ck_assert_int_eq(rl_rpc_timeout_parse(rl_span_of(text), &ms, NULL), RL_OK);
        ck_assert(ms >= times[i] && ms < times[i] + 1000);
    }
}
END_TEST

START_TEST(maps_what_is_not_grpc)
{
    ck_assert_int_eq(rl_rpc_code_of_http(404), RL_E_UNIMPLEMENTED);
    ck_assert_int_eq(rl_rpc_code_of_http(503), RL_E_UNAVAILABLE);
    ck_assert_int_eq(rl_rpc_code_of_http(200), RL_E_UNKNOWN);
    ck_assert_int_eq(rl_rpc_code_of_h2(8), RL_E_CANCELLED);
    ck_assert_int_eq(rl_rpc_code_of_h2(7), RL_E_UNAVAILABLE);
    ck_assert_int_eq(rl_rpc_code_of_h2(4711), RL_E_INTERNAL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rpc wire");
    TCase *c = tcase_create("wire");
    tcase_add_test(c, encodes_messages_as_the_protocol_says);
    tcase_add_test(c, decodes_messages);
    tcase_add_test(c, makes_text_of_messages_that_are_none);
    tcase_add_test(c, reads_statuses);
    tcase_add_test(c, reads_time_outs);
    tcase_add_test(c, refuses_time_outs_that_are_none);
    tcase_add_test(c, writes_time_outs_that_are_never_shorter);
    tcase_add_test(c, maps_what_is_not_grpc);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
