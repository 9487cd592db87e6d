#include "playstream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TURN_MS 100

/* ---- names ---- */

rl_code tsh_session_parse(const char *text, struct tsh_session *out, struct rl_error *err)
{
    size_t n = strcspn(text, ".");
    char id[RL_UUID_TEXT_BYTES] = "";
    char *end = NULL;
    unsigned long channel = 0;
    if (n == sizeof id - 1)
        memcpy(id, text, n);
    if (text[n] == '.')
        channel = strtoul(text + n + 1, &end, 10);
    if (!rl_name_is_uuid(id) || (end && (end == text + n + 1 || *end)) || channel > UINT32_MAX)
        return rl_fail(err, RL_E_INVAL,
                       "\"%.80s\" is no session's id; `tsh recordings ls` shows them", text);
    memcpy(out->id, id, sizeof id);
    out->channel = (uint32_t)channel;
    return RL_OK;
}

char *tsh_session_name(const char *session_id, uint32_t channel)
{
    return channel ? rl_sprintf("%s.%u", session_id, channel) : rl_strdup(session_id);
}

/* ---- playing ---- */

struct tsh_playstream {
    struct tsh_client client;
    struct rl_rpc_call *call; /* NULL: over */
    Pb__Recording *recording;
    Pb__RecordingPart *part; /* read, not asked for yet */
    bool is_damaged;
    rl_code code;
    char message[RL_ERROR_MESSAGE_BYTES];
};

static Pb__Recording *copy_of(const Pb__Recording *recording)
{
    size_t n = pb__recording__get_packed_size(recording);
    uint8_t *packed = rl_alloc(n + 1);
    pb__recording__pack(recording, packed);
    Pb__Recording *copy = pb__recording__unpack(NULL, n, packed);
    free(packed);
    return copy;
}

static void on_message(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    struct tsh_playstream *s = context;
    const Pb__PlayResponse *said = (const Pb__PlayResponse *)message;
    if (said->recording && !s->recording && said->recording->start)
        s->recording = copy_of(said->recording);
    if (!said->part.len)
        return;
    s->part = pb__recording_part__unpack(NULL, said->part.len, said->part.data);
    s->is_damaged = !s->part;
    rl_rpc_pause(call);
}

static void on_closed(struct rl_rpc_call *call, rl_code code, const char *message, void *context)
{
    (void)call;
    struct tsh_playstream *s = context;
    s->call = NULL;
    s->code = code;
    snprintf(s->message, sizeof s->message, "%s", message ? message : "");
}

static const struct rl_rpc_stream_ops ops = {.message = on_message, .closed = on_closed};

rl_code tsh_playstream_open(const struct tsh_profile *profile, const char *cluster,
                            const struct tsh_session *session, bool follow,
                            struct tsh_playstream **out, struct rl_error *err)
{
    struct tsh_playstream *s = rl_alloc(sizeof *s);
    rl_code rc = tsh_client_open(profile, cluster, "audit", &s->client, err);
    if (rc != RL_OK) {
        free(s);
        return rc;
    }
    Pb__PlayRequest request = PB__PLAY_REQUEST__INIT;
    request.session_id = (char *)(uintptr_t)session->id;
    request.channel = session->channel;
    request.follow = follow;
    s->call = rl_rpc_stream(s->client.channel, &pb__audit__descriptor, "Play", 0, &ops, s);
    rc = rl_rpc_send(s->call, &request.base, err);
    rl_rpc_end(s->call, RL_OK, NULL);
    if (rc != RL_OK)
        tsh_playstream_close(&s);
    else
        *out = s;
    return rc;
}

static rl_code end_of(const struct tsh_playstream *s, struct rl_error *err)
{
    return s->code == RL_OK ? RL_OK : rl_fail(err, s->code, "%s", s->message);
}

rl_code tsh_playstream_recording(struct tsh_playstream *s, const Pb__Recording **out,
                                 struct rl_error *err)
{
    while (s->call && !s->recording)
        rl_loop_turn(s->client.loop, TURN_MS);
    if (!s->recording)
        return s->code == RL_OK ? rl_fail(err, RL_E_DATA_LOSS, "audit named no recording")
                                : end_of(s, err);
    *out = s->recording;
    return RL_OK;
}

