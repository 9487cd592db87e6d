/* root_policy: what a root sealed for this cluster: loaded with its signature, and turned into what
 * stops its users here. A root stops its own users, by their names in its own cluster; whatever
 * else it says stops nobody. */
#include "clusters/root.h"

#include "clusters/leaf.h"
#include "message.h"
#include "policy/policy.h"

#include <stdlib.h>
#include <string.h>

rl_code rl_root_policy_load(const struct rl_root_row *row, const char *own_cluster,
                            struct rl_policy **out, struct rl_error *err)
{
    *out = NULL;
    if (row->policy.n == 0)
        return RL_OK;
    char *id = rl_sprintf(RL_LEAF_PREFIX "%s", own_cluster);
    const struct rl_policy_expect expect = {
        .cluster = row->document->metadata->name,
        .agent_id = id,
        .keys = {row->trust->n_policy_keys, row->trust->policy_keys},
    };
    rl_code rc = rl_policy_load(rl_buf_span(&row->policy), &expect, out, err);
    free(id);
    return rc == RL_OK ? rc
                       : rl_fail(err, RL_E_DATA_LOSS, "what %s said of its users: %s",
                                 row->document->metadata->name, err ? err->message : "");
}

static bool is_of(const char *cluster, const char *root)
{
    return !*cluster || strcmp(cluster, root) == 0;
}

static Pb__Lock *lock_here(const Pb__Lock *theirs, const char *root)
{
    Pb__Lock *lock = rl_message_copy(&theirs->base);
    char *name = rl_sprintf("%s/%s", root, theirs->metadata->name);
    rl_message_text(&lock->metadata->name, name);
    rl_message_text(&lock->spec->target_cluster, root);
    rl_message_text(&lock->spec->created_by, root);
    free(name);
    return lock;
}

void rl_root_policy_stops(const struct rl_policy *policy, const char *root, Pb__Lock ***locks,
                          size_t *lock_count, Pb__Cut ***cuts, size_t *cut_count)
{
    Pb__Lock *const *theirs = NULL;
    Pb__Cut *const *their_cuts = NULL;
    size_t n = 0, cut_n = 0;
    rl_policy_locks(policy, &theirs, &n);
    for (size_t i = 0; i < n; i++)
        if (theirs[i]->metadata && rl_lock_is_of_users(theirs[i]) &&
            is_of(theirs[i]->spec->target_cluster, root))
            rl_message_append(locks, lock_count, lock_here(theirs[i], root));
    rl_policy_cuts(policy, &their_cuts, &cut_n);
    for (size_t i = 0; i < cut_n; i++) {
        if (!is_of(their_cuts[i]->cluster, root))
            continue;
        Pb__Cut *cut = rl_message_copy(&their_cuts[i]->base);
        rl_message_text(&cut->cluster, root);
        rl_message_append(cuts, cut_count, cut);
    }
}
