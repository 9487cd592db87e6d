/* hello: what an agent says when it attaches, held against its certificate and our challenge. The
 * signature is auth's to check: it knows the agent's key, we only saw a handshake. Pure.
 */
#ifndef BROKER_HELLO_H
#define BROKER_HELLO_H

#include "identity/identity.h"
#include "remoteler/v1/tunnel.pb-c.h"

struct hello_expect {
    const char *agent_id, *broker_id;
    uint64_t epoch;
    struct rl_span nonce;
};

/** Owns: *out by pb__hello__free_unpacked(). Errors: RL_E_INVAL its form; RL_E_DENIED another's;
 * RL_E_PRECONDITION no protocol in common. */
rl_code hello_check(const Pb__SignedHello *signed_hello, const struct hello_expect *expect,
                    Pb__Hello **out, struct rl_error *err);

#endif
