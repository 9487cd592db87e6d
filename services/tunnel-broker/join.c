/* join: from a Dial to the Carry that answers it. A stream id is 128 random bits, for one agent and
 * one epoch, good once and for ten seconds: whoever guesses or repeats one is refused, and the Dial
 * it belonged to is not disturbed.
 */
#include "internal.h"

#include "bytes/secret.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

static struct pending **find(struct broker *broker, struct rl_span stream_id)
{
    if (stream_id.n != RL_TUNNEL_STREAM_ID_BYTES)
        return NULL;
    struct pending **at = &broker->pending[stream_id.p[0]];
    while (*at && CRYPTO_memcmp((*at)->stream_id, stream_id.p, stream_id.n) != 0)
        at = &(*at)->next;
    return *at ? at : NULL;
}

static void drop(struct pending *pending)
{
    struct pending **at =
        find(pending->broker, RL_SPAN(pending->stream_id, sizeof pending->stream_id));
    *at = pending->next;
    pending->broker->pending_count--;
    if (pending->attachment)
        pending->attachment->pending--;
    pending->dial->pending = NULL;
    if (pending->ticket)
        pb__signed_ticket__free_unpacked(pending->ticket, NULL);
    rl_timer_free(&pending->timer);
    free(pending->agent_id);
    free(pending);
}

/* The Dial gets its answer, and the pending is gone. */
static void fail(struct pending *pending, rl_code code, const char *message)
{
    struct hop *dial = pending->dial;
    drop(pending);
    relay_end(dial, code, message);
}

static uint32_t join_ms(const struct attachment *a)
{
    return a->leaf ? RL_TUNNEL_LEAF_JOIN_MS : RL_TUNNEL_JOIN_MS;
}

static void on_late(void *context)
{
    struct pending *pending = context;
    const struct attachment *a = pending->attachment;
    char message[RL_ERROR_MESSAGE_BYTES];
    snprintf(message, sizeof message, "%s %s is attached but did not answer within %u s",
             attachment_kind(a), attachment_name(a), join_ms(a) / 1000);
    if (pending->ticket)
        snprintf(message, sizeof message, "%s %s waits for its policy, which auth did not give",
                 attachment_kind(a), attachment_name(a));
    fail(pending, RL_E_DEADLINE, message);
}

static struct pending *create(struct hop *dial, struct attachment *a)
{
    struct broker *broker = dial->broker;
    struct pending *pending = rl_alloc(sizeof *pending);
    pending->broker = broker;
    pending->epoch = a->epoch;
    pending->agent_id = rl_strdup(a->agent_id);
    pending->attachment = a;
    pending->dial = dial;
    rl_random(pending->stream_id, sizeof pending->stream_id);
    pending->next = broker->pending[pending->stream_id[0]];
    broker->pending[pending->stream_id[0]] = pending;
    broker->pending_count++;
    a->pending++;
    dial->pending = pending;
    pending->timer = rl_timer_create(broker->config.loop, on_late, pending);
    rl_timer_arm(pending->timer, join_ms(a));
    return pending;
}

static Pb__SignedTicket *copy_of(const Pb__SignedTicket *ticket)
{
    size_t n = pb__signed_ticket__get_packed_size(ticket);
    uint8_t *packed = rl_alloc(n);
    pb__signed_ticket__pack(ticket, packed);
    Pb__SignedTicket *copy = pb__signed_ticket__unpack(NULL, n, packed);
    free(packed);
    RL_ASSERT(copy);
    return copy;
}

/* The agent is told to come; the pending is gone if that is not possible. */
static void send_open(struct pending *pending)
{
    struct attachment *a = pending->attachment;
    Pb__Open open = PB__OPEN__INIT;
    open.stream_id = (ProtobufCBinaryData){sizeof pending->stream_id, pending->stream_id};
    open.ticket = pending->ticket;
    open.statement = rl_control_state(a->broker->control)->statement;
    Pb__BrokerMessage message = PB__BROKER_MESSAGE__INIT;
    message.body_case = PB__BROKER_MESSAGE__BODY_OPEN;
    message.open = &open;
    rl_code rc = attachment_send(a, &message, NULL);
    pb__signed_ticket__free_unpacked(pending->ticket, NULL);
    pending->ticket = NULL;
    if (rc != RL_OK) {
        char text[RL_ERROR_MESSAGE_BYTES];
        snprintf(text, sizeof text, "%s %s does not read what it is told", attachment_kind(a),
                 attachment_name(a));
        fail(pending, RL_E_UNAVAILABLE, text);
    }
}

void join_tell(struct attachment *attachment)
{
    struct broker *broker = attachment->broker;
    for (size_t i = 0; attachment->pending && i < RL_COUNT(broker->pending); i++) {
        for (struct pending *pending = broker->pending[i], *next; pending; pending = next) {
            next = pending->next;
            if (pending->attachment == attachment && pending->ticket)
                send_open(pending);
        }
    }
}

