/* metrics: a list that only grows, of numbers that any thread may change. */
#include "health/metrics.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define METRICS_MAX 1000

struct rl_metric {
    struct rl_metric *next;
    const char *type; /* a literal */
    char *name, *help, *labels;
    atomic_int_fast64_t value;
};

void rl_metrics_init(struct rl_metrics *metrics)
{
    *metrics = (struct rl_metrics){.end = &metrics->first};
    pthread_mutex_init(&metrics->lock, NULL);
}

void rl_metrics_fini(struct rl_metrics *metrics)
{
    while (metrics->first) {
        struct rl_metric *metric = metrics->first;
        metrics->first = metric->next;
        free(metric->name);
        free(metric->help);
        free(metric->labels);
        free(metric);
    }
    pthread_mutex_destroy(&metrics->lock);
}

static struct rl_metric *look_up(struct rl_metrics *metrics, const char *name, const char *labels)
{
    for (struct rl_metric *metric = metrics->first; metric; metric = metric->next)
        if (strcmp(metric->name, name) == 0 && strcmp(metric->labels, labels) == 0)
            return metric;
    return NULL;
}

static struct rl_metric *append(struct rl_metrics *metrics, const char *type, const char *name,
                                const char *help, const char *labels)
{
    struct rl_metric *metric = rl_alloc(sizeof *metric);
    metric->type = type;
    metric->name = rl_strdup(name);
    metric->help = rl_strdup(help);
    metric->labels = rl_strdup(labels);
    *metrics->end = metric;
    metrics->end = &metric->next;
    metrics->count++;
    return metric;
}

struct rl_metric *rl_metrics_find(struct rl_metrics *metrics, const char *type, const char *name,
                                  const char *help, const char *labels)
{
    const char *given = labels ? labels : "";
    pthread_mutex_lock(&metrics->lock);
    struct rl_metric *metric = look_up(metrics, name, given);
    if (!metric && metrics->count < METRICS_MAX)
        metric = append(metrics, type, name, help, given);
    pthread_mutex_unlock(&metrics->lock);
    return metric;
}

void rl_metric_add(struct rl_metric *metric, int64_t by)
{
    if (metric)
        atomic_fetch_add_explicit(&metric->value, by, memory_order_relaxed);
}

void rl_metric_set(struct rl_metric *metric, int64_t to)
{
    if (metric)
        atomic_store_explicit(&metric->value, to, memory_order_relaxed);
}

static void write_sample(struct rl_metric *metric, struct rl_buf *to)
{
    bool has_labels = *metric->labels != '\0';
    int64_t value = atomic_load_explicit(&metric->value, memory_order_relaxed);
    rl_buf_printf(to, "%s%s%s%s %" PRId64 "\n", metric->name, has_labels ? "{" : "", metric->labels,
                  has_labels ? "}" : "", value);
}

/* All samples of a name stand together under its HELP and TYPE. */
static void write_family(struct rl_metric *first, struct rl_buf *to)
{
    rl_buf_printf(to, "# HELP %s %s\n# TYPE %s %s\n", first->name, first->help, first->name,
                  first->type);
    for (struct rl_metric *metric = first; metric; metric = metric->next)
        if (strcmp(metric->name, first->name) == 0)
            write_sample(metric, to);
}

static bool is_first_of_its_name(struct rl_metrics *metrics, const struct rl_metric *metric)
{
    const struct rl_metric *first = metrics->first;
    while (strcmp(first->name, metric->name) != 0)
        first = first->next;
    return first == metric;
}

void rl_metrics_write(struct rl_metrics *metrics, struct rl_buf *to)
{
    pthread_mutex_lock(&metrics->lock);
    for (struct rl_metric *metric = metrics->first; metric; metric = metric->next)
        if (is_first_of_its_name(metrics, metric))
            write_family(metric, to);
    pthread_mutex_unlock(&metrics->lock);
}
