/* roots: the clusters whose users may come here, as this cluster's brokers hear of them. */
#include "control.h"

static rl_code no_such(const char *root, struct rl_error *err)
{
    return rl_fail(err, RL_E_NOT_FOUND, "this cluster trusts no cluster \"%.64s\"", root);
}

rl_code rl_control_take_root_policy(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                                    const Pb__TakeRootPolicyRequest *request,
                                    Pb__TakeRootPolicyResponse *reply, struct rl_error *err)
{
    (void)auth;
    (void)peer;
    (void)reply;
    return no_such(request->root, err);
}

rl_code rl_control_report_root(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                               const Pb__ReportRootRequest *request, Pb__ReportRootResponse *reply,
                               struct rl_error *err)
{
    (void)auth;
    (void)peer;
    (void)reply;
    return no_such(request->root, err);
}
