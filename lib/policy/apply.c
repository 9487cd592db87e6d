/* apply: the agent's side. Nothing of an update counts before auth's signature over the whole
 * result was checked; a broker brought it. */
#include "names/names.h"
#include "policy/internal.h"

#include <stdlib.h>
#include <string.h>

static const Pb__CaKey *find_key(struct rl_policy_keys keys, const char *key_id)
{
    for (size_t i = 0; i < keys.count; i++)
        if (strcmp(keys.keys[i]->id, key_id) == 0)
            return keys.keys[i];
    return NULL;
}

rl_code policy_verify(struct rl_policy_keys keys, const char *key_id, const char *context,
                      const ProtobufCBinaryData *body, const ProtobufCBinaryData *signature,
                      struct rl_error *err)
{
    const Pb__CaKey *key = find_key(keys, key_id);
    EVP_PKEY *public_key = NULL;
    if (!key) {
        char *shown = rl_name_printable(key_id);
        rl_fail(err, RL_E_UNAUTHENTICATED, "signed by the key \"%.64s\", which is not trusted",
                shown);
        free(shown);
        return RL_E_UNAUTHENTICATED;
    }
    if (rl_key_from_spki(policy_span(&key->public_key), &public_key, NULL) != RL_OK)
        return rl_fail(err, RL_E_UNAUTHENTICATED, "the key \"%.64s\" can not be read", key->id);
    rl_code code =
        rl_key_verify(public_key, context, policy_span(body), policy_span(signature), err);
    EVP_PKEY_free(public_key);
    return code == RL_OK ? RL_OK : RL_E_UNAUTHENTICATED;
}

static rl_code check_seal(const Pb__PolicySeal *seal, const struct rl_policy *held,
                          const struct rl_policy_expect *expect, struct rl_error *err)
{
    uint64_t floor = expect->floor_version;
    if (held && rl_policy_version(held) > floor)
        floor = rl_policy_version(held);
    if (strcmp(seal->cluster, expect->cluster) != 0)
        return rl_fail(err, RL_E_DENIED, "the policy is for another cluster");
    if (strcmp(seal->agent_id, expect->agent_id) != 0)
        return rl_fail(err, RL_E_DENIED, "the policy is for another agent");
    if (seal->version < floor || seal->version == 0)
        return rl_fail(err, RL_E_DENIED, "the policy's version %llu is below %llu, which was seen",
                       (unsigned long long)seal->version, (unsigned long long)floor);
    if (expect->nonce.n > 0 && !rl_span_equal(policy_span(&seal->nonce), expect->nonce))
        return rl_fail(err, RL_E_DENIED, "the policy does not answer our nonce");
    return RL_OK;
}

static rl_code open_seal(const Pb__SignedPolicySeal *signed_seal, const struct rl_policy *held,
                         const struct rl_policy_expect *expect, Pb__PolicySeal **out,
                         struct rl_error *err)
{
    if (!signed_seal)
        return rl_fail(err, RL_E_UNAUTHENTICATED, "the policy is not signed");
    rl_code code = policy_verify(expect->keys, signed_seal->key_id, POLICY_SEAL_CONTEXT,
                                 &signed_seal->seal, &signed_seal->signature, err);
    if (code != RL_OK)
        return code;
    Pb__PolicySeal *seal =
        pb__policy_seal__unpack(NULL, signed_seal->seal.len, signed_seal->seal.data);
    if (!seal)
        return rl_fail(err, RL_E_INVAL, "the policy's seal can not be read");
    code = check_seal(seal, held, expect, err);
    if (code == RL_OK)
        *out = seal;
    else
        pb__policy_seal__free_unpacked(seal, NULL);
    return code;
}

/* The entries that stay, up to `before` (NULL: all), in step with the sorted list of removed keys.
 */
struct rest {
    const struct rl_policy *held; /* NULL: a snapshot */
    size_t next;
    char *const *removed;
    size_t removed_count, next_removed;
};

