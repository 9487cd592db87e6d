/* queue: the thread only passes events on. The callback kind of completion queue would spare it,
 * but in 1.51 that kind never fires unless somebody polls.
 */
#include "rpc/grpc/queue.h"

#include <grpc/support/log.h>
#include <grpc/support/time.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* Then the loop's other work has its turn. */
#define EVENTS_IN_ONE_GO 256

struct rl_grpc_queue {
    struct rl_loop *loop;
    grpc_completion_queue *core;
    pthread_t thread;
    bool is_closed; /* the loop's thread only */

    pthread_mutex_t lock; /* for what follows */
    pthread_cond_t came;
    struct rl_grpc_event *events, **events_end;
    bool is_posted; /* the loop is going to run serve(); it holds a reference */
    bool is_ended;  /* the thread is */
    unsigned refs;
};

static void unref(struct rl_grpc_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    bool is_last = --queue->refs == 0;
    pthread_mutex_unlock(&queue->lock);
    if (!is_last)
        return;
    pthread_cond_destroy(&queue->came);
    pthread_mutex_destroy(&queue->lock);
    free(queue);
}

/* Under the lock. */
static struct rl_grpc_event *pop(struct rl_grpc_queue *queue)
{
    struct rl_grpc_event *event = queue->events;
    if (event) {
        queue->events = event->next;
        if (!queue->events)
            queue->events_end = &queue->events;
    }
    return event;
}

static void serve(void *context);

/* Under the lock. */
static void post(struct rl_grpc_queue *queue)
{
    if (queue->is_posted)
        return;
    queue->is_posted = true;
    queue->refs++;
    rl_loop_post(queue->loop, serve, queue);
}

/* One at a time: an event may close the queue, which then runs the rest itself. */
static void serve(void *context)
{
    struct rl_grpc_queue *queue = context;
    pthread_mutex_lock(&queue->lock);
    queue->is_posted = false;
    for (size_t i = 0; i < EVENTS_IN_ONE_GO; i++) {
        struct rl_grpc_event *event = pop(queue);
        if (!event)
            break;
        pthread_mutex_unlock(&queue->lock);
        event->fn(event, event->ok);
        pthread_mutex_lock(&queue->lock);
    }
    if (queue->events)
        post(queue);
    pthread_mutex_unlock(&queue->lock);
    unref(queue);
}

static void *wait_for_events(void *context)
{
    struct rl_grpc_queue *queue = context;
    for (;;) {
        grpc_event core =
            grpc_completion_queue_next(queue->core, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
        pthread_mutex_lock(&queue->lock);
        if (core.type == GRPC_QUEUE_SHUTDOWN) {
            queue->is_ended = true;
        } else {
            struct rl_grpc_event *event = core.tag;
            event->ok = core.success != 0;
            event->next = NULL;
            *queue->events_end = event;
            queue->events_end = &event->next;
            post(queue);
        }
        pthread_cond_signal(&queue->came);
        bool is_ended = queue->is_ended;
        pthread_mutex_unlock(&queue->lock);
        if (is_ended)
            return NULL;
    }
}

static void drop_log(gpr_log_func_args *args)
{
    (void)args;
}

/* gRPC core writes free text to stderr, where our lines of JSON are. What matters of it comes back
 * as a status too. */
static void silence(void)
{
    if (!getenv("GRPC_VERBOSITY"))
        gpr_set_log_function(drop_log);
}

/* Our thread and those that gRPC core starts take no signals: they are the loop's. */
static int start_threads(struct rl_grpc_queue *queue)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    grpc_init();
    queue->core = grpc_completion_queue_create_for_next(NULL);
    int number = pthread_create(&queue->thread, NULL, wait_for_events, queue);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return number;
}

rl_code rl_grpc_queue_create(struct rl_loop *loop, struct rl_grpc_queue **out, struct rl_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, silence);
    struct rl_grpc_queue *queue = rl_alloc(sizeof *queue);
    *queue = (struct rl_grpc_queue){.loop = loop, .refs = 1};
    queue->events_end = &queue->events;
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->came, NULL);
    int number = start_threads(queue);
    if (number != 0) {
        grpc_completion_queue_shutdown(queue->core);
        rl_grpc_queue_free(&queue);
        return rl_fail(err, RL_E_EXHAUSTED, "starting a thread for gRPC: %s", strerror(number));
    }
    *out = queue;
    return RL_OK;
}

grpc_completion_queue *rl_grpc_queue_core(struct rl_grpc_queue *queue)
{
    return queue->core;
}

bool rl_grpc_queue_is_closed(const struct rl_grpc_queue *queue)
{
    return queue->is_closed;
}

void rl_grpc_queue_set_closed(struct rl_grpc_queue *queue)
{
    queue->is_closed = true;
}

/* Events are run while the thread still waits for others: gRPC core ends some operations only when
 * the calls of others were let go. */
void rl_grpc_queue_finish(struct rl_grpc_queue *queue)
{
    queue->is_closed = true;
    grpc_completion_queue_shutdown(queue->core);
    pthread_mutex_lock(&queue->lock);
    while (queue->events || !queue->is_ended) {
        struct rl_grpc_event *event = pop(queue);
        if (!event) {
            pthread_cond_wait(&queue->came, &queue->lock);
            continue;
        }
        pthread_mutex_unlock(&queue->lock);
        event->fn(event, event->ok);
        pthread_mutex_lock(&queue->lock);
    }
    pthread_mutex_unlock(&queue->lock);
    pthread_join(queue->thread, NULL);
}

void rl_grpc_queue_free(struct rl_grpc_queue **queue)
{
    if (!queue || !*queue)
        return;
    grpc_completion_queue_destroy((*queue)->core);
    unref(*queue);
    *queue = NULL;
    grpc_shutdown_blocking();
}
