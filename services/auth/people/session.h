/* session: what a user asks about itself and what it may reach. */
#ifndef RL_AUTH_SESSION_H
#define RL_AUTH_SESSION_H

#include "auth.h"

rl_code rl_session_logout(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                          const Pb__LogoutRequest *request, Pb__LogoutResponse *reply,
                          struct rl_error *err);
rl_code rl_session_change_password(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                                   const Pb__ChangePasswordRequest *request,
                                   Pb__ChangePasswordResponse *reply, struct rl_error *err);
rl_code rl_session_list_clusters(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                                 const Pb__ListClustersRequest *request,
                                 Pb__ListClustersResponse *reply, struct rl_error *err);
rl_code rl_session_authorities(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                               const Pb__AuthoritiesRequest *request, Pb__TrustBundle *reply,
                               struct rl_error *err);

#endif
