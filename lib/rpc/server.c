/* server: which handler answers which method, and unary handlers on workers. A server without an
 * `authorize` does not exist, and a service with a method that nobody handles does not start.
 */
#include "rpc/transport.h"

#include <stdlib.h>
#include <string.h>

static void set_default(uint32_t *value, uint32_t standard)
{
    if (*value == 0)
        *value = standard;
}

void rl_rpc_server_init(struct rl_rpc_server *server, const struct rl_rpc_server_ops *ops,
                        const struct rl_rpc_server_config *config)
{
    RL_ASSERT(config->loop && config->authorize);
    server->ops = ops;
    server->config = *config;
    set_default(&server->config.message_bytes_max, RL_RPC_MESSAGE_BYTES_MAX);
    set_default(&server->config.concurrent_calls_max, RL_RPC_CONCURRENT_CALLS_MAX);
    set_default(&server->config.connections_max, RL_RPC_CONNECTIONS_MAX);
    rl_rpc_grave_init(&server->grave, config->loop);
}

/* ---- the registry ---- */

static const struct rl_rpc_handler *handler_of(const struct rl_rpc_handler *handlers, size_t count,
                                               const char *method)
{
    const struct rl_rpc_handler *found = NULL;
    for (size_t i = 0; i < count; i++)
        if (strcmp(handlers[i].method, method) == 0) {
            RL_ASSERT(!found);
            found = &handlers[i];
        }
    return found;
}

static int by_path(const void *a, const void *b)
{
    const struct rl_rpc_method *left = a, *right = b;
    return strcmp(left->path, right->path);
}

void rl_rpc_server_add(struct rl_rpc_server *server, const ProtobufCServiceDescriptor *service,
                       const struct rl_rpc_handler *handlers, size_t count, void *context)
{
    RL_ASSERT(!server->is_listening && count == service->n_methods);
    size_t total = server->method_count + count;
    struct rl_rpc_method *methods = rl_alloc_array(total, sizeof *methods);
    if (server->methods)
        memcpy(methods, server->methods, server->method_count * sizeof *methods);
    for (size_t i = 0; i < count; i++) {
        const struct rl_rpc_handler *handler =
            handler_of(handlers, count, service->methods[i].name);
        RL_ASSERT(handler && !handler->unary + !handler->stream + !handler->raw == 2);
        RL_ASSERT(!handler->stream || (handler->stream->message && handler->stream->closed));
        RL_ASSERT(!handler->raw ||
                  (handler->raw->data && handler->raw->produce && handler->raw->closed));
        methods[server->method_count + i] = (struct rl_rpc_method){
            .path = rl_sprintf("/%s/%s", service->name, service->methods[i].name),
            .service = service,
            .descriptor = &service->methods[i],
            .handler = handler,
            .context = context,
        };
        RL_ASSERT(strlen(methods[server->method_count + i].path) <= RL_RPC_METHOD_BYTES_MAX);
    }
    qsort(methods, total, sizeof *methods, by_path);
    free(server->methods);
    server->methods = methods;
    server->method_count = total;
}

static const struct rl_rpc_method *find_method(const struct rl_rpc_server *server,
                                               struct rl_span path)
{
    if (path.n == 0 || path.n > RL_RPC_METHOD_BYTES_MAX || memchr(path.p, 0, path.n))
        return NULL;
    char text[RL_RPC_METHOD_BYTES_MAX + 1];
    memcpy(text, path.p, path.n);
    text[path.n] = '\0';
    if (server->method_count == 0)
        return NULL;
    struct rl_rpc_method key = {.path = text};
    return bsearch(&key, server->methods, server->method_count, sizeof key, by_path);
}

/* ---- calls ---- */

struct rl_rpc_call *rl_rpc_server_accept(struct rl_rpc_server *server, struct rl_rpc_remote *remote)
{
    struct rl_rpc_call *call = rl_alloc(server->ops->call_bytes);
    call->ops = &server->ops->call;
    call->loop = server->config.loop;
    call->server = server;
    call->grave = &server->grave;
    call->remote = rl_rpc_remote_ref(remote);
    call->queue_end = &call->queue;
    call->message_bytes_max = server->config.message_bytes_max;
    call->deadline_boot_ms = RL_RPC_NO_DEADLINE;
    atomic_init(&call->refs, 1);
    return call;
}

void rl_rpc_server_open(struct rl_rpc_call *call, struct rl_span path, uint64_t timeout_ms)
{
    struct rl_rpc_server *server = call->server;
    const struct rl_rpc_method *method = find_method(server, path);
    if (!method) {
        rl_rpc_call_abort(call, RL_E_UNIMPLEMENTED, "there is no such method");
        return;
    }
    struct rl_error err = {.code = RL_E_DENIED};
    if (server->config.authorize(server->config.authorize_context, method->service->name,
                                 method->descriptor->name, &call->remote->peer, &err) != RL_OK) {
        rl_rpc_call_abort(call, err.code, err.message);
        return;
    }
    const struct rl_rpc_handler *handler = method->handler;
    call->method = method;
    call->kind = handler->unary ? RL_RPC_UNARY : handler->stream ? RL_RPC_STREAM : RL_RPC_RAW;
    call->incoming = method->descriptor->input;
    call->stream = handler->stream;
    call->raw = handler->raw;
    call->context = method->context;
    rl_rpc_call_set_deadline(call, timeout_ms);
    if (handler->stream && handler->opened)
        handler->opened(call, call->context);
    else if (handler->raw && handler->raw->opened)
        handler->raw->opened(call, call->context);
}

