/* audit: takes events and answers searches, on any number of servers with the same handlers. One
 * loop owns it; what blocks for the database runs on workers.
 */
#ifndef RL_AUDIT_H
#define RL_AUDIT_H

#include "clock/clock.h"
#include "health/health.h"
#include "rpc/rpc.h"
#include "store/store.h"

#define RL_AUDIT_BATCH_MAX 256     /* events of one Append */
#define RL_AUDIT_WAITING_MAX 65536 /* events that wait for the database */
#define RL_AUDIT_SEARCH_LIMIT 1000 /* events of a search that says nothing */
#define RL_AUDIT_SEARCH_TYPES_MAX 64
#define RL_AUDIT_SEARCHES_MAX 512      /* at once, with those that follow */
#define RL_AUDIT_FOLLOW_MS 500         /* between looks for what is new */
#define RL_AUDIT_PLAYS_MAX 256         /* at once, with those that list */
#define RL_AUDIT_CLOSE_MS 2000         /* between looks for recordings that are over */
#define RL_AUDIT_DECIDE_AGAIN_MS 30000 /* may it still be followed? */
#define RL_AUDIT_DECIDE_DEADLINE_MS 5000

struct rl_audit_config {
    struct rl_loop *loop;
    const char *cluster, *replica; /* borrowed */
    struct rl_store *store;        /* the writer's role; borrowed */
    struct rl_workers *searchers;  /* for searches: appends have the servers' workers */
    struct rl_workers *recorders;  /* for recordings */
    struct rl_health *health;      /* may be NULL */
    /* When what comes in was received; borrowed. NULL: the wall clock says. */
    const struct rl_voted_clock *clock;
    uint32_t decide_again_ms; /* 0: RL_AUDIT_DECIDE_AGAIN_MS */
    /* What is called to auth, at the moment; NULL: auth is not known yet. On the loop's thread. */
    struct rl_rpc_channel *(*auth)(void *context);
    void *context;
};

struct rl_audit;
struct rl_audit *rl_audit_create(const struct rl_audit_config *config);
/** Adds the handlers and what may call them is decided by lib/access. `server` gets its workers for
 * Append. Before listening; the server goes first. */
void rl_audit_serve(struct rl_audit *audit, struct rl_rpc_server *server);
/** An rl_rpc_authorize_fn; the context is the audit. */
rl_code rl_audit_authorize(void *audit, const char *service, const char *method,
                           const struct rl_rpc_peer *peer, struct rl_error *err);
/** Closes recordings that are over, from now on: when the database is ready. */
void rl_audit_start(struct rl_audit *audit);
/** Auth has told of other locks or cuts: who follows is asked for again. On the loop's thread. */
void rl_audit_stops_changed(struct rl_audit *audit);
/** After its servers and their workers, before searchers, recorders and whatever is called to auth.
 */
void rl_audit_free(struct rl_audit **audit);

#endif
