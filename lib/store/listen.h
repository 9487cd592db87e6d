/* listen: PostgreSQL's NOTIFY as a hint. A thread and a connection of its own; what was notified
 * while the connection was down is lost, so every new connection counts as a hint too.
 */
#ifndef RL_STORE_LISTEN_H
#define RL_STORE_LISTEN_H

#include "store/store.h"

struct rl_listener;

/** `payload` is NULL after each new connection: "you may have missed something, ask for all".
 * Called on the listener's thread: post to a loop from it. */
typedef void (*rl_hint_fn)(void *context, const char *payload);

/** Starts to listen to `channel` ([a-z_][a-z0-9_]*), and goes on whatever the database does, trying
 * again after at most 2 s. The store lives longer than the listener. */
rl_code rl_listener_start(struct rl_store *store, const char *channel, rl_hint_fn fn, void *context,
                          struct rl_listener **out, struct rl_error *err);
/** No call comes after it. Not from the callback. */
void rl_listener_stop(struct rl_listener **listener);

#endif
