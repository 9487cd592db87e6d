/* world: a server and a client on one loop, over real TLS on loopback, for tests. */
#ifndef RL_RPC_TESTS_WORLD_H
#define RL_RPC_TESTS_WORLD_H

#include "clock/clock.h"
#include "echo.pb-c.h"
#include "identity/tests/authority.h"
#include "rpc/raw.h"
#include "rpc/rpc.h"

#include <stdio.h>
#include <stdlib.h>

#define PATIENCE_MS 50000 /* a loaded machine is slow, not wrong */

struct world {
    struct rl_loop *loop;
    struct rl_workers *workers; /* NULL: handlers run on the loop */
    struct authority users, services;
    struct rl_trust *trust;
    struct rl_tls_identity *auth, *alice, *proxy;
    struct rl_tls_server *tls_server;
    struct rl_tls_client *tls_client, *tls_nobody;
    struct rl_rpc_server *server;
    struct rl_rpc_channel *channel;
    char address[64];
    uint16_t port;

    /* What happened. */
    int connected, disconnected, up, down, drained;
    uint64_t connection;
    rl_code down_code;
    char down_message[RL_ERROR_MESSAGE_BYTES], disconnect_reason[RL_ERROR_MESSAGE_BYTES];
};

/* The certificates are of NOW_S; time goes on from there. */
static int64_t world_began_s, world_skew_s;

static inline int64_t world_now_s(void *context)
{
    (void)context;
    return NOW_S + (int64_t)(rl_clock_boot_ms() / 1000) - world_began_s + world_skew_s;
}

