#include "tls/proxy_protocol.h"

#include "identity/tests/authority.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

static struct authority services, hosts;
static struct rl_trust *trust;
static EVP_PKEY *key;
static X509 *proxy;
static struct rl_buf header;
static uint8_t hello_random[32] = "the random of this ClientHello!";

static struct sockaddr_storage address(const char *ip, uint16_t port)
{
    struct sockaddr_storage out = {0};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (inet_pton(AF_INET, ip, &v4.sin_addr) == 1) {
        memcpy(&out, &v4, sizeof v4);
    } else {
        ck_assert_int_eq(inet_pton(AF_INET6, ip, &v6.sin6_addr), 1);
        memcpy(&out, &v6, sizeof v6);
    }
    return out;
}

static void expect_address(const struct sockaddr_storage *is, const char *ip, uint16_t port)
{
    struct sockaddr_storage expected = address(ip, port);
    ck_assert_mem_eq(is, &expected, sizeof expected);
}

static rl_code write_header(const char *source_ip, const char *destination_ip)
{
    struct sockaddr_storage source = address(source_ip, 40000);
    struct sockaddr_storage destination = address(destination_ip, 443);
    rl_buf_clear(&header);
    return rl_proxy_header_write((struct sockaddr *)&source, (struct sockaddr *)&destination,
                                 hello_random, NOW_S, key, proxy, &header, NULL);
}

static struct rl_proxy_signers known;

static void set_up(void)
{
    services = authority_make(RL_IDENTITY_SERVICE, "main");
    hosts = authority_make(RL_IDENTITY_AGENT, "main");
    trust = rl_trust_create("main");
    ck_assert_int_eq(authority_trust(trust, RL_IDENTITY_SERVICE, "main", services.ca, NULL), RL_OK);
    ck_assert_int_eq(authority_trust(trust, RL_IDENTITY_AGENT, "main", hosts.ca, NULL), RL_OK);
    key = fresh_key();
    proxy = authority_issue(&services, UUID_A, "proxy", key);
    rl_buf_init(&header, RL_PROXY_HEADER_BYTES_MAX);
    ck_assert_int_eq(write_header("192.0.2.1", "198.51.100.2"), RL_OK);
}

static void tear_down(void)
{
    rl_proxy_signers_fini(&known);
    authority_free(&services);
    authority_free(&hosts);
    rl_trust_unref(&trust);
    EVP_PKEY_free(key);
    X509_free(proxy);
    rl_buf_fini(&header);
}

static enum rl_proxy_result parse(struct rl_span bytes, struct rl_proxy_header *out)
{
    return rl_proxy_header_parse(bytes, out, NULL);
}

static rl_code verify_at(const struct rl_proxy_header *parsed, int64_t now_s)
{
    rl_code alone = rl_proxy_header_verify(parsed, trust, hello_random, now_s, NULL, NULL, NULL);
    rl_code again = rl_proxy_header_verify(parsed, trust, hello_random, now_s, &known, NULL, NULL);
    ck_assert_int_eq(alone, again); /* who signed before is believed no more than anybody */
    return alone;
}

START_TEST(reads_and_believes_what_a_proxy_wrote)
{
    static const char *const pairs[][2] = {{"192.0.2.1", "198.51.100.2"},
                                           {"2001:db8::1", "2001:db8::2"}};
    for (size_t i = 0; i < RL_COUNT(pairs); i++) {
        struct rl_proxy_header parsed;
        ck_assert_int_eq(write_header(pairs[i][0], pairs[i][1]), RL_OK);
        size_t n = header.n;
        rl_buf_put_text(&header, "\x16\x03\x01");
        ck_assert_int_eq(parse(rl_buf_span(&header), &parsed), RL_PROXY_WHOLE);
        ck_assert_uint_eq(parsed.bytes, n);
        ck_assert(!parsed.is_local);
        expect_address(&parsed.source, pairs[i][0], 40000);
        expect_address(&parsed.destination, pairs[i][1], 443);
        ck_assert_int_eq(verify_at(&parsed, NOW_S), RL_OK);
    }
}
END_TEST

START_TEST(addresses_of_two_families_become_ipv6)
{
    struct rl_proxy_header parsed;
    ck_assert_int_eq(write_header("192.0.2.1", "2001:db8::2"), RL_OK);
    ck_assert_int_eq(parse(rl_buf_span(&header), &parsed), RL_PROXY_WHOLE);
    expect_address(&parsed.source, "::ffff:192.0.2.1", 40000);
    ck_assert_int_eq(verify_at(&parsed, NOW_S), RL_OK);
}
END_TEST

