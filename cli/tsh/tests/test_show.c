#include "castfile.h"
#include "playstream.h"
#include "show.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SESSION "0190c0de-0000-4000-8000-0000000000c1"

static Pb__Recording recording;
static Pb__RecordingStart begin;
static char session_id[] = SESSION, alice[] = "alice", root[] = "root", node[] = "node-a",
            complete[] = "complete";
static char *shown;
static size_t shown_n;
static struct rl_error err;

static void start(void)
{
    pb__recording__init(&recording);
    pb__recording_start__init(&begin);
    begin.user = alice;
    begin.login = root;
    begin.node_name = node;
    begin.interactive = true;
    begin.columns = 80;
    begin.rows = 24;
    begin.started_ns = INT64_C(1700000000123000000);
    recording.session_id = session_id;
    recording.status = complete;
    recording.start = &begin;
    shown = NULL;
}

static void stop(void)
{
    free(shown);
}

static const struct rl_recording_record records[] = {
    {.type = RL_RECORDING_RESIZE, .columns = 100, .rows = 30},
    {.type = RL_RECORDING_OUTPUT, .time_us = 500000, .output = {(const uint8_t *)"caf\xC3", 4}},
    {.type = RL_RECORDING_OUTPUT,
     .time_us = 1250000,
     .output = {(const uint8_t *)"\xA9 \033[1mb\033[0m\xFF\r\n", 14}},
};

static void show_all(enum show_format format, bool with_gap)
{
    FILE *to = open_memstream(&shown, &shown_n);
    struct show *show = show_begin(format, &recording, to);
    for (size_t i = 0; i < RL_COUNT(records); i++)
        show_record(show, &records[i]);
    if (with_gap)
        show_gap(show, 2);
    show_end(&show);
    fclose(to);
}

START_TEST(a_terminal_gets_what_was_shown)
{
    show_all(SHOW_PTY, true);
    ck_assert_str_eq(shown, "caf\xC3\xA9 \033[1mb\033[0m\xFF\r\n");
}
END_TEST

START_TEST(text_has_no_escapes_and_says_what_is_missing)
{
    show_all(SHOW_TEXT, true);
    ck_assert_str_eq(shown, "caf\xC3\xA9 b\xEF\xBF\xBD\n"
                            "[2 part(s) of the recording are missing here]\n");
}
END_TEST

START_TEST(json_is_one_document_whatever_was_shown)
{
    show_all(SHOW_JSON, true);
    json_t *document = json_loads(shown, 0, NULL);
    ck_assert_msg(document != NULL, "%s", shown);
    json_t *all = json_object_get(document, "records");
    ck_assert_str_eq(json_string_value(json_object_get(document, "session_id")), SESSION);
    ck_assert_uint_eq(json_array_size(all), 4);
    ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(all, 0), "columns")), 100);
    /* a character that came in two pieces is whole, and what is none is marked */
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(all, 1), "data")), "caf");
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(all, 2), "data")),
                     "\xC3\xA9 \033[1mb\033[0m\xEF\xBF\xBD\r\n");
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(all, 3), "type")), "gap");
    json_decref(document);
}
END_TEST

START_TEST(a_recording_of_nothing_is_a_document_too)
{
    FILE *to = open_memstream(&shown, &shown_n);
    struct show *show = show_begin(SHOW_JSON, &recording, to);
    show_end(&show);
    fclose(to);
    json_t *document = json_loads(shown, 0, NULL);
    ck_assert(json_is_array(json_object_get(document, "records")));
    json_decref(document);
}
END_TEST

START_TEST(a_list_has_every_key)
{
    static const char *const keys[] = {"session_id", "kind",        "user",       "login",
                                       "cluster",    "node_id",     "node_name",  "user_cluster",
                                       "started",    "ended",       "duration_s", "size_bytes",
                                       "status",     "interactive", "command"};
    recording.channel = 3;
    json_t *object = show_recording_json(&recording);
    for (size_t i = 0; i < RL_COUNT(keys); i++)
        ck_assert_msg(json_object_get(object, keys[i]) != NULL, "%s", keys[i]);
    ck_assert_str_eq(json_string_value(json_object_get(object, "session_id")), SESSION ".3");
    ck_assert(json_is_null(json_object_get(object, "ended")));
    json_decref(object);
}
END_TEST

