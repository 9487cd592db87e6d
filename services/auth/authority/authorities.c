/* authorities: made, wrapped, unwrapped. Private keys are PKCS#8 PEM under the wrapping key, bound
 * to cluster, kind and id. */
#include "authority/authorities.h"

#include "message.h"
#include "names/names.h"
#include "sshcert/sshkey.h"

#include <stdlib.h>
#include <string.h>

#define PEM_BYTES_MAX 4096
#define PUBLIC_BYTES_MAX 8192
#define WRAPPED_BYTES_MAX 8192

struct shape {
    const char *kind, *format;
    enum rl_identity_kind signs; /* x509 */
    size_t offset;               /* in struct rl_authorities */
};

static const struct shape shapes[] = {
    {"user", "x509", RL_IDENTITY_USER, offsetof(struct rl_authorities, user_x509)},
    {"user", "ssh", 0, offsetof(struct rl_authorities, user_ssh)},
    {"host", "x509", RL_IDENTITY_AGENT, offsetof(struct rl_authorities, host_x509)},
    {"host", "ssh", 0, offsetof(struct rl_authorities, host_ssh)},
    {"service", "x509", RL_IDENTITY_SERVICE, offsetof(struct rl_authorities, service)},
    {"policy", "key", 0, offsetof(struct rl_authorities, policy)},
};

static struct rl_authority *place(struct rl_authorities *a, const struct shape *shape)
{
    return (struct rl_authority *)(void *)((char *)a + shape->offset);
}

/* ---- making ---- */

/* The key and how its public half is written. */
static rl_code generate(const struct shape *shape, const char *cluster, int64_t now_ns,
                        EVP_PKEY **key, struct rl_buf *public_key, struct rl_error *err)
{
    if (strcmp(shape->format, "x509") == 0) {
        X509 *certificate = NULL;
        rl_code rc = rl_identity_create_ca(shape->signs, cluster, now_ns / 1000000000,
                                           RL_AUTHORITY_TTL_S, &certificate, key, err);
        if (rc == RL_OK)
            rc = rl_x509_to_der(certificate, public_key, err);
        X509_free(certificate);
        return rc;
    }
    rl_code rc = rl_sshkey_generate(key, err); /* Ed25519 */
    if (rc != RL_OK)
        return rc;
    return strcmp(shape->format, "ssh") == 0 ? rl_sshkey_public_blob(*key, public_key, err)
                                             : rl_key_to_spki(*key, public_key, err);
}

static rl_code wrap_private(const struct shape *shape, const char *cluster, const char *key_id,
                            const struct rl_wrap_key *wrap, EVP_PKEY *key, struct rl_buf *out,
                            struct rl_error *err)
{
    struct rl_buf pem;
    rl_buf_init(&pem, PEM_BYTES_MAX);
    struct rl_wrap_binding binding = {cluster, shape->kind, key_id};
    rl_code rc = rl_key_to_pem(key, &pem, err);
    if (rc == RL_OK)
        rc = rl_wrap(wrap, &binding, rl_buf_span(&pem), out, err);
    rl_buf_fini(&pem);
    return rc;
}

static rl_code create_one(struct rl_db *db, const struct shape *shape, const char *cluster,
                          const struct rl_wrap_key *wrap, int64_t now_ns, const char *phase,
                          struct rl_error *err)
{
    char id[RL_UUID_TEXT_BYTES];
    rl_uuid4(id);
    EVP_PKEY *key = NULL;
    struct rl_buf public_key;
    struct rl_buf wrapped;
    rl_buf_init(&public_key, PUBLIC_BYTES_MAX);
    rl_buf_init(&wrapped, WRAPPED_BYTES_MAX);
    rl_code rc = generate(shape, cluster, now_ns, &key, &public_key, err);
    if (rc == RL_OK)
        rc = wrap_private(shape, cluster, id, wrap, key, &wrapped, err);
    if (rc == RL_OK) {
        Pb__CaKey row = PB__CA_KEY__INIT;
        char *its_phase = rl_strdup(phase);
        row.id = id;
        row.phase = its_phase;
        row.public_key = (ProtobufCBinaryData){public_key.n, public_key.p};
        row.private_key = (ProtobufCBinaryData){wrapped.n, wrapped.p};
        rc = rl_authorities_add(db, shape->kind, shape->format, &row, err);
        free(its_phase);
    }
    EVP_PKEY_free(key);
    rl_buf_fini(&public_key);
    rl_buf_fini(&wrapped);
    return rc;
}

