/* playback: recordings listed, played and watched, page by page: read on the searchers' threads,
 * sent from the loop, the next page when the one before has gone into the send queue. Who may see
 * what, auth decides first, and again and again.
 */
#include "playback.h"

#include "clock/clock.h"
#include "log/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_BYTES_MAX (512u << 10)
#define FOLLOW_MS 250
#define CROWDED_MS 100

static void take_step(void *context);
static void on_answer(void *context, enum audit_answer answer, const char *reason);

/* ---- life ---- */

static void leave(struct reading *r)
{
    struct reading **at = &r->audit->joined;
    while (*at && *at != r)
        at = &(*at)->next_joined;
    if (!*at)
        return;
    *at = r->next_joined;
    playback_tell_left(r);
}

static void release(struct reading *r)
{
    if (r->call || r->permission.asking || r->is_working)
        return;
    leave(r);
    r->audit->readings--;
    rl_metric_add(r->audit->metrics.playing, -1);
    rl_audit_recordings_clear(&r->found);
    rl_audit_parts_clear(&r->parts);
    rl_timer_free(&r->timer);
    rl_identity_unref(&r->caller);
    free(r->address);
    free(r);
}

static void open_reading(struct rl_rpc_call *call, struct rl_audit *audit, enum reading_kind kind)
{
    if (audit->readings >= RL_AUDIT_PLAYS_MAX) {
        rl_rpc_end(call, RL_E_EXHAUSTED, "too many recordings are read now; try again later");
        return;
    }
    struct reading *r = rl_alloc(sizeof *r);
    r->audit = audit;
    r->kind = kind;
    r->call = call;
    r->permission = (struct audit_permission){.audit = audit, .answered = on_answer, .context = r};
    r->caller = rl_identity_ref(rl_rpc_peer(call)->identity);
    r->address = rl_strdup(rl_rpc_peer(call)->address);
    r->timer = rl_timer_create(audit->config.loop, take_step, r);
    rl_rpc_set_data(call, r);
    audit->readings++;
    rl_metric_add(audit->metrics.playing, 1);
}

void audit_list_opened(struct rl_rpc_call *call, void *context)
{
    open_reading(call, context, READING_LIST);
}

void audit_play_opened(struct rl_rpc_call *call, void *context)
{
    open_reading(call, context, READING_PLAY);
}

static void on_closed(struct rl_rpc_call *call, rl_code code, const char *message, void *context)
{
    (void)code;
    (void)message;
    (void)context;
    struct reading *r = rl_rpc_data(call);
    if (!r)
        return;
    r->call = NULL;
    rl_timer_disarm(r->timer);
    if (r->permission.asking)
        rl_rpc_cancel(r->permission.asking);
    release(r);
}

/* `closed` follows. */
static void end(struct reading *r, rl_code code, const char *message)
{
    if (r->call)
        rl_rpc_end(r->call, code, message);
}

/* ---- may it? ---- */

/* Who was refused is written down too, but for a mere list. */
static void on_denied(struct reading *r, const char *reason)
{
    rl_fail(&r->err, RL_E_DENIED, "%s", *reason ? reason : "you may not read recordings");
    if (r->kind == READING_LIST || r->step == STEP_PARTS) {
        end(r, RL_E_DENIED, r->err.message);
        return;
    }
    r->step = STEP_DENIED;
    take_step(r);
}

static void on_answer(void *context, enum audit_answer answer, const char *reason)
{
    struct reading *r = context;
    if (!r->call)
        release(r);
    else if (answer == AUDIT_DENIED)
        on_denied(r, reason);
    else if (answer == AUDIT_ALLOWED ||
             (r->step == STEP_PARTS && audit_permission_lasts(&r->permission)))
        take_step(r); /* one that reads goes on for a while without auth */
    else
        end(r, RL_E_UNAVAILABLE, reason);
}

static void ask(struct reading *r)
{
    static const char *const verbs[] = {
        [READING_LIST] = "list", [READING_PLAY] = "read", [READING_JOIN] = "join"};
    audit_permission_ask(&r->permission, r->caller, r->address, "session", verbs[r->kind]);
}

