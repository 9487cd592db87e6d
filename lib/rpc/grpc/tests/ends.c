#include "ends.h"

#include "clock/clock.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UUID "0190c0de-0000-7000-8000-00000000000a"
#define COUNT_TEXT_BYTES_MAX (1u << 20)

/* ---- certificates ---- */

void authority_init(struct authority *authority, const char *cluster)
{
    struct rl_buf der;
    rl_buf_init(&der, 65536);
    ck_assert_int_eq(rl_identity_create_ca(RL_IDENTITY_SERVICE, cluster, rl_clock_wall_s(), 86400,
                                           &authority->ca, &authority->key, NULL),
                     RL_OK);
    ck_assert_int_eq(rl_x509_to_der(authority->ca, &der, NULL), RL_OK);
    authority->trust = rl_trust_create(cluster);
    ck_assert_int_eq(
        rl_trust_add(authority->trust, RL_IDENTITY_SERVICE, cluster, rl_buf_span(&der), NULL),
        RL_OK);
    rl_buf_fini(&der);
}

void authority_fini(struct authority *authority)
{
    X509_free(authority->ca);
    EVP_PKEY_free(authority->key);
    rl_trust_unref(&authority->trust);
}

struct rl_tls_identity *authority_identity(const struct authority *authority, const char *service,
                                           uint64_t ttl_s)
{
    return authority_identity_as(authority, service, service, ttl_s);
}

struct rl_tls_identity *authority_identity_as(const struct authority *authority,
                                              const char *service, const char *named_as,
                                              uint64_t ttl_s)
{
    const char *cluster = rl_trust_cluster(authority->trust);
    char *name = rl_sprintf("%s.%s%s", named_as, cluster, RL_TLS_SNI_SUFFIX);
    const char *const addresses[] = {name};
    EVP_PKEY *key = NULL;
    X509 *certificate = NULL;
    struct rl_tls_identity *identity = NULL;
    struct rl_buf der;
    struct rl_error err;
    Pb__IdentityClaims claims;
    pb__identity_claims__init(&claims);
    claims.format = 1;
    claims.cluster = (char *)(uintptr_t)cluster;
    rl_buf_init(&der, 65536);
    ck_assert_int_eq(rl_key_generate_p256(&key, NULL), RL_OK);
    struct rl_identity_request request = {.kind = RL_IDENTITY_SERVICE,
                                          .cluster = cluster,
                                          .name = UUID,
                                          .service = service,
                                          .subject = key,
                                          .claims = &claims,
                                          .now_s = rl_clock_wall_s(),
                                          .ttl_s = ttl_s,
                                          .addresses = addresses,
                                          .address_count = 1};
    ck_assert_msg(rl_identity_issue(&request, authority->ca, authority->key, &certificate, &err) ==
                      RL_OK,
                  "%s", err.message);
    ck_assert_int_eq(rl_x509_to_der(certificate, &der, NULL), RL_OK);
    struct rl_span chain = rl_buf_span(&der);
    ck_assert_int_eq(rl_tls_identity_create(&chain, 1, key, &identity, NULL), RL_OK);
    rl_buf_fini(&der);
    X509_free(certificate);
    EVP_PKEY_free(key);
    free(name);
    return identity;
}

/* ---- the server's handlers ---- */

static rl_code authorize(void *context, const char *service, const char *method,
                         const struct rl_rpc_peer *peer, struct rl_error *err)
{
    struct seen *seen = context;
    ck_assert_str_eq(service, "cross.Cross");
    char *who = rl_identity_describe(peer->identity);
    snprintf(seen->who, sizeof seen->who, "%s", who);
    snprintf(seen->address, sizeof seen->address, "%s", peer->address);
    seen->connection = peer->connection;
    free(who);
    if (strcmp(method, "Forbidden") == 0)
        return rl_fail(err, RL_E_DENIED, "not you");
    return RL_OK;
}

static void say_back(struct rl_rpc_call *call, const ProtobufCMessage *request, void *context)
{
    (void)context;
    rl_rpc_reply(call, request);
}

