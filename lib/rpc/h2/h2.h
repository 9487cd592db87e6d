/* h2: gRPC's wire on nghttp2 and our own TLS. A connection is one socket, one SSL and one nghttp2
 * session on one loop; nothing in it is shared with another thread. Internal to lib/rpc/h2.
 *
 * Callbacks run while nghttp2 is on the stack, and may free the server or channel that they belong
 * to: a connection that is closed then lives, emptied, until the stack is unwound (`depth`).
 */
#ifndef RL_RPC_H2_H
#define RL_RPC_H2_H

#include "clock/pace.h"
#include "rpc/h2/window.h"
#include "rpc/transport.h"
#include "tls/proxy_protocol.h"

#include <nghttp2/nghttp2.h>
#include <sys/socket.h>

/* DATA of this size and its 9-byte header fill one TLS record. */
#define RL_H2_FRAME_BYTES 16375
#define RL_H2_HEADER_LIST_BYTES_MAX 16384
#define RL_H2_STREAM_WINDOW_BYTES (256u << 10)
#define RL_H2_CONNECTION_WINDOW_BYTES (64u << 10)
#define RL_H2_NOTSENT_LOWAT_BYTES (64 << 10)

struct rl_h2_connection;
struct rl_h2_stream;

/* What the owner, a server or a channel, wants of its connections; it outlives them. */
struct rl_h2_config {
    struct rl_loop *loop;
    struct rl_rpc_server *server; /* NULL: a client */
    uint32_t stream_window_bytes, stream_window_bytes_max, connection_window_bytes;
    uint32_t concurrent_calls_max;
    uint32_t keepalive_ms, keepalive_timeout_ms;
    int64_t (*now_s)(void *context);
    void *now_context;

    void *owner;
    /* The handshake is done, the peer known: calls may start. */
    void (*opened)(void *owner, struct rl_h2_connection *connection);
    /* The other side's SETTINGS came: it has accepted us. */
    void (*settled)(void *owner, struct rl_h2_connection *connection);
    /* The other side said GOAWAY: no new calls on this one. */
    void (*leaving)(void *owner, struct rl_h2_connection *connection, const char *reason);
    /* Its last stream is gone. */
    void (*idle)(void *owner, struct rl_h2_connection *connection);
    /* Last: its calls were closed, the owner takes it off its list. */
    void (*closed)(void *owner, struct rl_h2_connection *connection, rl_code code,
                   const char *reason);
};

void rl_h2_config_set_defaults(struct rl_h2_config *config);

/* What arrives in a round trip: from a PING to its answer (round.c). */
struct rl_h2_round {
    bool is_running;
    uint32_t number, rest_ms;
    uint32_t idle_count; /* rounds since the last that changed something */
    uint64_t ping_us, rests_until_ms;
    uint64_t before, received; /* bytes before it began, since it began */
    uint64_t came_ms, gap_ms;  /* when something came last; the longest time that nothing did */
    struct rl_h2_stream *busiest;
};

/* ---- connections (connection.c, io.c, session.c, keepalive.c) ---- */

struct rl_h2_connection {
    const struct rl_h2_config *config;
    struct rl_h2_connection *next, **link; /* the owner's list */
    struct rl_rpc_remote *remote;          /* NULL until the handshake is done */
    char *address, *via;                   /* via: the proxy that it came through; NULL: none */
    struct rl_h2_stream *streams;

    int fd;
    SSL *ssl;
    nghttp2_session *session; /* NULL until the handshake is done */
    struct rl_watch *watch;
    struct rl_task *turn; /* what is left for the end of this turn: read on, flush */
    unsigned depth;       /* callers of ours on the stack that still need it */
    bool is_closed, is_tls_broken, must_read_on, read_wants_write;

    size_t batch_bytes; /* taken from nghttp2 before it is sent */
    /* Output that the socket did not take: first what was gathered, then nghttp2's own buffer. */
    uint8_t *kept;
    size_t kept_done, kept_n;
    const uint8_t *lent;
    size_t lent_n;

