/* What a client may send once TLS is done: frames into a server with one method of each kind. There
 * is no socket and no TLS; the rest is the server's own code. */
#include "echo.pb-c.h"
#include "fuzz.h"
#include "rpc/h2/h2.h"

#include <stdlib.h>

static struct rl_loop *loop;

static rl_code allow(void *context, const char *service, const char *method,
                     const struct rl_rpc_peer *peer, struct rl_error *err)
{
    (void)context, (void)service, (void)method, (void)peer, (void)err;
    return RL_OK;
}

static void on_say(struct rl_rpc_call *call, const ProtobufCMessage *request, void *context)
{
    (void)context;
    rl_rpc_reply(call, request);
}

static void on_message(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)context;
    rl_rpc_send(call, message, NULL);
    if (((const Echo__Text *)message)->number == 1)
        rl_rpc_pause(call);
}

static void on_data(struct rl_rpc_call *call, const uint8_t *bytes, size_t n, void *context)
{
    (void)bytes, (void)context;
    rl_rpc_raw_consume(call, n);
}

static ptrdiff_t produce(struct rl_rpc_call *call, uint8_t *to, size_t room, void *context)
{
    (void)call, (void)to, (void)room, (void)context;
    return RL_RPC_RAW_DEFER;
}

static void on_closed(struct rl_rpc_call *call, rl_code code, const char *message, void *context)
{
    (void)call, (void)code, (void)message, (void)context;
}

static const struct rl_rpc_stream_ops chat = {.message = on_message, .closed = on_closed};
static const struct rl_rpc_raw_ops raw = {.data = on_data, .produce = produce, .closed = on_closed};
static const struct rl_rpc_handler handlers[] = {
    {.method = "Say", .unary = on_say},
    {.method = "Forbidden", .unary = on_say},
    {.method = "Chat", .stream = &chat},
    {.method = "Bytes", .raw = &raw},
};

static void on_connection_closed(void *owner, struct rl_h2_connection *connection, rl_code code,
                                 const char *reason)
{
    (void)owner, (void)connection, (void)code, (void)reason;
}

/* The flush has no socket to write to: what nghttp2 says is thrown away here. */
static void discard(void *context)
{
    struct rl_h2_connection *c = context;
    const uint8_t *frame;
    rl_h2_connection_enter(c);
    while (!c->is_closed && c->session && nghttp2_session_mem_send(c->session, &frame) > 0)
        ;
    rl_h2_connection_exit(c);
}

/* c->session is NULL when there was no memory for one. */
static struct rl_h2_connection *connect_without_tls(const struct rl_h2_config *config)
{
    struct rl_h2_connection *c = rl_alloc(sizeof *c);
    c->config = config;
    c->fd = -1;
    c->is_tls_broken = true;
    c->address = rl_strdup("fuzz");
    c->remote = rl_rpc_remote_create(NULL, "fuzz");
    c->turn = rl_task_create(loop, discard, c);
    bool is_started = rl_h2_session_start(c, NULL) == RL_OK;
    FUZZ_EXPECT(is_started);
    if (is_started)
        rl_h2_keepalive_start(c);
    return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!loop)
        RL_ASSERT(rl_loop_create(&loop, NULL) == RL_OK);
    struct rl_rpc_server_config server_config = {.loop = loop, .authorize = allow};
    struct rl_rpc_server *server = NULL;
    RL_ASSERT(rl_rpc_server_create_h2(&server_config, &server, NULL) == RL_OK);
    rl_rpc_server_add(server, &echo__echo__descriptor, handlers, RL_COUNT(handlers), NULL);
    struct rl_h2_config config = {
        .loop = loop, .server = server, .concurrent_calls_max = 10, .closed = on_connection_closed};
    rl_h2_config_set_defaults(&config);
    struct rl_h2_connection *c = connect_without_tls(&config);
    rl_h2_connection_enter(c);
    if (c->session && nghttp2_session_mem_recv(c->session, (const uint8_t *)NGHTTP2_CLIENT_MAGIC,
                                               NGHTTP2_CLIENT_MAGIC_LEN) >= 0)
        nghttp2_session_mem_recv(c->session, data, size);
    if (rl_h2_connection_exit(c)) {
        rl_loop_turn(loop, 0);
        rl_h2_connection_close(c, RL_E_UNAVAILABLE, "the end of the input");
    }
    rl_rpc_server_free(&server);
    return 0;
}
