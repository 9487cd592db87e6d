#include "sshcert/sshcert.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define NOW 1800000000

static EVP_PKEY *ca, *user;
static struct rl_buf ca_blob, user_blob;
static const char *const principals[] = {"alice", "deploy"};
static const struct rl_sshcert_option extensions[] = {
    {"permit-pty", {NULL, 0}},
    {RL_SSHCERT_EXTENSION_IDENTITY, {(const uint8_t *)"packed\0identity", 15}},
    {"permit-agent-forwarding", {NULL, 0}},
};

static void make_keys(void)
{
    ck_assert_int_eq(rl_sshkey_generate(&ca, NULL), RL_OK);
    ck_assert_int_eq(rl_sshkey_generate(&user, NULL), RL_OK);
    rl_buf_init(&ca_blob, RL_SSHKEY_BLOB_BYTES_MAX);
    rl_buf_init(&user_blob, RL_SSHKEY_BLOB_BYTES_MAX);
    ck_assert_int_eq(rl_sshkey_public_blob(ca, &ca_blob, NULL), RL_OK);
    ck_assert_int_eq(rl_sshkey_public_blob(user, &user_blob, NULL), RL_OK);
}

static void free_keys(void)
{
    EVP_PKEY_free(ca);
    EVP_PKEY_free(user);
    rl_buf_fini(&ca_blob);
    rl_buf_fini(&user_blob);
}

static struct rl_sshcert_request request(void)
{
    return (struct rl_sshcert_request){
        .kind = RL_SSHCERT_USER,
        .subject = rl_buf_span(&user_blob),
        .serial = 0x1122334455667788,
        .key_id = "alice",
        .principals = principals,
        .principals_n = 2,
        .valid_after_s = NOW - 100,
        .valid_before_s = NOW + 100,
        .extensions = extensions,
        .extensions_n = RL_COUNT(extensions),
    };
}

static struct rl_buf issue(const struct rl_sshcert_request *r)
{
    struct rl_buf b;
    rl_buf_init(&b, RL_SSHCERT_BYTES_MAX);
    struct rl_error err;
    ck_assert_msg(rl_sshcert_issue(r, ca, &b, &err) == RL_OK, "%s", err.message);
    return b;
}

static rl_code judge(struct rl_span blob, const char *login, int64_t now_s, const char *address)
{
    struct rl_sshcert cert;
    struct rl_span trusted = rl_buf_span(&ca_blob);
    rl_code rc = rl_sshcert_parse(blob, &cert, NULL);
    if (rc == RL_OK)
        rc = rl_sshcert_verify(&cert, &trusted, 1, NULL);
    if (rc == RL_OK)
        rc = rl_sshcert_check_user(&cert, login, now_s, address, NULL);
    return rc;
}

START_TEST(what_was_issued_is_read_back)
{
    struct rl_sshcert_request r = request();
    struct rl_buf b = issue(&r);
    struct rl_sshcert cert;
    ck_assert_int_eq(rl_sshcert_parse(rl_buf_span(&b), &cert, NULL), RL_OK);
    ck_assert(rl_span_is(cert.type_name, "ssh-ed25519-cert-v01@openssh.com"));
    ck_assert(cert.serial == r.serial);
    ck_assert(rl_span_is(cert.key_id, "alice"));
    ck_assert(cert.permit_pty && cert.permit_agent_forwarding && !cert.permit_port_forwarding);
    ck_assert(rl_span_equal(cert.identity, RL_SPAN("packed\0identity", 15)));
    ck_assert(!cert.has_force_command && !cert.has_source_address);
    struct rl_buf subject;
    rl_buf_init(&subject, RL_SSHKEY_BLOB_BYTES_MAX);
    ck_assert_int_eq(rl_sshcert_subject_blob(&cert, &subject, NULL), RL_OK);
    ck_assert(rl_span_equal(rl_buf_span(&subject), rl_buf_span(&user_blob)));
    size_t at = 0;
    struct rl_span name;
    ck_assert(rl_sshcert_principal(&cert, &at, &name) && rl_span_is(name, "alice"));
    ck_assert(rl_sshcert_principal(&cert, &at, &name) && rl_span_is(name, "deploy"));
    ck_assert(!rl_sshcert_principal(&cert, &at, &name));
    rl_buf_fini(&subject);
    rl_buf_fini(&b);
}
END_TEST

