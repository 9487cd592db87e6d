/* sshd: the node's SSH server, in rooms.
 *
 * One process for each connection becomes the monitor: it holds the host key, decides and starts
 * sessions, and links no SSH library. The transport, which speaks SSH with the network, is a
 * confined process that the monitor does not believe: what it says is checked field by field, and
 * a lie ends the connection. The relay stands between a terminal and the transport. A connection
 * is bound to one user and one login; the first decision holds for all its sessions.
 */
#ifndef RL_SSHD_H
#define RL_SSHD_H

#include "sshcert/sshcert.h"

#include <sys/types.h>

#define RL_SSHD_SESSION_ID_BYTES 64
#define RL_SSHD_MESSAGE_BYTES_MAX 1024
#define RL_SSHD_SESSIONS_MAX 32  /* at once on one connection */
#define RL_SSHD_FORWARDS_MAX 64  /* at once on one connection */
#define RL_SSHD_LISTENERS_MAX 16 /* -R and the agent, at once on one connection */
#define RL_SSHD_COMMAND_BYTES_MAX 131071
#define RL_SSHD_LOGIN_BYTES_MAX 64

/** What the agent is asked when a user has shown a good certificate and its key. */
struct rl_sshd_request {
    const struct rl_sshcert *cert; /* signed by a trusted authority, valid now, for this login;
                                      cert->identity says who it is */
    const char *login;
    const char *peer_address; /* IP address as text; "" when it is not known */
};

/** The answer. All false and zero is the least that a session can have. A certificate that does
 * not permit a terminal or forwarding takes that away again. */
struct rl_sshd_grant {
    char session_id[RL_SSHD_SESSION_ID_BYTES]; /* of the whole connection, in every event */
    bool permit_pty, port_forwarding, agent_forwarding, file_copy;
    bool record;                    /* what terminals show, to the configuration's recording_fd */
    uint32_t client_idle_timeout_s; /* 0: none */
    int64_t disconnect_at_s;        /* seconds since 1970; 0: never */
    uint32_t max_sessions;          /* at once on this connection; 0: the configuration's */
    char message[RL_SSHD_MESSAGE_BYTES_MAX]; /* shown before the session; "" for none */
};

enum rl_sshd_event_type {
    RL_SSHD_SESSION_START,     /* kind, command, pty, columns, rows */
    RL_SSHD_SESSION_COMMAND,   /* command */
    RL_SSHD_SESSION_RESIZE,    /* columns, rows */
    RL_SSHD_SESSION_END,       /* kind, exit_code or signal, bytes_in, bytes_out, duration_ms */
    RL_SSHD_SESSION_REJECTED,  /* reason: a login, or a session that the grant does not allow */
    RL_SSHD_PORT_FORWARD,      /* host or path, port, direction, outcome */
    RL_SSHD_SFTP,              /* operation, outcome, path, target, bytes_in, bytes_out */
    RL_SSHD_CLIENT_DISCONNECT, /* reason, duration_ms: the last one of a connection */
};

enum rl_sshd_kind { RL_SSHD_SHELL, RL_SSHD_EXEC, RL_SSHD_SUBSYSTEM };
enum rl_sshd_outcome { RL_SSHD_SUCCESS, RL_SSHD_FAILURE, RL_SSHD_DENIED };

/** Fields that do not belong to the type are zero or "". Everything is borrowed for the call. */
struct rl_sshd_event {
    enum rl_sshd_event_type type;
    const char *session_id; /* "" before a decision */
    const char *login;      /* as asked for, not yet proven, in a rejection */
    const char *peer_address;
    uint32_t channel; /* counts the sessions of a connection from 0 */
    enum rl_sshd_kind kind;
    enum rl_sshd_outcome outcome;
    const char *command; /* or the subsystem's name */
    bool pty;
    uint32_t columns, rows;
    int exit_code;                /* -1 when a signal ended it or nothing is known */
    const char *signal;           /* "TERM" */
    uint64_t bytes_in, bytes_out; /* without a terminal they are the transport's word */
    uint64_t duration_ms;
    const char *host;
    uint16_t port;
    const char *direction;     /* "local" (-L, -D), "remote" (-R) or "agent" (-A) */
    const char *operation;     /* "start", "read", "write", "rename" and so on; "summary" of many */
    const char *path, *target; /* of a file: any bytes */
    const char *reason;        /* printable, for people */
};

