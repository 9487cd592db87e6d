/* Against stock ssh-keygen: what it makes is read here, what is made here it reads. */
#include "sshcert/sshcert.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/rl-keygen-XXXXXX";

static void run(const char *format, const char *a, const char *b)
{
    char command[1024];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(command, sizeof command, format, a, b);
#pragma GCC diagnostic pop
    ck_assert_msg(system(command) == 0, "%s", command);
}

static struct rl_buf slurp(const char *name)
{
    struct rl_buf b;
    rl_buf_init(&b, RL_SSHCERT_BYTES_MAX * 2);
    FILE *f = fopen(name, "rb");
    ck_assert_ptr_nonnull(f);
    char part[4096];
    for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;)
        rl_buf_put(&b, part, n);
    fclose(f);
    return b;
}

static void spill(const char *name, struct rl_span content)
{
    FILE *f = fopen(name, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(content.p, 1, content.n, f), content.n);
    fclose(f);
    ck_assert_int_eq(chmod(name, 0600), 0);
}

static struct rl_buf blob_from(const char *name)
{
    struct rl_buf text = slurp(name);
    struct rl_buf blob;
    rl_buf_init(&blob, RL_SSHCERT_BYTES_MAX);
    struct rl_error err;
    ck_assert_msg(rl_sshkey_line_parse(rl_buf_text(&text), &blob, &err) == RL_OK, "%s",
                  err.message);
    rl_buf_fini(&text);
    return blob;
}

static void enter(void)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(chdir(dir), 0);
}

static void leave(void)
{
    ck_assert_int_eq(chdir("/"), 0);
    run("rm -rf %s%s", dir, "");
    memcpy(dir + sizeof dir - 7, "XXXXXX", 6);
}

static const char *const ca_types[] = {"ed25519", "ecdsa -b 256", "ecdsa -b 521", "rsa -b 2048"};
static const char *const key_types[] = {"ed25519", "ecdsa -b 256", "ecdsa -b 384", "ecdsa -b 521",
                                        "rsa -b 2048"};

static void check_certificate(void)
{
    struct rl_buf blob = blob_from("key-cert.pub");
    struct rl_buf ca = blob_from("ca.pub");
    struct rl_buf key = blob_from("key.pub");
    struct rl_span trusted = rl_buf_span(&ca);
    struct rl_sshcert cert;
    struct rl_error err;
    ck_assert_msg(rl_sshcert_parse(rl_buf_span(&blob), &cert, &err) == RL_OK, "%s", err.message);
    ck_assert_msg(rl_sshcert_verify(&cert, &trusted, 1, &err) == RL_OK, "%s", err.message);
    ck_assert_int_eq(rl_sshcert_check_user(&cert, "bob", 1, "192.0.2.1", NULL), RL_OK);
    ck_assert_int_eq(rl_sshcert_check_user(&cert, "bob", 1, "192.0.3.1", NULL), RL_E_DENIED);
    ck_assert_int_eq(rl_sshcert_check_user(&cert, "root", 1, "192.0.2.1", NULL), RL_E_DENIED);
    ck_assert(cert.serial == 7 && rl_span_is(cert.key_id, "bob's key"));
    ck_assert(cert.permit_pty && cert.permit_port_forwarding);
    ck_assert(rl_span_is(cert.force_command, "uptime"));
    ck_assert(rl_span_is(cert.identity, "who"));
    struct rl_buf subject;
    rl_buf_init(&subject, RL_SSHKEY_BLOB_BYTES_MAX);
    ck_assert_int_eq(rl_sshcert_subject_blob(&cert, &subject, NULL), RL_OK);
    ck_assert(rl_span_equal(rl_buf_span(&subject), rl_buf_span(&key)));
    rl_buf_fini(&subject);
    rl_buf_fini(&blob);
    rl_buf_fini(&ca);
    rl_buf_fini(&key);
}

