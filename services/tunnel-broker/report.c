/* report: who came and who went, told to auth in batches. What auth has not taken stays queued;
 * after it was away it is told everything that is here, so that what it missed does not matter.
 */
#include "internal.h"

#include <stdlib.h>

#define RETRY_MS 1000

struct item {
    struct item *next;
    Pb__AttachmentReport report; /* strings and hello on the heap */
};

struct reports {
    struct broker *broker;
    struct rl_timer *timer;
    struct rl_rpc_call *call;
    struct item *first, **end;
    size_t count, count_max;
    size_t in_flight; /* the first so many of the queue */
    bool complete_due, complete_in_flight;
};

static void flush(void *context);

struct reports *reports_create(struct broker *broker)
{
    struct reports *r = rl_alloc(sizeof *r);
    r->broker = broker;
    r->timer = rl_timer_create(broker->config.loop, flush, r);
    r->end = &r->first;
    r->count_max = broker->config.agents_max + BROKER_REPORT_MAX;
    return r;
}

static void drop_first(struct reports *r)
{
    struct item *item = r->first;
    r->first = item->next;
    if (!r->first)
        r->end = &r->first;
    r->count--;
    free(item->report.agent_id);
    free(item->report.peer_address);
    free(item->report.reason);
    if (item->report.hello)
        pb__signed_hello__free_unpacked(item->report.hello, NULL);
    free(item);
}

void reports_free(struct reports **holder)
{
    struct reports *r = *holder;
    if (!r)
        return;
    *holder = NULL;
    if (r->call)
        rl_rpc_cancel(r->call);
    while (r->call)
        rl_loop_turn(r->broker->config.loop, 10);
    while (r->first)
        drop_first(r);
    rl_timer_free(&r->timer);
    free(r);
}

static Pb__AttachmentReport *add(struct reports *r, const struct attachment *a, bool attached)
{
    if (r->count == r->count_max) { /* auth is away for long: it will be told everything anyway */
        r->complete_due = true;
        return NULL;
    }
    struct item *item = rl_alloc(sizeof *item);
    pb__attachment_report__init(&item->report);
    item->report.agent_id = rl_strdup(a->agent_id);
    item->report.peer_address = rl_strdup(a->address);
    item->report.reason = rl_strdup("");
    item->report.epoch = a->epoch;
    item->report.attached = attached;
    *r->end = item;
    r->end = &item->next;
    r->count++;
    if (!r->call && !rl_timer_is_armed(r->timer))
        rl_timer_arm(r->timer, BROKER_REPORT_MS);
    return &item->report;
}

void reports_attached(struct reports *reports, struct attachment *attachment,
                      const Pb__SignedHello *hello)
{
    Pb__AttachmentReport *report = add(reports, attachment, true);
    if (!report) {
        attachment->policy_by_report = false;
        return;
    }
    size_t n = pb__signed_hello__get_packed_size(hello);
    uint8_t *packed = rl_alloc(n);
    pb__signed_hello__pack(hello, packed);
    report->hello = pb__signed_hello__unpack(NULL, n, packed);
    free(packed);
}

void reports_detached(struct reports *reports, const struct attachment *attachment,
                      const char *reason)
{
    Pb__AttachmentReport *report = add(reports, attachment, false);
    if (!report)
        return;
    free(report->reason);
    report->reason = rl_strdup(reason ? reason : "");
}

void reports_complete(struct reports *reports)
{
    reports->complete_due = true;
    if (!reports->call)
        rl_timer_arm(reports->timer, 0);
}

static struct attachment *find(struct broker *broker, const char *agent_id, uint64_t epoch)
{
    struct attachment *a = attachments_find(broker, agent_id);
    return a && (epoch == 0 || a->epoch == epoch) ? a : NULL;
}

static void obey(struct broker *broker, const Pb__ReportAttachmentsResponse *response)
{
    for (size_t i = 0; i < response->n_verdicts; i++) {
        const Pb__AttachmentVerdict *verdict = response->verdicts[i];
        struct attachment *a = find(broker, verdict->agent_id, verdict->epoch);
        if (a && verdict->code == 0 && verdict->policy_is_current)
            a->policy_by_report = false;
        else if (a && verdict->code != 0)
            attachment_end(a, rl_code_from_number((long)verdict->code), verdict->message);
    }
}

/* Of those that auth was told of now, whoever it has not called current. */
static void fetch_policies(struct reports *r)
{
    struct item *item = r->first;
    for (size_t i = 0; i < r->in_flight; i++, item = item->next) {
        struct attachment *a = find(r->broker, item->report.agent_id, item->report.epoch);
        if (!a || !a->policy_by_report)
            continue;
        a->policy_by_report = false;
        policies_want(r->broker->policies, a, true);
    }
}

static void on_done(void *context, rl_code code, const char *message, const ProtobufCMessage *reply)
{
    struct reports *r = context;
    r->call = NULL;
    if (code == RL_OK) {
        obey(r->broker, (const Pb__ReportAttachmentsResponse *)reply);
        fetch_policies(r);
        for (; r->in_flight; r->in_flight--)
            drop_first(r);
        r->complete_in_flight = false;
        if (r->count || r->complete_due)
            rl_timer_arm(r->timer, BROKER_REPORT_MS);
        return;
    }
    if (!r->broker->is_freeing)
        rl_log_warn("auth did not take the report of attachments",
                    RL_TEXT("code", rl_code_name(code)), RL_TEXT("error", message));
    r->in_flight = 0;
    r->complete_due = r->complete_due || r->complete_in_flight;
    r->complete_in_flight = false;
    rl_timer_arm(r->timer, RETRY_MS);
}

static size_t list_all(const struct broker *broker, char **all)
{
    size_t n = 0;
    for (struct attachment *a = broker->attachments; a; a = a->next)
        if (a->state == ATTACHMENT_HERE && n < broker->attached)
            all[n++] = a->agent_id;
    return n;
}

static void flush(void *context)
{
    struct reports *r = context;
    struct broker *broker = r->broker;
    if (r->call || broker->is_freeing || !broker->control || (!r->count && !r->complete_due))
        return;
    Pb__AttachmentReport *batch[BROKER_REPORT_MAX];
    Pb__ReportAttachmentsRequest request = PB__REPORT_ATTACHMENTS_REQUEST__INIT;
    request.broker_id = (char *)(uintptr_t)broker->config.id;
    request.reports = batch;
    for (struct item *item = r->first; item && request.n_reports < BROKER_REPORT_MAX;
         item = item->next)
        batch[request.n_reports++] = &item->report;
    r->in_flight = request.n_reports;
    char **all = NULL;
    /* Only when nothing is left to say one by one: each of `all` is known to auth by then. */
    if (r->complete_due && r->in_flight == r->count) {
        all = rl_alloc_array(broker->attached + 1, sizeof *all);
        request.all_agents = all;
        request.n_all_agents = list_all(broker, all);
        request.is_complete = true;
        r->complete_due = false;
        r->complete_in_flight = true;
    }
    rl_rpc_unary(rl_control_channel(broker->control), &pb__control__descriptor, "ReportAttachments",
                 &request.base, RL_CONTROL_DEADLINE_MS, on_done, r, &r->call);
    free(all);
}
