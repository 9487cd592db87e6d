/* identity: the holder of a checked certificate, and the one function that checks. It starts from
 * "no" and needs a reason for each step: an authority that is known here signed the leaf itself;
 * that authority speaks for this kind and this cluster; the leaf may be used so; the claims agree
 * with the name; it is time. No chain is built: there is nothing between authority and leaf. */
#include "identity/identity.h"

#include "identity/certificate.h"
#include "identity/claims.h"
#include "identity/spiffe.h"
#include "identity/trust.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

struct rl_identity *rl_identity_ref(const struct rl_identity *identity)
{
    if (!identity)
        return NULL;
    struct rl_identity *mine = (struct rl_identity *)(uintptr_t)identity;
    __atomic_add_fetch(&mine->refs, 1, __ATOMIC_RELAXED);
    return mine;
}

void rl_identity_unref(struct rl_identity **identity)
{
    struct rl_identity *gone = identity ? *identity : NULL;
    if (!gone)
        return;
    *identity = NULL;
    if (__atomic_sub_fetch(&gone->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    free(gone->cluster);
    free(gone->name);
    free(gone->service);
    if (gone->claims)
        pb__identity_claims__free_unpacked(gone->claims, NULL);
    free(gone);
}

bool rl_identity_is_service(const struct rl_identity *identity, const char *service)
{
    return identity && identity->kind == RL_IDENTITY_SERVICE &&
           strcmp(identity->service, service) == 0;
}

char *rl_identity_describe(const struct rl_identity *identity)
{
    if (!identity)
        return rl_strdup("nobody");
    if (identity->kind == RL_IDENTITY_SERVICE)
        return rl_sprintf("service %s (%s)", identity->service, identity->name);
    return rl_sprintf("%s %s", rl_spiffe_kind_name(identity->kind), identity->name);
}

static rl_code refuse(struct rl_error *err, const char *why)
{
    return rl_fail(err, RL_E_UNAUTHENTICATED, "%s", why);
}

/* Did this certificate's key sign the leaf? Names and key ids first: they are cheap. */
static bool signed_by(X509 *leaf, X509 *issuer)
{
    if (X509_NAME_cmp(X509_get_issuer_name(leaf), X509_get_subject_name(issuer)) != 0)
        return false;
    EVP_PKEY *key = X509_get0_pubkey(issuer);
    bool good = key && X509_verify(leaf, key) == 1;
    ERR_clear_error();
    return good;
}

static const struct rl_authority *find_issuer(const struct rl_trust *trust, X509 *leaf)
{
    for (size_t i = 0; i < rl_trust_count(trust); i++) {
        const struct rl_authority *authority = rl_trust_at(trust, i);
        if (signed_by(leaf, authority->certificate))
            return authority;
    }
    return NULL;
}

/* Says why there is no issuer: the chain that the peer sent may tell. A key that is itself held by
 * a certificate of ours is the case of CVE-2025-49825 and gets a message of its own. */
static rl_code refuse_issuer(STACK_OF(X509) * chain, struct rl_error *err)
{
    X509 *leaf = sk_X509_value(chain, 0);
    for (int i = 1; i < sk_X509_num(chain); i++) {
        X509 *above = sk_X509_value(chain, i);
        if (signed_by(leaf, above) && !(X509_get_extension_flags(above) & EXFLAG_SS))
            return refuse(err, "the certificate is signed by a certificate, not by an authority");
    }
    return refuse(err, "the certificate is from an authority that is not trusted here");
}

/* Users act as clients only; agents and services are both. Exactly these purposes and no others. */
static rl_code check_usage(X509 *leaf, enum rl_identity_kind kind, bool purpose_server,
                           struct rl_error *err)
{
    uint32_t flags = X509_get_extension_flags(leaf);
    if (flags & EXFLAG_CA)
        return refuse(err, "the certificate is an authority's, not a holder's");
    if (!(flags & EXFLAG_KUSAGE) || X509_get_key_usage(leaf) != KU_DIGITAL_SIGNATURE)
        return refuse(err, "the certificate is not for signing, or for more than that");
    uint32_t expected =
        kind == RL_IDENTITY_USER ? XKU_SSL_CLIENT : (XKU_SSL_CLIENT | XKU_SSL_SERVER);
    EXTENDED_KEY_USAGE *purposes = X509_get_ext_d2i(leaf, NID_ext_key_usage, NULL, NULL);
    int count = sk_ASN1_OBJECT_num(purposes);
    EXTENDED_KEY_USAGE_free(purposes);
    if (!(flags & EXFLAG_XKUSAGE) || X509_get_extended_key_usage(leaf) != expected ||
        count != (kind == RL_IDENTITY_USER ? 1 : 2))
        return rl_fail(err, RL_E_UNAUTHENTICATED,
                       "the certificate's purposes are not those of its kind, %s",
                       rl_spiffe_kind_name(kind));
    if (purpose_server && kind == RL_IDENTITY_USER)
        return refuse(err, "a user's certificate can not be a server's");
    return RL_OK;
}

static rl_code check_authority(const struct rl_authority *issuer, X509 *leaf,
                               const struct rl_spiffe *id, int64_t now_s, struct rl_error *err)
{
    if (issuer->kind != id->kind)
        return rl_fail(err, RL_E_UNAUTHENTICATED, "%s certificate from the %s authority",
                       rl_spiffe_kind_name(id->kind), rl_spiffe_authority_name(issuer->kind));
    if (strcmp(issuer->cluster, id->cluster) != 0)
        return rl_fail(err, RL_E_UNAUTHENTICATED,
                       "the authority of cluster %s signed a name of cluster %s", issuer->cluster,
                       id->cluster);
    if (issuer->constraints && NAME_CONSTRAINTS_check(leaf, issuer->constraints) != X509_V_OK)
        return refuse(err, "the certificate's name is not one that its authority may sign");
    return rl_certificate_check_time("the authority's certificate", issuer->not_before_s,
                                     issuer->not_after_s, now_s, err);
}

static rl_code check_claims(const Pb__IdentityClaims *claims, const struct rl_spiffe *id,
                            struct rl_error *err)
{
    if (strcmp(claims->cluster, id->cluster) != 0)
        return refuse(err, "the certificate's claims are of another cluster than its name");
    if (strcmp(claims->user, id->kind == RL_IDENTITY_USER ? id->name : "") != 0)
        return refuse(err, "the certificate's claims are of another user than its name");
    return RL_OK;
}

/* What the leaf says of itself, before anyone vouches for it. */
static rl_code read_name(X509 *leaf, struct rl_spiffe *id, struct rl_error *err)
{
    static const int critical[] = {NID_basic_constraints, NID_key_usage, NID_ext_key_usage,
                                   NID_subject_alt_name};
    char *uri = NULL;
    bool has_addresses = false;
    rl_code code = rl_certificate_check_form(leaf, critical, RL_COUNT(critical), err);
    if (code == RL_OK)
        code = rl_certificate_uri(leaf, &uri, &has_addresses, err);
    if (code == RL_OK && rl_spiffe_parse(rl_span_of(uri), id, err) != RL_OK)
        code = refuse(err, err ? err->message : "the certificate's URI is no SPIFFE name");
    if (code == RL_OK && id->kind == RL_IDENTITY_USER && has_addresses)
        code = refuse(err, "a user's certificate can not name hosts");
    if (code == RL_OK && !rl_key_is_p256(X509_get0_pubkey(leaf)))
        code = refuse(err, "the certificate's key is not ECDSA P-256");
    free(uri);
    return code;
}

static rl_code take_hashes(X509 *leaf, X509 *authority, struct rl_identity *identity,
                           struct rl_error *err)
{
    uint8_t *key = NULL;
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf), &key);
    bool is_good =
        n > 0 && EVP_Digest(key, (size_t)n, identity->key_sha256, NULL, EVP_sha256(), NULL) == 1 &&
        X509_digest(leaf, EVP_sha256(), identity->fingerprint, NULL) == 1 &&
        X509_digest(authority, EVP_sha256(), identity->authority_sha256, NULL) == 1;
    OPENSSL_free(key);
    return is_good ? RL_OK : rl_fail_crypto(err, "hashing a certificate");
}

