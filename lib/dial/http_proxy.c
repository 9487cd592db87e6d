/* http_proxy: the URL is taken apart once; of its password only the header's value is kept. */
#include "dial/http_proxy.h"

#include "bytes/buf.h"
#include "bytes/encoding.h"
#include "bytes/secret.h"
#include "names/names.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SCHEME "http://"
#define DEFAULT_PORT 80
#define ANY_PORT 0

/* A network, where the text is one; else a name and what is below it. */
struct exception {
    char *name; /* without its leading dot; "*" */
    uint16_t port;
    int family; /* AF_UNSPEC: a name */
    uint8_t network[sizeof(struct in6_addr)];
    unsigned bits;
};

struct rl_http_proxy {
    char *address, *authorization;
    struct exception exceptions[RL_HTTP_PROXY_EXCEPTIONS_MAX];
    size_t count;
};

void rl_http_proxy_free(struct rl_http_proxy **proxy)
{
    if (!proxy || !*proxy)
        return;
    for (size_t i = 0; i < (*proxy)->count; i++)
        free((*proxy)->exceptions[i].name);
    free((*proxy)->address);
    rl_wipe_text(&(*proxy)->authorization);
    free(*proxy);
    *proxy = NULL;
}

/* ---- the URL ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "us%65r:p%40ss" to "Basic ...". */
static bool take_user(struct rl_http_proxy *proxy, const char *text, size_t n)
{
    struct rl_buf plain;
    rl_buf_init(&plain, RL_HTTP_PROXY_USER_BYTES_MAX);
    bool is_good = true;
    for (size_t i = 0; i < n && is_good; i++) {
        int high = 0, low = 0;
        if (text[i] != '%') {
            rl_buf_put_u8(&plain, (uint8_t)text[i]);
            continue;
        }
        is_good = n - i > 2 && (high = hex_digit(text[i + 1])) >= 0 &&
                  (low = hex_digit(text[i + 2])) >= 0;
        rl_buf_put_u8(&plain, (uint8_t)(high * 16 + low));
        i += 2;
    }
    is_good = is_good && !plain.failed;
    if (is_good) {
        char *encoded = rl_base64_encode(rl_buf_span(&plain));
        proxy->authorization = rl_sprintf("Basic %s", encoded);
        rl_wipe_text(&encoded);
    }
    rl_buf_fini(&plain);
    return is_good;
}

/* The port where none is said; brackets of an IPv6 address are no colons of a port. */
static char *with_port(const char *host, size_t n)
{
    const char *colon = memrchr(host, ':', n);
    bool has_port = colon && !memchr(colon, ']', n - (size_t)(colon - host));
    return has_port ? rl_sprintf("%.*s", (int)n, host)
                    : rl_sprintf("%.*s:%d", (int)n, host, DEFAULT_PORT);
}

static rl_code take_url(struct rl_http_proxy *proxy, const char *url, struct rl_error *err)
{
    if (strncasecmp(url, SCHEME, strlen(SCHEME)) == 0)
        url += strlen(SCHEME);
    else if (strstr(url, "://"))
        return rl_fail(err, RL_E_INVAL, "only HTTP proxies are known: " SCHEME "HOST:PORT");
    size_t n = strcspn(url, "/?#");
    const char *at = memrchr(url, '@', n);
    if (at && !take_user(proxy, url, (size_t)(at - url)))
        return rl_fail(err, RL_E_INVAL, "the user before the @ can not be read");
    const char *host = at ? at + 1 : url;
    n -= (size_t)(host - url);
    proxy->address = with_port(host, n < INT16_MAX ? n : INT16_MAX);
    char *ignored = NULL;
    uint16_t port = 0;
    /* Not in its words: what was said may be half of a password with a slash in it. */
    if (rl_address_split(proxy->address, &ignored, &port, NULL) != RL_OK)
        return rl_fail(err, RL_E_INVAL, "no proxy's URL; http://[USER:PASSWORD@]HOST:PORT is one");
    free(ignored);
    return RL_OK;
}

/* ---- the exceptions ---- */

static int parse_address(const char *text, uint8_t out[sizeof(struct in6_addr)])
{
    if (inet_pton(AF_INET, text, out) == 1)
        return AF_INET;
    return inet_pton(AF_INET6, text, out) == 1 ? AF_INET6 : AF_UNSPEC;
}

