/* join: a live session, as it goes on from now. Nothing that is typed here reaches it. */
#include "leaves.h"
#include "playstream.h"
#include "show.h"
#include "tsh.h"

#include <signal.h>
#include <stdlib.h>

struct join_settings {
    char *cluster, *proxy;
};

static const struct rl_setting rows[] = {
    {.name = "cluster",
     .type = RL_SETTING_TEXT,
     .offset = offsetof(struct join_settings, cluster),
     .environment = "TSH_CLUSTER",
     .help = "the cluster where it is; the selected one unless said"},
    {.name = "proxy",
     .type = RL_SETTING_ADDRESS,
     .offset = offsetof(struct join_settings, proxy),
     .help = "the profile of this proxy; the last one unless said"},
};

const struct rl_settings_spec tsh_join_spec = {
    .program = "tsh join",
    .summary = "watch a live session; Ctrl-C leaves it",
    .usage = "[flags] SESSION_ID",
    .example = "tsh sessions ls && tsh join SESSION_ID",
    .rows = rows,
    .count = RL_COUNT(rows),
    .positional_max = 1,
};

static volatile int is_stopped;

static void on_interrupt(int number)
{
    (void)number;
    is_stopped = 1;
}

static void show_part(struct show *show, struct rl_recording_decoder *decoder,
                      const Pb__RecordingPart *part)
{
    struct rl_recording_record record;
    if (rl_recording_decode(decoder, RL_SPAN(part->data.data, part->data.len), NULL) != RL_OK)
        return; /* the last part has none, and one that is damaged shows nothing */
    while (rl_recording_next(decoder, &record))
        show_record(show, &record);
}

static rl_code watch(struct tsh_playstream *stream, struct rl_error *err)
{
    const Pb__Recording *recording = NULL;
    rl_code rc = tsh_playstream_recording(stream, &recording, err);
    if (rc != RL_OK)
        return rc;
    const Pb__RecordingStart *start = recording->start;
    rl_output_say("tsh: watching %s as %s on %s; Ctrl-C leaves", start->user, start->login,
                  start->node_name);
    struct rl_recording_decoder *decoder = rl_recording_decoder_create();
    struct show *show = show_begin(SHOW_PTY, recording, stdout);
    bool is_over = false;
    while (!is_over && !is_stopped) {
        Pb__RecordingPart *part = NULL;
        rc = tsh_playstream_next(stream, &is_stopped, &part, err);
        is_over = rc != RL_E_DATA_LOSS && !part;
        if (part) {
            show_part(show, decoder, part);
            pb__recording_part__free_unpacked(part, NULL);
        }
    }
    show_end(&show);
    rl_recording_decoder_free(&decoder);
    if (is_stopped)
        return RL_OK;
    if (rc == RL_OK)
        rl_output_say("tsh: the session has ended");
    return rc;
}

static rl_code join(const struct join_settings *s, const struct tsh_session *session,
                    struct rl_error *err)
{
    struct tsh_profile profile = {0};
    struct tsh_playstream *stream = NULL;
    char *cluster = NULL;
    rl_code rc = tsh_profile_open(s->proxy, &profile, err);
    if (rc == RL_OK && (rc = tsh_cluster_choose(&profile, s->cluster, &cluster, err)) == RL_OK)
        rc = tsh_playstream_open(&profile, cluster, session, true, &stream, err);
    if (rc == RL_OK)
        rc = watch(stream, err);
    tsh_playstream_close(&stream);
    free(cluster);
    tsh_profile_fini(&profile);
    return rc;
}

int tsh_join(int argc, char **argv)
{
    struct join_settings s = {0};
    struct rl_positionals rest = {0};
    struct rl_error err;
    struct tsh_session session;
    rl_code rc = rl_settings_read(&tsh_join_spec, argc, argv, &s, &rest, &err);
    if (rc == RL_OK && rest.count != 1)
        rc = rl_fail(&err, RL_E_INVAL, "name a session; `tsh sessions ls` shows them");
    if (rc != RL_OK) {
        rl_settings_free(&tsh_join_spec, &s);
        return tsh_usage(rc, &err);
    }
    struct sigaction interrupt = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &interrupt, NULL);
    sigaction(SIGTERM, &interrupt, NULL);
    rc = tsh_session_parse(rest.items[0], &session, &err);
    if (rc == RL_OK)
        rc = join(&s, &session, &err);
    rl_settings_free(&tsh_join_spec, &s);
    return rc == RL_OK ? RL_EXIT_DONE : tsh_fail(&err);
}
