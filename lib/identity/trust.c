/* trust: who may vouch for whom. An authority is in the list once, for one kind of one cluster; the
 * list does not change once it is shared. */
#include "identity/trust.h"

#include "identity/certificate.h"
#include "identity/spiffe.h"
#include "names/names.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#define AUTHORITIES_MAX 1024
#define RETURN_GRACE_S_MAX (100ull * 366 * 86400)
#define KEY_X_BYTES 48 /* of P-384, the longer one */

struct rl_trust {
    char *cluster;
    struct rl_authority **authorities; /* each may be in other lists too */
    size_t count, room;
    size_t known_next; /* after the one that was last found in an earlier list */
    uint64_t return_grace_s;
    unsigned refs; /* atomic */
};

struct rl_trust *rl_trust_create(const char *cluster)
{
    struct rl_trust *trust = rl_alloc(sizeof *trust);
    trust->cluster = rl_strdup(cluster);
    trust->refs = 1;
    return trust;
}

struct rl_trust *rl_trust_ref(struct rl_trust *trust)
{
    if (trust)
        __atomic_add_fetch(&trust->refs, 1, __ATOMIC_RELAXED);
    return trust;
}

static void unref_authority(struct rl_authority *authority)
{
    if (__atomic_sub_fetch(&authority->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    X509_free(authority->certificate);
    NAME_CONSTRAINTS_free(authority->constraints);
    free(authority->cluster);
    free(authority);
}

void rl_trust_unref(struct rl_trust **trust)
{
    struct rl_trust *gone = trust ? *trust : NULL;
    if (!gone)
        return;
    *trust = NULL;
    if (__atomic_sub_fetch(&gone->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (size_t i = 0; i < gone->count; i++)
        unref_authority(gone->authorities[i]);
    free(gone->authorities);
    free(gone->cluster);
    free(gone);
}

const char *rl_trust_cluster(const struct rl_trust *trust)
{
    return trust->cluster;
}

void rl_trust_set_return_grace(struct rl_trust *trust, uint64_t grace_s)
{
    trust->return_grace_s = grace_s < RETURN_GRACE_S_MAX ? grace_s : RETURN_GRACE_S_MAX;
}

int64_t rl_trust_return_grace_s(const struct rl_trust *trust)
{
    return (int64_t)trust->return_grace_s;
}

size_t rl_trust_count(const struct rl_trust *trust)
{
    return trust->count;
}

const struct rl_authority *rl_trust_at(const struct rl_trust *trust, size_t i)
{
    RL_ASSERT(i < trust->count);
    return trust->authorities[i];
}

/* The end of the point's x, however the point is written: to compare keys themselves is dear, and
 * a root holds those of hundreds of leaves. */
static uint64_t key_hint(X509 *ca)
{
    BIGNUM *x = NULL;
    uint8_t bytes[KEY_X_BYTES];
    uint64_t hint = 0;
    EVP_PKEY *key = X509_get0_pubkey(ca);
    if (key && EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_X, &x) == 1 &&
        BN_bn2binpad(x, bytes, sizeof bytes) == (int)sizeof bytes)
        memcpy(&hint, bytes + sizeof bytes - sizeof hint, sizeof hint);
    BN_free(x);
    ERR_clear_error();
    return hint;
}

/* A key speaks for one kind of one cluster: the one that made a user authority of a host authority
 * would let every agent be anyone. */
static const struct rl_authority *find_by_key(const struct rl_trust *trust, X509 *ca, uint64_t hint)
{
    for (size_t i = 0; i < trust->count; i++) {
        const struct rl_authority *a = trust->authorities[i];
        if (hint && a->key_hint && a->key_hint != hint)
            continue;
        if (EVP_PKEY_eq(X509_get0_pubkey(a->certificate), X509_get0_pubkey(ca)) == 1)
            return a;
    }
    return NULL;
}

static rl_code check_place(const struct rl_trust *trust, const struct rl_authority *new,
                           struct rl_error *err)
{
    const struct rl_authority *known = find_by_key(trust, new->certificate, new->key_hint);
    if (known && (known->kind != new->kind || strcmp(known->cluster, new->cluster) != 0))
        return rl_fail(err, RL_E_INVAL, "an authority is there twice: as %s and as %s authority",
                       rl_spiffe_authority_name(known->kind), rl_spiffe_authority_name(new->kind));
    if (trust->count == AUTHORITIES_MAX)
        return rl_fail(err, RL_E_EXHAUSTED, "more than %d authorities", AUTHORITIES_MAX);
    return RL_OK;
}

/* Takes `authority` over. */
static rl_code append(struct rl_trust *trust, struct rl_authority *authority, struct rl_error *err)
{
    rl_code code = check_place(trust, authority, err);
    if (code != RL_OK) {
        unref_authority(authority);
        return code;
    }
    if (trust->count == trust->room) {
        size_t room = trust->room ? 2 * trust->room : 8;
        struct rl_authority **grown = rl_alloc_array(room, sizeof(struct rl_authority *));
        if (trust->count)
            memcpy(grown, trust->authorities, trust->count * sizeof(struct rl_authority *));
        free(trust->authorities);
        trust->authorities = grown;
        trust->room = room;
    }
    trust->authorities[trust->count++] = authority;
    return RL_OK;
}

static rl_code read_authority(struct rl_authority *a, struct rl_span der, struct rl_error *err)
{
    rl_code code = rl_x509_from_der(der, &a->certificate, err);
    if (code == RL_OK)
        code = rl_name_check_cluster(a->cluster, err);
    if (code == RL_OK)
        code = rl_certificate_check_authority(a->certificate, a->cluster, err);
    if (code == RL_OK)
        code = rl_certificate_times(a->certificate, &a->not_before_s, &a->not_after_s, err);
    if (code == RL_OK && X509_digest(a->certificate, EVP_sha256(), a->sha256, NULL) != 1)
        code = rl_fail_crypto(err, "hashing an authority");
    if (code != RL_OK)
        return code;
    a->key_hint = key_hint(a->certificate);
    a->constraints = X509_get_ext_d2i(a->certificate, NID_name_constraints, NULL, NULL);
    return RL_OK;
}

static rl_code add(struct rl_trust *trust, enum rl_identity_kind kind, const char *cluster,
                   struct rl_span ca_der, bool is_retired, struct rl_error *err)
{
    struct rl_authority *authority = rl_alloc(sizeof *authority);
    authority->refs = 1;
    authority->kind = kind;
    authority->is_retired = is_retired;
    authority->cluster = rl_strdup(cluster);
    if (read_authority(authority, ca_der, err) == RL_OK)
        return append(trust, authority, err);
    unref_authority(authority);
    return RL_E_INVAL;
}

rl_code rl_trust_add(struct rl_trust *trust, enum rl_identity_kind kind, const char *cluster,
                     struct rl_span ca_der, struct rl_error *err)
{
    return add(trust, kind, cluster, ca_der, false, err);
}

rl_code rl_trust_add_retired(struct rl_trust *trust, enum rl_identity_kind kind,
                             const char *cluster, struct rl_span ca_der, struct rl_error *err)
{
    return add(trust, kind, cluster, ca_der, true, err);
}

/* Lists are mostly in the same order: the next one is looked at first. */
static struct rl_authority *find_known(struct rl_trust *trust, const struct rl_trust *before,
                                       enum rl_identity_kind kind, const char *cluster,
                                       struct rl_span der)
{
    uint8_t sha256[32];
    if (EVP_Digest(der.p, der.n, sha256, NULL, EVP_sha256(), NULL) != 1)
        return NULL;
    for (size_t n = 0; n < before->count; n++) {
        size_t i = (trust->known_next + n) % before->count;
        struct rl_authority *a = before->authorities[i];
        if (memcmp(a->sha256, sha256, sizeof sha256) == 0 && a->kind == kind && !a->is_retired &&
            strcmp(a->cluster, cluster) == 0) {
            trust->known_next = i + 1;
            return a;
        }
    }
    return NULL;
}

rl_code rl_trust_add_again(struct rl_trust *trust, const struct rl_trust *before,
                           enum rl_identity_kind kind, const char *cluster, struct rl_span ca_der,
                           struct rl_error *err)
{
    struct rl_authority *known = before ? find_known(trust, before, kind, cluster, ca_der) : NULL;
    if (!known)
        return rl_trust_add(trust, kind, cluster, ca_der, err);
    __atomic_add_fetch(&known->refs, 1, __ATOMIC_RELAXED);
    return append(trust, known, err);
}

bool rl_trust_vouches(const struct rl_trust *trust, const struct rl_identity *identity)
{
    for (size_t i = 0; i < trust->count; i++) {
        const struct rl_authority *a = trust->authorities[i];
        if (memcmp(a->sha256, identity->authority_sha256, sizeof a->sha256) == 0 &&
            a->kind == identity->kind && strcmp(a->cluster, identity->cluster) == 0)
            return true;
    }
    return false;
}

bool rl_trust_is_same(const struct rl_trust *a, const struct rl_trust *b)
{
    bool is_same = a->count == b->count && strcmp(a->cluster, b->cluster) == 0 &&
                   a->return_grace_s == b->return_grace_s;
    for (size_t i = 0; is_same && i < a->count; i++) {
        const struct rl_authority *x = a->authorities[i], *y = b->authorities[i];
        is_same = x == y || (x->kind == y->kind && x->is_retired == y->is_retired &&
                             strcmp(x->cluster, y->cluster) == 0 &&
                             memcmp(x->sha256, y->sha256, sizeof x->sha256) == 0);
    }
    return is_same;
}

rl_code rl_trust_pem(const struct rl_trust *trust, enum rl_identity_kind kind, struct rl_buf *out,
                     struct rl_error *err)
{
    size_t found = 0;
    for (size_t i = 0; i < trust->count; i++) {
        const struct rl_authority *authority = trust->authorities[i];
        if (authority->kind != kind || strcmp(authority->cluster, trust->cluster) != 0)
            continue;
        rl_code code = rl_x509_to_pem(authority->certificate, out, err);
        if (code != RL_OK)
            return code;
        found++;
    }
    if (found == 0)
        return rl_fail(err, RL_E_NOT_FOUND, "cluster %s has no %s authority here", trust->cluster,
                       rl_spiffe_authority_name(kind));
    return RL_OK;
}
