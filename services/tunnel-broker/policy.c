/* policy: what auth signed for each agent, fetched for it and handed on unread. A few calls to auth
 * at a time; agents with live connections first, idle ones spread over half a minute.
 */
#include "internal.h"

#include "bytes/secret.h"

#include <stdlib.h>

#define RETRY_MS 5000

struct policies {
    struct broker *broker;
    struct attachment *first, **end; /* waiting for their turn */
    size_t in_flight;
};

struct policies *policies_create(struct broker *broker)
{
    struct policies *p = rl_alloc(sizeof *p);
    p->broker = broker;
    p->end = &p->first;
    return p;
}

void policies_free(struct policies **policies)
{
    free(*policies);
    *policies = NULL;
}

static void hand_on(struct attachment *a, const Pb__PolicyUpdate *update)
{
    if (!update->seal)
        return; /* it has what there is */
    Pb__BrokerMessage message = PB__BROKER_MESSAGE__INIT;
    message.body_case = PB__BROKER_MESSAGE__BODY_POLICY;
    message.policy = (Pb__PolicyUpdate *)(uintptr_t)update;
    struct rl_error err;
    if (attachment_send(a, &message, &err) != RL_OK)
        rl_timer_arm(a->timer, RETRY_MS);
}

static void pump(struct policies *p);

static void on_policy(void *context, rl_code code, const char *message,
                      const ProtobufCMessage *reply)
{
    struct attachment *a = context;
    struct policies *p = a->broker->policies;
    p->in_flight--;
    if (a->state == ATTACHMENT_HERE) {
        if (code == RL_OK) {
            hand_on(a, (const Pb__PolicyUpdate *)reply);
        } else {
            rl_log_warn("no policy for an agent", RL_TEXT("agent", a->agent_id),
                        RL_TEXT("code", rl_code_name(code)), RL_TEXT("error", message));
            rl_timer_arm(a->timer, RETRY_MS);
        }
        if (a->wants_policy) { /* it moved on meanwhile */
            a->wants_policy = false;
            rl_timer_arm(a->timer, RETRY_MS / 5);
        }
    }
    attachment_asked(a);
    pump(p);
}

static void fetch(struct policies *p, struct attachment *a)
{
    Pb__PolicyForRequest request = PB__POLICY_FOR_REQUEST__INIT;
    request.agent_id = a->agent_id;
    request.held_version = a->held_version;
    request.held_sha256 = (ProtobufCBinaryData){a->held_sha256_n, a->held_sha256};
    request.nonce = (ProtobufCBinaryData){a->policy_nonce.n, a->policy_nonce.p};
    p->in_flight++;
    rl_rpc_unary(rl_control_channel(p->broker->control), &pb__control__descriptor, "PolicyFor",
                 &request.base, RL_CONTROL_DEADLINE_MS, on_policy, a, &a->asking);
}

static void pump(struct policies *p)
{
    while (p->first && p->in_flight < BROKER_POLICY_CALLS_MAX && !p->broker->is_freeing) {
        struct attachment *a = p->first;
        policies_forget(p, a);
        fetch(p, a);
    }
}

void policies_forget(struct policies *p, struct attachment *attachment)
{
    if (!attachment->waits_for_policy)
        return;
    attachment->waits_for_policy = false;
    struct attachment **at = &p->first;
    while (*at != attachment)
        at = &(*at)->policy_next;
    *at = attachment->policy_next;
    if (!*at)
        p->end = at;
}

void policies_want(struct policies *p, struct attachment *attachment, bool at_once)
{
    if (attachment->waits_for_policy)
        return;
    if (attachment->asking) {
        attachment->wants_policy = true;
        return;
    }
    if (!at_once) {
        uint32_t random;
        rl_random(&random, sizeof random);
        if (!rl_timer_is_armed(attachment->timer))
            rl_timer_arm(attachment->timer, random % BROKER_POLICY_SPREAD_MS);
        return;
    }
    rl_timer_disarm(attachment->timer);
    attachment->waits_for_policy = true;
    attachment->policy_next = NULL;
    *p->end = attachment;
    p->end = &attachment->policy_next;
    pump(p);
}

void policies_want_all(struct policies *p)
{
    for (struct attachment *a = p->broker->attachments; a; a = a->next)
        if (a->state == ATTACHMENT_HERE)
            policies_want(p, a, a->live > 0);
}
