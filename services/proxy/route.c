#include "route.h"

#include "tls/tls.h"

#include <string.h>

static struct route refused(const char *reason)
{
    return (struct route){.kind = ROUTE_REFUSED, .reason = reason};
}

/* The part of `name` before `tail`, when that is how it ends and something is before it. */
static size_t before(const char *name, size_t n, const char *tail)
{
    size_t t = strlen(tail);
    return n > t && memcmp(name + n - t, tail, t) == 0 ? n - t : 0;
}

static bool is(const char *name, size_t n, const char *text)
{
    return strlen(text) == n && memcmp(name, text, n) == 0;
}

/* `label`: what stands before the cluster's name, its dot not included. */
static struct route of_service(const char *label, size_t n)
{
    if (is(label, n, "auth"))
        return (struct route){.kind = ROUTE_AUTH};
    if (is(label, n, "audit"))
        return (struct route){.kind = ROUTE_AUDIT};
    if (is(label, n, "broker"))
        return (struct route){.kind = ROUTE_BROKER};
    if (is(label, n, "proxy"))
        return (struct route){.kind = ROUTE_CONNECT};
    if (is(label, n, "kube"))
        return refused("Kubernetes access is not in this version");
    struct route route = {.kind = ROUTE_BROKER};
    size_t replica = before(label, n, ".broker");
    if (replica && replica < sizeof route.replica && !memchr(label, '.', replica)) {
        memcpy(route.replica, label, replica);
        return route;
    }
    return refused("there is no such service");
}

static bool offers_connect(const struct rl_client_hello *hello)
{
    for (size_t i = 0; i < hello->alpn_count; i++)
        if (strcmp(hello->alpn[i], ROUTE_CONNECT_ALPN) == 0)
            return true;
    return false;
}

struct route route_of(const char *cluster, const struct rl_client_hello *hello)
{
    const char *sni = hello->sni;
    size_t n = strlen(sni);
    if (strcmp(sni, "auth" RL_TLS_SNI_SUFFIX) == 0)
        return (struct route){.kind = ROUTE_AUTH}; /* who does not know the cluster's name yet */
    size_t inner = before(sni, n, RL_TLS_SNI_SUFFIX);
    if (!inner)
        return (struct route){.kind = offers_connect(hello) ? ROUTE_CONNECT : ROUTE_WEB};
    size_t label = before(sni, inner, cluster);
    if (label < 2 || sni[label - 1] != '.')
        return refused("this is not a name of this cluster");
    return of_service(sni, label - 1);
}
