/* network: libssh reads the network 4 KiB at a time, and polls before each. Here it is read 64 KiB
 * at a time, and libssh's calls are answered from that: --wrap puts these two before the C
 * library's. In a process that is no transport, and for any other descriptor, they pass on.
 */
#include "internal.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define AHEAD_BYTES 65536

/* Not on the heap, and not touched before there is a transport: other processes pay nothing. */
static struct {
    bool is_on;
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
        if (got <= 0)
            return got;
        network.at = 0;
        network.n = (size_t)got;
    }
    size_t left = network.n - network.at;
    n = n < left ? n : left;
    memcpy(to, network.bytes + network.at, n);
    network.at += n;
    return (ssize_t)n;
}

/* What was read already is as good as readable, and asks no kernel when nothing else is wanted. */
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    nfds_t at = 0;
    while (at < n && !(fds[at].fd == RL_ROOM_FD_FIRST && fds[at].events & POLLIN))
        at++;
    if (!network.is_on || !rl_network_has_more() || at == n)
        return __real_poll(fds, n, timeout_ms);
    if (n == 1 && fds[0].events == POLLIN) {
        fds[0].revents = POLLIN;
        return 1;
    }
    int ready = __real_poll(fds, n, 0);
    if (ready < 0)
        return ready;
    ready += fds[at].revents ? 0 : 1;
    fds[at].revents |= POLLIN;
    return ready;
}
