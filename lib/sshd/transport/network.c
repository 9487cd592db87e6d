/* network: libssh reads the network 4 KiB at a time, polls before each, and several times for each
 * packet. Here it is read 64 KiB at a time, and libssh's calls are answered from that, and from
 * what the kernel said last: --wrap puts these two before the C library's. In a process that is no
 * transport, and for any other descriptor, they pass on.
 */
#include "internal.h"

#include <string.h>
#include <sys/socket.h>

#define AHEAD_BYTES 65536

/* What the last poll() that asked the kernel said of reading. Whoever would sleep asks it. */
enum seen { UNKNOWN, NOTHING, SOMETHING };

/* Not on the heap, and not touched before there is a transport: other processes pay nothing. */
static struct {
    bool is_on;
    enum seen seen;
    size_t at, n;
    uint8_t bytes[AHEAD_BYTES];
} network;

ssize_t __real_recv(int fd, void *to, size_t n, int flags);
ssize_t __wrap_recv(int fd, void *to, size_t n, int flags);
int __real_poll(struct pollfd *fds, nfds_t n, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout_ms);

void rl_network_start(void)
{
    network.is_on = true;
}

bool rl_network_has_more(void)
{
    return network.at < network.n;
}

ssize_t __wrap_recv(int fd, void *to, size_t n, int flags)
{
    if (!network.is_on || fd != RL_ROOM_FD_FIRST || flags != 0)
        return __real_recv(fd, to, n, flags);
    if (!rl_network_has_more()) {
        ssize_t got = __real_recv(fd, network.bytes, sizeof network.bytes, 0);
        network.seen = UNKNOWN;
        if (got <= 0)
            return got;
        network.at = 0;
        network.n = (size_t)got;
        if (network.n < sizeof network.bytes)
            network.seen = NOTHING; /* that was all */
    }
    size_t left = network.n - network.at;
    n = n < left ? n : left;
    memcpy(to, network.bytes + network.at, n);
    network.at += n;
    return (ssize_t)n;
}

static int ask_kernel(struct pollfd *fds, nfds_t n, nfds_t at, int timeout_ms)
{
    int ready = __real_poll(fds, n, timeout_ms);
    short events = ready > 0 ? fds[at].revents : 0;
    if (ready < 0 || events & ~(POLLIN | POLLOUT))
        network.seen = UNKNOWN;
    else
        network.seen = events & POLLIN ? SOMETHING : NOTHING;
    return ready;
}

/* What was read already is as good as readable, and asks no kernel when nothing else is wanted. */
int rl_network_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    nfds_t at = 0;
    while (at < n && !(fds[at].fd == RL_ROOM_FD_FIRST && fds[at].events & POLLIN))
        at++;
    if (!network.is_on || at == n)
        return __real_poll(fds, n, timeout_ms);
    bool is_alone = n == 1 && fds[0].events == POLLIN;
    bool is_there = rl_network_has_more() || (is_alone && network.seen == SOMETHING);
    if (is_alone && (is_there || (network.seen == NOTHING && timeout_ms == 0))) {
        fds[0].revents = is_there ? POLLIN : 0;
        return is_there;
    }
    int ready = ask_kernel(fds, n, at, is_there ? 0 : timeout_ms);
    if (ready < 0 || !is_there)
        return ready;
    ready += fds[at].revents ? 0 : 1;
    fds[at].revents |= POLLIN;
    return ready;
}

int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    return rl_network_poll(fds, n, timeout_ms);
}