START_TEST(lets_in_its_principals_while_it_is_valid)
{
    struct rl_sshcert_request r = request();
    struct rl_buf b = issue(&r);
    struct rl_span blob = rl_buf_span(&b);
    ck_assert_int_eq(judge(blob, "alice", NOW, ""), RL_OK);
    ck_assert_int_eq(judge(blob, "deploy", NOW, NULL), RL_OK);
    ck_assert_int_eq(judge(blob, "root", NOW, ""), RL_E_DENIED);
    ck_assert_int_eq(judge(blob, "", NOW, ""), RL_E_DENIED);
    ck_assert_int_eq(judge(blob, "alic", NOW, ""), RL_E_DENIED);
    ck_assert_int_eq(judge(blob, "alice", NOW - 101, ""), RL_E_DENIED);
    ck_assert_int_eq(judge(blob, "alice", NOW - 100, ""), RL_OK);
    ck_assert_int_eq(judge(blob, "alice", NOW + 99, ""), RL_OK);
    ck_assert_int_eq(judge(blob, "alice", NOW + 100, ""), RL_E_DENIED);
    ck_assert_int_eq(judge(blob, "alice", -1, ""), RL_E_DENIED);
    rl_buf_fini(&b);
}
END_TEST

START_TEST(a_change_of_any_byte_is_refused)
{
    struct rl_sshcert_request r = request();
    struct rl_buf b = issue(&r);
    for (size_t i = 0; i < b.n; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            b.p[i] ^= (uint8_t)(1u << bit);
            ck_assert_msg(judge(rl_buf_span(&b), "alice", NOW, "") != RL_OK, "byte %zu", i);
            b.p[i] ^= (uint8_t)(1u << bit);
        }
    for (size_t n = 0; n < b.n; n++)
        ck_assert_int_ne(judge(RL_SPAN(b.p, n), "alice", NOW, ""), RL_OK);
    ck_assert_int_eq(judge(rl_buf_span(&b), "alice", NOW, ""), RL_OK);
    rl_buf_put_u8(&b, 0);
    ck_assert_int_eq(judge(rl_buf_span(&b), "alice", NOW, ""), RL_E_INVAL);
    rl_buf_fini(&b);
}
END_TEST

START_TEST(refuses_another_authority)
{
    struct rl_sshcert_request r = request();
    struct rl_buf b = issue(&r);
    struct rl_sshcert cert;
    ck_assert_int_eq(rl_sshcert_parse(rl_buf_span(&b), &cert, NULL), RL_OK);
    struct rl_span other = rl_buf_span(&user_blob);
    ck_assert_int_eq(rl_sshcert_verify(&cert, &other, 1, NULL), RL_E_DENIED);
    ck_assert_int_eq(rl_sshcert_verify(&cert, NULL, 0, NULL), RL_E_DENIED);
    rl_buf_fini(&b);
}
END_TEST

START_TEST(users_and_hosts_are_not_confused)
{
    struct rl_sshcert_request r = request();
    r.kind = RL_SSHCERT_HOST;
    struct rl_buf host = issue(&r);
    ck_assert_int_eq(judge(rl_buf_span(&host), "alice", NOW, ""), RL_E_DENIED);
    struct rl_sshcert cert;
    ck_assert_int_eq(rl_sshcert_parse(rl_buf_span(&host), &cert, NULL), RL_OK);
    ck_assert_int_eq(rl_sshcert_check_host(&cert, "alice", NOW, NULL), RL_OK);
    ck_assert_int_eq(rl_sshcert_check_host(&cert, "bob", NOW, NULL), RL_E_DENIED);
    r.kind = RL_SSHCERT_USER;
    struct rl_buf person = issue(&r);
    ck_assert_int_eq(rl_sshcert_parse(rl_buf_span(&person), &cert, NULL), RL_OK);
    ck_assert_int_eq(rl_sshcert_check_host(&cert, "alice", NOW, NULL), RL_E_DENIED);
    rl_buf_fini(&host);
    rl_buf_fini(&person);
}
END_TEST

