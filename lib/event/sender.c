/* sender: events on their way to audit. They wait in memory, in order; one batch is on its way at a
 * time, and is forgotten only when audit has committed it. The same uid twice is the same event, so
 * sending again after a lost answer is harmless.
 */
#include "event/event.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_DELAY_MS 100
#define CALL_DEADLINE_MS 10000
#define RETRY_MS_MIN 200
#define RETRY_MS_MAX 10000

struct item {
    struct item *next;
    Pb__Event *event;
};

struct rl_event_sender {
    struct rl_loop *loop;
    struct rl_rpc_channel *channel;
    struct rl_timer *timer;
    uint32_t retry_ms;
    size_t batch_max; /* 1 after a refusal: which one was it? */
    size_t in_flight; /* the first so many of the queue */
    struct rl_rpc_call *call;
    pthread_mutex_t lock; /* of the queue and is_woken */
    struct item *first, **end;
    size_t count;
    bool is_woken;
    atomic_size_t dropped;
    rl_event_lost_fn lost;
    void *lost_context;
    size_t dropped_said;
    uint64_t said_ms;
};

static void flush(void *context);

struct rl_event_sender *rl_event_sender_create(struct rl_loop *loop, struct rl_rpc_channel *channel)
{
    struct rl_event_sender *sender = rl_alloc(sizeof *sender);
    sender->loop = loop;
    sender->channel = channel;
    sender->timer = rl_timer_create(loop, flush, sender);
    sender->retry_ms = RETRY_MS_MIN;
    sender->batch_max = RL_EVENT_BATCH_MAX;
    sender->end = &sender->first;
    pthread_mutex_init(&sender->lock, NULL);
    return sender;
}

void rl_event_sender_on_lost(struct rl_event_sender *sender, rl_event_lost_fn fn, void *context)
{
    sender->lost = fn;
    sender->lost_context = context;
}

/* Of those that had to make room. */
static void say_dropped(struct rl_event_sender *sender)
{
    uint64_t now_ms = rl_loop_now_ms(sender->loop);
    size_t dropped = sender->dropped;
    bool is_said = sender->said_ms && now_ms - sender->said_ms < RL_EVENT_SAY_MS;
    if (dropped == sender->dropped_said || is_said || !sender->lost)
        return;
    sender->said_ms = now_ms;
    sender->dropped_said = dropped;
    sender->lost(sender->lost_context, NULL, "audit is away for too long", dropped);
}

/* With the lock. */
static void drop_first(struct rl_event_sender *sender)
{
    struct item *item = sender->first;
    sender->first = item->next;
    if (!sender->first)
        sender->end = &sender->first;
    sender->count--;
    rl_event_free(&item->event);
    free(item);
}

/* With the lock: the oldest that is not on its way. */
static void make_room(struct rl_event_sender *sender)
{
    struct item **at = &sender->first;
    for (size_t i = 0; i < sender->in_flight; i++)
        at = &(*at)->next;
    struct item *item = *at;
    *at = item->next;
    if (!item->next)
        sender->end = at;
    sender->count--;
    rl_event_free(&item->event);
    free(item);
    sender->dropped++;
}

static void on_posted(void *context)
{
    struct rl_event_sender *sender = context;
    pthread_mutex_lock(&sender->lock);
    sender->is_woken = false;
    pthread_mutex_unlock(&sender->lock);
    say_dropped(sender);
    if (!sender->in_flight && !rl_timer_is_armed(sender->timer))
        rl_timer_arm(sender->timer, BATCH_DELAY_MS);
}

void rl_event_send(struct rl_event_sender *sender, Pb__Event **event)
{
    struct item *item = rl_alloc(sizeof *item);
    item->event = *event;
    *event = NULL;
    pthread_mutex_lock(&sender->lock);
    if (sender->count >= RL_EVENT_QUEUE_MAX)
        make_room(sender);
    *sender->end = item;
    sender->end = &item->next;
    sender->count++;
    bool wake = !sender->is_woken;
    sender->is_woken = true;
    pthread_mutex_unlock(&sender->lock);
    if (wake)
        rl_loop_post(sender->loop, on_posted, sender);
}