rl_code rl_authorities_create(struct rl_db *db, const char *cluster, const struct rl_wrap_key *wrap,
                              int64_t now_ns, struct rl_error *err)
{
    for (size_t i = 0; i < RL_COUNT(shapes); i++) {
        rl_code rc = create_one(db, &shapes[i], cluster, wrap, now_ns, "active", err);
        if (rc != RL_OK)
            return rc;
    }
    return RL_OK;
}

rl_code rl_authorities_add_standby(struct rl_db *db, const char *cluster, const char *kind,
                                   const struct rl_wrap_key *wrap, int64_t now_ns,
                                   struct rl_error *err)
{
    rl_code rc = RL_OK;
    for (size_t i = 0; rc == RL_OK && i < RL_COUNT(shapes); i++)
        if (strcmp(shapes[i].kind, kind) == 0)
            rc = create_one(db, &shapes[i], cluster, wrap, now_ns, "standby", err);
    return rc;
}

/* ---- loading ---- */

static rl_code open_key(const struct shape *shape, const char *cluster,
                        const struct rl_wrap_key *wrap, const Pb__CaKey *row,
                        struct rl_authority *out, struct rl_error *err)
{
    struct rl_buf pem;
    rl_buf_init(&pem, PEM_BYTES_MAX);
    struct rl_wrap_binding binding = {cluster, shape->kind, row->id};
    rl_code rc = rl_unwrap(wrap, &binding, RL_BINARY(row->private_key), &pem, err);
    if (rc == RL_OK)
        rc = rl_key_from_pem(rl_buf_span(&pem), &out->key, err);
    if (rc == RL_OK && strcmp(shape->format, "x509") == 0)
        rc = rl_x509_from_der(RL_BINARY(row->public_key), &out->certificate, err);
    rl_buf_fini(&pem);
    if (rc == RL_OK)
        out->key_id = rl_strdup(row->id);
    else
        rl_error_prefix(err, "authority %s-%s", shape->kind, shape->format);
    return rc;
}

static const Pb__CertificateAuthority *find(const struct rl_authorities *a,
                                            const struct shape *shape)
{
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->list[i]->spec->kind, shape->kind) == 0 &&
            strcmp(a->list[i]->spec->format, shape->format) == 0)
            return a->list[i];
    return NULL;
}

static rl_code open_all(struct rl_authorities *a, const char *cluster,
                        const struct rl_wrap_key *wrap, struct rl_error *err)
{
    for (size_t i = 0; i < RL_COUNT(shapes); i++) {
        const Pb__CertificateAuthority *ca = find(a, &shapes[i]);
        if (!ca || strcmp(ca->spec->keys[0]->phase, "active") != 0)
            return rl_fail(err, RL_E_DATA_LOSS, "the database has no authority %s-%s",
                           shapes[i].kind, shapes[i].format);
        rl_code rc =
            open_key(&shapes[i], cluster, wrap, ca->spec->keys[0], place(a, &shapes[i]), err);
        if (rc != RL_OK)
            return rc;
    }
    return RL_OK;
}

bool rl_ca_key_is_trusted(const Pb__CaKey *key)
{
    return strcmp(key->phase, "retired") != 0;
}

static void add_public_keys(const Pb__CertificateAuthority *ca, ProtobufCBinaryData **items,
                            size_t *count)
{
    for (size_t i = 0; i < ca->spec->n_keys; i++)
        if (rl_ca_key_is_trusted(ca->spec->keys[i]))
            rl_message_append_bytes(items, count, RL_BINARY(ca->spec->keys[i]->public_key));
}

static Pb__TrustBundle *make_bundle(const struct rl_authorities *a, const char *cluster)
{
    Pb__TrustBundle *b = rl_message_create(&pb__trust_bundle__descriptor);
    rl_message_text(&b->cluster, cluster);
    rl_message_text(&b->ca_pin, a->ca_pin);
    add_public_keys(find(a, &shapes[0]), &b->user_cas, &b->n_user_cas);
    add_public_keys(find(a, &shapes[1]), &b->user_ssh_cas, &b->n_user_ssh_cas);
    add_public_keys(find(a, &shapes[2]), &b->host_cas, &b->n_host_cas);
    add_public_keys(find(a, &shapes[3]), &b->host_ssh_cas, &b->n_host_ssh_cas);
    add_public_keys(find(a, &shapes[4]), &b->service_cas, &b->n_service_cas);
    const Pb__CertificateAuthority *policy = find(a, &shapes[5]);
    for (size_t i = 0; i < policy->spec->n_keys; i++)
        rl_message_append(&b->policy_keys, &b->n_policy_keys,
                          rl_message_copy(&policy->spec->keys[i]->base));
    return b;
}

