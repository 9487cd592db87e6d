/* policy, inside: the set of entries, sorted by key, and what is unpacked from it. */
#ifndef RL_POLICY_INTERNAL_H
#define RL_POLICY_INTERNAL_H

#include "policy/policy.h"

#include <pthread.h>
#include <stdatomic.h>

#define POLICY_KEY_BYTES_MAX 512
#define POLICY_SEAL_CONTEXT "remoteler-policy-v1"
#define POLICY_STATEMENT_CONTEXT "remoteler-statement-v1"
#define POLICY_SIGNATURE_BYTES_MAX 256

struct entry {
    char *key;
    uint8_t *value;
    size_t value_bytes;
};

/** Messages of one prefix, in the order of their keys; `names` are the keys' ends. */
struct view {
    ProtobufCMessage **messages;
    const char **names; /* borrowed from the entries */
    size_t count;
};

enum view_kind {
    VIEW_ROLES,
    VIEW_LOCKS,
    VIEW_CUTS,
    VIEW_USER_SSH_CAS,
    VIEW_LABELS,
    VIEW_SETTINGS,
    VIEW_ROOTS,
};
#define VIEW_COUNT 7

struct rl_policy {
    atomic_uint refs;
    struct entry *entries; /* sorted by key, without repeats */
    size_t count, capacity, bytes;
    Pb__SignedPolicySeal *signed_seal; /* NULL: not sealed; */
    Pb__PolicySeal *seal;              /* what is in it */
    pthread_mutex_t lock;              /* of what follows: made when first asked for */
    bool is_indexed;
    char *broken; /* what could not be unpacked: nothing is decided with such a policy */
    struct view views[VIEW_COUNT];
};

/** At the end; keys have to come in order. Errors: RL_E_INVAL, RL_E_EXHAUSTED. */
rl_code policy_append(struct rl_policy *policy, const char *key, struct rl_span value,
                      struct rl_error *err);
/** Takes both messages over. */
void policy_keep_seal(struct rl_policy *policy, Pb__SignedPolicySeal *signed_seal,
                      Pb__PolicySeal *seal);
/** The view, unpacked by now; `policy` may be NULL: an empty one. Threads: safe. */
const struct view *policy_view(const struct rl_policy *policy, enum view_kind kind);
/** RL_E_INVAL when an entry can not be read. */
rl_code policy_check_readable(const struct rl_policy *policy, struct rl_error *err);
void policy_drop_index(struct rl_policy *policy);

/** Verifies with the key of that id. Errors: RL_E_UNAUTHENTICATED. */
rl_code policy_verify(struct rl_policy_keys keys, const char *key_id, const char *context,
                      const ProtobufCBinaryData *body, const ProtobufCBinaryData *signature,
                      struct rl_error *err);

/* ---- subject.c ---- */

/** Does the authority speak for the claimed cluster, and are the claims for SSH on this node?
 * Errors: RL_E_DENIED. */
rl_code policy_check_holder(const struct rl_policy *policy, const struct rl_policy_ssh *request,
                            struct rl_error *err);
/** Is it a user of another cluster than the policy's? */
bool policy_is_remote(const struct rl_policy *policy, const struct rl_policy_ssh *request);
/** Who the claims say it is, with the roles that this person has here. Errors: RL_E_DENIED a remote
 * user with none. Owns: free(*roles), which is untouched on errors. */
rl_code policy_subject(const struct rl_policy *policy, const struct rl_policy_ssh *request,
                       struct rl_authz_subject *out, const Pb__Role ***roles, struct rl_error *err);

struct rl_span policy_span(const ProtobufCBinaryData *bytes);
ProtobufCBinaryData policy_copy_bytes(struct rl_span bytes);
Pb__SignedPolicySeal *policy_copy_seal(const Pb__SignedPolicySeal *from);

#endif
