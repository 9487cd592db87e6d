/* agent: an agent as a test plays it: attaches, signs, and comes for what is dialled, or does not.
 */
#ifndef BROKER_TESTS_AGENT_H
#define BROKER_TESTS_AGENT_H

#include "cluster.h"

#include <fcntl.h>
#include <sys/socket.h>

enum lie { HONEST, OTHER_AGENT, OTHER_BROKER, OTHER_EPOCH, OTHER_NONCE, NO_SIGNATURE, TOO_NEW };

struct test_agent {
    struct cluster *cluster;
    const char *id;
    struct rl_tls_identity *identity;
    struct rl_tls_client *tls;
    struct rl_rpc_channel *channel;
    struct rl_rpc_call *attach;
    enum lie lie;
    uint32_t protocol;     /* that it says it speaks; 0: nothing */
    uint64_t holds;        /* this version of the policy; 0: none, it sends a nonce */
    bool is_mute, refuses; /* what it does with an open; else it comes for it */
    int challenged, welcomed, policies, policies_at_open, statements, opens, drains, closed;
    uint64_t epoch;
    size_t other_brokers;
    uint32_t come_back_ms;
    rl_code code;
    char message[256];
    uint8_t stream_id[16]; /* of the last open */
    char statement[32];
    Pb__SignedTicket *ticket;  /* of the last open */
    struct rl_tunnel_end *end; /* of the last carry */
    int fd;                    /* the program's end of it */
    int carry_closed;
    rl_code carry_code;
    char carry_message[256];
};

static inline void agent_say(struct test_agent *a, const Pb__AgentMessage *message)
{
    ck_assert_int_eq(rl_rpc_send(a->attach, &message->base, NULL), RL_OK);
}

static inline void agent_answer(struct test_agent *a, const Pb__Challenge *challenge)
{
    uint8_t wrong[32] = {0}, nonce[16] = {7}, sha256[32] = {8};
    Pb__Hello hello = PB__HELLO__INIT;
    hello.agent_id = (char *)(uintptr_t)(a->lie == OTHER_AGENT ? UUID_B : a->id);
    hello.broker_id = a->lie == OTHER_BROKER ? (char *)(uintptr_t)UUID_B : challenge->broker_id;
    hello.epoch = challenge->epoch + (a->lie == OTHER_EPOCH);
    hello.nonce = challenge->nonce;
    if (a->lie == OTHER_NONCE)
        hello.nonce.data = wrong;
    if (a->holds)
        hello.policy_sha256 = (ProtobufCBinaryData){sizeof sha256, sha256};
    else
        hello.policy_nonce = (ProtobufCBinaryData){sizeof nonce, nonce};
    hello.policy_version = a->holds;
    hello.protocol = a->protocol;
    hello.protocol_min = a->lie == TOO_NEW ? a->protocol : 0;
    struct rl_buf body, signature;
    rl_buf_init(&body, 65536);
    rl_buf_init(&signature, 1024);
    uint8_t *to = rl_buf_reserve(&body, pb__hello__get_packed_size(&hello));
    body.n = pb__hello__pack(&hello, to);
    ck_assert_int_eq(rl_key_sign(rl_tls_identity_key(a->identity), "remoteler-hello-v1",
                                 rl_buf_span(&body), &signature, NULL),
                     RL_OK);
    Pb__SignedHello signed_hello = PB__SIGNED_HELLO__INIT;
    signed_hello.hello = (ProtobufCBinaryData){body.n, body.p};
    signed_hello.signature =
        (ProtobufCBinaryData){a->lie == NO_SIGNATURE ? 0 : signature.n, signature.p};
    Pb__AgentMessage message = PB__AGENT_MESSAGE__INIT;
    message.body_case = PB__AGENT_MESSAGE__BODY_HELLO;
    message.hello = &signed_hello;
    agent_say(a, &message);
    rl_buf_fini(&body);
    rl_buf_fini(&signature);
}

static inline void agent_carry_closed(void *context, const struct rl_tunnel_summary *summary)
{
    struct test_agent *a = context;
    a->end = NULL;
    a->carry_closed++;
    a->carry_code = summary->code;
    snprintf(a->carry_message, sizeof a->carry_message, "%s", summary->message);
}

