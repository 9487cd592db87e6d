/* What holds for any roles, not only for those that somebody thought of. */
#include "build_role.h"

#include <check.h>

#define ROUNDS 1500
#define ROLES 5

static uint64_t state;

static unsigned pick(unsigned n)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(state >> 33) % n;
}

static const char *const logins[] = {
    "root", "deploy", "alice", "{{internal.logins}}", "{{external.logins}}", "bad login"};
static const char *const keys[] = {"env", "site", "*"};
static const char *const values[] = {"dev", "prod", "*", "d*", "^(dev|edge)$", "^(broken$", "edge"};
static const char *const asked[] = {"root", "deploy", "alice", "bob", "nobody"};

static void random_conditions(Pb__RoleConditions *c)
{
    for (unsigned i = pick(3); i > 0; i--)
        add_login(c, logins[pick(RL_COUNT(logins))]);
    for (unsigned i = pick(3); i > 0; i--) {
        const char *key = keys[pick(RL_COUNT(keys))];
        add_label(c, key, key[0] == '*' ? "*" : values[pick(RL_COUNT(values))]);
    }
}

static void random_options(Pb__RoleOptions *o)
{
    o->has_port_forwarding = pick(2) == 1;
    o->port_forwarding = pick(2) == 1;
    o->has_ssh_file_copy = pick(2) == 1;
    o->ssh_file_copy = pick(2) == 1;
    o->has_max_sessions = pick(2) == 1;
    o->max_sessions = 1 + pick(9);
    o->has_client_idle_timeout_s = pick(2) == 1;
    o->client_idle_timeout_s = 1 + pick(99);
    o->has_require_session_mfa = true;
    o->require_session_mfa = pick(12) == 0;
}

static Pb__Role *random_role(bool with_deny)
{
    Pb__Role *role = new_role("role");
    random_conditions(role->spec->allow);
    if (pick(2))
        add_label(role->spec->allow, "*", "*");
    if (with_deny && pick(3) == 0)
        random_conditions(role->spec->deny);
    random_options(role->spec->options);
    return role;
}

struct world {
    Pb__Role *owned[ROLES + 1];
    const Pb__Role *roles[ROLES + 1];
    Pb__Trait *traits[1];
    struct rl_authz_subject subject;
    struct test_node node;
};

static void make_world(struct world *w, unsigned seed, bool with_deny)
{
    state = seed;
    memset(w, 0, sizeof *w);
    for (size_t i = 0; i < ROLES; i++)
        w->roles[i] = w->owned[i] = random_role(with_deny);
    w->traits[0] = new_trait("logins");
    add_value(w->traits[0], "alice");
    add_value(w->traits[0], "bob");
    w->subject = make_subject(w->roles, ROLES);
    w->subject.traits = w->traits;
    w->subject.trait_count = 1;
    if (pick(3) == 0)
        w->subject.cluster = "root.example.com";
    make_node(&w->node, "node-a");
    if (pick(4))
        node_label(&w->node, "env", pick(2) ? "dev" : "prod");
    if (pick(2))
        node_label(&w->node, "site", "edge");
}

static void free_world(struct world *w)
{
    for (size_t i = 0; i <= ROLES; i++)
        if (w->owned[i])
            free_role(w->owned[i]);
    pb__trait__free_unpacked(w->traits[0], NULL);
}

/* Bit i: asked[i] is allowed; the last: the node is seen. */
static unsigned answers(const struct world *w)
{
    unsigned bits = 0;
    struct rl_authz_grant grant;
    for (unsigned i = 0; i < RL_COUNT(asked); i++)
        if (rl_authz_ssh(&w->subject, &w->node.target, asked[i], &grant, NULL) == RL_OK)
            bits |= 1u << i;
    if (rl_authz_sees_node(&w->subject, &w->node.target))
        bits |= 1u << RL_COUNT(asked);
    return bits;
}

static void expect_no_more(unsigned before, unsigned after, unsigned seed)
{
    ck_assert_msg((after & ~before) == 0, "seed %u: %#x became %#x", seed, before, after);
}