/* What was off for longer than its certificate lives may come and ask for another one: for so long
 * after its end, if it is one of our own agents. */
static void allow_return(const struct rl_trust *trust, const struct rl_spiffe *id, int64_t now_s,
                         struct rl_identity *identity)
{
    int64_t grace_s = rl_trust_return_grace_s(trust);
    bool is_ours =
        id->kind == RL_IDENTITY_AGENT && strcmp(id->cluster, rl_trust_cluster(trust)) == 0;
    if (!is_ours || now_s <= identity->not_after_s || now_s - identity->not_after_s > grace_s)
        return;
    identity->is_retired = true;
    identity->not_after_s += grace_s;
}

static rl_code check_leaf(const struct rl_trust *trust, const struct rl_authority *issuer,
                          X509 *leaf, bool purpose_server, int64_t now_s,
                          struct rl_identity *identity, struct rl_error *err)
{
    struct rl_spiffe id;
    identity->is_retired = issuer->is_retired;
    rl_code code = read_name(leaf, &id, err);
    if (code == RL_OK)
        code = check_authority(issuer, leaf, &id, now_s, err);
    if (code == RL_OK)
        code = check_usage(leaf, id.kind, purpose_server, err);
    if (code == RL_OK)
        code = rl_certificate_times(leaf, &identity->not_before_s, &identity->not_after_s, err);
    if (code == RL_OK && !purpose_server)
        allow_return(trust, &id, now_s, identity);
    if (code == RL_OK)
        code = rl_certificate_check_time("the certificate", identity->not_before_s,
                                         identity->not_after_s, now_s, err);
    if (code == RL_OK)
        code = rl_claims_read(leaf, &identity->claims, err);
    if (code == RL_OK)
        code = check_claims(identity->claims, &id, err);
    if (code == RL_OK)
        code = take_hashes(leaf, issuer->certificate, identity, err);
    if (code != RL_OK)
        return code;
    identity->kind = id.kind;
    identity->cluster = rl_strdup(id.cluster);
    identity->name = rl_strdup(id.name);
    identity->service = id.kind == RL_IDENTITY_SERVICE ? rl_strdup(id.service) : NULL;
    return RL_OK;
}

rl_code rl_identity_check(const struct rl_trust *trust, STACK_OF(X509) * chain, bool purpose_server,
                          int64_t now_s, struct rl_identity **out, struct rl_error *err)
{
    int count = chain ? sk_X509_num(chain) : 0;
    if (count < 1)
        return refuse(err, "no certificate was shown");
    if (count > RL_IDENTITY_CHAIN_MAX)
        return refuse(err, "too many certificates were shown");
    X509 *leaf = sk_X509_value(chain, 0);
    const struct rl_authority *issuer = find_issuer(trust, leaf);
    if (!issuer)
        return refuse_issuer(chain, err);
    struct rl_identity *identity = rl_alloc(sizeof *identity);
    identity->refs = 1;
    rl_code code = check_leaf(trust, issuer, leaf, purpose_server, now_s, identity, err);
    if (code == RL_OK)
        *out = identity;
    else
        rl_identity_unref(&identity);
    return code;
}
