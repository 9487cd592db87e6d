/* errand: one `open` of a root, from its ticket to the node that comes:
 *
 *      checked ── resolving ── dialling ──▶ joined: the hop goes on alone
 *                     │            │
 *                     └────────────┴──────▶ refused, with words for the user
 *
 * Auth says which node it is and whether this user may know of it. It is dialled as a proxy of this
 * cluster would, with a ticket that quotes the root's; a node that is attached here is asked at
 * once. The call to the root is opened when somebody has come, so that nothing is promised before.
 */
#include "internal.h"

#include "rpc/raw.h"

#include <stdlib.h>
#include <string.h>

#define NS_PER_S 1000000000ll
#define CANDIDATES_MAX 64

struct errand {
    struct link *link; /* NULL: given up, and auth's answer is waited for */
    struct errand *next, **at;
    uint8_t stream_id[RL_TUNNEL_STREAM_ID_BYTES];
    uint64_t epoch;
    struct asked asked;
    struct hop *hop; /* from when it is dialled on */
    Pb__ResolveTargetResponse *where;
    char *candidates[CANDIDATES_MAX]; /* brokers' ids; NULL: ourselves */
    size_t candidate_count, candidate_next;
    struct rl_error failure; /* of the last candidate */
    struct rl_rpc_call *resolving;
    struct rl_timer *timer;
};

static void try_next(struct errand *errand);

static struct broker *broker_of(const struct errand *errand)
{
    return errand->link->root->roots->broker;
}

/* ---- its end ---- */

static void free_errand(struct errand *errand)
{
    for (size_t i = 0; i < errand->candidate_count; i++)
        free(errand->candidates[i]);
    if (errand->where)
        pb__resolve_target_response__free_unpacked(errand->where, NULL);
    asked_fini(&errand->asked);
    rl_timer_free(&errand->timer);
    free(errand);
}

static void leave_link(struct errand *errand)
{
    *errand->at = errand->next;
    if (errand->next)
        errand->next->at = errand->at;
    errand->link->errand_count--;
    errand->link = NULL;
}

/* What is under way for it is given up. */
static void drop(struct errand *errand)
{
    leave_link(errand);
    rl_timer_disarm(errand->timer);
    relay_forget(&errand->hop);
    if (errand->resolving)
        rl_rpc_cancel(errand->resolving); /* its answer frees the errand */
    else
        free_errand(errand);
}

/* A broker of the root that hears "unavailable" is not asked again by its proxy for this cluster:
 * the words are the same at every other. */
void root_refuse(struct link *link, const uint8_t stream_id[RL_TUNNEL_STREAM_ID_BYTES],
                 const struct asked *asked, rl_code code, const char *message)
{
    struct root *root = link->root;
    const char *leaf = root->roots->broker->config.cluster;
    char text[RL_ERROR_MESSAGE_BYTES];
    snprintf(text, sizeof text, "cluster %s: %s", leaf, message);
    rl_metric_add(root->roots->opens_failed, 1);
    rl_log_warn("a connection from a root was refused", RL_TEXT("cluster", root->name),
                RL_TEXT("user", asked && asked->user ? asked->user->name : ""),
                RL_TEXT("root_session", asked && asked->ticket ? asked->ticket->session_id : ""),
                RL_TEXT("code", rl_code_name(code)), RL_TEXT("reason", message));
    rl_uplink_refuse(link->line, RL_SPAN(stream_id, RL_TUNNEL_STREAM_ID_BYTES),
                     code == RL_E_UNAVAILABLE || code == RL_OK ? RL_E_ABORTED : code, text);
}

static void refuse(struct errand *errand, rl_code code, const char *message)
{
    root_refuse(errand->link, errand->stream_id, &errand->asked, code, message);
    drop(errand);
}

static void on_late(void *context)
{
    refuse(context, RL_E_DEADLINE, "the node did not answer in time");
}

void errands_drop(struct link *link)
{
    while (link->errands)
        drop(link->errands);
}

/* ---- where it is ---- */

