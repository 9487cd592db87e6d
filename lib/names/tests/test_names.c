#include "names/names.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

typedef rl_code (*check_fn)(const char *name, struct rl_error *err);

static void check_all(check_fn check, const char *const *good, const char *const *bad)
{
    struct rl_error err;
    for (; *good; good++)
        ck_assert_msg(check(*good, &err) == RL_OK, "refused %s", *good);
    for (; *bad; bad++) {
        err.message[0] = '\0';
        ck_assert_msg(check(*bad, &err) == RL_E_INVAL, "took \"%s\"", *bad);
        ck_assert_msg(err.message[0] == '"', "%s", err.message);
    }
}

/* `n` times `c`, in one of a few buffers. */
static const char *many(char c, size_t n)
{
    static char buffers[4][400];
    static size_t next;
    char *text = buffers[next++ % 4];
    ck_assert_uint_lt(n, sizeof buffers[0]);
    memset(text, c, n);
    text[n] = '\0';
    return text;
}

START_TEST(node_names_are_labels_of_dns)
{
    const char *good[] = {"a", "0", "node-a", "a--b", many('a', 63), NULL};
    const char *bad[] = {"",    "-a",  "a-", "A",    "a.b",   "a_b", many('a', 64),
                         "a b", "a\n", "ä",  "../a", "a$(b)", "a;b", NULL};
    check_all(rl_name_check_node, good, bad);
}
END_TEST

START_TEST(cluster_names_are_dns_names_that_are_not_ours)
{
    char longest[256] = "";
    for (int i = 0; i < 126; i++)
        strcat(longest, "a.");
    strcat(longest, "b");
    const char *good[] = {"example.com",         "a", "root-1.x", "remoteler.internals", longest,
                          "xremoteler.internal", NULL};
    char too_long[260];
    strcat(strcpy(too_long, longest), "b");
    const char *bad[] = {"",
                         ".",
                         "a.",
                         ".a",
                         "a..b",
                         "A.b",
                         "a/b",
                         "a.-b",
                         many('a', 64),
                         too_long,
                         "remoteler.internal",
                         "x.remoteler.internal",
                         NULL};
    check_all(rl_name_check_cluster, good, bad);
}
END_TEST

START_TEST(user_names_may_be_mail_addresses)
{
    const char *good[] = {"alice", "a", "Alice.B+c@example.com", many('a', 64), NULL};
    const char *bad[] = {"",    ".",  "..",       "-alice", "alice-",      "al ice", "a/b",
                         "a:b", "@a", "a\x1b[2J", "a%40b",  many('a', 65), NULL};
    check_all(rl_name_check_user, good, bad);
}
END_TEST

START_TEST(logins_are_those_of_an_operating_system)
{
    const char *good[] = {"root", "_apt", "a.b-c", "host$", "Admin", many('a', 32), NULL};
    const char *bad[] = {"", "-root", "1a", "$", "a$b", "a b", "a@b", "a$$", many('a', 33), NULL};
    check_all(rl_name_check_login, good, bad);
    char longest[40];
    strcat(strcpy(longest, many('a', 32)), "$");
    ck_assert_int_eq(rl_name_check_login(longest, NULL), RL_OK);
}
END_TEST

START_TEST(resource_names_are_safe_in_a_path)
{
    const char *good[] = {"access", "A", "dev_team.v2-", many('a', 63), NULL};
    const char *bad[] = {"", ".", "..", "_a", "-a", "a/b", "a b", many('a', 64), NULL};
    check_all(rl_name_check_resource, good, bad);
}
END_TEST

START_TEST(labels_have_a_key_and_text)
{
    ck_assert_int_eq(rl_name_check_label("env", "", NULL), RL_OK);
    ck_assert_int_eq(rl_name_check_label("k8s.io/zone-1", "Zürich, 2 €", NULL), RL_OK);
    ck_assert_int_eq(rl_name_check_label("a", many('v', 256), NULL), RL_OK);
    ck_assert_int_eq(rl_name_check_label("a", many('v', 257), NULL), RL_E_INVAL);
    ck_assert_int_eq(rl_name_check_label(many('k', 63), "", NULL), RL_OK);
    ck_assert_int_eq(rl_name_check_label(many('k', 64), "", NULL), RL_E_INVAL);
    ck_assert_int_eq(rl_name_check_label("", "v", NULL), RL_E_INVAL);
    ck_assert_int_eq(rl_name_check_label("a=b", "v", NULL), RL_E_INVAL);
    ck_assert_int_eq(rl_name_check_label("a", "b\nc", NULL), RL_E_INVAL);
    ck_assert_int_eq(rl_name_check_label("a", "b\xFF", NULL), RL_E_INVAL);
    ck_assert_int_eq(rl_name_check_label("a", "b\xC2\x9B", NULL), RL_E_INVAL);
}
END_TEST

