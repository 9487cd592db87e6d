/* judge_recording: parts of recordings, before they are written. What is in a frame is not looked
 * at: whoever plays it reads it with care. */
#include "judge.h"

#include "bytes/utf8.h"
#include "db/recordings.h"
#include "event/event.h"
#include "names/names.h"
#include "recording/recording.h"

#include <string.h>

static rl_code check_texts(const ProtobufCMessage *message, struct rl_error *err)
{
    const ProtobufCMessageDescriptor *d = message->descriptor;
    for (unsigned i = 0; i < d->n_fields; i++) {
        if (d->fields[i].type != PROTOBUF_C_TYPE_STRING)
            continue;
        const char *text = *(char *const *)((const char *)message + d->fields[i].offset);
        size_t n = strlen(text);
        uint32_t point;
        if (n > RL_EVENT_TEXT_BYTES_MAX)
            return rl_fail(err, RL_E_INVAL, "recording: %s has %zu bytes; at most %d",
                           d->fields[i].name, n, RL_EVENT_TEXT_BYTES_MAX);
        for (size_t at = 0, step; at < n; at += step)
            if ((step = rl_utf8_next(text + at, n - at, &point)) == 0)
                return rl_fail(err, RL_E_INVAL, "recording: %s is not UTF-8", d->fields[i].name);
    }
    return RL_OK;
}

static rl_code check_start(const char *cluster, const struct rl_identity *writer,
                           const Pb__RecordingStart *start, struct rl_error *err)
{
    static const char *const modes[] = {"off", "best_effort", "strict"};
    bool is_mode = false;
    for (size_t i = 0; i < RL_COUNT(modes); i++)
        is_mode = is_mode || strcmp(start->mode, modes[i]) == 0;
    if (!is_mode)
        return rl_fail(err, RL_E_INVAL, "recording: the mode is off, best_effort or strict");
    if (strcmp(start->cluster, cluster) != 0)
        return rl_fail(err, RL_E_DENIED, "a recording of cluster \"%s\" does not belong to %s",
                       start->cluster, cluster);
    if (strcmp(start->node_id, writer->name) != 0)
        return rl_fail(err, RL_E_DENIED, "agent %s may not record what happens on \"%s\"",
                       writer->name, start->node_id);
    return check_texts(&start->base, err);
}

static rl_code check_part(const char *cluster, const struct rl_identity *writer,
                          const Pb__RecordingPart *part, struct rl_error *err)
{
    if (!rl_name_is_uuid(part->session_id))
        return rl_fail(err, RL_E_INVAL, "recording: the session's id is not a UUID");
    if (part->part >= RL_RECORDING_PARTS_MAX)
        return rl_fail(err, RL_E_INVAL, "recording: part %u; at most %u", part->part,
                       RL_RECORDING_PARTS_MAX);
    if ((part->part == 0) != (part->start != NULL))
        return rl_fail(err, RL_E_INVAL, "recording: part 0 says what begins, and no other part");
    if (part->base.n_unknown_fields)
        return rl_fail(err, RL_E_INVAL, "recording: a part has fields that nobody knows");
    rl_code rc = RL_OK;
    if (part->data.len)
        rc = rl_recording_check_frame(RL_SPAN(part->data.data, part->data.len), err);
    if (rc == RL_OK && part->start)
        rc = check_start(cluster, writer, part->start, err);
    if (rc == RL_OK && part->end)
        rc = check_texts(&part->end->base, err);
    return rc;
}

rl_code rl_audit_judge_recording(const char *cluster, const struct rl_identity *writer,
                                 const Pb__WriteRecordingRequest *request, struct rl_error *err)
{
    if (writer->kind != RL_IDENTITY_AGENT)
        return rl_fail(err, RL_E_DENIED, "only nodes write recordings");
    if (request->n_parts > RL_AUDIT_RECORDING_PARTS_MAX ||
        request->n_live > RL_AUDIT_RECORDING_LIVE_MAX)
        return rl_fail(err, RL_E_INVAL, "%zu parts and %zu live recordings at once; at most %d, %d",
                       request->n_parts, request->n_live, RL_AUDIT_RECORDING_PARTS_MAX,
                       RL_AUDIT_RECORDING_LIVE_MAX);
    rl_code rc = RL_OK;
    for (size_t i = 0; rc == RL_OK && i < request->n_parts; i++)
        rc = check_part(cluster, writer, request->parts[i], err);
    for (size_t i = 0; rc == RL_OK && i < request->n_live; i++)
        if (!rl_name_is_uuid(request->live[i]->session_id))
            rc = rl_fail(err, RL_E_INVAL, "recording: the session's id is not a UUID");
    return rc;
}
