#include "traits.h"

#include "run.h"

#include <string.h>

static struct rl_error err;

static struct rl_text_list list_of(char *const *items, size_t count)
{
    return (struct rl_text_list){.items = (char **)(uintptr_t)items, .count = count};
}

#define TEXT(text) ((char[]){text})

START_TEST(logins_and_pairs_become_traits)
{
    char *logins[] = {TEXT("root"), TEXT("deploy")};
    char *pairs[] = {TEXT("team=a"), TEXT("team=b=c"), TEXT("empty="), TEXT("logins=x")};
    struct rl_text_list l = list_of(logins, 2), p = list_of(pairs, 4);
    struct tctl_traits traits;
    ck_assert_int_eq(tctl_traits_parse(&l, &p, &traits, &err), RL_OK);
    ck_assert_uint_eq(traits.count, 3);
    ck_assert_str_eq(traits.items[0]->key, "logins");
    ck_assert_uint_eq(traits.items[0]->n_values, 3);
    ck_assert_str_eq(traits.items[0]->values[2], "x");
    ck_assert_str_eq(traits.items[1]->key, "team");
    ck_assert_str_eq(traits.items[1]->values[0], "a");
    ck_assert_str_eq(traits.items[1]->values[1], "b=c");
    ck_assert_str_eq(traits.items[2]->values[0], "");
    tctl_traits_fini(&traits);
    tctl_traits_fini(&traits);
}
END_TEST

START_TEST(what_is_no_pair_is_refused)
{
    static const char *const bad[] = {"", "team", "=", "=a"};
    struct rl_text_list none = {0};
    for (size_t i = 0; i < RL_COUNT(bad); i++) {
        char text[16];
        char *pairs[] = {TEXT("first=1"), text};
        struct tctl_traits traits;
        strcpy(text, bad[i]);
        struct rl_text_list p = list_of(pairs, 2);
        ck_assert_int_eq(tctl_traits_parse(&none, &p, &traits, &err), RL_E_INVAL);
        tctl_traits_fini(&traits);
    }
}
END_TEST

START_TEST(there_are_so_many_keys_and_not_one_more)
{
    char texts[TCTL_TRAITS_MAX + 1][16];
    char *pairs[TCTL_TRAITS_MAX + 1];
    struct rl_text_list none = {0};
    struct tctl_traits traits;
    for (size_t i = 0; i <= TCTL_TRAITS_MAX; i++) {
        snprintf(texts[i], sizeof texts[i], "k%zu=v", i);
        pairs[i] = texts[i];
    }
    struct rl_text_list p = list_of(pairs, TCTL_TRAITS_MAX);
    ck_assert_int_eq(tctl_traits_parse(&none, &p, &traits, &err), RL_OK);
    ck_assert_uint_eq(traits.count, TCTL_TRAITS_MAX);
    tctl_traits_fini(&traits);
    p.count++;
    ck_assert_int_eq(tctl_traits_parse(&none, &p, &traits, &err), RL_E_INVAL);
    tctl_traits_fini(&traits);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("traits");
    tcase_add_test(t, logins_and_pairs_become_traits);
    tcase_add_test(t, what_is_no_pair_is_refused);
    tcase_add_test(t, there_are_so_many_keys_and_not_one_more);
    return run_suite(t, "traits");
}
