/* forward: connections that the client asks for, decided here and made by a connector.
 *
 * The transport waits for its answer, so the answer waits for the connection, but not for long:
 * then the channel is opened on trust, and closed again if the connection comes to nothing. */
#include "monitor.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS 300

static void tell(struct monitor *m, const struct forward *f, enum rl_sshd_outcome outcome,
                 const char *reason)
{
    struct rl_sshd_event event = {.type = RL_SSHD_PORT_FORWARD,
                                  .channel = f->channel,
                                  .host = f->host,
                                  .port = f->port,
                                  .direction = "local",
                                  .outcome = outcome,
                                  .reason = reason};
    rl_monitor_event(m, &event);
}

struct forward *rl_forward_free_slot(struct monitor *m)
{
    for (size_t i = 0; i < RL_SSHD_FORWARDS_MAX; i++)
        if (!m->forwards[i].is_used)
            return &m->forwards[i];
    return NULL;
}

static void release(struct forward *f)
{
    if (f->fd >= 0) {
        close(f->fd);
        kill(f->connector, SIGKILL);
    }
    *f = (struct forward){.fd = -1};
}

/* Takes what the connector says. The socket, or -1. */
static int take_socket(struct monitor *m, struct forward *f)
{
    struct rl_wire_message said;
    rl_wire_init(&said);
    int fd = -1;
    bool was_forbidden = false;
    if (rl_wire_receive(f->fd, &said, MSG_DONTWAIT) == RL_WIRE_GOT) {
        struct rl_cursor c = rl_wire_fields(&said);
        was_forbidden = rl_cursor_u8(&c) != 0;
        if (rl_wire_type(&said) == RL_WIRE_YES && said.fds_n == 1) {
            fd = said.fds[0];
            said.fds_n = 0;
        }
        rl_wire_close_fds(&said);
    }
    rl_wire_fini(&said);
    close(f->fd);
    f->fd = -1;
    f->is_open = fd >= 0;
    if (fd >= 0)
        tell(m, f, RL_SSHD_SUCCESS, "");
    else if (was_forbidden)
        tell(m, f, RL_SSHD_DENIED, "link-local and metadata addresses are not reachable");
    else
        tell(m, f, RL_SSHD_FAILURE, "could not connect");
    return fd;
}

static bool start_connector(struct monitor *m, struct forward *f)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return false;
    char port[8];
    snprintf(port, sizeof port, "%u", f->port);
    f->connector = rl_room_start_connector(m, pair[1], f->is_unix, f->host, port);
    close(pair[1]);
    f->fd = pair[0];
    return f->connector > 0;
}

static enum verdict refuse(struct monitor *m, const struct forward *asked,
                           enum rl_sshd_outcome outcome, const char *reason)
{
    tell(m, asked, outcome, reason);
    rl_monitor_answer_no(m, reason);
    return ANSWER;
}

static enum verdict connect_for(struct monitor *m, const struct forward *asked)
{
    struct forward *f = rl_forward_free_slot(m);
    if (!f)
        return refuse(m, asked, RL_SSHD_FAILURE, "too many forwarded connections at once");
    *f = *asked;
    f->is_used = true;
    if (!start_connector(m, f)) {
        release(f);
        return refuse(m, asked, RL_SSHD_FAILURE, "this node has no processes left");
    }
    struct pollfd p = {f->fd, POLLIN, 0};
    if (poll(&p, 1, PATIENCE_MS) <= 0) {
        f->is_late = true;
        rl_wire_begin(&m->out, RL_WIRE_YES);
        return ANSWER;
    }
    int fd = take_socket(m, f);
    if (fd < 0) {
        release(f);
        rl_monitor_answer_no(m, "could not connect");
        return ANSWER;
    }
    rl_wire_begin(&m->out, RL_WIRE_YES);
    m->out.fds[0] = fd;
    m->out.fds_n = 1;
    return ANSWER;
}

enum verdict rl_forward_open(struct monitor *m, struct rl_cursor *c)
{
    struct forward asked = {.fd = -1};
    asked.channel = rl_cursor_u32(c);
    uint8_t is_unix = rl_cursor_u8(c);
    rl_wire_text(c, asked.host, sizeof asked.host);
    uint32_t port = rl_cursor_u32(c);
    if (!rl_cursor_done(c) || is_unix > 1 || asked.channel != m->next_channel) {
        rl_monitor_refuse(m, "malformed request to forward");
        return SILENCE;
    }
    m->next_channel++;
    asked.is_unix = is_unix;
    asked.port = is_unix ? 0 : (uint16_t)port;
    if (!m->grant.port_forwarding)
        return refuse(m, &asked, RL_SSHD_DENIED, "your roles allow no forwarding");
    if (!*asked.host || (!is_unix && (port == 0 || port > UINT16_MAX)))
        return refuse(m, &asked, RL_SSHD_FAILURE, "no such host or port");
    return connect_for(m, &asked);
}

/* A connector that was late. The transport has the channel open and waits for its socket. */
void rl_forward_ready(struct monitor *m, size_t i)
{
    struct forward *f = &m->forwards[i];
    int fd = take_socket(m, f);
    rl_wire_begin(&m->out, RL_WIRE_CONNECTED);
    rl_buf_put_u32(&m->out.body, f->channel);
    if (fd >= 0) {
        m->out.fds[0] = fd;
        m->out.fds_n = 1;
    }
    rl_monitor_send(m);
    rl_wire_close_fds(&m->out);
    if (fd < 0)
        release(f);
}

bool rl_forward_closed(struct monitor *m, uint32_t channel)
{
    for (size_t i = 0; i < RL_SSHD_FORWARDS_MAX; i++) {
        struct forward *f = &m->forwards[i];
        if (!f->is_used || f->channel != channel)
            continue;
        release(f);
        return true;
    }
    return false;
}

void rl_forward_close_all(struct monitor *m)
{
    for (size_t i = 0; i < RL_SSHD_FORWARDS_MAX; i++)
        if (m->forwards[i].is_used)
            release(&m->forwards[i]);
}
