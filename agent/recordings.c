#include "recordings.h"

#include "log/log.h"
#include "node.h"
#include "recording/recording.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALL_DEADLINE_MS 10000
#define RETRY_MS_MIN 200
#define RETRY_MS_MAX 5000
#define TICK_MS 1000
#define SPOOL_BATCHES 4  /* a small spool is sent before it is full */
#define BEATS_IN_GRACE 9 /* so that an outage is noticed early in the grace */

/* A session that runs. */
struct recording {
    struct recording *next;
    char *session_id;
    uint32_t channel, next_part, lost;
    bool is_strict, is_ending;
};

struct item {
    struct item *next;
    Pb__RecordingPart *part;
    size_t bytes;
};

struct recordings {
    struct agent *agent;
    struct recording *open;
    size_t open_count, strict_count;
    struct item *first, **end;
    size_t count, bytes, bytes_max;
    size_t batch_max, in_flight; /* parts: the first so many of the queue */
    struct rl_rpc_call *call;
    struct rl_timer *sending, *tick;
    uint32_t retry_ms;
    bool is_away; /* the last call failed: `sending` is armed for the next attempt */
    uint64_t grace_ms;
    uint64_t sent_ms;     /* the last time that parts were sent */
    uint64_t answered_ms; /* the last time that audit took something */
    uint64_t waiting_ms;  /* since when it did not take what we have; 0: it has everything */
    uint64_t beat_ms;     /* when it was last told who is live */
    bool has_lost;        /* said in the log once for each outage */
};

static uint64_t now_ms(const struct recordings *r)
{
    return rl_loop_now_ms(r->agent->loop);
}

/* ---- sessions ---- */

static struct recording *find(const struct recordings *r, const char *session_id, uint32_t channel)
{
    struct recording *x = r->open;
    while (x && (x->channel != channel || strcmp(x->session_id, session_id) != 0))
        x = x->next;
    return x;
}

static void forget(struct recordings *r, struct recording *x)
{
    struct recording **at = &r->open;
    while (*at != x)
        at = &(*at)->next;
    *at = x->next;
    r->open_count--;
    r->strict_count -= x->is_strict;
    free(x->session_id);
    free(x);
}

/* ---- the queue ---- */

static void drop_first(struct recordings *r)
{
    struct item *item = r->first;
    r->first = item->next;
    if (!r->first)
        r->end = &r->first;
    r->bytes -= item->bytes;
    r->count--;
    pb__recording_part__free_unpacked(item->part, NULL);
    free(item);
}

static void end_strict(struct recordings *r, struct recording *x, const char *why)
{
    if (x->is_ending)
        return; /* it was told already */
    x->is_ending = true;
    char *message = rl_sprintf("this session must be recorded, and %s: it ends", why);
    rl_log_warn("a session that must be recorded ends", RL_TEXT("session_id", x->session_id),
                RL_TEXT("reason", why));
    node_end_session(r->agent->node, x->session_id, message);
    free(message);
}

static void lose(struct recordings *r, struct recording *x, Pb__RecordingPart *part)
{
    pb__recording_part__free_unpacked(part, NULL);
    x->lost++;
    if (!r->has_lost)
        rl_log_error("audit takes no recordings and there is no room left for them",
                     RL_TEXT("session_id", x->session_id), RL_NUMBER("bytes", r->bytes));
    r->has_lost = true;
    if (x->is_strict)
        end_strict(r, x, "there is no room left for what audit did not take");
}

/* Parts of a busy node go together, because a transaction costs audit more than what is in it. One
 * that comes after a pause goes at once. */
static uint64_t pause_ms(const struct recordings *r)
{
    size_t share = r->bytes_max / SPOOL_BATCHES;
    size_t bytes_enough = share < RECORDINGS_BATCH_BYTES ? share : RECORDINGS_BATCH_BYTES;
    uint64_t since_ms = now_ms(r) - r->sent_ms;
    if (r->count >= r->batch_max || r->bytes >= bytes_enough || since_ms >= RECORDINGS_PACE_MS)
        return 0;
    return RECORDINGS_PACE_MS - since_ms;
}

static void send_soon(struct recordings *r)
{
    if (!r->call && !r->is_away)
        rl_timer_arm(r->sending, pause_ms(r));
}

