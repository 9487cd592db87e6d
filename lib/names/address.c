/* address: HOST:PORT as people write it. */
#include "names/names.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define HOST_BYTES_MAX 253

static rl_code refuse(const char *text, const char *why, struct rl_error *err)
{
    char *shown = rl_name_printable(text);
    rl_fail(err, RL_E_INVAL, "\"%.80s\" is not HOST:PORT: %s", shown, why);
    free(shown);
    return RL_E_INVAL;
}

static bool parse_port(const char *text, uint16_t *port)
{
    uint32_t value = 0;
    size_t n = strlen(text);
    if (n == 0 || n > 5)
        return false;
    for (const char *c = text; *c; c++) {
        if (*c < '0' || *c > '9')
            return false;
        value = value * 10 + (uint32_t)(*c - '0');
    }
    *port = (uint16_t)value;
    return value <= UINT16_MAX;
}

static bool is_host(const char *text)
{
    size_t n = strlen(text);
    if (n == 0 || n > HOST_BYTES_MAX || text[0] == '-')
        return false;
    for (const char *c = text; *c; c++) {
        bool is_good = (*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') ||
                       (*c >= 'A' && *c <= 'Z') || *c == '.' || *c == '-' || *c == '_';
        if (!is_good)
            return false;
    }
    return true;
}

static bool is_v6(const char *text)
{
    struct in6_addr address;
    return inet_pton(AF_INET6, text, &address) == 1;
}

rl_code rl_address_split(const char *text, char **host, uint16_t *port, struct rl_error *err)
{
    const char *colon = strrchr(text, ':');
    uint16_t number;
    if (!colon)
        return refuse(text, "there is no port", err);
    if (!parse_port(colon + 1, &number))
        return refuse(text, "the port is a number from 0 to 65535", err);
    bool is_bracketed = text[0] == '[' && colon > text + 1 && colon[-1] == ']';
    size_t n = (size_t)(colon - text) - (is_bracketed ? 2 : 0);
    char *name =
        rl_sprintf("%.*s", (int)(n > INT32_MAX ? INT32_MAX : n), text + (is_bracketed ? 1 : 0));
    const char *why = NULL;
    if (is_bracketed && !is_v6(name))
        why = "in brackets belongs an IPv6 address";
    else if (!is_bracketed && strchr(name, ':'))
        why = "an IPv6 address goes in brackets, [::1]:443";
    else if (!is_bracketed && !is_host(name))
        why = "the host is a name or an address";
    if (why) {
        free(name);
        return refuse(text, why, err);
    }
    *host = name;
    *port = number;
    return RL_OK;
}
