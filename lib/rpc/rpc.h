/* rpc: one face for remote calls, over two transports that speak the same wire: gRPC C core
 * (control, service to service) and nghttp2 on our own TLS (data, and whatever faces the world). A
 * handler can not tell which called it. Services and messages are protobuf-c's descriptors.
 *
 * Threads: a server or channel belongs to one loop, and every callback runs on that loop's thread,
 * whatever the transport. Unary handlers may run on workers instead. rl_rpc_reply, rl_rpc_fail,
 * rl_rpc_send and rl_rpc_end may be called from any thread; they post to the loop.
 */
#ifndef RL_RPC_H
#define RL_RPC_H

#include "identity/identity.h"
#include "loop/loop.h"
#include "loop/workers.h"
#include "tls/tls.h"

#include <protobuf-c/protobuf-c.h>

#define RL_RPC_MESSAGE_BYTES_MAX (4u << 20) /* a message, either way */
#define RL_RPC_METHOD_BYTES_MAX 128
#define RL_RPC_SEND_QUEUE_BYTES_MAX (8u << 20) /* a stream's unsent messages */
#define RL_RPC_CONCURRENT_CALLS_MAX 10000      /* on one connection */
#define RL_RPC_CONNECTIONS_MAX 16000           /* of one server */
#define RL_RPC_HANDSHAKES_MAX 1024             /* half-open: then one of a second makes room */
#define RL_RPC_HANDSHAKE_MS 10000
#define RL_RPC_KEEPALIVE_MS 10000         /* a PING after this silence ... */
#define RL_RPC_KEEPALIVE_TIMEOUT_MS 10000 /* ... and the connection is dead this long after it */
/* Between an agent and its broker: the agent's PING is its heartbeat. The other end sends one of
 * its own only when that is overdue, so that an idle link carries one each way and no more. */
#define RL_RPC_HEARTBEAT_MS 15000
#define RL_RPC_HEARTBEAT_OVERDUE_MS 17000
#define RL_RPC_HEARTBEAT_TIMEOUT_MS 8000 /* a silent agent is offline after 25 s */

struct rl_rpc_call;
struct rl_http_proxy; /* dial/http_proxy.h */

/** Who is at the other end; borrowed for the life of the call. */
struct rl_rpc_peer {
    const struct rl_identity *identity; /* NULL: none was shown */
    const char *address; /* HOST:PORT of the client; by PROXY v2 where it came through the proxy */
    const char *via;     /* the id of the proxy that it came through; NULL: it came itself */
    uint64_t connection; /* the same number: the same connection; never reused */
};
const struct rl_rpc_peer *rl_rpc_peer(const struct rl_rpc_call *call);
/** Milliseconds until the deadline; INT64_MAX when there is none. */
int64_t rl_rpc_remaining_ms(const struct rl_rpc_call *call);
/** For what the handler keeps with the call. */
void rl_rpc_set_data(struct rl_rpc_call *call, void *data);
void *rl_rpc_data(const struct rl_rpc_call *call);

/* ---- streams, either side ---- */

struct rl_rpc_stream_ops {
    /* A message arrived, borrowed for the call. The next one is asked for when this returns, unless
     * rl_rpc_pause() was called: that is the back-pressure. */
    void (*message)(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context);
    /* The other side sends no more. NULL: a server ends the call with OK. */
    void (*half_closed)(struct rl_rpc_call *call, void *context);
    /* The send queue fell below a quarter of its maximum after a send was refused. May be NULL. */
    void (*writable)(struct rl_rpc_call *call, void *context);
    /* Last callback; always comes once, whoever ended it: end, cancel, deadline, broken connection.
     * The call is gone after it returns. */
    void (*closed)(struct rl_rpc_call *call, rl_code code, const char *message, void *context);
};
/** Queues a message (packed at once). Errors: RL_E_EXHAUSTED when the queue is full: wait for
 * `writable`; RL_E_INVAL when it is larger than a message may be; RL_E_CANCELLED when the call is
 * over. */