START_TEST(issues_nothing_that_is_wrong)
{
    struct rl_buf b;
    rl_buf_init(&b, RL_SSHCERT_BYTES_MAX);
    struct rl_sshcert_request r = request();
    r.principals_n = 0;
    ck_assert_int_eq(rl_sshcert_issue(&r, ca, &b, NULL), RL_E_INVAL);
    r = request();
    r.principals = (const char *const[]){"alice", ""};
    ck_assert_int_eq(rl_sshcert_issue(&r, ca, &b, NULL), RL_E_INVAL);
    r = request();
    r.valid_before_s = r.valid_after_s;
    ck_assert_int_eq(rl_sshcert_issue(&r, ca, &b, NULL), RL_E_INVAL);
    r = request();
    r.extensions = (const struct rl_sshcert_option[]){extensions[0], extensions[0]};
    r.extensions_n = 2;
    ck_assert_int_eq(rl_sshcert_issue(&r, ca, &b, NULL), RL_E_INVAL);
    ck_assert_uint_eq(b.n, 0);
    rl_buf_fini(&b);
}
END_TEST

START_TEST(takes_as_many_principals_as_it_says)
{
    const char *many[RL_SSHCERT_PRINCIPALS_MAX + 1];
    for (size_t i = 0; i < RL_COUNT(many); i++)
        many[i] = "p";
    struct rl_sshcert_request r = request();
    r.principals = many;
    for (size_t n = RL_SSHCERT_PRINCIPALS_MAX - 1; n <= RL_SSHCERT_PRINCIPALS_MAX + 1; n++) {
        struct rl_buf b;
        rl_buf_init(&b, RL_SSHCERT_BYTES_MAX);
        r.principals_n = n;
        ck_assert_int_eq(rl_sshcert_issue(&r, ca, &b, NULL),
                         n <= RL_SSHCERT_PRINCIPALS_MAX ? RL_OK : RL_E_INVAL);
        rl_buf_fini(&b);
    }
}
END_TEST

/* CVE-2025-49825: a certificate stood where an authority's key is wanted. */
START_TEST(a_certificate_signs_no_certificate)
{
    struct rl_sshcert_request r = request();
    struct rl_buf inner = issue(&r);
    struct rl_sshcert cert;
    ck_assert_int_eq(rl_sshcert_parse(rl_buf_span(&inner), &cert, NULL), RL_OK);
    /* The same certificate, but "signed" by the user's own certificate. */
    struct rl_buf forged, signature;
    rl_buf_init(&forged, RL_SSHCERT_BYTES_MAX);
    rl_buf_init(&signature, RL_SSHKEY_SIGNATURE_BYTES_MAX);
    rl_buf_put(&forged, cert.signed_part.p, cert.signed_part.n - cert.ca_key.n - 4);
    rl_buf_put_string(&forged, rl_buf_span(&inner));
    ck_assert_int_eq(rl_sshkey_sign(user, rl_buf_span(&forged), &signature, NULL), RL_OK);
    rl_buf_put_string(&forged, rl_buf_span(&signature));
    struct rl_error err;
    ck_assert_int_eq(rl_sshcert_parse(rl_buf_span(&forged), &cert, &err), RL_E_INVAL);
    ck_assert_ptr_nonnull(strstr(err.message, "itself a certificate"));
    r.subject = rl_buf_span(&inner);
    rl_buf_clear(&forged);
    ck_assert_int_eq(rl_sshcert_issue(&r, ca, &forged, &err), RL_E_INVAL);
    ck_assert_uint_eq(forged.n, 0);
    rl_buf_fini(&inner);
    rl_buf_fini(&forged);
    rl_buf_fini(&signature);
}
END_TEST

static struct rl_buf issue_with(const char *name, const char *value)
{
    struct rl_sshcert_request r = request();
    struct rl_sshcert_option critical = {name, rl_span_of(value)};
    r.critical = &critical;
    r.critical_n = 1;
    return issue(&r);
}

