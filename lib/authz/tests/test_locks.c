#include "build_role.h"

#include <check.h>

#define NOW INT64_C(1700000000000000000)

static Pb__Role *role;
static const Pb__Role *roles[1];
static struct rl_authz_subject subject;
static struct test_node node;
static Pb__Lock *lock;

static void setup(void)
{
    role = new_role("developer");
    roles[0] = role;
    subject = make_subject(roles, 1);
    subject.issued_at_ns = NOW - 1000;
    make_node(&node, "node-a");
    lock = rl_alloc(sizeof *lock);
    pb__lock__init(lock);
    lock->metadata = rl_alloc(sizeof *lock->metadata);
    pb__metadata__init(lock->metadata);
    lock->spec = rl_alloc(sizeof *lock->spec);
    pb__lock_spec__init(lock->spec);
}

static void teardown(void)
{
    free_role(role);
    pb__lock__free_unpacked(lock, NULL);
}

static void set_text(char **field, const char *text)
{
    if (*field != protobuf_c_empty_string)
        free(*field);
    *field = rl_strdup(text);
}

static rl_code try_lock(const char *kind, const char *name, struct rl_error *err)
{
    set_text(&lock->spec->target_kind, kind);
    set_text(&lock->spec->target_name, name);
    return rl_authz_locks(&subject, &node.target, "root", &lock, 1, NULL, 0, NOW, err);
}

START_TEST(stops_the_target_of_a_lock_and_no_other)
{
    static const struct {
        const char *kind, *name;
        bool stops;
    } rows[] = {
        {"user", "alice", true},
        {"user", "Alice", false},
        {"user", "*", false},
        {"role", "developer", true},
        {"role", "admin", false},
        {"node", "node-a", true},
        {"node", "node-b", false},
        {"node", "0190a1b2-0000-7000-8000-000000000001", true},
        {"login", "root", true},
        {"login", "deploy", false},
        {"mfa_device", "phone", false},
        {"planet", "earth", true},
        {"mfa_device", "otp", true},
        {"mfa_device", "alice/otp", true},
        {"mfa_device", "bob/otp", false},
        {"mfa_device", "alice/phone", false},
    };
    for (size_t i = 0; i < RL_COUNT(rows); i++)
        ck_assert_msg((try_lock(rows[i].kind, rows[i].name, NULL) == RL_E_DENIED) == rows[i].stops,
                      "%s %s", rows[i].kind, rows[i].name);
}
END_TEST

START_TEST(tells_users_of_one_name_in_two_clusters_apart)
{
    ck_assert_int_eq(try_lock("user", "alice", NULL), RL_E_DENIED);
    set_text(&lock->spec->target_cluster, "root.example.com");
    ck_assert_int_eq(try_lock("user", "alice", NULL), RL_OK);
    subject.cluster = "root.example.com";
    ck_assert_int_eq(try_lock("user", "alice", NULL), RL_E_DENIED);
    set_text(&lock->spec->target_cluster, "example.com");
    ck_assert_int_eq(try_lock("user", "alice", NULL), RL_OK);
}
END_TEST

START_TEST(what_a_root_locks_is_named_as_in_the_root)
{
    static const struct {
        const char *kind, *name, *cluster, *of; /* of: the subject's cluster */
        bool stops;
    } rows[] = {
        {"role", "access", "root.example.com", "root.example.com", true},
        {"role", "developer", "root.example.com", "root.example.com", false}, /* one here */
        {"role", "access", "root.example.com", "other.example.com", false},
        {"role", "access", "root.example.com", "example.com", false},
        {"role", "access", "", "root.example.com", false},
        {"role", "developer", "", "root.example.com", true},
        {"role", "developer", "example.com", "root.example.com", true},
        {"mfa_device", "otp", "root.example.com", "root.example.com", true},
        {"mfa_device", "otp", "root.example.com", "example.com", false},
        {"mfa_device", "otp", "", "root.example.com", true},
        {"mfa_device", "alice/otp", "root.example.com", "root.example.com", true},
        {"mfa_device", "bob/otp", "root.example.com", "root.example.com", false},
        {"mfa_device", "alice/otp", "root.example.com", "example.com", false},
        {"mfa_device", "alice/otp", "", "root.example.com", false},
    };
    char access[] = "access", *names[] = {access};
    subject.remote_roles = names;
    subject.remote_role_count = 1;
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        subject.cluster = rows[i].of;
        set_text(&lock->spec->target_cluster, rows[i].cluster);
        ck_assert_msg((try_lock(rows[i].kind, rows[i].name, NULL) == RL_E_DENIED) == rows[i].stops,
                      "row %zu: %s %s", i, rows[i].kind, rows[i].name);
    }
}
END_TEST

