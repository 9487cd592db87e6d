#include "journal/outbox.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOW_NS INT64_C(1763800000000000000)
#define THREADS 4
#define EACH 300

static char folder[64], path[128], trouble[128];
static struct rl_loop *loop;
static struct rl_outbox *outbox;
static size_t troubles;

static void on_trouble(void *context, const char *message)
{
    (void)context;
    snprintf(trouble, sizeof trouble, "%s", message);
    troubles++;
}

static struct rl_outbox *open_one(void)
{
    struct rl_outbox_config config = {.loop = loop, .path = path, .trouble = on_trouble};
    return rl_outbox_open(&config);
}

static void set_up(void)
{
    strcpy(folder, "/tmp/rl-outbox-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/events", folder);
    ck_assert_int_eq(rl_loop_create(&loop, NULL), RL_OK);
    troubles = 0;
    outbox = open_one();
}

static const char *file(int i)
{
    static char name[160];
    snprintf(name, sizeof name, "%s.%d", path, i);
    return name;
}

static void tear_down(void)
{
    rl_outbox_close(&outbox);
    rl_loop_free(&loop);
    unlink(file(0));
    unlink(file(1));
    rmdir(folder);
}

static off_t bytes(int i)
{
    struct stat now;
    return stat(file(i), &now) == 0 ? now.st_size : -1;
}

static void happen(const char *user, const char *reason)
{
    Pb__Event *event = rl_event_create("user.login", "success", NOW_NS);
    rl_event_set(&event->user, user);
    rl_event_set(&event->reason, reason);
    rl_outbox_send(outbox, &event);
    ck_assert_ptr_null(event);
}

/* Audit, which is not known here, takes the oldest. */
static bool take(const char *user)
{
    Pb__Event *event = rl_outbox_next(outbox);
    bool is_it = event && (!user || strcmp(event->user, user) == 0);
    rl_event_free(&event);
    return is_it;
}

static void look(void)
{
    for (int i = 0; i < 24; i++)
        rl_loop_turn(loop, RL_OUTBOX_LOOK_MS / 20);
}

/* What it had not sent lies in its files as after kill -9. */
static void die_and_come_back(void)
{
    rl_outbox_close(&outbox);
    outbox = open_one();
}

START_TEST(what_a_killed_service_had_not_sent_the_next_one_sends)
{
    happen("alice", "");
    happen("bob", "");
    happen("carol", "");
    ck_assert(take("alice"));
    die_and_come_back();
    ck_assert(take("alice")); /* once more: it is one event by its uid */
    ck_assert(take("bob"));
    ck_assert(take("carol"));
    ck_assert_ptr_null(rl_outbox_next(outbox));
    ck_assert_uint_eq(troubles, 0);
}
END_TEST

START_TEST(what_audit_has_taken_leaves_the_files)
{
    happen("alice", "");
    ck_assert_int_gt(bytes(0) + bytes(1), 0);
    struct stat now;
    ck_assert_int_eq(stat(file(0), &now), 0);
    ck_assert_uint_eq(now.st_mode & 0777, 0600);
    look();
    ck_assert_int_gt(bytes(0) + bytes(1), 0);
    ck_assert(take("alice"));
    look();
    ck_assert_int_eq(bytes(0) + bytes(1), 0);
    die_and_come_back();
    ck_assert_ptr_null(rl_outbox_next(outbox));
}
END_TEST

/* Of a busy service something is always on its way. */
START_TEST(the_files_stay_small_where_never_all_is_taken)
{
    char reason[1000];
    memset(reason, 'r', sizeof reason - 1);
    reason[sizeof reason - 1] = '\0';
    happen("first", reason);
    for (int i = 0; i < 4000; i++) {
        happen("next", reason);
        ck_assert(take(NULL));
        ck_assert_int_le(bytes(0) + bytes(1), 3 * RL_OUTBOX_TURN_BYTES);
    }
    ck_assert_uint_eq(troubles, 0);
    die_and_come_back();
    size_t left = 0;
    while (take(NULL))
        left++;
    ck_assert_uint_ge(left, 1);
}
END_TEST

