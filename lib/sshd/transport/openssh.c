/* openssh: what OpenSSH's clients say and libssh 0.10 does not know: Unix sockets to be forwarded
 * (OpenSSH's PROTOCOL, 2.4) and the modes of a terminal. libssh's parser meets the requests as
 * their relatives for TCP, with the path as the host; its packer, where a channel of this kind is
 * to be opened, writes the other name. All by the linker's --wrap, as in shim.c. */
#include "internal.h"

#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#define PACK_END ((uint32_t)0x4f65feb3) /* libssh's mark behind the last argument */
#define UNIX_PORT 1u                    /* any but 0, which would ask for a free one */

static struct {
    bool is_unix;    /* in the request that is being handled */
    bool opens_unix; /* in the channel that is being opened */
    struct rl_span modes;
} now;

bool rl_openssh_is_unix(void)
{
    return now.is_unix;
}

struct rl_span rl_openssh_modes(void)
{
    return now.modes;
}

static struct rl_cursor rest_of(ssh_buffer packet)
{
    return rl_cursor_of(RL_SPAN(ssh_buffer_get(packet), ssh_buffer_get_len(packet)));
}

typedef int packet_handler(ssh_session session, uint8_t type, ssh_buffer packet, void *user);
packet_handler __real_ssh_packet_channel_open, __wrap_ssh_packet_channel_open;
packet_handler __real_ssh_packet_global_request, __wrap_ssh_packet_global_request;

static int handle_as_tcp(packet_handler *handler, ssh_session session, uint8_t type, void *user,
                         const struct rl_buf *as_tcp)
{
    ssh_buffer packet = ssh_buffer_new();
    int rc = SSH_ERROR;
    if (packet && ssh_buffer_add_data(packet, as_tcp->p, (uint32_t)as_tcp->n) == SSH_OK) {
        now.is_unix = true;
        rc = handler(session, type, packet, user);
        now.is_unix = false;
    }
    ssh_buffer_free(packet);
    return rc;
}

/* type, sender, window, packet; path, reserved, reserved -> host, port, originator, port. */
static bool open_as_tcp(struct rl_cursor c, struct rl_buf *out)
{
    bool is_unix = rl_span_is(rl_cursor_string(&c), "direct-streamlocal@openssh.com");
    struct rl_span channel = rl_cursor_bytes(&c, 3 * sizeof(uint32_t));
    struct rl_span path = rl_cursor_string(&c);
    rl_cursor_string(&c);
    rl_cursor_u32(&c);
    if (!is_unix || !rl_cursor_done(&c))
        return false;
    rl_buf_put_string(out, rl_span_of("direct-tcpip"));
    rl_buf_put_span(out, channel);
    rl_buf_put_string(out, path);
    rl_buf_put_u32(out, UNIX_PORT);
    rl_buf_put_string(out, rl_span_of(""));
    return rl_buf_put_u32(out, 0);
}

int __wrap_ssh_packet_channel_open(ssh_session session, uint8_t type, ssh_buffer packet, void *user)
{
    struct rl_buf as_tcp;
    rl_buf_init(&as_tcp, RL_WIRE_BYTES_MAX);
    int rc = open_as_tcp(rest_of(packet), &as_tcp)
                 ? handle_as_tcp(__real_ssh_packet_channel_open, session, type, user, &as_tcp)
                 : __real_ssh_packet_channel_open(session, type, packet, user);
    rl_buf_fini(&as_tcp);
    return rc;
}

/* name, want reply; path -> address, port. */
static bool request_as_tcp(struct rl_cursor c, struct rl_buf *out)
{
    struct rl_span name = rl_cursor_string(&c);
    uint8_t wants_reply = rl_cursor_u8(&c);
    struct rl_span path = rl_cursor_string(&c);
    bool opens = rl_span_is(name, "streamlocal-forward@openssh.com");
    bool cancels = rl_span_is(name, "cancel-streamlocal-forward@openssh.com");
    if (!(opens || cancels) || !rl_cursor_done(&c))
        return false;
    rl_buf_put_string(out, rl_span_of(opens ? "tcpip-forward" : "cancel-tcpip-forward"));
    rl_buf_put_u8(out, wants_reply);
    rl_buf_put_string(out, path);
    return rl_buf_put_u32(out, UNIX_PORT);
}

int __wrap_ssh_packet_global_request(ssh_session session, uint8_t type, ssh_buffer packet,
                                     void *user)
{
    struct rl_buf as_tcp;
    rl_buf_init(&as_tcp, RL_WIRE_BYTES_MAX);
    int rc = request_as_tcp(rest_of(packet), &as_tcp)
                 ? handle_as_tcp(__real_ssh_packet_global_request, session, type, user, &as_tcp)
                 : __real_ssh_packet_global_request(session, type, packet, user);
    rl_buf_fini(&as_tcp);
    return rc;
}

/* ---- the modes of a terminal ---- */

int __real_ssh_message_handle_channel_request(ssh_session session, ssh_channel channel,
                                              ssh_buffer packet, const char *request,
                                              uint8_t wants_reply);
int __wrap_ssh_message_handle_channel_request(ssh_session session, ssh_channel channel,
                                              ssh_buffer packet, const char *request,
                                              uint8_t wants_reply);

/* libssh reads them too, and keeps them to itself. */
int __wrap_ssh_message_handle_channel_request(ssh_session session, ssh_channel channel,
                                              ssh_buffer packet, const char *request,
                                              uint8_t wants_reply)
{
    if (strcmp(request, "pty-req") == 0) {
        struct rl_cursor c = rest_of(packet);
        rl_cursor_string(&c);
        rl_cursor_bytes(&c, 4 * sizeof(uint32_t));
        now.modes = rl_cursor_string(&c);
    }
    int rc =
        __real_ssh_message_handle_channel_request(session, channel, packet, request, wants_reply);
    now.modes = RL_SPAN(NULL, 0);
    return rc;
}

/* ---- a channel for a connection that came to a Unix socket ---- */

int ssh_buffer_pack_va(ssh_buffer buffer, const char *format, size_t count, va_list arguments);
int __real__ssh_buffer_pack(ssh_buffer buffer, const char *format, size_t count, ...);
int __wrap__ssh_buffer_pack(ssh_buffer buffer, const char *format, size_t count, ...);

int __wrap__ssh_buffer_pack(ssh_buffer buffer, const char *format, size_t count, ...)
{
    va_list a;
    va_start(a, count);
    int rc;
    if (now.opens_unix && strcmp(format, "bsddd") == 0) { /* CHANNEL_OPEN, kind, numbers */
        int type = va_arg(a, int);
        (void)va_arg(a, const char *);
        uint32_t channel = va_arg(a, uint32_t), window = va_arg(a, uint32_t);
        uint32_t packet = va_arg(a, uint32_t);
        rc = __real__ssh_buffer_pack(buffer, format, count, type,
                                     "forwarded-streamlocal@openssh.com", channel, window, packet,
                                     PACK_END);
    } else if (now.opens_unix && strcmp(format, "sdsd") == 0) { /* host, port, peer, port */
        const char *path = va_arg(a, const char *);
        rc = __real__ssh_buffer_pack(buffer, "ss", (size_t)2, path, "", PACK_END);
    } else {
        rc = ssh_buffer_pack_va(buffer, format, count, a);
    }
    va_end(a);
    return rc;
}

int rl_openssh_open_forwarded_unix(ssh_channel channel, const char *path)
{
    now.opens_unix = true;
    int rc = ssh_channel_open_reverse_forward(channel, path, 0, "", 0);
    now.opens_unix = false;
    return rc;
}
