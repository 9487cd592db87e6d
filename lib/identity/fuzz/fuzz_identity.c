/* fuzz_identity: a certificate from a stranger. The input is the part of a leaf between its subject
 * key and its signature, the extensions: they are put into a certificate that the authority signs,
 * so that the reader of names, purposes and claims is reached; and the input as it is is tried too.
 */
#include "fuzz.h"
#include "identity/identity.h"

#include <openssl/x509v3.h>

#define NOW_S 1800000000

static X509 *ca;
static EVP_PKEY *ca_key, *leaf_key;
static struct rl_trust *trust;

static void set_up(void)
{
    struct rl_buf der;
    rl_buf_init(&der, 65536);
    RL_ASSERT(rl_identity_create_ca(RL_IDENTITY_USER, "main", NOW_S, 86400, &ca, &ca_key, NULL) ==
              RL_OK);
    RL_ASSERT(rl_key_generate_p256(&leaf_key, NULL) == RL_OK);
    RL_ASSERT(rl_x509_to_der(ca, &der, NULL) == RL_OK);
    trust = rl_trust_create("main");
    RL_ASSERT(rl_trust_add(trust, RL_IDENTITY_USER, "main", rl_buf_span(&der), NULL) == RL_OK);
    rl_buf_fini(&der);
}

static void check(X509 *leaf)
{
    struct rl_identity *identity = NULL;
    STACK_OF(X509) *chain = sk_X509_new_null();
    bool has_chain = chain && sk_X509_push(chain, leaf) > 0;
    FUZZ_EXPECT(has_chain);
    if (has_chain && rl_identity_check(trust, chain, false, NOW_S, &identity, NULL) == RL_OK) {
        RL_ASSERT(identity->kind == RL_IDENTITY_USER && identity->claims);
        rl_identity_unref(&identity);
    }
    sk_X509_free(chain);
}

/* A leaf with these extensions (SEQUENCE OF Extension), signed; NULL when they can not be read. */
static X509 *leaf_with(const uint8_t *data, size_t size)
{
    const uint8_t *p = data;
    X509_EXTENSIONS *extensions = d2i_X509_EXTENSIONS(NULL, &p, (long)size);
    if (!extensions)
        return NULL;
    X509 *leaf = X509_new();
    FUZZ_EXPECT(leaf && X509_set_version(leaf, X509_VERSION_3) == 1);
    if (!leaf) {
        sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
        return NULL;
    }
    ASN1_INTEGER_set(X509_get_serialNumber(leaf), 7);
    ASN1_TIME_set(X509_getm_notBefore(leaf), NOW_S - 60);
    ASN1_TIME_set(X509_getm_notAfter(leaf), NOW_S + 60);
    X509_set_issuer_name(leaf, X509_get_subject_name(ca));
    X509_set_pubkey(leaf, leaf_key);
    for (int i = 0; i < sk_X509_EXTENSION_num(extensions); i++)
        X509_add_ext(leaf, sk_X509_EXTENSION_value(extensions, i), -1);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    uint8_t *der = NULL;
    int n = X509_sign(leaf, ca_key, EVP_sha256()) > 0 ? i2d_X509(leaf, &der) : 0;
    X509_free(leaf);
    leaf = NULL;
    if (n > 0)
        rl_x509_from_der(RL_SPAN(der, (size_t)n), &leaf, NULL);
    OPENSSL_free(der);
    return leaf;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    X509 *leaf = NULL;
    if (!trust)
        set_up();
    if (rl_x509_from_der(RL_SPAN(data, size), &leaf, NULL) == RL_OK)
        check(leaf);
    X509_free(leaf);
    leaf = leaf_with(data, size);
    if (leaf)
        check(leaf);
    X509_free(leaf);
    return 0;
}
