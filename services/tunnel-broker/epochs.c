/* epochs: auth is asked for those of many agents at once. One question is on its way at a time, and
 * whoever comes meanwhile is in the next: alone an agent waits for nobody, and a thousand that come
 * back after a restart are a few questions.
 */
#include "internal.h"

#include <stdlib.h>

struct epochs {
    struct broker *broker;
    struct rl_rpc_call *call;
    struct attachment *first, **end;             /* not asked for yet */
    struct attachment *asked[BROKER_EPOCHS_MAX]; /* in the order of the question; NULL: gone */
    size_t asked_count;
};

struct epochs *epochs_create(struct broker *broker)
{
    struct epochs *e = rl_alloc(sizeof *e);
    e->broker = broker;
    e->end = &e->first;
    return e;
}

void epochs_free(struct epochs **holder)
{
    struct epochs *e = *holder;
    if (!e)
        return;
    *holder = NULL;
    if (e->call)
        rl_rpc_cancel(e->call);
    while (e->call)
        rl_loop_turn(e->broker->config.loop, 10);
    free(e);
}

static void ask(struct epochs *e);

/* An auth of the release before answers for the first alone. */
static void ask_again(struct epochs *e, struct attachment *a)
{
    a->epoch_next = e->first;
    if (!e->first)
        e->end = &a->epoch_next;
    e->first = a;
}

static void give(struct epochs *e, size_t i, const Pb__NextEpochResponse *reply)
{
    struct attachment *a = e->asked[i];
    if (i < reply->n_offers) {
        const Pb__EpochOffer *offer = reply->offers[i];
        attachment_epoch(a, offer->epoch, rl_code_from_number((long)offer->code), offer->message);
    } else if (i == 0 && reply->epoch) {
        attachment_epoch(a, reply->epoch, RL_OK, "");
    } else {
        ask_again(e, a);
    }
}

static void on_answer(void *context, rl_code code, const char *message,
                      const ProtobufCMessage *reply)
{
    struct epochs *e = context;
    e->call = NULL;
    for (size_t i = 0; i < e->asked_count; i++) {
        if (!e->asked[i])
            continue;
        if (code == RL_OK)
            give(e, i, (const Pb__NextEpochResponse *)reply);
        else
            attachment_epoch(e->asked[i], 0, code, message);
    }
    e->asked_count = 0;
    ask(e);
}

static void ask(struct epochs *e)
{
    if (e->call || e->asked_count || !e->first || e->broker->is_freeing)
        return;
    char *ids[BROKER_EPOCHS_MAX];
    Pb__NextEpochRequest request = PB__NEXT_EPOCH_REQUEST__INIT;
    while (e->first && e->asked_count < BROKER_EPOCHS_MAX) {
        struct attachment *a = e->first;
        e->first = a->epoch_next;
        ids[e->asked_count] = a->agent_id;
        e->asked[e->asked_count++] = a;
    }
    if (!e->first)
        e->end = &e->first;
    request.broker_id = (char *)(uintptr_t)e->broker->config.id;
    request.agent_id = e->asked[0]->agent_id;
    request.agent_ids = ids;
    request.n_agent_ids = e->asked_count;
    rl_rpc_unary(rl_control_channel(e->broker->control), &pb__control__descriptor, "NextEpoch",
                 &request.base, RL_CONTROL_DEADLINE_MS, on_answer, e, &e->call);
}

void epochs_want(struct epochs *e, struct attachment *attachment)
{
    attachment->epoch_next = NULL;
    *e->end = attachment;
    e->end = &attachment->epoch_next;
    ask(e);
}

void epochs_forget(struct epochs *e, struct attachment *attachment)
{
    for (size_t i = 0; i < e->asked_count; i++)
        if (e->asked[i] == attachment)
            e->asked[i] = NULL;
    struct attachment **at = &e->first;
    while (*at && *at != attachment)
        at = &(*at)->epoch_next;
    if (!*at)
        return;
    *at = attachment->epoch_next;
    if (!*at)
        e->end = at;
}
