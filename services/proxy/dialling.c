/* dialling: from a target's name to the node. Auth says which node it is, whether this user may
 * know of it, and where it was last seen; the brokers are asked in that order, then all others,
 * because a row can be older than the truth. A direct node is dialled itself.
 */
#include "connect.h"

#include "bytes/secret.h"

#include <stdlib.h>
#include <string.h>

#define NS_PER_S 1000000000ll
#define CERTIFICATE_BYTES_MAX 20480 /* the claims in it have at most 16 KiB */
#define REDIAL_MS_MIN 200
#define REDIAL_MS_MAX 3000
#define REDIAL_CALM_MS 1000 /* a way that is lost sooner than this is not looked for at once */

static void try_next(struct user_connection *u);
static void list_candidates(struct user_connection *u);

/* ---- answers ---- */

static const char *shown_kind(const struct user_connection *u)
{
    return u->is_for_leaf ? "cluster" : "node";
}

static const char *shown_name(const struct user_connection *u)
{
    if (u->is_for_leaf)
        return u->request->cluster;
    return u->where->name[0] ? u->where->name : u->where->agent_id;
}

static const char *advice(const struct user_connection *u)
{
    return u->is_for_leaf ? "; it has to reach this cluster by itself: ask who runs it" : "";
}

/* It is nowhere: since when? */
static void answer_offline(struct user_connection *u)
{
    char message[RL_ERROR_MESSAGE_BYTES], when[RL_CLOCK_TEXT_BYTES], ago[RL_CLOCK_TEXT_BYTES];
    int64_t last_ns = u->where->last_seen_ns;
    int64_t ago_s = (proxy_now_ns(u->proxy) - last_ns) / NS_PER_S;
    rl_clock_format(last_ns / NS_PER_S * NS_PER_S, when);
    rl_duration_words(ago_s > 0 ? (uint64_t)ago_s : 0, ago);
    if (last_ns)
        snprintf(message, sizeof message, "%s %s is offline since %s, %s ago%s", shown_kind(u),
                 shown_name(u), when, ago, advice(u));
    else
        snprintf(message, sizeof message, "%s %s is offline; it was never seen%s", shown_kind(u),
                 shown_name(u), advice(u));
    connect_answer(u, RL_E_UNAVAILABLE, message);
}

/* Seen a moment ago, and nobody has it now. What exactly failed names our own services: that is for
 * the log. */
static void answer_unreachable(struct user_connection *u)
{
    char message[RL_ERROR_MESSAGE_BYTES];
    rl_log_warn(
        "not reached", RL_TEXT("node", u->where->agent_id), RL_TEXT("session", u->session_id),
        RL_TEXT("error", u->failure.code == RL_OK ? "no broker is known" : u->failure.message));
    snprintf(message, sizeof message, "%s %s can not be reached now; try again in a moment",
             shown_kind(u), shown_name(u));
    connect_answer(u, RL_E_UNAVAILABLE, message);
}

/* Everyone who might have it was asked. */
static void answer_failure(struct user_connection *u)
{
    if (u->must_stop)
        connect_answer(u, u->failure.code, u->failure.message);
    else if (u->is_for_leaf && u->failure.code == RL_E_ABORTED) /* the leaf's own words */
        connect_answer(u, RL_E_UNAVAILABLE, u->failure.message);
    else if (u->failure.code != RL_OK && u->failure.code != RL_E_UNAVAILABLE)
        connect_answer(u, u->failure.code, u->failure.message);
    else if (!u->where->is_online)
        answer_offline(u);
    else
        answer_unreachable(u);
}

/* ---- the ticket ---- */

static uint64_t known_policy_version(const struct proxy *proxy)
{
    const Pb__SignedStatement *s = rl_control_state(proxy->control)->statement;
    Pb__Statement *statement =
        s ? pb__statement__unpack(NULL, s->statement.len, s->statement.data) : NULL;
    uint64_t version = statement ? statement->policy_version : 0;
    if (statement)
        pb__statement__free_unpacked(statement, NULL);
    return version;
}

/* A leaf asks its own auth what this user may see of what he named. */
static rl_code add_user(const struct user_connection *u, Pb__Ticket *ticket,
                        struct rl_buf *certificate, struct rl_error *err)
{
    rl_code rc = rl_x509_to_der(u->certificate, certificate, err);
    ticket->user_certificate = (ProtobufCBinaryData){certificate->n, certificate->p};
    ticket->target_name = u->request->target;
    return rc;
}