/* Takes the part. Beginnings and ends are small, and have room of their own. */
static void push(struct recordings *r, struct recording *x, Pb__RecordingPart *part)
{
    size_t n = pb__recording_part__get_packed_size(part);
    size_t max = r->bytes_max + (part->start || part->end ? RECORDINGS_KEPT_FREE : 0);
    part->part = x->next_part++;
    if (r->bytes + n > max || x->next_part >= RL_RECORDING_PARTS_MAX) {
        lose(r, x, part);
        return;
    }
    struct item *item = rl_alloc(sizeof *item);
    *item = (struct item){.part = part, .bytes = n};
    *r->end = item;
    r->end = &item->next;
    r->bytes += n;
    r->count++;
    if (!r->waiting_ms)
        r->waiting_ms = now_ms(r);
    send_soon(r);
}

bool recordings_is_full(const struct recordings *r)
{
    return r->bytes >= r->bytes_max / 2 && now_ms(r) - r->answered_ms < RECORDINGS_STALL_MS;
}

/* ---- sending ---- */

static uint64_t beat_every_ms(const struct recordings *r)
{
    uint64_t in_grace = r->grace_ms / BEATS_IN_GRACE;
    return r->strict_count && in_grace < RECORDINGS_BEAT_MS ? in_grace : RECORDINGS_BEAT_MS;
}

static void arm_tick(struct recordings *r)
{
    if (r->open_count || r->first)
        rl_timer_arm(r->tick, TICK_MS);
}

static void on_taken(struct recordings *r)
{
    for (; r->in_flight; r->in_flight--)
        drop_first(r);
    r->answered_ms = now_ms(r);
    r->waiting_ms = r->first ? r->answered_ms : 0;
    r->retry_ms = RETRY_MS_MIN;
    r->batch_max = RECORDINGS_BATCH_PARTS;
    r->is_away = r->has_lost = false;
    if (r->first)
        send_soon(r);
    if (!recordings_is_full(r))
        node_read_recordings(r->agent->node);
}

/* Audit will never take this batch: one by one, the bad one goes. */
static void on_refused(struct recordings *r, const char *message)
{
    if (r->in_flight > 1) {
        r->batch_max = 1;
        r->in_flight = 0;
        r->is_away = false;
        send_soon(r);
        return;
    }
    if (r->in_flight == 1) {
        const Pb__RecordingPart *part = r->first->part;
        struct recording *x = find(r, part->session_id, part->channel);
        rl_log_error("audit refused a part of a recording", RL_TEXT("session_id", part->session_id),
                     RL_NUMBER("part", part->part), RL_TEXT("reason", message));
        if (x && x->is_strict)
            end_strict(r, x, "audit refused its recording");
    }
    on_taken(r);
}

static bool is_refusal(rl_code code)
{
    return code == RL_E_INVAL || code == RL_E_DENIED || code == RL_E_PRECONDITION ||
           code == RL_E_EXISTS;
}

static void on_done(void *context, rl_code code, const char *message, const ProtobufCMessage *reply)
{
    (void)reply;
    struct recordings *r = context;
    r->call = NULL;
    if (!r->sending)
        return; /* it is being freed */
    if (code == RL_OK) {
        on_taken(r);
    } else if (is_refusal(code)) {
        on_refused(r, message);
    } else {
        r->in_flight = 0;
        r->beat_ms = 0;
        r->is_away = true;
        rl_timer_arm(r->sending, r->retry_ms);
        r->retry_ms = r->retry_ms * 2 > RETRY_MS_MAX ? RETRY_MS_MAX : r->retry_ms * 2;
    }
}

static size_t list_live(struct recordings *r, Pb__RecordingId *ids, Pb__RecordingId **list)
{
    size_t n = 0;
    for (struct recording *x = r->open; x && n < RECORDINGS_LIVE_MAX; x = x->next, n++) {
        pb__recording_id__init(&ids[n]);
        ids[n].session_id = x->session_id;
        ids[n].channel = x->channel;
        list[n] = &ids[n];
    }
    return n;
}

