/* listen: the room that makes the sockets which others connect to on this node, under the user's
 * id: for -R on the loopback, for -R of a Unix socket where the user may make one, for an agent in
 * a directory that is the user's alone. It sends them to the monitor. One that made a name in the
 * file system stays until the monitor goes, however it goes, and takes the name away. */
#include "sshd/confine.h"
#include "sshd/listener.h"
#include "sshd/sshd.h"
#include "sshd/wire.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 64
#define PATH_BYTES sizeof(((struct sockaddr_un *)NULL)->sun_path)
#define SOCKET_UMASK 0177 /* nobody else connects, as OpenSSH's StreamLocalBindMask */

struct listening {
    int fds[2];
    size_t n;
    uint16_t port;
    char path[PATH_BYTES], directory[PATH_BYTES]; /* "" for none: names to be taken away */
};

static int bind_loopback(int family, const struct sockaddr *address, socklen_t n)
{
    int one = 1;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    if (bind(fd, address, n) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    close(fd);
    return -1;
}

/* Both loopbacks, on one port; a system without IPv6 has one. */
static bool listen_on_port(struct listening *l, uint16_t port)
{
    struct sockaddr_in v4 = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t n = sizeof v4;
    l->fds[0] = bind_loopback(AF_INET, (struct sockaddr *)&v4, sizeof v4);
    if (l->fds[0] < 0 || getsockname(l->fds[0], (struct sockaddr *)&v4, &n) != 0)
        return false;
    l->n = 1;
    l->port = ntohs(v4.sin_port);
    v6.sin6_port = v4.sin_port;
    l->fds[1] = bind_loopback(AF_INET6, (struct sockaddr *)&v6, sizeof v6);
    if (l->fds[1] >= 0)
        l->n = 2;
    return true;
}

/* What is there already stays: another program's socket, or a file. */
static bool listen_on_path(struct listening *l, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!*path || strlen(path) >= sizeof address.sun_path)
        return false;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    umask(SOCKET_UMASK);
    l->fds[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->fds[0] < 0 || bind(l->fds[0], (struct sockaddr *)&address, sizeof address) != 0)
        return false;
    snprintf(l->path, sizeof l->path, "%s", path);
    l->n = 1;
    return listen(l->fds[0], BACKLOG) == 0;
}

static bool is_mine_alone(const char *directory)
{
    struct stat st;
    return lstat(directory, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
           (st.st_mode & 077) == 0;
}

/* mkdtemp() makes it 0700 and new, so nobody else has a name in it. */
static bool listen_for_agent(struct listening *l)
{
    char runtime[PATH_BYTES / 2], path[PATH_BYTES];
    snprintf(runtime, sizeof runtime, "/run/user/%u", (unsigned)geteuid());
    snprintf(l->directory, sizeof l->directory, "%s/remoteler-XXXXXX",
             is_mine_alone(runtime) ? runtime : "/tmp");
    if (!mkdtemp(l->directory)) {
        l->directory[0] = '\0';
        return false;
    }
    int n = snprintf(path, sizeof path, "%s/agent", l->directory);
    return n > 0 && (size_t)n < sizeof path && listen_on_path(l, path);
}

static bool open_all(struct listening *l, enum listen_kind kind, const char *host, uint16_t port)
{
    switch (kind) {
    case LISTEN_TCP:
        return listen_on_port(l, port);
    case LISTEN_UNIX:
        return listen_on_path(l, host);
    case LISTEN_AGENT:
        return listen_for_agent(l);
    }
    return false;
}

static bool say(const struct listening *l, bool ok)
{
    struct rl_wire_message m;
    rl_wire_init(&m);
    rl_wire_begin(&m, ok ? RL_WIRE_YES : RL_WIRE_NO);
    if (ok) {
        rl_buf_put_u32(&m.body, l->port);
        rl_buf_put_string(&m.body, rl_span_of(l->path));
        memcpy(m.fds, l->fds, l->n * sizeof *l->fds);
        m.fds_n = l->n;
    }
    bool sent = rl_wire_send(RL_ROOM_FD_FIRST, &m);
    rl_wire_fini(&m);
    return sent;
}

/* The monitor says nothing more: that it hangs up is the message. */
static void wait_for_the_end(const struct listening *l)
{
    char byte;
    for (size_t i = 0; i < l->n; i++)
        close(l->fds[i]);
    while (read(RL_ROOM_FD_FIRST, &byte, 1) > 0)
        ;
}

static void take_names_away(const struct listening *l)
{
    if (*l->path)
        unlink(l->path);
    if (*l->directory)
        rmdir(l->directory);
}

/* argv: name, user id, group id, kind, host or path, port. */
int rl_sshd_listen_main(int argc, char **argv)
{
    struct listening l = {.fds = {-1, -1}};
    if (argc != 6)
        return 2;
    uid_t user = (uid_t)strtoul(argv[1], NULL, 10);
    gid_t group = (gid_t)strtoul(argv[2], NULL, 10);
    if (geteuid() == 0 && !rl_confine_become(user, group, &group, 1))
        return 2;
    enum listen_kind kind = (enum listen_kind)strtoul(argv[3], NULL, 10);
    bool ok = open_all(&l, kind, argv[4], (uint16_t)strtoul(argv[5], NULL, 10));
    ok = say(&l, ok) && ok;
    if (ok && (*l.path || *l.directory))
        wait_for_the_end(&l);
    take_names_away(&l);
    _exit(ok ? 0 : 1);
}
