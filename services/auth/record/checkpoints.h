/* checkpoints: auth's word on the audit log, each minute: how far every chain is. It signs only
 * what extends its last one, and what it signed leaves the database: in the minute statement, in
 * its log, and in a file where one is named.
 */
#ifndef RL_AUTH_CHECKPOINTS_H
#define RL_AUTH_CHECKPOINTS_H

#include "auth.h"
#include "remoteler/v1/control.pb-c.h"

struct rl_checkpoints;
/** Starts at once. The loop's thread, but for what is said to be any's. */
struct rl_checkpoints *rl_checkpoints_start(struct rl_auth *auth, struct rl_loop *loop);
/** Before the workers are freed. */
void rl_checkpoints_stop(struct rl_checkpoints *checkpoints);
void rl_checkpoints_free(struct rl_checkpoints **checkpoints);
/** What a statement carries; empty: there is none yet. `checkpoints` may be NULL. */
struct rl_span rl_checkpoints_head(const struct rl_checkpoints *checkpoints);

rl_code rl_admin_list_checkpoints(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                                  const Pb__ListCheckpointsRequest *request,
                                  Pb__ListCheckpointsResponse *reply, struct rl_error *err);
/** Audit's, for days that are over and old enough. One that is refused comes back empty. */
rl_code rl_control_sign_tombstones(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                                   const Pb__SignTombstonesRequest *request,
                                   Pb__SignTombstonesResponse *reply, struct rl_error *err);

#endif
