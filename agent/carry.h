/* carry: the agent's end of a user's connection, on a stream to the broker that it opens itself
 * (Carry) or on one that a proxy opened (Dial, direct nodes).
 */
#ifndef RL_AGENT_CARRY_H
#define RL_AGENT_CARRY_H

#include "admission.h"
#include "rpc/raw.h"

/** Answers an `open`: admission first, then Carry with the stream id. What is refused is told to
 * the broker by `refuse`, which is called at most once. */
struct carry_open {
    struct agent *agent;
    struct admission *admission;
    struct rl_rpc_channel *channel;
    uint64_t epoch;
    void (*refuse)(void *context, struct rl_span stream_id, rl_code code, const char *message);
    void *context;
};
/** Requests that still wait when the uplink goes are dropped with carry_drop(). */
struct carry_waiting;
void carry_answer(const struct carry_open *how, const Pb__Open *open,
                  struct carry_waiting **waiting);
void carry_drop(struct carry_waiting **waiting);

/** The agent stops: connections that wait for another stream do not wait any more. Those on a
 * stream end with it. */
void carry_stop(struct agent *agent);

/** The raw operations of Dialer.Dial; the context of the handler is the struct agent. */
extern const struct rl_rpc_raw_ops carry_dial_ops;

#endif
