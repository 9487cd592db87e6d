#include "credential/wrap.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct rl_error err;
static char directory[64];
static char path[128];
static const struct rl_wrap_binding binding = {"dev.example", "user-ssh", "0190-1"};

static void set_up(void)
{
    snprintf(directory, sizeof directory, "/tmp/rl_wrap_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/key", directory);
}

static void tear_down(void)
{
    unlink(path);
    rmdir(directory);
}

static void write_file(const char *text, mode_t mode)
{
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
    ck_assert_int_eq(chmod(path, mode), 0);
}

static struct rl_wrap_key *load(void)
{
    struct rl_wrap_key *key = NULL;
    ck_assert_msg(rl_wrap_key_load(path, &key, &err) == RL_OK, "%s", err.message);
    return key;
}

START_TEST(unwraps_what_it_wrapped)
{
    ck_assert_int_eq(rl_wrap_key_create_file(path, &err), RL_OK);
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0600);
    struct rl_wrap_key *key = load();
    struct rl_buf a;
    struct rl_buf b;
    struct rl_buf plain;
    rl_buf_init(&a, 1000);
    rl_buf_init(&b, 1000);
    rl_buf_init(&plain, 1000);
    ck_assert_int_eq(rl_wrap(key, &binding, rl_span_of("a private key"), &a, &err), RL_OK);
    ck_assert_int_eq(rl_wrap(key, &binding, rl_span_of("a private key"), &b, &err), RL_OK);
    ck_assert(!rl_span_equal(rl_buf_span(&a), rl_buf_span(&b)));
    ck_assert_int_eq(rl_unwrap(key, &binding, rl_buf_span(&a), &plain, &err), RL_OK);
    ck_assert(rl_span_is(rl_buf_span(&plain), "a private key"));
    rl_buf_fini(&a);
    rl_buf_fini(&b);
    rl_buf_fini(&plain);
    rl_wrap_key_free(&key);
}
END_TEST

START_TEST(a_wrapped_key_is_bound_to_cluster_kind_and_id)
{
    static const struct rl_wrap_binding others[] = {
        {"dev.example2", "user-ssh", "0190-1"},
        {"dev.example", "host-ssh", "0190-1"},
        {"dev.example", "user-ssh", "0190-2"},
        {"dev.exampleu", "ser-ssh", "0190-1"},
    };
    ck_assert_int_eq(rl_wrap_key_create_file(path, &err), RL_OK);
    struct rl_wrap_key *key = load();
    struct rl_buf wrapped;
    struct rl_buf plain;
    rl_buf_init(&wrapped, 1000);
    rl_buf_init(&plain, 1000);
    ck_assert_int_eq(rl_wrap(key, &binding, rl_span_of("k"), &wrapped, &err), RL_OK);
    for (size_t i = 0; i < RL_COUNT(others); i++) {
        ck_assert_int_eq(rl_unwrap(key, &others[i], rl_buf_span(&wrapped), &plain, &err),
                         RL_E_DENIED);
        ck_assert_uint_eq(plain.n, 0);
    }
    rl_buf_fini(&wrapped);
    rl_buf_fini(&plain);
    rl_wrap_key_free(&key);
}
END_TEST

START_TEST(notices_every_changed_or_missing_byte)
{
    ck_assert_int_eq(rl_wrap_key_create_file(path, &err), RL_OK);
    struct rl_wrap_key *key = load();
    struct rl_buf wrapped;
    struct rl_buf plain;
    rl_buf_init(&wrapped, 1000);
    rl_buf_init(&plain, 1000);
    ck_assert_int_eq(rl_wrap(key, &binding, rl_span_of("private"), &wrapped, &err), RL_OK);
    for (size_t i = 0; i < wrapped.n; i++) {
        wrapped.p[i] ^= 1;
        ck_assert_int_ne(rl_unwrap(key, &binding, rl_buf_span(&wrapped), &plain, &err), RL_OK);
        wrapped.p[i] ^= 1;
        ck_assert_int_ne(rl_unwrap(key, &binding, RL_SPAN(wrapped.p, i), &plain, &err), RL_OK);
    }
    ck_assert_int_eq(rl_unwrap(key, &binding, rl_buf_span(&wrapped), &plain, &err), RL_OK);
    rl_buf_fini(&wrapped);
    rl_buf_fini(&plain);
    rl_wrap_key_free(&key);
}
END_TEST

START_TEST(another_key_file_does_not_open_it)
{
    ck_assert_int_eq(rl_wrap_key_create_file(path, &err), RL_OK);
    struct rl_wrap_key *first = load();
    unlink(path);
    ck_assert_int_eq(rl_wrap_key_create_file(path, &err), RL_OK);
    struct rl_wrap_key *second = load();
    struct rl_buf wrapped;
    struct rl_buf plain;
    rl_buf_init(&wrapped, 1000);
    rl_buf_init(&plain, 1000);
    ck_assert_int_eq(rl_wrap(first, &binding, rl_span_of("k"), &wrapped, &err), RL_OK);
    ck_assert_int_eq(rl_unwrap(second, &binding, rl_buf_span(&wrapped), &plain, &err), RL_E_DENIED);
    ck_assert_ptr_nonnull(strstr(err.message, "key file is another one"));
    rl_buf_fini(&wrapped);
    rl_buf_fini(&plain);
    rl_wrap_key_free(&first);
    rl_wrap_key_free(&second);
}
END_TEST

