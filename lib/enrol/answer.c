/* answer: what auth sends is used for weeks and by programs that no one watches, so it is checked
 * as the peers will check it before it takes the place of what works. */
#include "enrol/answer.h"

#include "sshcert/sshcert.h"

#include <stdlib.h>
#include <string.h>

#define JOIN_CONTEXT "remoteler-join-v1"
#define RENEW_CONTEXT "remoteler-renew-v1"
#define TOKEN_BYTES_MAX 4096
#define NS_PER_S 1000000000

static rl_code refuse(struct rl_error *err, const char *why)
{
    return rl_fail(err, RL_E_INTERNAL, "auth's answer is not used: %s", why);
}

rl_code rl_proof_join(EVP_PKEY *key, const char *token, struct rl_buf *out, struct rl_error *err)
{
    struct rl_buf body;
    rl_buf_init(&body, TOKEN_BYTES_MAX);
    rl_code code = rl_buf_put_string(&body, rl_span_of(token))
                       ? rl_key_sign(key, JOIN_CONTEXT, rl_buf_span(&body), out, err)
                       : rl_fail(err, RL_E_INVAL, "that is no join token: it is too long");
    rl_buf_fini(&body);
    return code;
}

rl_code rl_proof_renew(EVP_PKEY *key, X509 *old, struct rl_buf *out, struct rl_error *err)
{
    uint8_t digest[32];
    RL_ASSERT(X509_digest(old, EVP_sha256(), digest, NULL) == 1);
    return rl_key_sign(key, RENEW_CONTEXT, RL_SPAN(digest, sizeof digest), out, err);
}

static rl_code read_chain(const Pb__JoinResponse *answer, STACK_OF(X509) * *out,
                          struct rl_error *err)
{
    if (answer->n_tls_chain == 0 || answer->n_tls_chain > RL_IDENTITY_CHAIN_MAX)
        return refuse(err, "it has no certificate, or too many");
    STACK_OF(X509) *chain = sk_X509_new_null();
    RL_ASSERT(chain);
    for (size_t i = 0; i < answer->n_tls_chain; i++) {
        const ProtobufCBinaryData *der = &answer->tls_chain[i];
        X509 *certificate = NULL;
        if (rl_x509_from_der(RL_SPAN(der->data, der->len), &certificate, err) != RL_OK) {
            sk_X509_pop_free(chain, X509_free);
            return refuse(err, "a certificate can not be read");
        }
        RL_ASSERT(sk_X509_push(chain, certificate) > 0);
    }
    *out = chain;
    return RL_OK;
}

static bool is_of_kind(const struct rl_identity *identity, const char *kind)
{
    return strcmp(kind, "agent") == 0 ? identity->kind == RL_IDENTITY_AGENT
                                      : rl_identity_is_service(identity, kind);
}

static rl_code check_identity(const struct rl_held *held, bool is_renewal,
                              const struct rl_identity *identity, const Pb__JoinResponse *answer,
                              struct rl_error *err)
{
    const Pb__EnrolState *before = held->state;
    if (!is_of_kind(identity, before->kind) || strcmp(identity->name, answer->id) != 0)
        return refuse(err, "the certificate is for another");
    if (identity->claims->generation != answer->generation)
        return refuse(err, "the certificate is of another generation");
    if (is_renewal && (strcmp(answer->id, before->id) != 0 ||
                       strcmp(identity->cluster, rl_trust_cluster(held->trust)) != 0))
        return refuse(err, "it makes another party of this one");
    return RL_OK;
}