/* Comes for a stream and joins it to a socket pair. */
static inline void agent_carry(struct test_agent *a, const uint8_t stream_id[16], uint64_t epoch)
{
    Pb__CarryJoin join = PB__CARRY_JOIN__INIT;
    join.stream_id = (ProtobufCBinaryData){16, (uint8_t *)(uintptr_t)stream_id};
    join.epoch = epoch;
    Pb__Frame first = PB__FRAME__INIT;
    first.join = &join;
    struct rl_tunnel_end_config config = {.loop = a->cluster->loop,
                                          .role = RL_TUNNEL_CARRIES,
                                          .closed = agent_carry_closed,
                                          .context = a};
    ck_assert_int_eq(rl_tunnel_rpc_open(a->channel, &pb__tunnel_broker__descriptor, "Carry",
                                        &config, &first, &a->end, NULL),
                     RL_OK);
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    if (a->fd >= 0)
        close(a->fd);
    a->fd = pair[0];
    struct rl_socket *socket = NULL;
    ck_assert_int_eq(rl_socket_create(a->cluster->loop, pair[1], NULL, NULL, NULL, &socket, NULL),
                     RL_OK);
    rl_tunnel_end_attach(a->end, &socket, RL_SPAN(NULL, 0));
}

static inline void agent_forget_ticket(struct test_agent *a)
{
    if (a->ticket)
        pb__signed_ticket__free_unpacked(a->ticket, NULL);
    a->ticket = NULL;
}

static inline void agent_on_open(struct test_agent *a, const Pb__Open *open)
{
    a->opens++;
    a->policies_at_open = a->policies;
    ck_assert_uint_eq(open->stream_id.len, 16);
    ck_assert_ptr_nonnull(open->ticket);
    memcpy(a->stream_id, open->stream_id.data, 16);
    agent_forget_ticket(a);
    uint8_t *packed = rl_alloc(pb__signed_ticket__get_packed_size(open->ticket));
    a->ticket =
        pb__signed_ticket__unpack(NULL, pb__signed_ticket__pack(open->ticket, packed), packed);
    free(packed);
    snprintf(a->statement, sizeof a->statement, "%s",
             open->statement ? open->statement->key_id : "none");
    if (a->refuses) {
        Pb__OpenRefused refused = PB__OPEN_REFUSED__INIT;
        refused.stream_id = open->stream_id;
        refused.code = RL_E_EXHAUSTED;
        refused.message = (char *)(uintptr_t) "too many connections here";
        Pb__AgentMessage message = PB__AGENT_MESSAGE__INIT;
        message.body_case = PB__AGENT_MESSAGE__BODY_REFUSED;
        message.refused = &refused;
        agent_say(a, &message);
    } else if (!a->is_mute) {
        agent_carry(a, a->stream_id, a->epoch);
    }
}

static inline void agent_on_message(struct rl_rpc_call *call, const ProtobufCMessage *message,
                                    void *context)
{
    (void)call;
    struct test_agent *a = context;
    const Pb__BrokerMessage *m = (const Pb__BrokerMessage *)message;
    switch (m->body_case) {
    case PB__BROKER_MESSAGE__BODY_CHALLENGE:
        a->challenged++;
        a->epoch = m->challenge->epoch;
        agent_answer(a, m->challenge);
        break;
    case PB__BROKER_MESSAGE__BODY_WELCOME:
        a->welcomed++;
        a->other_brokers = m->welcome->n_other_brokers;
        break;
    case PB__BROKER_MESSAGE__BODY_POLICY:
        a->policies++;
        break;
    case PB__BROKER_MESSAGE__BODY_OPEN:
        agent_on_open(a, m->open);
        break;
    case PB__BROKER_MESSAGE__BODY_STATEMENT:
        a->statements++;
        break;
    case PB__BROKER_MESSAGE__BODY_DRAIN:
        a->drains++;
        a->come_back_ms = m->drain->come_back_ms;
        break;
    default:
        ck_abort_msg("an unknown message");
    }
}

static inline void agent_on_closed(struct rl_rpc_call *call, rl_code code, const char *message,
                                   void *context)
{
    (void)call;
    struct test_agent *a = context;
    a->attach = NULL;
    a->closed++;
    a->code = code;
    snprintf(a->message, sizeof a->message, "%s", message);
}

static inline void agent_attach(struct test_agent *a)
{
    static const struct rl_rpc_stream_ops ops = {.message = agent_on_message,
                                                 .closed = agent_on_closed};
    a->attach = rl_rpc_stream(a->channel, &pb__tunnel_broker__descriptor, "Attach", 0, &ops, a);
}

