/* wire: messages between rooms, over recvmsg() and sendmsg() with SCM_RIGHTS. */
#include "sshd/wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
    char bytes[CMSG_SPACE(RL_WIRE_FDS_MAX * sizeof(int))];
    struct cmsghdr align;
};

void rl_wire_init(struct rl_wire_message *m)
{
    rl_buf_init(&m->body, RL_WIRE_BYTES_MAX);
    m->fds_n = 0;
}

void rl_wire_fini(struct rl_wire_message *m)
{
    rl_buf_fini(&m->body);
}

void rl_wire_begin(struct rl_wire_message *m, enum rl_wire_type type)
{
    rl_buf_clear(&m->body);
    rl_buf_put_u8(&m->body, (uint8_t)type);
    m->fds_n = 0;
}

bool rl_wire_send(int socket, const struct rl_wire_message *m)
{
    if (m->body.failed || m->body.n == 0)
        return false;
    union control control = {{0}};
    struct iovec part = {m->body.p, m->body.n};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    if (m->fds_n) {
        header.msg_control = control.bytes;
        header.msg_controllen = CMSG_SPACE(m->fds_n * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&header);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(m->fds_n * sizeof(int));
        memcpy(CMSG_DATA(c), m->fds, m->fds_n * sizeof(int));
    }
    ssize_t n;
    do
        n = sendmsg(socket, &header, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)m->body.n;
}

static void take_fds(struct msghdr *header, struct rl_wire_message *m)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(header);
    if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
        return;
    size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    RL_ASSERT(n <= RL_WIRE_FDS_MAX); /* the kernel fills no more than it was given */
    memcpy(m->fds, CMSG_DATA(c), n * sizeof(int));
    m->fds_n = n;
}

enum rl_wire_result rl_wire_receive(int socket, struct rl_wire_message *m, int flags)
{
    rl_buf_clear(&m->body);
    m->fds_n = 0;
    uint8_t *room = rl_buf_reserve(&m->body, RL_WIRE_BYTES_MAX);
    if (!room)
        return RL_WIRE_BROKEN;
    union control control;
    struct iovec part = {room, RL_WIRE_BYTES_MAX};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            /* not CMSG_SPACE: its padding has room for one more */
                            .msg_controllen = CMSG_LEN(RL_WIRE_FDS_MAX * sizeof(int))};
    ssize_t n;
    do
        n = recvmsg(socket, &header, flags | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n == 0 || (n < 0 && errno == ECONNRESET))
        return RL_WIRE_CLOSED_BY_PEER;
    if (n < 0)
        return errno == EAGAIN ? RL_WIRE_NOTHING_YET : RL_WIRE_BROKEN;
    m->body.n = (size_t)n;
    take_fds(&header, m);
    if (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
        rl_wire_close_fds(m);
        return RL_WIRE_BROKEN;
    }
    return RL_WIRE_GOT;
}

void rl_wire_close_fds(struct rl_wire_message *m)
{
    for (size_t i = 0; i < m->fds_n; i++)
        close(m->fds[i]);
    m->fds_n = 0;
}

uint8_t rl_wire_type(const struct rl_wire_message *m)
{
    return m->body.n ? m->body.p[0] : 0;
}

struct rl_cursor rl_wire_fields(const struct rl_wire_message *m)
{
    RL_ASSERT(m->body.n);
    return rl_cursor_of(RL_SPAN(m->body.p + 1, m->body.n - 1));
}

void rl_wire_text(struct rl_cursor *c, char *out, size_t size)
{
    struct rl_span s = rl_cursor_string(c);
    out[0] = '\0';
    if (c->failed || s.n >= size || (s.n && memchr(s.p, 0, s.n))) {
        c->failed = true;
        return;
    }
    if (s.n)
        memcpy(out, s.p, s.n);
    out[s.n] = '\0';
}
