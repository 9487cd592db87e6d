/* workers: threads that take work from one bounded queue. */
#include "loop/workers.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct work {
    rl_work_fn fn;
    void *context;
};

struct rl_workers {
    pthread_mutex_t lock;
    pthread_cond_t has_work;
    bool is_ending;
    struct work *queue; /* a ring */
    size_t queue_max, first, count;
    size_t threads;
    pthread_t thread[];
};

static void *run(void *context)
{
    struct rl_workers *workers = context;
    pthread_mutex_lock(&workers->lock);
    for (;;) {
        while (workers->count == 0 && !workers->is_ending)
            pthread_cond_wait(&workers->has_work, &workers->lock);
        if (workers->count == 0)
            break;
        struct work work = workers->queue[workers->first];
        workers->first = (workers->first + 1) % workers->queue_max;
        workers->count--;
        pthread_mutex_unlock(&workers->lock);
        work.fn(work.context);
        pthread_mutex_lock(&workers->lock);
    }
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

/* Signals are the loop's: a worker takes none. */
static int start_thread(struct rl_workers *workers, pthread_t *thread)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(thread, NULL, run, workers);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

rl_code rl_workers_create(size_t threads, size_t queue_max, struct rl_workers **out,
                          struct rl_error *err)
{
    RL_ASSERT(threads > 0 && queue_max > 0);
    struct rl_workers *workers = rl_alloc(sizeof *workers + threads * sizeof *workers->thread);
    workers->queue = rl_alloc_array(queue_max, sizeof *workers->queue);
    workers->queue_max = queue_max;
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->has_work, NULL);
    for (; workers->threads < threads; workers->threads++) {
        int error = start_thread(workers, &workers->thread[workers->threads]);
        if (error) {
            rl_fail(err, RL_E_EXHAUSTED, "starting %zu worker threads: %s", threads,
                    strerror(error));
            rl_workers_free(&workers);
            return RL_E_EXHAUSTED;
        }
    }
    *out = workers;
    return RL_OK;
}

rl_code rl_workers_submit(struct rl_workers *workers, rl_work_fn fn, void *context,
                          struct rl_error *err)
{
    pthread_mutex_lock(&workers->lock);
    bool is_full = workers->count == workers->queue_max;
    if (!is_full) {
        size_t last = (workers->first + workers->count) % workers->queue_max;
        workers->queue[last] = (struct work){fn, context};
        workers->count++;
        pthread_cond_signal(&workers->has_work);
    }
    pthread_mutex_unlock(&workers->lock);
    if (is_full)
        return rl_fail(err, RL_E_EXHAUSTED, "%zu requests wait already; try again",
                       workers->queue_max);
    return RL_OK;
}

void rl_workers_free(struct rl_workers **workers)
{
    if (!workers || !*workers)
        return;
    struct rl_workers *w = *workers;
    *workers = NULL;
    pthread_mutex_lock(&w->lock);
    w->is_ending = true;
    pthread_cond_broadcast(&w->has_work);
    pthread_mutex_unlock(&w->lock);
    for (size_t i = 0; i < w->threads; i++)
        pthread_join(w->thread[i], NULL);
    pthread_cond_destroy(&w->has_work);
    pthread_mutex_destroy(&w->lock);
    free(w->queue);
    free(w);
}