static void answer_nowhere(struct errand *errand)
{
    char message[RL_ERROR_MESSAGE_BYTES], when[RL_CLOCK_TEXT_BYTES], ago[RL_CLOCK_TEXT_BYTES];
    const Pb__ResolveTargetResponse *where = errand->where;
    const char *name = where->name[0] ? where->name : where->agent_id;
    int64_t ago_s = (broker_now_ns(broker_of(errand)) - where->last_seen_ns) / NS_PER_S;
    rl_clock_format(where->last_seen_ns / NS_PER_S * NS_PER_S, when);
    rl_duration_words(ago_s > 0 ? (uint64_t)ago_s : 0, ago);
    if (where->is_online)
        snprintf(message, sizeof message, "node %s can not be reached now; try again in a moment",
                 name);
    else if (where->last_seen_ns)
        snprintf(message, sizeof message, "node %s is offline since %s, %s ago", name, when, ago);
    else
        snprintf(message, sizeof message, "node %s is offline; it was never seen", name);
    if (where->is_online)
        rl_log_warn("node not reached", RL_TEXT("node", where->agent_id),
                    RL_TEXT("error", errand->failure.message));
    refuse(errand, RL_E_UNAVAILABLE, message);
}

static void answer_failure(struct errand *errand)
{
    if (errand->failure.code != RL_OK && errand->failure.code != RL_E_UNAVAILABLE)
        refuse(errand, errand->failure.code, errand->failure.message);
    else
        answer_nowhere(errand);
}

static void add_candidate(struct errand *errand, const char *id)
{
    if (errand->candidate_count == CANDIDATES_MAX || strcmp(id, broker_of(errand)->config.id) == 0)
        return;
    for (size_t i = 0; i < errand->candidate_count; i++)
        if (errand->candidates[i] && strcmp(errand->candidates[i], id) == 0)
            return;
    errand->candidates[errand->candidate_count++] = rl_strdup(id);
}

static void list_candidates(struct errand *errand)
{
    const struct broker *broker = broker_of(errand);
    const Pb__ControlUpdate *state = rl_control_state(broker->control);
    errand->candidates[errand->candidate_count++] = NULL;
    for (size_t i = 0; i < errand->where->n_broker_ids; i++)
        add_candidate(errand, errand->where->broker_ids[i]);
    for (size_t i = 0; i < state->n_brokers; i++)
        add_candidate(errand, state->brokers[i]->id);
}

/* ---- dialling ---- */

static rl_code make_open(struct errand *errand, Pb__DialOpen *open, struct rl_error *err)
{
    const struct broker *broker = broker_of(errand);
    struct own_ticket own;
    asked_own_ticket(&errand->asked, broker->config.cluster, errand->where->agent_id,
                     broker_now_ns(broker), policies_version_known(broker), &own);
    pb__dial_open__init(open);
    open->agent_id = errand->where->agent_id;
    open->features = errand->asked.ticket->features;
    return rl_ticket_sign(&own.ticket, rl_tls_identity_key(broker->own),
                          rl_tls_identity_certificate(broker->own), &open->ticket, err);
}

static const char *dial_address(const struct broker *broker, const char *id)
{
    const Pb__ControlUpdate *state = rl_control_state(broker->control);
    for (size_t i = 0; i < state->n_brokers; i++)
        if (strcmp(state->brokers[i]->id, id) == 0 && state->brokers[i]->dial_address[0])
            return state->brokers[i]->dial_address;
    return NULL;
}

static rl_code dial_at(struct errand *errand, enum way_kind kind, const char *id,
                       const char *address, const Pb__DialOpen *open, struct rl_error *err)
{
    Pb__DialOpen copy = *open;
    Pb__Frame first = PB__FRAME__INIT;
    first.dial = &copy;
    if (!address)
        return rl_fail(err, RL_E_UNAVAILABLE, "auth says no address of it");
    struct way *way = ways_take(errand->link->root->roots, kind, id, address, err);
    if (!way)
        return err->code;
    const struct relay_call call = {.channel = ways_channel(way),
                                    .service = &pb__dialer__descriptor,
                                    .method = "Dial",
                                    .first = &first};
    rl_code rc = relay_reach(errand->hop, &call, way, err);
    if (rc != RL_OK)
        ways_release(&way);
    return rc;
}