static void refuse(struct rl_rpc_call *call, const ProtobufCMessage *request, void *context)
{
    (void)context;
    const Cross__Words *words = (const Cross__Words *)request;
    struct rl_error err;
    rl_fail(&err, rl_code_from_number((long)words->number), "%.*s", (int)words->text.len,
            (const char *)words->text.data);
    rl_rpc_fail(call, &err);
}

static void ponder(struct rl_rpc_call *call, const ProtobufCMessage *request, void *context)
{
    (void)request;
    struct seen *seen = context;
    seen->pondering++;
    seen->call = call;
}

static void on_opened(struct rl_rpc_call *call, void *context)
{
    struct seen *seen = context;
    seen->opened++;
    seen->call = call;
}

static void on_closed(struct rl_rpc_call *call, rl_code code, const char *message, void *context)
{
    struct seen *seen = context;
    seen->closed++;
    seen->closed_code = code;
    snprintf(seen->closed_message, sizeof seen->closed_message, "%s", message);
    if (seen->call == call)
        seen->call = NULL;
    free(rl_rpc_data(call));
}

/* Count: how far it came, kept with the call. */
struct counting {
    uint64_t next, end;
    size_t bytes;
};

static void go_on_counting(struct rl_rpc_call *call, struct seen *seen)
{
    static uint8_t text[COUNT_TEXT_BYTES_MAX];
    struct counting *counting = rl_rpc_data(call);
    while (counting->next < counting->end) {
        Cross__Words words = CROSS__WORDS__INIT;
        words.number = counting->next;
        words.text.data = text;
        words.text.len = counting->bytes;
        rl_code rc = rl_rpc_send(call, &words.base, NULL);
        if (rc == RL_E_EXHAUSTED && !seen->refused_at)
            seen->refused_at = counting->next;
        if (rc != RL_OK)
            return;
        counting->next++;
    }
    rl_rpc_end(call, RL_OK, NULL);
}

static void on_count(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    struct seen *seen = context;
    const Cross__Words *words = (const Cross__Words *)message;
    struct counting *counting = rl_alloc(sizeof *counting);
    seen->messages++;
    counting->end = words->number;
    counting->bytes = words->text.len;
    rl_rpc_set_data(call, counting);
    go_on_counting(call, seen);
}

static void on_count_writable(struct rl_rpc_call *call, void *context)
{
    struct seen *seen = context;
    seen->writable++;
    go_on_counting(call, seen);
}

static void do_nothing(struct rl_rpc_call *call, void *context)
{
    (void)call;
    (void)context;
}

static void on_sum(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    struct seen *seen = context;
    uint64_t *sum = rl_rpc_data(call);
    if (!sum)
        rl_rpc_set_data(call, sum = rl_alloc(sizeof *sum));
    *sum += ((const Cross__Words *)message)->number;
    seen->messages++;
}

static void on_sum_end(struct rl_rpc_call *call, void *context)
{
    struct seen *seen = context;
    Cross__Words words = CROSS__WORDS__INIT;
    uint64_t *sum = rl_rpc_data(call);
    words.number = sum ? *sum : 0;
    seen->half_closed++;
    ck_assert_int_eq(rl_rpc_send(call, &words.base, NULL), RL_OK);
    rl_rpc_end(call, RL_OK, NULL);
}

static void on_talk(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    struct seen *seen = context;
    seen->messages++;
    if (seen->on_message)
        seen->on_message(context);
    else if (((const Cross__Words *)message)->number == 99)
        rl_rpc_end(call, RL_E_PRECONDITION, "ninety-nine — genug");
    else
        ck_assert_int_eq(rl_rpc_send(call, message, NULL), RL_OK);
}

static void on_talk_end(struct rl_rpc_call *call, void *context)
{
    struct seen *seen = context;
    seen->half_closed++;
    rl_rpc_end(call, RL_OK, NULL);
}

static const struct rl_rpc_stream_ops counting_ops = {on_count, do_nothing, on_count_writable,
                                                      on_closed};
static const struct rl_rpc_stream_ops sum_ops = {on_sum, on_sum_end, NULL, on_closed};
static const struct rl_rpc_stream_ops talk_ops = {on_talk, on_talk_end, NULL, on_closed};

