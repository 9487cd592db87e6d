/* What a root's user may do on a leaf's node: hostile certificates first. */
#include "asked.h"

#define ROOT "root.example"
#define ROOT_KEY "the key of " ROOT
#define OTHER "other.example"
#define OTHER_KEY "the key of " OTHER

/* root/CLUSTER with one key and a map on one line: "remote=local,local remote=local". */
static void set_root(const char *cluster, const char *key, const char *map)
{
    Pb__RootTrust *root = rl_alloc(sizeof *root);
    pb__root_trust__init(root);
    root->cluster = rl_strdup(cluster);
    root->user_ssh_keys = rl_alloc_array(1, sizeof *root->user_ssh_keys);
    Pb__CaKey *ca = root->user_ssh_keys[root->n_user_ssh_keys++] = rl_alloc(sizeof *ca);
    pb__ca_key__init(ca);
    ca->public_key.data = (uint8_t *)rl_strdup(key);
    ca->public_key.len = strlen(key);
    root->role_map = rl_alloc_array(8, sizeof *root->role_map);
    char *copy = rl_strdup(map), *rest = NULL;
    for (char *text = strtok_r(copy, " ", &rest); text; text = strtok_r(NULL, " ", &rest)) {
        Pb__RoleMapping *entry = root->role_map[root->n_role_map++] = rl_alloc(sizeof *entry);
        pb__role_mapping__init(entry);
        char *locals = strchr(text, '='), *more = NULL;
        *locals++ = '\0';
        entry->remote = rl_strdup(text);
        for (char *name = strtok_r(locals, ",", &more); name; name = strtok_r(NULL, ",", &more))
            push_text(&entry->n_local, &entry->local, name);
    }
    free(copy);
    char *entry = rl_sprintf("root/%s", cluster);
    set_message(policy, entry, &root->base);
    free(entry);
    pb__root_trust__free_unpacked(root, NULL);
}

/* A role with this login and nothing else, where env=dev. */
static void set_role_for(const char *name, const char *login, const char *assignable_by)
{
    set_role(name, "");
    const Pb__Role *there = rl_policy_role(policy, name);
    size_t n = pb__role__get_packed_size(there);
    uint8_t *packed = rl_alloc(n);
    pb__role__pack(there, packed);
    Pb__Role *role = pb__role__unpack(NULL, n, packed);
    free(packed);
    for (size_t i = 0; i < role->spec->allow->n_logins; i++)
        free(role->spec->allow->logins[i]);
    role->spec->allow->n_logins = 0;
    push_text(&role->spec->allow->n_logins, &role->spec->allow->logins, login);
    if (assignable_by)
        push_text(&role->spec->n_assignable_by, &role->spec->assignable_by, assignable_by);
    char *entry = rl_sprintf("role/%s", name);
    set_message(policy, entry, &role->base);
    free(entry);
    pb__role__free_unpacked(role, NULL);
}

/* alice of the root, who has the root's roles "gone" and "access". */
static void set_up(void)
{
    setup();
    set_role_for("guest", "visitor", NULL);
    set_root(ROOT, ROOT_KEY, "access=guest");
    replace(&claims->cluster, ROOT);
    request.authority = rl_span_of(ROOT_KEY);
    request.login = "visitor";
}

static rl_code stops(struct rl_error *err)
{
    static uint64_t version = 10;
    free_update(seal(policy, NULL, ++version, &signer));
    return rl_policy_check_stops(policy, &request, err);
}

static void expect_stopped(const char *part)
{
    struct rl_error err = {0};
    ck_assert_int_eq(stops(&err), RL_E_DENIED);
    ck_assert_msg(strstr(err.message, part) != NULL, "%s: lacks %s", err.message, part);
}

START_TEST(a_roots_user_has_the_roles_that_the_map_says)
{
    expect(RL_OK, NULL);
    request.login = "deploy"; /* of the leaf's own role "access", as the certificate names it */
    expect(RL_E_DENIED, "role(s) guest do not allow login \"deploy\"");
}
END_TEST

