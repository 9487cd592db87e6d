/* ways: where a leaf's broker dials for those who come from a root: at the other brokers of its own
 * cluster, at its direct nodes. Addresses are auth's; whoever answers has to be who it is said to
 * be. A channel that nobody uses is kept for a while.
 */
#include "internal.h"

#include "rpc/raw.h"

#include <stdlib.h>
#include <string.h>

#define CONNECT_MS 3000
#define IDLE_MS 60000
#define SWEEP_MS 10000

struct way {
    struct roots *roots;
    struct way *next;
    enum way_kind kind;
    char *id, *address;
    struct rl_tls_client *tls;
    struct rl_rpc_channel *channel;
    size_t users;
    uint64_t used_ms; /* last */
};

static void free_way(struct way **at)
{
    struct way *way = *at;
    *at = way->next;
    rl_rpc_channel_free(&way->channel);
    rl_tls_client_unref(&way->tls);
    free(way->id);
    free(way->address);
    free(way);
}

static rl_code connect_way(struct way *way, struct rl_error *err)
{
    const struct broker *broker = way->roots->broker;
    bool is_broker = way->kind == WAY_TO_BROKER;
    const struct rl_tls_client_config tls = {
        .identity = broker->own,
        .trust = broker->trust,
        .alpn = "h2",
        .peer_kind = is_broker ? RL_IDENTITY_SERVICE : RL_IDENTITY_AGENT,
        .peer_service = is_broker ? "broker" : NULL,
        .peer_name = way->id,
        .now_s = broker->config.now_s,
    };
    rl_code rc = rl_tls_client_create(&tls, &way->tls, err);
    if (rc != RL_OK)
        return rc;
    const struct rl_rpc_channel_config channel = {
        .loop = broker->config.loop,
        .address = way->address,
        .tls = way->tls,
        .connect_timeout_ms = CONNECT_MS,
        .stream_window_bytes = broker->config.stream_window_bytes,
        .stream_window_bytes_max = RL_RPC_RAW_WINDOW_BYTES_MAX,
        .now_s = broker->config.now_s,
    };
    return rl_rpc_channel_create_h2(&channel, &way->channel, err);
}

static struct way *find(const struct roots *roots, enum way_kind kind, const char *id)
{
    struct way *way = roots->ways;
    while (way && (way->kind != kind || strcmp(way->id, id) != 0))
        way = way->next;
    return way;
}

static struct way *add(struct roots *roots, enum way_kind kind, const char *id, const char *address,
                       struct rl_error *err)
{
    struct way *way = rl_alloc(sizeof *way);
    way->roots = roots;
    way->kind = kind;
    way->id = rl_strdup(id);
    way->address = rl_strdup(address);
    way->next = roots->ways;
    roots->ways = way;
    if (connect_way(way, err) == RL_OK)
        return way;
    free_way(&roots->ways);
    return NULL;
}

struct way *ways_take(struct roots *roots, enum way_kind kind, const char *id, const char *address,
                      struct rl_error *err)
{
    struct way *way = find(roots, kind, id);
    if (!way)
        way = add(roots, kind, id, address, err);
    if (!way)
        return NULL;
    if (strcmp(way->address, address) != 0) {
        free(way->address);
        way->address = rl_strdup(address);
        rl_rpc_channel_renew(way->channel, address);
    }
    way->users++;
    return way;
}

struct rl_rpc_channel *ways_channel(const struct way *way)
{
    return way->channel;
}

void ways_release(struct way **holder)
{
    struct way *way = *holder;
    if (!way)
        return;
    *holder = NULL;
    way->users--;
    way->used_ms = rl_loop_now_ms(way->roots->broker->config.loop);
    if (!rl_timer_is_armed(way->roots->sweep))
        rl_timer_arm(way->roots->sweep, SWEEP_MS);
}

void ways_sweep(void *context)
{
    struct roots *roots = context;
    uint64_t now_ms = rl_loop_now_ms(roots->broker->config.loop);
    bool is_any_idle = false;
    for (struct way **at = &roots->ways; *at;) {
        struct way *way = *at;
        if (!way->users && now_ms - way->used_ms >= IDLE_MS) {
            free_way(at);
            continue;
        }
        is_any_idle = is_any_idle || !way->users;
        at = &way->next;
    }
    if (is_any_idle)
        rl_timer_arm(roots->sweep, SWEEP_MS);
}

void ways_renewed(struct roots *roots)
{
    struct rl_error err;
    for (struct way *way = roots->ways; way; way = way->next) {
        if (rl_tls_client_reload(way->tls, roots->broker->own, roots->broker->trust, &err) == RL_OK)
            rl_rpc_channel_renew(way->channel, NULL);
        else
            rl_log_error("the new certificate can not be used", RL_TEXT("error", err.message));
    }
}

void ways_close(struct roots *roots)
{
    while (roots->ways)
        free_way(&roots->ways);
}
