/* fault: what a caller may be told of a database that failed. */
#include "internal.h"

void audit_explain_fault(rl_code rc, const struct rl_error *fault, struct rl_error *err)
{
    switch (rc) {
    case RL_E_UNAVAILABLE:
    case RL_E_ABORTED:
    case RL_E_EXHAUSTED:
        rl_fail(err, RL_E_UNAVAILABLE, "audit cannot read now; try again");
        break;
    case RL_E_DEADLINE:
        rl_fail(err, RL_E_DEADLINE, "the search took too long; narrow it by time, type or user");
        break;
    case RL_E_NOT_FOUND:
    case RL_E_DENIED:
    case RL_E_PRECONDITION:
    case RL_E_DATA_LOSS:
        rl_fail(err, rc, "%s", fault->message);
        break;
    default:
        rl_fail(err, RL_E_INTERNAL, "audit failed; its log says why");
        break;
    }
}
