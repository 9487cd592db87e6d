/* monitor: what the monitor's files share. One process, one connection, no SSH library.
 *
 * The transport is not believed. What it asks is looked up in one table that says when it may be
 * asked; a malformed or untimely request, a descriptor from it, or a proof that does not hold is
 * a lie, and rl_monitor_refuse() ends the connection.
 */
#ifndef RL_SSHD_MONITOR_H
#define RL_SSHD_MONITOR_H

#include "account.h"
#include "exchange.h"
#include "listener.h"
#include "sftp/sftp.h"
#include "sshd/sshd.h"
#include "sshd/wire.h"

#include <sys/types.h>

#define MONITOR_REASON_BYTES RL_SSHD_MESSAGE_BYTES_MAX
#define TERM_BYTES_MAX 64
#define HOST_BYTES_MAX 256
#define ENVIRONMENT_BYTES_MAX 4096
#define MODES_BYTES_MAX 1024
#define SOCKET_PATH_BYTES 108

/** What an SFTP session did that was not told one by one. */
struct copying {
    int fd;                  /* from the SFTP server; -1 */
    uint64_t rests_until_ms; /* what it says lies in its socket until then */
    uint32_t tokens;
    uint64_t filled_ms, summed_ms;
    uint64_t untold[RL_SFTP_KINDS];
    uint64_t untold_bytes_read, untold_bytes_written;
};

struct session {
    bool is_used;
    uint32_t channel;
    enum rl_sshd_kind kind;
    pid_t leader;
    bool leader_is_gone;
    bool is_pty;
    pid_t relay;    /* a terminal's; 0: none, or gone */
    int relay_fd;   /* to it: window sizes; from it: what it carried. -1 */
    bool is_closed; /* the transport has closed the channel */
    struct copying copying;
    int exit_code, exit_signal;
    uint64_t bytes_in, bytes_out, started_ms;
};

/** A connection that is made for the client, or came for it. */
struct forward {
    bool is_used;
    uint32_t channel;
    bool is_open; /* the socket was handed over */
    bool is_unix; /* `host` is a path */
    bool is_late; /* the transport went on; it is told by RL_WIRE_CONNECTED */
    pid_t connector;
    int fd; /* from the connector; -1 when it has answered */
    char host[HOST_BYTES_MAX];
    uint16_t port;
};

/** What others on this node may connect to, to reach the client. */
struct listener {
    bool is_used;
    enum listen_kind kind;
    int fds[2];                /* -1: none */
    int room_fd;               /* to the room that made them; hung up when it may clean up */
    char host[HOST_BYTES_MAX]; /* as the client asked, or a path */
    uint16_t port;
    char path[SOCKET_PATH_BYTES]; /* of a socket that has one */
};

/** Why the connection ends. The first one said stays. */
enum monitor_end { END_NOT, END_CLIENT, END_GRACEFULLY, END_LIE, END_LOGIN_TIME };

struct monitor {
    const struct rl_sshd_config *config;
    char peer[64];
    bool is_root;
    uint64_t started_ms;
    /* rooms */
    int wire, control, signals;
    pid_t transport; /* 0: reaped */
    int transport_status;
    struct rl_wire_message in, out;
    /* the key exchange */
    uint8_t cookie[EXCHANGE_COOKIE_BYTES];
    uint8_t ssh_session_id[EXCHANGE_HASH_BYTES_MAX];
    size_t ssh_session_id_n;
    uint32_t sign_tokens;
    uint64_t sign_filled_ms;
    /* who */
    uint32_t attempts;
    bool is_authenticated;
    char login[RL_SSHD_LOGIN_BYTES_MAX];
    struct rl_buf certificate_blob;
    struct rl_sshcert certificate;
    struct rl_sshd_grant grant;
    struct account account;
    /* what they do */
    struct session sessions[RL_SSHD_SESSIONS_MAX];
    struct forward forwards[RL_SSHD_FORWARDS_MAX];
    struct listener listeners[RL_SSHD_LISTENERS_MAX];
    uint32_t next_channel, next_accepted;
    uint64_t active_ms;
    /* the end */
    enum monitor_end end;
    char reason[MONITOR_REASON_BYTES];
    uint64_t end_deadline_ms;
};

/** What a request's handler says: the answer in m->out, or a lie, or nothing to answer. */
enum verdict { ANSWER, SILENCE };