START_TEST(an_unmapped_role_is_nothing_by_whatever_name)
{
    set_root(ROOT, ROOT_KEY, "admin=guest");
    expect(RL_E_DENIED, "no role of " ROOT " that this user has stands for a role here");
    set_root(ROOT, ROOT_KEY, "");
    expect(RL_E_DENIED, "stands for a role here");
}
END_TEST

START_TEST(maps_decide_by_the_table)
{
    static const struct {
        const char *map, *role;
        rl_code want;
    } rows[] = {
        {"access=guest", "access", RL_OK},
        {"acc*=guest", "access", RL_OK},
        {"acc*=guest", "xaccess", RL_E_DENIED},
        {"^dev-(.*)$=leaf-$1", "dev-db", RL_OK},
        {"^dev-(.*)$=leaf-$1", "dev-web", RL_E_DENIED},   /* no such role */
        {"^dev-(.*)$=leaf-$1", "dev-admin", RL_E_DENIED}, /* there, but not for a root to choose */
        {"^(.*)$=$1", "access", RL_E_DENIED},             /* a role's name is no claim to it */
        {"^(.*)$=$1", "leaf-db", RL_OK},                  /* it lists this root */
        {"^(a+)+b$=guest", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac", RL_E_DENIED},
        {"access=gone", "access", RL_E_DENIED}, /* a local role that is not there */
        {"access=guest", "ACCESS", RL_E_DENIED},
        {"access=guest", "access ", RL_E_DENIED},
        {"*=guest", "\x1b[2J", RL_E_DENIED},
    };
    set_role_for("leaf-db", "visitor", ROOT);
    set_role_for("leaf-admin", "visitor", OTHER);
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        set_root(ROOT, ROOT_KEY, rows[i].map);
        replace(&claims->roles[0], rows[i].role);
        replace(&claims->roles[1], rows[i].role);
        expect(rows[i].want, NULL);
    }
}
END_TEST

START_TEST(traits_are_external_whatever_the_leafs_templates_say)
{
    set_role_for("guest", "{{internal.logins}}", NULL);
    request.login = "alice"; /* as the trait says */
    expect(RL_E_DENIED, "do not allow");
    set_role_for("guest", "{{external.logins}}", NULL);
    expect(RL_OK, NULL);
    request.login = "root";
    expect(RL_E_DENIED, "do not allow");
}
END_TEST

START_TEST(a_root_speaks_for_its_own_users_only)
{
    static const struct {
        const char *cluster, *key, *why;
    } rows[] = {
        {CLUSTER, ROOT_KEY,
         "the authority of cluster " ROOT " signed for a user of cluster " CLUSTER},
        {OTHER, ROOT_KEY, "the authority of cluster " ROOT " signed for a user of cluster " OTHER},
        {ROOT, OTHER_KEY, "the authority of cluster " OTHER " signed for a user of cluster " ROOT},
        {ROOT, OWN_KEY, "the authority of cluster " CLUSTER " signed for a user of cluster " ROOT},
        {ROOT, "a key that nobody knows", "not, or no longer, trusted here"},
        {"third.example", "a key that nobody knows", "not, or no longer, trusted here"},
        {"", ROOT_KEY, "the authority of cluster " ROOT},
        {"\x1b[2J", ROOT_KEY, "of cluster ?[2J"},
    };
    set_root(OTHER, OTHER_KEY, "access=guest");
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        replace(&claims->cluster, rows[i].cluster);
        request.authority = rl_span_of(rows[i].key);
        expect(RL_E_DENIED, rows[i].why);
    }
    request.authority = RL_SPAN(NULL, 0);
    expect(RL_E_DENIED, "not, or no longer, trusted here");
}
END_TEST

