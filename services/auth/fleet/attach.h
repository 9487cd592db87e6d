/* attach: an agent came to a holder (a broker, or this auth for a direct node). No holder is
 * believed: the agent's own signature over holder and epoch says so.
 */
#ifndef RL_AUTH_ATTACH_H
#define RL_AUTH_ATTACH_H

#include "auth.h"
#include "db/instances.h"

#define RL_HELLO_CONTEXT "remoteler-hello-v1"

/** What an agent is offered: an epoch, or why none. */
struct rl_attach_offer {
    const char *agent_id;
    uint64_t epoch;
    struct rl_error err; /* code RL_OK: none */
};
/** Epochs for these agents and one holder. Each has its own answer: RL_E_NOT_FOUND, RL_E_DENIED
 * locked, RL_E_ABORTED when the same agent comes again further on. Errors: what concerns all. */
rl_code rl_attach_offer(struct rl_auth *auth, const char *holder_id, struct rl_attach_offer *offers,
                        size_t count, struct rl_error *err);

struct rl_attachment {
    const char *agent_id, *holder_id, *peer_address;
    uint64_t epoch;
    const Pb__SignedHello *hello;
    bool is_direct; /* it follows auth itself */
    /* What came of it. */
    struct rl_error err;    /* code RL_OK: it is attached */
    bool policy_is_current; /* what it says that it holds is what it would be sent */
};
/** Verifies and records them, with what their hellos say of the agents; all of one holder, each
 * agent once. Each has its own answer: RL_E_DENIED the signature, a lock; RL_E_ABORTED a later
 * epoch; RL_E_NOT_FOUND, RL_E_INVAL. Errors: what is no fault of theirs. */
rl_code rl_attach_record(struct rl_auth *auth, struct rl_attachment *attachments, size_t count,
                         struct rl_error *err);
rl_code rl_attach_end(struct rl_auth *auth, const char *agent_id, const char *holder_id,
                      uint64_t epoch, const char *reason, struct rl_error *err);

#endif
