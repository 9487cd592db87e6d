#include "tunnel/ring.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK ((size_t)RL_RING_BLOCK_BYTES)

static uint8_t byte_at(uint64_t offset)
{
    return (uint8_t)(offset * 31 + (offset >> 8));
}

static void put(struct rl_ring *ring, size_t n)
{
    uint8_t *bytes = rl_alloc(n + 1);
    for (size_t i = 0; i < n; i++)
        bytes[i] = byte_at(ring->end + i);
    rl_ring_put(ring, RL_SPAN(bytes, n));
    free(bytes);
}

static void check_content(const struct rl_ring *ring)
{
    for (uint64_t at = ring->start; at < ring->end;) {
        uint8_t piece[5000];
        size_t n = rl_ring_copy(ring, at, piece, sizeof piece);
        ck_assert_uint_ge(n, 1);
        size_t wrong = 0;
        for (size_t i = 0; i < n; i++)
            wrong += piece[i] != byte_at(at + i);
        ck_assert_uint_eq(wrong, 0);
        at += n;
    }
}

START_TEST(keeps_every_byte_by_its_offset_until_it_is_dropped)
{
    struct rl_ring ring;
    unsigned seed = 7;
    rl_ring_init(&ring, 100000, NULL);
    for (int i = 0; i < 100; i++) {
        size_t room = rl_ring_room(&ring);
        put(&ring, room ? (size_t)rand_r(&seed) % (room + 1) : 0);
        check_content(&ring);
        rl_ring_drop(&ring, ring.start + (uint64_t)rand_r(&seed) % (ring.end - ring.start + 1));
        check_content(&ring);
    }
    ck_assert_uint_gt(ring.end, 1000000);
    rl_ring_fini(&ring);
}
END_TEST

/* As a socket is read: into places, of which it fills some. */
static void fill(struct rl_ring *ring, size_t most, size_t n)
{
    struct iovec places[RL_RING_PLACES_MAX];
    size_t count = rl_ring_places(ring, most, places), there = 0, at = 0;
    ck_assert_uint_ge(count, 1);
    for (size_t i = 0; i < count; i++)
        there += places[i].iov_len;
    ck_assert_uint_le(there, most);
    n = n < there ? n : there;
    for (size_t i = 0; i < count && at < n; i++)
        for (size_t k = 0; k < places[i].iov_len && at < n; k++, at++)
            ((uint8_t *)places[i].iov_base)[k] = byte_at(ring->end + at);
    rl_ring_filled(ring, n);
}

START_TEST(is_filled_in_place_and_keeps_no_block_that_stayed_empty)
{
    struct rl_ring ring;
    struct rl_ring_budget budget = {.max = 10 * BLOCK};
    unsigned seed = 11;
    rl_ring_init(&ring, 100000, &budget);
    for (int i = 0; i < 300; i++) {
        size_t room = rl_ring_room(&ring);
        size_t most = room ? 1 + (size_t)rand_r(&seed) % room : 0;
        if (most)
            fill(&ring, most, i % 7 ? (size_t)rand_r(&seed) % (most + 1) : 0);
        check_content(&ring);
        rl_ring_drop(&ring, ring.start + (uint64_t)rand_r(&seed) % (ring.end - ring.start + 1));
        uint64_t first = ring.start / BLOCK, last = (ring.end + BLOCK - 1) / BLOCK;
        ck_assert_uint_eq(ring.block_count, ring.end > ring.start ? last - first : 0);
        ck_assert_uint_eq(budget.used, ring.block_count > 1 ? (ring.block_count - 1) * BLOCK : 0);
    }
    ck_assert_uint_gt(ring.end, 1000000);
    rl_ring_fini(&ring);
    ck_assert_uint_eq(budget.used, 0);
}
END_TEST

START_TEST(is_full_at_its_maximum_wherever_it_begins)
{
    const size_t maxima[] = {1, BLOCK - 1, BLOCK, BLOCK + 1, RL_RING_BYTES_MAX};
    for (size_t i = 0; i < RL_COUNT(maxima); i++) {
        for (size_t skip = 0; skip < 3 && skip <= maxima[i]; skip++) {
            struct rl_ring ring;
            rl_ring_init(&ring, maxima[i], NULL);
            put(&ring, skip);
            rl_ring_drop(&ring, skip);
            ck_assert_uint_eq(rl_ring_room(&ring), maxima[i]);
            put(&ring, maxima[i] - 1);
            ck_assert_uint_eq(rl_ring_room(&ring), 1);
            put(&ring, 1);
            ck_assert_uint_eq(rl_ring_room(&ring), 0);
            check_content(&ring);
            rl_ring_fini(&ring);
        }
    }
}
END_TEST

START_TEST(holds_no_block_when_all_is_acknowledged)
{
    struct rl_ring ring;
    struct rl_ring_budget budget = {.max = 10 * BLOCK};
    rl_ring_init(&ring, 4 * BLOCK, &budget);
    put(&ring, 3 * BLOCK + 5);
    ck_assert_uint_eq(ring.block_count, 4);
    ck_assert_uint_eq(budget.used, 3 * BLOCK);
    rl_ring_drop(&ring, BLOCK);
    ck_assert_uint_eq(ring.block_count, 3);
    rl_ring_drop(&ring, ring.end);
    ck_assert_uint_eq(ring.block_count, 0);
    ck_assert_uint_eq(budget.used, 0);
    rl_ring_fini(&ring);
}
END_TEST

START_TEST(shares_a_budget_and_keeps_a_block_of_its_own)
{
    struct rl_ring greedy, late;
    struct rl_ring_budget budget = {.max = 2 * BLOCK + 100};
    rl_ring_init(&greedy, 8 * BLOCK, &budget);
    rl_ring_init(&late, 8 * BLOCK, &budget);
    ck_assert_uint_eq(rl_ring_room(&greedy), 3 * BLOCK);
    put(&greedy, 3 * BLOCK);
    ck_assert_uint_eq(rl_ring_room(&greedy), 0);
    ck_assert_uint_eq(rl_ring_room(&late), BLOCK);
    put(&late, 10);
    rl_ring_drop(&late, 10); /* its next block begins in the middle */
    ck_assert_uint_eq(rl_ring_room(&late), BLOCK - 10);
    put(&late, BLOCK - 10);
    ck_assert_uint_eq(rl_ring_room(&late), 0);
    rl_ring_drop(&greedy, BLOCK);
    ck_assert_uint_eq(rl_ring_room(&late), BLOCK);
    check_content(&greedy);
    check_content(&late);
    rl_ring_fini(&greedy);
    rl_ring_fini(&late);
    ck_assert_uint_eq(budget.used, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ring");
    TCase *tc = tcase_create("ring");
    tcase_add_test(tc, keeps_every_byte_by_its_offset_until_it_is_dropped);
    tcase_add_test(tc, is_filled_in_place_and_keeps_no_block_that_stayed_empty);
    tcase_add_test(tc, is_full_at_its_maximum_wherever_it_begins);
    tcase_add_test(tc, holds_no_block_when_all_is_acknowledged);
    tcase_add_test(tc, shares_a_budget_and_keeps_a_block_of_its_own);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