    struct rl_timer *alive;  /* the handshake's deadline, then keepalive */
    struct rl_timer *expiry; /* of the peer's certificate; or of the grace when it is leaving */
    uint64_t heard_ms, ping_us, leave_ping_us;
    bool is_awaiting_pong, has_settled;
    uint64_t least_rtt_us; /* 0: none yet */
    struct rl_h2_round round;
    bool carries; /* raw streams; what messages bring beside them does not count as busy */
    struct rl_h2_alone alone;
    struct rl_pace pace;             /* of the only busy stream */
    struct rl_h2_stream *alone_who;  /* whose windows follow it; NULL: nobody's */
    uint32_t alone_bytes;            /* how wide they are for it */
    uint32_t alone_borrowed;         /* of the process's budget, for the stream's */
    uint32_t window_bytes, borrowed; /* now; of it from the process's budget */
    bool is_leaving, is_leaving_for_good, is_finishing;
    char *leave_reason;
};

/** Takes over `fd` and `ssl`, on errors too. The handshake is done in the loop, within timeout_ms.
 * `address` is the other side's, for those who ask who it is. */
rl_code rl_h2_connection_create(const struct rl_h2_config *config, int fd, SSL *ssl,
                                const char *address, uint64_t timeout_ms,
                                struct rl_h2_connection **out, struct rl_error *err);
/** Ends it and its calls now. */
void rl_h2_connection_close(struct rl_h2_connection *connection, rl_code code, const char *reason);
/** Ends it and its calls at the end of this turn, after GOAWAY was sent if the socket takes it. */
void rl_h2_connection_finish(struct rl_h2_connection *connection, const char *reason);
/** Server: no new calls; ends when the last is done, or after grace_ms. */
void rl_h2_connection_leave(struct rl_h2_connection *connection, uint64_t grace_ms,
                            const char *reason);
/** Something is to be sent: at the end of this turn. */
void rl_h2_connection_wake(struct rl_h2_connection *connection);

void rl_h2_connection_enter(struct rl_h2_connection *connection);
/** The counterpart; false when the connection was closed meanwhile: it may be gone now. */
bool rl_h2_connection_exit(struct rl_h2_connection *connection);

/* session.c */
rl_code rl_h2_session_start(struct rl_h2_connection *connection, struct rl_error *err);

/* io.c */
rl_code rl_h2_io_start(struct rl_h2_connection *connection, struct rl_error *err);
void rl_h2_io_stop(struct rl_h2_connection *connection);
/* connection.c, called by io.c */
void rl_h2_connection_advance(struct rl_h2_connection *connection);

/* keepalive.c */
void rl_h2_keepalive_start(struct rl_h2_connection *connection);
void rl_h2_keepalive_heard(struct rl_h2_connection *connection);
void rl_h2_keepalive_pong(struct rl_h2_connection *connection, const uint8_t opaque[8]);
void rl_h2_keepalive_ping(struct rl_h2_connection *connection, uint64_t timeout_ms);

/* round.c */
void rl_h2_round_count(struct rl_h2_connection *connection, struct rl_h2_stream *stream, size_t n);
void rl_h2_round_end(struct rl_h2_connection *connection, uint64_t ping_us, uint64_t rtt_us);
void rl_h2_round_forget(struct rl_h2_connection *connection, struct rl_h2_stream *stream);

/* ---- streams (stream.c, receive.c, headers.c) ---- */

struct rl_h2_stream {
    struct rl_rpc_call call;             /* first */
    struct rl_h2_connection *connection; /* NULL: it waits for one, or is over */
    struct rl_h2_stream *next, **link;   /* the connection's list, or the channel's */
    int32_t id;

    struct rl_rpc_message *sending;
    size_t sent;

    struct rl_buf in; /* what was not delivered yet, from in_done on */
    size_t in_done;
    size_t owed;                     /* bytes of the stream's window that were not given back */
    uint32_t window_bytes, borrowed; /* as the connection's; 0: as it began */
    uint32_t round;                  /* the last in which something came, and how much */
    uint64_t round_received;
    struct rl_task *deliver;
    bool is_delivering, is_parked /* gone from the wire, but not delivered whole */;

    /* Headers. Servers: of the request. */
    uint64_t timeout_ms;
    size_t header_bytes;
    bool is_post, is_grpc, is_bad_timeout;
    bool is_opening, is_responded, is_trailer_submitted;
    bool has_ended; /* the other side sends no more */
    /* Clients: of the response. */
    int http_status;
    int grpc_status; /* -1: none yet */
    char *grpc_message;
};

static inline struct rl_h2_stream *rl_h2_stream_of(struct rl_rpc_call *call)
{
    return (struct rl_h2_stream *)call;
}

