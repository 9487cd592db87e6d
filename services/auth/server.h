/* server: auth's two faces: HTTP/2 for agents, users and services (direct, and behind the proxy),
 * and gRPC core for the other services; with auth's own certificate, renewed in time.
 */
#ifndef RL_AUTH_SERVER_H
#define RL_AUTH_SERVER_H

#include "auth.h"
#include "fleet/follow.h"

struct rl_auth_server_config {
    struct rl_auth *auth;
    struct rl_loop *loop;
    struct rl_follow *follow;
    const char *listen, *proxied_listen /* NULL: none */, *control_listen;
    /* The certificate was renewed: for the channel to audit. */
    void (*renewed)(void *context);
    void *context;
};

struct rl_auth_server;
/** Listens. Errors: the address; RL_E_UNAVAILABLE the database. */
rl_code rl_auth_server_create(const struct rl_auth_server_config *config,
                              struct rl_auth_server **out, struct rl_error *err);
/** Authorities have changed: takes a new certificate, and trusts whom the cluster trusts now. */
void rl_auth_server_renew(struct rl_auth_server *server);
/** No new calls; running ones have grace_ms. */
void rl_auth_server_drain(struct rl_auth_server *server, uint32_t grace_ms,
                          void (*drained)(void *context), void *context);
/** Closes everything: every stream's `closed` has come after it. */
void rl_auth_server_free(struct rl_auth_server **server);

uint16_t rl_auth_server_port(const struct rl_auth_server *server);
uint16_t rl_auth_server_proxied_port(const struct rl_auth_server *server);
uint16_t rl_auth_server_control_port(const struct rl_auth_server *server);
/** Borrowed until it is renewed. */
struct rl_tls_identity *rl_auth_server_identity(const struct rl_auth_server *server);
struct rl_trust *rl_auth_server_trust(const struct rl_auth_server *server);

#endif
