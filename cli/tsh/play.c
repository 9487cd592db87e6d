/* play: a recording from audit, or an asciicast from a file, as it looked. */
#include "castfile.h"
#include "clock/clock.h"
#include "leaves.h"
#include "playstream.h"
#include "show.h"
#include "tsh.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IDLE_US 1000000u /* that --skip-idle leaves of a pause */
#define WAIT_MS_MAX 100u
#define SPEED_MAX 1000

struct play_settings {
    char *format, *speed, *cluster, *proxy;
    bool skip_idle;
};

#define AT(field) offsetof(struct play_settings, field)
static const struct rl_setting rows[] = {
    {.name = "speed",
     .type = RL_SETTING_TEXT,
     .offset = AT(speed),
     .help = "so many times as fast: 2, 0.5; 1 on a terminal, else without any wait"},
    {.name = "skip-idle",
     .type = RL_SETTING_SWITCH,
     .offset = AT(skip_idle),
     .fallback = "no",
     .help = "no pause is longer than a second"},
    {.name = "format",
     .type = RL_SETTING_TEXT,
     .offset = AT(format),
     .fallback = "pty",
     .help = "pty (as it looked), text (without escapes), json or asciicast"},
    {.name = "cluster",
     .type = RL_SETTING_TEXT,
     .offset = AT(cluster),
     .environment = "TSH_CLUSTER",
     .help = "the cluster where it was recorded; the selected one unless said"},
    {.name = "proxy",
     .type = RL_SETTING_ADDRESS,
     .offset = AT(proxy),
     .help = "the profile of this proxy; the last one unless said"},
};

