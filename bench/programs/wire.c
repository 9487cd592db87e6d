#include "wire.h"

#include "dial/dial.h"

#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DIAL_MS 10000

static _Noreturn void give_up(const char *what, const char *why)
{
    fprintf(stderr, "bench_load: %s: %s\n", what, why);
    exit(1);
}

void way_open(struct way *way, const char *kind, const char *address)
{
    struct rl_error err;
    *way = (struct way){.address = address};
    if (strcmp(kind, "tcp") == 0) {
        way->kind = WAY_TCP;
    } else if (strcmp(kind, "tls") == 0) {
        way->kind = WAY_TLS;
        way->tls = SSL_CTX_new(TLS_client_method());
        if (!way->tls)
            give_up("TLS", "no context");
    } else if (strcmp(kind, "connect") == 0) {
        way->kind = WAY_CONNECT;
        if (tsh_profile_open(NULL, &way->profile, &err) != RL_OK)
            give_up("the profile", err.message);
    } else {
        give_up(kind, "no such way; there are tcp, tls and connect");
    }
}

/* Sockets do not block: a wire is waited for here. */
static bool wait_for(struct wire *wire, short events)
{
    struct pollfd p = {wire->c.fd, events, 0};
    while (poll(&p, 1, -1) < 0)
        if (errno != EINTR)
            return false;
    return true;
}

static bool wait_for_tls(struct wire *wire, int result)
{
    switch (SSL_get_error(wire->c.ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return wait_for(wire, POLLIN);
    case SSL_ERROR_WANT_WRITE:
        return wait_for(wire, POLLOUT);
    default:
        return false;
    }
}

static void connect_tls(struct wire *wire, const struct way *way)
{
    int n;
    wire->c.ssl = SSL_new(way->tls);
    if (!wire->c.ssl || SSL_set_fd(wire->c.ssl, wire->c.fd) != 1)
        give_up(way->address, "no TLS");
    SSL_set_mode(wire->c.ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    tsh_connection_set_sizes(&wire->c);
    while ((n = SSL_connect(wire->c.ssl)) != 1)
        if (!wait_for_tls(wire, n))
            give_up(way->address, "the TLS handshake failed");
}

void wire_open(struct wire *wire, const struct way *way, const char *purpose)
{
    struct rl_error err;
    *wire = (struct wire){.c = {.fd = -1}};
    if (way->kind == WAY_CONNECT) {
        const char *cluster = tsh_profile_text(&way->profile, "cluster");
        struct tsh_target target = {.cluster = (char *)(uintptr_t)cluster,
                                    .name = (char *)(uintptr_t)way->address};
        if (tsh_connect(&way->profile, "ssh", &target, &wire->c, &err) != RL_OK)
            give_up(way->address, err.message);
    } else if (rl_dial_blocking(way->address, DIAL_MS, &wire->c.fd, &err) != RL_OK) {
        give_up(way->address, err.message);
    }
    if (way->kind == WAY_TLS)
        connect_tls(wire, way);
    if (!wire_write(wire, purpose, strlen(purpose)) || !wire_write(wire, "\n", 1))
        give_up(way->address, "it closed at once");
}

size_t wire_read(struct wire *wire, void *to, size_t room)
{
    for (;;) {
        if (!wire->c.ssl) {
            ssize_t n = read(wire->c.fd, to, room);
            if (n >= 0)
                return (size_t)n;
            if (errno != EAGAIN && errno != EINTR)
                return 0;
            if (!wait_for(wire, POLLIN))
                return 0;
            continue;
        }
        ERR_clear_error();
        int n = SSL_read(wire->c.ssl, to, (int)room);
        if (n > 0)
            return (size_t)n;
        if (!wait_for_tls(wire, n))
            return 0;
    }
}

bool wire_write(struct wire *wire, const void *from, size_t n)
{
    const uint8_t *bytes = from;
    while (n) {
        ssize_t done;
        if (wire->c.ssl) {
            ERR_clear_error();
            done = SSL_write(wire->c.ssl, bytes, (int)n);
            if (done <= 0 && !wait_for_tls(wire, (int)done))
                return false;
        } else {
            done = write(wire->c.fd, bytes, n);
            if (done < 0 && ((errno != EAGAIN && errno != EINTR) || !wait_for(wire, POLLOUT)))
                return false;
        }
        if (done > 0) {
            bytes += done;
            n -= (size_t)done;
        }
    }
    return true;
}

void wire_cut(struct wire *wire)
{
    shutdown(wire->c.fd, SHUT_RDWR);
}

void wire_close(struct wire *wire)
{
    tsh_connection_close(&wire->c);
}
