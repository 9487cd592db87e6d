/* authz: may this person do this here? A pure function of identity, roles, resource, action and
 * locks. Deny wins; nothing is allowed by default; order never matters. A role with a field that
 * this version does not know allows nothing; its denials and what it demands of a session count.
 * The same code decides at auth (what may be seen) and at the far end (what may be done).
 */
#ifndef RL_AUTHZ_H
#define RL_AUTHZ_H

#include "remoteler/v1/identity.pb-c.h"
#include "remoteler/v1/resource.pb-c.h"
#include "status/status.h"

#define RL_AUTHZ_PATTERN_BYTES_MAX 256
#define RL_AUTHZ_ROLES_MAX 64 /* of one person */

/** The person: from a checked certificate. Lists are borrowed. */
struct rl_authz_subject {
    const char *user, *cluster;
    const char *home_cluster; /* the cluster that decides; a subject of another is remote */
    size_t role_count;
    const Pb__Role *const *roles; /* those of the subject's role names that exist here */
    /* Of another cluster: the role names of the certificate, for that cluster's own locks. */
    size_t remote_role_count;
    char *const *remote_roles;
    size_t trait_count;
    Pb__Trait *const *traits;
    int64_t issued_at_ns;
    const char *mfa;
    const char *client_address; /* for pin_source_ip */
};

/** The name and labels of what is asked for. */
struct rl_authz_target {
    const char *id, *name;
    size_t label_count;
    Pb__Label *const *labels;
};

/** What the roles that apply grant together (the contract's rules for several roles). */
struct rl_authz_grant {
    uint64_t max_session_ttl_s;     /* 0: no bound from a role */
    uint64_t client_idle_timeout_s; /* 0: none */
    uint32_t max_sessions;          /* 0: none */
    bool port_forwarding, forward_agent, ssh_file_copy;
    bool disconnect_expired_cert, require_session_mfa, pin_source_ip;
    bool is_lock_strict;
    enum { RL_RECORD_OFF, RL_RECORD_BEST_EFFORT, RL_RECORD_STRICT } record_ssh;
};

/** "alice", and of another cluster "alice@root.example": for messages to people. Nothing reads it
 * back: a name may have an @ of its own. Owns: heap text. */
char *rl_authz_subject_text(const struct rl_authz_subject *subject);

/** May the subject log in to this node as `login`? A role allows its own logins on nodes of its own
 * labels; a denial of any role wins. The grant is what the roles that allow it say together; one
 * that says nothing of recording says best_effort. Locks and cuts are rl_authz_locks()'s. Errors:
 * RL_E_DENIED; the message names the reason for the log and the user: `role(s) access do not allow
 * login "root" on node-r1`, "role x asks for require_session_mfa, which this version does not
 * enforce; the session is refused". On error *out is untouched. Threads: safe. */
rl_code rl_authz_ssh(const struct rl_authz_subject *subject, const struct rl_authz_target *node,
                     const char *login, struct rl_authz_grant *out, struct rl_error *err);
/** May the subject know that this node is there? True when some role's node_labels match and no
 * denial does: of the node its labels count and nothing else, here and for the logins below, so
 * that one answer is good for all nodes with the same labels. */
bool rl_authz_sees_node(const struct rl_authz_subject *subject, const struct rl_authz_target *node);
/** May the subject know that this cluster, a leaf of its own, is there? By cluster_labels alike. */
bool rl_authz_sees_cluster(const struct rl_authz_subject *subject,
                           const struct rl_authz_target *cluster);
/** The logins with which rl_authz_ssh() says yes, sorted, without repeats. Owns: free each and the
 * array. */
void rl_authz_node_logins(const struct rl_authz_subject *subject,
                          const struct rl_authz_target *node, char ***logins, size_t *count);
/** All logins of the roles with the subject's traits filled in: a certificate's principals.
 * "{{internal.NAME}}" takes the traits of a user of the home cluster, "{{external.NAME}}" those of
 * another's; what is no login by its form is left out. Owns: as above. */
void rl_authz_logins(const struct rl_authz_subject *subject, char ***logins, size_t *count);
/** The smallest max_session_ttl of the roles; `fallback_s` when none says. */
uint64_t rl_authz_session_ttl_s(const struct rl_authz_subject *subject, uint64_t fallback_s);

struct rl_authz_rule_grant {
    bool own_only;
};
/** rules: may the subject `verb` resources of this kind? Errors: RL_E_DENIED. */
rl_code rl_authz_rule(const struct rl_authz_subject *subject, const char *resource_kind,
                      const char *verb, struct rl_authz_rule_grant *out, struct rl_error *err);

/** Locks that are in force at now_ns and cuts. Errors: RL_E_DENIED, "locked: lost laptop",
 * "certificate issued before ...". `login` and `node` may be NULL: locks on those are not looked
 * at. A lock with a target_cluster is of that cluster's users, roles and devices: what a root
 * stopped. A lock of an unknown kind stops everyone. */
rl_code rl_authz_locks(const struct rl_authz_subject *subject, const struct rl_authz_target *node,
                       const char *login, Pb__Lock *const *locks, size_t lock_count,
                       Pb__Cut *const *cuts, size_t cut_count, int64_t now_ns,
                       struct rl_error *err);

/** A role is fit to be saved: patterns compile, lists are within limits, verbs and kinds exist.
 * `warnings` (may be NULL) gets what this version does not enforce yet and so refuses, one sentence
 * a line. */
struct rl_buf;
rl_code rl_authz_check_role(const Pb__Role *role, struct rl_buf *warnings, struct rl_error *err);

/** Patterns: "*", a glob (* and ?), "^regular expression$" (PCRE2, whole string, match and heap
 * limits). RL_OK match, RL_E_NOT_FOUND no match, RL_E_INVAL the pattern is wrong or hit a limit. */
rl_code rl_pattern_match(const char *pattern, const char *text, struct rl_error *err);
rl_code rl_pattern_check(const char *pattern, struct rl_error *err);

#endif
