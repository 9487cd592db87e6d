/* What every program does while memory is refused: reads its settings, says something, shows a
 * table, turns its loop, keeps what it has to tell audit. Each again and again, each time without
 * another allocation (starve.h). Settings are whole or an error, and an outbox gives back what it
 * had taken. */
#include "starve.h"

#include "journal/outbox.h"
#include "log/log.h"
#include "loop/loop.h"
#include "output/output.h"
#include "settings/settings.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TURNS_MAX 100

static char folder[] = "/tmp/rl-memory-XXXXXX";
static char settings_file[64], events_file[64];

/* ---- settings ---- */

struct wanted {
    char *config, *name;
    struct rl_text_list labels;
    uint64_t ttl_s;
};

static const struct rl_setting rows[] = {
    {.name = "config", .type = RL_SETTING_FILE, .offset = offsetof(struct wanted, config)},
    {.name = "name",
     .type = RL_SETTING_TEXT,
     .offset = offsetof(struct wanted, name),
     .fallback = "node"},
    {.name = "labels", .type = RL_SETTING_LIST, .offset = offsetof(struct wanted, labels)},
    {.name = "ttl", .type = RL_SETTING_DURATION, .offset = offsetof(struct wanted, ttl_s)},
};

static const struct rl_settings_spec spec = {.program = "test",
                                             .summary = "a test",
                                             .usage = "[flags]",
                                             .rows = rows,
                                             .count = RL_COUNT(rows),
                                             .file_setting = "config"};

static void read_settings(void *context)
{
    (void)context;
    char program[] = "test", config[128], labels[] = "--labels=c=3,d=4";
    snprintf(config, sizeof config, "--config=%s", settings_file);
    char *argv[] = {program, config, labels};
    struct wanted wanted = {0};
    struct rl_positionals positionals;
    struct rl_error err;
    if (rl_settings_read(&spec, RL_COUNT(argv), argv, &wanted, &positionals, &err) == RL_OK) {
        RL_ASSERT(strcmp(wanted.name, "from-the-file") == 0 && wanted.ttl_s == 5400);
        RL_ASSERT(wanted.labels.count == 2 && strcmp(wanted.labels.items[1], "d=4") == 0);
    }
    rl_settings_free(&spec, &wanted);
}

/* ---- what is said and shown ---- */

static void log_line(void *context)
{
    (void)context;
    rl_log_info("a message", RL_TEXT("key", "a value\nof two lines"), RL_NUMBER("count", 7));
}

static void show(enum rl_format format, const char *expected)
{
    static const struct rl_column columns[] = {{"NAME", "name"}, {"LABELS", "labels"}};
    char *shown = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&shown, &n);
    json_t *array = json_pack("[{s:s, s:[s,s]}]", "name", "node-a", "labels", "a=1", "b=2");
    bool is_shown =
        to && array &&
        rl_output_table(to, format, array, columns, RL_COUNT(columns), "", NULL) == RL_OK;
    bool is_written = to && fclose(to) == 0;
    RL_ASSERT((is_shown && is_written && shown && strstr(shown, expected)) || starve_has_begun());
    json_decref(array);
    free(shown);
}

static void show_table(void *context)
{
    (void)context;
    show(RL_FORMAT_TEXT, "node-a  a=1,b=2");
    show(RL_FORMAT_JSON, "\"node-a\"");
    show(RL_FORMAT_YAML, "name: node-a");
}

/* ---- a loop and its timer ---- */

struct turns {
    int timers, posts;
};

static void on_timer(void *context)
{
    ((struct turns *)context)->timers++;
}

static void on_post(void *context)
{
    ((struct turns *)context)->posts++;
}

static void turn_loop(void *context)
{
    (void)context;
    struct turns turns = {0};
    struct rl_loop *loop = NULL;
    if (rl_loop_create(&loop, NULL) != RL_OK)
        return;
    struct rl_timer *timer = rl_timer_create(loop, on_timer, &turns);
    rl_timer_arm(timer, 0);
    rl_loop_post(loop, on_post, &turns);
    for (int i = 0; i < TURNS_MAX && (!turns.timers || !turns.posts); i++)
        rl_loop_turn(loop, 1);
    RL_ASSERT(turns.timers == 1 && turns.posts == 1);
    rl_timer_free(&timer);
    rl_loop_free(&loop);
}

/* ---- what a service has to tell, while audit is not known ---- */

static size_t use_outbox(const char *user)
{
    struct rl_loop *loop = NULL;
    if (rl_loop_create(&loop, NULL) != RL_OK)
        return 0;
    const struct rl_outbox_config config = {.loop = loop, .path = events_file};
    struct rl_outbox *outbox = rl_outbox_open(&config);
    Pb__Event *event = user ? rl_event_create("user.login", "success", 1) : NULL;
    if (event) {
        rl_event_set(&event->user, user);
        rl_outbox_send(outbox, &event);
    }
    size_t kept = 0;
    while (!user && (event = rl_outbox_next(outbox))) {
        RL_ASSERT(strcmp(event->user, "alice") == 0 || strcmp(event->user, "bob") == 0);
        rl_event_free(&event);
        kept++;
    }
    rl_outbox_close(&outbox);
    rl_loop_free(&loop);
    return kept;
}

static void tell(void *context)
{
    (void)context;
    use_outbox("bob");
}

/* And is again with the first only, for the next that tries. */
static bool has_the_first(void *context)
{
    (void)context;
    size_t kept = use_outbox(NULL);
    use_outbox("alice");
    return kept >= 1;
}

/* ---- all of them ---- */

static unsigned run(const char *name, void (*scenario)(void *), bool (*is_whole)(void *))
{
    scenario(NULL); /* libraries set themselves up at their first use */
    if (is_whole && !is_whole(NULL)) {
        fprintf(stderr, "%s: not even with all the memory\n", name);
        return 1;
    }
    const struct starve what = {name, scenario, is_whole, NULL};
    unsigned failures = starve(&what);
    printf("%s: %s\n", name, failures ? "FAILED" : "ok");
    return failures;
}

static bool make_files(void)
{
    if (!mkdtemp(folder))
        return false;
    snprintf(settings_file, sizeof settings_file, "%s/settings.yaml", folder);
    snprintf(events_file, sizeof events_file, "%s/events", folder);
    FILE *file = fopen(settings_file, "we");
    return file && fputs("name: from-the-file\nttl: 1h30m\nlabels: [a=1, b=2]\n", file) >= 0 &&
           fclose(file) == 0;
}

static void remove_files(void)
{
    if (chdir(folder) == 0 && system("rm -f settings.yaml events.0 events.1") != 0)
        perror(folder);
    rmdir(folder);
}

int main(void)
{
    unsigned failures = 0;
    if (!make_files()) {
        perror(folder);
        return 1;
    }
    rl_log_setup("test", RL_LOG_INFO, false);
    failures += run("settings", read_settings, NULL);
    failures += run("a line of a log", log_line, NULL);
    failures += run("a table", show_table, NULL);
    failures += run("a loop", turn_loop, NULL);
    use_outbox("alice");
    failures += run("an outbox", tell, has_the_first);
    remove_files();
    return failures != 0;
}