static rl_code make_ticket(const struct user_connection *u, bool resumes, Pb__SignedTicket **out,
                           struct rl_error *err)
{
    const struct proxy *proxy = u->proxy;
    uint8_t nonce[16];
    struct rl_buf certificate;
    rl_random(nonce, sizeof nonce);
    rl_buf_init(&certificate, CERTIFICATE_BYTES_MAX);
    Pb__Ticket ticket = PB__TICKET__INIT;
    ticket.cluster = (char *)(uintptr_t)proxy->config.cluster;
    ticket.session_id = (char *)(uintptr_t)u->session_id;
    ticket.agent_id = u->where->agent_id;
    ticket.target_kind = u->request->kind;
    ticket.client_address = (char *)(uintptr_t)u->arrival.address;
    ticket.user_certificate_sha256 = (ProtobufCBinaryData){
        sizeof u->identity->fingerprint, (uint8_t *)(uintptr_t)u->identity->fingerprint};
    ticket.policy_version = known_policy_version(proxy);
    ticket.time_ns = proxy_now_ns(proxy);
    ticket.nonce = (ProtobufCBinaryData){sizeof nonce, nonce};
    ticket.features = RL_TUNNEL_FEATURE_RESUME;
    ticket.resumes = resumes;
    ticket.proxy_start_ns = proxy->start_ns;
    rl_code rc = u->is_for_leaf ? add_user(u, &ticket, &certificate, err) : RL_OK;
    if (rc == RL_OK)
        rc = rl_ticket_sign(&ticket, rl_tls_identity_key(proxy->own),
                            rl_tls_identity_certificate(proxy->own), out, err);
    rl_buf_fini(&certificate);
    return rc;
}

/* ---- one attempt ---- */

static void on_opened(void *context, rl_code code, const char *message)
{
    (void)message;
    struct user_connection *u = context;
    if (code != RL_OK)
        return; /* `closed` follows with the same */
    struct rl_buf response;
    rl_buf_init(&response, RL_TUNNEL_PREFACE_BYTES_MAX);
    connect_pack_response(u, &response, RL_OK, "");
    u->state = USER_JOINED;
    connect_tell(u, RL_OK, "");
    rl_tunnel_end_attach(u->end, &u->socket, rl_buf_span(&response));
    rl_buf_fini(&response);
}

static void on_closed(void *context, const struct rl_tunnel_summary *summary)
{
    struct user_connection *u = context;
    u->end = NULL;
    upstream_release(&u->upstream);
    if (u->state == USER_JOINED) {
        connect_ended(u, summary);
        return;
    }
    if (!u->must_stop)
        rl_fail(&u->failure, summary->code, "%s", summary->message);
    /* Only "it is not here" is worth asking the next for: the node itself has said anything else.
     */
    if (!u->must_stop && summary->code == RL_E_UNAVAILABLE)
        try_next(u);
    else
        answer_failure(u);
}

/* The way is lost, or one that was tried leads nowhere. */
static void on_parked(void *context, rl_code code, const char *message)
{
    struct user_connection *u = context;
    uint64_t now_ms = rl_loop_now_ms(u->proxy->config.loop), wait_ms = 0;
    upstream_release(&u->upstream);
    if (!u->has_lost_way) {
        u->has_lost_way = true;
        u->parked_ms = now_ms;
        if (u->resumed_ms && now_ms - u->resumed_ms < REDIAL_CALM_MS)
            wait_ms = REDIAL_CALM_MS;
        list_candidates(u);
        rl_log_info("connection lost its way to the node", RL_TEXT("session", u->session_id),
                    RL_TEXT("code", rl_code_name(code)), RL_TEXT("reason", message));
    }
    rl_timer_arm(u->redial, wait_ms); /* not from inside a callback of the end */
}

static void on_resumed(void *context)
{
    struct user_connection *u = context;
    u->has_lost_way = false;
    u->resumed_ms = rl_loop_now_ms(u->proxy->config.loop);
    rl_log_info("connection resumed", RL_TEXT("session", u->session_id),
                RL_NUMBER("took_ms", u->resumed_ms - u->parked_ms));
}

/* What a window may grow to: the transport holds each stream to its own. */
static size_t window_bytes_max(const struct proxy *proxy)
{
    size_t least = proxy->config.stream_window_bytes;
    return least > RL_RPC_RAW_WINDOW_BYTES_MAX ? least : RL_RPC_RAW_WINDOW_BYTES_MAX;
}

static rl_code open_end(struct user_connection *u, const Pb__Frame *first, struct rl_error *err)
{
    const struct rl_tunnel_end_config config = {
        .loop = u->proxy->config.loop,
        .role = RL_TUNNEL_DIALS,
        .window_bytes = window_bytes_max(u->proxy),
        /* The broker gives the node RL_TUNNEL_JOIN_MS and says so: its words are better than ours.
         */
        .open_timeout_ms = (u->is_for_leaf ? RL_TUNNEL_LEAF_JOIN_MS : RL_TUNNEL_JOIN_MS) + 2000,
        .resume = {.session_id = u->session_id,
                   .ring_bytes_max = RL_RING_BYTES_MAX,
                   .budget = &u->proxy->unacknowledged,
                   .parked = on_parked,
                   .resumed = on_resumed},
        .opened = on_opened,
        .closed = on_closed,
        .context = u,
    };
    return rl_tunnel_rpc_open(upstream_channel(u->upstream), &pb__dialer__descriptor, "Dial",
                              &config, first, &u->end, err);
}

