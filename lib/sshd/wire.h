/* wire: what the rooms say to each other. One message is one SOCK_SEQPACKET datagram: a type byte,
 * then SSH-encoded fields; descriptors ride along. Only the monitor sends descriptors.
 */
#ifndef RL_SSHD_WIRE_H
#define RL_SSHD_WIRE_H

#include "bytes/buf.h"

/** Holds the longest command (RL_SSHD_COMMAND_BYTES_MAX) with its environment. */
#define RL_WIRE_BYTES_MAX (160 * 1024)
#define RL_WIRE_FDS_MAX 3

/** Descriptors that every room starts with. */
enum { RL_ROOM_FD_FIRST = 3, RL_ROOM_FD_SECOND = 4 };

enum rl_wire_type {
    /* transport to monitor; each is answered by YES or NO, but for the notices */
    RL_WIRE_SIGN = 1, /* exchange hash input -> YES signature blob */
    RL_WIRE_QUERY,    /* login, certificate -> NO text */
    RL_WIRE_VERIFY,   /* login, service, algorithm, certificate, signature -> YES grant */
    RL_WIRE_START,    /* channel, kind, command, pty, term, columns, rows, pixels, modes,
                         environment, wants agent */
    RL_WIRE_WINDOW,   /* channel, columns, rows, width, height */
    RL_WIRE_SIGNAL,   /* channel, name */
    RL_WIRE_FORWARD,  /* channel, is_unix, host or path, port -> YES, perhaps a descriptor */
    RL_WIRE_CLOSED,   /* notice: channel, bytes in, bytes out */
    RL_WIRE_ACTIVE,   /* notice: the user has sent something */
    RL_WIRE_GONE,     /* notice: text; why the transport is about to end */
    RL_WIRE_LISTEN,   /* kind, host or path, port -> YES port */
    RL_WIRE_UNLISTEN, /* the same -> YES */
    /* monitor to transport */
    RL_WIRE_HELLO = 64, /* host public key, host certificate, cookie */
    RL_WIRE_YES,
    RL_WIRE_NO,        /* text for the user, or "" */
    RL_WIRE_EXIT,      /* channel, exit code, signal number */
    RL_WIRE_CONNECTED, /* channel; a descriptor, or none when it failed */
    RL_WIRE_END,       /* text for the user: end the connection */
    RL_WIRE_ACCEPTED,  /* channel, kind, host or path, port, peer, peer's port; a descriptor */
    /* the SFTP server to the monitor */
    RL_WIRE_FILE = 96, /* kind, errno, bytes read, bytes written, path, target */
};

struct rl_wire_message {
    struct rl_buf body; /* the type byte first */
    int fds[RL_WIRE_FDS_MAX];
    size_t fds_n;
};

enum rl_wire_result { RL_WIRE_GOT, RL_WIRE_CLOSED_BY_PEER, RL_WIRE_NOTHING_YET, RL_WIRE_BROKEN };

void rl_wire_init(struct rl_wire_message *m);
/** Frees the body. Descriptors are the caller's. */
void rl_wire_fini(struct rl_wire_message *m);
/** Starts a message over; fields are appended to m->body. */
void rl_wire_begin(struct rl_wire_message *m, enum rl_wire_type type);
/** False when the message did not fit or the peer is gone. Its descriptors stay open. */
bool rl_wire_send(int socket, const struct rl_wire_message *m);
/** `flags` as recvmsg(). Descriptors that come are close-on-exec and the caller's; a message that
 * was cut is RL_WIRE_BROKEN and leaves none open. */
enum rl_wire_result rl_wire_receive(int socket, struct rl_wire_message *m, int flags);
void rl_wire_close_fds(struct rl_wire_message *m);
uint8_t rl_wire_type(const struct rl_wire_message *m);
/** The fields after the type. */
struct rl_cursor rl_wire_fields(const struct rl_wire_message *m);
/** A field as text: no NUL inside, and it must fit; else the cursor fails and out is "". */
void rl_wire_text(struct rl_cursor *c, char *out, size_t size);

#endif
