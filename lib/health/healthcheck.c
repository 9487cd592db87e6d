/* healthcheck: one request, one answer, blocking: the process does nothing else. */
#include "health/healthcheck.h"

#include "bytes/buf.h"
#include "names/names.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_BYTES_MAX 4096
#define STATUS_AT 9 /* "HTTP/1.1 " */
#define EXIT_DONE 0
#define EXIT_FAILED 1
#define EXIT_USAGE 2

/* Where a listener on any address of the machine is found on the machine itself. */
static const char *host_to_ask(const char *host)
{
    if (strcmp(host, "0.0.0.0") == 0)
        return "127.0.0.1";
    return strcmp(host, "::") == 0 ? "::1" : host;
}

/* A name may stand for several replicas: it is this machine's that is asked. */
static bool is_own(const struct addrinfo *address)
{
    struct sockaddr_storage any_port = {0};
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    memcpy(&any_port, address->ai_addr, address->ai_addrlen);
    if (address->ai_family == AF_INET)
        ((struct sockaddr_in *)&any_port)->sin_port = 0;
    else
        ((struct sockaddr_in6 *)&any_port)->sin6_port = 0;
    bool can_bind = bind(fd, (const struct sockaddr *)&any_port, address->ai_addrlen) == 0;
    close(fd);
    return can_bind;
}

static int connect_to(const struct addrinfo *to)
{
    static const struct timeval patience = {RL_HEALTHCHECK_TIMEOUT_MS / 1000, 0};
    int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(fd, to->ai_addr, to->ai_addrlen) == 0)
        return fd;
    close(fd);
    return -1;
}

static rl_code open_line(const char *address, int *out, struct rl_error *err)
{
    char *host = NULL;
    uint16_t port = 0;
    rl_code rc = rl_address_split(address, &host, &port, err);
    if (rc == RL_OK && port == 0)
        rc = rl_fail(err, RL_E_INVAL, "--health-listen=%s leaves the port open: name one", address);
    if (rc == RL_OK) {
        char service[8];
        struct addrinfo hints = {.ai_flags = AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
        struct addrinfo *found = NULL;
        snprintf(service, sizeof service, "%u", port);
        int failure = getaddrinfo(host_to_ask(host), service, &hints, &found);
        int fd = -1;
        for (const struct addrinfo *at = failure ? NULL : found; fd < 0 && at; at = at->ai_next)
            fd = is_own(at) ? connect_to(at) : -1;
        if (fd < 0)
            rc = rl_fail(err, RL_E_UNAVAILABLE, "nothing answers on %s", address);
        else
            *out = fd;
        if (found)
            freeaddrinfo(found);
    }
    free(host);
    return rc;
}

static void read_answer(int fd, char answer[ANSWER_BYTES_MAX])
{
    size_t n = 0;
    ssize_t got;
    while (n < ANSWER_BYTES_MAX - 1 && (got = read(fd, answer + n, ANSWER_BYTES_MAX - 1 - n)) > 0)
        n += (size_t)got;
    answer[n] = '\0';
}

/* "waiting for joined\nwaiting for auth\n" as one line. */
static rl_code judge(const char *address, char *answer, struct rl_error *err)
{
    char *page = strstr(answer, "\r\n\r\n");
    if (strncmp(answer, "HTTP/1.", strlen("HTTP/1.")) != 0 || !page)
        return rl_fail(err, RL_E_UNAVAILABLE, "what answers on %s is no health listener", address);
    if (strncmp(answer + STATUS_AT, "200", 3) == 0)
        return RL_OK;
    page += strlen("\r\n\r\n");
    for (char *c = page; (c = strchr(c, '\n'));)
        *c = c[1] ? ',' : '\0';
    return rl_fail(err, RL_E_PRECONDITION, "%s", *page ? page : "not ready");
}

rl_code rl_health_ask(const char *address, struct rl_error *err)
{
    static const char request[] = "GET /readyz HTTP/1.1\r\nHost: localhost\r\n"
                                  "Connection: close\r\n\r\n";
    char answer[ANSWER_BYTES_MAX] = "";
    int fd = -1;
    if (!address)
        return rl_fail(err, RL_E_INVAL, "--health-listen is not set: there is nobody to ask");
    rl_code rc = open_line(address, &fd, err);
    if (rc != RL_OK)
        return rc;
    if (send(fd, request, strlen(request), MSG_NOSIGNAL) == (ssize_t)strlen(request))
        read_answer(fd, answer);
    close(fd);
    return judge(address, answer, err);
}

bool rl_healthcheck_is_asked(int argc, char **argv)
{
    return argc > 1 && strcmp(argv[1], RL_HEALTHCHECK_FLAG) == 0;
}

int rl_healthcheck(const struct rl_settings_spec *spec, void *settings, char *const *address,
                   int argc, char **argv)
{
    struct rl_error err;
    rl_code rc = rl_settings_read_some(spec, argc - 1, argv + 1, settings, &err);
    if (rc == RL_E_CANCELLED)
        return EXIT_DONE;
    if (rc == RL_OK) {
        rc = rl_health_ask(*address, &err);
        rl_settings_free(spec, settings);
    }
    if (rc != RL_OK)
        fprintf(stderr, "%s: %s\n", spec->program, err.message);
    return rc == RL_OK ? EXIT_DONE : rc == RL_E_INVAL ? EXIT_USAGE : EXIT_FAILED;
}