static rl_code dial(struct user_connection *u, struct rl_error *err)
{
    bool resumes = u->end != NULL;
    Pb__DialOpen open = PB__DIAL_OPEN__INIT;
    open.agent_id = u->where->agent_id;
    open.features = RL_TUNNEL_FEATURE_RESUME;
    rl_code rc = make_ticket(u, resumes, &open.ticket, err);
    if (rc != RL_OK)
        return rc;
    Pb__Frame first = PB__FRAME__INIT;
    first.dial = &open;
    rc = resumes ? rl_tunnel_rpc_resume(upstream_channel(u->upstream), &pb__dialer__descriptor,
                                        "Dial", u->end, &first, err)
                 : open_end(u, &first, err);
    pb__signed_ticket__free_unpacked(open.ticket, NULL);
    return rc;
}

/* True when one of the candidates that are left is being asked. */
static bool ask_next(struct user_connection *u)
{
    struct rl_error err;
    while (u->candidate_next < u->candidate_count) {
        const char *id = u->candidates[u->candidate_next++];
        u->upstream = upstream_broker(u->proxy, id);
        if (!u->upstream)
            continue;
        if (dial(u, &err) == RL_OK)
            return true;
        upstream_release(&u->upstream);
        u->failure = err;
    }
    return false;
}

static void try_next(struct user_connection *u)
{
    if (!ask_next(u))
        answer_failure(u);
}

static uint32_t redial_ms(uint64_t parked_for_ms)
{
    uint64_t half_ms = parked_for_ms / 2;
    return half_ms < REDIAL_MS_MIN   ? REDIAL_MS_MIN
           : half_ms > REDIAL_MS_MAX ? REDIAL_MS_MAX
                                     : (uint32_t)half_ms;
}

void dialling_again(void *user)
{
    struct user_connection *u = user;
    if (!u->end || !rl_tunnel_end_is_parked(u->end) || ask_next(u))
        return;
    /* Nobody has it: after a while everybody is asked again, at most half of the time later that it
     * has waited already. How long in all is the end's to say. */
    uint32_t random, wait_ms = redial_ms(rl_loop_now_ms(u->proxy->config.loop) - u->parked_ms);
    rl_random(&random, sizeof random);
    list_candidates(u);
    rl_timer_arm(u->redial, wait_ms / 2 + random % (wait_ms / 2 + 1));
}

static void dial_node(struct user_connection *u)
{
    struct rl_error err;
    u->upstream = upstream_node(u->proxy, u->where->agent_id, u->where->address, &err);
    if (u->upstream && dial(u, &err) == RL_OK)
        return;
    upstream_release(&u->upstream);
    u->failure = err;
    answer_failure(u);
}

/* ---- where it is ---- */

static bool is_candidate(const struct user_connection *u, const char *id)
{
    for (size_t i = 0; i < u->candidate_count; i++)
        if (strcmp(u->candidates[i], id) == 0)
            return true;
    return false;
}

static void add_candidate(struct user_connection *u, const char *id)
{
    if (u->candidate_count < PROXY_BROKERS_MAX && !is_candidate(u, id))
        u->candidates[u->candidate_count++] = rl_strdup(id);
}

void dialling_forget_candidates(struct user_connection *u)
{
    for (size_t i = 0; i < u->candidate_count; i++)
        free(u->candidates[i]);
    free(u->candidates);
    u->candidates = NULL;
    u->candidate_count = u->candidate_next = 0;
}

/* As things are now; the first is asked next. */
static void list_candidates(struct user_connection *u)
{
    dialling_forget_candidates(u);
    const Pb__ControlUpdate *state = rl_control_state(u->proxy->control);
    const char *answering[PROXY_BROKERS_MAX];
    size_t n = upstream_brokers(u->proxy, answering);
    u->candidates = rl_alloc_array(PROXY_BROKERS_MAX, sizeof *u->candidates);
    for (size_t i = 0; i < u->where->n_broker_ids; i++)
        add_candidate(u, u->where->broker_ids[i]);
    for (size_t i = 0; i < state->n_brokers; i++)
        add_candidate(u, state->brokers[i]->id);
    for (size_t i = 0; i < n; i++)
        add_candidate(u, answering[i]);
}

