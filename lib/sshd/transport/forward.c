/* forward: connections that the client asks for (-L, -D, -W). The monitor decides, and a child
 * under the user's own id connects; here only the descriptor arrives. -R, agent and X11
 * forwarding are refused. */
#include "internal.h"

#include <fcntl.h>
#include <unistd.h>

static void put_forward(struct transport *t, uint32_t id, bool is_remote, const char *host,
                        int port)
{
    struct rl_buf *b = &t->message.body;
    rl_wire_begin(&t->message, RL_WIRE_FORWARD);
    rl_buf_put_u32(b, id);
    rl_buf_put_u8(b, is_remote);
    rl_buf_put_string(b, rl_span_of(host ? host : ""));
    rl_buf_put_u32(b, (uint32_t)port);
}

static void take_socket(struct channel *c, struct rl_wire_message *m)
{
    c->is_connecting = false;
    c->sink = m->fds[0];
    c->sources[OUT] = fcntl(c->sink, F_DUPFD_CLOEXEC, 0);
    fcntl(c->sink, F_SETFL, O_NONBLOCK); /* of the description, so of both */
    m->fds_n = 0;
}

static int open_direct(struct transport *t, ssh_message message)
{
    struct channel *c = rl_shim_is_authenticated() && !t->is_ending ? rl_channel_create(t) : NULL;
    if (!c)
        return 1;
    c->is_forward = true;
    c->id = t->next_id++;
    put_forward(t, c->id, false, ssh_message_channel_request_open_destination(message),
                ssh_message_channel_request_open_destination_port(message));
    bool is_allowed = rl_monitor_ask(t) == RL_WIRE_YES;
    if (is_allowed) {
        c->has_started = c->is_connecting = true;
        if (t->message.fds_n == 1)
            take_socket(c, &t->message);
        c->ssh = ssh_message_channel_request_open_reply_accept(message);
    }
    if (!c->ssh) {
        rl_wire_close_fds(&t->message);
        for (size_t i = 0; i < CHANNELS_MAX; i++)
            if (t->channels[i] == c)
                rl_channel_free(t, i);
        return 1;
    }
    return 0;
}

/* The connection that took longer than the monitor's first answer. */
void rl_forward_connected(struct transport *t, uint32_t id, struct rl_wire_message *m)
{
    struct channel *c = rl_channel_by_id(t, id);
    if (c && c->is_connecting && m->fds_n == 1) {
        take_socket(c, m);
        return;
    }
    rl_wire_close_fds(m);
    if (c)
        c->is_connecting = false; /* it came to nothing: without a socket the channel closes */
}

static int global_request(struct transport *t, ssh_message message)
{
    switch (ssh_message_subtype(message)) {
    case SSH_GLOBAL_REQUEST_KEEPALIVE:
        ssh_message_global_request_reply_success(message, 0);
        return 0;
    case SSH_GLOBAL_REQUEST_TCPIP_FORWARD:
        if (!rl_shim_is_authenticated())
            return 1;
        /* The monitor writes it down, and refuses. */
        put_forward(t, t->next_id++, true, ssh_message_global_request_address(message),
                    ssh_message_global_request_port(message));
        rl_monitor_ask(t);
        return 1;
    default:
        return 1;
    }
}

/* What is not named here gets libssh's refusal. */
int rl_forward_message(ssh_session session, ssh_message message, void *ctx)
{
    (void)session;
    struct transport *t = ctx;
    int type = ssh_message_type(message);
    if (type == SSH_REQUEST_GLOBAL)
        return global_request(t, message);
    if (type == SSH_REQUEST_CHANNEL_OPEN &&
        ssh_message_subtype(message) == SSH_CHANNEL_DIRECT_TCPIP)
        return open_direct(t, message);
    return 1;
}