rl_code rl_rpc_send(struct rl_rpc_call *call, const ProtobufCMessage *message,
                    struct rl_error *err);
void rl_rpc_pause(struct rl_rpc_call *call);
void rl_rpc_resume(struct rl_rpc_call *call);
/** Client: no more messages from here. Server: ends the call with a status after what is queued,
 * and hears no more of it but `closed`. */
void rl_rpc_end(struct rl_rpc_call *call, rl_code code, const char *message);
/** Ends it at once, either side; `closed` still comes, later. */
void rl_rpc_cancel(struct rl_rpc_call *call);

/* ---- servers ---- */

/** Completes with one rl_rpc_reply or rl_rpc_fail, from any thread, now or later; `request` lives
 * until then. A call that its client has cancelled completes into nothing, without harm. */
typedef void (*rl_rpc_unary_fn)(struct rl_rpc_call *call, const ProtobufCMessage *request,
                                void *context);
void rl_rpc_reply(struct rl_rpc_call *call, const ProtobufCMessage *reply);
/** The same with a reply that is packed already: one of thousands of parts that nobody wants to
 * keep until it is sent. Copied. */
void rl_rpc_reply_packed(struct rl_rpc_call *call, struct rl_span reply);
void rl_rpc_fail(struct rl_rpc_call *call, const struct rl_error *error);

/** A server stream's first callback: headers have come. May end the call. NULL: accepted. */
typedef void (*rl_rpc_opened_fn)(struct rl_rpc_call *call, void *context);

struct rl_rpc_raw_ops; /* rpc/raw.h: the data path */

/** How one method of a service is answered: exactly one of unary, stream, raw. */
struct rl_rpc_handler {
    const char *method; /* its name in the descriptor */
    rl_rpc_unary_fn unary;
    const struct rl_rpc_stream_ops *stream;
    rl_rpc_opened_fn opened;          /* with stream */
    const struct rl_rpc_raw_ops *raw; /* nghttp2 only */
};

/** May this caller call this? Deny is the default: there is no server without one. */
typedef rl_code (*rl_rpc_authorize_fn)(void *context, const char *service, const char *method,
                                       const struct rl_rpc_peer *peer, struct rl_error *err);

struct rl_rpc_server_config {
    struct rl_loop *loop;
    struct rl_workers *workers; /* NULL: unary handlers run on the loop */
    rl_rpc_authorize_fn authorize;
    void *authorize_context;
    /* 0: the defaults above */
    uint32_t message_bytes_max, concurrent_calls_max, connections_max;
    /* nghttp2: what a stream may hold, and the connection's queue */
    uint32_t stream_window_bytes, connection_window_bytes;
    /* Up to here a stream's window may grow with a long path; 0: it does not grow. */
    uint32_t stream_window_bytes_max;
    uint32_t keepalive_ms, keepalive_timeout_ms;
    /* Told when a connection is up and gone, with its number; may be NULL. */
    void (*connected)(void *context, const struct rl_rpc_peer *peer);
    void (*disconnected)(void *context, const struct rl_rpc_peer *peer, const char *reason);
    void *connection_context;
    /* What a peer's certificate is held against while the connection lives; NULL: the wall clock.
     */
    int64_t (*now_s)(void *context);
    void *now_context;
};

struct rl_rpc_server;
/** Over nghttp2. */
rl_code rl_rpc_server_create_h2(const struct rl_rpc_server_config *config,
                                struct rl_rpc_server **out, struct rl_error *err);
/** Over gRPC core (rpc/grpc/; services only: never in a process that forks). It owns its
 * connections and says little of them. So: one address for each server; `connected` and
 * `disconnected` are never called and connections_max is not held; a connection has its number from
 * its first call on, and may get another one after a long pause; rl_rpc_server_disconnect() ends
 * the calls of a connection. Its TLS can not be given a lowest version (1.51): both ends are ours.
 * No connection ends when its certificate does: every call is held against the time instead. */
