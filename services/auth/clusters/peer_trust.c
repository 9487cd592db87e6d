#include "clusters/peer_trust.h"

#include "authority/issue.h"
#include "db/peers.h"
#include "log/log.h"
#include "message.h"
#include "names/names.h"
#include "peers/peers.h"
#include "sshcert/sshkey.h"

#include <stdlib.h>
#include <string.h>

#define KEY_BYTES_MAX 4096
#define KEY_ID_BYTES 64

/* ---- what is taken ---- */

struct taking {
    const char *cluster;
    struct rl_trust *trust; /* what is in it already: a key has one purpose */
    Pb__TrustBundle *taken;
};

static rl_code check_count(const char *what, size_t count, size_t least, struct rl_error *err)
{
    if (count < least)
        return rl_fail(err, RL_E_INVAL, "it names no authority of %s", what);
    if (count > RL_PEER_AUTHORITIES_MAX)
        return rl_fail(err, RL_E_INVAL, "more than %d authorities of %s", RL_PEER_AUTHORITIES_MAX,
                       what);
    return RL_OK;
}

static rl_code take_certificates(struct taking *t, const char *what, enum rl_identity_kind kind,
                                 const ProtobufCBinaryData *from, size_t n,
                                 ProtobufCBinaryData **to, size_t *count, struct rl_error *err)
{
    rl_code rc = check_count(what, n, 1, err);
    for (size_t i = 0; rc == RL_OK && i < n; i++) {
        rc = rl_trust_add(t->trust, kind, t->cluster, RL_BINARY(from[i]), err);
        if (rc == RL_OK)
            rl_message_append_bytes(to, count, RL_BINARY(from[i]));
        else
            rl_error_prefix(err, "an authority of %s", what);
    }
    return rc == RL_OK ? rc : RL_E_INVAL;
}

/* Written anew from the key that was read: what else lay in the blob is gone, and it is noticed. */
static rl_code take_ssh_key(const char *what, struct rl_span blob, ProtobufCBinaryData **to,
                            size_t *count, struct rl_error *err)
{
    EVP_PKEY *key = NULL;
    struct rl_buf again;
    rl_buf_init(&again, KEY_BYTES_MAX);
    rl_code rc = rl_sshkey_public_parse(blob, &key, err);
    if (rc == RL_OK)
        rc = rl_sshkey_public_blob(key, &again, err);
    if (rc == RL_OK && !rl_span_equal(blob, rl_buf_span(&again)))
        rc = rl_fail(err, RL_E_INVAL, "there is more in it than a key");
    if (rc == RL_OK)
        rl_message_append_bytes(to, count, blob);
    else
        rl_error_prefix(err, "an SSH key of %s", what);
    EVP_PKEY_free(key);
    rl_buf_fini(&again);
    return rc == RL_OK ? rc : RL_E_INVAL;
}

static rl_code take_ssh_keys(const char *what, const ProtobufCBinaryData *from, size_t n,
                             ProtobufCBinaryData **to, size_t *count, struct rl_error *err)
{
    rl_code rc = check_count(what, n, 1, err);
    for (size_t i = 0; rc == RL_OK && i < n; i++)
        rc = take_ssh_key(what, RL_BINARY(from[i]), to, count, err);
    return rc;
}

static rl_code take_policy_key(struct taking *t, const Pb__CaKey *from, struct rl_error *err)
{
    EVP_PKEY *key = NULL;
    if (from->private_key.len)
        return rl_fail(err, RL_E_INVAL, "a policy key with its private half");
    if (!*from->id || strlen(from->id) > KEY_ID_BYTES)
        return rl_fail(err, RL_E_INVAL, "a policy key's id has 1 to %d bytes", KEY_ID_BYTES);
    if (rl_key_from_spki(RL_BINARY(from->public_key), &key, err) != RL_OK) {
        rl_error_prefix(err, "a policy key");
        return RL_E_INVAL;
    }
    EVP_PKEY_free(key);
    Pb__CaKey *copy = rl_message_create(&pb__ca_key__descriptor);
    rl_message_text(&copy->id, from->id);
    rl_message_text(&copy->phase, "active");
    rl_message_bytes(&copy->public_key, RL_BINARY(from->public_key));
    rl_message_append(&t->taken->policy_keys, &t->taken->n_policy_keys, copy);
    return RL_OK;
}