static Pb__ResolveTargetResponse *copy_of(const ProtobufCMessage *reply)
{
    size_t n = protobuf_c_message_get_packed_size(reply);
    uint8_t *packed = rl_alloc(n);
    protobuf_c_message_pack(reply, packed);
    Pb__ResolveTargetResponse *copy = pb__resolve_target_response__unpack(NULL, n, packed);
    free(packed);
    RL_ASSERT(copy); /* it was a message a moment ago */
    return copy;
}

static void found(struct user_connection *u)
{
    struct rl_error err;
    if (connect_check(u, &err) != RL_OK) {
        connect_answer(u, err.code, err.message);
        return;
    }
    u->state = USER_DIALLING;
    if (!u->is_for_leaf && strcmp(u->where->mode, "direct") == 0) {
        dial_node(u);
    } else {
        list_candidates(u);
        try_next(u);
    }
}

static struct place_key place_of(const struct user_connection *u)
{
    return (struct place_key){.user = u->identity->name,
                              .user_cluster = u->identity->cluster,
                              .cluster = u->is_for_leaf ? u->request->cluster : "",
                              .kind = u->is_for_leaf ? "" : u->request->kind,
                              .target = u->is_for_leaf ? "" : u->request->target};
}

/* As old as the policy of a node may be while auth is away. */
static int64_t place_age_max_s(const struct proxy *proxy)
{
    const Pb__ClusterConfig *config = rl_control_state(proxy->control)->config;
    uint64_t age_s = config && config->spec ? config->spec->policy_max_age_s : 0;
    return age_s && age_s < INT64_MAX ? (int64_t)age_s : PLACES_AGE_S;
}

static Pb__ResolveTargetResponse *known_place(const struct user_connection *u)
{
    struct place_key key = place_of(u);
    return places_get(u->proxy->places, &key, proxy_now_ns(u->proxy) / NS_PER_S,
                      place_age_max_s(u->proxy));
}

/* Auth did not answer: what it said last to this user about this target still helps. */
static void remember(struct user_connection *u, const char *why)
{
    char message[RL_ERROR_MESSAGE_BYTES];
    u->where = known_place(u);
    if (u->where) {
        found(u);
        return;
    }
    snprintf(message, sizeof message, "auth can not be asked where the %s is: %s", shown_kind(u),
             why);
    connect_answer(u, RL_E_UNAVAILABLE, message);
}

static void on_resolved(void *context, rl_code code, const char *message,
                        const ProtobufCMessage *reply)
{
    struct user_connection *u = context;
    struct places *places = u->proxy->places;
    struct place_key key = place_of(u);
    u->resolving = NULL;
    if (u->must_stop) {
        connect_answer(u, u->failure.code, u->failure.message);
    } else if (code == RL_E_UNAVAILABLE || code == RL_E_DEADLINE) {
        remember(u, message);
    } else if (code != RL_OK) {
        if (code == RL_E_DENIED || code == RL_E_NOT_FOUND)
            places_forget(places, &key);
        connect_answer(u, code, message);
    } else {
        u->where = copy_of(reply);
        places_put(places, &key, u->where, proxy_now_ns(u->proxy) / NS_PER_S);
        found(u);
    }
}

static void resolve(struct user_connection *u, uint32_t deadline_ms)
{
    Pb__Caller caller = PB__CALLER__INIT;
    caller.user = u->identity->name;
    caller.cluster = u->identity->cluster;
    caller.claims = u->identity->claims;
    caller.certificate_sha256 =
        (ProtobufCBinaryData){sizeof u->identity->fingerprint, u->identity->fingerprint};
    caller.client_address = u->arrival.address;
    char no_text[] = "";
    Pb__ResolveTargetRequest request = PB__RESOLVE_TARGET_REQUEST__INIT;
    request.caller = &caller;
    /* Of a leaf only where it is: what there is in it is not known here, nor told. */
    request.kind = u->is_for_leaf ? no_text : u->request->kind;
    request.target = u->is_for_leaf ? no_text : u->request->target;
    request.cluster = u->is_for_leaf ? u->request->cluster : no_text;
    u->state = USER_RESOLVING;
    rl_rpc_unary(rl_control_channel(u->proxy->control), &pb__control__descriptor, "ResolveTarget",
                 &request.base, deadline_ms, on_resolved, u, &u->resolving);
}

void dialling_start(struct user_connection *u)
{
    Pb__ResolveTargetResponse *known = known_place(u);
    if (known && !rl_control_is_up(u->proxy->control)) { /* nobody waits for who is not there */
        u->where = known;
        found(u);
        return;
    }
    resolve(u, known ? PROXY_RESOLVE_KNOWN_MS : PROXY_RESOLVE_MS);
    if (known)
        pb__resolve_target_response__free_unpacked(known, NULL);
}
