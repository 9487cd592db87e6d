#include "../places.h"

#include <check.h>
#include <stdio.h>

static Pb__ResolveTargetResponse where = PB__RESOLVE_TARGET_RESPONSE__INIT;

static bool has(struct places *p, const char *user, const char *target, int64_t now_s)
{
    Pb__ResolveTargetResponse *copy = places_get(p, user, target, now_s);
    if (copy)
        pb__resolve_target_response__free_unpacked(copy, NULL);
    return copy != NULL;
}

START_TEST(a_place_is_for_who_was_told_and_for_a_day)
{
    struct places *p = places_create();
    where.agent_id = (char *)(uintptr_t) "the-agent";
    places_put(p, "alice", "node-a", &where, 1000);
    ck_assert(has(p, "alice", "node-a", 1000 + PLACES_AGE_S));
    ck_assert(!has(p, "alice", "node-a", 1001 + PLACES_AGE_S));
    ck_assert(!has(p, "bob", "node-a", 1000));
    ck_assert(!has(p, "alice", "node-b", 1000));
    ck_assert(!has(p, "alic", "e\nnode-a", 1000));
    places_forget(p, "alice", "node-b");
    places_forget(p, "alice", "node-a");
    ck_assert(!has(p, "alice", "node-a", 1000));
    places_free(&p);
    places_free(&p);
}
END_TEST

START_TEST(the_oldest_goes_when_there_are_too_many)
{
    struct places *p = places_create();
    char target[32];
    for (int i = 0; i <= PLACES_MAX; i++) {
        snprintf(target, sizeof target, "node-%d", i);
        places_put(p, "alice", target, &where, 1000);
        if (i == PLACES_MAX - 1)
            ck_assert(has(p, "alice", "node-0", 1000));
    }
    ck_assert(!has(p, "alice", "node-0", 1000));
    ck_assert(has(p, "alice", "node-1", 1000));
    ck_assert(has(p, "alice", target, 1000));
    places_free(&p);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("places");
    tcase_add_test(tests, a_place_is_for_who_was_told_and_for_a_day);
    tcase_add_test(tests, the_oldest_goes_when_there_are_too_many);
    Suite *suite = suite_create("places");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