START_TEST(a_key_of_two_clusters_speaks_for_neither_root)
{
    set_root(OTHER, ROOT_KEY, "access=guest");
    expect(RL_E_DENIED, "not, or no longer, trusted here");
    replace(&claims->cluster, OTHER);
    expect(RL_E_DENIED, "not, or no longer, trusted here");
    set_root(OTHER, OWN_KEY, "access=guest"); /* one that shows our own key speaks for no one */
    request.authority = rl_span_of(OWN_KEY);
    expect(RL_E_DENIED, "the authority of cluster " CLUSTER);
    replace(&claims->cluster, CLUSTER); /* and does our users no harm */
    request.login = "alice";
    expect(RL_OK, NULL);
}
END_TEST

START_TEST(a_root_that_calls_itself_as_we_are_called_is_nobody)
{
    set_root(CLUSTER, OTHER_KEY, "access=access");
    replace(&claims->cluster, CLUSTER);
    request.authority = rl_span_of(OTHER_KEY);
    request.login = "alice";
    expect(RL_E_DENIED, "not, or no longer, trusted here");
}
END_TEST

START_TEST(an_entry_under_another_name_spoils_the_policy)
{
    set_root(ROOT, ROOT_KEY, "access=guest");
    size_t n = 0;
    Pb__RootTrust *const *roots;
    rl_policy_roots(policy, &roots, &n);
    ck_assert_uint_eq(n, 1);
    Pb__RootTrust copy = *roots[0];
    set_message(policy, "root/" OTHER, &copy.base);
    expect(RL_E_DENIED, "root/" OTHER);
}
END_TEST

START_TEST(names_that_no_user_may_have_are_refused)
{
    static const char *const names[] = {"", "\x1b[2J", "a/b", "..", "alice bob"};
    for (size_t i = 0; i < RL_COUNT(names); i++) {
        replace(&claims->user, names[i]);
        expect(RL_E_DENIED, "the certificate");
    }
}
END_TEST

START_TEST(a_certificate_of_the_root_is_for_its_use_and_target_only)
{
    replace(&claims->usage, "kube");
    expect(RL_E_DENIED, "another use");
    replace(&claims->usage, "");
    replace(&claims->target, "node/0190a1b2-0000-7000-8000-000000000009");
    expect(RL_E_DENIED, "another target");
}
END_TEST

START_TEST(locks_and_cuts_are_of_a_name_and_a_cluster)
{
    static const struct {
        const char *kind, *target, *cluster;
        rl_code want;
    } rows[] = {
        {"user", "alice", "", RL_OK},          {"user", "alice", CLUSTER, RL_OK},
        {"user", "alice", OTHER, RL_OK},       {"user", "alice", ROOT, RL_E_DENIED},
        {"user", "bob", ROOT, RL_OK},          {"role", "guest", "", RL_E_DENIED},
        {"role", "access", "", RL_OK},         {"login", "visitor", "", RL_E_DENIED},
        {"role", "access", ROOT, RL_E_DENIED}, /* as the root calls it */
        {"role", "guest", ROOT, RL_OK},        {"node", "node-a", "", RL_E_DENIED},
        {"user", "alice@" ROOT, "", RL_OK},
    };
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        set_lock(rows[i].kind, rows[i].target, rows[i].cluster);
        expect(rows[i].want, rows[i].want == RL_OK ? NULL : "locked");
        struct rl_error err;
        ck_assert_int_eq(stops(&err), rows[i].want);
    }
    rl_policy_remove(policy, "lock/l");
    char user[] = "alice", root[] = ROOT, own[] = CLUSTER;
    Pb__Cut cut = PB__CUT__INIT;
    cut.user = user;
    cut.cluster = own;
    cut.issued_before_ns = claims->issued_at_ns + 1;
    set_message(policy, "cut/" CLUSTER "/alice", &cut.base);
    expect(RL_OK, NULL);
    cut.cluster = root;
    set_message(policy, "cut/" ROOT "/alice", &cut.base);
    expect(RL_E_DENIED, "certificate issued before");
    expect_stopped("certificate issued before");
}
END_TEST