START_TEST(reads_certificates_of_ssh_keygen_by_every_authority_for_every_key)
{
    for (size_t i = 0; i < RL_COUNT(key_types); i++)
        run("ssh-keygen -q -N '' -f key%s -t %s", (const char *[]){"0", "1", "2", "3", "4"}[i],
            key_types[i]);
    for (size_t i = 0; i < RL_COUNT(ca_types); i++) {
        run("rm -f ca ca.pub; ssh-keygen -q -N '' -f ca -t %s%s", ca_types[i], "");
        for (size_t k = 0; k < RL_COUNT(key_types); k++) {
            run("cp key%s.pub key.pub%s", (const char *[]){"0", "1", "2", "3", "4"}[k], "");
            run("ssh-keygen -q -s ca -I \"bob's key\" -n alice,bob -z 7 -O force-command=uptime "
                "-O source-address=192.0.2.0/24 -O extension:%s=%s key.pub",
                RL_SSHCERT_EXTENSION_IDENTITY, "who");
            check_certificate();
        }
    }
}
END_TEST

/* A plain ssh-rsa (SHA-1) signature has no place, whoever made it. */
START_TEST(refuses_an_authority_that_signs_with_sha1)
{
    run("ssh-keygen -q -N '' -f ca -t rsa -b 2048 && ssh-keygen -q -N '' -f key -t ed25519%s%s", "",
        "");
    run("ssh-keygen -q -s ca -t ssh-rsa -I i -n bob key.pub%s%s", "", "");
    struct rl_buf blob = blob_from("key-cert.pub");
    struct rl_buf ca = blob_from("ca.pub");
    struct rl_span trusted = rl_buf_span(&ca);
    struct rl_sshcert cert;
    ck_assert_int_eq(rl_sshcert_parse(rl_buf_span(&blob), &cert, NULL), RL_OK);
    ck_assert_int_eq(rl_sshcert_verify(&cert, &trusted, 1, NULL), RL_E_DENIED);
    rl_buf_fini(&blob);
    rl_buf_fini(&ca);
}
END_TEST

/* A certificate without principals is good for everybody in OpenSSH's old reading: here for none.
 */
START_TEST(refuses_a_certificate_without_principals)
{
    run("ssh-keygen -q -N '' -f ca -t ed25519 && ssh-keygen -q -N '' -f key -t ed25519%s%s", "",
        "");
    run("ssh-keygen -q -s ca -I i key.pub%s%s", "", "");
    struct rl_buf blob = blob_from("key-cert.pub");
    struct rl_sshcert cert;
    ck_assert_int_eq(rl_sshcert_parse(rl_buf_span(&blob), &cert, NULL), RL_OK);
    ck_assert_int_eq(rl_sshcert_check_user(&cert, "root", 1, "", NULL), RL_E_DENIED);
    rl_buf_fini(&blob);
}
END_TEST