START_TEST(ends_a_lock_when_it_expires)
{
    lock->metadata->expires_ns = NOW + 1;
    ck_assert_int_eq(try_lock("user", "alice", NULL), RL_E_DENIED);
    lock->metadata->expires_ns = NOW;
    ck_assert_int_eq(try_lock("user", "alice", NULL), RL_OK);
}
END_TEST

START_TEST(shows_the_message_of_a_lock_without_its_escapes)
{
    struct rl_error err;
    set_text(&lock->spec->message, "lost laptop");
    ck_assert_int_eq(try_lock("user", "alice", &err), RL_E_DENIED);
    ck_assert_str_eq(err.message, "locked: lost laptop");
    set_text(&lock->spec->message, "a\x1b[2Jb");
    try_lock("user", "alice", &err);
    ck_assert_str_eq(err.message, "locked: a?[2Jb");
}
END_TEST

START_TEST(looks_at_no_node_and_no_login_where_there_is_none)
{
    set_text(&lock->spec->target_kind, "node");
    set_text(&lock->spec->target_name, "node-a");
    ck_assert_int_eq(rl_authz_locks(&subject, NULL, NULL, &lock, 1, NULL, 0, NOW, NULL), RL_OK);
    set_text(&lock->spec->target_kind, "login");
    set_text(&lock->spec->target_name, "root");
    ck_assert_int_eq(rl_authz_locks(&subject, NULL, NULL, &lock, 1, NULL, 0, NOW, NULL), RL_OK);
    set_text(&lock->spec->target_kind, "user");
    set_text(&lock->spec->target_name, "alice");
    ck_assert_int_eq(rl_authz_locks(&subject, NULL, NULL, &lock, 1, NULL, 0, NOW, NULL),
                     RL_E_DENIED);
}
END_TEST

START_TEST(stops_everyone_by_a_lock_without_a_target)
{
    pb__lock_spec__free_unpacked(lock->spec, NULL);
    lock->spec = NULL;
    ck_assert_int_eq(rl_authz_locks(&subject, NULL, NULL, &lock, 1, NULL, 0, NOW, NULL),
                     RL_E_DENIED);
}
END_TEST

START_TEST(voids_certificates_issued_before_a_cut)
{
    Pb__Cut *cut = rl_alloc(sizeof *cut);
    pb__cut__init(cut);
    cut->user = rl_strdup("alice");
    cut->issued_before_ns = NOW;
    struct rl_error err;
    ck_assert_int_eq(rl_authz_locks(&subject, NULL, NULL, NULL, 0, &cut, 1, NOW, &err),
                     RL_E_DENIED);
    ck_assert_str_eq(err.message, "certificate issued before 2023-11-14T22:13:20Z; run tsh login");
    subject.issued_at_ns = NOW;
    ck_assert_int_eq(rl_authz_locks(&subject, NULL, NULL, NULL, 0, &cut, 1, NOW, NULL), RL_OK);
    subject.issued_at_ns = NOW - 1;
    subject.user = "bob";
    ck_assert_int_eq(rl_authz_locks(&subject, NULL, NULL, NULL, 0, &cut, 1, NOW, NULL), RL_OK);
    subject.user = "alice";
    subject.cluster = "root.example.com";
    ck_assert_int_eq(rl_authz_locks(&subject, NULL, NULL, NULL, 0, &cut, 1, NOW, NULL), RL_OK);
    cut->cluster = rl_strdup("root.example.com");
    ck_assert_int_eq(rl_authz_locks(&subject, NULL, NULL, NULL, 0, &cut, 1, NOW, NULL),
                     RL_E_DENIED);
    pb__cut__free_unpacked(cut, NULL);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("locks");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, stops_the_target_of_a_lock_and_no_other);
    tcase_add_test(t, tells_users_of_one_name_in_two_clusters_apart);
    tcase_add_test(t, what_a_root_locks_is_named_as_in_the_root);
    tcase_add_test(t, ends_a_lock_when_it_expires);
    tcase_add_test(t, shows_the_message_of_a_lock_without_its_escapes);
    tcase_add_test(t, looks_at_no_node_and_no_login_where_there_is_none);
    tcase_add_test(t, stops_everyone_by_a_lock_without_a_target);
    tcase_add_test(t, voids_certificates_issued_before_a_cut);
    Suite *s = suite_create("locks");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