START_TEST(a_refusal_shows_no_escape)
{
    struct rl_error err;
    rl_name_check_node("a\x1b[2Jb", &err);
    ck_assert_ptr_nonnull(strstr(err.message, "\"a?[2Jb\" is not a node name"));
}
END_TEST

START_TEST(makes_text_printable)
{
    static const char *const cases[][2] = {
        {"plain", "plain"},   {"", ""},           {"Zürich €", "Zürich €"}, {"a\tb\x7f", "a?b?"},
        {"\xFF\xC3;", "??;"}, {"\xE2\x82", "??"}, {"x\xE2\x80\xAEy", "x?y"}};
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        char *got = rl_name_printable(cases[i][0]);
        ck_assert_str_eq(got, cases[i][1]);
        free(got);
    }
}
END_TEST

START_TEST(makes_uuids_of_both_versions)
{
    char a[RL_UUID_TEXT_BYTES], b[RL_UUID_TEXT_BYTES];
    rl_uuid4(a);
    rl_uuid4(b);
    ck_assert_str_ne(a, b);
    ck_assert(rl_name_is_uuid(a));
    ck_assert_int_eq(a[14], '4');
    ck_assert_ptr_nonnull(strchr("89ab", a[19]));
    rl_uuid7(a);
    ck_assert(rl_name_is_uuid(a));
    ck_assert_int_eq(a[14], '7');
    ck_assert_ptr_nonnull(strchr("89ab", a[19]));
}
END_TEST

START_TEST(time_ordered_uuids_are_in_order)
{
    char before[RL_UUID_TEXT_BYTES], after[RL_UUID_TEXT_BYTES];
    rl_uuid7(before);
    for (int i = 0; i < 100; i++) {
        rl_uuid7(after);
        ck_assert_int_le(strncmp(before, after, 18), 0); /* the time is in the first 18 */
        memcpy(before, after, sizeof before);
    }
}
END_TEST

START_TEST(knows_a_uuid)
{
    ck_assert(rl_name_is_uuid("0190a5d2-8c3e-7b1f-9a4d-0123456789ab"));
    ck_assert(!rl_name_is_uuid("0190A5D2-8c3e-7b1f-9a4d-0123456789ab"));
    ck_assert(!rl_name_is_uuid("0190a5d2-8c3e-7b1f-9a4d-0123456789a"));
    ck_assert(!rl_name_is_uuid("0190a5d2-8c3e-7b1f-9a4d-0123456789abc"));
    ck_assert(!rl_name_is_uuid("0190a5d208c3e-7b1f-9a4d-0123456789ab"));
    ck_assert(!rl_name_is_uuid("node-a"));
}
END_TEST

START_TEST(splits_addresses)
{
    static const struct {
        const char *text, *host;
        uint16_t port;
    } good[] = {{"localhost:443", "localhost", 443},
                {"10.0.0.1:0", "10.0.0.1", 0},
                {"[::1]:65535", "::1", 65535},
                {"a-b.example_1.com:022", "a-b.example_1.com", 22}};
    for (size_t i = 0; i < RL_COUNT(good); i++) {
        char *host;
        uint16_t port;
        ck_assert_int_eq(rl_address_split(good[i].text, &host, &port, NULL), RL_OK);
        ck_assert_str_eq(host, good[i].host);
        ck_assert_uint_eq(port, good[i].port);
        free(host);
    }
}
END_TEST

START_TEST(refuses_what_is_not_an_address)
{
    static const char *const bad[] = {"",        "host",     ":443",    "host:",   "host:65536",
                                      "host:-1", "host:4 3", "::1:443", "[::1]",   "[host]:1",
                                      "[]:1",    "ho st:1",  "-h:1",    "h:443\n", "https://h:443",
                                      "[::1:1",  "h:0000443"};
    for (size_t i = 0; i < RL_COUNT(bad); i++) {
        char *host = NULL;
        uint16_t port = 7;
        ck_assert_msg(rl_address_split(bad[i], &host, &port, NULL) == RL_E_INVAL, "took %s",
                      bad[i]);
        ck_assert_ptr_null(host);
        ck_assert_uint_eq(port, 7);
    }
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("names");
    tcase_add_test(t, node_names_are_labels_of_dns);
    tcase_add_test(t, cluster_names_are_dns_names_that_are_not_ours);
    tcase_add_test(t, user_names_may_be_mail_addresses);
    tcase_add_test(t, logins_are_those_of_an_operating_system);
    tcase_add_test(t, resource_names_are_safe_in_a_path);
    tcase_add_test(t, labels_have_a_key_and_text);
    tcase_add_test(t, a_refusal_shows_no_escape);
    tcase_add_test(t, makes_text_printable);
    tcase_add_test(t, makes_uuids_of_both_versions);
    tcase_add_test(t, time_ordered_uuids_are_in_order);
    tcase_add_test(t, knows_a_uuid);
    tcase_add_test(t, splits_addresses);
    tcase_add_test(t, refuses_what_is_not_an_address);
    Suite *s = suite_create("names");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
