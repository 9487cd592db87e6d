#include "sshcert/sshkey.h"

#include "bytes/encoding.h"

#include <check.h>
#include <openssl/core_names.h>
#include <stdlib.h>
#include <string.h>

static struct rl_buf blob_of(EVP_PKEY *key)
{
    struct rl_buf b;
    rl_buf_init(&b, RL_SSHKEY_BLOB_BYTES_MAX);
    ck_assert_int_eq(rl_sshkey_public_blob(key, &b, NULL), RL_OK);
    return b;
}

static void check_round_trip(EVP_PKEY *key)
{
    ck_assert_ptr_nonnull(key);
    struct rl_buf first = blob_of(key);
    EVP_PKEY *again = NULL;
    ck_assert_int_eq(rl_sshkey_public_parse(rl_buf_span(&first), &again, NULL), RL_OK);
    struct rl_buf second = blob_of(again);
    ck_assert(rl_span_equal(rl_buf_span(&first), rl_buf_span(&second)));
    rl_buf_fini(&first);
    rl_buf_fini(&second);
    EVP_PKEY_free(again);
    EVP_PKEY_free(key);
}

START_TEST(public_keys_of_every_kind_come_back_the_same)
{
    EVP_PKEY *key = NULL;
    ck_assert_int_eq(rl_sshkey_generate(&key, NULL), RL_OK);
    check_round_trip(key);
    check_round_trip(EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"));
    check_round_trip(EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384"));
    check_round_trip(EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-521"));
    check_round_trip(EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048));
}
END_TEST

START_TEST(refuses_an_rsa_key_that_is_too_short)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024);
    struct rl_buf b;
    rl_buf_init(&b, RL_SSHKEY_BLOB_BYTES_MAX);
    ck_assert_int_eq(rl_sshkey_public_blob(key, &b, NULL), RL_E_INVAL);
    ck_assert_uint_eq(b.n, 0);
    BIGNUM *n = NULL;
    ck_assert_int_eq(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n), 1);
    uint8_t raw[1 + 128] = {0};
    BN_bn2bin(n, raw + 1);
    rl_buf_put_string(&b, rl_span_of("ssh-rsa"));
    rl_buf_put_string(&b, RL_SPAN("\x01\x00\x01", 3));
    rl_buf_put_string(&b, RL_SPAN(raw, sizeof raw));
    EVP_PKEY *out = NULL;
    ck_assert_int_eq(rl_sshkey_public_parse(rl_buf_span(&b), &out, NULL), RL_E_INVAL);
    BN_free(n);
    rl_buf_fini(&b);
    EVP_PKEY_free(key);
}
END_TEST

START_TEST(refuses_a_point_that_is_not_on_its_curve)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    struct rl_buf b = blob_of(key);
    b.p[b.n - 1] ^= 1;
    EVP_PKEY *out = NULL;
    ck_assert_int_eq(rl_sshkey_public_parse(rl_buf_span(&b), &out, NULL), RL_E_INVAL);
    ck_assert_ptr_null(out);
    rl_buf_fini(&b);
    EVP_PKEY_free(key);
}
END_TEST

START_TEST(refuses_every_truncation_and_every_addition)
{
    EVP_PKEY *key = NULL;
    ck_assert_int_eq(rl_sshkey_generate(&key, NULL), RL_OK);
    struct rl_buf b = blob_of(key);
    EVP_PKEY *out = NULL;
    for (size_t n = 0; n < b.n; n++)
        ck_assert_int_eq(rl_sshkey_public_parse(RL_SPAN(b.p, n), &out, NULL), RL_E_INVAL);
    rl_buf_put_u8(&b, 0);
    ck_assert_int_eq(rl_sshkey_public_parse(rl_buf_span(&b), &out, NULL), RL_E_INVAL);
    rl_buf_fini(&b);
    EVP_PKEY_free(key);
}
END_TEST

START_TEST(a_private_key_survives_its_text)
{
    EVP_PKEY *key = NULL;
    ck_assert_int_eq(rl_sshkey_generate(&key, NULL), RL_OK);
    struct rl_buf text;
    rl_buf_init(&text, RL_SSHKEY_PRIVATE_BYTES_MAX);
    ck_assert_int_eq(rl_sshkey_private_format(key, "alice@example", &text, NULL), RL_OK);
    EVP_PKEY *again = NULL;
    ck_assert_int_eq(rl_sshkey_private_parse(rl_buf_span(&text), &again, NULL), RL_OK);
    ck_assert_int_eq(EVP_PKEY_eq(key, again), 1);
    EVP_PKEY_free(again);
    again = NULL;
    /* Every byte of the body matters, the check numbers among them. */
    unsigned accepted = 0;
    for (size_t i = 40; i < text.n - 40; i++) {
        uint8_t was = text.p[i];
        text.p[i] = was == 'A' ? 'B' : 'A';
        if (was != '\n' && rl_sshkey_private_parse(rl_buf_span(&text), &again, NULL) == RL_OK) {
            accepted += EVP_PKEY_eq(key, again) != 1;
            EVP_PKEY_free(again);
            again = NULL;
        }
        text.p[i] = was;
    }
    ck_assert_uint_eq(accepted, 0);
    rl_buf_fini(&text);
    EVP_PKEY_free(key);
}
END_TEST

