/* listener: sockets on this node that lead to the client: -R and agent forwarding. Decided here,
 * made by a room under the user's id, accepted here: the transport gets one connected socket at a
 * time, and none that it could accept from. */
#include "monitor.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS 3000
#define ACCEPTED_ID 0x80000000u /* the monitor's names for channels, beside the transport's */

static const char *direction_of(enum listen_kind kind)
{
    return kind == LISTEN_AGENT ? "agent" : "remote";
}

static void tell(struct monitor *m, const struct listener *l, enum rl_sshd_outcome outcome,
                 const char *reason)
{
    struct rl_sshd_event event = {.type = RL_SSHD_PORT_FORWARD,
                                  .host = l->host,
                                  .port = l->port,
                                  .direction = direction_of(l->kind),
                                  .outcome = outcome,
                                  .reason = reason};
    rl_monitor_event(m, &event);
}

static void release(struct listener *l)
{
    for (size_t i = 0; i < RL_COUNT(l->fds); i++)
        if (l->is_used && l->fds[i] >= 0)
            close(l->fds[i]);
    if (l->is_used && l->room_fd >= 0)
        close(l->room_fd); /* the room takes its names away */
    *l = (struct listener){.fds = {-1, -1}, .room_fd = -1};
}

static struct listener *free_slot(struct monitor *m)
{
    for (size_t i = 0; i < RL_SSHD_LISTENERS_MAX; i++)
        if (!m->listeners[i].is_used)
            return &m->listeners[i];
    return NULL;
}

/* What the room says within a while: its sockets, the port, the path. */
static bool take_sockets(struct listener *l)
{
    struct rl_wire_message said;
    struct pollfd p = {l->room_fd, POLLIN, 0};
    bool ok = false;
    rl_wire_init(&said);
    if (poll(&p, 1, PATIENCE_MS) > 0 &&
        rl_wire_receive(l->room_fd, &said, MSG_DONTWAIT) == RL_WIRE_GOT) {
        struct rl_cursor c = rl_wire_fields(&said);
        uint32_t port = rl_cursor_u32(&c);
        rl_wire_text(&c, l->path, sizeof l->path);
        ok = rl_wire_type(&said) == RL_WIRE_YES && rl_cursor_done(&c) && said.fds_n > 0 &&
             said.fds_n <= RL_COUNT(l->fds);
        for (size_t i = 0; ok && i < said.fds_n; i++)
            l->fds[i] = said.fds[i];
        if (ok && l->kind == LISTEN_TCP)
            l->port = (uint16_t)port;
        if (!ok)
            rl_wire_close_fds(&said);
    }
    rl_wire_fini(&said);
    return ok;
}

static bool open_listener(struct monitor *m, struct listener *l)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return false;
    l->is_used = true;
    l->room_fd = pair[0];
    pid_t room = rl_room_start_listener(m, pair[1], l->kind, l->host, l->port);
    close(pair[1]);
    if (room > 0 && take_sockets(l))
        return true;
    if (room > 0)
        kill(room, SIGTERM);
    release(l);
    return false;
}

/* NULL: it listens. Or why not, in words for the event. */
static const char *start(struct monitor *m, const struct listener *asked, struct listener **out)
{
    struct listener *l = free_slot(m);
    if (!l)
        return "too many forwardings to the client at once";
    *l = *asked;
    if (!open_listener(m, l))
        return "it could not be listened on there";
    *out = l;
    return NULL;
}

static struct listener *find(struct monitor *m, const struct listener *asked)
{
    for (size_t i = 0; i < RL_SSHD_LISTENERS_MAX; i++) {
        struct listener *l = &m->listeners[i];
        if (l->is_used && l->kind == asked->kind && strcmp(l->host, asked->host) == 0 &&
            (l->kind != LISTEN_TCP || l->port == asked->port))
            return l;
    }
    return NULL;
}

/* ---- what the transport asks ---- */

static bool read_asked(struct monitor *m, struct rl_cursor *c, struct listener *asked)
{
    *asked = (struct listener){.fds = {-1, -1}, .room_fd = -1};
    uint8_t kind = rl_cursor_u8(c);
    rl_wire_text(c, asked->host, sizeof asked->host);
    uint32_t port = rl_cursor_u32(c);
    if (rl_cursor_done(c) && (kind == LISTEN_TCP || kind == LISTEN_UNIX) && port <= UINT16_MAX) {
        asked->kind = (enum listen_kind)kind;
        asked->port = kind == LISTEN_TCP ? (uint16_t)port : 0;
        return true;
    }
    rl_monitor_refuse(m, "malformed request to listen");
    return false;
}

