/* connect: the room that resolves a name and connects, under the user's id, for forwarding. It
 * sends the socket back and ends. Where a name leads is looked at here, after it was resolved:
 * link-local and metadata addresses are refused. */
#include "connect.h"

#include "dial/resolve.h"
#include "sshd/confine.h"
#include "sshd/sshd.h"
#include "sshd/wire.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CONNECT_S_MAX 60

static bool is_forbidden_v4(const uint8_t a[4])
{
    /* 169.254/16 has the metadata service of nearly every cloud; 100.100.100.200 is Alibaba's,
     * 192.0.0.192 Oracle's older one. 0.0.0.0 and multicast are no hosts. */
    static const uint8_t single[][4] = {{100, 100, 100, 200}, {192, 0, 0, 192}};
    if ((a[0] == 169 && a[1] == 254) || a[0] == 0 || a[0] >= 224)
        return true;
    for (size_t i = 0; i < RL_COUNT(single); i++)
        if (memcmp(a, single[i], 4) == 0)
            return true;
    return false;
}

static bool is_forbidden_v6(const struct in6_addr *a)
{
    /* fd00:ec2::254 is AWS's metadata service, fd20:ce::254 Google's. */
    static const uint8_t aws[16] = {0xFD, 0, 0x0E, 0xC2, [14] = 0x02, [15] = 0x54};
    static const uint8_t google[16] = {0xFD, 0x20, 0, 0xCE, [14] = 0x02, [15] = 0x54};
    static const uint8_t nat64[12] = {0, 0x64, 0xFF, 0x9B};
    if (IN6_IS_ADDR_V4MAPPED(a) || IN6_IS_ADDR_V4COMPAT(a))
        return !IN6_IS_ADDR_LOOPBACK(a) && is_forbidden_v4(a->s6_addr + 12);
    if (memcmp(a->s6_addr, nat64, sizeof nat64) == 0)
        return is_forbidden_v4(a->s6_addr + 12);
    return IN6_IS_ADDR_LINKLOCAL(a) || IN6_IS_ADDR_MULTICAST(a) || IN6_IS_ADDR_UNSPECIFIED(a) ||
           memcmp(a, aws, sizeof aws) == 0 || memcmp(a, google, sizeof google) == 0;
}

bool rl_connect_is_forbidden(const struct sockaddr *address)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    switch (address->sa_family) {
    case AF_INET:
        memcpy(&v4, address, sizeof v4);
        return is_forbidden_v4((const uint8_t *)&v4.sin_addr);
    case AF_INET6:
        memcpy(&v6, address, sizeof v6);
        return is_forbidden_v6(&v6.sin6_addr);
    default:
        return true;
    }
}

static int dial(const struct rl_endpoint *endpoints, size_t count, bool *met_forbidden)
{
    for (size_t i = 0; i < count; i++) {
        const struct sockaddr *to = (const struct sockaddr *)&endpoints[i].address;
        if (rl_connect_is_forbidden(to)) {
            *met_forbidden = true;
            continue;
        }
        int fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, to, endpoints[i].bytes) == 0)
            return fd;
        if (fd >= 0)
            close(fd);
    }
    return -1;
}

/* As the user, but for the groups: they have no say in what may be connected to. */
static bool become(const char *uid, const char *gid)
{
    uid_t user = (uid_t)strtoul(uid, NULL, 10);
    gid_t group = (gid_t)strtoul(gid, NULL, 10);
    return geteuid() != 0 || rl_confine_become(user, group, &group, 1);
}

static int dial_name(const char *host, const char *port, bool *met_forbidden)
{
    /* Not the libc's resolver: a static program has none that works on every device. */
    struct rl_endpoint endpoints[RL_RESOLVE_ADDRESSES_MAX];
    size_t count = rl_resolve_blocking(host, (uint16_t)strtoul(port, NULL, 10), endpoints);
    return dial(endpoints, count, met_forbidden);
}

/* What the user may connect to on this node, the client may. */
static int dial_path(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return -1;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* argv: name, user id, group id, "unix" or "tcp", host or path, port. */
int rl_sshd_connect_main(int argc, char **argv)
{
    if (argc != 6 || !become(argv[1], argv[2]))
        return 2;
    alarm(CONNECT_S_MAX);
    bool met_forbidden = false;
    int fd = strcmp(argv[3], "unix") == 0 ? dial_path(argv[4])
                                          : dial_name(argv[4], argv[5], &met_forbidden);
    struct rl_wire_message m;
    rl_wire_init(&m);
    rl_wire_begin(&m, fd >= 0 ? RL_WIRE_YES : RL_WIRE_NO);
    rl_buf_put_u8(&m.body, met_forbidden);
    if (fd >= 0) {
        m.fds[0] = fd;
        m.fds_n = 1;
    }
    bool ok = rl_wire_send(RL_ROOM_FD_FIRST, &m);
    _exit(ok ? 0 : 1);
}
