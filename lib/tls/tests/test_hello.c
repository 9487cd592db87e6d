#include "tls/hello.h"

#include <check.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

/* ---- a real ClientHello: OpenSSL's ---- */

static struct rl_buf real;

static void capture(void)
{
    rl_buf_init(&real, 65536);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_alpn_protos(context, (const uint8_t *)"\x11remoteler-connect\x08http/1.1", 27);
    SSL *ssl = SSL_new(context);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, in, out);
    SSL_set_tlsext_host_name(ssl, "Node.Example.COM");
    SSL_set_connect_state(ssl);
    SSL_do_handshake(ssl);
    char *bytes = NULL;
    long n = BIO_get_mem_data(out, &bytes);
    rl_buf_put(&real, bytes, (size_t)n);
    SSL_free(ssl);
    SSL_CTX_free(context);
}

static void forget(void)
{
    rl_buf_fini(&real);
}

static void expect_real(const struct rl_client_hello *hello)
{
    ck_assert_str_eq(hello->sni, "node.example.com");
    ck_assert_uint_eq(hello->alpn_count, 2);
    ck_assert_str_eq(hello->alpn[0], "remoteler-connect");
    ck_assert_str_eq(hello->alpn[1], "http/1.1");
    ck_assert_mem_eq(hello->random, real.p + 11, 32);
}

static enum rl_hello_result parse(struct rl_span bytes, struct rl_client_hello *out)
{
    return rl_client_hello_parse(bytes, out, NULL);
}

/* ---- one made by hand ---- */

struct parts {
    struct rl_span extensions;
    bool no_extensions;
};

static void put_extension(struct rl_buf *b, uint16_t type, struct rl_span body)
{
    rl_buf_put_u16(b, type);
    rl_buf_put_u16(b, (uint16_t)body.n);
    rl_buf_put_span(b, body);
}

static void put_sni(struct rl_buf *b, struct rl_span name)
{
    struct rl_buf body;
    rl_buf_init(&body, 1024);
    rl_buf_put_u16(&body, (uint16_t)(name.n + 3));
    rl_buf_put_u8(&body, 0);
    rl_buf_put_u16(&body, (uint16_t)name.n);
    rl_buf_put_span(&body, name);
    put_extension(b, 0, rl_buf_span(&body));
    rl_buf_fini(&body);
}

static void put_message(struct rl_buf *b, struct parts parts)
{
    size_t n = 2 + 32 + 1 + 2 + 2 + 2 + (parts.no_extensions ? 0 : 2 + parts.extensions.n);
    uint8_t random[32] = {1};
    rl_buf_put_u8(b, 1);
    rl_buf_put_u8(b, (uint8_t)(n >> 16));
    rl_buf_put_u16(b, (uint16_t)n);
    rl_buf_put_u16(b, 0x0303);
    rl_buf_put(b, random, 32);
    rl_buf_put_u8(b, 0);
    rl_buf_put_u16(b, 2);
    rl_buf_put_u16(b, 0x1301);
    rl_buf_put_u8(b, 1);
    rl_buf_put_u8(b, 0);
    if (parts.no_extensions)
        return;
    rl_buf_put_u16(b, (uint16_t)parts.extensions.n);
    rl_buf_put_span(b, parts.extensions);
}

static enum rl_hello_result parse_message(struct rl_span message, size_t record_bytes,
                                          struct rl_client_hello *out)
{
    struct rl_buf b;
    rl_buf_init(&b, 1 << 20);
    for (size_t at = 0; at < message.n; at += record_bytes) {
        size_t n = message.n - at < record_bytes ? message.n - at : record_bytes;
        rl_buf_put_u8(&b, 22);
        rl_buf_put_u16(&b, 0x0301);
        rl_buf_put_u16(&b, (uint16_t)n);
        rl_buf_put(&b, message.p + at, n);
    }
    enum rl_hello_result result = parse(rl_buf_span(&b), out);
    rl_buf_fini(&b);
    return result;
}