START_TEST(a_session_ends_when_its_root_is_trusted_no_more)
{
    struct rl_error err;
    ck_assert_int_eq(stops(&err), RL_OK);
    rl_policy_remove(policy, "root/" ROOT);
    expect_stopped("the users of cluster " ROOT " are not, or no longer, trusted here");
    set_root(ROOT, "a new key", "access=guest"); /* removed and made again meanwhile */
    expect_stopped("the users of cluster " ROOT " are not, or no longer, trusted here");
}
END_TEST

START_TEST(a_session_ends_when_the_map_no_longer_allows_it)
{
    struct rl_error err;
    request.now_ns = NOW + 400 * 86400 * SECOND; /* its age ends nothing */
    set_root(ROOT, ROOT_KEY, "access=guest,access");
    ck_assert_int_eq(stops(&err), RL_OK);
    set_root(ROOT, ROOT_KEY, "access=access"); /* has a role, and not this login */
    expect_stopped("role(s) access do not allow login \"visitor\"");
    set_root(ROOT, ROOT_KEY, "");
    expect_stopped("stands for a role here");
    set_root(ROOT, ROOT_KEY, "acc*=guest");
    ck_assert_int_eq(stops(&err), RL_OK);
    rl_policy_remove(policy, "role/guest");
    expect_stopped("stands for a role here");
}
END_TEST

START_TEST(the_leafs_own_users_are_who_they_were)
{
    replace(&claims->cluster, CLUSTER);
    request.authority = rl_span_of(OWN_KEY);
    request.login = "alice";
    expect(RL_OK, NULL);
    request.login = "visitor"; /* the map is not for them */
    expect(RL_E_DENIED, "do not allow");
}
END_TEST

START_TEST(says_for_whom_an_authority_speaks)
{
    free_update(seal(policy, NULL, 5, &signer));
    ck_assert_str_eq(rl_policy_authority_cluster(policy, rl_span_of(OWN_KEY)), CLUSTER);
    ck_assert_str_eq(rl_policy_authority_cluster(policy, rl_span_of(ROOT_KEY)), ROOT);
    ck_assert_ptr_null(rl_policy_authority_cluster(policy, rl_span_of("")));
    ck_assert_ptr_null(rl_policy_authority_cluster(policy, rl_span_of("x")));
    ck_assert_ptr_null(rl_policy_authority_cluster(NULL, rl_span_of(OWN_KEY)));
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("roots");
    tcase_add_checked_fixture(t, set_up, teardown);
    tcase_add_test(t, a_roots_user_has_the_roles_that_the_map_says);
    tcase_add_test(t, an_unmapped_role_is_nothing_by_whatever_name);
    tcase_add_test(t, maps_decide_by_the_table);
    tcase_add_test(t, traits_are_external_whatever_the_leafs_templates_say);
    tcase_add_test(t, a_root_speaks_for_its_own_users_only);
    tcase_add_test(t, a_key_of_two_clusters_speaks_for_neither_root);
    tcase_add_test(t, a_root_that_calls_itself_as_we_are_called_is_nobody);
    tcase_add_test(t, an_entry_under_another_name_spoils_the_policy);
    tcase_add_test(t, names_that_no_user_may_have_are_refused);
    tcase_add_test(t, a_certificate_of_the_root_is_for_its_use_and_target_only);
    tcase_add_test(t, locks_and_cuts_are_of_a_name_and_a_cluster);
    tcase_add_test(t, a_session_ends_when_its_root_is_trusted_no_more);
    tcase_add_test(t, a_session_ends_when_the_map_no_longer_allows_it);
    tcase_add_test(t, the_leafs_own_users_are_who_they_were);
    tcase_add_test(t, says_for_whom_an_authority_speaks);
    Suite *s = suite_create("roots");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