void rl_h2_stream_wake(struct rl_rpc_call *call);
void rl_h2_stream_resume(struct rl_rpc_call *call);
void rl_h2_stream_cancel(struct rl_rpc_call *call);
void rl_h2_stream_release(struct rl_rpc_call *call);
#define RL_H2_CALL_OPS                                                                             \
    {                                                                                              \
        .wake = rl_h2_stream_wake, .resume = rl_h2_stream_resume, .cancel = rl_h2_stream_cancel,   \
        .release = rl_h2_stream_release                                                            \
    }

/** Server: HEADERS begin. */
struct rl_h2_stream *rl_h2_stream_accept(struct rl_h2_connection *connection, int32_t id);
/** Client: sends the request of a call that waited. */
void rl_h2_stream_start(struct rl_h2_stream *stream, struct rl_h2_connection *connection);
void rl_h2_stream_link(struct rl_h2_stream *stream, struct rl_h2_stream **list);
void rl_h2_stream_unlink(struct rl_h2_stream *stream);
/** nghttp2 is done with it. */
void rl_h2_stream_closed(struct rl_h2_stream *stream, uint32_t error);
/** The connection is gone. */
void rl_h2_stream_lost(struct rl_h2_stream *stream, rl_code code, const char *reason);
/** The request's headers are whole. */
void rl_h2_stream_open(struct rl_h2_stream *stream);

/* headers.c */
void rl_h2_header(struct rl_h2_stream *stream, struct rl_span name, struct rl_span value);
int rl_h2_submit_request(struct rl_h2_stream *stream, nghttp2_data_source_read_callback read);
int rl_h2_submit_response(struct rl_h2_stream *stream, nghttp2_data_source_read_callback read);
int rl_h2_submit_trailer(struct rl_h2_stream *stream);

/* receive.c */
void rl_h2_receive(struct rl_h2_stream *stream, const uint8_t *bytes, size_t n);
void rl_h2_receive_end(struct rl_h2_stream *stream);
void rl_h2_deliver_later(struct rl_h2_stream *stream);
bool rl_h2_is_delivered(const struct rl_h2_stream *stream);
/** The channel's list of calls that are gone from the wire but not delivered whole (channel.c). */
struct rl_h2_stream **rl_h2_parked(struct rl_rpc_channel *channel);
/** Gives n bytes of the stream's window back. */
void rl_h2_stream_consume(struct rl_h2_stream *stream, size_t n);

/* ---- channels (channel.c) ---- */

/** The longest time until the next attempt, when no connection was good for `away_ms`. */
uint32_t rl_h2_backoff_ms(uint64_t away_ms);

/* ---- servers (server.c, arrival.c) ---- */

struct rl_h2_server;

/* A listening socket. */
struct rl_h2_listener {
    struct rl_h2_server *server;
    struct rl_h2_listener *next;
    int fd;
    struct rl_watch *watch;
    struct rl_timer *pause; /* no descriptor was left: tried again later */
    struct rl_tls_server *tls;
    struct rl_trust *proxied_by;
    struct rl_proxy_signers signers;
    bool is_held; /* nobody is let in yet */
};

/** A socket was accepted: with a PROXY header first where one must come. Takes over `fd`. */
void rl_h2_arrive(struct rl_h2_listener *listener, int fd);
/** Its TLS may begin; `early` was read off the socket already; `via` is the proxy that it came
 * through, or NULL. Takes over `fd`. */
void rl_h2_server_greet(struct rl_h2_listener *listener, int fd, struct rl_span early,
                        const char *address, const char *via);

/* A socket whose PROXY header and ClientHello are not whole yet. */
struct rl_h2_arrival {
    struct rl_h2_listener *listener;
    struct rl_h2_arrival *next, **link; /* the server's list */
    int fd;
    uint64_t came_ms;
    struct rl_watch *watch;
    struct rl_timer *deadline;
    struct rl_buf early;
};
void rl_h2_arrival_free(struct rl_h2_arrival *arrival);
void rl_h2_server_add_arrival(struct rl_h2_server *server, struct rl_h2_arrival *arrival);
void rl_h2_server_remove_arrival(struct rl_h2_server *server, struct rl_h2_arrival *arrival);
struct rl_loop *rl_h2_server_loop(const struct rl_h2_server *server);
int64_t rl_h2_server_now_s(const struct rl_h2_server *server);

/** "HOST:PORT" of a socket address; heap text. */
char *rl_h2_address_text(const struct sockaddr_storage *address);

#endif
