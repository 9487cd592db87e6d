/* forward: connections that the client asks for (-L, -D, -W), and those that came for it (-R, an
 * agent's). The monitor decides, connects, listens and accepts, by children under the user's own
 * id; here only descriptors arrive. X11 is refused. */
#include "internal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static void put_forward(struct transport *t, uint32_t id, bool is_unix, const char *host, int port)
{
    struct rl_buf *b = &t->message.body;
    rl_wire_begin(&t->message, RL_WIRE_FORWARD);
    rl_buf_put_u32(b, id);
    rl_buf_put_u8(b, is_unix);
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
    put_forward(t, c->id, rl_openssh_is_unix(),
                ssh_message_channel_request_open_destination(message),
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

/* ---- connections that came for the client ---- */

static bool read_origin(struct rl_cursor *c, struct origin *o)
{
    uint8_t kind = rl_cursor_u8(c);
    rl_wire_text(c, o->host, sizeof o->host);
    uint32_t port = rl_cursor_u32(c);
    rl_wire_text(c, o->peer, sizeof o->peer);
    uint32_t peer_port = rl_cursor_u32(c);
    o->kind = (enum listen_kind)kind;
    o->port = (uint16_t)port;
    o->peer_port = (uint16_t)peer_port;
    return rl_cursor_done(c) && kind <= LISTEN_AGENT;
}

/* Only taken here: this may be said in the middle of something else, and the channel is opened when
 * its turn comes. */
void rl_forward_accepted(struct transport *t, struct rl_wire_message *m)
{
    struct origin *o = rl_alloc(sizeof *o);
    struct rl_cursor fields = rl_wire_fields(m);
    uint32_t id = rl_cursor_u32(&fields);
    struct channel *c =
        read_origin(&fields, o) && m->fds_n == 1 && !t->is_ending ? rl_channel_create(t) : NULL;
    if (!c) {
        rl_wire_close_fds(m);
        free(o);
        return;
    }
    c->id = id;
    c->origin = o;
    c->is_forward = c->has_started = c->is_opening = true;
    take_socket(c, m);
}

bool rl_forward_open_channel(struct channel *c)
{
    const struct origin *o = c->origin;
    int rc = SSH_ERROR;
    if (!c->ssh)
        c->ssh = ssh_channel_new(c->transport->session);
    if (!c->ssh)
        return false;
    switch (o->kind) {
    case LISTEN_TCP:
        rc = ssh_channel_open_reverse_forward(c->ssh, o->host, o->port, o->peer, o->peer_port);
        break;
    case LISTEN_UNIX:
        rc = rl_openssh_open_forwarded_unix(c->ssh, o->host);
        break;
    case LISTEN_AGENT:
        rc = ssh_channel_open_auth_agent(c->ssh);
        break;
    }
    c->is_opening = rc == SSH_AGAIN;
    return rc == SSH_AGAIN || rc == SSH_OK;
}

/* ---- what the client asks for the whole connection ---- */

static void put_listen(struct transport *t, enum rl_wire_type type, ssh_message message)
{
    const char *address = ssh_message_global_request_address(message);
    rl_wire_begin(&t->message, type);
    rl_buf_put_u8(&t->message.body, rl_openssh_is_unix() ? LISTEN_UNIX : LISTEN_TCP);
    rl_buf_put_string(&t->message.body, rl_span_of(address ? address : ""));
    rl_buf_put_u32(&t->message.body, (uint32_t)ssh_message_global_request_port(message));
}

static int ask_to_listen(struct transport *t, enum rl_wire_type type, ssh_message message)
{
    if (!rl_shim_is_authenticated())
        return 1;
    put_listen(t, type, message);
    if (rl_monitor_ask(t) != RL_WIRE_YES)
        return 1;
    struct rl_cursor c = rl_wire_fields(&t->message);
    uint32_t port = type == RL_WIRE_LISTEN ? rl_cursor_u32(&c) : 0;
    ssh_message_global_request_reply_success(message, (uint16_t)port);
    return 0;
}

static int global_request(struct transport *t, ssh_message message)
{
    switch (ssh_message_subtype(message)) {
    case SSH_GLOBAL_REQUEST_KEEPALIVE:
        ssh_message_global_request_reply_success(message, 0);
        return 0;
    case SSH_GLOBAL_REQUEST_TCPIP_FORWARD:
        return ask_to_listen(t, RL_WIRE_LISTEN, message);
    case SSH_GLOBAL_REQUEST_CANCEL_TCPIP_FORWARD:
        return ask_to_listen(t, RL_WIRE_UNLISTEN, message);
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