/* ---- sending ---- */

/* Takes the text. */
static void add_participant(Pb__Recording *x, char *who)
{
    char **all = rl_alloc_array(x->n_participants + 1, sizeof *all);
    if (x->n_participants)
        memcpy(all, x->participants, x->n_participants * sizeof *all);
    free(x->participants);
    all[x->n_participants++] = who;
    x->participants = all;
}

static void add_participants(const struct reading *r, Pb__Recording *x)
{
    if (strcmp(x->status, "live") != 0)
        return;
    add_participant(x, playback_who(r->audit, x->start->user, x->start->user_cluster));
    for (const struct reading *w = r->audit->joined; w; w = w->next_joined)
        if (w->filter.channel == x->channel && strcmp(w->session_id, x->session_id) == 0)
            add_participant(x, playback_who(r->audit, w->caller->name, w->caller->cluster));
}

static void send_list(struct reading *r)
{
    size_t limit = r->filter.limit - 1; /* one more was looked for */
    size_t count = r->found.count < limit ? r->found.count : limit;
    while (r->call && r->sent < count) {
        Pb__ListRecordingsResponse message = PB__LIST_RECORDINGS_RESPONSE__INIT;
        size_t bytes = 0;
        message.recordings = r->found.items + r->sent;
        while (r->sent + message.n_recordings < count) {
            bytes += pb__recording__get_packed_size(message.recordings[message.n_recordings]);
            if (message.n_recordings && bytes > LIST_BYTES_MAX)
                break;
            message.n_recordings++;
        }
        message.more_matched = r->found.count > limit;
        if (rl_rpc_send(r->call, &message.base, NULL) != RL_OK)
            return; /* full: `writable` follows; or over: `closed` does */
        r->sent += message.n_recordings;
    }
    end(r, RL_OK, NULL);
}

static bool send_one(struct reading *r, const Pb__PlayResponse *message)
{
    return r->call && rl_rpc_send(r->call, &message->base, NULL) == RL_OK;
}

static void go_on(struct reading *r)
{
    bool is_over = r->parts.is_end || r->is_gone;
    bool is_empty = r->step == STEP_PARTS && !r->parts.count;
    if (!r->call)
        return;
    if (r->kind == READING_JOIN ? is_over : is_empty) {
        end(r, RL_OK, NULL);
        return;
    }
    r->step = STEP_PARTS;
    rl_timer_arm(r->timer, r->kind == READING_JOIN && is_empty ? FOLLOW_MS : 0);
}

static void send_parts(struct reading *r)
{
    if (!r->is_announced) {
        Pb__PlayResponse first = PB__PLAY_RESPONSE__INIT;
        first.recording = r->found.items[0];
        if (!send_one(r, &first))
            return;
        r->is_announced = true;
    }
    for (; r->sent < r->parts.count; r->sent++) {
        Pb__PlayResponse message = PB__PLAY_RESPONSE__INIT;
        message.part.data = r->parts.packed[r->sent].p;
        message.part.len = r->parts.packed[r->sent].n;
        if (!send_one(r, &message))
            return;
    }
    go_on(r);
}

static void on_writable(struct rl_rpc_call *call, void *context)
{
    (void)context;
    struct reading *r = rl_rpc_data(call);
    if (!r || r->is_working || r->permission.asking || rl_timer_is_armed(r->timer) ||
        !r->found.count)
        return;
    if (r->kind == READING_LIST)
        send_list(r);
    else
        send_parts(r);
}

/* ---- steps ---- */

static void join(struct reading *r)
{
    r->next_joined = r->audit->joined;
    r->audit->joined = r;
}