rl_code rl_rpc_server_create_grpc(const struct rl_rpc_server_config *config,
                                  struct rl_rpc_server **out, struct rl_error *err);
/** Every method of the descriptor must have its handler, and no other: checked by assertion.
 * `handlers` and `context` are borrowed for the life of the server. Before listening. */
void rl_rpc_server_add(struct rl_rpc_server *server, const ProtobufCServiceDescriptor *service,
                       const struct rl_rpc_handler *handlers, size_t count, void *context);

struct rl_rpc_listen {
    const char *address;       /* HOST:PORT; port 0: a free one */
    struct rl_tls_server *tls; /* h2 */
    /* gRPC core's own mutual TLS: */
    struct rl_tls_identity *identity;
    struct rl_trust *trust;
    /* h2: a PROXY v2 header signed by a proxy of this trust comes first; NULL: none may come. */
    struct rl_trust *proxied_by;
    bool is_held; /* h2: whoever comes waits at the door until rl_rpc_server_let_in() */
};
rl_code rl_rpc_server_listen(struct rl_rpc_server *server, const struct rl_rpc_listen *listen,
                             uint16_t *port, struct rl_error *err);
/** Graceful: GOAWAY, no new calls, running ones go on for at most grace_ms, then `drained`. */
void rl_rpc_server_drain(struct rl_rpc_server *server, uint32_t grace_ms,
                         void (*drained)(void *context), void *context);
/** Closes everything at once; every open call gets `closed`. On the loop's thread. */
void rl_rpc_server_free(struct rl_rpc_server **server);
void rl_rpc_server_let_in(struct rl_rpc_server *server);
/** h2: from now on the listeners behind the proxy believe the headers of this trust's proxies:
 * after a rotation of authorities. On the loop's thread. */
void rl_rpc_server_trust_proxies(struct rl_rpc_server *server, struct rl_trust *trust);
/** gRPC core: new handshakes use these from now on; running connections keep theirs, but who calls
 * on them is checked again by `trust`. (h2: rl_tls_server_reload.) After listening. */
rl_code rl_rpc_server_reload_grpc(struct rl_rpc_server *server, struct rl_tls_identity *identity,
                                  struct rl_trust *trust, struct rl_error *err);
/** h2: callers of other clusters for whom `trust` does not vouch (any more) are cut off: that
 * cluster was trusted when they came. How many. On the loop's thread. */
size_t rl_rpc_server_end_strangers(struct rl_rpc_server *server, const struct rl_trust *trust,
                                   const char *reason);
/** Ends the connections of a caller (an agent by its UUID) with GOAWAY; how many. */
size_t rl_rpc_server_disconnect(struct rl_rpc_server *server, uint64_t connection,
                                const char *reason);

/* ---- clients ---- */

struct rl_rpc_channel_config {
    struct rl_loop *loop;
    const char *address;       /* HOST:PORT */
    struct rl_tls_client *tls; /* h2 */
    /* gRPC core's own TLS: */
    struct rl_tls_identity *identity;
    struct rl_trust *trust;
    const char *peer_service;                              /* "auth": who must answer */
    uint32_t connect_timeout_ms;                           /* 0: 5000 */
    uint32_t stream_window_bytes, connection_window_bytes; /* h2; 0: 256 KiB and 64 KiB */
    uint32_t stream_window_bytes_max;                      /* h2; as for servers */
    uint32_t keepalive_ms, keepalive_timeout_ms;           /* 0: the defaults above */
    /* The connection's state; may be NULL. `down` says why. A channel connects when it is first
     * needed, and again for the next call; `stay_connected` makes it try by itself with back-off.
     */
    void (*up)(void *context, const struct rl_rpc_peer *peer);
    void (*down)(void *context, rl_code code, const char *message);
    void *context;
    bool stay_connected;
    uint32_t retry_ms_max; /* h2: the longest that it waits before it tries; 0: 30 s */
    /* h2: a connection that carried no call for so long is closed; 0: it is kept. */
    uint32_t idle_ms;
    /* h2: the way out of this network; borrowed for the channel's life; NULL: straight. */
    const struct rl_http_proxy *http_proxy;
    /* h2: the channel's only connection runs over this connected socket, which it owns from now on,
     * and `address` is but its name, as of a host. */
    bool has_socket;
    int socket;
    int64_t (*now_s)(void *context); /* as for servers */
    void *now_context;
};

