/* authorities: the cluster's keys, unwrapped, and what everyone may know of them. Immutable. */
#ifndef RL_AUTH_AUTHORITIES_H
#define RL_AUTH_AUTHORITIES_H

#include "credential/wrap.h"
#include "db/cluster.h"
#include "identity/identity.h"
#include "remoteler/v1/auth.pb-c.h"

#define RL_AUTHORITY_TTL_S (10ull * 365 * 86400)

/** What is signed to endorse the policy key. Source: proto/remoteler/v1/auth.proto */
#define RL_POLICY_KEY_CONTEXT "remoteler-policy-key-v1"

/** One kind of authority with the key that signs now. */
struct rl_authority {
    char *key_id;
    EVP_PKEY *key;
    X509 *certificate; /* x509 only */
};

struct rl_authorities {
    struct rl_authority user_x509, user_ssh; /* users */
    struct rl_authority host_x509, host_ssh; /* agents */
    struct rl_authority service;             /* X.509: auth, proxy, broker, audit */
    struct rl_authority policy;              /* policy, statements, time */
    struct rl_buf policy_spki;               /* its public half ... */
    struct rl_buf policy_endorsement;        /* ... signed by `service`, which everybody pins */
    Pb__TrustBundle *bundle;
    char *ca_pin;                    /* of the service authority */
    Pb__CertificateAuthority **list; /* without private keys */
    size_t count;
};

/** Makes a new cluster's authorities in the database. */
rl_code rl_authorities_create(struct rl_db *db, const char *cluster, const struct rl_wrap_key *wrap,
                              int64_t now_ns, struct rl_error *err);
/** One more key of each format of this kind, which signs nothing yet. */
rl_code rl_authorities_add_standby(struct rl_db *db, const char *cluster, const char *kind,
                                   const struct rl_wrap_key *wrap, int64_t now_ns,
                                   struct rl_error *err);
/** All but those that are only recognised when somebody comes to renew. */
bool rl_ca_key_is_trusted(const Pb__CaKey *key);
/** Unwraps them. Errors: RL_E_DENIED: the key file is another one. */
rl_code rl_authorities_load(struct rl_db *db, const char *cluster, const struct rl_wrap_key *wrap,
                            struct rl_authorities **out, struct rl_error *err);
void rl_authorities_close(struct rl_authorities **authorities);
/** Whom auth trusts. */
rl_code rl_authorities_trust(const struct rl_authorities *authorities, struct rl_trust **out,
                             struct rl_error *err);

#endif
