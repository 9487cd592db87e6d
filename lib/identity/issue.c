/* issue: certificates made. What is written here is what identity.c will accept and nothing that it
 * would not, so a wrong request fails at auth and not on a device. */
#include "identity/identity.h"

#include "identity/certificate.h"
#include "identity/claims.h"
#include "identity/spiffe.h"
#include "names/names.h"

#include <arpa/inet.h>
#include <openssl/bn.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#define SERIAL_BITS 128
#define ADDRESSES_MAX 32
#define TTL_S_MAX (100ull * 366 * 86400)

static rl_code add_extension(X509 *certificate, X509 *issuer, int nid, const char *value,
                             struct rl_error *err)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_nconf_nid(NULL, &context, nid, value);
    int added = extension ? X509_add_ext(certificate, extension, -1) : 0;
    X509_EXTENSION_free(extension);
    return added == 1 ? RL_OK : rl_fail_crypto(err, "adding an extension");
}

struct extension {
    int nid;
    const char *value;
};

static rl_code add_extensions(X509 *certificate, X509 *issuer, const struct extension *list,
                              size_t count, struct rl_error *err)
{
    for (size_t i = 0; i < count; i++)
        if (add_extension(certificate, issuer, list[i].nid, list[i].value, err) != RL_OK)
            return RL_E_INTERNAL;
    return RL_OK;
}

static bool set_serial(X509 *certificate)
{
    BIGNUM *serial = BN_new();
    bool set = serial && BN_rand(serial, SERIAL_BITS, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
               BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(certificate));
    BN_free(serial);
    return set;
}

static bool set_times(X509 *certificate, int64_t from_s, int64_t until_s)
{
    return ASN1_TIME_set(X509_getm_notBefore(certificate), (time_t)from_s) &&
           ASN1_TIME_set(X509_getm_notAfter(certificate), (time_t)until_s);
}

/* The subject is for people who look at the certificate; no decision reads it. */
static bool set_subject(X509 *certificate, const char *cluster, const char *name)
{
    X509_NAME *subject = X509_get_subject_name(certificate);
    return X509_NAME_add_entry_by_txt(subject, "DC", MBSTRING_ASC, (const uint8_t *)cluster, -1, -1,
                                      0) == 1 &&
           X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const uint8_t *)name, -1, -1,
                                      0) == 1;
}

static X509 *begin(const char *cluster, const char *name, EVP_PKEY *subject, int64_t from_s,
                   int64_t until_s)
{
    X509 *certificate = X509_new();
    if (certificate && X509_set_version(certificate, X509_VERSION_3) == 1 &&
        set_serial(certificate) && set_times(certificate, from_s, until_s) &&
        set_subject(certificate, cluster, name) && X509_set_pubkey(certificate, subject) == 1)
        return certificate;
    X509_free(certificate);
    return NULL;
}

/* ---- a holder's certificate ---- */

static GENERAL_NAME *uri_name(const char *uri)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    if (!name || !text || ASN1_STRING_set(text, uri, -1) != 1) {
        GENERAL_NAME_free(name);
        ASN1_IA5STRING_free(text);
        return NULL;
    }
    GENERAL_NAME_set0_value(name, GEN_URI, text);
    return name;
}

/* Names below remoteler.internal are no cluster's, but services are reached by them. */
static bool is_host_name(const char *text)
{
    size_t n = strlen(text), suffix = strlen(RL_IDENTITY_HOST_SUFFIX);
    if (n > suffix && strcmp(text + n - suffix, RL_IDENTITY_HOST_SUFFIX) == 0)
        n -= suffix;
    char *name = rl_span_to_string(RL_SPAN(text, n));
    bool good = rl_name_check_cluster(name, NULL) == RL_OK;
    free(name);
    return good;
}

static GENERAL_NAME *address_name(const char *address)
{
    uint8_t raw[16];
    bool is_ip = inet_pton(AF_INET, address, raw) == 1 || inet_pton(AF_INET6, address, raw) == 1;
    if (!is_ip && !is_host_name(address))
        return NULL;
    char *copy = rl_strdup(address);
    GENERAL_NAME *name = a2i_GENERAL_NAME(NULL, NULL, NULL, is_ip ? GEN_IPADD : GEN_DNS, copy, 0);
    free(copy);
    return name;
}