START_TEST(a_line_names_the_type_that_is_in_it)
{
    EVP_PKEY *key = NULL;
    ck_assert_int_eq(rl_sshkey_generate(&key, NULL), RL_OK);
    struct rl_buf b = blob_of(key);
    char *line = rl_sshkey_line_format(rl_buf_span(&b), "a comment");
    struct rl_buf back;
    rl_buf_init(&back, RL_SSHKEY_BLOB_BYTES_MAX);
    ck_assert_int_eq(rl_sshkey_line_parse(line, &back, NULL), RL_OK);
    ck_assert(rl_span_equal(rl_buf_span(&b), rl_buf_span(&back)));
    rl_buf_clear(&back);
    line[0] = 'r';
    ck_assert_int_eq(rl_sshkey_line_parse(line, &back, NULL), RL_E_INVAL);
    ck_assert_int_eq(rl_sshkey_line_parse("", &back, NULL), RL_E_INVAL);
    ck_assert_int_eq(rl_sshkey_line_parse("ssh-ed25519", &back, NULL), RL_E_INVAL);
    ck_assert_int_eq(rl_sshkey_line_parse("ssh-ed25519 !!!!", &back, NULL), RL_E_INVAL);
    ck_assert_uint_eq(back.n, 0);
    free(line);
    rl_buf_fini(&b);
    rl_buf_fini(&back);
    EVP_PKEY_free(key);
}
END_TEST

/* RFC 8032, 7.1, TEST 2, in the clothes of RFC 8709. */
START_TEST(signs_as_rfc_8032_does)
{
    struct rl_buf seed, want, signature;
    rl_buf_init(&seed, 32);
    rl_buf_init(&want, 64);
    rl_buf_init(&signature, 200);
    ck_assert_int_eq(
        rl_hex_decode("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", &seed,
                      NULL),
        RL_OK);
    ck_assert_int_eq(
        rl_hex_decode("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                      "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
                      &want, NULL),
        RL_OK);
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed.p, seed.n);
    struct rl_span data = RL_SPAN("\x72", 1);
    ck_assert_int_eq(rl_sshkey_sign(key, data, &signature, NULL), RL_OK);
    ck_assert_uint_eq(signature.n, 4 + 11 + 4 + 64);
    ck_assert(rl_span_equal(RL_SPAN(signature.p + 19, 64), rl_buf_span(&want)));
    struct rl_buf blob = blob_of(key);
    struct rl_span any = RL_SPAN(NULL, 0);
    ck_assert_int_eq(rl_sshkey_verify(rl_buf_span(&blob), any, rl_buf_span(&signature), data, NULL),
                     RL_OK);
    ck_assert_int_eq(rl_sshkey_verify(rl_buf_span(&blob), rl_span_of("rsa-sha2-512"),
                                      rl_buf_span(&signature), data, NULL),
                     RL_E_DENIED);
    for (size_t i = 0; i < signature.n; i++) {
        signature.p[i] ^= 0x10;
        ck_assert_int_eq(
            rl_sshkey_verify(rl_buf_span(&blob), any, rl_buf_span(&signature), data, NULL),
            RL_E_DENIED);
        signature.p[i] ^= 0x10;
    }
    rl_buf_fini(&seed);
    rl_buf_fini(&want);
    rl_buf_fini(&signature);
    rl_buf_fini(&blob);
    EVP_PKEY_free(key);
}
END_TEST

/* A security key's signature, made here by its software double. */
START_TEST(a_security_key_must_have_seen_its_user)
{
    EVP_PKEY *key = NULL;
    ck_assert_int_eq(rl_sshkey_generate(&key, NULL), RL_OK);
    uint8_t raw[32];
    size_t raw_n = sizeof raw;
    ck_assert_int_eq(EVP_PKEY_get_raw_public_key(key, raw, &raw_n), 1);
    struct rl_buf blob;
    rl_buf_init(&blob, 200);
    rl_buf_put_string(&blob, rl_span_of("sk-ssh-ed25519@openssh.com"));
    rl_buf_put_string(&blob, RL_SPAN(raw, raw_n));
    rl_buf_put_string(&blob, rl_span_of("ssh:"));
    struct rl_span data = rl_span_of("what is signed");
    for (uint8_t flags = 0; flags < 2; flags++) {
        uint8_t message[32 + 1 + 4 + 32] = {0};
        EVP_Digest("ssh:", 4, message, NULL, EVP_sha256(), NULL);
        message[32] = flags;
        message[36] = 7;
        EVP_Digest(data.p, data.n, message + 37, NULL, EVP_sha256(), NULL);
        struct rl_buf plain, signature;
        rl_buf_init(&plain, 200);
        rl_buf_init(&signature, 200);
        ck_assert_int_eq(rl_sshkey_sign(key, RL_SPAN(message, sizeof message), &plain, NULL),
                         RL_OK);
        rl_buf_put_string(&signature, rl_span_of("sk-ssh-ed25519@openssh.com"));
        rl_buf_put_string(&signature, RL_SPAN(plain.p + 19, 64));
        rl_buf_put_u8(&signature, flags);
        rl_buf_put_u32(&signature, 7);
        ck_assert_int_eq(rl_sshkey_verify(rl_buf_span(&blob), RL_SPAN(NULL, 0),
                                          rl_buf_span(&signature), data, NULL),
                         flags ? RL_OK : RL_E_DENIED);
        rl_buf_fini(&plain);
        rl_buf_fini(&signature);
    }
    rl_buf_fini(&blob);
    EVP_PKEY_free(key);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("sshkey");
    tcase_add_test(t, public_keys_of_every_kind_come_back_the_same);
    tcase_add_test(t, refuses_an_rsa_key_that_is_too_short);
    tcase_add_test(t, refuses_a_point_that_is_not_on_its_curve);
    tcase_add_test(t, refuses_every_truncation_and_every_addition);
    tcase_add_test(t, a_private_key_survives_its_text);
    tcase_add_test(t, a_line_names_the_type_that_is_in_it);
    tcase_add_test(t, signs_as_rfc_8032_does);
    tcase_add_test(t, a_security_key_must_have_seen_its_user);
    Suite *s = suite_create("sshkey");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