static void send_batch(void *context)
{
    struct recordings *r = context;
    Pb__RecordingPart *parts[RECORDINGS_BATCH_PARTS];
    Pb__WriteRecordingRequest request = PB__WRITE_RECORDING_REQUEST__INIT;
    size_t bytes = 0;
    if (r->call)
        return;
    for (struct item *i = r->first; i && request.n_parts < r->batch_max; i = i->next) {
        bytes += i->bytes;
        if (request.n_parts && bytes > RECORDINGS_BATCH_BYTES)
            break;
        parts[request.n_parts++] = i->part;
    }
    bool is_beat = r->open_count && now_ms(r) - r->beat_ms >= beat_every_ms(r);
    if (!request.n_parts && !is_beat)
        return;
    Pb__RecordingId *ids = rl_alloc_array(RECORDINGS_LIVE_MAX, sizeof *ids);
    Pb__RecordingId **live = rl_alloc_array(RECORDINGS_LIVE_MAX, sizeof *live);
    request.n_live = is_beat ? list_live(r, ids, live) : 0;
    request.live = live;
    request.parts = parts;
    r->in_flight = request.n_parts;
    r->sent_ms = request.n_parts ? now_ms(r) : r->sent_ms;
    r->beat_ms = is_beat ? now_ms(r) : r->beat_ms;
    if (!r->waiting_ms)
        r->waiting_ms = now_ms(r);
    rl_rpc_unary(r->agent->audit_channel, &pb__audit__descriptor, "WriteRecording", &request.base,
                 CALL_DEADLINE_MS, on_done, r, &r->call);
    free(ids);
    free(live);
}

static bool is_over_grace(const struct recordings *r)
{
    return r->waiting_ms && now_ms(r) - r->waiting_ms >= r->grace_ms;
}

static void on_tick(void *context)
{
    struct recordings *r = context;
    char why[96];
    snprintf(why, sizeof why, "audit could not be reached for %llu s",
             (unsigned long long)(r->grace_ms / 1000));
    for (struct recording *x = r->open; x && is_over_grace(r); x = x->next)
        if (x->is_strict)
            end_strict(r, x, why);
    if (!r->call && !rl_timer_is_armed(r->sending))
        send_batch(r);
    if (!recordings_is_full(r))
        node_read_recordings(r->agent->node);
    arm_tick(r);
}

rl_code recordings_check_strict(const struct recordings *r, struct rl_error *err)
{
    if (!is_over_grace(r))
        return RL_OK;
    return rl_fail(err, RL_E_UNAVAILABLE,
                   "your roles ask for record_session: strict, and this node cannot reach audit "
                   "now; try again later");
}

/* ---- what is recorded ---- */

static void set(char **field, const char *text)
{
    if (text && *text)
        *field = rl_strdup(text);
}

static Pb__RecordingPart *make_part(const char *session_id, uint32_t channel)
{
    Pb__RecordingPart *part = rl_alloc(sizeof *part);
    pb__recording_part__init(part);
    set(&part->session_id, session_id);
    part->channel = channel;
    return part;
}

static uint32_t number_of(const json_t *details, const char *key)
{
    const char *text = json_string_value(json_object_get(details, key));
    return text ? (uint32_t)strtoul(text, NULL, 10) : 0;
}

static void begin(struct recordings *r, const Pb__Event *event, const json_t *details)
{
    uint32_t channel = number_of(details, "channel");
    const char *mode = json_string_value(json_object_get(details, "recording"));
    const char *interactive = json_string_value(json_object_get(details, "interactive"));
    if (!mode || find(r, event->session_id, channel))
        return;
    struct recording *x = rl_alloc(sizeof *x);
    *x = (struct recording){.next = r->open,
                            .session_id = rl_strdup(event->session_id),
                            .channel = channel,
                            .is_strict = strcmp(mode, "strict") == 0};
    r->open = x;
    r->open_count++;
    r->strict_count += x->is_strict;
    Pb__RecordingPart *part = make_part(event->session_id, channel);
    Pb__RecordingStart *start = part->start = rl_alloc(sizeof *start);
    pb__recording_start__init(start);
    set(&start->mode, mode);
    set(&start->kind, json_string_value(json_object_get(details, "kind")));
    start->interactive = interactive && strcmp(interactive, "true") == 0;
    set(&start->command, event->command);
    start->started_ns = event->time_ns;
    set(&start->user, event->user);
    set(&start->user_cluster, event->user_cluster);
    set(&start->cluster, event->cluster);
    set(&start->login, event->login);
    set(&start->node_id, event->resource_id);
    set(&start->node_name, event->resource_name);
    set(&start->client_address, event->client_address);
    set(&start->root_session_id, event->root_session_id);
    start->columns = number_of(details, "columns");
    start->rows = number_of(details, "rows");
    push(r, x, part);
    arm_tick(r);
}