static bool is_removed(struct rest *rest, const char *key)
{
    while (rest->next_removed < rest->removed_count &&
           strcmp(rest->removed[rest->next_removed], key) < 0)
        rest->next_removed++;
    return rest->next_removed < rest->removed_count &&
           strcmp(rest->removed[rest->next_removed], key) == 0;
}

static rl_code copy_rest(struct rest *rest, const char *before, struct rl_policy *result,
                         struct rl_error *err)
{
    rl_code code = RL_OK;
    while (rest->held && rest->next < rest->held->count && code == RL_OK) {
        const struct entry *entry = &rest->held->entries[rest->next];
        int order = before ? strcmp(entry->key, before) : -1;
        if (order > 0)
            break;
        rest->next++;
        if (order < 0 && !is_removed(rest, entry->key))
            code =
                policy_append(result, entry->key, RL_SPAN(entry->value, entry->value_bytes), err);
    }
    return code;
}

static rl_code merge(const struct rl_policy *held, const Pb__PolicyUpdate *update,
                     struct rl_policy *result, struct rl_error *err)
{
    struct rest rest = {
        .held = held, .removed = update->removed, .removed_count = update->n_removed};
    rl_code code = RL_OK;
    for (size_t i = 0; i < update->n_set && code == RL_OK; i++) {
        const Pb__PolicyEntry *entry = update->set[i];
        code = copy_rest(&rest, entry->key, result, err);
        if (code == RL_OK)
            code = policy_append(result, entry->key, policy_span(&entry->value), err);
    }
    return code == RL_OK ? copy_rest(&rest, NULL, result, err) : code;
}

static rl_code check_content(const struct rl_policy *policy, const Pb__PolicySeal *seal,
                             struct rl_error *err)
{
    uint8_t hash[32];
    rl_policy_hash(policy, hash);
    if (!rl_span_equal(policy_span(&seal->content_sha256), RL_SPAN(hash, sizeof hash)))
        return rl_fail(err, RL_E_UNAUTHENTICATED, "the policy is not what was sealed");
    return policy_check_readable(policy, err);
}

static rl_code check_base(const struct rl_policy *held, const Pb__PolicyUpdate *update,
                          struct rl_error *err)
{
    if (update->is_snapshot)
        return RL_OK;
    uint64_t version = held ? rl_policy_version(held) : 0;
    if (held && version == update->base_version)
        return RL_OK;
    return rl_fail(err, RL_E_PRECONDITION,
                   "the change is to version %llu of the policy, held is %llu",
                   (unsigned long long)update->base_version, (unsigned long long)version);
}

rl_code rl_policy_apply(const struct rl_policy *held, const Pb__PolicyUpdate *update,
                        const struct rl_policy_expect *expect, struct rl_policy **out,
                        struct rl_error *err)
{
    Pb__PolicySeal *seal = NULL;
    rl_code code = open_seal(update->seal, held, expect, &seal, err);
    if (code == RL_OK)
        code = check_base(held, update, err);
    if (code != RL_OK)
        goto out;
    struct rl_policy *result = rl_policy_create();
    code = merge(update->is_snapshot ? NULL : held, update, result, err);
    if (code == RL_OK)
        code = check_content(result, seal, err);
    if (code == RL_OK) {
        policy_keep_seal(result, policy_copy_seal(update->seal), seal);
        *out = result;
        return RL_OK;
    }
    rl_policy_unref(&result);
out:
    if (seal)
        pb__policy_seal__free_unpacked(seal, NULL);
    return code;
}

rl_code rl_policy_load(struct rl_span packed, const struct rl_policy_expect *expect,
                       struct rl_policy **out, struct rl_error *err)
{
    Pb__PolicyUpdate *update = pb__policy_update__unpack(NULL, packed.n, packed.p);
    if (!update)
        return rl_fail(err, RL_E_INVAL, "the stored policy can not be read");
    rl_code code = rl_policy_apply(NULL, update, expect, out, err);
    pb__policy_update__free_unpacked(update, NULL);
    return code;
}
