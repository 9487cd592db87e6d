/* What a stranger sends to auth, as far as it is judged before anything is looked up: joins,
 * logins, renewals, invitations, authorities of other clusters. The first byte says which; the rest
 * is the message. What passes is a name, a key, a token or a code of the form that the database and
 * the certificates rely on. */
#include "fleet/join.h"

#include "authority/issue.h"
#include "clusters/leaf.h"
#include "clusters/peer_trust.h"
#include "credential/password.h"
#include "credential/token.h"
#include "credential/totp.h"
#include "fuzz.h"
#include "message.h"
#include "names/names.h"
#include "sshcert/sshkey.h"

#include <stdlib.h>
#include <string.h>

#define NOW_S 1800000000

static void expect_p256(struct rl_span spki)
{
    EVP_PKEY *key = NULL;
    FUZZ_EXPECT(rl_key_from_spki(spki, &key, NULL) == RL_OK && EVP_PKEY_get_bits(key) == 256);
    EVP_PKEY_free(key);
}

static void as_join(struct rl_span packed)
{
    Pb__JoinRequest *r = pb__join_request__unpack(NULL, packed.n, packed.p);
    if (!r)
        return;
    if (rl_join_check_request(r, NULL) == RL_OK) {
        expect_p256(RL_BINARY(r->tls_public_key));
        RL_ASSERT(!*r->node_name || rl_name_check_node(r->node_name, NULL) == RL_OK);
        RL_ASSERT(r->n_labels <= RL_JOIN_LABELS_MAX);
    }
    pb__join_request__free_unpacked(r, NULL);
}

static void as_renewal(struct rl_span packed)
{
    Pb__RenewRequest *r = pb__renew_request__unpack(NULL, packed.n, packed.p);
    if (!r)
        return;
    struct rl_span key = RL_BINARY(r->tls_public_key);
    if (rl_join_check_proof(key, RL_RENEW_CONTEXT, rl_span_of("the old certificate's hash"),
                            RL_BINARY(r->proof), NULL) == RL_OK)
        expect_p256(key);
    rl_issue_check_addresses(r->addresses, r->n_addresses, NULL);
    pb__renew_request__free_unpacked(r, NULL);
}

static void as_code(const char *code)
{
    static const uint8_t secret[RL_TOTP_SECRET_BYTES] = "12345678901234567890";
    int64_t step = 0;
    uint64_t wait_s = 0;
    if (rl_totp_check(RL_SPAN(secret, sizeof secret), code, NOW_S, -1, &step, &wait_s, NULL) ==
        RL_OK)
        RL_ASSERT(strspn(code, "0123456789") == RL_TOTP_DIGITS);
}

static void as_login(struct rl_span packed)
{
    Pb__LoginRequest *r = pb__login_request__unpack(NULL, packed.n, packed.p);
    if (!r)
        return;
    if (rl_issue_check_keys(RL_BINARY(r->tls_public_key), RL_BINARY(r->ssh_public_key), NULL) ==
        RL_OK)
        expect_p256(RL_BINARY(r->tls_public_key));
    if (rl_name_check_user(r->user, NULL) == RL_OK)
        RL_ASSERT(!strpbrk(r->user, " \t\n'\"\\$`/;|&<>%"));
    as_code(r->otp);
    pb__login_request__free_unpacked(r, NULL);
}

static void as_signup(struct rl_span packed)
{
    uint8_t hash[RL_TOKEN_HASH_BYTES];
    Pb__SignupRequest *r = pb__signup_request__unpack(NULL, packed.n, packed.p);
    if (!r)
        return;
    if (rl_token_hash(r->token, hash, NULL) == RL_OK)
        RL_ASSERT(strlen(r->token) == RL_TOKEN_TEXT_BYTES);
    rl_password_check(rl_span_of(r->password), NULL);
    as_code(r->otp);
    pb__signup_request__free_unpacked(r, NULL);
}

/* What passes is taken again, as it was kept: nothing more is in it, and nothing is missing. */
static void as_bundle(struct rl_span packed, enum rl_peer peer)
{
    Pb__TrustBundle *taken = NULL, *again = NULL;
    Pb__TrustBundle *offered = pb__trust_bundle__unpack(NULL, packed.n, packed.p);
    if (!offered)
        return;
    if (rl_peer_trust_take(offered, peer, "leaf", &taken, NULL) == RL_OK) {
        FUZZ_EXPECT(rl_peer_trust_take(taken, peer, "leaf", &again, NULL) == RL_OK);
        FUZZ_EXPECT(again && again->n_service_cas == taken->n_service_cas);
        FUZZ_EXPECT(!taken->base.n_unknown_fields);
    }
    if (again)
        pb__trust_bundle__free_unpacked(again, NULL);
    if (taken)
        pb__trust_bundle__free_unpacked(taken, NULL);
    pb__trust_bundle__free_unpacked(offered, NULL);
}

static void as_leaf(struct rl_span packed)
{
    as_bundle(packed, RL_PEER_LEAF);
}

static void as_root(struct rl_span packed)
{
    as_bundle(packed, RL_PEER_ROOT);
}

static void as_leafs_name(struct rl_span text)
{
    struct rl_leaf_name name;
    char *id = rl_span_to_string(text);
    if (id && rl_leaf_name_parse(id, &name, NULL) == RL_OK)
        FUZZ_EXPECT(rl_name_check_cluster(name.cluster, NULL) == RL_OK &&
                    (!*name.replica || rl_name_is_uuid(name.replica)));
    free(id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const readers[])(struct rl_span packed) = {
        as_join, as_renewal, as_login, as_signup, as_leaf, as_root, as_leafs_name};
    if (size > 0)
        readers[data[0] % RL_COUNT(readers)](RL_SPAN(data + 1, size - 1));
    return 0;
}
