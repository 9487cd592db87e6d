/* enrol: a party of the cluster (an agent, or the services proxy, broker and audit) joins once by
 * token and keeps its identity in a directory: keys, certificates, trust. It starts again from
 * there without token or network, and renews at a third of its certificate's life. One loop's
 * thread.
 */
#ifndef RL_ENROL_H
#define RL_ENROL_H

#include "remoteler/v1/auth.pb-c.h"
#include "rpc/rpc.h"
#include "tls/tls.h"

struct rl_enrol_config {
    struct rl_loop *loop;
    const char *state_dir; /* made 0700 when it is not there */
    bool in_memory; /* the directory has the lock, and nothing else that is written here: what is
                       joined for lasts as long as the process */
    const char *auth_address; /* HOST:PORT: auth itself, or the proxy when `through_proxy` */
    bool through_proxy;       /* SNI auth.CLUSTER.remoteler.internal (auth.remoteler.internal until
                                 the cluster is known) */
    const char *ca_pin; /* sha256:hex, or @FILE; needed for the first join unless `insecure` */
    bool insecure;
    const char *kind; /* "agent", "proxy", "broker", "audit" */
    /* agents: */
    const char *const *agent_kinds;
    size_t agent_kind_count;
    const char *node_name, *hostname;
    Pb__Label *const *labels;
    size_t label_count;
    bool unprivileged;
    /* what the TLS certificate shall name besides the identity: services and direct nodes */
    const char *const *addresses;
    size_t address_count;
    const char *advertise_address;
    const struct rl_http_proxy *http_proxy; /* borrowed; NULL: straight to auth_address */
    /* Certificates and trust have changed: reload contexts. On the loop's thread. */
    void (*changed)(void *context);
    /* A renewal failed and will be tried again; or the identity was stopped by auth. For the log.
     */
    void (*trouble)(void *context, rl_code code, const char *message);
    /* Auth has told what time it is, to one that asked. NULL: nobody asks; the wall clock is good.
     */
    void (*heard_time)(void *context, int64_t time_ns);
    void *context;
    int64_t (*now_s)(void *context); /* NULL: the wall clock */
    void *now_context;
};

struct rl_enrol;
/** Loads what is in the directory. `needs_join` tells whether there was nothing. Errors: RL_E_INVAL
 * a damaged or foreign state ("was joined to cluster a; use another --data-dir"), RL_E_EXISTS
 * another process holds the directory. The config's strings are copied. */
rl_code rl_enrol_open(const struct rl_enrol_config *config, bool *needs_join, struct rl_enrol **out,
                      struct rl_error *err);
/** Joins with the token (borrowed, not kept); whoever has joined before does so again under its old
 * id. Turns the loop until auth has answered or timeout_ms.
 * Errors: auth's own words; RL_E_UNAVAILABLE when it can not be reached: try again. */
rl_code rl_enrol_join(struct rl_enrol *enrol, const char *token, uint32_t timeout_ms,
                      struct rl_error *err);
/** Its certificate is over by its own clock, or it is the clock that is wrong. */
bool rl_enrol_has_expired(const struct rl_enrol *enrol);
/** For who was off for longer than its certificate lives: asks what time it is, where that is asked
 * for, and if the certificate is over by that too, renews it now, which auth does for a while after
 * its end. Turns the loop until auth has answered or timeout_ms. Errors: auth's own words, after
 * which only joining again helps, with a new token and under the old id; RL_E_UNAVAILABLE. */
rl_code rl_enrol_return(struct rl_enrol *enrol, uint32_t timeout_ms, struct rl_error *err);
/** From now on renews by itself. */
void rl_enrol_keep(struct rl_enrol *enrol);
/** Auth has said whom the cluster trusts now: kept, and told by `changed` when it is new. While a
 * renewal is under way it does nothing: the answer brings the same. Errors: RL_E_INVAL of another
 * cluster, or damaged; nothing has changed. */
rl_code rl_enrol_take_trust(struct rl_enrol *enrol, const Pb__TrustBundle *bundle,
                            struct rl_error *err);
/** The authority that signs for this party's kind has this SHA-256 (of its DER). If another one
 * signed what it holds it renews, at random within this time. After rl_enrol_keep(). */
void rl_enrol_expect_issuer(struct rl_enrol *enrol, struct rl_span ca_sha256, uint64_t within_s);
/** Somebody refused the certificate: it is renewed at random within this time, which is taken for
 * at least 3 s and at most 5 min; but for that not more than once in ten minutes. */
void rl_enrol_refused(struct rl_enrol *enrol, uint64_t within_s);
/** A certificate was refused, somebody's or ours: it may be our clock. Asks auth what time it is,
 * at most once a minute, and tells `heard_time`. */
void rl_enrol_ask_time(struct rl_enrol *enrol);
void rl_enrol_close(struct rl_enrol **enrol);

/* What it holds; borrowed until `changed`, but id and cluster, which stay until it joins anew or is
 * closed. Valid after open (when needs_join was false) or join. */
const char *rl_enrol_id(const struct rl_enrol *enrol); /* UUID */
/** The directory that it was opened in. */
const char *rl_enrol_state_dir(const struct rl_enrol *enrol);
const char *rl_enrol_cluster(const struct rl_enrol *enrol);
const char *rl_enrol_name(const struct rl_enrol *enrol);    /* "" when it has none */
const char *rl_enrol_message(const struct rl_enrol *enrol); /* from the join, for the operator */
struct rl_tls_identity *rl_enrol_identity(const struct rl_enrol *enrol);
struct rl_trust *rl_enrol_trust(const struct rl_enrol *enrol);
const Pb__TrustBundle *rl_enrol_bundle(const struct rl_enrol *enrol);
EVP_PKEY *rl_enrol_ssh_host_key(const struct rl_enrol *enrol);              /* Ed25519; agents */
struct rl_span rl_enrol_ssh_host_certificate(const struct rl_enrol *enrol); /* blob */
uint64_t rl_enrol_generation(const struct rl_enrol *enrol);
/** Auth's time when it last answered: no clock of this party's is below it. */
int64_t rl_enrol_auth_time_ns(const struct rl_enrol *enrol);
/** A file of the owner's own in the same directory, written atomically (0600): an agent's policy.
 */
rl_code rl_enrol_save(struct rl_enrol *enrol, const char *name, struct rl_span content,
                      struct rl_error *err);
rl_code rl_enrol_load(struct rl_enrol *enrol, const char *name, size_t bytes_max,
                      struct rl_buf *out, struct rl_error *err);

/** SHA-256 of the packed bundle: two that have it in common say the same. */
void rl_trust_bundle_hash(const Pb__TrustBundle *bundle, uint8_t out[32]);
/** A trust from a bundle: what agent, services and tsh all need. Owns: by rl_trust_unref(). */
rl_code rl_trust_from_bundle(const Pb__TrustBundle *bundle, struct rl_trust **out,
                             struct rl_error *err);

#endif
