/* metrics: what a service counts, as Prometheus' text. */
#ifndef RL_HEALTH_METRICS_H
#define RL_HEALTH_METRICS_H

#include "bytes/buf.h"
#include "health/health.h"

#include <pthread.h>

struct rl_metrics {
    pthread_mutex_t lock; /* of the list; values are atomics */
    struct rl_metric *first, **end;
    size_t count;
};

void rl_metrics_init(struct rl_metrics *metrics);
void rl_metrics_fini(struct rl_metrics *metrics);
/* The one with that name and those labels; made when it is not there. NULL when there are too many:
 * a name that a peer can choose must not fill the memory. */
struct rl_metric *rl_metrics_find(struct rl_metrics *metrics, const char *type, const char *name,
                                  const char *help, const char *labels);
/* Source: Prometheus, "Exposition formats", text format 0.0.4. */
void rl_metrics_write(struct rl_metrics *metrics, struct rl_buf *to);

#endif
