#include "admission.h"

#include "names/names.h"
#include "node.h"
#include "policy_keeper.h"
#include "tunnel/tunnel.h"

#include <stdlib.h>
#include <string.h>

#define TICKETS_SEEN_MAX 65536

struct admission_request {
    struct admission_request *next;
    struct admission *admission;
    Pb__Ticket *ticket;
    char *dialler;
    admission_fn fn;
    void *context;
    struct rl_timer *timer;
};

struct admission {
    struct agent *agent;
    struct rl_ticket_seen *seen;
    struct admission_request *waiting;
    size_t waiting_count;
};

struct admission *admission_create(struct agent *agent)
{
    struct admission *admission = rl_alloc(sizeof *admission);
    admission->agent = agent;
    admission->seen = rl_ticket_seen_create(TICKETS_SEEN_MAX);
    return admission;
}

static void request_free(struct admission_request *request)
{
    rl_timer_free(&request->timer);
    pb__ticket__free_unpacked(request->ticket, NULL);
    free(request->dialler);
    free(request);
}

static void answer(const struct admission_request *request, int fd, rl_code code,
                   const char *message)
{
    const struct admission_guest guest = {
        .ticket = request->ticket, .dialler = request->dialler, .fd = fd};
    request->fn(request->context, &guest, code, message);
}

void admission_free(struct admission **admission)
{
    if (!*admission)
        return;
    while ((*admission)->waiting) {
        struct admission_request *request = (*admission)->waiting;
        (*admission)->waiting = request->next;
        request_free(request);
    }
    rl_ticket_seen_free(&(*admission)->seen);
    free(*admission);
    *admission = NULL;
}

static void take_out(struct admission_request *request)
{
    struct admission_request **at = &request->admission->waiting;
    while (*at && *at != request)
        at = &(*at)->next;
    if (!*at)
        return;
    *at = request->next;
    request->admission->waiting_count--;
}

/* Takes the request: serves it, says so, forgets it. */
static void serve(struct admission_request *request)
{
    struct rl_error err = {RL_OK, ""};
    int fd = -1;
    take_out(request);
    rl_code rc = RL_OK;
    if (!request->ticket->resumes)
        rc = node_serve(request->admission->agent->node, request->ticket, &fd, &err);
    answer(request, fd, rc, err.message);
    request_free(request);
}

static void on_timeout(void *context)
{
    struct admission_request *request = context;
    take_out(request);
    answer(request, -1, RL_E_UNAVAILABLE, "the node waits for a newer policy from auth; try again");
    request_free(request);
}

/* The session's id goes into every event and line of the log: what people search by is an id, not
 * what a proxy made up. */
static rl_code check_content(const Pb__Ticket *ticket, struct rl_error *err)
{
    if (strcmp(ticket->target_kind, "ssh") != 0)
        return rl_fail(err, RL_E_NOT_FOUND, "this node serves ssh, not %.32s", ticket->target_kind);
    if (!rl_name_is_uuid(ticket->session_id))
        return rl_fail(err, RL_E_INVAL, "the ticket's session has no proper id");
    if (ticket->root_cluster[0] &&
        (rl_name_check_cluster(ticket->root_cluster, NULL) != RL_OK ||
         !rl_name_is_uuid(ticket->root_session_id) || !rl_name_is_uuid(ticket->root_proxy_id)))
        return rl_fail(err, RL_E_INVAL, "what the ticket quotes of the root has no proper names");
    return RL_OK;
}

/* Whoever comes from a root is dialled by the root's proxy, whichever broker signs for it. */
static char *dialler_of(const Pb__Ticket *ticket, const struct rl_identity *signer)
{
    return ticket->root_cluster[0]
               ? rl_sprintf("%s/%s", ticket->root_cluster, ticket->root_proxy_id)
               : rl_strdup(signer->name);
}

static rl_code check(struct admission *admission, const Pb__SignedTicket *signed_ticket,
                     const Pb__SignedStatement *statement, Pb__Ticket **ticket, char **dialler,
                     struct rl_error *err)
{
    struct agent *agent = admission->agent;
    struct rl_identity *signer = NULL;
    if (statement && policy_keeper_hear(agent->policy, statement, err) != RL_OK)
        return rl_error_prefix(err, "the broker's statement is not auth's");
    if (!signed_ticket)
        return rl_fail(err, RL_E_INVAL, "nobody's ticket came with it");
    struct rl_ticket_check how = {
        .trust = rl_enrol_trust(agent->enrol),
        .agent_id = rl_enrol_id(agent->enrol),
        .now_ns = agent_now_ns(agent),
        .seen = admission->seen,
        .signer = &signer,
        .takes_quotes = true,
    };
    rl_code rc = rl_ticket_verify(signed_ticket, &how, ticket, err);
    if (rc != RL_OK)
        return rc;
    rc = check_content(*ticket, err);
    if (rc == RL_OK) {
        *dialler = dialler_of(*ticket, signer);
    } else {
        pb__ticket__free_unpacked(*ticket, NULL);
        *ticket = NULL;
    }
    rl_identity_unref(&signer);
    return rc;
}

void admission_ask(struct admission *admission, const Pb__SignedTicket *signed_ticket,
                   const Pb__SignedStatement *statement, admission_fn fn, void *context,
                   struct admission_request **out)
{
    struct rl_error err;
    Pb__Ticket *ticket = NULL;
    char *dialler = NULL;
    *out = NULL;
    rl_code rc = check(admission, signed_ticket, statement, &ticket, &dialler, &err);
    if (rc != RL_OK) {
        fn(context, NULL, rc, err.message);
        return;
    }
    RL_ASSERT(ticket && dialler);
    struct admission_request *request = rl_alloc(sizeof *request);
    *request = (struct admission_request){
        .admission = admission, .ticket = ticket, .dialler = dialler, .fn = fn, .context = context};
    if (!policy_keeper_is_behind(admission->agent->policy)) {
        serve(request);
        return;
    }
    if (admission->waiting_count >= ADMISSION_WAITING_MAX) {
        answer(request, -1, RL_E_EXHAUSTED, "too many wait for this node's policy; try again");
        request_free(request);
        return;
    }
    request->timer = rl_timer_create(admission->agent->loop, on_timeout, request);
    rl_timer_arm(request->timer, ADMISSION_WAIT_MS);
    struct admission_request **last = &admission->waiting;
    while (*last)
        last = &(*last)->next;
    *last = request;
    admission->waiting_count++;
    *out = request;
}

void admission_cancel(struct admission *admission, struct admission_request **request)
{
    (void)admission;
    if (!*request)
        return;
    take_out(*request);
    request_free(*request);
    *request = NULL;
}

void admission_policy_changed(struct admission *admission)
{
    while (admission->waiting && !policy_keeper_is_behind(admission->agent->policy))
        serve(admission->waiting);
}
