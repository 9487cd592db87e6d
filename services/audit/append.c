/* append: a batch is judged, then waits to be written. Whoever finds nobody writing writes for all
 * that wait, in one transaction after another; so the more there is to do, the more goes into each.
 * What the writer may not know of the database is in our log, not in its answer.
 */
#include "internal.h"

#include "clock/clock.h"
#include "db/insert.h"
#include "judge.h"
#include "log/log.h"
#include "remoteler/v1/audit.pb-c.h"

#include <stdlib.h>

struct append_batch {
    struct append_batch *next;
    struct rl_rpc_call *call;
    const Pb__AppendRequest *request; /* lives until the call is answered */
};

/* ---- judging ---- */

static rl_code judge(const struct rl_audit *audit, const struct rl_identity *writer,
                     const Pb__AppendRequest *request, struct rl_error *err)
{
    if (request->n_events > RL_AUDIT_BATCH_MAX)
        return rl_fail(err, RL_E_INVAL, "%zu events in a batch; at most %d", request->n_events,
                       RL_AUDIT_BATCH_MAX);
    rl_code rc = RL_OK;
    for (size_t i = 0; rc == RL_OK && i < request->n_events; i++)
        rc = rl_audit_judge(audit->config.cluster, writer, request->events[i], err);
    return rc;
}

/* One a second: an agent that sends nonsense must not fill our log. */
void audit_say_refused(struct rl_audit *audit, const struct rl_rpc_peer *peer, const char *what,
                       const struct rl_error *err)
{
    int64_t now_s = rl_clock_wall_s();
    if (atomic_exchange(&audit->refused_said_s, now_s) == now_s)
        return;
    char *who = rl_identity_describe(peer->identity);
    rl_log_warn(what, RL_TEXT("writer", who), RL_TEXT("peer", peer->address),
                RL_TEXT("reason", err->message));
    free(who);
}

static void refuse(struct rl_audit *audit, struct rl_rpc_call *call, const struct rl_error *err)
{
    rl_metric_add(audit->metrics.refused, 1);
    audit_say_refused(audit, rl_rpc_peer(call), "events refused", err);
    rl_rpc_fail(call, err);
}

/* ---- the queue ---- */

enum place { PLACE_FULL, PLACE_WAITS, PLACE_WRITES };

static enum place enter(struct rl_audit *audit, struct append_batch *batch)
{
    enum place place = PLACE_FULL;
    pthread_mutex_lock(&audit->lock);
    if (audit->waiting + batch->request->n_events <= RL_AUDIT_WAITING_MAX) {
        *audit->end = batch;
        audit->end = &batch->next;
        audit->waiting += batch->request->n_events;
        place = audit->is_writing ? PLACE_WAITS : PLACE_WRITES;
        audit->is_writing = true;
    }
    pthread_mutex_unlock(&audit->lock);
    return place;
}

/* As many as one transaction takes, whole batches only; NULL ends our turn as the writer. */
static struct append_batch *leave(struct rl_audit *audit)
{
    size_t events = 0;
    struct append_batch *taken = NULL, **end = &taken;
    pthread_mutex_lock(&audit->lock);
    while (audit->first && events + audit->first->request->n_events <= RL_AUDIT_INSERT_MAX) {
        struct append_batch *batch = audit->first;
        audit->first = batch->next;
        events += batch->request->n_events;
        batch->next = NULL;
        *end = batch;
        end = &batch->next;
    }
    if (!audit->first)
        audit->end = &audit->first;
    audit->waiting -= events;
    if (!taken)
        audit->is_writing = false;
    pthread_mutex_unlock(&audit->lock);
    return taken;
}

/* ---- writing ---- */

static size_t lay_out(const struct append_batch *batches, struct rl_audit_entry *entries)
{
    size_t n = 0;
    for (const struct append_batch *batch = batches; batch; batch = batch->next) {
        const struct rl_identity *writer = rl_rpc_peer(batch->call)->identity;
        for (size_t i = 0; i < batch->request->n_events; i++)
            entries[n++] = (struct rl_audit_entry){
                .event = batch->request->events[i],
                .sender_kind = rl_audit_sender_kind(writer),
                .sender_id = writer->name,
            };
    }
    return n;
}

static void answer(struct rl_audit *audit, const struct append_batch *batch,
                   const struct rl_audit_entry *entries)
{
    Pb__AppendResponse reply = PB__APPEND_RESPONSE__INIT;
    for (size_t i = 0; i < batch->request->n_events; i++) {
        if (entries[i].is_repeated)
            reply.repeated_uids++;
        else
            reply.accepted++;
    }
    rl_metric_add(audit->metrics.events, reply.accepted);
    rl_metric_add(audit->metrics.repeated, reply.repeated_uids);
    rl_rpc_reply(batch->call, &reply.base);
}

/* Whatever it was, the events are good and should come again: a refusal would lose them. */
static void answer_failure(struct rl_audit *audit, const struct append_batch *batch)
{
    struct rl_error err;
    rl_fail(&err, RL_E_UNAVAILABLE, "audit cannot write now; send it again");
    rl_metric_add(audit->metrics.failed, 1);
    rl_rpc_fail(batch->call, &err);
}

static void note_outcome(struct rl_audit *audit, rl_code rc, const struct rl_error *err)
{
    bool is_failing = rc != RL_OK;
    if (is_failing && !audit->is_failing)
        rl_log_error("events cannot be written", RL_TEXT("error", err->message));
    else if (!is_failing && audit->is_failing)
        rl_log_info("events are written again");
    audit->is_failing = is_failing;
}

static void write_batches(struct rl_audit *audit, struct append_batch *batches)
{
    struct rl_audit_entry *entries = rl_alloc_array(RL_AUDIT_INSERT_MAX, sizeof *entries);
    size_t count = lay_out(batches, entries), at = 0;
    struct rl_error err;
    int64_t began_ns = rl_clock_wall_ns();
    rl_code rc = count ? rl_audit_insert(audit->config.store, audit->config.replica,
                                         audit_now_ns(audit), entries, count, &err)
                       : RL_OK;
    rl_metric_add(audit->metrics.transactions, 1);
    rl_metric_add(audit->metrics.busy_us, (rl_clock_wall_ns() - began_ns) / 1000);
    note_outcome(audit, rc, &err);
    while (batches) {
        struct append_batch *batch = batches;
        batches = batch->next;
        size_t events = batch->request->n_events; /* the request goes with the answer */
        if (rc == RL_OK)
            answer(audit, batch, entries + at);
        else
            answer_failure(audit, batch);
        at += events;
        free(batch);
    }
    free(entries);
}

void audit_append(struct rl_rpc_call *call, const ProtobufCMessage *request, void *context)
{
    struct rl_audit *audit = context;
    const Pb__AppendRequest *append = (const Pb__AppendRequest *)request;
    struct rl_error err;
    if (judge(audit, rl_rpc_peer(call)->identity, append, &err) != RL_OK) {
        refuse(audit, call, &err);
        return;
    }
    struct append_batch *batch = rl_alloc(sizeof *batch);
    *batch = (struct append_batch){.call = call, .request = append};
    switch (enter(audit, batch)) {
    case PLACE_FULL:
        free(batch);
        rl_fail(&err, RL_E_EXHAUSTED, "%d events wait to be written already; send it again later",
                RL_AUDIT_WAITING_MAX);
        rl_rpc_fail(call, &err);
        break;
    case PLACE_WAITS:
        break;
    case PLACE_WRITES:
        for (struct append_batch *taken; (taken = leave(audit));)
            write_batches(audit, taken);
        break;
    }
}