/* ---- monitor.c ---- */
uint64_t rl_monitor_now_ms(void);
int64_t rl_monitor_wall_s(const struct monitor *m);
/** Ends the connection at once: the transport said what an honest one never would. */
void rl_monitor_refuse(struct monitor *m, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/** Ends it in good order and tells the user why. */
void rl_monitor_end(struct monitor *m, enum monitor_end how, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void rl_monitor_event(struct monitor *m, struct rl_sshd_event *event);
/** Sends m->out to the transport, when there is one; its descriptors stay open. */
void rl_monitor_send(struct monitor *m);
void rl_monitor_answer_no(struct monitor *m, const char *text);

/* ---- request.c: the table of what may be asked, and when ---- */
void rl_request_dispatch(struct monitor *m);
/** Milliseconds until another request may be read (the rekey bucket is empty); 0: now. */
uint32_t rl_request_wait_ms(struct monitor *m);

/* ---- login.c ---- */
enum verdict rl_login_query(struct monitor *m, struct rl_cursor *c);
enum verdict rl_login_verify(struct monitor *m, struct rl_cursor *c);

/* ---- session.c ---- */
enum verdict rl_session_start(struct monitor *m, struct rl_cursor *c);
enum verdict rl_session_window(struct monitor *m, struct rl_cursor *c);
enum verdict rl_session_signal(struct monitor *m, struct rl_cursor *c);
enum verdict rl_session_closed(struct monitor *m, struct rl_cursor *c);
/** A child has ended; true when it was a session's. */
bool rl_session_reaped(struct monitor *m, pid_t pid, int status);
/** Sends a signal to the group of every live session. */
void rl_session_kill_all(struct monitor *m, int number);
bool rl_session_any_alive(const struct monitor *m);
/** Writes down the end of all that are still open. */
void rl_session_end_all(struct monitor *m);

/* ---- forward.c ---- */
enum verdict rl_forward_open(struct monitor *m, struct rl_cursor *c);
bool rl_forward_closed(struct monitor *m, uint32_t channel);
/** The connector of forwards[i] has something to say. */
void rl_forward_ready(struct monitor *m, size_t i);
void rl_forward_close_all(struct monitor *m);

/** A slot for another connection; NULL when there are too many. */
struct forward *rl_forward_free_slot(struct monitor *m);

/* ---- listener.c ---- */
enum verdict rl_listener_open(struct monitor *m, struct rl_cursor *c);
enum verdict rl_listener_close(struct monitor *m, struct rl_cursor *c);
/** The path of the socket that leads to the client's agent; NULL when there is to be none. */
const char *rl_listener_agent(struct monitor *m);
/** Somebody has connected to listeners[i]. */
void rl_listener_ready(struct monitor *m, size_t i, size_t which);
void rl_listener_close_all(struct monitor *m);

/* ---- copying.c: what an SFTP session does ---- */
void rl_copying_start(struct session *x, int fd);
/** What to wait at; -1: nothing, or not yet: `*next_ms` is then no later than when. */
int rl_copying_fd(const struct session *x, uint64_t *next_ms);
/** Tells what its server said. */
void rl_copying_ready(struct monitor *m, struct session *x);
/** Tells the rest. */
void rl_copying_end(struct monitor *m, struct session *x);

/* ---- modes.c ---- */
/** Sets a terminal as the client's own is set; what it does not know is left alone.
 * Source: RFC 4254, 8 */
void rl_modes_apply(int terminal, struct rl_span modes);

/* ---- room.c ---- */
#define ROOM_FDS_MAX 4
/** Starts a room as a fresh image of this program: no host key in its memory, nothing open but
 * `fds`, as 3 and up. `argument` is the room's own; NULL: none. -1 on failure. */
pid_t rl_room_start(const struct monitor *m, const char *name, const int *fds, size_t fds_n,
                    const char *argument);
/** A connector, for the user whom the connection is bound to. */
pid_t rl_room_start_connector(const struct monitor *m, int fd, bool is_unix, const char *host,
                              const char *port);

/** A room that listens, for the same user. */
pid_t rl_room_start_listener(const struct monitor *m, int fd, enum listen_kind kind,
                             const char *host, uint16_t port);

/* ---- spawn.c ---- */
struct spawn {
    const struct monitor *monitor;
    const char *command;          /* NULL: a login shell */
    int sftp_fd;                  /* runs our own SFTP server, which tells here; -1: no */
    const char *agent_path;       /* of the forwarded agent; NULL: none */
    const char *original_command; /* of a forced one; NULL */
    const char *term;             /* NULL: no terminal */
    const char *tty;
    struct rl_span environment; /* what the client asked for */
    int fds[3];                 /* become stdin, stdout, stderr */
};
/** The session's first process. -1 on failure. */
pid_t rl_spawn_session(const struct spawn *what);

#endif