static bool push_name(GENERAL_NAMES *names, GENERAL_NAME *name)
{
    if (name && sk_GENERAL_NAME_push(names, name) > 0)
        return true;
    GENERAL_NAME_free(name);
    return false;
}

/* SERVICE.CLUSTER.remoteler.internal, for TLS stacks that insist on a host name (gRPC core's). */
static bool push_service_name(GENERAL_NAMES *names, const struct rl_identity_request *request)
{
    if (request->kind != RL_IDENTITY_SERVICE)
        return true;
    char *host = rl_sprintf("%s.%s" RL_IDENTITY_HOST_SUFFIX, request->service, request->cluster);
    bool pushed = push_name(names, address_name(host));
    free(host);
    return pushed;
}

static rl_code add_names(X509 *certificate, const struct rl_identity_request *request,
                         struct rl_error *err)
{
    char *uri = NULL;
    rl_code code = rl_spiffe_format(request->kind, request->cluster, request->service,
                                    request->name, &uri, err);
    if (code != RL_OK)
        return code;
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    if (!names || !push_name(names, uri_name(uri)) || !push_service_name(names, request))
        code = rl_fail_crypto(err, "naming a certificate");
    for (size_t i = 0; code == RL_OK && i < request->address_count; i++)
        if (!push_name(names, address_name(request->addresses[i])))
            code = rl_fail(err, RL_E_INVAL, "no address or host name: %s", request->addresses[i]);
    if (code == RL_OK && X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, 0) != 1)
        code = rl_fail_crypto(err, "naming a certificate");
    GENERAL_NAMES_free(names);
    free(uri);
    return code;
}

static rl_code check_request(const struct rl_identity_request *request, struct rl_error *err)
{
    bool is_user = request->kind == RL_IDENTITY_USER;
    if (!rl_key_is_p256(request->subject))
        return rl_fail(err, RL_E_INVAL, "a certificate's key must be ECDSA P-256");
    if (request->ttl_s == 0 || request->ttl_s > TTL_S_MAX)
        return rl_fail(err, RL_E_INVAL, "a certificate must live between 1 s and 100 years");
    if (request->address_count > ADDRESSES_MAX)
        return rl_fail(err, RL_E_INVAL, "a certificate can name at most %d addresses",
                       ADDRESSES_MAX);
    if (is_user && request->address_count)
        return rl_fail(err, RL_E_INVAL, "a user's certificate can not name hosts");
    if (strcmp(request->claims->cluster, request->cluster) != 0 ||
        strcmp(request->claims->user, is_user ? request->name : "") != 0)
        return rl_fail(err, RL_E_INVAL, "the claims are not those of the certificate's name");
    return RL_OK;
}

static rl_code check_ca(const struct rl_identity_request *request, X509 *ca, EVP_PKEY *ca_key,
                        int64_t *until_s, struct rl_error *err)
{
    int64_t ca_from_s, ca_until_s;
    rl_code code = rl_certificate_check_authority(ca, request->cluster, err);
    if (code == RL_OK && X509_check_private_key(ca, ca_key) != 1)
        code = rl_fail(err, RL_E_INVAL, "the key is not that of the authority");
    if (code == RL_OK)
        code = rl_certificate_times(ca, &ca_from_s, &ca_until_s, err);
    if (code == RL_OK)
        code = rl_certificate_check_time("the authority's certificate", ca_from_s, ca_until_s,
                                         request->now_s, err);
    if (code != RL_OK)
        return code;
    int64_t wanted = request->now_s + (int64_t)request->ttl_s;
    *until_s = wanted < ca_until_s ? wanted : ca_until_s;
    return RL_OK;
}

