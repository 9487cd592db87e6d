#include "request.h"

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

rl_code request_check(const Pb__ConnectRequest *r, const char *cluster, struct rl_error *err)
{
    if (r->cluster[0] && strcmp(r->cluster, cluster) != 0)
        return rl_fail(err, RL_E_NOT_FOUND, "no such cluster \"%.64s\"", r->cluster);
    if (strcmp(r->kind, "ssh") != 0)
        return rl_fail(err, RL_E_UNIMPLEMENTED, "this version connects to nodes by ssh only");
    if (r->port != 0 && r->port != 22)
        return rl_fail(err, RL_E_INVAL, "port %u: a node has no other port than 22", r->port);
    if (!r->target[0])
        return rl_fail(err, RL_E_INVAL, "no node was named");
    return RL_OK;
}
