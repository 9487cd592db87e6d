/* recording: parts are judged on the server's workers and written on threads of their own, so that
 * a node which has much to send does not hold up events. What is over is closed every so often. */
#include "internal.h"

#include "db/recordings.h"
#include "judge.h"
#include "log/log.h"
#include "remoteler/v1/audit.pb-c.h"

#include <stdlib.h>

/* ---- writing ---- */

struct write_job {
    struct rl_audit *audit;
    struct rl_rpc_call *call;
    const Pb__WriteRecordingRequest *request; /* lives until the call is answered */
};

static void refuse(struct rl_audit *audit, struct rl_rpc_call *call, const struct rl_error *err)
{
    rl_metric_add(audit->metrics.refused_parts, 1);
    audit_say_refused(audit, rl_rpc_peer(call), "parts of recordings refused", err);
    rl_rpc_fail(call, err);
}

static bool is_refusal(rl_code rc)
{
    return rc == RL_E_DENIED || rc == RL_E_PRECONDITION || rc == RL_E_EXISTS || rc == RL_E_INVAL;
}

static void accept(const struct write_job *job, size_t accepted)
{
    struct rl_audit *audit = job->audit;
    Pb__WriteRecordingResponse reply = PB__WRITE_RECORDING_RESPONSE__INIT;
    reply.accepted = (uint32_t)accepted;
    reply.repeated_parts = (uint32_t)(job->request->n_parts - accepted);
    int64_t bytes = 0;
    for (size_t i = 0; i < job->request->n_parts; i++)
        bytes += (int64_t)job->request->parts[i]->data.len;
    rl_metric_add(audit->metrics.parts, reply.accepted);
    rl_metric_add(audit->metrics.part_bytes, bytes);
    rl_metric_add(audit->metrics.repeated_parts, reply.repeated_parts);
    rl_rpc_reply(job->call, &reply.base);
}

static void write_parts(void *context)
{
    struct write_job *job = context;
    struct rl_error err;
    size_t accepted = 0;
    rl_code rc =
        rl_audit_write_recording(job->audit->config.store, rl_rpc_peer(job->call)->identity->name,
                                 audit_now_ns(job->audit), job->request, &accepted, &err);
    if (rc == RL_OK) {
        accept(job, accepted);
    } else if (is_refusal(rc)) {
        refuse(job->audit, job->call, &err);
    } else { /* the parts are good and should come again: a refusal would lose them */
        rl_log_error("recordings cannot be written", RL_TEXT("error", err.message));
        rl_fail(&err, RL_E_UNAVAILABLE, "audit cannot write now; send it again");
        rl_rpc_fail(job->call, &err);
    }
    free(job);
}

void audit_write_recording(struct rl_rpc_call *call, const ProtobufCMessage *request, void *context)
{
    struct rl_audit *audit = context;
    struct rl_error err;
    struct write_job *job = rl_alloc(sizeof *job);
    *job = (struct write_job){audit, call, (const Pb__WriteRecordingRequest *)request};
    if (rl_audit_judge_recording(audit->config.cluster, rl_rpc_peer(call)->identity, job->request,
                                 &err) != RL_OK) {
        refuse(audit, call, &err);
        free(job);
    } else if (rl_workers_submit(audit->config.recorders, write_parts, job, NULL) != RL_OK) {
        rl_fail(&err, RL_E_EXHAUSTED, "many recordings wait already; send it again later");
        rl_rpc_fail(call, &err);
        free(job);
    }
}

/* ---- closing ---- */

static void on_closed(void *context)
{
    struct rl_audit *audit = context;
    audit->is_closing = false;
    if (audit->closing)
        rl_timer_arm(audit->closing, RL_AUDIT_CLOSE_MS);
}

static void close_some(void *context)
{
    struct rl_audit *audit = context;
    const struct rl_audit_config *c = &audit->config;
    struct rl_error err;
    size_t closed = 0;
    do {
        /* A database that is away is the keeper's to tell of. */
        if (rl_audit_close_recordings(c->store, c->replica, c->cluster, audit_now_ns(audit),
                                      &closed, &err) != RL_OK)
            break;
    } while (closed == RL_AUDIT_RECORDINGS_CLOSE_MAX);
    rl_loop_post(c->loop, on_closed, audit);
}

static void begin_closing(void *context)
{
    struct rl_audit *audit = context;
    audit->is_closing = true;
    if (rl_workers_submit(audit->config.recorders, close_some, audit, NULL) != RL_OK)
        on_closed(audit);
}

void audit_recordings_start(struct rl_audit *audit)
{
    audit->closing = rl_timer_create(audit->config.loop, begin_closing, audit);
    rl_timer_arm(audit->closing, RL_AUDIT_CLOSE_MS);
}

void audit_recordings_stop(struct rl_audit *audit)
{
    rl_timer_free(&audit->closing);
    while (audit->is_closing)
        rl_loop_turn(audit->config.loop, 10);
}
