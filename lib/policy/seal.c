/* seal: auth's side. The signature is over the hash of the whole result, so a delta is checked as a
 * snapshot is, and a broker that leaves an entry out is found out. */
#include "policy/internal.h"

#include <stdlib.h>
#include <string.h>

struct rl_span policy_span(const ProtobufCBinaryData *bytes)
{
    return RL_SPAN(bytes->data, bytes->len);
}

ProtobufCBinaryData policy_copy_bytes(struct rl_span bytes)
{
    ProtobufCBinaryData copy = {bytes.n, NULL};
    if (bytes.n) {
        copy.data = rl_alloc(bytes.n);
        memcpy(copy.data, bytes.p, bytes.n);
    }
    return copy;
}

static ProtobufCBinaryData pack(const ProtobufCMessage *message)
{
    ProtobufCBinaryData packed = {protobuf_c_message_get_packed_size(message), NULL};
    packed.data = rl_alloc(packed.len);
    protobuf_c_message_pack(message, packed.data);
    return packed;
}

static rl_code sign(EVP_PKEY *signer, const char *context, const ProtobufCBinaryData *body,
                    ProtobufCBinaryData *signature, struct rl_error *err)
{
    struct rl_buf out;
    rl_buf_init(&out, POLICY_SIGNATURE_BYTES_MAX);
    rl_code code = rl_key_sign(signer, context, policy_span(body), &out, err);
    if (code == RL_OK)
        *signature = policy_copy_bytes(rl_buf_span(&out));
    rl_buf_fini(&out);
    return code;
}

static rl_code sign_seal(const Pb__PolicySeal *seal, EVP_PKEY *signer, const char *key_id,
                         Pb__SignedPolicySeal **out, struct rl_error *err)
{
    Pb__SignedPolicySeal *signed_seal = rl_alloc(sizeof *signed_seal);
    pb__signed_policy_seal__init(signed_seal);
    signed_seal->seal = pack(&seal->base);
    signed_seal->key_id = rl_strdup(key_id);
    rl_code code =
        sign(signer, POLICY_SEAL_CONTEXT, &signed_seal->seal, &signed_seal->signature, err);
    if (code == RL_OK)
        *out = signed_seal;
    else
        pb__signed_policy_seal__free_unpacked(signed_seal, NULL);
    return code;
}

static void add_set(Pb__PolicyUpdate *update, const struct entry *entry)
{
    Pb__PolicyEntry *set = rl_alloc(sizeof *set);
    pb__policy_entry__init(set);
    set->key = rl_strdup(entry->key);
    set->value = policy_copy_bytes(RL_SPAN(entry->value, entry->value_bytes));
    update->set[update->n_set++] = set;
}

static bool is_same_value(const struct entry *a, const struct entry *b)
{
    return rl_span_equal(RL_SPAN(a->value, a->value_bytes), RL_SPAN(b->value, b->value_bytes));
}

/* Both are sorted, so one pass finds what was added, changed and removed. */
static void fill_difference(Pb__PolicyUpdate *update, const struct rl_policy *policy,
                            const struct rl_policy *held)
{
    static const struct rl_policy nothing = {0};
    if (!held)
        held = &nothing;
    size_t held_count = held->count;
    update->set = rl_alloc_array(policy->count, sizeof *update->set);
    update->removed = rl_alloc_array(held_count, sizeof *update->removed);
    for (size_t i = 0, j = 0; i < policy->count || j < held_count;) {
        int order = i == policy->count ? 1
                    : j == held_count  ? -1
                                       : strcmp(policy->entries[i].key, held->entries[j].key);
        if (order > 0) {
            update->removed[update->n_removed++] = rl_strdup(held->entries[j++].key);
            continue;
        }
        if (order < 0 || !is_same_value(&policy->entries[i], &held->entries[j]))
            add_set(update, &policy->entries[i]);
        i++;
        j += order == 0;
    }
}

