/* internal: what the transport's files share. One process, one connection. */
#ifndef RL_SSHD_TRANSPORT_INTERNAL_H
#define RL_SSHD_TRANSPORT_INTERNAL_H

#include "sshd/listener.h"
#include "sshd/sshd.h"
#include "sshd/wire.h"

#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <libssh/server.h>
#include <poll.h>

#define CHANNELS_MAX (RL_SSHD_SESSIONS_MAX + RL_SSHD_FORWARDS_MAX)
#define MODES_BYTES_MAX 1024
#define PART_BYTES 65536
#define ENVIRONMENT_BYTES_MAX 4096
#define TERM_BYTES_MAX 64

/** Bytes on their way: `n` at `at`. */
struct part {
    size_t at, n;
    uint8_t bytes[PART_BYTES];
};

struct terminal {
    bool is_wanted;
    char term[TERM_BYTES_MAX];
    uint32_t columns, rows, width, height;
    size_t modes_n;
    uint8_t modes[MODES_BYTES_MAX];
};

enum { OUT, ERR, SOURCES };

/** Where a connection to the client comes from. */
struct origin {
    enum listen_kind kind;
    char host[256], peer[64];
    uint16_t port, peer_port;
};

/** A session or a forwarded connection. What comes from the client goes to `sink`; what `sources`
 * say goes to the client. -1: closed, or not there yet. */
struct channel {
    struct transport *transport;
    ssh_channel ssh;
    uint32_t id; /* the monitor's name for it, from start on */
    bool is_forward;
    bool has_started;
    bool is_opening;       /* forward from this side: the client has not answered yet */
    struct origin *origin; /* then: what it is opened as */
    bool is_connecting;    /* forward: accepted, its socket is still to come */
    bool has_exited;       /* session: its leader is gone */
    bool client_is_done, we_are_done;
    int sink, sources[SOURCES];
    struct part to_sink, to_client[SOURCES];
    uint64_t bytes_in, bytes_out;
    uint64_t grown_at; /* bytes_in when the window was last made large */
    bool wants_agent;
    uint32_t exit_code, exit_signal;
    struct terminal terminal;
    struct rl_buf environment; /* "NAME=value\0" each */
    struct ssh_channel_callbacks_struct callbacks;
};

struct transport {
    ssh_session session;
    ssh_event event;
    struct rl_wire_message message; /* the request, then its answer */
    struct channel *channels[CHANNELS_MAX];
    uint32_t next_id;
    bool permits_pty; /* what the monitor would refuse need not be asked */
    bool is_refused;  /* a proven user whom the node does not let in */
    bool is_active;   /* the user has sent something since the last notice */
    uint64_t active_told_ms;
    bool is_ending;
    char end_text[RL_SSHD_MESSAGE_BYTES_MAX];
    struct ssh_server_callbacks_struct callbacks;
};

/* ---- rpc.c: the monitor ---- */
/** Sends t->message and waits; the answer is in its place. What else comes meanwhile is taken
 * care of. Does not return when the monitor is gone. */
enum rl_wire_type rl_monitor_ask(struct transport *t);
void rl_monitor_tell(struct transport *t);
/** Reads what the monitor says by itself; false when it is gone. */
bool rl_monitor_listen(struct transport *t);
uint64_t rl_transport_now_ms(void);

/* ---- shim.c: libssh's dealings with private keys, taken to the monitor ---- */
bool rl_shim_init(struct transport *t, struct rl_span public_key, struct rl_span certificate,
                  struct rl_span cookie);
bool rl_shim_is_authenticated(void);

/* ---- network.c: reads ahead for libssh ---- */
void rl_network_start(void);
/** poll(), and what it says of the network is remembered for libssh. Our own calls come here by
 * name: what the compiler makes of poll() when it checks sizes is not wrapped. */
int rl_network_poll(struct pollfd *fds, nfds_t n, int timeout_ms);
/** What was read and libssh has not asked for yet. */
bool rl_network_has_more(void);

/* ---- auth.c ---- */
int rl_auth_public_key(ssh_session session, const char *user, ssh_key key, char state, void *ctx);
void rl_auth_show(struct transport *t, const char *text);

/* ---- channel.c ---- */
struct channel *rl_channel_create(struct transport *t);
void rl_channel_free(struct transport *t, size_t slot);
struct channel *rl_channel_by_id(struct transport *t, uint32_t id);
void rl_channel_close_fd(int *fd);
/** Does what can be done without waiting; true when something was. */
bool rl_channel_step(struct channel *c);
/** Bytes from source `which` (OUT, ERR) to the client; from the client to the sink. */
void rl_channel_pump_out(struct channel *c, int which);
void rl_channel_pump_in(struct channel *c);
bool rl_channel_can_go(const struct channel *c);

/* ---- session.c ---- */
ssh_channel rl_session_open(ssh_session session, void *ctx);
void rl_session_finish(struct channel *c);

/* ---- forward.c ---- */
int rl_forward_message(ssh_session session, ssh_message message, void *ctx);
void rl_forward_connected(struct transport *t, uint32_t id, struct rl_wire_message *m);
/** A connection for the client has come: the notice is in m. */
void rl_forward_accepted(struct transport *t, struct rl_wire_message *m);
/** Opens its channel, or goes on with that; false: the client does not want it. */
bool rl_forward_open_channel(struct channel *c);

/* ---- openssh.c: what OpenSSH says and libssh does not know ---- */
/** Whether the request that is being handled is about a Unix socket: its host is the path. */
bool rl_openssh_is_unix(void);
/** The terminal modes of the request that is being handled. */
struct rl_span rl_openssh_modes(void);
/** As ssh_channel_open_reverse_forward(), of a Unix socket. */
int rl_openssh_open_forwarded_unix(ssh_channel channel, const char *path);

#endif
