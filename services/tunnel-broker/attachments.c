/* attachments: one Attach stream of one agent, from its first headers to its end:
 *
 *      ASKING       auth is asked for an epoch
 *      CHALLENGED   the agent has the epoch and a nonce, and is to sign them
 *      HERE         in the table: can be dialled
 *      OVER         the stream is gone; kept only until auth's answer has come
 */
#include "hello.h"
#include "internal.h"

#include "bytes/secret.h"
#include "protocol/protocol.h"

#include <stdlib.h>
#include <string.h>

/* ---- the table ---- */

static struct attachment **bucket_of(const struct broker *broker, const char *agent_id)
{
    uint64_t hash = 14695981039346656037ull; /* FNV-1a; ids are auth's, not the agents' */
    for (const char *c = agent_id; *c; c++)
        hash = (hash ^ (uint8_t)*c) * 1099511628211ull;
    return &broker->buckets[hash % broker->bucket_count];
}

struct attachment *attachments_find(const struct broker *broker, const char *agent_id)
{
    struct attachment *a = *bucket_of(broker, agent_id);
    while (a && strcmp(a->agent_id, agent_id) != 0)
        a = a->in_bucket;
    return a;
}

void attachments_put(struct broker *broker, struct attachment *attachment)
{
    struct attachment **bucket = bucket_of(broker, attachment->agent_id);
    attachment->in_bucket = *bucket;
    *bucket = attachment;
    broker->attached++;
    rl_metric_set(broker->agents_gauge, (int64_t)broker->attached);
}

void attachments_remove(struct broker *broker, struct attachment *attachment)
{
    struct attachment **at = bucket_of(broker, attachment->agent_id);
    while (*at && *at != attachment)
        at = &(*at)->in_bucket;
    if (!*at)
        return;
    *at = attachment->in_bucket;
    broker->attached--;
    rl_metric_set(broker->agents_gauge, (int64_t)broker->attached);
}

/* ---- its life ---- */

static void on_timer(void *context)
{
    struct attachment *a = context;
    if (a->state == ATTACHMENT_CHALLENGED)
        attachment_end(a, RL_E_DEADLINE, "no hello came in time");
    else if (a->state == ATTACHMENT_HERE)
        policies_want(a->broker->policies, a, true);
}

static struct attachment *create(struct broker *broker, struct rl_rpc_call *call)
{
    const struct rl_rpc_peer *peer = rl_rpc_peer(call);
    struct attachment *a = rl_alloc(sizeof *a);
    a->broker = broker;
    a->call = call;
    bool is_agent = peer->identity->kind == RL_IDENTITY_AGENT;
    a->agent_id = is_agent ? rl_strdup(peer->identity->name) : leaves_id_of(peer->identity);
    a->leaf = is_agent ? NULL : leaves_name_of(peer->identity);
    a->address = rl_strdup(peer->address ? peer->address : "");
    a->came_ms = rl_loop_now_ms(broker->config.loop);
    a->timer = rl_timer_create(broker->config.loop, on_timer, a);
    rl_buf_init(&a->policy_nonce, 64);
    const Pb__IdentityClaims *claims = peer->identity->claims;
    for (size_t i = 0; i < claims->n_agent_kinds; i++)
        a->serves_nodes = a->serves_nodes || strcmp(claims->agent_kinds[i], "node") == 0;
    a->next = broker->attachments;
    if (a->next)
        a->next->previous = a;
    broker->attachments = a;
    broker->attachment_count++;
    rl_rpc_set_data(call, a);
    return a;
}

static void free_if_done(struct attachment *a)
{
    if (a->state != ATTACHMENT_OVER || a->asking)
        return;
    struct broker *broker = a->broker;
    if (a->previous)
        a->previous->next = a->next;
    else
        broker->attachments = a->next;
    if (a->next)
        a->next->previous = a->previous;
    broker->attachment_count--;
    rl_timer_free(&a->timer);
    rl_buf_fini(&a->policy_nonce);
    free(a->agent_id);
    free(a->leaf);
    free(a->address);
    free(a);
}

