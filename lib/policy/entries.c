/* entries: a sorted set. The hash of all of it is what auth seals, so whoever brings the entries
 * can be anybody. */
#include "policy/internal.h"
#include "status/memory.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

struct rl_policy *rl_policy_create(void)
{
    struct rl_policy *policy = rl_alloc(sizeof *policy);
    atomic_init(&policy->refs, 1);
    pthread_mutex_init(&policy->lock, NULL);
    return policy;
}

struct rl_policy *rl_policy_ref(struct rl_policy *policy)
{
    atomic_fetch_add_explicit(&policy->refs, 1, memory_order_relaxed);
    return policy;
}

static void free_entry(struct entry *entry)
{
    free(entry->key);
    free(entry->value);
}

static void drop_seal(struct rl_policy *policy)
{
    if (policy->signed_seal)
        pb__signed_policy_seal__free_unpacked(policy->signed_seal, NULL);
    if (policy->seal)
        pb__policy_seal__free_unpacked(policy->seal, NULL);
    policy->signed_seal = NULL;
    policy->seal = NULL;
}

void rl_policy_unref(struct rl_policy **policy)
{
    struct rl_policy *p = *policy;
    *policy = NULL;
    if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
        return;
    policy_drop_index(p);
    drop_seal(p);
    for (size_t i = 0; i < p->count; i++)
        free_entry(&p->entries[i]);
    free(p->entries);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

void policy_keep_seal(struct rl_policy *policy, Pb__SignedPolicySeal *signed_seal,
                      Pb__PolicySeal *seal)
{
    drop_seal(policy);
    policy->signed_seal = signed_seal;
    policy->seal = seal;
}

/* Where the key is, or where it belongs. */
static size_t find(const struct rl_policy *policy, const char *key, bool *is_there)
{
    size_t low = 0, high = policy->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(policy->entries[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *is_there = low < policy->count && strcmp(policy->entries[low].key, key) == 0;
    return low;
}

static void start_change(struct rl_policy *policy)
{
    RL_ASSERT(atomic_load(&policy->refs) == 1);
    policy_drop_index(policy);
    drop_seal(policy);
}

static rl_code check_entry(const struct rl_policy *policy, const char *key, size_t value_bytes,
                           size_t freed_bytes, struct rl_error *err)
{
    size_t key_bytes = strlen(key);
    if (key_bytes == 0 || key_bytes > POLICY_KEY_BYTES_MAX)
        return rl_fail(err, RL_E_INVAL, "a policy's key has 1 to %d bytes, this one %zu",
                       POLICY_KEY_BYTES_MAX, key_bytes);
    size_t used = policy->bytes - freed_bytes;
    if (value_bytes > RL_POLICY_BYTES_MAX || used + key_bytes + value_bytes > RL_POLICY_BYTES_MAX)
        return rl_fail(err, RL_E_EXHAUSTED, "a policy has at most %u bytes", RL_POLICY_BYTES_MAX);
    if (policy->count == RL_POLICY_ENTRIES_MAX && freed_bytes == 0)
        return rl_fail(err, RL_E_EXHAUSTED, "a policy has at most %d entries",
                       RL_POLICY_ENTRIES_MAX);
    return RL_OK;
}

static void make_room(struct rl_policy *policy, size_t at)
{
    if (policy->count == policy->capacity) {
        size_t capacity = policy->capacity ? policy->capacity * 2 : 16;
        struct entry *entries = rl_alloc_array(capacity, sizeof *entries);
        if (policy->count)
            memcpy(entries, policy->entries, policy->count * sizeof *entries);
        free(policy->entries);
        policy->entries = entries;
        policy->capacity = capacity;
    }
    memmove(policy->entries + at + 1, policy->entries + at,
            (policy->count - at) * sizeof *policy->entries);
    policy->count++;
}

static void put_at(struct rl_policy *policy, size_t at, const char *key, struct rl_span value)
{
    struct entry *entry = &policy->entries[at];
    entry->key = rl_strdup(key);
    entry->value = rl_alloc(value.n);
    entry->value_bytes = value.n;
    if (value.n)
        memcpy(entry->value, value.p, value.n);
    policy->bytes += strlen(key) + value.n;
}

static size_t entry_bytes(const struct entry *entry)
{
    return strlen(entry->key) + entry->value_bytes;
}

rl_code rl_policy_set(struct rl_policy *policy, const char *key, struct rl_span value,
                      struct rl_error *err)
{
    bool is_there;
    size_t at = find(policy, key, &is_there);
    size_t freed = is_there ? entry_bytes(&policy->entries[at]) : 0;
    rl_code code = check_entry(policy, key, value.n, freed, err);
    if (code != RL_OK)
        return code;
    start_change(policy);
    if (is_there) {
        free_entry(&policy->entries[at]);
        policy->bytes -= freed;
    } else {
        make_room(policy, at);
    }
    put_at(policy, at, key, value);
    return RL_OK;
}

rl_code policy_append(struct rl_policy *policy, const char *key, struct rl_span value,
                      struct rl_error *err)
{
    rl_code code = check_entry(policy, key, value.n, 0, err);
    if (code != RL_OK)
        return code;
    if (policy->count && strcmp(policy->entries[policy->count - 1].key, key) >= 0)
        return rl_fail(err, RL_E_INVAL, "the policy's entries are out of order");
    make_room(policy, policy->count);
    put_at(policy, policy->count - 1, key, value);
    return RL_OK;
}

void rl_policy_remove(struct rl_policy *policy, const char *key)
{
    bool is_there;
    size_t at = find(policy, key, &is_there);
    if (!is_there)
        return;
    start_change(policy);
    policy->bytes -= entry_bytes(&policy->entries[at]);
    free_entry(&policy->entries[at]);
    policy->count--;
    memmove(policy->entries + at, policy->entries + at + 1,
            (policy->count - at) * sizeof *policy->entries);
}

size_t rl_policy_entry_count(const struct rl_policy *policy)
{
    return policy->count;
}

struct rl_span rl_policy_entry(const struct rl_policy *policy, size_t i, const char **key)
{
    RL_ASSERT(i < policy->count);
    *key = policy->entries[i].key;
    return RL_SPAN(policy->entries[i].value, policy->entries[i].value_bytes);
}

static void hash_string(EVP_MD_CTX *md, const void *bytes, size_t n)
{
    const uint8_t length[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
                               (uint8_t)n};
    bool is_hashed =
        EVP_DigestUpdate(md, length, sizeof length) == 1 && EVP_DigestUpdate(md, bytes, n) == 1;
    RL_NEED_MEMORY(is_hashed, 0);
}

void rl_policy_hash(const struct rl_policy *policy, uint8_t sha256[32])
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    RL_NEED_MEMORY(md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1, 0);
    for (size_t i = 0; i < policy->count; i++) {
        const struct entry *entry = &policy->entries[i];
        hash_string(md, entry->key, strlen(entry->key));
        hash_string(md, entry->value, entry->value_bytes);
    }
    RL_ASSERT(EVP_DigestFinal_ex(md, sha256, NULL) == 1);
    EVP_MD_CTX_free(md);
}

uint64_t rl_policy_version(const struct rl_policy *policy)
{
    return policy->seal ? policy->seal->version : 0;
}

int64_t rl_policy_time_ns(const struct rl_policy *policy)
{
    return policy->seal ? policy->seal->time_ns : 0;
}
