#include "authz/role_map.h"
#include "build_role.h"

#include <check.h>

#define ROOT "root.example"

/* A map on one line, "remote=local,local remote=local", over roles "name name@assignable-by". */
struct world {
    Pb__RoleMapping *entries[8];
    const Pb__Role *roles[80];
    struct rl_role_map map;
};

static Pb__RoleMapping *new_mapping(char *text)
{
    Pb__RoleMapping *entry = rl_alloc(sizeof *entry);
    pb__role_mapping__init(entry);
    char *locals = strchr(text, '='), *rest = NULL;
    *locals++ = '\0';
    entry->remote = rl_strdup(text);
    for (char *name = strtok_r(locals, ",", &rest); name; name = strtok_r(NULL, ",", &rest))
        push_text(&entry->n_local, &entry->local, name);
    return entry;
}

static void make_world(struct world *w, const char *map, const char *roles)
{
    char *copy = rl_strdup(map), *rest = NULL;
    memset(w, 0, sizeof *w);
    for (char *text = strtok_r(copy, " ", &rest); text; text = strtok_r(NULL, " ", &rest))
        w->entries[w->map.entry_count++] = new_mapping(text);
    free(copy);
    copy = rl_strdup(roles);
    for (char *name = strtok_r(copy, " ", &rest); name; name = strtok_r(NULL, " ", &rest)) {
        char *by = strchr(name, '@');
        if (by)
            *by++ = '\0';
        Pb__Role *role = new_role(name);
        if (by)
            push_text(&role->spec->n_assignable_by, &role->spec->assignable_by, by);
        w->roles[w->map.role_count++] = role;
    }
    free(copy);
    w->map.root = ROOT;
    w->map.entries = w->entries;
    w->map.roles = w->roles;
}

static void end_world(struct world *w)
{
    for (size_t i = 0; i < w->map.entry_count; i++)
        pb__role_mapping__free_unpacked(w->entries[i], NULL);
    for (size_t i = 0; i < w->map.role_count; i++)
        free_role((Pb__Role *)(uintptr_t)w->roles[i]);
}

/* "a b" that the remote roles "x y" stand for; "" when they stand for none. Heap text. */
static char *mapped(struct world *w, const char *remote)
{
    char *names[128], *copy = rl_strdup(remote), *rest = NULL, *text = rl_strdup("");
    size_t count = 0, n = 0;
    const Pb__Role **roles = NULL;
    struct rl_error err;
    for (char *name = strtok_r(copy, " ", &rest); name; name = strtok_r(NULL, " ", &rest))
        names[count++] = name;
    rl_code code = rl_role_map_apply(&w->map, names, count, &roles, &n, &err);
    ck_assert(code == RL_OK || code == RL_E_DENIED);
    ck_assert((code == RL_OK) == (n > 0));
    for (size_t i = 0; i < n; i++) {
        char *longer = rl_sprintf("%s%s%s", text, i ? " " : "", roles[i]->metadata->name);
        free(text);
        text = longer;
    }
    free(roles);
    free(copy);
    return text;
}