static enum rl_hello_result parse_extensions(const struct rl_buf *extensions,
                                             struct rl_client_hello *out)
{
    struct rl_buf b;
    rl_buf_init(&b, 1 << 20);
    put_message(&b, (struct parts){.extensions = rl_buf_span(extensions)});
    enum rl_hello_result result = parse_message(rl_buf_span(&b), 16000, out);
    rl_buf_fini(&b);
    return result;
}

/* ---- tests ---- */

START_TEST(reads_the_name_the_protocols_and_the_random)
{
    struct rl_client_hello hello;
    ck_assert_int_eq(parse(rl_buf_span(&real), &hello), RL_HELLO_WHOLE);
    expect_real(&hello);
}
END_TEST

START_TEST(asks_for_more_until_the_last_byte)
{
    struct rl_client_hello hello = {.sni = "untouched"};
    for (size_t n = 0; n < real.n; n++) {
        uint8_t *exact = malloc(n ? n : 1);
        memcpy(exact, real.p, n);
        ck_assert_int_eq(parse(RL_SPAN(exact, n), &hello), RL_HELLO_MORE);
        free(exact);
    }
    ck_assert_str_eq(hello.sni, "untouched");
}
END_TEST

START_TEST(puts_a_message_together_from_records_of_any_size)
{
    for (size_t record = 1; record < 600; record++) {
        struct rl_client_hello hello;
        ck_assert_int_eq(parse_message(RL_SPAN(real.p + 5, real.n - 5), record, &hello),
                         RL_HELLO_WHOLE);
        expect_real(&hello);
    }
}
END_TEST

START_TEST(a_changed_byte_never_reads_past_the_end)
{
    for (size_t i = 0; i < real.n; i++)
        for (unsigned value = 0; value < 256; value += 15) {
            struct rl_client_hello hello;
            uint8_t *exact = malloc(real.n);
            memcpy(exact, real.p, real.n);
            exact[i] = (uint8_t)value;
            parse(RL_SPAN(exact, real.n), &hello);
            free(exact);
        }
}
END_TEST

START_TEST(steps_over_what_grease_puts_there)
{
    struct rl_buf extensions;
    struct rl_client_hello hello;
    rl_buf_init(&extensions, 4096);
    put_extension(&extensions, 0x0A0A, RL_SPAN(NULL, 0));
    put_extension(&extensions, 16, RL_SPAN("\x00\x06\x02\x0A\x0A\x02h2", 8));
    put_sni(&extensions, rl_span_of("a.example"));
    put_extension(&extensions, 0xFAFA, RL_SPAN("\0", 1));
    ck_assert_int_eq(parse_extensions(&extensions, &hello), RL_HELLO_WHOLE);
    ck_assert_str_eq(hello.sni, "a.example");
    ck_assert_str_eq(hello.alpn[hello.alpn_count - 1], "h2");
    rl_buf_fini(&extensions);
}
END_TEST

START_TEST(a_hello_without_extensions_or_name_has_none)
{
    struct rl_client_hello hello;
    struct rl_buf b;
    rl_buf_init(&b, 4096);
    put_message(&b, (struct parts){.no_extensions = true});
    ck_assert_int_eq(parse_message(rl_buf_span(&b), 16000, &hello), RL_HELLO_WHOLE);
    ck_assert_str_eq(hello.sni, "");
    ck_assert_uint_eq(hello.alpn_count, 0);
    rl_buf_fini(&b);
}
END_TEST

START_TEST(refuses_an_extension_that_is_there_twice)
{
    struct rl_buf extensions;
    struct rl_client_hello hello;
    rl_buf_init(&extensions, 4096);
    put_sni(&extensions, rl_span_of("a.example"));
    put_sni(&extensions, rl_span_of("b.example"));
    ck_assert_int_eq(parse_extensions(&extensions, &hello), RL_HELLO_BAD);
    rl_buf_clear(&extensions);
    put_extension(&extensions, 0x1234, RL_SPAN(NULL, 0));
    put_extension(&extensions, 0x1234, RL_SPAN(NULL, 0));
    ck_assert_int_eq(parse_extensions(&extensions, &hello), RL_HELLO_BAD);
    rl_buf_fini(&extensions);
}
END_TEST

