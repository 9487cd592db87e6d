/* decide: a node's whole answer to an SSH login. How old the agent's knowledge is comes first: what
 * is decided on a policy that auth has replaced would let in whom auth has put out. */
#include "clock/clock.h"
#include "policy/internal.h"

#include <stdlib.h>
#include <string.h>

#define POLICY_MAX_AGE_S_DEFAULT (7 * 86400)
#define NS_PER_S INT64_C(1000000000)

int64_t rl_policy_vouched_age_s(const struct rl_policy *policy, const struct rl_policy_ssh *request)
{
    int64_t sealed_ns = rl_policy_time_ns(policy);
    int64_t age_s = request->now_ns > sealed_ns ? (request->now_ns - sealed_ns) / NS_PER_S : 0;
    bool is_newer = request->statement_age_s >= 0 && request->statement_age_s < age_s;
    return is_newer ? request->statement_age_s : age_s;
}

static uint64_t max_age_s(const struct rl_policy *policy)
{
    const Pb__AgentSettings *settings = rl_policy_settings(policy);
    return settings && settings->policy_max_age_s ? settings->policy_max_age_s
                                                  : POLICY_MAX_AGE_S_DEFAULT;
}

static rl_code check_age(const struct rl_policy *policy, const struct rl_policy_ssh *request,
                         struct rl_error *err)
{
    uint64_t age_s = (uint64_t)rl_policy_vouched_age_s(policy, request);
    if (request->statement_policy_version > rl_policy_version(policy))
        return rl_fail(err, RL_E_UNAVAILABLE,
                       "this node has version %llu of the policy and auth is at %llu; try again",
                       (unsigned long long)rl_policy_version(policy),
                       (unsigned long long)request->statement_policy_version);
    if (age_s <= max_age_s(policy))
        return RL_OK;
    char words[RL_CLOCK_TEXT_BYTES];
    rl_duration_words(age_s, words);
    return rl_fail(err, RL_E_DENIED, "this node has not heard from auth for %s", words);
}

static void describe_node(const struct rl_policy *policy, const struct rl_policy_ssh *request,
                          struct rl_authz_target *node)
{
    const Pb__AgentSettings *settings = rl_policy_settings(policy);
    *node = (struct rl_authz_target){.id = request->node_id,
                                     .name = settings ? settings->node_name : ""};
    rl_policy_labels(policy, &node->labels, &node->label_count);
}

static rl_code check_locks(const struct rl_policy *policy, const struct rl_policy_ssh *request,
                           const struct rl_authz_subject *subject,
                           const struct rl_authz_target *node, struct rl_error *err)
{
    Pb__Lock *const *locks;
    Pb__Cut *const *cuts;
    size_t lock_count, cut_count;
    rl_policy_locks(policy, &locks, &lock_count);
    rl_policy_cuts(policy, &cuts, &cut_count);
    return rl_authz_locks(subject, node, request->login, locks, lock_count, cuts, cut_count,
                          request->now_ns, err);
}

static rl_code check_strict(const struct rl_policy *policy, const struct rl_policy_ssh *request,
                            struct rl_error *err)
{
    int64_t age_s = rl_policy_vouched_age_s(policy, request);
    if (age_s <= RL_STATEMENT_STRICT_AGE_S)
        return RL_OK;
    char words[RL_CLOCK_TEXT_BYTES];
    rl_duration_words((uint64_t)age_s, words);
    return rl_fail(err, RL_E_DENIED,
                   "a role says lock: strict, and this node has not heard from auth for %s", words);
}

static rl_code decide(const struct rl_policy *policy, const struct rl_policy_ssh *request,
                      const struct rl_authz_subject *subject, struct rl_authz_grant *out,
                      struct rl_error *err)
{
    struct rl_authz_target node;
    describe_node(policy, request, &node);
    rl_code code = check_locks(policy, request, subject, &node, err);
    return code == RL_OK ? rl_authz_ssh(subject, &node, request->login, out, err) : code;
}

static rl_code check_usable(const struct rl_policy *policy, struct rl_error *err)
{
    if (!policy || !policy->seal)
        return rl_fail(err, RL_E_UNAVAILABLE, "this node has no policy from auth yet; try again");
    rl_code code = policy_check_readable(policy, err);
    if (code != RL_OK && err)
        err->code = RL_E_DENIED;
    return code == RL_OK ? RL_OK : RL_E_DENIED;
}

rl_code rl_policy_decide_ssh(const struct rl_policy *policy, const struct rl_policy_ssh *request,
                             struct rl_authz_grant *out, struct rl_error *err)
{
    rl_code code = check_usable(policy, err);
    if (code == RL_OK)
        code = check_age(policy, request, err);
    if (code == RL_OK)
        code = policy_check_holder(policy, request, err);
    const Pb__Role **roles = NULL;
    struct rl_authz_subject subject;
    struct rl_authz_grant grant;
    if (code == RL_OK)
        code = policy_subject(policy, request, &subject, &roles, err);
    if (code == RL_OK)
        code = decide(policy, request, &subject, &grant, err);
    if (code == RL_OK && grant.is_lock_strict)
        code = check_strict(policy, request, err);
    if (code == RL_OK)
        *out = grant;
    free(roles);
    return code;
}

/* Nothing cuts the certificates of another cluster's user when role_map changes here: what let in
 * is asked again. */
static rl_code check_remote(const struct rl_policy *policy, const struct rl_policy_ssh *request,
                            struct rl_error *err)
{
    const Pb__Role **roles = NULL;
    struct rl_authz_subject subject;
    struct rl_authz_grant grant;
    rl_code code = policy_check_holder(policy, request, err);
    if (code == RL_OK)
        code = policy_subject(policy, request, &subject, &roles, err);
    if (code == RL_OK)
        code = decide(policy, request, &subject, &grant, err);
    free(roles);
    return code;
}

rl_code rl_policy_check_stops(const struct rl_policy *policy, const struct rl_policy_ssh *request,
                              struct rl_error *err)
{
    rl_code code = check_usable(policy, err);
    if (code != RL_OK)
        return code;
    if (policy_is_remote(policy, request))
        return check_remote(policy, request, err);
    const Pb__Role **roles = NULL;
    struct rl_authz_subject subject;
    struct rl_authz_target node;
    describe_node(policy, request, &node);
    code = policy_subject(policy, request, &subject, &roles, err);
    if (code == RL_OK)
        code = check_locks(policy, request, &subject, &node, err);
    free(roles);
    return code;
}