/* So that who knows the pin only believes what the policy key signs. */
static rl_code endorse_policy_key(struct rl_authorities *a, struct rl_error *err)
{
    rl_code rc = rl_key_to_spki(a->policy.key, &a->policy_spki, err);
    return rc == RL_OK ? rl_key_sign(a->service.key, RL_POLICY_KEY_CONTEXT,
                                     rl_buf_span(&a->policy_spki), &a->policy_endorsement, err)
                       : rc;
}

static void forget_wrapped(struct rl_authorities *a)
{
    for (size_t i = 0; i < a->count; i++)
        for (size_t k = 0; k < a->list[i]->spec->n_keys; k++)
            rl_message_bytes(&a->list[i]->spec->keys[k]->private_key, RL_SPAN(NULL, 0));
}

rl_code rl_authorities_load(struct rl_db *db, const char *cluster, const struct rl_wrap_key *wrap,
                            struct rl_authorities **out, struct rl_error *err)
{
    struct rl_authorities *a = rl_alloc(sizeof *a);
    rl_buf_init(&a->policy_spki, PUBLIC_BYTES_MAX);
    rl_buf_init(&a->policy_endorsement, PUBLIC_BYTES_MAX);
    rl_code rc = rl_authorities_list(db, &a->list, &a->count, err);
    if (rc == RL_OK)
        rc = open_all(a, cluster, wrap, err);
    if (rc == RL_OK)
        rc = endorse_policy_key(a, err);
    if (rc != RL_OK) {
        rl_authorities_close(&a);
        return rc;
    }
    forget_wrapped(a);
    a->ca_pin = rl_identity_pin(a->service.certificate);
    a->bundle = make_bundle(a, cluster);
    *out = a;
    return RL_OK;
}

void rl_authorities_close(struct rl_authorities **authorities)
{
    struct rl_authorities *a = *authorities;
    if (!a)
        return;
    for (size_t i = 0; i < RL_COUNT(shapes); i++) {
        struct rl_authority *authority = place(a, &shapes[i]);
        free(authority->key_id);
        EVP_PKEY_free(authority->key);
        X509_free(authority->certificate);
    }
    if (a->bundle)
        pb__trust_bundle__free_unpacked(a->bundle, NULL);
    free(a->ca_pin);
    rl_buf_fini(&a->policy_spki);
    rl_buf_fini(&a->policy_endorsement);
    rl_authorities_free(&a->list, a->count);
    free(a);
    *authorities = NULL;
}

static rl_code trust_each(struct rl_trust *trust, enum rl_identity_kind kind, const char *cluster,
                          const ProtobufCBinaryData *cas, size_t count, struct rl_error *err)
{
    rl_code rc = RL_OK;
    for (size_t i = 0; rc == RL_OK && i < count; i++)
        rc = rl_trust_add(trust, kind, cluster, RL_BINARY(cas[i]), err);
    return rc;
}

/* Agents that were off while their authority was replaced come to renew. */
static rl_code recognise_retired(struct rl_trust *trust, const struct rl_authorities *a,
                                 struct rl_error *err)
{
    const Pb__CertificateAuthority *hosts = find(a, &shapes[2]);
    rl_code rc = RL_OK;
    for (size_t i = 0; rc == RL_OK && i < hosts->spec->n_keys; i++)
        if (!rl_ca_key_is_trusted(hosts->spec->keys[i]))
            rc = rl_trust_add_retired(trust, RL_IDENTITY_AGENT, a->bundle->cluster,
                                      RL_BINARY(hosts->spec->keys[i]->public_key), err);
    return rc;
}

rl_code rl_authorities_trust(const struct rl_authorities *a, struct rl_trust **out,
                             struct rl_error *err)
{
    const Pb__TrustBundle *b = a->bundle;
    struct rl_trust *trust = rl_trust_create(b->cluster);
    rl_code rc =
        trust_each(trust, RL_IDENTITY_SERVICE, b->cluster, b->service_cas, b->n_service_cas, err);
    if (rc == RL_OK)
        rc = trust_each(trust, RL_IDENTITY_AGENT, b->cluster, b->host_cas, b->n_host_cas, err);
    if (rc == RL_OK)
        rc = trust_each(trust, RL_IDENTITY_USER, b->cluster, b->user_cas, b->n_user_cas, err);
    if (rc == RL_OK)
        rc = recognise_retired(trust, a, err);
    if (rc == RL_OK)
        *out = trust;
    else
        rl_trust_unref(&trust);
    return rc;
}