static const struct rl_rpc_handler handlers[] = {
    {.method = "Say", .unary = say_back},
    {.method = "Refuse", .unary = refuse},
    {.method = "Ponder", .unary = ponder},
    {.method = "Forbidden", .unary = say_back},
    {.method = "Count", .stream = &counting_ops, .opened = on_opened},
    {.method = "Sum", .stream = &sum_ops, .opened = on_opened},
    {.method = "Talk", .stream = &talk_ops, .opened = on_opened},
};

/* ---- both ends ---- */

void ends_init(struct ends *ends)
{
    *ends = (struct ends){0};
    ck_assert_int_eq(rl_loop_create(&ends->loop, NULL), RL_OK);
    authority_init(&ends->authority, "main");
    ends->server_identity = authority_identity(&ends->authority, "auth", 3600);
    ends->client_identity = authority_identity(&ends->authority, "proxy", 3600);
}

static void make_server_tls(struct ends *ends)
{
    static const char *const alpn[] = {"h2", NULL};
    struct rl_tls_server_config config = {.route = "auth",
                                          .identity = ends->server_identity,
                                          .trust = ends->authority.trust,
                                          .client = RL_TLS_CLIENT_REQUIRED,
                                          .alpn = alpn};
    ck_assert_int_eq(rl_tls_server_create(&config, &ends->server_tls, NULL), RL_OK);
}

void ends_serve(struct ends *ends, enum over over)
{
    struct rl_error err;
    struct rl_rpc_server_config config = {.loop = ends->loop,
                                          .authorize = authorize,
                                          .authorize_context = &ends->seen,
                                          .workers = ends->workers,
                                          .keepalive_ms = ends->keepalive_ms,
                                          .keepalive_timeout_ms = ends->keepalive_ms,
                                          .now_s = ends->now_s};
    if (over == OVER_H2 && !ends->server_tls)
        make_server_tls(ends);
    rl_code rc = over == OVER_H2 ? rl_rpc_server_create_h2(&config, &ends->server, &err)
                                 : rl_rpc_server_create_grpc(&config, &ends->server, &err);
    ck_assert_msg(rc == RL_OK, "%s", err.message);
    rl_rpc_server_add(ends->server, &cross__cross__descriptor, handlers, RL_COUNT(handlers),
                      &ends->seen);
    if (!ends->port)
        snprintf(ends->address, sizeof ends->address, "127.0.0.1:0");
    struct rl_rpc_listen listen = {.address = ends->address};
    if (over == OVER_H2) {
        listen.tls = ends->server_tls;
    } else {
        listen.identity = ends->server_identity;
        listen.trust = ends->authority.trust;
    }
    rc = rl_rpc_server_listen(ends->server, &listen, &ends->port, &err);
    ck_assert_msg(rc == RL_OK, "%s", err.message);
    snprintf(ends->address, sizeof ends->address, "127.0.0.1:%u", ends->port);
}

static void on_up(void *context, const struct rl_rpc_peer *peer)
{
    struct ends *ends = context;
    ck_assert_ptr_nonnull(peer->identity);
    ends->up++;
}

static void on_down(void *context, rl_code code, const char *message)
{
    struct ends *ends = context;
    ends->down++;
    ends->down_code = code;
    snprintf(ends->down_message, sizeof ends->down_message, "%s", message);
}

static void make_client_tls(struct ends *ends, const char *peer_service)
{
    struct rl_tls_client_config config = {.identity = ends->client_identity,
                                          .trust = ends->authority.trust,
                                          .alpn = "h2",
                                          .sni = "auth.main.remoteler.internal",
                                          .peer_kind = RL_IDENTITY_SERVICE,
                                          .peer_service = peer_service};
    ck_assert_int_eq(rl_tls_client_create(&config, &ends->client_tls, NULL), RL_OK);
}