static void on_fault(struct reading *r)
{
    struct rl_error err;
    /* The database comes back; parts.last says how far we were. */
    if (r->step == STEP_PARTS && r->rc == RL_E_UNAVAILABLE) {
        rl_timer_arm(r->timer, FOLLOW_MS);
        return;
    }
    audit_explain_fault(r->rc, &r->err, &err);
    if (err.code == RL_E_INTERNAL || err.code == RL_E_UNAVAILABLE)
        rl_log_error("a recording could not be read", RL_TEXT("error", r->err.message),
                     RL_TEXT("caller", r->caller->name));
    end(r, err.code, err.message);
}

static void on_read(void *context)
{
    struct reading *r = context;
    r->is_working = false;
    r->sent = 0;
    if (!r->call) {
        release(r);
    } else if (r->rc != RL_OK) {
        on_fault(r);
    } else if (r->kind == READING_LIST) {
        for (size_t i = 0; i < r->found.count; i++)
            add_participants(r, r->found.items[i]);
        send_list(r);
    } else {
        if (r->step == STEP_FIND && r->kind == READING_JOIN)
            join(r);
        send_parts(r);
    }
}

static void work(void *context)
{
    struct reading *r = context;
    playback_work(r);
    rl_loop_post(r->audit->config.loop, on_read, r);
}

static void take_step(void *context)
{
    struct reading *r = context;
    if (!r->call || r->is_working || r->permission.asking)
        return;
    if (audit_permission_is_due(&r->permission)) {
        ask(r);
        return;
    }
    r->is_working = true;
    if (rl_workers_submit(r->audit->config.searchers, work, r, NULL) != RL_OK) {
        r->is_working = false;
        rl_timer_arm(r->timer, CROWDED_MS);
    }
}

/* ---- the calls ---- */

static bool is_first_message(struct reading *r)
{
    if (r && r->is_asked)
        end(r, RL_E_INVAL, "one request is one answer");
    if (!r || r->is_asked)
        return false;
    r->is_asked = true;
    return true;
}

static void on_list(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)context;
    struct reading *r = rl_rpc_data(call);
    const Pb__ListRecordingsRequest *request = (const Pb__ListRecordingsRequest *)message;
    uint32_t limit = request->limit ? request->limit : RL_AUDIT_RECORDINGS_LIST_MAX;
    if (!is_first_message(r))
        return;
    if (limit > RL_AUDIT_RECORDINGS_LIST_MAX)
        limit = RL_AUDIT_RECORDINGS_LIST_MAX;
    r->filter = (struct rl_audit_recordings_filter){
        .channel = -1,
        .from_ns = request->from_ns,
        .to_ns = request->to_ns ? request->to_ns : INT64_MAX,
        .live_only = request->live_only,
        .limit = limit + 1,
    };
    take_step(r);
}

static void on_play(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)context;
    struct reading *r = rl_rpc_data(call);
    const Pb__PlayRequest *request = (const Pb__PlayRequest *)message;
    if (!is_first_message(r))
        return;
    if (!rl_name_is_uuid(request->session_id)) {
        end(r, RL_E_INVAL, "a session's id is a UUID; see tsh recordings ls");
        return;
    }
    r->kind = request->follow ? READING_JOIN : READING_PLAY;
    snprintf(r->session_id, sizeof r->session_id, "%s", request->session_id);
    r->filter = (struct rl_audit_recordings_filter){
        .session_id = r->session_id,
        .channel = request->channel,
        .from_ns = INT64_MIN,
        .to_ns = INT64_MAX,
        .with_unrecorded = true,
        .limit = 1,
    };
    take_step(r);
}

static void on_half_closed(struct rl_rpc_call *call, void *context)
{
    (void)context;
    struct reading *r = rl_rpc_data(call);
    if (r && !r->is_asked)
        end(r, RL_E_INVAL, "which recordings?");
}

const struct rl_rpc_stream_ops audit_list_ops = {
    .message = on_list,
    .half_closed = on_half_closed,
    .writable = on_writable,
    .closed = on_closed,
};
const struct rl_rpc_stream_ops audit_play_ops = {
    .message = on_play,
    .half_closed = on_half_closed,
    .writable = on_writable,
    .closed = on_closed,
};
