/* locks: what an administrator put a stop to. A lock names its target exactly. One of a kind that
 * this version does not know stops everyone: whoever made it meant someone. */
#include "authz/internal.h"
#include "clock/clock.h"
#include "names/names.h"

#include <stdlib.h>
#include <string.h>

struct lock_question {
    const struct rl_authz_subject *subject;
    const struct rl_authz_target *node; /* may be NULL */
    const char *login;                  /* may be NULL */
};

static bool is_user(const struct rl_authz_subject *subject, const char *user, const char *cluster)
{
    const char *of = cluster[0] ? cluster : subject->home_cluster;
    return strcmp(subject->user, user) == 0 && strcmp(subject->cluster, of) == 0;
}

static bool has_role(const struct rl_authz_subject *subject, const char *name)
{
    for (size_t i = 0; i < subject->role_count; i++)
        if (strcmp(role_name(subject->roles[i]), name) == 0)
            return true;
    return false;
}

/* The role is one of another cluster, as its certificates name it. */
static bool has_remote_role(const struct rl_authz_subject *subject, const char *name,
                            const char *cluster)
{
    if (strcmp(subject->cluster, cluster) != 0)
        return false;
    for (size_t i = 0; i < subject->remote_role_count; i++)
        if (strcmp(subject->remote_roles[i], name) == 0)
            return true;
    return false;
}

static bool is_of_another(const struct rl_authz_subject *subject, const char *cluster)
{
    return cluster[0] && strcmp(cluster, subject->home_cluster) != 0;
}

static bool is_text(const char *text, const char *name)
{
    return text && strcmp(text, name) == 0;
}

/* "alice/otp"; "otp" alone is every user's, or every user's of that cluster. */
static bool is_device(const struct rl_authz_subject *subject, const char *name, const char *cluster)
{
    const char *slash = strrchr(name, '/');
    const char *of = cluster[0] ? cluster : subject->home_cluster;
    bool is_of = strcmp(subject->cluster, of) == 0;
    if (!subject->mfa || !slash)
        return is_text(subject->mfa, name) && (is_of || !cluster[0]);
    return is_of && strlen(subject->user) == (size_t)(slash - name) &&
           strncmp(subject->user, name, (size_t)(slash - name)) == 0 &&
           is_text(subject->mfa, slash + 1);
}

static bool targets(const Pb__LockSpec *lock, const struct lock_question *q)
{
    const char *kind = lock->target_kind, *name = lock->target_name;
    if (strcmp(kind, "user") == 0)
        return is_user(q->subject, name, lock->target_cluster);
    if (strcmp(kind, "role") == 0)
        return is_of_another(q->subject, lock->target_cluster)
                   ? has_remote_role(q->subject, name, lock->target_cluster)
                   : has_role(q->subject, name);
    if (strcmp(kind, "node") == 0)
        return q->node && (is_text(q->node->id, name) || is_text(q->node->name, name));
    if (strcmp(kind, "login") == 0)
        return is_text(q->login, name);
    if (strcmp(kind, "mfa_device") == 0)
        return is_device(q->subject, name, lock->target_cluster);
    return true;
}

static bool is_in_force(const Pb__Lock *lock, int64_t now_ns)
{
    int64_t expires_ns = lock->metadata ? lock->metadata->expires_ns : 0;
    return expires_ns == 0 || expires_ns > now_ns;
}

/* The message is an administrator's prose and ends on the user's terminal. */
static rl_code refuse_locked(const Pb__LockSpec *lock, struct rl_error *err)
{
    char *shown = rl_name_printable(lock->message[0] ? lock->message : lock->target_kind);
    rl_fail(err, RL_E_DENIED, "locked: %s", shown);
    free(shown);
    return RL_E_DENIED;
}

static rl_code refuse_cut(const Pb__Cut *cut, struct rl_error *err)
{
    char before[RL_CLOCK_TEXT_BYTES];
    rl_clock_format(cut->issued_before_ns, before);
    return rl_fail(err, RL_E_DENIED, "certificate issued before %s%s%s; run tsh login", before,
                   cut->reason[0] ? ": " : "", cut->reason);
}

rl_code rl_authz_locks(const struct rl_authz_subject *subject, const struct rl_authz_target *node,
                       const char *login, Pb__Lock *const *locks, size_t lock_count,
                       Pb__Cut *const *cuts, size_t cut_count, int64_t now_ns, struct rl_error *err)
{
    struct lock_question question = {subject, node, login};
    for (size_t i = 0; i < lock_count; i++) {
        const Pb__LockSpec *lock = locks[i]->spec;
        if (!is_in_force(locks[i], now_ns))
            continue;
        if (!lock)
            return rl_fail(err, RL_E_DENIED, "locked: by a lock that names no target");
        if (targets(lock, &question))
            return refuse_locked(lock, err);
    }
    for (size_t i = 0; i < cut_count; i++)
        if (is_user(subject, cuts[i]->user, cuts[i]->cluster) &&
            subject->issued_at_ns < cuts[i]->issued_before_ns)
            return refuse_cut(cuts[i], err);
    return RL_OK;
}
