/* hub: what changed, told to those who watch. Once a second, and at each hint from the database, a
 * worker reads revision, leases and settings; the loop compares with what was told and sends what
 * is different. It also keeps this replica's own lease and signs the statement of the minute.
 */
#ifndef RL_AUTH_HUB_H
#define RL_AUTH_HUB_H

#include "auth.h"
#include "health/health.h"
#include "remoteler/v1/control.pb-c.h"

#define RL_HUB_WATCHERS_MAX 1000
#define RL_HUB_POLL_MS 1000
#define RL_STATEMENT_S 60
/** Ticket keys change each hour; the last hour's still decrypt. */
#define RL_TICKET_PERIOD_S 3600
#define RL_TICKET_KEYS 2

struct rl_hub_config {
    struct rl_auth *auth;
    struct rl_loop *loop;
    struct rl_health *health;    /* may be NULL */
    const char *proxied_address; /* where proxies reach this replica; NULL: they do not */
    const char *direct_address;
    /* Told on the loop's thread with each new view. */
    void (*audit_known)(void *context, const char *control_address, const char *direct_address);
    void (*revision_changed)(void *context, const struct rl_snapshot *snapshot);
    /* Authorities rotate, another cluster comes or goes, the cluster's settings change; not for the
     * first view. */
    void (*trust_changed)(void *context);
    void (*statement_signed)(void *context, const Pb__SignedStatement *statement);
    void *context;
};
/** Starts to poll. Owns: by rl_hub_free(), on the loop's thread, after the workers have ended. */
rl_code rl_hub_create(const struct rl_hub_config *config, struct rl_auth_hub **out,
                      struct rl_error *err);
/** No more jobs are given to workers. Before they are freed. */
void rl_hub_stop(struct rl_auth_hub *hub);
/** Ends every watch: they come back to another replica. On the loop's thread. */
void rl_hub_drain(struct rl_auth_hub *hub);
void rl_hub_free(struct rl_auth_hub **hub);

/** Control.Watch: the handler's context is the rl_auth. */
extern const struct rl_rpc_stream_ops rl_hub_watch_ops;
/** The latest statement; NULL: none yet. Borrowed until the next. On the loop's thread. */
const Pb__SignedStatement *rl_hub_statement(const struct rl_auth_hub *hub);

#endif
