/* policy: what auth signs for an agent, and how the agent holds it. A policy is a set of entries; a
 * seal is auth's signature over cluster, agent, version, time and the hash of all entries.
 * Snapshots and deltas are checked alike: apply, hash, compare, verify. Pure: files are the
 * agent's.
 */
#ifndef RL_POLICY_H
#define RL_POLICY_H

#include "authz/authz.h"
#include "bytes/buf.h"
#include "identity/identity.h"
#include "remoteler/v1/policy.pb-c.h"

#define RL_POLICY_ENTRIES_MAX 20000
#define RL_POLICY_BYTES_MAX (16u << 20)
#define RL_STATEMENT_STRICT_AGE_S 300

/* ---- a set of entries: both sides ---- */

struct rl_policy;
struct rl_policy *rl_policy_create(void);
struct rl_policy *rl_policy_ref(struct rl_policy *policy);
void rl_policy_unref(struct rl_policy **policy);
/** While building (refs == 1). The value is copied. Errors: RL_E_EXHAUSTED beyond the limits. */
rl_code rl_policy_set(struct rl_policy *policy, const char *key, struct rl_span value,
                      struct rl_error *err);
void rl_policy_remove(struct rl_policy *policy, const char *key);
size_t rl_policy_entry_count(const struct rl_policy *policy);
/** The i-th by key, value and *key borrowed: for what is not indexed below. */
struct rl_span rl_policy_entry(const struct rl_policy *policy, size_t i, const char **key);
void rl_policy_hash(const struct rl_policy *policy, uint8_t sha256[32]);
uint64_t rl_policy_version(const struct rl_policy *policy); /* 0: not sealed */
int64_t rl_policy_time_ns(const struct rl_policy *policy);

/* ---- auth's side ---- */

/** The update that brings a holder of `held` (NULL: of nothing) to `policy`, sealed. The policy
 * keeps the seal, and with it its version, so that it may be the next `held` and be packed;
 * changing it drops the seal. `nonce`: the agent's, when it has no floor. Owns: *out by
 * pb__policy_update__free_unpacked(). Threads: not while another uses `policy`. */
rl_code rl_policy_seal(struct rl_policy *policy, const struct rl_policy *held, const char *cluster,
                       const char *agent_id, uint64_t version, int64_t now_ns, struct rl_span nonce,
                       EVP_PKEY *signer, const char *key_id, Pb__PolicyUpdate **out,
                       struct rl_error *err);
rl_code rl_statement_sign(const char *cluster, int64_t now_ns, uint64_t policy_version,
                          struct rl_span audit_head, EVP_PKEY *signer, const char *key_id,
                          Pb__SignedStatement **out, struct rl_error *err);

/* ---- the agent's side ---- */

/** The public keys that may sign: from the trust bundle. */
struct rl_policy_keys {
    size_t count;
    Pb__CaKey *const *keys;
};

struct rl_policy_expect {
    const char *cluster, *agent_id;
    uint64_t floor_version; /* lower is refused */
    struct rl_span nonce;   /* n > 0: there is no floor, the seal must carry it */
    struct rl_policy_keys keys;
};
/** Applies an update to `held` (NULL: none) and verifies the result; `held` is not changed. Errors:
 * RL_E_UNAUTHENTICATED signature, or the result is not what was sealed; RL_E_DENIED another's,
 * below the floor or below `held`, wrong nonce; RL_E_PRECONDITION a delta on another base: ask for
 * a snapshot; RL_E_INVAL, RL_E_EXHAUSTED it can not be read, is out of order or too large. */
rl_code rl_policy_apply(const struct rl_policy *held, const Pb__PolicyUpdate *update,
                        const struct rl_policy_expect *expect, struct rl_policy **out,
                        struct rl_error *err);
/** The whole policy with its seal, for the disk; loading verifies like rl_policy_apply. */
rl_code rl_policy_pack(const struct rl_policy *policy, struct rl_buf *out, struct rl_error *err);
rl_code rl_policy_load(struct rl_span packed, const struct rl_policy_expect *expect,
                       struct rl_policy **out, struct rl_error *err);
rl_code rl_statement_verify(const Pb__SignedStatement *signed_statement, const char *cluster,
                            struct rl_policy_keys keys, Pb__Statement **out, struct rl_error *err);

/* What is in it; all borrowed from the policy, unpacked once. `policy` may be NULL: nothing.
 * Threads: safe while nobody changes the policy. */
const Pb__Role *rl_policy_role(const struct rl_policy *policy, const char *name); /* or NULL */
void rl_policy_locks(const struct rl_policy *policy, Pb__Lock *const **locks, size_t *count);
void rl_policy_cuts(const struct rl_policy *policy, Pb__Cut *const **cuts, size_t *count);
void rl_policy_user_ssh_cas(const struct rl_policy *policy, Pb__CaKey *const **keys, size_t *count);
/** Root clusters whose users may come here. */
void rl_policy_roots(const struct rl_policy *policy, Pb__RootTrust *const **roots, size_t *count);
/** The one cluster for whose users this authority, a public key blob, may speak: the policy's own,
 * or a root's. NULL: nobody's, or two roots have the same. Borrowed. */
const char *rl_policy_authority_cluster(const struct rl_policy *policy, struct rl_span key);
void rl_policy_labels(const struct rl_policy *policy, Pb__Label *const **labels, size_t *count);
const Pb__AgentSettings *rl_policy_settings(const struct rl_policy *policy); /* or NULL */

/** The whole decision of a node for an SSH login: who vouches for whom, roles by the claims, or by
 * the role_map of the user's cluster, locks, cuts, age. `now_ns`
 * is the agent's trusted time. How old the policy is counts from its seal or from the latest
 * statement, whichever is younger: strict roles refuse over RL_STATEMENT_STRICT_AGE_S, all refuse
 * over the setting policy_max_age. `policy` may be NULL. Errors: RL_E_DENIED with the reason;
 * RL_E_UNAVAILABLE no policy yet, or behind the statement: catch up and ask again. */
struct rl_policy_ssh {
    const Pb__IdentityClaims *claims;
    struct rl_span authority; /* that signed the certificate: its public key blob */
    const char *node_id, *login, *client_address;
    int64_t now_ns;
    int64_t statement_age_s;           /* -1: never heard one */
    uint64_t statement_policy_version; /* newer than ours: not decided (RL_E_UNAVAILABLE) */
};
rl_code rl_policy_decide_ssh(const struct rl_policy *policy, const struct rl_policy_ssh *request,
                             struct rl_authz_grant *out, struct rl_error *err);
/** May a session that was let in go on: does no lock and no cut stop it? Of another cluster's user
 * also: is that cluster still trusted, and does its role_map still allow this login? Ages are not
 * looked at: a session does not end because auth is away. Errors: RL_E_DENIED with the reason. */
rl_code rl_policy_check_stops(const struct rl_policy *policy, const struct rl_policy_ssh *request,
                              struct rl_error *err);
/** Seconds since auth last vouched for this policy: when it sealed it, or when a statement said
 * that its version is still the latest. `policy` is sealed. */
int64_t rl_policy_vouched_age_s(const struct rl_policy *policy,
                                const struct rl_policy_ssh *request);

#endif
