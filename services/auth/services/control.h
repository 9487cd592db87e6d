/* control: what the other services call, but for Watch. */
#ifndef RL_AUTH_CONTROL_H
#define RL_AUTH_CONTROL_H

#include "auth.h"
#include "db/instances.h"
#include "remoteler/v1/control.pb-c.h"

#define RL_REPORTS_MAX 1000
#define RL_TARGET_BYTES_MAX 512

rl_code rl_control_heartbeat(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                             const Pb__HeartbeatRequest *request, Pb__HeartbeatResponse *reply,
                             struct rl_error *err);
rl_code rl_control_next_epoch(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                              const Pb__NextEpochRequest *request, Pb__NextEpochResponse *reply,
                              struct rl_error *err);
rl_code rl_control_report(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                          const Pb__ReportAttachmentsRequest *request,
                          Pb__ReportAttachmentsResponse *reply, struct rl_error *err);
rl_code rl_control_policy_for(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                              const Pb__PolicyForRequest *request, Pb__PolicyUpdate *reply,
                              struct rl_error *err);
rl_code rl_control_resolve(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                           const Pb__ResolveTargetRequest *request,
                           Pb__ResolveTargetResponse *reply, struct rl_error *err);
rl_code rl_control_decide(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                          const Pb__DecideRequest *request, Pb__DecideResponse *reply,
                          struct rl_error *err);

/* roots.c: clusters whose users may come here */
rl_code rl_control_take_root_policy(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                                    const Pb__TakeRootPolicyRequest *request,
                                    Pb__TakeRootPolicyResponse *reply, struct rl_error *err);
rl_code rl_control_report_root(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                               const Pb__ReportRootRequest *request, Pb__ReportRootResponse *reply,
                               struct rl_error *err);

/** The whole policy of one agent, for whoever sends it. Owns: *out by
 * pb__policy_update__free_unpacked(). */
rl_code rl_policy_for_agent(struct rl_auth *auth, const Pb__PolicyForRequest *request,
                            Pb__PolicyUpdate **out, struct rl_error *err);

/** Is what this agent says that it holds what rl_policy_for_agent() would send? */
bool rl_policy_is_current(const struct rl_snapshot *snapshot, struct rl_instance *instance,
                          const Pb__Hello *hello);

#endif
