#include "carry.h"

#include "log/log.h"
#include "tunnel_rpc/tunnel_rpc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Unacknowledged, of one connection. What is on its way is bounded before by the windows of the
 * hops, which grow with a long path; and a ring has blocks only for what is on its way. */
#define RING_BYTES RL_RING_BYTES_MAX
#define RINGS_BYTES_MAX (32u << 20) /* and of all */

/* ---- one user's connection ---- */

struct carriage {
    struct agent *agent;
    struct carriage *next, **at;
    struct rl_tunnel_end *end;
    struct admission_request *request; /* direct: while admission waits */
    /* Who may resume it. */
    char session_id[64];
    char *dialler;
    int64_t proxy_start_ns;
    uint8_t user_certificate_sha256[32];
};

static void carriage_free(struct carriage *carriage)
{
    *carriage->at = carriage->next;
    if (carriage->next)
        carriage->next->at = carriage->at;
    free(carriage->dialler);
    free(carriage);
}

static void on_closed(void *context, const struct rl_tunnel_summary *summary)
{
    struct carriage *carriage = context;
    rl_log_info("connection over", RL_TEXT("session_id", carriage->session_id),
                RL_TEXT("code", rl_code_name(summary->code)), RL_TEXT("reason", summary->message),
                RL_NUMBER("bytes_in", summary->bytes_to_socket),
                RL_NUMBER("bytes_out", summary->bytes_from_socket),
                RL_NUMBER("resumes", summary->resumes));
    if (carriage->request)
        admission_cancel(carriage->agent->admission, &carriage->request);
    carriage_free(carriage);
}

static void on_parked(void *context, rl_code code, const char *message)
{
    struct carriage *carriage = context;
    rl_log_info("connection waits to be resumed", RL_TEXT("session_id", carriage->session_id),
                RL_TEXT("code", rl_code_name(code)), RL_TEXT("reason", message));
}

static struct carriage *carriage_create(struct agent *agent)
{
    struct carriage *carriage = rl_alloc(sizeof *carriage);
    carriage->agent = agent;
    carriage->dialler = rl_strdup("");
    carriage->next = agent->carriages;
    carriage->at = &agent->carriages;
    if (carriage->next)
        carriage->next->at = &carriage->next;
    agent->carriages = carriage;
    agent->unacknowledged.max = RINGS_BYTES_MAX;
    return carriage;
}

static void carriage_note(struct carriage *carriage, const struct admission_guest *guest)
{
    const ProtobufCBinaryData *sha256 = &guest->ticket->user_certificate_sha256;
    snprintf(carriage->session_id, sizeof carriage->session_id, "%s", guest->ticket->session_id);
    free(carriage->dialler);
    carriage->dialler = rl_strdup(guest->dialler);
    carriage->proxy_start_ns = guest->ticket->proxy_start_ns;
    if (sha256->len == sizeof carriage->user_certificate_sha256)
        memcpy(carriage->user_certificate_sha256, sha256->data, sha256->len);
}

/* A proxy that was started again knows nothing of what it carried before: nobody comes for that. */
static void end_orphans(struct agent *agent, const struct admission_guest *guest)
{
    for (struct carriage *c = agent->carriages, *next; c; c = next) {
        next = c->next;
        if (strcmp(c->dialler, guest->dialler) == 0 &&
            c->proxy_start_ns < guest->ticket->proxy_start_ns)
            rl_tunnel_end_abort(c->end, RL_E_UNAVAILABLE, "the proxy was started again");
    }
}

/* The same proxy, for the same certificate of the same user: nobody else takes a session over. */
static struct carriage *find_to_resume(struct agent *agent, const struct admission_guest *guest)
{
    const ProtobufCBinaryData *sha256 = &guest->ticket->user_certificate_sha256;
    for (struct carriage *c = agent->carriages; c; c = c->next)
        if (rl_tunnel_end_is_resumable(c->end) &&
            strcmp(c->session_id, guest->ticket->session_id) == 0 &&
            strcmp(c->dialler, guest->dialler) == 0 &&
            sha256->len == sizeof c->user_certificate_sha256 &&
            memcmp(c->user_certificate_sha256, sha256->data, sha256->len) == 0)
            return c;
    return NULL;
}