Pb__SignedPolicySeal *policy_copy_seal(const Pb__SignedPolicySeal *from)
{
    Pb__SignedPolicySeal *to = rl_alloc(sizeof *to);
    pb__signed_policy_seal__init(to);
    to->seal = policy_copy_bytes(policy_span(&from->seal));
    to->signature = policy_copy_bytes(policy_span(&from->signature));
    to->key_id = rl_strdup(from->key_id);
    return to;
}

static Pb__PolicyUpdate *make_update(const struct rl_policy *policy, const struct rl_policy *held)
{
    Pb__PolicyUpdate *update = rl_alloc(sizeof *update);
    pb__policy_update__init(update);
    update->seal = policy_copy_seal(policy->signed_seal);
    update->is_snapshot = held == NULL;
    update->base_version = held ? rl_policy_version(held) : 0;
    fill_difference(update, policy, held);
    return update;
}

rl_code rl_policy_seal(struct rl_policy *policy, const struct rl_policy *held, const char *cluster,
                       const char *agent_id, uint64_t version, int64_t now_ns, struct rl_span nonce,
                       EVP_PKEY *signer, const char *key_id, Pb__PolicyUpdate **out,
                       struct rl_error *err)
{
    uint8_t hash[32];
    rl_policy_hash(policy, hash);
    Pb__PolicySeal *seal = rl_alloc(sizeof *seal);
    pb__policy_seal__init(seal);
    seal->cluster = rl_strdup(cluster);
    seal->agent_id = rl_strdup(agent_id);
    seal->version = version;
    seal->time_ns = now_ns;
    seal->content_sha256 = policy_copy_bytes(RL_SPAN(hash, sizeof hash));
    seal->nonce = policy_copy_bytes(nonce);
    Pb__SignedPolicySeal *signed_seal = NULL;
    rl_code code = sign_seal(seal, signer, key_id, &signed_seal, err);
    if (code != RL_OK) {
        pb__policy_seal__free_unpacked(seal, NULL);
        return code;
    }
    policy_keep_seal(policy, signed_seal, seal);
    *out = make_update(policy, held);
    return RL_OK;
}

rl_code rl_policy_pack(const struct rl_policy *policy, struct rl_buf *out, struct rl_error *err)
{
    if (!policy->signed_seal)
        return rl_fail(err, RL_E_PRECONDITION, "the policy is not sealed");
    Pb__PolicyUpdate *update = make_update(policy, NULL);
    size_t n = pb__policy_update__get_packed_size(update);
    uint8_t *to = rl_buf_reserve(out, n);
    if (to)
        out->n += pb__policy_update__pack(update, to);
    pb__policy_update__free_unpacked(update, NULL);
    return to ? RL_OK
              : rl_fail(err, RL_E_EXHAUSTED, "the policy has %zu bytes; there is room for %zu", n,
                        out->max);
}

rl_code rl_statement_sign(const char *cluster, int64_t now_ns, uint64_t policy_version,
                          struct rl_span audit_head, EVP_PKEY *signer, const char *key_id,
                          Pb__SignedStatement **out, struct rl_error *err)
{
    Pb__Statement statement;
    pb__statement__init(&statement);
    char *name = rl_strdup(cluster);
    statement.cluster = name;
    statement.time_ns = now_ns;
    statement.policy_version = policy_version;
    statement.audit_head = policy_copy_bytes(audit_head);
    Pb__SignedStatement *signed_statement = rl_alloc(sizeof *signed_statement);
    pb__signed_statement__init(signed_statement);
    signed_statement->statement = pack(&statement.base);
    signed_statement->key_id = rl_strdup(key_id);
    free(statement.audit_head.data);
    free(name);
    rl_code code = sign(signer, POLICY_STATEMENT_CONTEXT, &signed_statement->statement,
                        &signed_statement->signature, err);
    if (code == RL_OK)
        *out = signed_statement;
    else
        pb__signed_statement__free_unpacked(signed_statement, NULL);
    return code;
}
