/* transport: what the two transports share and what each has to bring. Internal to lib/rpc.
 *
 * The shared part (call.c, send.c, server.c, channel.c) owns the queue of what is to be sent, the
 * deadline, the decoding, the handlers and the one `closed`; a transport moves whole messages and
 * tells how a call ended. Everything here happens on the loop's thread unless it says otherwise.
 *
 * A call's life. Clients: created by the shared part, handed to ops->start, closed by
 * rl_rpc_call_close(). Servers: rl_rpc_server_accept(), rl_rpc_server_open(), ...,
 * rl_rpc_call_close(). A transport calls rl_rpc_call_close() exactly once for each call that it was
 * handed, and never from inside one of its own rl_rpc_call_ops: `closed` always comes later.
 */
#ifndef RL_RPC_TRANSPORT_H
#define RL_RPC_TRANSPORT_H

#include "bytes/buf.h"
#include "rpc/raw.h"

#include <stdatomic.h>

#define RL_RPC_PREFIX_BYTES 5             /* a flag byte and a length before each message */
#define RL_RPC_STATUS_TEXT_BYTES_MAX 2048 /* of a grpc-message, as it is on the wire */
#define RL_RPC_NO_DEADLINE UINT64_MAX

/* ---- who is at the other end: shared by a connection and its calls; any thread ---- */

struct rl_rpc_remote {
    struct rl_rpc_peer peer; /* lends the three below */
    struct rl_identity *identity;
    char *address, *via;
    atomic_uint refs;
};
/** Takes the caller's reference to `identity` (may be NULL), copies the address, gives it the next
 * connection number. */
struct rl_rpc_remote *rl_rpc_remote_create(struct rl_identity *identity, const char *address);
/** Which proxy it came through; copied, NULL: none. Before anybody else has it. */
void rl_rpc_remote_set_via(struct rl_rpc_remote *remote, const char *via);
struct rl_rpc_remote *rl_rpc_remote_ref(struct rl_rpc_remote *remote);
void rl_rpc_remote_unref(struct rl_rpc_remote **remote); /* takes NULL */

/* ---- messages on their way out ---- */

struct rl_rpc_message {
    struct rl_rpc_message *next;
    size_t n;        /* with the prefix */
    uint8_t bytes[]; /* prefix, then the message: gRPC core takes it from RL_RPC_PREFIX_BYTES on */
};

/* ---- calls ---- */

enum rl_rpc_kind { RL_RPC_UNARY, RL_RPC_STREAM, RL_RPC_RAW };

struct rl_rpc_call_ops {
    /* Something new is in the queue, or the end was set: take it when there is room. Again and
     * again is harmless. */
    void (*wake)(struct rl_rpc_call *call);
    /* Pause was lifted: deliver what is there, ask for the next. */
    void (*resume)(struct rl_rpc_call *call);
    /* End it now, without what is queued: RST_STREAM with CANCEL, grpc_call_cancel. The status that
     * `closed` will hear is kept by the shared part already. */
    void (*cancel)(struct rl_rpc_call *call);
    /* The last reference went, on any thread: release what the transport's part of the call owns
     * (not the call). May be NULL. */
    void (*release)(struct rl_rpc_call *call);
};

/** A transport's own call begins with one of these: `struct h2_stream { struct rl_rpc_call call;
 * }`. Fields are the shared part's; a transport reads those marked T. */
struct rl_rpc_call {
    const struct rl_rpc_call_ops *ops;
    struct rl_loop *loop;
    struct rl_rpc_remote *remote; /* T: NULL on a client until it is connected */
    enum rl_rpc_kind kind;        /* T */
    bool is_client;               /* T */
    bool is_paused;               /* T: deliver nothing */
    bool is_closing;              /* set by cancel, deadline, refusal: deliver nothing */
    bool is_ending;               /* T: after the queue comes the end */
    bool is_half_closed;          /* the other side sends no more */
    bool is_doomed;               /* a client's that no transport has taken */
    atomic_bool is_over;          /* rl_rpc_call_close() was called */
    atomic_bool was_refused;      /* a send found the queue full */
    atomic_uint refs;
    atomic_size_t queued_bytes;
    struct rl_rpc_message *queue, **queue_end;

