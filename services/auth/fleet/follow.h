/* follow: direct nodes, which attach to auth itself and are told here what a broker tells others.
 */
#ifndef RL_AUTH_FOLLOW_H
#define RL_AUTH_FOLLOW_H

#include "auth.h"

#define RL_FOLLOWERS_MAX 10000
#define RL_FOLLOW_KEEPALIVE_S (RL_RPC_HEARTBEAT_MS / 1000)

struct rl_follow;
/** Borrows auth and the loop. The followers are gone before it is freed. */
struct rl_follow *rl_follow_create(struct rl_auth *auth, struct rl_loop *loop);
void rl_follow_free(struct rl_follow **follow);
/** The policy changed: each follower is sent what it lacks; one that is locked is let go. */
void rl_follow_revision(struct rl_follow *follow, const struct rl_snapshot *snapshot);
void rl_follow_statement(struct rl_follow *follow, const Pb__SignedStatement *statement);
/** Where audit takes events from direct nodes; each is told when that changes. "" changes nothing:
 * an audit that is away comes back. */
void rl_follow_audit(struct rl_follow *follow, const char *address);
/** Sends every follower away: it comes back to another replica. */
void rl_follow_drain(struct rl_follow *follow);

/** Fleet.Follow, for a handler whose context is the rl_follow's fleet (server.c). */
void rl_follow_opened(struct rl_follow *follow, struct rl_rpc_call *call);
void rl_follow_message(struct rl_follow *follow, struct rl_rpc_call *call,
                       const Pb__AgentMessage *message);
void rl_follow_closed(struct rl_follow *follow, struct rl_rpc_call *call, const char *reason);

#endif
