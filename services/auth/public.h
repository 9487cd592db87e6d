/* public: what anyone may ask: who are you, what time is it. */
#ifndef RL_AUTH_PUBLIC_H
#define RL_AUTH_PUBLIC_H

#include "auth.h"

#define RL_TIME_NONCE_BYTES_MIN 16
#define RL_TIME_NONCE_BYTES_MAX 64

rl_code rl_auth_ping(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                     const Pb__PingRequest *request, Pb__PingResponse *reply, struct rl_error *err);
/** Signed over the asker's nonce: for agents that have no time yet. */
rl_code rl_auth_time(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                     const Pb__TimeRequest *request, Pb__TimeResponse *reply, struct rl_error *err);

#endif
