/* root: a root's broker as its leaf sees it, played by the test: a challenge, a welcome, opens, and
 * what is carried, as the root's proxy would see it. */
#ifndef BROKER_TESTS_ROOT_H
#define BROKER_TESTS_ROOT_H

#include "agent.h"

#include "../roots/internal.h"

#define ROOT_BROKER "0190c0de-0000-7000-8000-0000000000c0"
#define ROOT_PROXY "0190c0de-0000-7000-8000-0000000000c1"
#define OTHER_BROKER "0190c0de-0000-7000-8000-0000000000b1"
#define SESSION "0190c0de-0000-4000-8000-00000000005e"

/* The root's broker, as far as the leaf sees it. */
struct root_double {
    struct rl_rpc_server *server;
    struct rl_tls_server *tls;
    struct rl_trust *trust;
    struct rl_tls_identity *broker, *proxy, *user;
    char address[64];
    struct rl_rpc_call *attach, *carry;
    int attaches, hellos, helds, refusals, carries;
    bool is_hello_good;
    uint64_t held, epoch;
    rl_code refused, carry_code;
    char refusal[512];
    uint8_t joined[16];
    struct rl_frame_reader *reader;
    struct rl_buf out; /* to the leaf's node */
    bool ends;         /* after it */
    rl_code opened;    /* as the node said; -1: not yet */
    char got[256];
    size_t got_n;
    uint8_t number; /* of the last ticket */
};

static struct cluster *c;
static struct test_agent a;
static struct root_double r;

static inline rl_code anyone(void *context, const char *service, const char *method,
                             const struct rl_rpc_peer *peer, struct rl_error *err)
{
    (void)context, (void)service, (void)method, (void)err;
    return peer->identity && strcmp(peer->identity->cluster, "main") == 0 ? RL_OK : RL_E_DENIED;
}

static inline void root_say(Pb__BrokerMessage *message)
{
    ck_assert_ptr_nonnull(r.attach);
    ck_assert_int_eq(rl_rpc_send(r.attach, &message->base, NULL), RL_OK);
}

static inline void on_attach(struct rl_rpc_call *call, void *context)
{
    (void)context;
    Pb__Challenge challenge = PB__CHALLENGE__INIT;
    Pb__BrokerMessage message = PB__BROKER_MESSAGE__INIT;
    r.attach = call;
    r.attaches++;
    challenge.broker_id = (char *)(uintptr_t)ROOT_BROKER;
    challenge.epoch = ++r.epoch;
    challenge.nonce = (ProtobufCBinaryData){16, (uint8_t[16]){1, 2, 3}};
    message.body_case = PB__BROKER_MESSAGE__BODY_CHALLENGE;
    message.challenge = &challenge;
    root_say(&message);
}

static inline void welcome(void)
{
    Pb__Welcome body = PB__WELCOME__INIT;
    Pb__BrokerMessage message = PB__BROKER_MESSAGE__INIT;
    message.body_case = PB__BROKER_MESSAGE__BODY_WELCOME;
    message.welcome = &body;
    root_say(&message);
}

/* Signed by the certificate that is shown, which is that of this connection. */
static inline void take_hello(const Pb__SignedHello *s)
{
    X509 *shown = NULL;
    Pb__Hello *hello = pb__hello__unpack(NULL, s->hello.len, s->hello.data);
    ck_assert_ptr_nonnull(hello);
    ck_assert_int_eq(
        rl_x509_from_der(RL_SPAN(s->certificate.data, s->certificate.len), &shown, NULL), RL_OK);
    r.hellos++;
    r.is_hello_good = X509_cmp(shown, rl_tls_identity_certificate(c->broker_id)) == 0 &&
                      rl_key_verify(X509_get0_pubkey(shown), "remoteler-hello-v1",
                                    RL_SPAN(s->hello.data, s->hello.len),
                                    RL_SPAN(s->signature.data, s->signature.len), NULL) == RL_OK &&
                      strcmp(hello->agent_id, "cluster/main/" BROKER_ID) == 0 &&
                      hello->epoch == r.epoch && strcmp(hello->broker_id, ROOT_BROKER) == 0 &&
                      hello->policy_nonce.len == 16;
    pb__hello__free_unpacked(hello, NULL);
    X509_free(shown);
    welcome();
}

static inline void on_message(struct rl_rpc_call *call, const ProtobufCMessage *message,
                              void *context)
{
    (void)call, (void)context;
    const Pb__AgentMessage *m = (const Pb__AgentMessage *)message;
    if (m->body_case == PB__AGENT_MESSAGE__BODY_HELLO) {
        take_hello(m->hello);
    } else if (m->body_case == PB__AGENT_MESSAGE__BODY_POLICY_HELD) {
        r.helds++;
        r.held = m->policy_held->version;
    } else if (m->body_case == PB__AGENT_MESSAGE__BODY_REFUSED) {
        r.refusals++;
        r.refused = (rl_code)m->refused->code;
        snprintf(r.refusal, sizeof r.refusal, "%s", m->refused->message);
    }
}

