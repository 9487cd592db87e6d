/* policy: what auth signed for each agent, fetched for it and handed on unread. A few calls to auth
 * at a time; agents with live connections and leaves first, idle ones spread over half a minute.
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

static uint64_t version_of(const Pb__SignedPolicySeal *signed_seal)
{
    Pb__PolicySeal *seal =
        pb__policy_seal__unpack(NULL, signed_seal->seal.len, signed_seal->seal.data);
    uint64_t version = seal ? seal->version : 0;
    if (seal)
        pb__policy_seal__free_unpacked(seal, NULL);
    return version;
}

static void hand_on(struct attachment *a, const Pb__PolicyUpdate *update)
{
    if (!update->seal)
        return; /* it has what there is */
    Pb__BrokerMessage message = PB__BROKER_MESSAGE__INIT;
    message.body_case = PB__BROKER_MESSAGE__BODY_POLICY;
    message.policy = (Pb__PolicyUpdate *)(uintptr_t)update;
    struct rl_error err;
    if (attachment_send(a, &message, &err) == RL_OK)
        a->sent_version = version_of(update->seal);
    else
        rl_timer_arm(a->timer, RETRY_MS);
}

/* The version that auth's statement of the minute names; an agent that is behind it decides
 * nothing.
 */
uint64_t policies_version_known(const struct broker *broker)
{
    const Pb__SignedStatement *signed_statement = rl_control_state(broker->control)->statement;
    Pb__Statement *statement = signed_statement
                                   ? pb__statement__unpack(NULL, signed_statement->statement.len,
                                                           signed_statement->statement.data)
                                   : NULL;
    uint64_t version = statement ? statement->policy_version : 0;
    if (statement)
        pb__statement__free_unpacked(statement, NULL);
    return version;
}

bool policies_is_due(const struct policies *p, const struct attachment *a)
{
    uint64_t has = a->sent_version > a->held_version ? a->sent_version : a->held_version;
    return a->waits_for_policy || a->asking || rl_timer_is_armed(a->timer) ||
           has < policies_version_known(p->broker);
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
        join_tell(a);
    }
    attachment_asked(a);
    pump(p);
}

static void fetch(struct policies *p, struct attachment *a)
{
    Pb__PolicyForRequest request = PB__POLICY_FOR_REQUEST__INIT;
    request.agent_id = a->leaf ? a->leaf : a->agent_id;
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

/* A leaf may have users of ours whose connections pass by another way. */
void policies_want_all(struct policies *p)
{
    for (struct attachment *a = p->broker->attachments; a; a = a->next)
        if (a->state == ATTACHMENT_HERE)
            policies_want(p, a, a->live > 0 || a->leaf);
}
