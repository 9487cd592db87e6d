/* control: a service's line to auth. It follows auth's Watch, keeps the latest of everything that
 * auth said (locks, cuts, brokers, the minute statement), and says every few seconds that the
 * service is alive. When auth is away, what was heard last stays, and the line comes back by
 * itself. Everything is on the loop's thread.
 */
#ifndef RL_CONTROL_H
#define RL_CONTROL_H

#include "remoteler/v1/control.pb-c.h"
#include "rpc/rpc.h"
#include "tls/tls.h"

#define RL_CONTROL_HEARTBEAT_MS 3000
#define RL_CONTROL_RETRY_MS_MIN 200
#define RL_CONTROL_RETRY_MS_MAX 5000
#define RL_CONTROL_DEADLINE_MS 5000 /* of a unary call to auth */

/** What changed: a set of these. */
enum {
    RL_CONTROL_REVISION = 1,
    RL_CONTROL_STATEMENT = 2,
    RL_CONTROL_LOCKS = 4,
    RL_CONTROL_CUTS = 8,
    RL_CONTROL_BROKERS = 16,
    RL_CONTROL_SERVICES = 32,
    RL_CONTROL_TICKET_KEYS = 64,
    RL_CONTROL_CONFIG = 128,
    RL_CONTROL_TRUST = 256,
    RL_CONTROL_CLUSTERS = 512,
};

struct rl_control_config {
    struct rl_loop *loop;
    struct rl_rpc_channel *channel; /* borrowed; either transport */
    const char *kind, *id;          /* borrowed: "broker" and the replica's UUID */
    /* Completes a heartbeat: addresses, draining. Strings are borrowed until it returns. */
    void (*describe)(void *context, Pb__HeartbeatRequest *beat);
    /* The state has changed: rl_control_state() is the new one. */
    void (*changed)(void *context, unsigned what);
    /* Auth is there (`message` NULL) or gone (why). */
    void (*line)(void *context, const char *message);
    void *context; /* each of the callbacks may be NULL */
};

struct rl_control;
struct rl_control *rl_control_create(const struct rl_control_config *config);
void rl_control_free(struct rl_control **control);
/** For other calls to auth. */
struct rl_rpc_channel *rl_control_channel(const struct rl_control *control);
bool rl_control_is_up(const struct rl_control *control);
/** Everything that auth said last, each part from the update that changed it; never NULL. */
const Pb__ControlUpdate *rl_control_state(const struct rl_control *control);
/** Gives a route the keys for session tickets that auth handed to this kind of service: after it
 * was made, and at each RL_CONTROL_TICKET_KEYS. Before auth has said any there are no tickets. */
rl_code rl_control_set_tickets(const struct rl_control *control, struct rl_tls_server *route,
                               struct rl_error *err);
/** Says now that the service is alive (it begins to drain, its address became known). */
void rl_control_beat(struct rl_control *control);

#endif