static rl_code fill(X509 *certificate, const struct rl_identity_request *request, X509 *ca,
                    struct rl_error *err)
{
    const struct extension extensions[] = {
        {NID_basic_constraints, "critical,CA:FALSE"},
        {NID_key_usage, "critical,digitalSignature"},
        {NID_ext_key_usage,
         request->kind == RL_IDENTITY_USER ? "clientAuth" : "serverAuth,clientAuth"},
        {NID_subject_key_identifier, "hash"},
        {NID_authority_key_identifier, "keyid:always"},
    };
    if (X509_set_issuer_name(certificate, X509_get_subject_name(ca)) != 1)
        return rl_fail_crypto(err, "naming the issuer");
    rl_code code = add_extensions(certificate, ca, extensions, RL_COUNT(extensions), err);
    if (code == RL_OK)
        code = add_names(certificate, request, err);
    if (code == RL_OK)
        code = rl_claims_write(certificate, request->claims, err);
    return code;
}

rl_code rl_identity_issue(const struct rl_identity_request *request, X509 *ca, EVP_PKEY *ca_key,
                          X509 **out, struct rl_error *err)
{
    int64_t until_s;
    X509 *certificate = NULL;
    rl_code code = check_request(request, err);
    if (code == RL_OK)
        code = check_ca(request, ca, ca_key, &until_s, err);
    if (code != RL_OK)
        return code;
    certificate = begin(request->cluster, request->name, request->subject,
                        request->now_s - RL_IDENTITY_BACKDATE_S, until_s);
    if (!certificate)
        return rl_fail_crypto(err, "making a certificate");
    code = fill(certificate, request, ca, err);
    if (code == RL_OK && X509_sign(certificate, ca_key, EVP_sha256()) <= 0)
        code = rl_fail_crypto(err, "signing a certificate");
    if (code == RL_OK)
        *out = certificate;
    else
        X509_free(certificate);
    return code;
}

/* ---- authorities ---- */

static rl_code fill_ca(X509 *ca, const char *cluster, EVP_PKEY *key, struct rl_error *err)
{
    char *uri = rl_certificate_authority_uri(cluster);
    char *names = rl_sprintf("URI:%s", uri);
    char *constraint = rl_sprintf("critical,permitted;URI:%s", cluster);
    const struct extension extensions[] = {
        {NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
        {NID_key_usage, "critical,keyCertSign,cRLSign"},
        {NID_subject_key_identifier, "hash"},
        {NID_subject_alt_name, names},
        {NID_name_constraints, constraint},
    };
    rl_code code = RL_OK;
    if (X509_set_issuer_name(ca, X509_get_subject_name(ca)) != 1)
        code = rl_fail_crypto(err, "naming an authority");
    if (code == RL_OK)
        code = add_extensions(ca, ca, extensions, RL_COUNT(extensions), err);
    if (code == RL_OK && X509_sign(ca, key, EVP_sha256()) <= 0)
        code = rl_fail_crypto(err, "signing an authority's certificate");
    free(constraint);
    free(names);
    free(uri);
    return code;
}

rl_code rl_identity_create_ca(enum rl_identity_kind kind, const char *cluster, int64_t now_s,
                              uint64_t ttl_s, X509 **out, EVP_PKEY **key_out, struct rl_error *err)
{
    EVP_PKEY *key = NULL;
    X509 *ca = NULL;
    char *name = NULL;
    rl_code code = rl_name_check_cluster(cluster, err);
    if (code == RL_OK && (ttl_s == 0 || ttl_s > TTL_S_MAX))
        code = rl_fail(err, RL_E_INVAL, "an authority must live between 1 s and 100 years");
    if (code == RL_OK)
        code = rl_key_generate_p256(&key, err);
    if (code != RL_OK)
        return code;
    name = rl_sprintf("Remoteler %s authority", rl_spiffe_authority_name(kind));
    ca = begin(cluster, name, key, now_s - RL_IDENTITY_BACKDATE_S, now_s + (int64_t)ttl_s);
    free(name);
    code = ca ? fill_ca(ca, cluster, key, err) : rl_fail_crypto(err, "making an authority");
    if (code == RL_OK) {
        *out = ca;
        *key_out = key;
        return RL_OK;
    }
    X509_free(ca);
    EVP_PKEY_free(key);
    return code;
}