/* Cuts what follows the last `separator` off, when it is a number; -1: there is none. */
static long cut_number(char *text, char separator)
{
    char *at = strrchr(text, separator), *end = NULL;
    if (!at || at[1] < '0' || at[1] > '9')
        return -1;
    long number = strtol(at + 1, &end, 10);
    if (*end || number > UINT16_MAX)
        return -1;
    *at = '\0';
    return number;
}

/* "[fe80::1]" to "fe80::1" */
static void cut_brackets(char *text)
{
    size_t n = strlen(text);
    if (n < 2 || text[0] != '[' || text[n - 1] != ']')
        return;
    memmove(text, text + 1, n - 2);
    text[n - 2] = '\0';
}

static void take_exception(struct rl_http_proxy *proxy, const char *text, size_t n)
{
    struct exception *e = &proxy->exceptions[proxy->count];
    *e = (struct exception){.name = rl_sprintf("%.*s", (int)n, text), .port = ANY_PORT};
    bool is_bare_v6 = parse_address(e->name, e->network) == AF_INET6;
    long port = is_bare_v6 ? -1 : cut_number(e->name, ':');
    long bits = cut_number(e->name, '/');
    cut_brackets(e->name);
    e->family = parse_address(e->name, e->network);
    unsigned most = e->family == AF_INET6 ? 128 : 32;
    e->bits = bits >= 0 && (unsigned long)bits < most ? (unsigned)bits : most;
    if (port > 0)
        e->port = (uint16_t)port;
    if (e->name[0] == '.')
        memmove(e->name, e->name + 1, strlen(e->name));
    if (e->name[0])
        proxy->count++;
    else
        free(e->name);
}

static rl_code take_exceptions(struct rl_http_proxy *proxy, const char *list, struct rl_error *err)
{
    for (list += strspn(list, ", "); *list; list += strspn(list, ", ")) {
        size_t n = strcspn(list, ", ");
        if (proxy->count == RL_HTTP_PROXY_EXCEPTIONS_MAX || n > INT16_MAX)
            return rl_fail(err, RL_E_INVAL, "more than %d exceptions from the HTTP proxy",
                           RL_HTTP_PROXY_EXCEPTIONS_MAX);
        take_exception(proxy, list, n);
        list += n;
    }
    return RL_OK;
}

rl_code rl_http_proxy_create(const char *url, const char *except, struct rl_http_proxy **out,
                             struct rl_error *err)
{
    struct rl_http_proxy *proxy = rl_alloc(sizeof *proxy);
    rl_code rc = take_url(proxy, url, err);
    if (rc == RL_OK && except)
        rc = take_exceptions(proxy, except, err);
    if (rc == RL_OK)
        *out = proxy;
    else
        rl_http_proxy_free(&proxy);
    return rc;
}

/* ---- who goes by it ---- */

static bool is_in_network(const struct exception *e, const uint8_t address[sizeof(struct in6_addr)])
{
    unsigned whole = e->bits / 8, rest = e->bits % 8;
    if (memcmp(e->network, address, whole) != 0)
        return false;
    uint8_t mask = (uint8_t)(0xff00u >> rest);
    return rest == 0 || ((e->network[whole] ^ address[whole]) & mask) == 0;
}

static bool is_below(const char *host, const char *name)
{
    size_t host_n = strlen(host), n = strlen(name);
    if (host_n < n || strcasecmp(host + host_n - n, name) != 0)
        return false;
    return host_n == n || host[host_n - n - 1] == '.';
}

static bool is_excepted(const struct exception *e, const char *host, uint16_t port)
{
    uint8_t address[sizeof(struct in6_addr)];
    if (e->port != ANY_PORT && e->port != port)
        return false;
    if (strcmp(e->name, "*") == 0)
        return true;
    int family = parse_address(host, address);
    if (e->family != family)
        return false;
    return family == AF_UNSPEC ? is_below(host, e->name) : is_in_network(e, address);
}

bool rl_http_proxy_is_for(const struct rl_http_proxy *proxy, const char *host, uint16_t port)
{
    if (!proxy)
        return false;
    for (size_t i = 0; i < proxy->count; i++)
        if (is_excepted(&proxy->exceptions[i], host, port))
            return false;
    return true;
}

const char *rl_http_proxy_address(const struct rl_http_proxy *proxy)
{
    return proxy->address;
}

const char *rl_http_proxy_authorization(const struct rl_http_proxy *proxy)
{
    return proxy->authorization;
}
