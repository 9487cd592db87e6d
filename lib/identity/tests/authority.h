/* authority: a small public key infrastructure for tests: the three authorities of a cluster and
 * certificates from them, good ones by rl_identity_issue and bad ones by changing a good one and
 * signing it again. */
#ifndef RL_IDENTITY_TESTS_AUTHORITY_H
#define RL_IDENTITY_TESTS_AUTHORITY_H

#include "identity/identity.h"

#include <check.h>
#include <openssl/x509v3.h>
#include <string.h>

#define NOW_S 1800000000
/* authorities were there before and end this long after */
#define CA_AGE_S (30 * 86400)
#define CA_LEFT_S (3650ll * 86400)
#define UUID_A "0190c0de-0000-7000-8000-00000000000a"
#define UUID_B "0190c0de-0000-7000-8000-00000000000b"

struct authority {
    X509 *ca;
    EVP_PKEY *key;
    enum rl_identity_kind kind;
    const char *cluster;
};

static inline struct authority authority_make(enum rl_identity_kind kind, const char *cluster)
{
    struct authority a = {.kind = kind, .cluster = cluster};
    struct rl_error err;
    ck_assert_msg(rl_identity_create_ca(kind, cluster, NOW_S - CA_AGE_S, CA_AGE_S + CA_LEFT_S,
                                        &a.ca, &a.key, &err) == RL_OK,
                  "%s", err.message);
    return a;
}

static inline void authority_free(struct authority *a)
{
    X509_free(a->ca);
    EVP_PKEY_free(a->key);
}

static inline rl_code authority_trust(struct rl_trust *trust, enum rl_identity_kind kind,
                                      const char *cluster, X509 *ca, struct rl_error *err)
{
    struct rl_buf der;
    rl_buf_init(&der, 65536);
    ck_assert_int_eq(rl_x509_to_der(ca, &der, NULL), RL_OK);
    rl_code code = rl_trust_add(trust, kind, cluster, rl_buf_span(&der), err);
    rl_buf_fini(&der);
    return code;
}

static inline EVP_PKEY *fresh_key(void)
{
    EVP_PKEY *key = NULL;
    ck_assert_int_eq(rl_key_generate_p256(&key, NULL), RL_OK);
    return key;
}

/* Of the authority's own kind and cluster; `service` for services. */
static inline X509 *authority_issue_at(const struct authority *a, const char *name,
                                       const char *service, EVP_PKEY *key, int64_t now_s,
                                       uint64_t ttl_s)
{
    Pb__IdentityClaims claims = PB__IDENTITY_CLAIMS__INIT;
    claims.format = 1;
    claims.cluster = (char *)(uintptr_t)a->cluster;
    if (a->kind == RL_IDENTITY_USER)
        claims.user = (char *)(uintptr_t)name;
    struct rl_identity_request request = {
        .kind = a->kind,
        .cluster = a->cluster,
        .name = name,
        .service = service,
        .subject = key,
        .claims = &claims,
        .now_s = now_s,
        .ttl_s = ttl_s,
    };
    X509 *out = NULL;
    struct rl_error err;
    ck_assert_msg(rl_identity_issue(&request, a->ca, a->key, &out, &err) == RL_OK, "%s",
                  err.message);
    return out;
}

static inline X509 *authority_issue(const struct authority *a, const char *name,
                                    const char *service, EVP_PKEY *key)
{
    return authority_issue_at(a, name, service, key, NOW_S, 3600);
}

#endif
