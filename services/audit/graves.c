/* graves: list what is not signed (a worker), ask auth (the loop), keep the answer (a worker). One
 * round at a time.
 */
#include "graves.h"

#include "db/ledger.h"
#include "log/log.h"
#include "loop/workers.h"
#include "remoteler/v1/control.pb-c.h"

#include <stdlib.h>

#define CALL_MS 10000

struct rl_audit_graves {
    struct rl_audit_graves_config config;
    struct rl_timer *timer;
    struct rl_rpc_call *call;
    bool is_working, is_stopping;
    /* a round's own */
    Pb__Tombstone **tombstones;
    size_t count, kept;
    Pb__SignTombstonesResponse *answer;
    rl_code rc;
    struct rl_error err;
};

static void clear(struct rl_audit_graves *g)
{
    while (g->count)
        pb__tombstone__free_unpacked(g->tombstones[--g->count], NULL);
    free(g->tombstones);
    g->tombstones = NULL;
    if (g->answer)
        pb__sign_tombstones_response__free_unpacked(g->answer, NULL);
    g->answer = NULL;
    g->kept = 0;
}

static void end_round(struct rl_audit_graves *g)
{
    if (g->rc != RL_OK)
        rl_log_warn("tombstones were not signed", RL_TEXT("error", g->err.message));
    bool has_kept = g->kept > 0;
    clear(g);
    g->is_working = false;
    if (g->is_stopping)
        return;
    rl_timer_arm(g->timer, RL_AUDIT_GRAVES_MS);
    if (has_kept)
        g->config.is_signed(g->config.context);
}

/* ---- keeping ---- */

static void on_kept(void *context)
{
    end_round(context);
}

/* One that auth refused is empty: its log says why. */
static void keep(void *context)
{
    struct rl_audit_graves *g = context;
    g->rc = RL_OK;
    for (size_t i = 0; g->rc == RL_OK && i < g->count && i < g->answer->n_tombstones; i++) {
        if (g->answer->tombstones[i]->tombstone.len == 0)
            continue;
        g->rc = rl_audit_keep_signature(g->config.writer, g->tombstones[i],
                                        g->answer->tombstones[i], &g->err);
        g->kept += g->rc == RL_OK;
    }
    rl_loop_post(g->config.loop, on_kept, g);
}

static void on_signed(void *context, rl_code code, const char *message,
                      const ProtobufCMessage *reply)
{
    struct rl_audit_graves *g = context;
    g->call = NULL;
    g->rc = code;
    if (code == RL_OK) {
        size_t n = protobuf_c_message_get_packed_size(reply);
        uint8_t *packed = rl_alloc(n + 1);
        protobuf_c_message_pack(reply, packed);
        g->answer = pb__sign_tombstones_response__unpack(NULL, n, packed);
        free(packed);
        if (g->answer && rl_workers_submit(g->config.workers, keep, g, &g->err) == RL_OK)
            return;
        g->rc = RL_E_EXHAUSTED;
    }
    rl_fail(&g->err, g->rc, "%s", code == RL_OK ? "every thread is busy" : message);
    end_round(g);
}

/* ---- listing ---- */

static void on_listed(void *context)
{
    struct rl_audit_graves *g = context;
    struct rl_rpc_channel *auth = g->config.auth(g->config.context);
    if (g->rc != RL_OK || g->count == 0 || !auth || g->is_stopping) {
        end_round(g);
        return;
    }
    Pb__SignTombstonesRequest request = PB__SIGN_TOMBSTONES_REQUEST__INIT;
    request.n_tombstones = g->count;
    request.tombstones = g->tombstones;
    rl_rpc_unary(auth, &pb__control__descriptor, "SignTombstones", &request.base, CALL_MS,
                 on_signed, g, &g->call);
}

static void list(void *context)
{
    struct rl_audit_graves *g = context;
    g->rc = rl_audit_unsigned_tombstones(g->config.writer, g->config.cluster, &g->tombstones,
                                         &g->count, &g->err);
    rl_loop_post(g->config.loop, on_listed, g);
}

static void begin_round(void *context)
{
    struct rl_audit_graves *g = context;
    if (g->is_working)
        return;
    g->is_working = true;
    if (rl_workers_submit(g->config.workers, list, g, NULL) == RL_OK)
        return;
    g->is_working = false;
    rl_timer_arm(g->timer, RL_AUDIT_GRAVES_MS);
}

/* ---- life ---- */

struct rl_audit_graves *rl_audit_graves_start(const struct rl_audit_graves_config *config)
{
    struct rl_audit_graves *g = rl_alloc(sizeof *g);
    g->config = *config;
    g->timer = rl_timer_create(config->loop, begin_round, g);
    rl_timer_arm(g->timer, 0);
    return g;
}

void rl_audit_graves_stop(struct rl_audit_graves **graves)
{
    struct rl_audit_graves *g = *graves;
    if (!g)
        return;
    g->is_stopping = true;
    if (g->call)
        rl_rpc_cancel(g->call);
    while (g->is_working)
        rl_loop_turn(g->config.loop, 10);
    clear(g);
    rl_timer_free(&g->timer);
    free(g);
    *graves = NULL;
}