START_TEST(takes_host_names_only)
{
    static const struct {
        const char *name;
        size_t n;
        bool good;
    } cases[] = {
        {"a", 1, true},     {"a-1.b", 5, true},  {"1.2.3.4", 7, true}, {"", 0, false},
        {".a", 2, false},   {"a.", 2, false},    {"a..b", 4, false},   {"a b", 3, false},
        {"a\0b", 3, false}, {"a_b", 3, false},   {"a/b", 3, false},    {"\xC3\xA9", 2, false},
        {"a%b", 3, false},  {"a:443", 5, false}, {"*.a", 3, false},
    };
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        struct rl_buf extensions;
        struct rl_client_hello hello;
        rl_buf_init(&extensions, 4096);
        put_sni(&extensions, RL_SPAN(cases[i].name, cases[i].n));
        ck_assert_msg(parse_extensions(&extensions, &hello) ==
                          (cases[i].good ? RL_HELLO_WHOLE : RL_HELLO_BAD),
                      "case %zu", i);
        rl_buf_fini(&extensions);
    }
}
END_TEST

START_TEST(a_name_may_have_255_bytes_and_no_more)
{
    for (size_t n = 254; n <= 256; n++) {
        char name[256];
        struct rl_buf extensions;
        struct rl_client_hello hello;
        memset(name, 'A', sizeof name);
        rl_buf_init(&extensions, 4096);
        put_sni(&extensions, RL_SPAN(name, n));
        ck_assert_int_eq(parse_extensions(&extensions, &hello),
                         n < RL_HELLO_SNI_BYTES_MAX ? RL_HELLO_WHOLE : RL_HELLO_BAD);
        if (n < RL_HELLO_SNI_BYTES_MAX)
            ck_assert_uint_eq(strspn(hello.sni, "a"), n);
        rl_buf_fini(&extensions);
    }
}
END_TEST

START_TEST(refuses_names_and_protocols_in_any_other_form)
{
    static const struct {
        uint16_t type;
        const char *body;
        size_t n;
    } cases[] = {
        {0, "", 0},
        {0, "\0\0", 2},
        {0, "\0\4\1\0\1a", 6},          /* another type of name */
        {0, "\0\10\0\0\1a\0\0\1b", 10}, /* two names */
        {0, "\0\5\0\0\1a", 6},          /* the list is shorter than it says */
        {0, "\0\3\0\0\1a", 6},          /* and longer */
        {16, "", 0},
        {16, "\0\0", 2},
        {16, "\0\1\0", 3}, /* an empty name */
        {16, "\0\3\3h2", 5},
        {16, "\0\4\2h2\0", 6},
    };
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        struct rl_buf extensions;
        struct rl_client_hello hello;
        rl_buf_init(&extensions, 4096);
        put_extension(&extensions, cases[i].type, RL_SPAN(cases[i].body, cases[i].n));
        ck_assert_msg(parse_extensions(&extensions, &hello) == RL_HELLO_BAD, "case %zu", i);
        rl_buf_fini(&extensions);
    }
}
END_TEST

START_TEST(takes_16_protocols_and_not_17)
{
    for (size_t n = RL_HELLO_ALPN_MAX - 1; n <= RL_HELLO_ALPN_MAX + 1; n++) {
        struct rl_buf body, extensions;
        struct rl_client_hello hello;
        rl_buf_init(&body, 4096);
        rl_buf_init(&extensions, 4096);
        rl_buf_put_u16(&body, (uint16_t)(2 * n));
        for (size_t i = 0; i < n; i++)
            rl_buf_put_text(&body, "\1x");
        put_extension(&extensions, 16, rl_buf_span(&body));
        ck_assert_int_eq(parse_extensions(&extensions, &hello),
                         n <= RL_HELLO_ALPN_MAX ? RL_HELLO_WHOLE : RL_HELLO_BAD);
        rl_buf_fini(&body);
        rl_buf_fini(&extensions);
    }
}
END_TEST

