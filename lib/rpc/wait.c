/* wait: a unary call for those who have nothing else to do meanwhile. */
#include "rpc/transport.h"

#include <pthread.h>

struct waiting {
    struct rl_rpc_channel *channel;
    const ProtobufCServiceDescriptor *service;
    const char *method;
    const ProtobufCMessage *request;
    uint32_t deadline_ms;
    struct rl_rpc_call *call;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_done;
    struct rl_error error;
    ProtobufCMessage *reply;
};

static void on_done(void *context, rl_code code, const char *message, const ProtobufCMessage *reply)
{
    struct waiting *w = context;
    (void)reply; /* the call's: it is not copied but taken */
    pthread_mutex_lock(&w->lock);
    if (code == RL_OK) {
        w->reply = w->call->unary;
        w->call->unary = NULL;
    } else {
        rl_fail(&w->error, code, "%s", message);
    }
    w->is_done = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static void start(void *context)
{
    struct waiting *w = context;
    rl_rpc_unary(w->channel, w->service, w->method, w->request, w->deadline_ms, on_done, w,
                 &w->call);
}

static void wait_elsewhere(struct waiting *w)
{
    rl_loop_post(w->channel->config.loop, start, w);
    pthread_mutex_lock(&w->lock);
    while (!w->is_done)
        pthread_cond_wait(&w->changed, &w->lock);
    pthread_mutex_unlock(&w->lock);
}

rl_code rl_rpc_unary_wait(struct rl_rpc_channel *channel, const ProtobufCServiceDescriptor *service,
                          const char *method, const ProtobufCMessage *request, uint32_t deadline_ms,
                          ProtobufCMessage **reply, struct rl_error *err)
{
    struct waiting w = {channel, service, method, request, deadline_ms, .call = NULL};
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.changed, NULL);
    if (rl_loop_is_current(channel->config.loop)) {
        start(&w);
        while (!w.is_done)
            rl_loop_turn(channel->config.loop, -1);
    } else {
        wait_elsewhere(&w);
    }
    pthread_cond_destroy(&w.changed);
    pthread_mutex_destroy(&w.lock);
    if (!w.reply)
        return rl_fail(err, w.error.code, "%s", w.error.message);
    *reply = w.reply;
    return RL_OK;
}
