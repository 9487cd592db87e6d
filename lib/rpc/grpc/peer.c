/* peer: a connection's authentication context is one object for all its calls. As long as a
 * reference to it is kept here, its address names that connection and no other.
 */
#include "rpc/grpc/peer.h"

#include "rpc/grpc/credentials.h"

#include <grpc/grpc_security_constants.h>
#include <grpc/support/alloc.h>
#include <stdlib.h>
#include <string.h>

struct rl_grpc_peer {
    grpc_auth_context *context;
    struct rl_rpc_remote *remote;
    struct rl_grpc_peer *next;
};

static void free_peer(struct rl_grpc_peer *peer)
{
    grpc_auth_context_release(peer->context);
    rl_rpc_remote_unref(&peer->remote);
    free(peer);
}

/* "ipv4:10.0.0.1:443" and "ipv6:%5B::1%5D:443" as gRPC core spells them. */
char *rl_grpc_peer_address(grpc_call *call)
{
    char *uri = grpc_call_get_peer(call);
    const char *text = uri;
    if (strncmp(text, "ipv4:", 5) == 0 || strncmp(text, "ipv6:", 5) == 0)
        text += 5;
    char *address = rl_alloc(strlen(text) + 1);
    size_t n = 0;
    while (*text) {
        if (strncmp(text, "%5B", 3) == 0 || strncmp(text, "%5D", 3) == 0) {
            address[n++] = text[2] == 'B' ? '[' : ']';
            text += 3;
        } else {
            address[n++] = *text++;
        }
    }
    address[n] = '\0';
    gpr_free(uri);
    return address;
}

static rl_code check(grpc_auth_context *context, const struct rl_trust *trust, int64_t now_s,
                     struct rl_identity **out, struct rl_error *err)
{
    grpc_auth_property_iterator it =
        grpc_auth_context_find_properties_by_name(context, GRPC_X509_PEM_CERT_PROPERTY_NAME);
    const grpc_auth_property *pem = grpc_auth_property_iterator_next(&it);
    if (!pem)
        return rl_fail(err, RL_E_UNAUTHENTICATED, "no certificate was shown");
    return rl_grpc_check_peer(trust, pem->value, pem->value_length, false, now_s, out, err);
}

static void forget_the_oldest(struct rl_grpc_peers *peers)
{
    struct rl_grpc_peer **link = &peers->first;
    RL_ASSERT(*link);
    while ((*link)->next)
        link = &(*link)->next;
    free_peer(*link);
    *link = NULL;
    peers->count--;
}

/* Takes `context` over. */
static rl_code meet(struct rl_grpc_peers *peers, grpc_call *call, grpc_auth_context *context,
                    const struct rl_trust *trust, int64_t now_s, struct rl_error *err)
{
    struct rl_identity *identity = NULL;
    rl_code rc = check(context, trust, now_s, &identity, err);
    if (rc != RL_OK) {
        grpc_auth_context_release(context);
        return rc;
    }
    if (peers->count == RL_GRPC_PEERS_MAX)
        forget_the_oldest(peers);
    char *address = rl_grpc_peer_address(call);
    struct rl_grpc_peer *peer = rl_alloc(sizeof *peer);
    *peer = (struct rl_grpc_peer){context, rl_rpc_remote_create(identity, address), peers->first};
    peers->first = peer;
    peers->count++;
    free(address);
    return RL_OK;
}

/* To the front, if it is there. */
static bool recall(struct rl_grpc_peers *peers, const grpc_auth_context *context)
{
    for (struct rl_grpc_peer **link = &peers->first; *link; link = &(*link)->next) {
        struct rl_grpc_peer *peer = *link;
        if (peer->context != context)
            continue;
        *link = peer->next;
        peer->next = peers->first;
        peers->first = peer;
        return true;
    }
    return false;
}

rl_code rl_grpc_peers_find(struct rl_grpc_peers *peers, grpc_call *call,
                           const struct rl_trust *trust, int64_t now_s, struct rl_rpc_remote **out,
                           struct rl_error *err)
{
    grpc_auth_context *context = grpc_call_auth_context(call);
    if (!context)
        return rl_fail(err, RL_E_UNAUTHENTICATED, "no certificate was shown");
    if (recall(peers, context)) {
        grpc_auth_context_release(context);
    } else {
        rl_code rc = meet(peers, call, context, trust, now_s, err);
        if (rc != RL_OK)
            return rc;
    }
    struct rl_rpc_remote *remote = peers->first->remote;
    if (now_s > remote->peer.identity->not_after_s)
        return rl_fail(err, RL_E_UNAUTHENTICATED, "the caller's certificate has expired");
    *out = rl_rpc_remote_ref(remote);
    return RL_OK;
}

void rl_grpc_peers_clear(struct rl_grpc_peers *peers)
{
    while (peers->first) {
        struct rl_grpc_peer *peer = peers->first;
        peers->first = peer->next;
        free_peer(peer);
    }
    peers->count = 0;
}