#define KEY_A "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define KEY_B "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="

START_TEST(the_highest_version_wraps_and_all_unwrap)
{
    struct rl_buf wrapped;
    struct rl_buf plain;
    rl_buf_init(&wrapped, 1000);
    rl_buf_init(&plain, 1000);
    write_file("1:" KEY_A "\n", 0600);
    struct rl_wrap_key *key = load();
    ck_assert_int_eq(rl_wrap(key, &binding, rl_span_of("k"), &wrapped, &err), RL_OK);
    rl_wrap_key_free(&key);
    write_file("2:" KEY_B "\n1:" KEY_A "\n", 0600);
    key = load();
    ck_assert_uint_eq(rl_wrap_key_version(key), 2);
    ck_assert_int_eq(rl_unwrap(key, &binding, rl_buf_span(&wrapped), &plain, &err), RL_OK);
    rl_wrap_key_free(&key);
    write_file("2:" KEY_B "\n", 0600);
    key = load();
    ck_assert_int_eq(rl_unwrap(key, &binding, rl_buf_span(&wrapped), &plain, &err), RL_E_DENIED);
    rl_wrap_key_free(&key);
    rl_buf_fini(&wrapped);
    rl_buf_fini(&plain);
}
END_TEST

START_TEST(derives_one_secret_for_each_purpose)
{
    write_file("1:" KEY_A "\n", 0600);
    struct rl_wrap_key *first = load();
    struct rl_wrap_key *again = load();
    write_file("1:" KEY_B "\n", 0600);
    struct rl_wrap_key *other = load();
    uint8_t a[80], b[80];
    ck_assert_int_eq(rl_wrap_key_derive(first, "tickets/1", a, sizeof a, &err), RL_OK);
    ck_assert_int_eq(rl_wrap_key_derive(again, "tickets/1", b, sizeof b, &err), RL_OK);
    ck_assert_mem_eq(a, b, sizeof a);
    ck_assert_int_eq(rl_wrap_key_derive(first, "tickets/2", b, sizeof b, &err), RL_OK);
    ck_assert_mem_ne(a, b, sizeof a);
    ck_assert_int_eq(rl_wrap_key_derive(other, "tickets/1", b, sizeof b, &err), RL_OK);
    ck_assert_mem_ne(a, b, sizeof a);
    rl_wrap_key_free(&first);
    rl_wrap_key_free(&again);
    rl_wrap_key_free(&other);
}
END_TEST

START_TEST(refuses_a_file_that_others_can_read)
{
    static const mode_t bad[] = {0640, 0604, 0620, 0660, 0644};
    struct rl_wrap_key *key = NULL;
    for (size_t i = 0; i < RL_COUNT(bad); i++) {
        write_file("1:" KEY_A "\n", bad[i]);
        ck_assert_int_eq(rl_wrap_key_load(path, &key, &err), RL_E_DENIED);
    }
    ck_assert_ptr_null(key);
}
END_TEST

START_TEST(refuses_a_file_that_is_none)
{
    static const char *const bad[] = {
        "",
        "\n",
        KEY_A "\n",
        "0:" KEY_A "\n",
        "1:AAAA",
        "1:" KEY_A "x",
        "x:" KEY_A "\n",
        "1:" KEY_A "\n1:" KEY_B "\n",
        "-1:" KEY_A,
        "4294967296:" KEY_A,
    };
    struct rl_wrap_key *key = NULL;
    for (size_t i = 0; i < RL_COUNT(bad); i++) {
        write_file(bad[i], 0600);
        ck_assert_int_eq(rl_wrap_key_load(path, &key, &err), RL_E_INVAL);
    }
    unlink(path);
    ck_assert_int_eq(rl_wrap_key_load(path, &key, &err), RL_E_NOT_FOUND);
    ck_assert_ptr_null(key);
}
END_TEST

START_TEST(never_overwrites_a_key_file)
{
    write_file("1:" KEY_A "\n", 0600);
    ck_assert_int_eq(rl_wrap_key_create_file(path, &err), RL_E_EXISTS);
    struct rl_wrap_key *key = load();
    rl_wrap_key_free(&key);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("wrap");
    TCase *t = tcase_create("wrap");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, unwraps_what_it_wrapped);
    tcase_add_test(t, a_wrapped_key_is_bound_to_cluster_kind_and_id);
    tcase_add_test(t, notices_every_changed_or_missing_byte);
    tcase_add_test(t, another_key_file_does_not_open_it);
    tcase_add_test(t, the_highest_version_wraps_and_all_unwrap);
    tcase_add_test(t, derives_one_secret_for_each_purpose);
    tcase_add_test(t, refuses_a_file_that_others_can_read);
    tcase_add_test(t, refuses_a_file_that_is_none);
    tcase_add_test(t, never_overwrites_a_key_file);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