const struct rl_settings_spec tsh_play_spec = {
    .program = "tsh play",
    .summary = "what a recorded session showed",
    .usage = "[flags] SESSION_ID|FILE",
    .example = "tsh play --speed=4 --skip-idle SESSION_ID\n"
               "tsh play --format=asciicast SESSION_ID > session.cast",
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

/* ---- time ---- */

struct pace {
    double speed; /* 0: no waits */
    bool skip_idle;
    uint64_t last_us; /* of the recording */
    double due_us;    /* of this playback, since it began */
    uint64_t began_ms;
    struct tsh_playstream *stream; /* NULL: a file */
};

static void wait_for(struct pace *p, uint64_t time_us)
{
    uint64_t pause = time_us > p->last_us ? time_us - p->last_us : 0;
    p->last_us = time_us > p->last_us ? time_us : p->last_us;
    if (p->speed <= 0)
        return;
    if (p->skip_idle && pause > IDLE_US)
        pause = IDLE_US;
    p->due_us += (double)pause / p->speed;
    while (!is_stopped) {
        double left_ms = p->due_us / 1000 - (double)(rl_clock_boot_ms() - p->began_ms);
        if (left_ms < 1)
            return;
        uint32_t ms = left_ms > WAIT_MS_MAX ? WAIT_MS_MAX : (uint32_t)left_ms;
        if (p->stream)
            tsh_playstream_wait(p->stream, ms);
        else
            usleep(ms * 1000);
    }
}

static rl_code read_pace(const struct play_settings *s, enum show_format format, struct pace *out,
                         struct rl_error *err)
{
    char *end = NULL;
    double speed = format == SHOW_PTY && isatty(STDOUT_FILENO) ? 1 : 0;
    if (s->speed)
        speed = strtod(s->speed, &end);
    if (s->speed && (end == s->speed || *end || !(speed > 0 && speed <= SPEED_MAX)))
        return rl_fail(err, RL_E_INVAL, "--speed is a number above 0 and at most %d, not \"%.40s\"",
                       SPEED_MAX, s->speed);
    *out = (struct pace){.speed = speed, .skip_idle = s->skip_idle, .began_ms = rl_clock_boot_ms()};
    return RL_OK;
}

/* ---- from audit ---- */

struct playing {
    struct pace *pace;
    struct show *show;
    struct rl_recording_decoder *decoder;
    uint32_t next; /* part */
    unsigned damaged;
};

static void play_part(struct playing *p, const Pb__RecordingPart *part)
{
    struct rl_recording_record record;
    struct rl_error err;
    if (part->part > p->next)
        show_gap(p->show, part->part - p->next);
    p->next = part->part + 1;
    if (!part->data.len)
        return;
    if (rl_recording_decode(p->decoder, RL_SPAN(part->data.data, part->data.len), &err) != RL_OK) {
        p->damaged++;
        show_gap(p->show, 1);
        return;
    }
    while (!is_stopped && rl_recording_next(p->decoder, &record)) {
        wait_for(p->pace, record.time_us);
        show_record(p->show, &record);
    }
}

static rl_code play_parts(struct playing *p, struct tsh_playstream *stream, struct rl_error *err)
{
    rl_code rc = RL_OK;
    while (rc == RL_OK && !is_stopped) {
        Pb__RecordingPart *part = NULL;
        rc = tsh_playstream_next(stream, &is_stopped, &part, err);
        if (rc == RL_E_DATA_LOSS) {
            p->damaged++;
            rc = RL_OK;
        } else if (rc == RL_OK && !part) {
            break;
        } else if (rc == RL_OK) {
            play_part(p, part);
            pb__recording_part__free_unpacked(part, NULL);
        }
    }
    return rc == RL_E_CANCELLED ? RL_OK : rc;
}

static void tell_before(const Pb__Recording *x)
{
    if (!x->start->interactive)
        rl_output_say("tsh: this session had no terminal: its command was%s%s; nothing was shown",
                      x->start->command[0] ? " " : " not given",
                      x->start->command[0] ? x->start->command : "");
    else if (strcmp(x->status, "complete") != 0)
        rl_output_say("tsh: this recording is %s", x->status);
}

static rl_code play_session(const struct play_settings *s, const struct tsh_session *session,
                            enum show_format format, struct pace *pace, struct rl_error *err)
{
    struct tsh_profile profile = {0};
    const Pb__Recording *recording = NULL;
    struct playing p = {.pace = pace, .decoder = rl_recording_decoder_create()};
    char *cluster = NULL;
    rl_code rc = tsh_profile_open(s->proxy, &profile, err);
    if (rc == RL_OK && (rc = tsh_cluster_choose(&profile, s->cluster, &cluster, err)) == RL_OK)
        rc = tsh_playstream_open(&profile, cluster, session, false, &pace->stream, err);
    if (rc == RL_OK)
        rc = tsh_playstream_recording(pace->stream, &recording, err);
    if (rc == RL_OK) {
        tell_before(recording);
        p.show = show_begin(format, recording, stdout);
        pace->began_ms = rl_clock_boot_ms();
        rc = play_parts(&p, pace->stream, err);
        show_end(&p.show);
    }
    if (rc == RL_OK && p.damaged)
        rc = rl_fail(err, RL_E_DATA_LOSS,
                     "%u part(s) of the recording are damaged and were left out", p.damaged);
    tsh_playstream_close(&pace->stream);
    rl_recording_decoder_free(&p.decoder);
    free(cluster);
    tsh_profile_fini(&profile);
    return rc;
}

/* ---- from a file ---- */

static rl_code play_file(const char *path, enum show_format format, struct pace *pace,
                         struct rl_error *err)
{
    struct castfile *file = NULL;
    struct rl_recording_record record;
    bool is_end = false;
    rl_code rc = castfile_open(path, &file, err);
    if (rc != RL_OK)
        return rc;
    struct show *show = show_begin(format, castfile_recording(file), stdout);
    while (rc == RL_OK && !is_stopped) {
        rc = castfile_next(file, &record, &is_end, err);
        if (rc != RL_OK || is_end)
            break;
        wait_for(pace, record.time_us);
        show_record(show, &record);
    }
    show_end(&show);
    castfile_close(&file);
    return rc;
}

/* ---- the command ---- */

static bool is_file(const char *name)
{
    return strchr(name, '/') || access(name, F_OK) == 0;
}

static rl_code play(const struct play_settings *s, const char *name, enum show_format format,
                    struct pace *pace, struct rl_error *err)
{
    struct tsh_session session;
    if (is_file(name))
        return play_file(name, format, pace, err);
    rl_code rc = tsh_session_parse(name, &session, err);
    return rc == RL_OK ? play_session(s, &session, format, pace, err) : rc;
}

int tsh_play(int argc, char **argv)
{
    struct play_settings s = {0};
    struct rl_positionals rest = {0};
    struct rl_error err;
    enum show_format format;
    struct pace pace;
    rl_code rc = rl_settings_read(&tsh_play_spec, argc, argv, &s, &rest, &err);
    if (rc == RL_OK)
        rc = show_format_parse(s.format, &format, &err);
    if (rc == RL_OK)
        rc = read_pace(&s, format, &pace, &err);
    if (rc == RL_OK && rest.count != 1)
        rc = rl_fail(&err, RL_E_INVAL, "name a session; `tsh recordings ls` shows them");
    if (rc != RL_OK) {
        rl_settings_free(&tsh_play_spec, &s);
        return tsh_usage(rc, &err);
    }
    struct sigaction interrupt = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &interrupt, NULL);
    sigaction(SIGTERM, &interrupt, NULL);
    rc = play(&s, rest.items[0], format, &pace, &err);
    rl_settings_free(&tsh_play_spec, &s);
    return rc == RL_OK ? RL_EXIT_DONE : tsh_fail(&err);
}
