/* end: one end of a tunnel. It joins a socket (a user's TLS at the proxy, a local program's at the
 * agent) with a stream of frames and keeps the protocol: who speaks first, offsets,
 * acknowledgements, half-close, reset. Payload is read from the socket straight into the
 * transport's frame and written to the socket straight from the transport's buffer; only what the
 * socket does not take is copied, and never more than a window of it; and, for one that can be
 * resumed, what the far end has not acknowledged.
 *
 *      dials:    dial ->  <- opened  data ...      (a proxy, to a broker or a direct node)
 *      carries:  join ->  opened ->  data ...      (an agent, to a broker)
 *      answers:  <- dial  opened ->  data ...      (a direct node, to a proxy)
 *
 * Who dials and who carries may agree that the end outlives its stream. When that is lost the end
 * is parked: it keeps socket, offsets and what is not acknowledged, and goes on upon another stream
 * as if nothing had been, or gives up after a while. resume.c.
 *
 * An end frees itself after `closed`. Everything is on the loop's thread. docs/protocols/tunnel.md.
 */
#ifndef RL_TUNNEL_END_H
#define RL_TUNNEL_END_H

#include "tunnel/ring.h"
#include "tunnel/socket.h"
#include "tunnel/tunnel.h"

#define RL_TUNNEL_ACK_BYTES 131072 /* an ack after this much of the sink's progress ... */
#define RL_TUNNEL_ACK_FIRST_BYTES                                                                  \
    32768 /* (at the beginning, when little may be on its way: this) */
#define RL_TUNNEL_ACK_FIRST_UNTIL (2u << 20)
#define RL_TUNNEL_ACK_MS 100          /* ... or this long after any */
#define RL_TUNNEL_LINGER_MS 30000     /* to hand the sink what came before the stream ended */
#define RL_TUNNEL_RESET_MS 2000       /* for a reset to be sent; then the stream is cancelled */
#define RL_TUNNEL_WINDOW_BYTES 262144 /* default of window_bytes */
#define RL_TUNNEL_RESUME_MS 60000     /* how long an end waits for another stream ... */
#define RL_TUNNEL_DIALLER_MS                                                                       \
    20000 /* ... and when the dialler's own way was lost: it knows soon                            \
           */

struct rl_tunnel_end;

/** What an end asks of the stream that it lives on. None of these calls back into the end. */
struct rl_tunnel_transport {
    void (*consume)(void *stream, size_t n); /* the sink took n of the bytes that arrived */
    void (*wake)(void *stream);              /* rl_tunnel_end_produce() has something */
    void (*cancel)(void *stream); /* end it at once; rl_tunnel_end_closed() comes later */
};

enum rl_tunnel_role { RL_TUNNEL_DIALS, RL_TUNNEL_CARRIES, RL_TUNNEL_ANSWERS };

/** How it ended; borrowed for the call. */
struct rl_tunnel_summary {
    rl_code code;        /* RL_OK: both sides said that they were done, and all was delivered */
    const char *message; /* "" when RL_OK */
    bool by_far_end;     /* the reset or refusal came from there */
    uint64_t bytes_from_socket, bytes_to_socket;
    unsigned resumes; /* how often it went on upon another stream */
};

/** What an end needs to outlive its stream; not for who answers. */
struct rl_tunnel_resume {
    const char *session_id; /* NULL: it does not; borrowed until the end is created. Who dials says
                               the feature bit in its first frame; who carries sets it only when
                               the bit was offered. */
    size_t ring_bytes_max;  /* unacknowledged; 1..RL_RING_BYTES_MAX */
    size_t ring_bytes;      /* of it, until the far end takes more or is far away; 0: all of it */
    struct rl_ring_budget *budget; /* of the process; NULL: none */
    uint32_t wait_ms;              /* 0: RL_TUNNEL_RESUME_MS */
    uint32_t dialler_wait_ms;      /* 0: RL_TUNNEL_DIALLER_MS; for who carries */
    /* The stream is lost, or an attempt to go on was: the end waits. For rl_tunnel_end_resume(),
     * not from inside this call; or rl_tunnel_end_abort(). NULL: nobody needs to know. */
    void (*parked)(void *context, rl_code code, const char *message);
    /* It goes on. NULL: as above. */
    void (*resumed)(void *context);
};

