/* health: /healthz, /readyz and /metrics (Prometheus text) of a service, on a listener of its own,
 * by libmicrohttpd in a thread of its own. Metrics are atomics: any thread may count.
 */
#ifndef RL_HEALTH_H
#define RL_HEALTH_H

#include "status/status.h"

#include <stdint.h>

struct rl_health;
struct rl_metric;

/** `address` HOST:PORT; port 0 asks for a free one. */
rl_code rl_health_start(const char *address, struct rl_health **out, struct rl_error *err);
void rl_health_stop(struct rl_health **health);
uint16_t rl_health_port(const struct rl_health *health);
/** Not ready until each named need is met: readyz answers 503 and lists what is waited for.
 * `need` is kept by pointer (a literal); `met` may change any time. `health` may be NULL: a program
 * may run without. */
void rl_health_need(struct rl_health *health, const char *need, bool met);

/** Live until stop; asked for again, the same one. Names by Prometheus' rules, with unit and
 * _total. `labels` as `kind="tunnel"` or NULL. NULL without health, or when there are 1,000. */
struct rl_metric *rl_health_counter(struct rl_health *h, const char *name, const char *help,
                                    const char *labels);
struct rl_metric *rl_health_gauge(struct rl_health *h, const char *name, const char *help,
                                  const char *labels);
void rl_metric_add(struct rl_metric *metric, int64_t by); /* takes NULL */
void rl_metric_set(struct rl_metric *metric, int64_t to);

#endif
