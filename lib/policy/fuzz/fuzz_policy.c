/* Policy updates and statements as a broker may bring them: no crash, and nothing is taken that the
 * signer has not sealed. As if that were done, every update is also applied with a seal of our own
 * over what it says, and then asked for a decision. */
#include "fuzz.h"
#include "policy/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLUSTER "example.com"
#define AGENT "0190a1b2-0000-7000-8000-000000000001"
#define ROOT "root.example"
#define OWN_KEY "own"
#define ROOT_KEY "root"

static EVP_PKEY *key;
static Pb__CaKey public_key;
static Pb__CaKey *const keys[] = {&public_key};
static struct rl_buf spki;

static void make_key(void)
{
    static char id[] = "policy-1";
    if (key)
        return;
    rl_buf_init(&spki, 512);
    if (rl_key_generate_p256(&key, NULL) != RL_OK || rl_key_to_spki(key, &spki, NULL) != RL_OK)
        abort();
    pb__ca_key__init(&public_key);
    public_key.id = id;
    public_key.public_key.data = spki.p;
    public_key.public_key.len = spki.n;
}

static void ask(const struct rl_policy *policy, uint64_t version, const char *of,
                const char *authority)
{
    char cluster[64], user[] = "alice", role[] = "access", *roles[] = {role};
    Pb__IdentityClaims claims;
    snprintf(cluster, sizeof cluster, "%s", of);
    pb__identity_claims__init(&claims);
    claims.cluster = cluster;
    claims.user = user;
    claims.n_roles = 1;
    claims.roles = roles;
    struct rl_policy_ssh request = {.claims = &claims,
                                    .authority = rl_span_of(authority),
                                    .node_id = AGENT,
                                    .login = "root",
                                    .client_address = "192.0.2.1",
                                    .statement_age_s = -1,
                                    .statement_policy_version = version};
    struct rl_authz_grant grant;
    struct rl_error err;
    rl_policy_decide_ssh(policy, &request, &grant, &err);
    rl_policy_check_stops(policy, &request, &err);
}

static void set_packed(struct rl_policy *policy, const char *entry, const ProtobufCMessage *message)
{
    uint8_t packed[256];
    if (protobuf_c_message_get_packed_size(message) > sizeof packed)
        abort();
    size_t n = protobuf_c_message_pack(message, packed);
    FUZZ_EXPECT(rl_policy_set(policy, entry, RL_SPAN(packed, n), NULL) == RL_OK);
}

/* Whoever asks is vouched for, unless the input says otherwise. */
static void add_authorities(struct rl_policy *policy)
{
    static char root[] = ROOT, remote[] = "access", local[] = "access", *locals[] = {local};
    static uint8_t own_key[] = OWN_KEY, root_key[] = ROOT_KEY;
    Pb__CaKey key_of_own = PB__CA_KEY__INIT, key_of_root = PB__CA_KEY__INIT;
    Pb__RoleMapping mapping = PB__ROLE_MAPPING__INIT, *mappings[] = {&mapping};
    Pb__RootTrust trust = PB__ROOT_TRUST__INIT;
    Pb__CaKey *root_keys[] = {&key_of_root};
    key_of_own.public_key = (ProtobufCBinaryData){sizeof own_key - 1, own_key};
    key_of_root.public_key = (ProtobufCBinaryData){sizeof root_key - 1, root_key};
    mapping.remote = remote;
    mapping.local = locals;
    mapping.n_local = 1;
    trust.cluster = root;
    trust.user_ssh_keys = root_keys;
    trust.n_user_ssh_keys = 1;
    trust.role_map = mappings;
    trust.n_role_map = 1;
    set_packed(policy, "ca/user-ssh/own", &key_of_own.base);
    set_packed(policy, "root/" ROOT, &trust.base);
}

/* What the entries would do had auth sealed them. */
static void seal_and_ask(const Pb__PolicyUpdate *update, const struct rl_policy_expect *expect)
{
    struct rl_policy *policy = rl_policy_create(), *held = NULL;
    Pb__PolicyUpdate *sealed = NULL;
    struct rl_error err;
    add_authorities(policy);
    for (size_t i = 0; i < update->n_set; i++)
        rl_policy_set(policy, update->set[i]->key,
                      RL_SPAN(update->set[i]->value.data, update->set[i]->value.len), &err);
    for (size_t i = 0; i < update->n_removed; i++)
        rl_policy_remove(policy, update->removed[i]);
    rl_code code = rl_policy_seal(policy, NULL, CLUSTER, AGENT, 3, 0, RL_SPAN(NULL, 0), key,
                                  "policy-1", &sealed, &err);
    FUZZ_EXPECT(code == RL_OK);
    if (code == RL_OK)
        code = rl_policy_apply(NULL, sealed, expect, &held, &err);
    if (code == RL_OK) {
        ask(held, 3, CLUSTER, OWN_KEY);
        ask(held, 3, ROOT, ROOT_KEY);
    } else {
        FUZZ_EXPECT(code == RL_E_INVAL); /* an entry that cannot be read, and nothing else */
    }
    rl_policy_unref(&held);
    rl_policy_unref(&policy);
    if (sealed)
        pb__policy_update__free_unpacked(sealed, NULL);
}

static void try_update(struct rl_span input, const struct rl_policy_expect *expect)
{
    Pb__PolicyUpdate *update = pb__policy_update__unpack(NULL, input.n, input.p);
    struct rl_policy *policy = NULL;
    struct rl_error err;
    if (!update)
        return;
    if (rl_policy_apply(NULL, update, expect, &policy, &err) == RL_OK)
        abort(); /* this key is minutes old and has sealed nothing */
    seal_and_ask(update, expect);
    pb__policy_update__free_unpacked(update, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rl_span input = RL_SPAN(data, size);
    make_key();
    struct rl_policy_expect expect = {
        .cluster = CLUSTER, .agent_id = AGENT, .keys = {RL_COUNT(keys), keys}};
    try_update(input, &expect);
    struct rl_policy *policy = NULL;
    if (rl_policy_load(input, &expect, &policy, NULL) == RL_OK)
        abort();
    Pb__SignedStatement *heard = pb__signed_statement__unpack(NULL, size, data);
    Pb__Statement *statement = NULL;
    if (heard && rl_statement_verify(heard, CLUSTER, expect.keys, &statement, NULL) == RL_OK)
        abort();
    if (heard)
        pb__signed_statement__free_unpacked(heard, NULL);
    return 0;
}
