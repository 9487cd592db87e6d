/* workers: a fixed pool of threads for work that blocks (SQL, password hashing), with a bounded
 * queue: what does not fit is refused at once, not queued for ever.
 */
#ifndef RL_LOOP_WORKERS_H
#define RL_LOOP_WORKERS_H

#include "status/status.h"

struct rl_workers;

typedef void (*rl_work_fn)(void *context);

rl_code rl_workers_create(size_t threads, size_t queue_max, struct rl_workers **out,
                          struct rl_error *err);
/** Errors: RL_E_EXHAUSTED when queue_max pieces wait already. Any thread. */
rl_code rl_workers_submit(struct rl_workers *workers, rl_work_fn fn, void *context,
                          struct rl_error *err);
/** Runs what is queued, then ends the threads. */
void rl_workers_free(struct rl_workers **workers);

#endif
