/* policy: what the root's auth sealed for this cluster is carried to this cluster's auth, which
 * alone can check it, and the root's broker is told what auth holds then. One at a time; what came
 * last counts.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define RETRY_MS 2000

static void take(void *context);

void root_policy_init(struct root *root)
{
    rl_buf_init(&root->nonce, 64);
    root->policy_retry = rl_timer_create(root->roots->broker->config.loop, take, root);
}

static void drop(struct root *root)
{
    if (root->policy)
        pb__policy_update__free_unpacked(root->policy, NULL);
    root->policy = NULL;
    root->is_policy_new = false;
}

void root_policy_fini(struct root *root)
{
    root_call_forget(&root->taking);
    drop(root);
    rl_timer_free(&root->policy_retry);
    rl_buf_fini(&root->nonce);
}

static void hold(struct root *root, uint64_t version, ProtobufCBinaryData sha256)
{
    root->held_version = version;
    root->held_sha256_n = sha256.len == sizeof root->held_sha256 ? sha256.len : 0;
    if (root->held_sha256_n)
        memcpy(root->held_sha256, sha256.data, sha256.len);
}

void root_policy_held(struct root *root, const Pb__PeerCluster *peer)
{
    hold(root, peer->policy_version, peer->policy_sha256);
    rl_buf_clear(&root->nonce);
    rl_buf_put(&root->nonce, peer->policy_nonce.data, peer->policy_nonce.len);
}

void root_policy_fill_hello(const struct root *root, Pb__Hello *hello)
{
    hello->policy_version = root->held_version;
    hello->policy_sha256 =
        (ProtobufCBinaryData){root->held_sha256_n, (uint8_t *)(uintptr_t)root->held_sha256};
    if (!root->held_version)
        hello->policy_nonce = (ProtobufCBinaryData){root->nonce.n, root->nonce.p};
}

/* Every broker of the root that we are attached to hands policy on: each is told. */
static void tell(struct root *root, bool needs_snapshot)
{
    Pb__PolicyHeld held = PB__POLICY_HELD__INIT;
    if (!needs_snapshot) {
        held.version = root->held_version;
        held.sha256 = (ProtobufCBinaryData){root->held_sha256_n, root->held_sha256};
    }
    for (size_t i = 0; i < ROOT_LINKS; i++)
        if (root->links[i].is_attached)
            rl_uplink_send_held(root->links[i].line, &held);
}

static void on_taken(void *context, rl_code code, const char *message,
                     const ProtobufCMessage *reply)
{
    struct root *root = root_call_end(context);
    if (!root)
        return;
    root->taking = NULL;
    if (code == RL_OK) {
        const Pb__TakeRootPolicyResponse *said = (const Pb__TakeRootPolicyResponse *)reply;
        hold(root, said->version, said->sha256);
        tell(root, false);
    } else if (code == RL_E_UNAVAILABLE || code == RL_E_DEADLINE) {
        rl_timer_arm(root->policy_retry, RETRY_MS); /* unless a newer one comes */
        return;
    } else if (code != RL_E_CANCELLED) {
        rl_log_warn("auth did not take a root's policy", RL_TEXT("cluster", root->name),
                    RL_TEXT("code", rl_code_name(code)), RL_TEXT("error", message));
        if (code == RL_E_PRECONDITION)
            tell(root, true);
    }
    if (root->is_policy_new) /* another came meanwhile */
        take(root);
    else
        drop(root);
}

static void take(void *context)
{
    struct root *root = context;
    if (root->taking || !root->policy)
        return;
    Pb__TakeRootPolicyRequest request = PB__TAKE_ROOT_POLICY_REQUEST__INIT;
    request.root = root->name;
    request.update = root->policy;
    root->is_policy_new = false;
    root->taking = root_call_begin(root);
    rl_rpc_unary(rl_control_channel(root->roots->broker->control), &pb__control__descriptor,
                 "TakeRootPolicy", &request.base, RL_CONTROL_DEADLINE_MS, on_taken, root->taking,
                 &root->taking->call);
}

static Pb__PolicyUpdate *copy_of(const Pb__PolicyUpdate *update)
{
    uint8_t *packed = rl_alloc(pb__policy_update__get_packed_size(update) + 1);
    size_t n = pb__policy_update__pack(update, packed);
    Pb__PolicyUpdate *copy = pb__policy_update__unpack(NULL, n, packed);
    free(packed);
    RL_ASSERT(copy); /* it was a message a moment ago */
    return copy;
}

void root_policy_came(struct root *root, const Pb__PolicyUpdate *update)
{
    drop(root);
    root->policy = copy_of(update);
    root->is_policy_new = true;
    rl_timer_disarm(root->policy_retry);
    take(root);
}
