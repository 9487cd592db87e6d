/* control: heartbeats, epochs, attachments. A service speaks for itself only: its id is its
 * certificate's. */
#include "services/control.h"

#include "clock/clock.h"
#include "clusters/leaf.h"
#include "fleet/attach.h"
#include "names/names.h"

#include <stdlib.h>
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

static rl_code offer_leaf(struct rl_auth *auth, const char *broker_id,
                          struct rl_attach_offer *offer)
{
    offer->err.code =
        rl_leaf_attach_offer(auth, offer->agent_id, broker_id, &offer->epoch, &offer->err);
    return offer->err.code;
}

/* Those of agents at once, the few of leaves one by one. */
static rl_code offer_all(struct rl_auth *auth, const char *broker_id,
                         struct rl_attach_offer *offers, size_t count, struct rl_error *err)
{
    size_t agents = 0;
    for (size_t i = 0; i < count; i++) {
        if (rl_leaf_is_named(offers[i].agent_id))
            offer_leaf(auth, broker_id, &offers[i]);
        else
            agents++;
    }
    if (agents == count)
        return rl_attach_offer(auth, broker_id, offers, count, err);
    rl_code rc = RL_OK;
    for (size_t i = 0; rc == RL_OK && i < count; i++)
        if (!rl_leaf_is_named(offers[i].agent_id))
            rc = rl_attach_offer(auth, broker_id, &offers[i], 1, err);
    return rc;
}

static void add_offer(Pb__NextEpochResponse *reply, const struct rl_attach_offer *offer)
{
    Pb__EpochOffer *said = rl_message_create(&pb__epoch_offer__descriptor);
    said->epoch = offer->epoch;
    said->code = offer->err.code;
    rl_message_text(&said->message, offer->err.code == RL_OK ? "" : offer->err.message);
    rl_message_append(&reply->offers, &reply->n_offers, said);
}

static rl_code offer_many(struct rl_auth *auth, const Pb__NextEpochRequest *request,
                          Pb__NextEpochResponse *reply, struct rl_error *err)
{
    size_t count = request->n_agent_ids;
    if (count > RL_REPORTS_MAX)
        return rl_fail(err, RL_E_INVAL, "at most %d epochs at once", RL_REPORTS_MAX);
    struct rl_attach_offer *offers = rl_alloc_array(count, sizeof *offers);
    for (size_t i = 0; i < count; i++)
        offers[i].agent_id = request->agent_ids[i];
    rl_code rc = offer_all(auth, request->broker_id, offers, count, err);
    for (size_t i = 0; rc == RL_OK && i < count; i++)
        add_offer(reply, &offers[i]);
    free(offers);
    return rc;
}

rl_code rl_control_next_epoch(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                              const Pb__NextEpochRequest *request, Pb__NextEpochResponse *reply,
                              struct rl_error *err)
{
    rl_code rc = check_self(peer, "broker", request->broker_id, err);
    if (rc != RL_OK)
        return rc;
    if (request->n_agent_ids)
        return offer_many(auth, request, reply, err);
    struct rl_attach_offer offer = {.agent_id = request->agent_id};
    rc = offer_all(auth, request->broker_id, &offer, 1, err);
    if (rc != RL_OK)
        return rc;
    if (offer.err.code != RL_OK) {
        *err = offer.err;
        return offer.err.code;
    }
    reply->epoch = offer.epoch;
    return RL_OK;
}

/* ---- reports ---- */

static void add_verdict(Pb__ReportAttachmentsResponse *reply, const Pb__AttachmentReport *report,
                        bool policy_is_current, rl_code rc, const struct rl_error *err)
{
    Pb__AttachmentVerdict *verdict = rl_message_create(&pb__attachment_verdict__descriptor);
    rl_message_text(&verdict->agent_id, report->agent_id);
    verdict->epoch = report->epoch;
    verdict->code = rc;
    rl_message_text(&verdict->message, rc == RL_OK ? "" : err->message);
    verdict->policy_is_current = policy_is_current;
    rl_message_append(&reply->verdicts, &reply->n_verdicts, verdict);
}

