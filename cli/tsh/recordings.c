/* recordings: what was recorded, and what is live. */
#include "leaves.h"
#include "output/value.h"
#include "playstream.h"
#include "settings/period.h"
#include "show.h"
#include "tsh.h"

#include <stdlib.h>

struct list_settings {
    struct rl_period period;
    char *format, *cluster, *proxy;
    int64_t limit;
};

#define AT(field) offsetof(struct list_settings, field)
#define COMMON_ROWS                                                                                \
    {.name = "format",                                                                             \
     .type = RL_SETTING_TEXT,                                                                      \
     .offset = AT(format),                                                                         \
     .fallback = "text",                                                                           \
     .help = "text, json or yaml"},                                                                \
        {.name = "cluster",                                                                        \
         .type = RL_SETTING_TEXT,                                                                  \
         .offset = AT(cluster),                                                                    \
         .environment = "TSH_CLUSTER",                                                             \
         .help = "the cluster whose audit is asked; the selected one unless said"},                \
    {                                                                                              \
        .name = "proxy", .type = RL_SETTING_ADDRESS, .offset = AT(proxy),                          \
        .help = "the profile of this proxy; the last one unless said"                              \
    }

static const struct rl_setting recordings_rows[] = {
    RL_PERIOD_ROWS(list_settings, period),
    RL_PERIOD_LAST_ROW(list_settings, period, "24h", "instead of --from: 10m, 24h, 7d"),
    {.name = "limit",
     .type = RL_SETTING_NUMBER,
     .offset = AT(limit),
     .fallback = "1000",
     .min = 1,
     .max = 1000,
     .help = "the newest that many"},
    COMMON_ROWS,
};
static const struct rl_setting sessions_rows[] = {COMMON_ROWS};

const struct rl_settings_spec tsh_recordings_ls_spec = {
    .program = "tsh recordings ls",
    .summary = "the recorded sessions that you may see, newest first",
    .usage = "[flags]",
    .example = "tsh recordings ls --last=1h --format=json",
    .rows = recordings_rows,
    .count = RL_COUNT(recordings_rows),
};
const struct rl_settings_spec tsh_sessions_ls_spec = {
    .program = "tsh sessions ls",
    .summary = "the live sessions that you may see, newest first",
    .usage = "[flags]",
    .example = "tsh sessions ls",
    .rows = sessions_rows,
    .count = RL_COUNT(sessions_rows),
};

static const struct rl_column recordings_columns[] = {
    {"SESSION", "session_id"}, {"STARTED", "started"},  {"SECONDS", "duration_s"},
    {"USER", "user"},          {"LOGIN", "login"},      {"NODE", "node_name"},
    {"STATUS", "status"},      {"BYTES", "size_bytes"}, {"COMMAND", "command"},
};
static const struct rl_column sessions_columns[] = {
    {"SESSION", "session_id"},  {"STARTED", "started"},
    {"USER", "user"},           {"LOGIN", "login"},
    {"NODE", "node_name"},      {"CLIENT", "client_addr"},
    {"RECORDING", "recording"}, {"PARTICIPANTS", "participants"},
    {"COMMAND", "command"},
};

static rl_code print(const struct list_settings *s, enum rl_format format,
                     const Pb__ListRecordingsRequest *request, struct rl_error *err)
{
    struct tsh_profile profile = {0};
    Pb__Recording **found = NULL;
    char *cluster = NULL;
    size_t count = 0;
    bool more_matched = false;
    rl_code rc = tsh_profile_open(s->proxy, &profile, err);
    if (rc == RL_OK && (rc = tsh_cluster_choose(&profile, s->cluster, &cluster, err)) == RL_OK)
        rc = tsh_recordings_list(&profile, cluster, request, &found, &count, &more_matched, err);
    free(cluster);
    tsh_profile_fini(&profile);
    if (rc != RL_OK)
        return rc;
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(array, request->live_only ? show_session_json(found[i])
                                                        : show_recording_json(found[i]));
        pb__recording__free_unpacked(found[i], NULL);
    }
    free(found);
    if (format == RL_FORMAT_TEXT)
        rl_json_show_users(array);
    if (request->live_only)
        rc = rl_output_table(stdout, format, array, sessions_columns, RL_COUNT(sessions_columns),
                             "No live sessions.", err);
    else
        rc = rl_output_table(stdout, format, array, recordings_columns,
                             RL_COUNT(recordings_columns), "No recordings.", err);
    if (rc == RL_OK && more_matched)
        rl_output_say("tsh: more matched; these are the newest %zu", count);
    json_decref(array);
    return rc;
}

static int run(const struct rl_settings_spec *spec, bool live_only, int argc, char **argv)
{
    struct list_settings s = {0};
    struct rl_error err;
    enum rl_format format;
    Pb__ListRecordingsRequest request = PB__LIST_RECORDINGS_REQUEST__INIT;
    rl_code rc = rl_settings_read(spec, argc, argv, &s, NULL, &err);
    if (rc == RL_OK)
        rc = rl_format_parse(s.format, &format, &err);
    if (rc == RL_OK)
        rc = rl_period_read(&s.period, &request.from_ns, &request.to_ns, &err);
    if (rc != RL_OK) {
        rl_settings_free(spec, &s);
        return tsh_usage(rc, &err);
    }
    request.limit = (uint32_t)s.limit;
    request.live_only = live_only;
    rc = print(&s, format, &request, &err);
    rl_settings_free(spec, &s);
    return rc == RL_OK ? RL_EXIT_DONE : tsh_fail(&err);
}

int tsh_recordings_ls(int argc, char **argv)
{
    return run(&tsh_recordings_ls_spec, false, argc, argv);
}

int tsh_sessions_ls(int argc, char **argv)
{
    return run(&tsh_sessions_ls_spec, true, argc, argv);
}