rl_code attachment_send(struct attachment *attachment, const Pb__BrokerMessage *message,
                        struct rl_error *err)
{
    if (!attachment->call)
        return rl_fail(err, RL_E_UNAVAILABLE, "the agent has gone");
    return rl_rpc_send(attachment->call, &message->base, err);
}

static void send_drain(struct rl_rpc_call *call, const char *reason, uint32_t come_back_ms)
{
    Pb__Drain drain = PB__DRAIN__INIT;
    drain.reason = (char *)(uintptr_t)reason;
    drain.come_back_ms = come_back_ms;
    Pb__BrokerMessage message = PB__BROKER_MESSAGE__INIT;
    message.body_case = PB__BROKER_MESSAGE__BODY_DRAIN;
    message.drain = &drain;
    rl_rpc_send(call, &message.base, NULL); /* best effort: the end that follows says it too */
}

void attachment_end(struct attachment *attachment, rl_code code, const char *reason)
{
    if (!attachment->call || attachment->state == ATTACHMENT_OVER)
        return;
    bool was_here = attachment->state == ATTACHMENT_HERE;
    rl_log_info("attachment ended by the broker", RL_TEXT("agent", attachment->agent_id),
                RL_NUMBER("epoch", attachment->epoch), RL_TEXT("code", rl_code_name(code)),
                RL_TEXT("reason", reason));
    attachments_remove(attachment->broker, attachment);
    if (attachment->leaf)
        leaves_remove(attachment->broker, attachment);
    join_lost(attachment);
    if (was_here)
        reports_detached(attachment->broker->reports, attachment, reason);
    attachment->state = ATTACHMENT_OVER;
    rl_rpc_end(attachment->call, code, reason);
}

/* ---- the conversation ---- */

static void challenge(struct attachment *a)
{
    rl_random(a->nonce, sizeof a->nonce);
    Pb__Challenge body = PB__CHALLENGE__INIT;
    body.broker_id = (char *)(uintptr_t)a->broker->config.id;
    body.epoch = a->epoch;
    body.nonce = (ProtobufCBinaryData){sizeof a->nonce, a->nonce};
    body.protocol = RL_PROTOCOL;
    body.protocol_min = RL_PROTOCOL_MIN;
    Pb__BrokerMessage message = PB__BROKER_MESSAGE__INIT;
    message.body_case = PB__BROKER_MESSAGE__BODY_CHALLENGE;
    message.challenge = &body;
    a->state = ATTACHMENT_CHALLENGED;
    rl_timer_arm(a->timer, BROKER_HELLO_MS);
    attachment_send(a, &message, NULL);
}

void attachment_epoch(struct attachment *a, uint64_t epoch, rl_code code, const char *message)
{
    if (a->state != ATTACHMENT_ASKING)
        return;
    if (code != RL_OK) {
        uint16_t jitter;
        rl_random(&jitter, sizeof jitter);
        send_drain(a->call, "auth cannot be asked now", 1000 + jitter % 4000);
        attachment_end(a, code == RL_E_DENIED ? code : RL_E_UNAVAILABLE, message);
        return;
    }
    a->epoch = epoch;
    challenge(a);
}

/* Full, draining, or too many at once: a time to come back, and nothing else is done for it. */
static bool turn_away(struct broker *broker, struct rl_rpc_call *call)
{
    uint32_t come_back_ms = 0;
    const char *why = NULL;
    if (broker->is_draining)
        why = "this broker is going away";
    else if (broker->attachment_count >= broker->config.agents_max)
        why = "this broker is full";
    else if (!admission_take(&broker->admission, rl_loop_now_ms(broker->config.loop),
                             BROKER_COME_BACK_MS_MAX, &come_back_ms))
        why = "too many agents at once";
    else if (!broker->control)
        why = "this broker is starting";
    if (!why)
        return false;
    rl_metric_add(broker->turned_away, 1);
    send_drain(call, why, come_back_ms ? come_back_ms : 1000);
    rl_rpc_end(call, RL_E_UNAVAILABLE, why);
    return true;
}