    uint32_t message_bytes_max; /* T: one way or the other */
    rl_code end_code;           /* T: server: the status to send after the queue */
    char *end_message;          /* T: NULL: "" */
    rl_code local_code;         /* set by cancel or deadline: what `closed` hears */
    char *local_message;

    uint64_t deadline_boot_ms; /* RL_RPC_NO_DEADLINE */
    struct rl_timer *deadline;

    const ProtobufCMessageDescriptor *incoming; /* what the other side sends */
    const struct rl_rpc_stream_ops *stream;
    const struct rl_rpc_raw_ops *raw; /* T */
    void *context;                    /* T: for raw */
    void *data;

    /* servers */
    struct rl_rpc_server *server;
    const struct rl_rpc_method *method; /* NULL: refused */
    /* clients */
    struct rl_rpc_channel *channel;
    char *path; /* T: "/remoteler.v1.Dialer/Dial" */
    rl_rpc_done_fn done;

    ProtobufCMessage *unary; /* server: the request; client: the reply */
    atomic_bool is_answered; /* server, unary: by rl_rpc_reply or rl_rpc_fail */

    struct rl_rpc_grave *grave; /* its server's or channel's */
    struct rl_rpc_call *next_doomed;
    rl_code doom_code;
    char *doom_message;
};

/* Calls that the transport is done with, or never had: closed at the end of the turn, or when their
 * server or channel goes, so that `closed` comes later but never too late. */
struct rl_rpc_grave {
    struct rl_rpc_call *first, **end;
    struct rl_task *bury;
    bool *is_gone; /* told by fini when a callback frees the grave's owner */
};
void rl_rpc_grave_init(struct rl_rpc_grave *grave, struct rl_loop *loop);
void rl_rpc_grave_fini(struct rl_rpc_grave *grave); /* closes them now */

struct rl_rpc_call *rl_rpc_call_ref(struct rl_rpc_call *call); /* any thread */
void rl_rpc_call_unref(struct rl_rpc_call **call);             /* any thread; takes NULL */

/** Client: it goes over this connection now. */
void rl_rpc_call_connected(struct rl_rpc_call *call, struct rl_rpc_remote *remote);

/** Cancels the call then; UINT64_MAX: never. */
void rl_rpc_call_set_deadline(struct rl_rpc_call *call, uint64_t timeout_ms);

/** May the next message be delivered? A transport asks before each. */
bool rl_rpc_call_wants(const struct rl_rpc_call *call);
/** One whole message, without its prefix; borrowed. What does not decode ends the call. */
void rl_rpc_call_receive(struct rl_rpc_call *call, const uint8_t *bytes, size_t n);
/** Server: the client sends no more (after its last message was received). */
void rl_rpc_call_receive_end(struct rl_rpc_call *call);

/** The first in the queue, now the transport's by free(); NULL: empty. May call `writable`. When it
 * is NULL and call->is_ending: half-close (client), or send end_code and end_message (server). */
struct rl_rpc_message *rl_rpc_call_take(struct rl_rpc_call *call);
bool rl_rpc_call_has_message(const struct rl_rpc_call *call);

/** Something is wrong with it (a message too big, a compressed one, one that does not decode): a
 * client cancels with this status, a server answers with it instead of what is queued. */
void rl_rpc_call_abort(struct rl_rpc_call *call, rl_code code, const char *message);
/** It is over: calls `closed` or `done` and drops the transport's reference. `code` and `message`
 * are what the peer or the connection said; what was decided on this side before goes first. */
void rl_rpc_call_close(struct rl_rpc_call *call, rl_code code, const char *message);
/** rl_rpc_call_close() at the end of this turn. The transport forgets the call before: no op of it
 * is called again. May be used inside an op (cancel of a call that still waits for its connection).
 */
void rl_rpc_call_doom(struct rl_rpc_call *call, rl_code code, const char *message);

/* ---- servers ---- */

/** A row of the registry. */
struct rl_rpc_method {
    char *path; /* "/remoteler.v1.Dialer/Dial" */
    const ProtobufCServiceDescriptor *service;
    const ProtobufCMethodDescriptor *descriptor;
    const struct rl_rpc_handler *handler;
    void *context;
};