START_TEST(maps_by_the_table)
{
    static const struct {
        const char *map, *roles, *remote, *local;
    } rows[] = {
        {"access=guest", "guest access", "access", "guest"},
        {"access=guest", "guest access", "admin", ""}, /* unmapped: nothing */
        {"", "access", "access", ""},                  /* no map: nothing, by whatever name */
        {"access=guest", "access", "access", ""},      /* a local role that is not there */
        {"access=guest,ops", "ops guest", "access", "ops guest"},
        {"access=guest other=guest", "guest", "access other", "guest"},
        {"*=guest", "guest admin", "whatever", "guest"},
        {"dev-*=guest", "guest", "dev-x", "guest"},
        {"dev-*=guest", "guest", "xdev-x", ""},
        {"^dev-(.*)$=leaf-$1", "leaf-db@" ROOT, "dev-db", "leaf-db"},
        {"^dev-(.*)$=leaf-$1", "leaf-db@" ROOT, "dev-web", ""},
        {"^dev-(.*)$=leaf-$1", "leaf-db", "dev-db", ""},               /* not assignable */
        {"^dev-(.*)$=leaf-$1", "leaf-db@other.example", "dev-db", ""}, /* by another */
        {"^dev-(.*)$=leaf-db", "leaf-db", "dev-db", "leaf-db"},        /* chosen by the leaf */
        {"^(.*)$=$1", "admin guest@" ROOT, "admin", ""},
        {"^(.*)$=$1", "admin guest@" ROOT, "guest admin", "guest"},
        {"^(a)(b)?$=x$2", "x x@" ROOT, "a", "x"}, /* a group without part is empty */
        {"^(a)-(b)$=$2-$1", "b-a@" ROOT, "a-b", "b-a"},
        {"^([^-]*)-x$=y-$1", "y-a@" ROOT, "a\n-x", ""}, /* no name of a role */
        {"^(broken$=guest", "guest", "broken", ""},
        {"^(a+)+b$=guest", "guest", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac", ""},
    };
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        struct world w;
        make_world(&w, rows[i].map, rows[i].roles);
        char *local = mapped(&w, rows[i].remote);
        if (strcmp(local, rows[i].local) != 0)
            ck_abort_msg("row %zu: \"%s\" instead of \"%s\"", i, local, rows[i].local);
        free(local);
        end_world(&w);
    }
}
END_TEST

START_TEST(who_has_too_many_roles_has_none)
{
    struct world w;
    make_world(&w, "^(.*)$=$1", "");
    char *names[RL_AUTHZ_ROLES_MAX + 1];
    const Pb__Role **out = NULL;
    size_t n = 0;
    struct rl_error err;
    for (size_t i = 0; i < RL_COUNT(names); i++) {
        Pb__Role *role = new_role("r");
        push_text(&role->spec->n_assignable_by, &role->spec->assignable_by, ROOT);
        w.roles[w.map.role_count++] = role;
        names[i] = role->metadata->name;
    }
    ck_assert_int_eq(rl_role_map_apply(&w.map, names, 1, &out, &n, &err), RL_E_DENIED);
    ck_assert_ptr_null(strstr(err.message, "stands for a role"));
    w.map.role_count = RL_AUTHZ_ROLES_MAX;
    ck_assert_int_eq(rl_role_map_apply(&w.map, names, RL_COUNT(names), &out, &n, &err), RL_OK);
    ck_assert_uint_eq(n, RL_AUTHZ_ROLES_MAX);
    free(out);
    w.map.role_count = RL_AUTHZ_ROLES_MAX + 1;
    end_world(&w);
}
END_TEST

START_TEST(a_map_that_could_never_be_meant_is_refused)
{
    static const struct {
        const char *map, *message; /* NULL: it is good */
    } rows[] = {
        {"access=guest", NULL},
        {"^dev-(.*)$=leaf-$1,guest", NULL},
        {"^(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)$=$9", NULL},
        {"^($=a", "the pattern \"^($\""},
        {"a=", "a mapping has local roles"},
        {"=a", "a mapping has a remote role"},
        {"a=x$1", "\"x$1\": $1 to $9 stand for the groups of a regular expression, and this one "
                  "has 0"},
        {"^(a)$=x$2", "and this one has 1"},
        {"^(a)$=x$0", "$1 to $9"},
        {"^(a)$=x$", "$1 to $9"},
        {"a=b/c", "b/c"},
        {"a=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "too long"},
    };
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        struct world w;
        struct rl_error err = {0};
        make_world(&w, rows[i].map, "");
        rl_code code = rl_role_map_check(w.entries, w.map.entry_count, &err);
        ck_assert_msg(code == (rows[i].message ? RL_E_INVAL : RL_OK), "%s: %s", rows[i].map,
                      err.message);
        if (rows[i].message)
            ck_assert_msg(strstr(err.message, rows[i].message) != NULL, "%s: %s", rows[i].map,
                          err.message);
        end_world(&w);
    }
}
END_TEST