static void end_one(struct recordings *r, struct recording *x, const Pb__Event *event,
                    const char *reason)
{
    Pb__RecordingPart *part = make_part(x->session_id, x->channel);
    Pb__RecordingEnd *end = part->end = rl_alloc(sizeof *end);
    pb__recording_end__init(end);
    end->ended_ns = agent_now_ns(r->agent);
    if (event) {
        end->ended_ns = event->time_ns;
        end->has_exit_code = event->has_exit_code;
        end->exit_code = event->exit_code;
        set(&end->signal, event->signal);
    }
    set(&end->reason, reason);
    end->lost_parts = x->lost;
    push(r, x, part);
    forget(r, x);
}

void recordings_see(struct recordings *r, const Pb__Event *event)
{
    bool is_start = strcmp(event->type, "session.start") == 0;
    if (!is_start && strcmp(event->type, "session.end") != 0)
        return;
    json_t *details = json_loads(event->details_json, 0, NULL);
    struct recording *x = find(r, event->session_id, number_of(details, "channel"));
    if (is_start)
        begin(r, event, details);
    else if (x)
        end_one(r, x, event, event->reason);
    json_decref(details);
}

bool recordings_expects(const struct recordings *r, const char *session_id, struct rl_span message)
{
    struct rl_cursor c = rl_cursor_of(message);
    uint32_t channel = rl_cursor_u32(&c);
    return !c.failed && find(r, session_id, channel);
}

/* A relay is ours, and is confined; what it says still has to be of this form. */
void recordings_take(struct recordings *r, const char *session_id, struct rl_span message)
{
    struct rl_cursor c = rl_cursor_of(message);
    uint32_t channel = rl_cursor_u32(&c);
    struct recording *x = find(r, session_id, channel);
    if (c.failed || !c.n || c.n > RL_RECORDING_PART_BYTES_MAX || !x)
        return;
    Pb__RecordingPart *part = make_part(session_id, channel);
    part->data.data = rl_alloc(c.n);
    part->data.len = c.n;
    memcpy(part->data.data, c.p, c.n);
    push(r, x, part);
}

void recordings_session_gone(struct recordings *r, const char *session_id)
{
    struct recording *next;
    for (struct recording *x = r->open; x; x = next) {
        next = x->next;
        if (strcmp(x->session_id, session_id) == 0)
            end_one(r, x, NULL, "the process that served the session was killed");
    }
}

/* ---- life ---- */

struct recordings *recordings_create(struct agent *agent)
{
    struct recordings *r = rl_alloc(sizeof *r);
    r->agent = agent;
    r->end = &r->first;
    r->bytes_max = (size_t)agent->settings.recording_spool_bytes;
    r->grace_ms = agent->settings.recording_grace_s * 1000;
    r->batch_max = RECORDINGS_BATCH_PARTS;
    r->retry_ms = RETRY_MS_MIN;
    r->sending = rl_timer_create(agent->loop, send_batch, r);
    r->tick = rl_timer_create(agent->loop, on_tick, r);
    return r;
}

void recordings_free(struct recordings **holder, uint32_t grace_ms)
{
    struct recordings *r = *holder;
    if (!r)
        return;
    uint64_t until = now_ms(r) + grace_ms;
    while (r->first && now_ms(r) < until)
        rl_loop_turn(r->agent->loop, 20);
    if (r->first)
        rl_log_warn("the ends of recordings could not be sent", RL_NUMBER("bytes", r->bytes));
    rl_timer_free(&r->sending);
    rl_timer_free(&r->tick);
    if (r->call)
        rl_rpc_cancel(r->call);
    while (r->call)
        rl_loop_turn(r->agent->loop, 10);
    while (r->first)
        drop_first(r);
    while (r->open)
        forget(r, r->open);
    free(r);
    *holder = NULL;
}