static rl_code dial(struct errand *errand, const char *candidate, struct rl_error *err)
{
    struct broker *broker = broker_of(errand);
    const Pb__ResolveTargetResponse *where = errand->where;
    bool is_direct = strcmp(where->mode, "direct") == 0;
    if (!is_direct && !candidate && !attachments_find(broker, where->agent_id))
        return rl_fail(err, RL_E_UNAVAILABLE, "it is not attached here");
    Pb__DialOpen open;
    rl_code rc = make_open(errand, &open, err);
    if (rc != RL_OK)
        return rc;
    if (is_direct)
        rc = dial_at(errand, WAY_TO_NODE, where->agent_id, where->address, &open, err);
    else if (candidate)
        rc = dial_at(errand, WAY_TO_BROKER, candidate, dial_address(broker, candidate), &open, err);
    else
        rc = join_ask(errand->hop, &open, err);
    pb__signed_ticket__free_unpacked(open.ticket, NULL);
    return rc;
}

static void try_next(struct errand *errand)
{
    while (errand->candidate_next < errand->candidate_count) {
        const char *candidate = errand->candidates[errand->candidate_next++];
        struct rl_error err;
        if (dial(errand, candidate, &err) == RL_OK)
            return; /* errand_came() or errand_failed(), later */
        errand->failure = err;
    }
    answer_failure(errand);
}

void errand_failed(struct errand *errand, rl_code code, const char *message)
{
    rl_fail(&errand->failure, code == RL_OK ? RL_E_UNAVAILABLE : code, "%s", message);
    /* Only "it is not here" is worth asking the next for. */
    if (errand->failure.code == RL_E_UNAVAILABLE)
        try_next(errand);
    else
        answer_failure(errand);
}

bool errand_came(struct errand *errand)
{
    struct link *link = errand->link;
    struct hop *hop = errand->hop;
    struct rl_error err;
    Pb__CarryJoin join = PB__CARRY_JOIN__INIT;
    join.stream_id = (ProtobufCBinaryData){sizeof errand->stream_id, errand->stream_id};
    join.epoch = errand->epoch;
    Pb__Frame first = PB__FRAME__INIT;
    first.join = &join;
    const struct relay_call call = {.channel = rl_uplink_channel(link->line),
                                    .service = &pb__tunnel_broker__descriptor,
                                    .method = "Carry",
                                    .first = &first};
    rl_code rc = relay_call(hop, &call, &err);
    struct own_ticket own;
    asked_session_id(errand->asked.user->cluster, errand->asked.ticket->session_id, own.session_id);
    rl_log_info("connection from a root", RL_TEXT("cluster", link->root->name),
                RL_TEXT("user", errand->asked.user->name), RL_TEXT("session", own.session_id),
                RL_TEXT("root_session", errand->asked.ticket->session_id),
                RL_TEXT("node", errand->where->agent_id),
                RL_NUMBER("resumes", errand->asked.ticket->resumes),
                RL_TEXT("code", rl_code_name(rc)));
    rl_metric_add(link->root->roots->opens_ok, 1);
    errand->hop = NULL; /* it lives on its own from here */
    drop(errand);
    return rc == RL_OK;
}

/* ---- resolving ---- */

static Pb__ResolveTargetResponse *copy_of(const ProtobufCMessage *reply)
{
    uint8_t *packed = rl_alloc(protobuf_c_message_get_packed_size(reply) + 1);
    size_t n = protobuf_c_message_pack(reply, packed);
    Pb__ResolveTargetResponse *copy = pb__resolve_target_response__unpack(NULL, n, packed);
    free(packed);
    RL_ASSERT(copy); /* it was a message a moment ago */
    return copy;
}

