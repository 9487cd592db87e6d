/* issue: certificates for users, agents and services. What is certified comes from auth's own
 * records, never from the request, but for the keys.
 */
#ifndef RL_AUTH_ISSUE_H
#define RL_AUTH_ISSUE_H

#include "db/instances.h"
#include "snapshot.h"
#include "tls/tls.h"

#define RL_USER_TTL_S (12ull * 3600)
#define RL_USER_TTL_S_MIN 60
#define RL_INSTANCE_TTL_S (30ull * 86400)
#define RL_INSTANCE_TTL_S_MIN 10 /* to see what happens */
#define RL_INSTANCE_TTL_S_MAX (366ull * 86400)
#define RL_RETURN_GRACE_S (90ull * 86400)

/** How long an agent's certificate lives, and after its end may still be renewed. */
uint64_t rl_node_certificate_ttl_s(const Pb__ClusterConfigSpec *config);
uint64_t rl_node_return_grace_s(const Pb__ClusterConfigSpec *config);
/** The principal of a user who may log in nowhere: no login can be called that. */
#define RL_NO_LOGIN_PRINCIPAL "-no-login"

struct rl_user_grant {
    const Pb__User *user;
    uint64_t ttl_s;     /* asked for; 0: as long as is allowed */
    uint64_t ttl_max_s; /* beside what the roles say */
    const char *mfa;
    bool no_reissue;               /* on the strength of it no certificate is issued */
    struct rl_span tls_public_key; /* SubjectPublicKeyInfo */
    struct rl_span ssh_public_key; /* blob; n 0: no SSH certificate */
    int64_t now_ns;                /* the database's */
};

/** Fills the reply. Errors: RL_E_INVAL for keys that can not be certified. */
rl_code rl_issue_user(const struct rl_snapshot *snapshot, const char *cluster,
                      const struct rl_user_grant *grant, Pb__LoginResponse *reply,
                      struct rl_error *err);
/** Are these keys that rl_issue_user() takes? Before anything is spent on a login. */
rl_code rl_issue_check_keys(struct rl_span tls_public_key, struct rl_span ssh_public_key,
                            struct rl_error *err);

/** Fills the reply for an agent or service; `addresses` are DNS names and IPs to certify. Errors:
 * RL_E_INVAL for a key or an address that can not be certified. */
rl_code rl_issue_instance(const struct rl_snapshot *snapshot, const char *cluster,
                          const struct rl_instance *instance, int64_t now_ns,
                          char *const *addresses, size_t address_count, Pb__JoinResponse *reply,
                          struct rl_error *err);

/** Names below the clusters' own suffix are given by auth and asked for by nobody. */
rl_code rl_issue_check_addresses(char *const *addresses, size_t count, struct rl_error *err);

/** Auth's own certificate, with a new key. */
rl_code rl_issue_own(const struct rl_snapshot *snapshot, const char *cluster, const char *id,
                     char *const *addresses, size_t address_count, int64_t now_ns,
                     struct rl_tls_identity **out, struct rl_error *err);

#endif
