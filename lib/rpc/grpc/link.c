/* link: the arguments of a gRPC channel, and the watch over its state. */
#include "rpc/grpc/link.h"

#include <grpc/support/time.h>
#include <limits.h>
#include <stdlib.h>

#define BACKOFF_MS_MIN 200
#define BACKOFF_MS_MAX 5000

static grpc_arg integer(const char *key, int value)
{
    return (grpc_arg){
        .type = GRPC_ARG_INTEGER, .key = (char *)(uintptr_t)key, .value.integer = value};
}

static grpc_arg text(const char *key, char *value)
{
    return (grpc_arg){
        .type = GRPC_ARG_STRING, .key = (char *)(uintptr_t)key, .value.string = value};
}

static grpc_channel *create_core(const struct rl_rpc_channel_config *config,
                                 grpc_channel_credentials *credentials)
{
    uint32_t keepalive_ms = config->keepalive_ms ? config->keepalive_ms : RL_RPC_KEEPALIVE_MS;
    uint32_t timeout_ms =
        config->keepalive_timeout_ms ? config->keepalive_timeout_ms : RL_RPC_KEEPALIVE_TIMEOUT_MS;
    /* The name that gRPC core insists on finding in the certificate, and sends as SNI: every
       certificate of the service carries it, whatever address it is reached by. */
    char *name = rl_sprintf("%s.%s%s", config->peer_service, rl_trust_cluster(config->trust),
                            RL_TLS_SNI_SUFFIX);
    char *target = rl_sprintf("dns:///%s", config->address);
    grpc_arg args[] = {
        text(GRPC_SSL_TARGET_NAME_OVERRIDE_ARG, name),
        /* a connection of one's own, with one's own identity */
        integer(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1),
        integer(GRPC_ARG_ENABLE_HTTP_PROXY, 0),
        integer(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1),
        integer(GRPC_ARG_ENABLE_RETRIES, 0),
        integer(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int)RL_RPC_MESSAGE_BYTES_MAX * 2),
        integer(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1),
        integer(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0),
        integer(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0),
        integer(GRPC_ARG_KEEPALIVE_TIME_MS, (int)keepalive_ms),
        integer(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, (int)timeout_ms),
        integer(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
        integer(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),
        integer(GRPC_ARG_CLIENT_IDLE_TIMEOUT_MS, INT_MAX),
        integer(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, BACKOFF_MS_MIN),
        integer(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, BACKOFF_MS_MAX),
        /* in spite of its name: how long one attempt may take */
        integer(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, (int)config->connect_timeout_ms),
        integer(GRPC_ARG_ENABLE_CHANNELZ, 0),
    };
    grpc_channel_args all = {RL_COUNT(args), args};
    grpc_channel *core = grpc_channel_create(target, credentials, &all);
    free(target);
    free(name);
    return core;
}

static void release(struct rl_grpc_link *link)
{
    rl_rpc_remote_unref(&link->remote);
    rl_grpc_verifier_unref(&link->verifier);
    free(link->address);
    free(link);
}

static void watch(struct rl_grpc_link *link)
{
    link->is_watching = true;
    grpc_channel_watch_connectivity_state(link->core, link->state,
                                          gpr_inf_future(GPR_CLOCK_MONOTONIC),
                                          rl_grpc_queue_core(link->queue), &link->changed);
}

static void on_changed(struct rl_grpc_event *event, bool ok)
{
    (void)ok;
    struct rl_grpc_link *link = (struct rl_grpc_link *)(void *)event;
    link->is_watching = false;
    if (link->is_orphan) {
        release(link);
        return;
    }
    if (!link->core || rl_grpc_queue_is_closed(link->queue))
        return;
    grpc_connectivity_state before = link->state;
    link->state = grpc_channel_check_connectivity_state(link->core, 0);
    watch(link);
    if (link->state != before)
        link->fn(link, before, link->context);
}

rl_code rl_grpc_link_create(const struct rl_rpc_channel_config *config, struct rl_grpc_queue *queue,
                            int64_t now_s, rl_grpc_link_fn fn, void *context,
                            struct rl_grpc_link **out, struct rl_error *err)
{
    grpc_channel_credentials *credentials;
    struct rl_grpc_verifier *verifier;
    rl_code rc = rl_grpc_client_credentials(config->identity, config->trust, config->peer_service,
                                            now_s, &credentials, &verifier, err);
    if (rc != RL_OK)
        return rc;
    struct rl_grpc_link *link = rl_alloc(sizeof *link);
    link->changed.fn = on_changed;
    link->queue = queue;
    link->verifier = verifier;
    link->address = rl_strdup(config->address);
    link->fn = fn;
    link->context = context;
    link->core = create_core(config, credentials);
    grpc_channel_credentials_release(credentials);
    link->state = grpc_channel_check_connectivity_state(link->core, 0);
    watch(link);
    *out = link;
    return RL_OK;
}

void rl_grpc_link_refresh(struct rl_grpc_link *link)
{
    struct rl_identity *identity = rl_grpc_verifier_take(link->verifier);
    if (!identity)
        return;
    rl_rpc_remote_unref(&link->remote);
    link->remote = rl_rpc_remote_create(identity, link->address);
}

void rl_grpc_link_close(struct rl_grpc_link *link)
{
    if (link && link->core)
        grpc_channel_destroy(link->core);
    if (link)
        link->core = NULL;
}

void rl_grpc_link_free(struct rl_grpc_link **link)
{
    if (!link || !*link)
        return;
    struct rl_grpc_link *gone = *link;
    *link = NULL;
    rl_grpc_link_close(gone);
    gone->is_orphan = true;
    if (!gone->is_watching)
        release(gone);
}
