/* listen: a port of our own. SO_REUSEPORT stays off: with it two servers share a port silently. */
#include "dial/dial.h"

#include "dial/resolve.h"
#include "names/names.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct lookup {
    bool is_done;
    struct rl_endpoint endpoint;
    struct rl_error error;
};

static void on_resolved(void *context, const struct rl_endpoint *endpoints, size_t count,
                        const char *message)
{
    struct lookup *lookup = context;
    lookup->is_done = true;
    if (count)
        lookup->endpoint = endpoints[0];
    else
        rl_fail(&lookup->error, RL_E_UNAVAILABLE, "%s", message);
}

/* A server listens once, at its start: a name may be waited for. */
static rl_code look_up(const char *host, uint16_t port, struct rl_endpoint *out,
                       struct rl_error *err)
{
    struct lookup lookup = {0};
    struct rl_resolve *resolve = NULL;
    struct rl_loop *loop;
    rl_code rc = rl_loop_create(&loop, err);
    if (rc != RL_OK)
        return rc;
    rc = rl_resolve_start(loop, host, port, NULL, on_resolved, &lookup, &resolve, err);
    while (rc == RL_OK && !lookup.is_done)
        rl_loop_turn(loop, -1);
    rl_resolve_stop(&resolve);
    rl_loop_free(&loop);
    if (rc == RL_OK && lookup.error.code != RL_OK)
        rc = rl_fail(err, lookup.error.code, "%s", lookup.error.message);
    if (rc == RL_OK)
        *out = lookup.endpoint;
    return rc;
}

static rl_code open_at(const struct rl_endpoint *endpoint, int *out, uint16_t *port,
                       struct rl_error *err)
{
    const struct sockaddr *at = (const struct sockaddr *)&endpoint->address;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } bound = {.v6 = {0}};
    socklen_t n = sizeof bound;
    int on = 1, off = 0;
    int fd = socket(at->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return rl_fail_errno(err, RL_E_EXHAUSTED, "making a socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (at->sa_family == AF_INET6) /* "[::]" means every address, IPv4 too */
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, at, endpoint->bytes) < 0 || listen(fd, SOMAXCONN) < 0 ||
        getsockname(fd, &bound.any, &n) < 0) {
        rl_code code = errno == EADDRINUSE ? RL_E_EXISTS : RL_E_UNAVAILABLE;
        rl_fail_errno(err, code, "binding");
        close(fd);
        return code;
    }
    *out = fd;
    if (port)
        *port = ntohs(bound.any.sa_family == AF_INET6 ? bound.v6.sin6_port : bound.v4.sin_port);
    return RL_OK;
}

rl_code rl_listen(const char *address, int *fd, uint16_t *port, struct rl_error *err)
{
    char *host = NULL;
    uint16_t number;
    struct rl_endpoint endpoint;
    struct rl_error why = {0};
    rl_code rc = rl_address_split(address, &host, &number, &why);
    if (rc == RL_OK && !rl_endpoint_parse(host, number, &endpoint))
        rc = look_up(host, number, &endpoint, &why);
    if (rc == RL_OK)
        rc = open_at(&endpoint, fd, port, &why);
    free(host);
    if (rc != RL_OK)
        rl_fail(err, rc, "listening on %s: %s", address, why.message);
    return rc;
}