START_TEST(obeys_source_addresses)
{
    static const struct {
        const char *list, *address;
        bool is_allowed;
    } cases[] = {
        {"10.0.0.0/8", "10.255.0.1", true},
        {"10.0.0.0/8", "11.0.0.1", false},
        {"10.0.0.0/8", "::ffff:10.1.1.1", true},
        {"10.0.0.0/8", "", false},
        {"10.0.0.0/8", NULL, false},
        {"10.0.0.0/8", "not an address", false},
        {"192.0.2.7", "192.0.2.7", true},
        {"192.0.2.7", "192.0.2.8", false},
        {"192.0.2.0/25,2001:db8::/33", "2001:db8:7fff::1", true},
        {"192.0.2.0/25,2001:db8::/33", "2001:db8:8000::1", false},
        {"192.0.2.0/25,2001:db8::/33", "192.0.2.128", false},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"::/0", "10.0.0.1", false},
        {"10.0.0.0/33", "10.0.0.1", false},
        {"10.0.0.0/8,", "10.0.0.1", false},
        {"10.0.0.0/8,nonsense", "10.0.0.1", false},
        {"10.0.0.0/", "10.0.0.1", false},
        {"10.0.0.0/-1", "10.0.0.1", false},
    };
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        struct rl_buf b = issue_with("source-address", cases[i].list);
        ck_assert_msg(judge(rl_buf_span(&b), "alice", NOW, cases[i].address) ==
                          (cases[i].is_allowed ? RL_OK : RL_E_DENIED),
                      "%s from %s", cases[i].list, cases[i].address);
        rl_buf_fini(&b);
    }
}
END_TEST

START_TEST(refuses_critical_options_that_it_does_not_know)
{
    struct rl_buf b = issue_with("verify-required", "");
    struct rl_sshcert cert;
    struct rl_error err;
    ck_assert_int_eq(rl_sshcert_parse(rl_buf_span(&b), &cert, &err), RL_E_DENIED);
    ck_assert_ptr_nonnull(strstr(err.message, "verify-required"));
    rl_buf_fini(&b);
    b = issue_with("force-command", "uptime");
    ck_assert_int_eq(rl_sshcert_parse(rl_buf_span(&b), &cert, &err), RL_OK);
    ck_assert(cert.has_force_command && rl_span_is(cert.force_command, "uptime"));
    rl_buf_fini(&b);
    b = issue_with("force-command", "");
    ck_assert_int_eq(rl_sshcert_parse(rl_buf_span(&b), &cert, &err), RL_OK);
    ck_assert(cert.has_force_command && cert.force_command.n == 0);
    rl_buf_fini(&b);
}
END_TEST

/* Writes a certificate by hand with these options, signs it, and reads it. */
static rl_code read_with_extensions(struct rl_span packed)
{
    struct rl_buf b, signature;
    rl_buf_init(&b, RL_SSHCERT_BYTES_MAX);
    rl_buf_init(&signature, RL_SSHKEY_SIGNATURE_BYTES_MAX);
    rl_buf_put_string(&b, rl_span_of("ssh-ed25519-cert-v01@openssh.com"));
    rl_buf_put_string(&b, rl_span_of("nonce"));
    rl_buf_put(&b, user_blob.p + 15, user_blob.n - 15);
    rl_buf_put_u64(&b, 1);
    rl_buf_put_u32(&b, RL_SSHCERT_USER);
    rl_buf_put_string(&b, rl_span_of("id"));
    rl_buf_put_string(&b, RL_SPAN("\0\0\0\5alice", 9));
    rl_buf_put_u64(&b, 0);
    rl_buf_put_u64(&b, RL_SSHCERT_FOREVER);
    rl_buf_put_string(&b, rl_span_of(""));
    rl_buf_put_string(&b, packed);
    rl_buf_put_string(&b, rl_span_of(""));
    rl_buf_put_string(&b, rl_buf_span(&ca_blob));
    ck_assert_int_eq(rl_sshkey_sign(ca, rl_buf_span(&b), &signature, NULL), RL_OK);
    rl_buf_put_string(&b, rl_buf_span(&signature));
    rl_code rc = judge(rl_buf_span(&b), "alice", NOW, "");
    rl_buf_fini(&b);
    rl_buf_fini(&signature);
    return rc;
}