rl_code tsh_playstream_next(struct tsh_playstream *s, const volatile int *stop,
                            Pb__RecordingPart **out, struct rl_error *err)
{
    while (s->call && !s->part && !s->is_damaged) {
        if (stop && *stop)
            return rl_fail(err, RL_E_CANCELLED, "stopped");
        rl_loop_turn(s->client.loop, TURN_MS);
    }
    *out = s->part;
    s->part = NULL;
    if (s->is_damaged) {
        s->is_damaged = false;
        if (s->call)
            rl_rpc_resume(s->call);
        return rl_fail(err, RL_E_DATA_LOSS, "a part of the recording cannot be read");
    }
    if (*out && s->call)
        rl_rpc_resume(s->call);
    return *out ? RL_OK : end_of(s, err);
}

void tsh_playstream_wait(struct tsh_playstream *s, uint32_t ms)
{
    rl_loop_turn(s->client.loop, (int)ms);
}

void tsh_playstream_close(struct tsh_playstream **holder)
{
    struct tsh_playstream *s = *holder;
    if (!s)
        return;
    if (s->call)
        rl_rpc_cancel(s->call);
    while (s->call)
        rl_loop_turn(s->client.loop, TURN_MS);
    tsh_client_close(&s->client);
    if (s->recording)
        pb__recording__free_unpacked(s->recording, NULL);
    if (s->part)
        pb__recording_part__free_unpacked(s->part, NULL);
    free(s);
    *holder = NULL;
}

/* ---- listing ---- */

struct listing {
    Pb__Recording **items;
    size_t count;
    bool more_matched, is_over;
    rl_code code;
    char message[RL_ERROR_MESSAGE_BYTES];
};

static void on_list(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)call;
    struct listing *l = context;
    const Pb__ListRecordingsResponse *said = (const Pb__ListRecordingsResponse *)message;
    Pb__Recording **items = rl_alloc_array(l->count + said->n_recordings + 1, sizeof *items);
    if (l->count)
        memcpy(items, l->items, l->count * sizeof *items);
    free(l->items);
    l->items = items;
    for (size_t i = 0; i < said->n_recordings; i++)
        if (said->recordings[i]->start)
            l->items[l->count++] = copy_of(said->recordings[i]);
    l->more_matched = l->more_matched || said->more_matched;
}

static void on_list_closed(struct rl_rpc_call *call, rl_code code, const char *message,
                           void *context)
{
    (void)call;
    struct listing *l = context;
    l->is_over = true;
    l->code = code;
    snprintf(l->message, sizeof l->message, "%s", message ? message : "");
}

rl_code tsh_recordings_list(const struct tsh_profile *profile, const char *cluster,
                            const Pb__ListRecordingsRequest *request, Pb__Recording ***out,
                            size_t *count, bool *more_matched, struct rl_error *err)
{
    static const struct rl_rpc_stream_ops list_ops = {.message = on_list, .closed = on_list_closed};
    struct tsh_client client = {0};
    struct listing l = {.items = rl_alloc_array(1, sizeof *l.items)};
    rl_code rc = tsh_client_open(profile, cluster, "audit", &client, err);
    if (rc == RL_OK) {
        struct rl_rpc_call *call = rl_rpc_stream(client.channel, &pb__audit__descriptor,
                                                 "ListRecordings", TSH_CALL_MS, &list_ops, &l);
        rl_rpc_send(call, &request->base, NULL); /* what fails here, ends the call */
        rl_rpc_end(call, RL_OK, NULL);
        while (!l.is_over)
            rl_loop_turn(client.loop, 1000);
        tsh_client_close(&client);
        if (l.code != RL_OK)
            rc = rl_fail(err, l.code, "%s", l.message);
    }
    if (rc != RL_OK) {
        while (l.count)
            pb__recording__free_unpacked(l.items[--l.count], NULL);
        free(l.items);
        return rc;
    }
    *out = l.items;
    *count = l.count;
    *more_matched = l.more_matched;
    return RL_OK;
}