START_TEST(a_session_is_named_by_its_id_and_its_number)
{
    static const char *const bad[] = {
        "",          "latest",    SESSION ".",          SESSION ".x", SESSION ".1x",
        SESSION "0", "../../etc", SESSION ".4294967296"};
    struct tsh_session s;
    ck_assert_int_eq(tsh_session_parse(SESSION, &s, &err), RL_OK);
    ck_assert_uint_eq(s.channel, 0);
    ck_assert_int_eq(tsh_session_parse(SESSION ".12", &s, &err), RL_OK);
    ck_assert_uint_eq(s.channel, 12);
    char *name = tsh_session_name(s.id, s.channel);
    ck_assert_str_eq(name, SESSION ".12");
    free(name);
    for (size_t i = 0; i < RL_COUNT(bad); i++)
        ck_assert_msg(tsh_session_parse(bad[i], &s, &err) == RL_E_INVAL, "%s", bad[i]);
}
END_TEST

/* ---- files ---- */

static char path[] = "/tmp/rl-cast-XXXXXX";

static struct castfile *open_cast(const char *text, rl_code want)
{
    struct castfile *file = NULL;
    strcpy(path + sizeof path - 7, "XXXXXX");
    int fd = mkstemp(path);
    ck_assert(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    ck_assert_int_eq(castfile_open(path, &file, &err), want);
    unlink(path);
    return file;
}

START_TEST(an_asciicast_that_was_shown_is_read_again)
{
    struct rl_recording_record r;
    bool is_end = false;
    show_all(SHOW_ASCIICAST, false);
    struct castfile *file = open_cast(shown, RL_OK);
    ck_assert_uint_eq(castfile_recording(file)->start->columns, 80);
    ck_assert_int_eq(castfile_next(file, &r, &is_end, &err), RL_OK);
    ck_assert(r.type == RL_RECORDING_RESIZE && r.columns == 100 && r.rows == 30);
    ck_assert_int_eq(castfile_next(file, &r, &is_end, &err), RL_OK);
    ck_assert(r.time_us == 500000 && rl_span_is(r.output, "caf"));
    ck_assert_int_eq(castfile_next(file, &r, &is_end, &err), RL_OK);
    ck_assert(rl_span_is(r.output, "\xC3\xA9 \033[1mb\033[0m\xEF\xBF\xBD\r\n"));
    ck_assert_int_eq(castfile_next(file, &r, &is_end, &err), RL_OK);
    ck_assert(is_end);
    castfile_close(&file);
}
END_TEST

#define HEAD "{\"version\":2,\"width\":80,\"height\":24}\n"

START_TEST(events_of_other_kinds_and_nonsense_are_not_shown)
{
    struct rl_recording_record r;
    bool is_end = false;
    struct castfile *file =
        open_cast(HEAD "[0.1,\"i\",\"typed\"]\n[-1,\"o\",\"x\"]\n[1e99,\"o\",\"x\"]\n"
                       "[1,\"r\",\"axb\"]\n[]\n{}\n[2,\"o\",\"shown\"]\n",
                  RL_OK);
    ck_assert_int_eq(castfile_next(file, &r, &is_end, &err), RL_OK);
    ck_assert(!is_end && rl_span_is(r.output, "shown"));
    castfile_close(&file);
}
END_TEST

START_TEST(what_is_no_asciicast_is_refused)
{
    struct rl_recording_record r;
    bool is_end = false;
    open_cast("", RL_E_INVAL);
    open_cast("hello\n", RL_E_INVAL);
    open_cast("{\"version\":1}\n", RL_E_INVAL);
    open_cast("[2]\n", RL_E_INVAL);
    struct castfile *file = open_cast(HEAD "[1,\"o\"", RL_OK);
    ck_assert_int_eq(castfile_next(file, &r, &is_end, &err), RL_E_INVAL);
    castfile_close(&file);
    ck_assert_int_eq(castfile_open("/nonexistent/x.cast", &file, &err), RL_E_NOT_FOUND);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("show");
    TCase *t = tcase_create("show");
    tcase_add_checked_fixture(t, start, stop);
    tcase_add_test(t, a_terminal_gets_what_was_shown);
    tcase_add_test(t, text_has_no_escapes_and_says_what_is_missing);
    tcase_add_test(t, json_is_one_document_whatever_was_shown);
    tcase_add_test(t, a_recording_of_nothing_is_a_document_too);
    tcase_add_test(t, a_list_has_every_key);
    tcase_add_test(t, a_session_is_named_by_its_id_and_its_number);
    tcase_add_test(t, an_asciicast_that_was_shown_is_read_again);
    tcase_add_test(t, events_of_other_kinds_and_nonsense_are_not_shown);
    tcase_add_test(t, what_is_no_asciicast_is_refused);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