static struct rl_tunnel_end_config end_config(struct carriage *carriage, enum rl_tunnel_role role)
{
    return (struct rl_tunnel_end_config){
        .loop = carriage->agent->loop,
        .role = role,
        .window_bytes = RL_RPC_RAW_WINDOW_BYTES_MAX,
        .closed = on_closed,
        .context = carriage,
    };
}

/* Takes fd. */
static void attach_socket(struct carriage *carriage, int fd)
{
    struct rl_error err;
    struct rl_socket *socket = NULL;
    rl_code rc = rl_socket_create(carriage->agent->loop, fd, NULL, NULL, NULL, &socket, &err);
    if (rc == RL_OK) {
        rl_tunnel_end_attach(carriage->end, &socket, RL_SPAN(NULL, 0));
    } else {
        close(fd);
        rl_tunnel_end_refuse(carriage->end, rc, err.message);
    }
}

/* ---- open: from a broker ---- */

struct carry_waiting {
    struct carry_waiting *next, **at;
    struct carry_open how;
    uint8_t stream_id[RL_TUNNEL_STREAM_ID_BYTES];
    struct admission_request *request;
};

static void waiting_free(struct carry_waiting *waiting)
{
    *waiting->at = waiting->next;
    if (waiting->next)
        waiting->next->at = waiting->at;
    free(waiting);
}

/* Frames are end to end: who comes from a root resumes by the id that the session has there. */
static const char *known_to_dialler(const Pb__Ticket *ticket)
{
    return ticket->root_cluster[0] ? ticket->root_session_id : ticket->session_id;
}

static rl_code open_carry(const struct carry_waiting *waiting, const struct admission_guest *guest,
                          const Pb__Frame *first, struct rl_error *err)
{
    struct agent *agent = waiting->how.agent;
    struct carriage *carriage = carriage_create(agent);
    carriage_note(carriage, guest);
    struct rl_tunnel_end_config config = end_config(carriage, RL_TUNNEL_CARRIES);
    if (guest->ticket->features & RL_TUNNEL_FEATURE_RESUME)
        config.resume = (struct rl_tunnel_resume){.session_id = known_to_dialler(guest->ticket),
                                                  .ring_bytes = RL_TUNNEL_WINDOW_BYTES,
                                                  .ring_bytes_max = RING_BYTES,
                                                  .budget = &agent->unacknowledged,
                                                  .parked = on_parked};
    rl_code rc = rl_tunnel_rpc_open(waiting->how.channel, &pb__tunnel_broker__descriptor, "Carry",
                                    &config, first, &carriage->end, err);
    if (rc != RL_OK) {
        carriage_free(carriage);
        close(guest->fd);
        return rc;
    }
    attach_socket(carriage, guest->fd);
    return RL_OK;
}

static rl_code resume_carry(const struct carry_waiting *waiting,
                            const struct admission_guest *guest, const Pb__Frame *first,
                            struct rl_error *err)
{
    struct carriage *carriage = find_to_resume(waiting->how.agent, guest);
    if (!carriage)
        return rl_fail(err, RL_E_NOT_FOUND, "the node has no such session any more");
    rl_log_info("connection resumed", RL_TEXT("session_id", carriage->session_id));
    return rl_tunnel_rpc_resume(waiting->how.channel, &pb__tunnel_broker__descriptor, "Carry",
                                carriage->end, first, err);
}

static rl_code come(const struct carry_waiting *waiting, const struct admission_guest *guest,
                    struct rl_error *err)
{
    RL_ASSERT(guest); /* one who was admitted */
    uint8_t id[RL_TUNNEL_STREAM_ID_BYTES];
    memcpy(id, waiting->stream_id, sizeof id);
    Pb__CarryJoin join = PB__CARRY_JOIN__INIT;
    join.stream_id = (ProtobufCBinaryData){sizeof id, id};
    join.epoch = waiting->how.epoch;
    Pb__Frame first = PB__FRAME__INIT;
    first.join = &join;
    return guest->ticket->resumes ? resume_carry(waiting, guest, &first, err)
                                  : open_carry(waiting, guest, &first, err);
}