START_TEST(every_list_has_a_bound)
{
    struct world w;
    struct rl_error err;
    make_world(&w, "a=b", "");
    Pb__RoleMapping *many[RL_ROLE_MAP_ENTRIES_MAX + 1];
    for (size_t i = 0; i < RL_COUNT(many); i++)
        many[i] = w.entries[0];
    ck_assert_int_eq(rl_role_map_check(many, RL_COUNT(many) - 1, &err), RL_OK);
    ck_assert_int_eq(rl_role_map_check(many, RL_COUNT(many), &err), RL_E_INVAL);
    for (size_t i = 0; i < RL_ROLE_MAP_ENTRIES_MAX; i++)
        push_text(&w.entries[0]->n_local, &w.entries[0]->local, "b");
    ck_assert_int_eq(rl_role_map_check(w.entries, 1, &err), RL_E_INVAL);
    end_world(&w);
}
END_TEST

/* ---- for any map ---- */

#define ROUNDS 400

static unsigned pick(unsigned n)
{
    static uint64_t state = 20;
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(state >> 33) % n;
}

static const char *const remotes[] = {"a",        "b",        "a*", "*", "^(.*)$", "^(a|b)-(.*)$",
                                      "^(a+)+b$", "^(broken$"};
static const char *const locals[] = {"x", "y", "$1", "y-$2", "gone", "a"};
static const char *const shown[] = {"a", "b", "a-x", "b-y", "x", "y", "gone", "a b", "\x1b"};

/* "remote=local ..." of up to five mappings; heap text. */
static char *random_map(void)
{
    char *map = rl_strdup("");
    for (unsigned n = pick(5) + 1; n > 0; n--) {
        char *longer = rl_sprintf("%s %s=%s", map, remotes[pick(RL_COUNT(remotes))],
                                  locals[pick(RL_COUNT(locals))]);
        free(map);
        map = longer;
    }
    return map;
}

static size_t bits_of(struct world *w, const char *const *names, size_t count)
{
    char *list[RL_COUNT(shown)];
    const Pb__Role **out = NULL;
    size_t n = 0, bits = 0;
    for (size_t i = 0; i < count; i++)
        list[i] = (char *)(uintptr_t)names[i];
    if (rl_role_map_apply(&w->map, list, count, &out, &n, NULL) != RL_OK)
        return 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < w->map.role_count; k++)
            bits |= (size_t)(out[i] == w->roles[k]) << k;
    free(out);
    return bits;
}

/* Each name is mapped by itself: together they are what they are one by one, in any order, and
 * nobody gets more by a mapping that is gone or by a role that the root may not choose. */
START_TEST(names_are_mapped_one_by_one_and_less_never_gives_more)
{
    size_t given = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct world w, strict;
        char *map = random_map();
        make_world(&w, map, "x y@" ROOT " a b y-x@" ROOT " y-y");
        make_world(&strict, map, "x y a b y-x y-y"); /* none may be chosen by a captured name */
        size_t all = bits_of(&w, shown, RL_COUNT(shown)), sum = 0;
        const char *reversed[RL_COUNT(shown)];
        for (size_t i = 0; i < RL_COUNT(shown); i++) {
            sum |= bits_of(&w, &shown[i], 1);
            reversed[RL_COUNT(shown) - 1 - i] = shown[i];
        }
        ck_assert_msg(all == sum, "%s", map);
        ck_assert_msg(all == bits_of(&w, reversed, RL_COUNT(shown)), "%s", map);
        ck_assert_msg((bits_of(&strict, shown, RL_COUNT(shown)) & ~all) == 0, "%s", map);
        w.map.entry_count--;
        ck_assert_msg((bits_of(&w, shown, RL_COUNT(shown)) & ~all) == 0, "%s", map);
        w.map.entry_count++;
        given += all != 0;
        end_world(&w);
        end_world(&strict);
        free(map);
    }
    ck_assert_uint_gt(given, ROUNDS / 4); /* else nothing was looked at */
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("role_map");
    tcase_add_test(t, maps_by_the_table);
    tcase_add_test(t, who_has_too_many_roles_has_none);
    tcase_add_test(t, a_map_that_could_never_be_meant_is_refused);
    tcase_add_test(t, every_list_has_a_bound);
    tcase_add_test(t, names_are_mapped_one_by_one_and_less_never_gives_more);
    Suite *s = suite_create("role_map");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
