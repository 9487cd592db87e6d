#include "../places.h"

#include <check.h>
#include <stdio.h>

static Pb__ResolveTargetResponse where = PB__RESOLVE_TARGET_RESPONSE__INIT;

static struct place_key key(const char *user, const char *target)
{
    return (struct place_key){user, "dev", "", "ssh", target};
}

static bool has_key(struct places *p, const struct place_key *k, int64_t now_s, int64_t max_age_s)
{
    Pb__ResolveTargetResponse *copy = places_get(p, k, now_s, max_age_s);
    if (copy)
        pb__resolve_target_response__free_unpacked(copy, NULL);
    return copy != NULL;
}

static bool has(struct places *p, const char *user, const char *target)
{
    struct place_key k = key(user, target);
    return has_key(p, &k, 1000, PLACES_AGE_S);
}

static void put(struct places *p, const char *user, const char *target)
{
    struct place_key k = key(user, target);
    places_put(p, &k, &where, 1000);
}

START_TEST(a_place_is_for_who_was_told_and_nobody_else)
{
    struct places *p = places_create();
    put(p, "alice", "node-a");
    ck_assert(has(p, "alice", "node-a"));
    ck_assert(!has(p, "bob", "node-a"));
    ck_assert(!has(p, "alice", "node-b"));
    ck_assert(!has(p, "alic", "e\nnode-a"));
    struct place_key k = key("alice", "node-a");
    k.user_cluster = "root";
    ck_assert(!has_key(p, &k, 1000, PLACES_AGE_S));
    k = key("alice", "node-a");
    k.kind = "tcp";
    ck_assert(!has_key(p, &k, 1000, PLACES_AGE_S));
    places_free(&p);
    places_free(&p);
}
END_TEST

START_TEST(a_place_is_forgotten_when_auth_says_so)
{
    struct places *p = places_create();
    put(p, "alice", "node-a");
    struct place_key other = key("alice", "node-b"), same = key("alice", "node-a");
    places_forget(p, &other);
    ck_assert(has(p, "alice", "node-a"));
    places_forget(p, &same);
    ck_assert(!has(p, "alice", "node-a"));
    places_free(&p);
}
END_TEST

START_TEST(a_place_is_not_older_than_it_may_be)
{
    struct places *p = places_create();
    struct place_key k = key("alice", "node-a");
    put(p, "alice", "node-a");
    ck_assert(has_key(p, &k, 1000 + 300 - 1, 300));
    ck_assert(has_key(p, &k, 1000 + 300, 300));
    ck_assert(!has_key(p, &k, 1000 + 301, 300));
    ck_assert(
        has_key(p, &k, 1000 + 301, PLACES_AGE_S)); /* to be asked for does not make it younger */
    ck_assert(!has_key(p, &k, 1001 + PLACES_AGE_S, PLACES_AGE_S));
    places_free(&p);
}
END_TEST

START_TEST(what_changes_from_minute_to_minute_is_not_kept)
{
    struct places *p = places_create();
    struct place_key k = key("alice", "node-a");
    char *brokers[] = {(char *)(uintptr_t) "gone"};
    Pb__ResolveTargetResponse said = PB__RESOLVE_TARGET_RESPONSE__INIT;
    said.agent_id = (char *)(uintptr_t) "the-agent";
    said.mode = (char *)(uintptr_t) "tunnel";
    said.broker_ids = brokers;
    said.n_broker_ids = 1;
    places_put(p, &k, &said, 1000);
    Pb__ResolveTargetResponse *kept = places_get(p, &k, 1000, PLACES_AGE_S);
    ck_assert_ptr_nonnull(kept);
    ck_assert_str_eq(kept->agent_id, "the-agent");
    ck_assert_str_eq(kept->mode, "tunnel");
    ck_assert_uint_eq(kept->n_broker_ids, 0);
    ck_assert(kept->is_online);
    ck_assert_uint_eq(said.n_broker_ids, 1);
    pb__resolve_target_response__free_unpacked(kept, NULL);
    places_free(&p);
}
END_TEST

START_TEST(the_one_used_longest_ago_goes_when_there_are_too_many)
{
    struct places *p = places_create();
    char target[32];
    for (int i = 0; i < PLACES_MAX; i++) {
        snprintf(target, sizeof target, "node-%d", i);
        put(p, "alice", target);
    }
    ck_assert(has(p, "alice", "node-0")); /* used now: node-1 is the oldest */
    put(p, "alice", "one-more");
    ck_assert(has(p, "alice", "node-0"));
    ck_assert(!has(p, "alice", "node-1"));
    ck_assert(has(p, "alice", "node-2"));
    ck_assert(has(p, "alice", "one-more"));
    places_free(&p);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("places");
    tcase_add_test(tests, a_place_is_for_who_was_told_and_nobody_else);
    tcase_add_test(tests, a_place_is_forgotten_when_auth_says_so);
    tcase_add_test(tests, a_place_is_not_older_than_it_may_be);
    tcase_add_test(tests, what_changes_from_minute_to_minute_is_not_kept);
    tcase_add_test(tests, the_one_used_longest_ago_goes_when_there_are_too_many);
    Suite *suite = suite_create("places");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
