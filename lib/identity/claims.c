/* claims: read once, in one form. Fields that this version does not know are kept and mean nothing
 * here; a text with a NUL in it, which would read shorter in C than it was signed, shows as a
 * difference in size. */
#include "identity/claims.h"

#include "identity/certificate.h"
#include "status/memory.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#define CLAIMS_FORMAT 1
#define CLAIMS_ROLES_MAX 256
#define CLAIMS_TRAITS_MAX 256

static rl_code refuse(struct rl_error *err, const char *why)
{
    return rl_fail(err, RL_E_UNAUTHENTICATED, "%s", why);
}

static X509_EXTENSION *find(X509 *certificate)
{
    ASN1_OBJECT *oid = OBJ_txt2obj(RL_IDENTITY_OID, 1);
    RL_NEED_MEMORY(oid, 0);
    int at = X509_get_ext_by_OBJ(certificate, oid, -1);
    ASN1_OBJECT_free(oid);
    return at < 0 ? NULL : X509_get_ext(certificate, at);
}

static Pb__IdentityClaims *unpack(const ASN1_OCTET_STRING *packed)
{
    size_t n = (size_t)ASN1_STRING_length(packed);
    Pb__IdentityClaims *claims =
        pb__identity_claims__unpack(NULL, n, ASN1_STRING_get0_data(packed));
    if (claims &&
        (pb__identity_claims__get_packed_size(claims) != n || claims->format != CLAIMS_FORMAT ||
         claims->n_roles > CLAIMS_ROLES_MAX || claims->n_traits > CLAIMS_TRAITS_MAX)) {
        pb__identity_claims__free_unpacked(claims, NULL);
        claims = NULL;
    }
    return claims;
}

rl_code rl_claims_read(X509 *certificate, Pb__IdentityClaims **out, struct rl_error *err)
{
    X509_EXTENSION *extension = find(certificate);
    if (!extension)
        return refuse(err, "the certificate has no claims: it is none of Remoteler's");
    ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(extension);
    int n = ASN1_STRING_length(value);
    if (n > RL_IDENTITY_CLAIMS_BYTES_MAX)
        return refuse(err, "the certificate's claims are too long");
    const uint8_t *p = ASN1_STRING_get0_data(value);
    const uint8_t *end = p + n;
    ASN1_OCTET_STRING *packed = d2i_ASN1_OCTET_STRING(NULL, &p, n);
    Pb__IdentityClaims *claims = packed && p == end ? unpack(packed) : NULL;
    ASN1_OCTET_STRING_free(packed);
    ERR_clear_error();
    if (!claims)
        return refuse(err, "the certificate's claims can not be read");
    *out = claims;
    return RL_OK;
}

/* The DER of an OCTET STRING that holds the packed claims; n 0 when it failed. */
static int wrap(struct rl_span packed, uint8_t **der)
{
    ASN1_OCTET_STRING *inner = ASN1_OCTET_STRING_new();
    int n = inner && ASN1_OCTET_STRING_set(inner, packed.p, (int)packed.n) == 1
                ? i2d_ASN1_OCTET_STRING(inner, der)
                : 0;
    ASN1_OCTET_STRING_free(inner);
    return n;
}

static bool add_extension(X509 *certificate, const uint8_t *der, int n)
{
    ASN1_OBJECT *oid = OBJ_txt2obj(RL_IDENTITY_OID, 1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    X509_EXTENSION *extension = NULL;
    bool added = oid && value && ASN1_OCTET_STRING_set(value, der, n) == 1 &&
                 (extension = X509_EXTENSION_create_by_OBJ(NULL, oid, 0, value)) &&
                 X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(oid);
    return added;
}

rl_code rl_claims_write(X509 *certificate, const Pb__IdentityClaims *claims, struct rl_error *err)
{
    if (claims->format != CLAIMS_FORMAT || claims->n_roles > CLAIMS_ROLES_MAX ||
        claims->n_traits > CLAIMS_TRAITS_MAX)
        return rl_fail(err, RL_E_INVAL, "claims of format %u with %zu roles and %zu traits",
                       claims->format, claims->n_roles, claims->n_traits);
    size_t n = pb__identity_claims__get_packed_size(claims);
    uint8_t *packed = rl_alloc(n);
    pb__identity_claims__pack(claims, packed);
    uint8_t *der = NULL;
    int der_n = wrap(RL_SPAN(packed, n), &der);
    rl_code code = RL_OK;
    if (der_n > RL_IDENTITY_CLAIMS_BYTES_MAX)
        code = rl_fail(err, RL_E_EXHAUSTED, "%d bytes of roles and traits; a certificate holds %d",
                       der_n, RL_IDENTITY_CLAIMS_BYTES_MAX);
    else if (der_n <= 0 || !add_extension(certificate, der, der_n))
        code = rl_fail_crypto(err, "adding the claims");
    OPENSSL_free(der);
    free(packed);
    return code;
}
