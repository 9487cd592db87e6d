/* identity: who holds a certificate. One function decides it for every TLS stack: the chain, the
 * kind of the URI against the authority that signed it and its extended key usage, the cluster in
 * the name against the issuer's, the time. Pure: no I/O.
 *
 * A name is a SPIFFE URI: spiffe://CLUSTER/user/NAME, /agent/UUID, /service/KIND/UUID.
 */
#ifndef RL_IDENTITY_H
#define RL_IDENTITY_H

#include "bytes/buf.h"
#include "remoteler/v1/identity.pb-c.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

/** The claims' X.509 extension: under 2.25 (a UUID as a number, ITU-T X.667), so it is nobody's. */
#define RL_IDENTITY_OID "2.25.222690915803421541893247571907216409573"
#define RL_IDENTITY_CLAIMS_BYTES_MAX 16384
#define RL_IDENTITY_CHAIN_MAX 4
/** A service's certificate also names the host SERVICE.CLUSTER and this. */
#define RL_IDENTITY_HOST_SUFFIX ".remoteler.internal"
/** NotBefore is set back by this much, for clocks that are behind. */
#define RL_IDENTITY_BACKDATE_S 900

enum rl_identity_kind { RL_IDENTITY_SERVICE = 1, RL_IDENTITY_AGENT, RL_IDENTITY_USER };

/** Checked: whoever holds one of these has proved the key in TLS or SSH. Immutable, shared. */
struct rl_identity {
    enum rl_identity_kind kind;
    char *cluster;
    char *name;                 /* user's name, agent's UUID, service's replica UUID */
    char *service;              /* "auth", "proxy", "broker", "audit"; NULL for the others */
    Pb__IdentityClaims *claims; /* never NULL */
    int64_t not_before_s, not_after_s;
    uint8_t fingerprint[32];      /* SHA-256 of the certificate in DER */
    uint8_t key_sha256[32];       /* of its SubjectPublicKeyInfo in DER */
    uint8_t authority_sha256[32]; /* of the certificate, in DER, of the authority that signed it */
    bool is_retired;              /* by an authority that was rotated away, or after its end:
                                     good for nothing but a renewal */
    unsigned refs;                /* atomic */
};
struct rl_identity *rl_identity_ref(const struct rl_identity *identity);
void rl_identity_unref(struct rl_identity **identity); /* takes NULL */
bool rl_identity_is_service(const struct rl_identity *identity, const char *service);
/** "user alice", "agent 0190..", "service proxy (0190..)": for messages and logs; heap text. */
char *rl_identity_describe(const struct rl_identity *identity); /* NULL: "nobody" */

/** The authorities that a party trusts, each for its own kind and cluster only. */
struct rl_trust;
struct rl_trust *rl_trust_create(const char *cluster);
struct rl_trust *rl_trust_ref(struct rl_trust *trust);
void rl_trust_unref(struct rl_trust **trust);
const char *rl_trust_cluster(const struct rl_trust *trust);
/** Adds a CA certificate in DER for certificates of `kind` of `cluster`. Before it is shared.
 * Errors: RL_E_INVAL not a CA, carries another cluster's name, weak key. */
rl_code rl_trust_add(struct rl_trust *trust, enum rl_identity_kind kind, const char *cluster,
                     struct rl_span ca_der, struct rl_error *err);
/** The same for an authority that has been rotated away: whoever was off meanwhile is recognised,
 * as is_retired, so that he can renew. */
rl_code rl_trust_add_retired(struct rl_trust *trust, enum rl_identity_kind kind,
                             const char *cluster, struct rl_span ca_der, struct rl_error *err);
/** As rl_trust_add(); one that `before` (NULL: none) has for the same kind and cluster is shared
 * with it, and not read and verified again: what changes one of hundreds costs one. */
rl_code rl_trust_add_again(struct rl_trust *trust, const struct rl_trust *before,
                           enum rl_identity_kind kind, const char *cluster, struct rl_span ca_der,
                           struct rl_error *err);
/** The cluster's own agents, as clients, are recognised for so long after their certificate's end,
 * as is_retired; not_after_s is then the end of that. Before it is shared. */
void rl_trust_set_return_grace(struct rl_trust *trust, uint64_t grace_s);
/** Is the authority that signed this one's certificate still among them, for its kind and cluster?
 * A connection may be older than what is believed now. */
