#include "journal/journal.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SENT_MAX 4096

static char folder[64], path[128];
static struct rl_loop *loop;
static struct rl_journal *journal;
static Pb__Event *sent[SENT_MAX];
static size_t sent_count, taken, troubles; /* taken: by audit */

static void take_event(void *context, Pb__Event **event)
{
    (void)context;
    ck_assert_uint_lt(sent_count, SENT_MAX);
    sent[sent_count++] = *event;
    *event = NULL;
}

static size_t pending(void *context)
{
    (void)context;
    return sent_count - taken;
}

static int64_t now_ns(void *context)
{
    (void)context;
    return 1763800000000000000;
}

static void count_trouble(void *context, const char *message)
{
    (void)context;
    (void)message;
    troubles++;
}

static void open_journal(void)
{
    struct rl_journal_config config = {.loop = loop,
                                       .path = path,
                                       .send = take_event,
                                       .pending = pending,
                                       .now_ns = now_ns,
                                       .trouble = count_trouble};
    journal = rl_journal_open(&config);
}

static void forget_sent(void)
{
    while (sent_count)
        rl_event_free(&sent[--sent_count]);
    taken = 0;
}

/* As kill -9 does: what was in memory is gone, the file stays as it is. */
static void die_and_come_back(void)
{
    taken = 0; /* so that closing keeps the file */
    sent_count++;
    rl_journal_close(&journal);
    sent_count--;
    forget_sent();
    open_journal();
}

static void set_up(void)
{
    strcpy(folder, "/tmp/rl-journal-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/events", folder);
    ck_assert_int_eq(rl_loop_create(&loop, NULL), RL_OK);
    troubles = 0;
    open_journal();
}

static void tear_down(void)
{
    rl_journal_close(&journal);
    forget_sent();
    rl_loop_free(&loop);
    unlink(path);
    rmdir(folder);
}

static off_t file_bytes(void)
{
    struct stat now;
    return stat(path, &now) == 0 ? now.st_size : -1;
}

static void happen(const char *type, const char *session_id, const char *channel)
{
    Pb__Event *event = rl_event_create(type, "success", now_ns(NULL));
    rl_event_set(&event->session_id, session_id);
    rl_event_set(&event->user, "alice");
    rl_event_set(&event->resource_name, "node-a");
    rl_event_set(&event->login, "root");
    rl_event_detail(event, "channel", channel);
    rl_journal_event(journal, &event);
    ck_assert_ptr_null(event);
}

static void audit_takes_everything(void)
{
    taken = sent_count;
    for (int i = 0; i < 24; i++)
        rl_loop_turn(loop, RL_JOURNAL_LOOK_MS / 20);
}

START_TEST(an_event_is_sent_and_in_the_file_until_audit_has_it)
{
    happen("sftp", "s1", "");
    ck_assert_uint_eq(sent_count, 1);
    ck_assert_int_gt(file_bytes(), 0);
    struct stat now;
    ck_assert_int_eq(stat(path, &now), 0);
    ck_assert_uint_eq(now.st_mode & 0777, 0600);
    audit_takes_everything();
    ck_assert_int_eq(file_bytes(), 0);
}
END_TEST

START_TEST(what_audit_does_not_take_within_a_second_is_on_the_disk)
{
    happen("session.start", "s1", "0");
    ck_assert(!rl_journal_is_synced(journal)); /* audit is there: nobody waits for a disk */
    for (int i = 0; i < 40 && !rl_journal_is_synced(journal); i++)
        rl_loop_turn(loop, RL_JOURNAL_LOOK_MS / 20);
    ck_assert(rl_journal_is_synced(journal));
    happen("session.end", "s1", "0");
    ck_assert(!rl_journal_is_synced(journal));
    audit_takes_everything();
    ck_assert_int_eq(file_bytes(), 0);
}
END_TEST

START_TEST(what_a_killed_process_had_not_sent_the_next_one_sends)
{
    happen("sftp", "s1", "");
    happen("session.command", "s2", "");
    char *uid = rl_strdup(sent[1]->uid);
    die_and_come_back();
    ck_assert_uint_eq(sent_count, 2);
    ck_assert_str_eq(sent[0]->type, "sftp");
    ck_assert_str_eq(sent[1]->uid, uid); /* the same event: audit keeps one */
    die_and_come_back();
    ck_assert_uint_eq(sent_count, 2);
    audit_takes_everything();
    die_and_come_back();
    ck_assert_uint_eq(sent_count, 0);
    free(uid);
}
END_TEST

START_TEST(a_session_that_was_open_when_the_process_was_killed_has_ended)
{
    happen("session.start", "s1", "0");
    happen("session.start", "s1", "1");
    happen("session.start", "s2", "0");
    happen("session.end", "s1", "1");
    ck_assert_uint_eq(rl_journal_open_sessions(journal), 2);
    audit_takes_everything();
    ck_assert_int_gt(file_bytes(), 0);
    die_and_come_back();
    ck_assert_uint_eq(rl_journal_open_sessions(journal), 0);
    ck_assert_uint_eq(sent_count, 6); /* four again, and two ends */
    const Pb__Event *end = sent[5];
    ck_assert_str_eq(end->type, "session.end");
    ck_assert_str_eq(end->outcome, "failure");
    ck_assert_str_eq(end->session_id, "s1");
    ck_assert_str_eq(end->user, "alice");
    ck_assert_str_eq(end->resource_name, "node-a");
    ck_assert_str_eq(end->login, "root");
    ck_assert(strstr(end->details_json, "\"channel\":\"0\""));
    ck_assert(strstr(end->reason, "the agent ended"));
    char *uid = rl_strdup(end->uid);
    die_and_come_back(); /* killed again before they were taken: the same ends, no others */
    ck_assert_uint_eq(sent_count, 6);
    ck_assert_str_eq(sent[5]->uid, uid);
    free(uid);
}
END_TEST