struct rl_rpc_server_ops {
    struct rl_rpc_call_ops call;
    size_t call_bytes; /* of the transport's own call */
    rl_code (*listen)(struct rl_rpc_server *server, const struct rl_rpc_listen *listen,
                      uint16_t *port, struct rl_error *err);
    void (*drain)(struct rl_rpc_server *server, uint32_t grace_ms, void (*drained)(void *context),
                  void *context);
    size_t (*disconnect)(struct rl_rpc_server *server, uint64_t connection, const char *reason);
    /* Closes every call, frees what the transport's server owns (not the server). */
    void (*release)(struct rl_rpc_server *server);
};

/** A transport's own server begins with one. */
struct rl_rpc_server {
    const struct rl_rpc_server_ops *ops;
    struct rl_rpc_server_config config; /* with the defaults filled in */
    struct rl_rpc_method *methods;      /* sorted by path */
    size_t method_count;
    bool is_listening;
    struct rl_rpc_grave grave;
};

/** Fills in the shared part: `server` is zeroed memory of the transport's size, from rl_alloc. */
void rl_rpc_server_init(struct rl_rpc_server *server, const struct rl_rpc_server_ops *ops,
                        const struct rl_rpc_server_config *config);
/** A call arrived: zeroed memory, one reference. Nothing is called yet: the transport makes it fit
 * to be answered first, then opens it. */
struct rl_rpc_call *rl_rpc_server_accept(struct rl_rpc_server *server,
                                         struct rl_rpc_remote *remote);
/** Finds the method, asks `authorize`, calls `opened`. An unknown or forbidden one is ended here
 * (is_ending is set and ops->wake called, as for any other): the same UNIMPLEMENTED for everyone
 * when there is no such method. `timeout_ms` UINT64_MAX: no deadline. */
void rl_rpc_server_open(struct rl_rpc_call *call, struct rl_span path, uint64_t timeout_ms);

/* ---- clients ---- */

struct rl_rpc_channel_ops {
    struct rl_rpc_call_ops call;
    size_t call_bytes;
    /* A new call: path, deadline, kind are set; messages may be queued already. Connects if need
     * be; until then the call waits with the transport. Never closes it from inside. */
    void (*start)(struct rl_rpc_channel *channel, struct rl_rpc_call *call);
    void (*connect)(struct rl_rpc_channel *channel);
    bool (*is_up)(const struct rl_rpc_channel *channel);
    void (*probe)(struct rl_rpc_channel *channel, uint32_t timeout_ms);
    void (*renew)(struct rl_rpc_channel *channel, const char *address);
    /* Closes every call that was started, frees what the transport's channel owns (not it). */
    void (*release)(struct rl_rpc_channel *channel);
};

/** A transport's own channel begins with one. */
struct rl_rpc_channel {
    const struct rl_rpc_channel_ops *ops;
    struct rl_rpc_channel_config config; /* with the defaults; its `address` is ours */
    char *address;
    struct rl_rpc_grave grave;
};

/** As for servers. */
void rl_rpc_channel_init(struct rl_rpc_channel *channel, const struct rl_rpc_channel_ops *ops,
                         const struct rl_rpc_channel_config *config);
void rl_rpc_channel_set_address(struct rl_rpc_channel *channel, const char *address);

/** A client's call, not started yet: the caller sets its kind and callbacks, then starts it with
 * channel->ops->start or dooms it. */
struct rl_rpc_call *rl_rpc_call_create(struct rl_rpc_channel *channel,
                                       const ProtobufCServiceDescriptor *service,
                                       const char *method, uint32_t deadline_ms);

/* ---- the send queue (send.c) ---- */

/** With its prefix. Errors: RL_E_EXHAUSTED larger than `bytes_max`. Owns: *out by free(). */
rl_code rl_rpc_message_pack(const ProtobufCMessage *message, size_t bytes_max,
                            struct rl_rpc_message **out, struct rl_error *err);
/** The same of what is packed already. */
rl_code rl_rpc_message_frame(struct rl_span packed, size_t bytes_max, struct rl_rpc_message **out,
                             struct rl_error *err);
void rl_rpc_queue_put(struct rl_rpc_call *call, struct rl_rpc_message *message);
void rl_rpc_queue_clear(struct rl_rpc_call *call);
/** Sets the end, once; wakes the transport. */
void rl_rpc_call_end(struct rl_rpc_call *call, rl_code code, const char *message);

#endif
