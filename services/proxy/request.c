#include "request.h"

#include "names/names.h"
#include "proxy.h"

#include <string.h>

size_t request_missing(struct rl_span bytes)
{
    if (bytes.n < REQUEST_LENGTH_BYTES)
        return REQUEST_LENGTH_BYTES - bytes.n;
    struct rl_cursor c = rl_cursor_of(bytes);
    size_t whole = REQUEST_LENGTH_BYTES + (size_t)rl_cursor_u32(&c);
    if (whole > REQUEST_LENGTH_BYTES + PROXY_REQUEST_BYTES_MAX)
        return SIZE_MAX;
    return bytes.n < whole ? whole - bytes.n : 0;
}

Pb__ConnectRequest *request_read(struct rl_span bytes)
{
    RL_ASSERT(bytes.n >= REQUEST_LENGTH_BYTES);
    return pb__connect_request__unpack(NULL, bytes.n - REQUEST_LENGTH_BYTES,
                                       bytes.p + REQUEST_LENGTH_BYTES);
}

bool request_is_for_leaf(const Pb__ConnectRequest *r, const char *cluster)
{
    return r->cluster[0] && strcmp(r->cluster, cluster) != 0;
}

/* Of a leaf also its auth and its audit can be reached, each of which is one. */
static rl_code check_leaf(const Pb__ConnectRequest *r, struct rl_error *err)
{
    bool is_service = strcmp(r->kind, "auth") == 0 || strcmp(r->kind, "audit") == 0;
    if (rl_name_check_cluster(r->cluster, err) != RL_OK)
        return RL_E_INVAL;
    if (is_service)
        return r->target[0] || r->port
                   ? rl_fail(err, RL_E_INVAL, "a cluster's %s has no name and no port", r->kind)
                   : RL_OK;
    return strcmp(r->kind, "ssh") == 0 ? RL_OK
                                       : rl_fail(err, RL_E_UNIMPLEMENTED,
                                                 "of another cluster this version reaches nodes "
                                                 "by ssh, auth and audit only");
}

rl_code request_check(const Pb__ConnectRequest *r, const char *cluster, struct rl_error *err)
{
    bool is_for_leaf = request_is_for_leaf(r, cluster);
    rl_code rc = is_for_leaf ? check_leaf(r, err) : RL_OK;
    if (rc != RL_OK || (is_for_leaf && strcmp(r->kind, "ssh") != 0))
        return rc;
    if (strcmp(r->kind, "ssh") != 0)
        return rl_fail(err, RL_E_UNIMPLEMENTED, "this version connects to nodes by ssh only");
    if (r->port != 0 && r->port != 22)
        return rl_fail(err, RL_E_INVAL, "port %u: a node has no other port than 22", r->port);
    if (!r->target[0])
        return rl_fail(err, RL_E_INVAL, "no node was named");
    return RL_OK;
}