static void on_appended(struct rl_event_sender *sender)
{
    pthread_mutex_lock(&sender->lock);
    for (; sender->in_flight; sender->in_flight--)
        drop_first(sender);
    pthread_mutex_unlock(&sender->lock);
    sender->retry_ms = RETRY_MS_MIN;
    sender->batch_max = RL_EVENT_BATCH_MAX;
    rl_timer_arm(sender->timer, 0);
}

/* Audit will never take this batch: one by one, the bad one goes. */
static void on_refused(struct rl_event_sender *sender, const char *message)
{
    if (sender->in_flight == 1) {
        sender->dropped_said++; /* it is said here */
        size_t dropped = ++sender->dropped;
        if (sender->lost) /* the first stays where it is until it is appended */
            sender->lost(sender->lost_context, sender->first->event, message, dropped);
        on_appended(sender);
        return;
    }
    sender->batch_max = 1;
    sender->in_flight = 0;
    rl_timer_arm(sender->timer, 0);
}

static void on_done(void *context, rl_code code, const char *message, const ProtobufCMessage *reply)
{
    (void)reply;
    struct rl_event_sender *sender = context;
    sender->call = NULL;
    if (code == RL_OK) {
        on_appended(sender);
    } else if (code == RL_E_INVAL || code == RL_E_DENIED) {
        on_refused(sender, message);
    } else {
        sender->in_flight = 0;
        rl_timer_arm(sender->timer, sender->retry_ms);
        sender->retry_ms =
            sender->retry_ms * 2 > RETRY_MS_MAX ? RETRY_MS_MAX : sender->retry_ms * 2;
    }
}

static void flush(void *context)
{
    struct rl_event_sender *sender = context;
    Pb__Event *events[RL_EVENT_BATCH_MAX];
    size_t n = 0;
    if (sender->in_flight)
        return;
    pthread_mutex_lock(&sender->lock);
    for (struct item *item = sender->first; item && n < sender->batch_max; item = item->next)
        events[n++] = item->event;
    sender->in_flight = n;
    pthread_mutex_unlock(&sender->lock);
    if (!n)
        return;
    Pb__AppendRequest request = PB__APPEND_REQUEST__INIT;
    request.n_events = n;
    request.events = events;
    rl_rpc_unary(sender->channel, &pb__audit__descriptor, "Append", &request.base, CALL_DEADLINE_MS,
                 on_done, sender, &sender->call);
}

size_t rl_event_sender_pending(const struct rl_event_sender *sender)
{
    return sender->count;
}

size_t rl_event_sender_dropped(const struct rl_event_sender *sender)
{
    return sender->dropped;
}

void rl_event_sender_flush(struct rl_event_sender *sender, uint32_t grace_ms)
{
    uint64_t until = rl_loop_now_ms(sender->loop) + grace_ms;
    while (sender->count && rl_loop_now_ms(sender->loop) < until) {
        if (!sender->in_flight && !rl_timer_is_armed(sender->timer))
            rl_timer_arm(sender->timer, 0);
        rl_loop_turn(sender->loop, 20);
    }
}

void rl_event_sender_free(struct rl_event_sender **holder, uint32_t grace_ms)
{
    struct rl_event_sender *sender = *holder;
    if (!sender)
        return;
    rl_event_sender_flush(sender, grace_ms);
    while (sender->is_woken) /* a post that is still on its way names us */
        rl_loop_turn(sender->loop, 0);
    if (sender->call)
        rl_rpc_cancel(sender->call);
    while (sender->call)
        rl_loop_turn(sender->loop, 10);
    while (sender->first)
        drop_first(sender);
    rl_timer_free(&sender->timer);
    pthread_mutex_destroy(&sender->lock);
    free(sender);
    *holder = NULL;
}
