/* leave: a proxy says that it goes away. Agents' connections pass through it, still encrypted, so
 * it can tell them nothing itself; but each came with a header that it signed, so the broker knows
 * whose they are. They are told to move at half the rate at which agents may attach: everybody else
 * still finds a place.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define TICK_MS 100

struct leaver {
    struct leaver *next;
    char *proxy_id;
    uint64_t asked_ms; /* who came later came to its successor */
};

struct leavers {
    struct broker *broker;
    struct rl_timer *timer;
    struct leaver *first;
    size_t count;
};

static void drop_all(struct leavers *leavers)
{
    while (leavers->first) {
        struct leaver *leaver = leavers->first;
        leavers->first = leaver->next;
        free(leaver->proxy_id);
        free(leaver);
    }
    leavers->count = 0;
}

static bool came_through(const struct attachment *a, const struct leaver *leaver)
{
    const char *via = a->call ? rl_rpc_peer(a->call)->via : NULL;
    return a->state == ATTACHMENT_HERE && via && !a->is_told_to_move &&
           a->came_ms <= leaver->asked_ms && strcmp(via, leaver->proxy_id) == 0;
}

static bool has_to_move(const struct attachment *a, const struct leavers *leavers)
{
    for (const struct leaver *leaver = leavers->first; leaver; leaver = leaver->next)
        if (came_through(a, leaver))
            return true;
    return false;
}

static void on_tick(void *context)
{
    struct leavers *leavers = context;
    uint32_t left = leavers->broker->config.attach_rate / 2 * TICK_MS / 1000 + 1;
    for (struct attachment *a = leavers->broker->attachments; a; a = a->next) {
        if (!has_to_move(a, leavers))
            continue;
        if (!left--) {
            rl_timer_arm(leavers->timer, TICK_MS);
            return;
        }
        attachment_move(a, "the proxy that it came through is going away");
    }
    drop_all(leavers);
}

struct leavers *leavers_create(struct broker *broker)
{
    struct leavers *leavers = rl_alloc(sizeof *leavers);
    leavers->broker = broker;
    leavers->timer = rl_timer_create(broker->config.loop, on_tick, leavers);
    return leavers;
}

void leavers_free(struct leavers **holder)
{
    struct leavers *leavers = *holder;
    if (!leavers)
        return;
    *holder = NULL;
    drop_all(leavers);
    rl_timer_free(&leavers->timer);
    free(leavers);
}

void leave_asked(struct rl_rpc_call *call, const ProtobufCMessage *request, void *context)
{
    (void)request;
    struct broker *broker = context;
    struct leavers *leavers = broker->leavers;
    struct rl_error err;
    if (leavers->count == BROKER_LEAVERS_MAX) {
        rl_fail(&err, RL_E_EXHAUSTED, "too many proxies go away at once");
        rl_rpc_fail(call, &err);
        return;
    }
    struct leaver *leaver = rl_alloc(sizeof *leaver);
    leaver->proxy_id = rl_strdup(rl_rpc_peer(call)->identity->name);
    leaver->asked_ms = rl_loop_now_ms(broker->config.loop);
    leaver->next = leavers->first;
    leavers->first = leaver;
    leavers->count++;
    Pb__LeaveResponse response = PB__LEAVE_RESPONSE__INIT;
    for (struct attachment *a = broker->attachments; a; a = a->next)
        response.agents += came_through(a, leaver);
    rl_log_info("a proxy goes away", RL_TEXT("proxy", leaver->proxy_id),
                RL_NUMBER("agents", response.agents));
    rl_rpc_reply(call, &response.base);
    rl_timer_arm(leavers->timer, 0);
}