static void on_resolved(void *context, rl_code code, const char *message,
                        const ProtobufCMessage *reply)
{
    struct errand *errand = context;
    errand->resolving = NULL;
    if (!errand->link) {
        free_errand(errand);
        return;
    }
    if (code == RL_E_UNAVAILABLE || code == RL_E_DEADLINE) {
        refuse(errand, RL_E_UNAVAILABLE, "its auth can not be asked now; try again in a moment");
        return;
    }
    /* A cluster behind this one is not offered. */
    if (code == RL_OK && leaves_is_id(((const Pb__ResolveTargetResponse *)reply)->agent_id))
        code = RL_E_DENIED;
    if (code != RL_OK) {
        refuse(errand, code, message);
        return;
    }
    errand->where = copy_of(reply);
    errand->hop = relay_expect(broker_of(errand), errand,
                               errand->asked.ticket->features & RL_TUNNEL_FEATURE_RESUME);
    if (strcmp(errand->where->mode, "direct") == 0)
        errand->candidates[errand->candidate_count++] = NULL;
    else
        list_candidates(errand);
    try_next(errand);
}

static void resolve(struct errand *errand)
{
    const struct rl_identity *user = errand->asked.user;
    Pb__Caller caller = PB__CALLER__INIT;
    caller.user = user->name;
    caller.cluster = user->cluster;
    caller.claims = user->claims;
    caller.certificate_sha256 =
        (ProtobufCBinaryData){sizeof user->fingerprint, (uint8_t *)(uintptr_t)user->fingerprint};
    caller.client_address = errand->asked.ticket->client_address;
    Pb__ResolveTargetRequest request = PB__RESOLVE_TARGET_REQUEST__INIT;
    request.caller = &caller;
    request.kind = errand->asked.ticket->target_kind;
    request.target = errand->asked.ticket->target_name;
    rl_rpc_unary(rl_control_channel(broker_of(errand)->control), &pb__control__descriptor,
                 "ResolveTarget", &request.base, RL_CONTROL_DEADLINE_MS, on_resolved, errand,
                 &errand->resolving);
}

/* ---- asked ---- */

static void begin(struct link *link, const Pb__Open *open, struct asked *asked)
{
    struct broker *broker = link->root->roots->broker;
    if (strcmp(asked->ticket->target_kind, "ssh") != 0) {
        service_begin(link, open->stream_id.data, rl_uplink_epoch(link->line), asked);
        return;
    }
    struct errand *errand = rl_alloc(sizeof *errand);
    errand->link = link;
    errand->asked = *asked;
    errand->epoch = rl_uplink_epoch(link->line);
    memcpy(errand->stream_id, open->stream_id.data, sizeof errand->stream_id);
    errand->next = link->errands;
    errand->at = &link->errands;
    if (errand->next)
        errand->next->at = &errand->next;
    link->errands = errand;
    link->errand_count++;
    errand->timer = rl_timer_create(broker->config.loop, on_late, errand);
    rl_timer_arm(errand->timer, ROOT_ERRAND_MS);
    resolve(errand);
}

void errand_begin(struct link *link, const Pb__Open *open)
{
    const struct root *root = link->root;
    const struct broker *broker = root->roots->broker;
    const struct asked_by by = {.root = root->trust,
                                .leaf = broker->config.cluster,
                                .now_ns = broker_now_ns(broker),
                                .seen = root->seen};
    struct asked asked;
    struct rl_error err;
    if (open->stream_id.len != RL_TUNNEL_STREAM_ID_BYTES) {
        rl_uplink_refuse(link->line, RL_SPAN(open->stream_id.data, open->stream_id.len), RL_E_INVAL,
                         "a stream id has 16 bytes");
        return;
    }
    rl_code rc = asked_read(open->ticket, &by, &asked, &err);
    if (rc != RL_OK) {
        root_refuse(link, open->stream_id.data, NULL, rc, err.message);
    } else if (link->errand_count >= ROOT_ERRANDS_MAX || broker->joined >= BROKER_STREAMS_MAX) {
        root_refuse(link, open->stream_id.data, &asked, RL_E_EXHAUSTED,
                    "too many connections are opening");
        asked_fini(&asked);
    } else {
        begin(link, open, &asked);
    }
}
