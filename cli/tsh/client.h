/* client: tsh's connection to auth (or audit), end to end through the proxy; of a leaf as well. */
#ifndef TSH_CLIENT_H
#define TSH_CLIENT_H

#include "profile.h"
#include "rpc/rpc.h"

#define TSH_CALL_MS 20000

struct tsh_inner;    /* inner.h */
struct tsh_progress; /* client_leaf.c */

struct tsh_client {
    struct rl_loop *loop;
    struct rl_tls_client *tls;
    struct rl_rpc_channel *channel;
    /* A leaf's; NULL: it is the proxy's own cluster. */
    struct tsh_inner *inner;
    struct tsh_progress *progress;
};

/** As the profile's user. `service` is "auth" or "audit"; `cluster` NULL: the profile's own. A
 * leaf's is connected when this returns, and what is wrong with it said, with its name; if the leaf
 * has other authorities than were known, they are asked for first. Errors: RL_E_NOT_FOUND no such
 * cluster; RL_E_UNAVAILABLE; RL_E_UNAUTHENTICATED one does not believe the other. */
rl_code tsh_client_open(const struct tsh_profile *profile, const char *cluster, const char *service,
                        struct tsh_client *out, struct rl_error *err);
/** The same, of the profile's own cluster. */
rl_code tsh_client_open_own(const struct tsh_profile *profile, const char *service,
                            struct tsh_client *out, struct rl_error *err);

/** Before a login: whom to believe. Exactly one of trust, pin, insecure. `cluster` NULL: whatever
 * cluster the proxy has. */
struct tsh_bootstrap {
    const char *proxy;
    struct rl_trust *trust;
    const char *cluster;
    const char *pin;
    bool insecure;
};
rl_code tsh_client_open_bootstrap(const struct tsh_bootstrap *how, struct tsh_client *out,
                                  struct rl_error *err);
/** One call, waited for. Owns: *reply by protobuf_c_message_free_unpacked(). Errors: the
 * service's own words. */
rl_code tsh_client_call(struct tsh_client *client, const ProtobufCServiceDescriptor *service,
                        const char *method, const ProtobufCMessage *request,
                        ProtobufCMessage **reply, struct rl_error *err);
void tsh_client_close(struct tsh_client *client);

#endif
