/* events: what auth tells audit. Audit's address is learned from its heartbeat: until then events
 * wait here, up to RL_EVENT_QUEUE_MAX; with a journal also beyond the process.
 */
#ifndef RL_AUTH_EVENTS_H
#define RL_AUTH_EVENTS_H

#include "auth.h"

/** `loop` NULL: they only wait (tests). `journal`: a path, for an outbox; NULL: in memory only. */
struct rl_auth_events *rl_auth_events_create(struct rl_loop *loop, const char *journal);
void rl_auth_events_free(struct rl_auth_events **events, uint32_t grace_ms);
/** With what auth calls audit, and where (NULL: not known). Again when either changes. On the
 * loop's thread. */
void rl_auth_events_connect(struct rl_auth_events *events, const char *address,
                            struct rl_tls_identity *identity, struct rl_trust *trust);
/** Auth's certificate was renewed. On the loop's thread. */
void rl_auth_events_reload(struct rl_auth_events *events, struct rl_tls_identity *identity,
                           struct rl_trust *trust);
/** What auth calls audit by; NULL: it is not known yet. On the loop's thread. */
struct rl_rpc_channel *rl_auth_events_channel(const struct rl_auth_events *events);
/** The oldest that waits, or NULL. */
Pb__Event *rl_auth_events_next(struct rl_auth_events *events);

/** A new event of this cluster by the peer of a call; `peer` may be NULL. */
Pb__Event *rl_auth_event(const struct rl_auth *auth, const char *type, const char *outcome,
                         const struct rl_rpc_peer *peer);
/** Names what it is about. */
void rl_auth_event_resource(Pb__Event *event, const char *kind, const char *id, const char *name);
/** Takes it. Any thread. */
void rl_auth_tell(struct rl_auth *auth, Pb__Event **event);

#endif