START_TEST(options_come_in_order_and_once)
{
    ck_assert_int_eq(read_with_extensions(RL_SPAN("\0\0\0\1a\0\0\0\0\0\0\0\1b\0\0\0\0", 18)),
                     RL_OK);
    ck_assert_int_eq(read_with_extensions(RL_SPAN("\0\0\0\1b\0\0\0\0\0\0\0\1a\0\0\0\0", 18)),
                     RL_E_INVAL);
    ck_assert_int_eq(read_with_extensions(RL_SPAN("\0\0\0\1a\0\0\0\0\0\0\0\1a\0\0\0\0", 18)),
                     RL_E_INVAL);
    ck_assert_int_eq(read_with_extensions(RL_SPAN("\0\0\0\1a\0\0\0\2xx", 11)), RL_E_INVAL);
    ck_assert_int_eq(read_with_extensions(RL_SPAN("\0\0\0\1a", 5)), RL_E_INVAL);
}
END_TEST

START_TEST(possession_is_shown_by_the_inner_key_and_the_asked_algorithm)
{
    struct rl_sshcert_request r = request();
    struct rl_buf b = issue(&r);
    struct rl_sshcert cert;
    ck_assert_int_eq(rl_sshcert_parse(rl_buf_span(&b), &cert, NULL), RL_OK);
    struct rl_span data = rl_span_of("session id and request");
    struct rl_span asked = rl_span_of("ssh-ed25519-cert-v01@openssh.com");
    struct rl_buf good, bad;
    rl_buf_init(&good, 200);
    rl_buf_init(&bad, 200);
    ck_assert_int_eq(rl_sshkey_sign(user, data, &good, NULL), RL_OK);
    ck_assert_int_eq(rl_sshkey_sign(ca, data, &bad, NULL), RL_OK);
    struct rl_span signature = rl_buf_span(&good);
    ck_assert_int_eq(rl_sshcert_check_possession(&cert, asked, signature, data, NULL), RL_OK);
    ck_assert_int_eq(rl_sshcert_check_possession(&cert, asked, rl_buf_span(&bad), data, NULL),
                     RL_E_DENIED);
    ck_assert_int_eq(
        rl_sshcert_check_possession(&cert, asked, signature, rl_span_of("other"), NULL),
        RL_E_DENIED);
    static const char *const others[] = {"ssh-ed25519", "", "rsa-sha2-512-cert-v01@openssh.com",
                                         "ecdsa-sha2-nistp256-cert-v01@openssh.com"};
    for (size_t i = 0; i < RL_COUNT(others); i++)
        ck_assert_int_eq(
            rl_sshcert_check_possession(&cert, rl_span_of(others[i]), signature, data, NULL),
            RL_E_DENIED);
    rl_buf_fini(&b);
    rl_buf_fini(&good);
    rl_buf_fini(&bad);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("sshcert");
    tcase_add_checked_fixture(t, make_keys, free_keys);
    tcase_add_test(t, what_was_issued_is_read_back);
    tcase_add_test(t, lets_in_its_principals_while_it_is_valid);
    tcase_add_test(t, a_change_of_any_byte_is_refused);
    tcase_add_test(t, refuses_another_authority);
    tcase_add_test(t, users_and_hosts_are_not_confused);
    tcase_add_test(t, issues_nothing_that_is_wrong);
    tcase_add_test(t, takes_as_many_principals_as_it_says);
    tcase_add_test(t, a_certificate_signs_no_certificate);
    tcase_add_test(t, obeys_source_addresses);
    tcase_add_test(t, refuses_critical_options_that_it_does_not_know);
    tcase_add_test(t, options_come_in_order_and_once);
    tcase_add_test(t, possession_is_shown_by_the_inner_key_and_the_asked_algorithm);
    tcase_set_timeout(t, 60);
    Suite *s = suite_create("sshcert");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