static rl_code take_roots(struct taking *t, const Pb__TrustBundle *b, struct rl_error *err)
{
    Pb__TrustBundle *to = t->taken;
    if (b->n_host_cas || b->n_host_ssh_cas)
        return rl_fail(err, RL_E_INVAL, "a root does not tell authorities of hosts");
    rl_code rc = take_certificates(t, "users", RL_IDENTITY_USER, b->user_cas, b->n_user_cas,
                                   &to->user_cas, &to->n_user_cas, err);
    if (rc == RL_OK)
        rc = take_ssh_keys("users", b->user_ssh_cas, b->n_user_ssh_cas, &to->user_ssh_cas,
                           &to->n_user_ssh_cas, err);
    if (rc == RL_OK)
        rc = check_count("policies", b->n_policy_keys, 1, err);
    for (size_t i = 0; rc == RL_OK && i < b->n_policy_keys; i++)
        rc = take_policy_key(t, b->policy_keys[i], err);
    return rc;
}

static rl_code take_leafs(struct taking *t, const Pb__TrustBundle *b, struct rl_error *err)
{
    Pb__TrustBundle *to = t->taken;
    if (b->n_user_cas || b->n_user_ssh_cas || b->n_policy_keys)
        return rl_fail(err, RL_E_INVAL,
                       "a leaf tells authorities of services and hosts, and no others");
    rl_code rc = take_certificates(t, "hosts", RL_IDENTITY_AGENT, b->host_cas, b->n_host_cas,
                                   &to->host_cas, &to->n_host_cas, err);
    return rc == RL_OK ? take_ssh_keys("hosts", b->host_ssh_cas, b->n_host_ssh_cas,
                                       &to->host_ssh_cas, &to->n_host_ssh_cas, err)
                       : rc;
}

rl_code rl_peer_trust_take(const Pb__TrustBundle *offered, enum rl_peer peer, const char *cluster,
                           Pb__TrustBundle **out, struct rl_error *err)
{
    if (!offered)
        return rl_fail(err, RL_E_INVAL, "no authorities are named");
    rl_code rc = rl_name_check_cluster(offered->cluster, err);
    if (rc != RL_OK)
        return rc;
    if (strcmp(offered->cluster, cluster) != 0)
        return rl_fail(err, RL_E_INVAL, "these are the authorities of cluster %s, not of %s",
                       offered->cluster, cluster);
    struct taking t = {cluster, rl_trust_create(cluster),
                       rl_message_create(&pb__trust_bundle__descriptor)};
    rl_message_text(&t.taken->cluster, cluster);
    rc = take_certificates(&t, "services", RL_IDENTITY_SERVICE, offered->service_cas,
                           offered->n_service_cas, &t.taken->service_cas, &t.taken->n_service_cas,
                           err);
    if (rc == RL_OK)
        rc = peer == RL_PEER_ROOT ? take_roots(&t, offered, err) : take_leafs(&t, offered, err);
    rl_trust_unref(&t.trust);
    if (rc == RL_OK && pb__trust_bundle__get_packed_size(t.taken) > RL_PEER_TRUST_BYTES_MAX)
        rc = rl_fail(err, RL_E_INVAL, "its authorities take more than %u bytes",
                     RL_PEER_TRUST_BYTES_MAX);
    if (rc == RL_OK)
        *out = t.taken;
    else
        pb__trust_bundle__free_unpacked(t.taken, NULL);
    return rc;
}

/* ---- what is told ---- */

static void drop_list(ProtobufCBinaryData **items, size_t *count)
{
    while (*count)
        free((*items)[--*count].data);
    free(*items);
    *items = NULL;
}

Pb__TrustBundle *rl_peer_trust_own(const struct rl_snapshot *snapshot, enum rl_peer as)
{
    Pb__TrustBundle *b = rl_message_copy(&snapshot->authorities->bundle->base);
    if (as == RL_PEER_ROOT) {
        drop_list(&b->host_cas, &b->n_host_cas);
        drop_list(&b->host_ssh_cas, &b->n_host_ssh_cas);
        return b;
    }
    drop_list(&b->user_cas, &b->n_user_cas);
    drop_list(&b->user_ssh_cas, &b->n_user_ssh_cas);
    while (b->n_policy_keys)
        pb__ca_key__free_unpacked(b->policy_keys[--b->n_policy_keys], NULL);
    free(b->policy_keys);
    b->policy_keys = NULL;
    return b;
}

void rl_peer_trust_hash(const Pb__TrustBundle *bundle, uint8_t out[32])
{
    size_t n = pb__trust_bundle__get_packed_size(bundle);
    uint8_t *packed = rl_alloc(n + 1);
    pb__trust_bundle__pack(bundle, packed);
    RL_ASSERT(EVP_Digest(packed, n, out, NULL, EVP_sha256(), NULL) == 1);
    free(packed);
}

