/* fleet: many agents in one process, as far as a broker can tell: each has joined through auth, has
 * its own key, certificate and connection, attaches, signs its hello, takes its policy, and comes
 * back as agent/uplink.c does. What it lacks is a machine behind it. Or many leaves: each with
 * authorities of its own that auth has taken for a token, and a broker that one of them certified;
 * what they lack is a cluster behind that.
 */
#ifndef BENCH_FLEET_H
#define BENCH_FLEET_H

#include "remoteler/v1/auth.pb-c.h"
#include "rpc/rpc.h"

#define FLEET_MAX 10000

struct fleet {
    struct rl_loop *loop;
    const char *proxy, *auth, *ca_pin, *token;
    struct fleet_agent *agents;
    size_t count;
    /* joining */
    struct rl_tls_client *auth_tls;
    struct rl_rpc_channel *auth_channel;
    size_t asked, joined;
    struct rl_trust *trust;
    char *cluster;
    bool is_of_leaves;
    /* attached, and the policy of its version held */
    size_t attached;
    bool was_complete;
};

struct fleet_agent {
    struct fleet *fleet;
    EVP_PKEY *key;
    char id[128];
    struct rl_tls_identity *identity;
    struct rl_tls_client *tls;
    struct rl_rpc_channel *channel;
    struct rl_rpc_call *attach;
    struct rl_timer *retry, *move;
    uint32_t retry_ms;
    bool is_attached;
    uint64_t policy_version;
    uint8_t policy_sha256[32];
};

/** Ends the program with a message. */
_Noreturn void fleet_fail(const char *what, const char *why);
/** fleet.c: a connection to auth, before anybody has a certificate. */
void fleet_open_auth(struct fleet *fleet);
void fleet_close_auth(struct fleet *fleet);
/** join.c: all of them as agents; establish.c: all of them as leaves; turns the loop. */
void fleet_join(struct fleet *fleet);
/** attach.c: begins to connect all. */
void fleet_attach(struct fleet *fleet);

#endif
