/* broker_double: an agent's rooms for real, between an auth and a broker that the test plays. What
 * the program would add, the node, the clock and the way to audit, is the test's too. */
#ifndef RL_AGENT_TESTS_BROKER_DOUBLE_H
#define RL_AGENT_TESTS_BROKER_DOUBLE_H

#include "../admission.h"
#include "../carry.h"
#include "../node.h"
#include "../policy_keeper.h"
#include "../uplink.h"
#include "enrol/tests/auth_double.h"
#include "events.h"
#include "log/log.h"
#include "policy/tests/sealed.h"
#include "protocol/protocol.h"
#include "rpc/raw.h"
#include "tunnel/end.h"

#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS 10000
#define EPOCH 7
#define SESSION "0190c0de-0000-4000-8000-00000000005e"

struct world {
    struct auth_double auth;
    struct signer policy_signer, stranger;
    struct agent agent;
    char base[64], dir[96];

    /* the broker */
    struct rl_tls_identity *broker_id, *proxy_id;
    struct rl_tls_server *tls;
    struct rl_rpc_server *server;
    struct rl_rpc_call *attach, *carry; /* the last of each; NULL: it is over */
    bool has_heard_no_time;
    int challenges, hellos, refusals, carries;
    bool holds_on;          /* it does not let an agent go that wants to */
    bool lies_about_itself; /* its challenges are in another broker's name */
    uint32_t protocol_min;  /* that it says it speaks */
    bool is_hello_good;
    uint8_t policy_nonce[16];
    size_t policy_nonce_n;
    int helds; /* how often it said what it holds, and what last */
    uint64_t held;
    rl_code refused;
    char refusal[256];
    uint8_t joined[16]; /* the stream id that a carry came with */
    uint64_t joined_epoch;
    int resumes; /* how often a carry said what it has, and of which session */
    char resumed_session[64];
    struct rl_frame_reader *carry_reader;

    /* the node */
    int served, far_end;
    char served_session[64];
};

static struct world *w;