START_TEST(a_connection_whose_process_is_gone_has_ended)
{
    happen("session.start", "s1", "0");
    happen("session.start", "s1", "1");
    happen("session.start", "s2", "0");
    rl_journal_session_gone(journal, "s3", "it was killed");
    ck_assert_uint_eq(sent_count, 3);
    rl_journal_session_gone(journal, "s1", "it was killed");
    ck_assert_uint_eq(sent_count, 5);
    ck_assert_str_eq(sent[4]->reason, "it was killed");
    ck_assert_uint_eq(rl_journal_open_sessions(journal), 1);
}
END_TEST

START_TEST(half_a_record_at_the_end_is_left_out_and_does_not_hide_what_follows)
{
    happen("sftp", "s1", "");
    off_t whole = file_bytes();
    happen("sftp", "s2", "");
    for (off_t cut = whole + 1; cut < whole + 12; cut++) {
        ck_assert_int_eq(truncate(path, cut), 0);
        die_and_come_back();
        ck_assert_uint_eq(sent_count, 1);
        ck_assert_int_eq(file_bytes(), whole);
        happen("sftp", "s3", "");
        die_and_come_back();
        ck_assert_uint_eq(sent_count, 2);
    }
    ck_assert_uint_eq(troubles, 11);
}
END_TEST

START_TEST(a_file_of_something_else_is_no_reason_not_to_go_on)
{
    int fd = open(path, O_WRONLY | O_TRUNC);
    ck_assert_int_eq(write(fd, "\0\0\0\3abcdefgh", 12), 12);
    close(fd);
    die_and_come_back();
    ck_assert_uint_eq(sent_count, 0);
    ck_assert_uint_eq(troubles, 1);
    happen("sftp", "s1", "");
    die_and_come_back();
    ck_assert_uint_eq(sent_count, 1);
}
END_TEST

START_TEST(a_file_that_can_not_be_written_is_said_once_and_events_are_sent)
{
    rl_journal_close(&journal);
    unlink(path);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    open_journal();
    happen("sftp", "s1", "");
    happen("sftp", "s2", "");
    ck_assert_uint_eq(sent_count, 2);
    ck_assert_uint_eq(troubles, 1);
    rl_journal_close(&journal);
    rmdir(path);
    open_journal();
}
END_TEST

START_TEST(the_file_does_not_grow_beyond_its_limit)
{
    char *text = malloc(4001);
    memset(text, 'x', 4000);
    text[4000] = '\0';
    for (int i = 0; i < 300; i++) {
        Pb__Event *event = rl_event_create("session.command", "success", now_ns(NULL));
        rl_event_set(&event->command, text);
        rl_journal_event(journal, &event);
    }
    free(text);
    ck_assert_int_le(file_bytes(), RL_JOURNAL_BYTES_MAX);
    ck_assert_int_gt(file_bytes(), RL_JOURNAL_BYTES_MAX - 8192);
    ck_assert_uint_eq(troubles, 1);
    ck_assert_uint_eq(sent_count, 300); /* in memory they are all the same */
    audit_takes_everything();
    ck_assert_int_eq(file_bytes(), 0);
}
END_TEST

START_TEST(a_long_file_is_shortened_to_the_sessions_that_are_open)
{
    happen("session.start", "s1", "0");
    off_t one = file_bytes();
    for (int i = 0; i < 1000; i++)
        happen("sftp", "s1", "");
    audit_takes_everything();
    ck_assert_int_eq(file_bytes(), one);
    happen("sftp", "s1", "");
    die_and_come_back();
    ck_assert_uint_eq(sent_count, 3); /* the start, what came after, and the end */
    ck_assert_str_eq(sent[2]->type, "session.end");
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("journal");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 30);
    tcase_add_test(tests, what_audit_does_not_take_within_a_second_is_on_the_disk);
    tcase_add_test(tests, an_event_is_sent_and_in_the_file_until_audit_has_it);
    tcase_add_test(tests, what_a_killed_process_had_not_sent_the_next_one_sends);
    tcase_add_test(tests, a_session_that_was_open_when_the_process_was_killed_has_ended);
    tcase_add_test(tests, a_connection_whose_process_is_gone_has_ended);
    tcase_add_test(tests, half_a_record_at_the_end_is_left_out_and_does_not_hide_what_follows);
    tcase_add_test(tests, a_file_of_something_else_is_no_reason_not_to_go_on);
    tcase_add_test(tests, a_file_that_can_not_be_written_is_said_once_and_events_are_sent);
    tcase_add_test(tests, the_file_does_not_grow_beyond_its_limit);
    tcase_add_test(tests, a_long_file_is_shortened_to_the_sessions_that_are_open);
    Suite *suite = suite_create("journal");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