START_TEST(files_that_are_full_are_said_once_and_events_go_on)
{
    char reason[4000];
    memset(reason, 'r', sizeof reason - 1);
    reason[sizeof reason - 1] = '\0';
    for (int i = 0; i < 600; i++)
        happen("alice", reason);
    ck_assert_uint_eq(troubles, 1);
    ck_assert_int_le(bytes(0), RL_OUTBOX_FILE_BYTES_MAX);
    ck_assert_int_le(bytes(1), RL_OUTBOX_FILE_BYTES_MAX);
    for (int i = 0; i < 600; i++)
        ck_assert(take("alice"));
    look();
    ck_assert_int_eq(bytes(0) + bytes(1), 0);
    happen("bob", "");
    ck_assert_int_gt(bytes(0) + bytes(1), 0);
}
END_TEST

START_TEST(half_an_event_at_the_end_is_left_out_and_said)
{
    happen("alice", "");
    rl_outbox_close(&outbox);
    FILE *end = fopen(file(0), "ae");
    ck_assert_ptr_nonnull(end);
    fputs("\0\0\1", end);
    fputc(0, end);
    fclose(end);
    outbox = open_one();
    ck_assert_uint_eq(troubles, 1);
    ck_assert(take("alice"));
    happen("bob", "");
    die_and_come_back();
    ck_assert_uint_eq(troubles, 1);
    ck_assert(take("bob"));
}
END_TEST

START_TEST(of_two_processes_with_one_path_the_second_has_no_files)
{
    struct rl_outbox *first = outbox;
    happen("alice", "");
    outbox = open_one();
    ck_assert_uint_eq(troubles, 1);
    ck_assert_str_eq(trouble, "another process uses the files of events");
    off_t before = bytes(0) + bytes(1);
    happen("bob", "");
    ck_assert_int_eq(bytes(0) + bytes(1), before);
    ck_assert(take("bob"));
    rl_outbox_close(&outbox);
    outbox = first;
    ck_assert(take("alice"));
}
END_TEST

START_TEST(a_folder_that_is_not_there_is_said_and_events_go_on)
{
    rl_outbox_close(&outbox);
    snprintf(path, sizeof path, "%s/none/events", folder);
    outbox = open_one();
    ck_assert_uint_eq(troubles, 1);
    happen("alice", "");
    ck_assert(take("alice"));
}
END_TEST

START_TEST(the_oldest_gives_way_while_audit_is_not_known)
{
    for (int i = 0; i < RL_EVENT_QUEUE_MAX; i++)
        happen(i ? "next" : "first", "");
    ck_assert_uint_eq(rl_outbox_dropped(outbox), 0);
    happen("last", "");
    ck_assert_uint_eq(rl_outbox_dropped(outbox), 1);
    ck_assert(take("next"));
}
END_TEST

static void *work(void *context)
{
    (void)context;
    for (int i = 0; i < EACH; i++)
        happen("alice", "");
    return NULL;
}

START_TEST(any_thread_sends)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, NULL), 0);
    for (int i = 0; i < 10; i++)
        rl_loop_turn(loop, 1);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    die_and_come_back();
    for (int i = 0; i < THREADS * EACH; i++)
        ck_assert(take("alice"));
    ck_assert(!take(NULL));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("outbox");
    TCase *all = tcase_create("outbox");
    tcase_add_checked_fixture(all, set_up, tear_down);
    tcase_add_test(all, what_a_killed_service_had_not_sent_the_next_one_sends);
    tcase_add_test(all, what_audit_has_taken_leaves_the_files);
    tcase_add_test(all, the_files_stay_small_where_never_all_is_taken);
    tcase_add_test(all, files_that_are_full_are_said_once_and_events_go_on);
    tcase_add_test(all, half_an_event_at_the_end_is_left_out_and_said);
    tcase_add_test(all, of_two_processes_with_one_path_the_second_has_no_files);
    tcase_add_test(all, a_folder_that_is_not_there_is_said_and_events_go_on);
    tcase_add_test(all, the_oldest_gives_way_while_audit_is_not_known);
    tcase_add_test(all, any_thread_sends);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
