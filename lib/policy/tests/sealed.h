/* A signer, its public half as agents hold it, and policies built and sealed with it. */
#ifndef RL_POLICY_TESTS_SEALED_H
#define RL_POLICY_TESTS_SEALED_H

#include "policy/policy.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define CLUSTER "example.com"
#define AGENT "0190a1b2-0000-7000-8000-000000000001"
#define NOW INT64_C(1700000000000000000)
#define SECOND INT64_C(1000000000)

struct signer {
    EVP_PKEY *key;
    Pb__CaKey public_key;
    Pb__CaKey *pointer;
    struct rl_buf spki;
};

static inline void make_signer(struct signer *signer, const char *id)
{
    memset(signer, 0, sizeof *signer);
    ck_assert_int_eq(rl_key_generate_p256(&signer->key, NULL), RL_OK);
    rl_buf_init(&signer->spki, 512);
    ck_assert_int_eq(rl_key_to_spki(signer->key, &signer->spki, NULL), RL_OK);
    pb__ca_key__init(&signer->public_key);
    signer->public_key.id = (char *)(uintptr_t)id;
    signer->public_key.public_key.data = signer->spki.p;
    signer->public_key.public_key.len = signer->spki.n;
    signer->pointer = &signer->public_key;
}

static inline void free_signer(struct signer *signer)
{
    EVP_PKEY_free(signer->key);
    rl_buf_fini(&signer->spki);
}

static inline struct rl_policy_expect expect_of(const struct signer *signer)
{
    return (struct rl_policy_expect){
        .cluster = CLUSTER, .agent_id = AGENT, .keys = {1, &signer->pointer}};
}

static inline void set_text(struct rl_policy *policy, const char *key, const char *value)
{
    ck_assert_int_eq(rl_policy_set(policy, key, rl_span_of(value), NULL), RL_OK);
}

static inline void set_message(struct rl_policy *policy, const char *key,
                               const ProtobufCMessage *message)
{
    size_t n = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = rl_alloc(n);
    protobuf_c_message_pack(message, packed);
    ck_assert_int_eq(rl_policy_set(policy, key, RL_SPAN(packed, n), NULL), RL_OK);
    free(packed);
}

static inline Pb__PolicyUpdate *seal(struct rl_policy *policy, const struct rl_policy *held,
                                     uint64_t version, const struct signer *signer)
{
    Pb__PolicyUpdate *update = NULL;
    struct rl_error err;
    ck_assert_msg(rl_policy_seal(policy, held, CLUSTER, AGENT, version, NOW, RL_SPAN(NULL, 0),
                                 signer->key, signer->public_key.id, &update, &err) == RL_OK,
                  "%s", err.message);
    return update;
}

static inline void free_update(Pb__PolicyUpdate *update)
{
    pb__policy_update__free_unpacked(update, NULL);
}

#endif
