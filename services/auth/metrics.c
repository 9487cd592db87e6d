/* metrics: names and their help. */
#include "metrics.h"

void rl_auth_metrics_init(struct rl_auth_metrics *m, struct rl_health *h)
{
    static const char logins[] = "remoteler_auth_logins_total";
    static const char joins[] = "remoteler_auth_joins_total";
    m->logins_granted =
        rl_health_counter(h, logins, "Logins by password and code.", "outcome=\"granted\"");
    m->logins_refused =
        rl_health_counter(h, logins, "Logins by password and code.", "outcome=\"refused\"");
    m->joins_granted = rl_health_counter(h, joins, "Joins by token.", "outcome=\"granted\"");
    m->joins_refused = rl_health_counter(h, joins, "Joins by token.", "outcome=\"refused\"");
    m->renewals = rl_health_counter(h, "remoteler_auth_renewals_total",
                                    "Certificates of agents and services renewed.", NULL);
    m->attachments = rl_health_counter(h, "remoteler_auth_attachments_total",
                                       "Agents that attached to a broker or to auth.", NULL);
    m->watchers =
        rl_health_gauge(h, "remoteler_auth_watchers", "Services that watch this replica.", NULL);
    m->followers = rl_health_gauge(h, "remoteler_auth_direct_nodes",
                                   "Direct nodes that follow this replica.", NULL);
    m->policy_revision =
        rl_health_gauge(h, "remoteler_auth_policy_revision", "The policy's latest revision.", NULL);
    m->audit_broken = rl_health_gauge(
        h, "remoteler_auth_audit_broken",
        "1: the audit log does not extend its last checkpoint; run tctl audit verify.", NULL);
}