static inline void agent_init(struct test_agent *a, struct cluster *c, const char *id,
                              const char *kind)
{
    *a = (struct test_agent){.cluster = c, .id = id, .fd = -1};
    a->identity = agent_identity(c, id, kind);
    a->tls = tls_client(c, a->identity, "broker");
    a->channel = channel(c, c->attach_address, a->tls);
}

/* A leaf's broker does as agents do. `id` is "cluster/leaf/REPLICA". */
static inline void leaf_init(struct test_agent *a, struct cluster *c, const char *id)
{
    *a = (struct test_agent){.cluster = c, .id = id, .fd = -1};
    a->identity = identity_by(&c->leaf_services, "broker", strrchr(id, '/') + 1);
    a->tls = tls_client(c, a->identity, "broker");
    a->channel = channel(c, c->attach_address, a->tls);
}

static inline void agent_fini(struct test_agent *a)
{
    rl_rpc_channel_free(&a->channel);
    while (a->end) /* what the program did not take yet */
        rl_loop_turn(a->cluster->loop, 10);
    rl_tls_client_unref(&a->tls);
    rl_tls_identity_unref(&a->identity);
    agent_forget_ticket(a);
    if (a->fd >= 0)
        close(a->fd);
}

/* ---- a dialler ---- */

struct test_dial {
    struct cluster *cluster;
    struct rl_tunnel_end *end;
    int fd, inner;
    int opened, closed;
    rl_code code;
    char message[256];
};

static inline void dial_opened_(void *context, rl_code code, const char *message)
{
    struct test_dial *d = context;
    (void)message;
    d->opened++;
    if (code != RL_OK)
        return;
    struct rl_socket *socket = NULL;
    ck_assert_int_eq(rl_socket_create(d->cluster->loop, d->inner, NULL, NULL, NULL, &socket, NULL),
                     RL_OK);
    d->inner = -1;
    rl_tunnel_end_attach(d->end, &socket, RL_SPAN(NULL, 0));
}

static inline void dial_closed_(void *context, const struct rl_tunnel_summary *summary)
{
    struct test_dial *d = context;
    d->end = NULL;
    d->closed++;
    d->code = summary->code;
    snprintf(d->message, sizeof d->message, "%s", summary->message);
}

static uint32_t dial_features; /* that dials offer */

static inline void dial_as(struct test_dial *d, struct cluster *c, struct rl_rpc_channel *by,
                           const char *agent_id, const char *kind)
{
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    *d = (struct test_dial){.cluster = c, .fd = pair[0], .inner = pair[1]};
    Pb__Ticket ticket = PB__TICKET__INIT;
    ticket.agent_id = (char *)(uintptr_t)agent_id;
    ticket.target_kind = (char *)(uintptr_t)kind;
    Pb__DialOpen dial = PB__DIAL_OPEN__INIT;
    dial.agent_id = (char *)(uintptr_t)agent_id;
    dial.features = dial_features;
    ck_assert_int_eq(rl_ticket_sign(&ticket, rl_tls_identity_key(c->proxy_id),
                                    rl_tls_identity_certificate(c->proxy_id), &dial.ticket, NULL),
                     RL_OK);
    Pb__Frame first = PB__FRAME__INIT;
    first.dial = &dial;
    struct rl_tunnel_end_config config = {.loop = c->loop,
                                          .role = RL_TUNNEL_DIALS,
                                          .open_timeout_ms = 15000,
                                          .opened = dial_opened_,
                                          .closed = dial_closed_,
                                          .context = d};
    ck_assert_int_eq(
        rl_tunnel_rpc_open(by, &pb__dialer__descriptor, "Dial", &config, &first, &d->end, NULL),
        RL_OK);
    pb__signed_ticket__free_unpacked(dial.ticket, NULL);
}

static inline void dial(struct test_dial *d, struct cluster *c, const char *agent_id)
{
    dial_as(d, c, c->proxy, agent_id, "ssh");
}

static inline void dial_fini(struct test_dial *d)
{
    if (d->end)
        rl_tunnel_end_abort(d->end, RL_E_CANCELLED, "the test is over");
    TURN_UNTIL(d->cluster, !d->end);
    if (d->fd >= 0)
        close(d->fd);
    if (d->inner >= 0)
        close(d->inner);
}

#endif