START_TEST(a_local_header_has_no_addresses_and_is_signed_too)
{
    struct rl_proxy_header parsed;
    struct sockaddr_storage nothing = {0};
    rl_buf_clear(&header);
    ck_assert_int_eq(
        rl_proxy_header_write(NULL, NULL, hello_random, NOW_S, key, proxy, &header, NULL), RL_OK);
    ck_assert_int_eq(parse(rl_buf_span(&header), &parsed), RL_PROXY_WHOLE);
    ck_assert(parsed.is_local);
    ck_assert_mem_eq(&parsed.source, &nothing, sizeof nothing);
    ck_assert_int_eq(verify_at(&parsed, NOW_S), RL_OK);
    /* a local header may carry addresses; they do not count */
    ck_assert_int_eq(write_header("192.0.2.1", "198.51.100.2"), RL_OK);
    header.p[12] = 0x20;
    ck_assert_int_eq(parse(rl_buf_span(&header), &parsed), RL_PROXY_WHOLE);
    ck_assert_mem_eq(&parsed.source, &nothing, sizeof nothing);
    ck_assert_int_eq(verify_at(&parsed, NOW_S), RL_E_UNAUTHENTICATED);
}
END_TEST

START_TEST(asks_for_more_until_the_last_byte)
{
    struct rl_proxy_header parsed;
    for (size_t n = 0; n < header.n; n++) {
        uint8_t *exact = malloc(n ? n : 1);
        memcpy(exact, header.p, n);
        ck_assert_int_eq(parse(RL_SPAN(exact, n), &parsed), RL_PROXY_MORE);
        free(exact);
    }
}
END_TEST

START_TEST(no_changed_byte_is_believed)
{
    for (size_t i = 0; i < header.n; i++) {
        struct rl_proxy_header parsed;
        uint8_t *exact = malloc(header.n);
        memcpy(exact, header.p, header.n);
        exact[i] ^= (uint8_t)(1u << i % 8);
        if (parse(RL_SPAN(exact, header.n), &parsed) == RL_PROXY_WHOLE)
            ck_assert_msg(verify_at(&parsed, NOW_S) == RL_E_UNAUTHENTICATED, "byte %zu", i);
        free(exact);
    }
}
END_TEST

START_TEST(a_header_can_not_be_moved_to_another_connection)
{
    struct rl_proxy_header parsed;
    ck_assert_int_eq(parse(rl_buf_span(&header), &parsed), RL_PROXY_WHOLE);
    hello_random[0] ^= 1;
    ck_assert_int_eq(verify_at(&parsed, NOW_S), RL_E_UNAUTHENTICATED);
    hello_random[0] ^= 1;
    ck_assert_int_eq(verify_at(&parsed, NOW_S), RL_OK);
}
END_TEST

START_TEST(a_header_is_good_for_a_minute)
{
    struct rl_proxy_header parsed;
    ck_assert_int_eq(parse(rl_buf_span(&header), &parsed), RL_PROXY_WHOLE);
    ck_assert_int_eq(verify_at(&parsed, NOW_S + RL_PROXY_AGE_S_MAX), RL_OK);
    ck_assert_int_eq(verify_at(&parsed, NOW_S - RL_PROXY_AGE_S_MAX), RL_OK);
    ck_assert_int_eq(verify_at(&parsed, NOW_S + RL_PROXY_AGE_S_MAX + 1), RL_E_UNAUTHENTICATED);
    ck_assert_int_eq(verify_at(&parsed, NOW_S - RL_PROXY_AGE_S_MAX - 1), RL_E_UNAUTHENTICATED);
}
END_TEST

START_TEST(only_a_proxy_of_this_cluster_is_believed)
{
    struct authority leaf = authority_make(RL_IDENTITY_SERVICE, "leaf.example");
    struct authority unknown = authority_make(RL_IDENTITY_SERVICE, "main");
    ck_assert_int_eq(authority_trust(trust, RL_IDENTITY_SERVICE, "leaf.example", leaf.ca, NULL),
                     RL_OK);
    X509 *signers[] = {
        authority_issue(&services, UUID_A, "audit", key),
        authority_issue(&leaf, UUID_A, "broker", key),
        authority_issue(&hosts, UUID_A, NULL, key),
        authority_issue(&leaf, UUID_A, "proxy", key),
        authority_issue(&unknown, UUID_A, "proxy", key),
        authority_issue_at(&services, UUID_A, "proxy", key, NOW_S - 7200, 3600),
    };
    for (size_t i = 0; i < RL_COUNT(signers); i++) {
        struct rl_proxy_header parsed;
        X509 *good = proxy;
        proxy = signers[i];
        ck_assert_int_eq(write_header("192.0.2.1", "198.51.100.2"), RL_OK);
        proxy = good;
        ck_assert_int_eq(parse(rl_buf_span(&header), &parsed), RL_PROXY_WHOLE);
        ck_assert_msg(verify_at(&parsed, NOW_S) == RL_E_UNAUTHENTICATED, "signer %zu", i);
        X509_free(signers[i]);
    }
    authority_free(&leaf);
    authority_free(&unknown);
}
END_TEST