struct rl_sshd_config {
    EVP_PKEY *host_key;                     /* Ed25519, borrowed */
    struct rl_span host_public;             /* its public key blob */
    struct rl_span host_certificate;        /* blob; n is 0 when there is none */
    const struct rl_span *user_authorities; /* public key blobs */
    size_t user_authorities_n;
    /* Of other clusters: principals that they certify are no logins here, so `authorize` alone
     * says which the user has. */
    const struct rl_span *foreign_authorities;
    size_t foreign_authorities_n;
    const char *node_name;
    const char *empty_dir; /* the transport's root: empty, root's own, not writable by others */
    uid_t room_uid_base;   /* a range of user ids that nobody else has; as root only */
    uint32_t room_uid_count;
    bool no_seccomp;             /* the kernel has none; all other confinement is in force */
    uint32_t login_grace_s;      /* 0: 60 */
    uint32_t attempts_max;       /* keys offered and signatures shown; 0: 20 */
    uint32_t sessions_max;       /* 0: 10; at most RL_SSHD_SESSIONS_MAX */
    int recording_fd;            /* SOCK_SEQPACKET: takes parts of recordings; 0 or -1: none */
    const char *motd_path;       /* shown in a new shell with a terminal; NULL: none */
    void *ctx;                   /* for the callbacks, which run in the monitor process */
    int64_t (*now_s)(void *ctx); /* seconds since 1970; NULL: the wall clock */
    /** RL_OK lets in; anything else refuses, and err->message is shown to the user. */
    rl_code (*authorize)(void *ctx, const struct rl_sshd_request *request,
                         struct rl_sshd_grant *grant, struct rl_error *err);
    /** Before each session; anything but RL_OK refuses it, and err->message is shown to the user.
     * NULL: nobody is asked. */
    rl_code (*start)(void *ctx, struct rl_error *err);
    void (*event)(void *ctx, const struct rl_sshd_event *event);
};

/** Serves one connection and returns when it is over. The calling process becomes its monitor: a
 * fresh child of the agent, with one thread and no gRPC core in it.
 *
 * `connection_fd`  stream socket with the client at its far end; taken over and closed
 * `control_fd`     SOCK_SEQPACKET from the agent, for rl_sshd_control_end(); -1: none. Taken over
 * `peer_address`   IP address as text, "" when it is not known
 * Errors           RL_E_INVAL: the configuration; RL_E_DENIED: the transport lied;
 *                  RL_E_DEADLINE: nobody logged in in time; RL_E_INTERNAL: no processes or
 *                  descriptors. What a client or a network does is no error
 * As root sessions run as their login; otherwise only the process's own user is served, and the
 * transport has no_new_privs and seccomp but neither its own user id nor an empty root. */
rl_code rl_sshd_serve(const struct rl_sshd_config *config, int connection_fd, int control_fd,
                      const char *peer_address, struct rl_error *err);

/** The agent's side of `control_fd`: ends the connection and tells the user why. Does not block.
 * Errors: RL_E_UNAVAILABLE when the monitor is gone */
rl_code rl_sshd_control_end(int control_fd, const char *message, struct rl_error *err);

/** Rooms, run by the monitor as fresh images of the same program under these names. */
#define RL_SSHD_RELAY_NAME "remoteler-ssh-relay"
#define RL_SSHD_CONNECT_NAME "remoteler-ssh-connect"
#define RL_SSHD_LISTEN_NAME "remoteler-ssh-listen"
#define RL_SSHD_SFTP_NAME "remoteler-sftp"
#define RL_SSHD_TRANSPORT_NAME "remoteler-ssh-transport"
int rl_sshd_relay_main(int argc, char **argv);
int rl_sshd_connect_main(int argc, char **argv);
int rl_sshd_listen_main(int argc, char **argv);
int rl_sshd_sftp_main(int argc, char **argv);

#endif