static rl_code check_certificate(const struct rl_held *held, EVP_PKEY *key,
                                 const Pb__JoinResponse *answer, struct rl_error *err)
{
    STACK_OF(X509) *chain = NULL;
    struct rl_trust *trust = NULL;
    struct rl_identity *identity = NULL;
    rl_code code = rl_trust_from_bundle(answer->trust, &trust, err);
    if (code == RL_OK)
        code = read_chain(answer, &chain, err);
    if (code == RL_OK)
        code = rl_identity_check(trust, chain, false, answer->time_ns / NS_PER_S, &identity, err);
    if (code == RL_OK)
        code = check_identity(held, key == held->next_tls_key, identity, answer, err);
    if (code == RL_OK && EVP_PKEY_eq(X509_get0_pubkey(sk_X509_value(chain, 0)), key) != 1)
        code = refuse(err, "the certificate is for another key");
    sk_X509_pop_free(chain, X509_free);
    rl_identity_unref(&identity);
    rl_trust_unref(&trust);
    return code;
}

/* A host certificate for our own key, by one of the host authorities. */
static rl_code check_ssh(const struct rl_held *held, const Pb__JoinResponse *answer,
                         struct rl_error *err)
{
    struct rl_span authorities[64];
    struct rl_sshcert certificate;
    struct rl_buf own;
    const Pb__TrustBundle *bundle = answer->trust;
    size_t count = 0;
    if (!held->ssh_key)
        return RL_OK;
    for (; count < bundle->n_host_ssh_cas && count < RL_COUNT(authorities); count++)
        authorities[count] =
            RL_SPAN(bundle->host_ssh_cas[count].data, bundle->host_ssh_cas[count].len);
    struct rl_span blob = RL_SPAN(answer->ssh_certificate.data, answer->ssh_certificate.len);
    rl_code code = rl_sshcert_parse(blob, &certificate, err);
    if (code == RL_OK)
        code = rl_sshcert_verify(&certificate, authorities, count, err);
    if (code != RL_OK)
        return refuse(err, "the SSH host certificate is not of the cluster's authority");
    rl_buf_init(&own, RL_SSHKEY_BLOB_BYTES_MAX);
    code = rl_sshkey_public_blob(held->ssh_key, &own, err);
    struct rl_cursor c = rl_cursor_of(rl_buf_span(&own));
    rl_cursor_string(&c);
    if (code == RL_OK && (certificate.kind != RL_SSHCERT_HOST ||
                          !rl_span_equal(certificate.subject_fields, RL_SPAN(c.p, c.n))))
        code = refuse(err, "the SSH host certificate is for another key");
    rl_buf_fini(&own);
    return code;
}

static void fill(const struct rl_held *held, const ProtobufCBinaryData *key_pem, const char *pin,
                 const Pb__JoinResponse *answer, Pb__EnrolState *out)
{
    *out = *held->state;
    out->tls_key = *key_pem;
    out->next_tls_key = (ProtobufCBinaryData){0, NULL};
    if (pin)
        out->ca_pin = (char *)(uintptr_t)pin;
    out->id = answer->id;
    out->name = answer->name;
    out->n_tls_chain = answer->n_tls_chain;
    out->tls_chain = answer->tls_chain;
    out->ssh_certificate = answer->ssh_certificate;
    out->trust = answer->trust;
    out->generation = answer->generation;
    out->time_ns = answer->time_ns;
    out->n_labels = answer->n_labels;
    out->labels = answer->labels;
}

rl_code rl_answer_accept(const struct rl_held *held, EVP_PKEY *key,
                         const ProtobufCBinaryData *key_pem, const char *pin,
                         const Pb__JoinResponse *answer, struct rl_buf *packed,
                         struct rl_error *err)
{
    Pb__EnrolState after;
    if (!answer->trust)
        return refuse(err, "it says nothing of whom to trust");
    if (pin && !rl_bundle_has_pin(answer->trust, pin))
        return refuse(err, "its authorities are not the one with the pin");
    rl_code code = check_certificate(held, key, answer, err);
    if (code == RL_OK)
        code = check_ssh(held, answer, err);
    if (code != RL_OK)
        return code;
    fill(held, key_pem, pin, answer, &after);
    return rl_held_pack(&after, packed, err);
}