static bool serves(const struct attachment *a, const char *kind)
{
    if (a->leaf) /* what it has of that it decides */
        return strcmp(kind, "ssh") == 0 || strcmp(kind, "auth") == 0 || strcmp(kind, "audit") == 0;
    return a->serves_nodes && strcmp(kind, "ssh") == 0;
}

/* Only what is registered can be dialled; of that, this version's agents serve SSH. The ticket's
 * signature is the agent's to check. */
static rl_code check_target(const struct attachment *a, const Pb__DialOpen *open,
                            struct rl_error *err)
{
    if (!open->ticket)
        return rl_fail(err, RL_E_INVAL, "a dial without a ticket");
    Pb__Ticket *ticket =
        pb__ticket__unpack(NULL, open->ticket->ticket.len, open->ticket->ticket.data);
    if (!ticket)
        return rl_fail(err, RL_E_INVAL, "a malformed ticket");
    rl_code rc = RL_OK;
    if (strcmp(ticket->agent_id, open->agent_id) != 0)
        rc = rl_fail(err, RL_E_INVAL, "the ticket is for another agent");
    else if (!serves(a, ticket->target_kind))
        rc = rl_fail(err, RL_E_NOT_FOUND, "%s %s serves no %.16s", attachment_kind(a),
                     attachment_name(a), ticket->target_kind);
    pb__ticket__free_unpacked(ticket, NULL);
    return rc;
}

rl_code join_ask(struct hop *dial, const Pb__DialOpen *open, struct rl_error *err)
{
    struct broker *broker = dial->broker;
    bool is_leaf = leaves_is_id(open->agent_id);
    if (is_leaf && (dial->by_broker || dial->is_ours)) /* from a root through here to a leaf: no */
        return rl_fail(err, RL_E_DENIED, "only a proxy dials a cluster");
    struct attachment *a =
        is_leaf ? leaves_pick(broker, open->agent_id) : attachments_find(broker, open->agent_id);
    if (!a)
        return rl_fail(err, RL_E_UNAVAILABLE, "%s%.264s is not attached to this broker",
                       is_leaf ? "" : "node ", open->agent_id);
    rl_code rc = check_target(a, open, err);
    if (rc != RL_OK)
        return rc;
    if (broker->pending_count >= BROKER_PENDING_MAX || a->pending >= BROKER_PENDING_AGENT_MAX)
        return rl_fail(err, RL_E_EXHAUSTED, "too many connections to %s %s are opening",
                       attachment_kind(a), attachment_name(a));
    if (broker->joined >= BROKER_STREAMS_MAX)
        return rl_fail(err, RL_E_EXHAUSTED, "this broker carries %d connections; no more",
                       BROKER_STREAMS_MAX);
    struct pending *pending = create(dial, a);
    pending->ticket = copy_of(open->ticket);
    /* An agent behind auth decides nothing: it gets its policy first, and then is asked to come.
     * While auth is away there is none to be had, and the agent judges by what it holds. */
    if (rl_control_is_up(broker->control) && policies_is_due(broker->policies, a))
        policies_want(broker->policies, a, true);
    else
        send_open(pending);
    return RL_OK;
}

rl_code join_carry(struct hop *carry, const Pb__CarryJoin *join, struct rl_error *err)
{
    struct pending **at = find(carry->broker, RL_SPAN(join->stream_id.data, join->stream_id.len));
    /* The same words for one that never was, is over, or is another agent's. */
    if (!at || strcmp((*at)->agent_id, carry->agent_id) != 0 || (*at)->epoch != join->epoch)
        return rl_fail(err, RL_E_NOT_FOUND, "nobody waits for this stream");
    struct pending *pending = *at;
    struct hop *dial = pending->dial;
    struct attachment *a = pending->attachment;
    drop(pending);
    dial->attachment = a;
    a->live++;
    relay_join(dial, carry);
    return RL_OK;
}

void join_refused(struct attachment *attachment, const Pb__OpenRefused *refused)
{
    struct pending **at =
        find(attachment->broker, RL_SPAN(refused->stream_id.data, refused->stream_id.len));
    if (!at || (*at)->attachment != attachment)
        return; /* it was late, or is not its own */
    rl_code code = rl_code_from_number((long)refused->code);
    fail(*at, code == RL_OK ? RL_E_UNKNOWN : code, refused->message);
}

void join_lost(struct attachment *attachment)
{
    struct broker *broker = attachment->broker;
    for (size_t i = 0; attachment->pending && i < RL_COUNT(broker->pending); i++) {
        struct pending *pending = broker->pending[i];
        while (pending) {
            struct pending *next = pending->next;
            if (pending->attachment == attachment) {
                char message[RL_ERROR_MESSAGE_BYTES];
                snprintf(message, sizeof message, "%s %s has just detached",
                         attachment_kind(attachment), attachment_name(attachment));
                fail(pending, RL_E_UNAVAILABLE, message);
            }
            pending = next;
        }
    }
}

void join_forget(struct hop *dial)
{
    if (dial->pending)
        drop(dial->pending);
}
