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

/* A certificate may say less than that it is the user's. */
static rl_code check_claims(const struct rl_policy *policy, const struct rl_policy_ssh *request,
                            struct rl_error *err)
{
    const Pb__IdentityClaims *claims = request->claims;
    if (strcmp(claims->cluster, policy->seal->cluster) != 0)
        return rl_fail(err, RL_E_DENIED, "a user of another cluster has no role here");
    if (!claims->user[0])
        return rl_fail(err, RL_E_DENIED, "the certificate is not a user's");
    if (claims->usage[0])
        return rl_fail(err, RL_E_DENIED, "the certificate is for another use than SSH");
    char *here = rl_sprintf("node/%s", request->node_id);
    bool is_for_here = !claims->target[0] || strcmp(claims->target, here) == 0;
    free(here);
    return is_for_here ? RL_OK : rl_fail(err, RL_E_DENIED, "the certificate is for another target");
}

/* Those of the claimed roles that there are; the array is the caller's. */
static const Pb__Role **find_roles(const struct rl_policy *policy, const Pb__IdentityClaims *claims,
                                   size_t *count)
{
    const Pb__Role **roles = rl_alloc_array(claims->n_roles, sizeof *roles);
    *count = 0;
    for (size_t i = 0; i < claims->n_roles; i++) {
        const Pb__Role *role = rl_policy_role(policy, claims->roles[i]);
        if (role)
            roles[(*count)++] = role;
    }
    return roles;
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
    struct rl_authz_grant grant;
    if (code == RL_OK)
        code = rl_authz_ssh(subject, &node, request->login, &grant, err);
    if (code == RL_OK && grant.is_lock_strict)
        code = check_strict(policy, request, err);
    if (code == RL_OK)
        *out = grant;
    return code;
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

/* Who the claims say it is, with those of the claimed roles that there are; `*roles` is the
 * caller's. */
static struct rl_authz_subject subject_of(const struct rl_policy *policy,
                                          const struct rl_policy_ssh *request,
                                          const Pb__Role ***roles)
{
    const Pb__IdentityClaims *claims = request->claims;
    struct rl_authz_subject subject = {.user = claims->user,
                                       .cluster = claims->cluster,
                                       .home_cluster = policy->seal->cluster,
                                       .trait_count = claims->n_traits,
                                       .traits = claims->traits,
                                       .issued_at_ns = claims->issued_at_ns,
                                       .mfa = claims->mfa,
                                       .client_address = request->client_address};
    *roles = find_roles(policy, claims, &subject.role_count);
    subject.roles = *roles;
    return subject;
}

rl_code rl_policy_decide_ssh(const struct rl_policy *policy, const struct rl_policy_ssh *request,
                             struct rl_authz_grant *out, struct rl_error *err)
{
    rl_code code = check_usable(policy, err);
    if (code == RL_OK)
        code = check_age(policy, request, err);
    if (code == RL_OK)
        code = check_claims(policy, request, err);
    if (code != RL_OK)
        return code;
    const Pb__Role **roles;
    struct rl_authz_subject subject = subject_of(policy, request, &roles);
    code = decide(policy, request, &subject, out, err);
    free(roles);
    return code;
}

rl_code rl_policy_check_stops(const struct rl_policy *policy, const struct rl_policy_ssh *request,
                              struct rl_error *err)
{
    rl_code code = check_usable(policy, err);
    if (code != RL_OK)
        return code;
    const Pb__Role **roles;
    struct rl_authz_subject subject = subject_of(policy, request, &roles);
    struct rl_authz_target node;
    describe_node(policy, request, &node);
    code = check_locks(policy, request, &subject, &node, err);
    free(roles);
    return code;
}