START_TEST(ssh_keygen_reads_what_is_made_here)
{
    EVP_PKEY *ca = NULL;
    EVP_PKEY *user = NULL;
    ck_assert_int_eq(rl_sshkey_generate(&ca, NULL), RL_OK);
    ck_assert_int_eq(rl_sshkey_generate(&user, NULL), RL_OK);
    struct rl_buf blob, text, cert;
    rl_buf_init(&blob, RL_SSHKEY_BLOB_BYTES_MAX);
    rl_buf_init(&text, RL_SSHKEY_PRIVATE_BYTES_MAX);
    rl_buf_init(&cert, RL_SSHCERT_BYTES_MAX);
    ck_assert_int_eq(rl_sshkey_public_blob(user, &blob, NULL), RL_OK);
    ck_assert_int_eq(rl_sshkey_private_format(user, "made here", &text, NULL), RL_OK);
    spill("mine", rl_buf_span(&text));
    char *line = rl_sshkey_line_format(rl_buf_span(&blob), NULL);
    spill("want", rl_span_of(line));
    run("ssh-keygen -y -f mine | cut -d' ' -f1,2 | tr -d '\\n' | cmp - want%s%s", "", "");
    char *print = rl_sshkey_fingerprint(rl_buf_span(&blob));
    run("ssh-keygen -lf mine | grep -qF '%s'%s", print, "");
    struct rl_sshcert_request r = {
        .kind = RL_SSHCERT_USER,
        .subject = rl_buf_span(&blob),
        .key_id = "made-here",
        .principals = (const char *const[]){"carol"},
        .principals_n = 1,
        .valid_before_s = RL_SSHCERT_FOREVER,
        .critical = &(struct rl_sshcert_option){"force-command", rl_span_of("id")},
        .critical_n = 1,
        .extensions = (const struct rl_sshcert_option[]){{"permit-pty", {NULL, 0}}},
        .extensions_n = 1,
    };
    ck_assert_int_eq(rl_sshcert_issue(&r, ca, &cert, NULL), RL_OK);
    free(line);
    line = rl_sshkey_line_format(rl_buf_span(&cert), NULL);
    spill("mine-cert.pub", rl_span_of(line));
    run("ssh-keygen -Lf mine-cert.pub > shown%s%s", "", "");
    run("grep -q 'Key ID: \"made-here\"' shown && grep -q 'force-command id' shown && grep -q "
        "carol shown && grep -q 'Valid: .*forever' shown && grep -q permit-pty shown%s%s",
        "", "");
    free(line);
    free(print);
    rl_buf_fini(&blob);
    rl_buf_fini(&text);
    rl_buf_fini(&cert);
    EVP_PKEY_free(ca);
    EVP_PKEY_free(user);
}
END_TEST

START_TEST(reads_the_private_keys_of_ssh_keygen)
{
    run("ssh-keygen -q -N '' -f open -t ed25519 -C '%s'%s", "a comment", "");
    run("ssh-keygen -q -N secret -f closed -t ed25519 && ssh-keygen -q -N '' -f ec -t ecdsa%s%s",
        "", "");
    struct rl_buf text = slurp("open");
    struct rl_buf want = blob_from("open.pub");
    struct rl_buf got;
    rl_buf_init(&got, RL_SSHKEY_BLOB_BYTES_MAX);
    EVP_PKEY *key = NULL;
    ck_assert_int_eq(rl_sshkey_private_parse(rl_buf_span(&text), &key, NULL), RL_OK);
    ck_assert_int_eq(rl_sshkey_public_blob(key, &got, NULL), RL_OK);
    ck_assert(rl_span_equal(rl_buf_span(&got), rl_buf_span(&want)));
    EVP_PKEY_free(key);
    key = NULL;
    rl_buf_fini(&text);
    text = slurp("closed");
    struct rl_error err;
    ck_assert_int_eq(rl_sshkey_private_parse(rl_buf_span(&text), &key, &err), RL_E_INVAL);
    ck_assert_ptr_nonnull(strstr(err.message, "encrypted"));
    rl_buf_fini(&text);
    text = slurp("ec");
    ck_assert_int_eq(rl_sshkey_private_parse(rl_buf_span(&text), &key, &err), RL_E_INVAL);
    ck_assert_ptr_nonnull(strstr(err.message, "Ed25519"));
    rl_buf_fini(&text);
    rl_buf_fini(&want);
    rl_buf_fini(&got);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("keygen");
    tcase_add_checked_fixture(t, enter, leave);
    tcase_add_test(t, reads_certificates_of_ssh_keygen_by_every_authority_for_every_key);
    tcase_add_test(t, refuses_an_authority_that_signs_with_sha1);
    tcase_add_test(t, refuses_a_certificate_without_principals);
    tcase_add_test(t, ssh_keygen_reads_what_is_made_here);
    tcase_add_test(t, reads_the_private_keys_of_ssh_keygen);
    tcase_set_timeout(t, 60);
    Suite *s = suite_create("keygen");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