/* ---- unary calls ---- */

struct work {
    struct rl_rpc_call *call;
    rl_rpc_unary_fn unary;
    void *context;
};

static void run(void *context)
{
    struct work work = *(struct work *)context;
    free(context);
    if (!atomic_load(&work.call->is_over)) {
        work.unary(work.call, work.call->unary, work.context);
        return;
    }
    struct rl_error gone = {.code = RL_E_CANCELLED};
    rl_rpc_fail(work.call, &gone);
}

static void dispatch(struct rl_rpc_call *call)
{
    rl_rpc_call_ref(call); /* the handler's, until it answers */
    rl_rpc_unary_fn unary = call->method->handler->unary;
    struct rl_workers *workers = call->server->config.workers;
    if (!workers) {
        unary(call, call->unary, call->context);
        return;
    }
    struct work *work = rl_alloc(sizeof *work);
    *work = (struct work){call, unary, call->context};
    struct rl_error err;
    if (rl_workers_submit(workers, run, work, &err) != RL_OK) {
        free(work);
        rl_rpc_fail(call, &err);
    }
}

void rl_rpc_call_receive_end(struct rl_rpc_call *call)
{
    if (call->is_half_closed || call->is_closing || atomic_load(&call->is_over))
        return;
    call->is_half_closed = true;
    if (call->is_ending)
        return;
    if (call->kind == RL_RPC_UNARY && call->method) {
        if (call->unary)
            dispatch(call);
        else
            rl_rpc_call_abort(call, RL_E_INTERNAL, "a unary call without a message");
        return;
    }
    struct rl_rpc_call *held = rl_rpc_call_ref(call);
    if (call->stream && call->stream->half_closed)
        call->stream->half_closed(call, call->context);
    else if (call->stream)
        rl_rpc_call_end(call, RL_OK, NULL);
    else if (call->raw && call->raw->half_closed)
        call->raw->half_closed(call, call->context);
    rl_rpc_call_unref(&held);
}

struct answer {
    struct rl_rpc_call *call;
    struct rl_rpc_message *message; /* NULL: a failure */
    struct rl_error error;
};

static void deliver(struct answer *answer)
{
    struct rl_rpc_call *call = answer->call;
    if (answer->message && !call->is_closing && !call->is_ending) {
        atomic_fetch_add(&call->queued_bytes, answer->message->n);
        rl_rpc_queue_put(call, answer->message);
        answer->message = NULL;
    }
    rl_rpc_call_end(call, answer->error.code, answer->error.message);
    free(answer->message);
    protobuf_c_message_free_unpacked(call->unary, NULL);
    call->unary = NULL;
    rl_rpc_call_unref(&call);
}

static void on_answer(void *context)
{
    deliver(context);
    free(context);
}

static void answer_call(struct rl_rpc_call *call, struct rl_rpc_message *message,
                        const struct rl_error *error)
{
    RL_ASSERT(call->kind == RL_RPC_UNARY && !atomic_exchange(&call->is_answered, true));
    struct answer answer = {.call = call, .message = message};
    if (error)
        answer.error = *error;
    if (rl_loop_is_current(call->loop)) {
        deliver(&answer);
        return;
    }
    struct answer *posted = rl_alloc(sizeof *posted);
    *posted = answer;
    rl_loop_post(call->loop, on_answer, posted);
}

void rl_rpc_reply(struct rl_rpc_call *call, const ProtobufCMessage *reply)
{
    struct rl_rpc_message *message = NULL;
    struct rl_error err;
    if (rl_rpc_message_pack(reply, call->message_bytes_max, &message, &err) != RL_OK) {
        err.code = RL_E_EXHAUSTED;
        answer_call(call, NULL, &err);
        return;
    }
    answer_call(call, message, NULL);
}

void rl_rpc_reply_packed(struct rl_rpc_call *call, struct rl_span reply)
{
    struct rl_rpc_message *message = NULL;
    struct rl_error err;
    if (rl_rpc_message_frame(reply, call->message_bytes_max, &message, &err) != RL_OK) {
        err.code = RL_E_EXHAUSTED;
        answer_call(call, NULL, &err);
        return;
    }
    answer_call(call, message, NULL);
}

void rl_rpc_fail(struct rl_rpc_call *call, const struct rl_error *error)
{
    RL_ASSERT(error->code != RL_OK);
    answer_call(call, NULL, error);
}

/* ---- the face ---- */

rl_code rl_rpc_server_listen(struct rl_rpc_server *server, const struct rl_rpc_listen *listen,
                             uint16_t *port, struct rl_error *err)
{
    server->is_listening = true;
    return server->ops->listen(server, listen, port, err);
}

void rl_rpc_server_drain(struct rl_rpc_server *server, uint32_t grace_ms,
                         void (*drained)(void *context), void *context)
{
    server->ops->drain(server, grace_ms, drained, context);
}

size_t rl_rpc_server_disconnect(struct rl_rpc_server *server, uint64_t connection,
                                const char *reason)
{
    return server->ops->disconnect(server, connection, reason);
}

void rl_rpc_server_free(struct rl_rpc_server **server)
{
    struct rl_rpc_server *s = *server;
    *server = NULL;
    if (!s)
        return;
    s->ops->release(s);
    rl_rpc_grave_fini(&s->grave);
    for (size_t i = 0; i < s->method_count; i++)
        free(s->methods[i].path);
    free(s->methods);
    free(s);
}