START_TEST(a_broker_of_this_cluster_is_believed_as_a_proxy_is)
{
    struct rl_proxy_header parsed;
    X509 *good = proxy, *broker = authority_issue(&services, UUID_A, "broker", key);
    proxy = broker;
    ck_assert_int_eq(write_header("192.0.2.1", "198.51.100.2"), RL_OK);
    proxy = good;
    ck_assert_int_eq(parse(rl_buf_span(&header), &parsed), RL_PROXY_WHOLE);
    ck_assert_int_eq(verify_at(&parsed, NOW_S), RL_OK);
    X509_free(broker);
}
END_TEST

START_TEST(a_known_signer_ends_with_its_certificate_and_with_the_trust)
{
    struct rl_proxy_header parsed;
    const struct sockaddr_storage source = address("192.0.2.1", 1);
    ck_assert_int_eq(parse(rl_buf_span(&header), &parsed), RL_PROXY_WHOLE);
    ck_assert_int_eq(verify_at(&parsed, NOW_S), RL_OK);
    ck_assert_ptr_nonnull(known.list[0].certificate);
    rl_buf_clear(&header);
    int64_t late_s = known.list[0].identity->not_after_s + 1;
    ck_assert_int_eq(rl_proxy_header_write((const struct sockaddr *)&source,
                                           (const struct sockaddr *)&source, hello_random, late_s,
                                           key, proxy, &header, NULL),
                     RL_OK);
    ck_assert_int_eq(parse(rl_buf_span(&header), &parsed), RL_PROXY_WHOLE);
    ck_assert_int_eq(verify_at(&parsed, late_s), RL_E_UNAUTHENTICATED);

    ck_assert_int_eq(write_header("192.0.2.1", "198.51.100.2"), RL_OK);
    ck_assert_int_eq(parse(rl_buf_span(&header), &parsed), RL_PROXY_WHOLE);
    struct rl_trust *before = trust;
    trust = rl_trust_create("main");
    ck_assert_int_eq(authority_trust(trust, RL_IDENTITY_AGENT, "main", hosts.ca, NULL), RL_OK);
    ck_assert_int_eq(verify_at(&parsed, NOW_S), RL_E_UNAUTHENTICATED);
    rl_trust_unref(&before);
}
END_TEST

START_TEST(more_signers_than_are_known_are_believed_all_the_same)
{
    struct rl_proxy_header parsed;
    X509 *good = proxy, *signers[RL_PROXY_SIGNERS_MAX + 2];
    for (size_t i = 0; i < RL_COUNT(signers); i++)
        signers[i] = authority_issue(&services, UUID_A, "proxy", key);
    for (size_t i = 0; i < 3 * RL_COUNT(signers); i++) {
        proxy = signers[i % RL_COUNT(signers)];
        ck_assert_int_eq(write_header("192.0.2.1", "198.51.100.2"), RL_OK);
        ck_assert_int_eq(parse(rl_buf_span(&header), &parsed), RL_PROXY_WHOLE);
        ck_assert_int_eq(verify_at(&parsed, NOW_S), RL_OK);
    }
    proxy = good;
    for (size_t i = 0; i < RL_COUNT(signers); i++)
        X509_free(signers[i]);
}
END_TEST

START_TEST(a_header_without_a_signature_is_read_and_not_believed)
{
    struct rl_proxy_header parsed;
    uint8_t plain[28];
    memcpy(plain, header.p, sizeof plain);
    plain[15] = 12;
    plain[14] = 0;
    ck_assert_int_eq(parse(RL_SPAN(plain, sizeof plain), &parsed), RL_PROXY_WHOLE);
    expect_address(&parsed.source, "192.0.2.1", 40000);
    ck_assert_uint_eq(parsed.signature_tlv.n, 0);
    ck_assert_int_eq(verify_at(&parsed, NOW_S), RL_E_UNAUTHENTICATED);
}
END_TEST

START_TEST(version_1_is_refused_by_name)
{
    struct rl_proxy_header parsed;
    struct rl_error err;
    static const char line[] = "PROXY TCP4 192.0.2.1 198.51.100.2 40000 443\r\n";
    ck_assert_int_eq(rl_proxy_header_parse(rl_span_of(line), &parsed, &err), RL_PROXY_BAD);
    ck_assert_ptr_nonnull(strstr(err.message, "version 1"));
    for (size_t n = 1; n < 6; n++)
        ck_assert_int_eq(parse(RL_SPAN(line, n), &parsed), RL_PROXY_MORE);
    ck_assert_int_eq(parse(rl_span_of("\x16\x03\x01"), &parsed), RL_PROXY_BAD);
    ck_assert_int_eq(parse(rl_span_of("PROXIES"), &parsed), RL_PROXY_BAD);
}
END_TEST