START_TEST(does_not_depend_on_the_order_of_roles)
{
    unsigned allowed = 0;
    for (unsigned seed = 0; seed < ROUNDS; seed++) {
        struct world w;
        make_world(&w, seed, true);
        struct rl_authz_grant grants[2][RL_COUNT(asked)];
        memset(grants, 0, sizeof grants);
        unsigned bits[2];
        for (size_t turn = 0; turn < 2; turn++) {
            bits[turn] = answers(&w);
            for (size_t i = 0; i < RL_COUNT(asked); i++)
                rl_authz_ssh(&w.subject, &w.node.target, asked[i], &grants[turn][i], NULL);
            for (size_t i = ROLES - 1; i > 0; i--) {
                size_t j = pick((unsigned)i + 1);
                const Pb__Role *other = w.roles[j];
                w.roles[j] = w.roles[i];
                w.roles[i] = other;
            }
        }
        ck_assert_msg(bits[0] == bits[1], "seed %u", seed);
        for (size_t i = 0; i < RL_COUNT(asked); i++) {
            const struct rl_authz_grant *a = &grants[0][i], *b = &grants[1][i];
            ck_assert(a->max_sessions == b->max_sessions && a->record_ssh == b->record_ssh &&
                      a->client_idle_timeout_s == b->client_idle_timeout_s &&
                      a->port_forwarding == b->port_forwarding &&
                      a->ssh_file_copy == b->ssh_file_copy);
        }
        allowed += (bits[0] & 1) != 0;
        free_world(&w);
    }
    ck_assert_uint_gt(allowed, ROUNDS / 20);          /* the worlds are not all shut, */
    ck_assert_uint_lt(allowed, ROUNDS - ROUNDS / 20); /* nor all open */
}
END_TEST

/* One more login, one more role that only denies, or the first label; a second label narrows. */
static void add_denial(struct world *w)
{
    Pb__RoleConditions *deny = w->owned[pick(ROLES)]->spec->deny;
    switch (pick(3)) {
    case 0:
        add_login(deny, logins[pick(RL_COUNT(logins))]);
        break;
    case 1:
        if (deny->n_node_labels == 0)
            add_label(deny, "env", values[pick(RL_COUNT(values))]);
        break;
    default:
        w->owned[ROLES] = new_role("denier");
        random_conditions(w->owned[ROLES]->spec->deny);
        w->roles[w->subject.role_count++] = w->owned[ROLES];
    }
}

START_TEST(never_allows_more_by_one_more_denial)
{
    unsigned changed = 0;
    for (unsigned seed = 0; seed < ROUNDS; seed++) {
        struct world w;
        make_world(&w, seed, true);
        unsigned before = answers(&w);
        add_denial(&w);
        unsigned after = answers(&w);
        expect_no_more(before, after, seed);
        changed += before != after;
        free_world(&w);
    }
    ck_assert_uint_gt(changed, ROUNDS / 20);
}
END_TEST

START_TEST(never_allows_less_by_one_more_role_without_a_denial)
{
    unsigned changed = 0;
    for (unsigned seed = 0; seed < ROUNDS; seed++) {
        struct world w;
        make_world(&w, seed, true);
        unsigned before = answers(&w);
        w.roles[ROLES] = w.owned[ROLES] = random_role(false);
        w.owned[ROLES]->spec->options->require_session_mfa = false; /* that refuses sessions */
        w.subject.role_count++;
        unsigned after = answers(&w);
        expect_no_more(after, before, seed);
        changed += before != after;
        free_world(&w);
    }
    ck_assert_uint_gt(changed, ROUNDS / 20);
}
END_TEST

START_TEST(never_allows_more_by_a_field_it_does_not_know)
{
    unsigned changed = 0;
    for (unsigned seed = 0; seed < ROUNDS; seed++) {
        struct world w;
        make_world(&w, seed, true);
        unsigned before = answers(&w);
        Pb__RoleSpec *spec = w.owned[pick(ROLES)]->spec;
        ProtobufCMessage *inside[] = {&spec->base, &spec->allow->base, &spec->deny->base,
                                      &spec->options->base};
        add_unknown_field(inside[pick(RL_COUNT(inside))]);
        unsigned after = answers(&w);
        expect_no_more(before, after, seed);
        changed += before != after;
        free_world(&w);
    }
    ck_assert_uint_gt(changed, ROUNDS / 20);
}
END_TEST

START_TEST(lists_just_the_logins_that_it_allows)
{
    for (unsigned seed = 0; seed < ROUNDS; seed++) {
        struct world w;
        make_world(&w, seed, true);
        char **list;
        size_t count;
        rl_authz_node_logins(&w.subject, &w.node.target, &list, &count);
        unsigned listed = 0;
        for (size_t i = 0; i < count; i++) {
            struct rl_authz_grant grant;
            ck_assert_int_eq(rl_authz_ssh(&w.subject, &w.node.target, list[i], &grant, NULL),
                             RL_OK);
            ck_assert(i == 0 || strcmp(list[i - 1], list[i]) < 0);
            for (unsigned j = 0; j < RL_COUNT(asked); j++)
                listed |= (unsigned)(strcmp(list[i], asked[j]) == 0) << j;
        }
        ck_assert_uint_eq(listed, answers(&w) & ((1u << RL_COUNT(asked)) - 1));
        free_list(list, count);
        free_world(&w);
    }
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("properties");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, does_not_depend_on_the_order_of_roles);
    tcase_add_test(t, never_allows_more_by_one_more_denial);
    tcase_add_test(t, never_allows_less_by_one_more_role_without_a_denial);
    tcase_add_test(t, never_allows_more_by_a_field_it_does_not_know);
    tcase_add_test(t, lists_just_the_logins_that_it_allows);
    Suite *s = suite_create("properties");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