struct rl_tunnel_end_config {
    struct rl_loop *loop;
    enum rl_tunnel_role role;
    const struct rl_tunnel_transport *transport;
    size_t window_bytes;      /* that the stream was given: what may wait here. 0: the default */
    uint32_t open_timeout_ms; /* for the first frame of the other side. 0: RL_TUNNEL_JOIN_MS */
    struct rl_tunnel_resume resume;
    /* dials: what the far end said; RL_OK: rl_tunnel_end_attach() or _abort() before it returns,
     * because data may follow at once. Else `closed` follows by itself. */
    void (*opened)(void *context, rl_code code, const char *message);
    /* answers: who is said to come; borrowed. rl_tunnel_end_attach() or _refuse(), now or later. */
    void (*dialled)(void *context, const Pb__DialOpen *dial);
    /* Once and last: stream and socket are gone, and the end after it. */
    void (*closed)(void *context, const struct rl_tunnel_summary *summary);
    void *context;
};

/** The first frame is said here: `first` has only `dial` or only `join`; NULL for who answers.
 * Then rl_tunnel_end_start(). Errors: RL_E_INVAL a frame beyond its limit. */
rl_code rl_tunnel_end_create(const struct rl_tunnel_end_config *config, const Pb__Frame *first,
                             struct rl_tunnel_end **out, struct rl_error *err);
/** The stream is there. */
void rl_tunnel_end_start(struct rl_tunnel_end *end, void *stream);
/** A parked end will go on: `first` is said first, as when it was created, then what it has.
 * rl_tunnel_end_start() follows at once. Errors: RL_E_INVAL as above; it stays parked. */
rl_code rl_tunnel_end_resume(struct rl_tunnel_end *end, const Pb__Frame *first,
                             struct rl_error *err);
/** Both sides agreed to it, and nothing has ended it yet. */
bool rl_tunnel_end_is_resumable(const struct rl_tunnel_end *end);
bool rl_tunnel_end_is_parked(const struct rl_tunnel_end *end);
/** NULL when it has none: before it starts, parked, closed. */
void *rl_tunnel_end_stream(const struct rl_tunnel_end *end);
/** Begins to move bytes; takes the socket. Who carries or answers says `opened` by it. `preface` is
 * written to the socket before anything from the far end; at most RL_TUNNEL_PREFACE_BYTES_MAX. */
#define RL_TUNNEL_PREFACE_BYTES_MAX 8192
void rl_tunnel_end_attach(struct rl_tunnel_end *end, struct rl_socket **socket,
                          struct rl_span preface);
/** Who carries or answers says why not; the end closes. `code` is not RL_OK. */
void rl_tunnel_end_refuse(struct rl_tunnel_end *end, rl_code code, const char *message);
/** Ends it now, telling the far end why: a lock, an expired certificate, a stopping service. */
void rl_tunnel_end_abort(struct rl_tunnel_end *end, rl_code code, const char *message);
/** Bytes in either direction so far, for who shows or limits them. */
void rl_tunnel_end_count(const struct rl_tunnel_end *end, uint64_t *from_socket,
                         uint64_t *to_socket);

/* ---- the stream's callbacks: see rpc/raw.h, whose shapes these have ---- */

#define RL_TUNNEL_DEFER (-1)
#define RL_TUNNEL_END (-2)
void rl_tunnel_end_data(struct rl_tunnel_end *end, const uint8_t *bytes, size_t n);
ptrdiff_t rl_tunnel_end_produce(struct rl_tunnel_end *end, uint8_t *to, size_t room);
void rl_tunnel_end_half_closed(struct rl_tunnel_end *end);
/** The stream is gone; nothing is asked of it from here on. The end is parked or closes. */
void rl_tunnel_end_closed(struct rl_tunnel_end *end, rl_code code, const char *message);

#endif