enum verdict rl_listener_open(struct monitor *m, struct rl_cursor *c)
{
    struct listener asked, *l = NULL;
    if (!read_asked(m, c, &asked))
        return SILENCE;
    enum rl_sshd_outcome outcome = RL_SSHD_DENIED;
    const char *reason = "your roles allow no forwarding";
    if (m->grant.port_forwarding) {
        outcome = RL_SSHD_FAILURE;
        reason = start(m, &asked, &l);
    }
    tell(m, l ? l : &asked, l ? RL_SSHD_SUCCESS : outcome, reason);
    if (!l) {
        rl_monitor_answer_no(m, reason);
        return ANSWER;
    }
    rl_wire_begin(&m->out, RL_WIRE_YES);
    rl_buf_put_u32(&m->out.body, l->port);
    return ANSWER;
}

enum verdict rl_listener_close(struct monitor *m, struct rl_cursor *c)
{
    struct listener asked;
    if (!read_asked(m, c, &asked))
        return SILENCE;
    struct listener *l = find(m, &asked);
    if (l)
        release(l);
    rl_monitor_answer_no(m, "");
    if (l)
        rl_wire_begin(&m->out, RL_WIRE_YES);
    return ANSWER;
}

const char *rl_listener_agent(struct monitor *m)
{
    struct listener asked = {.kind = LISTEN_AGENT, .fds = {-1, -1}, .room_fd = -1};
    struct listener *l = find(m, &asked);
    if (l)
        return l->path;
    enum rl_sshd_outcome outcome = RL_SSHD_DENIED;
    const char *reason = "your roles allow no agent forwarding";
    if (m->grant.agent_forwarding) {
        outcome = RL_SSHD_FAILURE;
        reason = start(m, &asked, &l);
    }
    tell(m, l ? l : &asked, l ? RL_SSHD_SUCCESS : outcome, reason);
    return l ? l->path : NULL;
}

/* ---- connections that come ---- */

/* Of a socket in the file system: the user's own processes and root's. */
static bool is_welcome(const struct monitor *m, const struct listener *l, int fd)
{
    struct ucred peer;
    socklen_t n = sizeof peer;
    if (l->kind != LISTEN_AGENT)
        return true;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 &&
           (peer.uid == 0 || peer.uid == m->account.uid);
}

static void put_peer(struct rl_buf *out, const struct sockaddr_storage *peer)
{
    char text[INET6_ADDRSTRLEN] = "127.0.0.1";
    uint16_t port = 0;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    if (peer->ss_family == AF_INET) {
        memcpy(&v4, peer, sizeof v4);
        inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
        port = ntohs(v4.sin_port);
    } else if (peer->ss_family == AF_INET6) {
        memcpy(&v6, peer, sizeof v6);
        inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
        port = ntohs(v6.sin6_port);
    }
    rl_buf_put_string(out, rl_span_of(text));
    rl_buf_put_u32(out, port);
}

static void hand_over(struct monitor *m, const struct listener *l, struct forward *f, int fd,
                      const struct sockaddr_storage *peer)
{
    *f = (struct forward){.is_used = true,
                          .is_open = true,
                          .fd = -1,
                          .channel = ACCEPTED_ID | m->next_accepted++,
                          .port = l->port};
    m->next_accepted &= ~ACCEPTED_ID;
    snprintf(f->host, sizeof f->host, "%s", l->host);
    rl_wire_begin(&m->out, RL_WIRE_ACCEPTED);
    rl_buf_put_u32(&m->out.body, f->channel);
    rl_buf_put_u8(&m->out.body, (uint8_t)l->kind);
    rl_buf_put_string(&m->out.body, rl_span_of(l->host));
    rl_buf_put_u32(&m->out.body, l->port);
    put_peer(&m->out.body, peer);
    m->out.fds[0] = fd;
    m->out.fds_n = 1;
    rl_monitor_send(m);
    rl_wire_close_fds(&m->out);
    tell(m, l, RL_SSHD_SUCCESS, "a connection came");
}

void rl_listener_ready(struct monitor *m, size_t i, size_t which)
{
    struct listener *l = &m->listeners[i];
    struct forward *f = rl_forward_free_slot(m);
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    socklen_t n = sizeof peer;
    if (!f || !l->is_used)
        return;
    int fd = accept4(l->fds[which], (struct sockaddr *)&peer, &n, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    if (m->end != END_NOT || !is_welcome(m, l, fd))
        close(fd);
    else
        hand_over(m, l, f, fd, &peer);
}

void rl_listener_close_all(struct monitor *m)
{
    for (size_t i = 0; i < RL_SSHD_LISTENERS_MAX; i++)
        release(&m->listeners[i]);
}
