/* metrics: what /metrics counts. Every pointer may be NULL. */
#ifndef RL_AUTH_METRICS_H
#define RL_AUTH_METRICS_H

#include "health/health.h"

struct rl_auth_metrics {
    struct rl_metric *logins_granted, *logins_refused;
    struct rl_metric *joins_granted, *joins_refused, *renewals;
    struct rl_metric *attachments;
    struct rl_metric *watchers, *followers, *policy_revision, *audit_broken;
};
void rl_auth_metrics_init(struct rl_auth_metrics *metrics, struct rl_health *health);

#endif
