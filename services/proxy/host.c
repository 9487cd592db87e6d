#include "web.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

/* The name in "NAME", "NAME:PORT" or "[V6]:PORT". */
static const char *name_of(const char *host, size_t *n)
{
    if (host[0] == '[') {
        const char *end = strchr(host, ']');
        *n = end ? (size_t)(end - host - 1) : 0;
        return host + 1;
    }
    *n = strcspn(host, ":");
    return host;
}

static bool is_address(const char *name, size_t n)
{
    char text[64];
    struct in6_addr any;
    if (n >= sizeof text)
        return false;
    memcpy(text, name, n);
    text[n] = '\0';
    return inet_pton(AF_INET, text, &any) == 1 || inet_pton(AF_INET6, text, &any) == 1;
}

bool web_host_matches(const char *host, const char *sni)
{
    size_t n;
    const char *name = host ? name_of(host, &n) : NULL;
    if (!name || n == 0)
        return false;
    if (sni[0])
        return strlen(sni) == n && strncasecmp(name, sni, n) == 0;
    return is_address(name, n) || (n == 9 && strncasecmp(name, "localhost", 9) == 0);
}
