/* control: heartbeats, epochs, attachments. A service speaks for itself only: its id is its
 * certificate's. */
#include "services/control.h"

#include "clock/clock.h"
#include "clusters/leaf.h"
#include "fleet/attach.h"
#include "names/names.h"

#include <string.h>

#define TEXT_BYTES_MAX 256

/* ---- heartbeats ---- */

static rl_code check_self(const struct rl_rpc_peer *peer, const char *kind, const char *id,
                          struct rl_error *err)
{
    const struct rl_identity *identity = peer->identity;
    if (!identity || !rl_identity_is_service(identity, kind) || strcmp(identity->name, id) != 0)
        return rl_fail(err, RL_E_DENIED, "a service speaks for itself only");
    return RL_OK;
}

static rl_code renew_lease(struct rl_db *db, void *context, struct rl_error *err)
{
    return rl_leases_renew(db, context, RL_AUTH_LEASE_S, err);
}

rl_code rl_control_heartbeat(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                             const Pb__HeartbeatRequest *request, Pb__HeartbeatResponse *reply,
                             struct rl_error *err)
{
    rl_code rc = check_self(peer, request->kind, request->id, err);
    const char *const texts[] = {request->version, request->dial_address, request->attach_address,
                                 request->control_address};
    for (size_t i = 0; rc == RL_OK && i < RL_COUNT(texts); i++)
        if (strlen(texts[i]) > TEXT_BYTES_MAX)
            rc = rl_fail(err, RL_E_INVAL, "an address is longer than %d bytes", TEXT_BYTES_MAX);
    if (rc != RL_OK)
        return rc;
    struct rl_lease lease = {
        .id = request->id,
        .kind = request->kind,
        .version = request->version,
        .dial_address = request->dial_address,
        .attach_address = request->attach_address,
        .control_address = request->control_address,
        .peer_address = peer->address,
        .draining = request->draining,
    };
    rc = rl_store_transaction(auth->store, renew_lease, &lease, err);
    if (rc == RL_OK)
        reply->time_ns = rl_clock_wall_ns();
    return rc;
}

/* ---- attachments ---- */

rl_code rl_control_next_epoch(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                              const Pb__NextEpochRequest *request, Pb__NextEpochResponse *reply,
                              struct rl_error *err)
{
    rl_code rc = check_self(peer, "broker", request->broker_id, err);
    if (rc != RL_OK)
        return rc;
    return rl_leaf_is_named(request->agent_id)
               ? rl_leaf_attach_offer(auth, request->agent_id, request->broker_id, &reply->epoch,
                                      err)
               : rl_attach_offer(auth, request->agent_id, request->broker_id, &reply->epoch, err);
}

static rl_code report_one(struct rl_auth *auth, const char *broker_id,
                          const Pb__AttachmentReport *report, struct rl_error *err)
{
    bool is_leaf = rl_leaf_is_named(report->agent_id);
    if (!is_leaf && !rl_name_is_uuid(report->agent_id))
        return rl_fail(err, RL_E_INVAL, "an agent's id is a UUID");
    if (!report->attached)
        return (is_leaf ? rl_leaf_attach_end : rl_attach_end)(auth, report->agent_id, broker_id,
                                                              report->epoch, report->reason, err);
    struct rl_attachment attachment = {
        .agent_id = report->agent_id,
        .holder_id = broker_id,
        .peer_address = report->peer_address,
        .epoch = report->epoch,
        .hello = report->hello,
    };
    return is_leaf ? rl_leaf_attach_record(auth, &attachment, err)
                   : rl_attach_record(auth, &attachment, err);
}

struct keeping {
    const char *broker_id;
    char *const *agents;
    size_t count;
};

static rl_code keep(struct rl_db *db, void *context, struct rl_error *err)
{
    struct keeping *k = context;
    const char *const *agents = (const char *const *)k->agents;
    rl_code rc = rl_attachments_keep(db, k->broker_id, agents, k->count, err);
    return rc == RL_OK ? rl_leaf_attachments_keep(db, k->broker_id, agents, k->count, err) : rc;
}

static void add_verdict(Pb__ReportAttachmentsResponse *reply, const Pb__AttachmentReport *report,
                        rl_code rc, const struct rl_error *err)
{
    Pb__AttachmentVerdict *verdict = rl_message_create(&pb__attachment_verdict__descriptor);
    rl_message_text(&verdict->agent_id, report->agent_id);
    verdict->epoch = report->epoch;
    verdict->code = rc;
    rl_message_text(&verdict->message, rc == RL_OK ? "" : err->message);
    rl_message_append(&reply->verdicts, &reply->n_verdicts, verdict);
}

/* Our own fault is no verdict on an agent: the broker reports again. */
static bool is_verdict(rl_code rc)
{
    return rc == RL_OK || rc == RL_E_DENIED || rc == RL_E_ABORTED || rc == RL_E_INVAL ||
           rc == RL_E_NOT_FOUND || rc == RL_E_PRECONDITION;
}

rl_code rl_control_report(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                          const Pb__ReportAttachmentsRequest *request,
                          Pb__ReportAttachmentsResponse *reply, struct rl_error *err)
{
    rl_code rc = check_self(peer, "broker", request->broker_id, err);
    if (rc == RL_OK && request->n_reports > RL_REPORTS_MAX)
        rc = rl_fail(err, RL_E_INVAL, "at most %d reports in a batch", RL_REPORTS_MAX);
    struct keeping keeping = {request->broker_id, request->all_agents, request->n_all_agents};
    if (rc == RL_OK && request->is_complete)
        rc = rl_store_transaction(auth->store, keep, &keeping, err);
    for (size_t i = 0; rc == RL_OK && i < request->n_reports; i++) {
        rl_code one = report_one(auth, request->broker_id, request->reports[i], err);
        if (is_verdict(one))
            add_verdict(reply, request->reports[i], one, err);
        else
            rc = one;
    }
    return rc;
}
