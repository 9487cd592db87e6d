#include "tunnel/queue.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 31 + i / 251);
}

START_TEST(takes_up_to_its_maximum_and_no_more)
{
    struct rl_queue q;
    rl_queue_init(&q, 40000);
    uint8_t *raw = rl_alloc(40001);
    ck_assert(rl_queue_put(&q, RL_SPAN(raw, 39999)));
    ck_assert(!rl_queue_put(&q, RL_SPAN(raw, 2)));
    ck_assert_uint_eq(q.n, 39999);
    ck_assert(rl_queue_put(&q, RL_SPAN(raw, 1)));
    ck_assert(!rl_queue_put(&q, RL_SPAN(raw, 1)));
    rl_queue_fini(&q);
    ck_assert_ptr_null(q.first);
    ck_assert(!rl_queue_put(&q, RL_SPAN(raw, 40001)));
    ck_assert(rl_queue_put(&q, RL_SPAN(raw, 40000)));
    rl_queue_fini(&q);
    free(raw);
}
END_TEST

START_TEST(gives_back_every_byte_in_order)
{
    struct rl_queue q;
    rl_queue_init(&q, 100000);
    size_t put = 0, taken = 0;
    unsigned seed = 7;
    while (taken < 1000000) {
        uint8_t bytes[5000];
        size_t n = (size_t)rand_r(&seed) % sizeof bytes;
        for (size_t i = 0; i < n; i++)
            bytes[i] = pattern(put + i);
        if (rl_queue_put(&q, RL_SPAN(bytes, n)))
            put += n;
        uint8_t out[7000];
        size_t got = rl_queue_take(&q, out, (size_t)rand_r(&seed) % sizeof out);
        size_t wrong = 0;
        for (size_t i = 0; i < got; i++)
            wrong += out[i] != pattern(taken + i);
        ck_assert_uint_eq(wrong, 0);
        taken += got;
        ck_assert_uint_eq(q.n, put - taken);
    }
    rl_queue_fini(&q);
}
END_TEST

START_TEST(shows_its_first_pieces_in_order)
{
    struct rl_queue q;
    struct iovec pieces[3];
    uint8_t bytes[3 * RL_QUEUE_BLOCK_BYTES];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = pattern(i);
    rl_queue_init(&q, sizeof bytes);
    ck_assert_uint_eq(rl_queue_pieces(&q, pieces, 3), 0);
    ck_assert(rl_queue_put(&q, RL_SPAN(bytes, 10)));
    ck_assert(rl_queue_put(&q, RL_SPAN(bytes + 10, 2 * RL_QUEUE_BLOCK_BYTES)));
    rl_queue_drop(&q, 3);
    ck_assert_uint_eq(rl_queue_pieces(&q, pieces, 3), 3);
    size_t at = 3;
    for (size_t i = 0; i < 3; at += pieces[i++].iov_len)
        ck_assert_mem_eq(pieces[i].iov_base, bytes + at, pieces[i].iov_len);
    ck_assert_uint_eq(at, 10 + 2 * RL_QUEUE_BLOCK_BYTES);
    ck_assert_uint_eq(rl_queue_pieces(&q, pieces, 1), 1);
    ck_assert_uint_eq(pieces[0].iov_len, 7);
    rl_queue_fini(&q);
}
END_TEST

START_TEST(keeps_the_front_where_it_is_until_it_is_dropped)
{
    struct rl_queue q;
    rl_queue_init(&q, 100000);
    uint8_t raw[16384] = {1};
    ck_assert_uint_eq(rl_queue_front(&q).n, 0);
    rl_queue_put(&q, RL_SPAN(raw, 100));
    struct rl_span front = rl_queue_front(&q);
    rl_queue_put(&q, RL_SPAN(raw, 16384));
    struct rl_span later = rl_queue_front(&q);
    ck_assert_ptr_eq(front.p, later.p);
    ck_assert_uint_ge(later.n, front.n);
    rl_queue_drop(&q, 16484);
    ck_assert_uint_eq(rl_queue_front(&q).n, 0);
    rl_queue_fini(&q);
}
END_TEST

START_TEST(large_pieces_keep_their_edges_and_small_ones_go_together)
{
    struct rl_queue q;
    uint8_t raw[16384] = {1}, out[16384];
    rl_queue_init(&q, 1000000);
    static const size_t pieces[] = {100, 16000, 9000, 50, 60, 16384, 8191};
    for (size_t i = 0; i < 7; i++)
        ck_assert(rl_queue_put(&q, RL_SPAN(raw, pieces[i])));
    static const size_t together[] = {100, 16000, 9110, 16384, 8191};
    for (size_t i = 0; i < 5; i++)
        ck_assert_uint_eq(rl_queue_take(&q, out, sizeof out), together[i]);
    ck_assert_uint_eq(rl_queue_take(&q, out, sizeof out), 0);
    ck_assert(rl_queue_put(&q, RL_SPAN(raw, 16384)));
    ck_assert_uint_eq(rl_queue_take(&q, out, 10), 10); /* a sliver of a window */
    ck_assert_uint_eq(rl_queue_take(&q, out, sizeof out), 16374);
    rl_queue_fini(&q);
}
END_TEST

START_TEST(forgets_what_is_behind_its_front)
{
    struct rl_queue q;
    uint8_t raw[3 * RL_QUEUE_BLOCK_BYTES] = {1};
    rl_queue_init(&q, sizeof raw);
    ck_assert_uint_eq(rl_queue_drop_behind_front(&q), 0);
    ck_assert(rl_queue_put(&q, RL_SPAN(raw, sizeof raw)));
    rl_queue_drop(&q, 5);
    ck_assert_uint_eq(rl_queue_drop_behind_front(&q), 2 * RL_QUEUE_BLOCK_BYTES);
    ck_assert_uint_eq(q.n, RL_QUEUE_BLOCK_BYTES - 5);
    ck_assert_uint_eq(rl_queue_front(&q).n, q.n);
    ck_assert(rl_queue_put(&q, RL_SPAN(raw, 7)));
    rl_queue_drop(&q, RL_QUEUE_BLOCK_BYTES - 5);
    ck_assert_uint_eq(rl_queue_front(&q).n, 7);
    rl_queue_fini(&q);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("queue");
    tcase_add_test(tests, takes_up_to_its_maximum_and_no_more);
    tcase_add_test(tests, gives_back_every_byte_in_order);
    tcase_add_test(tests, shows_its_first_pieces_in_order);
    tcase_add_test(tests, keeps_the_front_where_it_is_until_it_is_dropped);
    tcase_add_test(tests, large_pieces_keep_their_edges_and_small_ones_go_together);
    tcase_add_test(tests, forgets_what_is_behind_its_front);
    Suite *suite = suite_create("queue");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
