/* policy_keeper: the policy that the agent holds, on disk and in memory, its floor, and the minute
 * statement. What auth signed comes in, the decision's inputs come out.
 */
#ifndef RL_AGENT_POLICY_KEEPER_H
#define RL_AGENT_POLICY_KEEPER_H

#include "agent.h"
#include "policy/policy.h"

struct policy_keeper;
/** Loads what is on disk; a damaged or foreign file is as none, said in the log. */
struct policy_keeper *policy_keeper_create(struct agent *agent);
void policy_keeper_free(struct policy_keeper **keeper);

/** For hello: what is held, and the nonce when there is no floor. `hello` borrows. */
void policy_keeper_fill_hello(struct policy_keeper *keeper, Pb__Hello *hello);
/** Verifies, keeps, saves. Errors as rl_policy_apply(); RL_E_PRECONDITION: a snapshot is needed. */
rl_code policy_keeper_update(struct policy_keeper *keeper, const Pb__PolicyUpdate *update,
                             struct rl_error *err);
rl_code policy_keeper_hear(struct policy_keeper *keeper, const Pb__SignedStatement *statement,
                           struct rl_error *err);
/** Does the latest statement speak of a newer policy than what is held? */
bool policy_keeper_is_behind(const struct policy_keeper *keeper);
const struct rl_policy *policy_keeper_policy(const struct policy_keeper *keeper); /* NULL: none */
int64_t policy_keeper_statement_age_s(const struct policy_keeper *keeper); /* -1: none heard */
uint64_t policy_keeper_statement_version(const struct policy_keeper *keeper);
/** What is held, for the other side. The message's hash is the caller's 32 bytes. */
void policy_keeper_held(const struct policy_keeper *keeper, Pb__PolicyHeld *held,
                        uint8_t sha256[32]);

/** The latest checkpoint of the audit log that a statement named; number 0: none yet. */
struct policy_audit_head {
    uint64_t number;
    uint8_t sha256[32];
};
struct policy_audit_head policy_keeper_audit_head(const struct policy_keeper *keeper);

#endif