#define MAGIC "\r\n\r\n\0\r\nQUIT\n"
#define V4 "\300\0\2\1\306\63\144\2\234\100\1\273"

START_TEST(refuses_headers_in_any_other_form)
{
    static const struct {
        const char *bytes;
        size_t n;
    } cases[] = {
        {MAGIC "\x11\x11\0\14" V4, 28},                      /* version 1 in the binary form */
        {MAGIC "\x22\x11\0\14" V4, 28},                      /* another command */
        {MAGIC "\x21\x12\0\14" V4, 28},                      /* UDP */
        {MAGIC "\x21\x31\0\14" V4, 28},                      /* Unix sockets */
        {MAGIC "\x21\0\0\0", 16},                            /* PROXY, of nothing that is known */
        {MAGIC "\x21\x11\0\13" V4, 27},                      /* too short for its addresses */
        {MAGIC "\x21\x11\0\15" V4 "\4", 29},                 /* half a TLV */
        {MAGIC "\x21\x11\0\17" V4 "\4\0\1", 31},             /* a TLV longer than the header */
        {MAGIC "\x21\x11\0\24" V4 "\xE4\0\1x\xE4\0\1x", 36}, /* two signatures */
        {MAGIC "\x21\x11\0\23" V4 "\3\0\4\0\0\0\0", 35},     /* a wrong checksum */
        {MAGIC "\x21\x11\x0F\xF1", 16},                      /* too long */
    };
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        struct rl_proxy_header parsed;
        ck_assert_msg(parse(RL_SPAN(cases[i].bytes, cases[i].n), &parsed) == RL_PROXY_BAD,
                      "case %zu", i);
    }
}
END_TEST

START_TEST(a_right_checksum_is_taken)
{
    /* CRC-32C of the header, by the definition of RFC 3720 B.4 */
    struct rl_proxy_header parsed;
    uint8_t bytes[] = MAGIC "\x21\x11\0\23" V4 "\3\0\4\0\0\0\0";
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < 35; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0x82F63B78u : crc >> 1;
    }
    crc = htonl(~crc);
    memcpy(bytes + 31, &crc, 4);
    ck_assert_int_eq(parse(RL_SPAN(bytes, 35), &parsed), RL_PROXY_WHOLE);
}
END_TEST

START_TEST(is_not_written_for_other_addresses_or_beyond_its_limit)
{
    struct sockaddr_storage odd = {.ss_family = AF_UNIX}, good = address("192.0.2.1", 1);
    struct rl_buf small;
    rl_buf_init(&small, 64);
    ck_assert_int_eq(rl_proxy_header_write((struct sockaddr *)&odd, (struct sockaddr *)&good,
                                           hello_random, NOW_S, key, proxy, &header, NULL),
                     RL_E_INVAL);
    ck_assert_int_eq(rl_proxy_header_write((struct sockaddr *)&good, (struct sockaddr *)&good,
                                           hello_random, NOW_S, key, proxy, &small, NULL),
                     RL_E_EXHAUSTED);
    ck_assert_uint_eq(small.n, 0);
    rl_buf_fini(&small);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("proxy_protocol");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, reads_and_believes_what_a_proxy_wrote);
    tcase_add_test(t, addresses_of_two_families_become_ipv6);
    tcase_add_test(t, a_local_header_has_no_addresses_and_is_signed_too);
    tcase_add_test(t, asks_for_more_until_the_last_byte);
    tcase_add_test(t, no_changed_byte_is_believed);
    tcase_add_test(t, a_header_can_not_be_moved_to_another_connection);
    tcase_add_test(t, a_header_is_good_for_a_minute);
    tcase_add_test(t, only_a_proxy_of_this_cluster_is_believed);
    tcase_add_test(t, a_broker_of_this_cluster_is_believed_as_a_proxy_is);
    tcase_add_test(t, a_header_without_a_signature_is_read_and_not_believed);
    tcase_add_test(t, a_known_signer_ends_with_its_certificate_and_with_the_trust);
    tcase_add_test(t, more_signers_than_are_known_are_believed_all_the_same);
    tcase_add_test(t, version_1_is_refused_by_name);
    tcase_add_test(t, refuses_headers_in_any_other_form);
    tcase_add_test(t, a_right_checksum_is_taken);
    tcase_add_test(t, is_not_written_for_other_addresses_or_beyond_its_limit);
    Suite *s = suite_create("proxy_protocol");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
