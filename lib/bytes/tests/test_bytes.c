#include "bytes/buf.h"
#include "bytes/encoding.h"
#include "bytes/secret.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

START_TEST(takes_up_to_its_maximum_and_no_more)
{
    struct rl_buf b;
    rl_buf_init(&b, 100);
    char raw[101] = {0};
    ck_assert(rl_buf_put(&b, raw, 99));
    ck_assert(!b.failed);
    ck_assert(rl_buf_put(&b, raw, 1));
    ck_assert(!rl_buf_put(&b, raw, 1));
    ck_assert(b.failed);
    ck_assert_uint_eq(b.n, 100);
    rl_buf_fini(&b);
}
END_TEST

START_TEST(gives_room_in_an_empty_buffer)
{
    struct rl_buf b;
    rl_buf_init(&b, 8);
    ck_assert_ptr_nonnull(rl_buf_reserve(&b, 0));
    ck_assert_ptr_null(rl_buf_reserve(&b, SIZE_MAX));
    ck_assert_str_eq(rl_buf_text(&b), "");
    rl_buf_fini(&b);
}
END_TEST

START_TEST(reads_back_what_was_written)
{
    struct rl_buf b;
    rl_buf_init(&b, 1000);
    rl_buf_put_u8(&b, 0xAB);
    rl_buf_put_u16(&b, 0x1234);
    rl_buf_put_u32(&b, 0xDEADBEEF);
    rl_buf_put_u64(&b, 0x0123456789ABCDEFull);
    rl_buf_put_string(&b, rl_span_of("hello"));
    struct rl_cursor c = rl_cursor_of(rl_buf_span(&b));
    ck_assert_uint_eq(rl_cursor_u8(&c), 0xAB);
    ck_assert_uint_eq(rl_cursor_u16(&c), 0x1234);
    ck_assert_uint_eq(rl_cursor_u32(&c), 0xDEADBEEF);
    ck_assert_uint_eq(rl_cursor_u64(&c), 0x0123456789ABCDEFull);
    ck_assert(rl_span_is(rl_cursor_string(&c), "hello"));
    ck_assert(rl_cursor_done(&c));
    rl_cursor_u8(&c);
    ck_assert(c.failed);
    rl_buf_fini(&b);
}
END_TEST

START_TEST(refuses_a_string_longer_than_what_is_there)
{
    static const uint8_t raw[] = {0, 0, 0, 5, 'a', 'b'};
    struct rl_cursor c = rl_cursor_of(RL_SPAN(raw, sizeof raw));
    ck_assert_uint_eq(rl_cursor_string(&c).n, 0);
    ck_assert(c.failed);
    ck_assert(!rl_cursor_done(&c));
}
END_TEST

static void check_text(char *text, const char *want)
{
    ck_assert_str_eq(text, want);
    free(text);
}

START_TEST(encodes_the_vectors_of_rfc_4648)
{
    static const char *const plain[] = {"", "f", "fo", "foo", "foob", "fooba", "foobar"};
    static const char *const b64[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
                                      "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    static const char *const b32[] = {"",        "MY",       "MZXQ",      "MZXW6",
                                      "MZXW6YQ", "MZXW6YTB", "MZXW6YTBOI"};
    for (size_t i = 0; i < 7; i++) {
        struct rl_span s = rl_span_of(plain[i]);
        check_text(rl_base64_encode(s), b64[i]);
        check_text(rl_base32_encode(s), b32[i]);
        struct rl_buf b;
        rl_buf_init(&b, 100);
        ck_assert_int_eq(rl_base64_decode(b64[i], &b, NULL), RL_OK);
        ck_assert(rl_span_equal(rl_buf_span(&b), s));
        rl_buf_clear(&b);
        ck_assert_int_eq(rl_base32_decode(b32[i], &b, NULL), RL_OK);
        ck_assert(rl_span_equal(rl_buf_span(&b), s));
        rl_buf_fini(&b);
    }
    check_text(rl_hex_encode(RL_SPAN("\x00\xff\x10", 3)), "00ff10");
    check_text(rl_base64url_encode(RL_SPAN("\xfb\xff", 2)), "-_8");
}
END_TEST

START_TEST(decodes_one_spelling_only)
{
    struct rl_buf b;
    rl_buf_init(&b, 100);
    static const char *const bad64[] = {"Zg=", "Zg", "Zh==", "Z===", "====", "Zm9v\n", "Zm-v", "A"};
    for (size_t i = 0; i < RL_COUNT(bad64); i++)
        ck_assert_int_eq(rl_base64_decode(bad64[i], &b, NULL), RL_E_INVAL);
    ck_assert_int_eq(rl_hex_decode("0", &b, NULL), RL_E_INVAL);
    ck_assert_int_eq(rl_hex_decode("0G", &b, NULL), RL_E_INVAL);
    ck_assert_int_eq(rl_base32_decode("M", &b, NULL), RL_E_INVAL);
    ck_assert_int_eq(rl_base32_decode("M1", &b, NULL), RL_E_INVAL);
    ck_assert_uint_eq(b.n, 0);
    ck_assert_int_eq(rl_base32_decode("mzxw 6ytb", &b, NULL), RL_OK);
    ck_assert(rl_span_is(rl_buf_span(&b), "fooba"));
    rl_buf_fini(&b);
}
END_TEST

START_TEST(a_secret_keeps_its_bytes_and_is_freed_once)
{
    struct rl_secret *s = rl_secret_create(rl_span_of("key"));
    ck_assert(rl_span_is(rl_secret_reveal(s), "key"));
    ck_assert(rl_span_equal_secret(rl_secret_reveal(s), rl_span_of("key")));
    ck_assert(!rl_span_equal_secret(rl_secret_reveal(s), rl_span_of("kez")));
    rl_secret_free(&s);
    ck_assert_ptr_null(s);
    rl_secret_free(&s);
}
END_TEST

START_TEST(a_secret_as_text_is_wiped_by_its_holder)
{
    struct rl_secret *s = rl_secret_create(rl_span_of("key"));
    char *text = rl_secret_to_text(s);
    ck_assert_str_eq(text, "key");
    rl_wipe_text(&text);
    ck_assert_ptr_null(text);
    rl_wipe_text(&text);
    rl_secret_free(&s);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("bytes");
    tcase_add_test(t, takes_up_to_its_maximum_and_no_more);
    tcase_add_test(t, gives_room_in_an_empty_buffer);
    tcase_add_test(t, reads_back_what_was_written);
    tcase_add_test(t, refuses_a_string_longer_than_what_is_there);
    tcase_add_test(t, encodes_the_vectors_of_rfc_4648);
    tcase_add_test(t, decodes_one_spelling_only);
    tcase_add_test(t, a_secret_as_text_is_wiped_by_its_holder);
    tcase_add_test(t, a_secret_keeps_its_bytes_and_is_freed_once);
    Suite *s = suite_create("bytes");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
