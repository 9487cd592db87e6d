/* decide: what a user may read, auth says. */
#include "internal.h"

#include "remoteler/v1/control.pb-c.h"

bool audit_ask_auth(struct rl_audit *audit, const struct rl_identity *caller, const char *address,
                    const char *kind, const char *verb, rl_rpc_done_fn done, void *context,
                    struct rl_rpc_call **call)
{
    struct rl_rpc_channel *auth =
        audit->config.auth ? audit->config.auth(audit->config.context) : NULL;
    if (!auth)
        return false;
    Pb__Caller who = PB__CALLER__INIT;
    who.user = caller->name;
    who.cluster = caller->cluster;
    who.claims = caller->claims;
    who.certificate_sha256.data = (uint8_t *)(uintptr_t)caller->fingerprint;
    who.certificate_sha256.len = sizeof caller->fingerprint;
    who.client_address = (char *)(uintptr_t)address;
    Pb__DecideRequest request = PB__DECIDE_REQUEST__INIT;
    request.caller = &who;
    request.resource_kind = (char *)(uintptr_t)kind;
    request.verb = (char *)(uintptr_t)verb;
    rl_rpc_unary(auth, &pb__control__descriptor, "Decide", &request.base,
                 RL_AUDIT_DECIDE_DEADLINE_MS, done, context, call);
    return true;
}
