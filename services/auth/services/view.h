/* view: what services are told, as the sections of a ControlUpdate, each packed by itself so that a
 * change of one is seen by comparing bytes.
 */
#ifndef RL_AUTH_VIEW_H
#define RL_AUTH_VIEW_H

#include "auth.h"
#include "db/instances.h"
#include "remoteler/v1/control.pb-c.h"

/** As a worker read it. */
struct rl_view {
    struct rl_snapshot *snapshot;
    struct rl_lease_row *leases;
    size_t lease_count;
};
rl_code rl_view_read(struct rl_auth *auth, struct rl_view **out, struct rl_error *err);
void rl_view_free(struct rl_view **view);

enum rl_section {
    RL_SECTION_STATEMENT,
    RL_SECTION_LOCKS,
    RL_SECTION_CUTS,
    RL_SECTION_BROKERS,
    RL_SECTION_SERVICES,
    RL_SECTION_CONFIG,
    RL_SECTION_TRUST,
    RL_SECTION_CLUSTERS,
    RL_SECTION_COUNT,
};
/** Fills the update with one section of the view (not the statement, which is the hub's). */
void rl_view_fill(const struct rl_view *view, enum rl_section section, Pb__ControlUpdate *update);
/** Adds the ticket keys of a service kind for the hour of now_s. */
rl_code rl_view_fill_tickets(const struct rl_auth *auth, const char *kind, int64_t now_s,
                             Pb__ControlUpdate *update, struct rl_error *err);
/** Control address (gRPC) or direct address (h2) of a living audit; "" when none is. */
const char *rl_view_audit_control(const struct rl_view *view);
const char *rl_view_audit_direct(const struct rl_view *view);

#endif
