/* judge: what audit takes, and from whom. Pure.
 */
#ifndef RL_AUDIT_JUDGE_H
#define RL_AUDIT_JUDGE_H

#include "identity/identity.h"
#include "remoteler/v1/audit.pb-c.h"

#define RL_AUDIT_EVENT_BYTES_MAX (128u << 10) /* packed */
/** A time further from the receipt than this is a wrong clock's. */
#define RL_AUDIT_LATE_NS_MAX (3600 * INT64_C(1000000000))
#define RL_AUDIT_EARLY_NS_MAX (300 * INT64_C(1000000000))

/** May `writer` have this event written, in the audit of `cluster`? Agents write what happened in
 * sessions on themselves, brokers what happened to tunnels, proxies what passed them, auth
 * anything. Errors: RL_E_INVAL not an event; RL_E_DENIED another's. */
rl_code rl_audit_judge(const char *cluster, const struct rl_identity *writer,
                       const Pb__Event *event, struct rl_error *err);
/** May `writer` have these parts written? Whether their sessions are its own, the database knows.
 * Errors: RL_E_INVAL no parts; RL_E_DENIED another cluster's or node's. */
rl_code rl_audit_judge_recording(const char *cluster, const struct rl_identity *writer,
                                 const Pb__WriteRecordingRequest *request, struct rl_error *err);
bool rl_audit_clock_is_wrong(int64_t time_ns, int64_t received_ns);
/** "agent", "user", or the service's kind: "auth", "proxy", ... */
const char *rl_audit_sender_kind(const struct rl_identity *writer);

#endif