START_TEST(a_protocol_with_a_nul_is_not_the_one_before_it)
{
    struct rl_buf extensions;
    struct rl_client_hello hello;
    rl_buf_init(&extensions, 4096);
    put_extension(&extensions, 16, RL_SPAN("\0\5\4h2\0x", 7));
    ck_assert_int_eq(parse_extensions(&extensions, &hello), RL_HELLO_WHOLE);
    ck_assert_uint_eq(hello.alpn_count, 0);
    rl_buf_fini(&extensions);
}
END_TEST

START_TEST(refuses_what_is_not_tls_at_once)
{
    static const char *const others[] = {"SSH-2.0-x\r\n", "GET / HTTP/1.1\r\n", "\x16\x02",
                                         "\x80\x2e\x01\x03\x01", "\x15\x03\x01"};
    struct rl_client_hello hello;
    for (size_t i = 0; i < RL_COUNT(others); i++)
        ck_assert_msg(parse(rl_span_of(others[i]), &hello) == RL_HELLO_BAD, "case %zu", i);
    ck_assert_int_eq(parse(RL_SPAN("\x16\x03\x01\0\0", 5), &hello), RL_HELLO_BAD);
    ck_assert_int_eq(parse(RL_SPAN("\x16\x03\x01\x40\x01", 5), &hello), RL_HELLO_BAD);
    ck_assert_int_eq(parse(RL_SPAN("\x16\x03\x01\0\4\2\0\0\1", 9), &hello), RL_HELLO_BAD);
    ck_assert_int_eq(parse(RL_SPAN("\x16\x03\x01\0\4\1\1\0\0", 9), &hello), RL_HELLO_BAD);
}
END_TEST

START_TEST(a_hello_in_ever_smaller_records_ends_at_the_limit)
{
    /* one byte in each record: six bytes for one, and no end */
    struct rl_buf b;
    struct rl_client_hello hello;
    rl_buf_init(&b, 2 * RL_HELLO_BYTES_MAX);
    const uint8_t message[] = {1, 0, 0x3F, 0};
    for (size_t i = 0; b.n < RL_HELLO_BYTES_MAX; i++) {
        rl_buf_put(&b, "\x16\x03\x01\0\1", 5);
        rl_buf_put_u8(&b, i < 4 ? message[i] : 0);
    }
    ck_assert_int_eq(parse(RL_SPAN(b.p, RL_HELLO_BYTES_MAX - 1), &hello), RL_HELLO_MORE);
    ck_assert_int_eq(parse(RL_SPAN(b.p, RL_HELLO_BYTES_MAX), &hello), RL_HELLO_BAD);
    rl_buf_fini(&b);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("hello");
    tcase_add_checked_fixture(t, capture, forget);
    tcase_add_test(t, reads_the_name_the_protocols_and_the_random);
    tcase_add_test(t, asks_for_more_until_the_last_byte);
    tcase_add_test(t, puts_a_message_together_from_records_of_any_size);
    tcase_add_test(t, a_changed_byte_never_reads_past_the_end);
    tcase_add_test(t, steps_over_what_grease_puts_there);
    tcase_add_test(t, a_hello_without_extensions_or_name_has_none);
    tcase_add_test(t, refuses_an_extension_that_is_there_twice);
    tcase_add_test(t, takes_host_names_only);
    tcase_add_test(t, a_name_may_have_255_bytes_and_no_more);
    tcase_add_test(t, refuses_names_and_protocols_in_any_other_form);
    tcase_add_test(t, takes_16_protocols_and_not_17);
    tcase_add_test(t, a_protocol_with_a_nul_is_not_the_one_before_it);
    tcase_add_test(t, refuses_what_is_not_tls_at_once);
    tcase_add_test(t, a_hello_in_ever_smaller_records_ends_at_the_limit);
    Suite *s = suite_create("hello");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
