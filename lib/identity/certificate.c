/* certificate: reads X.509 with OpenSSL's parsers and without its chain building: what a path
 * validator might make of policies, proxies and intermediates has no place here, so a certificate
 * that carries such things is refused. */
#include "identity/certificate.h"

#include "clock/clock.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SPIFFE_SCHEME "spiffe://"

static rl_code refuse(struct rl_error *err, const char *why)
{
    return rl_fail(err, RL_E_UNAUTHENTICATED, "%s", why);
}

static bool is_listed(int nid, const int *nids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (nids[i] == nid)
            return true;
    return false;
}

static rl_code check_extensions(X509 *certificate, const int *critical_nids, size_t count,
                                struct rl_error *err)
{
    int total = X509_get_ext_count(certificate);
    for (int i = 0; i < total; i++) {
        X509_EXTENSION *extension = X509_get_ext(certificate, i);
        ASN1_OBJECT *object = X509_EXTENSION_get_object(extension);
        if (X509_get_ext_by_OBJ(certificate, object, i) >= 0)
            return refuse(err, "the certificate has an extension twice");
        if (X509_EXTENSION_get_critical(extension) &&
            !is_listed(OBJ_obj2nid(object), critical_nids, count))
            return refuse(err, "the certificate has a critical extension that is not known here");
    }
    return RL_OK;
}

rl_code rl_certificate_check_form(X509 *certificate, const int *critical_nids, size_t count,
                                  struct rl_error *err)
{
    static const int signature_nids[] = {NID_ecdsa_with_SHA256, NID_ecdsa_with_SHA384};
    if (X509_get_version(certificate) != X509_VERSION_3)
        return refuse(err, "the certificate is not X.509 version 3");
    if (X509_get_extension_flags(certificate) & (EXFLAG_INVALID | EXFLAG_PROXY))
        return refuse(err, "the certificate's extensions can not be read");
    if (!is_listed(X509_get_signature_nid(certificate), signature_nids, RL_COUNT(signature_nids)))
        return refuse(err, "the certificate is signed by a method that is not taken here");
    return check_extensions(certificate, critical_nids, count, err);
}

rl_code rl_certificate_uri(X509 *certificate, char **out, bool *has_addresses, struct rl_error *err)
{
    rl_code code = RL_E_UNAUTHENTICATED;
    const ASN1_IA5STRING *uri = NULL;
    bool addresses = false;
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    if (!names) {
        refuse(err, "the certificate has no name: it is none of Remoteler's");
        goto out;
    }
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_URI && !uri) {
            uri = name->d.uniformResourceIdentifier;
        } else if (name->type == GEN_DNS || name->type == GEN_IPADD) {
            addresses = true;
        } else {
            refuse(err, "the certificate has more than one name");
            goto out;
        }
    }
    char *text = uri ? rl_span_to_string(
                           RL_SPAN(ASN1_STRING_get0_data(uri), (size_t)ASN1_STRING_length(uri)))
                     : NULL;
    if (!text) {
        refuse(err, "the certificate has no name: it is none of Remoteler's");
        goto out;
    }
    *out = text;
    *has_addresses = addresses;
    code = RL_OK;
out:
    GENERAL_NAMES_free(names);
    return code;
}

static bool time_to_s(const ASN1_TIME *time, int64_t *out)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(time, &tm) != 1)
        return false;
    *out = timegm(&tm);
    return true;
}

rl_code rl_certificate_times(X509 *certificate, int64_t *not_before_s, int64_t *not_after_s,
                             struct rl_error *err)
{
    int64_t from, until;
    if (!time_to_s(X509_get0_notBefore(certificate), &from) ||
        !time_to_s(X509_get0_notAfter(certificate), &until))
        return refuse(err, "the certificate's times can not be read");
    *not_before_s = from;
    *not_after_s = until;
    return RL_OK;
}

rl_code rl_certificate_check_time(const char *what, int64_t not_before_s, int64_t not_after_s,
                                  int64_t now_s, struct rl_error *err)
{
    char words[RL_CLOCK_TEXT_BYTES];
    if (now_s < not_before_s) {
        rl_duration_words((uint64_t)not_before_s - (uint64_t)now_s, words);
        return rl_fail(err, RL_E_UNAUTHENTICATED,
                       "%s is not valid yet, for another %s: is a clock wrong?", what, words);
    }
    if (now_s > not_after_s) {
        rl_duration_words((uint64_t)now_s - (uint64_t)not_after_s, words);
        return rl_fail(err, RL_E_UNAUTHENTICATED, "%s expired %s ago", what, words);
    }
    return RL_OK;
}

char *rl_certificate_authority_uri(const char *cluster)
{
    return rl_sprintf(SPIFFE_SCHEME "%s", cluster);
}

rl_code rl_certificate_authority_cluster(X509 *ca, char **out, struct rl_error *err)
{
    char *uri = NULL;
    bool has_addresses = false;
    rl_code code = rl_certificate_uri(ca, &uri, &has_addresses, err);
    if (code == RL_OK && (has_addresses || strncmp(uri, SPIFFE_SCHEME, strlen(SPIFFE_SCHEME)) != 0))
        code = refuse(err, "the authority names no cluster");
    if (code == RL_OK)
        *out = rl_strdup(uri + strlen(SPIFFE_SCHEME));
    free(uri);
    return code;
}

static bool names_cluster(X509 *ca, const char *cluster)
{
    char *named = NULL;
    bool same =
        rl_certificate_authority_cluster(ca, &named, NULL) == RL_OK && strcmp(named, cluster) == 0;
    free(named);
    return same;
}

/* X509_get_extension_flags says SS when the names and key ids agree; the signature says the rest.
 */
static bool is_self_signed(X509 *ca)
{
    EVP_PKEY *key = X509_get0_pubkey(ca);
    bool is_own = key && (X509_get_extension_flags(ca) & EXFLAG_SS) && X509_verify(ca, key) == 1;
    ERR_clear_error();
    return is_own;
}

rl_code rl_certificate_check_authority(X509 *ca, const char *cluster, struct rl_error *err)
{
    static const int critical[] = {NID_basic_constraints, NID_key_usage, NID_subject_alt_name,
                                   NID_name_constraints};
    if (rl_certificate_check_form(ca, critical, RL_COUNT(critical), err) != RL_OK)
        return rl_fail(err, RL_E_INVAL, "not taken as an authority: it has not the form of one");
    uint32_t needed = EXFLAG_CA | EXFLAG_KUSAGE;
    if ((X509_get_extension_flags(ca) & needed) != needed ||
        !(X509_get_key_usage(ca) & KU_KEY_CERT_SIGN) || X509_get_pathlen(ca) != 0)
        return rl_fail(err, RL_E_INVAL, "not taken as an authority: it may not sign certificates");
    if (!rl_key_is_p256(X509_get0_pubkey(ca)) && !rl_key_is_p384(X509_get0_pubkey(ca)))
        return rl_fail(err, RL_E_INVAL, "not taken as an authority: its key is weak or unknown");
    if (!is_self_signed(ca))
        return rl_fail(err, RL_E_INVAL, "not taken as an authority: another one signed it");
    if (!names_cluster(ca, cluster))
        return rl_fail(err, RL_E_INVAL, "not taken as an authority of cluster %s: it names another",
                       cluster);
    return RL_OK;
}