void ends_connect(struct ends *ends, enum over over, const char *peer_service)
{
    struct rl_error err;
    struct rl_rpc_channel_config config = {.loop = ends->loop,
                                           .address = ends->address,
                                           .up = on_up,
                                           .down = on_down,
                                           .context = ends,
                                           .stay_connected = ends->stay_connected,
                                           .keepalive_ms = ends->keepalive_ms,
                                           .keepalive_timeout_ms = ends->keepalive_ms,
                                           .now_s = ends->now_s};
    if (over == OVER_H2) {
        make_client_tls(ends, peer_service);
        config.tls = ends->client_tls;
    } else {
        config.identity = ends->client_identity;
        config.trust = ends->authority.trust;
        config.peer_service = peer_service;
    }
    rl_code rc = over == OVER_H2 ? rl_rpc_channel_create_h2(&config, &ends->channel, &err)
                                 : rl_rpc_channel_create_grpc(&config, &ends->channel, &err);
    ck_assert_msg(rc == RL_OK, "%s", err.message);
}

void ends_fini(struct ends *ends)
{
    rl_rpc_channel_free(&ends->channel);
    rl_rpc_server_free(&ends->server);
    rl_tls_client_unref(&ends->client_tls);
    rl_tls_server_unref(&ends->server_tls);
    rl_tls_identity_unref(&ends->server_identity);
    rl_tls_identity_unref(&ends->client_identity);
    authority_fini(&ends->authority);
    rl_loop_free(&ends->loop);
}

void turn_until(struct rl_loop *loop, const unsigned *what, unsigned count)
{
    while (*what < count)
        rl_loop_turn(loop, -1);
}

/* ---- the client's side ---- */

static void on_heard(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    struct heard *heard = context;
    const Cross__Words *words = (const Cross__Words *)message;
    heard->messages++;
    heard->is_out_of_order |= heard->messages > 1 && words->number <= heard->last;
    heard->last = words->number;
    heard->sum += words->number;
    heard->bytes += words->text.len;
    char *who = rl_identity_describe(rl_rpc_peer(call)->identity);
    snprintf(heard->who, sizeof heard->who, "%s", who);
    free(who);
    if (heard->pause_at && heard->messages == heard->pause_at)
        rl_rpc_pause(call);
}

static void on_heard_writable(struct rl_rpc_call *call, void *context)
{
    (void)call;
    ((struct heard *)context)->writable++;
}

static void on_heard_closed(struct rl_rpc_call *call, rl_code code, const char *message,
                            void *context)
{
    (void)call;
    struct heard *heard = context;
    heard->closed++;
    heard->code = code;
    snprintf(heard->message, sizeof heard->message, "%s", message);
}

const struct rl_rpc_stream_ops hearing = {on_heard, NULL, on_heard_writable, on_heard_closed};

void say(struct rl_rpc_call *call, uint64_t number, size_t text_bytes)
{
    uint8_t *text = rl_alloc(text_bytes + 1);
    Cross__Words words = CROSS__WORDS__INIT;
    words.number = number;
    words.text.data = text;
    words.text.len = text_bytes;
    ck_assert_int_eq(rl_rpc_send(call, &words.base, NULL), RL_OK);
    free(text);
}

void on_answer(void *context, rl_code code, const char *message, const ProtobufCMessage *reply)
{
    struct answer *answer = context;
    answer->done++;
    answer->code = code;
    snprintf(answer->message, sizeof answer->message, "%s", message);
    if (!reply)
        return;
    answer->number = ((const Cross__Words *)reply)->number;
    answer->bytes = ((const Cross__Words *)reply)->text.len;
}

struct answer ask(struct ends *ends, const char *method, uint64_t number, const char *text,
                  uint32_t deadline_ms)
{
    struct answer answer = {0};
    Cross__Words words = CROSS__WORDS__INIT;
    words.number = number;
    words.text.data = (uint8_t *)(uintptr_t)text;
    words.text.len = strlen(text);
    rl_rpc_unary(ends->channel, &cross__cross__descriptor, method, &words.base, deadline_ms,
                 on_answer, &answer, NULL);
    ck_assert_uint_eq(answer.done, 0);
    turn_until(ends->loop, &answer.done, 1);
    return answer;
}
