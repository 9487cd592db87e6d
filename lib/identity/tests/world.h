/* world: the authorities of one cluster and a foreign one, and what is expected of a leaf. */
#ifndef RL_IDENTITY_TESTS_WORLD_H
#define RL_IDENTITY_TESTS_WORLD_H

#include "identity/tests/authority.h"

#include <stdlib.h>

static struct authority users, hosts, services, foreign_users;
static struct rl_trust *trust;
static EVP_PKEY *key;

static inline void set_up(void)
{
    users = authority_make(RL_IDENTITY_USER, "main");
    hosts = authority_make(RL_IDENTITY_AGENT, "main");
    services = authority_make(RL_IDENTITY_SERVICE, "main");
    foreign_users = authority_make(RL_IDENTITY_USER, "leaf.example");
    trust = rl_trust_create("main");
    ck_assert_int_eq(authority_trust(trust, RL_IDENTITY_USER, "main", users.ca, NULL), RL_OK);
    ck_assert_int_eq(authority_trust(trust, RL_IDENTITY_AGENT, "main", hosts.ca, NULL), RL_OK);
    ck_assert_int_eq(authority_trust(trust, RL_IDENTITY_SERVICE, "main", services.ca, NULL), RL_OK);
    key = fresh_key();
}

static inline void tear_down(void)
{
    authority_free(&users);
    authority_free(&hosts);
    authority_free(&services);
    authority_free(&foreign_users);
    rl_trust_unref(&trust);
    EVP_PKEY_free(key);
}

static inline rl_code check_chain(X509 *const *certificates, size_t count, bool as_server,
                                  int64_t now_s, struct rl_identity **out, struct rl_error *err)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    for (size_t i = 0; i < count; i++)
        sk_X509_push(chain, certificates[i]);
    rl_code code = rl_identity_check(trust, chain, as_server, now_s, out, err);
    sk_X509_free(chain);
    return code;
}

static inline struct rl_identity *expect_good(X509 *leaf, bool as_server)
{
    struct rl_identity *identity = NULL;
    struct rl_error err;
    ck_assert_msg(check_chain(&leaf, 1, as_server, NOW_S, &identity, &err) == RL_OK, "%s",
                  err.message);
    return identity;
}

static inline void expect_refused_at(X509 *leaf, bool as_server, int64_t now_s, const char *words)
{
    struct rl_identity *identity = NULL;
    struct rl_error err;
    ck_assert_int_eq(check_chain(&leaf, 1, as_server, now_s, &identity, &err),
                     RL_E_UNAUTHENTICATED);
    ck_assert_ptr_null(identity);
    ck_assert_msg(strstr(err.message, words) != NULL, "\"%s\" does not say \"%s\"", err.message,
                  words);
}

/* Frees the leaf. */
static inline void expect_refused(X509 *leaf, const char *words)
{
    expect_refused_at(leaf, false, NOW_S, words);
    X509_free(leaf);
}
/* ---- a good certificate, changed, and signed again by its authority ---- */

static inline X509 *sign_again(X509 *leaf, EVP_PKEY *by)
{
    uint8_t *der = NULL;
    ck_assert_int_gt(X509_sign(leaf, by, EVP_sha256()), 0);
    int n = i2d_X509(leaf, &der);
    X509_free(leaf);
    const uint8_t *p = der;
    leaf = d2i_X509(NULL, &p, n);
    ck_assert_ptr_nonnull(leaf);
    OPENSSL_free(der);
    return leaf;
}

static inline void drop_extension(X509 *leaf, int nid)
{
    int at = X509_get_ext_by_NID(leaf, nid, -1);
    ck_assert_int_ge(at, 0);
    X509_EXTENSION_free(X509_delete_ext(leaf, at));
}

static inline void add_extension(X509 *leaf, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_nconf_nid(NULL, NULL, nid, value);
    ck_assert_ptr_nonnull(extension);
    X509_add_ext(leaf, extension, -1);
    X509_EXTENSION_free(extension);
}

static inline X509 *alice(void)
{
    return authority_issue(&users, "alice", NULL, key);
}

#endif