static inline void on_attach_closed(struct rl_rpc_call *call, rl_code code, const char *message,
                                    void *context)
{
    (void)code, (void)message, (void)context;
    if (r.attach == call)
        r.attach = NULL;
}

/* ---- what is carried, as the root's proxy would see it ---- */

static inline rl_code on_frame(void *context, const Pb__Frame *frame, struct rl_error *err)
{
    (void)context, (void)err;
    if (frame->join) {
        r.carries++;
        memcpy(r.joined, frame->join->stream_id.data, 16);
        ck_assert_uint_eq(frame->join->epoch, r.epoch);
    }
    if (frame->opened)
        r.opened = (rl_code)frame->opened->code;
    return RL_OK;
}

static inline rl_code on_bytes(void *context, uint64_t offset, const uint8_t *bytes, size_t n,
                               struct rl_error *err)
{
    (void)context, (void)err;
    ck_assert_uint_eq(offset, r.got_n);
    ck_assert_uint_le(r.got_n + n, sizeof r.got - 1);
    memcpy(r.got + r.got_n, bytes, n);
    r.got_n += n;
    return RL_OK;
}

static inline void on_carry(struct rl_rpc_call *call, void *context)
{
    static const struct rl_frame_reader_ops ops = {on_bytes, on_frame};
    (void)context;
    r.carry = call;
    r.got_n = 0;
    memset(r.got, 0, sizeof r.got);
    rl_frame_reader_free(&r.reader);
    r.reader = rl_frame_reader_create(&ops, NULL);
}

static inline void on_carry_data(struct rl_rpc_call *call, const uint8_t *bytes, size_t n,
                                 void *context)
{
    (void)context;
    ck_assert_int_eq(rl_frame_reader_feed(r.reader, RL_SPAN(bytes, n), NULL), RL_OK);
    rl_rpc_raw_consume(call, n);
}

static inline ptrdiff_t on_carry_produce(struct rl_rpc_call *call, uint8_t *to, size_t room,
                                         void *context)
{
    (void)call, (void)context;
    size_t n = r.out.n < room ? r.out.n : room;
    if (!n)
        return r.ends ? RL_RPC_RAW_END : RL_RPC_RAW_DEFER;
    memcpy(to, r.out.p, n);
    rl_buf_consume(&r.out, n);
    return (ptrdiff_t)n;
}

static inline void on_carry_closed(struct rl_rpc_call *call, rl_code code, const char *message,
                                   void *context)
{
    (void)message, (void)context;
    if (r.carry == call) {
        r.carry = NULL;
        r.carry_code = code;
    }
}

static inline void root_send(const char *text)
{
    uint8_t header[RL_TUNNEL_DATA_HEADER_BYTES_MAX];
    rl_buf_put(&r.out, header, rl_frame_data_header_write(header, 0, strlen(text)));
    rl_buf_put(&r.out, text, strlen(text));
    rl_rpc_raw_wake(r.carry);
}

static inline void ignore_end(struct rl_rpc_call *call, void *context)
{
    (void)call, (void)context;
}

static inline void root_start(void)
{
    static const struct rl_rpc_stream_ops attach = {
        .message = on_message, .half_closed = ignore_end, .closed = on_attach_closed};
    static const struct rl_rpc_raw_ops carry = {on_carry, on_carry_data, on_carry_produce,
                                                ignore_end, on_carry_closed};
    static const struct rl_rpc_handler handlers[] = {
        {.method = "Attach", .stream = &attach, .opened = on_attach},
        {.method = "Carry", .raw = &carry},
    };
    r.tls = tls_server_for(r.trust, r.broker);
    const struct rl_rpc_server_config config = {
        .loop = c->loop, .authorize = anyone, .now_s = cluster_now_s};
    const struct rl_rpc_listen listen = {.address = r.address[0] ? r.address : "127.0.0.1:0",
                                         .tls = r.tls};
    uint16_t port = 0;
    ck_assert_int_eq(rl_rpc_server_create_h2(&config, &r.server, NULL), RL_OK);
    rl_rpc_server_add(r.server, &pb__tunnel_broker__descriptor, handlers, RL_COUNT(handlers), NULL);
    ck_assert_int_eq(rl_rpc_server_listen(r.server, &listen, &port, NULL), RL_OK);
    snprintf(r.address, sizeof r.address, "127.0.0.1:%u", port);
}

static inline void root_stop(void)
{
    rl_rpc_server_free(&r.server);
    rl_tls_server_unref(&r.tls);
    rl_frame_reader_free(&r.reader);
}

#endif
