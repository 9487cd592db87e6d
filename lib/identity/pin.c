/* pin: trust before there is any. The pin came by a way that people trust (a command to paste); it
 * stands for one authority, which then is the only one that counts. */
#include "identity/identity.h"

#include "bytes/encoding.h"
#include "identity/certificate.h"

#include <stdlib.h>
#include <string.h>

#define DER_BYTES_MAX 65536
#define PIN_HEX_BYTES 64

char *rl_identity_pin(X509 *ca)
{
    uint8_t *der = NULL;
    uint8_t digest[32];
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(ca), &der);
    RL_ASSERT(n > 0 && EVP_Digest(der, (size_t)n, digest, NULL, EVP_sha256(), NULL) == 1);
    OPENSSL_free(der);
    char *hex = rl_hex_encode(RL_SPAN(digest, sizeof digest));
    char *pin = rl_sprintf("sha256:%s", hex);
    free(hex);
    return pin;
}

rl_code rl_identity_pin_check(const char *pin, struct rl_error *err)
{
    static const char prefix[] = "sha256:";
    const char *hex = strncmp(pin, prefix, strlen(prefix)) == 0 ? pin + strlen(prefix) : "";
    if (strlen(hex) == PIN_HEX_BYTES && strspn(hex, "0123456789abcdef") == PIN_HEX_BYTES)
        return RL_OK;
    return rl_fail(err, RL_E_INVAL, "a pin is sha256: and %d digits of hex", PIN_HEX_BYTES);
}

static X509 *find_pinned(const char *pin, STACK_OF(X509) * chain)
{
    for (int i = 1; i < sk_X509_num(chain) && i < RL_IDENTITY_CHAIN_MAX; i++) {
        char *own = rl_identity_pin(sk_X509_value(chain, i));
        bool same = rl_span_equal_secret(rl_span_of(own), rl_span_of(pin));
        free(own);
        if (same)
            return sk_X509_value(chain, i);
    }
    return NULL;
}

static rl_code trust_one(X509 *ca, enum rl_identity_kind kind, struct rl_trust **out,
                         struct rl_error *err)
{
    struct rl_buf der;
    rl_buf_init(&der, DER_BYTES_MAX);
    struct rl_trust *trust = NULL;
    char *cluster = NULL;
    rl_code code = rl_certificate_authority_cluster(ca, &cluster, err);
    if (code == RL_OK)
        code = rl_x509_to_der(ca, &der, err);
    if (code == RL_OK) {
        trust = rl_trust_create(cluster);
        code = rl_trust_add(trust, kind, cluster, rl_buf_span(&der), err);
    }
    if (code == RL_OK)
        *out = trust;
    else
        rl_trust_unref(&trust);
    rl_buf_fini(&der);
    free(cluster);
    return code;
}

rl_code rl_identity_check_pinned(const char *pin, enum rl_identity_kind kind,
                                 STACK_OF(X509) * chain, bool purpose_server, int64_t now_s,
                                 struct rl_identity **out, struct rl_error *err)
{
    struct rl_trust *trust = NULL;
    X509 *ca = chain ? find_pinned(pin, chain) : NULL;
    if (!ca)
        return rl_fail(err, RL_E_UNAUTHENTICATED,
                       "the other side is not of the authority with the pin %s", pin);
    rl_code code = trust_one(ca, kind, &trust, err);
    if (code == RL_OK)
        code = rl_identity_check(trust, chain, purpose_server, now_s, out, err);
    rl_trust_unref(&trust);
    return code == RL_OK ? RL_OK
                         : rl_fail(err, RL_E_UNAUTHENTICATED, "%s", err ? err->message : "");
}
