/* rotate: the cluster's authorities of users and of hosts are replaced, in phases, so that nobody
 * meets a certificate that he can not check:
 *
 *   standby         one key, which signs
 *   init            a second key is there: everyone is told to trust it; it signs nothing
 *   update_clients  the new key signs users' certificates
 *   update_servers  the new key signs hosts' certificates; agents renew
 *   standby         the old key is gone
 *
 * From each of them `rollback` leads back: the old key signs again, the new one is trusted for the
 * grace period and then gone. Each step is one transaction: whoever dies in the middle has done all
 * of it or nothing. An agent that was off all the while shows a certificate of a retired authority:
 * with the very key that it had it may renew it, and nothing else.
 */
#ifndef RL_AUTH_ROTATE_H
#define RL_AUTH_ROTATE_H

#include "auth.h"

/** From `init` to `standby`, when nobody says: as long as a host's certificate lives. */
#define RL_ROTATION_GRACE_S (30ull * 86400)
#define RL_ROTATION_GRACE_S_MIN 6ull
#define RL_ROTATION_GRACE_S_MAX (366ull * 86400)
#define RL_ROTATION_KINDS 2

/** Begins, or goes to the phase that is asked for; all kinds or none. Errors: RL_E_INVAL;
 * RL_E_PRECONDITION: the phase does not follow, and what would. The reply has what is under way. */
rl_code rl_rotate(struct rl_auth *auth, const Pb__RotateAuthoritiesRequest *request,
                  Pb__RotateAuthoritiesResponse *reply, struct rl_error *err);
/** Goes on with one rotation whose time has come; *kind and *phase (heap text, NULL: there was
 * none) say which and to where. */
rl_code rl_rotate_due(struct rl_auth *auth, char **kind, char **phase, struct rl_error *err);
/** How long the agents of a cluster may take to renew, so that they do not come at once. */
uint64_t rl_rotation_spread_s(const Pb__Rotation *rotation);

#endif
