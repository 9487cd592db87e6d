#include "identity/identity.h"

#include "identity/tests/authority.h"

#include "bytes/encoding.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <stdlib.h>

static struct rl_buf buf;

static void set_up(void)
{
    rl_buf_init(&buf, 65536);
}

static void tear_down(void)
{
    rl_buf_fini(&buf);
}

START_TEST(reads_the_public_key_that_it_wrote)
{
    EVP_PKEY *keys[] = {fresh_key(), EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")};
    for (size_t i = 0; i < RL_COUNT(keys); i++) {
        EVP_PKEY *again = NULL;
        ck_assert_int_eq(rl_key_to_spki(keys[i], &buf, NULL), RL_OK);
        ck_assert_int_eq(rl_key_from_spki(rl_buf_span(&buf), &again, NULL), RL_OK);
        ck_assert_int_eq(EVP_PKEY_eq(keys[i], again), 1);
        EVP_PKEY_free(again);
        EVP_PKEY_free(keys[i]);
        rl_buf_clear(&buf);
    }
}
END_TEST

START_TEST(rejects_public_keys_of_other_kinds)
{
    EVP_PKEY *keys[] = {EVP_EC_gen("P-384"), EVP_RSA_gen(2048), EVP_EC_gen("secp256k1")};
    for (size_t i = 0; i < RL_COUNT(keys); i++) {
        EVP_PKEY *again = NULL;
        ck_assert_int_eq(rl_key_to_spki(keys[i], &buf, NULL), RL_OK);
        ck_assert_int_eq(rl_key_from_spki(rl_buf_span(&buf), &again, NULL), RL_E_INVAL);
        ck_assert_ptr_null(again);
        EVP_PKEY_free(keys[i]);
        rl_buf_clear(&buf);
    }
}
END_TEST

START_TEST(rejects_public_keys_in_another_spelling)
{
    EVP_PKEY *key = fresh_key(), *again = NULL;
    ck_assert_int_eq(rl_key_to_spki(key, &buf, NULL), RL_OK);
    struct rl_span whole = rl_buf_span(&buf);
    for (size_t n = 0; n < whole.n; n++)
        ck_assert_int_eq(rl_key_from_spki(RL_SPAN(whole.p, n), &again, NULL), RL_E_INVAL);
    rl_buf_put_u8(&buf, 0);
    ck_assert_int_eq(rl_key_from_spki(rl_buf_span(&buf), &again, NULL), RL_E_INVAL);
    buf.n--;
    buf.p[buf.n - 1] ^= 1; /* no point of the curve */
    ck_assert_int_eq(rl_key_from_spki(rl_buf_span(&buf), &again, NULL), RL_E_INVAL);
    EVP_PKEY_set_utf8_string_param(key, "point-format", "compressed");
    rl_buf_clear(&buf);
    ck_assert_int_eq(rl_key_to_spki(key, &buf, NULL), RL_OK);
    ck_assert_uint_lt(buf.n, 91);
    ck_assert_int_eq(rl_key_from_spki(rl_buf_span(&buf), &again, NULL), RL_E_INVAL);
    EVP_PKEY_free(key);
}
END_TEST

START_TEST(reads_the_private_key_that_it_wrote)
{
    EVP_PKEY *key = fresh_key(), *again = NULL;
    ck_assert_int_eq(rl_key_to_pem(key, &buf, NULL), RL_OK);
    ck_assert_int_eq(rl_key_from_pem(rl_buf_span(&buf), &again, NULL), RL_OK);
    ck_assert_int_eq(EVP_PKEY_eq(key, again), 1);
    EVP_PKEY_free(key);
    EVP_PKEY_free(again);
}
END_TEST

START_TEST(does_not_ask_for_the_password_of_a_private_key)
{
    EVP_PKEY *key = fresh_key(), *again = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    char password[] = "x", *text = NULL;
    PEM_write_bio_PKCS8PrivateKey(bio, key, EVP_aes_256_cbc(), password, 1, NULL, NULL);
    long n = BIO_get_mem_data(bio, &text);
    ck_assert_int_eq(rl_key_from_pem(RL_SPAN(text, (size_t)n), &again, NULL), RL_E_INVAL);
    ck_assert_int_eq(rl_key_from_pem(rl_span_of("nothing"), &again, NULL), RL_E_INVAL);
    BIO_free(bio);
    EVP_PKEY_free(key);
}
END_TEST

START_TEST(a_signature_holds_for_its_context_body_and_key_only)
{
    EVP_PKEY *keys[] = {fresh_key(), EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")};
    struct rl_span body = rl_span_of("body");
    for (size_t i = 0; i < RL_COUNT(keys); i++) {
        rl_buf_clear(&buf);
        ck_assert_int_eq(rl_key_sign(keys[i], "a-v1", body, &buf, NULL), RL_OK);
        struct rl_span signature = rl_buf_span(&buf);
        ck_assert_int_eq(rl_key_verify(keys[i], "a-v1", body, signature, NULL), RL_OK);
        ck_assert_int_eq(rl_key_verify(keys[i], "b-v1", body, signature, NULL),
                         RL_E_UNAUTHENTICATED);
        ck_assert_int_eq(rl_key_verify(keys[i], "a-v1", rl_span_of("Body"), signature, NULL),
                         RL_E_UNAUTHENTICATED);
        ck_assert_int_eq(rl_key_verify(keys[!i], "a-v1", body, signature, NULL),
                         RL_E_UNAUTHENTICATED);
        ck_assert_int_eq(rl_key_verify(keys[i], "a-v1", body, RL_SPAN(NULL, 0), NULL),
                         RL_E_UNAUTHENTICATED);
    }
    EVP_PKEY_free(keys[0]);
    EVP_PKEY_free(keys[1]);
}
END_TEST

START_TEST(does_not_believe_signatures_by_other_kinds_of_keys)
{
    EVP_PKEY *key = EVP_EC_gen("P-384");
    ck_assert_int_eq(rl_key_verify(key, "a", rl_span_of("b"), rl_span_of("c"), NULL),
                     RL_E_UNAUTHENTICATED);
    EVP_PKEY_free(key);
}
END_TEST

START_TEST(a_pin_is_the_hash_of_the_public_key)
{
    struct authority ca = authority_make(RL_IDENTITY_SERVICE, "main");
    uint8_t digest[32];
    ck_assert_int_eq(rl_key_to_spki(ca.key, &buf, NULL), RL_OK);
    EVP_Digest(buf.p, buf.n, digest, NULL, EVP_sha256(), NULL);
    char *hex = rl_hex_encode(RL_SPAN(digest, sizeof digest));
    char *pin = rl_identity_pin(ca.ca);
    ck_assert_int_eq(strncmp(pin, "sha256:", 7), 0);
    ck_assert_str_eq(pin + 7, hex);
    free(hex);
    free(pin);
    authority_free(&ca);
}
END_TEST

START_TEST(reads_a_certificate_whole_or_not_at_all)
{
    struct authority ca = authority_make(RL_IDENTITY_SERVICE, "main");
    X509 *again = NULL;
    ck_assert_int_eq(rl_x509_to_der(ca.ca, &buf, NULL), RL_OK);
    ck_assert_int_eq(rl_x509_from_der(rl_buf_span(&buf), &again, NULL), RL_OK);
    ck_assert_int_eq(X509_cmp(ca.ca, again), 0);
    X509_free(again);
    again = NULL;
    ck_assert_int_eq(rl_x509_from_der(RL_SPAN(buf.p, buf.n - 1), &again, NULL), RL_E_INVAL);
    rl_buf_put_u8(&buf, 0);
    ck_assert_int_eq(rl_x509_from_der(rl_buf_span(&buf), &again, NULL), RL_E_INVAL);
    ck_assert_ptr_null(again);
    authority_free(&ca);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("keys");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, reads_the_public_key_that_it_wrote);
    tcase_add_test(t, rejects_public_keys_of_other_kinds);
    tcase_add_test(t, rejects_public_keys_in_another_spelling);
    tcase_add_test(t, reads_the_private_key_that_it_wrote);
    tcase_add_test(t, does_not_ask_for_the_password_of_a_private_key);
    tcase_add_test(t, a_signature_holds_for_its_context_body_and_key_only);
    tcase_add_test(t, does_not_believe_signatures_by_other_kinds_of_keys);
    tcase_add_test(t, a_pin_is_the_hash_of_the_public_key);
    tcase_add_test(t, reads_a_certificate_whole_or_not_at_all);
    Suite *s = suite_create("keys");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