bool rl_trust_vouches(const struct rl_trust *trust, const struct rl_identity *identity);
/** The same authorities in the same order. */
bool rl_trust_is_same(const struct rl_trust *a, const struct rl_trust *b);
/** The authorities for `kind` of the trust's own cluster, as PEM: for TLS stacks that verify the
 * chain themselves before rl_identity_check() does. Errors: RL_E_NOT_FOUND there is none. */
rl_code rl_trust_pem(const struct rl_trust *trust, enum rl_identity_kind kind, struct rl_buf *out,
                     struct rl_error *err);
/** sha256:<hex of the SPKI> of a certificate; heap text. */
char *rl_identity_pin(X509 *ca);
/** Is it written like one? Before a stranger's is shown to be copied. Errors: RL_E_INVAL. */
rl_code rl_identity_pin_check(const char *pin, struct rl_error *err);

/** Checks `chain` (leaf first, as the peer sent it) and says who it is. `purpose_server`: the peer
 * acted as TLS server (serverAuth is needed) or as client. `now_s` is the caller's idea of time.
 * Errors: RL_E_UNAUTHENTICATED with what is wrong ("expired 3 min ago", "signed by a certificate",
 * "user certificate from the host authority", "cluster a signed a name of cluster b").
 * Owns: *out by rl_identity_unref(). Threads: safe. Source: RFC 5280; SPIFFE X.509-SVID. */
rl_code rl_identity_check(const struct rl_trust *trust, STACK_OF(X509) * chain, bool purpose_server,
                          int64_t now_s, struct rl_identity **out, struct rl_error *err);

/** The same before any trust is there: the authority of `kind` with this pin ("sha256:hex") must be
 * in the sent chain, and have signed the leaf. What it then says of its cluster is believed. */
rl_code rl_identity_check_pinned(const char *pin, enum rl_identity_kind kind,
                                 STACK_OF(X509) * chain, bool purpose_server, int64_t now_s,
                                 struct rl_identity **out, struct rl_error *err);

/* ---- issuing: auth's side (and tests') ---- */

struct rl_identity_request {
    enum rl_identity_kind kind;
    const char *cluster, *name, *service;
    EVP_PKEY *subject; /* public half; P-256 */
    const Pb__IdentityClaims *claims;
    int64_t now_s;
    uint64_t ttl_s;
    const char *const *addresses; /* DNS names and IPs for a server's certificate */
    size_t address_count;
};
/** `ca` and `ca_key` borrowed. Owns: *out by X509_free(). Serial: 128 random bits. */
rl_code rl_identity_issue(const struct rl_identity_request *request, X509 *ca, EVP_PKEY *ca_key,
                          X509 **out, struct rl_error *err);
/** A self-signed authority for `kind` of `cluster`: P-256, pathlen 0, name constraint by URI. */
rl_code rl_identity_create_ca(enum rl_identity_kind kind, const char *cluster, int64_t now_s,
                              uint64_t ttl_s, X509 **out, EVP_PKEY **key, struct rl_error *err);

/* ---- keys and DER ---- */
rl_code rl_key_generate_p256(EVP_PKEY **out, struct rl_error *err);
rl_code rl_key_to_spki(EVP_PKEY *key, struct rl_buf *out, struct rl_error *err);
rl_code rl_key_from_spki(struct rl_span der, EVP_PKEY **out,
                         struct rl_error *err);                                 /* P-256, Ed25519 */
rl_code rl_key_to_pem(EVP_PKEY *key, struct rl_buf *out, struct rl_error *err); /* PKCS#8 */
rl_code rl_key_from_pem(struct rl_span pem, EVP_PKEY **out, struct rl_error *err);
rl_code rl_x509_to_der(X509 *certificate, struct rl_buf *out, struct rl_error *err);
rl_code rl_x509_from_der(struct rl_span der, X509 **out, struct rl_error *err);
rl_code rl_x509_to_pem(X509 *certificate, struct rl_buf *out, struct rl_error *err);
/** Signs and checks "context\0body": ECDSA P-256 with SHA-256, or Ed25519. `context` separates
 * what is signed for one purpose from every other. */
rl_code rl_key_sign(EVP_PKEY *key, const char *context, struct rl_span body, struct rl_buf *out,
                    struct rl_error *err);
rl_code rl_key_verify(EVP_PKEY *key, const char *context, struct rl_span body,
                      struct rl_span signature, struct rl_error *err);

#endif