#define TURN_UNTIL(claim)                                                                          \
    do {                                                                                           \
        uint64_t until_ = rl_clock_boot_ms() + PATIENCE_MS;                                        \
        while (!(claim)) {                                                                         \
            ck_assert_msg(rl_clock_boot_ms() < until_, "waited in vain for: %s", #claim);          \
            rl_loop_turn(w->auth.loop, 20);                                                        \
        }                                                                                          \
    } while (0)

/* ---- what the program gives ---- */

int64_t agent_now_ns(const struct agent *agent)
{
    return rl_trusted_clock_now_ns(&agent->clock);
}

int64_t agent_now_s(void *agent)
{
    return agent_now_ns(agent) / 1000000000;
}

void events_move(struct agent *agent, const char *address)
{
    (void)agent, (void)address;
}

void node_policy_changed(struct node *node)
{
    (void)node;
}

rl_code node_serve(struct node *node, const Pb__Ticket *ticket, int *fd, struct rl_error *err)
{
    int pair[2];
    (void)node, (void)err;
    if (!policy_keeper_policy(w->agent.policy))
        return rl_fail(err, RL_E_UNAVAILABLE, "no policy");
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    if (w->far_end >= 0)
        close(w->far_end);
    w->far_end = pair[0];
    *fd = pair[1];
    w->served++;
    snprintf(w->served_session, sizeof w->served_session, "%s", ticket->session_id);
    return RL_OK;
}

/* ---- the broker ---- */

static inline rl_code anyone(void *context, const char *service, const char *method,
                             const struct rl_rpc_peer *peer, struct rl_error *err)
{
    (void)context, (void)service, (void)method, (void)err;
    return peer->identity && peer->identity->kind == RL_IDENTITY_AGENT ? RL_OK : RL_E_DENIED;
}

static inline void say(Pb__BrokerMessage *message)
{
    ck_assert_ptr_nonnull(w->attach);
    ck_assert_int_eq(rl_rpc_send(w->attach, &message->base, NULL), RL_OK);
}

static inline void on_attach(struct rl_rpc_call *call, void *context)
{
    (void)context;
    Pb__Challenge challenge = PB__CHALLENGE__INIT;
    Pb__BrokerMessage message = PB__BROKER_MESSAGE__INIT;
    w->attach = call;
    w->challenges++;
    challenge.broker_id = (char *)(uintptr_t)(w->lies_about_itself ? UUID_A : UUID_B);
    challenge.epoch = EPOCH;
    challenge.nonce = (ProtobufCBinaryData){16, (uint8_t[16]){1, 2, 3}};
    challenge.protocol = RL_PROTOCOL + 1; /* one that is newer, as in an upgrade */
    challenge.protocol_min = w->protocol_min;
    message.body_case = PB__BROKER_MESSAGE__BODY_CHALLENGE;
    message.challenge = &challenge;
    say(&message);
}

static inline void take_hello(const Pb__SignedHello *signed_hello)
{
    EVP_PKEY *key =
        X509_get0_pubkey(rl_tls_identity_certificate(rl_enrol_identity(w->agent.enrol)));
    Pb__Hello *hello = pb__hello__unpack(NULL, signed_hello->hello.len, signed_hello->hello.data);
    ck_assert_ptr_nonnull(hello);
    w->hellos++;
    w->is_hello_good =
        rl_key_verify(
            key, "remoteler-hello-v1", RL_SPAN(signed_hello->hello.data, signed_hello->hello.len),
            RL_SPAN(signed_hello->signature.data, signed_hello->signature.len), NULL) == RL_OK &&
        strcmp(hello->agent_id, UUID_A) == 0 && strcmp(hello->broker_id, UUID_B) == 0 &&
        hello->epoch == EPOCH && hello->nonce.len == 16 && hello->nonce.data[1] == 2;
    w->policy_nonce_n = hello->policy_nonce.len;
    if (hello->policy_nonce.len == sizeof w->policy_nonce)
        memcpy(w->policy_nonce, hello->policy_nonce.data, sizeof w->policy_nonce);
    pb__hello__free_unpacked(hello, NULL);
}

static inline void on_agent_message(struct rl_rpc_call *call, const ProtobufCMessage *message,
                                    void *context)
{
    (void)call, (void)context;
    const Pb__AgentMessage *said = (const Pb__AgentMessage *)message;
    if (said->body_case == PB__AGENT_MESSAGE__BODY_HELLO) {
        take_hello(said->hello);
    } else if (said->body_case == PB__AGENT_MESSAGE__BODY_POLICY_HELD) {
        w->helds++;
        w->held = said->policy_held->version;
    } else if (said->body_case == PB__AGENT_MESSAGE__BODY_REFUSED) {
        w->refusals++;
        w->refused = (rl_code)said->refused->code;
        snprintf(w->refusal, sizeof w->refusal, "%s", said->refused->message);
    }
}

static inline void on_attach_half_closed(struct rl_rpc_call *call, void *context)
{
    (void)context;
    if (!w->holds_on)
        rl_rpc_end(call, RL_OK, NULL);
}

static inline void on_attach_closed(struct rl_rpc_call *call, rl_code code, const char *message,
                                    void *context)
{
    (void)code, (void)message, (void)context;
    if (w->attach == call)
        w->attach = NULL;
}

static inline rl_code on_carry_frame(void *context, const Pb__Frame *frame, struct rl_error *err)
{
    (void)context, (void)err;
    if (frame->join) {
        w->carries++;
        ck_assert_uint_eq(frame->join->stream_id.len, 16);
        memcpy(w->joined, frame->join->stream_id.data, 16);
        w->joined_epoch = frame->join->epoch;
    }
    if (frame->resume) {
        w->resumes++;
        snprintf(w->resumed_session, sizeof w->resumed_session, "%s", frame->resume->session_id);
    }
    return RL_OK;
}

static inline rl_code on_carry_bytes(void *context, uint64_t offset, const uint8_t *bytes, size_t n,
                                     struct rl_error *err)
{
    (void)context, (void)offset, (void)bytes, (void)n, (void)err;
    return RL_OK;
}

static inline void on_carry_opened(struct rl_rpc_call *call, void *context)
{
    static const struct rl_frame_reader_ops ops = {on_carry_bytes, on_carry_frame};
    (void)context;
    w->carry = call;
    rl_frame_reader_free(&w->carry_reader);
    w->carry_reader = rl_frame_reader_create(&ops, NULL);
}

static inline void on_carry_data(struct rl_rpc_call *call, const uint8_t *bytes, size_t n,
                                 void *context)
{
    (void)context;
    ck_assert_int_eq(rl_frame_reader_feed(w->carry_reader, RL_SPAN(bytes, n), NULL), RL_OK);
    rl_rpc_raw_consume(call, n);
}

static inline ptrdiff_t on_carry_produce(struct rl_rpc_call *call, uint8_t *to, size_t room,
                                         void *context)
{
    (void)call, (void)to, (void)room, (void)context;
    return RL_RPC_RAW_DEFER;
}

static inline void on_carry_half_closed(struct rl_rpc_call *call, void *context)
{
    (void)call, (void)context;
}

static inline void on_carry_closed(struct rl_rpc_call *call, rl_code code, const char *message,
                                   void *context)
{
    (void)code, (void)message, (void)context;
    if (w->carry == call)
        w->carry = NULL;
}

static inline struct rl_tls_identity *service_of(const char *kind, const char *id)
{
    struct rl_tls_identity *identity = NULL;
    struct rl_buf der;
    EVP_PKEY *key = fresh_key();
    X509 *leaf = authority_issue_at(&w->auth.services, id, kind, key, NOW_S, 86400);
    rl_buf_init(&der, 65536);
    ck_assert_int_eq(rl_x509_to_der(leaf, &der, NULL), RL_OK);
    struct rl_span chain[] = {rl_buf_span(&der)};
    ck_assert_int_eq(rl_tls_identity_create(chain, 1, key, &identity, NULL), RL_OK);
    rl_buf_fini(&der);
    X509_free(leaf);
    EVP_PKEY_free(key);
    return identity;
}

static inline struct rl_tls_identity *service(const char *kind)
{
    return service_of(kind, UUID_B);
}

static inline void start_broker(void)
{
    static const char *const alpn[] = {"h2", NULL};
    static const struct rl_rpc_stream_ops attach = {.message = on_agent_message,
                                                    .half_closed = on_attach_half_closed,
                                                    .closed = on_attach_closed};
    static const struct rl_rpc_raw_ops carry = {on_carry_opened, on_carry_data, on_carry_produce,
                                                on_carry_half_closed, on_carry_closed};
    static const struct rl_rpc_handler handlers[] = {
        {.method = "Attach", .stream = &attach, .opened = on_attach},
        {.method = "Carry", .raw = &carry},
    };
    w->broker_id = service("broker");
    w->proxy_id = service("proxy");
    const struct rl_tls_server_config tls = {.route = "broker",
                                             .identity = w->broker_id,
                                             .trust = w->auth.trust,
                                             .client = RL_TLS_CLIENT_REQUIRED,
                                             .alpn = alpn,
                                             .allow_resumption = true,
                                             .now_s = double_now_s,
                                             .now_context = &w->auth};
    const uint8_t ticket_key[80] = {3};
    ck_assert_int_eq(rl_tls_server_create(&tls, &w->tls, NULL), RL_OK);
    ck_assert_int_eq(
        rl_tls_server_set_ticket_keys(
            w->tls, (struct rl_span[]){RL_SPAN(ticket_key, sizeof ticket_key)}, 1, NULL),
        RL_OK);
    const struct rl_rpc_server_config config = {
        .loop = w->auth.loop, .authorize = anyone, .now_s = double_now_s, .now_context = &w->auth};
    const struct rl_rpc_listen listen = {.address = "127.0.0.1:0", .tls = w->tls};
    uint16_t port = 0;
    ck_assert_int_eq(rl_rpc_server_create_h2(&config, &w->server, NULL), RL_OK);
    rl_rpc_server_add(w->server, &pb__tunnel_broker__descriptor, handlers, RL_COUNT(handlers), w);
    ck_assert_int_eq(rl_rpc_server_listen(w->server, &listen, &port, NULL), RL_OK);
    w->agent.settings.proxy = rl_sprintf("127.0.0.1:%u", port);
}

/* ---- the agent ---- */

static inline void join(void)
{
    static const char *const kinds[] = {"node"};
    const struct rl_enrol_config config = {
        .loop = w->auth.loop,
        .state_dir = w->dir,
        .auth_address = w->auth.address,
        .ca_pin = w->auth.pin,
        .kind = "agent",
        .agent_kinds = kinds,
        .agent_kind_count = 1,
        .node_name = "node-a",
        .hostname = "host",
        .now_s = agent_now_s,
        .now_context = &w->agent,
    };
    bool needs_join = false;
    struct rl_error err;
    ck_assert_msg(rl_enrol_open(&config, &needs_join, &w->agent.enrol, &err) == RL_OK, "%s",
                  err.message);
    if (needs_join)
        ck_assert_msg(rl_enrol_join(w->agent.enrol, JOIN_TOKEN, PATIENCE_MS, &err) == RL_OK, "%s",
                      err.message);
}

static inline void agent_open(void)
{
    struct rl_error err;
    w->attach = NULL;
    w->helds = 0;
    w->agent.loop = w->auth.loop;
    if (w->has_heard_no_time)
        rl_trusted_clock_init(&w->agent.clock, NOW_S * SECOND);
    else
        rl_trusted_clock_learn(&w->agent.clock, NOW_S * SECOND);
    join();
    w->agent.policy = policy_keeper_create(&w->agent);
    w->agent.admission = admission_create(&w->agent);
    ck_assert_msg(uplink_create(&w->agent, &w->agent.uplink, &err) == RL_OK, "%s", err.message);
    int hellos = w->hellos;
    TURN_UNTIL(w->hellos > hellos);
}

static inline void agent_close(void)
{
    uplink_free(&w->agent.uplink);
    for (int i = 0; i < 3; i++) /* what ended, ends */
        rl_loop_turn(w->auth.loop, 5);
    admission_free(&w->agent.admission);
    carry_stop(&w->agent);
    policy_keeper_free(&w->agent.policy);
    rl_enrol_close(&w->agent.enrol);
}

static inline void world_make(void)
{
    rl_log_setup("test", RL_LOG_ERROR, true);
    w = rl_alloc(sizeof *w);
    w->far_end = -1;
    strcpy(w->base, "/tmp/rl-agent-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(w->base));
    snprintf(w->dir, sizeof w->dir, "%s/data", w->base);
    make_signer(&w->policy_signer, "policy-1");
    make_signer(&w->stranger, "policy-1");
    double_create(&w->auth);
    w->auth.policy_key = w->policy_signer.pointer;
    start_broker();
    agent_open();
}

static inline void world_free(void)
{
    char command[160];
    agent_close();
    rl_rpc_server_free(&w->server);
    rl_frame_reader_free(&w->carry_reader);
    rl_tls_server_unref(&w->tls);
    rl_tls_identity_unref(&w->broker_id);
    rl_tls_identity_unref(&w->proxy_id);
    double_destroy(&w->auth);
    free_signer(&w->policy_signer);
    free_signer(&w->stranger);
    if (w->far_end >= 0)
        close(w->far_end);
    free(w->agent.settings.proxy);
    snprintf(command, sizeof command, "rm -rf %s", w->base);
    ck_assert_int_eq(system(command), 0);
    free(w);
}

#endif