/* Turns the loop until `claim` holds. */
#define TURN_UNTIL(world, claim)                                                                   \
    do {                                                                                           \
        uint64_t until_ = rl_clock_boot_ms() + PATIENCE_MS;                                        \
        while (!(claim)) {                                                                         \
            ck_assert_msg(rl_clock_boot_ms() < until_, "waited in vain for: %s", #claim);          \
            rl_loop_turn((world)->loop, 20);                                                       \
        }                                                                                          \
    } while (0)

/* Lets what is under way happen, for claims that something does not. */
static inline void world_turn_for(struct world *w, uint64_t ms)
{
    uint64_t until = rl_clock_boot_ms() + ms;
    while (rl_clock_boot_ms() < until)
        rl_loop_turn(w->loop, 5);
}

static inline struct rl_tls_identity *world_identity(const struct authority *a, const char *name,
                                                     const char *service, uint64_t ttl_s)
{
    EVP_PKEY *key = fresh_key();
    X509 *leaf = authority_issue_at(a, name, service, key, NOW_S, ttl_s);
    struct rl_buf der;
    rl_buf_init(&der, 65536);
    ck_assert_int_eq(rl_x509_to_der(leaf, &der, NULL), RL_OK);
    struct rl_tls_identity *identity = NULL;
    ck_assert_int_eq(
        rl_tls_identity_create((struct rl_span[]){rl_buf_span(&der)}, 1, key, &identity, NULL),
        RL_OK);
    rl_buf_fini(&der);
    X509_free(leaf);
    EVP_PKEY_free(key);
    return identity;
}

static inline struct rl_tls_client *world_client(struct world *w, struct rl_tls_identity *identity)
{
    struct rl_tls_client_config config = {
        .identity = identity,
        .trust = w->trust,
        .alpn = "h2",
        .peer_kind = RL_IDENTITY_SERVICE,
        .peer_service = "auth",
        .now_s = world_now_s,
    };
    struct rl_tls_client *client = NULL;
    ck_assert_int_eq(rl_tls_client_create(&config, &client, NULL), RL_OK);
    return client;
}

static inline void world_make_tls(struct world *w)
{
    static const char *const alpn[] = {"h2", NULL};
    w->users = authority_make(RL_IDENTITY_USER, "main");
    w->services = authority_make(RL_IDENTITY_SERVICE, "main");
    w->trust = rl_trust_create("main");
    authority_trust(w->trust, RL_IDENTITY_USER, "main", w->users.ca, NULL);
    authority_trust(w->trust, RL_IDENTITY_SERVICE, "main", w->services.ca, NULL);
    w->auth = world_identity(&w->services, UUID_A, "auth", 3600);
    w->proxy = world_identity(&w->services, UUID_B, "proxy", 3600);
    w->alice = world_identity(&w->users, "alice", NULL, 3600);
    struct rl_tls_server_config config = {
        .route = "rpc",
        .identity = w->auth,
        .trust = w->trust,
        .client = RL_TLS_CLIENT_OPTIONAL,
        .alpn = alpn,
        .now_s = world_now_s,
    };
    ck_assert_int_eq(rl_tls_server_create(&config, &w->tls_server, NULL), RL_OK);
    w->tls_client = world_client(w, w->alice);
    w->tls_nobody = world_client(w, NULL);
}

/* Anyone may Say, nobody may do what is Forbidden, the rest is for those with a certificate. */
static inline rl_code world_authorize(void *context, const char *service, const char *method,
                                      const struct rl_rpc_peer *peer, struct rl_error *err)
{
    (void)context;
    ck_assert_str_eq(service, "remoteler.test.Echo");
    if (strcmp(method, "Forbidden") == 0)
        return rl_fail(err, RL_E_DENIED, "nobody may do this");
    if (!peer->identity && strcmp(method, "Say") != 0)
        return rl_fail(err, RL_E_UNAUTHENTICATED, "who are you?");
    return RL_OK;
}

static inline void world_on_connected(void *context, const struct rl_rpc_peer *peer)
{
    struct world *w = context;
    w->connected++;
    w->connection = peer->connection;
}

static inline void world_on_disconnected(void *context, const struct rl_rpc_peer *peer,
                                         const char *reason)
{
    struct world *w = context;
    (void)peer;
    w->disconnected++;
    snprintf(w->disconnect_reason, sizeof w->disconnect_reason, "%s", reason);
}

static inline struct rl_rpc_server_config world_server_config(struct world *w)
{
    return (struct rl_rpc_server_config){
        .loop = w->loop,
        .workers = w->workers,
        .authorize = world_authorize,
        .connected = world_on_connected,
        .disconnected = world_on_disconnected,
        .connection_context = w,
        .now_s = world_now_s,
    };
}

static inline void world_on_up(void *context, const struct rl_rpc_peer *peer)
{
    struct world *w = context;
    ck_assert(rl_identity_is_service(peer->identity, "auth"));
    w->up++;
}

static inline void world_on_down(void *context, rl_code code, const char *message)
{
    struct world *w = context;
    w->down++;
    w->down_code = code;
    snprintf(w->down_message, sizeof w->down_message, "%s", message);
}

static inline struct rl_rpc_channel_config world_channel_config(struct world *w)
{
    return (struct rl_rpc_channel_config){
        .loop = w->loop,
        .address = w->address,
        .tls = w->tls_client,
        .up = world_on_up,
        .down = world_on_down,
        .context = w,
        .now_s = world_now_s,
    };
}

static inline void world_listen(struct world *w, struct rl_trust *proxied_by)
{
    struct rl_rpc_listen listen = {
        .address = "127.0.0.1:0",
        .tls = w->tls_server,
        .proxied_by = proxied_by,
    };
    struct rl_error err;
    ck_assert_msg(rl_rpc_server_listen(w->server, &listen, &w->port, &err) == RL_OK, "%s",
                  err.message);
    snprintf(w->address, sizeof w->address, "127.0.0.1:%u", w->port);
}

/* `handlers`: of Echo. */
static inline void world_serve(struct world *w, const struct rl_rpc_server_config *config,
                               const struct rl_rpc_handler *handlers, size_t count, void *context)
{
    ck_assert_int_eq(rl_rpc_server_create_h2(config, &w->server, NULL), RL_OK);
    rl_rpc_server_add(w->server, &echo__echo__descriptor, handlers, count, context);
    world_listen(w, NULL);
}

static inline struct rl_rpc_channel *world_channel(struct world *w, struct rl_tls_client *tls)
{
    struct rl_rpc_channel_config config = world_channel_config(w);
    config.tls = tls;
    struct rl_rpc_channel *channel = NULL;
    ck_assert_int_eq(rl_rpc_channel_create_h2(&config, &channel, NULL), RL_OK);
    return channel;
}

static inline struct world *world_make(bool with_workers)
{
    struct world *w = rl_alloc(sizeof *w);
    world_began_s = (int64_t)(rl_clock_boot_ms() / 1000);
    world_skew_s = 0;
    ck_assert_int_eq(rl_loop_create(&w->loop, NULL), RL_OK);
    if (with_workers)
        ck_assert_int_eq(rl_workers_create(2, 100, &w->workers, NULL), RL_OK);
    world_make_tls(w);
    return w;
}

static inline void world_free(struct world *w)
{
    rl_rpc_channel_free(&w->channel);
    rl_rpc_server_free(&w->server);
    rl_workers_free(&w->workers);
    rl_tls_client_unref(&w->tls_client);
    rl_tls_client_unref(&w->tls_nobody);
    rl_tls_server_unref(&w->tls_server);
    rl_tls_identity_unref(&w->auth);
    rl_tls_identity_unref(&w->alice);
    rl_tls_identity_unref(&w->proxy);
    rl_trust_unref(&w->trust);
    authority_free(&w->users);
    authority_free(&w->services);
    rl_loop_free(&w->loop);
    free(w);
}

/* ---- calls ---- */

struct answer {
    int done;
    rl_code code;
    char message[RL_ERROR_MESSAGE_BYTES];
    char text[256];
    uint64_t number;
    size_t bulk;
};

static inline void answer_done(void *context, rl_code code, const char *message,
                               const ProtobufCMessage *reply)
{
    struct answer *a = context;
    a->done++;
    a->code = code;
    snprintf(a->message, sizeof a->message, "%s", message);
    ck_assert((reply != NULL) == (code == RL_OK));
    if (!reply)
        return;
    const Echo__Text *text = (const Echo__Text *)reply;
    snprintf(a->text, sizeof a->text, "%s", text->text);
    a->number = text->number;
    a->bulk = text->bulk.len;
}

static inline Echo__Text text_of(const char *text)
{
    Echo__Text out = ECHO__TEXT__INIT;
    out.text = (char *)(uintptr_t)text;
    return out;
}

static inline struct rl_rpc_call *say(struct rl_rpc_channel *channel, const char *method,
                                      const char *text, uint32_t deadline_ms, struct answer *a)
{
    Echo__Text request = text_of(text);
    struct rl_rpc_call *call = NULL;
    *a = (struct answer){0};
    rl_rpc_unary(channel, &echo__echo__descriptor, method, &request.base, deadline_ms, answer_done,
                 a, &call);
    return call;
}

#endif