void attach_opened(struct rl_rpc_call *call, void *context)
{
    struct broker *broker = context;
    struct rl_error err;
    if (turn_away(broker, call))
        return;
    const struct rl_identity *caller = rl_rpc_peer(call)->identity;
    if (caller->kind != RL_IDENTITY_AGENT && leaves_check(broker, caller, &err) != RL_OK) {
        rl_rpc_end(call, err.code, err.message);
        return;
    }
    epochs_want(broker->epochs, create(broker, call));
}

static void take_held(struct attachment *a, uint64_t version, ProtobufCBinaryData sha256)
{
    a->held_version = version;
    a->held_sha256_n = sha256.len == sizeof a->held_sha256 ? sha256.len : 0;
    if (a->held_sha256_n)
        memcpy(a->held_sha256, sha256.data, a->held_sha256_n);
}

/* The newer epoch counts: whoever came later is the living one. */
static bool takes_the_place(struct attachment *a)
{
    struct attachment *other = attachments_find(a->broker, a->agent_id);
    if (!other)
        return true;
    if (other->epoch >= a->epoch)
        return false;
    relay_part_resumable(other);
    attachment_end(other, RL_E_ABORTED, "the agent attached again");
    return true;
}

void attachment_welcome(struct attachment *a)
{
    const Pb__ControlUpdate *state = rl_control_state(a->broker->control);
    Pb__Welcome body = PB__WELCOME__INIT;
    body.keepalive_s = BROKER_KEEPALIVE_S;
    body.time_ns = broker_now_ns(a->broker);
    char **others = rl_alloc_array(state->n_brokers + 1, sizeof *others);
    for (size_t i = 0; i < state->n_brokers; i++)
        if (strcmp(state->brokers[i]->id, a->broker->config.id) != 0)
            others[body.n_other_brokers++] = state->brokers[i]->id;
    body.other_brokers = others;
    Pb__BrokerMessage message = PB__BROKER_MESSAGE__INIT;
    message.body_case = PB__BROKER_MESSAGE__BODY_WELCOME;
    message.welcome = &body;
    attachment_send(a, &message, NULL);
    free(others);
}

/* What it carries goes on without it; the next attachment of the agent takes it over. */
static void orphan_connections(struct attachment *a)
{
    for (struct hop *hop = a->broker->hops; a->live && hop; hop = hop->next) {
        if (hop->attachment != a)
            continue;
        hop->attachment = NULL;
        a->live--;
        a->broker->orphans++;
    }
}

static void adopt_connections(struct attachment *a)
{
    for (struct hop *hop = a->broker->hops; a->broker->orphans && hop; hop = hop->next) {
        if (hop->kind != HOP_DIAL || hop->attachment || !hop->peer || !hop->peer->agent_id ||
            strcmp(hop->peer->agent_id, a->agent_id) != 0)
            continue;
        hop->attachment = a;
        a->live++;
        a->broker->orphans--;
    }
}

static void on_hello(struct attachment *a, const Pb__SignedHello *signed_hello)
{
    struct hello_expect expect = {.agent_id = a->agent_id,
                                  .broker_id = a->broker->config.id,
                                  .epoch = a->epoch,
                                  .nonce = RL_SPAN(a->nonce, sizeof a->nonce)};
    Pb__Hello *hello = NULL;
    struct rl_error err;
    if (hello_check(signed_hello, &expect, &hello, &err) != RL_OK) {
        attachment_end(a, err.code, err.message);
        return;
    }
    if (!takes_the_place(a)) {
        attachment_end(a, RL_E_ABORTED, "a newer attachment of this agent is here already");
        goto out;
    }
    if (a->leaf && leaves_put(a->broker, a, &err) != RL_OK) {
        attachment_end(a, err.code, err.message);
        goto out;
    }
    rl_timer_disarm(a->timer);
    take_held(a, hello->policy_version, hello->policy_sha256);
    rl_buf_put(&a->policy_nonce, hello->policy_nonce.data, hello->policy_nonce.len);
    a->state = ATTACHMENT_HERE;
    attachments_put(a->broker, a);
    adopt_connections(a);
    attachment_welcome(a);
    /* One that is not behind has most likely what there is: auth says so with its verdict. */
    a->policy_by_report = !a->leaf && !a->policy_nonce.n && a->held_sha256_n && a->held_version &&
                          a->held_version >= policies_version_known(a->broker);
    reports_attached(a->broker->reports, a, signed_hello);
    if (!a->policy_by_report)
        policies_want(a->broker->policies, a, true);
    rl_metric_add(a->broker->attached_total, 1);
    rl_log_info("agent attached", RL_TEXT("agent", a->agent_id), RL_NUMBER("epoch", a->epoch),
                RL_TEXT("address", a->address), RL_TEXT("version", hello->version));
out:
    pb__hello__free_unpacked(hello, NULL);
}

