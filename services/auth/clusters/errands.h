/* errands: what a leaf has to tell or ask its roots, done in the background until it is heard: its
 * authorities when they have changed, that it leaves, and, when a root's brokers turn ours away,
 * whether the trust is still there.
 */
#ifndef RL_AUTH_ERRANDS_H
#define RL_AUTH_ERRANDS_H

#include "auth.h"

#include <stdatomic.h>

#define RL_ERRANDS_LOOK_MS 1000
#define RL_ERRANDS_AT_ONCE_MAX 16

struct rl_errands;
/** On the loop's thread, as all but rl_errands_run(). */
struct rl_errands *rl_errands_start(struct rl_auth *auth, struct rl_loop *loop);
/** Before the workers are freed. */
void rl_errands_stop(struct rl_errands *errands);
void rl_errands_free(struct rl_errands **errands);

/** Does what is due. Blocks for the database and for roots, until `is_stopped` (may be NULL) says
 * that nobody waits for it any more. Errors: the database's; what a root did not hear is tried
 * again later. */
rl_code rl_errands_run(struct rl_auth *auth, const atomic_bool *is_stopped, struct rl_error *err);

#endif
