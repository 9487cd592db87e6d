/* peer: who is at the other end, shared by a connection and its calls. */
#include "rpc/transport.h"

#include <stdlib.h>

/* Across all servers and channels of the process, so that a number never comes twice. */
static _Atomic uint64_t last_connection;

struct rl_rpc_remote *rl_rpc_remote_create(struct rl_identity *identity, const char *address)
{
    struct rl_rpc_remote *remote = rl_alloc(sizeof *remote);
    remote->identity = identity;
    remote->address = rl_strdup(address);
    remote->peer = (struct rl_rpc_peer){
        .identity = identity,
        .address = remote->address,
        .connection = atomic_fetch_add(&last_connection, 1) + 1,
    };
    atomic_init(&remote->refs, 1);
    return remote;
}

void rl_rpc_remote_set_via(struct rl_rpc_remote *remote, const char *via)
{
    free(remote->via);
    remote->via = via ? rl_strdup(via) : NULL;
    remote->peer.via = remote->via;
}

struct rl_rpc_remote *rl_rpc_remote_ref(struct rl_rpc_remote *remote)
{
    atomic_fetch_add(&remote->refs, 1);
    return remote;
}

void rl_rpc_remote_unref(struct rl_rpc_remote **remote)
{
    struct rl_rpc_remote *r = *remote;
    *remote = NULL;
    if (!r || atomic_fetch_sub(&r->refs, 1) != 1)
        return;
    rl_identity_unref(&r->identity);
    free(r->address);
    free(r->via);
    free(r);
}
