#include "sshd/exchange.h"

#include <check.h>
#include <openssl/evp.h>
#include <string.h>

static const uint8_t cookie[EXCHANGE_COOKIE_BYTES] = "0123456789abcde";

struct parts {
    const char *client_version, *server_version, *client_list, *server_list, *host_key;
    uint8_t init_byte;
    unsigned fields_after; /* 3 in a true one */
};

static struct parts honest(void)
{
    return (struct parts){"SSH-2.0-OpenSSH_9.2",
                          EXCHANGE_VERSION,
                          "sntrup761x25519-sha512,curve25519-sha256,ecdh-sha2-nistp384",
                          "ecdh-sha2-nistp384,curve25519-sha256",
                          "the host key",
                          20,
                          3};
}

static void put_init(struct rl_buf *b, uint8_t first, const uint8_t *random, const char *list)
{
    struct rl_buf init;
    rl_buf_init(&init, 1000);
    rl_buf_put_u8(&init, first);
    rl_buf_put(&init, random, EXCHANGE_COOKIE_BYTES);
    rl_buf_put_string(&init, rl_span_of(list));
    rl_buf_put_string(&init, rl_span_of("ssh-ed25519"));
    rl_buf_put_string(b, rl_buf_span(&init));
    rl_buf_fini(&init);
}

static struct rl_buf input_of(const struct parts *p)
{
    static const uint8_t theirs[EXCHANGE_COOKIE_BYTES] = {1};
    struct rl_buf b;
    rl_buf_init(&b, 10000);
    rl_buf_put_string(&b, rl_span_of(p->client_version));
    rl_buf_put_string(&b, rl_span_of(p->server_version));
    put_init(&b, 20, theirs, p->client_list);
    put_init(&b, p->init_byte, cookie, p->server_list);
    rl_buf_put_string(&b, rl_span_of(p->host_key));
    for (unsigned i = 0; i < p->fields_after; i++)
        rl_buf_put_string(&b, rl_span_of("point"));
    return b;
}

static const struct exchange_expected expected = {
    .host_public = {(const uint8_t *)"the host key", 12},
    .host_certificate = {(const uint8_t *)"the certificate", 15},
    .cookie = {cookie, sizeof cookie},
};

static rl_code judge(const struct parts *p, const struct exchange_expected *e, size_t *n)
{
    struct rl_buf b = input_of(p);
    uint8_t hash[EXCHANGE_HASH_BYTES_MAX];
    rl_code rc = rl_exchange_hash(rl_buf_span(&b), e, hash, n, NULL);
    if (rc == RL_OK) {
        uint8_t want[EXCHANGE_HASH_BYTES_MAX];
        const EVP_MD *digest = *n == 32 ? EVP_sha256() : *n == 48 ? EVP_sha384() : EVP_sha512();
        EVP_Digest(b.p, b.n, want, NULL, digest, NULL);
        ck_assert_mem_eq(hash, want, *n);
    }
    rl_buf_fini(&b);
    return rc;
}

START_TEST(hashes_what_this_host_takes_part_in)
{
    struct parts p = honest();
    size_t n = 0;
    ck_assert_int_eq(judge(&p, &expected, &n), RL_OK);
    ck_assert_uint_eq(n, 32);
    p.host_key = "the certificate";
    ck_assert_int_eq(judge(&p, &expected, &n), RL_OK);
}
END_TEST

START_TEST(takes_the_digest_that_was_negotiated)
{
    struct parts p = honest();
    size_t n = 0;
    p.client_list = "ecdh-sha2-nistp384,curve25519-sha256";
    ck_assert_int_eq(judge(&p, &expected, &n), RL_OK);
    ck_assert_uint_eq(n, 48);
    p.client_list = p.server_list = "ecdh-sha2-nistp521";
    ck_assert_int_eq(judge(&p, &expected, &n), RL_OK);
    ck_assert_uint_eq(n, 64);
    p.client_list = p.server_list = "diffie-hellman-group1-sha1";
    ck_assert_int_eq(judge(&p, &expected, &n), RL_E_DENIED);
    p.client_list = "curve25519-sha25";
    p.server_list = "curve25519-sha256";
    ck_assert_int_eq(judge(&p, &expected, &n), RL_E_DENIED);
    p.client_list = "";
    ck_assert_int_eq(judge(&p, &expected, &n), RL_E_DENIED);
}
END_TEST

START_TEST(refuses_each_field_that_is_not_ours)
{
    size_t n = 0;
    struct parts p = honest();
    p.server_version = "SSH-2.0-Another";
    ck_assert_int_eq(judge(&p, &expected, &n), RL_E_DENIED);
    p = honest();
    p.client_version = "SSH-1.5-old";
    ck_assert_int_eq(judge(&p, &expected, &n), RL_E_DENIED);
    p = honest();
    p.host_key = "another host key";
    ck_assert_int_eq(judge(&p, &expected, &n), RL_E_DENIED);
    p = honest();
    p.host_key = "";
    ck_assert_int_eq(judge(&p, &expected, &n), RL_E_DENIED);
    p = honest();
    p.init_byte = 21;
    ck_assert_int_eq(judge(&p, &expected, &n), RL_E_DENIED);
    for (unsigned fields = 0; fields < 6; fields++) {
        p = honest();
        p.fields_after = fields;
        ck_assert_int_eq(judge(&p, &expected, &n), fields == 3 ? RL_OK : RL_E_DENIED);
    }
}
END_TEST

START_TEST(an_exchange_of_another_connection_has_another_cookie)
{
    struct parts p = honest();
    size_t n = 0;
    struct exchange_expected e = expected;
    e.cookie = RL_SPAN("another cookie..", EXCHANGE_COOKIE_BYTES);
    ck_assert_int_eq(judge(&p, &e, &n), RL_E_DENIED);
    e.cookie = RL_SPAN(NULL, 0); /* a later exchange of the same connection */
    ck_assert_int_eq(judge(&p, &e, &n), RL_OK);
}
END_TEST

START_TEST(without_a_certificate_an_empty_key_is_not_the_hosts)
{
    struct parts p = honest();
    size_t n = 0;
    struct exchange_expected e = expected;
    e.host_certificate = RL_SPAN(NULL, 0);
    p.host_key = "";
    ck_assert_int_eq(judge(&p, &e, &n), RL_E_DENIED);
}
END_TEST

START_TEST(refuses_every_truncation)
{
    struct parts p = honest();
    struct rl_buf b = input_of(&p);
    uint8_t hash[EXCHANGE_HASH_BYTES_MAX];
    size_t n = 0;
    for (size_t cut = 0; cut < b.n; cut++)
        ck_assert_int_eq(rl_exchange_hash(RL_SPAN(b.p, cut), &expected, hash, &n, NULL),
                         RL_E_DENIED);
    rl_buf_fini(&b);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("exchange");
    tcase_add_test(t, hashes_what_this_host_takes_part_in);
    tcase_add_test(t, takes_the_digest_that_was_negotiated);
    tcase_add_test(t, refuses_each_field_that_is_not_ours);
    tcase_add_test(t, an_exchange_of_another_connection_has_another_cookie);
    tcase_add_test(t, without_a_certificate_an_empty_key_is_not_the_hosts);
    tcase_add_test(t, refuses_every_truncation);
    Suite *s = suite_create("exchange");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