/* ---- by policy ---- */

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static void take_entry(Pb__TrustBundle *b, const char *key, const Pb__CaKey *value)
{
    if (has_prefix(key, "ca/user-x509/"))
        rl_message_append_bytes(&b->user_cas, &b->n_user_cas, RL_BINARY(value->public_key));
    else if (has_prefix(key, "ca/user-ssh/"))
        rl_message_append_bytes(&b->user_ssh_cas, &b->n_user_ssh_cas, RL_BINARY(value->public_key));
    else if (has_prefix(key, "ca/service-x509/"))
        rl_message_append_bytes(&b->service_cas, &b->n_service_cas, RL_BINARY(value->public_key));
    else if (has_prefix(key, "ca/policy-key/"))
        rl_message_append(&b->policy_keys, &b->n_policy_keys, rl_message_copy(&value->base));
}

Pb__TrustBundle *rl_peer_trust_of_policy(const struct rl_policy *policy, const char *cluster)
{
    Pb__TrustBundle *b = rl_message_create(&pb__trust_bundle__descriptor);
    rl_message_text(&b->cluster, cluster);
    for (size_t i = 0; i < rl_policy_entry_count(policy); i++) {
        const char *key = NULL;
        struct rl_span value = rl_policy_entry(policy, i, &key);
        Pb__CaKey *ca = has_prefix(key, "ca/") ? pb__ca_key__unpack(NULL, value.n, value.p) : NULL;
        if (!ca)
            continue;
        take_entry(b, key, ca);
        pb__ca_key__free_unpacked(ca, NULL);
    }
    return b;
}

static Pb__CaKey *key_by_content(struct rl_span blob)
{
    uint8_t hash[32];
    char id[33];
    RL_ASSERT(EVP_Digest(blob.p, blob.n, hash, NULL, EVP_sha256(), NULL) == 1);
    for (size_t i = 0; i < 16; i++)
        snprintf(id + 2 * i, 3, "%02x", hash[i]);
    Pb__CaKey *key = rl_message_create(&pb__ca_key__descriptor);
    rl_message_text(&key->id, id);
    rl_message_text(&key->phase, "active");
    rl_message_bytes(&key->public_key, blob);
    return key;
}

Pb__RootTrust *rl_peer_root_trust(const Pb__TrustedCluster *document, const Pb__TrustBundle *trust)
{
    Pb__RootTrust *root = rl_message_create(&pb__root_trust__descriptor);
    rl_message_text(&root->cluster, document->metadata->name);
    for (size_t i = 0; i < trust->n_user_ssh_cas; i++)
        rl_message_append(&root->user_ssh_keys, &root->n_user_ssh_keys,
                          key_by_content(RL_BINARY(trust->user_ssh_cas[i])));
    for (size_t i = 0; i < document->spec->n_role_map; i++)
        rl_message_append(&root->role_map, &root->n_role_map,
                          rl_message_copy(&document->spec->role_map[i]->base));
    return root;
}

/* ---- whom to believe ---- */

rl_code rl_peer_listeners_trust(const struct rl_snapshot *snapshot, const struct rl_trust *before,
                                struct rl_trust **out, struct rl_error *err)
{
    rl_code rc = rl_authorities_trust(snapshot->authorities, out, err);
    if (rc != RL_OK)
        return rc;
    rl_trust_set_return_grace(*out, rl_node_return_grace_s(snapshot->config->spec));
    size_t left_out =
        rl_peers_add_to_trust(*out, before, snapshot->clusters, snapshot->cluster_count);
    if (left_out)
        rl_log_error("authorities of other clusters are not believed",
                     RL_NUMBER("authorities", left_out));
    return RL_OK;
}

rl_code rl_peer_services_trust(const Pb__TrustBundle *bundle, struct rl_trust **out,
                               struct rl_error *err)
{
    struct rl_trust *trust = rl_trust_create(bundle->cluster);
    rl_code rc = RL_OK;
    for (size_t i = 0; rc == RL_OK && i < bundle->n_service_cas; i++)
        rc = rl_trust_add(trust, RL_IDENTITY_SERVICE, bundle->cluster,
                          RL_BINARY(bundle->service_cas[i]), err);
    if (rc == RL_OK)
        *out = trust;
    else
        rl_trust_unref(&trust);
    return rc;
}