/* Our own fault is no verdict on an agent: the broker reports again. */
static bool is_verdict(rl_code rc)
{
    return rc == RL_OK || rc == RL_E_DENIED || rc == RL_E_ABORTED || rc == RL_E_INVAL ||
           rc == RL_E_NOT_FOUND || rc == RL_E_PRECONDITION;
}

static struct rl_attachment attachment_of(const Pb__AttachmentReport *report, const char *broker_id)
{
    return (struct rl_attachment){
        .agent_id = report->agent_id,
        .holder_id = broker_id,
        .peer_address = report->peer_address,
        .epoch = report->epoch,
        .hello = report->hello,
    };
}

/* One that went, or a leaf. */
static rl_code report_one(struct rl_auth *auth, const char *broker_id,
                          const Pb__AttachmentReport *report, Pb__ReportAttachmentsResponse *reply,
                          struct rl_error *err)
{
    rl_code rc;
    bool is_leaf = rl_leaf_is_named(report->agent_id);
    struct rl_attachment attachment = attachment_of(report, broker_id);
    if (report->attached)
        rc = rl_leaf_attach_record(auth, &attachment, err);
    else
        rc = (is_leaf ? rl_leaf_attach_end : rl_attach_end)(auth, report->agent_id, broker_id,
                                                            report->epoch, report->reason, err);
    if (!is_verdict(rc))
        return rc;
    add_verdict(reply, report, false, rc, err);
    return RL_OK;
}

static bool is_arrival(const Pb__AttachmentReport *report)
{
    return report->attached && !rl_leaf_is_named(report->agent_id);
}

static bool is_among(const char *agent_id, const struct rl_attachment *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].agent_id, agent_id) == 0)
            return true;
    return false;
}

/* Agents that came one after the other, until one went or comes again: *done of the reports. */
static rl_code report_arrivals(struct rl_auth *auth, const char *broker_id,
                               Pb__AttachmentReport *const *reports, size_t count, size_t *done,
                               Pb__ReportAttachmentsResponse *reply, struct rl_error *err)
{
    struct rl_attachment *list = rl_alloc_array(count, sizeof *list);
    size_t n = 0;
    while (n < count && is_arrival(reports[n]) && !is_among(reports[n]->agent_id, list, n)) {
        list[n] = attachment_of(reports[n], broker_id);
        n++;
    }
    rl_code rc = rl_attach_record(auth, list, n, err);
    for (size_t i = 0; rc == RL_OK && i < n; i++) {
        if (is_verdict(list[i].err.code))
            add_verdict(reply, reports[i], list[i].policy_is_current, list[i].err.code,
                        &list[i].err);
        else
            rc = rl_fail(err, list[i].err.code, "%s", list[i].err.message);
    }
    free(list);
    *done = n;
    return rc;
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

rl_code rl_control_report(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                          const Pb__ReportAttachmentsRequest *request,
                          Pb__ReportAttachmentsResponse *reply, struct rl_error *err)
{
    const char *broker_id = request->broker_id;
    rl_code rc = check_self(peer, "broker", broker_id, err);
    if (rc == RL_OK && request->n_reports > RL_REPORTS_MAX)
        rc = rl_fail(err, RL_E_INVAL, "at most %d reports in a batch", RL_REPORTS_MAX);
    struct keeping keeping = {broker_id, request->all_agents, request->n_all_agents};
    if (rc == RL_OK && request->is_complete)
        rc = rl_store_transaction(auth->store, keep, &keeping, err);
    for (size_t i = 0, done; rc == RL_OK && i < request->n_reports; i += done) {
        Pb__AttachmentReport *const *next = &request->reports[i];
        done = 1;
        if (is_arrival(*next))
            rc = report_arrivals(auth, broker_id, next, request->n_reports - i, &done, reply, err);
        else
            rc = report_one(auth, broker_id, *next, reply, err);
    }
    return rc;
}