static void on_policy_held(struct attachment *a, const Pb__PolicyHeld *held)
{
    take_held(a, held->version, held->sha256);
    if (held->version)
        rl_buf_clear(&a->policy_nonce); /* it has a floor now */
}

static void on_message(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)context;
    struct attachment *a = rl_rpc_data(call);
    const Pb__AgentMessage *m = (const Pb__AgentMessage *)message;
    if (!a || a->state == ATTACHMENT_OVER)
        return;
    if (a->state == ATTACHMENT_CHALLENGED && m->body_case == PB__AGENT_MESSAGE__BODY_HELLO) {
        on_hello(a, m->hello);
        return;
    }
    if (a->state != ATTACHMENT_HERE) {
        attachment_end(a, RL_E_PRECONDITION, "the first message has to be a hello");
        return;
    }
    switch (m->body_case) {
    case PB__AGENT_MESSAGE__BODY_POLICY_HELD:
        on_policy_held(a, m->policy_held);
        break;
    case PB__AGENT_MESSAGE__BODY_REFUSED:
        join_refused(a, m->refused);
        break;
    case PB__AGENT_MESSAGE__BODY_HELLO:
        attachment_end(a, RL_E_PRECONDITION, "a second hello");
        break;
    default: /* an inventory comes with the hello; what a newer agent says is not for us */
        break;
    }
}

static void on_closed(struct rl_rpc_call *call, rl_code code, const char *message, void *context)
{
    (void)context;
    struct attachment *a = rl_rpc_data(call);
    if (!a)
        return;
    a->call = NULL;
    epochs_forget(a->broker->epochs, a);
    policies_forget(a->broker->policies, a);
    rl_timer_disarm(a->timer);
    if (a->state == ATTACHMENT_HERE) {
        rl_log_info("agent detached", RL_TEXT("agent", a->agent_id), RL_NUMBER("epoch", a->epoch),
                    RL_TEXT("code", rl_code_name(code)), RL_TEXT("reason", message));
        attachments_remove(a->broker, a);
        if (a->leaf)
            leaves_remove(a->broker, a);
        reports_detached(a->broker->reports, a, code == RL_OK ? "it left" : message);
    }
    a->state = ATTACHMENT_OVER;
    join_lost(a);
    orphan_connections(a);
    if (a->asking)
        rl_rpc_cancel(a->asking);
    free_if_done(a);
}

const struct rl_rpc_stream_ops attach_ops = {.message = on_message, .closed = on_closed};

void attachment_asked(struct attachment *attachment)
{
    attachment->asking = NULL;
    free_if_done(attachment);
}

/* ---- to all ---- */

void attachments_send_statement(struct broker *broker)
{
    Pb__SignedStatement *statement = rl_control_state(broker->control)->statement;
    if (!statement)
        return;
    Pb__BrokerMessage message = PB__BROKER_MESSAGE__INIT;
    message.body_case = PB__BROKER_MESSAGE__BODY_STATEMENT;
    message.statement = statement;
    for (struct attachment *a = broker->attachments; a; a = a->next)
        if (a->state == ATTACHMENT_HERE && a->live)
            attachment_send(a, &message, NULL);
}

void attachment_move(struct attachment *attachment, const char *reason)
{
    attachment->is_told_to_move = true;
    send_drain(attachment->call, reason, 0);
}

void attachments_drain(struct broker *broker, uint32_t come_back_ms)
{
    for (struct attachment *a = broker->attachments; a; a = a->next)
        if (a->call && a->state != ATTACHMENT_OVER)
            send_drain(a->call, "this broker is going away", come_back_ms);
}