static void on_admitted(void *context, const struct admission_guest *guest, rl_code code,
                        const char *message)
{
    struct carry_waiting *waiting = context;
    struct rl_error err = {code, ""};
    if (guest)
        end_orphans(waiting->how.agent, guest);
    if (code == RL_OK)
        code = come(waiting, guest, &err);
    else
        rl_fail(&err, code, "%s", message);
    if (code != RL_OK) {
        rl_log_warn("connection refused",
                    RL_TEXT("session_id", guest ? guest->ticket->session_id : ""),
                    RL_TEXT("code", rl_code_name(code)), RL_TEXT("reason", err.message));
        waiting->how.refuse(waiting->how.context,
                            RL_SPAN(waiting->stream_id, sizeof waiting->stream_id), code,
                            err.message);
    }
    waiting_free(waiting);
}

void carry_answer(const struct carry_open *how, const Pb__Open *open, struct carry_waiting **list)
{
    if (open->stream_id.len != RL_TUNNEL_STREAM_ID_BYTES) {
        how->refuse(how->context, RL_SPAN(open->stream_id.data, open->stream_id.len), RL_E_INVAL,
                    "a stream id has 16 bytes");
        return;
    }
    struct carry_waiting *waiting = rl_alloc(sizeof *waiting);
    waiting->how = *how;
    memcpy(waiting->stream_id, open->stream_id.data, sizeof waiting->stream_id);
    waiting->next = *list;
    waiting->at = list;
    if (*list)
        (*list)->at = &waiting->next;
    *list = waiting;
    /* on_admitted() may come from inside the call and free `waiting`: nothing is read after it, and
     * the request goes where it is kept only while it lives. */
    struct admission_request *request = NULL;
    admission_ask(how->admission, open->ticket, open->statement, on_admitted, waiting, &request);
    if (request)
        waiting->request = request;
}

void carry_drop(struct carry_waiting **list)
{
    while (*list) {
        struct carry_waiting *waiting = *list;
        admission_cancel(waiting->how.admission, &waiting->request);
        waiting_free(waiting);
    }
}

/* ---- dial: from a proxy, direct nodes ---- */

static void on_dial_admitted(void *context, const struct admission_guest *guest, rl_code code,
                             const char *message)
{
    struct carriage *carriage = context;
    RL_ASSERT(guest || code != RL_OK);
    carriage->request = NULL;
    if (guest) {
        end_orphans(carriage->agent, guest);
        carriage_note(carriage, guest);
    }
    if (code == RL_OK && guest->ticket->resumes)
        rl_tunnel_end_refuse(carriage->end, RL_E_UNIMPLEMENTED,
                             "what a direct node serves is not resumed");
    else if (code == RL_OK)
        attach_socket(carriage, guest->fd);
    else
        rl_tunnel_end_refuse(carriage->end, code, message);
}

static void on_dialled(void *context, const Pb__DialOpen *dial)
{
    struct carriage *carriage = context;
    struct admission_request *request = NULL;
    admission_ask(carriage->agent->admission, dial->ticket, NULL, on_dial_admitted, carriage,
                  &request);
    if (request)
        carriage->request = request;
}

static void on_dial_opened(struct rl_rpc_call *call, void *context)
{
    struct rl_error err;
    struct carriage *carriage = carriage_create(context);
    struct rl_tunnel_end_config config = end_config(carriage, RL_TUNNEL_ANSWERS);
    config.dialled = on_dialled;
    rl_code rc = rl_tunnel_rpc_answer(call, &config, &carriage->end, &err);
    if (rc != RL_OK) {
        rl_rpc_raw_finish(call, rc, err.message);
        carriage_free(carriage);
    }
}

void carry_stop(struct agent *agent)
{
    for (struct carriage *c = agent->carriages, *next; c; c = next) {
        next = c->next;
        if (rl_tunnel_end_is_parked(c->end))
            rl_tunnel_end_abort(c->end, RL_E_UNAVAILABLE, "the node is being stopped");
    }
}

const struct rl_rpc_raw_ops carry_dial_ops = {
    .opened = on_dial_opened,
    .data = rl_tunnel_rpc_data,
    .produce = rl_tunnel_rpc_produce,
    .half_closed = rl_tunnel_rpc_half_closed,
    .closed = rl_tunnel_rpc_closed,
};
