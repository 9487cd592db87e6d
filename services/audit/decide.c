/* decide: what a user may read, auth says, first and again and again. */
#include "internal.h"

#include "remoteler/v1/control.pb-c.h"

#include <stdlib.h>

#define UNKNOWN_MAX 10 /* times that auth may be away while somebody goes on reading */

static void answer(struct audit_permission *p, enum audit_answer answer, const char *reason)
{
    p->answered_ms = rl_loop_now_ms(p->audit->config.loop);
    p->unknown = 0;
    p->answered(p->context, answer, reason);
}

static void cannot_ask(struct audit_permission *p, const char *why)
{
    char *reason = rl_sprintf("auth cannot be asked whether you may: %s", why);
    p->answered(p->context, AUDIT_UNKNOWN, reason);
    free(reason);
}

static void on_decision(void *context, rl_code code, const char *message,
                        const ProtobufCMessage *reply)
{
    struct audit_permission *p = context;
    const Pb__DecideResponse *decision = (const Pb__DecideResponse *)reply;
    p->asking = NULL;
    if (code == RL_E_DENIED || code == RL_E_UNAUTHENTICATED) {
        answer(p, AUDIT_DENIED, message);
    } else if (code != RL_OK) {
        cannot_ask(p, message);
    } else if (!decision->is_allowed) {
        answer(p, AUDIT_DENIED, decision->reason);
    } else {
        p->own_only = decision->own_only;
        answer(p, AUDIT_ALLOWED, "");
    }
}

void audit_permission_ask(struct audit_permission *p, const struct rl_identity *caller,
                          const char *address, const char *kind, const char *verb)
{
    const struct rl_audit_config *config = &p->audit->config;
    struct rl_rpc_channel *auth = config->auth ? config->auth(config->context) : NULL;
    p->stops = p->audit->stops;
    if (!auth) {
        cannot_ask(p, "it is not known yet");
        return;
    }
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
                 RL_AUDIT_DECIDE_DEADLINE_MS, on_decision, p, &p->asking);
}

bool audit_permission_is_due(const struct audit_permission *p)
{
    uint64_t now_ms = rl_loop_now_ms(p->audit->config.loop);
    return !p->answered_ms || p->stops != p->audit->stops ||
           now_ms - p->answered_ms >= p->audit->config.decide_again_ms;
}

bool audit_permission_lasts(struct audit_permission *p)
{
    if (++p->unknown >= UNKNOWN_MAX)
        return false;
    p->answered_ms = rl_loop_now_ms(p->audit->config.loop);
    return true;
}
