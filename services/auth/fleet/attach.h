/* attach: an agent came to a holder (a broker, or this auth for a direct node). No holder is
 * believed: the agent's own signature over holder and epoch says so.
 */
#ifndef RL_AUTH_ATTACH_H
#define RL_AUTH_ATTACH_H

#include "auth.h"
#include "db/instances.h"

#define RL_HELLO_CONTEXT "remoteler-hello-v1"

struct rl_attachment {
    const char *agent_id, *holder_id, *peer_address;
    uint64_t epoch;
    const Pb__SignedHello *hello;
    bool is_direct; /* it follows auth itself */
};

/** An epoch for this agent and holder. Errors: RL_E_NOT_FOUND, RL_E_DENIED locked. */
rl_code rl_attach_offer(struct rl_auth *auth, const char *agent_id, const char *holder_id,
                        uint64_t *epoch, struct rl_error *err);
/** Verifies and records it, with what the hello says of the agent. Errors: RL_E_DENIED the
 * signature, a lock; RL_E_ABORTED a later epoch. */
rl_code rl_attach_record(struct rl_auth *auth, const struct rl_attachment *attachment,
                         struct rl_error *err);
rl_code rl_attach_end(struct rl_auth *auth, const char *agent_id, const char *holder_id,
                      uint64_t epoch, const char *reason, struct rl_error *err);

#endif