struct rl_rpc_channel;
rl_code rl_rpc_channel_create_h2(const struct rl_rpc_channel_config *config,
                                 struct rl_rpc_channel **out, struct rl_error *err);
/** Over gRPC core: the same restrictions. The server's certificate has to carry the DNS name
 * PEER_SERVICE.CLUSTER.remoteler.internal, whatever address it is reached by. A call with a
 * deadline waits that long for a connection; one without fails when the first attempt does. There
 * is no PING to be asked for: rl_rpc_channel_probe() only cuts a back-off short. */
rl_code rl_rpc_channel_create_grpc(const struct rl_rpc_channel_config *config,
                                   struct rl_rpc_channel **out, struct rl_error *err);
/** Connects now, if it is not. */
void rl_rpc_channel_connect(struct rl_rpc_channel *channel);
bool rl_rpc_channel_is_up(const struct rl_rpc_channel *channel);
/** PINGs now and gives the connection `timeout_ms` to answer: when the network changed. */
void rl_rpc_channel_probe(struct rl_rpc_channel *channel, uint32_t timeout_ms);
/** Calls on the old connection go on; the next call connects anew (new certificate, new address).
 */
void rl_rpc_channel_renew(struct rl_rpc_channel *channel,
                          const char *address /* NULL: as before */);
/** gRPC core: as rl_rpc_channel_renew, with another certificate and other authorities. (h2:
 * rl_tls_client_reload.) */
rl_code rl_rpc_channel_reload_grpc(struct rl_rpc_channel *channel, struct rl_tls_identity *identity,
                                   struct rl_trust *trust, struct rl_error *err);
/** Every open call gets `closed`/`done`. On the loop's thread. */
void rl_rpc_channel_free(struct rl_rpc_channel **channel);

/** `reply` is borrowed, NULL unless code is RL_OK. Always called once, later. */
typedef void (*rl_rpc_done_fn)(void *context, rl_code code, const char *message,
                               const ProtobufCMessage *reply);
/** Starts a call. deadline_ms 0: none; it is sent along (grpc-timeout). A channel that is down
 * connects first; the call waits, within its deadline. *out may be NULL; it is for
 * rl_rpc_cancel() until `done`. */
void rl_rpc_unary(struct rl_rpc_channel *channel, const ProtobufCServiceDescriptor *service,
                  const char *method, const ProtobufCMessage *request, uint32_t deadline_ms,
                  rl_rpc_done_fn done, void *context, struct rl_rpc_call **out);
/** The same and waits: on another thread than the loop's it blocks; on the loop's own it turns the
 * loop (command lines). Owns: *reply by protobuf_c_message_free_unpacked(). */
rl_code rl_rpc_unary_wait(struct rl_rpc_channel *channel, const ProtobufCServiceDescriptor *service,
                          const char *method, const ProtobufCMessage *request, uint32_t deadline_ms,
                          ProtobufCMessage **reply, struct rl_error *err);
struct rl_rpc_call *rl_rpc_stream(struct rl_rpc_channel *channel,
                                  const ProtobufCServiceDescriptor *service, const char *method,
                                  uint32_t deadline_ms, const struct rl_rpc_stream_ops *ops,
                                  void *context);

#endif
